package stats

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Holm returns p-values adjusted for being tested together, in the order given:
// whoever acts on those at most alpha is wrong anywhere with a probability of at
// most alpha, however the tests depend on one another (rule 8). It is the
// step-down procedure of Holm, "A Simple Sequentially Rejective Multiple Test
// Procedure" (Scandinavian Journal of Statistics 6, 1979), and never claims less
// than Bonferroni's correction.
func Holm(p []float64) ([]float64, error) {
	order, err := ascending(p)
	if err != nil {
		return nil, fmt.Errorf("adjust p-values by Holm's method: %w", err)
	}
	adjusted := make([]float64, len(p))
	most := 0.0
	for rank, i := range order {
		most = math.Max(most, math.Min(1, float64(len(p)-rank)*p[i]))
		adjusted[i] = most
	}
	return adjusted, nil
}

// BenjaminiHochberg returns p-values adjusted so that, of those at most q, a share
// of at most q is false on average: less strict than Holm's, for screening many.
// It is the step-up procedure of Benjamini and Hochberg, "Controlling the False
// Discovery Rate" (JRSS B 57, 1995), good for tests that are independent or
// depend on one another positively.
func BenjaminiHochberg(p []float64) ([]float64, error) {
	order, err := ascending(p)
	if err != nil {
		return nil, fmt.Errorf("adjust p-values by Benjamini and Hochberg's method: %w", err)
	}
	adjusted := make([]float64, len(p))
	least := 1.0
	for rank, i := range slices.Backward(order) {
		least = math.Min(least, float64(len(p))/float64(rank+1)*p[i])
		adjusted[i] = least
	}
	return adjusted, nil
}

// ascending returns the places of p-values in ascending order.
func ascending(p []float64) ([]int, error) {
	order := make([]int, len(p))
	for i, v := range p {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("value %d is %v, no probability", i, v)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	return order, nil
}
