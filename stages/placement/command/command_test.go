package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/link"
	"barograph/stages/prediction"
	"barograph/stages/prediction/pair"
)

// run gives the command's words in this project's own workspace.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	c := Command()
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}

const few = "../../../data/models/h100" // read in a fifth of the time that all take

func TestPlace(t *testing.T) {
	for _, tenancy := range []string{"process", "mps"} {
		out, err := run("bert-base-uncased", "resnet50", "gpt2", "unet", "--gpus", "2", "--machine", "h100", "--tenancy", tenancy, "--slo", "20x", "--slo", "unet=1s", "--json", "--risk", "1")
		if err != nil {
			t.Fatal(err)
		}
		var r report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		var placed []string
		for _, g := range r.Groups {
			if g.Memory < 1<<30 || g.Memory > r.Memory {
				t.Errorf("GPU %d: %d bytes of %d", g.GPU, g.Memory, r.Memory)
			}
			for _, x := range g.Tenants {
				placed = append(placed, x.Model)
				if !x.Keeps || x.P99.Low > x.P99.Value || x.P99.High < x.P99.Value || x.P99.Value < x.P50.Value || x.Alone > x.P99.Value {
					t.Errorf("%+v", x)
				}
				if want := 20 * x.Alone; x.Model == "unet" && x.Limit != 1e9 || x.Model != "unet" && math.Abs(x.Limit/want-1) > 1e-9 {
					t.Errorf("limit of %+v", x)
				}
			}
		}
		slices.Sort(placed)
		if !r.Predicted || !r.Keeps || !slices.Equal(placed, []string{"bert-base-uncased", "gpt2", "resnet50", "unet"}) || len(r.Groups) != 2 {
			t.Errorf("%s", out)
		}
		if r.FirstFit == nil || r.Worst > r.FirstFit.Worst || r.Random == nil || r.Worst > r.Random.Worst || r.Random.Placements != draws {
			t.Errorf("worst %g, first-fit %+v, random %+v", r.Worst, r.FirstFit, r.Random)
		}
	}
	// Of two models on each of two GPUs all was recorded, and nothing is at risk. Of more, what is
	// predicted to be hardly better is not proposed.
	two, err := run("gpt2", "unet", "resnet50", "bert-large-uncased", "--gpus", "2", "--most", "2", "--machine", "h100", "--samples", few, "--tenancy", "mps", "--json")
	if err != nil || !strings.Contains(two, `"risk": 0,`) || strings.Contains(two, "best_predicted") {
		t.Errorf("%v\n%s", err, two)
	}
	six := []string{"gpt2", "unet", "resnet50", "vit-base-patch16", "bert-base-uncased", "bert-large-uncased", "--gpus", "2", "--most", "3", "--machine", "h100", "--samples", few, "--tenancy", "mps", "--json"}
	for _, risk := range []string{"0", "1"} {
		out, err := run(append(six, "--risk", risk)...)
		var r report
		if err := errors.Join(err, json.Unmarshal([]byte(out), &r)); err != nil {
			t.Fatal(err)
		}
		left := r.Best == nil
		if r.Risk <= 0 || r.Risk >= 1 || left != (risk == "1") || left != (r.Worst < r.FirstFit.Worst) || !left && (r.Worst != r.FirstFit.Worst || r.Best.Worst >= r.Worst || !strings.HasPrefix(r.Doubts[len(r.Doubts)-1], "first-fit is proposed: what is predicted best")) {
			t.Errorf("--risk %s: %s", risk, out)
		}
	}
	// More GPUs than models: each has one of its own, and nothing is slower than alone.
	out, err := run("gpt2,gpt2", "--gpus", "3", "--machine", "h100")
	if err != nil || !strings.HasPrefix(out, "PREDICTED, not measured") || !strings.Contains(out, "left over: 1 of 3 GPUs") || !strings.Contains(out, "over its p99 alone: 1.00") {
		t.Errorf("%v\n%s", err, out)
	}
	// What cannot be kept is said, with the best there is.
	out, err = run("gpt2", "unet", "--gpus", "1", "--machine", "h100", "--slo", "gpt2=1ms")
	if err == nil || !strings.Contains(err.Error(), "no placement keeps every limit: in the best one p99 of gpt2 is") || !strings.Contains(out, "EXCEEDS 1.000") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Models of a machine on which only the study of everything measured them are found there.
func TestPlaceOfMatrix(t *testing.T) {
	out, err := run("bert-base-uncased", "resnet50", "--gpus", "2", "--machine", "h200")
	if err != nil || !strings.Contains(out, "alone: data/matrix/h200\n") {
		t.Errorf("%v\n%s", err, out)
	}
	// Of h100 others hold more of the same.
	if out, err = run("bert-base-uncased", "resnet50", "--gpus", "2", "--machine", "h100"); err != nil || !strings.Contains(out, "alone: data/colocation/h100\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPlaceRefuses(t *testing.T) {
	card, err := os.ReadFile("../../../data/link/h200.json")
	if err != nil {
		t.Fatal(err)
	}
	unrecorded := filepath.Join(t.TempDir(), "z9.json")
	if err := os.WriteFile(unrecorded, bytes.Replace(card, []byte(`"machine": "h200"`), []byte(`"machine": "z9"`), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string // in the message or its hint
	}{
		{[]string{"gpt2", "--gpus", "0", "--machine", "h100"}, "invalid argument 0 for --gpus"},
		{[]string{"gpt2", "--gpus", "1", "--most", "0", "--machine", "h100"}, "invalid argument 0 for --most"},
		{[]string{"gpt2", "--gpus", "1", "--risk", "5", "--machine", "h100"}, "invalid argument 5 for --risk: want 0 to 1"},
		{[]string{"gpt2", "--gpus", "1", "--risk", "NaN", "--machine", "h100"}, "invalid argument NaN for --risk"},
		{[]string{"gpt2", "--machine", "h100"}, `required flag(s) "gpus" not set`},
		{[]string{"gpt2", "--gpus", "1"}, "no machine to place models on"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "z9"}, `machine "z9" has no link card`},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h200", "--link", "../../../data/link/h100.json"}, "is the card of machine h100, not of h200"},
		{[]string{"gpt2", "--gpus", "1", "--link", "nowhere.json"}, "read a link card"},
		{[]string{"nope", "--gpus", "1", "--machine", "h100", "--samples", few}, `model "nope"`},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--batch", "7"}, "no recording of models"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", few, "--slo", "5"}, "missing unit"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", few, "--slo", "-5ms"}, "no time above 0"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", few, "--slo", "0.5x"}, "no factor from 1x"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", few, "--slo", "NaNx"}, "no factor from 1x"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", few, "--slo", "unet=5ms"}, "unet is not among the models"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--tenancy", "vgpu"}, `unknown tenancy "vgpu"`},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--memory", "much"}, "write it as 16GiB"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", few, "--memory", "1GiB"}, "gpt2: it takes"},
		{[]string{"gpt2", "unet", "--gpus", "1", "--machine", "h100", "--samples", few, "--memory", "3GiB"}, "in no way does every group fit"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", "../../../data/nothing"}, "no such file"},
		{[]string{"gpt2", "--gpus", "1", "--machine", "h100", "--samples", "../../../data/models/host"}, "is a recording of machine host, not of h100"},
		{strings.Fields("gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 gpt2 --gpus 5 --machine h100"), "at most 16"},
		{[]string{"score"}, "no link card to score by"},
		{[]string{"score", "--link", unrecorded}, "no recording of models beside others"},
	} {
		out, err := run(tt.args...)
		if err == nil || !strings.Contains(err.Error()+" "+cell.HintOf(err), tt.want) {
			t.Errorf("%v: %v, want %q\n%s", tt.args, err, tt.want, out)
		}
	}
}

// outcomes are of models of which the odd ones disturb others more and suffer less, by a rule
// that holds for every pair.
func outcomes(models int) (all []*pair.Outcome) {
	disturbs, suffers := map[string]float64{}, map[string]float64{}
	for i := range models {
		name := fmt.Sprint("m", i)
		disturbs[name], suffers[name] = []float64{0.05, 0.35}[i%2]+0.001*float64(i), []float64{0.2, 0}[i%2]
	}
	owns := map[string]*prediction.Baseline{}
	var names []string
	for name := range disturbs {
		owns[name] = &prediction.Baseline{Model: name, In: []int64{1024}, Out: []int64{4096}, Calls: [][]int64{{1e6}}, From: "here"}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, a := range names {
		for _, b := range names {
			o := &pair.Outcome{Tenancy: "mps", Own: owns[a], Beside: []*prediction.Baseline{owns[b]}}
			for q := range o.Measured {
				o.Measured[q] = 1e6 * (1 + 0.1*float64(q)) * math.Exp(disturbs[b]+suffers[a])
			}
			o.Apart = map[string]float64{"1": 0.9 * o.Measured[1] / 1e6, "2": 1.1 * o.Measured[1] / 1e6}
			all = append(all, o)
		}
	}
	return all
}

// Proposals that have seen no two models of a set on one GPU are the best there is where
// models disturb by a rule, and the loud ones end up together.
func TestTrials(t *testing.T) {
	card, err := link.Read("../../../data/link/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	recorded := outcomes(6)
	_, _, held, err := pair.ScoreAll(func(string) *prediction.Machine { return prediction.FromCard(card, true) }, recorded)
	if err != nil {
		t.Fatal(err)
	}
	all, err := trials(held["mps"], "mps", recorded)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 15 {
		t.Fatalf("%d sets of 4 of 6 models", len(all))
	}
	for _, set := range all {
		for _, x := range set {
			best := x.worst(x.choice.Best)
			if best > 1.01*x.best || best > 1.01*x.firstFit || best > 1.01*x.mean {
				t.Errorf("%+v", x)
			}
			apart := x.apart(x.choice.Best)
			if ahead := always(apart, func(by float64) bool { return by < 1 }); len(apart) != 2 || ahead != (best < x.firstFit) || always(apart, func(by float64) bool { return by > 1 }) {
				t.Errorf("in replicates %v of %+v", apart, x)
			}
		}
	}
	differ := []float64{0.9, 1.1} // one way and the other
	if either := func(float64) bool { return true }; !always(differ, either) || always(differ, func(by float64) bool { return by < 1 }) {
		t.Error("replicates that differ are taken for one way")
	}
	// Of two loud ones and two quiet ones first-fit has loud ones beside quiet ones in two of three
	// orders. Of three of a kind nothing can be bettered.
	for _, r := range rules {
		c := count(all, r)
		if c.worse > 0 || c.anyWorse > 0 || c.better > c.anyBetter || c.anyBetter != 2*9 || c.ahead < c.better {
			t.Errorf("%s: %+v", r.name, c)
		}
	}
	var b strings.Builder
	if err := compare(&b, "mps", all); err != nil {
		t.Fatal(err)
	}
	if rows := strings.Count(b.String(), "\n"); rows != 1+2+len(rules)+1+2+shown {
		t.Errorf("%s", b.String())
	}
}
