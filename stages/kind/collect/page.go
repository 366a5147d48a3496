package collect

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/figure/axis"
	"barograph/stages/recording"
)

var (
	//go:embed page.html
	document string
	//go:embed page.css
	style string
	//go:embed ecdf.js
	script string
	// uPlot 1.6.32 from npm, unchanged; its licence is beside it and on the page.
	//go:embed uplot/uPlot.iife.min.js
	plotScript string
	//go:embed uplot/uPlot.min.css
	plotStyle string
	//go:embed uplot/LICENSE
	plotLicence string
)

var layout = template.Must(template.New("page").Parse(document))

// A view is what a report shows of a recording.
type view struct {
	Run    *recording.Run // trials in the order measured
	Curves *Curves        // nil without samples

	block string // the axis on which trials are repeated
}

// page says what a recording adds to a report: the distributions of latency, when
// each trial measured, what the link was calibrated to carry, and doubts.
func page(c cell.Exhibit) (*cell.Page, error) {
	v := view{block: c.Block}
	samples, err := "", error(nil)
	for name, file := range c.Files {
		switch strings.TrimSuffix(path.Base(name), record.Packed) {
		case record.Samples:
			samples = file
		case record.Run:
			if v.Run, err = recording.ReadRun(file); err != nil {
				return nil, err
			}
		}
	}
	if v.Run == nil {
		return &cell.Page{}, nil
	}
	slices.SortStableFunc(v.Run.Trials, func(a, b *recording.Trial) int { return a.Seq - b.Seq })
	if samples != "" {
		if v.Curves, err = readCurves(samples, v.Run, c.Block); err != nil {
			return nil, err
		}
	}
	p := &cell.Page{
		Sections: map[string]string{}, Facts: v.facts(), Doubts: v.Run.Warnings,
		Styles: []string{plotStyle, style}, Scripts: []string{plotScript, script}, Licences: [][2]string{{"The chart is drawn by uPlot; its licence", plotLicence}},
	}
	if v.Run.Simulated {
		p.Notices = [][2]string{{"SIMULATED", fmt.Sprintf("the numbers of machine %s come from a model of a link; none was measured.", v.Run.Machine.Name)}}
	}
	for _, section := range []string{"figures", "timeline"} {
		var b strings.Builder
		if err := layout.ExecuteTemplate(&b, section, v); err != nil {
			return nil, err
		}
		p.Sections[section] = b.String()
	}
	return p, nil
}

// facts are the link's calibrated capacity, and how much was measured.
func (v view) facts() [][2]string {
	all := map[string]float64{}
	for _, c := range v.Run.Calibrations {
		for direction, rate := range c.Result.Capacity {
			all[direction] = max(all[direction], rate)
		}
	}
	var capacity []string
	for direction, rate := range all {
		capacity = append(capacity, fmt.Sprintf("%s %.2f GB/s", direction, rate/1e9))
	}
	slices.Sort(capacity)
	measured := ""
	if v.Run.Rows > 0 {
		measured = fmt.Sprintf("%d calls in %d trials", v.Run.Rows, len(v.Run.Trials))
		if v.Run.Simulated {
			measured += ", SIMULATED"
		}
	}
	return [][2]string{{"Calibrated capacity", strings.Join(capacity, ", ")}, {"Measured", measured}}
}

// condition names what a trial measured, without the axis of repetition.
func (v view) condition(t *recording.Trial) string {
	var axes []string
	for _, c := range t.Point {
		if c.Axis != v.block {
			axes = append(axes, fmt.Sprintf("%s=%v", c.Axis, c.Value))
		}
	}
	if len(axes) == 0 {
		return "all trials"
	}
	return strings.Join(axes, ", ")
}

// Began is when the trial's first call began, after the first of all.
func (v view) Began(t *recording.Trial) string { return seconds(t.Infer.Window[0] - v.start()) }

// Took is how long the trial measured.
func (v view) Took(t *recording.Trial) string {
	return seconds(t.Infer.Window[1] - t.Infer.Window[0])
}

// Load says what the stressor achieved meanwhile.
func (v view) Load(t *recording.Trial) string {
	achieved := 0.0
	if t.Stress != nil {
		achieved = t.Stress.Achieved
	}
	text := fmt.Sprintf("%.2f GB/s", achieved/1e9)
	if t.Utilisation != nil {
		text += fmt.Sprintf(", %.0f%%", 100**t.Utilisation)
	}
	return text
}

// DoubtsOf are a trial's warnings.
func (v view) DoubtsOf(t *recording.Trial) []string {
	doubts := slices.Clone(t.Infer.Warnings)
	if t.Stress != nil {
		doubts = append(doubts, t.Stress.Warnings...)
	}
	return doubts
}

func (v view) start() int64 {
	first := int64(math.MaxInt64)
	for _, t := range v.Run.Trials {
		first = min(first, t.Infer.Window[0])
	}
	return first
}

func seconds(ns int64) string { return strconv.FormatFloat(float64(ns)/1e9, 'f', 1, 64) + " s" }

// Timeline draws when each trial measured, a lane for each condition.
func (v view) Timeline() template.HTML {
	r := v.Run
	if len(r.Trials) == 0 {
		return ""
	}
	const left, width, lane, top = 150.0, 800.0, 24.0, 6.0
	start, end := v.start(), int64(0)
	var lanes []string
	for _, t := range r.Trials {
		end = max(end, t.Infer.Window[1])
		if name := v.condition(t); !slices.Contains(lanes, name) {
			lanes = append(lanes, name)
		}
	}
	slices.SortStableFunc(lanes, natural)
	span := math.Max(float64(end-start), 1)
	x := func(ns int64) float64 { return left + (width-left-10)*float64(ns-start)/span }
	height := top + lane*float64(len(lanes)) + 36
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="timeline" viewBox="0 0 %g %g" role="img" aria-label="When each of %d trials measured; the table below holds the numbers">`, width, height, len(r.Trials))
	bottom := top + lane*float64(len(lanes))
	for _, t := range axis.LinearTicks(0, span/1e9, 7) {
		if !t.IsMinor() {
			at := x(start + int64(t.Value*1e9))
			fmt.Fprintf(&b, `<line class="rule" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text x="%.1f" y="%g" text-anchor="middle">%s s</text>`,
				at, at, top, bottom, at, bottom+16, t.Label)
		}
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">since the first call</text>`, (left+width)/2, bottom+32)
	for i, name := range lanes {
		fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="end">%s</text>`, left-8, top+lane*float64(i)+16, template.HTMLEscapeString(name))
	}
	for _, t := range r.Trials {
		i := slices.Index(lanes, v.condition(t))
		from, to := x(t.Infer.Window[0]), x(t.Infer.Window[1])
		class := ""
		if len(v.DoubtsOf(t)) > 0 {
			class = ` class="doubted"`
		}
		fmt.Fprintf(&b, `<rect%s x="%.1f" y="%g" width="%.1f" height="%g" rx="2" style="--tone:var(--s%d)"><title>%s: no. %d, %s from %s, load %s%s</title></rect>`,
			class, from, top+lane*float64(i)+4, math.Max(to-from, 1.5), lane-8, i%7, template.HTMLEscapeString(t.ID), t.Seq, v.Took(t), v.Began(t), v.Load(t),
			template.HTMLEscapeString(strings.Join(append([]string{""}, v.DoubtsOf(t)...), "; ")))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// natural orders texts with their numbers as numbers: level=2 before level=16.
func natural(a, b string) int {
	wide := func(text string) string {
		return digits.ReplaceAllStringFunc(text, func(n string) string { return strings.Repeat("0", max(0, 20-len(n))) + n })
	}
	return strings.Compare(wide(a), wide(b))
}

var digits = regexp.MustCompile(`[0-9]+`)

// Curves are the distributions of latency of a recording, a curve for each
// condition, thinned to what a picture can show.
type Curves struct {
	Samples int     `json:"samples"`
	Curves  []Curve `json:"curves"`
}

// A Curve is an empirical distribution function. Step i, from the latency
// X[0]+...+X[i] nanoseconds on, holds Count[0]+...+Count[i] of the N samples.
type Curve struct {
	Label string  `json:"label"`
	N     int     `json:"n"`
	X     []int64 `json:"x"`
	Count []int   `json:"k"`
	Thin  bool    `json:"thinned"` // some steps were left out
}

// JSON is what the page's script reads.
func (c *Curves) JSON() (template.JS, error) {
	b, err := json.Marshal(c)
	return template.JS(b), err
}

// readCurves groups the latencies of a file of samples by the axes of the trials.
func readCurves(path string, r *recording.Run, block string) (*Curves, error) {
	var axes []string
	for _, t := range r.Trials {
		for _, c := range t.Point {
			if c.Axis != block && !slices.Contains(axes, c.Axis) {
				axes = append(axes, c.Axis)
			}
		}
	}
	table, err := recording.Open(path, recording.Options{Columns: []string{"latency_ns"}, Also: axes, Texts: axes, Recorded: true})
	if err != nil {
		return nil, err
	}
	axes = slices.DeleteFunc(axes, func(axis string) bool { return !table.Has(axis) })
	all := &Curves{Samples: table.Len(), Curves: []Curve{}}
	err = table.Groups(axes, func(g *recording.Table, at []string) error {
		var label []string
		for i, axis := range axes {
			label = append(label, axis+"="+at[i])
		}
		values, err := g.Ints("latency_ns")
		if len(values) > 0 {
			all.Curves = append(all.Curves, thin(cmp.Or(strings.Join(label, ", "), "all trials"), slices.Sorted(slices.Values(values))))
		}
		return err
	})
	slices.SortFunc(all.Curves, func(a, b Curve) int { return natural(a.Label, b.Label) })
	return all, err
}

// Columns and rows of the finest picture that a curve is thinned for.
const widest, highest = 1500, 1000

// thin keeps of sorted samples the first in each column, on a linear axis as on a
// logarithmic one, and in each row of the picture: no step is off by more than a
// column, nor any value by more than a row.
func thin(label string, sorted []int64) Curve {
	c := Curve{Label: label, N: len(sorted)}
	n := len(sorted)
	low, high := float64(sorted[0]), float64(sorted[n-1])
	column := func(ns int64) [2]int {
		at := [2]int{int(widest * (float64(ns) - low) / math.Max(high-low, 1))}
		if low > 0 {
			at[1] = int(widest * math.Log(float64(ns)/low) / math.Max(math.Log(high/low), 1e-9))
		}
		return at
	}
	var lastX int64
	lastCount := 0
	for i := 0; i < n; {
		j := i // the last sample of the step that begins at i
		at := column(sorted[i])
		for j+1 < n && (sorted[j+1] == sorted[i] || column(sorted[j+1]) == at && (j+1)*highest/n == i*highest/n) {
			j++
		}
		c.Thin = c.Thin || sorted[j] != sorted[i]
		c.X, c.Count = append(c.X, sorted[i]-lastX), append(c.Count, j+1-lastCount)
		lastX, lastCount = sorted[i], j+1
		i = j + 1
	}
	return c
}
