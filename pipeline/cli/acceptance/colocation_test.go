package acceptance

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/stages/colocation"
	"barograph/stages/recording"
	"barograph/stages/stats"
)

// sharedTable has what models that share a device do to one another: of all pairs in each
// setting medians with the least and the most; the pairs that answer least and most
// together; and every group that a line after the recording names by its models.
func sharedTable(t *testing.T, args []string) table {
	report := compared(t, args[0])
	rows := table{{"models", "shared by", "p50, times that alone", "p99, times that alone", "together, turns: 1", "fairness"}}
	group := func(g colocation.Group) {
		row := []string{g.String(), g.Setting.String(), "", "", fmt.Sprintf("%.2f", g.Together), fmt.Sprintf("%.2f", g.Fairness)}
		for i, m := range g.Members {
			sep := [2]string{"", ", "}[min(i, 1)]
			row[2] += fmt.Sprintf("%s%.2f", sep, m.P50.Value)
			row[3] += sep + m.P99.String()
		}
		rows = append(rows, row)
	}
	for _, s := range report.Settings() {
		var pairs []colocation.Group
		var p50, p99, together, fair []float64
		for _, g := range report.Groups {
			if g.Setting != s || len(g.Models) != 2 {
				continue
			}
			pairs, together, fair = append(pairs, g), append(together, g.Together), append(fair, g.Fairness)
			for _, m := range g.Members {
				p50, p99 = append(p50, m.P50.Value), append(p99, m.P99.Value)
			}
		}
		if len(pairs) < 3 {
			continue // named below, or not of interest
		}
		rows = append(rows, []string{fmt.Sprintf("%d pairs", len(pairs)), s.String(), range2(p50), range2(p99), range2(together), range2(fair)})
		slices.SortFunc(pairs, func(a, b colocation.Group) int { return map[bool]int{true: -1, false: 1}[a.Together < b.Together] })
		group(pairs[0])
		group(pairs[len(pairs)-1])
	}
	for _, name := range args[1:] {
		for _, g := range report.Groups {
			if g.String() == name && !math.IsNaN(g.Together) {
				group(g)
			}
		}
	}
	return rows
}

// compared reads what models that share a device do to one another in a recording.
func compared(t *testing.T, dir string) *colocation.Report {
	samples, err := recording.Open(filepath.Join(dir, "samples.csv"), recording.Options{Recorded: true, Columns: append([]string{"group"}, colocation.Columns...)})
	if err != nil {
		t.Fatal(err)
	}
	report, err := colocation.Compare(samples, 1)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// waysTable has what models suffer as processes, of one recording, and under MPS, of
// another, each over itself alone in its own: medians, and in how many cases it is less
// under MPS, and less or more by intervals that do not meet.
func waysTable(t *testing.T, args []string) table {
	as, under := compared(t, args[0]), compared(t, args[1])
	rows := table{{"of a pair", "cases in both", "process", "mps", "less under mps", "surely less", "surely more"}}
	quantiles := []struct {
		name string
		of   func(colocation.Slowdown) stats.Ratio
	}{
		{"p50, times that alone", func(s colocation.Slowdown) stats.Ratio { return s.P50 }},
		{"p99, times that alone", func(s colocation.Slowdown) stats.Ratio { return s.P99 }},
	}
	for _, q := range quantiles {
		var a, b []float64
		less, surely, more := 0, 0, 0
		for _, s := range as.Slowdowns {
			if s.Setting != (colocation.Setting{Tenancy: "process"}) || len(s.Beside) != 1 {
				continue
			}
			x, ok := under.Find(colocation.Setting{Tenancy: "mps"}, s.Model, s.Beside...)
			p, m := q.of(s), q.of(x)
			if !ok || math.IsNaN(p.Value+m.Value) {
				continue
			}
			a, b = append(a, p.Value), append(b, m.Value)
			for _, n := range []struct {
				count *int
				is    bool
			}{{&less, m.Value < p.Value}, {&surely, m.High < p.Low}, {&more, m.Low > p.High}} {
				if n.is {
					*n.count++
				}
			}
		}
		rows = append(rows, []string{q.name, fmt.Sprint(len(a)), range2(a), range2(b), fmt.Sprint(less), fmt.Sprint(surely), fmt.Sprint(more)})
	}
	return rows
}

func range2(values []float64) string {
	slices.Sort(values)
	return fmt.Sprintf("%.2f [%.2f, %.2f]", middle(values), values[0], values[len(values)-1])
}

// placedTable has what was measured of sets of models that were placed in groups under
// predictions, and of the same sets placed otherwise: the largest p99, and p50, of a model
// over its own alone, beside what was predicted of it. The arguments are the recording of
// groups, that of models alone, and what was proposed.
func placedTable(t *testing.T, args []string) table {
	type groups [][]string
	var sets []struct {
		Set       []string
		Proposed  groups
		FirstFit  groups `json:"first_fit"`
		Random    groups
		Predicted struct {
			Worst    float64
			FirstFit struct{ Worst float64 } `json:"first_fit"`
		}
	}
	b, err := os.ReadFile(args[2])
	if err == nil {
		err = json.Unmarshal(b, &sets)
	}
	if err != nil {
		t.Fatal(err)
	}
	together, alone := tenants(t, args[0]), tenants(t, args[1])
	silent := map[string]int{} // tenants that the daemon did not answer, by group
	run, err := recording.ReadRun(filepath.Join(args[0], "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, trial := range run.Trials {
		if g := trial.Infer.GPU; g != nil && len(g.Invalid) > 0 {
			silent[strings.Join(slices.Sorted(slices.Values(append(slices.Clone(trial.Infer.Tenancy.Beside), trial.Infer.Model))), "+")]++
		}
	}
	rows := table{{"set", "placed", "on one GPU and the other", "predicted: worst p99", "measured: worst p99", "worst p50", "whose p99", "tenants not asked"}}
	for i, set := range sets {
		for _, way := range []struct {
			name      string
			groups    groups
			predicted float64
		}{{"proposed", set.Proposed, set.Predicted.Worst}, {"first-fit", set.FirstFit, set.Predicted.FirstFit.Worst}, {"random", set.Random, math.NaN()}} {
			worst, whose, missing, names := [2]float64{}, "", 0, []string{}
			for _, group := range way.groups {
				names = append(names, strings.Join(group, " + "))
				missing += silent[strings.Join(slices.Sorted(slices.Values(group)), "+")]
				for k, model := range group {
					others := slices.Sorted(slices.Values(slices.Concat(group[:k], group[k+1:])))
					for q, at := range []float64{0.5, 0.99} {
						if v := quantileOf(t, together, model, others, at) / quantileOf(t, alone, model, nil, at); v > worst[q] {
							if worst[q] = v; q == 1 {
								whose = model
							}
						}
					}
				}
			}
			predicted := "not kept"
			if !math.IsNaN(way.predicted) {
				predicted = fmt.Sprintf("%.2f", way.predicted)
			}
			rows = append(rows, []string{fmt.Sprint(i + 1), way.name, strings.Join(names, "; "), predicted, fmt.Sprintf("%.2f", worst[1]), fmt.Sprintf("%.2f", worst[0]), whose, fmt.Sprint(missing)})
		}
	}
	return rows
}

func tenants(t *testing.T, dir string) []colocation.Tenant {
	samples, err := recording.Open(filepath.Join(dir, "samples.csv"), recording.Options{Recorded: true, Columns: append([]string{"group"}, colocation.Columns...)})
	if err != nil {
		t.Fatal(err)
	}
	all, err := colocation.Read(samples)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// quantileOf is of a model's calls under MPS beside others, in closed loops without a load.
func quantileOf(t *testing.T, all []colocation.Tenant, model string, beside []string, q float64) float64 {
	for _, x := range all {
		if x.Setting == (colocation.Setting{Tenancy: "mps"}) && x.Model == model && slices.Equal(x.Beside, beside) {
			e, err := stats.NewECDF(x.All())
			if err != nil {
				t.Fatal(err)
			}
			return float64(e.Quantile(q))
		}
	}
	t.Fatalf("%s beside %v was not measured", model, beside)
	return 0
}

// grownTable has what processes and their GPU held before and after many calls.
func grownTable(t *testing.T, args []string) table {
	run, err := recording.ReadRun(args[0])
	if err != nil {
		t.Fatal(err)
	}
	rows := table{{"tenant", "calls", "resident before", "after", "GPU memory of all before", "after"}}
	for _, trial := range run.Trials {
		in := trial.Infer
		mib := func(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
		rows = append(rows, []string{in.Model, fmt.Sprint(in.Calls), mib(in.Resident[0]), mib(in.Resident[1]), mib(in.GPU.Before.MemoryUsed), mib(in.GPU.After.MemoryUsed)})
	}
	return rows
}
