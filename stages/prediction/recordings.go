package prediction

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/guard"
	"barograph/stages/model"
	"barograph/stages/recording"
)

// A Case is what was measured of a model beside one load.
type Case struct {
	Study     string
	Own       *Baseline
	Condition Condition
	Calls     [][]int64 // by replicate
}

// load names a case's load, whatever the model and the study.
func (c *Case) load() string {
	l := &c.Condition
	return fmt.Sprintf("%s %.3f %d %d x %d x %d %v %v", l.Direction, l.Share, l.Loads, l.Threads, l.Outstanding, l.Block, l.Within, l.MPS)
}

// Read reads a recording: every model without load, and every case beside one. Where only
// is set, other models are passed over. Passed over in any case are calls that copy anything
// but their own inputs and results, or not these, and loads under a policy. A recording that
// is not what its checksums and run.json say is refused.
func Read(root, dir, only string) (owns []*Baseline, cases []*Case, err error) {
	run, byTrial, err := recording.ReadSealed(dir)
	if err != nil {
		return nil, nil, err
	}
	byModel, byLoad := map[string]*Baseline{}, map[string]*Case{}
	for i, t := range run.Trials {
		calls, shared := byTrial[i], t.Infer.Tenancy
		if only != "" && t.Infer.Model != only || t.Infer.GPU != nil && len(t.Infer.GPU.Invalid) > 0 || shared != nil && len(shared.Beside) > 0 || !copies(t.Call) {
			continue
		}
		mps := t.Load.Sharing == "mps" || shared != nil && shared.Sharing == "mps"
		name := fmt.Sprintf("%s %s %d %d %v %s %v", t.Infer.Model, t.Infer.Precision, t.Infer.Batch, t.Infer.Sequence, t.Infer.Dims, t.Infer.Arrivals, mps)
		own := byModel[name]
		if own == nil {
			own = &Baseline{Model: t.Infer.Model, Batch: t.Infer.Batch, Sequence: t.Infer.Sequence, Precision: t.Infer.Precision, From: dir, Machine: run.Machine.Name}
			own.In, own.Out = TrialTransfers(root, t)
			byModel[name] = own
			owns = append(owns, own)
		}
		if t.Stress == nil || t.Stress.Threads == 0 {
			own.Calls = append(own.Calls, calls)
			own.Doubts = append(own.Doubts, t.Infer.Warnings...)
			continue
		}
		var of struct{ Policy guard.Policy }
		if err := json.Unmarshal(t.StressWith, &of); err != nil {
			return nil, nil, cell.Usage(fmt.Errorf("read %s: trial %s: stress_with: %w", dir, t.ID, err))
		}
		if !of.Policy.None() {
			continue
		}
		c := &Case{Study: run.Study, Own: own, Condition: Condition{
			Direction: t.Stress.Direction, Share: 1, Loads: max(1, t.Load.Processes), Threads: t.Load.Threads, Outstanding: t.Stress.Outstanding,
			Block: t.Stress.Block, Arrivals: t.Infer.Arrivals, Within: t.Load.Sharing == "process", MPS: mps,
		}}
		if t.Stress.Rate > 0 && t.Capacity > 0 {
			c.Condition.Share = min(1, t.Stress.Rate/t.Capacity)
		}
		key := name + c.load()
		if byLoad[key] == nil {
			byLoad[key] = c
			cases = append(cases, c)
		}
		byLoad[key].Calls = append(byLoad[key].Calls, calls)
	}
	owns = slices.DeleteFunc(owns, func(o *Baseline) bool { return len(o.Calls) == 0 })
	cases = slices.DeleteFunc(cases, func(c *Case) bool { return len(c.Own.Calls) == 0 })
	return owns, cases, nil
}

// copies tells whether calls copy their inputs and their results, each its own, and nothing
// else.
func copies(c recording.Call) bool {
	return cmp.Or(c.Inputs, "copied") == "copied" && cmp.Or(c.Results, "copied") == "copied" && cmp.Or(c.Weights, "resident") == "resident" && c.Collect == 0
}

// TrialTransfers returns the copies of a trial's calls: one for each input and output,
// or, where the model's configuration is no longer what was measured, one each way.
func TrialTransfers(root string, t *recording.Trial) (in, out []int64) {
	sum := func(of []int64) (n int64) {
		for _, b := range of {
			n += b
		}
		return n
	}
	in, out, err := Transfers(root, t.Infer.Model, t.Infer.Batch, t.Infer.Sequence, t.Infer.Dims)
	if err != nil || sum(in) != t.Infer.In || sum(out) != t.Infer.Out {
		return []int64{t.Infer.In}, []int64{t.Infer.Out}
	}
	return in, out
}

// Transfers returns the bytes of each input and output of a model's call.
func Transfers(root, name string, batch, sequence int, others map[string]int64) (in, out []int64, err error) {
	c, err := model.Load(root, name)
	if err != nil {
		return nil, nil, err
	}
	info, err := c.Info()
	if err != nil {
		return nil, nil, err
	}
	return c.Transfers(info, c.Sizes(batch, sequence, others))
}

// Find returns the calls without load of a model on a machine, of the recording that
// was named or else the first below data, or else below results, that has it: that of
// the study models before others.
func Find(root, machine, name, dir string, batch, sequence int, precision string) (*Baseline, error) {
	dirs := []string{dir}
	if dir == "" {
		var all []string
		for _, of := range []string{"", record.Results} {
			found, err := filepath.Glob(filepath.Join(root, of, "data", "*", machine))
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
		dirs = all
	}
	for _, d := range dirs {
		if dir == "" {
			mentions, err := mentions(filepath.Join(d, record.Run), name)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			if !mentions {
				continue
			}
		}
		owns, _, err := Read(root, d, name)
		if err != nil {
			return nil, err
		}
		// What is not said is as a study has it that does not say it.
		said := func(o *Baseline) bool { return o.Fits(batch, sequence, precision) }
		usual := func(o *Baseline) bool {
			return o.Fits(cmp.Or(batch, 1), cmp.Or(sequence, 128), cmp.Or(precision, "float32"))
		}
		for _, fits := range []func(*Baseline) bool{usual, said} {
			if i := slices.IndexFunc(owns, fits); i >= 0 {
				return owns[i], nil
			}
		}
	}
	return nil, nil
}

// rank puts recordings first that were made for it.
func rank(dir string) int {
	switch filepath.Base(filepath.Dir(dir)) {
	case "predict":
		return 0
	case "models":
		return 1
	}
	return 2
}

// mentions tells whether a recording may hold a model, without parsing it.
func mentions(path, name string) (bool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	quoted, err := json.Marshal(name)
	return bytes.Contains(b, quoted), err
}
