package collect

import (
	"path/filepath"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/recording"
)

// Curves hold every sample that a file has, however they are thinned.
func FuzzCurves(f *testing.F) {
	f.Add([]byte("replicate,level,latency_ns\n1,0,100\n1,4,250\n2,4,90\n"))
	f.Add([]byte("latency_ns\n1\n922337203685477580\n10\n"))
	f.Add([]byte("level,\"latency_ns\"\n\"a\nb\",1\n"))
	file := filepath.Join(f.TempDir(), "samples.csv")
	r := &recording.Run{Trials: []*recording.Trial{{Point: cell.Point{{Axis: "level"}, {Axis: "replicate"}}}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		filetest.Write(t, file, b)
		all, err := readCurves(file, r, "replicate")
		if err != nil {
			return
		}
		n := 0
		for _, c := range all.Curves {
			sum := 0
			for _, k := range c.Count {
				sum += k
			}
			if sum != c.N || len(c.X) != len(c.Count) {
				t.Errorf("curve %q: %d of %d samples in %d steps at %d places", c.Label, sum, c.N, len(c.Count), len(c.X))
			}
			n += c.N
		}
		if n != all.Samples {
			t.Errorf("%d samples in curves, %d in all", n, all.Samples)
		}
		if _, err := all.JSON(); err != nil {
			t.Error(err)
		}
	})
}
