//go:build go1.21

// Colocation draws what models that share a device do to one another, and judges who may
// share with whom.
package main

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
	"barograph/stages/judge"
)

func main() {
	// %% [markdown] Who may share a device with whom
	//
	// Each model beside each, against the same model alone in the same setting: as separate
	// processes, as threads of one, or under MPS. Calls count while all of their trial ran.
	// Together is what a group answers over what it would by turns (system throughput,
	// turns: 1); fairness is the least progress of a member over the largest.
	samples := nb.Samples("samples.csv", "model", "tenancy", "beside", "tenant", "round", "threads", "direction", "seq", "scheduled_ns", "latency_ns", "group")
	run := nb.Recording("run.json")
	untrusted := judge.Untrusted(run)
	report := samples.Colocation()
	if len(report.Slowdowns) == 0 {
		nb.Check(errors.New("no model ran beside another"))
	}
	within := nb.Float("within", 2)
	alone := "alone"
	for _, setting := range report.Settings() {
		if report.Idle(setting.Tenancy) {
			alone = "alone beside idle processes of others"
		}
	}

	// %% Tables
	rows := [][]string{{"model", "shared by", "p50", "p99", "answers", "why"}}
	numbers := [][]string{{"tenancy", "load", "arrivals", "model", "beside", "calls", "blocks", "p50_ratio", "p50_low", "p50_high", "p99_ratio", "p99_low", "p99_high", "answers", "why"}}
	for _, s := range report.Slowdowns {
		beside := strings.Join(s.Beside, " + ")
		rows = append(rows, []string{s.Tenant.String(), s.Setting.String(), s.P50.String(), s.P99.String(), ratio(s.Answers), s.Why})
		numbers = append(numbers, []string{s.Tenancy, s.Load, s.Arrivals, s.Model, beside, fmt.Sprint(len(s.All())), fmt.Sprint(len(s.Blocks)),
			nb.Number(s.P50.Value), nb.Number(s.P50.Low), nb.Number(s.P50.High), nb.Number(s.P99.Value), nb.Number(s.P99.Low), nb.Number(s.P99.High), nb.Number(s.Answers), s.Why})
	}
	for _, setting := range report.Settings() {
		models := report.Models(setting)
		for _, victim := range models {
			for _, aggressor := range models {
				if _, ok := report.Find(setting, victim, aggressor); !ok && setting.Load == "" && len(models) > 2 {
					numbers = append(numbers, []string{setting.Tenancy, "", setting.Arrivals, victim, aggressor, "0", "0", "", "", "", "", "", "", "", "no trial of it was kept"})
				}
			}
		}
	}
	nb.Table("summary.csv", numbers)
	nb.Table(nb.String("figures", "figures/colocation")+"-slowdowns.csv", numbers)
	groups := [][]string{{"models", "shared by", "together", "turnaround", "fairness", "may share", "because"}}
	shared := [][]string{{"tenancy", "load", "models", "together", "turnaround", "fairness", "may_share", "because"}}
	for _, g := range report.Groups {
		verdict, because := g.Share(within)
		groups = append(groups, []string{g.String(), g.Setting.String(), ratio(g.Together), ratio(g.Turnaround), ratio(g.Fairness), verdict, because})
		shared = append(shared, []string{g.Tenancy, g.Load, g.String(), nb.Number(g.Together), nb.Number(g.Turnaround), nb.Number(g.Fairness), verdict, because})
	}
	nb.Table(nb.String("figures", "figures/colocation")+"-groups.csv", shared)
	nb.Summary(nb.Title(run, "times that "+alone+", with 95% intervals; answers: per second, over those "+alone) + "\n\n" + nb.Align(rows))
	nb.Summary(fmt.Sprintf("may share: p99 of each within %v times that %s\n", within, alone) + nb.Align(groups))

	// %% Verdicts
	for _, c := range report.Conclude() {
		if untrusted != "" {
			c.Verdict, c.Because = nb.Invalid, untrusted
		}
		nb.Verdict(c.Claim, c.Verdict, c.Because)
	}
	nb.Concluded()

	// %% Matrices
	//
	// Victims down, aggressors across.
	for _, quantity := range []string{"p50", "p99", "together"} {
		names, columns, values, low, high := []string{}, []string{}, [][]float64{}, [][]float64{}, [][]float64{}
		for _, setting := range report.Settings() {
			models := report.Models(setting)
			if len(columns) == 0 {
				columns = models
			}
			if setting.Load != "" || len(models) < len(columns) {
				continue // of a few pairs: in the table
			}
			matrix, from, to, err := report.Matrix(setting, columns, quantity)
			nb.Check(err)
			values, low, high = append(values, matrix...), append(low, from...), append(high, to...)
			for i := range columns {
				names = append(names, columns[i]+", "+setting.String())
			}
		}
		short := []string{}
		for _, c := range columns {
			short = append(short, strings.TrimSuffix(strings.TrimSuffix(c, "-uncased"), "-patch16"))
		}
		title, caption := "How much slower each model is beside each, "+quantity, "A model's "+quantity+" (down) beside another (across), over that "+alone+", with its 95% interval"
		if quantity == "together" {
			low, high = nil, nil
			title, caption = "What two models answer together, over what they would by turns", "Sum of what each answers in a second over what it answers "+alone+"; by turns it would be 1"
		}
		fig, err := figure.Heat(figure.HeatSpec{
			Title: title, Rows: names, Columns: short, Values: values, Low: low, High: high, Least: 1,
			Caption:   nb.Caption(caption + ", on " + run.Machine.Name + ". –: not measured, or too few calls."),
			Simulated: run.Simulated, Invalid: untrusted, Width: 70 + 15*float64(len(columns)),
		})
		nb.Check(err)
		name := nb.String("figures", "figures/colocation") + "-" + quantity
		nb.Save(fig, name+".svg", name+".pdf", name+".png", name+".csv")
	}

	// %% A pair
	victim, aggressor := nb.String("victim", "bert-base-uncased"), nb.String("aggressor", "resnet50")
	lines := []figure.Series{}
	for _, setting := range report.Settings() {
		if s, ok := report.Find(setting, victim, aggressor); ok {
			if len(lines) == 0 && s.Why == "" {
				lines = append(lines, figure.Series{Label: "alone", Latencies: s.Alone.All()})
			}
			lines = append(lines, figure.Series{Label: setting.String(), Latencies: s.All()})
		}
	}
	if len(lines) == 0 { // that pair was not measured: the first that was
		s := report.Slowdowns[0]
		victim, aggressor = s.Model, strings.Join(s.Beside, " and ")
		lines = append(lines, figure.Series{Label: s.Setting.String(), Latencies: s.All()})
		if s.Why == "" {
			lines = append(lines, figure.Series{Label: "alone", Latencies: s.Alone.All()})
		}
	}
	fig, err := figure.ECDF(figure.ECDFSpec{
		Title: "Inference time of a model alone, and beside another by ways of sharing", Series: lines,
		Caption:   nb.Caption(victim + " beside " + aggressor + ", on " + run.Machine.Name + "."),
		Simulated: run.Simulated, Invalid: untrusted,
	})
	nb.Check(err)
	name := nb.String("figures", "figures/colocation") + "-ecdf"
	nb.Save(fig, name+".svg", name+".pdf", name+".png", name+".csv")
}

// ratio writes a ratio without an interval.
func ratio(v float64) string {
	if math.IsNaN(v) {
		return "unknown"
	}
	return fmt.Sprintf("%.2f", v)
}
