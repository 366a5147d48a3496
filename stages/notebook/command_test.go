package notebook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/notebook/job"
)

// run runs `notebook run` and returns what it printed.
func run(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	return command(t, append([]string{"run"}, args...)...)
}

func command(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	c := job.Command()
	var o, l bytes.Buffer
	c.SetOut(&o)
	c.SetErr(&l)
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	return o.String(), l.String(), err
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "data/x.csv", "a\n1\n")
	write(t, "notebooks/sum/main.go", program("\tx := nb.Samples(\"x.csv\")\n\tnb.Summary(fmt.Sprint(nb.Float(\"scale\", 1) * x.Mean(\"a\")))\n\tif nb.Bool(\"fail\", false) {\n\t\tpanic(\"late\")\n\t}"))

	out, log, err := run(t, "sum", "--data", "data", "-o", "out", "--param", "scale=2.5")
	if err != nil || out != "2.5\n" || !strings.Contains(log, "wrote out/summary.txt") {
		t.Fatalf("%v, printed %q, log %q", err, out, log)
	}
	if got := files(t, "out"); len(got) != 1 || got["/summary.txt"] != "2.5\n" {
		t.Errorf("left %q", got)
	}
	if _, _, err := run(t, filepath.Join(dir, "notebooks/sum"), "--data", "data", "-o", "out", "--declare", "summary.txt"); err != nil {
		t.Errorf("by folder: %v", err)
	}

	// Links to data are as good as the data, and links where outputs go are nobody's
	// to write through.
	if err := errors.Join(os.MkdirAll("linked", 0o777), os.Symlink("../data/x.csv", "linked/x.csv"), os.Symlink("linked", "link"), os.MkdirAll("taken", 0o777),
		os.Symlink("../data/x.csv", "taken/summary.txt")); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"linked", "link"} {
		if out, _, err := run(t, "sum", "--data", data, "-o", "out", "--param", "scale=2.5"); err != nil || out != "2.5\n" {
			t.Errorf("--data %s: %v, printed %q", data, err, out)
		}
	}
	if _, _, err := run(t, "sum", "--data", "data", "-o", "taken"); err == nil || !strings.Contains(err.Error(), "taken/summary.txt is a link") {
		t.Errorf("through a link: %v", err)
	}
	if b, err := os.ReadFile("data/x.csv"); string(b) != "a\n1\n" {
		t.Errorf("the data became %q, %v", b, err)
	}

	write(t, "notebooks/seed/main.go", program("\tnb.Summary(fmt.Sprint(nb.Seed()))"))
	if out, _, err := run(t, "seed", "-o", "seeded", "--seed", "10077759941277896864"); err != nil || out != "10077759941277896864\n" {
		t.Errorf("%v, printed %q", err, out)
	}

	for _, c := range []struct {
		args          []string
		problem, hint string
	}{
		{[]string{"som"}, `no notebook "som"`, "there is seed, sum"},
		{[]string{"sum", "--data", "nowhere"}, "read --data", ""},
		{[]string{"sum", "--data", "data", "--param", "scale"}, `--param "scale" is not name=value`, ""},
		{[]string{"sum", "--data", "data", "--param", "scale=1", "--param", "scale=2"}, "--param scale is given twice", ""},
		{[]string{"sum", "--data", "data", "--param", "scale=[1"}, "--param: not YAML: ", ""},
		{[]string{"sum", "--data", "data", "--param", "scael=1"}, `never asks for the parameter "scael"`, "it takes fail, scale"},
		{[]string{"sum", "--data", "data", "--declare", "other.txt"}, `the study does not declare the output "summary.txt"`, "outputs:"},
		{[]string{"sum", "--data", "data", "--declare", "summary.txt", "--declare", "x.svg"}, `ended without writing "x.svg"`, ""},
		{[]string{"sum", "--data", "data", "--param", "fail=true"}, "panic: late", ""},
	} {
		_, log, err := run(t, append(c.args, "-o", "none")...)
		if err == nil || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%q: %v, want %q; log\n%s", c.args, err, c.problem, log)
		}
		var h *cell.Error
		if c.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint, c.hint)) {
			t.Errorf("%q: hint of %v, want %q", c.args, err, c.hint)
		}
	}
	if _, log, err := run(t, "sum", "--data", "data", "--param", "fail=true"); err == nil || strings.Count(log, "panic: late") != 1 || !strings.Contains(log, "sum failed after") {
		t.Errorf("%v; the error is told once; log\n%s", err, log)
	}
	left, err := os.ReadDir("none")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("failed runs left %v, %v", left, err)
	}
}

// A run that is ended says in which cell, and by what.
func TestRunEnded(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "notebooks/endless/main.go", program("\t// %% Turn\n\tfmt.Println(\"before\")\n\tfor {\n\t}"))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c := job.Command()
	log := &alarm{text: "before\n", ring: func() { cancel(errors.New("enough")) }}
	c.SetOut(io.Discard)
	c.SetErr(log)
	c.SetArgs([]string{"run", "endless"})
	err := c.ExecuteContext(ctx)
	if want := `notebooks/endless/main.go: the notebook was stopped (in "Turn"): enough`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s; log\n%s", err, want, log)
	}
}

// An alarm rings when a text has been written to it.
type alarm struct {
	written bytes.Buffer
	text    string
	ring    func()
}

func (a *alarm) Write(b []byte) (int, error) {
	n, err := a.written.Write(b)
	if a.ring != nil && strings.Contains(a.String(), a.text) {
		a.ring()
		a.ring = nil
	}
	return n, err
}

func (a *alarm) String() string { return a.written.String() }

// BenchmarkStart is the cost of checking and compiling a notebook that does
// nothing, in a process of its own.
func BenchmarkStart(b *testing.B) {
	s := own(b, program("\tfmt.Println(1)"))
	for b.Loop() {
		if o := serve(b, s, time.Minute); o.err != nil {
			b.Fatal(o.err)
		}
	}
}
