package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine/folder"
	"barograph/pipeline/plan"
	"barograph/pipeline/study"
)

// A Pool is the GPUs that cells are measured on at once, one at a time on each.
type Pool struct {
	GPUs []int // by number; none: cells are measured on the machine's device, one at a time
	// CPUs are those that cells on each GPU run on, by its number; nil: on all.
	CPUs map[int][]int
	// Survey is the kind whose cell tells, before anything is measured on several GPUs,
	// whether that can be done.
	Survey *cell.Kind
	// Lost says why a GPU cannot be used any more; nil: it can. It is asked when a cell
	// failed there.
	Lost func(gpu int) error
}

// A slot is where one measured cell runs at a time.
type slot struct {
	gpu  int        // none: the machine's device
	busy *plan.Cell // that runs there, or is about to be tried again
	lost error      // why nothing can run there any more
}

func slots(gpus []int) (all []*slot) {
	for _, gpu := range gpus {
		all = append(all, &slot{gpu: gpu})
	}
	if len(all) == 0 {
		all = append(all, &slot{gpu: none})
	}
	return all
}

const none = -1

// measuring is how many slots are in use.
func (r *run) measuring() (n int) {
	for _, s := range r.slots {
		if s.busy != nil {
			n++
		}
	}
	return n
}

// startMeasured starts the next measured cells of the order, once their needs are
// finished, in slots that are free, where nothing but measured cells runs.
func (r *run) startMeasured(ctx context.Context) {
	for !r.halt {
		c, in, err := r.nextMeasured()
		if c == nil {
			return
		}
		r.order = slices.DeleteFunc(r.order, func(x *plan.Cell) bool { return x == c })
		if err != nil {
			r.fail(ctx, c, err, "", 0)
			continue
		}
		in.busy = c
		r.launch(ctx, c, in, func() { in.busy = nil })
	}
}

// nextMeasured returns the first cell of the order that can start, with the slot where;
// nil if none can. Cells pass over one that waits for its own GPU, and over nothing
// else.
func (r *run) nextMeasured() (*plan.Cell, *slot, error) {
	r.order = slices.DeleteFunc(r.order, func(c *plan.Cell) bool { return r.status[c] != "" })
	if r.running > r.measuring() || slices.ContainsFunc(r.slots, func(s *slot) bool { return s.busy != nil && alone(s.busy) }) {
		return nil, nil, nil
	}
	for _, c := range r.order {
		if r.left[c] > 0 {
			break
		}
		if alone(c) && r.measuring() > 0 {
			break
		}
		pinned, why := false, error(nil)
		for _, s := range r.slots {
			switch {
			case c.GPU != nil && s.gpu != none && s.gpu != *c.GPU:
				continue
			case s.lost != nil:
				why = s.lost
				continue
			case s.busy == nil:
				return c, s, nil
			}
			pinned = true // to one that is in use
		}
		if !pinned {
			return c, nil, fmt.Errorf("no GPU is left to measure it on: %w", why)
		}
		if c.GPU == nil {
			break
		}
	}
	return nil, nil, nil
}

// alone tells whether nothing may be measured beside a cell: it, or its load, uses other
// GPUs than its own.
func alone(c *plan.Cell) bool {
	for _, m := range append(slices.Clone(c.Gang), c) {
		if gpus, all := others(m); all || len(gpus) > 0 {
			return true
		}
	}
	return false
}

// others are the GPUs that a cell uses besides its own.
func others(c *plan.Cell) (gpus []int, all bool) {
	if c.Stage.Kind.Others == nil {
		return nil, false
	}
	with, ok := parameters(c)
	if !ok {
		return nil, false
	}
	return c.Stage.Kind.Others(with)
}

// parameters are those of a cell; none where they are wrong, which the cell reports.
func parameters(c *plan.Cell) (with any, ok bool) {
	with = c.Stage.Kind.With()
	return with, json.Unmarshal(c.With, with) == nil
}

// GPUs returns the numbers of those that measured cells are pinned to, or use besides,
// whether any uses all, and whether any is on the machine's device, or the pool.
func GPUs(cells []*plan.Cell) (gpus []int, all, free bool) {
	for _, c := range cells {
		if !c.Stage.Kind.Measured {
			continue
		}
		if on := c.Foreground().GPU; on != nil {
			gpus = append(gpus, *on)
		} else {
			free = true
		}
		more, every := others(c)
		gpus, all = append(gpus, more...), all || every
	}
	slices.Sort(gpus)
	return slices.Compact(gpus), all, free
}

// place has a trial run on the GPU of a slot, and on that one's processors: on all, where
// it uses other GPUs too.
func (r *run) place(t *trial, in *slot) {
	if in == nil || in.gpu == none {
		return
	}
	for _, m := range t.members {
		on := *m.Spec
		if t.cell.GPU == nil {
			on.Machine = on.Machine.On(in.gpu)
		}
		if m.Spec = &on; !alone(t.cell) {
			m.cpus = r.opt.Pool.CPUs[in.gpu]
		}
	}
}

// lost asks why a slot's GPU cannot be used any more.
func (r *run) lost(in *slot) error {
	if in == nil || in.gpu == none || r.opt.Pool.Lost == nil {
		return nil
	}
	return r.opt.Pool.Lost(in.gpu)
}

// goOn leaves a GPU that was lost to itself, and has others measure the cell that failed
// there, if there are any, and it may run there.
func (r *run) goOn(c *plan.Cell, in *slot, lost error) bool {
	in.lost = fmt.Errorf("GPU %d was lost: %w", in.gpu, lost)
	if c.GPU != nil || !slices.ContainsFunc(r.slots, func(s *slot) bool { return s.lost == nil }) {
		return false
	}
	r.mu.Lock()
	r.moved = append(r.moved, Warning{c.ID, in.lost.Error() + "; the others of the pool went on"})
	r.mu.Unlock()
	r.opt.Observer.Retry(c, in.lost, 0)
	r.order = append([]*plan.Cell{c}, r.order...)
	return true
}

// ways are the directions in which cells that are to be measured load links.
func (r *run) ways() (directions []string) {
	for c := range r.measure {
		for _, m := range append(slices.Clone(c.Gang), c) {
			if m.Stage.Kind.Ways == nil {
				continue
			}
			if with, ok := parameters(m); ok {
				directions = append(directions, m.Stage.Kind.Ways(with)...)
			}
		}
	}
	slices.Sort(directions)
	return slices.Compact(directions)
}

// survey has a cell tell whether cells can be measured on the pool's GPUs at once, and
// fails where not.
func (r *run) survey(ctx context.Context) error {
	kind := r.opt.Pool.Survey
	if len(r.slots) < 2 || len(r.measure) < 2 || kind == nil {
		return nil
	}
	with, err := json.Marshal(kind.Survey(r.opt.Pool.GPUs, r.ways()))
	if err != nil {
		return err
	}
	st := &study.Stage{Name: kind.Name, Kind: kind}
	c := &plan.Cell{ID: kind.Name, Stage: st, With: with, Outputs: kind.Outputs(kind.With())}
	m := &member{cell: c, dir: filepath.Join(r.tmp, kind.Name), log: folder.LogOf(r.logs, kind.Name)}
	m.Spec = &cell.Spec{Study: r.plan.Study.Name, Stage: st.Name, Kind: kind.Name, ID: c.ID, With: with, Outputs: c.Outputs, Root: r.plan.Study.Root, Seed: r.plan.Study.Seed, Machine: r.plan.Study.Machine}
	if err := os.Mkdir(m.dir, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(m.dir)
	defer m.log.Close()
	proc, err := r.process(ctx, m, func(e cell.Event) {
		r.telling.Lock()
		defer r.telling.Unlock()
		r.opt.Observer.Event(c, e)
	})
	if err != nil {
		return err
	}
	if err := proc.Wait(); err != nil {
		var names []string
		for _, gpu := range r.opt.Pool.GPUs {
			names = append(names, r.plan.Study.Machine.On(gpu).Device)
		}
		return cell.Hint(fmt.Errorf("measure on %s at once: %w", strings.Join(names, " and "), err), "%s", cmp.Or(cell.HintOf(err), "name others with --devices"))
	}
	return nil
}
