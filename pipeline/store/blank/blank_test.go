package blank

import (
	"os"
	"path/filepath"
	"testing"
)

// Each file is taken once, none of another folder, and what is left is removed.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	f := New(dir, 3)
	fan := filepath.Join(t.TempDir(), "fan")
	f.Make(fan)
	if folders, _ := filepath.Glob(filepath.Join(fan, "[0-9a-f][0-9a-f]")); len(folders) != 256 {
		t.Errorf("%d folders", len(folders))
	}
	taken := map[string]bool{}
	for range 2 {
		path := f.Take(dir)
		if st, err := os.Stat(path); err != nil || st.Size() > 0 || taken[path] {
			t.Errorf("took %q: %v", path, err)
		}
		taken[path] = true
	}
	if path := f.Take(t.TempDir()); path != "" {
		t.Errorf("took %q of another folder", path)
	}
	f.Remove()
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 2 || f.Take(dir) != "" {
		t.Errorf("left: %v", left)
	}
	ended := New(t.TempDir(), 9)
	ended.End()
	if ended.Make(); ended.Take(ended.dir) != "" {
		t.Error("a file was made after the end")
	}
	var none *Files
	none.End()
	if none.Remove(); none.Take(dir) != "" {
		t.Error("none has one")
	}
}
