package traffic

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

// request was due and done at times, with a deadline 10 later; done 0: it was dropped.
func request(due, done int64) Request {
	r := Request{Due: due, Begun: due, Sent: due, Done: done, Deadline: due + 10, Batch: 1}
	if done == 0 {
		r.Batch, r.Done = 0, due
	}
	return r
}

func TestSum(t *testing.T) {
	s := int64(1e9)
	one := []Request{request(0, 5), request(s, s+11), request(2*s, 0), request(3*s, 3*s+12), request(4*s, 4*s+1)}
	two := []Request{request(0, 11), request(6*s, 6*s+10)}
	got := Sum(one, two)
	if got.Requests != 7 || got.Missed != 4 || got.Dropped != 1 || got.InARow != 3 || math.Abs(got.Goodput-0.3) > 1e-6 {
		t.Errorf("%+v", got)
	}
	// R: binom.test(4, 7)$conf.int
	if math.Abs(got.Share-4.0/7) > 1e-12 || math.Abs(got.Low-0.1840516) > 1e-6 || math.Abs(got.High-0.9010117) > 1e-6 {
		t.Errorf("%g [%g, %g]", got.Share, got.Low, got.High)
	}
	if none := Sum(); !math.IsNaN(none.Share) || none.Low != 0 || none.High != 1 {
		t.Errorf("of nothing: %+v", none)
	}
}

// The counts that MLPerf's rules name (inference_policies, early stopping).
func TestNeeded(t *testing.T) {
	for share, want := range map[float64][3]int{0.1: {44, 64, 81}, 0.01: {459, 662, 838}, 0.001: {4603, 6636, 8403}} {
		for late, n := range want {
			if got := Needed(late, share); got != n {
				t.Errorf("%d late, %g allowed: %d, want %d", late, share, got, n)
			}
		}
	}
}

func TestPromise(t *testing.T) {
	for _, tt := range []struct {
		missed, requests int
		want, says       string
	}{
		{1, 6636, cell.Reproduced, "1 of 6636"}, {1, 6635, cell.NotIdentified, "6636 would tell"}, {0, 4603, cell.Reproduced, "0 of 4603"},
		{0, 4602, cell.NotIdentified, "4603 would tell"}, {30, 7000, cell.Refuted, "30 of 7000"}, {8, 7000, cell.NotIdentified, "8 of 7000"}, {0, 0, cell.NotIdentified, "0 requests"},
	} {
		requests := make([]Request, tt.requests)
		for i := range requests {
			requests[i] = request(int64(i)*100, int64(i)*100+5)
			if i < tt.missed {
				requests[i].Done += 20
			}
		}
		if verdict, because := Sum(requests).Promise(0.001); verdict != tt.want || !strings.Contains(because, tt.says) {
			t.Errorf("%d of %d: %s, %s; want %s", tt.missed, tt.requests, verdict, because, tt.want)
		}
	}
}

// Promises that hold are refuted, and those that do not are reproduced, no more often
// than one time in a hundred.
func TestPromiseErrs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const sets, n, allowed = 2000, 2000, 0.01
	for _, tt := range []struct {
		share float64
		never string
	}{{allowed, cell.Refuted}, {allowed * 1.0001, cell.Reproduced}} {
		wrong := 0
		for range sets {
			a := Answers{Requests: n}
			for range n {
				if rng.Float64() < tt.share {
					a.Missed++
				}
			}
			if verdict, _ := a.Promise(allowed); verdict == tt.never {
				wrong++
			}
		}
		if wrong > sets/100+14 { // three standard errors above 1%
			t.Errorf("a share of %g: %s %d times of %d", tt.share, tt.never, wrong, sets)
		}
	}
}

// Between answers the newest one grows older; an older one that comes later counts for
// nothing, and one that was dropped for nothing at all.
func TestAges(t *testing.T) {
	of := []Request{request(0, 10), request(20, 0), request(40, 70), request(50, 55), request(80, 99)}
	want := []int64{10, 17, 24, 31, 38, 45, 52, 9, 16, 23, 30} // at 10, 17, ... 80
	if got := Ages(of, 11); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Ages([]Request{request(5, 0)}, 3); got != nil {
		t.Errorf("without an answer: %v", got)
	}
}
