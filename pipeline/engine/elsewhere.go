package engine

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/engine/folder"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

// A Task is a trial told in full: with it and the workspace's files, any computer can
// run the trial that has neither the plan nor the store.
type Task struct {
	ID        string            `json:"id"`      // of the foreground cell
	Members   []Member          `json:"members"` // background cells first, the foreground last
	Inputs    map[string]string `json:"inputs,omitempty"`
	Detail    store.Detail      `json:"detail"`
	Place     int               `json:"place"` // of a measured cell in the drawn order
	Timeout   unit.Duration     `json:"timeout,omitempty"`
	Retries   int               `json:"retries,omitempty"`
	Resources map[string]int64  `json:"resources,omitempty"`
}

// A Member is what a task says of one process.
type Member struct {
	Key  string     `json:"key"`
	Spec *cell.Spec `json:"spec"`
	// Links says of those of the specification's files that lie in the workspace under
	// another path than they are called.
	Links map[string]string `json:"links,omitempty"`
}

// Foreground is the member that the task is about.
func (t *Task) Foreground() Member { return t.Members[len(t.Members)-1] }

func (t *Task) of(c *plan.Cell) Member {
	return t.Members[slices.IndexFunc(t.Members, func(m Member) bool { return m.Spec.ID == c.ID })]
}

func (t *Task) keys() (keys []string) {
	for _, m := range t.Members {
		keys = append(keys, m.Key)
	}
	return keys
}

// An Elsewhere runs trials on other computers.
type Elsewhere interface {
	// Takes tells whether a foreground cell is to run there.
	Takes(c *plan.Cell) bool
	// Expect comes before Run, once nothing refuses the run any more, and names those
	// cells whose tasks come next, with their keys.
	Expect(p *plan.Plan, cells []*plan.Cell, key func(*plan.Cell) string)
	// Run has a task run there, and returns the records of its members when they are
	// in the store. What it tells meanwhile is for the observer; "ready" says that the
	// cell has started. When ctx ends because of [ErrHalted], nobody wants the result
	// any more.
	Run(ctx context.Context, t *Task, tell func(cell.Event)) ([]*store.Record, error)
}

// A Remote is a cell's failure elsewhere, with the file that holds its log, if any.
type Remote struct {
	Err error
	Log string
}

func (f *Remote) Error() string { return f.Err.Error() }
func (f *Remote) Unwrap() error { return f.Err }

// ErrHalted is why tasks that are elsewhere are given up: another cell failed.
var ErrHalted = errors.New("another cell failed")

// away tells whether a cell runs on another computer.
func (r *run) away(c *plan.Cell) bool { return r.opt.Elsewhere != nil && r.opt.Elsewhere.Takes(c) }

// expect says which cells run on other computers as soon as they are told in full.
func (r *run) expect(may []*plan.Cell) {
	if r.opt.Elsewhere == nil {
		return
	}
	cells := slices.DeleteFunc(slices.Clone(may), func(c *plan.Cell) bool { return !r.away(c) || r.decider.Of(c).State != plan.Runs })
	r.opt.Elsewhere.Expect(r.plan, cells, func(c *plan.Cell) string { return r.decider.Of(c).Key })
}

// task tells a trial in full. What its shell lines read is published before.
func (r *run) task(c *plan.Cell) (*Task, error) {
	if t := r.opt.told[c]; t != nil {
		return t, nil
	}
	st, parts := c.Stage, r.decider.Parts(c)
	if parts == nil {
		return nil, changed("an input of " + c.ID)
	}
	t := &Task{
		ID: c.ID, Inputs: r.decider.Inputs(c), Detail: store.Detail{Parts: parts, Texts: r.decider.Texts(c)},
		Place: slices.Index(r.plan.Order, c), Timeout: st.Timeout, Retries: st.Retries, Resources: st.Resources,
	}
	for _, pc := range append(slices.Clone(c.Gang), c) {
		m := Member{Key: r.decider.Of(pc).Key, Spec: r.spec(pc), Links: map[string]string{}}
		for _, n := range pc.Needs {
			if !pc.Stage.Kind.Script { // it reads what is stored, and not what is published
				break
			}
			for _, p := range n.Publish {
				m.Links[p.Output] = p.To
			}
			if err := r.publish(n); err != nil { // another cell may have trampled on it
				return nil, err
			}
		}
		t.Members = append(t.Members, m)
	}
	return t, nil
}

// send has a cell run on another computer; the loop learns of its end.
func (r *run) send(ctx context.Context, c *plan.Cell) {
	t, err := r.task(c)
	if err != nil {
		r.fail(ctx, c, err, "", 0)
		return
	}
	r.sent++
	go func() {
		var once sync.Once
		tell := func(e cell.Event) {
			if e.Type == "ready" {
				once.Do(func() { r.deliver(func() { r.opt.Observer.Start(c, r.decider.Of(c).Reason) }) })
				return
			}
			r.deliver(func() { r.opt.Observer.Event(c, e) })
		}
		records, err := r.opt.Elsewhere.Run(r.there, t, tell)
		log := r.bringLog(c, err)
		var published []string
		for i, record := range records {
			member := append(slices.Clone(c.Gang), c)[i]
			written, e := r.write(member, record)
			published, err = append(published, written...), cmp.Or(err, e)
		}
		tell(cell.Event{Type: "ready"})
		r.done <- func() {
			r.sent--
			var wall time.Duration
			for i, record := range records {
				r.decider.Finish(append(slices.Clone(c.Gang), c)[i], record)
				wall = record.Wall
			}
			for _, path := range published {
				r.opt.Observer.Publish(path)
			}
			switch {
			case err != nil && r.there.Err() != nil:
				r.finish(ctx, c, Outcome{Status: Skipped})
			case err != nil:
				r.fail(ctx, c, err, log, 0)
			default:
				r.finish(ctx, c, Outcome{Status: Ran, Wall: wall})
			}
		}
	}()
}

// bringLog copies the log of a cell that failed elsewhere to where those of cells here
// lie, and returns its path.
func (r *run) bringLog(c *plan.Cell, err error) string {
	var f *Remote
	if !errors.As(err, &f) || f.Log == "" {
		return ""
	}
	b, err := os.ReadFile(f.Log)
	if err != nil || len(b) == 0 {
		return ""
	}
	log := folder.LogOf(r.logs, c.ID)
	defer log.Close()
	_, _ = log.Write(b) // which never fails
	return log.Path
}

// Perform runs tasks that another run decided, with a store and a folder of this
// computer's own. All are of one study, whose workspace lies where it did there.
func Perform(ctx context.Context, tasks []*Task, kinds cell.Kinds, s *store.Store, state string, opt Options) (*Result, error) {
	p := &plan.Plan{Study: &study.Study{}}
	opt.told = map[*plan.Cell]*Task{}
	for _, t := range tasks {
		var gang []*plan.Cell
		for _, m := range t.Members {
			spec := m.Spec
			p.Study.Name, p.Study.Root, p.Study.Machine = spec.Study, spec.Root, spec.Machine
			kind := kinds[spec.Kind]
			if kind == nil {
				return nil, errors.New("cell " + spec.ID + " is of kind " + spec.Kind + ", which this program does not know")
			}
			st := &study.Stage{Name: spec.Stage, Kind: kind, Background: spec.Background, Env: spec.Env, Timeout: t.Timeout, Retries: t.Retries, Resources: t.Resources, Notebook: spec.Notebook}
			p.Study.Stages = append(p.Study.Stages, st)
			gang = append(gang, &plan.Cell{ID: spec.ID, Stage: st, Point: spec.Point, With: spec.With, Script: spec.Script, Outputs: spec.Outputs, Seed: spec.Seed})
		}
		last := len(gang) - 1
		c := gang[last]
		c.Gang = gang[:last]
		for _, g := range c.Gang {
			g.Trial = c
		}
		opt.told[c] = t
		p.Cells = append(p.Cells, gang...)
		if c.Stage.Kind.Measured {
			p.Order = append(p.Order, c)
		}
	}
	return Run(ctx, p, s, state, opt)
}
