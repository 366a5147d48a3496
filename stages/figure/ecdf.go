package figure

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
	"barograph/stages/figure/label"
	"barograph/stages/figure/table"
	"barograph/stages/stats"
)

// A Series is one line of an ECDF figure.
type Series struct {
	Label     string
	Latencies []int64 // nanoseconds, in any order; not changed
	// EffectiveN is what the samples are worth as independent ones, from
	// stats.EffectiveN; the band is as wide as that many samples make it. 0: as
	// many as there are.
	EffectiveN float64
}

// An ECDFSpec describes Figure 2: the distribution of latency, a line a load.
type ECDFSpec struct {
	Title       string // names the figure to a screen reader; not drawn
	Description string // says what it shows; drawn from the data where empty
	XLabel      string // without its unit; "Inference time" where empty
	YLabel      string // "Empirical CDF" where empty
	Unit        string // of the axis: ns, us, ms or s; ms where empty
	Scale       string // auto, linear or log; auto where empty
	// Confidence of the DKW-Massart bands; 0: 0.95. NoBand leaves them out.
	Confidence float64
	NoBand     bool
	Caption    []string // lines below the figure, before those it adds itself
	Simulated  bool     // stamps the figure: its numbers were not measured
	Invalid    string   // stamps the figure: why its numbers cannot be trusted; empty where they can
	// Width and Height of the plot with its axes, in millimetres; 0: 85, and
	// 0.68 of the width. The caption comes below.
	Width, Height float64
	Series        []Series
}

// units holds nanoseconds per unit.
var units = map[string]float64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}

// ECDF draws the empirical distribution functions of latencies as the step
// functions they are, from 0 at the left edge to 1 at the right, each with its
// DKW-Massart band (rule 5 of stages/README.md), labelled at the lines where
// there is room and by a legend where there is none.
//
// The axis covers every sample unless a few lie so far off that they would
// squash the rest; then it is cut, and the caption says where, how many lie
// beyond, and how far out they are. A thinned line is nowhere further than half
// a pixel (at 300 dpi) from the full one.
func ECDF(spec ECDFSpec) (*Figure, error) {
	scale, err := axis.Scale(spec.Scale)
	if err != nil {
		return nil, err
	}
	if spec.Unit == "" {
		spec.Unit = "ms"
	}
	unit, ok := units[spec.Unit]
	if !ok {
		return nil, fmt.Errorf("figure: unknown unit %q; want ns, us, ms or s", spec.Unit)
	}
	if spec.Confidence == 0 {
		spec.Confidence = stats.Confidence
	}
	if !(spec.Confidence > 0 && spec.Confidence < 1) {
		return nil, fmt.Errorf("figure: confidence %v is not between 0 and 1", spec.Confidence)
	}
	if len(spec.Series) == 0 {
		return nil, fmt.Errorf("figure: an ECDF of no series")
	}
	e := &ecdf{spec: spec, unit: unit, lines: make([]ecdfLine, len(spec.Series))}
	errs := make([]error, len(spec.Series))
	var all sync.WaitGroup
	for i, s := range spec.Series { // sorting them is most of the work
		all.Go(func() { e.lines[i], errs[i] = newLine(s, i, spec.Confidence) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e.build(scale)
}

type ecdfLine struct {
	label string
	dist  *stats.ECDF
	eps   float64
	index int
}

func newLine(s Series, index int, confidence float64) (ecdfLine, error) {
	d, err := stats.NewECDF(s.Latencies)
	if err != nil {
		return ecdfLine{}, fmt.Errorf("figure: series %q: %w", s.Label, err)
	}
	n := float64(d.N())
	if s.EffectiveN > 0 {
		n = math.Min(n, s.EffectiveN)
	}
	return ecdfLine{label: chart.Clean(s.Label), dist: d, eps: stats.DKW(n, confidence), index: index}, nil
}

type ecdf struct {
	spec      ECDFSpec
	unit      float64
	lines     []ecdfLine
	low, high float64 // of the axis, in its unit, before padding
	axis.Position
}

func (e *ecdf) build(scale string) (*Figure, error) {
	s := &e.spec
	unit := strings.Replace(s.Unit, "us", "\u00b5s", 1)
	x := cmp.Or(s.XLabel, "Inference time") + " (" + unit + ")"
	f := chart.Frame{
		Title: s.Title, Description: s.Description, XLabel: x, YLabel: cmp.Or(s.YLabel, "Empirical CDF"),
		Caption: slices.Concat(s.Caption, e.chooseRange(scale), []string{e.sampleNote()}), Simulated: s.Simulated, Invalid: s.Invalid, Width: s.Width, Height: s.Height,
	}
	labels := make([]string, len(e.lines))
	for i, l := range e.lines {
		labels[i] = l.label
	}
	c, err := chart.New(f, labels...)
	if err != nil {
		return nil, err
	}
	c.SetX(e.low, e.high, e.Position)
	c.Plot.Y.Min, c.Plot.Y.Max = 0, 1
	c.Plot.Y.Tick.Marker = axis.Marks{{Value: 0, Label: "0"}, {Value: 0.25, Label: "0.25"}, {Value: 0.5, Label: "0.5"}, {Value: 0.75, Label: "0.75"}, {Value: 1, Label: "1"}}
	c.Trace = func(area draw.Canvas) []chart.Trace { return e.traces(area, c.Plot) }
	return newFigure(c, "Empirical distribution of "+strings.ToLower(x[:1])+x[1:], e.describe(), e.table), nil
}

// chooseRange decides what the axis covers and returns what it does not.
func (e *ecdf) chooseRange(scale string) (notes []string) {
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	bulkFirst, bulkLast := first, last
	for _, l := range e.lines {
		s := l.dist.Sorted()
		first, last = min(first, s[0]), max(last, s[len(s)-1])
		a, b := bulk(l.dist)
		bulkFirst, bulkLast = min(bulkFirst, a), max(bulkLast, b)
	}
	e.Log = scale == Log || scale == Auto && bulkFirst > 0 && float64(bulkLast) > axis.Decade*float64(bulkFirst)
	if e.Log && last <= 0 {
		e.Log = false
		notes = append(notes, "Linear axis: no value is positive.")
	}
	from, to := first, last
	if e.Log {
		from = e.smallestPositive()
		bulkFirst = max(bulkFirst, from)
	}
	// Cut what would leave the bulk less than a fifth of the axis.
	along := func(ns int64) float64 { return float64(ns) }
	back := nanoseconds
	room := math.Abs(float64(bulkLast)) / 50
	if e.Log {
		along = func(ns int64) float64 { return math.Log(float64(ns)) }
		back = func(v float64) int64 { return nanoseconds(math.Exp(v)) }
		room = 0.02
	}
	room = math.Max(room, along(bulkLast)-along(bulkFirst))
	if along(to)-along(bulkFirst) > 5*room {
		to = back(along(bulkLast) + room/4)
	}
	if along(bulkLast)-along(from) > 5*room {
		from = back(along(bulkFirst) - room/4)
	}
	total, under, over := 0, 0, 0
	for _, l := range e.lines {
		total += l.dist.N()
		under += below(l.dist.Sorted(), from)
		over += l.dist.N() - l.dist.Count(to)
	}
	if under > 0 {
		notes = append(notes, fmt.Sprintf("Axis cut on the left: %d of %d calls lie below %s, the shortest took %s.", under, total, e.quantity(from), e.quantity(first)))
	}
	if over > 0 {
		notes = append(notes, fmt.Sprintf("Axis cut on the right: %d of %d calls lie above %s, the longest took %s.", over, total, e.quantity(to), e.quantity(last)))
	}
	e.low, e.high = float64(from)/e.unit, float64(to)/e.unit
	return notes
}

// bulk returns the ends of what an axis must show: all samples within five
// interquartile ranges of the quartiles, and at least the middle 90%.
func bulk(d *stats.ECDF) (low, high int64) {
	s := d.Sorted()
	q1, q3 := d.Quantile(0.25), d.Quantile(0.75)
	reach := 5 * math.Max(float64(q3)-float64(q1), math.Abs(float64(d.Quantile(0.5)))/100)
	low = s[below(s, nanoseconds(float64(q1)-reach))]
	high = s[d.Count(nanoseconds(float64(q3)+reach))-1]
	return min(low, d.Quantile(0.05)), max(high, d.Quantile(0.95))
}

// below returns how many samples are less than x.
func below(sorted []int64, x int64) int {
	return sort.Search(len(sorted), func(i int) bool { return sorted[i] >= x })
}

// nanoseconds is the time nearest to v, however far out it is.
func nanoseconds(v float64) int64 {
	switch {
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	}
	return int64(v)
}

func (e *ecdf) smallestPositive() int64 {
	smallest := int64(math.MaxInt64)
	for _, l := range e.lines {
		if i := l.dist.Count(0); i < l.dist.N() {
			smallest = min(smallest, l.dist.Sorted()[i])
		}
	}
	return smallest
}

// quantity writes a time in the axis's unit, to four digits.
func (e *ecdf) quantity(ns int64) string {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(ns)/e.unit, 'g', 4, 64), 64)
	if err != nil {
		v = float64(ns) / e.unit
	}
	return strconv.FormatFloat(v, 'f', -1, 64) + " " + strings.Replace(e.spec.Unit, "us", "\u00b5s", 1)
}

func (e *ecdf) sampleNote() string {
	low, high := math.MaxInt, 0
	widened := false
	for i, l := range e.lines {
		low, high = min(low, l.dist.N()), max(high, l.dist.N())
		widened = widened || e.spec.Series[i].EffectiveN > 0 && e.spec.Series[i].EffectiveN < 0.99*float64(l.dist.N())
	}
	note := "n = " + strconv.Itoa(low)
	if low != high {
		note += " to " + strconv.Itoa(high)
	}
	note += " call"
	if high > 1 {
		note += "s"
	}
	if len(e.lines) > 1 {
		note += " per line"
	}
	if !e.spec.NoBand {
		note += fmt.Sprintf("; bands: %s%% DKW-Massart", strconv.FormatFloat(100*e.spec.Confidence, 'f', -1, 64))
		if widened {
			note += ", for the effective n"
		}
	}
	return note + "."
}

// describe says in words what the figure shows.
func (e *ecdf) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d step lines rise from 0 to 1.", len(e.lines))
	for _, l := range e.lines {
		fmt.Fprintf(&b, " %s: median %s of %d calls.", l.label, e.quantity(l.dist.Quantile(0.5)), l.dist.N())
	}
	return b.String()
}

// thinning is the width, in points, of the columns within which a line is drawn
// as one step: half a pixel.
const thinning = 0.5 * 72.0 / chart.DotsPerInch

// A step is a rise of a step function: from x on it has the value count/n.
type step struct {
	x     int64
	count int
}

// steps returns the rises of a distribution, thinned to one for each column of
// the picture: the first sample that falls into the column, carrying all of
// them. at maps a sample to its place in points and must not fall.
func steps(sorted []int64, at func(int64) float64, width float64) (out []step) {
	for i := 0; i < len(sorted); {
		edge := (math.Floor(at(sorted[i])/width) + 1) * width
		j := i + 1 + sort.Search(len(sorted)-i-1, func(k int) bool { return at(sorted[i+1+k]) >= edge })
		out = append(out, step{sorted[i], j})
		i = j
	}
	return out
}

// traces lays the lines out in the plot's area.
func (e *ecdf) traces(area draw.Canvas, p *plot.Plot) []chart.Trace {
	x, y := p.Transforms(&area)
	place := func(ns int64) float64 { return float64(x(e.Of(float64(ns) / e.unit))) }
	left, right := area.Min.X, area.Max.X
	out := make([]chart.Trace, len(e.lines))
	for i, l := range e.lines {
		t := chart.Trace{Label: l.label, Style: chart.SeriesLine(l.index)}
		s := l.dist.Sorted()
		n := float64(len(s))
		from := sort.Search(len(s), func(k int) bool { return place(s[k]) >= float64(left) })
		to := sort.Search(len(s), func(k int) bool { return place(s[k]) > float64(right) })
		value := float64(from) / n
		var upper, lower []vg.Point
		rise := func(at vg.Length, next float64) {
			t.Line = append(t.Line, vg.Point{X: at, Y: y(value)}, vg.Point{X: at, Y: y(next)})
			upper = append(upper, vg.Point{X: at, Y: y(math.Min(1, value+l.eps))}, vg.Point{X: at, Y: y(math.Min(1, next+l.eps))})
			lower = append(lower, vg.Point{X: at, Y: y(math.Max(0, value-l.eps))}, vg.Point{X: at, Y: y(math.Max(0, next-l.eps))})
			value = next
		}
		// Left of all samples every line is 0, and right of them 1: these parts
		// are drawn apart, and without the bands, which there say nothing but
		// would lie on top of one another.
		first, last := left, right
		if from == 0 && to > from {
			first = vg.Length(place(s[0]))
			t.Ends = append(t.Ends, []vg.Point{{X: left, Y: y(0)}, {X: first, Y: y(0)}})
		}
		if to == len(s) && to > from {
			last = vg.Length(place(s[to-1]))
			t.Ends = append(t.Ends, []vg.Point{{X: last, Y: y(1)}, {X: right, Y: y(1)}})
		}
		rise(first, value)
		for _, r := range steps(s[from:to], place, thinning) {
			rise(vg.Length(place(r.x)), float64(from+r.count)/n)
		}
		rise(last, value)
		if !e.spec.NoBand {
			slices.Reverse(lower)
			t.Bands = [][]vg.Point{append(upper, lower...)}
		}
		t.Anchors = e.anchors(l, func(q float64) (vg.Point, bool) {
			at := vg.Point{X: vg.Length(place(l.dist.Quantile(q))), Y: y(q)}
			return at, at.X > left && at.X < right
		})
		out[i] = t
	}
	return out
}

// anchors offers places along a line, the lower right and the upper left of an
// ECDF being where the room is.
func (e *ecdf) anchors(l ecdfLine, at func(q float64) (vg.Point, bool)) (out []label.Anchor) {
	for q := 0.06; q < 0.96; q += 0.02 {
		p, ok := at(q)
		if !ok {
			continue
		}
		out = append(out,
			label.Anchor{At: p, Sides: []vg.Point{{X: 1}, {X: 1, Y: -0.6}}, Cost: 12 * math.Abs(q-0.5)},
			label.Anchor{At: p, Sides: []vg.Point{{X: -1}, {X: -1, Y: 0.6}}, Cost: 4 + 12*math.Abs(q-0.5)},
		)
	}
	return out
}

// table writes every step of every line, unthinned, with its band.
func (e *ecdf) table(w io.Writer) error {
	out := table.New(w, "series", "latency_ns", "count", "n", "ecdf", "lower", "upper")
	workers := runtime.GOMAXPROCS(0)
	texts := make([][]byte, workers)
	for _, l := range e.lines {
		n := l.dist.N()
		for from := 0; from < n; from += workers * rows {
			var all sync.WaitGroup
			for i := range texts {
				all.Go(func() {
					begin := min(n, from+i*rows)
					texts[i] = l.rows(texts[i][:0], begin, min(n, begin+rows))
				})
			}
			all.Wait()
			for _, text := range texts {
				if _, err := out.Write(text); err != nil {
					return err
				}
			}
		}
	}
	return out.Flush()
}

// rows is how many samples are written side by side.
const rows = 1 << 13

// rows appends the table's rows of the samples in a range, of which equal ones share the
// last's.
func (l ecdfLine) rows(text []byte, from, to int) []byte {
	sorted := l.dist.Sorted()
	n := float64(len(sorted))
	label, of := table.Field(l.label)+",", ","+strconv.Itoa(len(sorted))+","
	for i := from; i < to; i++ {
		x := sorted[i]
		if i+1 < len(sorted) && sorted[i+1] == x {
			continue
		}
		f := float64(i+1) / n
		text = append(strconv.AppendInt(append(text, label...), x, 10), ',')
		text = append(strconv.AppendInt(text, int64(i+1), 10), of...)
		text = append(table.AppendShare(text, f), ',')
		text = append(table.AppendShare(text, math.Max(0, f-l.eps)), ',')
		text = append(table.AppendShare(text, math.Min(1, f+l.eps)), '\n')
	}
	return text
}
