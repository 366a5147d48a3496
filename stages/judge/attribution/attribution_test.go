package attribution

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestAttribute(t *testing.T) {
	of := func(ms ...float64) (ns []float64) {
		for _, v := range ms {
			ns = append(ns, v*1e6)
		}
		return ns
	}
	base := func() map[string][]float64 {
		return map[string][]float64{
			Alone: of(1.226, 1.225, 1.228), Reference: of(2.121, 2.120, 2.122), Single: of(1.265, 1.262, 1.266), Little: of(1.240, 1.241, 1.239),
			Twice: of(2.120, 2.121, 2.119), Device: of(1.228, 1.226, 1.227), Processor: of(1.226, 1.227, 1.228),
		}
	}
	with := func(change func(map[string][]float64)) map[string][]float64 { m := base(); change(m); return m }
	for _, tt := range []struct {
		name    string
		medians map[string][]float64
		cause   string
		says    string
	}{
		{"turns", base(), ByTurns, "96% of the slowdown"},
		{"queued bytes", with(func(m map[string][]float64) { m[Twice] = of(3.01, 3.02, 3.0) }), ByQueue, ""},
		{"copies in flight were not doubled", with(func(m map[string][]float64) { delete(m, Twice) }), "", "turns and queued bytes cannot be told apart"},
		{"nothing", with(func(m map[string][]float64) { m[Reference], m[Single] = m[Alone], m[Alone] }), "", "slows nothing"},
		{"memory", with(func(m map[string][]float64) {
			for _, k := range []string{Reference, Single, Little, Twice, Device} {
				m[k] = of(1.6, 1.601, 1.599)
			}
		}), ByMemory, ""},
		{"a control that slows by more", with(func(m map[string][]float64) { m[Device] = of(1.6, 1.601, 1.599) }), ByTurns, ""},
		{"a light load that speeds up", with(func(m map[string][]float64) { m[Little] = of(0.9, 0.901, 0.899) }), "", "do not belong together"},
		{"two halves", with(func(m map[string][]float64) { m[Single] = of(1.673, 1.674, 1.672) }), "", "may be less than half"},
	} {
		a, err := Attribute(tt.medians, 0.05)
		if err != nil || a.Cause != tt.cause || !strings.Contains(a.Because, tt.says) {
			t.Errorf("%s: %+v, %v; want %q, %q", tt.name, a, err, tt.cause, tt.says)
		}
	}
	// A resource that was stressed more than a light load does is no part of the sum.
	more, _ := Attribute(with(func(m map[string][]float64) { m[Device] = of(1.6, 1.601, 1.599) }), 0.05)
	if slices.ContainsFunc(more.Parts, func(p Part) bool { return p.Cause == ByMemory }) || !slices.ContainsFunc(more.Parts, func(p Part) bool { return p.Cause == ByAny }) || len(more.Untold) != 1 {
		t.Errorf("%+v", more)
	}
	a, _ := Attribute(with(func(m map[string][]float64) { delete(m, Device); delete(m, Little) }), 0.05)
	if !slices.Equal(a.Untold, []string{ByMemory, ByCommands}) || len(a.Table()) != 1+len(a.Parts)+1 {
		t.Errorf("untold %q: %v", a.Untold, a.Table())
	}
	for name, m := range map[string]map[string][]float64{
		"nothing was measured": with(func(m map[string][]float64) { delete(m, Single) }),
		"a median of":          with(func(m map[string][]float64) { m[Twice] = of(-1) }),
		"says nothing of":      {Alone: of(1), Reference: of(2), Single: of(1)},
	} {
		if _, err := Attribute(m, 0.05); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// An interval holds what it should: contrasts of means of replicates, nineteen in twenty.
func TestAttributionIntervals(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	truth := map[string]float64{Alone: 1, Reference: 2, Single: 1.3, Little: 1.1, Twice: 2, Device: 1.05, Processor: 1.02}
	names := slices.Sorted(maps.Keys(truth))
	const sets = 400
	inside, all := 0, 0
	for range sets {
		medians := map[string][]float64{}
		for _, n := range names {
			for range 4 {
				medians[n] = append(medians[n], truth[n]*math.Exp(0.01*rng.NormFloat64())*1e6)
			}
		}
		a, err := Attribute(medians, 0.05)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{ByTurns: 0.7, ByCopy: 0.2, ByMemory: 0.05, ByProcessor: 0.02, ByCommands: 0.03}
		for _, p := range a.Parts {
			if w, ok := want[p.Cause]; ok {
				if all++; p.Low <= w*1e6 && w*1e6 <= p.High {
					inside++
				}
			}
		}
	}
	if share := float64(inside) / float64(all); share < 0.935 || share > 0.965 {
		t.Errorf("%.1f%% of %d intervals hold the truth", 100*share, all)
	}
}
