// Package job runs notebooks by hand: `notebook run` and `notebook check`, and the
// runs that a page is made of.
package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/pipeline/cell/scratch"
	"barograph/pipeline/record"
	"barograph/pipeline/source"
	"barograph/stages/notebook"
	"barograph/stages/notebook/script"
	"barograph/stages/notebook/symbols"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Command returns `notebook`, whose commands work on one notebook by hand, with
// others that show one. A notebook is confined in a child process, which is this
// program again as `notebook cell`.
func Command(others ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   "notebook",
		Short: "Work on one notebook by hand",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(runCommand(), checkCommand())
	c.AddCommand(notebook.Children()...)
	c.AddCommand(others...)
	return c
}

func runCommand() *cobra.Command {
	var j Job
	var params []string
	c := &cobra.Command{
		Use:   "run NAME|DIR",
		Short: "Run a notebook on a recording",
		Long: `Run a notebook on the files of a folder, such as data/paper/host.

NAME is a folder below notebooks/, or any folder that holds a main.go. What the
notebook writes goes below the folder that -o names, and nothing is written
unless the notebook ends well. The summary goes to standard output.`,
		Example: `  barograph notebook run figure2 --data data/paper/host -o figures
  barograph notebook run contention --data data/paper/host --param alpha=0.01`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := j.Open(args[0], params); err != nil {
				return err
			}
			if err := writable(j.output); err != nil {
				return cell.Usage(fmt.Errorf("--output %s: %w", j.output, err))
			}
			j.Out, j.Log = c.OutOrStdout(), c.ErrOrStderr()
			return j.run(c.Context())
		},
	}
	j.Flags(c, &params)
	c.Flags().StringVarP(&j.output, "output", "o", ".", "`folder` to write into")
	c.Flags().StringArrayVar(&j.declared, "declare", nil, "the only `files` the notebook may write, and must; may be repeated")
	c.Flags().BoolVar(&j.compiled, "compiled", false, "compile the notebook with the Go command")
	return c
}

const defaultTimeout = 5 * time.Minute

// A Job is one run of a notebook by hand.
type Job struct {
	Root     string // the workspace
	Dir      string // of the notebook
	Data     string // the folder whose files it may read; empty for none
	With     notebook.With
	Out, Log io.Writer
	output   string
	declared []string
	compiled bool
	timeout  time.Duration
	seed     uint64
	bare     bool // figures without captions
}

// Flags adds the flags of every command that runs one notebook.
func (j *Job) Flags(c *cobra.Command, params *[]string) {
	c.Flags().StringVar(&j.Data, "data", "", "`folder` whose files the notebook may read")
	c.Flags().StringArrayVar(params, "param", nil, "parameter as `name=value`; may be repeated")
	c.Flags().BoolVar(&j.bare, "no-captions", false, "draw figures without the text below them, which a paper sets itself; the same as --param captions=false")
	c.Flags().Uint64Var(&j.seed, "seed", 0, "`number` that resampling draws from; a study's cell has one of its own")
	c.Flags().DurationVar(&j.timeout, "timeout", defaultTimeout, "stop the notebook after this `time`; 0: never")
}

// Open finds the notebook and reads its parameters.
func (j *Job) Open(name string, params []string) (err error) {
	if err := positive(j.timeout); err != nil {
		return err
	}
	if j.Root, err = os.Getwd(); err != nil {
		return err
	}
	if j.Dir, err = find(j.Root, name); err != nil {
		return err
	}
	if j.bare {
		params = append(params, "captions=false")
	}
	j.With, err = parameters(params)
	return err
}

// positive refuses a time that a flag cannot have.
func positive(timeout time.Duration) error {
	if timeout < 0 {
		return cell.Usage(fmt.Errorf("--timeout %v: want more than 0, or 0 for never", timeout))
	}
	return nil
}

// find returns the folder of a notebook.
func find(root, name string) (string, error) {
	for _, dir := range []string{filepath.Join(root, "notebooks", name), name} {
		if _, err := os.Stat(filepath.Join(dir, script.File)); err == nil {
			return filepath.Abs(dir)
		}
	}
	var names []string
	found, err := filepath.Glob(filepath.Join(root, "notebooks", "*", script.File))
	if err != nil {
		return "", err
	}
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	err = fmt.Errorf("no notebook %q: neither notebooks/%s/%s nor %s is there", name, name, script.File, filepath.Join(name, script.File))
	if len(names) > 0 {
		err = cell.Hint(err, "there is %s", strings.Join(names, ", "))
	}
	return "", cell.Usage(err)
}

// parameters reads name=value pairs, values as a study would have them.
func parameters(pairs []string) (notebook.With, error) {
	with := notebook.With{}
	for _, p := range pairs {
		name, text, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, cell.Usage(fmt.Errorf("--param %q is not name=value", p))
		}
		if _, ok := with[name]; ok {
			return nil, cell.Usage(fmt.Errorf("--param %s is given twice", name))
		}
		if with[name] = nil; strings.TrimSpace(text) == "" {
			continue
		}
		n, bad := source.ParseArgument("--param", p, len(name)+1)
		if bad != nil {
			return nil, cell.Usage(bad)
		}
		var v any
		if err := n.Unmarshal(&v); err != nil {
			return nil, cell.Usage(err)
		}
		with[name] = v
	}
	return with, nil
}

// run runs the notebook, and writes what it left to where it was asked for, once
// it has ended well.
func (j *Job) run(ctx context.Context) (err error) {
	if j.compiled { // which keeps no record
		defer cell.Hold()() // the folder, and the process that runs in it
		dir, drop, err := scratch.New()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, drop()) }()
		if err := j.runIn(ctx, dir); err != nil {
			return err
		}
		return j.publish(dir)
	}
	began := time.Now()
	kept, err := j.keep(ctx)
	if err != nil {
		fmt.Fprintf(j.Log, "%s failed after %v\n", filepath.Base(j.Dir), time.Since(began).Round(time.Millisecond))
		return err
	}
	if err := j.publish(kept); err != nil {
		return err
	}
	return j.compared(ctx, kept)
}

// compared holds a run that has been shown against the compiled notebook's, and
// notes in its record how they compare. One that differs is not kept.
func (j *Job) compared(ctx context.Context, kept string) error {
	spec, err := j.Spec()
	if err != nil {
		return err
	}
	said, err := notebook.Compare(ctx, spec, kept).Result()
	if err != nil {
		return errors.Join(script.Hinted(err), os.RemoveAll(kept))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	fmt.Fprintf(j.Log, "%s: %s\n", filepath.Base(j.Dir), said)
	r, err := notebook.ReadRecord(filepath.Join(kept, notebook.RecordFile))
	if errors.Is(err, fs.ErrNotExist) { // --declare does not name it
		return nil
	}
	if err != nil {
		return err
	}
	r.Compared = said
	return r.Keep(kept)
}

// kept is the folder that holds what the notebook left when it last ran like
// this, with its record.
func (j *Job) kept() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %d", j.Dir, j.Data, j.declared, fmt.Sprint(j.With), j.seed))
	return filepath.Join(j.Root, ".barograph", "notebooks", filepath.Base(j.Dir)+"-"+hex.EncodeToString(sum[:4]))
}

// keep runs the notebook and returns the folder that it leaves its outputs in. A
// run that fails leaves the one before.
func (j *Job) keep(ctx context.Context) (kept string, err error) {
	defer cell.Hold()() // the folder, and the process that runs in it
	kept = j.kept()
	if err := os.MkdirAll(filepath.Dir(kept), 0o777); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(kept), ".run-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := j.runIn(ctx, dir); err != nil {
		return "", err
	}
	if err := os.RemoveAll(kept); err != nil {
		return "", err
	}
	return kept, os.Rename(dir, kept)
}

// Recorded returns the folder of a run whose notebook, parameters, inputs and
// outputs are still what they were, running the notebook only if there is none.
func (j *Job) Recorded(ctx context.Context) (string, *notebook.Record, error) {
	kept := j.kept()
	if r, err := notebook.ReadRecord(filepath.Join(kept, notebook.RecordFile)); err == nil {
		stands, err := j.stands(r, kept)
		if err != nil || stands {
			return kept, r, err
		}
	}
	if _, err := j.keep(ctx); err != nil {
		return "", nil, err
	}
	if err := j.compared(ctx, kept); err != nil {
		return "", nil, err
	}
	r, err := notebook.ReadRecord(filepath.Join(kept, notebook.RecordFile))
	return kept, r, err
}

// stands tells whether running the notebook would leave the same record.
func (j *Job) stands(r *notebook.Record, dir string) (bool, error) {
	spec, err := j.Spec()
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(filepath.Join(j.Dir, script.File))
	if err != nil {
		return false, err
	}
	inputs, err := notebook.Inputs(spec)
	if err != nil {
		return false, err
	}
	if string(text) != r.Source || r.Functions != symbols.Digest || r.Go != runtime.Version() || !slices.Equal(inputs, r.Inputs) {
		return false, nil
	}
	for _, out := range r.Outputs {
		if found, err := notebook.Digest(filepath.Join(dir, out.Name), out.Name); err != nil || found != out {
			return false, nil // damaged: made again
		}
	}
	return true, nil
}

// runIn runs the notebook in an empty folder, which it leaves its outputs in.
func (j *Job) runIn(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	ctx, stop := j.Limited(ctx)
	defer stop()
	if j.compiled {
		spec, err := j.Spec()
		if err != nil {
			return err
		}
		return notebook.Compile(ctx, spec, dir, j.Log)
	}
	p, err := notebook.Start(ctx, dir, j.Log)
	if err != nil {
		return err
	}
	spec, err := j.Spec() // while the process starts
	if err != nil {
		p.Drop()
		return err
	}
	err = p.Run(ctx, spec, func(cell.Event) {})
	if err != nil {
		if _, wrong := script.Parse(spec.Notebook, notebook.SourceName(spec)); wrong != nil {
			return script.Hinted(wrong) // what the process said, as the notebook's fault
		}
	}
	return err
}

// Limited returns a context that ends when the job has taken too long.
func (j *Job) Limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if j.timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, j.timeout, fmt.Errorf("no end after %v", j.timeout))
}

// Spec returns what the notebook is told.
func (j *Job) Spec() (*cell.Spec, error) {
	with, err := json.Marshal(j.With)
	if err != nil {
		return nil, err
	}
	s := &cell.Spec{
		Study: filepath.Base(filepath.Dir(j.Data)), Stage: notebook.ByHand, Kind: notebook.ByHand, ID: notebook.ByHand,
		With: with, Notebook: j.Dir, Root: j.Root, Outputs: j.declared, Seed: j.seed,
		Machine: cell.Machine{Name: filepath.Base(j.Data)},
	}
	if len(s.Outputs) == 0 {
		s.Outputs = []string{nb.Any}
	}
	if j.Data == "" {
		s.Study, s.Machine.Name = "", ""
		return s, nil
	}
	in := cell.Input{Stage: "recording", Kind: "collect", ID: filepath.ToSlash(j.Data), Files: map[string]string{}}
	root, err := filepath.EvalSymlinks(j.Data)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err == nil {
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			// A link to a file is as good as the file; the notebook is given what it
			// leads to, which is what it may read.
			file, err := filepath.EvalSymlinks(path)
			if err != nil {
				return err
			}
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(root, path)
			in.Files[filepath.ToSlash(rel)] = file
			return err
		})
	}
	if err != nil {
		return nil, cell.Usage(cell.Hint(fmt.Errorf("read --data: %w", err), "name the folder of a recording, such as data/paper/host"))
	}
	if in.Files[record.Sums] != "" { // a sealed recording: what has changed since is not drawn
		if err := record.Verify(root); err != nil {
			return nil, cell.Usage(fmt.Errorf("read --data: %w", err))
		}
	}
	s.Inputs = []cell.Input{in}
	return s, nil
}

// publish copies the outputs to where they were asked for, and shows the summary.
func (j *Job) publish(dir string) error {
	names, err := notebook.FilesBelow(dir)
	if err != nil {
		return err
	}
	for _, name := range names { // before anything is written
		for at := name; at != "."; at = filepath.Dir(at) {
			to := filepath.Join(j.output, at)
			if info, err := os.Lstat(to); err == nil && info.Mode()&fs.ModeSymlink != 0 {
				return cell.Usage(cell.Hint(fmt.Errorf("--output %s: %s is a link, and what it leads to is not the notebook's", j.output, to), "remove it, or name another folder"))
			}
		}
	}
	for _, name := range names {
		if name == notebook.RecordFile {
			continue
		}
		to := filepath.Join(j.output, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		if err := j.publishOne(filepath.Join(dir, name), to, name == nb.SummaryFile); err != nil {
			return err
		}
		fmt.Fprintf(j.Log, "wrote %s\n", to)
	}
	return nil
}

// publishOne leaves a copy of a file, mapped into memory since it may be large, and may
// print it.
func (j *Job) publishOne(from, to string, print bool) error {
	f, info, err := cell.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	var content []byte
	if info.Size() > 0 {
		if content, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED); err != nil {
			return err
		}
		defer unix.Munmap(content)
	}
	if err := cell.Leave(to, content); err != nil || !print {
		return err
	}
	_, err = j.Out.Write(content)
	return err
}

// writable looks, before a notebook is run, whether its outputs could be written
// below a folder, which need not be there.
func writable(dir string) error {
	dir, err := filepath.Abs(dir)
	for err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(dir); err == nil {
			if !info.IsDir() {
				return fmt.Errorf("%s is no folder", dir)
			}
			return unix.Access(dir, unix.W_OK|unix.X_OK)
		}
		if errors.Is(err, fs.ErrNotExist) {
			dir, err = filepath.Dir(dir), nil
		}
	}
	return err
}
