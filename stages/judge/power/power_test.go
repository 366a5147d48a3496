package power

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

func TestForesee(t *testing.T) {
	planned := func(rates []string, calls int) *cell.Spec {
		s := &cell.Spec{ID: "analyse", Seed: 1}
		for i, rate := range rates {
			for r := range 10 {
				point := cell.Point{{Axis: "level", Value: int64(i)}, {Axis: "replicate", Value: int64(r + 1)}}
				id := "infer" + point.String()
				threads := 4
				if i == 0 {
					threads = 0
				}
				s.Inputs = append(s.Inputs,
					cell.Input{Stage: "stress", Kind: "stress", ID: "stress", During: id, With: json.RawMessage(fmt.Sprintf(`{"threads": %d, "block": "4MiB", "outstanding": 1, "rate": %q}`, threads, rate))},
					cell.Input{Stage: "infer", Kind: "infer", ID: id, Point: point, With: json.RawMessage(fmt.Sprintf(`{"calls": %d}`, calls))})
			}
		}
		s.Inputs = append(s.Inputs, cell.Input{Stage: "calibrate", Kind: "stress", ID: "calibrate", With: json.RawMessage("{}")})
		return s
	}
	for _, c := range []struct {
		rates []string
		calls int
		says  string
		not   string
	}{
		{[]string{"max", "max", "max", "max", "max", "max"}, 300, "1 levels below 95% utilisation", "would identify"},
		{[]string{"max", "15%", "30%", "50%", "70%", "90%"}, 300, "replicates 1% apart, up to 4 times as long: this design would identify linear, exponential, queueing", "p99 of"},
		{[]string{"max", "5GB/s", "max", "max", "max", "max"}, 40, "p99 of a replicate needs 299 calls, and there are 40", "would identify"},
	} {
		got, err := Foresee(planned(c.rates, c.calls))
		if err != nil || !strings.Contains(got, c.says) || strings.Contains(got, c.not) || !strings.Contains(got, "6 levels of at least 10 replicates") {
			t.Errorf("%v, %d calls: %v\n%s", c.rates, c.calls, err, got)
		}
	}
	// Trials that the notebook leaves out say nothing of what it can tell.
	some := planned([]string{"max", "15%", "30%", "50%", "70%", "90%"}, 300)
	for i, in := range some.Inputs {
		if in.Kind == "infer" && in.Point[0].Value == int64(5) {
			some.Inputs[i].Point = append(in.Point, cell.Coordinate{Axis: "block", Value: "64KiB"}, cell.Coordinate{Axis: "bytes", Value: int64(1 << 24)})
		}
	}
	for with, says := range map[string]string{
		`{}`: "6 levels", `{"where": {"block": "", "model": "bert"}}`: "5 levels", `{"where": {"block": "64KiB"}}`: "1 levels", `{"where": {"level": 1}}`: "1 levels", `{"where": {"bytes": 16777216}}`: "1 levels",
	} {
		some.With = json.RawMessage(with)
		if got, err := Foresee(some); err != nil || !strings.HasPrefix(got, says) {
			t.Errorf("%s: %v\n%s", with, err, got)
		}
	}
	if _, err := Foresee(&cell.Spec{ID: "analyse"}); err == nil {
		t.Error("no inference: no error")
	}
	bad := planned([]string{"max"}, 300)
	bad.Inputs[0].With = json.RawMessage(`{"rate": "fast"}`)
	if _, err := Foresee(bad); err == nil || !strings.Contains(err.Error(), "stress") {
		t.Errorf("a rate that is none: %v", err)
	}
}
