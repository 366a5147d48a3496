package symbols

import (
	"bytes"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestFresh compares the generated files with a generation made now.
func TestFresh(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go command")
	}
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), "go", "run", "barograph/stages/notebook/generate", "-o", dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
	fresh := files(t, dir)
	have := files(t, ".")
	delete(have, "symbols.go")
	delete(have, "symbols_test.go")
	for name, content := range fresh {
		if !bytes.Equal(have[name], content) {
			t.Errorf("%s is out of date: go generate ./stages/notebook/symbols", name)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s is no longer generated", name)
	}
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, f := range list {
		if all[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestTypes checks that the checker and the interpreter know the same names.
func TestTypes(t *testing.T) {
	all, err := Types()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range Names() {
		p, values := all[path], Of(path)
		if p == nil {
			t.Errorf("no types of %s", path)
			continue
		}
		for _, name := range p.Scope().Names() {
			o := p.Scope().Lookup(name)
			if _, constant := o.(*types.Const); constant {
				continue
			}
			if _, ok := values[name]; o.Exported() && ok == (Refused(path, name) != "") {
				t.Errorf("%s.%s: value %v, refused %q", path, name, ok, Refused(path, name))
			}
		}
	}
	if Refused("unicode", "Han") == "" || Refused("unicode", "IsLetter") != "" || Refused("unicode", "Scripts") != "" {
		t.Error("unicode: want its tables refused, and nothing else")
	}
	if all["os"] != nil || Of("os") != nil {
		t.Error("os can be imported")
	}
}
