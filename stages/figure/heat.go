package figure

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/table"
)

// A HeatSpec describes a heat map: a table whose cells are shaded by their values.
type HeatSpec struct {
	Title, Description string // as in ECDFSpec
	Rows, Columns      []string
	Values             [][]float64 // [row][column], positive; NaN for none, shown as a dash
	Low, High          [][]float64 // ends of each value's interval, written below it; NaN: not known, nil: of none
	Least              float64     // shown white, as is all below; the darkest is the largest value
	Caption            []string
	Simulated          bool
	Invalid            string  // as in ECDFSpec
	Width              float64 // in millimetres; 0: as in ECDFSpec
}

// Heat draws a heat map, with each value in its cell, so that it reads without
// colour too, and a dash where a value is not known, be it in every cell. Shades follow
// the logarithm of values.
func Heat(spec HeatSpec) (*Figure, error) {
	if len(spec.Rows) == 0 || len(spec.Columns) == 0 || len(spec.Values) != len(spec.Rows) {
		return nil, fmt.Errorf("figure: %d rows of values for %d rows and %d columns", len(spec.Values), len(spec.Rows), len(spec.Columns))
	}
	if !(spec.Least > 0) {
		return nil, fmt.Errorf("figure: the least value is %g, not positive", spec.Least)
	}
	h := &heat{spec: spec, most: spec.Least}
	values := 0
	for r, row := range spec.Values {
		if len(row) != len(spec.Columns) {
			return nil, fmt.Errorf("figure: row %q: %d values for %d columns", spec.Rows[r], len(row), len(spec.Columns))
		}
		for _, v := range row {
			if axis.Known(v) && v > 0 {
				h.most = math.Max(h.most, v)
				values++
			}
		}
	}
	lines := 1.2
	if spec.Low != nil {
		if len(spec.Low) != len(spec.Rows) || len(spec.High) != len(spec.Rows) {
			return nil, fmt.Errorf("figure: %d and %d rows of ends of intervals for %d rows", len(spec.Low), len(spec.High), len(spec.Rows))
		}
		for r := range spec.Rows {
			if len(spec.Low[r]) != len(spec.Columns) || len(spec.High[r]) != len(spec.Columns) {
				return nil, fmt.Errorf("figure: row %q: %d and %d ends of intervals for %d columns", spec.Rows[r], len(spec.Low[r]), len(spec.High[r]), len(spec.Columns))
			}
		}
		lines = 2.2
	}
	h.rows, h.columns = chart.CleanAll(spec.Rows), chart.CleanAll(spec.Columns)
	c, err := chart.New(chart.Frame{
		Title: spec.Title, Description: spec.Description, Caption: spec.Caption, Simulated: spec.Simulated, Invalid: spec.Invalid,
		Width: spec.Width, Height: float64((vg.Length(len(h.rows))*vg.Length(lines)+1.2)*chart.LabelSize*chart.Leading/vg.Millimeter) + 2,
	}, slices.Concat([]string{none}, h.rows, h.columns)...)
	if err != nil {
		return nil, err
	}
	h.label, h.number, h.interval = c.Theme.Text(chart.LabelSize, chart.Black), c.Theme.Text(chart.LabelSize, chart.Black), c.Theme.Text(chart.CaptionSize, chart.Black)
	h.label.YAlign, h.number.XAlign, h.number.YAlign = text.YCenter, text.XCenter, text.YCenter
	h.interval.XAlign, h.interval.YAlign = text.XCenter, text.YCenter
	h.head = 1.2 / (1.2 + lines*float64(len(h.rows)))
	c.Paint(h.draw)
	return newFigure(c, "", fmt.Sprintf("%d values in %d rows and %d columns.", values, len(h.rows), len(h.columns)), h.table), nil
}

// none is what a cell without a value says.
const none = "–"

type heat struct {
	spec          HeatSpec
	rows, columns []string
	most          float64
	head          float64 // its part of the height
	label, number text.Style
	interval      text.Style
}

func (h *heat) draw(area draw.Canvas) {
	left := vg.Length(0)
	for _, r := range h.rows {
		left = max(left, h.label.Width(r))
	}
	left = min(left+2*chart.Margin, area.Size().X/2)
	wide, high := (area.Size().X-left)/vg.Length(len(h.columns)), area.Size().Y*vg.Length(1-h.head)/vg.Length(len(h.rows))
	at := func(row, column float64) vg.Point { // row 0 is the header
		down := vg.Length(h.head) * area.Size().Y * vg.Length(min(row, 1))
		return vg.Point{X: area.Min.X + left + vg.Length(column)*wide, Y: area.Max.Y - down - vg.Length(max(row-1, 0))*high}
	}
	for c, name := range h.columns {
		area.FillText(h.number, at(0.5, float64(c)+0.5), name)
	}
	for r, name := range h.rows {
		area.FillText(h.label, vg.Point{X: area.Min.X, Y: at(float64(r)+1.5, 0).Y}, name)
		for c, v := range h.spec.Values[r] {
			tint := h.shade(v)
			row, column := float64(r+1), float64(c)
			if tint != chart.White {
				area.SetColor(tint)
				area.Fill(chart.Path([]vg.Point{at(row, column), at(row, column+1), at(row+1, column+1), at(row+1, column)}))
			}
			style := h.number
			style.Color = chart.Black
			if chart.Luminance(tint) < 0.18 { // where white has more contrast
				style.Color = chart.White
			}
			number := none
			if axis.Known(v) {
				number = strconv.FormatFloat(v, 'f', 2, 64)
			}
			middle := at(row+0.5, column+0.5)
			if h.spec.Low != nil && axis.Known(v) {
				below := h.interval
				below.Color = style.Color
				area.FillText(below, vg.Point{X: middle.X, Y: middle.Y - high/4}, interval(h.spec.Low[r][c], h.spec.High[r][c]))
				middle.Y += high / 4
			}
			area.FillText(style, middle, number)
		}
	}
}

// interval writes the ends of one.
func interval(low, high float64) string {
	if !axis.Known(low) || !axis.Known(high) {
		return "no interval"
	}
	return fmt.Sprintf("%.2f to %.2f", low, high)
}

// shade goes from white to vermilion.
func (h *heat) shade(v float64) color.NRGBA {
	if !axis.Known(v) || v <= h.spec.Least || h.most == h.spec.Least {
		return chart.White
	}
	share := math.Log(v/h.spec.Least) / math.Log(h.most/h.spec.Least)
	mix := func(from, to uint8) uint8 {
		return uint8(math.Round(float64(from) + share*(float64(to)-float64(from))))
	}
	dark := chart.Palette[2]
	return color.NRGBA{mix(255, dark.R), mix(255, dark.G), mix(255, dark.B), 255}
}

func (h *heat) table(w io.Writer) error {
	names := []any{"row", "column", "value"}
	if h.spec.Low != nil {
		names = append(names, "low", "high")
	}
	out := table.New(w, names...)
	for r, row := range h.spec.Values {
		for c, v := range row {
			cells := []any{h.rows[r], h.columns[c], v}
			if h.spec.Low != nil {
				cells = append(cells, h.spec.Low[r][c], h.spec.High[r][c])
			}
			out.Row(cells...)
		}
	}
	return out.Flush()
}
