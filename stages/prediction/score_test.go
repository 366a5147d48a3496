package prediction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"barograph/stages/link"
)

const root = "../.."

// theCard is the one that what is kept was made from.
func theCard() (*link.Card, *Lesson, error) {
	x, err := ReadLesson(root, "h100")
	if err != nil {
		return nil, nil, err
	}
	card, err := link.Read(filepath.Join(root, x.Card))
	return card, x, err
}

var scored = sync.OnceValues(func() ([]*Score, *Lesson) {
	card, kept, err := theCard()
	if err != nil {
		panic(err)
	}
	scores, x, err := ScoreAll(card, root, Recordings(root, card.Machine))
	if err != nil {
		panic(err)
	}
	x.Card = kept.Card
	return scores, x
})

// Predictions of models and loads that were left out are as good as they were when
// this was written: a change that makes them worse has to say so here.
func TestScores(t *testing.T) {
	scores, _ := scored()
	for _, tt := range []struct {
		class  string
		unseen bool
		i      int // of Quantiles
		least  int
		of     int
	}{
		{"full link", false, 0, 32, 32}, {"full link", false, 2, 29, 32}, {"below a full link", false, 0, 24, 24}, {"below a full link", false, 2, 22, 24},
		{"full link", true, 0, 49, 49}, {"full link", true, 2, 43, 49}, {"below a full link", true, 0, 8, 8}, {"below a full link", true, 2, 6, 8},
	} {
		a, _ := allowed(tt.class, tt.i)
		n, all := 0, 0
		for _, s := range scores {
			if s.Condition.Class() == tt.class && (s.Study == Unseen) == tt.unseen {
				if all++; math.Abs(s.Error(tt.i)) <= a {
					n++
				}
			}
		}
		if n < tt.least || all != tt.of {
			t.Errorf("%s, unseen %v, quantile %g: %d of %d within %g, want %d of %d", tt.class, tt.unseen, Quantiles[tt.i], n, all, a, tt.least, tt.of)
		}
	}
	inside, points := 0, 0
	for _, s := range scores {
		for i := range Quantiles {
			if points++; s.Inside(i) {
				inside++
			}
			e := s.Prediction.Estimates[i]
			if !(e.Low <= e.Value && e.Value <= e.High) || e.Low <= 0 {
				t.Errorf("%s %s: interval %+v", s.Own.Model, s.Load(), e)
			}
		}
	}
	if share := float64(inside) / float64(points); share < 0.85 {
		t.Errorf("90%% intervals hold %.1f%% of %d held-out points, want 85%%", 100*share, points)
	}
	// Where the link is full, doing nothing and adding queued bytes are both far worse.
	var ours, idle, queued []float64
	for _, s := range scores {
		if s.Condition.Class() == "full link" && s.Condition.Direction == "d2h" {
			ours = append(ours, math.Abs(s.Error(0)))
			idle = append(idle, math.Abs(s.NoChange[0]/s.Measured[0]-1))
			queued = append(queued, math.Abs(s.QueuedBytes[0]/s.Measured[0]-1))
		}
	}
	if slices.Max(ours) > 0.01 || middle(idle) < 0.2 || middle(queued) < 1 {
		t.Errorf("d2h, full: %.4f at worst, against %.2f and %.2f", slices.Max(ours), middle(idle), middle(queued))
	}
}

// What is kept below data/twin, and what data/README.md says of it, is what comes out
// now.
func TestKept(t *testing.T) {
	scores, x := scored()
	var table, summary bytes.Buffer
	if err := WriteScores(&table, scores); err != nil {
		t.Fatal(err)
	}
	if err := Summarise(&summary, scores); err != nil {
		t.Fatal(err)
	}
	again := "run `barograph predict score --link " + x.Card + "`"
	if kept, err := os.ReadFile(filepath.Join(root, "data/twin/h100.csv")); err != nil || !bytes.Equal(kept, table.Bytes()) {
		t.Errorf("data/twin/h100.csv is not what comes out (%v): %s", err, again)
	}
	learned, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(root, File("h100"))); err != nil || !bytes.Equal(bytes.TrimSpace(kept), learned) {
		t.Errorf("%s is not what comes out (%v): %s", File("h100"), err, again)
	}
	readme, err := os.ReadFile(filepath.Join(root, "data/README.md"))
	if err != nil || !strings.Contains(string(readme), summary.String()) {
		t.Errorf("data/README.md does not hold the summary that `predict score` prints (%v)", err)
	}
}

// What the H100's recordings teach foretells an H200 of which nothing under load was
// seen: its medians, and as data/README.md says.
func TestTransfer(t *testing.T) {
	_, x, err := theCard()
	if err != nil {
		t.Fatal(err)
	}
	card, err := link.Read(filepath.Join(root, "data/link/h200.json"))
	if err != nil {
		t.Fatal(err)
	}
	scores, err := ScoreTransfer(card, root, Recordings(root, card.Machine), x)
	if err != nil {
		t.Fatal(err)
	}
	if len(scores) != 57 {
		t.Errorf("%d loads recorded on the H200, want 57", len(scores))
	}
	for _, s := range scores {
		if a, ok := s.allowed(0); !ok || math.Abs(s.Error(0)) > a || s.HeldOut != "machine" {
			t.Errorf("%s %s: p50 is off by %.2f%%, held out: %s", s.Own.Model, s.Load(), 100*s.Error(0), s.HeldOut)
		}
	}
	var table, summary bytes.Buffer
	if err := WriteScores(&table, scores); err != nil {
		t.Fatal(err)
	}
	const again = "run `barograph predict score --link data/link/h200.json --learned h100`"
	if kept, err := os.ReadFile(filepath.Join(root, "data/twin/h200.csv")); err != nil || !bytes.Equal(kept, table.Bytes()) {
		t.Errorf("data/twin/h200.csv is not what comes out (%v): %s", err, again)
	}
	if err := Summarise(&summary, scores); err != nil {
		t.Fatal(err)
	}
	rows, _, _ := strings.Cut(summary.String(), "\n\n")
	if readme, err := os.ReadFile(filepath.Join(root, "data/README.md")); err != nil || !strings.Contains(string(readme), rows) {
		t.Errorf("data/README.md does not hold these rows (%v):\n%s", err, rows)
	}
}

func TestFromCard(t *testing.T) {
	card, err := link.Read("testdata/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	m := FromCard(card, false)
	if m.Link.Turn[0] != 1_051_500 || m.Link.SmallIdle != 24576 || m.Link.SmallBehind != 1024 || m.Link.Both != 97e9 {
		t.Errorf("%+v", m.Link)
	}
	// A load's copies of 4 MiB carry what they carried when the card was measured.
	if b := m.Block(1, 4<<20); math.Abs(4<<20/(float64(4<<20)/m.Link.Bandwidth[1]+b.Busy/1e9)-51.9e9) > 1e8 {
		t.Errorf("copies of 4 MiB hold the engine for %.0f ns beside their bytes", b.Busy)
	}
	if mps := FromCard(card, true); mps.Link.SmallIdle != 0 || mps.Link.SmallBehind != 0 || mps.Link.Turn != m.Link.Turn {
		t.Errorf("under MPS: %+v", mps.Link)
	}
}

// own is a model with an output and three inputs of the size given.
func own(ms float64, in int64) *Baseline {
	return &Baseline{Model: "m", In: []int64{in, in, in}, Out: []int64{4096}, Calls: [][]int64{{int64(ms * 1e6)}}, From: "here"}
}

func TestPredict(t *testing.T) {
	card, err := link.Read("testdata/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	const q = 1.0515
	full := Condition{Direction: "d2h", Share: 1, Loads: 1, Threads: 4, Outstanding: 1, Block: 16 << 20, Arrivals: "closed"}
	with := func(change func(*Condition)) *Condition { c := full; change(&c); return &c }
	for name, tt := range map[string]struct {
		own       *Baseline
		condition *Condition
		p50       float64 // ms
	}{
		"below a turn":        {own(0.5, 8), &full, q},
		"above a turn":        {own(1.1, 8), &full, 2 * q},
		"two loads":           {own(0.5, 8), with(func(c *Condition) { c.Loads = 2 }), 2 * q},
		"three loads":         {own(0.5, 8), with(func(c *Condition) { c.Loads = 3 }), 3 * q},
		"one copy in flight":  {own(1.0, 8), with(func(c *Condition) { c.Threads, c.Block = 1, 4<<20 }), 1.03},
		"small inputs":        {own(0.5, 1024), with(func(c *Condition) { c.Direction = "h2d" }), 0.5},
		"a byte more":         {own(0.5, 1025), with(func(c *Condition) { c.Direction = "h2d" }), q},
		"small under MPS":     {own(0.5, 1024), with(func(c *Condition) { c.Direction, c.MPS = "h2d", true }), q},
		"a tenth of the link": {own(0.5, 8), with(func(c *Condition) { c.Share, c.Block = 0.1, 4<<20 }), 0.5},
	} {
		p, err := Predict(FromCard(card, tt.condition.MPS), tt.own, tt.condition, Unlearned)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Estimates[0].Value / 1e6; math.Abs(got/tt.p50-1) > 0.03 {
			t.Errorf("%s: p50 %.3f ms, want %.3f", name, got, tt.p50)
		}
		if !slices.ContainsFunc(p.Doubts, func(d string) bool { return strings.Contains(d, "no recording") }) {
			t.Errorf("%s: an interval that rests on no recording does not say so: %q", name, p.Doubts)
		}
	}
	// Where more is always ready in the model's own process, nothing is let through.
	starved := with(func(c *Condition) { c.Within, c.Threads, c.Outstanding, c.Block = true, 1, 2, 1<<20 })
	if _, err := Predict(FromCard(card, false), own(1, 8), starved, Unlearned); err == nil || !strings.Contains(err.Error(), "lets none through") {
		t.Errorf("starved: %v", err)
	}
}

// An interval is what nine in ten of other errors fell into, and wider where there are
// too few to tell.
func TestErrors(t *testing.T) {
	c := &Condition{Direction: "d2h", Share: 1, Loads: 1, Threads: 2, Outstanding: 1, Arrivals: "closed"}
	x := &Lesson{Errors: map[string][3][]float64{}}
	for i := range 39 {
		of := x.Errors[c.Class()]
		for q := range of {
			of[q] = append(of[q], float64(i-19)/100)
		}
		x.Errors[c.Class()] = of
	}
	bounds, doubts := x.Bounds(c)
	if len(doubts) != 0 || bounds[0] != [2]float64{-0.18, 0.18} {
		t.Errorf("%v, %q", bounds, doubts)
	}
	more := *c
	more.Loads = 2
	if _, doubts := x.Bounds(&more); len(doubts) != 1 || !strings.Contains(doubts[0], "one load") {
		t.Errorf("two loads: %q", doubts)
	}
	few := x.Errors[c.Class()]
	for q := range few {
		few[q] = few[q][:5]
	}
	x.Errors[c.Class()] = few
	if bounds, doubts := x.Bounds(c); bounds[0] != [2]float64{-0.19, -0.15} || len(doubts) != 1 || !strings.Contains(doubts[0], "5 recorded loads") {
		t.Errorf("five errors: %v, %q", bounds, doubts)
	}
}

func ExamplePredict() {
	card, err := link.Read("testdata/h100.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	model := &Baseline{Model: "a model", In: []int64{1024}, Out: []int64{400_000}, Calls: [][]int64{{1_250_000}}, From: "a recording"}
	load := &Condition{Direction: "d2h", Share: 1, Loads: 1, Threads: 4, Outstanding: 1, Block: 16 << 20, Arrivals: "closed"}
	p, err := Predict(FromCard(card, false), model, load, Unlearned)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("predicted: %.1f ms, without load %.2f\n", p.Estimates[0].Value/1e6, p.Alone[0]/1e6)
	// Output:
	// predicted: 2.1 ms, without load 1.25
}

// What the command takes beside reading its files: 50 ms at most are asked.
func BenchmarkPredict(b *testing.B) {
	card, _, err := theCard()
	if err != nil {
		b.Fatal(err)
	}
	owns, _, err := Read(root, filepath.Join(root, "data/models/h100"), "bert-base-uncased")
	if err != nil {
		b.Fatal(err)
	}
	m := FromCard(card, false)
	load := &Condition{Direction: "d2h", Share: 1, Loads: 1, Threads: 4, Outstanding: 1, Block: 16 << 20, Arrivals: "closed"}
	for b.Loop() {
		if _, err := Predict(m, owns[0], load, Unlearned); err != nil {
			b.Fatal(err)
		}
	}
}
