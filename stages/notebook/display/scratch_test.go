package display

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a killed process left is removed by the next one, and what another still
// has is not.
func TestScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	other, drop, err := scratch("watch-")
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(os.TempDir(), "watch-left")
	fresh := filepath.Join(os.TempDir(), "watch-fresh")
	for _, dir := range []string{filepath.Join(left, "folder"), fresh} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{other, left} {
		if err := os.Chtimes(dir, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	own, dropOwn, err := scratch("watch-")
	if err != nil {
		t.Fatal(err)
	}
	for dir, stays := range map[string]bool{other: true, own: true, fresh: true, left: false} {
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", dir, err)
		}
	}
	drop()
	dropOwn()
	if all, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(all) != 1 || all[0] != fresh {
		t.Errorf("%q are left", all)
	}
}
