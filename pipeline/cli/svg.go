package cli

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"barograph/pipeline/plan"
	"barograph/pipeline/study"
)

// Sizes of the drawing, in pixels.
const (
	letter  = 7.3 // width of a character, generously
	line    = 17  // height of a line of text
	pad     = 12
	between = 56 // layers
	above   = 22 // stages of a layer
)

// A box is a stage in the drawing.
type box struct {
	stage      *study.Stage
	text       []string
	layer      int
	x, y, w, h float64
}

// svg draws the stages in layers from left to right: each stands in the first
// layer after all that it needs, a background stage in its trials' own, and the
// stages of a layer in the order that crosses the fewest edges a few sweeps find.
func svg(w io.Writer, p *plan.Plan) error {
	list, label := edges(p)
	boxes := map[string]*box{}
	var layers [][]*box
	for _, b := range layered(p.Study.Stages) {
		b.text = label(b.stage)
		for _, t := range b.text {
			b.w = max(b.w, letter*float64(utf8.RuneCountInString(t)))
		}
		b.w += 2 * pad
		b.h = float64(line*len(b.text) + pad)
		boxes[b.stage.Name] = b
		for len(layers) <= b.layer {
			layers = append(layers, nil)
		}
		layers[b.layer] = append(layers[b.layer], b)
	}
	untangle(layers, list, boxes)
	width, height := place(layers)

	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="Helvetica, Arial, sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(&s, "<title>Stages of the study %s</title>\n<desc>%d stages, %d cells; arrows lead from a stage to those that need it, dashed ones to those it runs during.</desc>\n",
		html.EscapeString(p.Study.Name), len(p.Study.Stages), len(p.Cells))
	s.WriteString(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#444"/></marker></defs>` + "\n")
	for _, e := range list {
		from, to := boxes[e.from], boxes[e.to]
		style := ""
		if e.during {
			style = ` stroke-dasharray="5 4"`
		}
		x1, y1, x2, y2 := from.x+from.w, from.y+from.h/2, to.x, to.y+to.h/2
		bend := max(between/2, (x2-x1)/2)
		path := fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
		if from.layer == to.layer { // a background stage and its foreground, one above the other
			x, y1, y2 := from.x+min(from.w, to.w)/2, from.y+from.h, to.y
			if from.y > to.y {
				y1, y2 = from.y, to.y+to.h
			}
			path = fmt.Sprintf("M%.1f %.1fL%.1f %.1f", x, y1, x, y2)
		}
		fmt.Fprintf(&s, `<path d="%s" fill="none" stroke="#444" marker-end="url(#arrow)"%s/>`+"\n", path, style)
	}
	for _, layer := range layers {
		for _, b := range layer {
			style := ""
			if b.stage.Background {
				style = ` stroke-dasharray="5 4"`
			}
			fmt.Fprintf(&s, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="4" fill="#fff" stroke="#444"%s/>`+"\n", b.x, b.y, b.w, b.h, style)
			for i, t := range b.text {
				weight := ""
				if i == 0 {
					weight = ` font-weight="bold"`
				}
				fmt.Fprintf(&s, `<text x="%.1f" y="%.1f" text-anchor="middle"%s>%s</text>`+"\n", b.x+b.w/2, b.y+float64(line*(i+1)), weight, html.EscapeString(t))
			}
		}
	}
	s.WriteString("</svg>\n")
	_, err := io.WriteString(w, s.String())
	return err
}

// layered gives each stage its layer, in the file's order.
func layered(stages []*study.Stage) []*box {
	var all []*box
	by := map[string]*box{}
	for _, st := range stages {
		b := &box{stage: st, layer: -1}
		all, by[st.Name] = append(all, b), b
	}
	var layer func(b *box) int
	layer = func(b *box) int {
		if b.layer < 0 {
			b.layer = 0
			for _, n := range b.stage.Needs {
				b.layer = max(b.layer, layer(by[n])+1)
			}
			for _, n := range b.stage.During {
				b.layer = max(b.layer, layer(by[n]))
			}
		}
		return b.layer
	}
	for _, b := range all {
		layer(b)
	}
	// What a foreground stage waits for, its background has to wait for too.
	for _, b := range all {
		for _, n := range b.stage.During {
			by[n].layer = max(by[n].layer, b.layer)
		}
	}
	return all
}

// untangle orders each layer by where its neighbours stand on average.
func untangle(layers [][]*box, list []edge, boxes map[string]*box) {
	neighbours := map[*box][]*box{}
	for _, e := range list {
		from, to := boxes[e.from], boxes[e.to]
		neighbours[from], neighbours[to] = append(neighbours[from], to), append(neighbours[to], from)
	}
	rank := map[*box]float64{}
	number := func() {
		for _, layer := range layers {
			for i, b := range layer {
				rank[b] = float64(i) - float64(len(layer)-1)/2
			}
		}
	}
	number()
	for range 4 {
		for _, layer := range layers {
			mean := map[*box]float64{}
			for _, b := range layer {
				mean[b] = rank[b]
				for _, n := range neighbours[b] {
					mean[b] += (rank[n] - rank[b]) / float64(len(neighbours[b]))
				}
			}
			slices.SortStableFunc(layer, func(a, b *box) int {
				switch {
				case mean[a] < mean[b]:
					return -1
				case mean[a] > mean[b]:
					return 1
				}
				return 0
			})
		}
		number()
	}
}

// place gives every box its corner, layers centred, and returns the drawing's
// size.
func place(layers [][]*box) (width, height float64) {
	tall := func(layer []*box) float64 {
		h := -float64(above)
		for _, b := range layer {
			h += b.h + above
		}
		return h
	}
	for _, layer := range layers {
		height = max(height, tall(layer))
	}
	x := float64(pad)
	for _, layer := range layers {
		wide, y := 0.0, pad+(height-tall(layer))/2
		for _, b := range layer {
			wide = max(wide, b.w)
		}
		for _, b := range layer {
			b.x, b.y = x+(wide-b.w)/2, y
			y += b.h + above
		}
		x += wide + between
	}
	return x - between + pad, height + 2*pad
}
