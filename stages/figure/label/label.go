// Package label finds places for labels at lines, where they touch nothing.
package label

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
)

// A Candidate is a place for a label: its box, and the leader that ties it to
// its line when it stands apart from it.
type Candidate struct {
	Box      vg.Rectangle
	From, To vg.Point // of the leader
	Leader   bool
	Turned   bool   // reads upwards, along a steep line
	Text     string // the tag's, of one that found a place
	cost     float64
}

// An Anchor is a point of a line at which its label may stand, and on which
// sides; Cost says how much worse than the best place it is.
type Anchor struct {
	At    vg.Point
	Sides []vg.Point // unit steps from the line to the label
	Cost  float64
}

// Around offers places for a label beside each point of a line, the last, on its
// right, being the best.
func Around(line []vg.Point) (out []Anchor) {
	for i, p := range slices.Backward(line) {
		away := 2 * float64(len(line)-1-i) / float64(len(line))
		out = append(out,
			Anchor{At: p, Sides: []vg.Point{{X: 1}}, Cost: 4 * away},
			Anchor{At: p, Sides: []vg.Point{{Y: 1}, {Y: -1}, {X: 1, Y: 1}, {X: 1, Y: -1}, {X: -1, Y: 1}, {X: -1, Y: -1}}, Cost: 3 + 4*away},
			Anchor{At: p, Sides: []vg.Point{{X: -1}}, Cost: 5 + 4*away},
		)
	}
	return out
}

// A Tag is a label looking for a place.
type Tag struct {
	Width, Height vg.Length
	Anchors       []Anchor
	Series        int   // whose line a leader may cross
	Through       []int // whose lines it may cross too, which is worse
	Far           bool  // it may stand far away
	Text          string
}

const (
	fewSteps, manySteps = 20_000, 300_000 // of the search for places

	cellSize  = 0.5 // points; the resolution at which lines are kept apart from labels
	clearance = 1.3 // points between a label and a line or label
)

// Points between a line and its label, and those of one that may stand far away;
// a leader through another line is as bad as so many points.
var (
	gaps     = []float64{2, 4, 7, 11, 16, 22}
	farGaps  = append(slices.Clone(gaps), 28, 34, 40, 48)
	crossing = 15.0
)

// Place finds a box for each tag that touches neither a line, nor another box,
// nor the edge, and whose leader crosses no other line. It returns nil when
// there is none for some tag: then the figure needs a legend.
//
// It is a depth-first search, the tag with the fewest candidates first, cheapest
// candidate first, that gives up after a fixed number of steps and so always
// takes the same course.
//
// Labels are level, or where that fails all turned to run along their lines,
// which lets them stand between steep lines that are close to one another.
func Place(tags []Tag, lines *Occupancy) []Candidate {
	if level := placed(tags, lines, false, fewSteps); level != nil {
		return level
	}
	return placed(tags, lines, true, fewSteps)
}

// PlaceMost places tags as Place does, level ones alone, and where not all have room
// those that have, one after the other, with the fewest choices first. One without a
// place is an empty Candidate.
func PlaceMost(tags []Tag, lines *Occupancy) []Candidate {
	if all := placed(tags, lines, false, manySteps); all != nil {
		return all
	}
	chosen := make([]Candidate, len(tags))
	options := make([][]Candidate, len(tags))
	order := make([]int, len(tags))
	for i, t := range tags {
		order[i], options[i] = i, t.candidates(lines, false)
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(options[a]) - len(options[b]) })
	for depth, i := range order {
		at := slices.IndexFunc(options[i], func(c Candidate) bool {
			return !slices.ContainsFunc(order[:depth], func(j int) bool { return chosen[j].Text != "" && c.conflicts(chosen[j]) })
		})
		if at >= 0 {
			chosen[i] = options[i][at]
		}
	}
	return chosen
}

func placed(tags []Tag, lines *Occupancy, turned bool, most int) []Candidate {
	options := make([][]Candidate, len(tags))
	order := make([]int, len(tags))
	for i, t := range tags {
		if turned {
			t.Width, t.Height = t.Height, t.Width
		}
		order[i] = i
		options[i] = t.candidates(lines, turned)
		if len(options[i]) == 0 {
			return nil
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(options[a]) - len(options[b]) })
	chosen := make([]Candidate, len(tags))
	steps := 0
	var search func(depth int) bool
	search = func(depth int) bool {
		if depth == len(order) {
			return true
		}
		i := order[depth]
	next:
		for _, c := range options[i] {
			if steps++; steps > most {
				return false
			}
			for _, j := range order[:depth] {
				if c.conflicts(chosen[j]) {
					continue next
				}
			}
			chosen[i] = c
			if search(depth + 1) {
				return true
			}
		}
		return false
	}
	if !search(0) {
		return nil
	}
	return chosen
}

func (t Tag) candidates(lines *Occupancy, turned bool) (all []Candidate) {
	gaps, through := gaps, uint64(0)
	if t.Far {
		gaps = farGaps
	}
	for _, s := range t.Through {
		through |= bit(s)
	}
	for _, a := range t.Anchors {
		for _, side := range a.Sides {
			for _, gap := range gaps {
				c := Candidate{From: a.At, Leader: gap > 4, Turned: turned, Text: t.Text, cost: a.Cost + gap}
				c.To = vg.Point{X: a.At.X + side.X*vg.Length(gap), Y: a.At.Y + side.Y*vg.Length(gap)}
				corner := vg.Point{X: c.To.X + (side.X-1)*t.Width/2, Y: c.To.Y + (side.Y-1)*t.Height/2}
				c.Box = vg.Rectangle{Min: corner, Max: corner.Add(vg.Point{X: t.Width, Y: t.Height})}
				if !lines.inside(c.Box) || lines.any(grown(c.Box, clearance)) {
					continue
				}
				crossed := lines.between(c.From, c.To) &^ bit(t.Series)
				if crossed&through != 0 {
					c.cost += crossing
				}
				if crossed&^through == 0 {
					all = append(all, c)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Candidate) int { return cmp.Compare(a.cost, b.cost) })
	return all
}

// conflicts tells whether two labels, or a label and a leader, overlap.
func (c Candidate) conflicts(o Candidate) bool {
	return overlap(grown(c.Box, clearance), o.Box) ||
		o.Leader && overlap(grown(c.Box, clearance), span(o.From, o.To)) ||
		c.Leader && overlap(grown(o.Box, clearance), span(c.From, c.To))
}

// Corners returns those of the box, one after the other.
func (c Candidate) Corners() []vg.Point {
	return []vg.Point{c.Box.Min, {X: c.Box.Max.X, Y: c.Box.Min.Y}, c.Box.Max, {X: c.Box.Min.X, Y: c.Box.Max.Y}}
}

func span(a, b vg.Point) vg.Rectangle {
	return vg.Rectangle{Min: vg.Point{X: min(a.X, b.X), Y: min(a.Y, b.Y)}, Max: vg.Point{X: max(a.X, b.X), Y: max(a.Y, b.Y)}}
}

func grown(r vg.Rectangle, by vg.Length) vg.Rectangle {
	return vg.Rectangle{Min: vg.Point{X: r.Min.X - by, Y: r.Min.Y - by}, Max: vg.Point{X: r.Max.X + by, Y: r.Max.Y + by}}
}

func overlap(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}

// An Occupancy is a raster of the plot's area that knows which lines pass
// through each cell.
type Occupancy struct {
	area          vg.Rectangle
	columns, rows int
	lines         []uint64 // a bit for each series, those beyond 64 sharing the last
	sum           []int32  // cells with any line, summed from the lower left corner
}

// NewOccupancy returns the raster of an area without lines.
func NewOccupancy(area vg.Rectangle) *Occupancy {
	o := &Occupancy{
		area:    area,
		columns: max(1, int(math.Ceil(float64(area.Max.X-area.Min.X)/cellSize))),
		rows:    max(1, int(math.Ceil(float64(area.Max.Y-area.Min.Y)/cellSize))),
	}
	o.lines = make([]uint64, o.columns*o.rows)
	return o
}

func (o *Occupancy) cell(p vg.Point) (x, y int) {
	return int(math.Floor(float64(p.X-o.area.Min.X) / cellSize)), int(math.Floor(float64(p.Y-o.area.Min.Y) / cellSize))
}

func bit(series int) uint64 { return 1 << min(series, 63) }

// Mark records a line.
func (o *Occupancy) Mark(series int, path []vg.Point) {
	o.sum = nil
	for i := 1; i < len(path); i++ {
		o.walk(path[i-1], path[i], func(cell int) bool {
			o.lines[cell] |= bit(series)
			return true
		})
	}
}

// Fill records an area within a closed line.
func (o *Occupancy) Fill(series int, around []vg.Point) {
	low, high := around[0].Y, around[0].Y
	for _, p := range around {
		low, high = min(low, p.Y), max(high, p.Y)
	}
	for y := low; y <= high; y += cellSize {
		var at []vg.Length // where the outline crosses this height
		for i, p := range around {
			q := around[(i+1)%len(around)]
			if (p.Y <= y) != (q.Y <= y) {
				at = append(at, p.X+(q.X-p.X)*(y-p.Y)/(q.Y-p.Y))
			}
		}
		slices.Sort(at)
		for i := 1; i < len(at); i += 2 {
			o.Mark(series, []vg.Point{{X: at[i-1], Y: y}, {X: at[i], Y: y}})
		}
	}
}

// walk visits the cells between two points until visit says no.
func (o *Occupancy) walk(a, b vg.Point, visit func(cell int) bool) {
	length := math.Hypot(float64(b.X-a.X), float64(b.Y-a.Y))
	steps := int(math.Ceil(length / (cellSize / 2)))
	for i := 0; i <= steps; i++ {
		t := vg.Length(0)
		if steps > 0 {
			t = vg.Length(i) / vg.Length(steps)
		}
		x, y := o.cell(vg.Point{X: a.X + t*(b.X-a.X), Y: a.Y + t*(b.Y-a.Y)})
		if x == o.columns {
			x--
		}
		if y == o.rows {
			y--
		}
		if x >= 0 && x < o.columns && y >= 0 && y < o.rows && !visit(y*o.columns+x) {
			return
		}
	}
}

func (o *Occupancy) inside(r vg.Rectangle) bool {
	return r.Min.X >= o.area.Min.X && r.Min.Y >= o.area.Min.Y && r.Max.X <= o.area.Max.X && r.Max.Y <= o.area.Max.Y
}

// any tells whether a line passes through the rectangle.
func (o *Occupancy) any(r vg.Rectangle) bool {
	width := o.columns + 1
	if o.sum == nil {
		o.sum = make([]int32, width*(o.rows+1))
		for y := range o.rows {
			var row int32
			for x := range o.columns {
				if o.lines[y*o.columns+x] != 0 {
					row++
				}
				o.sum[(y+1)*width+x+1] = o.sum[y*width+x+1] + row
			}
		}
	}
	x0, y0 := o.cell(r.Min)
	x1, y1 := o.cell(r.Max)
	x0, y0 = max(x0, 0), max(y0, 0)
	x1, y1 = min(x1+1, o.columns), min(y1+1, o.rows)
	if x0 >= x1 || y0 >= y1 {
		return false
	}
	return o.sum[y1*width+x1]-o.sum[y0*width+x1]-o.sum[y1*width+x0]+o.sum[y0*width+x0] > 0
}

// between returns the series whose lines pass between two points, a bit for each.
func (o *Occupancy) between(a, b vg.Point) (series uint64) {
	o.walk(a, b, func(cell int) bool {
		series |= o.lines[cell]
		return true
	})
	return series
}

// Vacant returns the lower left corner of a Place for a box free of lines, as
// far to the right and then as low as there is one.
func (o *Occupancy) Vacant(width, height vg.Length) (vg.Point, bool) {
	const inset = 3
	for x := o.area.Max.X - width - inset; x >= o.area.Min.X; x -= 2 {
		for y := o.area.Min.Y + inset; y+height <= o.area.Max.Y; y += 2 {
			at := vg.Point{X: x, Y: y}
			if !o.any(grown(vg.Rectangle{Min: at, Max: at.Add(vg.Point{X: width, Y: height})}, 2*clearance)) {
				return at, true
			}
		}
	}
	return vg.Point{}, false
}
