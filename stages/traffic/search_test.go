package traffic

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival"
)

// seek runs a search against a server that takes so long for a call, and whose speed
// may change with the time.
func seek(t *testing.T, p *Params, seed uint64, service func(now int64) int64) *Carried {
	t.Helper()
	if err := p.Check(""); err != nil {
		t.Fatal(err)
	}
	course, _, err := p.Course("", seed)
	if err != nil {
		t.Fatal(err)
	}
	now := int64(0)
	for q := course.Next(now); q != nil; q = course.Next(now) {
		free := now
		for w := q.Take(Never-1, free); w.N > 0; w = q.Take(Never-1, free) {
			free = w.Ready + service(w.Ready)
			q.Answer(w, w.Ready, free)
		}
		now = free + 1e6
	}
	c, err := course.Carried()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func poisson(calls int, s Search) *Params {
	return &Params{Pattern: arrival.Pattern{Arrivals: "poisson"}, Batch: Batch{Size: 1}, Calls: calls, Carries: &s}
}

// Of a server with exponential times of service the time that a request spends is
// exponential too, with the rate mu less that of arrivals; so it carries mu - ln(100)/T
// with a p99 of T. The interval that a search returns holds that as often as it says.
func TestCarriedIntervalHolds(t *testing.T) {
	const mu, limit, seeds = 1000.0, 0.010, 40
	truth := mu - math.Log(100)/limit
	held, wide, probes := 0, 0.0, 0
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		c := seek(t, poisson(4000, Search{P99: unit.Duration(10 * time.Millisecond), From: 50, To: 3000}), seed, func(int64) int64 { return int64(rng.ExpFloat64() / mu * 1e9) })
		if c.Open || c.Below || !(c.Low <= c.Rate && c.Rate <= c.High) {
			t.Fatalf("seed %d: %+v", seed, c)
		}
		if c.Low <= truth && truth <= c.High {
			held++
		}
		wide += (c.High - c.Low) / truth / seeds
		probes += len(c.Probes)
	}
	t.Logf("intervals hold %.4g requests a second in %d of %d searches, are %.0f%% wide on average, and take %.1f probes", truth, held, seeds, 100*wide, float64(probes)/seeds)
	if held < 35 || wide > 0.35 {
		t.Errorf("intervals hold %.4g requests a second in %d of %d searches, and are %.0f%% wide", truth, held, seeds, 100*wide)
	}
}

// A server that always takes as long carries all but its own rate with a deadline.
func TestCarriedByMisses(t *testing.T) {
	p := &Params{
		Pattern: arrival.Pattern{Arrivals: "constant"}, Rule: Rule{Deadline: unit.Duration(5 * time.Millisecond)}, Batch: Batch{Size: 1}, Calls: 4000,
		Carries: &Search{Miss: 0.001, From: 100, To: 4000, Within: 0.01, Probes: 40},
	}
	if c := seek(t, p, 1, func(int64) int64 { return 1e6 }); c.Low > 1001 || c.High < 1000 || c.High/c.Low > 1.03 || c.Drift != "" {
		t.Errorf("%v, %d probes", c, len(c.Probes))
	}
}

// What lies outside the rates that are tried is said to.
func TestCarriedOutside(t *testing.T) {
	s := Search{P99: unit.Duration(10 * time.Millisecond), From: 50, To: 400}
	if c := seek(t, poisson(1000, s), 1, func(int64) int64 { return 1000 }); !c.Open || c.Low != 400 || !strings.Contains(c.String(), "at least 400 requests") {
		t.Errorf("a fast server: %+v", c)
	}
	if c := seek(t, poisson(1000, s), 1, func(int64) int64 { return 20e6 }); !c.Below || c.High != 50 || !strings.Contains(c.String(), "fewer than 50 requests") {
		t.Errorf("a slow server: %+v", c)
	}
}

// Where it cannot be told whether the first rate is carried, higher ones are tried all
// the same; and a search that learns nothing of the rate says so.
func TestCarriedAroundTheFirst(t *testing.T) {
	const mu, limit, seeds = 1000.0, 0.010, 12
	truth := mu - math.Log(100)/limit
	held := 0
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 2))
		c := seek(t, poisson(2000, Search{P99: unit.Duration(10 * time.Millisecond), From: truth, To: 3000}), seed, func(int64) int64 { return int64(rng.ExpFloat64() / mu * 1e9) })
		if c.Open || c.Below && c.High > truth && !strings.Contains(c.String(), "fewer than") {
			t.Errorf("seed %d: %v, %+v", seed, c, c.Probes)
		}
		if c.Low <= truth && truth <= c.High {
			held++
		}
	}
	if held < 10 {
		t.Errorf("%d of %d intervals hold the rate that is carried", held, seeds)
	}
	c := Carried{Limit: 10e6, Open: true, Below: true, Probes: []Probe{{Rate: 50}, {Rate: 50, Repeat: true}, {Rate: 60}}}
	if got := c.String(); !strings.Contains(got, "not known") || !strings.Contains(got, "50") || !strings.Contains(got, "60") || strings.Contains(got, "fewer than 0") {
		t.Error(got)
	}
}

// A server that becomes slower is found out by the repeats of earlier probes; one that
// does not is not.
func TestCarriedDrift(t *testing.T) {
	s := Search{P99: unit.Duration(10 * time.Millisecond), From: 50, To: 3000}
	drifted, steady := 0, 0
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		serve := func(slower float64) func(int64) int64 {
			return func(now int64) int64 { return int64(rng.ExpFloat64() * 1e6 * (1 + slower*float64(now)/60e9)) }
		}
		if seek(t, poisson(2000, s), seed, serve(1)).Drift != "" {
			drifted++
		}
		for _, calls := range []int{600, 2000} {
			if d := seek(t, poisson(calls, s), seed, serve(0)).Drift; d != "" {
				t.Log(calls, d)
				steady++
			}
			if d := seek(t, poisson(calls, s), seed, func(int64) int64 { return 1.2e6 }).Drift; d != "" {
				t.Log(calls, d)
				steady++
			}
		}
	}
	t.Logf("drifts found: %d of 12, false: %d of 48", drifted, steady)
	if drifted < 9 || steady > 1 {
		t.Errorf("a drift was found in %d of 12 searches with one, and in %d of 48 without", drifted, steady)
	}
}

func TestSearchRefused(t *testing.T) {
	ten := unit.Duration(10 * time.Millisecond)
	for says, p := range map[string]*Params{
		"carries with arrivals trace":          {Pattern: arrival.Pattern{Arrivals: "trace", Trace: "x"}, Calls: 1000, Carries: &Search{P99: ten, From: 1, To: 2}},
		"carries with a rate of its own":       {Pattern: arrival.Pattern{Arrivals: "poisson", Rate: 5}, Calls: 1000, Carries: &Search{P99: ten, From: 1, To: 2}},
		"carries has p99 0s and miss 0":        poisson(1000, Search{From: 1, To: 2}),
		"carries has p99 10ms and miss 0.1":    poisson(1000, Search{P99: ten, Miss: 0.1, From: 1, To: 2}),
		"carries has miss 0.1 without a deadl": poisson(1000, Search{Miss: 0.1, From: 1, To: 2}),
		"carries from 0 to 2":                  poisson(1000, Search{P99: ten, To: 2}),
		"carries from 3 to 2":                  poisson(1000, Search{P99: ten, From: 3, To: 2}),
		"carries with 2 probes":                poisson(1000, Search{P99: ten, From: 1, To: 2, Probes: 2}),
		"carries within 2":                     poisson(1000, Search{P99: ten, From: 1, To: 2, Within: 2}),
		"calls is 300: with none of them late": poisson(300, Search{P99: ten, From: 1, To: 2}),
		"calls is 1000: with none of them":     {Pattern: arrival.Pattern{Arrivals: "poisson"}, Rule: Rule{Deadline: ten}, Calls: 1000, Carries: &Search{Miss: 0.001, From: 1, To: 2}},
	} {
		if err := p.Check(""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
