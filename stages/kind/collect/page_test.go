package collect

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/recording"

	"pgregory.net/rapid"
)

// A thinned curve ends at 1, and is nowhere off by more than a column of the
// picture across or a row up.
func TestThin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(1, 1e6), 1, 5000).Draw(t, "values")
		if rapid.Bool().Draw(t, "far out") {
			values = append(values, 1e12)
		}
		slices.Sort(values)
		c := thin("x", values)
		n := len(values)
		low, high := float64(values[0]), float64(values[n-1])
		x, k := int64(0), 0
		share := func(at int64) int { i, _ := slices.BinarySearch(values, at+1); return i }
		for i := range c.X {
			if x, k = x+c.X[i], k+c.Count[i]; i > 0 && c.X[i] <= 0 {
				t.Fatalf("step %d does not rise to the right", i)
			}
			if !slices.Contains(values, x) {
				t.Fatalf("no sample took %d", x)
			}
			last := values[k-1] // the samples up to here are drawn at x
			if off := k - share(x); float64(off) > float64(n)/highest+1 {
				t.Errorf("at %d the curve is %d samples off, of %d", x, off, n)
			}
			if float64(last-x) > (high-low)/widest+1 {
				t.Errorf("the sample %d is drawn at %d", last, x)
			}
		}
		if k != n {
			t.Errorf("the curve ends at %d of %d", k, n)
		}
	})
}

func TestThinMillion(t *testing.T) {
	values := make([]int64, 1_000_000)
	for i := range values {
		values[i] = int64(1e6 * math.Exp(3*float64(i)/float64(len(values))))
	}
	if c := thin("x", values); len(c.X) > widest*2+highest || !c.Thin {
		t.Errorf("%d steps", len(c.X))
	}
}

func TestNatural(t *testing.T) {
	got := []string{"level=16", "level=2", "model=b", "level=1, x=10", "level=1, x=9", "", "level=02"}
	slices.SortStableFunc(got, natural)
	if want := `["" "level=1, x=9" "level=1, x=10" "level=2" "level=02" "level=16" "model=b"]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("%q, want %s", got, want)
	}
}

func TestWhenTrialsMeasured(t *testing.T) {
	r := &recording.Run{}
	for i, level := range []int{4, 0, 16} {
		trial := &recording.Trial{ID: fmt.Sprintf("infer[level=%d]", level), Seq: i + 1, Point: cell.Point{{Axis: "level", Value: float64(level)}, {Axis: "replicate", Value: 1.0}}}
		trial.Infer.Window = [2]int64{5e12 + int64(i)*20e9, 5e12 + int64(i)*20e9 + 10e9}
		r.Trials = append(r.Trials, trial)
	}
	r.Trials[1].Infer.Warnings = []string{`a "doubt" <b>`}
	svg := string(view{Run: r, block: "replicate"}.Timeline())
	for _, want := range []string{">level=0</text>", ">level=4</text>", "10.0 s from 20.0 s", "a &#34;doubt&#34; &lt;b&gt;", `class="doubted"`, ">50 s</text>"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the timeline has no %q:\n%s", want, svg)
		}
	}
	if strings.Index(svg, ">level=4<") > strings.Index(svg, ">level=16<") {
		t.Error("level 16 stands above level 4")
	}
	if (view{Run: &recording.Run{}}).Timeline() != "" {
		t.Error("no trials, and a timeline")
	}
}

// Curves are grouped by the trials' axes, whatever they are called.
func TestCurves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.csv")
	filetest.Write(t, path, "block,replicate,latency_ns\n1,1,30\n1,2,10\n2,1,20\n1,2,10\n")
	r := &recording.Run{Trials: []*recording.Trial{{Point: cell.Point{{Axis: "block", Value: 1}, {Axis: "replicate", Value: 1}}}}}
	c, err := readCurves(path, r, "replicate")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c)
	if want := `{"samples":4,"curves":[{"label":"block=1","n":3,"x":[10,20],"k":[2,1],"thinned":false},{"label":"block=2","n":1,"x":[20],"k":[1],"thinned":false}]}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
	for text, problem := range map[string]string{"": "the file is empty", "a\n1\n": `no column is named "latency_ns"`, "latency_ns\nx\n": "samples.csv:2:1: column latency_ns"} {
		filetest.Write(t, path, text)
		if _, err := readCurves(path, r, "replicate"); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %v, want %q", text, err, problem)
		}
	}
}
