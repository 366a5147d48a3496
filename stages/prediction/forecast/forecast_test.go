package forecast

import "testing"

// A recording of three replicates has one of those with a tail more often than not,
// where one in four has it.
func TestRecordings(t *testing.T) {
	var sets [][]int64
	for i := range draws {
		set := make([]int64, 100)
		for k := range set {
			if set[k] = 1; i%4 == 0 && k >= 90 {
				set[k] = 2
			}
		}
		sets = append(sets, set)
	}
	for replicates, want := range map[int][3]float64{1: {1, 1, 1}, 3: {1, 1, 2}} {
		of := recordings(sets, replicates)
		for i, q := range Quantiles {
			if got := of[i][again/2]; got != want[i] || len(of[i]) != again {
				t.Errorf("%d replicates, quantile %g: %g of %d, want %g", replicates, q, got, len(of[i]), want[i])
			}
		}
		if first, last := of[2][0], of[2][again-1]; first != 1 || last != 2 {
			t.Errorf("%d replicates: p99 from %g to %g", replicates, first, last)
		}
	}
}
