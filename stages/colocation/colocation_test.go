package colocation

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"barograph/stages/recording"
	"barograph/stages/stats"
)

// A trial is what one tenant of one did, each call as long as the one before.
type trial struct {
	group, tenancy, model, beside string
	tenant, round, threads, seq   int
	each, calls                   int
}

// table writes trials as samples.csv has them.
func table(t *testing.T, trials []trial) *recording.Table {
	t.Helper()
	var b strings.Builder
	b.WriteString(strings.Join(Columns, ",") + ",group\n")
	for _, x := range trials {
		for i := range x.calls {
			fmt.Fprintf(&b, "%s,%s,%s,%d,%d,%d,d2h,%d,%d,%d,%s\n", x.model, x.tenancy, x.beside, x.tenant, x.round, x.threads, x.seq, 1_000_000+i*x.each, x.each, x.group)
		}
	}
	got, err := recording.Read(strings.NewReader(b.String()), recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// trials of a and b: alone 1 and 2 ms, together 3 and 4; a beside itself 2; under a load
// only together.
func trials() (all []trial) {
	const ms, n = 1_000_000, 400
	for round := 1; round <= 2; round++ {
		all = append(all,
			trial{"a", "process", "a", "", 1, round, 0, 1, 1 * ms, n}, trial{"b", "process", "b", "", 1, round, 0, 2, 2 * ms, n},
			trial{"a+b", "process", "a", "b", 1, round, 0, 3, 3 * ms, n}, trial{"a+b", "process", "b", "a", 2, round, 0, 3, 4 * ms, n},
			trial{"a+a", "process", "a", "a", 1, round, 0, 4, 2 * ms, n}, trial{"a+a", "process", "a", "a", 2, round, 0, 4, 2 * ms, n},
			trial{"a+b", "thread", "a", "b", 1, round, 0, 5, 2 * ms, n}, trial{"a+b", "thread", "b", "a", 2, round, 0, 5, 3 * ms, n},
			trial{"a+b", "process", "a", "b", 1, round, 2, 6, 9 * ms, n}, trial{"a+b", "process", "b", "a", 2, round, 2, 6, 9 * ms, n},
			trial{"a@100+b@50", "process", "a", "b", 1, round, 0, 7, 5 * ms, n}, trial{"b+a+a", "process", "b", "a+a", 1, round, 0, 8, 8 * ms, n},
			trial{"", "", "a", "", 1, round, 0, 9, 1 * ms, n})
	}
	return all
}

func TestCompare(t *testing.T) {
	r, err := Compare(table(t, trials()), 1)
	if err != nil {
		t.Fatal(err)
	}
	process, loaded, open := Setting{Tenancy: "process"}, Setting{Tenancy: "process", Load: "d2h"}, Setting{Tenancy: "process", Arrivals: "100"}
	for _, c := range []struct {
		s                 Setting
		model             string
		beside            []string
		p50, p99, answers float64
		blocks            int
	}{
		{process, "a", []string{"b"}, 3, 3, 1. / 3, 2},
		{process, "b", []string{"a"}, 2, 2, 1. / 2, 2},
		{process, "a", []string{"a"}, 2, 2, 1. / 2, 4},
		{process, "b", []string{"a", "a"}, 4, 4, 1. / 4, 2},
		{Setting{Tenancy: "thread"}, "a", []string{"b"}, 2, 2, 1. / 2, 2},
	} {
		x, ok := r.Find(c.s, c.model, c.beside...)
		if !ok || x.P50.Value != c.p50 || x.P99.Value != c.p99 || math.Abs(x.Answers-c.answers) > 1e-3 || x.Why != "" || len(x.Blocks) != c.blocks || !(x.P99.Low <= c.p99 && c.p99 <= x.P99.High) {
			t.Errorf("%s %v beside %v: %+v %v", c.s, c.model, c.beside, x, ok)
		}
	}
	for _, s := range []Setting{loaded, open} {
		if x, ok := r.Find(s, "a", "b"); !ok || !math.IsNaN(x.P50.Value) || !strings.Contains(x.Why, "a was not measured alone ("+s.String()) {
			t.Errorf("%s: %+v, %v", s, x, ok)
		}
	}
	if _, ok := r.Find(process, "a"); ok {
		t.Error("a model alone is slowed by nobody")
	}
	if s := r.Settings(); !reflect.DeepEqual(s, []Setting{process, loaded, {Tenancy: "thread"}}) {
		t.Errorf("settings %v", s)
	}
	models := r.Models(process)
	for quantity, want := range map[string][4]float64{"p50": {2, 3, 2, math.NaN()}, "p99": {2, 3, 2, math.NaN()}, "together": {1, 5. / 6, 5. / 6, math.NaN()}} {
		m, low, high, err := r.Matrix(process, models, quantity)
		if err != nil || !slices.Equal(models, []string{"a", "b"}) {
			t.Fatal(models, err)
		}
		for i, v := range slices.Concat(m...) {
			if math.IsNaN(v) != math.IsNaN(want[i]) || math.Abs(v-want[i]) > 1e-3 {
				t.Errorf("%s: %v, want %v", quantity, m, want)
			}
			if l, h := slices.Concat(low...)[i], slices.Concat(high...)[i]; quantity == "together" && !math.IsNaN(l) || quantity != "together" && !math.IsNaN(v) && !(l <= v && v <= h) {
				t.Errorf("%s: %v in %v to %v", quantity, v, l, h)
			}
		}
	}
	if _, _, _, err := r.Matrix(process, models, "p90"); err == nil {
		t.Error("no error about p90")
	}
}

// A model that calls alone in a trial that has others, which pause, is held against itself
// without them, and is what pairs are held against only where there is nothing else.
func TestIdle(t *testing.T) {
	const ms, n = 1_000_000, 400
	among := []trial{
		{"", "mps", "a", "", 1, 1, 0, 1, 5 * ms / 4, n}, {"", "mps", "b", "", 2, 2, 0, 1, 2 * ms, n},
		{"", "mps", "a", "b", 1, 3, 0, 1, 2 * ms, n}, {"", "mps", "b", "a", 2, 3, 0, 1, 3 * ms, n},
	}
	mps := Setting{Tenancy: "mps"}
	r, err := Compare(table(t, among), 1)
	if err != nil {
		t.Fatal(err)
	}
	if x, ok := r.Find(mps, "a", "b"); !ok || x.P50.Value != 1.6 || !x.Alone.Idle || !r.Idle("mps") || r.Idle("process") || len(r.Slowdowns) != 2 {
		t.Errorf("%+v, %v", r, ok)
	}
	if c := r.gains(); c.Verdict != "not identified" || !strings.Contains(c.Because, "129% of what it would by turns, held against models alone beside idle") {
		t.Errorf("%+v", c)
	}
	without := []trial{{"a", "mps", "a", "", 1, 1, 0, 2, ms, n}, {"b", "mps", "b", "", 1, 1, 0, 3, 2 * ms, n}}
	if r, err = Compare(table(t, append(without, among...)), 1); err != nil {
		t.Fatal(err)
	}
	if x, ok := r.Find(mps, "a", "b"); !ok || x.P50.Value != 2 || r.Idle("mps") {
		t.Errorf("%+v, %v", x, ok)
	}
	if c := r.gains(); c.Verdict != "reproduced" || !strings.Contains(c.Because, "117%") {
		t.Errorf("%+v", c)
	}
	i := slices.IndexFunc(r.Slowdowns, func(x Slowdown) bool { return x.Idle && x.Model == "a" })
	if i < 0 || r.Slowdowns[i].P50.Value != 1.25 || r.Slowdowns[i].String() != "a alone, others idle" || len(r.Groups) != 1 {
		t.Errorf("%+v", r.Slowdowns)
	}
}

// Processes that are held against slowed ones are refuted to take turns only by answering
// less.
func TestEven(t *testing.T) {
	for together, want := range map[float64]string{0.8: "refuted", 0.95: "not identified", 1.3: "not identified"} {
		x := Slowdown{Tenant: Tenant{Setting: Setting{Tenancy: "process"}, Model: "a", Beside: []string{"b"}}, Alone: Tenant{Idle: true}}
		r := &Report{Slowdowns: []Slowdown{x}, Groups: []Group{{Setting: x.Setting, Models: []string{"a", "b"}, Together: together}}}
		if c := r.even(); c.Verdict != want {
			t.Errorf("%g: %+v, want %s", together, c, want)
		}
	}
}

func TestGroups(t *testing.T) {
	r, err := Compare(table(t, trials()), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Groups {
		verdict, because := g.Share(2.5)
		switch fmt.Sprint(g.Setting, ": ", g) {
		case "process: a + a":
			if math.Abs(g.Together-1) > 1e-3 || math.Abs(g.Turnaround-2) > 1e-3 || g.Fairness != 1 || verdict != "yes" {
				t.Errorf("%+v: %s, %s", g, verdict, because)
			}
		case "process: a + b":
			if math.Abs(g.Together-5./6) > 1e-3 || math.Abs(g.Turnaround-2.5) > 1e-3 || math.Abs(g.Fairness-2./3) > 1e-3 || verdict != "no" || !strings.Contains(because, "p99 of a is 3.00") {
				t.Errorf("%+v: %s, %s", g, verdict, because)
			}
		case "process, load d2h: a + b":
			if !math.IsNaN(g.Together) || verdict != "unknown" || !strings.Contains(because, "not measured alone") {
				t.Errorf("%+v: %s, %s", g, verdict, because)
			}
		}
	}
	doubtful := Group{Members: []Slowdown{{P99: stats.Ratio{Value: 2, Low: 1, High: 3}}, {P99: stats.Ratio{Value: 1, Low: 1, High: 1}}}}
	if v, _ := doubtful.Share(2.5); v != "not identified" {
		t.Errorf("an interval across the bound: %s", v)
	}
}

// Where no model ran beside another, or nobody says how a device was shared, there is
// nothing to compare.
func TestNothing(t *testing.T) {
	plain, err := recording.Read(strings.NewReader("level,latency_ns\n0,5\n"), recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, samples := range map[string]*recording.Table{
		"alone":      table(t, []trial{{"a", "process", "a", "", 1, 1, 0, 1, 5, 3}}),
		"no tenancy": table(t, []trial{{"", "", "a", "", 1, 1, 0, 1, 5, 3}}),
		"no columns": plain,
	} {
		r, err := Compare(samples, 1)
		if err != nil || len(r.Slowdowns) > 0 || len(r.Groups) > 0 || len(r.Settings()) > 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// Pairs of too few calls were measured: it is their p99 that is missing, which is said, and
// which leaves open what the others do not decide.
func TestConcludeFew(t *testing.T) {
	const ms = 1_000_000
	pairs := func(n int, models ...string) (all []trial) {
		for _, tenancy := range []string{"process", "mps"} {
			for _, m := range models {
				all = append(all, trial{m, tenancy, m, "", 1, 1, 0, 21, 2 * ms, n})
			}
			took := map[string]int{"process": 4 * ms, "mps": 3 * ms}[tenancy]
			set := strings.Join(models, "+")
			all = append(all, trial{set, tenancy, models[0], models[1], 1, 1, 0, 23, took, n}, trial{set, tenancy, models[1], models[0], 2, 1, 0, 23, took, n})
		}
		return all
	}
	for name, c := range map[string]struct {
		trials  []trial
		verdict string
		says    []string
	}{
		"all few":  {pairs(30, "a", "b"), "not identified", []string{"no p99 of 2 models", "n too small", "30"}},
		"half few": {append(pairs(400, "a", "b"), pairs(30, "c", "d")...), "not identified", []string{"for 2 of 2", "no p99 of 2 models", "n too small"}},
		"none few": {pairs(400, "a", "b"), "reproduced", []string{"for 2 of 2"}},
	} {
		r, err := Compare(table(t, c.trials), 1)
		if err != nil {
			t.Fatal(err)
		}
		k := r.Conclude()[0]
		for _, text := range c.says {
			if k.Verdict != c.verdict || !strings.Contains(k.Because, text) || strings.Contains(k.Because, "not measured") {
				t.Errorf("%s: %+v, want %s with %q", name, k, c.verdict, text)
			}
		}
	}
}

// What is concluded follows what was measured, and says where nothing was.
func TestConclude(t *testing.T) {
	const ms, n = 1_000_000, 400
	under := func(alone, beside int) []trial { // MPS: what a takes alone is its, what beside b too
		return []trial{
			{"a", "mps", "a", "", 1, 1, 0, 21, alone, n}, {"b", "mps", "b", "", 1, 1, 0, 22, 2 * ms, n},
			{"a+b", "mps", "a", "b", 1, 1, 0, 23, beside, n}, {"a+b", "mps", "b", "a", 2, 1, 0, 23, 3 * ms, n},
		}
	}
	for name, c := range map[string]struct {
		trials []trial
		wants  string // verdicts of K1, K2 and K3
		effect [3]float64
	}{
		"nothing":                 {nil, "not identified, not identified, not identified", [3]float64{}},
		"processes alone":         {trials(), "not identified, not identified, refuted", [3]float64{0, 0, 1.0/3 + 0.5 - 1}},
		"better under MPS":        {append(trials(), under(1*ms, 2*ms)...), "reproduced, reproduced, refuted", [3]float64{1, 0.5 + 2.0/3 - 1, 1.0/3 + 0.5 - 1}},
		"one worse under MPS":     {append(trials(), under(1*ms, 4*ms)...), "refuted, refuted, refuted", [3]float64{0.5, 0.25 + 2.0/3 - 1, 1.0/3 + 0.5 - 1}},
		"a pair that takes turns": {append(trials()[:8], trial{"b", "process", "b", "", 1, 2, 0, 2, 4 * ms, n}), "not identified, not identified, reproduced", [3]float64{}},
	} {
		r, err := Compare(table(t, c.trials), 1)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, k := range r.Conclude() {
			got = append(got, k.Verdict)
			if want := math.Abs(c.effect[i]); c.effect != [3]float64{} && math.Abs(math.Abs(k.Effect)-want) > 0.01 || k.Because == "" || k.Claim != fmt.Sprintf("K%d", i+1) {
				t.Errorf("%s: %+v, want the effect %v", name, k, want)
			}
		}
		if strings.Join(got, ", ") != c.wants {
			t.Errorf("%s: %v, want %s", name, r.Conclude(), c.wants)
		}
	}
}

// Intervals rest on replicates, where there are several, and else on windows.
func TestBlocks(t *testing.T) {
	const ms, n = 1_000_000, 100
	for replicates, want := range map[int]int{1: 2, 3: 3} {
		var all []trial
		for seq := range replicates {
			for round := 1; round <= 2; round++ {
				all = append(all, trial{"a", "mps", "a", "", 1, round, 0, seq, ms, n})
			}
		}
		got, err := Read(table(t, all))
		if err != nil || len(got) != 1 || len(got[0].Blocks) != want || len(got[0].All()) != 2*n*replicates || len(got[0].Busy) != 2*replicates {
			t.Errorf("%d replicates: %+v, %v; want %d blocks", replicates, got, err, want)
		}
	}
}
