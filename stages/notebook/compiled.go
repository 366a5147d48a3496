package notebook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
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
}

// A compiledRun is what a compiled notebook has left.
type compiledRun struct {
	Go      string            `json:"go"`
	Outputs map[string]string `json:"outputs"` // SHA-256 by name
	not     string            // why there was none
	failure error             // how it ended, if not well
}

// patience bounds how long the compiled notebook may take.
const patience = 2 * time.Minute

// Compare begins a compiled run, of a notebook that runs interpreted in a folder.
func Compare(ctx context.Context, spec *cell.Spec, dir string) *Comparison {
	ctx, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no end after %v", patience))
	c := &Comparison{spec: spec, dir: dir, stop: stop, result: make(chan compiledRun, 1)}
	go func() { c.result <- c.run(ctx) }()
	return c
}

// Drop ends a comparison that is not needed.
func (c *Comparison) Drop() {
	c.stop()
	<-c.result
}

// Result waits for the compiled run and compares what it left with what is in the
// folder. It says how the two compare: that they are the same, or that there was no
// compiled run, and why.
func (c *Comparison) Result() (string, error) {
	defer c.stop()
	r := <-c.result
	if r.failure != nil {
		return "", fmt.Errorf("interpreted %s runs, compiled it does not: %w", SourceName(c.spec), r.failure)
	}
	if r.not != "" {
		return "not compiled: " + r.not, nil
	}
	left, err := c.digests(c.dir)
	if err != nil {
		return "", err
	}
	if maps.Equal(left, r.Outputs) {
		return fmt.Sprintf("the same when compiled (%s)", r.Go), nil
	}
	var wrong []string
	for _, name := range Union(left, r.Outputs) {
		if left[name] != r.Outputs[name] {
			wrong = append(wrong, fmt.Sprintf("%s: interpreted %s, compiled %s", name, digestOr(left[name]), digestOr(r.Outputs[name])))
		}
	}
	name := filepath.Base(filepath.Dir(SourceName(c.spec)))
	return "", cell.Hint(fmt.Errorf("%s leaves other outputs when it is compiled (%s):\n  %s", SourceName(c.spec), r.Go, strings.Join(wrong, "\n  ")),
		"barograph notebook check %s shows the lines; the notebook draws on what no engine fixes, such as the order of a map, or the interpreter is at fault", name)
}

func digestOr(sha string) string {
	if sha == "" {
		return "writes none"
	}
	return sha[:12]
}

// digests returns the SHA-256 of each output in a folder where the notebook ran.
func (c *Comparison) digests(dir string) (map[string]string, error) {
	names, err := FilesBelow(dir)
	all := map[string]string{}
	for _, name := range names {
		switch {
		case name == RecordFile || strings.HasPrefix(name, private+"/"):
			continue // the compiled run keeps no record
		case name == SourceName(c.spec) || slices.Contains(c.spec.Files, name):
			continue // what the engine laid there
		}
		f, ferr := Digest(filepath.Join(dir, name), name)
		err = errors.Join(err, ferr)
		all[name] = f.SHA
	}
	return all, err
}

// run makes the compiled run, or finds what it has left before.
func (c *Comparison) run(ctx context.Context) (r compiledRun) {
	version, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return compiledRun{not: "no Go here"}
	}
	r.Go = strings.TrimSpace(string(version))
	if text, err := os.ReadFile(filepath.Join(c.spec.Root, "go.mod")); err != nil || !strings.HasPrefix(string(text), "module barograph\n") {
		return compiledRun{not: "the sources of barograph are not here"}
	}
	kept, err := c.kept(r.Go)
	if err != nil {
		return compiledRun{not: err.Error()}
	}
	if b, err := os.ReadFile(kept); err == nil && json.Unmarshal(b, &r) == nil {
		return r
	}
	aside, err := os.MkdirTemp("", "barograph-compiled-")
	if err != nil {
		return compiledRun{not: err.Error()}
	}
	defer os.RemoveAll(aside)
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
	err = Compile(ctx, c.spec, aside, io.Discard)
	switch {
	case ctx.Err() != nil:
		return compiledRun{not: context.Cause(ctx).Error()}
	case errors.As(err, new(*buildError)):
		return compiledRun{not: "the Go command could not build it here"}
	case err != nil:
		return compiledRun{failure: err}
	}
	if r.Outputs, err = c.digests(aside); err != nil {
		return compiledRun{not: err.Error()}
	}
	b, err := json.Marshal(r)
	if err = errors.Join(err, os.MkdirAll(filepath.Dir(kept), 0o777)); err == nil {
		_ = cell.Leave(kept, b) // else it is made again
	}
	return r
}

// kept names the file that holds what the compiled notebook left: by its text, the
// functions that it calls, its inputs' content, and what it is told.
func (c *Comparison) kept(version string) (string, error) {
	cache, err := cell.CacheDir()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(c.spec.Notebook, script.File))
	if err != nil {
		return "", err
	}
	inputs, err := Inputs(c.spec)
	if err != nil {
		return "", err
	}
	told := *c.spec
	told.Root, told.Notebook, told.Inputs = "", "", slices.Clone(told.Inputs)
	for i := range told.Inputs {
		told.Inputs[i].Files = nil // their content stands in inputs
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %q", version, symbols.Digest, text)
	if err := json.NewEncoder(h).Encode([]any{told, inputs}); err != nil {
		return "", err
	}
	return filepath.Join(cache, "compiled", fmt.Sprintf("%x.json", h.Sum(nil))), nil
}

// Compile runs the notebook as the Go compiler makes it, confined as the
// interpreter is.
func Compile(ctx context.Context, spec *cell.Spec, dir string, log io.Writer) error {
	source, err := script.Parse(spec.Notebook, SourceName(spec))
	if err != nil {
		return script.Hinted(err)
	}
	events, err := prepare(spec, dir)
	if err != nil {
		return err
	}
	program := filepath.Join(dir, private, "notebook")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, filepath.Join(spec.Notebook, script.File))
	build.Dir, build.Stdout, build.Stderr = spec.Root, log, log
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // needs no library, which it could not read
	endWith(build)
	if err := build.Run(); err != nil {
		return cell.Hint(&buildError{fmt.Errorf("compile %s: %w", source.Name, err)}, "the Go command must be there, and this folder the workspace")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var trace tail
	run := exec.CommandContext(ctx, self, "notebook", "confined", program)
	run.Dir = dir
	run.Stdout = io.MultiWriter(log, &trace)
	run.Stderr = run.Stdout
	run.Env = append(os.Environ(), "GOTRACEBACK=single")
	for name, value := range environment(".") {
		run.Env = append(run.Env, name+"="+value)
	}
	endWith(run)
	if err := run.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("run %s, compiled: %w", source.Name, context.Cause(ctx))
		}
		if e := source.Traced(trace.String()); e != nil {
			return e
		}
		return fmt.Errorf("run %s, compiled: %w", source.Name, err)
	}
	_, err = finish(spec, dir, events)
	return err
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

// Union returns the names that any of two runs has left something by, sorted.
func Union[V any](a, b map[string]V) []string {
	var names []string
	for _, m := range []map[string]V{a, b} {
		for n := range m {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return names
}
