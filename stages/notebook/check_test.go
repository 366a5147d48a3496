package notebook_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

// TestShipped checks every notebook of the workspace, as `notebook check` does.
func TestShipped(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
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
			args = append(args, "--data", data)
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
		{"trap", program("\tfor i := range []int{1, 2} {\n\t\tdefer func() { fmt.Println(i) }()\n\t}"), "the function keeps the loop's variable i", "copy it first"},
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
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%v; want %q", err, c.problem)
			}
			if c.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint, c.hint)) {
				t.Errorf("hint of %v; want %q", err, c.hint)
			}
		})
	}
}

// TestCompiledPanic wants the true place of a panic that the interpreter puts on
// the wrong line: a statement that spans lines and calls a function before.
func TestCompiledPanic(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	t.Chdir(root(t))
	dir, err := os.MkdirTemp("stages/notebook/testdata", "panic-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "main.go"), program("\tx := []int{1}\n\tfmt.Println(one(),\n\t\tx[one()])")+"\nfunc one() int {\n\treturn 1\n}\n")
	_, _, err = command(t, "run", "--compiled", dir, "-o", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "main.go:10:3: panic: runtime error: index out of range [1] with length 1") || !strings.Contains(err.Error(), "x[one()])") {
		t.Errorf("%v", err)
	}
}
