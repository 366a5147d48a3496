package owned

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

// The claims that a file holds are its whole lines, and keeping one more loses
// none of them.
func FuzzClaims(f *testing.F) {
	f.Add([]byte("out/a.txt\nout/b.txt\n"))
	f.Add([]byte("out/a.txt\nout/torn"))
	f.Add([]byte("\n\n\x00\n"))
	f.Add([]byte("abc\tboot\ta\tb\n-\t-\tc\n--\t--d\te\n"))
	file := filepath.Join(f.TempDir(), "outputs")
	f.Fuzz(func(t *testing.T, b []byte) {
		filetest.Write(t, file, b)
		c, err := Read(file, "")
		if err != nil {
			t.Fatal(err)
		}
		had := maps.Collect(c.held.each())
		had["none"] = claim{boot: c.boot, digest: had["none"].digest}
		c.Open("none")
		if err := c.Keep(); err != nil {
			t.Fatal(err)
		}
		again, err := Read(file, "")
		if err != nil || !maps.Equal(maps.Collect(again.held.each()), had) {
			t.Errorf("%v and one more became %v: %v", had, maps.Collect(again.held.each()), err)
		}
		for _, line := range strings.SplitAfter(string(b), "\n") {
			if whole := strings.TrimSuffix(line, "\n"); whole != line && whole != "" && !strings.Contains(whole, "\t") && maps.Collect(again.held.each())[whole].boot == "" && !strings.Contains(string(b), "\t"+whole+"\n") {
				t.Errorf("%q, of an older version, is not held", whole)
			}
		}
	})
}
