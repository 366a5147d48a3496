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

// Whatever the copies' lengths and the threads' delays, no interval sees more
// than the rate allows plus the bucket's depth, and a load that always has
// copies waiting gets its rate.
func TestPacer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(1e6, 1e11).Draw(t, "rate")
		block := rapid.Int64Range(1, 1<<26).Draw(t, "block")
		p := NewPacer(rate, block)
		start := rapid.Int64Range(0, 1e15).Draw(t, "now")
		now, n := start, rapid.IntRange(50, 500).Draw(t, "copies")
		period := float64(block) / rate * 1e9
		for i := range n {
			late := rapid.Int64Range(0, int64(period)).Draw(t, "late")
			now = max(now, p.Reserve(now, block)) + late
			if done := float64(i) * period; float64(now-start) < done-float64(i+1) {
				t.Fatalf("copy %d started after %d ns, the rate allows it after %g", i, now-start, done)
			}
		}
		// Each delay is shorter than a period, so all of them are made up for.
		if took, want := float64(now-start), float64(n-1)*period; took > want+2*period+float64(n) {
			t.Fatalf("%d copies took %g ns, want %g", n, took, want)
		}
	})
}

func TestPacerForgetsLongStalls(t *testing.T) {
	p := NewPacer(1e9, 1e6) // a block each millisecond, 50 ms deep
	p.Reserve(0, 1e6)
	now, burst := int64(10e9), 0
	for p.Reserve(now, 1e6) <= now {
		burst++
	}
	if burst != 51 {
		t.Errorf("after a stall of 10 s, %d copies start at once, want the bucket's 50 and the one due", burst)
	}
}

func TestNoPace(t *testing.T) {
	p := NewPacer(0, 1)
	for now := range int64(10) {
		if at := p.Reserve(now, 1<<40); at != now {
			t.Fatalf("without a limit, a copy waits from %d to %d", now, at)
		}
	}
}
