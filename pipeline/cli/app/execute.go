package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine"
	"barograph/pipeline/page"
	"barograph/pipeline/plan"
	"barograph/pipeline/progress"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

// Extras are what a run leaves besides results.
type Extras struct {
	Trace string   // a file for the timeline
	Wait  bool     // for the machine to be quiet
	Args  []string // that choose what is run, as they were given
	Proof string   // a file for the proof that everything stands
	On    *There   // the cluster that runs cells, if any
	Was   *Ending  // of a plan that is a part: how the whole ended
	In    *Session // that other runs are under way in; nil for one of its own
}

// A Session is a workspace that this process has for itself.
type Session struct {
	lock   io.Closer
	store  *store.Store
	ground *engine.Ground // nil for a single run's
}

// enter waits until no other process runs anything in the workspace at root.
func (a *App) enter(ctx context.Context, root string) (in *Session, err error) {
	in = &Session{}
	if in.lock, err = a.Lock(ctx, root); err != nil {
		return nil, err
	}
	if in.store, err = store.Open(StoreDir(root)); err == nil {
		if err = a.share(in.store); err != nil {
			err = errors.Join(err, in.store.Close())
		}
	}
	if err != nil {
		return nil, errors.Join(err, in.lock.Close())
	}
	return in, nil
}

// Enter is for several runs that are under way at once, which share the session.
func (a *App) Enter(ctx context.Context, root string) (*Session, error) {
	in, err := a.enter(ctx, root)
	if err != nil {
		return nil, err
	}
	cache, _ := cell.CacheDir() // empty where there is no home
	if in.ground, err = engine.Enter(root, State(root), cache); err != nil {
		return nil, errors.Join(err, in.store.Close(), in.lock.Close())
	}
	return in, nil
}

// Leave lets other processes in.
func (in *Session) Leave() error {
	return errors.Join(in.ground.Leave(), in.store.Close(), in.lock.Close())
}

// An Ending is what there is to say of a run that has ended, also when a proof says that it
// would do nothing.
type Ending struct {
	Study    string
	By       string // who chose the machine, where a GPU was thought of
	Machine  cell.Machine
	Lowered  []study.Override
	Replayed bool
	Result   *engine.Result
	Again    string // the command that measures anew
}

func (a *App) Overrides(all []study.Override) {
	for _, o := range all {
		fmt.Fprintf(a.Msg, "%s sets %s to %v (the study says %v)\n", o.By, o.Param, o.To, o.From)
	}
}

func (a *App) Begin(e *Ending) {
	a.Overrides(e.Lowered)
	if e.By != "" && !e.Replayed {
		fmt.Fprintf(a.Msg, "machine %s: %s\n", e.Machine.Name, e.By)
	}
	if !e.Replayed && e.Machine.Simulated() {
		fmt.Fprintln(a.Msg, "device sim: every number of this run is simulated, none is measured")
	}
}

// Execute runs a plan to its end, of which it returns what there is to say. What went
// wrong with the timeline has been said, and is late.
func (a *App) Execute(ctx context.Context, p *plan.Plan, opt engine.Options, more Extras) (e *Ending, late, err error) {
	if err := checkStages(p, opt.Fresh); err != nil {
		return nil, nil, err
	}
	if err := checkResources(p, opt.Capacity); err != nil {
		return nil, nil, err
	}
	Thrift(len(p.Cells)+p.Rest, false)
	opt.Cache, _ = cell.CacheDir() // empty where there is no home
	opt.Hold = a.hold(p, more.Wait)
	if opt.Pool, err = a.pool(p); err != nil {
		return nil, nil, err
	}
	defer cell.Hold()() // the engine stops its cells and keeps what is done
	opt.Program = a.Program(p.Study.Machine.Device)
	e = &Ending{Study: p.Study.Name, By: choice(p.Study), Machine: p.Study.Machine, Lowered: p.Study.Lowered, Replayed: p.Replayed != "", Again: more.again(p)}
	if more.Was != nil {
		e.Again = more.Was.Again
	}
	a.Begin(e)
	dir, in := State(p.Study.Root), more.In
	if in == nil {
		if in, err = a.enter(ctx, p.Study.Root); err != nil {
			return nil, nil, err
		}
		defer in.lock.Close()
	}
	s := in.store
	opt.Ground = in.ground
	show := progress.New(a.Msg, !a.JSON, func(cells []*plan.Cell) progress.Forecast { return progress.Foresee(p, s, cells) })
	var trace *progress.Trace
	if more.Trace != "" {
		trace = progress.NewTrace(show, more.Trace)
		show = trace
	}
	opt.Observer = show
	if more.On != nil { // and so no session is shared
		if err := more.On.start(a, p, s, &opt); err != nil {
			return nil, nil, errors.Join(err, s.Close())
		}
	}
	// The engine mostly waits for its children. With few processors its goroutines
	// hand over to each other without waking a thread each time; a second one is for
	// starting children.
	procs := runtime.GOMAXPROCS(min(opt.Jobs, 2, runtime.NumCPU()))
	res, err := engine.Run(ctx, p, s, dir, opt)
	runtime.GOMAXPROCS(procs)
	show.Close()
	if more.On != nil {
		more.On.end(a, res)
	}
	if res != nil && p.Rest > 0 {
		res.Counts[engine.Stood] += p.Rest
	}
	e.Result = res
	if trace != nil {
		if late = trace.Write(p.Study.Name); late != nil {
			a.Complain(late)
		}
	}
	if err == nil && more.Proof != "" && res.Whole() {
		// No proof, such as when an input was edited meanwhile, only means that the
		// next run has to look.
		stands := *e
		stands.Result = res.Again()
		_ = res.Decider.Prove(more.Proof, stands)
	}
	if more.In == nil {
		if e := s.Close(); err == nil {
			err = e
		}
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(a.Msg, "interrupted: %s; the next run goes on from here\n", Counts(res))
		err = cell.Exit(cell.StatusInterrupted)
	}
	return e, late, err
}

// Thrift has the collector of garbage come when it costs little beside what a study of so
// many cells takes: seldom where that is small, and where it is large itself, before much
// memory is taken by what is not needed any more. While it is only planned, it comes less.
func Thrift(cells int, planning bool) {
	switch {
	case cells < few:
		debug.SetGCPercent(400)
	case cells > many && !planning:
		debug.SetGCPercent(15)
	case cells > many:
		debug.SetGCPercent(50)
	default:
		debug.SetGCPercent(100)
	}
}

const (
	few  = 3_000
	many = 20_000
)

// choice says why the machine was chosen, on a computer that has a GPU: elsewhere it
// is a matter of course.
func choice(st *study.Study) string {
	if strings.Contains(st.MachineBy, "GPU") && !strings.HasSuffix(st.MachineBy, " GPU here") {
		return st.MachineBy
	}
	return ""
}

// checkResources refuses a --resource that means nothing.
func checkResources(p *plan.Plan, capacity map[string]int64) error {
	known := map[string]bool{}
	for _, st := range p.Study.Stages {
		for name := range st.Resources {
			known[name] = true
		}
	}
	for name, n := range capacity {
		switch {
		case n < 1:
			return cell.Usage(fmt.Errorf("--resource %s=%d: want at least 1", name, n))
		case len(known) == 0:
			return cell.Usage(fmt.Errorf("--resource %s: no stage of this study asks for any resource", name))
		case !known[name]:
			return cell.Usage(cell.Hint(fmt.Errorf("--resource %s: no stage asks for it", name), "resources of this study: %s", strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		}
	}
	return nil
}

// again is the command that measures a plan's trials anew.
func (x Extras) again(p *plan.Plan) string {
	var fresh []string
	for _, trials := range []bool{true, false} { // what has no trials is measured all
		for _, c := range p.Cells {
			if name := c.Stage.Name; c.Trial == nil && c.Stage.Kind.Measured && (len(c.Gang) > 0 || !trials) && !slices.Contains(fresh, name) {
				fresh = append(fresh, name)
			}
		}
		if len(fresh) > 0 {
			break
		}
	}
	words := append([]string{"barograph", "run"}, x.Args...)
	for _, name := range fresh {
		words = append(words, "--fresh", name)
	}
	for i, w := range words {
		words[i] = page.Shell(w)
	}
	return strings.Join(append(words, "--wait"), " ")
}

func Counts(res *engine.Result) string {
	var said []string
	for _, s := range []engine.Status{engine.Ran, engine.Stood, engine.Failed, engine.Skipped} {
		if n := res.Counts[s]; n > 0 {
			said = append(said, fmt.Sprintf("%d %s", n, s))
		}
	}
	if len(said) == 0 {
		return "no cell has run"
	}
	return "cells: " + strings.Join(said, ", ")
}
