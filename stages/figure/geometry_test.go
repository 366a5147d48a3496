package figure

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"barograph/pipeline/cell"
	"barograph/stages/figure/axis"
	"barograph/stages/figure/chart"
	"barograph/stages/stats"
)

func mustECDF(t *testing.T, spec ECDFSpec) *Figure {
	t.Helper()
	f, err := ECDF(spec)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every line is a step function from 0 to 1, or to what the axis leaves of it:
// level and upright pieces only, never falling, inside the plot.
func TestLinesAreSteps(t *testing.T) {
	for name, spec := range specs() {
		f := mustECDF(t, spec)
		area := f.chart.Area()
		for i, trace := range f.chart.Traces {
			line := slices.Clone(trace.Line)
			for _, end := range trace.Ends {
				if end[0].X == area.Min.X {
					line = append(slices.Clone(end), line...)
				} else {
					line = append(line, end...)
				}
			}
			for k := 1; k < len(line); k++ {
				a, b := line[k-1], line[k]
				if a.X != b.X && a.Y != b.Y || b.X < a.X || b.Y < a.Y {
					t.Fatalf("%s, line %d: from %v to %v is no step", name, i, a, b)
				}
			}
			d, err := stats.NewECDF(spec.Series[i].Latencies)
			if err != nil {
				t.Fatal(err)
			}
			unit := units[cmp.Or(spec.Unit, "ms")]
			p := f.chart.Plot
			value := func(at float64) float64 {
				if name == "log" || name == "negative" {
					at = math.Pow(10, at)
				}
				return at * unit
			}
			for _, end := range []struct {
				at   vg.Point
				want vg.Length
				edge vg.Length
			}{
				{line[0], area.Y(d.At(int64(math.Ceil(value(p.X.Min))) - 1)), area.Min.X},
				{line[len(line)-1], area.Y(d.At(int64(value(p.X.Max)))), area.Max.X},
			} {
				if end.at.X != end.edge || math.Abs(float64(end.at.Y-end.want)) > 1e-9 {
					t.Errorf("%s, line %d: ends at %v, want x %v, y %v", name, i, end.at, end.edge, end.want)
				}
			}
		}
	}
}

// No label touches a line, another label or the edge; checked against the lines
// themselves, not the raster that placed the labels.
func TestLabelsKeepClear(t *testing.T) {
	charts := map[string]*chart.Chart{}
	for name, spec := range specs() {
		charts[name] = mustECDF(t, spec).chart
	}
	for name, spec := range pointSpecs() {
		f, err := Points(spec)
		if err != nil {
			t.Fatal(err)
		}
		charts[name] = f.chart
	}
	labelled := 0
	for name, c := range charts {
		if c.Labels == nil {
			continue
		}
		labelled++
		area := c.Area()
		for i, l := range c.Labels {
			if l.Box.Min.X < area.Min.X || l.Box.Min.Y < area.Min.Y || l.Box.Max.X > area.Max.X || l.Box.Max.Y > area.Max.Y {
				t.Errorf("%s: label %d leaves the plot", name, i)
			}
			for j, trace := range c.Traces {
				if j > i && overlap(l.Box, c.Labels[j].Box) {
					t.Errorf("%s: labels %d and %d overlap", name, i, j)
				}
				for k := 1; k < len(trace.Line); k++ {
					if hits(trace.Line[k-1], trace.Line[k], l.Box) {
						t.Errorf("%s: label %d lies on line %d", name, i, j)
						break
					}
				}
			}
		}
	}
	if labelled < 10 {
		t.Errorf("only %d figures have labels at their lines", labelled)
	}
	for _, name := range []string{"many", "identical"} {
		if c := charts[name]; c.Labels != nil || c.Legend.Columns == 0 {
			t.Errorf("%s: want a legend, since lines are too close to tell apart", name)
		}
	}
}

func overlap(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}

// hits tells whether a straight piece of line enters a box (Liang and Barsky).
func hits(a, b vg.Point, box vg.Rectangle) bool {
	t0, t1 := 0.0, 1.0
	for _, e := range [][2]vg.Length{
		{a.X - b.X, a.X - box.Min.X}, {b.X - a.X, box.Max.X - a.X}, {a.Y - b.Y, a.Y - box.Min.Y}, {b.Y - a.Y, box.Max.Y - a.Y},
	} {
		p, q := float64(e[0]), float64(e[1])
		switch {
		case p == 0 && q < 0:
			return false
		case p < 0:
			t0 = math.Max(t0, q/p)
		case p > 0:
			t1 = math.Min(t1, q/p)
		}
	}
	return t0 <= t1
}

// The thinned line is ahead of the full one by less than a column, and never
// behind it.
func TestThinningIsExactToAColumn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Int64Range(0, 2000), 1, 300).Draw(t, "samples")
		slices.Sort(samples)
		width := rapid.Float64Range(0.5, 300).Draw(t, "width")
		out := steps(samples, func(x int64) float64 { return float64(x) }, width)
		if out[len(out)-1].count != len(samples) {
			t.Fatal("samples are missing")
		}
		full := func(x float64) int {
			return len(samples[:upper(samples, x)])
		}
		for i, s := range out {
			if i > 0 && (s.x <= out[i-1].x || s.count <= out[i-1].count) {
				t.Fatalf("steps %v and %v", out[i-1], s)
			}
			if s.count < full(float64(s.x)) {
				t.Fatalf("%v: behind, %d samples are that small", s, full(float64(s.x)))
			}
			if s.count > full(float64(s.x)+width) {
				t.Fatalf("%v: ahead by more than %v", s, width)
			}
		}
	})
}

func upper(sorted []int64, x float64) int {
	return len(sorted) - len(slices.DeleteFunc(slices.Clone(sorted), func(v int64) bool { return float64(v) <= x }))
}

func TestOutliersAreCutAndTold(t *testing.T) {
	f := mustECDF(t, specs()["outliers"])
	said := strings.Join(f.Caption, "\n")
	if !strings.Contains(said, "Axis cut on the right: 2 of 1800 calls lie above") || !strings.Contains(said, "the longest took 12000 ms.") {
		t.Errorf("caption: %q", said)
	}
	if high := f.chart.Plot.X.Max; high > 400 {
		t.Errorf("the axis runs to %v ms: the rest is squashed", high)
	}
	for _, name := range []string{"paper", "one", "log", "sample", "identical"} {
		if said := strings.Join(mustECDF(t, specs()[name]).Caption, "\n"); strings.Contains(said, "cut") {
			t.Errorf("%s: cut without need: %q", name, said)
		}
	}
}

func TestTextIsLargeEnoughAndReads(t *testing.T) {
	sizes := regexp.MustCompile(`font-size:([0-9.]+)px`)
	for name, spec := range specs() {
		found := sizes.FindAllStringSubmatch(string(render(t, mustECDF(t, spec), "svg")), -1)
		if len(found) < 8 {
			t.Errorf("%s: %d texts", name, len(found))
		}
		for _, m := range found {
			if size, err := strconv.ParseFloat(m[1], 64); err != nil || size < 6 {
				t.Errorf("%s: text of %s pt", name, m[1])
			}
		}
	}
}

// Whatever a label says, it can be drawn in every format.
func FuzzLabels(f *testing.F) {
	f.Add("L = 4", "caption")
	f.Add("\xff\x00", "\u202e\U0010ffff")
	f.Add("]]>&<!--", "\"'`")
	f.Fuzz(func(t *testing.T, label, caption string) {
		fig, err := ECDF(ECDFSpec{Title: caption, XLabel: label, Caption: []string{caption}, Series: []Series{{Label: label, Latencies: []int64{1, 2}}, {Label: caption, Latencies: []int64{3, 4}}}})
		if err != nil {
			t.Fatal(err)
		}
		checkSVG(t, render(t, fig, "svg"))
		render(t, fig, "pdf")
	})
}

// Whatever the latencies are, the figure is drawn.
func TestAnyLatencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		extreme := rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, 2, 1e6, 1e9, math.MaxInt64 - 1, math.MaxInt64})
		value := rapid.OneOf(extreme, rapid.Int64(), rapid.Int64Range(1, 1e9))
		spec := ECDFSpec{
			Unit:  rapid.SampledFrom([]string{"ns", "us", "ms", "s"}).Draw(t, "unit"),
			Scale: rapid.SampledFrom([]string{Auto, Linear, Log}).Draw(t, "scale"),
		}
		for i := range rapid.IntRange(1, 4).Draw(t, "series") {
			spec.Series = append(spec.Series, Series{Label: fmt.Sprint(i), Latencies: rapid.SliceOfN(value, 1, 20).Draw(t, "latencies")})
		}
		f, err := ECDF(spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range f.chart.Traces {
			for _, p := range slices.Concat(l.Line, slices.Concat(l.Bands...)) {
				if !axis.Known(float64(p.X)) || !axis.Known(float64(p.Y)) {
					t.Fatalf("a line passes through %v", p)
				}
			}
		}
	})
}

func TestSpecsAreChecked(t *testing.T) {
	one := []Series{{Latencies: []int64{1}}}
	for name, spec := range map[string]ECDFSpec{
		"no series":  {},
		"no samples": {Series: []Series{{Label: "L = 0"}}},
		"unit":       {Unit: "min", Series: one},
		"scale":      {Scale: "cubic", Series: one},
		"confidence": {Confidence: 95, Series: one},
	} {
		if _, err := ECDF(spec); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	f := mustECDF(t, ECDFSpec{Series: one})
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "f.jpg"), filepath.Join(dir, "none", "f.svg"), filepath.Join(dir, "f")} {
		if err := f.Save(path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("failed saves left %v (%v)", left, err)
	}
}

// A folder that cannot be written is an error, not a panic, where a font has yet to be
// made: of characters that no other figure here has.
func TestPDFWithoutTemporaryFolder(t *testing.T) {
	spec := specs()["one"]
	spec.Caption = []string{"\u00fe\u00d0"}
	f := mustECDF(t, spec)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	err := f.Write(io.Discard, "pdf")
	var hint *cell.Error
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint, "TMPDIR") {
		t.Errorf("got %v", err)
	}
}

// A million samples give no more to draw than the picture has half pixels.
func TestMillionSamples(t *testing.T) {
	start := time.Now()
	f := mustECDF(t, ECDFSpec{Series: []Series{{Label: "L = 0", Latencies: load(1_000_000, 120, 0.02, 0.2, 1)}}})
	svg := render(t, f, "svg")
	t.Logf("a million samples to SVG in %v, %d KB", time.Since(start), len(svg)>>10)
	widest := int(float64(f.chart.Width) / thinning)
	if n := len(f.chart.Traces[0].Line); n > 2*widest+4 {
		t.Errorf("%d points for %d half pixels", n, widest)
	}
}

func BenchmarkMillionSamples(b *testing.B) {
	series := []Series{{Label: "L = 0", Latencies: load(1_000_000, 120, 0.02, 0.2, 1)}}
	rand.New(rand.NewPCG(1, 1)).Shuffle(1_000_000, func(i, j int) {
		l := series[0].Latencies
		l[i], l[j] = l[j], l[i]
	})
	for b.Loop() {
		f, err := ECDF(ECDFSpec{Series: series})
		if err != nil {
			b.Fatal(err)
		}
		for _, format := range formats {
			render(b, f, format)
		}
	}
}

func ExampleECDF() {
	f, err := ECDF(ECDFSpec{
		Title:   "Figure 2: inference time under load",
		Caption: []string{"host; bert-base-uncased."},
		Series: []Series{
			{Label: "L = 0", Latencies: []int64{120e6, 121e6, 121e6, 123e6}},
			{Label: "L = 4", Latencies: []int64{140e6, 142e6, 145e6, 160e6}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.Join(f.Caption, "\n"))
	// Output:
	// host; bert-base-uncased.
	// n = 4 calls per line; bands: 95% DKW-Massart.
}
