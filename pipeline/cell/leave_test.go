package cell_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"barograph/pipeline/cell"
)

// A file is left where a link leads, whole, beside whatever else is there.
func TestLeave(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	write("page~", "an editor's copy")
	write("theirs", "mine")
	write("there/page", "old")
	for link, to := range map[string]string{"link": "there/page", "ahead": "there/new", "twice": "ahead", "loop": "loop", "aside~": "theirs"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for path, where := range map[string]string{"page": "page", "link": "there/page", "twice": "there/new", "aside": "aside"} {
		if err := cell.Leave(path, []byte("new "+path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if b, err := os.ReadFile(where); string(b) != "new "+path {
			t.Errorf("%s holds %q, %v", where, b, err)
		}
	}
	if err := cell.Leave("loop", nil); err == nil {
		t.Error("a loop of links leads somewhere")
	}
	for name, text := range map[string]string{"page~": "an editor's copy", "theirs": "mine"} {
		if b, err := os.ReadFile(name); string(b) != text {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
}
