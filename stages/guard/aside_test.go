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

// A copy after the inputs were due is at most so many times as long as the call has gone
// on, so that inputs that come late wait no longer; and the outputs' time stays theirs.
func TestAsideGrows(t *testing.T) {
	p, err := Parse("aside/32MiB/in_flight:2/inputs:50us/grow:2")
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(p, Shape{}, Link{Capacity: 50e9, Inputs: true, Outputs: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const began, takes = 1_000_000, 2_000_000
	g.page.takes.Store(takes)
	g.page.began.Store(began)
	end := int64(0) // of the copies in flight
	for _, tt := range []struct{ at, most int64 }{{49_000, 0}, {50_000, 100_000}, {60_000, 0}, {145_000, 0}, {147_000, 300_000}, {450_000, 671_088}, {1_330_000, 645_000}, {1_980_000, 0}} {
		pass, again, ok := g.Try(began+tt.at, 32<<20)
		if tt.most == 0 == ok || tt.at == 60_000 && (again > began+150_000-submission || again < began+149_000-submission) {
			t.Errorf("at %d ns a copy of %d bytes went: %v; it is to ask at %d", tt.at, pass.Bytes, ok, again)
		}
		took := pass.Bytes / 50
		if took > tt.most || took < tt.most-part/50 {
			t.Errorf("at %d ns a copy of %d ns went: want up to %d", tt.at, took, tt.most)
		}
		if end = max(end, tt.at) + took; tt.at == 147_000 { // the copies of before, in their order
			g.Done(Pass{Bytes: 5_000_000}, began+150_000)
		}
		if ok && tt.at != 50_000 {
			g.Done(pass, began+end)
		}
	}
}

// Copies that take longer than the link's capacity says are sized by what they take, until
// they no longer do. One thread that loses its processor once holds little back.
func TestAsidePaces(t *testing.T) {
	p, err := Parse("aside/32MiB/in_flight:1")
	if err != nil {
		t.Fatal(err)
	}
	a := newAside(p, Link{Capacity: 50e9, Outputs: true})
	now := int64(1e9)
	copied := func(times float64) (bytes int64) {
		began := now
		n, _ := a.let(now, 32<<20, began, 500_000)
		a.went(now, n)
		now += int64(float64(n) / 50 * times)
		a.done(now, n)
		return n
	}
	full := copied(1)
	for _, tt := range []struct{ times, share float64 }{{1.05, 1}, {2, 1}, {2, 0.5}, {2, 0.5}, {1, 0.5}, {1, 1}, {100, 1}, {1, 1 / Slowest}, {1, 1}} {
		if got := float64(copied(tt.times)) / float64(full); got < tt.share-0.02 || got > tt.share+0.02 {
			t.Errorf("before one that takes %g times as long a copy has %.2f of the bytes: want %g", tt.times, got, tt.share)
		}
	}
}

// A load towards the device leaves early, so that the next call's commands and inputs find
// the link idle, or stays until those inputs are sent; one from the device leaves for the
// outputs alone.
func TestAsideLeavesEarly(t *testing.T) {
	for _, tt := range []struct {
		policy string
		link   Link
		least  int64 // nanoseconds that it leaves before the call's end
	}{
		{"aside/32MiB/early:20us", Link{Inputs: true}, 20_000},
		{"aside/32MiB", Link{Inputs: true}, 0},
		{"aside/32MiB/sent:10us", Link{Inputs: true}, -10_000},
		{"aside/32MiB/lead:30us/sent:10us", Link{Outputs: true}, 30_000},
		{"aside/32MiB/lead:30us/sent:10us", Link{Inputs: true, Outputs: true}, 30_000},
		{"aside/32MiB/lead:30us/early:90us", Link{Outputs: true}, 30_000},
		{"aside/32MiB/lead:30us/early:20us", Link{Inputs: true, Outputs: true}, 30_000},
		{"aside/32MiB/lead:30us/early:90us", Link{Inputs: true, Outputs: true}, 90_000},
	} {
		p, err := Parse(tt.policy)
		if err != nil {
			t.Fatal(err)
		}
		tt.link.Capacity = 50e9
		a := newAside(p, tt.link)
		const began, takes, now = 1_000_000, 600_000, 1_200_000
		bytes, _ := a.let(now, 32<<20, began, takes)
		if left := began + takes - now - bytes/50; left < tt.least || left > tt.least+part/50 {
			t.Errorf("%s, inputs %v, outputs %v: it leaves %d ns before the end, want %d", tt.policy, tt.link.Inputs, tt.link.Outputs, left, tt.least)
		}
	}
}

// What the host takes to submit and to notice is no slowness of the link, even where it is
// as long as a short copy.
func TestAsideReacts(t *testing.T) {
	p, err := Parse("aside/32MiB/in_flight:1")
	if err != nil {
		t.Fatal(err)
	}
	a := newAside(p, Link{Capacity: 50e9, Inputs: true})
	for _, bytes := range []int64{part, 1 << 20, 4 << 20, 32 << 20} {
		a.went(0, bytes)
		if a.done(bytes/50+reaction, bytes); a.pace != a.byteTime {
			t.Errorf("after a copy of %d bytes, %d ns late: a byte takes %g ns, want %g", bytes, reaction, a.pace, a.byteTime)
		}
	}
}
