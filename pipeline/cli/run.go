package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/progress"
	"barograph/pipeline/record"
	"barograph/pipeline/study"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func (a *program) runCommand() *cobra.Command {
	var sel app.Selection
	var more app.Extras
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
			if more.Trace != "" {
				if err := cell.Place("--trace", more.Trace, progress.TraceBegins); err != nil {
					return err
				}
			}
			if more.Trace == "" && len(opt.Fresh) == 0 && len(opt.Capacity) == 0 {
				more.Proof = sel.Proof(args)
			}
			if sel.Replay != "" && !cmd.Flags().Changed("on") {
				sel.On = "" // which the environment says for other runs
			}
			if sel.On != "" {
				if err := app.OnAlone(&sel, watch, more.Wait); err != nil {
					return err
				}
				more.Args = append(more.Args, "--on", sel.On)
			}
			below, err := record.Below(sel.Replay)
			if err != nil {
				return cell.Usage(fmt.Errorf("--replay %s: %w", sel.Replay, err))
			}
			if len(below) > 0 {
				if len(args) > 0 || watch || more.Trace != "" || len(sel.Set) > 0 || sel.Machine != "" {
					return cell.Usage(cell.Hint(fmt.Errorf("--replay %s: it holds %d recordings, which are replayed as they are", sel.Replay, len(below)), "name one of them, such as %s", below[0]))
				}
				return a.replay(cmd.Context(), below, opt)
			}
			more.Args = append(slices.Clone(args), more.Args...)
			if sel.Machine != "" {
				more.Args = append(more.Args, "--machine", sel.Machine)
			}
			for _, set := range sel.Set {
				more.Args = append(more.Args, "--set", set)
			}
			if watch {
				return a.watch(cmd.Context(), args, &sel, opt, more)
			}
			return a.runOnce(cmd.Context(), args, &sel, opt, more)
		},
	}
	sel.Flags(c)
	c.Flags().Lookup("replay").Usage = "let the recording in `dir`, or each below it, stand in for measuring"
	c.Flags().IntVarP(&opt.Jobs, "jobs", "j", runtime.NumCPU(), "pure cells to run at a time; measured cells run alone")
	c.Flags().StringArrayVar(&opt.Fresh, "fresh", nil, "run the cells of `stage` again, whatever is stored; repeatable")
	c.Flags().StringToInt64Var(&opt.Capacity, "resource", nil, "how much there is of what cells' resources: name, as `name=amount`; repeatable")
	c.Flags().BoolVarP(&opt.KeepGoing, "keep-going", "k", false, "after a failure, run what does not need the failed cell")
	c.Flags().BoolVar(&opt.Overwrite, "overwrite", false, "write outputs also over files that were edited since, or that no run made")
	c.Flags().StringVar(&more.Trace, "trace", "", "write when each cell ran to `file`, for Perfetto or chrome://tracing")
	c.Flags().BoolVar(&more.Wait, "wait", false, "measure only once the machine is quiet")
	c.Flags().BoolVar(&watch, "watch", false, "stay, and run what an edit affects")
	return c
}

func (a *program) runOnce(ctx context.Context, args []string, sel *app.Selection, opt engine.Options, more app.Extras) error {
	app.Thrift(0, true) // until it is known how many cells there are
	if more.Proof != "" {
		if known := plan.Recall(more.Proof, a.Options(sel)); known != nil {
			app.Thrift(known.Cells, false)
			if err := a.runKnown(ctx, known, sel, opt, more); !errors.Is(err, plan.ErrPart) {
				return err
			}
		}
	}
	if sel.On != "" {
		if err := a.Reach(ctx, args, sel); err != nil {
			return err
		}
	}
	p, err := a.Plan(args, sel)
	if sel.There != nil {
		err = cmp.Or(sel.There.Fits(), err)
	}
	if err != nil {
		return err
	}
	more.On = sel.There
	return a.run(ctx, p, opt, more)
}

// replay replays recordings, several at a time, and prints each one's results as if it had
// been alone. It ends with the status of the first that failed, or else was INVALID.
func (a *program) replay(ctx context.Context, dirs []string, opt engine.Options) error {
	root, err := study.Workspace(app.StudyPath(nil))
	if err != nil {
		return err
	}
	turns, err := turns(root, dirs)
	if err != nil {
		return cell.Usage(err)
	}
	app.Thrift(0, true)
	in, err := a.Enter(ctx, root)
	if err != nil {
		return err
	}
	defer cell.Hold()()
	at := min(opt.Jobs, len(turns))
	opt.Jobs = max(min(opt.Jobs, 2), opt.Jobs/at)
	var all errgroup.Group
	all.SetLimit(at)
	var mu sync.Mutex          // guards printing, and status
	status := map[string]int{} // of the recordings whose replay has ended
	for _, recordings := range turns {
		all.Go(func() error {
			for _, dir := range recordings {
				if ctx.Err() != nil {
					break
				}
				var out, msg bytes.Buffer
				one := &program{&app.App{Kinds: a.Kinds, GPUs: a.GPUs, Checks: a.Checks, Drawing: a.Drawing, JSON: a.JSON, Out: &out, Msg: &msg}}
				fmt.Fprintln(&msg, "replay", dir)
				err := one.runOnce(ctx, nil, &app.Selection{Replay: dir}, opt, app.Extras{Args: []string{"--replay", dir}, In: in})
				if err != nil {
					one.Complain(err)
				}
				mu.Lock()
				_, _ = a.Out.Write(out.Bytes())
				_, _ = a.Msg.Write(msg.Bytes())
				if s := cell.StatusOf(err); ctx.Err() == nil || s == cell.StatusDone || s == cell.StatusInvalid {
					status[dir] = s
				}
				mu.Unlock()
			}
			return nil
		})
	}
	_ = all.Wait() // each has told its own
	return cmp.Or(a.replayed(ctx, dirs, status), in.Leave())
}

// turns groups the recordings of one study, which share logs and so take turns, and puts
// first what takes longest. Two whose figures are the same files are an error.
func turns(root string, dirs []string) (turns [][]string, err error) {
	studies := map[string][]string{}
	drawn := map[string]string{} // by where the figures go
	for _, dir := range dirs {
		name, machine, err := record.Names(dir)
		if err != nil { // which its replay says
			turns = append(turns, []string{dir})
			continue
		}
		full, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		figures := record.Figures(root, full, name, machine)
		if other := drawn[figures]; other != "" {
			return nil, cell.Hint(fmt.Errorf("%s and %s are both recordings of study %q on machine %q, which have one folder of figures, %s", other, dir, name, machine, figures), "replay one of them, by its name")
		}
		drawn[figures] = dir
		studies[name] = append(studies[name], dir)
	}
	turns = slices.AppendSeq(turns, maps.Values(studies))
	slices.SortFunc(turns, func(x, y []string) int { return cmp.Compare(len(y), len(x)) })
	return turns, nil
}

// replayed returns how the replay of recordings ends. Where not all were replayed it says
// which failed, last, as much has been said since.
func (a *program) replayed(ctx context.Context, dirs []string, status map[string]int) error {
	worst := cell.StatusDone
	var failed []string
	for _, dir := range dirs {
		switch s := status[dir]; {
		case s == cell.StatusDone:
		case s == cell.StatusInvalid:
			worst = cmp.Or(worst, s)
		default:
			if len(failed) == 0 {
				worst = s
			}
			failed = append(failed, dir)
		}
	}
	stand := fmt.Sprintf("%d of %d recordings are replayed", len(status)-len(failed), len(dirs))
	if len(failed) > 0 {
		stand += "; failed: " + strings.Join(failed, ", ")
	}
	if ctx.Err() != nil {
		stand, worst = "interrupted: "+stand, cell.StatusInterrupted
	}
	if worst == cell.StatusDone {
		return nil
	}
	if worst != cell.StatusInvalid {
		fmt.Fprintln(a.Msg, stand)
	}
	return cell.Exit(worst)
}

// runKnown runs what changed of a study of which everything stood. It returns
// [plan.ErrPart] where the study has to be planned as a whole.
func (a *program) runKnown(ctx context.Context, known *plan.Known, sel *app.Selection, opt engine.Options, more app.Extras) error {
	var e app.Ending
	if known.Stands(&e) {
		a.Begin(&e)
		return a.conclude(&e)
	}
	if json.Unmarshal(known.Result, &e) != nil || len(e.Result.Warnings)+len(e.Result.Verdicts)+len(e.Result.Summaries) > 0 {
		return plan.ErrPart
	}
	p := known.Plan(a.Options(sel))
	if p == nil {
		return plan.ErrPart
	}
	more.Was = &e
	return a.run(ctx, p, opt, more)
}

// watch runs a study, and again whenever a look at the workspace shows an edit,
// until it is interrupted. What goes wrong is said, and watched on.
func (a *program) watch(ctx context.Context, args []string, sel *app.Selection, opt engine.Options, more app.Extras) error {
	path := app.StudyPath(args)
	root, err := study.Workspace(path)
	if err != nil {
		return err
	}
	var p *plan.Plan
	for studies := ""; ; {
		var err error
		if now := plan.Look(root, path, nil); p == nil || now != studies || p.Moved() { // else the plan is the same
			p, err = a.Plan(args, sel)
			studies = now
		}
		seen := plan.Look(root, path, p)
		if err == nil {
			err = a.runOnce(ctx, args, sel, opt, more)
		}
		opt.Fresh = nil // --fresh counts for the first run only
		if err != nil {
			a.Complain(err)
		}
		if ctx.Err() != nil {
			return cell.Exit(cell.StatusInterrupted)
		}
		fmt.Fprintln(a.Msg, "watching for edits; Ctrl-C ends it")
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

func (a *program) run(ctx context.Context, p *plan.Plan, opt engine.Options, more app.Extras) error {
	e, late, err := a.Execute(ctx, p, opt, more)
	if err != nil {
		return err
	}
	if err := a.conclude(e); err != nil || late == nil {
		return err
	}
	return cell.Exit(cell.StatusFailed)
}

// conclude prints how a run ended and turns it into a status.
func (a *program) conclude(e *app.Ending) error {
	res := e.Result
	if a.JSON {
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
		if err := a.WriteJSON(out); err != nil {
			return err
		}
	} else {
		for _, text := range res.Summaries {
			fmt.Fprint(a.Out, text)
		}
		progress.Warn(a.Msg, res.Warnings)
	}
	for _, f := range res.Failures {
		fmt.Fprintf(a.Msg, "\n%s failed: %v\n", f.Cell.ID, f.Err)
		a.Advise(f.Err)
		if f.Log != "" {
			fmt.Fprintln(a.Msg, "  log:", relative(f.Log))
		}
	}
	fmt.Fprintf(a.Msg, "%s: %s\n", e.Study, app.Counts(res))
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
func (a *program) invalid(e *app.Ending) {
	if e.Replayed {
		fmt.Fprintln(a.Msg, "INVALID: so it was when it was recorded; only measuring again could change that")
		return
	}
	if e.Result.Counts[engine.Ran] == 0 {
		fmt.Fprintln(a.Msg, "INVALID: this is what an earlier run measured, and it stands; nothing was measured now")
	} else {
		fmt.Fprintln(a.Msg, "INVALID: what was measured stands, and says nothing of the claims; the verdicts say why")
	}
	fmt.Fprintf(a.Msg, "  to measure anew, once what disturbed is stopped (barograph doctor names it): %s\n", e.Again)
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
