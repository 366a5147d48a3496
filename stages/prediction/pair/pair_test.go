package pair

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"barograph/pipeline/cell"
	"barograph/stages/device/sim"
	"barograph/stages/device/twin"
	"barograph/stages/link"
	"barograph/stages/prediction"
	"barograph/stages/result"
)

const root = "../../.."

var models = []string{"bert-base-uncased", "minilm-l6", "gpt2", "gpt2-decode", "resnet50", "unet"}

// simulated are outcomes of pairs on the machine sim-h100, with occupancies that the
// prediction is not told.
func simulated(t testing.TB, tenancies ...string) []*Outcome {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "configs/machines/sim-h100.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var m cell.Machine
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	m.Sim = maps.Clone(m.Sim)
	for i, model := range models {
		m.Sim["occupancy."+model] = 0.5 + 0.1*float64(i)
	}
	var outcomes []*Outcome
	run := func(tenancy string, of ...string) [][]sim.TenantCall {
		var members []cell.Input
		for i, model := range of {
			members = append(members, cell.Input{Kind: "infer", ID: fmt.Sprint(i), Seed: uint64(len(outcomes)*2 + i), With: fmt.Appendf(nil, `{"model": %q, "tenancy": %q}`, model, tenancy)})
		}
		calls, _, err := sim.Tenants(m, members, sim.Together{Warmup: 30, Calls: 300, Rounds: 1})
		if err != nil {
			t.Fatal(err)
		}
		return calls
	}
	for _, tenancy := range tenancies {
		owns := map[string]*prediction.Baseline{}
		for _, model := range models {
			sequence, dims := 128, map[string]int64(nil)
			if model == "gpt2-decode" {
				sequence, dims = 1, map[string]int64{"past": 128}
			}
			in, out, err := prediction.Transfers(root, model, 1, sequence, dims)
			if err != nil {
				t.Fatal(err)
			}
			owns[model] = &prediction.Baseline{Model: model, In: in, Out: out, Calls: [][]int64{latencies(run(tenancy, model)[0])}, From: "sim"}
		}
		for i, a := range models {
			for _, b := range models[i:] {
				calls := run(tenancy, a, b)
				for k, two := range [][2]string{{a, b}, {b, a}} {
					if a == b && k > 0 {
						break
					}
					o := &Outcome{Tenancy: tenancy, Own: owns[two[0]], Beside: []*prediction.Baseline{owns[two[1]]}}
					of := latencies(calls[k])
					slices.Sort(of)
					for q, at := range Quantiles {
						o.Measured[q] = quantile(of, at)
					}
					outcomes = append(outcomes, o)
				}
			}
		}
	}
	return outcomes
}

func latencies(calls []sim.TenantCall) (ns []int64) {
	for _, c := range calls {
		ns = append(ns, c.Latency)
	}
	return ns
}

func machine(t testing.TB) func(string) *prediction.Machine {
	t.Helper()
	card, err := link.Read(filepath.Join(root, link.File("h100")))
	if err != nil {
		t.Fatal(err)
	}
	return func(tenancy string) *prediction.Machine { return prediction.FromCard(card, tenancy == "mps") }
}

// scored is what comes of pairs of both tenancies, once for all tests that read it.
var scored struct {
	sync.Once
	scores []*Score
	lesson *Lesson
	held   map[string]*Held
	err    error
}

func scoredOnce(t *testing.T) ([]*Score, *Lesson, map[string]*Held) {
	t.Helper()
	scored.Do(func() {
		scored.scores, scored.lesson, scored.held, scored.err = ScoreAll(machine(t), simulated(t, "process", "mps"))
	})
	if scored.err != nil {
		t.Fatal(scored.err)
	}
	return scored.scores, scored.lesson, scored.held
}

// Pairs that were left out are predicted, better than by doing nothing or by adding
// times, and intervals hold them.
func TestScoreAll(t *testing.T) {
	scores, x, _ := scoredOnce(t)
	all := Summaries(scores)
	if len(all) != 4 {
		t.Fatalf("%d summaries, want two quantiles of two tenancies", len(all))
	}
	for _, v := range all {
		if v.Outcomes != 36 || v.Error > Allowed[v.Quantile]/2 || v.Error > v.NoChange/2 || v.Error > v.Sum/2 || v.Inside < 30 || v.Worst == nil {
			t.Errorf("%+v", v)
		}
	}
	// Within 0.5% the slice of the simulated device is found again.
	if c := x.Tenancies["process"].Computing; c.Slice != 2e6 || c.Switch != 120e3 {
		t.Errorf("process: %+v", c)
	}
	if l := x.Tenancies["mps"]; l.Effects[0].Disturbs["unet"] <= l.Effects[0].Disturbs["bert-base-uncased"] {
		t.Errorf("unet takes twice the device of bert-base-uncased, and is said to disturb less: %+v", l.Effects[0])
	}
	// Of a pair that was recorded, that is taken too.
	var known []float64
	for _, s := range scores {
		p, _, err := Predict(machine(t)(s.Tenancy), s.group(), s.Tenancy, x)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, math.Abs(p[0].Estimates[1].Value/s.Measured[1]-1))
	}
	if e := middle(known); e > 0.005 || e > all[1].Error || e > all[3].Error {
		t.Errorf("p99 of pairs that were seen errs by %.2f%%, of others by %.2f%% and %.2f%%", 100*e, 100*all[1].Error, 100*all[3].Error)
	}
	var table, summary bytes.Buffer
	if err := errors.Join(WriteScores(&table, scores), Summarise(&summary, scores)); err != nil {
		t.Fatal(err)
	}
	if rows := strings.Count(table.String(), "\n"); rows != 1+len(scores)*2 {
		t.Errorf("%d rows of %d scores", rows, len(scores))
	}
	if rows := strings.Count(summary.String(), "\n"); rows != 2+len(all) {
		t.Errorf("%s", summary.String())
	}
}

// What was learned is the same after it was written and read.
func TestLesson(t *testing.T) {
	_, lesson, all := scoredOnce(t)
	x := &Lesson{}
	*x = *lesson
	x.Machine = "m"
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data/twin"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := result.Write(filepath.Join(dir, File("m")), x); err != nil {
		t.Fatal(err)
	}
	again, err := ReadLesson(dir, "m")
	if err != nil || !reflect.DeepEqual(x, again) {
		t.Errorf("%v: %+v, want %+v", err, again, x)
	}
	if none, err := ReadLesson(dir, "other"); err != nil || none != Unlearned {
		t.Errorf("%v, %v", none, err)
	}
	// Every pair of a set is predicted without having seen one, and so still well.
	held := all["mps"]
	set := []string{"gpt2", "minilm-l6", "unet"}
	unseen, err := held.Without(set)
	if err != nil || len(unseen.Predicted) != 9 || len(unseen.Measured) != 9 || len(unseen.Errors) != 36-9 {
		t.Fatalf("%+v, %v", unseen, err)
	}
	if e := middle(unseen.Errors); math.Abs(e) > 0.02 || slices.Max(unseen.Errors) < 0.02 || slices.Max(unseen.Errors) > 0.5 {
		t.Errorf("errors of other pairs: %v", unseen.Errors)
	}
	for two, p99 := range unseen.Predicted {
		if math.Abs(p99/unseen.Measured[two]-1) > 0.4 {
			t.Errorf("%v: %.3f ms, measured %.3f", two, p99/1e6, unseen.Measured[two]/1e6)
		}
	}
}

// Models of which each suffers times what another disturbs are found to, of pairs that were
// left out, where the simulation knows nothing of that; and processes in turns are not.
func TestProduct(t *testing.T) {
	var outcomes []*Outcome
	names := []string{"a", "b", "c", "d", "e", "f"}
	disturbs, suffers := []float64{0.3, 0.5, 0.4, 0.9, 1.4, 0.6}, []float64{1, 0.7, 1.4, 0.9, 1.1, 0.6}
	owns := make([]*prediction.Baseline, len(names))
	for i, name := range names {
		owns[i] = &prediction.Baseline{Model: name, In: []int64{1024}, Out: []int64{4096}, Calls: [][]int64{{int64(1e6 * (1 + i%3))}}, From: "here"}
	}
	for i, own := range owns {
		for k, beside := range owns {
			o := &Outcome{Tenancy: "mps", Own: own, Beside: []*prediction.Baseline{beside}}
			for q, at := range Quantiles {
				o.Measured[q] = own.Quantile(at) * (1 + suffers[i]*disturbs[k])
			}
			outcomes = append(outcomes, o)
		}
	}
	scores, x, _, err := ScoreAll(machine(t), outcomes)
	if err != nil {
		t.Fatal(err)
	}
	l := x.Tenancies["mps"]
	if l.Weights[0] != 1 || math.Abs(math.Exp(l.Product.Disturbs["e"]-l.Product.Disturbs["a"])/(1.4/0.3)-1) > 0.1 {
		t.Errorf("weights %v, %+v", l.Weights, l.Product)
	}
	for _, v := range Summaries(scores) { // what is left of errors is what effects are shrunk
		if v.Error > 0.02 || math.Abs(v.Worst.Error(v.Quantile)) > 0.06 {
			t.Errorf("errs by %.1f%%, and %s beside %s by %.1f%%", 100*v.Error, v.Worst.Own.Model, v.Worst.beside(), 100*v.Worst.Error(v.Quantile))
		}
	}
	if _, x, _ := scoredOnce(t); x.Tenancies["process"].Weights != [2]float64{} {
		t.Errorf("processes in turns: weights %v", x.Tenancies["process"].Weights)
	}
	// It is not taken for larger groups, nor beside a model of which nothing was learned.
	all := owns[:3]
	p, _, err := Predict(machine(t)("mps"), all, "mps", x)
	if err != nil {
		t.Fatal(err)
	}
	l.Weights = [2]float64{}
	without, _, err := Predict(machine(t)("mps"), all, "mps", x)
	if err != nil || !reflect.DeepEqual(p, without) {
		t.Errorf("three models: %+v with the product, %+v without (%v)", p, without, err)
	}
}

func TestPredict(t *testing.T) {
	own := func(name string, ms float64) *prediction.Baseline {
		return &prediction.Baseline{Model: name, In: []int64{1024}, Out: []int64{4096}, Calls: [][]int64{{int64(ms * 1e6)}}, From: "here"}
	}
	a, b := own("a", 1.2), own("b", 0.4)
	m := machine(t)("process")
	for name, tt := range map[string]struct {
		group   []*prediction.Baseline
		tenancy string
		want    []float64 // p50, ms
	}{
		"alone":                   {[]*prediction.Baseline{a}, "process", []float64{1.2}},
		"one after another":       {[]*prediction.Baseline{a, a}, "process", []float64{2.62, 2.62}},
		"two that differ":         {[]*prediction.Baseline{a, b}, "process", []float64{1.82, 1.82}},
		"at once":                 {[]*prediction.Baseline{a, a}, "mps", []float64{2.07, 2.07}},
		"three":                   {[]*prediction.Baseline{a, a, a}, "process", []float64{3.93, 3.93, 3.93}},
		"as threads as under MPS": {[]*prediction.Baseline{a, a}, "thread", []float64{2.07, 2.07}},
	} {
		p, doubts, err := Predict(m, tt.group, tt.tenancy, Unlearned)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.want {
			e := p[i].Estimates[0]
			if math.Abs(e.Value/1e6/want-1) > 0.03 || e.Low > e.Value || e.High < e.Value {
				t.Errorf("%s: model %d: %+v, want %.2f ms", name, i, e, want)
			}
		}
		if unsure := strings.Contains(strings.Join(doubts, " "), "no recorded pair"); unsure != (len(tt.group) > 1) {
			t.Errorf("%s: %q", name, doubts)
		}
	}
	if _, _, err := Predict(m, []*prediction.Baseline{a, b}, "vgpu", Unlearned); err == nil || !strings.Contains(err.Error(), `"vgpu"`) {
		t.Errorf("%v", err)
	}
	// A model of which no pair was seen says so, and has the wider interval.
	x := &Lesson{Tenancies: map[string]*Learned{"process": {Pairs: 9, Computing: Unlearned.Tenancies["process"].Computing}}}
	l := x.Tenancies["process"]
	for q := range Quantiles {
		l.Effects[q].Suffers = map[string]float64{"a": 0}
		l.Errors[q], l.Unseen[q] = Errors{[]float64{-0.01, 0}, []float64{0, 0.01}, []float64{-0.01, 0.01}}, Errors{[]float64{-0.2, 0}, []float64{0, 0.2}, []float64{-0.2, 0.2}}
	}
	p, doubts, err := Predict(m, []*prediction.Baseline{a, b}, "process", x)
	if e := p[0].Estimates[0]; err != nil || e.High < 1.2*e.Value || !strings.Contains(strings.Join(doubts, " "), "holds b") {
		t.Errorf("%+v, %q, %v", e, doubts, err)
	}
	// What is drawn in the place of a value errs as other predictions did, or, where none tells, is
	// in the interval; alone, and of a pair that was recorded, nothing errs.
	drawn := func(x *Lesson, group ...*prediction.Baseline) []float64 {
		p, _, err := Predict(m, group, "process", x)
		if err != nil {
			t.Fatal(err)
		}
		var by []float64
		for rng := rand.New(rand.NewPCG(1, 1)); len(by) < 500; {
			by = append(by, math.Log(p[0].Draw(1, rng)/p[0].Estimates[1].Value))
		}
		slices.Sort(by)
		return slices.Compact(by)
	}
	for name, tt := range map[string]struct {
		drawn      []float64
		values     int // 0: many
		least, big float64
	}{
		"alone":          {drawn(x, a), 1, 0, 0},
		"seen":           {drawn(x, a, a), 2, -0.01, 0.01},
		"unseen":         {drawn(x, a, b), 2, -0.2, 0.2},
		"nothing learnt": {drawn(Unlearned, a, b), 0, math.Log(1.2 / 1.82), 0},
	} {
		least, big := tt.drawn[0], tt.drawn[len(tt.drawn)-1]
		if math.Abs(least-tt.least) > 0.03 || math.Abs(big-tt.big) > 0.03 || tt.values > 0 && len(tt.drawn) != tt.values || tt.values == 0 && len(tt.drawn) < 300 {
			t.Errorf("%s: %d values from %g to %g, want %+v", name, len(tt.drawn), least, big, tt.least)
		}
	}
	for q := range Quantiles {
		l.Effects[q].Pairs = map[string]float64{"a+a": 0}
	}
	if by := drawn(x, a, a); len(by) != 1 || by[0] != 0 {
		t.Errorf("a recorded pair errs: %v", by)
	}
}

func ExamplePredict() {
	card, err := link.Read(filepath.Join(root, link.File("h100")))
	if err != nil {
		fmt.Println(err)
		return
	}
	model := &prediction.Baseline{Model: "a model", In: []int64{1024}, Out: []int64{4096}, Calls: [][]int64{{1_200_000}}, From: "a recording"}
	p, _, err := Predict(prediction.FromCard(card, false), []*prediction.Baseline{model, model}, "process", Unlearned)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("predicted: %.1f ms, alone %.1f\n", p[0].Estimates[0].Value/1e6, p[0].Alone[0]/1e6)
	// Output: predicted: 2.6 ms, alone 1.2
}

// What cannot have been learned is refused at its place.
func TestReadLessonRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data/twin"), 0o777); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(l *Learned){
		"all is 1e+09, in logarithms":      func(l *Learned) { l.Effects[1].All = 1e9 },
		"unet is -8, in logarithms":        func(l *Learned) { l.Effects[0].Suffers["unet"] = -8 },
		"gpt2+unet is 8, in logarithms":    func(l *Learned) { l.Effects[0].Pairs["gpt2+unet"] = 8 },
		"of_high is 1e+06, in logarithms":  func(l *Learned) { l.Errors[0].Above[2] = 1e6 },
		"of_low does not ascend: 0.1":      func(l *Learned) { l.Unseen[1].Below[0] = 1 },
		"of_low holds 3 errors, and of_hi": func(l *Learned) { l.Errors[1].Above = []float64{} },
		"of_low holds 2 errors, and of_va": func(l *Learned) { l.Unseen[0].About = []float64{} },
		"of_high is null":                  func(l *Learned) { l.Errors[1].Above = nil },
		"suffers is null":                  func(l *Learned) { l.Effects[0].Suffers = nil },
		"crowding_power is 30: want 0 to":  func(l *Learned) { l.Computing.Power = 30 },
		"unet is 9, in logarithms: want 7": func(l *Learned) { l.Product.Disturbs = map[string]float64{"unet": 9} },
		"product_weights is 1.5: want 0 t": func(l *Learned) { l.Weights[1] = 1.5 },
		"slice_ns is -1: want 0 to 1e+09":  func(l *Learned) { l.Computing.Slice = -1 },
	} {
		l := &Learned{Pairs: 3, Computing: twin.Computing{Weight: 0.4, Power: crowdingPower}, Product: Effects{Suffers: map[string]float64{}, Disturbs: map[string]float64{}}}
		for q := range Quantiles {
			l.Effects[q] = Effects{All: 0.1, Suffers: map[string]float64{"unet": 0.1}, Disturbs: map[string]float64{"unet": 0.1}, Pairs: map[string]float64{}}
			l.Errors[q] = Errors{Below: []float64{-0.1, 0, 0.1}, Above: []float64{-0.1, 0, 0.1}, About: []float64{-0.1, 0, 0.1}}
			l.Unseen[q] = Errors{Below: []float64{0, 0.1}, Above: []float64{0, 0.1}, About: []float64{0, 0.1}}
		}
		x := &Lesson{Machine: "m", Tenancies: map[string]*Learned{"mps": l}}
		path := filepath.Join(dir, File("m"))
		for _, wrong := range []bool{false, true} {
			if wrong {
				spoil(l)
			}
			if err := result.Write(path, x); err != nil {
				t.Fatal(err)
			}
			_, err := ReadLesson(dir, "m")
			if wrong && (err == nil || !regexp.MustCompile(regexp.QuoteMeta(path)+`:\d+:\d+: `+regexp.QuoteMeta(want)).MatchString(err.Error())) || !wrong && err != nil {
				t.Errorf("%s: %v", want, err)
			}
		}
	}
}
