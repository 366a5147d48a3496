package recording

import (
	"encoding/json"
	"strings"
	"testing"

	"barograph/stages/result"
)

func TestGates(t *testing.T) {
	var r Run
	if err := json.Unmarshal([]byte(`{"trials": [{"infer": {}}, {"infer": {"gpu": {}}},
		{"infer": {"gpu": {"invalid": ["the link replayed 2 packets", "it was throttled"]}}}]}`), &r); err != nil {
		t.Fatal(err)
	}
	if got := r.Gates(); !strings.Contains(got, "1 of 3 trials") || !strings.Contains(got, "replayed 2 packets; it was throttled") {
		t.Errorf("Gates() = %q", got)
	}
	r.Trials = r.Trials[:2]
	if got := r.Gates(); got != "" {
		t.Errorf("Gates() = %q without a failure", got)
	}
}

// TestLost: a recording may count delays from before its window, and no wait is
// longer than the time that was timed.
func TestLost(t *testing.T) {
	r := Run{Trials: []*Trial{{Infer: result.Infer{Window: [2]int64{100, 200}, Delay: 483}}, {Infer: result.Infer{Window: [2]int64{300, 600}}}}}
	if lost := r.Lost(); lost != 0.25 {
		t.Error(lost)
	}
}
