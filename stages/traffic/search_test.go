//go:build !race

package traffic

import (
	"cmp"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
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

// searches is how many a test makes of each server: a few in CI, and 200 where intervals
// are judged closely.
func searches(t *testing.T, few int) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("BAROGRAPH_SEARCHES"), strconv.Itoa(few)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An answerer takes one request after another; rate is what it carries with a p99 of 10 ms.
type answerer struct {
	name    string
	arrival arrival.Pattern
	service func(*rand.Rand) float64 // seconds
	rate    float64
	width   float64 // of intervals on average, as a share of the rate, at most
}

// Of a server with exponential times of service the time that a request spends is
// exponential too, with the rate mu less that of arrivals.
func exponential(mu float64) answerer {
	return answerer{"exponential times", arrival.Pattern{Arrivals: "poisson"}, func(rng *rand.Rand) float64 { return rng.ExpFloat64() / mu }, mu - math.Log(100)/0.01, 0.2}
}

// Where all times of service are the same, the wait has a distribution that is known
// (Crommelin, 1932).
func constant(service float64) answerer {
	late := func(rate float64) float64 {
		within, t := 0.0, 0.01-service
		for k := range int(t/service) + 1 {
			x := rate * (float64(k)*service - t)
			gamma, _ := math.Lgamma(float64(k + 1))
			within += (1 - rate*service) * math.Pow(x, float64(k)) * math.Exp(-x-gamma)
		}
		return 1 - within
	}
	low, high := 0.1/service, 0.99/service
	for range 50 {
		if mid := (low + high) / 2; late(mid) > 0.01 {
			high = mid
		} else {
			low = mid
		}
	}
	return answerer{"constant times", arrival.Pattern{Arrivals: "poisson"}, func(*rand.Rand) float64 { return service }, low, 0.2}
}

// others have no formula: their rates are of 64 million simulated requests.
var others = []answerer{
	{"one in twenty takes four times as long", arrival.Pattern{Arrivals: "poisson"}, func(rng *rand.Rand) float64 {
		if rng.Float64() < 0.05 {
			return 4e-3
		}
		return 1e-3
	}, 550.2, 0.2},
	{"bursts", arrival.Pattern{Arrivals: "bursts", Dispersion: 4}, func(*rand.Rand) float64 { return 1e-3 }, 261.2, 0.35},
}

// sought searches for what a server carries, with a seed and a draw of arrivals.
func (s *answerer) sought(t *testing.T, calls int, search Search, seed, draw uint64) *Carried {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := poisson(calls, search)
	p.Pattern, p.Carries.P99 = s.arrival, unit.Duration(10*time.Millisecond)
	p.Draw = draw
	return seek(t, p, seed*1000, func(int64) int64 { return int64(s.service(rng) * 1e9) })
}

// The interval that a search returns holds the rate that is carried as often as it says,
// and is no wider than its requests make it.
func TestCarriedIntervalHolds(t *testing.T) {
	seeds := searches(t, 20)
	servers := []answerer{exponential(1000), constant(1.25e-3)}
	if seeds >= 100 {
		servers = append(servers, others...)
	}
	for _, s := range servers {
		held, wide, bias, probes := 0, 0.0, 0.0, 0
		for seed := range uint64(seeds) {
			c := s.sought(t, 2000, Search{From: 100, To: 1600}, seed, 0)
			if !(c.Low <= c.Rate && (c.Open || c.Rate <= c.High)) {
				t.Fatalf("%s, seed %d: %+v", s.name, seed, c)
			}
			if c.Low <= s.rate && (c.Open || s.rate <= c.High) {
				held++
			}
			if c.Open {
				c.High = 1600
			}
			wide += (c.High - c.Low) / s.rate / float64(seeds)
			bias += (c.Rate/s.rate - 1) / float64(seeds)
			probes += len(c.Probes)
		}
		t.Logf("%s: intervals hold %.4g requests a second in %d of %d searches, are %.1f%% wide on average and %+.1f%% off, and take %.1f probes", s.name, s.rate, held, seeds, 100*wide, 100*bias, float64(probes)/float64(seeds))
		if lacks(held, seeds) || wide > s.width || math.Abs(bias) > 0.03 {
			t.Errorf("%s: intervals hold %.4g requests a second in %d of %d searches, are %.1f%% wide and %+.1f%% off", s.name, s.rate, held, seeds, 100*wide, 100*bias)
		}
	}
}

// lacks tells whether fewer intervals hold than 92 in a hundred would, but for three
// standard errors of few searches.
func lacks(held, of int) bool {
	want := 0.92 * float64(of)
	if of < 200 {
		want -= 3 * math.Sqrt(0.08*want)
	}
	return float64(held) < want
}

// Asked alike, two servers differ by less than chance, and the interval of what one gives
// back of the other holds that as well.
func TestRecoveryHolds(t *testing.T) {
	seeds := searches(t, 12)
	alone, guarded := constant(1.25e-3), constant(1.3e-3)
	full := &Carried{Rate: 260, Low: 250, High: 270}
	truth := (guarded.rate - full.Rate) / (alone.rate - full.Rate)
	held, wide := 0, [2][]float64{}
	for seed := range uint64(seeds) {
		search := Search{From: 400, To: 800}
		a, g := alone.sought(t, 3000, search, 2*seed, seed+1), guarded.sought(t, 3000, search, 2*seed+1, seed+1)
		r, apart := a.Recovery(full, g, true), a.Recovery(full, g, false)
		if r.Low <= truth && truth <= r.High {
			held++
		}
		wide[0], wide[1] = append(wide[0], 100*(r.High-r.Low)), append(wide[1], 100*(apart.High-apart.Low))
	}
	slices.Sort(wide[0])
	slices.Sort(wide[1])
	half := [2]float64{wide[0][seeds/2], wide[1][seeds/2]}
	t.Logf("intervals hold %.1f%% in %d of %d, are %.1f%% wide in the median, and %.1f%% were nothing known of the draw", 100*truth, held, seeds, half[0], half[1])
	if lacks(held, seeds) || half[0] > 0.7*half[1] {
		t.Errorf("intervals hold %.1f%% in %d of %d, are %.1f%% wide, and %.1f%% were nothing known of the draw", 100*truth, held, seeds, half[0], half[1])
	}
	if r := alone.sought(t, 1000, Search{From: 400, To: 800}, 1, 1).Recovery(&Carried{Rate: 570, Low: 500, High: 640}, full, false); !math.IsNaN(r.Share) {
		t.Errorf("a load that takes nothing that can be told: %+v", r)
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
