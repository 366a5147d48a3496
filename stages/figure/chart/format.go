package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
	"io"
	"strings"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/text/encoding/charmap"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"

	"barograph/pipeline/cell"
)

// Write writes the chart in a format: svg, pdf or png. It may be called for
// several at once.
func (c *Chart) Write(w io.Writer, format string) error {
	switch format {
	case "svg":
		return c.writeSVG(w)
	case "pdf":
		return c.writePDF(w)
	case "png":
		return c.writePNG(w)
	}
	return fmt.Errorf("figure: unknown format %q; want svg, pdf, png or csv", format)
}

// writeSVG writes SVG that a screen reader can name and that shows the same
// where Liberation Sans is not installed.
func (c *Chart) writeSVG(w io.Writer) error {
	surface := vgsvg.NewWith(vgsvg.UseWH(c.Width, c.Height), vgsvg.EmbedFonts(true))
	c.Draw(surface)
	var b bytes.Buffer
	if _, err := surface.WriteTo(&b); err != nil {
		return err
	}
	head, body, ok := strings.Cut(b.String(), `xmlns:xlink="http://www.w3.org/1999/xlink">`)
	if !ok {
		return fmt.Errorf("figure: the SVG writer's header has changed")
	}
	// Viewers that ignore embedded fonts take one with the same widths.
	body = strings.ReplaceAll(body, `style="font-family:Liberation Sans;`, `style="font-family:'Liberation Sans',Arial,Helvetica,sans-serif;`)
	_, err := fmt.Fprintf(w, "%sxmlns:xlink=\"http://www.w3.org/1999/xlink\"\n\trole=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n"+
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#FFFFFF\"/>%s", head, escape(c.Title), escape(c.Description), body)
	return err
}

func escape(s string) string {
	var b strings.Builder
	// A strings.Builder takes every write.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// epoch is the date every PDF bears, so that equal figures have equal bytes.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// The PDF writer lets dates be fixed only for all documents of a process.
var fixDates = sync.OnceFunc(func() {
	fpdf.SetDefaultCreationDate(epoch)
	fpdf.SetDefaultModificationDate(epoch)
	fpdf.SetDefaultCatalogSort(true)
})

func (c *Chart) writePDF(w io.Writer) (err error) {
	// vgpdf converts fonts in a temporary folder and panics where it cannot.
	defer func() {
		if p := recover(); p != nil {
			err = cell.Hint(fmt.Errorf("figure: write PDF: %v", p), "fonts are converted in a temporary folder: set TMPDIR to one that can be written")
		}
	}()
	fixDates()
	surface := pdfCanvas{vgpdf.New(c.Width, c.Height)}
	c.Draw(surface)
	_, err = surface.WriteTo(w)
	return err
}

// A pdfCanvas hands text over in the encoding of the font it is set in, and
// colours without their opacity multiplied in, which vgpdf takes them to be.
type pdfCanvas struct{ *vgpdf.Canvas }

func (c pdfCanvas) SetColor(tint color.Color) { c.Canvas.SetColor(straightColor(rgb(tint))) }

// A straightColor is one whose RGBA leaves out the multiplication by its alpha.
type straightColor color.NRGBA

func (s straightColor) RGBA() (r, g, b, a uint32) {
	return uint32(s.R) * 0x101, uint32(s.G) * 0x101, uint32(s.B) * 0x101, uint32(s.A) * 0x101
}

func (c pdfCanvas) FillString(face font.Face, at vg.Point, s string) {
	encoded, err := charmap.Windows1252.NewEncoder().String(s)
	if err != nil {
		encoded = strings.Repeat("?", len([]rune(s))) // clean let through what it must not
	}
	c.Canvas.FillString(face, at, encoded)
	if face.Font.Size != 0 {
		c.EmbedFonts(false) // the font is in, and would be packed again for each size
	}
}
