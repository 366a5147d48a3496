package pair

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/prediction"
	"barograph/stages/recording"
)

// A Solo is a model without others.
type Solo struct {
	*prediction.Baseline
	Memory int64 // of its GPU's that was in use with nothing else on it; 0: not recorded
}

// A Recording is what one holds of models that share a GPU, and of each without others.
type Recording struct {
	Dir, Machine string
	Simulated    bool
	Memory       int64                       // of the GPU; 0: not recorded
	Solos        map[string]map[string]*Solo // by tenancy and model
	Outcomes     []*Outcome                  // in the order in which they were recorded first
}

// Solo returns a model without others: as it was recorded under a tenancy, or, where it
// was not, in a process of its own.
func (r *Recording) Solo(tenancy, model string) *Solo {
	if s := r.Solos[tenancy][model]; s != nil {
		return s
	}
	return r.Solos[Tenancies[0]][model]
}

// Read reads what a recording holds of calls of one batch, in closed loops and without a
// load. Trials that are INVALID are passed over, and groups of whose models one was not
// recorded without others.
func Read(root, dir string, batch int) (*Recording, error) {
	run, err := recording.ReadRun(filepath.Join(dir, record.Run))
	if err != nil {
		return nil, err
	}
	calls, err := prediction.Calls(dir, run)
	if err != nil {
		return nil, err
	}
	r := &Recording{Dir: dir, Machine: run.Machine.Name, Simulated: run.Simulated, Solos: map[string]map[string]*Solo{}}
	type together struct {
		tenancy string
		models  []string // the one whose calls they are first
		calls   []int64
	}
	byName := map[string]*together{}
	var order []*together
	for i, t := range run.Trials {
		in := &t.Infer
		if in.Batch != batch || cmp.Or(in.Arrivals, "closed") != "closed" || t.Stress != nil && t.Stress.Threads > 0 || in.GPU != nil && len(in.GPU.Invalid) > 0 {
			continue
		}
		tenancy, models := Tenancies[0], []string{in.Model}
		if in.Tenancy != nil {
			tenancy, models = in.Tenancy.Sharing, append(models, slices.Sorted(slices.Values(in.Tenancy.Beside))...)
		}
		if len(models) == 1 {
			r.alone(root, tenancy, t, calls[i])
			continue
		}
		name := tenancy + " " + strings.Join(models, "+")
		if byName[name] == nil {
			byName[name] = &together{tenancy: tenancy, models: models}
			order = append(order, byName[name])
		}
		byName[name].calls = append(byName[name].calls, calls[i]...)
	}
	for _, g := range order {
		o := &Outcome{Tenancy: g.tenancy}
		for i, model := range g.models {
			switch solo := r.Solo(g.tenancy, model); {
			case solo == nil:
				o = nil
			case i == 0:
				o.Own = solo.Baseline
			default:
				o.Beside = append(o.Beside, solo.Baseline)
			}
			if o == nil {
				break
			}
		}
		if o == nil {
			continue
		}
		slices.Sort(g.calls)
		for q, at := range Quantiles {
			o.Measured[q] = quantile(g.calls, at)
		}
		r.Outcomes = append(r.Outcomes, o)
	}
	return r, nil
}

// alone adds the calls of a trial of one model.
func (r *Recording) alone(root, tenancy string, t *recording.Trial, calls []int64) {
	if r.Solos[tenancy] == nil {
		r.Solos[tenancy] = map[string]*Solo{}
	}
	in := &t.Infer
	s := r.Solos[tenancy][in.Model]
	if s == nil {
		s = &Solo{Baseline: &prediction.Baseline{Model: in.Model, Batch: in.Batch, Sequence: in.Sequence, From: r.Dir}}
		s.In, s.Out = prediction.TrialTransfers(root, t)
		r.Solos[tenancy][in.Model] = s
	}
	s.Calls = append(s.Calls, calls)
	if in.GPU != nil && (in.Tenancy == nil || in.Tenancy.Loaded == 0) { // else others' weights are there too
		s.Memory = max(s.Memory, in.GPU.After.MemoryUsed)
		r.Memory = max(r.Memory, in.GPU.After.Memory)
	}
}

// The studies that measure models without others, by how well they serve.
var studies = []string{"colocation", "models", "predict"}

// Find returns what a machine's recordings hold: the one in dir, or, where that is empty,
// those of the studies colocation, models and predict below results and data, each model
// from the first that has it.
func Find(root, machine, dir string, batch int) (*Recording, error) {
	if dir != "" {
		r, err := Read(root, dir, batch)
		if err == nil && r.Machine != machine {
			return nil, cell.Usage(fmt.Errorf("%s is a recording of machine %s, not of %s", dir, r.Machine, machine))
		}
		return r, err
	}
	var all *Recording
	for _, study := range studies {
		for _, of := range []string{record.Results, ""} {
			r, err := Read(root, filepath.Join(root, of, "data", study, machine), batch)
			switch {
			case errors.Is(err, os.ErrNotExist):
			case err != nil:
				return nil, err
			case all == nil:
				all = r
			default:
				all.add(r)
			}
		}
	}
	if all == nil || len(all.Solos) == 0 {
		return nil, cell.Hint(fmt.Errorf("machine %q has no recording of models without others, at batch %d", machine, batch), "measure one: barograph run configs/models.yaml --machine %s; or name one with --samples", machine)
	}
	return all, nil
}

// add takes from another recording the models that this one lacks.
func (r *Recording) add(o *Recording) {
	for tenancy, solos := range o.Solos {
		if r.Solos[tenancy] == nil {
			r.Solos[tenancy] = map[string]*Solo{}
		}
		for model, s := range solos {
			if r.Solo(tenancy, model) == nil {
				r.Solos[tenancy][model], r.Simulated = s, r.Simulated || o.Simulated
			}
		}
	}
	r.Memory = cmp.Or(r.Memory, o.Memory)
}
