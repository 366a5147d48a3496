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
	Memory int64              // of its GPU's that was in use with nothing else on it; 0: not recorded
	apart  map[string]float64 // p99 by replicate
}

// solos are by tenancy and model.
type solos map[string]map[string]*Solo

// A Recording is what one holds of models that share a GPU, and of each without others.
type Recording struct {
	Dir, Machine string
	Simulated    bool
	Memory       int64      // of the GPU; 0: not recorded
	Solos        solos      // without processes of others
	Outcomes     []*Outcome // in the order in which they were recorded first
	idle         solos      // beside idle processes of others, which slow them
	groups       []*together
}

// A together is what one model's calls took beside others.
type together struct {
	tenancy string
	models  []string           // the one whose calls they are first
	calls   map[string][]int64 // by replicate
}

// Solo returns a model without others: as it was recorded under a tenancy, or, where it
// was not, in a process of its own. Nil: it was not recorded.
func (r *Recording) Solo(tenancy, model string) *Solo {
	if s := r.Solos[tenancy][model]; s != nil {
		return s
	}
	return r.Solos[Tenancies[0]][model]
}

// Read reads what a recording holds of calls of one batch, in closed loops and without a
// load. Trials that are INVALID are passed over, and groups of whose models one was not
// recorded without others. A recording that is not what its checksums and run.json say is refused.
func Read(root, dir string, batch int) (*Recording, error) {
	run, calls, err := recording.ReadSealed(dir)
	if err != nil {
		return nil, err
	}
	r := &Recording{Dir: dir, Machine: run.Machine.Name, Simulated: run.Simulated, Solos: solos{}, idle: solos{}}
	byName := map[string]*together{}
	for i, t := range run.Trials {
		in := &t.Infer
		if in.Batch != batch || cmp.Or(in.Arrivals, "closed") != "closed" || t.Stress != nil && t.Stress.Threads > 0 || in.GPU != nil && len(in.GPU.Invalid) > 0 || len(calls[i]) == 0 {
			continue
		}
		tenancy, models := Tenancies[0], []string{in.Model}
		if in.Tenancy != nil {
			tenancy, models = in.Tenancy.Sharing, append(models, slices.Sorted(slices.Values(in.Tenancy.Beside))...)
		}
		replicate := t.On("replicate", "1")
		if len(models) == 1 {
			r.alone(root, tenancy, t, calls[i], replicate)
			continue
		}
		name := tenancy + " " + strings.Join(models, "+")
		if byName[name] == nil {
			byName[name] = &together{tenancy: tenancy, models: models, calls: map[string][]int64{}}
			r.groups = append(r.groups, byName[name])
		}
		byName[name].calls[replicate] = append(byName[name].calls[replicate], calls[i]...)
	}
	r.Hold()
	return r, nil
}

// Hold holds models beside others against the same without: in this recording, or, where
// they were not recorded so, in the first of others that has them, or beside idle processes.
func (r *Recording) Hold(others ...*Recording) {
	r.Outcomes = nil
	for _, g := range r.groups {
		o := &Outcome{Tenancy: g.tenancy, Apart: map[string]float64{}}
		for i, model := range g.models {
			solo := r.against(others, g.tenancy, model)
			switch {
			case solo == nil:
				o = nil
			case i == 0:
				o.Own = solo.Baseline
				o.measure(g.calls, solo)
			default:
				o.Beside = append(o.Beside, solo.Baseline)
			}
			if o == nil {
				break
			}
		}
		if o != nil {
			r.Outcomes = append(r.Outcomes, o)
		}
	}
}

// against is what a model is held against.
func (r *Recording) against(others []*Recording, tenancy, model string) *Solo {
	for _, way := range []string{tenancy, Tenancies[0]} {
		for _, from := range append([]*Recording{r}, others...) {
			if s := from.Solos[way][model]; s != nil {
				return s
			}
		}
		if s := r.idle[way][model]; s != nil {
			return s
		}
	}
	return nil
}

// measure takes the quantiles of calls by replicate, which it sorts.
func (o *Outcome) measure(calls map[string][]int64, solo *Solo) {
	var all []int64
	for replicate, of := range calls {
		slices.Sort(of)
		all = append(all, of...)
		o.Apart[replicate] = quantile(of, 0.99) / cmp.Or(solo.apart[replicate], solo.Quantile(0.99))
	}
	slices.Sort(all)
	for q, at := range Quantiles {
		o.Measured[q] = quantile(all, at)
	}
}

// alone adds the calls of a trial of one model.
func (r *Recording) alone(root, tenancy string, t *recording.Trial, calls []int64, replicate string) {
	in, to := &t.Infer, r.Solos
	if in.Tenancy != nil && in.Tenancy.Loaded > 0 {
		to = r.idle
	}
	if to[tenancy] == nil {
		to[tenancy] = map[string]*Solo{}
	}
	s := to[tenancy][in.Model]
	if s == nil {
		s = &Solo{Baseline: &prediction.Baseline{Model: in.Model, Batch: in.Batch, Sequence: in.Sequence, From: r.Dir}, apart: map[string]float64{}}
		s.In, s.Out = prediction.TrialTransfers(root, t)
		to[tenancy][in.Model] = s
	}
	s.Calls = append(s.Calls, calls)
	s.apart[replicate] = quantile(slices.Sorted(slices.Values(calls)), 0.99)
	if in.GPU != nil && (in.Tenancy == nil || in.Tenancy.Loaded == 0) { // else others' weights are there too
		s.Memory = max(s.Memory, in.GPU.After.MemoryUsed)
		r.Memory = max(r.Memory, in.GPU.After.Memory)
	}
}

// The studies that measure models without others, by how well they serve. That of matrix,
// of which most is something else, is read only where the others have none.
var studies = []string{"colocation", "models", "predict", matrix}

const matrix = "matrix"

// Find returns what a machine's recordings hold: the one in dir, or, where that is empty,
// those of the studies above below results and data, each model from the first that has it.
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
		if study == matrix && all != nil && len(all.Solos) > 0 {
			break
		}
		for _, dir := range recorded(root, study, machine) {
			r, err := Read(root, dir, batch)
			switch {
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

// Beside returns the recordings in which a machine's models share a GPU, each a folder: those
// of matrix before those of colocation, as what is kept below data/twin was learnt.
func Beside(root, machine string) []string {
	return append(recorded(root, matrix, machine), recorded(root, "colocation", machine)...)
}

// recorded returns a study's recordings on a machine, that of this workspace first.
func recorded(root, study, machine string) (dirs []string) {
	for _, of := range []string{record.Results, ""} {
		dir := filepath.Join(root, of, "data", study, machine)
		if _, err := os.Stat(filepath.Join(dir, record.Run)); !errors.Is(err, os.ErrNotExist) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
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
