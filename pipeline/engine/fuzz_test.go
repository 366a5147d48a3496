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

// Whatever MAKEFLAGS says, it is a pipe to borrow from or there is no make.
func FuzzJobserver(f *testing.F) {
	r, w, err := os.Pipe()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { r.Close(); w.Close() })
	f.Add(" -j2 --jobserver-auth=3,4")
	f.Add("w -- --jobserver-fds=-2,-2")
	f.Add("--jobserver-auth=fifo:/dev/null")
	f.Fuzz(func(t *testing.T, flags string) {
		if strings.Contains(flags, "fifo:") && !strings.Contains(flags, "fifo:/dev/null") {
			return // a pipe that somebody else made would be borrowed from
		}
		t0 := jobserver(flags)
		if t0 == nil {
			return
		}
		defer t0.close()
		if st, err := t0.pipe.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
			t.Errorf("%q gave %v: %v", flags, st, err)
		}
	})
}
