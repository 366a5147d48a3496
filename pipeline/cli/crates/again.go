package crates

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/scratch"
	"barograph/pipeline/citation"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/crate"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"

	"github.com/spf13/cobra"
)

// A judging says what of a crate is done again.
type judging struct {
	claims  []string // empty for all, where anything is judged at all
	figures bool
	trust   bool
	measure bool
	machine string
	set     []string
	add     bool
	agent   string
}

func (j *judging) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&j.claims, "claim", nil, "judge claim `ID` of the crate again, or all; repeatable")
	c.Flags().BoolVar(&j.figures, "figures", false, "draw the figures of the crate again too, and compare them byte by byte")
	c.Flags().BoolVar(&j.trust, "trust", false, "also run shell lines of the crate's study, as you: notebooks are confined, and these are not")
	c.Flags().BoolVar(&j.measure, "measure", false, "measure on this computer, and set the verdicts beside the crate's")
	c.Flags().StringVar(&j.machine, "machine", "", "with --measure, measure as `machine`, a file in the crate's configs/machines/")
	c.Flags().StringArrayVar(&j.set, "set", nil, "with --measure, give a parameter another value, as `name=value`; repeatable")
	c.Flags().BoolVar(&j.add, "add", false, "add what came of it to the crate, as one more action")
	c.Flags().StringVar(&j.agent, "agent", "", "with --add, who did it, as `\"Name\"` of an organisation or \"Name <URL>\" of a person")
}

// asked tells whether claims are to be judged.
func (j *judging) asked() bool { return j.measure || j.figures || len(j.claims) > 0 }

func (j *judging) check(crates, others []string) error {
	switch {
	case j.asked() && (len(crates) != 1 || len(others) > 0):
		return cell.Usage(errors.New("--claim, --figures and --measure are for one crate: a .zip that barograph export wrote, or its folder"))
	case j.figures && j.measure:
		return cell.Usage(errors.New("--figures draws what was recorded, and --measure records anew: one at a time"))
	case j.add && !j.measure && len(j.claims) == 0:
		return cell.Usage(errors.New("--add keeps verdicts: say which with --claim, or --measure"))
	case j.add && j.agent == "":
		return cell.Usage(errors.New("--add says who judged: give --agent a name"))
	case !j.measure && (j.machine != "" || len(j.set) > 0):
		return cell.Usage(errors.New("--machine and --set are for --measure: a recording is as it was measured"))
	}
	return nil
}

// verifyCrate reads a crate, and judges its claims again if that is asked for. The
// status is not 0 where a verdict says so.
func (a *commands) verifyCrate(ctx context.Context, name string, again judging, out *soundness) (status int, err error) {
	c, err := crate.Open(name)
	if err != nil {
		return 0, cell.Usage(err)
	}
	defer c.Close()
	sound, wrong, err := c.Check()
	if err != nil {
		return 0, fmt.Errorf("verify %q: %w", name, err)
	}
	for _, d := range wrong {
		out.Damage = append(out.Damage, store.Damage{Path: filepath.Join(name, d.Path), What: d.What})
		fmt.Fprintf(a.Msg, "%s: %s\n", name, d)
	}
	if len(wrong) > 0 {
		return 0, nil // what is not as it was written is not judged
	}
	out.Crates = append(out.Crates, name)
	if !a.JSON {
		fmt.Fprintf(a.Out, "ok %s: %d files\n", name, sound)
	}
	if !again.asked() {
		return 0, nil
	}
	found, err := a.judge(ctx, c, again)
	if err != nil {
		return 0, err
	}
	out.Assessments = append(out.Assessments, *found)
	if again.add {
		path, err := c.Add(*found)
		if err != nil {
			return 0, fmt.Errorf("add to %q: %w", name, err)
		}
		fmt.Fprintf(a.Msg, "added %s to %s\n", path, name)
	}
	return verdictStatus(found), nil
}

// verdictStatus is that of the program after claims were judged again: another
// verdict by the same recording is a failure, and by another measurement none.
func verdictStatus(found *crate.Assessment) int {
	for _, o := range found.Claims {
		switch {
		case found.Means == judged && !o.Same():
			return cell.StatusFailed
		case found.Means == measuredAnew && o.Verdict == cell.Invalid:
			return cell.StatusInvalid
		}
	}
	return 0
}

// How claims can be judged again.
const (
	judged       = "judged"
	measuredAnew = "measured"
)

// judge runs a crate's study in a folder of its own, and takes the verdicts.
func (a *commands) judge(ctx context.Context, c *crate.Crate, again judging) (*crate.Assessment, error) {
	s := c.State
	if err := again.known(s); err != nil {
		return nil, err
	}
	if !again.measure && s.Recording == "" {
		return nil, cell.Usage(cell.Hint(fmt.Errorf("crate %q holds no recording to judge by", c.Path), "--measure measures on this computer"))
	}
	who, err := named(again.agent, &citation.File{})
	if err != nil {
		return nil, err
	}
	dir, drop, err := scratch.New()
	if err != nil {
		return nil, err
	}
	defer drop()
	if err := c.Unpack(dir); err != nil {
		return nil, err
	}
	found := &crate.Assessment{Agent: who, Started: now(), Means: judged, Host: record.Environment(a.GPUs()), Program: record.Build()}
	sel := app.Selection{Replay: filepath.Join(dir, filepath.FromSlash(s.Recording))}
	run := *a.App // what is run within says nothing, unless it is measured
	run.Out, run.JSON = io.Discard, false
	if again.measure {
		found.Means = measuredAnew
		sel = app.Selection{Machine: again.machine, Set: again.set}
	} else {
		run.Msg = io.Discard
	}
	p, err := run.Plan([]string{s.StudyFile(dir)}, &sel)
	if err != nil {
		return nil, err
	}
	if !again.measure && !again.figures {
		p.Only(again.stages(s))
	}
	if err := again.trusts(p); err != nil {
		return nil, err
	}
	e, _, err := run.Execute(ctx, p, engine.Options{Jobs: runtime.NumCPU(), Overwrite: true}, app.Extras{})
	if err != nil {
		return nil, err
	}
	if len(e.Result.Failures) > 0 {
		f := e.Result.Failures[0]
		return nil, fmt.Errorf("%s of crate %q failed: %w", f.Cell.ID, c.Path, f.Err)
	}
	found.Machine, found.Ended = p.Study.Machine, now()
	for _, claim := range s.Claims {
		if !again.judges(claim.ID) {
			continue
		}
		o := crate.Outcome{ID: claim.ID, Crate: claim.Verdict, Verdict: "not judged"}
		for _, v := range e.Result.Verdicts {
			if v.ID == claim.ID {
				o.Verdict, o.Because = v.Verdict, v.Because
			}
		}
		found.Claims = append(found.Claims, o)
	}
	if a.JSON {
		return found, nil
	}
	if err := a.beside(s, found); err != nil || !again.figures {
		return found, err
	}
	a.redrawn(c, dir)
	return found, nil
}

// trusts refuses to run what a crate brings and nothing confines, unless it is trusted.
func (j *judging) trusts(p *plan.Plan) error {
	for _, c := range p.Cells {
		if c.Script != "" && c.Given == nil && !j.trust {
			return cell.Usage(cell.Hint(fmt.Errorf("%s of the crate's study runs a shell line: %s", c.ID, strings.TrimSpace(c.Script)), "read it; --trust runs it as you"))
		}
	}
	return nil
}

// judges tells whether a claim is to be judged.
func (j *judging) judges(id string) bool {
	return len(j.claims) == 0 || slices.Contains(j.claims, id) || slices.Contains(j.claims, "all")
}

// stages are those that judge the claims.
func (j *judging) stages(s *crate.State) map[string]bool {
	by := map[string]bool{}
	for _, c := range s.Claims {
		if j.judges(c.ID) {
			by[c.JudgedBy] = true
		}
	}
	return by
}

// now is the time as a crate writes it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// known refuses claims that the crate does not have.
func (j *judging) known(s *crate.State) error {
	var ids []string
	for _, c := range s.Claims {
		ids = append(ids, c.ID)
	}
	if len(ids) == 0 && !j.figures {
		return cell.Usage(fmt.Errorf("study %s has no claims", s.Study.Name))
	}
	for _, id := range j.claims {
		if id != "all" && !slices.Contains(ids, id) {
			return cell.Usage(cell.Hint(fmt.Errorf("--claim %s: the crate has no such claim", id), "it has %s", strings.Join(ids, ", ")))
		}
	}
	return nil
}

// beside writes the crate's verdicts and those found now next to each other.
func (a *commands) beside(s *crate.State, found *crate.Assessment) error {
	if len(found.Claims) == 0 {
		return nil
	}
	err := a.Table(func(w io.Writer) {
		fmt.Fprintf(w, "CLAIM\tCRATE (%s)\t%s (%s)\t\n", s.Machine.Name, strings.ToUpper(found.Means), found.Machine.Name)
		for _, o := range found.Claims {
			word := "the same"
			if !o.Same() {
				word = "DIFFERENT"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.ID, cmp.Or(o.Crate, "not judged"), o.Verdict, word)
		}
	})
	for _, o := range found.Claims {
		if o.Because != "" {
			fmt.Fprintf(a.Out, "%s %s: %s\n", o.ID, o.Verdict, o.Because)
		}
	}
	if found.Machine.Device == "sim" && found.Means == measuredAnew {
		fmt.Fprintln(a.Out, "device sim: simulated, not measured")
	}
	return err
}

// redrawn says which of the crate's figures came out in the same bytes.
func (a *commands) redrawn(c *crate.Crate, dir string) {
	figures, other := 0, []string{}
	for _, f := range c.State.Files {
		if !strings.HasPrefix(f.Path, "figures/") {
			continue
		}
		figures++
		if sum, err := cell.Sum(filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil || sum != f.Digest {
			other = append(other, f.Path)
		}
	}
	if figures > 0 {
		fmt.Fprintf(a.Out, "%d of %d files of figures were drawn again to the same bytes\n", figures-len(other), figures)
	}
	for _, name := range other {
		fmt.Fprintln(a.Msg, "drawn otherwise:", name)
	}
}
