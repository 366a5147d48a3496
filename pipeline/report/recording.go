package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
)

// A Recording is what a run.json says, as far as a report shows it.
type Recording struct {
	record.Head
	Rows        int  `json:"rows"`
	Simulated   bool `json:"simulated"`
	Utilisation struct {
		Denominator string `json:"denominator"`
	} `json:"utilisation"`
	Calibrations []struct {
		Result struct {
			Capacity map[string]float64 `json:"capacity_bytes_per_s"`
		} `json:"result"`
	} `json:"calibrations"`
	Trials   []Trial  `json:"trials"`
	Warnings []string `json:"warnings"`
}

// A Trial is one measurement. Times are nanoseconds on one monotonic clock.
type Trial struct {
	ID    string     `json:"id"`
	Seq   int        `json:"seq"`
	Point cell.Point `json:"point"`
	Infer struct {
		Window   [2]int64 `json:"window_ns"`
		Warnings []string `json:"warnings"`
	} `json:"infer"`
	Stress struct {
		Achieved float64  `json:"achieved_bytes_per_s"`
		Warnings []string `json:"warnings"`
	} `json:"stress"`
	Utilisation *float64 `json:"utilisation"`
}

func readRecording(path string) (*Recording, error) {
	r := &Recording{}
	if err := readJSON(path, r); err != nil {
		return nil, err
	}
	sort.SliceStable(r.Trials, func(i, j int) bool { return r.Trials[i].Seq < r.Trials[j].Seq })
	return r, nil
}

func (r *Recording) capacity() map[string]float64 {
	all := map[string]float64{}
	for _, c := range r.Calibrations {
		for direction, rate := range c.Result.Capacity {
			all[direction] = max(all[direction], rate)
		}
	}
	return all
}

// condition names what a trial measured, without the axis of repetition.
func (t Trial) condition(block string) string {
	var axes []string
	for _, c := range t.Point {
		if c.Axis != block {
			axes = append(axes, fmt.Sprintf("%s=%v", c.Axis, c.Value))
		}
	}
	if len(axes) == 0 {
		return "all trials"
	}
	return strings.Join(axes, ", ")
}

// Started is when the trial's first call began, after the first of all.
func (r *Recording) Started(t Trial) string { return seconds(t.Infer.Window[0] - r.start()) }

// Length is how long the trial measured.
func (t Trial) Length() string { return seconds(t.Infer.Window[1] - t.Infer.Window[0]) }

// Load says what the stressor achieved meanwhile.
func (t Trial) Load() string {
	text := fmt.Sprintf("%.2f GB/s", t.Stress.Achieved/1e9)
	if t.Utilisation != nil {
		text += fmt.Sprintf(", %.0f%%", 100**t.Utilisation)
	}
	return text
}

// Doubts are the trial's warnings.
func (t Trial) Doubts() []string { return slices.Concat(t.Infer.Warnings, t.Stress.Warnings) }

func (r *Recording) start() int64 {
	first := int64(math.MaxInt64)
	for _, t := range r.Trials {
		first = min(first, t.Infer.Window[0])
	}
	return first
}

func seconds(ns int64) string { return strconv.FormatFloat(float64(ns)/1e9, 'f', 1, 64) + " s" }

// timeline draws when each trial measured, a lane for each condition.
func timeline(r *Recording, block string) template.HTML {
	if len(r.Trials) == 0 {
		return ""
	}
	const left, width, lane, top = 150.0, 800.0, 24.0, 6.0
	start, end := r.start(), int64(0)
	var lanes []string
	for _, t := range r.Trials {
		end = max(end, t.Infer.Window[1])
		if name := t.condition(block); !slices.Contains(lanes, name) {
			lanes = append(lanes, name)
		}
	}
	sort.SliceStable(lanes, func(i, j int) bool { return natural(lanes[i], lanes[j]) })
	span := math.Max(float64(end-start), 1)
	x := func(ns int64) float64 { return left + (width-left-10)*float64(ns-start)/span }
	height := top + lane*float64(len(lanes)) + 36
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="timeline" viewBox="0 0 %g %g" role="img" aria-label="When each of %d trials measured; the table below holds the numbers">`, width, height, len(r.Trials))
	bottom := top + lane*float64(len(lanes))
	step := niceStep(span / 1e9 / 6)
	for s := 0.0; s <= span/1e9; s += step {
		at := x(start + int64(s*1e9))
		fmt.Fprintf(&b, `<line class="rule" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text x="%.1f" y="%g" text-anchor="middle">%s s</text>`,
			at, at, top, bottom, at, bottom+16, strconv.FormatFloat(s, 'g', 6, 64))
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">since the first call</text>`, (left+width)/2, bottom+32)
	for i, name := range lanes {
		fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="end">%s</text>`, left-8, top+lane*float64(i)+16, template.HTMLEscapeString(name))
	}
	for _, t := range r.Trials {
		i := slices.Index(lanes, t.condition(block))
		from, to := x(t.Infer.Window[0]), x(t.Infer.Window[1])
		class := ""
		if len(t.Doubts()) > 0 {
			class = ` class="doubted"`
		}
		fmt.Fprintf(&b, `<rect%s x="%.1f" y="%g" width="%.1f" height="%g" rx="2" style="--tone:var(--s%d)"><title>%s: no. %d, %s from %s, load %s%s</title></rect>`,
			class, from, top+lane*float64(i)+4, math.Max(to-from, 1.5), lane-8, i%7, template.HTMLEscapeString(t.ID), t.Seq, t.Length(), r.Started(t), t.Load(),
			template.HTMLEscapeString(strings.Join(append([]string{""}, t.Doubts()...), "; ")))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// natural orders texts with their numbers as numbers: level=2 before level=16.
func natural(a, b string) bool {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if len(m) != len(n) {
				return len(m) < len(n)
			}
			if m != n {
				return m < n
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return a[0] < b[0]
		}
		a, b = a[1:], b[1:]
	}
	return len(a) < len(b)
}

func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}

// niceStep is the smallest of 1, 2 or 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

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

// readCurves groups the latencies of a samples.csv by the axes of the trials.
func readCurves(path string, r *Recording, block string) (*Curves, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	head = slices.Clone(head)
	latency := slices.Index(head, "latency_ns")
	if latency < 0 {
		return nil, fmt.Errorf("read %s: it has no column latency_ns", path)
	}
	var axes []int
	for _, t := range r.Trials {
		for _, c := range t.Point {
			if i := slices.Index(head, c.Axis); i >= 0 && c.Axis != block && !slices.Contains(axes, i) {
				axes = append(axes, i)
			}
		}
	}
	groups := map[string][]int64{}
	var key []byte
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		ns, err := strconv.ParseInt(row[latency], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read %s: latency_ns: %w", path, err)
		}
		key = key[:0]
		for _, i := range axes {
			key = append(append(append(append(key, ", "...), head[i]...), '='), row[i]...)
		}
		label := bytes.TrimPrefix(key, []byte(", "))
		groups[string(label)] = append(groups[string(label)], ns)
	}
	all := &Curves{Curves: []Curve{}}
	for label, values := range groups {
		all.Samples += len(values)
		slices.Sort(values)
		if label == "" {
			label = "all trials"
		}
		all.Curves = append(all.Curves, thin(label, values))
	}
	sort.Slice(all.Curves, func(i, j int) bool { return natural(all.Curves[i].Label, all.Curves[j].Label) })
	return all, nil
}

// Columns and rows of the finest picture that a curve is thinned for.
const columns, rows = 1500, 1000

// thin keeps of sorted samples the first in each column, on a linear axis as on a
// logarithmic one, and in each row of the picture: no step is off by more than a
// column, nor any value by more than a row.
func thin(label string, sorted []int64) Curve {
	c := Curve{Label: label, N: len(sorted)}
	n := len(sorted)
	low, high := float64(sorted[0]), float64(sorted[n-1])
	column := func(ns int64) [2]int {
		at := [2]int{int(columns * (float64(ns) - low) / math.Max(high-low, 1))}
		if low > 0 {
			at[1] = int(columns * math.Log(float64(ns)/low) / math.Max(math.Log(high/low), 1e-9))
		}
		return at
	}
	var lastX int64
	lastCount := 0
	for i := 0; i < n; {
		j := i // the last sample of the step that begins at i
		at := column(sorted[i])
		for j+1 < n && (sorted[j+1] == sorted[i] || column(sorted[j+1]) == at && (j+1)*rows/n == i*rows/n) {
			j++
		}
		c.Thin = c.Thin || sorted[j] != sorted[i]
		c.X, c.Count = append(c.X, sorted[i]-lastX), append(c.Count, j+1-lastCount)
		lastX, lastCount = sorted[i], j+1
		i = j + 1
	}
	return c
}
