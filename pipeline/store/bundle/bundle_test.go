package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every name's file holds its text, few files are made, and the first to take a name has
// it.
func TestWriter(t *testing.T) {
	dir := t.TempDir()
	w := New(filepath.Join(dir, "a"))
	name := func(i int) string { return filepath.Join(dir, "names", fmt.Sprint(i%3), fmt.Sprint(i)) }
	for i := range 40 {
		if err := w.Write(name(i), fmt.Sprintf("text %d\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		if b, err := os.ReadFile(name(i)); err != nil || !strings.Contains(string(b), fmt.Sprintf("text %d\n", i)) {
			t.Errorf("%d holds %q, %v", i, b, err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "a.*")); len(files) != 3 {
		t.Errorf("files %v, want 3", files)
	}
	if err := New(filepath.Join(dir, "b")).Write(name(7), "another"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name was taken twice: %v", err)
	}
	if err := New(filepath.Join(dir, "absent", "c")).Write(name(50), "text"); err == nil {
		t.Error("written where there is no folder")
	}
	if err := w.Write(name(51), strings.Repeat("x", mostBytes+1)); err != nil {
		t.Error(err)
	}
	before, _ := filepath.Glob(filepath.Join(dir, "a.*"))
	if err := w.Write(name(52), "after much"); err != nil {
		t.Error(err)
	}
	if after, _ := filepath.Glob(filepath.Join(dir, "a.*")); len(after) != len(before)+1 {
		t.Errorf("a text lies behind %d bytes", mostBytes)
	}
}
