package guard

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever the copies' lengths and the threads' delays, no interval sees more
// than the rate allows plus the bucket's depth, and a load that always has
// copies waiting gets its rate.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(1e6, 1e11).Draw(t, "rate")
		block := rapid.Int64Range(1, 1<<26).Draw(t, "block")
		p := NewBucket(rate, block)
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

func TestBucketForgetsLongStalls(t *testing.T) {
	p := NewBucket(1e9, 1e6) // a block each millisecond, 50 ms deep
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
	p := NewBucket(0, 1)
	for now := range int64(10) {
		if at := p.Reserve(now, 1<<40); at != now {
			t.Fatalf("without a limit, a copy waits from %d to %d", now, at)
		}
	}
}
