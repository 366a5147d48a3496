package page

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/formatters/html"
	"github.com/alecthomas/chroma/v2/lexers"
	"github.com/alecthomas/chroma/v2/styles"
)

var highlighter = html.New(html.WithClasses(true), html.TabWidth(4))

// Highlight returns code with its tokens marked, in a language that chroma knows.
func Highlight(language, code string) (template.HTML, error) {
	lexer := lexers.Get(language)
	if lexer == nil {
		return "", fmt.Errorf("highlight: no language %q", language)
	}
	tokens, err := chroma.Coalesce(lexer).Tokenise(nil, code)
	if err != nil {
		return "", fmt.Errorf("highlight %s: %w", language, err)
	}
	var b strings.Builder
	if err := highlighter.Format(&b, styles.Get("github"), tokens); err != nil {
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
		if err := highlighter.WriteCSS(&css, styles.Get(theme.style)); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "@media %s {\n%s}\n", theme.media, comments.ReplaceAllString(css.String(), ""))
	}
	b.WriteString(".chroma, .bg { background: var(--tint); }\n")
	return b.String(), nil
}
