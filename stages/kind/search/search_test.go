package search

import (
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cell/unit"
	"barograph/stages/guard"
)

var h100 = cell.Machine{Name: "sim-h100", Device: "sim", Sim: map[string]float64{
	"bandwidth_h2d": 54.7e9, "bandwidth_d2h": 55.1e9, "turn_h2d_ns": 1.05e6, "turn_d2h_ns": 1.05e6, "overhead_ns": 4941, "gap_ns": 7600, "behind": 1,
	"bytes_in": 3072, "bytes_out": 396288, "noise": 0.01,
}}

// A score is better for more of the link only while the p99 is near enough.
func TestBetter(t *testing.T) {
	near, nearer, far, farther := score{p99: 1.04, kept: 0.9}, score{p99: 1.01, kept: 0.8}, score{p99: 1.5, kept: 1}, score{p99: 2, kept: 1}
	for i, order := range [][2]score{{near, nearer}, {nearer, far}, {near, farther}, {far, farther}} {
		if !order[0].better(order[1], 0.05) || order[1].better(order[0], 0.05) {
			t.Errorf("%d: %+v does not beat %+v", i, order[0], order[1])
		}
	}
}

// On a link with turns, a trial sees what the reference saw: two streams of one chunk
// protect a victim in their process, and cost one in another a turn.
func TestTry(t *testing.T) {
	p, err := guard.Parse("window/2MiB/streams:2")
	if err != nil {
		t.Fatal(err)
	}
	w := Kind().With().(*With)
	w.Calls = 300
	for _, tt := range []struct {
		sharing     string
		least, most float64
		bound       string
	}{{"process", 1, 1.08, "136µs"}, {"separate", 1.5, 3, "none"}} {
		w.Sharing = tt.sharing
		c := &cell.Cell{Spec: cell.Spec{Machine: h100, Seed: 1}}
		x, err := newTrial(c, w, []unit.Duration{unit.Duration(1200 * time.Microsecond)}, 16)
		if err != nil {
			t.Fatal(err)
		}
		s, err := x.try(p)
		if err != nil || s.p99 < tt.least || s.p99 > tt.most || s.kept < 0.85 || s.kept > 1 || s.bound != tt.bound {
			t.Errorf("%s: %+v, %v", tt.sharing, s, err)
		}
		again, err := x.try(p)
		if err != nil || again != s {
			t.Errorf("%s: %+v, and once more %+v, %v", tt.sharing, s, again, err)
		}
	}
}

// What is drawn can be kept, whatever it was changed from.
func TestDraw(t *testing.T) {
	for _, direction := range []string{"d2h", "h2d"} {
		rng := rand.New(rand.NewPCG(1, 1))
		p := draw(rng, nil, direction)
		for range 2000 {
			p = draw(rng, &p, direction)
			if again, err := guard.Parse(p.String()); err != nil || again.String() != p.String() {
				t.Fatalf("drew %s: %v", p, err)
			}
			if p.Aside() && direction == "d2h" && (p.Early > 0 || p.Grow > 0) {
				t.Fatalf("drew %s, of which the load from the device makes nothing", p)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	w := Kind().With().(*With)
	if err := lacks("host", w); err == nil || !strings.Contains(err.Error(), "only a simulation has the time") {
		t.Errorf("on the host: %v", err)
	}
	w.Policies = []string{"windw/1MiB"}
	if err := check(w); err == nil || !strings.Contains(err.Error(), `did you mean "window"`) {
		t.Errorf("a misspelt policy: %v", err)
	}
	w.Policies, w.Held = nil, nil
	if err := check(w); err == nil || !strings.Contains(err.Error(), "held 0") {
		t.Errorf("no victims held out: %v", err)
	}
}

// What was measured is of the worst model of all tables, in one direction and sharing.
func TestMeasured(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		filetest.Write(t, path, text)
		return path
	}
	head := "model,direction,sharing,policy,share,p99_ratio\n"
	one := file("one.csv", head+"bert,d2h,process,window/4MiB,0.9,1.1\ngpt2,d2h,process,window/4MiB,0.8,1.05\nbert,h2d,process,window/4MiB,0.1,9\nbert,d2h,process,none,0.96,\ngpt2,d2h,process,none,0.96,3\n")
	two := file("two.csv", head+"bert,d2h,process,window/4096KiB/streams:1,0.85,1.2\nbert,d2h,separate,none,0.95,1.6\n")
	got, err := measured([]string{one, two}, "d2h", "process")
	if want := map[string]score{"window/4MiB": {p99: 1.2, kept: 0.8}}; err != nil || !maps.Equal(got, want) {
		t.Errorf("measured %v, %v, want %v", got, err, want)
	}
	for _, tt := range []struct{ file, want string }{
		{filepath.Join(dir, "nowhere.csv"), "there is no"},
		{file("empty.csv", ""), "it has no header"},
		{file("other.csv", "a,b\n1,2\n"), `has no column "policy"`},
		{file("text.csv", head+"bert,d2h,process,none,much,1\n"), "row 2"},
	} {
		if _, err := measured([]string{tt.file}, "d2h", "process"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.file, err, tt.want)
		}
	}
}

func TestRank(t *testing.T) {
	of := func(seen, real float64) candidate {
		return candidate{seen: score{p99: seen, kept: seen}, measured: score{p99: real, kept: -real}}
	}
	all := []candidate{of(1, 2), of(2, 3), of(3, math.NaN()), of(4, 5)}
	if got := rank(all); !strings.Contains(got, "of 3 policies") || !strings.Contains(got, "p99 1.00, link kept -1.00") {
		t.Error(got)
	}
	if got := rank(all[:2]); !strings.Contains(got, "2 of these policies were measured: too few") {
		t.Error(got)
	}
}
