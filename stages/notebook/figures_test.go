package notebook_test

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
)

// trial adds to a recording a replicate of level 2 with another number of copies
// in flight, and to its run.json what the link carried during the first calls of
// the trial with seq 3.
func trial(t testing.TB, data string) {
	t.Helper()
	samples := filepath.Join(data, "samples.csv")
	text := string(filetest.Read(t, samples))
	for line := range strings.Lines(text) {
		if f := strings.Split(line, ","); f[0] == "2" && f[1] == "1" {
			f[1], f[15], f[18] = "4", "2", "99\n"
			text += strings.Join(f, ",")
		}
	}
	write(t, samples, text)
	bytes := strings.TrimSuffix(strings.Repeat("1048576,0,", 60), ",")
	line := fmt.Sprintf(`{"id": "infer[level=2,replicate=1]", "seq": 3, "utilisation": 0.3, "capacity_bytes_per_s": 1e10,
"stress": {"threads": 2, "block_bytes": 8388608, "outstanding": 1, "direction": "h2d"},
"timeline": {"calls": 12, "start_ns": 1000000000, "slice_ns": 400000, "bytes": [%s]},`, bytes)
	path := filepath.Join(data, "run.json")
	write(t, path, strings.Replace(string(filetest.Read(t, path)), `"trials": [{`, `"trials": [`+line, 1))
}

// The shipped figures are drawn in every format, twice with the same bytes, and with
// others of another recording.
func TestFigures(t *testing.T) {
	var recordings []string
	for _, growth := range []float64{1.5, 2.5} {
		data := recording(t, 300, func(u float64) float64 { return 3e6 * math.Exp(growth*u) }, 0)
		trial(t, data)
		recordings = append(recordings, data)
	}
	for name, says := range map[string]string{
		"laws": "exponential leads", "shift": "Longer by (ms)", "surface": "Copies in flight", "timeline": "The first 12 of 300 calls of infer[level=2,replicate=1]",
	} {
		t.Run(name, func(t *testing.T) {
			var outputs []string
			for _, format := range []string{"svg", "pdf", "png", "csv"} {
				outputs = append(outputs, "figures/"+name+"."+format)
			}
			s := shipped(t, "plot", name, recordings[0], outputs...)
			one, two, other := serve(t, s, time.Minute), serve(t, s, time.Minute), serve(t, shipped(t, "plot", name, recordings[1], outputs...), time.Minute)
			if one.err != nil || two.err != nil || other.err != nil {
				t.Fatalf("%v, %v, %v: %s\n%s", one.err, two.err, other.err, one.failure.Text, one.log)
			}
			for _, out := range outputs {
				if a, b := string(filetest.Read(t, filepath.Join(one.dir, out))), string(filetest.Read(t, filepath.Join(two.dir, out))); a != b || len(a) < 100 {
					t.Errorf("%s: %d bytes, then %d, or others", out, len(a), len(b))
				} else if a == string(filetest.Read(t, filepath.Join(other.dir, out))) {
					t.Errorf("%s does not show what was measured: it is the same of another recording", out)
				}
			}
			if svg := string(filetest.Read(t, filepath.Join(one.dir, "figures", name+".svg"))); !strings.Contains(svg, says) {
				t.Errorf("the figure does not say %q", says)
			}
		})
	}
}

// Figures of a measurement that cannot be trusted say so, and why.
func TestFiguresSayInvalid(t *testing.T) {
	data := recording(t, 300, func(u float64) float64 { return 3e6 * math.Exp(1.5*u) }, 0.5)
	for _, name := range []string{"laws", "shift"} {
		out := "figures/" + name + ".svg"
		one := serve(t, shipped(t, "plot", name, data, out), time.Minute)
		if one.err != nil {
			t.Fatalf("%v: %s\n%s", one.err, one.failure.Text, one.log)
		}
		if svg := string(filetest.Read(t, filepath.Join(one.dir, out))); !strings.Contains(svg, ">INVALID<") || !strings.Contains(svg, "INVALID: baseline drifted") {
			t.Errorf("%s does not say INVALID", name)
		}
	}
}
