// Package diagram lays out and draws the graph of a study's stages, layer below
// layer.
package diagram

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"barograph/pipeline/cell"
	"barograph/stages/figure/chart"
)

// StageText is what stands in a stage's box: its name, what it is, its matrix, an
// axis a line where all in one would be long, and its cells.
func StageText(th *chart.Theme, s cell.GraphStage) []string {
	lines := []string{chart.Clean(s.Name)}
	var is []string
	if s.Kind != s.Name {
		is = append(is, s.Kind)
	}
	if s.Notebook != "" {
		is = append(is, "notebook "+s.Notebook)
	}
	if len(is) > 0 {
		lines = append(lines, chart.Clean(strings.Join(is, ", ")))
	}
	if matrix := chart.Clean(MatrixText(s)); th.Text(chart.CaptionSize, chart.Grey).Width(matrix) > longMatrix {
		lines = append(lines, strings.SplitAfter(matrix, ", ")...)
	} else if matrix != "" {
		lines = append(lines, matrix)
	}
	if s.Cells > 1 {
		lines = append(lines, fmt.Sprintf("%d cells", s.Cells))
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// MatrixText names the axes of a stage's matrix, and how many values each has.
func MatrixText(s cell.GraphStage) string {
	var axes []string
	for _, a := range s.Matrix {
		axes = append(axes, fmt.Sprintf("%s \u00d7 %d", a.Name, a.Values))
	}
	return strings.Join(axes, ", ")
}

// Distances in points.
const (
	boxPad     = 4.5
	boxGap     = 12 // between neighbours of a layer
	gangGap    = 22 // between the boxes of a frame, room for an arrow
	framePad   = 6
	layerGap   = 24 // between layers, and more where edges lead far aside
	longMatrix = 56
	lane       = 7 // width that an edge passing a layer keeps free
	arrowHead  = 4.5
	boxLeading = 1.3
	spread     = 0.6 // of a box's width, over which edges enter and leave
)

var (
	shaded    = color.NRGBA{R: 0xFB, G: 0xE8, B: 0xDC, A: 255}
	frameTint = color.NRGBA{R: 0xF4, G: 0xF7, B: 0xFA, A: 255}
)

// A box is a stage in the drawing; x and y are its upper left corner, y down.
type box struct {
	stage      cell.GraphStage
	text       []string
	unit       *unit
	x, y, w, h vg.Length
}

// offset is how far right of its unit's middle a box has its own, once sized.
func (b *box) offset() vg.Length { return b.x + b.w/2 - b.unit.w/2 }

// A unit is what a layer is made of: a stage, the stages of one trial side by
// side, or, without boxes, the place where an edge passes by.
type unit struct {
	boxes      []*box
	title      []string  // of a frame
	titleAt    vg.Length // its middle
	layer      int
	x, w, h, y vg.Length // x is the middle, y the top
	up, down   []link
}

// A link is a piece of an edge between two layers: to which unit, and by how much
// that should stand to the right if the piece is to be upright.
type link struct {
	*unit
	aside vg.Length
}

// A wire is an edge on its way: through which units, ends included.
type wire struct {
	edge     cell.GraphEdge
	from, to *box
	way      []*unit
	leave    vg.Length // where it leaves and enters, as x
	enter    vg.Length
}

// A Diagram is a graph that has been laid out.
type Diagram struct {
	theme         *chart.Theme
	graph         *cell.Graph
	frame         string
	boxes         map[string]*box
	units         []*unit // in the study's order
	layers        [][]*unit
	wires         []*wire   // that lead down
	gangs         []*wire   // within a frame
	Width, Height vg.Length // in points
}

// New lays out a graph in a theme; text gives the lines of a stage's box, and frame is
// what stands above the boxes of a trial.
func New(th *chart.Theme, g *cell.Graph, frame string, text func(*chart.Theme, cell.GraphStage) []string) *Diagram {
	d := &Diagram{theme: th, graph: g, frame: frame, boxes: map[string]*box{}}
	for _, s := range g.Stages {
		b := &box{stage: s, text: text(th, s)}
		for i, line := range b.text {
			b.w = max(b.w, th.Text(boxSize(i), chart.Black).Width(line))
			b.h += boxSize(i) * boxLeading
		}
		b.w, b.h = max(b.w+2*boxPad, 44), b.h+2*boxPad-2
		d.boxes[s.Name] = b
	}
	d.layOut()
	return d
}

// boxSize is the size of a line of a box's text.
func boxSize(line int) vg.Length {
	if line == 0 {
		return chart.TitleSize
	}
	return chart.CaptionSize
}

func (d *Diagram) layOut() {
	gang := d.gang(true)
	if !d.assign(gang) { // trials that wait for one another across a third stage
		d.assign(d.gang(false))
	}
	d.route()
	d.untangle()
	d.place()
}

// gang returns for each stage which it shares a frame with, named by the first
// of them: those that an edge during connects, unless one of them waits for
// another. If not merged, each stands by itself.
func (d *Diagram) gang(merged bool) map[string]string {
	of := map[string]string{}
	for _, s := range d.graph.Stages {
		of[s.Name] = s.Name
	}
	join := func(a, b string) {
		for name, first := range of {
			if first == b {
				of[name] = a
			}
		}
	}
	if !merged {
		return of
	}
	for _, e := range d.graph.Edges {
		if e.During && d.boxes[e.From] != nil && d.boxes[e.To] != nil {
			join(of[e.From], of[e.To])
		}
	}
	apart := map[string]bool{}
	for _, e := range d.graph.Edges {
		if !e.During && of[e.From] == of[e.To] {
			apart[of[e.From]] = true
		}
	}
	for name, first := range of {
		if apart[first] {
			of[name] = name
		}
	}
	return of
}

// assign makes the units and gives each its layer, and tells whether edges lead
// from layer to lower layer throughout.
func (d *Diagram) assign(gang map[string]string) bool {
	d.units = nil
	byFirst := map[string]*unit{}
	for _, s := range d.graph.Stages {
		u := byFirst[gang[s.Name]]
		if u == nil {
			u = &unit{}
			byFirst[gang[s.Name]] = u
			d.units = append(d.units, u)
		}
		b := d.boxes[s.Name]
		b.unit = u
		u.boxes = append(u.boxes, b)
	}
	for _, u := range d.units {
		slices.SortStableFunc(u.boxes, func(a, b *box) int {
			if a.stage.Background == b.stage.Background {
				return 0
			}
			if a.stage.Background { // loads stand left of what they run during
				return -1
			}
			return 1
		})
	}
	// Each pass moves a unit below all that it needs; a graph without cycles has
	// settled after as many as it has units.
	for range len(d.units) + 1 {
		moved := false
		for _, e := range d.graph.Edges {
			from, to := d.boxes[e.From], d.boxes[e.To]
			if from != nil && to != nil && from.unit != to.unit && to.unit.layer <= from.unit.layer {
				to.unit.layer, moved = from.unit.layer+1, true
			}
		}
		if !moved {
			return true
		}
	}
	return false
}

// route fills the layers, and leads each edge through those between its ends.
func (d *Diagram) route() {
	d.layers, d.wires, d.gangs = nil, nil, nil
	add := func(u *unit) {
		for len(d.layers) <= u.layer {
			d.layers = append(d.layers, nil)
		}
		d.layers[u.layer] = append(d.layers[u.layer], u)
	}
	for _, u := range d.units {
		d.size(u)
		add(u)
	}
	for _, e := range d.graph.Edges {
		w := &wire{edge: e, from: d.boxes[e.From], to: d.boxes[e.To]}
		switch {
		case w.from == nil || w.to == nil:
			continue
		case w.from.unit == w.to.unit:
			d.gangs = append(d.gangs, w)
			continue
		}
		at := w.from.unit
		w.way = []*unit{at}
		for at != w.to.unit {
			next := w.to.unit
			if at.layer+1 < next.layer {
				next = &unit{layer: at.layer + 1, w: lane}
				add(next)
			}
			aside := vg.Length(0)
			if at == w.from.unit {
				aside += w.from.offset()
			}
			if next == w.to.unit {
				aside -= w.to.offset()
			}
			at.down, next.up = append(at.down, link{next, aside}), append(next.up, link{at, -aside})
			w.way = append(w.way, next)
			at = next
		}
		d.wires = append(d.wires, w)
	}
}

// size gives a unit its width and height, and its boxes their places in it.
func (d *Diagram) size(u *unit) {
	u.w, u.h = 0, 0
	for i, b := range u.boxes {
		if i > 0 {
			u.w += gangGap
		}
		b.x = u.w
		u.w += b.w
		u.h = max(u.h, b.h)
	}
	for _, b := range u.boxes {
		b.y = (u.h - b.h) / 2
	}
	if u.title = nil; len(u.boxes) < 2 {
		return
	}
	u.w += 2 * framePad
	for _, b := range u.boxes {
		b.x += framePad
	}
	from, to := d.free(u)
	u.titleAt = (from + to) / 2
	u.title = chart.Fit(d.theme.Text(chart.CaptionSize, chart.Grey), d.frame, to-from)
	above := framePad + vg.Length(len(u.title))*chart.CaptionSize*boxLeading
	for _, b := range u.boxes {
		b.y += above
	}
	u.h += above + framePad
}

// free returns the widest stretch above the boxes of a frame that no edge enters.
func (d *Diagram) free(u *unit) (from, to vg.Length) {
	last := vg.Length(framePad)
	gap := func(end, next vg.Length) {
		if end-last > to-from {
			from, to = last, end
		}
		last = next
	}
	for _, b := range u.boxes {
		n := 0
		for _, e := range d.graph.Edges {
			if other := d.boxes[e.From]; e.To == b.stage.Name && other != nil && other.unit != u {
				n++
			}
		}
		if n > 0 {
			reach := spread*b.w*vg.Length(n-1)/vg.Length(2*n) + arrowHead
			gap(b.x+b.w/2-reach, b.x+b.w/2+reach)
		}
	}
	gap(u.w-framePad, 0)
	return from, to
}

// untangle orders each layer by where its neighbours stand on average, a few
// times down and up, and keeps the order with the fewest crossings.
func (d *Diagram) untangle() {
	rank := map[*unit]float64{}
	number := func() {
		for _, layer := range d.layers {
			for i, u := range layer {
				rank[u] = float64(i) - float64(len(layer)-1)/2
			}
		}
	}
	number()
	best, fewest := d.order(), d.crossings(rank)
	for sweep := range 12 {
		for i := range d.layers {
			layer, neighbours := d.layers[i], func(u *unit) []link { return u.up }
			if sweep%2 == 1 {
				layer, neighbours = d.layers[len(d.layers)-1-i], func(u *unit) []link { return u.down }
			}
			mean := map[*unit]float64{}
			for _, u := range layer {
				mean[u] = rank[u]
				for _, n := range neighbours(u) {
					mean[u] += (rank[n.unit] - rank[u]) / float64(len(neighbours(u)))
				}
			}
			slices.SortStableFunc(layer, func(a, b *unit) int { return cmp.Compare(mean[a], mean[b]) })
			number()
		}
		if n := d.crossings(rank); n < fewest {
			best, fewest = d.order(), n
		}
	}
	d.layers = best
}

func (d *Diagram) order() [][]*unit {
	copied := make([][]*unit, len(d.layers))
	for i, layer := range d.layers {
		copied[i] = slices.Clone(layer)
	}
	return copied
}

// crossings counts the pairs of pieces of edges that cross between two layers.
func (d *Diagram) crossings(rank map[*unit]float64) (n int) {
	for _, layer := range d.layers {
		type piece struct{ above, below float64 }
		var pieces []piece
		for _, u := range layer {
			for _, b := range u.down {
				pieces = append(pieces, piece{rank[u], rank[b.unit]})
			}
		}
		for i, a := range pieces {
			for _, b := range pieces[:i] {
				if (a.above-b.above)*(a.below-b.below) < 0 {
					n++
				}
			}
		}
	}
	return n
}

// place gives every unit its place, and wires their ends.
func (d *Diagram) place() {
	for _, layer := range d.layers {
		x := vg.Length(0)
		for _, u := range layer {
			u.x = x + u.w/2
			x += u.w + boxGap
		}
		for _, u := range layer {
			u.x -= x / 2
		}
	}
	for sweep := range 60 {
		for i := range d.layers {
			layer := d.layers[i]
			if sweep%2 == 1 {
				layer = d.layers[len(d.layers)-1-i]
			}
			d.align(layer)
		}
	}
	left, right := vg.Length(math.Inf(1)), vg.Length(math.Inf(-1))
	y := vg.Length(0)
	for i, layer := range d.layers {
		tall, far := vg.Length(0), vg.Length(0)
		for _, u := range layer {
			left, right = min(left, u.x-u.w/2), max(right, u.x+u.w/2)
			tall = max(tall, u.h)
			for _, l := range u.down {
				far = max(far, l.x-l.aside-u.x, u.x-l.x+l.aside)
			}
		}
		for _, u := range layer {
			u.y = y + (tall-u.h)/2
			if len(u.boxes) == 0 { // an edge passes the whole layer upright
				u.y, u.h = y, tall
			}
		}
		if y += tall; i < len(d.layers)-1 {
			y += min(max(layerGap, far/5), 2*layerGap)
		}
	}
	d.Width, d.Height = right-left, y
	for _, layer := range d.layers {
		for _, u := range layer {
			u.x -= left
			for _, b := range u.boxes {
				b.x += u.x - u.w/2
				b.y += u.y
			}
		}
	}
	d.ends()
}

// align moves the units of a layer, whose order stays, as close to upright pieces
// of edges as their widths let them: the least sum of weighted squares under
// x[i+1]-x[i] >= distance, which is isotonic regression of x less the distances
// before it (Barlow and others, "Statistical Inference under Order Restrictions",
// 1972, the pool-adjacent-violators algorithm). A piece weighs the same from
// either end, so that layer after layer lowers one sum, and settles.
func (d *Diagram) align(layer []*unit) {
	type pool struct {
		sum, weight float64
		n           int
	}
	var pools []pool
	before := make([]float64, len(layer))
	for i, u := range layer {
		if i > 0 {
			gap := vg.Length(boxGap)
			if len(u.boxes) == 0 && len(layer[i-1].boxes) == 0 {
				gap = 0
			}
			before[i] = before[i-1] + float64((layer[i-1].w+u.w)/2+gap)
		}
		want, weight := 0.0, 0.01 // a stage without edges stands in the middle
		for _, l := range slices.Concat(u.up, u.down) {
			pull := 1.0
			switch {
			case len(l.boxes) == 0 && len(u.boxes) == 0:
				pull = 2 // an edge passing layers is upright,
			case len(l.boxes) == 0 || len(u.boxes) == 0:
				pull = 0.1 // and follows the boxes, not they it
			}
			weight += pull
			want += (float64(l.x-l.aside) - want) * pull / weight
		}
		pools = append(pools, pool{weight * (want - before[i]), weight, 1})
		for k := len(pools) - 1; k > 0 && pools[k-1].sum/pools[k-1].weight > pools[k].sum/pools[k].weight; k-- {
			pools[k-1] = pool{pools[k-1].sum + pools[k].sum, pools[k-1].weight + pools[k].weight, pools[k-1].n + pools[k].n}
			pools = pools[:k]
		}
	}
	i := 0
	for _, p := range pools {
		for range p.n {
			layer[i].x = vg.Length(p.sum/p.weight + before[i])
			i++
		}
	}
}

// ends spreads the wires of a box over the middle of its edge, in the order of
// where they come from or go to.
func (d *Diagram) ends() {
	type end struct {
		at    *vg.Length
		other vg.Length
	}
	below, above := map[*box][]end{}, map[*box][]end{}
	for _, w := range d.wires {
		next, before := w.way[1].x, w.way[len(w.way)-2].x
		if len(w.way) == 2 {
			next, before = w.to.x+w.to.w/2, w.from.x+w.from.w/2
		}
		below[w.from] = append(below[w.from], end{&w.leave, next})
		above[w.to] = append(above[w.to], end{&w.enter, before})
	}
	for _, side := range []map[*box][]end{below, above} {
		for b, ends := range side {
			slices.SortStableFunc(ends, func(a, b end) int { return cmp.Compare(a.other, b.other) })
			for i, e := range ends {
				*e.at = b.x + b.w/2 + spread*b.w*(vg.Length(i)+0.5-vg.Length(len(ends))/2)/vg.Length(len(ends))
			}
		}
	}
}

// Draw draws the diagram in the middle of an area, frames below arrows below
// boxes.
func (d *Diagram) Draw(area draw.Canvas) {
	origin := vg.Point{X: area.Center().X - d.Width/2, Y: area.Max.Y - (area.Size().Y-d.Height)/2}
	at := func(x, y vg.Length) vg.Point { return vg.Point{X: origin.X + x, Y: origin.Y - y} }
	small := d.theme.Text(chart.CaptionSize, chart.Grey)
	small.XAlign, small.YAlign = text.XCenter, text.YTop
	for _, u := range d.units {
		if u.title == nil {
			continue
		}
		corners := rectangle(at(u.x-u.w/2, u.y), at(u.x+u.w/2, u.y+u.h))
		area.FillPolygon(frameTint, corners)
		area.StrokeLines(draw.LineStyle{Color: chart.Grey, Width: 0.5, Dashes: []vg.Length{1, 1.5}}, closed(corners))
		for i, line := range u.title {
			area.FillText(small, at(u.x-u.w/2+u.titleAt, u.y+framePad-2+vg.Length(i)*chart.CaptionSize*boxLeading), line)
		}
	}
	for _, w := range d.wires {
		d.drawWire(area, w, at)
	}
	for _, w := range d.gangs {
		d.drawGang(area, w, at)
	}
	for _, s := range d.graph.Stages {
		d.drawBox(area, d.boxes[s.Name], at)
	}
}

func rectangle(a, b vg.Point) []vg.Point {
	return []vg.Point{a, {X: b.X, Y: a.Y}, b, {X: a.X, Y: b.Y}}
}

func closed(points []vg.Point) []vg.Point { return append(slices.Clone(points), points[0]) }

func (d *Diagram) drawBox(area draw.Canvas, b *box, at func(x, y vg.Length) vg.Point) {
	corners := rectangle(at(b.x, b.y), at(b.x+b.w, b.y+b.h))
	fill, line := chart.White, draw.LineStyle{Color: chart.Black, Width: 0.7}
	if b.stage.Measured {
		fill, line.Color = shaded, chart.Ink(chart.Palette[2])
	}
	if b.stage.Background {
		line.Dashes = []vg.Length{3, 1.5}
	}
	area.FillPolygon(fill, corners)
	area.StrokeLines(line, closed(corners))
	y := b.y + boxPad - 1
	for i, words := range b.text {
		style := d.theme.Text(boxSize(i), chart.Black)
		if i > 0 {
			style.Color = chart.Grey
		}
		style.XAlign, style.YAlign = text.XCenter, text.YTop
		area.FillText(style, at(b.x+b.w/2, y), words)
		y += boxSize(i) * boxLeading
	}
}

var (
	wireStyle = draw.LineStyle{Color: chart.Grey, Width: 0.7}
	gangStyle = draw.LineStyle{Color: chart.Palette[1], Width: 1, Dashes: []vg.Length{2.5, 1.5}}
)

func styleOf(e cell.GraphEdge) draw.LineStyle {
	if e.During {
		return gangStyle
	}
	return wireStyle
}

// drawWire draws an edge: upright past the layers between, bent between layers.
func (d *Diagram) drawWire(area draw.Canvas, w *wire, at func(x, y vg.Length) vg.Point) {
	var p vg.Path
	x, y := w.leave, w.from.y+w.from.h
	p.Move(at(x, y))
	bend := func(toX, toY vg.Length) {
		middle := (toY - y) / 2
		p.CubeTo(at(x, y+middle), at(toX, toY-middle), at(toX, toY))
		x, y = toX, toY
	}
	// Out of a frame, or past taller neighbours, first down to the layer's end.
	straight := func(to vg.Length) {
		if to > y {
			p.Line(at(x, to))
			y = to
		}
	}
	straight(w.from.unit.y + w.from.unit.h)
	for _, u := range w.way[1 : len(w.way)-1] {
		bend(u.x, u.y)
		straight(u.y + u.h)
	}
	if top := w.to.unit.y; top < w.to.y-arrowHead { // into a frame
		bend(w.enter, top)
		straight(w.to.y - arrowHead)
	} else {
		bend(w.enter, w.to.y-arrowHead)
	}
	style := styleOf(w.edge)
	area.SetLineStyle(style)
	area.Stroke(p)
	head(area, style.Color, at(w.enter, w.to.y), vg.Point{Y: -1})
}

// drawGang draws an edge within a frame: level between neighbours, else round
// below what stands between.
func (d *Diagram) drawGang(area draw.Canvas, w *wire, at func(x, y vg.Length) vg.Point) {
	style := styleOf(w.edge)
	area.SetLineStyle(style)
	from, to := slices.Index(w.from.unit.boxes, w.from), slices.Index(w.to.unit.boxes, w.to)
	var p vg.Path
	if to == from+1 {
		y := w.from.y + w.from.h/2
		end := at(w.to.x, y)
		p.Move(at(w.from.x+w.from.w, y))
		p.Line(vg.Point{X: end.X - arrowHead, Y: end.Y})
		area.Stroke(p)
		head(area, style.Color, end, vg.Point{X: 1})
		return
	}
	x1, x2 := w.from.x+w.from.w/2, w.to.x+w.to.w/2
	y1, y2 := w.from.y+w.from.h, w.to.y+w.to.h
	low := max(y1, y2) + 2*framePad
	p.Move(at(x1, y1))
	p.CubeTo(at(x1, low), at(x2, low), at(x2, y2+arrowHead))
	area.Stroke(p)
	head(area, style.Color, at(x2, y2), vg.Point{Y: 1})
}

// head draws an arrow's head with its tip at a point, the way it points as a
// unit step.
func head(area draw.Canvas, tint color.Color, tip, way vg.Point) {
	const wide = arrowHead / 2.4
	base := tip.Sub(vg.Point{X: way.X * arrowHead, Y: way.Y * arrowHead})
	across := vg.Point{X: way.Y * wide, Y: way.X * wide}
	area.FillPolygon(tint, []vg.Point{tip, base.Add(across), base.Sub(across)})
}

// Describe says for who cannot see the figure what leads where.
func (d *Diagram) Describe() string {
	var b strings.Builder
	for i, s := range d.graph.Stages {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s (%s, %d cells)", s.Name, s.Kind, s.Cells)
		for _, e := range d.graph.Edges {
			switch {
			case e.To != s.Name:
			case e.During:
				fmt.Fprintf(&b, ", during %s", e.From)
			default:
				fmt.Fprintf(&b, ", needs %s", e.From)
			}
		}
	}
	return b.String() + "."
}
