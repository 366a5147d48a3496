package notebook_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trial adds what the cells of one trial leave to a recording.
func trial(t testing.TB, data string) {
	t.Helper()
	var copies bytes.Buffer
	z := gzip.NewWriter(&copies)
	fmt.Fprint(z, "thread,start_ns,bytes,duration_ns,direction\n")
	calls := "call,scheduled_ns,start_ns,latency_ns\n"
	for i := range 40 {
		fmt.Fprintf(z, "0,%d,4194304,500000,h2d\n", i*1_000_000)
		calls += fmt.Sprintf("%d,%d,%d,900000\n", i, i*1_000_000, i*1_000_000)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "copies.csv.gz"), copies.String())
	write(t, filepath.Join(data, "calls.csv"), calls)
}

// The shipped figures are drawn in every format, twice with the same bytes.
func TestFigures(t *testing.T) {
	data := recording(t, 300, func(u float64) float64 { return 3e6 * math.Exp(1.5*u) }, 0)
	trial(t, data)
	for name, says := range map[string]string{
		"laws": "exponential leads", "shift": "Longer by (ms)", "surface": "in flight of", "timeline": "The first 12 of 40 calls",
	} {
		t.Run(name, func(t *testing.T) {
			var outputs []string
			for _, format := range []string{"svg", "pdf", "png", "csv"} {
				outputs = append(outputs, "figures/"+name+"."+format)
			}
			s := shipped(t, "plot", name, data, outputs...)
			for _, file := range []string{"copies.csv.gz", "calls.csv"} {
				s.Inputs[0].Files[file] = filepath.Join(data, file)
			}
			one, two := serve(t, s, time.Minute), serve(t, s, time.Minute)
			if one.err != nil || two.err != nil {
				t.Fatalf("%v, %v: %s\n%s", one.err, two.err, one.failure.Text, one.log)
			}
			for _, out := range outputs {
				if a, b := read(t, filepath.Join(one.dir, out)), read(t, filepath.Join(two.dir, out)); a != b || len(a) < 100 {
					t.Errorf("%s: %d bytes, then %d, or others", out, len(a), len(b))
				}
			}
			if svg := read(t, filepath.Join(one.dir, "figures", name+".svg")); !strings.Contains(svg, says) {
				t.Errorf("the figure does not say %q", says)
			}
		})
	}
}
