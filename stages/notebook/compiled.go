package notebook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
	"barograph/stages/notebook/script"
	"barograph/stages/notebook/symbols"
)

// A Comparison is the compiled notebook's run, made beside the interpreted one on
// the same inputs. What it leaves is kept by the digest of all that decides it, so
// that it is made once.
type Comparison struct {
	spec   *cell.Spec
	dir    string // where the interpreted notebook runs
	stop   context.CancelFunc
	result chan compiledRun
	again  func() compiledRun // makes it, whatever has been found
}

// A compiledRun is what a compiled notebook has left.
type compiledRun struct {
	Go      string            `json:"go"`
	Outputs map[string]string `json:"outputs"` // SHA-256 by name
	left    leavings          // the same, unless it was found
	aside   string            // the folder that holds them until they were compared
	found   bool              // it, or the program
	not     string            // why there was none
	failure error             // how it ended, if not well
}

// Inherits names the variables that say where the Go command keeps what it has fetched
// and compiled, as the packages of this program.
var Inherits = []string{"GOCACHE", "GOMODCACHE", "GOPATH"}

// patience bounds how long the compiled notebook may take.
const patience = 2 * time.Minute

// Compare begins a compiled run, of a notebook that runs interpreted in a folder, or
// has run there.
func Compare(ctx context.Context, spec *cell.Spec, dir string) *Comparison {
	ctx, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no end after %v", patience))
	c := &Comparison{spec: spec, dir: dir, stop: stop, result: make(chan compiledRun, 1)}
	c.again = func() compiledRun { return c.run(ctx, false) }
	go func() { c.result <- c.run(ctx, true) }()
	return c
}

// Drop ends a comparison that is not needed.
func (c *Comparison) Drop() {
	c.stop()
	(<-c.result).remove()
}

func (r compiledRun) remove() {
	if r.aside != "" {
		_ = os.RemoveAll(r.aside) // the system's folder for what is temporary
	}
}

// Result waits for the compiled run and compares what it left with what is in the
// folder. It says how the two compare: that they are the same, or that there was no
// compiled run, and why.
func (c *Comparison) Result() (string, error) {
	defer c.stop()
	r := <-c.result
	defer func() { r.remove() }()
	left, err := c.leavings(c.dir, nil)
	var outputs map[string]string
	if err == nil {
		outputs, err = left.digests()
	}
	if err == nil && r.not == "" && r.found && (r.failure != nil || !maps.Equal(outputs, r.Outputs)) {
		r.remove()
		r = c.again()
	}
	switch {
	case err != nil:
		return "", err
	case r.failure != nil:
		return "", fmt.Errorf("interpreted %s runs, compiled it does not: %w", SourceName(c.spec), r.failure)
	case r.not != "":
		return "not compiled: " + r.not, nil
	case maps.Equal(outputs, r.Outputs):
		return fmt.Sprintf("the same when compiled (%s)", r.Go), nil
	}
	interpreted, err := left.texts()
	compiled, cerr := r.left.texts()
	if err := errors.Join(err, cerr); err != nil {
		return "", err
	}
	different := Differences(interpreted, compiled)
	return "", cell.Hint(fmt.Errorf("%s leaves something else when it is compiled (%s):\n%w", SourceName(c.spec), r.Go, different), "%s", cell.HintOf(different))
}

// Printed is what leavings call a notebook's prints; no output has such a name.
const Printed = "what it prints"

// Differences compares what a notebook has left interpreted and compiled, by name.
func Differences(interpreted, compiled map[string][]byte) error {
	var wrong []error
	names := slices.AppendSeq(slices.Collect(maps.Keys(interpreted)), maps.Keys(compiled))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		a, left := interpreted[name]
		b, both := compiled[name]
		switch {
		case !left:
			wrong = append(wrong, fmt.Errorf("only the compiled notebook writes %s", name))
		case !both:
			wrong = append(wrong, fmt.Errorf("only the interpreted notebook writes %s", name))
		case !bytes.Equal(a, b):
			line := script.FirstDifference(a, b)
			wrong = append(wrong, fmt.Errorf("%s differs from line %d on: interpreted %.200q, compiled %.200q", name, line, script.LineOf(a, line), script.LineOf(b, line)))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return cell.Hint(errors.Join(wrong...), "the interpreter is at fault, or the notebook draws on what no engine fixes, such as the order of a map")
}

// leavings are what a notebook has left: files by name, which may be large, and what it
// has printed, nil where nobody keeps that.
type leavings struct {
	files  map[string]string // their paths
	sums   map[string]string // SHA-256 of those that a record tells
	prints []byte
}

// leavings returns what a notebook has left in a folder; prints are nil where the record
// there tells them.
func (c *Comparison) leavings(dir string, prints []byte) (leavings, error) {
	names, err := FilesBelow(dir)
	all := leavings{map[string]string{}, map[string]string{}, prints}
	for _, name := range names {
		path := filepath.Join(dir, name)
		switch {
		case name == RecordFile:
			r, rerr := ReadRecord(path)
			if err = errors.Join(err, rerr); r == nil {
				break
			}
			if prints == nil {
				all.prints = r.prints()
			}
			for _, out := range r.Outputs {
				all.sums[out.Name] = out.SHA
			}
		case strings.HasPrefix(name, private+"/"):
		case name == SourceName(c.spec) || slices.Contains(c.spec.Files, name): // what the engine laid there
		default:
			all.files[name] = path
		}
	}
	if !declares(c.spec, RecordFile) {
		all.prints = nil
	}
	return all, err
}

// digests returns the SHA-256 of each.
func (l leavings) digests() (map[string]string, error) {
	all := map[string]string{}
	var errs []error
	for name, path := range l.files {
		if all[name] = l.sums[name]; all[name] == "" {
			sum, err := cell.Sum(path)
			all[name], errs = sum, append(errs, err)
		}
	}
	if l.prints != nil {
		all[Printed] = fmt.Sprintf("%x", sha256.Sum256(l.prints))
	}
	return all, errors.Join(errs...)
}

// texts returns the content of each.
func (l leavings) texts() (map[string][]byte, error) {
	all := map[string][]byte{}
	var errs []error
	for name, path := range l.files {
		text, err := os.ReadFile(path)
		all[name], errs = text, append(errs, err)
	}
	if l.prints != nil {
		all[Printed] = l.prints
	}
	return all, errors.Join(errs...)
}

// run makes the compiled run or, if it may, finds what it has left before.
func (c *Comparison) run(ctx context.Context, find bool) (r compiledRun) {
	version, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return compiledRun{not: "no Go here"}
	}
	r.Go = strings.TrimSpace(string(version))
	if text, err := os.ReadFile(filepath.Join(c.spec.Root, "go.mod")); err != nil || !strings.HasPrefix(string(text), "module barograph\n") {
		return compiledRun{not: "the sources of barograph are not here"}
	}
	kept, program, err := c.kept(r.Go)
	if err != nil {
		return compiledRun{not: err.Error()}
	}
	if b, err := os.ReadFile(kept); find && err == nil && json.Unmarshal(b, &r) == nil {
		r.found = true
		return r
	}
	if !find {
		_ = os.Remove(program) // another one is kept
	}
	_, err = os.Stat(program)
	r.found = err == nil
	aside, err := os.MkdirTemp("", "barograph-compiled-")
	if err != nil {
		return compiledRun{not: err.Error()}
	}
	defer func() {
		if r.aside == "" {
			_ = os.RemoveAll(aside)
		}
	}()
	for _, name := range c.spec.Files { // which stand in the notebook's folder
		path, err := filepath.Abs(filepath.Join(c.dir, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(aside, name)), 0o777)
		}
		if err == nil {
			err = os.Symlink(path, filepath.Join(aside, name))
		}
		if err != nil {
			return compiledRun{not: err.Error()}
		}
	}
	prints := &limited{most: maxPrinted}
	err = compilation{low: true, out: prints, kept: program}.run(ctx, c.spec, aside)
	switch {
	case ctx.Err() != nil:
		return compiledRun{not: context.Cause(ctx).Error()}
	case errors.As(err, new(*buildError)):
		return compiledRun{not: "the Go command could not build it here"}
	case err != nil:
		return compiledRun{found: r.found, failure: err}
	}
	if r.left, err = c.leavings(aside, prints.text()); err == nil {
		r.Outputs, err = r.left.digests()
	}
	if err != nil {
		return compiledRun{not: err.Error()}
	}
	r.aside = aside
	b, err := json.Marshal(r)
	if err = errors.Join(err, os.MkdirAll(filepath.Dir(kept), 0o777)); err == nil {
		_ = cell.Leave(kept, b) // else it is made again
	}
	return r
}

// kept names the file that holds what the compiled notebook left: by its text, the
// functions that it calls, its inputs' content, and what it is told; and the file that
// holds it compiled: by the first two.
func (c *Comparison) kept(version string) (left, program string, err error) {
	cache, err := cell.CacheDir()
	if err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(filepath.Join(c.spec.Notebook, script.File))
	if err != nil {
		return "", "", err
	}
	var inputs []Content
	if r, err := ReadRecord(filepath.Join(c.dir, RecordFile)); err == nil {
		inputs = r.Inputs // of the interpreted run, which has ended
	} else if inputs, err = Inputs(c.spec); err != nil {
		return "", "", err
	}
	told := *c.spec
	told.Root, told.Notebook, told.Inputs = "", "", slices.Clone(told.Inputs)
	for i := range told.Inputs {
		told.Inputs[i].Files = nil // their content stands in inputs
	}
	h := sha256.New()
	fmt.Fprintf(h, "prints %s %s %q", version, symbols.Digest, text)
	program = filepath.Join(cache, "programs", fmt.Sprintf("%x", h.Sum(nil)))
	if err := json.NewEncoder(h).Encode([]any{told, inputs}); err != nil {
		return "", "", err
	}
	return filepath.Join(cache, "compiled", fmt.Sprintf("%x.json", h.Sum(nil))), program, nil
}

// Compile runs the notebook as the Go compiler makes it, confined as the
// interpreter is. What it and the compiler say goes to the log.
func Compile(ctx context.Context, spec *cell.Spec, dir string, log io.Writer) error {
	return compilation{log: log}.run(ctx, spec, dir)
}

// A compilation is how a notebook is compiled and run.
type compilation struct {
	low  bool      // at the lowest priority
	out  io.Writer // for what the notebook prints, if there is no log
	log  io.Writer // for all that is said; nil for nowhere
	kept string    // the program, which is linked once for all its inputs; empty: nowhere
}

func (how compilation) run(ctx context.Context, spec *cell.Spec, dir string) error {
	events, err := prepare(spec, dir)
	if err != nil {
		return err
	}
	program := filepath.Join(dir, private, "notebook")
	if err := how.provide(ctx, spec, program); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var trace tail
	run := exec.CommandContext(ctx, self, "notebook", "confined", program)
	run.Dir, run.Stdout, run.Stderr = dir, how.out, &trace
	if how.log != nil { // one writer for both, which then keep their order
		run.Stderr = io.MultiWriter(how.log, &trace)
		run.Stdout = run.Stderr
	}
	run.Env = append(os.Environ(), "GOTRACEBACK=single")
	for name, value := range environment(".") {
		run.Env = append(run.Env, name+"="+value)
	}
	if err := how.start(run); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("run %s, compiled: %w", SourceName(spec), context.Cause(ctx))
		}
		if source, err := script.Parse(spec.Notebook, SourceName(spec)); err == nil {
			if e := source.Traced(trace.String()); e != nil {
				return e
			}
		}
		return fmt.Errorf("run %s, compiled: %w", SourceName(spec), err)
	}
	_, err = finish(spec, dir, events)
	return err
}

// provide lays the notebook's program where it runs. What is kept was checked before it
// was made, and others that want it meanwhile wait for it.
func (how compilation) provide(ctx context.Context, spec *cell.Spec, program string) error {
	if how.kept != "" {
		if take(how.kept, program) == nil {
			return nil
		}
		making := filepath.Join(filepath.Dir(how.kept)+".made", filepath.Base(how.kept))
		if done, err := asset.Lock(ctx, making, nil); err == nil { // else it is made twice
			defer done()
			defer os.Remove(making)
			if take(how.kept, program) == nil {
				return nil
			}
		}
	}
	source, err := script.Parse(spec.Notebook, SourceName(spec))
	if err != nil {
		return script.Hinted(err)
	}
	if err := how.build(ctx, spec, program); err != nil {
		return cell.Hint(&buildError{fmt.Errorf("compile %s: %w", source.Name, err)}, "the Go command must be there, and this folder the workspace")
	}
	if how.kept != "" {
		keep(program, how.kept)
	}
	return nil
}

// build makes the notebook's program.
func (how compilation) build(ctx context.Context, spec *cell.Spec, program string) error {
	args := append([]string{"build", "-ldflags=-s -w"}, compiled()...) // nobody debugs it
	c := exec.CommandContext(ctx, "go", append(args, "-o", program, filepath.Join(spec.Notebook, script.File))...)
	c.Dir, c.Stdout, c.Stderr = spec.Root, how.log, how.log
	c.Env = append(os.Environ(), "CGO_ENABLED=0") // needs no library, which it could not read
	return how.start(c)
}

// compiled returns the flags that this program's packages were compiled with: so
// compiled, the Go command still has them.
func compiled() (flags []string) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-gcflags" {
				flags = append(flags, s.Key+"="+s.Value)
			}
		}
	}
	return flags
}

// most bounds how many programs are kept, of 10 MB each.
const most = 24

// take lays a kept program, which may be removed at any time, where it runs.
func take(kept, program string) error {
	err := link(kept, program)
	if err == nil {
		_ = os.Chtimes(kept, time.Time{}, time.Now()) // only by this is it told which are used
		err = os.Chmod(program, 0o777)
	}
	return err
}

// link lays a file at another path too, as a copy where there can be no link.
func link(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return cell.Leave(to, text)
}

// keep leaves a program for the next run of its notebook, and removes those that were
// used longest ago. What is not kept is made again.
func keep(program, kept string) {
	dir := filepath.Dir(kept)
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		err = link(program, kept)
	}
	files, rerr := os.ReadDir(dir)
	if errors.Join(err, rerr) != nil {
		return
	}
	used := map[string]time.Time{}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			used[f.Name()] = info.ModTime()
		}
	}
	names := slices.SortedFunc(maps.Keys(used), func(a, b string) int { return used[b].Compare(used[a]) })
	for _, name := range names[min(most, len(names)):] {
		_ = os.Remove(filepath.Join(dir, name))
	}
}

// start runs a command. At a low priority it ends at once with its context, and
// what it does delays nothing.
func (how compilation) start(c *exec.Cmd) error {
	endWith(c)
	if !how.low {
		return c.Run()
	}
	c.Cancel = func() error { return c.Process.Kill() }
	if nice, err := exec.LookPath("nice"); err == nil {
		c.Path, c.Args = nice, append([]string{"nice", "-n", "19", c.Path}, c.Args[1:]...)
	}
	return c.Run()
}

// tail keeps the end of what is written to it.
type tail struct{ bytes.Buffer }

const tailSize = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.Buffer.Write(b)
	if over := t.Len() - 2*tailSize; over > 0 {
		t.Next(over + tailSize)
	}
	return len(b), nil
}

// A buildError says that the Go command made no program of a notebook.
type buildError struct{ error }
