package page

import (
	"embed"
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"sync"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/formatters/html"
)

var highlighter = html.New(html.WithClasses(true), html.TabWidth(4))

// The two languages and two styles that pages use, as chroma v2.27 has them (MIT
// licence). Its packages of all of them take 16 ms to load, in every process,
// cells among them.
//
//go:embed chroma/*.xml
var files embed.FS

func colours(name string) (*chroma.Style, error) {
	f, err := files.Open("chroma/" + name + ".xml")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return chroma.NewXMLStyle(f)
}

var lexers sync.Map // chroma.Lexer, by language

func lexerOf(language string) (chroma.Lexer, error) {
	if l, ok := lexers.Load(language); ok {
		return l.(chroma.Lexer), nil
	}
	l, err := chroma.NewXMLLexer(files, "chroma/"+language+".xml")
	if err != nil {
		return nil, err
	}
	shared, _ := lexers.LoadOrStore(language, chroma.Coalesce(l))
	return shared.(chroma.Lexer), nil
}

// Highlight returns code with its tokens marked, in a language: go or yaml.
func Highlight(language, code string) (template.HTML, error) {
	lexer, err := lexerOf(language)
	if err != nil {
		return "", fmt.Errorf("highlight: no language %q: %w", language, err)
	}
	light, err := colours("github")
	if err != nil {
		return "", fmt.Errorf("highlight %s: %w", language, err)
	}
	tokens, err := lexer.Tokenise(nil, code)
	if err != nil {
		return "", fmt.Errorf("highlight %s: %w", language, err)
	}
	var b strings.Builder
	if err := highlighter.Format(&b, light, tokens); err != nil {
		return "", fmt.Errorf("highlight %s: %w", language, err)
	}
	return template.HTML(b.String()), nil
}

var comments = regexp.MustCompile(`(?m)^/\*.*?\*/ `)

// codeStyle returns the CSS of highlighted code, for light and dark.
func codeStyle() (string, error) {
	var b strings.Builder
	for _, theme := range []struct{ style, media string }{
		{"github", "print, (prefers-color-scheme: light)"},
		{"github-dark", "screen and (prefers-color-scheme: dark)"},
	} {
		var css strings.Builder
		set, err := colours(theme.style)
		if err != nil {
			return "", err
		}
		if err := highlighter.WriteCSS(&css, set); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "@media %s {\n%s}\n", theme.media, comments.ReplaceAllString(css.String(), ""))
	}
	b.WriteString(".chroma, .bg { background: var(--tint); }\n")
	return b.String(), nil
}
