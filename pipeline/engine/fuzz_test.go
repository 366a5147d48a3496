package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The claims that a file holds are its whole lines, and keeping one more loses
// none of them.
func FuzzClaims(f *testing.F) {
	f.Add([]byte("out/a.txt\nout/b.txt\n"))
	f.Add([]byte("out/a.txt\nout/torn"))
	f.Add([]byte("\n\n\x00\n"))
	file := filepath.Join(f.TempDir(), "outputs")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := readClaims(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(b), "\n")
		for _, line := range lines[:len(lines)-1] {
			if !c.held[line] {
				t.Errorf("%q is not held", line)
			}
		}
		had := len(c.held)
		path := filepath.Join(filepath.Dir(file), "none")
		if c.held["none"] {
			had--
		}
		if err := c.claim(path, "none"); err != nil {
			t.Fatal(err)
		}
		if err := c.keep(); err != nil {
			t.Fatal(err)
		}
		again, err := readClaims(file)
		if err != nil || len(again.held) != had+1 || !again.held["none"] {
			t.Errorf("%d claims and one more are %d: %v", had, len(again.held), err)
		}
	})
}
