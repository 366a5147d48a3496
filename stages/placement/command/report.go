package command

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"barograph/stages/placement"
	"barograph/stages/prediction"
)

// A report is what the command writes. Times are nanoseconds.
type report struct {
	Predicted bool    `json:"predicted"` // always: nothing beside others was measured
	Machine   string  `json:"machine"`
	Tenancy   string  `json:"tenancy"`
	GPUs      int     `json:"gpus"`
	Memory    int64   `json:"memory_bytes,omitempty"` // that models may take of each; 0: not planned for
	Keeps     bool    `json:"keeps"`                  // whether every limit is kept
	Worst     float64 `json:"worst"`                  // largest p99 over its limit, or over what it is alone
	Groups    []group `json:"groups"`
	FirstFit  *other  `json:"first_fit,omitempty"` // absent where one model fits on no GPU
	// Risk is the probability that what is predicted best is worse than first-fit. Best is that,
	// where first-fit was not left for it.
	Risk    float64  `json:"risk"`
	Best    *other   `json:"best_predicted,omitempty"`
	Random  *random  `json:"random,omitempty"` // likewise
	Card    string   `json:"link_card"`
	Samples []string `json:"samples"`
	Learned string   `json:"learned_from,omitempty"`

	Doubts []string `json:"doubts,omitempty"`

	limited bool
	excess  string
}

// A group is what shares one GPU.
type group struct {
	GPU     int      `json:"gpu"`                    // from 1
	Memory  int64    `json:"memory_bytes,omitempty"` // 0: not known
	Tenants []tenant `json:"tenants"`
}

type tenant struct {
	Model string              `json:"model"`
	P50   prediction.Estimate `json:"p50_ns"`
	P99   prediction.Estimate `json:"p99_ns"`
	Alone float64             `json:"alone_p99_ns"`
	Limit float64             `json:"limit_ns,omitempty"`
	// Keeps tells whether p99 does, and Surely whether its whole interval does.
	Keeps  bool `json:"keeps"`
	Surely bool `json:"surely"`
}

// An other is what another placement would do, as it is predicted.
type other struct {
	Groups [][]string `json:"groups"`
	Worst  float64    `json:"worst"`
	Keeps  bool       `json:"keeps"`
}

// A random value is what random placements would do.
type random struct {
	Placements int     `json:"placements"`
	Worst      float64 `json:"mean_worst"`
	Keep       float64 `json:"keep"` // share of them that keeps every limit
}

// propose fills in the placement that is proposed.
func (r *report) propose(x *placement.Placement, models []placement.Model, f *foretelling) error {
	r.Keeps, r.Worst = x.Keeps(), x.Worst
	largest := 1.0
	for g, members := range x.Groups {
		p, err := f.of(members)
		if err != nil {
			return err
		}
		r.Doubts = append(r.Doubts, p.doubts...)
		of := group{GPU: g + 1}
		for i, m := range members {
			model, e := models[m], p.tenants[i].Estimates
			of.Memory += model.Memory
			t := tenant{Model: model.Name, P50: e[0], P99: e[1], Alone: model.Alone, Limit: model.Limit, Keeps: true, Surely: true}
			if t.Limit > 0 {
				r.limited, t.Keeps, t.Surely = true, e[1].Value <= t.Limit, e[1].High <= t.Limit
				if by := e[1].Value / t.Limit; by > largest {
					largest = by
					r.excess = fmt.Sprintf("p99 of %s is %.2f times its limit of %.3f ms", t.Model, by, t.Limit/1e6)
				}
			}
			of.Tenants = append(of.Tenants, t)
		}
		r.Groups = append(r.Groups, of)
	}
	slices.Sort(r.Doubts)
	r.Doubts = slices.Compact(r.Doubts)
	if r.Memory == 0 || slices.ContainsFunc(models, func(m placement.Model) bool { return m.Memory == 0 }) {
		r.Doubts = append(r.Doubts, "memory of the GPU is not planned for: the recording does not tell what each model takes")
	}
	return nil
}

// choose fills in first-fit, and what it was not left for.
func (r *report) choose(c *placement.Choice, risk float64, models []placement.Model) {
	if c.FirstFit == nil {
		return
	}
	r.Risk, r.FirstFit = c.Risk, newOther(c.FirstFit, models)
	if c.At(risk) != c.Best {
		r.Best = newOther(c.Best, models)
		r.Doubts = append(r.Doubts, fmt.Sprintf("first-fit is proposed: what is predicted best, worst p99 %.2f, would be worse than it with a probability of %.1f%%, and --risk is %g", c.Best.Worst, 100*c.Risk, risk))
	}
}

func newOther(x *placement.Placement, models []placement.Model) *other {
	o := &other{Worst: x.Worst, Keeps: x.Keeps()}
	for _, g := range x.Groups {
		var names []string
		for _, m := range g {
			names = append(names, models[m].Name)
		}
		o.Groups = append(o.Groups, names)
	}
	return o
}

// random fills in random placements.
func (r *report) random(models []placement.Model, fleet placement.Fleet, f *foretelling) error {
	all, err := placement.Random(models, fleet, f.p99, draws, 1)
	if err != nil || len(all) == 0 {
		return err
	}
	r.Random = &random{Placements: len(all)}
	for _, x := range all {
		r.Random.Worst += x.Worst / float64(len(all))
		if x.Keeps() {
			r.Random.Keep += 1 / float64(len(all))
		}
	}
	return nil
}

// infeasible is an error where no placement keeps every limit.
func (r *report) infeasible() error {
	if r.Keeps {
		return nil
	}
	return errors.New("no placement keeps every limit: in the best one " + r.excess)
}

func (r *report) text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "PREDICTED, not measured: models on %d GPUs of %s, tenancy %s\n", r.GPUs, r.Machine, r.Tenancy)
	for _, g := range r.Groups {
		fmt.Fprintf(&b, "GPU %d", g.GPU)
		if g.Memory > 0 {
			fmt.Fprintf(&b, ", %.1f GiB", float64(g.Memory)/(1<<30))
		}
		b.WriteString("\n")
		for _, t := range g.Tenants {
			fmt.Fprintf(&b, "  %-24s p99 %.3f ms [%.3f, %.3f], p50 %.3f, p99 alone %.3f", t.Model, t.P99.Value/1e6, t.P99.Low/1e6, t.P99.High/1e6, t.P50.Value/1e6, t.Alone/1e6)
			switch {
			case t.Limit > 0 && !t.Keeps:
				fmt.Fprintf(&b, ": EXCEEDS %.3f", t.Limit/1e6)
			case t.Limit > 0 && !t.Surely:
				fmt.Fprintf(&b, ": keeps %.3f, its interval does not", t.Limit/1e6)
			case t.Limit > 0:
				fmt.Fprintf(&b, ": keeps %.3f", t.Limit/1e6)
			}
			b.WriteString("\n")
		}
	}
	if free := r.GPUs - len(r.Groups); free > 0 {
		fmt.Fprintf(&b, "left over: %d of %d GPUs\n", free, r.GPUs)
	}
	of := "its p99 alone"
	if r.limited {
		of = "its limit, or its p99 alone without one"
	}
	fmt.Fprintf(&b, "worst p99 over %s: %.2f", of, r.Worst)
	if r.FirstFit != nil {
		fmt.Fprintf(&b, "; first-fit %.2f", r.FirstFit.Worst)
	}
	if r.Random != nil {
		fmt.Fprintf(&b, "; random %.2f on average", r.Random.Worst)
	}
	fmt.Fprintf(&b, "\nalone: %s\nlink card: %s\n", strings.Join(r.Samples, ", "), r.Card)
	if r.Learned != "" {
		fmt.Fprintf(&b, "pairs: %s\n", r.Learned)
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(&b, "note: %s\n", d)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
