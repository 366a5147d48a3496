package prediction

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/link"
	"barograph/stages/prediction/forecast"
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

// What cannot have been learned, or is not there, is refused at its place.
func TestReadLesson(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, File("h100"))
	text, err := os.ReadFile(filepath.Join(root, File("h100")))
	if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o777)); err != nil {
		t.Fatal(err)
	}
	if x, err := ReadLesson(dir, "h100"); err != nil || x != Unlearned {
		t.Errorf("%+v, %v", x, err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`"late_ns": \d+`, `"late_ns": -1`, `late_ns is -1: want 0 to 1e\+09`},
		{`"late_ns": \d+,`, ``, `missing key "late_ns" in parameters`},
		{`"parameters": `, `"params": `, `unknown key "params" in the lesson`},
		{`(?s)\n  "link": \{.*?\n  \},`, ``, `missing key "link" in the lesson`},
		{`(?s)"full link": \{.*?\n    \},`, ``, `errors hold none of "full link", from which fetch_ns 30349 was learned`},
		{`(?s)"full link": \{.*?\n    \}`, `"full link": {}`, `errors hold none of "full link"`},
		{`(?s)"below a full link": \{.*?\n    \},`, ``, `errors hold none of "below a full link", from which late_ns 40000 was learned`},
		{`"overhead_ns": [\d.]+`, `"overhead_ns": null`, `overhead_ns is null`},
		{`"overhead_ns": [\d.]+`, `"overhead_ns": 1e300`, `overhead_ns is 1e\+300: want 0 to 1e\+09`},
		{`"bandwidth_bytes_per_s": \[\s*[\d.]+`, `"bandwidth_bytes_per_s": [0`, `bandwidth_bytes_per_s is 0: want 100000 to 1e\+14`},
		{`"turn_ns": \[\s*\[\s*[\d.]+`, `"turn_ns": [[9e9`, `turn_ns is 9e\+09: want 10000 to`},
		{`"bytes": \d+`, `"bytes": 0`, `bytes is 0: want 1 to`},
		{`"sharing": \[\s*\[\s*[-\d.]+`, `"sharing": [[9`, `sharing is 9, in logarithms`},
		{`"sharing": \[\s*\[\s*[-\d.]+`, `"sharing": [[0`, `sharing does not ascend: -0\.\d+ follows 0`},
		{`"sharing": \[\s*\[`, `"sharing": [[-1,`, `sharing holds 7 errors of p50, and 6 here`},
		{`"sharing": \[\s*\[[^\]]*`, `"sharing": [[`, `sharing holds no errors`},
	} {
		at := regexp.MustCompile(tt.old).FindIndex(text)
		if at == nil {
			t.Fatalf("no %s in %s", tt.old, File("h100"))
		}
		if err := os.WriteFile(path, slices.Concat(text[:at[0]], []byte(tt.new), text[at[1]:]), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := ReadLesson(dir, "h100")
		if err == nil || !regexp.MustCompile(regexp.QuoteMeta(path)+`:\d+:\d+: `+tt.want).MatchString(err.Error()) {
			t.Errorf("%s for %s: %v", tt.new, tt.old, err)
		}
	}
}

// TestScoreAll: the sharing study's cases, each predicted without those of its load, in
// parallel; the values of all studies are held by TestScores and TestKept.
func TestScoreAll(t *testing.T) {
	card, _, err := theCard()
	if err != nil {
		t.Fatal(err)
	}
	scores, x, err := ScoreAll(card, root, []string{filepath.Join(root, "data/sharing/h100")})
	if err != nil || len(scores) == 0 || !slices.Equal(x.From, []string{"data/sharing/h100"}) {
		t.Fatalf("%d scores, %+v, %v", len(scores), x, err)
	}
	for _, s := range scores {
		for i, e := range s.Prediction.Estimates {
			if !(0 < e.Low && e.Low <= e.Value && e.Value <= e.High) || s.HeldOut != "load" {
				t.Errorf("%s %s: quantile %g: %+v, held out: %s", s.Own.Model, s.Load(), Quantiles[i], e, s.HeldOut)
			}
		}
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
	inside := 0
	for _, s := range scores {
		for i := range Quantiles {
			if s.Inside(i) {
				inside++
			}
		}
		if a, ok := s.allowed(0); !ok || math.Abs(s.Error(0)) > a || s.HeldOut != "machine" {
			t.Errorf("%s %s: p50 is off by %.2f%%, held out: %s", s.Own.Model, s.Load(), 100*s.Error(0), s.HeldOut)
		}
	}
	if share := float64(inside) / float64(3*len(scores)); share < 0.9 {
		t.Errorf("90%% intervals hold %.1f%% of the H200's points", 100*share)
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

// Other cards of the kinds were recorded later, when all that predicts stood.
func TestNextDay(t *testing.T) {
	_, x, err := theCard()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		card, dir string
		loads     int
	}{{"h100", "attribution/h100-mps", 5}, {"h200", "bypass/h200-separate", 16}} {
		card, err := link.Read(filepath.Join(root, "data/link", test.card+".json"))
		if err != nil {
			t.Fatal(err)
		}
		scores, err := ScoreTransfer(card, root, []string{filepath.Join(root, "data", test.dir)}, x)
		if err != nil || len(scores) != test.loads {
			t.Fatalf("%s: %d loads, %v; want %d", test.dir, len(scores), err, test.loads)
		}
		for _, s := range scores {
			for i := range Quantiles {
				if s.misses(i) {
					t.Errorf("%s: %s, %s: quantile %g: %s", test.dir, s.Own.Model, s.Load(), Quantiles[i], s.text(i))
				}
			}
		}
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
	if mps := FromCard(card, true); mps.Link.SmallIdle != 24576 || mps.Link.SmallBehind != 0 || mps.Link.Turn != m.Link.Turn {
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

// Where a model's calls have a slow time without load, its copies take twice as long
// beside one too: what is longer is the copy, and not what is rounded up to a turn.
func TestSlowTimes(t *testing.T) {
	card, err := link.Read("testdata/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	calls := make([]int64, 300)
	for i := range calls {
		if calls[i] = 1_000_000; i >= 100 && i < 130 {
			calls[i] = 1_460_000
		}
	}
	m, o := FromCard(card, false), &Baseline{Out: []int64{25_000_000}, Calls: [][]int64{calls}, From: "here"}
	full := &Condition{Direction: "d2h", Share: 1, Loads: 1, Threads: 4, Outstanding: 1, Block: 16 << 20}
	p, err := Predict(m, o, full, &Lesson{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(p.Doubts, func(d string) bool { return strings.Contains(d, "slow at times") }) {
		t.Errorf("slow times are not told of: %q", p.Doubts)
	}
	copies := float64(m.Link.Copies(o.In, o.Out, true))
	for i, want := range map[int]float64{0: 1_051_500 + copies, 2: 1_051_500 + 2*copies} {
		if got := p.Estimates[i].Value; math.Abs(got/want-1) > 0.01 {
			t.Errorf("quantile %g: %.0f ns, want %.0f", Quantiles[i], got, want)
		}
	}
}

// What is simulated without load is what was recorded without, slow times and all.
func TestSimulateAlone(t *testing.T) {
	card, _, err := theCard()
	if err != nil {
		t.Fatal(err)
	}
	m, slow := FromCard(card, false), 0
	for _, study := range []string{"decoupled", "models"} {
		owns, _, err := Read(root, filepath.Join(root, "data", study, "h100"), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range owns {
			p, err := Predict(m, o, &Condition{Direction: "h2d", Share: 1, Arrivals: "closed"}, &Lesson{})
			if err != nil {
				t.Fatal(err)
			}
			slow += slowTrials(o.Calls)
			for q, most := range map[float64]float64{0.5: 0.002, 0.99: 0.02} {
				got, want := forecast.Quantile(p.Simulated, q), o.Quantile(q)
				if math.Abs(got/want-1) > most {
					t.Errorf("%s, %s: quantile %g: %.0f ns, recorded %.0f", study, o.Model, q, got, want)
				}
			}
		}
	}
	if slow < 10 {
		t.Errorf("%d trials with slow times", slow)
	}
}

// Calls that are held up one at a time tell by how much, and calls in a slow time do not.
func TestHolding(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	calls := func(held float64) (all [][]int64) {
		for range 10 {
			of := make([]int64, 1000)
			for i := range of {
				if of[i] = 1_000_000 + rng.Int64N(5000); i > 300 && i < 330 {
					of[i] += 200_000
				}
				if rng.Float64() < forecast.Held {
					of[i] += int64(held * rng.ExpFloat64())
				}
			}
			all = append(all, of)
		}
		return all
	}
	own := &Baseline{Calls: calls(0)}
	for _, want := range []float64{0, 20e3, 50e3} {
		if got := holding(&Case{Own: own, Calls: calls(want)}); math.Abs(got-want) > 0.15*want {
			t.Errorf("%.0f ns, want %.0f", got, want)
		}
	}
}

// An interval is what nine in ten of other errors fell into, and wider where there are
// too few to tell.
func TestErrors(t *testing.T) {
	c := &Condition{Direction: "d2h", Share: 1, Loads: 1, Threads: 2, Outstanding: 1, Arrivals: "closed"}
	var of, other [3][]float64
	for q := range of {
		for i := range 39 {
			of[q] = append(of[q], float64(i-19)/100)
		}
		other[q] = []float64{-0.5, 0.1}
	}
	x := &Lesson{Errors: map[string]map[string][3][]float64{c.Class(): {"one": of}}}
	bounds, doubts := x.Bounds(c)
	if len(doubts) != 0 || bounds[0] != [2]float64{-0.18, 0.18} {
		t.Errorf("%v, %q", bounds, doubts)
	}
	more := *c
	more.Loads = 2
	if _, doubts := x.Bounds(&more); len(doubts) != 1 || !strings.Contains(doubts[0], "one load") {
		t.Errorf("two loads: %q", doubts)
	}
	x.Errors[c.Class()]["other"] = other // another session may err as this one did
	if bounds, doubts := x.Bounds(c); bounds[0] != [2]float64{-0.5, 0.18} || len(doubts) != 0 {
		t.Errorf("two recordings: %v, %q", bounds, doubts)
	}
	delete(x.Errors[c.Class()], "other")
	for q := range of {
		of[q] = of[q][:5]
	}
	x.Errors[c.Class()]["one"] = of
	if bounds, doubts := x.Bounds(c); bounds[0] != [2]float64{-0.19, 0} || len(doubts) != 1 || !strings.Contains(doubts[0], "5 recorded loads") {
		t.Errorf("five errors: %v, %q", bounds, doubts)
	}
}

// No number is made of a recording that is not what its checksums say, in any case that
// predicts or learns.
func TestReadRefusesWhatIsNotSealed(t *testing.T) {
	card, _, err := theCard()
	if err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(dir string) error{
		"damaged: samples.csv.gz":       func(dir string) error { return os.Truncate(filepath.Join(dir, "samples.csv.gz"), 1000) },
		"SHA256SUMS: no such file":      func(dir string) error { return os.Remove(filepath.Join(dir, "SHA256SUMS")) },
		"not listed: run.json.mine":     func(dir string) error { return os.WriteFile(filepath.Join(dir, "run.json.mine"), nil, 0o666) },
		"damaged: run.json: its SHA-25": func(dir string) error { return os.WriteFile(filepath.Join(dir, "run.json"), nil, 0o666) },
	} {
		own := t.TempDir()
		dir := filepath.Join(own, "data/models/h100")
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "data/models/h100"))); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		_, found := Find(own, "h100", "bert-base-uncased", dir, 1, 128, "")
		_, _, scored := ScoreAll(card, own, Recordings(own, "h100"))
		_, transferred := ScoreTransfer(card, own, Recordings(own, "h100"), Unlearned)
		for _, err := range []error{found, scored, transferred} {
			if err == nil || !strings.Contains(err.Error(), want) || cell.StatusOf(err) != cell.StatusUsage {
				t.Errorf("%v, want %q and status %d", err, want, cell.StatusUsage)
			}
		}
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

// Reading a recording, checksums included, is the rest of what the command takes.
func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		if _, _, err := Read(root, filepath.Join(root, "data/models/h100"), "bert-base-uncased"); err != nil {
			b.Fatal(err)
		}
	}
}

// Calls without load are those whose copies are the model's own, each precision for itself.
func TestFindOwnCopies(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, test := range []struct {
		dir, precision string
		from, to       float64 // where the p50 lies, ms
	}{
		{"precision/h100", "", 1.2, 1.3},
		{"precision/h100", "float32", 1.2, 1.3},
		{"precision/h100", "float16", 0.5, 0.55},
		{"bypass/h200-separate", "", 1.2, 1.25}, // 1.35 of those whose inputs and results a kernel carries
	} {
		own, err := Find(root, "", "bert-base-uncased", filepath.Join(root, "data", test.dir), 0, 0, test.precision)
		if err != nil || own == nil {
			t.Fatalf("%s: %v", test.dir, err)
		}
		if p50 := own.Quantile(0.5) / 1e6; p50 < test.from || p50 > test.to {
			t.Errorf("%s %q: p50 without load of %.3f ms, want %.2f to %.2f", test.dir, test.precision, p50, test.from, test.to)
		}
	}
	if own, err := Find(root, "", "resnet50", filepath.Join(root, "data", "models", "h100"), 0, 0, "float16"); err != nil || own != nil {
		t.Errorf("float16, where only float32 was recorded: %v, %v", own, err)
	}
}
