package notebook_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
)

// TestCompared wants a cell's record to say how the compiled notebook compares,
// and a cell whose notebook depends on the engine to fail.
func TestCompared(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	workspace := root(t)
	dir, err := os.MkdirTemp("testdata", "compared-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	record := func(o outcome) string {
		t.Helper()
		if o.err != nil {
			t.Fatalf("%v: %s\n%s", o.err, o.failure.Text, o.log)
		}
		var r struct{ Compared string }
		if err := json.Unmarshal([]byte(string(filetest.Read(t, filepath.Join(o.dir, "notebook.json")))), &r); err != nil {
			t.Fatal(err)
		}
		return r.Compared
	}
	cell := func(body string) outcome {
		t.Helper()
		write(t, filepath.Join(dir, "main.go"), program(body))
		s := own(t, program(body), "a.txt", "notebook.json")
		s.Root, s.Notebook = workspace, filepath.Join(workspace, "stages", "notebook", dir)
		return serve(t, s, time.Minute)
	}
	const fixed = "\tnb.Text(\"a.txt\", fmt.Sprint(7/2))"
	if got := record(cell(fixed)); !strings.HasPrefix(got, "the same when compiled (go1.") {
		t.Errorf("compared: %q", got)
	}
	kept, err := filepath.Glob(filepath.Join(os.Getenv("BAROGRAPH_CACHE"), "compiled", "*.json"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept %q, %v", kept, err)
	}
	programs, err := filepath.Glob(filepath.Join(os.Getenv("BAROGRAPH_CACHE"), "programs", "*"))
	if err != nil || len(programs) != 1 {
		t.Fatalf("kept the programs %q, %v", programs, err)
	}
	// A kept program makes what has been forgotten, and one that is spoilt is made again.
	for _, text := range []string{string(filetest.Read(t, programs[0])), ""} {
		if err := os.Remove(kept[0]); err != nil {
			t.Fatal(err)
		}
		write(t, programs[0], text)
		if got := record(cell(fixed)); !strings.HasPrefix(got, "the same when compiled (go1.") {
			t.Errorf("compared: %q", got)
		}
		if string(filetest.Read(t, programs[0])) == "" {
			t.Error("the spoilt program is still kept")
		}
	}
	if o := cell("\tm := map[int]bool{}\n\tfor i := range 1000 {\n\t\tm[i] = true\n\t}\n\ttext := \"\"\n\tfor i := range m {\n\t\ttext += fmt.Sprint(i, \" \")\n\t}\n\tnb.Text(\"a.txt\", text)"); o.err == nil ||
		!strings.Contains(o.failure.Text, "leaves something else when it is compiled") || !strings.Contains(o.failure.Text, "a.txt differs from line 1 on: interpreted ") {
		t.Errorf("%v: %+v", o.err, o.failure)
	}
	const shuffled = "\tm := map[int]bool{}\n\tfor i := range 1000 {\n\t\tm[i] = true\n\t}\n\tfor i := range m {\n\t\tfmt.Println(i)\n\t}\n\tnb.Text(\"a.txt\", \"x\")"
	if o := cell(shuffled); o.err == nil || !strings.Contains(o.failure.Text, "what it prints differs from line 1 on: interpreted ") {
		t.Errorf("%v: %+v", o.err, o.failure)
	}
	if got := record(cell("\tfmt.Print(\"a\\xff\\xfeb\")\n" + fixed)); !strings.HasPrefix(got, "the same when compiled (go1.") {
		t.Errorf("compared: %q", got)
	}

	// By hand the figure comes first.
	t.Chdir(workspace)
	by := func(body string) (log string, err error) {
		t.Helper()
		write(t, filepath.Join("stages", "notebook", dir, "main.go"), program(body))
		_, log, err = run(t, filepath.Join("stages", "notebook", dir), "-o", t.TempDir())
		return log, err
	}
	if log, err := by(fixed); err != nil || !strings.Contains(log, "a.txt\n"+filepath.Base(dir)+": the same when compiled (go1.") {
		t.Errorf("%v: %s", err, log)
	}
	if log, err := by(shuffled); err == nil || !strings.Contains(err.Error(), "what it prints differs from line 1 on: interpreted ") || !strings.Contains(log, "wrote ") {
		t.Errorf("%v: %s", err, log)
	}
	t.Setenv("PATH", "")
	if log, err := by(fixed); err != nil || !strings.Contains(log, ": not compiled: no Go here") {
		t.Errorf("%v: %s", err, log)
	}
	t.Chdir(filepath.Join("stages", "notebook"))
	if got := record(cell(fixed)); got != "not compiled: no Go here" {
		t.Errorf("compared: %q", got)
	}
}
