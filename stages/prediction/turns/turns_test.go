package turns

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/link"
	"barograph/stages/prediction"

	"gopkg.in/yaml.v3"
)

const root = "../../.."

func card(t *testing.T) *link.Card {
	t.Helper()
	c, err := link.Read("../testdata/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The ten models recorded on an H100, without any knowledge of the card's turn.
func TestRecordedModels(t *testing.T) {
	j, err := Judge(root, "T1", "data/models/h100", "stages/prediction/testdata/h100.json")
	if err != nil || j.Verdict.Verdict != cell.Reproduced || math.Abs(j.Effect) > 0.01 {
		t.Errorf("%+v, %v", j, err)
	}
	if !strings.Contains(j.Because, "would show turns in 100%") {
		t.Errorf("what the design could tell: %s", j.Because)
	}
}

// What data/claims.yaml says of turns is what the recordings and cards give.
func TestRecordedClaims(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "data/claims.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Claims []struct {
			Claim, Recording, Link, Verdict string
			Effect, Tolerance               float64
		}
	}
	if err := yaml.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range manifest.Claims {
		if Says[c.Claim] == "" || slow && c.Claim == "T1" {
			continue
		}
		n++
		j, err := Judge(root, c.Claim, c.Recording, c.Link)
		if err != nil || j.Verdict.Verdict != c.Verdict || math.Abs(j.Effect-c.Effect) > c.Tolerance {
			t.Errorf("%s of %s: %+v, %v; want %s, %v within %v", c.Claim, c.Recording, j, err, c.Verdict, c.Effect, c.Tolerance)
		}
	}
	if n < 6 {
		t.Errorf("%d claims of turns in data/claims.yaml", n)
	}
}

// models draws cases of models with own times of so many ms, beside a full link.
func models(own []float64, law func(ms float64) float64) (cases []*prediction.Case) {
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(ms float64) (replicates [][]int64) {
		for range 3 {
			calls := make([]int64, 300)
			at := ms * math.Exp(0.003*rng.NormFloat64())
			for i := range calls {
				calls[i] = int64(at * math.Exp(0.002*rng.NormFloat64()) * 1e6)
			}
			replicates = append(replicates, calls)
		}
		return replicates
	}
	for i, ms := range own {
		cases = append(cases, &prediction.Case{
			Own:       &prediction.Baseline{Model: string(rune('a' + i)), Out: []int64{4096}, Calls: draw(ms)},
			Condition: prediction.Condition{Direction: "d2h", Share: 1, Loads: 1, Threads: 4, Outstanding: 1},
			Calls:     draw(law(ms)),
		})
	}
	return cases
}

func TestStaircase(t *testing.T) {
	many := []float64{0.3, 0.5, 0.8, 1.2, 1.5, 1.9, 2.3, 2.7, 3.2, 3.9}
	for _, tt := range []struct {
		name string
		own  []float64
		law  func(float64) float64
		want string
	}{
		{"turns", many, func(ms float64) float64 { return math.Ceil(ms/1.0515) * 1.0515 }, cell.Reproduced},
		{"a fixed delay", many, func(ms float64) float64 { return ms + 0.5 }, cell.Refuted},
		{"a factor", many, func(ms float64) float64 { return 1.6 * ms }, cell.Refuted},
		{"three models", many[:3], func(ms float64) float64 { return 1.0515 }, cell.NotIdentified},
		{"below a turn", []float64{0.3, 0.5, 0.6, 0.8, 0.9, 1}, func(float64) float64 { return 1.0515 }, cell.NotIdentified},
	} {
		j, err := Staircase(models(tt.own, tt.law), card(t))
		if err != nil || j.Verdict.Verdict != tt.want {
			t.Errorf("%s: %+v, %v; want %s", tt.name, j, err, tt.want)
		}
	}
	// Inputs on the small path are no steps, nor is what lies below a full link.
	few := models(many, func(ms float64) float64 { return ms })
	for _, c := range few {
		c.Condition.Direction, c.Own.In = "h2d", []int64{1024}
	}
	if j, err := Staircase(few, card(t)); err != nil || j.Verdict.Verdict != cell.NotIdentified || !strings.Contains(j.Because, "0 own times") {
		t.Errorf("%+v, %v", j, err)
	}
}

// What MPS does to small copies shows in calls too.
func TestSmallCopies(t *testing.T) {
	small := func(through func(float64) float64) []*prediction.Case {
		cases := append(models([]float64{1.2}, func(ms float64) float64 { return 1.02 * ms }), models([]float64{1.2}, through)...)
		for i, c := range cases {
			c.Condition.Direction, c.Condition.MPS, c.Own.In, c.Own.Model = "h2d", i == 1, []int64{1024, 1024}, "bert"
		}
		return cases
	}
	large := small(func(float64) float64 { return 2.1 })
	large[0].Own.In[0]++
	for name, tt := range map[string]struct {
		cases []*prediction.Case
		want  string
	}{
		"delayed":      {small(func(float64) float64 { return 2.1 }), cell.Reproduced},
		"not delayed":  {small(func(ms float64) float64 { return 1.02 * ms }), cell.Refuted},
		"large inputs": {large, cell.NotIdentified},
		"none through": {small(func(ms float64) float64 { return ms })[:1], cell.NotIdentified},
	} {
		if j := SmallCopies(tt.cases, card(t)); j.Verdict.Verdict != tt.want {
			t.Errorf("%s: %+v", name, j)
		}
	}
}

func TestCards(t *testing.T) {
	change := func(f func(*link.Card)) *link.Card { c := card(t); f(c); return c }
	flat := change(func(c *link.Card) {
		for _, w := range c.Ways {
			for i := range w.Turn.Loads {
				w.Turn.Loads[i].Wait = w.Turn.Loads[0].Wait
			}
		}
	})
	unsure := change(func(c *link.Card) { c.Ways["d2h"].Turn.Loads[1].Wait.Low = 1 })
	broken := change(func(c *link.Card) { c.Invalid = []string{"it was throttled"} })
	slow := change(func(c *link.Card) {
		k := &c.Ways["d2h"].Turn.Kernel
		k.P10, k.P50, k.P90 = 2*k.Alone, 2*k.Alone, 2*k.Alone
	})
	tail := change(func(c *link.Card) { k := &c.Ways["d2h"].Turn.Kernel; k.P90 = 2 * k.Alone })
	mps := change(func(c *link.Card) { c.MPS, c.Ways["h2d"].Small.Idle, c.Ways["h2d"].Small.Behind = true, 0, 0 })
	kept := change(func(c *link.Card) { c.MPS = true })
	part := change(func(c *link.Card) { c.MPS, c.Ways["h2d"].Small.Behind = true, 0 })
	for _, tt := range []struct {
		name string
		got  Judgement
		want string
		says string
	}{
		{"loads", Loads(card(t)), cell.Reproduced, "3: 3.148 ms"},
		{"loads alike", Loads(flat), cell.Refuted, ""},
		{"loads unsure", Loads(unsure), cell.NotIdentified, ""},
		{"loads of a broken card", Loads(broken), cell.Invalid, "throttled"},
		{"kernel", Kernel(card(t)), cell.Reproduced, "1.020 ms"},
		{"kernel delayed", Kernel(slow), cell.Refuted, ""},
		{"kernel with a tail", Kernel(tail), cell.NotIdentified, ""},
		{"mps", MPS(card(t), mps), cell.Reproduced, "24576 bytes"},
		{"mps changes nothing", MPS(card(t), kept), cell.Refuted, ""},
		{"mps changes a part", MPS(card(t), part), cell.NotIdentified, ""},
		{"no mps", MPS(card(t), nil), cell.NotIdentified, "two cards"},
		{"mps broken", MPS(broken, mps), cell.Invalid, ""},
	} {
		if tt.got.Verdict.Verdict != tt.want || !strings.Contains(tt.got.Because, tt.says) {
			t.Errorf("%s: %+v, want %s with %q", tt.name, tt.got, tt.want, tt.says)
		}
	}
}
