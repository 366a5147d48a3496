// Package power says before a study is measured what its design could tell.
package power

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/judge"
	"barograph/stages/stats"
	"barograph/stages/stats/law"
)

// What Foresee tries: how far replicates may scatter, and by how much the
// heaviest load below a full link may slow a call.
var (
	powerNoise  = []float64{0.01, 0.02, 0.05}
	powerEffect = []float64{2, 4}
)

const powerSets = 50

// Foresee says, before anything is measured, which growth laws the trials among
// a cell's inputs could tell from one another. What they will achieve is not
// known yet: a load without a limit is taken to fill the link, one with a limit
// to reach it.
func Foresee(s *cell.Spec) (string, error) {
	type load struct {
		Threads     int       `json:"threads"`
		Block       unit.Size `json:"block"`
		Outstanding int       `json:"outstanding"`
		Rate        unit.Rate `json:"rate"`
	}
	loads := map[string]load{}
	for _, in := range s.OfKind("stress") {
		if in.During == "" {
			continue
		}
		l := load{Outstanding: 1}
		if err := json.Unmarshal(in.With, &l); err != nil {
			return "", fmt.Errorf("foresee %s: %w", in.ID, err)
		}
		loads[in.During] = l
	}
	capacity := s.Machine.Link.Model
	if capacity == 0 {
		capacity = 10e9 // its size is no matter to laws that are told apart by shape
	}
	chosen, err := selected(s)
	if err != nil {
		return "", err
	}
	var levels []law.Point
	replicates := map[string]int{}
	fewest := math.MaxInt
	for _, in := range s.OfKind("infer") {
		if !chosen(in.Point) {
			continue
		}
		var calls struct {
			Calls int `json:"calls"`
		}
		if err := json.Unmarshal(in.With, &calls); err != nil {
			return "", fmt.Errorf("foresee %s: %w", in.ID, err)
		}
		fewest = min(fewest, calls.Calls)
		level := in.Stage
		for _, c := range in.Point {
			if c.Axis != "replicate" {
				level += fmt.Sprintf(",%s=%v", c.Axis, c.Value)
			}
		}
		if replicates[level]++; replicates[level] > 1 {
			continue
		}
		l := loads[in.ID]
		p := law.Point{Level: level, Service: float64(l.Block) / capacity * 1e9}
		p.Queued = float64(l.Threads*l.Outstanding) * p.Service
		switch {
		case l.Threads == 0:
			p.Service = 0
		case l.Rate.Share > 0:
			p.Utilisation = l.Rate.Share
		case l.Rate.PerSecond > 0:
			p.Utilisation = math.Min(1, l.Rate.PerSecond/capacity)
		default:
			p.Utilisation = 1
		}
		levels = append(levels, p)
	}
	if len(levels) == 0 {
		return "", fmt.Errorf("foresee %s: no inference among what it needs", s.ID)
	}
	least := math.MaxInt
	for _, n := range replicates {
		least = min(least, n)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d levels of at least %d replicates; simulated, %d sets a law:\n", len(levels), least, powerSets)
	if need := stats.Needed(0.99, stats.Confidence); fewest < need {
		fmt.Fprintf(&b, "no law will be claimed: p99 of a replicate needs %d calls, and there are %d\n", need, fewest)
	}
	for _, effect := range powerEffect {
		for _, noise := range powerNoise {
			d, err := law.PlannedDesign(levels, least, noise, effect)
			if err != nil { // the same for every effect: the design lacks something
				fmt.Fprintf(&b, "%v; limited rates, such as rate: 50%%, spread loads over the link\n", err)
				return b.String(), nil
			}
			fmt.Fprintf(&b, "replicates %g%% apart, up to %g times as long: %s\n", 100*noise, effect, d.Confuse(powerSets, s.Seed))
		}
	}
	return b.String(), nil
}

// selected tells which trials have the values that the notebook's parameter
// "where" asks of the columns that are axes; a trial that lacks an axis has an
// empty column.
func selected(s *cell.Spec) (func(cell.Point) bool, error) {
	var params struct {
		Where map[string]any `json:"where"`
	}
	if len(s.With) > 0 {
		if err := json.Unmarshal(s.With, &params); err != nil {
			return nil, fmt.Errorf("foresee %s: %w", s.ID, err)
		}
	}
	where, err := judge.Where(params.Where)
	if err != nil {
		return nil, fmt.Errorf("foresee %s: %w", s.ID, err)
	}
	maps.DeleteFunc(where, func(axis, _ string) bool {
		return !slices.ContainsFunc(s.OfKind("infer"), func(in cell.Input) bool {
			_, is := in.Point.Get(axis)
			return is
		})
	})
	return func(p cell.Point) bool {
		for axis, want := range where {
			got, is := p.Get(axis)
			if !is {
				got = ""
			}
			if fmt.Sprint(got) != want {
				return false
			}
		}
		return true
	}, nil
}
