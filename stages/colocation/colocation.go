// Package colocation reads from a recording what models that share a device do to one
// another: how much slower each is beside each, what they answer together, and which may
// share.
//
// A tenant's calls come in blocks, over which intervals are (package stats): one for each
// replicate, which has processes of its own, or, where there is but one, for each window
// that it measured.
package colocation

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"barograph/stages/recording"
	"barograph/stages/stats"
)

// A Setting is how models shared a device.
type Setting struct {
	Tenancy  string // process, thread or mps, and the terms of each tenant, as in mps 50%+50%
	Load     string // direction of a bulk load on the link beside them; empty: none
	Arrivals string // requests a second, where they arrived by themselves; empty: closed loops
}

func (s Setting) String() string {
	text := s.Tenancy
	if s.Load != "" {
		text += ", load " + s.Load
	}
	if s.Arrivals != "" {
		text += ", " + s.Arrivals + " requests/s"
	}
	return text
}

// A Tenant is a model in a setting, alone or beside others, over all trials of that.
type Tenant struct {
	Setting
	Model  string
	Beside []string  // sorted; nil: alone
	Idle   bool      // alone, while processes of others paused with their sessions loaded
	Blocks [][]int64 // latencies in nanoseconds, in order of time; of a model beside itself both tenants'
	Busy   []float64 // calls a second in each window
	trials []string  // by window
}

// All returns the latencies of all blocks.
func (t Tenant) All() []int64 { return slices.Concat(t.Blocks...) }

func (t Tenant) String() string {
	switch {
	case t.Idle:
		return t.Model + " alone, others idle"
	case len(t.Beside) == 0:
		return t.Model + " alone"
	}
	return t.Model + " beside " + strings.Join(t.Beside, " and ")
}

// rate is the mean of calls a second.
func (t Tenant) rate() float64 {
	sum := 0.0
	for _, r := range t.Busy {
		sum += r
	}
	return sum / float64(len(t.Busy))
}

// Columns are those of samples.csv that Read wants. It also reads group, where it is there.
var Columns = []string{"model", "tenancy", "beside", "tenant", "round", "threads", "direction", "seq", "scheduled_ns", "latency_ns"}

// Read sorts samples by setting, model and what ran beside it, in that order. Of a
// recording without tenants there are none.
func Read(t *recording.Table) ([]Tenant, error) {
	if !t.Has("tenancy") {
		return nil, nil // nothing shared the device
	}
	names := []string{"tenancy", "threads", "direction", "beside", "model", "seq", "tenant", "round"}
	if t.Has("group") {
		names = append(names, "group")
	}
	var all []Tenant
	several := map[string]bool{} // trials that hold several models
	err := t.Groups(names, func(g *recording.Table, v []string) error {
		if v[0] == "" {
			return nil // of a study's trials without tenants
		}
		b := Tenant{Setting: Setting{Tenancy: v[0]}, Model: v[4], trials: v[5:6:6]}
		if v[1] != "0" && v[1] != "" {
			b.Load = v[2]
		}
		if v[3] != "" {
			b.Beside = slices.Sorted(strings.SplitSeq(v[3], "+"))
			several[v[5]] = true
		}
		if len(v) > 8 {
			b.Arrivals = arrivals(v[8], b.Model)
		}
		due, err := g.Ints("scheduled_ns")
		if err != nil {
			return err
		}
		latencies, err := g.Ints("latency_ns")
		if err != nil {
			return err
		}
		end := int64(0)
		for i := range due {
			end = max(end, due[i]+latencies[i])
		}
		b.Blocks, b.Busy = [][]int64{latencies}, []float64{float64(len(due)) / (float64(end-due[0]) / 1e9)}
		all = append(all, b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Idle = len(all[i].Beside) == 0 && several[all[i].trials[0]]
	}
	slices.SortStableFunc(all, compare)
	var joined []Tenant
	for _, t := range all {
		if n := len(joined) - 1; n >= 0 && compare(joined[n], t) == 0 {
			joined[n].Blocks, joined[n].Busy, joined[n].trials = append(joined[n].Blocks, t.Blocks...), append(joined[n].Busy, t.Busy...), append(joined[n].trials, t.trials...)
		} else {
			joined = append(joined, t)
		}
	}
	for i := range joined {
		joined[i].whole()
	}
	return joined, nil
}

// whole joins the windows of each trial where there are several trials: windows of the
// same processes are more alike than those of others.
func (t *Tenant) whole() {
	by, order := map[string][]int64{}, []string{}
	for i, trial := range t.trials {
		if by[trial] == nil {
			order = append(order, trial)
		}
		by[trial] = append(by[trial], t.Blocks[i]...)
	}
	if len(order) < 2 {
		return
	}
	t.Blocks = nil
	for _, trial := range order {
		t.Blocks = append(t.Blocks, by[trial])
	}
}

// arrivals reads a model's requests a second off its group, as in a@240+b@130.
func arrivals(group, model string) string {
	for part := range strings.SplitSeq(group, "+") {
		if name, rate, _ := strings.Cut(part, "@"); name == model {
			return rate
		}
	}
	return ""
}

func compare(a, b Tenant) int {
	return cmp.Or(cmp.Compare(a.Tenancy, b.Tenancy), cmp.Compare(a.Load, b.Load), cmp.Compare(a.Arrivals, b.Arrivals),
		cmp.Compare(a.Model, b.Model), slices.Compare(a.Beside, b.Beside), cmp.Compare(fmt.Sprint(a.Idle), fmt.Sprint(b.Idle)))
}

// Alone returns a model alone in a setting, with all of the GPU: without processes of others,
// or, where it was not measured so, with idle ones. Threads of a process are compared with
// one in a process.
func Alone(all []Tenant, model string, s Setting) (Tenant, bool) {
	if s.Tenancy, _, _ = strings.Cut(s.Tenancy, " "); s.Tenancy == "thread" {
		s.Tenancy = "process"
	}
	if t, ok := find(all, model, nil, s, false); ok {
		return t, true
	}
	return find(all, model, nil, s, true)
}

func find(all []Tenant, model string, beside []string, s Setting, idle bool) (Tenant, bool) {
	i := slices.IndexFunc(all, func(t Tenant) bool {
		return t.Setting == s && t.Model == model && t.Idle == idle && slices.Equal(t.Beside, beside)
	})
	if i < 0 {
		return Tenant{}, false
	}
	return all[i], true
}

// A Slowdown is how many times longer a model's calls take beside others, or with a part of
// the GPU, than alone.
type Slowdown struct {
	Tenant
	Alone    Tenant
	P50, P99 stats.Ratio // NaN where there are too few calls
	// Answers is what the model answers in a second, over what it answers alone: its
	// normalised progress.
	Answers float64
	Why     string // there is no number; empty otherwise

	base float64 // p99 alone, nanoseconds
}

// Slowdowns compares every tenant that had others beside it, be they idle, or not all of the
// GPU, with itself alone.
func Slowdowns(all []Tenant, b stats.Bootstrap) ([]Slowdown, error) {
	nan := stats.Ratio{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	known := map[string][]stats.Estimate{}
	estimates := func(t Tenant) ([]stats.Estimate, error) {
		key := fmt.Sprint(t.Setting, t)
		if known[key] != nil {
			return known[key], nil
		}
		e, err := stats.Estimates(t.Blocks, []float64{0.5, 0.99}, b)
		known[key] = e
		return e, err
	}
	var found []Slowdown
	for _, t := range all {
		alone, ok := Alone(all, t.Model, t.Setting)
		if len(t.Beside) == 0 && !strings.Contains(t.Tenancy, " ") && t.Idle == alone.Idle {
			continue // what others are compared with
		}
		s := Slowdown{Tenant: t, P50: nan, P99: nan, Answers: math.NaN()}
		if !ok {
			s.Why = fmt.Sprintf("%s was not measured alone (%s)", t.Model, t.Setting)
			found = append(found, s)
			continue
		}
		of, err := estimates(alone)
		if err != nil {
			return nil, err
		}
		beside, err := estimates(t)
		if err != nil {
			return nil, err
		}
		s.Alone, s.P50, s.P99, s.Answers = alone, beside[0].Over(of[0]), beside[1].Over(of[1]), t.rate()/alone.rate()
		s.base = of[1].Value
		for _, e := range []stats.Estimate{of[0], beside[0], of[1], beside[1]} {
			s.Why = cmp.Or(s.Why, e.Doubt)
		}
		found = append(found, s)
	}
	return found, nil
}

// A Group is models that shared a device, all of them.
type Group struct {
	Setting
	Models  []string   // sorted
	Members []Slowdown // one for each different model
	// Together is the sum of the members' normalised progress (system throughput): 1 is
	// what taking turns gives. Turnaround is the mean of their slowdowns, by rates.
	// Fairness is the least progress over the largest, from 0 to 1. Eyerman and Eeckhout,
	// "System-Level Performance Metrics for Multiprogram Workloads", IEEE Micro 28(3), 2008.
	Together, Turnaround, Fairness float64
}

// Groups puts slowdowns together that belong to one group of models, in order of setting
// and size. Requests that arrive by themselves set what is answered, and have no group.
func Groups(slow []Slowdown) (groups []Group) {
	for _, s := range slow {
		if s.Arrivals != "" || len(s.Beside) == 0 {
			continue
		}
		models := slices.Sorted(slices.Values(append([]string{s.Model}, s.Beside...)))
		i := slices.IndexFunc(groups, func(g Group) bool { return g.Setting == s.Setting && slices.Equal(g.Models, models) })
		if i < 0 {
			i, groups = len(groups), append(groups, Group{Setting: s.Setting, Models: models})
		}
		groups[i].Members = append(groups[i].Members, s)
	}
	for i := range groups {
		groups[i].sum()
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Tenancy, b.Tenancy), cmp.Compare(a.Load, b.Load), cmp.Compare(len(a.Models), len(b.Models)), slices.Compare(a.Models, b.Models))
	})
	return groups
}

func (g *Group) sum() {
	least, most := math.Inf(1), 0.0
	for _, m := range g.Members {
		times := 0.0
		for _, model := range g.Models {
			if model == m.Model {
				times++
			}
		}
		g.Together += times * m.Answers
		g.Turnaround += times / m.Answers / float64(len(g.Models))
		least, most = min(least, m.Answers), max(most, m.Answers)
	}
	g.Fairness = least / most
}

// String names the models.
func (g Group) String() string { return strings.Join(g.Models, " + ") }

// Share judges whether the models may share a device: whether p99 of each stays within so
// many times what it is alone.
func (g Group) Share(within float64) (verdict, because string) {
	var worst Slowdown
	open := false
	for _, m := range g.Members {
		switch {
		case math.IsNaN(m.P99.Value) || math.IsNaN(m.P99.High):
			return "unknown", m.Model + ": " + cmp.Or(m.Why, "too few calls for a p99")
		case m.P99.Low <= within && m.P99.High > within:
			open = true
		}
		if m.P99.Value > worst.P99.Value {
			worst = m
		}
	}
	because = fmt.Sprintf("p99 of %s is %v times that alone", worst.Model, worst.P99)
	switch {
	case worst.P99.Low > within:
		return "no", because
	case open:
		return "not identified", because
	}
	return "yes", because
}

// A Report is what models that share a device do to one another.
type Report struct {
	Slowdowns []Slowdown
	Groups    []Group
}

// Compare reads samples and compares every tenant with itself alone; where none had
// another beside it the report is empty. Resampling is seeded.
func Compare(t *recording.Table, seed uint64) (*Report, error) {
	all, err := Read(t)
	if err != nil {
		return nil, err
	}
	slow, err := Slowdowns(all, stats.Bootstrap{Seed: seed})
	if err != nil {
		return nil, err
	}
	return &Report{slow, Groups(slow)}, nil
}

// Idle tells whether models of a way to share were compared with themselves beside idle
// processes of others, which slow them, since they were not measured without.
func (r *Report) Idle(tenancy string) bool {
	return slices.ContainsFunc(r.Slowdowns, func(x Slowdown) bool { return x.Tenancy == tenancy && len(x.Beside) > 0 && x.Alone.Idle })
}

// Settings are those in which pairs were measured in closed loops, in the order of their
// names.
func (r *Report) Settings() (all []Setting) {
	for _, g := range r.Groups {
		if len(g.Models) == 2 && !slices.Contains(all, g.Setting) {
			all = append(all, g.Setting)
		}
	}
	return all
}

// Models are those that were beside one other in a setting, in alphabetical order.
func (r *Report) Models(s Setting) (models []string) {
	for _, x := range r.Slowdowns {
		if x.Setting == s && len(x.Beside) == 1 && !slices.Contains(models, x.Model) {
			models = append(models, x.Model)
		}
	}
	slices.Sort(models)
	return models
}

// Matrix returns p50 or p99, as times that alone with its interval, or together, what a
// pair answers over what it would by turns, without: for some models in a setting, victims
// down and aggressors across; NaN where it was not measured.
func (r *Report) Matrix(s Setting, models []string, quantity string) (values, low, high [][]float64, err error) {
	for _, m := range []*[][]float64{&values, &low, &high} {
		for range models {
			*m = append(*m, slices.Repeat([]float64{math.NaN()}, len(models)))
		}
	}
	set := func(victim, aggressor string, v stats.Ratio) {
		if i, k := slices.Index(models, victim), slices.Index(models, aggressor); i >= 0 && k >= 0 {
			values[i][k], low[i][k], high[i][k] = v.Value, v.Low, v.High
		}
	}
	switch quantity {
	case "together":
		for _, g := range r.Groups {
			if g.Setting == s && len(g.Models) == 2 {
				v := stats.Ratio{Value: g.Together, Low: math.NaN(), High: math.NaN()}
				set(g.Models[0], g.Models[1], v)
				set(g.Models[1], g.Models[0], v)
			}
		}
	case "p50", "p99":
		for _, x := range r.Slowdowns {
			if x.Setting == s && len(x.Beside) == 1 {
				set(x.Model, x.Beside[0], map[string]stats.Ratio{"p50": x.P50, "p99": x.P99}[quantity])
			}
		}
	default:
		return nil, nil, nil, fmt.Errorf("no quantity %q: there are p50, p99 and together", quantity)
	}
	return values, low, high, nil
}

// Find returns the slowdown of a model beside others.
func (r *Report) Find(s Setting, model string, beside ...string) (x Slowdown, ok bool) {
	slices.Sort(beside)
	i := slices.IndexFunc(r.Slowdowns, func(x Slowdown) bool {
		return x.Setting == s && x.Model == model && !x.Idle && slices.Equal(x.Beside, beside)
	})
	if i < 0 {
		return x, false
	}
	return r.Slowdowns[i], true
}
