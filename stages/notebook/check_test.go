package notebook_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/notebook"
)

// TestShipped checks every notebook of the workspace, as `notebook check` does:
// on testdata of its own, on a recording of the study that it is named after, or
// on one that is made here.
func TestShipped(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	if notebook.RaceDetector {
		t.Skip("make test runs it without the race detector, which the other tests here have look at notebooks")
	}
	data := recording(t, 300, func(u float64) float64 { return 3e6 * math.Exp(1.5*u) }, 0)
	trial(t, data)
	t.Chdir(root(t))
	mains, err := filepath.Glob("notebooks/*/main.go")
	if err != nil || len(mains) < 2 {
		t.Fatalf("found %q, %v", mains, err)
	}
	for _, file := range mains {
		name := filepath.Base(filepath.Dir(file))
		args := []string{"check", name}
		if _, err := os.Stat(filepath.Join("notebooks", name, "testdata")); err != nil {
			from := data
			if shipped, err := filepath.Glob(filepath.Join("data", name, "*", "run.json")); err == nil && len(shipped) > 0 {
				from = filepath.Dir(shipped[0])
			}
			args = append(args, "--data", from)
		}
		t.Run(name, func(t *testing.T) {
			out, _, err := command(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out, "outputs, the same from both engines") {
				t.Errorf("said %q", out)
			}
		})
	}
}

// TestCheck shows `notebook check` notebooks that are not right.
func TestCheck(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	data := recording(t, 10, func(float64) float64 { return 1e6 }, 0)
	t.Chdir(root(t))
	for _, c := range []struct{ name, text, problem, hint string }{
		{"gofmt", program("\tfmt.Println( 1)"), "main.go:8:2: gofmt would write this otherwise", "gofmt -w"},
		{"vet", program("\tfmt.Printf(\"%d\\n\", \"one\")"), "Printf format %d has arg \"one\" of wrong type", ""},
		{"refused", program("\tgo fmt.Println(1)"), "main.go:8:2: a notebook runs in one goroutine", "which are compiled"},
		{"warns and prints", program("\tnb.Warn(\"doubt\")\n\tfmt.Println(1)"), "", ""},
		{"map order", program("\tm := map[int]bool{}\n\tfor i := 0; i < 1000; i++ {\n\t\tm[i] = true\n\t}\n\tfor i := range m {\n\t\tfmt.Println(i)\n\t}"),
			"what it prints differs from line", "the order of a map"},
		{"panic", program("\tx := []int{1}\n\tfor i := 0; i < 2; i++ {\n\t\tfmt.Println(x[i])\n\t}"), "main.go:10:3: panic", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Within the module, so that the compiler finds its packages.
			dir, err := os.MkdirTemp("stages/notebook/testdata", "check-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			write(t, filepath.Join(dir, "main.go"), c.text)
			_, _, err = command(t, "check", dir, "--data", data)
			var h *cell.Error
			if c.problem == "" && err == nil {
				return
			}
			if err == nil || c.problem == "" || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%v; want %q", err, c.problem)
			}
			if c.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint, c.hint)) {
				t.Errorf("hint of %v; want %q", err, c.hint)
			}
		})
	}
}

// TestCheckStudies checks a notebook on the recordings of the studies that have
// it, with their parameters, and on no others.
func TestCheckStudies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	t.Chdir(root(t))
	for name, want := range map[string][]string{
		"contention": {"on data/paper/host: ", `on data/decoupled/host --param where='{"block":"","depth":"","direction":"h2d"}': `,
			"on data/sharing/h100 --param where='{\"direction\":\"d2h\"}': "},
		"fingerprint": {"on data/models/host: "},
	} {
		out, _, err := command(t, "check", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: said %q, want %q", name, out, w)
			}
		}
		if strings.Contains(out, "data/controls/") {
			t.Errorf("%s: said %q", name, out)
		}
	}
}

// misplaced panics in its tenth line; the last statement that it has begun is in
// its fourteenth.
var misplaced = program("\tx := []int{1}\n\tfmt.Println(one(),\n\t\tx[one()])") + "\nfunc one() int {\n\treturn 1\n}\n"

// TestTruePlace wants the true place of a panic from either engine, by hand and in
// a cell.
func TestTruePlace(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	workspace := root(t)
	t.Chdir(workspace)
	dir, err := os.MkdirTemp("stages/notebook/testdata", "panic-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "main.go"), misplaced)
	wants := func(t *testing.T, said string) {
		t.Helper()
		for _, want := range []string{"main.go:10:3: panic: ", "index out of range", "x[one()])\n", "\t\t^"} {
			if !strings.Contains(said+"\n", want) {
				t.Errorf("%s; want %q", said, want)
			}
		}
	}
	for _, args := range [][]string{{"run", "--compiled", dir}, {"run", dir}} {
		t.Run(strings.Join(args[:len(args)-1], " "), func(t *testing.T) {
			_, _, err := command(t, append(args, "-o", t.TempDir())...)
			if err == nil {
				t.Fatal("it ended well")
			}
			wants(t, err.Error())
		})
	}
	t.Run("cell", func(t *testing.T) {
		s := own(t, misplaced)
		s.Root, s.Notebook = workspace, filepath.Join(workspace, dir)
		wants(t, serve(t, s, time.Minute).failure.Text)
	})
}

// TestPlaces wants the true place of what fails, wherever it stands.
func TestPlaces(t *testing.T) {
	const broken = "\nfunc broken(x []int) bool {\n\treturn x[3] == 1\n}\n"
	for _, c := range []struct{ name, text, line string }{
		{"statement", program("\tx := []int{1}\n\tfmt.Println(x[3])"), ":9:2:"},
		{"if", program("\tx := []int{1}\n\tif x[3] == 1 {\n\t\tfmt.Println()\n\t}"), ":9:2:"},
		{"in a loop", program("\tx := []int{1}\n\tfor i := 0; i < len(x)+1; i++ {\n\t\tfmt.Println(x[i])\n\t}"), ":10:3:"},
		{"input", program("\tfmt.Println(nb.Frame(\"none.csv\"))"), ":9:2:"},
		{"lines", program("\tx := []int{1}\n\tfmt.Println(1,\n\t\tx[3])"), ":10:3:"},
		{"head", program("\tx := []int{1}\n\tfor i := 0; x[i] == 1; i++ {\n\t\tfmt.Println(i)\n\t}"), ":9:2:"},
		{"else", program("\tx := []int{1}\n\tif len(x) > 1 {\n\t\tfmt.Println()\n\t} else if x[3] == 1 {\n\t\tfmt.Println()\n\t}"), ":11:9:"},
		{"switch", program("\tx := []int{1}\n\tswitch {\n\tcase x[3] == 1:\n\t\tfmt.Println()\n\t}"), ":10:2:"},
		{"deferred", program("\tx := []int{1}\n\tdefer func() { fmt.Println(x[3]) }()\n\tfmt.Println(x)"), ":9:17:"},
		{"before what is deferred", program("\tx := []int{1}\n\tdefer func() {\n\t\tfmt.Println(len(x))\n\t}()\n\tfmt.Println(x[3])"), ":12:2:"},
		{"function", program("\tfmt.Println(broken(nil))") + broken, ":12:2:"},
		{"function literal", program("\tf := func() {\n\t\tpanic(\"no\")\n\t}\n\tf()\n\tfmt.Println()"), ":9:3:"},
		{"generic", program("\tfmt.Println(at([]int{1}, 3))") + "\nfunc at[T any](x []T, i int) T {\n\treturn x[i]\n}\n", ":12:2:"},
		{"method of a nil pointer", program("\tvar p *point\n\tfmt.Println(p.get())") + "\ntype point struct{ a int }\n\nfunc (p *point) get() int {\n\treturn p.a\n}\n", ":15:2:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if said := serve(t, own(t, c.text), time.Minute).failure.Text; !strings.Contains(said, "main.go"+c.line) {
				t.Errorf("said %q; want it at %s", said, c.line)
			}
		})
	}
}
