package figure

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// utilisations is the run's table as the contention notebook draws it.
func utilisations() PointsSpec {
	rho := []float64{0, 0.31, 0.52, 0.74, 0.88, 0.96}
	p50 := PointSeries{Label: "p50", X: rho, Join: true}
	p99 := PointSeries{Label: "p99", X: rho, Join: true}
	for _, r := range rho {
		y := 120 * (1 + 0.06*r/(1.05-r))
		p50.Y, p50.Low, p50.High = append(p50.Y, y), append(p50.Low, y-0.8-r), append(p50.High, y+0.8+r)
		z := 1.1*y + 20*r
		p99.Y, p99.Low, p99.High = append(p99.Y, z), append(p99.Low, z-3-5*r), append(p99.High, z+6+9*r)
		p50.XLow, p50.XHigh = append(p50.XLow, math.Max(0, r-0.01)), append(p50.XHigh, r+0.01)
	}
	return PointsSpec{
		Title:  "Latency against achieved utilisation",
		XLabel: "Achieved utilisation (share of calibrated capacity)", YLabel: "Inference time (ms)",
		Caption: []string{"host, bert-base-uncased; bars: 95% intervals."},
		Series:  []PointSeries{p50, p99},
	}
}

func pointSpecs() map[string]PointsSpec {
	laws := utilisations()
	laws.Series = laws.Series[:1]
	laws.Series[0].Join = false
	for _, law := range []struct {
		name string
		at   func(float64) float64
	}{
		{"linear", func(r float64) float64 { return 118 + 30*r }},
		{"exponential", func(r float64) float64 { return 115 * math.Exp(0.3*r) }},
		{"a + b rho/(1-rho)", func(r float64) float64 { return 120 + 3*r/(1-r) }},
	} {
		c := Curve{Label: law.name}
		for i := range 100 {
			r := float64(i) / 100
			c.X, c.Y = append(c.X, r), append(c.Y, law.at(r))
		}
		laws.Curves = append(laws.Curves, c)
	}
	missing := utilisations()
	missing.Series[1].Y[2], missing.Series[1].Low[2], missing.Series[0].Low[3] = math.NaN(), math.NaN(), math.NaN()
	missing.Simulated = true
	wide := PointsSpec{XLabel: "Queued bytes (MB)", YLabel: "Latency (ms)", XScale: Log, YScale: Log,
		Series: []PointSeries{{Label: "p50", X: []float64{0, 1, 10, 100, 1000}, Y: []float64{1, 1.2, 3, 20, 190}}}}
	return map[string]PointsSpec{
		"points": utilisations(), "laws": laws, "missing": missing, "wide": wide,
		"single": {XLabel: "x", YLabel: "y", Series: []PointSeries{{X: []float64{1}, Y: []float64{2}}}},
	}
}

func TestPointGoldens(t *testing.T) {
	for name, spec := range pointSpecs() {
		t.Run(name, func(t *testing.T) {
			f, err := Points(spec)
			if err != nil {
				t.Fatal(err)
			}
			for _, format := range formats {
				b := render(t, f, format)
				if format != "png" && !bytes.Equal(b, render(t, f, format)) {
					t.Errorf("%s: the same figure gave other bytes", format)
				}
				if format == "svg" || format == "csv" {
					golden(t, name+"."+format, fontData.ReplaceAll(b, []byte("base64,FONT")))
				}
				if dir := os.Getenv("FIGURES"); dir != "" {
					if err := f.Save(filepath.Join(dir, name+"."+format)); err != nil {
						t.Fatal(err)
					}
				}
			}
			checkSVG(t, render(t, f, "svg"))
		})
	}
}

func TestPointsAreCountedWhenLeftOut(t *testing.T) {
	for name, want := range map[string]string{
		"missing": "1 of 12 points left out: they have no value.",
		"wide":    "1 of 5 points left out: a logarithmic axis shows no zero.",
	} {
		f, err := Points(pointSpecs()[name])
		if err != nil || !strings.Contains(strings.Join(f.Caption, "\n"), want) {
			t.Errorf("%s: caption %q lacks %q (%v)", name, f.Caption, want, err)
		}
	}
}

func TestPointsAreChecked(t *testing.T) {
	one := []float64{1}
	for name, spec := range map[string]PointsSpec{
		"nothing":      {},
		"only NaN":     {Series: []PointSeries{{X: one, Y: []float64{math.NaN()}}}},
		"lengths":      {Series: []PointSeries{{X: one, Y: []float64{1, 2}}}},
		"no y":         {Series: []PointSeries{{X: one}}},
		"half a bar":   {Series: []PointSeries{{X: one, Y: one, Low: one}}},
		"curve":        {Series: []PointSeries{{X: one, Y: one}}, Curves: []Curve{{X: one}}},
		"unknown axis": {XScale: "cubic", Series: []PointSeries{{X: one, Y: one}}},
	} {
		if _, err := Points(spec); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func ExamplePoints() {
	f, err := Points(PointsSpec{
		XLabel: "Achieved utilisation", YLabel: "Inference time (ms)",
		Series: []PointSeries{{Label: "p50", X: []float64{0, 0.5, 0.9}, Y: []float64{120, 131, 170}, Low: []float64{119, 130, 166}, High: []float64{121, 132, 175}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var b bytes.Buffer
	if err := f.Write(&b, "csv"); err != nil {
		fmt.Println(err)
	}
	fmt.Print(b.String())
	// Output:
	// series,kind,x,y,low,high,x_low,x_high
	// p50,point,0,120,119,121,,
	// p50,point,0.5,131,130,132,,
	// p50,point,0.9,170,166,175,,
}
