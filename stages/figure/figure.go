// Package figure draws the study's figures, ready for a paper.
//
// A figure is one column (85 mm) wide, its text at least 6 pt, on white, in
// colours that colour-blind readers tell apart, and never in colour alone: lines
// differ in dash pattern and carry their labels. It promises that the same data
// give the same bytes, in every format, and that nothing is left out in silence:
// whatever the axes cut off is said in the caption.
//
// [ECDF] draws distributions with their confidence bands; [Points] draws
// estimates with their intervals, and laws fitted to them. Either returns a
// [Figure], which writes itself as SVG and PDF with fonts embedded, as PNG at
// 300 dpi, and as the CSV behind it.
//
// Each kind of figure is a file here: a spec, and a function that checks it and
// returns the figure. A new kind goes into a file of its own. It makes a
// [chart.Chart] of the spec's frame, sets the axes ([axis]), says in Trace what
// stands in the plot's area, in points, and ends in newFigure with the table
// behind it. What every kind shares, such as text, colours, labels, legend, stamp
// and formats, is chart's; where labels find room is label's.
package figure

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
)

// ColumnWidth is the width of a figure unless its spec says otherwise, in
// millimetres.
const ColumnWidth = chart.ColumnWidth

// The scales an axis can have.
const (
	Auto   = axis.Auto // logarithmic where the bulk of the data spans more than a decade
	Linear = axis.Linear
	Log    = axis.Log
)

// A Figure is drawn and ready to be written.
type Figure struct {
	// Caption is what stands below the figure, a line each, with what the
	// figure itself had to add: bands, cuts, doubts.
	Caption []string

	chart *chart.Chart
	table func(io.Writer) error
}

// newFigure lays a chart out; title and description stand in where its frame has none.
func newFigure(c *chart.Chart, title, description string, table func(io.Writer) error) *Figure {
	c.Title, c.Description = cmp.Or(c.Title, chart.Clean(title)), cmp.Or(c.Description, chart.Clean(description))
	if c.LayOut(); len(c.Unnamed) > 0 {
		c.Caption = append(c.Caption, "Without room for a name: "+strings.Join(c.Unnamed, ", ")+".")
		c.LayOut()
	}
	return &Figure{Caption: c.Caption, chart: c, table: table}
}

// WithoutCaption returns the figure without the text below it, for a paper that sets
// its own. A stamp stays, and the text is kept for who cannot see the figure.
func (f *Figure) WithoutCaption() *Figure {
	return &Figure{chart: f.chart.WithoutCaption(), table: f.table}
}

// Write writes the figure in a format: svg, pdf, png or csv. It may be called for
// several at once.
func (f *Figure) Write(w io.Writer, format string) error {
	if format == "csv" {
		return f.table(w)
	}
	return f.chart.Write(w, format)
}

// Save writes the figure to a file whose name ends in .svg, .pdf, .png or .csv.
func (f *Figure) Save(path string) error {
	var b bytes.Buffer
	if err := f.Write(&b, strings.TrimPrefix(filepath.Ext(path), ".")); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		return fmt.Errorf("save figure: %w", err)
	}
	return nil
}
