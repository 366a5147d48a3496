package guard

import (
	"math/rand/v2"
	"testing"
)

// A victim tells what most calls take at least, after some of which it tells
// nothing, and follows them when they change.
func TestVictim(t *testing.T) {
	page := NewPage()
	v, now, rng := page.Victim(), int64(5), rand.New(rand.NewPCG(1, 2))
	run := func(calls int, took float64) {
		for range calls {
			v.Begin(now)
			now += int64(took * (1 + 0.01*rng.NormFloat64()))
		}
	}
	run(unheard, 1e6)
	if n := page.takes.Load(); n != 0 {
		t.Fatalf("told %d ns after %d calls", n, unheard-1)
	}
	for _, took := range []float64{1e6, 1.1e6, 0.5e6} {
		run(8005, took)
		if n := float64(page.takes.Load()); n < 0.97*took || n > took {
			t.Errorf("of calls that take %g ns it told %g", took, n)
		}
	}
	v.End(now)
	if page.began.Load() != 0 {
		t.Error("a call goes on after the last")
	}
	if n := testing.AllocsPerRun(100, func() { v.Begin(1) }); n != 0 {
		t.Errorf("%g allocations a call", n)
	}
}

// A load that relies on too long a call finds back, even one that leaves too late for
// the outputs and so makes calls longer.
func TestVictimFindsBack(t *testing.T) {
	page := NewPage()
	v, now := page.Victim(), int64(5)
	const own, lead, tail = 1_000_000, 5_000, 15_000
	v.takes, v.calls = 1.5*own, unheard
	for range 4000 {
		v.Begin(now)
		now += max(own, page.takes.Load()-lead+tail)
	}
	if n := page.takes.Load(); n > 1.01*own {
		t.Errorf("it still tells %d ns", n)
	}
}
