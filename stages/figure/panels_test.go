package figure

import (
	"math"
	"strings"
	"testing"
)

func panelsSpec() PanelsSpec {
	one := func(label string, x, y []float64) PointsSpec {
		return PointsSpec{XLabel: label, YLabel: "p50 (ms)", Series: []PointSeries{{Label: "4 x 4 MiB", X: x, Y: y, Low: y, High: y, Join: true}}}
	}
	return PanelsSpec{
		Title: "Apart", Caption: []string{"On a test."}, Simulated: true,
		Panels: []PointsSpec{
			one("Utilisation (%)", []float64{10, 50, 90}, []float64{4, 5, math.NaN()}),
			one("Bl\u00f6cke (MiB)", []float64{1, 8, 64}, []float64{4, 4.5, 9}),
		},
	}
}

func TestPanels(t *testing.T) {
	_, written := twice(t, Panels, panelsSpec)
	checkSVG(t, []byte(written["svg"]))
	for _, want := range []string{">Utilisation (%)<", ">Bl\u00f6cke (MiB)<", ">SIMULATED<", "Panel 1: 1 of 3 points left out", "On a test.", "Simulated: the numbers"} {
		if !strings.Contains(written["svg"], want) {
			t.Errorf("the SVG holds no %q", want)
		}
	}
	if n := strings.Count(written["svg"], "@font-face"); n != 1 {
		t.Errorf("%d fonts are embedded, want the one that has every character", n)
	}
	if !strings.HasPrefix(written["csv"], "panel,series,kind,x,y,low,high,x_low,x_high\n1,4 x 4 MiB,point,10,4,4,4,,\n") || !strings.Contains(written["csv"], "\n2,4 x 4 MiB,point,64,9,9,9,,\n") {
		t.Errorf("CSV\n%s", written["csv"])
	}
	spec := panelsSpec()
	spec.Panels = nil
	if _, err := Panels(spec); err == nil {
		t.Error("no panels: no error")
	}
	spec = panelsSpec()
	spec.Panels[1].Series[0].Y = []float64{1}
	if _, err := Panels(spec); err == nil || !strings.Contains(err.Error(), "panel 2") {
		t.Errorf("a panel that is wrong: %v", err)
	}
	spec = panelsSpec()
	spec.YScale = "cubic"
	if _, err := Panels(spec); err == nil {
		t.Error("an unknown scale: no error")
	}
	spec = panelsSpec()
	spec.Invalid = "it drifted"
	if f, err := Panels(spec); err != nil || !strings.Contains(strings.Join(f.Caption, " "), "INVALID: it drifted") || !strings.Contains(string(render(t, f, "svg")), ">INVALID<") {
		t.Errorf("an INVALID measurement does not say so: %v", err)
	}
}

func timelineSpec() TimelineSpec {
	return TimelineSpec{
		XLabel: "Time (ms)", YLabel: "GB/s", Caption: []string{"On a test."}, Slice: 0.5, Load: []float64{1, 3, 0, 2, 2, 2}, Capacity: 4,
		Calls: []Span{{0, 1.2}, {1.2, 2.9}},
	}
}

func TestTimeline(t *testing.T) {
	f, written := twice(t, Timeline, timelineSpec)
	load := f.chart.Traces[0].Line
	for i := 1; i < len(load); i++ { // steps: level and upright pieces only
		if load[i].X != load[i-1].X && load[i].Y != load[i-1].Y {
			t.Errorf("from %v to %v is no step", load[i-1], load[i])
		}
	}
	checkSVG(t, []byte(written["svg"]))
	for _, want := range []string{">load<", ">calibrated capacity<", ">1<", ">2<", "On a test."} {
		if !strings.Contains(written["svg"], want) {
			t.Errorf("the SVG holds no %q", want)
		}
	}
	if want := "item,start,end,carried\nload,0,0.5,1\nload,0.5,1,3\nload,1,1.5,0\nload,1.5,2,2\nload,2,2.5,2\nload,2.5,3,2\ncall,0,1.2,\ncall,1.2,2.9,\n"; written["csv"] != want {
		t.Errorf("CSV\n%s", written["csv"])
	}
	for says, change := range map[string]func(*TimelineSpec){
		"0 slices":        func(s *TimelineSpec) { s.Load = nil },
		"0 calls":         func(s *TimelineSpec) { s.Calls = nil },
		"not positive":    func(s *TimelineSpec) { s.Slice = 0 },
		"carried NaN":     func(s *TimelineSpec) { s.Load[1] = math.NaN() },
		"carried -1":      func(s *TimelineSpec) { s.Load[1] = -1 },
		"call 2 ran from": func(s *TimelineSpec) { s.Calls[1].End = 0 },
		"no number":       func(s *TimelineSpec) { s.Capacity = math.Inf(1) },
	} {
		s := timelineSpec()
		change(&s)
		if _, err := Timeline(s); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one with %q", err, says)
		}
	}
	idle := timelineSpec()
	idle.Load, idle.Capacity, idle.Simulated, idle.Invalid = []float64{0, 0}, 0, true, "it drifted"
	f, err := Timeline(idle)
	if err != nil || !strings.Contains(string(render(t, f, "svg")), ">INVALID<") || strings.Contains(string(render(t, f, "svg")), ">load<") {
		t.Errorf("an idle link: %v", err)
	}
}

func rowsSpec() PanelsSpec {
	one := func(x []float64) PointsSpec {
		return PointsSpec{
			Heading: "d2h", XLabel: "p99 over alone", XScale: "log", Rows: []string{"none", "window/8MiB"},
			Series: []PointSeries{{Label: "bert", X: x, Y: []float64{0, 1}, XLow: x, XHigh: x}, {Label: "gpt2", X: x, Y: []float64{0, 1}}},
		}
	}
	return PanelsSpec{Title: "Policies", Panels: []PointsSpec{one([]float64{3, 1}), one([]float64{1.5, 1.1})}}
}

// Rows are named once, from the top; panels of one quantity have one range of it, and
// series stand below one another.
func TestRows(t *testing.T) {
	_, written := twice(t, Panels, rowsSpec)
	checkSVG(t, []byte(written["svg"]))
	for _, name := range []string{">none<", ">window/8MiB<"} {
		if n := strings.Count(written["svg"], name); n != 1 {
			t.Errorf("the SVG holds %s %d times", name, n)
		}
	}
	if !strings.Contains(written["csv"], "\n2,gpt2,point,1.1,1,,,,\n") {
		t.Errorf("CSV\n%s", written["csv"])
	}
	p, err := Points(rowsSpec().Panels[0])
	if err != nil {
		t.Fatal(err)
	}
	p.chart.LayOut()
	marks := func(series int) []float64 {
		var at []float64
		for _, m := range p.chart.Traces[series].Marks {
			at = append(at, float64(m.Y))
		}
		return at
	}
	if bert, gpt2 := marks(0), marks(1); !(bert[0] > gpt2[0] && gpt2[0] > bert[1] && bert[1] > gpt2[1]) {
		t.Errorf("in the first and the second row marks stand at %v and %v", bert, gpt2)
	}
	for _, wrong := range []func(*PanelsSpec){
		func(s *PanelsSpec) { s.Panels[0].Series[0].Y[1] = 2 },
		func(s *PanelsSpec) { s.Panels[0].Series[0].Y[1] = 0.5 },
		func(s *PanelsSpec) { s.Panels[1].Rows = s.Panels[1].Rows[:1] },
	} {
		spec := rowsSpec()
		wrong(&spec)
		if _, err := Panels(spec); err == nil {
			t.Errorf("drawn: %+v", spec.Panels[0].Series[0])
		}
	}
}
