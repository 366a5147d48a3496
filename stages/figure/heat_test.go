package figure

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"barograph/stages/figure/chart"
)

func heatSpec() HeatSpec {
	return HeatSpec{
		Title: "Slowdown", Rows: []string{"a model, batch 1", "another"}, Columns: []string{"p50", "p99"},
		Values: [][]float64{{1.25, 3.5}, {0.99, math.NaN()}}, Least: 1, Caption: []string{"On a test."},
	}
}

func TestHeat(t *testing.T) {
	f, err := Heat(heatSpec())
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for _, format := range formats {
		var a, b bytes.Buffer
		for _, w := range []*bytes.Buffer{&a, &b} {
			if err := f.Write(w, format); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) || a.Len() == 0 {
			t.Errorf("%s: %d bytes, then %d", format, a.Len(), b.Len())
		}
		written[format] = a.String()
	}
	for _, want := range []string{"a model, batch 1", ">another<", ">p99<", ">1.25<", ">3.50<", ">0.99<", ">–<", "On a test.", ">Slowdown<"} {
		if !strings.Contains(written["svg"], want) {
			t.Errorf("the SVG holds no %q", want)
		}
	}
	if want := "row,column,value\n\"a model, batch 1\",p50,1.25\n\"a model, batch 1\",p99,3.5\nanother,p50,0.99\nanother,p99,\n"; written["csv"] != want {
		t.Errorf("CSV\n%s, want\n%s", written["csv"], want)
	}
	for stamp, spec := range map[string]HeatSpec{
		"SIMULATED": {Simulated: true}, "INVALID": {Simulated: true, Invalid: "its baseline drifted"},
	} {
		s := heatSpec()
		s.Simulated, s.Invalid = spec.Simulated, spec.Invalid
		f, err := Heat(s)
		if err != nil {
			t.Fatal(err)
		}
		var svg bytes.Buffer
		if err := f.Write(&svg, "svg"); err != nil || !strings.Contains(svg.String(), ">"+stamp+"<") || !strings.Contains(svg.String(), s.Invalid) {
			t.Errorf("%s: the stamp or the reason is not there: %v", stamp, err)
		}
	}
	empty := heatSpec()
	empty.Values = [][]float64{{math.NaN(), math.NaN()}, {math.NaN(), math.Inf(1)}}
	if f, err = Heat(empty); err != nil {
		t.Fatal(err)
	}
	var svg bytes.Buffer
	if err := f.Write(&svg, "svg"); err != nil || strings.Count(svg.String(), ">–<") != 4 || !strings.Contains(svg.String(), "0 values in 2 rows") {
		t.Errorf("a map without values: %v\n%s", err, svg.String())
	}
	intervals := heatSpec()
	intervals.Low, intervals.High = [][]float64{{1.2, 3}, {math.NaN(), math.NaN()}}, [][]float64{{1.31, 4.125}, {math.NaN(), math.NaN()}}
	if f, err = Heat(intervals); err != nil {
		t.Fatal(err)
	}
	var with, numbers bytes.Buffer
	if err := errors.Join(f.Write(&with, "svg"), f.Write(&numbers, "csv")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{">1.25<": 1, ">1.20 to 1.31<": 1, ">3.00 to 4.12<": 1, ">no interval<": 1, ">–<": 1} {
		if n := strings.Count(with.String(), text); n != want {
			t.Errorf("the SVG holds %q %d times, want %d", text, n, want)
		}
	}
	if want := "row,column,value,low,high\n\"a model, batch 1\",p50,1.25,1.2,1.31\n\"a model, batch 1\",p99,3.5,3,4.125\nanother,p50,0.99,,\nanother,p99,,,\n"; numbers.String() != want {
		t.Errorf("CSV\n%s, want\n%s", &numbers, want)
	}
	h := &heat{spec: HeatSpec{Least: 1}, most: 16}
	if h.shade(16) != chart.Palette[2] || h.shade(1) != chart.White || h.shade(0.5) != chart.White || h.shade(math.NaN()) != chart.White {
		t.Error("the ends of the shades")
	}
	if a, b := chart.Luminance(h.shade(2)), chart.Luminance(h.shade(4)); !(1 > a && a > b && b > chart.Luminance(chart.Palette[2])) {
		t.Errorf("shades of 2 and 4: %g, %g", a, b)
	}
}

func TestHeatErrors(t *testing.T) {
	for want, change := range map[string]func(*HeatSpec){
		"for 3 rows":           func(s *HeatSpec) { s.Rows = append(s.Rows, "more") },
		"0 values":             func(s *HeatSpec) { s.Values[1] = nil },
		"not positive":         func(s *HeatSpec) { s.Least = 0 },
		"1 and 0 rows of ends": func(s *HeatSpec) { s.Low = [][]float64{nil} },
		"1 and 0 ends":         func(s *HeatSpec) { s.Low, s.High = [][]float64{{1}, nil}, [][]float64{nil, nil} },
		"2 rows and 0 colum":   func(s *HeatSpec) { s.Columns = nil },
	} {
		s := heatSpec()
		change(&s)
		if _, err := Heat(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
