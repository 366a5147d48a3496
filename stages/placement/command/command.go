// Package command holds `place`.
package command

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/link"
	models "barograph/stages/model/command"
	"barograph/stages/placement"
	"barograph/stages/prediction"
	"barograph/stages/prediction/pair"

	"github.com/spf13/cobra"
)

// A request is for a placement, as the command line has it.
type request struct {
	machine, card, samples string
	tenancy, memory        string
	gpus, most, batch      int
	risk                   float64
	slo                    []string
	json                   bool
}

const (
	spare = 0.05 // of a GPU's memory that is kept free
	draws = 300  // of random placements
	// risked is the probability of being worse than first-fit with which it is left: what lies
	// beyond an interval of a prediction on one side, too.
	risked = 0.05
)

// Command returns `place`.
func Command() *cobra.Command {
	var a request
	c := &cobra.Command{
		Use:   "place MODEL... --gpus N",
		Short: "Propose which models share which GPU, with the predicted p99 of each",
		Long: `Propose which models share which of N alike GPUs: of all placements, the one that keeps
the limits of p99 best and whose worst model is then best off. Each model is called in a
closed loop. What a model takes alone comes from a recording, what it takes beside others
is predicted from that, from the machine's link card and from what recorded pairs teach:
nothing of it was measured, and it says so. Beside it stand first-fit, which fills GPUs in
the order in which models are named, and random placements.

Predictions err, and so first-fit is left only where that placement is worse than it with a
probability of --risk at most, by how far predictions of other pairs erred, or where it keeps
limits that first-fit does not. Of pairs that were recorded that is known. --risk 1 proposes
in any case what is predicted to be best.

Without a limit p99 is held against what it is alone. Where no placement keeps every
limit, the best there is is printed, and the exit status is 1. GPU memory is planned for
where the recording tells what each model takes.`,
		Example: `  barograph place bert-base-uncased resnet50 gpt2 unet --gpus 2 --slo 8ms --machine h100
  barograph place bert-base-uncased bert-base-uncased resnet50 --gpus 2 --tenancy mps --slo 1.5x --slo resnet50=4ms --json --machine h100`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root, err := models.Workspace(c)
			if err != nil {
				return err
			}
			r, err := a.propose(root, strings.Split(strings.Join(args, ","), ","))
			if err != nil {
				return err
			}
			if a.json {
				err = cell.WriteJSON(c.OutOrStdout(), r)
			} else {
				err = r.text(c.OutOrStdout())
			}
			return errors.Join(err, r.infeasible())
		},
	}
	f := c.Flags()
	f.IntVar(&a.gpus, "gpus", 0, "`number` of alike GPUs")
	f.StringArrayVar(&a.slo, "slo", nil, "`limit` of p99, with its unit: 8ms, or 1.5x of what it is alone, for all models, or MODEL=8ms for one")
	f.StringVar(&a.machine, "machine", "", "`name` of the machine whose link card and recordings are taken")
	f.StringVar(&a.card, "link", "", "the machine's link card, a `FILE` below data/link")
	f.StringVar(&a.samples, "samples", "", "`DIR` of a recording that holds calls of each model alone; otherwise looked for")
	f.StringVar(&a.tenancy, "tenancy", "process", "`way` to share a GPU: process, mps, thread")
	f.Float64Var(&a.risk, "risk", risked, "`probability`, at most, that a proposal is worse than first-fit")
	f.StringVar(&a.memory, "memory", "", "`bytes` of each GPU, such as 16GiB (default: the recorded GPU's)")
	f.IntVar(&a.most, "most", 4, "models on one GPU, at most")
	f.IntVar(&a.batch, "batch", 1, "of calls alone")
	f.BoolVar(&a.json, "json", false, "write JSON")
	_ = c.MarkFlagRequired("gpus")
	c.AddCommand(scoreCommand())
	return c
}

// check reads what can be wrong without looking at anything.
func (a *request) check() error {
	for _, f := range []struct {
		flag        string
		value, most int
	}{{"gpus", a.gpus, 64}, {"most", a.most, 8}, {"batch", a.batch, 1 << 20}} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("invalid argument %d for --%s: want 1 to %d", f.value, f.flag, f.most)
		}
	}
	if !(a.risk >= 0 && a.risk <= 1) {
		return fmt.Errorf("invalid argument %g for --risk: want 0 to 1", a.risk)
	}
	if err := pair.Check(a.tenancy); err != nil {
		return fmt.Errorf("invalid argument for --tenancy: %w", err)
	}
	if a.card == "" && a.machine == "" {
		return cell.Hint(errors.New("no machine to place models on"), "name it with --machine, or its link card with --link")
	}
	return nil
}

// link reads the machine's card.
func (a *request) link(root string) (*link.Card, error) {
	if a.card == "" {
		a.card = link.Find(root, a.machine, false)
		if _, err := os.Stat(a.card); err != nil {
			return nil, cell.Hint(fmt.Errorf("machine %q has no link card", a.machine), "measure it: barograph link --machine %s; there are %s", a.machine, cards(root))
		}
	}
	card, err := link.Read(a.card)
	if err != nil {
		return nil, err
	}
	if a.machine != "" && card.Machine != a.machine {
		return nil, fmt.Errorf("%s is the card of machine %s, not of %s", a.card, card.Machine, a.machine)
	}
	if card.MPS && a.tenancy != "mps" {
		return nil, cell.Hint(fmt.Errorf("%s is of a link through MPS, and the tenancy is %s", a.card, a.tenancy), "say --tenancy mps, or give the card of machine %s without", card.Machine)
	}
	return card, nil
}

// cards names the machines whose cards came with the workspace.
func cards(root string) string {
	var names []string
	found, _ := filepath.Glob(filepath.Join(root, link.File("*")))
	for _, path := range found {
		if card, err := link.Read(path); err == nil && !card.MPS {
			names = append(names, card.Machine)
		}
	}
	return strings.Join(names, ", ")
}

// solos are what each model takes alone, and its memory.
func (a *request) solos(r *pair.Recording, names []string) (solos []*pair.Solo, err error) {
	for _, name := range names {
		s := r.Solo(a.tenancy, name)
		if s == nil {
			var there []string
			for _, of := range r.Solos {
				for model := range of {
					there = append(there, model)
				}
			}
			slices.Sort(there)
			return nil, cell.Hint(fmt.Errorf("model %q: no recording holds calls of it without others, at batch %d", name, a.batch),
				"there are %s; measure it: barograph run configs/predict.yaml --set model=%s; or name a recording with --samples", strings.Join(slices.Compact(there), ", "), name)
		}
		solos = append(solos, s)
	}
	return solos, nil
}

// limits reads --slo, for each model: those of one model go before those of all.
func (a *request) limits(names []string, solos []*pair.Solo) ([]float64, error) {
	limits := make([]float64, len(names))
	for _, named := range []bool{false, true} {
		for _, text := range a.slo {
			model, limit, of := strings.Cut(text, "=")
			if of != named {
				continue
			}
			if !of {
				limit = text
			} else if !slices.Contains(names, model) {
				return nil, fmt.Errorf("invalid argument %q for --slo: %s is not among the models to place", text, model)
			}
			for i, name := range names {
				if of && name != model {
					continue
				}
				var err error
				if limits[i], err = parse(limit, solos[i].Quantile(0.99)); err != nil {
					return nil, cell.Hint(fmt.Errorf("invalid argument %q for --slo: %w", text, err), "write it with its unit, as 8ms, 1.5x or resnet50=8ms")
				}
			}
		}
	}
	return limits, nil
}

// parse reads 8ms, or 1.5x of a time.
func parse(limit string, alone float64) (float64, error) {
	if number, ok := strings.CutSuffix(limit, "x"); ok {
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || !(v >= 1) || math.IsInf(v, 0) {
			return 0, fmt.Errorf("%q is no factor from 1x", limit)
		}
		return v * alone, nil
	}
	v, err := time.ParseDuration(limit)
	if err == nil && v <= 0 {
		err = fmt.Errorf("%v is no time above 0", v)
	}
	return float64(v), err
}

// A foretelling predicts groups, each once.
type foretelling struct {
	machine *prediction.Machine
	tenancy string
	lesson  *pair.Lesson
	solos   []*pair.Solo
	known   map[string]foretold
}

type foretold struct {
	tenants []pair.Prediction
	doubts  []string
}

// of predicts a group of models by their place.
func (f *foretelling) of(group []int) (foretold, error) {
	var owns []*prediction.Baseline
	name := ""
	for _, i := range group {
		owns, name = append(owns, f.solos[i].Baseline), name+"+"+f.solos[i].Model
	}
	if p, ok := f.known[name]; ok {
		return p, nil
	}
	p, doubts, err := pair.Predict(f.machine, owns, f.tenancy, f.lesson)
	f.known[name] = foretold{p, doubts}
	return f.known[name], err
}

func (f *foretelling) p99(group []int) ([]float64, error) {
	p, err := f.of(group)
	out := make([]float64, len(p.tenants))
	for i, t := range p.tenants {
		out[i] = t.Estimates[1].Value
	}
	return out, err
}

// draw foretells a group with errors.
func (f *foretelling) draw(group []int, rng *rand.Rand) ([]float64, error) {
	p, err := f.of(group)
	out := make([]float64, len(p.tenants))
	for i := range p.tenants {
		out[i] = p.tenants[i].Draw(1, rng)
	}
	return out, err
}

func (a *request) propose(root string, names []string) (*report, error) {
	if err := a.check(); err != nil {
		return nil, cell.Usage(err)
	}
	card, err := a.link(root)
	if err != nil {
		return nil, cell.Usage(err)
	}
	recorded, err := pair.Find(root, card.Machine, a.samples, a.batch)
	if err != nil {
		return nil, err
	}
	solos, err := a.solos(recorded, names)
	if err != nil {
		return nil, cell.Usage(err)
	}
	limits, err := a.limits(names, solos)
	if err != nil {
		return nil, cell.Usage(err)
	}
	fleet := placement.Fleet{GPUs: a.gpus, Most: a.most, Memory: int64((1 - spare) * float64(recorded.Memory))}
	if a.memory != "" {
		size, err := unit.ParseSize(a.memory)
		if err != nil || size < 1 {
			return nil, cell.Usage(cell.Hint(fmt.Errorf("invalid argument %q for --memory", a.memory), "write it as 16GiB"))
		}
		fleet.Memory = int64((1 - spare) * float64(size))
	}
	lesson, err := pair.ReadLesson(root, card.Machine)
	if err != nil {
		return nil, cell.Usage(err)
	}
	f := &foretelling{machine: prediction.FromCard(card, a.tenancy == "mps"), tenancy: a.tenancy, lesson: lesson, solos: solos, known: map[string]foretold{}}
	all := make([]placement.Model, len(names))
	for i, s := range solos {
		all[i] = placement.Model{Name: names[i], Memory: s.Memory, Alone: s.Quantile(0.99), Limit: limits[i]}
	}
	choice, err := placement.Choose(all, fleet, f.p99, f.draw)
	if err != nil {
		return nil, err
	}
	r := &report{
		Predicted: true, Machine: card.Machine, Tenancy: a.tenancy, GPUs: a.gpus, Memory: fleet.Memory,
		Card: prediction.Within(root, a.card),
	}
	if lesson.Tenancies[a.tenancy] != nil {
		r.Learned = lesson.From
	}
	for _, s := range solos {
		if from := prediction.Within(root, s.From); !slices.Contains(r.Samples, from) {
			r.Samples = append(r.Samples, from)
		}
	}
	if err := r.propose(choice.At(a.risk), all, f); err != nil {
		return nil, err
	}
	r.choose(choice, a.risk, all)
	if recorded.Simulated {
		r.Doubts = append(r.Doubts, "what models take alone was simulated")
	}
	return r, r.random(all, fleet, f)
}
