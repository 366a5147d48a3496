package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Trend is the outcome of a test against "no trend", one-sided: the
// alternative is that y grows.
type Trend struct {
	Test      string  `json:"test"`
	Statistic float64 `json:"statistic"` // J
	P         float64 `json:"p"`
	Method    string  `json:"method"` // exact, permutation or normal
	N         int     `json:"n"`
}

// exactLimit is the largest N for which the exact null distribution of J, a
// polynomial of degree N^2/2, is computed; permutedLimit the one up to which
// values are permuted, each time counting all pairs. The normal approximation is
// good to the fourth digit long before.
const (
	exactLimit    = 200
	permutedLimit = 300
)

// JonckheereTerpstra tests whether values grow from group to group, the groups
// given in the order in which they should. J counts the pairs from two groups
// that are in order, a tie as half (Hollander, Wolfe and Chicken,
// "Nonparametric Statistical Methods", 3rd edition, section 6.2).
//
// The p-value is exact where no values are tied and N is at most 200. Otherwise
// it comes from permutations drawn with the seed, or with 0 of them, and for N
// above 300, from the normal approximation, its variance corrected for ties. Of
// two groups it is the test of Mann and Whitney.
//
// Values must be independent: give it one median for each replicate, not calls.
func JonckheereTerpstra(groups [][]float64, permutations int, seed uint64) (Trend, error) {
	var values []float64
	var sizes []int
	for i, g := range groups {
		if len(g) == 0 {
			return Trend{}, fmt.Errorf("trend test: group %d: %w", i, errNoSamples)
		}
		if slices.ContainsFunc(g, math.IsNaN) {
			return Trend{}, fmt.Errorf("trend test: group %d holds a value that is not a number", i)
		}
		values = append(values, g...)
		sizes = append(sizes, len(g))
	}
	if len(groups) < 2 {
		return Trend{}, fmt.Errorf("trend test: %d groups, where at least 2 are needed", len(groups))
	}
	rank := ranked(values)
	ties := tied(values)
	j := inOrder(rank, sizes)
	t := Trend{Test: "Jonckheere-Terpstra", Statistic: j, N: len(values)}
	switch {
	case len(ties) == 0 && t.N <= exactLimit:
		t.Method, t.P = "exact", exactJ(sizes, int(j))
	case permutations > 0 && t.N <= permutedLimit:
		t.Method = "permutation"
		t.P = permuted(rank, permutations, seed, func(r []float64) bool { return inOrder(r, sizes) >= j })
	default:
		t.Method, t.P = "normal", normalJ(j, sizes, ties)
	}
	return t, nil
}

// inOrder returns J for the values, laid out group after group.
func inOrder(values []float64, sizes []int) (j float64) {
	end := 0
	for _, size := range sizes {
		start := end
		end += size
		for _, a := range values[:start] {
			for _, b := range values[start:end] {
				switch {
				case a < b:
					j++
				case a == b:
					j += 0.5
				}
			}
		}
	}
	return j
}

// exactJ returns P(J >= j) when every arrangement is as likely. The number of
// arrangements with J = k is the coefficient of x^k in the Gaussian multinomial
// coefficient, the product of (1-x^i) for i to N over those for each group.
func exactJ(sizes []int, j int) float64 {
	n, pairs := 0, 0
	for _, s := range sizes {
		pairs += n * s
		n += s
	}
	// Probabilities instead of counts: each factor (1-x^i)/i is the mean of i
	// powers, so that nothing overflows.
	p := make([]float64, pairs+1)
	p[0] = 1
	done := 0
	for _, s := range sizes {
		for i := 1; i <= s; i++ {
			// Times (1-x^(done+i))/(1-x^i), scaled to keep the sum at 1.
			for k := pairs; k >= done+i; k-- {
				p[k] -= p[k-done-i]
			}
			for k := i; k <= pairs; k++ {
				p[k] += p[k-i]
			}
			for k := range p {
				p[k] *= float64(i) / float64(done+i)
			}
		}
		done += s
	}
	// The distribution is symmetric: sum the tail that is the shorter.
	var tail float64
	if 2*j > pairs {
		for _, v := range p[:pairs-j+1] {
			tail += v
		}
		return math.Max(tail, 0)
	}
	for _, v := range p[:max(j, 0)] {
		tail += v
	}
	return math.Min(1, 1-tail)
}

// normalJ returns the upper tail of the normal approximation, with Hollander,
// Wolfe and Chicken's equation 6.19 for ties.
func normalJ(j float64, sizes []int, ties []float64) float64 {
	var n, n2 float64
	a := func(x float64) float64 { return x * (x - 1) * (2*x + 5) }
	b := func(x float64) float64 { return x * (x - 1) * (x - 2) }
	c := func(x float64) float64 { return x * (x - 1) }
	var sa, sb, sc, ta, tb, tc float64
	for _, s := range sizes {
		x := float64(s)
		n, n2 = n+x, n2+x*x
		sa, sb, sc = sa+a(x), sb+b(x), sc+c(x)
	}
	for _, x := range ties {
		ta, tb, tc = ta+a(x), tb+b(x), tc+c(x)
	}
	variance := (a(n) - sa - ta) / 72
	if n > 2 {
		variance += sb * tb / (36 * n * (n - 1) * (n - 2))
	}
	variance += sc * tc / (8 * n * (n - 1))
	if variance <= 0 {
		return 1 // all values are equal: no evidence of anything
	}
	return distuv.UnitNormal.Survival((j - (n*n-n2)/4) / math.Sqrt(variance))
}

// permuted returns the share of arrangements that are as extreme as the one
// observed, which counts among them: Phipson and Smyth, "Permutation P-values
// Should Never Be Zero" (Statistical Applications in Genetics 9, 2010).
func permuted(values []float64, draws int, seed uint64, extreme func([]float64) bool) float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	values = slices.Clone(values)
	hits := 1
	for range draws {
		rng.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		if extreme(values) {
			hits++
		}
	}
	return float64(hits) / float64(draws+1)
}

// ranked returns the rank of each value, from 1, ties sharing their mean.
func ranked(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := values[a], values[b]; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	ranks := make([]float64, len(values))
	for start := 0; start < len(order); {
		end := start
		for end < len(order) && values[order[end]] == values[order[start]] {
			end++
		}
		for _, i := range order[start:end] {
			ranks[i] = float64(start+1+end) / 2
		}
		start = end
	}
	return ranks
}

// tied returns the sizes of the runs of equal values longer than one.
func tied(values []float64) (sizes []float64) {
	sorted := slices.Sorted(slices.Values(values))
	for start := 0; start < len(sorted); {
		end := start
		for end < len(sorted) && sorted[end] == sorted[start] {
			end++
		}
		if end-start > 1 {
			sizes = append(sizes, float64(end-start))
		}
		start = end
	}
	return sizes
}
