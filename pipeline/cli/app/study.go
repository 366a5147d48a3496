package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
	"barograph/pipeline/store/remote"
	"barograph/pipeline/study"

	"github.com/spf13/cobra"
)

// A Selection is the flags that choose a study and how it is read.
type Selection struct {
	Set     []string
	Machine string
	Devices string // of a pool
	Replay  string
	On      string // a cluster
	There   *There // which it is, once it was asked
}

func (s *Selection) Flags(c *cobra.Command) {
	s.FlagsFor(c, "run as `machine`, a file below configs/machines/", func(name string) { s.Machine = name })
}

// FlagsFor adds the flags, with what --machine does, whose empty value would pass
// for none given.
func (s *Selection) FlagsFor(c *cobra.Command, usage string, machine func(name string)) {
	c.Flags().StringArrayVar(&s.Set, "set", nil, "give a parameter another value, as `name=value`; repeatable")
	c.Flags().Func("machine", usage, func(name string) error {
		if name == "" {
			return errors.New("no name: leave the flag out, or say auto, to have the machine detected")
		}
		machine(name)
		return nil
	})
	c.Flags().Func("devices", "measure on several GPUs at once, such as `cuda:0,cuda:1`, or all that CUDA_VISIBLE_DEVICES leaves", func(names string) error {
		if s.Devices = names; names == "" {
			return errors.New("no name: leave the flag out, or name GPUs")
		}
		return nil
	})
	c.Flags().StringVar(&s.Replay, "replay", "", "let the recording in `dir` stand in for measuring")
	c.Flags().StringVar(&s.On, "on", os.Getenv(OnVariable), "run cells on a `cluster`, a file below configs/clusters/")
	c.Args = cobra.MaximumNArgs(1)
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		files, _ := filepath.Glob("configs/*.yaml") // completion: no match, no offer
		return files, cobra.ShellCompDirectiveDefault
	}
}

// Options are how the study is read.
func (a *App) Options(s *Selection) study.Options {
	return study.Options{
		Kinds: a.Kinds, Set: s.Set, Machine: s.Machine, Devices: s.Devices, GPUs: a.GPUs,
		Fingerprint: func(device string) string {
			if !strings.HasPrefix(device, "cuda") {
				return record.Fingerprint(device, cell.GPUs{}) // which need not be asked for
			}
			return record.Fingerprint(device, a.GPUs())
		},
	}
}

// configs is the folder of studies, and standard the one that is meant where none
// is named.
const (
	configs  = "configs"
	standard = configs + "/paper.yaml"
)

// StudyPath returns the file of the study that arguments name: as a file, or as
// paper for configs/paper.yaml.
func StudyPath(args []string) string {
	if len(args) == 0 {
		return standard
	}
	path := args[0]
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return path
	}
	for _, short := range []string{path + ".yaml", path} {
		short = filepath.Join(configs, short)
		if info, err := os.Stat(short); err == nil && !info.IsDir() {
			return short
		}
	}
	return path
}

// Plan reads a study and expands it.
func (a *App) Plan(args []string, s *Selection) (*plan.Plan, error) {
	opt := a.Options(s)
	path := StudyPath(args)
	var rec *record.Recording
	if s.Replay != "" {
		if s.Devices != "" {
			return nil, cell.Usage(cell.Hint(fmt.Errorf("--devices %s with --replay: nothing is measured", s.Devices), "leave one of them out"))
		}
		var err error
		if rec, err = record.Open(s.Replay); err != nil {
			return nil, cell.Usage(err)
		}
		if s.Machine != "" && s.Machine != rec.Machine.Name {
			return nil, cell.Usage(fmt.Errorf("--machine %s: the recording was made on %q", s.Machine, rec.Machine.Name))
		}
		opt.Machine, opt.Recorded = rec.Machine.Name, &rec.Machine
		if len(args) == 0 {
			path = filepath.Join(configs, rec.Study+".yaml")
		}
	}
	if s.Replay != "" {
		s.On = "" // nothing of it is measured
	}
	if s.On != "" {
		if err := a.plannedFor(path, s, &opt); err != nil {
			return nil, err
		}
	}
	st, err := study.Load(path, opt)
	if err != nil {
		return nil, cell.Usage(err)
	}
	cells := 0
	for _, stage := range st.Stages {
		cells += study.Count(stage.Matrix)
	}
	Thrift(cells, true)
	if s.On != "" {
		if err := onDevice(s, st); err != nil {
			return nil, err
		}
	}
	if rec != nil {
		if rec.Study != st.Name {
			return nil, cell.Usage(fmt.Errorf("%s is a recording of study %q, not of %q", s.Replay, rec.Study, st.Name))
		}
		st.Machine = rec.Machine
	}
	p, err := plan.Build(st)
	if err != nil {
		return nil, cell.Usage(err)
	}
	if rec != nil {
		if s.Replay, err = filepath.Abs(s.Replay); err != nil {
			return nil, err
		}
		if err := p.Replay(s.Replay); err != nil {
			return nil, cell.Usage(err)
		}
		if err := s.matters(p, path, opt); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// matters refuses parameters that change nothing of what is made from a
// recording: its numbers were measured with those of its day.
func (s *Selection) matters(p *plan.Plan, path string, opt study.Options) error {
	if len(s.Set) == 0 {
		return nil
	}
	opt.Set = nil
	st, err := study.Load(path, opt)
	if err != nil {
		return err
	}
	st.Machine = p.Study.Machine
	plain, err := plan.Build(st)
	if err != nil {
		return err
	}
	for _, c := range p.Cells {
		if c.Given == nil && !c.Same(plain.Cell(c.ID)) {
			return nil
		}
	}
	return cell.Usage(cell.Hint(fmt.Errorf("--set %s with --replay: nothing that is made from a recording depends on it", strings.Join(s.Set, " --set ")), "run without --replay to measure anew"))
}

// State is the folder that holds the store, locks, logs and private folders.
func State(root string) string { return filepath.Join(root, ".barograph") }

// Proof is the file that may say that a selection of a study needs no run; empty
// for a replay, which is not worth one.
func (s *Selection) Proof(args []string) string {
	path := StudyPath(args)
	root, err := study.Workspace(path)
	if err != nil || s.Replay != "" || s.On != "" {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q", path, s.Machine, s.Devices, s.Set, os.Getenv(sharedStore))
	return filepath.Join(Proofs(root), hex.EncodeToString(h.Sum(nil)))
}

func Proofs(root string) string { return filepath.Join(State(root), "proofs") }

func StoreDir(root string) string { return filepath.Join(State(root), "store") }

// sharedStore names the variable that holds the folder shared with others, or the URL
// of a server that is.
const sharedStore = "BAROGRAPH_SHARED"

// share puts the shared folder or server behind a store, where there is one.
func (a *App) share(s *store.Store) error {
	at := os.Getenv(sharedStore)
	warn := func(err error) { fmt.Fprintln(a.Msg, "warning:", err) }
	switch {
	case strings.Contains(at, "://"):
		server, err := remote.New(at)
		if err != nil {
			return cell.Usage(fmt.Errorf("%s: %w", sharedStore, err))
		}
		s.Serve(server, warn)
	case at != "":
		s.Share(at, warn)
	}
	return nil
}

// checkStages refuses --fresh for stages that there are not.
func checkStages(p *plan.Plan, fresh []string) error {
	for _, name := range fresh {
		if p.Study.Stage(name) == nil {
			return cell.Usage(fmt.Errorf("--fresh %s: the study has no such stage", name))
		}
	}
	return nil
}

// Decide returns a plan held against the store, nothing run.
func (a *App) Decide(args []string, s *Selection, fresh []string) (*plan.Plan, *plan.Decider, error) {
	p, err := a.Plan(args, s)
	if err != nil {
		return nil, nil, err
	}
	if err := checkStages(p, fresh); err != nil {
		return nil, nil, err
	}
	d, err := a.against(p, fresh)
	if err == nil && len(fresh) == 0 {
		a.doubt(s, args, p, d)
	}
	return p, d, err
}

// Standing reads a study and what stands of it on a machine. Where nothing was
// measured here, a recording of that machine is taken in its place.
func (a *App) Standing(args []string, sel Selection) (*plan.Plan, *plan.Decider, *store.Store, error) {
	p, d, err := a.Decide(args, &sel, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	if sel.Replay == "" && !measured(p, d) {
		for _, top := range []string{record.Results, ""} { // what was measured here, before what came along
			dir := filepath.Join(p.Study.Root, top, record.Dir(p.Study.Name, p.Study.Machine.Name))
			if _, err := os.Stat(filepath.Join(dir, record.Sums)); err == nil {
				sel.Replay = dir
				if p, d, err = a.Decide(args, &sel, nil); err != nil {
					return nil, nil, nil, err
				}
				break
			}
		}
	}
	s, err := store.View(StoreDir(p.Study.Root))
	if err != nil {
		return nil, nil, nil, err
	}
	return p, d, s, nil
}

// Stands refuses a plan of which nothing does; nor has anything failed, where that is
// worth telling too.
func Stands(args []string, p *plan.Plan, d *plan.Decider, failed map[string]store.Failure) error {
	for _, c := range p.Cells {
		dec := d.Of(c)
		if _, ok := failed[dec.Key]; dec.State == plan.Stands || ok {
			return nil
		}
	}
	return cell.Hint(fmt.Errorf("nothing of study %s stands on machine %s", p.Study.Name, p.Study.Machine.Name),
		"barograph run %s --machine %s", strings.Join(args, " "), p.Study.Machine.Name)
}

// measured tells whether a measured cell of the plan has a standing result.
func measured(p *plan.Plan, d *plan.Decider) bool {
	return slices.ContainsFunc(p.Order, func(c *plan.Cell) bool {
		dec := d.Of(c)
		return dec != nil && dec.State == plan.Stands
	})
}
