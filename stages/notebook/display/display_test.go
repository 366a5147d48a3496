package display_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"barograph/stages/notebook/display"
	"barograph/stages/notebook/job"
)

// TestMain is the program in small: a notebook confines the process it runs in,
// so the tests start themselves again for each.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "notebook" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
		os.Exit(m.Run())
	}
	c := job.Command(display.Commands()...)
	c.SetArgs(os.Args[2:])
	if c.Execute() != nil {
		os.Exit(1)
	}
}

// command runs `notebook` and returns what it printed.
func command(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	c := job.Command(display.Commands()...)
	var o, l bytes.Buffer
	c.SetOut(&o)
	c.SetErr(&l)
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	return o.String(), l.String(), err
}

// write makes a file with its folders, renamed into place as editors do: who
// watches sees the old or the new.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path+"~", []byte(text), 0o666), os.Rename(path+"~", path)); err != nil {
		t.Fatal(err)
	}
}

// program wraps the body of main in a notebook with the imports it needs.
func program(body string) string {
	var imports strings.Builder
	for _, name := range []string{"barograph/notebooks/nb", "fmt"} {
		if strings.Contains(body, path.Base(name)+".") {
			fmt.Fprintf(&imports, "import %q\n", name)
		}
	}
	return "//go:build go1.21\n\npackage main\n\n" + imports.String() + "\nfunc main() {\n" + body + "\n}\n"
}
