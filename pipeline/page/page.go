// Package page is what Barograph's pages have in common: a document that is one
// file, needs no network, and reads well in light and dark, on paper, on a phone
// and to a screen reader.
//
// A page's content security policy forbids every connection and every script
// but those written into it, so that a page shows the same on any machine, and
// what a figure or a notebook left in it cannot run.
package page

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
)

//go:embed page.css
var style string

//go:embed page.html
var document string

var layout = template.Must(template.New("page").Parse(document))

// Begins is what every page begins with.
const Begins = "<!doctype html>"

// A Page is a document.
type Page struct {
	Title   string
	Body    template.HTML // below <main>, sections with headings from h1 on
	Style   string        // CSS besides the common one
	Scripts []string      // JavaScript, run in order once the body is there
	// Live lets the page talk to the server that it came from, and to no other.
	Live bool
}

// Write writes the document.
func Write(w io.Writer, p Page) error {
	scripts := make([]template.JS, len(p.Scripts))
	policy := "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'"
	if p.Live {
		policy += "; connect-src 'self'"
	}
	allowed := ""
	for i, s := range p.Scripts {
		// A script that holds its own end tag would end early.
		s = strings.ReplaceAll(s, "</script", `<\/script`)
		scripts[i] = template.JS(s)
		sum := sha256.Sum256([]byte(s))
		allowed += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	if allowed != "" {
		policy += "; script-src" + allowed
	}
	code, err := codeStyle()
	if err != nil {
		return fmt.Errorf("write page %q: %w", p.Title, err)
	}
	var b bytes.Buffer
	err = layout.Execute(&b, map[string]any{
		"Title": p.Title, "Policy": policy, "Style": template.CSS(style + code + p.Style), "Body": p.Body, "Scripts": scripts,
	})
	if err != nil {
		return fmt.Errorf("write page %q: %w", p.Title, err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// Picture embeds an SVG file as an image, a document of its own: what is in it,
// or follows it, can touch nothing else of the page. A reader who cannot see it is
// told its title and description.
func Picture(svg []byte) template.HTML {
	return template.HTML(fmt.Sprintf(`<img src="%s" alt="%s">`, Data("picture.svg", svg), template.HTMLEscapeString(described(svg))))
}

// LaterScript draws the pictures of [Later].
//
//go:embed later.js
var LaterScript string

var extent = regexp.MustCompile(`<svg[^>]*? width="([^"<>]+)" height="([^"<>]+)"`)

// Later is Picture for one of many: it lies compressed, in a quarter of the room, and
// its place is kept until LaterScript draws it, when it is about to be seen.
func Later(svg []byte) (template.HTML, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := z.Write(svg); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	size := ""
	if m := extent.FindSubmatch(svg); m != nil {
		size = fmt.Sprintf(` width="%s" height="%s"`, m[1], m[2])
	}
	place := Data("place.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"`+size+`/>`))
	return template.HTML(fmt.Sprintf(`<img src="%s" data-later="%s" alt="%s">`,
		place, base64.StdEncoding.EncodeToString(packed.Bytes()), template.HTMLEscapeString(described(svg)))), nil
}

// described returns the title and description that an SVG file begins with.
func described(svg []byte) string {
	var said []string
	for d, depth := xml.NewDecoder(bytes.NewReader(svg)), 0; ; {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch e := token.(type) {
		case xml.EndElement:
			depth--
		case xml.StartElement:
			if depth++; depth != 2 {
				continue
			}
			var text string
			if e.Name.Local != "title" && e.Name.Local != "desc" || d.DecodeElement(&text, &e) != nil {
				return cmp.Or(strings.Join(said, ". "), "a figure")
			}
			said = append(said, strings.Join(strings.Fields(text), " "))
			depth--
		}
	}
	return cmp.Or(strings.Join(said, ". "), "a figure")
}

// Data returns a file's content as a link's target.
func Data(name string, content []byte) template.URL {
	kind := map[string]string{".csv": "text/csv", ".json": "application/json", ".png": "image/png", ".pdf": "application/pdf", ".svg": "image/svg+xml", ".txt": "text/plain"}[path.Ext(name)]
	if kind == "" {
		kind = "application/octet-stream"
	}
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content))
}

// A Block is a paragraph of a plain text, or a table laid out with spaces, whose
// lines must stay as they are.
type Block struct {
	Text  string
	Table bool
}

var aligned = regexp.MustCompile(`\S  +\S`)

// Blocks cuts a plain text at its empty lines.
func Blocks(text string) (blocks []Block) {
	for _, b := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if b = strings.Trim(b, "\n"); b != "" {
			blocks = append(blocks, Block{b, aligned.MatchString(b)})
		}
	}
	return blocks
}

// Shell writes a word of a command as a shell reads it.
func Shell(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@%+") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Size writes a number of bytes for reading.
func Size(n int64) string {
	const step = 1024
	if n < step {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, units := float64(n)/step, "KMGTPE"
	for v >= step {
		v, units = v/step, units[1:]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[:1] + "iB"
}
