package report

import (
	"reflect"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/study"
)

func TestCitation(t *testing.T) {
	cited, err := works("../..")
	if err != nil || len(cited) != 2 || !strings.HasPrefix(cited[1].Text, "Aiza Maksutova. GPU resources management") {
		t.Errorf("%+v, %v", cited, err)
	}
	if works, err := works("none"); err != nil || works != nil {
		t.Errorf("%+v, %v", works, err)
	}
}

// TestSimulatedVerdict: what a simulation says is grey and says so, and the page says
// where and when what it shows was measured.
func TestSimulatedVerdict(t *testing.T) {
	s := &Side{Head: &record.Head{}, Machine: cell.Machine{Name: "sim"}, Span: [2]int64{1e18, 1e18 + 60e9}, plan: &plan.Plan{Study: &study.Study{}}}
	s.Verdicts = []cell.Verdict{{ID: "C1", Verdict: cell.Reproduced}}
	page := func() string {
		var b strings.Builder
		if err := layout.Execute(&b, map[string]any{"Study": s.plan.Study, "Sides": []*Side{s}, "Claims": claims([]cell.Claim{{ID: "C1"}}, []*Side{s})}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, says := range []string{`<span class="verdict reproduced">reproduced</span>`, "Measured on sim, from 2001-09-09 01:46:40 to 2001-09-09 01:47:40 UTC."} {
		if !strings.Contains(page(), says) {
			t.Errorf("measured: no %s", says)
		}
	}
	s.Notices = [][2]string{{"SIMULATED", ""}}
	for _, says := range []string{`<span class="verdict simulated">reproduced, simulated</span>`, "SIMULATED, not measured, on sim"} {
		if !strings.Contains(page(), says) {
			t.Errorf("simulated: no %s", says)
		}
	}
}

// TestRows: a table of text becomes cells, which a phone can wrap.
func TestRows(t *testing.T) {
	got := rows("level  p50 ms [95%]\n0      9.9 [9.8, 10.0]\na caption")
	if want := [][]string{{"level", "p50 ms [95%]"}, {"0", "9.9 [9.8, 10.0]"}, {"a caption"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
