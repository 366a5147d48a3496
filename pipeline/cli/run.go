package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine"
	"barograph/pipeline/page"
	"barograph/pipeline/plan"
	"barograph/pipeline/progress"
	"barograph/pipeline/store"
	"barograph/pipeline/study"

	"github.com/spf13/cobra"
)

func (a *app) runCommand() *cobra.Command {
	var sel selection
	var more extras
	var watch bool
	opt := engine.Options{}
	c := &cobra.Command{
		Use:   "run [STUDY]",
		Short: "Run a study: measure, collect, analyse, plot, judge",
		Long: `Run a study. Cells whose result stands are not run again; "barograph plan" says
which would run, and why.

Exit status: 0 done, 1 a cell failed, 2 usage or an invalid file, 3 measured but
INVALID, 130 interrupted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if opt.Jobs < 1 {
				return cell.Usage(fmt.Errorf("--jobs %d: want at least 1", opt.Jobs))
			}
			if more.trace != "" {
				if err := cell.Place("--trace", more.trace, progress.TraceBegins); err != nil {
					return err
				}
			}
			if more.trace == "" && len(opt.Fresh) == 0 && len(opt.Capacity) == 0 {
				more.proof = sel.proof(args)
			}
			if sel.replay != "" && !cmd.Flags().Changed("on") {
				sel.on = "" // which the environment says for other runs
			}
			if sel.on != "" {
				if err := onAlone(&sel, watch, more.wait); err != nil {
					return err
				}
				more.args = append(more.args, "--on", sel.on)
			}
			more.args = append(slices.Clone(args), more.args...)
			if sel.machine != "" {
				more.args = append(more.args, "--machine", sel.machine)
			}
			for _, set := range sel.set {
				more.args = append(more.args, "--set", set)
			}
			if watch {
				return a.watch(cmd.Context(), args, &sel, opt, more)
			}
			return a.runOnce(cmd.Context(), args, &sel, opt, more)
		},
	}
	sel.flags(c)
	c.Flags().IntVarP(&opt.Jobs, "jobs", "j", runtime.NumCPU(), "pure cells to run at a time; measured cells run alone")
	c.Flags().StringArrayVar(&opt.Fresh, "fresh", nil, "run the cells of `stage` again, whatever is stored; repeatable")
	c.Flags().StringToInt64Var(&opt.Capacity, "resource", nil, "how much there is of what cells' resources: name, as `name=amount`; repeatable")
	c.Flags().BoolVarP(&opt.KeepGoing, "keep-going", "k", false, "after a failure, run what does not need the failed cell")
	c.Flags().BoolVar(&opt.Overwrite, "overwrite", false, "write outputs also over files that were edited since, or that no run made")
	c.Flags().StringVar(&more.trace, "trace", "", "write when each cell ran to `file`, for Perfetto or chrome://tracing")
	c.Flags().BoolVar(&more.wait, "wait", false, "measure only once the machine is quiet")
	c.Flags().BoolVar(&watch, "watch", false, "stay, and run what an edit affects")
	return c
}

// Extras are what a run leaves besides results.
type extras struct {
	trace string   // a file for the timeline
	wait  bool     // for the machine to be quiet
	args  []string // that choose what is run, as they were given
	proof string   // a file for the proof that everything stands
	on    *there   // the cluster that runs cells, if any
}

func (a *app) runOnce(ctx context.Context, args []string, sel *selection, opt engine.Options, more extras) error {
	var e ending
	if more.proof != "" && plan.Proven(more.proof, a.options(sel), &e) {
		a.begin(&e)
		return a.conclude(&e)
	}
	if sel.on != "" {
		if err := a.reach(ctx, args, sel); err != nil {
			return err
		}
	}
	p, err := a.plan(args, sel)
	if err != nil {
		return err
	}
	more.on = sel.there
	return a.run(ctx, p, opt, more)
}

// watch runs a study, and again whenever a look at the workspace shows an edit,
// until it is interrupted. What goes wrong is said, and watched on.
func (a *app) watch(ctx context.Context, args []string, sel *selection, opt engine.Options, more extras) error {
	path := studyPath(args)
	root, err := study.Workspace(path)
	if err != nil {
		return err
	}
	for {
		p, err := a.plan(args, sel)
		seen := plan.Look(root, path, p)
		if err == nil {
			err = a.runOnce(ctx, args, sel, opt, more)
		}
		opt.Fresh = nil // --fresh counts for the first run only
		if err != nil {
			a.complain(err)
		}
		if ctx.Err() != nil {
			return cell.Exit(cell.StatusInterrupted)
		}
		fmt.Fprintln(a.msg, "watching for edits; Ctrl-C ends it")
		seen += plan.Made(root, p)
		for now := seen; ; {
			select {
			case <-ctx.Done():
				return cell.Exit(cell.StatusInterrupted)
			case <-time.After(glance):
			}
			before := now
			if now = plan.Look(root, path, p) + plan.Made(root, p); now != seen && now == before { // the edit is over
				break
			}
		}
	}
}

// glance is how often watch looks.
const glance = 200 * time.Millisecond

// An ending is what there is to say of a run that has ended, also when a proof says that it
// would do nothing.
type ending struct {
	Study    string
	By       string // who chose the machine, where a GPU was thought of
	Machine  cell.Machine
	Lowered  []study.Override
	Replayed bool
	Result   *engine.Result
	Again    string // the command that measures anew
}

func (a *app) overrides(all []study.Override) {
	for _, o := range all {
		fmt.Fprintf(a.msg, "%s sets %s to %v (the study says %v)\n", o.By, o.Param, o.To, o.From)
	}
}

func (a *app) begin(e *ending) {
	a.overrides(e.Lowered)
	if e.By != "" && !e.Replayed {
		fmt.Fprintf(a.msg, "machine %s: %s\n", e.Machine.Name, e.By)
	}
	if !e.Replayed && e.Machine.Simulated() {
		fmt.Fprintln(a.msg, "device sim: every number of this run is simulated, none is measured")
	}
}

func (a *app) run(ctx context.Context, p *plan.Plan, opt engine.Options, more extras) error {
	e, late, err := a.execute(ctx, p, opt, more)
	if err != nil {
		return err
	}
	if err := a.conclude(e); err != nil || late == nil {
		return err
	}
	return cell.Exit(cell.StatusFailed)
}

// execute runs a plan to its end, of which it returns what there is to say. What went
// wrong with the timeline has been said, and is late.
func (a *app) execute(ctx context.Context, p *plan.Plan, opt engine.Options, more extras) (e *ending, late, err error) {
	if err := checkStages(p, opt.Fresh); err != nil {
		return nil, nil, err
	}
	if err := checkResources(p, opt.Capacity); err != nil {
		return nil, nil, err
	}
	opt.Cache, _ = cell.CacheDir() // empty where there is no home
	opt.Hold = a.hold(p, more.wait)
	if opt.Pool, err = a.pool(p); err != nil {
		return nil, nil, err
	}
	defer cell.Hold()() // the engine stops its cells and keeps what is done
	opt.Program = a.program(p.Study.Machine.Device)
	e = &ending{Study: p.Study.Name, By: choice(p.Study), Machine: p.Study.Machine, Lowered: p.Study.Lowered, Replayed: p.Replayed != "", Again: more.again(p)}
	a.begin(e)
	dir := state(p.Study.Root)
	lock, err := a.lock(ctx, p.Study.Root)
	if err != nil {
		return nil, nil, err
	}
	defer lock.Close()
	s, err := store.Open(storeDir(p.Study.Root))
	if err != nil {
		return nil, nil, err
	}
	if err := a.share(s); err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	show := progress.New(a.msg, !a.json, func(cells []*plan.Cell) progress.Forecast { return progress.Foresee(p, s, cells) })
	var trace *progress.Trace
	if more.trace != "" {
		trace = progress.NewTrace(show, more.trace)
		show = trace
	}
	opt.Observer = show
	if more.on != nil {
		if err := more.on.start(a, p, s, &opt); err != nil {
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
	if more.on != nil {
		more.on.end(a, res)
	}
	e.Result = res
	if trace != nil {
		if late = trace.Write(p.Study.Name); late != nil {
			a.complain(late)
		}
	}
	if err == nil && more.proof != "" && res.Whole() {
		// No proof, such as when an input was edited meanwhile, only means that the
		// next run has to look.
		stands := *e
		stands.Result = res.Again()
		_ = res.Decider.Prove(more.proof, stands)
	}
	if e := s.Close(); err == nil {
		err = e
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(a.msg, "interrupted: %s; the next run goes on from here\n", counts(res))
		err = cell.Exit(cell.StatusInterrupted)
	}
	return e, late, err
}

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

// lock makes this process the only one that changes a workspace's store.
func (a *app) lock(ctx context.Context, root string) (io.Closer, error) {
	lock, err := store.Lock(ctx, filepath.Join(state(root), "lock"), func(holder string) {
		fmt.Fprintln(a.msg, "waiting for another run in this folder:", holder)
	})
	if errors.As(err, new(*fs.PathError)) {
		err = cell.Hint(err, "results are kept below %s, which must be a folder that can be written", state(root))
	}
	return lock, err
}

// program chooses who runs a cell: this program, or, for cells that measure on a
// GPU, the build that can.
func (a *app) program(device string) func(*plan.Cell) (string, error) {
	return func(c *plan.Cell) (string, error) {
		if !c.Stage.Kind.Measured || !strings.HasPrefix(device, "cuda") {
			return os.Executable()
		}
		gpus := a.gpus()
		if err := gpus.Missing; err != nil {
			return "", cell.Hint(fmt.Errorf("cells on device %q need %w", device, err), "%s", cell.HintOf(err))
		}
		return gpus.Program, nil
	}
}

// conclude prints how a run ended and turns it into a status.
func (a *app) conclude(e *ending) error {
	res := e.Result
	if a.json {
		type failure struct {
			Cell  string `json:"cell"`
			Error string `json:"error"`
			Log   string `json:"log,omitempty"`
		}
		out := struct {
			Study    string                `json:"study"`
			Machine  cell.Machine          `json:"machine"`
			Counts   map[engine.Status]int `json:"counts"`
			Failures []failure             `json:"failures,omitempty"`
			Warnings []engine.Warning      `json:"warnings,omitempty"`
			Verdicts []cell.Verdict        `json:"verdicts,omitempty"`
		}{e.Study, e.Machine, res.Counts, nil, res.Warnings, res.Verdicts}
		for _, f := range res.Failures {
			out.Failures = append(out.Failures, failure{f.Cell.ID, f.Err.Error(), f.Log})
		}
		if err := a.writeJSON(out); err != nil {
			return err
		}
	} else {
		for _, text := range res.Summaries {
			fmt.Fprint(a.out, text)
		}
		progress.Warn(a.msg, res.Warnings)
	}
	for _, f := range res.Failures {
		fmt.Fprintf(a.msg, "\n%s failed: %v\n", f.Cell.ID, f.Err)
		a.advise(f.Err)
		if f.Log != "" {
			fmt.Fprintln(a.msg, "  log:", relative(f.Log))
		}
	}
	fmt.Fprintf(a.msg, "%s: %s\n", e.Study, counts(res))
	switch {
	case len(res.Failures) > 0:
		return cell.Exit(cell.StatusFailed)
	case slices.ContainsFunc(res.Verdicts, func(v cell.Verdict) bool { return v.Verdict == cell.Invalid }):
		a.invalid(e)
		return cell.Exit(cell.StatusInvalid)
	}
	return nil
}

// invalid says what to do about verdicts that are INVALID.
func (a *app) invalid(e *ending) {
	if e.Replayed {
		fmt.Fprintln(a.msg, "INVALID: so it was when it was recorded; only measuring again could change that")
		return
	}
	if e.Result.Counts[engine.Ran] == 0 {
		fmt.Fprintln(a.msg, "INVALID: this is what an earlier run measured, and it stands; nothing was measured now")
	} else {
		fmt.Fprintln(a.msg, "INVALID: what was measured stands, and says nothing of the claims; the verdicts say why")
	}
	fmt.Fprintf(a.msg, "  to measure anew, once what disturbed is stopped (barograph doctor names it): %s\n", e.Again)
}

// again is the command that measures a plan's trials anew.
func (x extras) again(p *plan.Plan) string {
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
	words := append([]string{"barograph", "run"}, x.args...)
	for _, name := range fresh {
		words = append(words, "--fresh", name)
	}
	for i, w := range words {
		words[i] = page.Shell(w)
	}
	return strings.Join(append(words, "--wait"), " ")
}

func counts(res *engine.Result) string {
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

// relative shortens a path for reading, where it can.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return path
}
