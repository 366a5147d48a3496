package device

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestWithin(t *testing.T) {
	c := Copy{Start: 100, Duration: 50, Bytes: 1000}
	for _, tt := range []struct {
		name       string
		copy       Copy
		start, end int64
		want       float64
	}{
		{"inside", c, 0, 200, 1000},
		{"exactly", c, 100, 150, 1000},
		{"over the start", c, 120, 200, 600},
		{"over the end", c, 0, 110, 200},
		{"over both", c, 110, 120, 200},
		{"before", c, 150, 300, 0},
		{"after", c, 0, 100, 0},
		{"empty window", c, 120, 120, 0},
		{"instant inside", Copy{Start: 5, Bytes: 7}, 5, 6, 7},
		{"instant at the end", Copy{Start: 5, Bytes: 7}, 0, 5, 0},
	} {
		if got := tt.copy.Within(tt.start, tt.end); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %g bytes, want %g", tt.name, got, tt.want)
		}
	}
}

func TestWithinSumsToTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, 1e15)
		c := Copy{Start: at.Draw(t, "start"), Duration: rapid.Int64Range(0, 1e10).Draw(t, "duration"), Bytes: rapid.Int64Range(0, 1<<34).Draw(t, "bytes")}
		edge := c.Start - 10
		sum := 0.0
		for _, step := range rapid.SliceOf(rapid.Int64Range(0, 1e9)).Draw(t, "steps") {
			sum += c.Within(edge, edge+step)
			edge += step
		}
		sum += c.Within(edge, max(edge, c.End()+1))
		if math.Abs(sum-float64(c.Bytes)) > 1e-6*float64(c.Bytes)+1e-6 {
			t.Fatalf("adjacent windows hold %g of %d bytes", sum, c.Bytes)
		}
	})
}

func TestDirections(t *testing.T) {
	for s, want := range map[string]int{"h2d": 1, "d2h": 1, "both": 2, "d2d": 1, "h2h": 1} {
		d, err := Directions(s)
		if err != nil || len(d) != want || want == 1 && (d[0].String() != s || d[0].OffLink() != (s == "d2d" || s == "h2h")) {
			t.Errorf("Directions(%q) = %v, %v", s, d, err)
		}
	}
	if _, err := Directions("up"); err == nil {
		t.Error("Directions(up) succeeded")
	}
}
