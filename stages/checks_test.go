package stages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

// Every check has something to say of the machine that tests run on.
func TestChecks(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if c.Name == "" || seen[c.Name] {
			t.Errorf("check %q stands twice or has no name", c.Name)
		}
		seen[c.Name] = true
		if c.Disturbed != nil {
			what, hint := c.Disturbed(t.TempDir(), "")
			t.Logf("%s: %q (hint %q)", c.Name, what, hint)
		}
		if c.Run == nil {
			continue
		}
		found, hint, err := c.Run(t.TempDir())
		if found == "" && err == nil {
			t.Errorf("%s: says nothing (hint %q)", c.Name, hint)
		}
		t.Logf("%s: %s (hint %q, error %v)", c.Name, found, hint, err)
	}
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "not", "made", "yet")
	found, _, err := writable(inside)
	if err != nil || !strings.HasPrefix(found, inside) {
		t.Errorf("writable(%q) = %q, %v", inside, found, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v (%v)", left, err)
	}
	file := filepath.Join(dir, "file")
	filetest.Write(t, file, "")
	for _, bad := range []string{filepath.Join(file, "below"), "/proc/none"} {
		if _, hint, err := writable(bad); err == nil || hint == "" {
			t.Errorf("writable(%q): error %v, hint %q", bad, err, hint)
		}
	}
	t.Setenv("BAROGRAPH_CACHE", filepath.Join(file, "below"))
	if _, hint, err := cache(""); err == nil || !strings.Contains(hint, "BAROGRAPH_CACHE") {
		t.Errorf("cache: error %v, hint %q", err, hint)
	}
}
