package stats

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mathext"
	"pgregory.net/rapid"

	"barograph/pipeline/cell/filetest"
)

// reference holds values from SciPy and from brute force; testdata/reference.py
// says how they were got.
type reference struct {
	Sample    []int64
	Intervals []struct {
		N                    int
		Q                    float64
		Low, High, Value, HD float64
	}
	HD99, Lag1 float64
	Binomial   []struct {
		K, N   int
		P, CDF float64
	}
	Jonckheere []struct {
		Groups           [][]float64
		Tied             bool
		J, Exact, Normal float64
	}
}

func loadReference(t *testing.T) (r reference) {
	t.Helper()
	b := filetest.Read(t, "testdata/reference.json")
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func near(a, b, relative float64) bool {
	return math.Abs(a-b) <= relative*math.Max(math.Abs(a), math.Abs(b))
}

// harrellDavis is Harrell and Davis's quantile, one order statistic after another.
func harrellDavis(sorted []int64, q float64) (sum float64) {
	n := float64(len(sorted))
	a, b := (n+1)*q, (n+1)*(1-q)
	before := 0.0
	for i, x := range sorted {
		upTo := mathext.RegIncBeta(a, b, float64(i+1)/n)
		sum += (upTo - before) * float64(x)
		before = upTo
	}
	return sum
}

func TestQuantilesAgreeWithSciPy(t *testing.T) {
	ref := loadReference(t)
	for _, want := range ref.Intervals {
		e, err := NewECDF(ref.Sample[:want.N])
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Interval(want.Q, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		if got.Value != want.Value || got.Low != want.Low || got.High != want.High {
			t.Errorf("n=%d q=%v: got %v [%v, %v], SciPy %v [%v, %v]", want.N, want.Q, got.Value, got.Low, got.High, want.Value, want.Low, want.High)
		}
		if hd := harrellDavis(e.Sorted(), want.Q); !near(hd, want.HD, 1e-9) {
			t.Errorf("n=%d q=%v: Harrell-Davis %v, SciPy %v", want.N, want.Q, hd, want.HD)
		}
	}
	e, _ := NewECDF(ref.Sample)
	if hd := harrellDavis(e.Sorted(), 0.99); !near(hd, ref.HD99, 1e-9) {
		t.Errorf("Harrell-Davis p99 %v, SciPy %v", hd, ref.HD99)
	}
	if r := Lag1([][]int64{ref.Sample}); !near(r, ref.Lag1, 1e-9) {
		t.Errorf("lag-1 autocorrelation %v, NumPy %v", r, ref.Lag1)
	}
	for _, want := range ref.Binomial {
		if got := binomialCDF(want.K, want.N, want.P); !near(got, want.CDF, 1e-7) {
			t.Errorf("P(B <= %d), B binomial(%d, %v): got %v, SciPy %v", want.K, want.N, want.P, got, want.CDF)
		}
	}
}

// The counts of rule 4.
func TestNeeded(t *testing.T) {
	for q, want := range map[float64]int{0.5: 5, 0.9: 29, 0.1: 29, 0.95: 59, 0.99: 299, 0.01: 299, 0.999: 2995} {
		if got := Needed(q, 0.95); got != want {
			t.Errorf("%s needs %d, want %d", Name(q), got, want)
		}
	}
}

func TestMLPerf(t *testing.T) {
	for q, want := range map[float64]int{0.9: 24_576, 0.95: 57_344, 0.99: 270_336} {
		if got := MLPerf(q); got != want {
			t.Errorf("%s: %d, the rules say %d", Name(q), got, want)
		}
	}
}

func TestTooFewSamplesAreRefused(t *testing.T) {
	for _, c := range []struct {
		n     int
		q     float64
		doubt string
	}{
		{298, 0.99, "n too small: p99 needs 299 samples, has 298"},
		{299, 0.99, ""},
		{2994, 0.999, "n too small: p99.9 needs 2995 samples, has 2994"},
		{2995, 0.999, ""},
		{298, 0.01, "n too small: p1 needs 299 samples, has 298"},
		{4, 0.5, "n too small: p50 needs 5 samples, has 4"},
		{5, 0.5, "n too small: no 95% interval for p50 from 5 samples"},
		{6, 0.5, ""},
		{1, 0.5, "n too small: p50 needs 5 samples, has 1"},
	} {
		samples := make([]int64, c.n)
		for i := range samples {
			samples[i] = int64(c.n - i)
		}
		qs, err := Quantiles(samples, []float64{c.q}, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		got := qs[0]
		if got.Doubt != c.doubt {
			t.Errorf("n=%d %s: doubt %q, want %q", c.n, Name(c.q), got.Doubt, c.doubt)
		}
		if valued := !math.IsNaN(got.Value); valued != (c.n >= Needed(c.q, 0.95)) {
			t.Errorf("n=%d %s: value %v", c.n, Name(c.q), got.Value)
		}
		if whole := c.doubt == ""; whole != (got.Confidence >= 0.95 && got.Low <= got.Value && got.Value <= got.High) {
			t.Errorf("n=%d %s: %+v", c.n, Name(c.q), got)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("n=%d %s: %v", c.n, Name(c.q), err)
		}
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	one := []int64{1}
	e, _ := NewECDF(one)
	for name, f := range map[string]func() error{
		"no samples":      func() error { _, err := NewECDF(nil); return err },
		"q = 0":           func() error { _, err := e.Interval(0, 0.95); return err },
		"q = NaN":         func() error { _, err := e.Interval(math.NaN(), 0.95); return err },
		"confidence = 1":  func() error { _, err := e.Interval(0.5, 1); return err },
		"no replicates":   func() error { _, err := BootstrapQuantile(nil, 0.5, Bootstrap{}); return err },
		"empty replicate": func() error { _, err := BootstrapQuantile([][]int64{{}}, 0.5, Bootstrap{}); return err },
		"3 draws":         func() error { _, err := BootstrapQuantile([][]int64{one}, 0.5, Bootstrap{Draws: 3}); return err },
		"ratio to zero": func() error {
			_, err := BootstrapRatio([][]int64{{0, 1}}, [][]int64{one}, 0.5, Bootstrap{})
			return err
		},
		"empty baseline":  func() error { _, err := BaselineDrift([][]int64{one, {}}, 0.95, 0.05); return err },
		"negative margin": func() error { _, err := BaselineDrift([][]int64{one, one}, 0.95, -1); return err },
		"one group":       func() error { _, err := JonckheereTerpstra([][]float64{{1}}, 0, 0); return err },
		"empty group":     func() error { _, err := JonckheereTerpstra([][]float64{{1}, {}}, 0, 0); return err },
		"NaN in a group":  func() error { _, err := JonckheereTerpstra([][]float64{{1}, {math.NaN()}}, 0, 0); return err },
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDKW(t *testing.T) {
	// Rule 5's own figures.
	if got := DKW(300, 0.95); math.Abs(got-0.078) > 0.0005 {
		t.Errorf("n=300: %v", got)
	}
	if got := DKW(10_000, 0.95); math.Abs(got-0.0136) > 0.00005 {
		t.Errorf("n=10000: %v", got)
	}
	for _, n := range []float64{0, -1, math.NaN()} {
		if got := DKW(n, 0.95); got != 1 {
			t.Errorf("n=%v: %v", n, got)
		}
	}
}

func TestECDFProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Int64Range(-20, 20), 1, 60).Draw(t, "samples")
		q := rapid.Float64Range(0.001, 0.999).Draw(t, "q")
		e, err := NewECDF(samples)
		if err != nil {
			t.Fatal(err)
		}
		x := e.Quantile(q)
		if e.At(x) < q-1e-9 || e.At(x-1) >= q+1e-9 {
			t.Fatalf("quantile %v is %d: F = %v there and %v before", q, x, e.At(x), e.At(x-1))
		}
		if e.At(math.MaxInt64) != 1 || e.At(math.MinInt64) != 0 {
			t.Fatal("the distribution does not run from 0 to 1")
		}
		hd := harrellDavis(e.Sorted(), q)
		if s := e.Sorted(); hd < float64(s[0])-1e-6 || hd > float64(s[len(s)-1])+1e-6 {
			t.Fatalf("Harrell-Davis %v outside the sample", hd)
		}
		i, err := e.Interval(q, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		if i.Doubt == "" && !(i.Low <= i.Value && i.Value <= i.High && i.Confidence >= 0.95 && i.LowRank <= i.HighRank) {
			t.Fatalf("%+v", i)
		}
	})
}

// The coverage that ranks claims, counted on draws from a uniform
// distribution, whose quantile q is q.
func TestSimulatedCoverageOfQuantileIntervals(t *testing.T) {
	sets := simulations(2000)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		n int
		q float64
	}{{20, 0.5}, {100, 0.9}, {300, 0.5}, {300, 0.99}, {300, 0.01}} {
		inside, claimed := 0, 0.0
		for range sets {
			samples := make([]int64, c.n)
			for i := range samples {
				samples[i] = rng.Int64N(1e12)
			}
			q, err := Quantiles(samples, []float64{c.q}, 0.95)
			if err != nil || q[0].Doubt != "" {
				t.Fatal(err, q[0].Doubt)
			}
			claimed = q[0].Confidence
			if truth := c.q * 1e12; q[0].Low <= truth && truth <= q[0].High {
				inside++
			}
		}
		// What is claimed is exact: four standard errors of a share of 2000 near
		// 0.95 are 0.02.
		got := float64(inside) / float64(sets)
		t.Logf("n=%d %s: covered %.3f, claimed %.3f", c.n, Name(c.q), got, claimed)
		if slack := slack(sets); math.Abs(got-claimed) > 0.02+slack || got < 0.93-slack || got > 0.97+slack {
			t.Errorf("n=%d %s: covered %.3f, claimed %.3f", c.n, Name(c.q), got, claimed)
		}
	}
}

func TestSimulatedCoverageOfDKWBand(t *testing.T) {
	sets := simulations(2000)
	const n = 300
	rng := rand.New(rand.NewPCG(3, 4))
	inside, eps := 0, DKW(n, 0.95)
	for range sets {
		u := make([]float64, n)
		for i := range u {
			u[i] = rng.Float64()
		}
		slices.Sort(u)
		worst := 0.0
		for i, x := range u {
			worst = math.Max(worst, math.Max(float64(i+1)/n-x, x-float64(i)/n))
		}
		if worst <= eps {
			inside++
		}
	}
	got := float64(inside) / float64(sets)
	t.Logf("covered %.3f", got)
	if got < 0.93-slack(sets) || got > 0.97+slack(sets) {
		t.Errorf("covered %.3f, want 0.93 to 0.97", got)
	}
}

// autoregressive draws replicates of a first-order autoregression around 1e6.
func autoregressive(rng *rand.Rand, replicates, n int, phi float64) [][]int64 {
	out := make([][]int64, replicates)
	for r := range out {
		x := rng.NormFloat64() / math.Sqrt(1-phi*phi)
		for range n {
			out[r] = append(out[r], int64(1e6+1e4*x))
			x = phi*x + rng.NormFloat64()
		}
	}
	return out
}

// A ratio does not depend on the unit, and its interval is positive however wide.
func TestBootstrapRatio(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	before, after, thrice := autoregressive(rng, 5, 300, 0.3), autoregressive(rng, 5, 300, 0.3), make([][]int64, 5)
	for r := range after {
		for i := range after[r] {
			thrice[r] = append(thrice[r], 3*after[r][i])
		}
	}
	o := Bootstrap{Draws: 500, Seed: 42}
	times := func(before, after [][]int64) Interval {
		i, err := BootstrapRatio(before, after, 0.5, o)
		if err != nil || i.Doubt != "" {
			t.Fatal(i, err)
		}
		return i
	}
	one, three := times(before, after), times(before, thrice)
	if !near(three.Value, 3*one.Value, 1e-12) || !near(three.Low, 3*one.Low, 1e-12) || !near(three.High, 3*one.High, 1e-12) {
		t.Errorf("%+v, and of three times as much %+v", one, three)
	}
	for r := range after { // replicates that differ a hundredfold
		for i := range after[r] {
			after[r][i] = after[r][i] * int64(math.Pow(10, float64(r))) / 100
		}
	}
	if wild := times(before, after); !(0 < wild.Low && wild.Low < 0.2 && wild.High > 5) {
		t.Errorf("%+v", wild)
	}
}

func TestDependence(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, phi := range []float64{0, 0.5, 0.9} {
		r := Lag1(autoregressive(rng, 20, 2000, phi))
		if math.Abs(r-phi) > 0.02 {
			t.Errorf("autoregression of %v: lag-1 autocorrelation %v", phi, r)
		}
	}
	if r := Lag1([][]int64{{5, 5, 5}, {7}}); r != 0 {
		t.Errorf("samples that do not vary: %v", r)
	}
	for _, c := range []struct{ r, want float64 }{{0, 100}, {0.5, 100.0 / 3}, {-0.5, 100}, {1, 1}} {
		if got := EffectiveN(100, c.r); !near(got, c.want, 1e-12) {
			t.Errorf("effective n of 100 at %v: %v, want %v", c.r, got, c.want)
		}
	}
}

// With dependent samples the block bootstrap covers and intervals that take
// them for independent do not (rule 6); where replicates differ too, only
// resampling them will do (rule 7). The tolerance, 0.93 to 0.97, is two standard
// errors of a share of 500 near 0.95.
func TestSimulatedCoverageOfBootstrap(t *testing.T) {
	sets := simulations(500)
	const truth = 1e6
	type bounds struct{ low, high float64 }
	covers, fails, any := bounds{0.93, 0.97}, bounds{0, 0.85}, bounds{0, 1}
	for _, c := range []struct {
		name                 string
		replicates, calls    int
		phi, apart           float64 // autoregression; standard deviation between replicates
		naive, blocks, whole bounds
	}{
		{"independent", 5, 600, 0, 0, covers, covers, covers},
		{"dependent", 6, 600, 0.7, 0, fails, covers, covers},
		{"dependent, replicates differ", 6, 600, 0.7, 8e3, fails, fails, covers},
		{"dependent, three replicates that differ", 3, 600, 0.5, 8e3, fails, fails, covers},
		{"one dependent replicate", 1, 3000, 0.7, 0, fails, covers, any},
	} {
		rng := rand.New(rand.NewPCG(7, 8))
		var naive, blocks, whole int
		for i := range sets {
			samples := autoregressive(rng, c.replicates, c.calls, c.phi)
			for _, r := range samples {
				shift := int64(c.apart * rng.NormFloat64())
				for k := range r {
					r[k] += shift
				}
			}
			for within, hits := range map[bool]*int{true: &blocks, false: &whole} {
				got, err := BootstrapQuantile(samples, 0.5, Bootstrap{Draws: 200, Within: within, Seed: uint64(i)})
				if err != nil {
					t.Fatal(err)
				}
				if got.Low <= truth && truth <= got.High {
					*hits++
				}
			}
			q, err := Quantiles(slices.Concat(samples...), []float64{0.5}, 0.95)
			if err != nil {
				t.Fatal(err)
			}
			if q[0].Low <= truth && truth <= q[0].High {
				naive++
			}
		}
		for what, got := range map[string]struct {
			hits int
			want bounds
		}{"order statistics": {naive, c.naive}, "blocks within replicates": {blocks, c.blocks}, "whole replicates": {whole, c.whole}} {
			share := float64(got.hits) / float64(sets)
			t.Logf("%s: %s covered %.3f", c.name, what, share)
			if slack := slack(sets); share < got.want.low-slack || share > got.want.high+slack {
				t.Errorf("%s: %s covered %.3f, want %v to %v", c.name, what, share, got.want.low, got.want.high)
			}
		}
	}
}

func TestBootstrapIsSeededAndFindsADifference(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	before := autoregressive(rng, 10, 300, 0.3)
	after := autoregressive(rng, 10, 300, 0.3)
	for _, r := range after {
		for i := range r {
			r[i] += 20_000
		}
	}
	o := Bootstrap{Draws: 500, Seed: 42}
	d, err := BootstrapRatio(before, after, 0.5, o)
	if err != nil {
		t.Fatal(err)
	}
	if !(1 < d.Low && d.Low < 1.02 && 1.02 < d.High) || d.Doubt != "" { // samples are about 1e6
		t.Errorf("a ratio of 1.02: %+v", d)
	}
	if again, _ := BootstrapRatio(before, after, 0.5, o); again != d {
		t.Errorf("same seed: %+v and %+v", d, again)
	}
	o.Seed++
	if other, _ := BootstrapRatio(before, after, 0.5, o); other == d {
		t.Error("another seed gave the same interval")
	}
	few, err := BootstrapQuantile(before[:3], 0.5, o)
	if all, _ := BootstrapQuantile(before, 0.5, o); err != nil || few.High-few.Low < 1.2*(all.High-all.Low) {
		t.Errorf("three replicates: %+v, ten: %+v, %v", few, all, err)
	}
	small, err := BootstrapQuantile([][]int64{{1, 2, 3}}, 0.99, o)
	if err != nil || !math.IsNaN(small.Value) || !strings.HasPrefix(small.Doubt, "n too small") {
		t.Errorf("three samples: %+v, %v", small, err)
	}
}

func TestBaselineDrift(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	const sets = 400
	left := 0
	for range sets {
		d, err := BaselineDrift(autoregressive(rng, 3, 300, 0.5), 0.95, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d.Drifted() {
			left++
		}
	}
	if got := float64(left) / sets; got > 0.03 {
		t.Errorf("%.3f of steady runs left the interval", got)
	}
	for _, c := range []struct {
		shift        int64 // of the last baseline, whose median is 1e6
		seen         float64
		drifted      bool
		begins, says string
	}{
		{0, 0, false, "baseline steady", ""},
		{30_000, 0.03, false, "baseline moved", "no smaller effect is claimed"},
		{-30_000, 0.03, false, "baseline moved", "-3"},
		{80_000, 0.08, true, "baseline drifted", "more than the 5% allowed"},
		{-80_000, 0.08, true, "baseline drifted", "-8"},
	} {
		baselines := autoregressive(rng, 3, 300, 0.5)
		for i := range baselines[2] {
			baselines[2][i] += c.shift
		}
		d, err := BaselineDrift(baselines, 0.95, DriftMargin)
		if err != nil || math.Abs(d.Seen()-c.seen) > 0.01 || d.Drifted() != c.drifted {
			t.Errorf("last baseline moved by %d: %+v, %v", c.shift, d, err)
		}
		if s := d.String(); !strings.HasPrefix(s, c.begins) || !strings.Contains(s, c.says) {
			t.Errorf("last baseline moved by %d: %q", c.shift, s)
		}
	}
	for _, none := range [][][]int64{autoregressive(rng, 1, 300, 0.5), {{1}, {2}}} {
		if d, err := BaselineDrift(none, 0.95, DriftMargin); err != nil || d.Drifted() || d.Doubt == "" {
			t.Errorf("%d baselines of %d: %+v, %v", len(none), len(none[0]), d, err)
		}
	}
}

func TestTrendsAgreeWithReferences(t *testing.T) {
	ref := loadReference(t)
	for i, c := range ref.Jonckheere {
		sizes, values := []int{}, []float64{}
		for _, g := range c.Groups {
			sizes, values = append(sizes, len(g)), append(values, g...)
		}
		got, err := JonckheereTerpstra(c.Groups, 20_000, 1)
		if err != nil || got.Statistic != c.J {
			t.Fatalf("case %d: %+v, want J = %v (%v)", i, got, c.J, err)
		}
		tolerance := map[string]float64{"exact": 1e-9, "permutation": 0.01}[got.Method]
		if math.Abs(got.P-c.Exact) > tolerance || c.Tied != (got.Method == "permutation") {
			t.Errorf("case %d: %+v, brute force says %v", i, got, c.Exact)
		}
		if p := normalJ(c.J, sizes, tied(values)); !near(p, c.Normal, 1e-9) {
			t.Errorf("case %d: normal approximation %v, with the brute-force variance %v", i, p, c.Normal)
		}
	}
	// Hollander, Wolfe and Chicken, table 6.6 (motivational effect of knowledge
	// of performance): J = 79, and from their table A.13 P(J >= 79) = .0231 for
	// three groups of six without ties.
	if p := exactJ([]int{6, 6, 6}, 79); math.Abs(p-0.0231) > 0.00005 {
		t.Errorf("P(J >= 79) for 6, 6, 6: %.5f, table A.13 has .0231", p)
	}
	got, err := JonckheereTerpstra([][]float64{{40, 35, 38, 43, 44, 41}, {38, 40, 47, 44, 40, 42}, {48, 40, 45, 43, 46, 44}}, 0, 0)
	if err != nil || got.Statistic != 79 || math.Abs(2*got.P-0.04141) > 0.00005 { // R, DescTools::JonckheereTerpstraTest
		t.Errorf("Hollander and Wolfe's data: %+v, %v", got, err)
	}
}

func TestTrendsWithoutEvidence(t *testing.T) {
	flat, err := JonckheereTerpstra([][]float64{{5, 5}, {5, 5}}, 0, 0)
	if err != nil || flat.P != 1 {
		t.Errorf("equal values: %+v, %v", flat, err)
	}
	falling, err := JonckheereTerpstra([][]float64{{9, 8}, {7, 6}, {5, 4}}, 0, 0)
	if err != nil || !near(falling.P, 1, 1e-12) {
		t.Errorf("falling values: %+v, %v", falling, err)
	}
}

func ExampleECDF_Interval() {
	samples := make([]int64, 300)
	for i := range samples {
		samples[i] = 120e6 + int64(i)*10_000
	}
	e, _ := NewECDF(samples)
	for _, q := range []float64{0.5, 0.99, 0.999} {
		r, _ := e.Interval(q, 0.95)
		if r.Doubt != "" {
			fmt.Println(r.Doubt)
			continue
		}
		fmt.Printf("%s %.2f ms [%.2f, %.2f]\n", Name(q), r.Value/1e6, r.Low/1e6, r.High/1e6)
	}
	// Output:
	// p50 121.49 ms [121.32, 121.67]
	// p99 122.96 ms [122.89, 122.99]
	// n too small: p99.9 needs 2995 samples, has 300
}

// The intervals of a shift function hold together, also where replicates differ,
// and its deciles are Harrell and Davis's.
func TestSimulatedCoverageOfShift(t *testing.T) {
	sets := simulations(400)
	rng := rand.New(rand.NewPCG(23, 24))
	draw := func(shift float64) [][]int64 {
		out := make([][]int64, 5)
		for r := range out {
			apart := 3e3 * rng.NormFloat64()
			for range 200 {
				out[r] = append(out[r], int64(1e6+shift+apart+1e4*rng.NormFloat64()))
			}
		}
		return out
	}
	const shift = 5e3
	together, each := 0, 0
	for i := range sets {
		before, after := draw(0), draw(shift)
		s, err := ShiftFunction(before, after, 0, Bootstrap{Draws: 100, Seed: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			for k, c := range s.Deciles {
				e, _ := NewECDF(slices.Concat(before...))
				if hd := harrellDavis(e.Sorted(), float64(k+1)/10); !near(hd, c.Before, 1e-9) {
					t.Errorf("decile %d: %v, Harrell-Davis %v", k+1, c.Before, hd)
				}
			}
			if len(s.Deciles) != 9 || s.P99.Change.Doubt != "" {
				t.Errorf("%+v", s)
			}
		}
		all := true
		for _, c := range append(s.Deciles, s.P99) {
			in := c.Change.Low <= shift && shift <= c.Change.High
			all = all && in
			if in {
				each++
			}
		}
		if all {
			together++
		}
	}
	got := float64(together) / float64(sets)
	t.Logf("all ten intervals hold in %.3f of the sets, each in %.4f", got, float64(each)/float64(10*sets))
	if got < 0.95-slack(sets) { // Bonferroni's correction errs on the safe side
		t.Errorf("all ten intervals hold in %.3f of the sets, want at least 0.95", got)
	}
	few, err := ShiftFunction([][]int64{{1, 2, 3}}, [][]int64{{4, 5, 6}}, 0, Bootstrap{})
	if err != nil || few.P99.Change.Doubt == "" || few.Deciles[4].Change.Doubt == "" {
		t.Errorf("three samples: %+v, %v", few, err)
	}
	if _, err := json.Marshal(few); err != nil {
		t.Error(err)
	}
}

// TestShiftOfEqualTimes: sums of weights do not round to one, which is no change.
func TestShiftOfEqualTimes(t *testing.T) {
	constant := func(ns int64, n int) [][]int64 {
		groups := make([][]int64, 5)
		for i := range groups {
			groups[i] = slices.Repeat([]int64{ns}, n)
		}
		return groups
	}
	for _, ns := range []int64{79, 10_000_000, 3_333_333_333} {
		s, err := ShiftFunction(constant(ns, 70), constant(ns, 61), 10, Bootstrap{Draws: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range append(s.Deciles, s.P99) {
			if i := c.Change; i.Value != 0 || i.Low != 0 || i.High != 0 {
				t.Errorf("%d ns, %v: %+v", ns, c.Q, i)
			}
		}
	}
}

// The interval of a ratio of two tails holds it in 95 of 100, and is no wider for it.
func TestOverCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	p99 := func(scale float64) Estimate {
		replicates := [][]int64{make([]int64, 1000), make([]int64, 1000)}
		for _, r := range replicates {
			for i := range r {
				r[i] = int64(scale * math.Exp(0.02*rng.NormFloat64()+0.01*rng.ExpFloat64()))
			}
		}
		e, err := Estimates(replicates, []float64{0.99}, Bootstrap{})
		if err != nil {
			t.Fatal(err)
		}
		return e[0]
	}
	const tries = 400
	held := 0
	for range tries {
		if r := p99(1.3e6).Over(p99(1e6)); r.Low <= 1.3 && r.High >= 1.3 {
			held++
		}
	}
	if share := float64(held) / tries; share < 0.93 || share > 0.985 {
		t.Errorf("%d of %d intervals hold the ratio", held, tries)
	}
}

func TestOver(t *testing.T) {
	alone, loaded := Estimate{Value: 2, Low: 1, High: 4}, Estimate{Value: 3, Low: 2, High: 8}
	if got := loaded.Over(alone); got.String() != "1.50 [0.67, 4.99]" {
		t.Errorf("got %v", got)
	}
	few := Estimate{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	if got := few.Over(alone).String(); got != "n too small" {
		t.Errorf("of no estimate: %s", got)
	}
	few.Value = 3
	if got := few.Over(alone).String(); got != "1.50 [n too small]" {
		t.Errorf("without an interval: %s", got)
	}
	if got := Milliseconds(math.NaN()); got != "n too small" {
		t.Errorf("no time is written as %s", got)
	}
}
