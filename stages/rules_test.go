package stages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rules lists the rules of the project's measuring page: where each is code, in a
// file that names it, and which tests hold it to its word.
var rules = []struct {
	number int
	rule   string
	code   []string // file: what to look for there
	tests  []string // file: name
}{
	{1, "latency runs from the scheduled arrival", []string{"kind/infer/loop.go: func (s Sample) Latency"}, []string{"kind/infer/schedule_test.go: TestOpenLoopShowsStall", "kind/infer/infer_test.go: TestLoopShowsStall"}},
	{2, "arrivals, their seed and schedule stored", []string{"kind/infer/schedule.go: func (w *With) schedule"}, []string{"kind/infer/schedule_test.go: TestSchedules"}},
	{3, "raw samples are kept as integer nanoseconds", []string{"kind/collect/samples.go: func splice"}, []string{"kind/collect/collect_test.go: TestNothingIsLost", "kind/collect/collect_test.go: FuzzSplice"}},
	{4, "no percentile without enough samples; MLPerf's counts", []string{"stats/stats.go: func Needed", "stats/stats.go: func MLPerf"}, []string{"stats/stats_test.go: TestTooFewSamplesAreRefused", "stats/stats_test.go: TestMLPerf", "judge/judge_test.go: TestCountsOfMLPerf"}},
	{5, "DKW-Massart bands", []string{"stats/ecdf.go: func DKW", "figure/ecdf.go: band"}, []string{"stats/stats_test.go: TestSimulatedCoverageOfDKWBand"}},
	{6, "autocorrelation and effective n", []string{"stats/dependence.go: func EffectiveN", "stats/estimate.go: func Estimates"}, []string{"stats/stats_test.go: TestDependence", "stats/stats_test.go: TestSimulatedCoverageOfBootstrap"}},
	{7, "order statistics, hierarchical bootstrap, replicates from a pilot", []string{"stats/quantile.go: Interval(q, confidence", "stats/bootstrap.go: func BootstrapQuantile"}, []string{"stats/stats_test.go: TestSimulatedCoverageOfQuantileIntervals", "stats/growth_test.go: TestDesigns", "judge/power_test.go: TestForesee"}},
	{8, "the shift function, corrected for multiplicity", []string{"stats/shift.go: func ShiftFunction", "stats/adjust.go: func Holm"}, []string{"stats/stats_test.go: TestSimulatedCoverageOfShift", "stats/adjust_test.go: TestAdjustedAgreeWithR", "judge/judge_test.go: TestLevelsByThemselves"}},
	{9, "order drawn in blocks, baseline drift", []string{"stats/drift.go: func BaselineDrift"}, []string{"stats/stats_test.go: TestBaselineDrift", "../pipeline/plan/plan_test.go: TestOrder"}},
	{10, "validity gates", []string{"judge/run.go: func (r *Run) Gates", "judge/judge.go: func (r *Report) validity"}, []string{"judge/gates_test.go: TestGates", "device/nvml/nvml_test.go: TestJudge"}},
	{11, "achieved utilisation over a named denominator", []string{"kind/collect/collect.go: func (r *Run) capacity"}, []string{"kind/collect/collect_test.go: TestUtilisation"}},
	{12, "growth laws", []string{"stats/growth.go: func Grow"}, []string{"stats/growth_test.go: TestFitsAgreeWithSciPy", "stats/growth_test.go: TestSimulatedLawsAreRecovered", "judge/judge_test.go: TestSimulatedVerdicts"}},
	{13, "the confusion matrix", []string{"stats/identify.go: func (d Design) Confuse"}, []string{"stats/growth_test.go: TestDesigns"}},
	{14, "null controls", []string{"judge/nothing.go: func (r *Report) Nothing"}, []string{"judge/nothing_test.go: TestSimulatedControls", "kind/stress/stress_test.go: TestSimulatedControls"}},
	{15, "hash, environment and samples together; figures from them alone", []string{"kind/collect/collect.go: rule 15"}, []string{"kind/collect/collect_test.go: TestGolden", "notebook/figures_test.go: TestFigures", "../pipeline/record/recording_test.go: TestSealSurvivesAnyByteChange"}},
}

// The table is true: code and tests are where it says, and the code names its rule.
func TestRules(t *testing.T) {
	if len(rules) != 15 {
		t.Fatalf("%d rules", len(rules))
	}
	text := func(entry string) (string, string) {
		file, what, _ := strings.Cut(entry, ": ")
		b, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Error(err)
		}
		return string(b), what
	}
	for i, r := range rules {
		if r.number != i+1 || r.rule == "" || len(r.code) == 0 || len(r.tests) == 0 {
			t.Errorf("rule %d is not held: %+v", i+1, r)
		}
		named := regexp.MustCompile(fmt.Sprintf(`rules? ([0-9]+(, | and ))*%d\b`, r.number))
		for _, entry := range r.code {
			source, what := text(entry)
			if !strings.Contains(source, what) || !named.MatchString(source) {
				t.Errorf("rule %d: %s is not there, or its file does not name the rule", r.number, entry)
			}
		}
		for _, entry := range r.tests {
			if source, name := text(entry); !strings.Contains(source, "func "+name+"(t *testing.T") && !strings.Contains(source, "func "+name+"(f *testing.F") {
				t.Errorf("rule %d: no test %s", r.number, entry)
			}
		}
	}
}
