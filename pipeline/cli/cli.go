// Package cli is the command line: it turns arguments into a study, a plan and
// a run, and what happens into lines, bars, JSON and an exit status.
//
// Standard output is for results, standard error for messages.
package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/launch"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/source"
	"barograph/pipeline/store"
	"barograph/pipeline/store/remote"
	"barograph/pipeline/study"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// An app is what commands share.
type app struct {
	kinds   cell.Kinds
	gpus    func() cell.GPUs
	checks  []cell.Check
	drawing cell.Drawing
	json    bool
	out     io.Writer // results
	msg     io.Writer // messages
}

// Main runs the command line and returns the exit status. What the program can do
// and what this computer has is handed in.
func Main(args []string, kinds cell.Kinds, gpus func() cell.GPUs, commands []*cobra.Command, checks []cell.Check, drawing cell.Drawing) int {
	a := &app{kinds: kinds, gpus: gpus, checks: checks, drawing: drawing, out: os.Stdout, msg: os.Stderr}
	if len(args) == 1 && args[0] == "cell" { // most processes are this one: no time for a command tree
		if cell.Serve(kinds, os.Stdin, os.Stdout) != nil {
			return cell.StatusFailed
		}
		return cell.StatusDone
	}
	if len(args) == 2 && args[0] == "guard" {
		launch.Stand(args[1], os.Stdin)
		return cell.StatusDone
	}
	if len(args) > 1 && args[0] == "cell-agent" {
		return a.agent(args[1:])
	}
	ctx, stop := a.interruptible()
	defer stop()
	root := a.tree(commands)
	root.SetArgs(args)
	begun := false
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return cell.StatusDone
	case !begun: // what cobra refuses before a command begins is wrong usage
		err = cell.Usage(err)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = cell.End(err, cell.StatusInterrupted)
	}
	a.complain(err)
	return cell.StatusOf(err)
}

// tree returns the root of all commands.
func (a *app) tree(more []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "barograph",
		Short: "Measure what PCIe pressure does to model serving, and judge the claims",
		Long: `Barograph runs a study, one YAML file: it measures inference under pressure,
collects, analyses and plots, and judges the claims that the study names.

A study that is not named is configs/paper.yaml.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.PersistentFlags().BoolVar(&a.json, "json", false, "write results as JSON, for machines")
	root.AddCommand(a.runCommand(), a.planCommand(), a.whyCommand(), a.statusCommand(), a.graphCommand(),
		a.doctorCommand(), a.schemaCommand(), a.verifyCommand(), a.gcCommand(), a.versionCommand(), a.reportCommand(), a.exportCommand(),
		a.topCommand(), a.stopCommand())
	root.AddCommand(more...)
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = func(_ *cobra.Command, topic []string) error { // which cobra lets end well
			at, rest, err := root.Find(topic)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("unknown command %q for %q", rest[0], at.CommandPath())
			}
			return err
		}
	}
	root.SetOut(a.out)
	root.SetErr(a.msg)
	decimals(root)
	return root
}

// decimals makes the integers of all flags decimal, as those of studies are; pflag
// takes 010 for 8.
func decimals(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if kind := strings.TrimPrefix(f.Value.Type(), "u"); strings.HasPrefix(kind, "int") {
			f.Value = decimal{f.Value}
		}
	})
	for _, sub := range c.Commands() {
		decimals(sub)
	}
}

// A decimal is an integer flag that has no leading zero.
type decimal struct{ pflag.Value }

func (d decimal) Set(text string) error {
	if digits := strings.TrimLeft(text, "+-"); len(digits) > 1 && digits[0] == '0' && (digits[1] >= '0' && digits[1] <= '9' || digits[1] == '_') {
		return errors.New("a number that begins with a zero, which some take for octal")
	}
	return d.Value.Set(text)
}

// interruptible returns a context that a signal cancels. The process then ends as
// soon as nothing holds it, and at a second signal whatever does.
func (a *app) interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	forget := context.AfterFunc(ctx, func() {
		stop()
		cell.Interrupt()
		time.Sleep(patience)
		fmt.Fprintf(a.msg, "interrupted: waiting for what runs to end; a cell is killed after %v, and everything at another Ctrl-C\n", launch.Grace)
	})
	return ctx, func() {
		forget()
		stop()
	}
}

// patience is how long what was interrupted may take before something is said of it.
const patience = 500 * time.Millisecond

// complain prints an error, unless all has been said: files' errors as they are,
// others after the program's name, hints below.
func (a *app) complain(err error) {
	if e := (*cell.Error)(nil); errors.As(err, &e) && e.Err == nil {
		return
	}
	var one *source.Error
	var many source.Errors
	if errors.As(err, &many) || errors.As(err, &one) {
		fmt.Fprintln(a.msg, err)
		return
	}
	fmt.Fprintln(a.msg, "barograph:", err)
	a.advise(err)
}

func (a *app) advise(err error) {
	if hint := cell.HintOf(err); hint != "" {
		fmt.Fprintln(a.msg, "  hint:", hint)
	}
}

func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table writes columns that cells separated by tabs fill.
func (a *app) table(fill func(w io.Writer)) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fill(w)
	return w.Flush()
}

// A selection is the flags that choose a study and how it is read.
type selection struct {
	set     []string
	machine string
	devices string // of a pool
	replay  string
	on      string // a cluster
	there   *there // which it is, once it was asked
}

func (s *selection) flags(c *cobra.Command) {
	s.flagsFor(c, "run as `machine`, a file below configs/machines/", func(name string) { s.machine = name })
}

// flagsFor adds the flags, with what --machine does, whose empty value would pass
// for none given.
func (s *selection) flagsFor(c *cobra.Command, usage string, machine func(name string)) {
	c.Flags().StringArrayVar(&s.set, "set", nil, "give a parameter another value, as `name=value`; repeatable")
	c.Flags().Func("machine", usage, func(name string) error {
		if name == "" {
			return errors.New("no name: leave the flag out, or say auto, to have the machine detected")
		}
		machine(name)
		return nil
	})
	c.Flags().Func("devices", "measure on several GPUs at once, such as `cuda:0,cuda:1`, or all that CUDA_VISIBLE_DEVICES leaves", func(names string) error {
		if s.devices = names; names == "" {
			return errors.New("no name: leave the flag out, or name GPUs")
		}
		return nil
	})
	c.Flags().StringVar(&s.replay, "replay", "", "let the recording in `dir` stand in for measuring")
	c.Flags().StringVar(&s.on, "on", os.Getenv(onVariable), "run cells on a `cluster`, a file below configs/clusters/")
	c.Args = cobra.MaximumNArgs(1)
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		files, _ := filepath.Glob("configs/*.yaml") // completion: no match, no offer
		return files, cobra.ShellCompDirectiveDefault
	}
}

// options are how the study is read.
func (a *app) options(s *selection) study.Options {
	return study.Options{
		Kinds: a.kinds, Set: s.set, Machine: s.machine, Devices: s.devices, GPUs: a.gpus,
		Fingerprint: func(device string) string {
			if !strings.HasPrefix(device, "cuda") {
				return record.Fingerprint(device, cell.GPUs{}) // which need not be asked for
			}
			return record.Fingerprint(device, a.gpus())
		},
	}
}

// configs is the folder of studies, and standard the one that is meant where none
// is named.
const (
	configs  = "configs"
	standard = configs + "/paper.yaml"
)

// studyPath returns the file of the study that arguments name: as a file, or as
// paper for configs/paper.yaml.
func studyPath(args []string) string {
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

// plan reads a study and expands it.
func (a *app) plan(args []string, s *selection) (*plan.Plan, error) {
	opt := a.options(s)
	path := studyPath(args)
	var rec *record.Recording
	if s.replay != "" {
		if s.devices != "" {
			return nil, cell.Usage(cell.Hint(fmt.Errorf("--devices %s with --replay: nothing is measured", s.devices), "leave one of them out"))
		}
		var err error
		if rec, err = record.Open(s.replay); err != nil {
			return nil, cell.Usage(err)
		}
		if s.machine != "" && s.machine != rec.Machine.Name {
			return nil, cell.Usage(fmt.Errorf("--machine %s: the recording was made on %q", s.machine, rec.Machine.Name))
		}
		opt.Machine, opt.Recorded = rec.Machine.Name, &rec.Machine
		if len(args) == 0 {
			path = filepath.Join(configs, rec.Study+".yaml")
		}
	}
	if s.replay != "" {
		s.on = "" // nothing of it is measured
	}
	if s.on != "" {
		if err := a.plannedFor(path, s, &opt); err != nil {
			return nil, err
		}
	}
	st, err := study.Load(path, opt)
	if err != nil {
		return nil, cell.Usage(err)
	}
	if s.on != "" {
		if err := onDevice(s, st); err != nil {
			return nil, err
		}
	}
	if rec != nil {
		if rec.Study != st.Name {
			return nil, cell.Usage(fmt.Errorf("%s is a recording of study %q, not of %q", s.replay, rec.Study, st.Name))
		}
		st.Machine = rec.Machine
	}
	p, err := plan.Build(st)
	if err != nil {
		return nil, cell.Usage(err)
	}
	if rec != nil {
		if s.replay, err = filepath.Abs(s.replay); err != nil {
			return nil, err
		}
		if err := p.Replay(s.replay); err != nil {
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
func (s *selection) matters(p *plan.Plan, path string, opt study.Options) error {
	if len(s.set) == 0 {
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
	return cell.Usage(cell.Hint(fmt.Errorf("--set %s with --replay: nothing that is made from a recording depends on it", strings.Join(s.set, " --set ")), "run without --replay to measure anew"))
}

// state is the folder that holds the store, locks, logs and private folders.
func state(root string) string { return filepath.Join(root, ".barograph") }

// proof is the file that may say that a selection of a study needs no run; empty
// for a replay, which is not worth one.
func (s *selection) proof(args []string) string {
	path := studyPath(args)
	root, err := study.Workspace(path)
	if err != nil || s.replay != "" || s.on != "" {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q", path, s.machine, s.devices, s.set, os.Getenv(sharedStore))
	return filepath.Join(proofs(root), hex.EncodeToString(h.Sum(nil)))
}

func proofs(root string) string { return filepath.Join(state(root), "proofs") }

func storeDir(root string) string { return filepath.Join(state(root), "store") }

// sharedStore names the variable that holds the folder shared with others, or the URL
// of a server that is.
const sharedStore = "BAROGRAPH_SHARED"

// share puts the shared folder or server behind a store, where there is one.
func (a *app) share(s *store.Store) error {
	at := os.Getenv(sharedStore)
	warn := func(err error) { fmt.Fprintln(a.msg, "warning:", err) }
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

// decide returns a plan held against the store, nothing run.
func (a *app) decide(args []string, s *selection, fresh []string) (*plan.Plan, *plan.Decider, error) {
	p, err := a.plan(args, s)
	if err != nil {
		return nil, nil, err
	}
	if err := checkStages(p, fresh); err != nil {
		return nil, nil, err
	}
	st, err := store.View(storeDir(p.Study.Root))
	if err != nil {
		return nil, nil, err
	}
	if err := a.share(st); err != nil {
		return nil, nil, err
	}
	d := plan.NewDecider(p, st, fresh)
	if err := d.All(); err != nil {
		return nil, nil, err
	}
	return p, d, nil
}
