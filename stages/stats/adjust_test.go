package stats

import (
	"encoding/csv"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// testdata/adjust.R says how the reference was got.
func TestAdjustedAgreeWithR(t *testing.T) {
	f, err := os.Open("testdata/adjust.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var sets []string
	columns := map[string][3][]float64{} // p, Holm's, Benjamini and Hochberg's
	for _, row := range rows[1:] {
		set, seen := columns[row[0]]
		if !seen {
			sets = append(sets, row[0])
		}
		for i := range set {
			v, err := strconv.ParseFloat(row[i+1], 64)
			if err != nil {
				t.Fatal(err)
			}
			set[i] = append(set[i], v)
		}
		columns[row[0]] = set
	}
	if len(sets) != 6 {
		t.Fatalf("%d sets", len(sets))
	}
	for _, name := range sets {
		set := columns[name]
		holm, err := Holm(set[0])
		if err != nil {
			t.Fatal(err)
		}
		bh, err := BenjaminiHochberg(set[0])
		if err != nil {
			t.Fatal(err)
		}
		for i := range set[0] {
			if math.Abs(holm[i]-set[1][i]) > 1e-12 || math.Abs(bh[i]-set[2][i]) > 1e-12 {
				t.Errorf("set %s, p = %v: Holm %v and BH %v, R has %v and %v", name, set[0][i], holm[i], bh[i], set[1][i], set[2][i])
			}
		}
	}
	// Their paper: at a rate of 5%, Bonferroni's correction rejects the first three
	// of the 15 hypotheses, theirs the first four.
	bh, _ := BenjaminiHochberg(columns["1"][0])
	if bh[3] > 0.05 || bh[4] <= 0.05 {
		t.Errorf("the paper rejects four hypotheses: %v", bh)
	}
}

func TestAdjustRefuses(t *testing.T) {
	for _, p := range [][]float64{{math.NaN()}, {0.5, -0.1}, {1.5}} {
		if _, err := Holm(p); err == nil {
			t.Errorf("Holm(%v): no error", p)
		}
		if _, err := BenjaminiHochberg(p); err == nil {
			t.Errorf("BenjaminiHochberg(%v): no error", p)
		}
	}
	if p, err := Holm(nil); err != nil || len(p) != 0 {
		t.Errorf("no tests: %v, %v", p, err)
	}
}

// Where nothing is true, Holm's adjusted values reach 5% anywhere in at most 5% of
// the families, also of tests that depend on one another; unadjusted they do far
// more often.
func TestSimulatedFamilies(t *testing.T) {
	const families, tests = 4000, 8
	rng := rand.New(rand.NewPCG(31, 32))
	adjusted, naive := 0, 0
	for range families {
		p := make([]float64, tests)
		shared := rng.Float64()
		for i := range p {
			if p[i] = rng.Float64(); i%2 == 1 {
				p[i] = shared
			}
		}
		holm, err := Holm(p)
		if err != nil {
			t.Fatal(err)
		}
		wrong := func(p []float64) int {
			for _, v := range p {
				if v <= 0.05 {
					return 1
				}
			}
			return 0
		}
		adjusted += wrong(holm)
		naive += wrong(p)
	}
	t.Logf("a false claim in %.3f of the families, unadjusted in %.3f", float64(adjusted)/families, float64(naive)/families)
	if float64(adjusted)/families > 0.05+3*math.Sqrt(0.05*0.95/families) || float64(naive)/families < 0.15 {
		t.Errorf("a false claim in %.3f of the families, unadjusted in %.3f", float64(adjusted)/families, float64(naive)/families)
	}
}

// Adjusted values keep the order of the p-values, and never fall below them;
// Benjamini and Hochberg's are never above Holm's.
func TestAdjustedKeepOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOf(rapid.Float64Range(0, 1)).Draw(t, "p")
		holm, err := Holm(p)
		if err != nil {
			t.Fatal(err)
		}
		bh, err := BenjaminiHochberg(p)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p {
			if holm[i] < p[i] || bh[i] < p[i] || bh[i] > holm[i]+1e-15 || holm[i] > 1 {
				t.Fatalf("%v: Holm %v, BH %v", p[i], holm[i], bh[i])
			}
			for j := range p {
				if p[i] < p[j] && (holm[i] > holm[j] || bh[i] > bh[j]) {
					t.Fatalf("%v and %v: Holm %v and %v, BH %v and %v", p[i], p[j], holm[i], holm[j], bh[i], bh[j])
				}
			}
		}
	})
}
