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
// together; models with a part of the device to themselves; and every group that a line after the recording names by its models.
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
	for _, x := range report.Slowdowns {
		if len(x.Beside) == 0 { // a part of the device, and no other on it
			rows = append(rows, []string{x.Tenant.String(), x.Setting.String(), fmt.Sprintf("%.2f", x.P50.Value), x.P99.String(), "", ""})
		}
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

// waysTable has what models take beside another under MPS over what they take between
// processes, on one device: medians, in how many cases it is less, and in how many it is
// less, or more, in every replicate than in any of the other way.
func waysTable(t *testing.T, args []string) table {
	all := tenants(t, args[0])
	rows := table{{"of a pair", "cases", "under MPS, times that between processes", "less under MPS", "less in every replicate", "more in every replicate"}}
	for _, at := range []float64{0.5, 0.99} {
		var by []float64
		less, surely, more := 0, 0, 0
		for _, p := range all {
			if p.Setting != (colocation.Setting{Tenancy: "process"}) || len(p.Beside) != 1 {
				continue
			}
			m := find(all, "mps", p.Model, p.Beside)
			if m == nil {
				continue
			}
			process, mps := quantiles(t, p.Blocks, at), quantiles(t, m.Blocks, at)
			ratio := quantiles(t, [][]int64{m.All()}, at)[0] / quantiles(t, [][]int64{p.All()}, at)[0]
			by = append(by, ratio)
			for _, n := range []struct {
				count *int
				is    bool
			}{{&less, ratio < 1}, {&surely, slices.Max(mps) < slices.Min(process)}, {&more, slices.Min(mps) > slices.Max(process)}} {
				if n.is {
					*n.count++
				}
			}
		}
		rows = append(rows, []string{stats.Name(at), fmt.Sprint(len(by)), range2(by), fmt.Sprint(less), fmt.Sprint(surely), fmt.Sprint(more)})
	}
	return rows
}

// find returns a model beside others in closed loops without a load; nil where there is none.
func find(all []colocation.Tenant, tenancy, model string, beside []string) *colocation.Tenant {
	i := slices.IndexFunc(all, func(x colocation.Tenant) bool {
		return x.Setting == (colocation.Setting{Tenancy: tenancy}) && x.Model == model && slices.Equal(x.Beside, beside)
	})
	if i < 0 {
		return nil
	}
	return &all[i]
}

// quantiles are of each block.
func quantiles(t *testing.T, blocks [][]int64, at float64) (all []float64) {
	for _, b := range blocks {
		e, err := stats.NewECDF(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, float64(e.Quantile(at)))
	}
	return all
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
	x := find(all, "mps", model, beside)
	if x == nil {
		t.Fatalf("%s beside %v was not measured", model, beside)
	}
	return quantiles(t, [][]int64{x.All()}, q)[0]
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
