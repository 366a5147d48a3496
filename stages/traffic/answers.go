package traffic

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"barograph/pipeline/cell"

	"gonum.org/v1/gonum/mathext"
)

// Answers are how requests were answered, all in all.
type Answers struct {
	Requests int
	Missed   int // answered after their deadline, or dropped
	Dropped  int // those of them that were never answered: the frames that were skipped
	InARow   int // the most that were missed one after the other
	// Share of the requests was missed, with its exact 95% interval (Clopper and Pearson).
	Share, Low, High float64
	// Goodput is how many were answered by their deadline, per second, from when the
	// first was due until the last was settled or due.
	Goodput float64
}

// Sum sums trials up, each with its requests in the order in which they were due.
func Sum(trials ...[]Request) Answers {
	a := Answers{}
	seconds := 0.0
	for _, requests := range trials {
		if len(requests) == 0 {
			continue
		}
		row, end := 0, requests[len(requests)-1].Due
		for i := range requests {
			r := &requests[i]
			row++
			switch {
			case !r.Answered():
				a.Dropped++
				a.Missed++
			case r.Late():
				a.Missed++
			default:
				row = 0
			}
			if a.InARow = max(a.InARow, row); r.Answered() {
				end = max(end, r.Done)
			}
		}
		a.Requests += len(requests)
		seconds += float64(end-requests[0].Due) / 1e9
	}
	if a.Requests == 0 {
		a.Share, a.Low, a.High, a.Goodput = math.NaN(), 0, 1, math.NaN()
		return a
	}
	k, n := float64(a.Missed), float64(a.Requests)
	a.Share = k / n
	a.Low, a.High = shareOf(k, n, (1+confidence)/2)
	a.Goodput = (n - k) / seconds
	return a
}

// Ages returns how old the newest answer is, at so many even times from the first
// answer to the last arrival: how long ago the request was due that it belongs to.
func Ages(requests []Request, times int) []int64 {
	first, last := int64(math.MaxInt64), int64(0)
	for i := range requests {
		if r := &requests[i]; r.Answered() {
			first = min(first, r.Done)
		}
		last = max(last, requests[i].Due)
	}
	if first > last || times < 1 {
		return nil
	}
	// By when they are done; of those that are done, the newest counts.
	order := answeredInOrder(requests)
	ages := make([]int64, times)
	next, newest := 0, int64(math.MinInt64)
	for i := range ages {
		at := first + int64(float64(last-first)*float64(i)/float64(max(1, times-1)))
		for ; next < len(order) && order[next].Done <= at; next++ {
			newest = max(newest, order[next].Due)
		}
		ages[i] = max(1, at-newest)
	}
	return ages
}

func answeredInOrder(requests []Request) []Request {
	order := slices.DeleteFunc(slices.Clone(requests), func(r Request) bool { return !r.Answered() })
	slices.SortStableFunc(order, func(a, b Request) int { return cmp.Compare(a.Done, b.Done) })
	return order
}

// surely is the confidence that MLPerf's rules ask of a promise (early stopping, with
// c = 0.99 and d = 0): for 99% one may be late of 662, and for 99.9% of 6,636.
const surely = 0.99

// Needed returns how many requests it takes to tell, with so many of them late, that
// no more than a share of all are.
func Needed(late int, allowed float64) int {
	low, high := late+1, late+2
	enough := func(n int) bool {
		_, most := shareOf(float64(late), float64(n), surely)
		return most <= allowed
	}
	for !enough(high) {
		low, high = high, 2*high
	}
	for low < high {
		if middle := (low + high) / 2; enough(middle) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// Promise judges, with a confidence of 99%, that no more than a share of requests
// misses its deadline.
func (a Answers) Promise(allowed float64) (verdict, because string) {
	if !(allowed > 0 && allowed < 1) || a.Requests == 0 {
		return cell.NotIdentified, fmt.Sprintf("%d requests, and a share of %g that may be late", a.Requests, allowed)
	}
	low, high := shareOf(float64(a.Missed), float64(a.Requests), surely)
	seen := fmt.Sprintf("%d of %d missed their deadline (%.3g%% [%.3g%%, %.3g%%])", a.Missed, a.Requests, 100*a.Share, 100*a.Low, 100*a.High)
	switch {
	case high <= allowed:
		return cell.Reproduced, seen
	case low > allowed:
		return cell.Refuted, seen
	}
	return cell.NotIdentified, fmt.Sprintf("%s: with so many, %d would tell whether no more than %g%% do", seen, Needed(a.Missed, allowed), 100*allowed)
}

// shareOf returns the ends of the exact one-sided intervals, at a level of confidence,
// of a share of which k of n were seen (Clopper and Pearson, Biometrika 26, 1934);
// neither need be whole.
func shareOf(k, n, level float64) (low, high float64) {
	low, high = 0, 1
	if k > 0 {
		low = mathext.InvRegIncBeta(k, n-k+1, 1-level)
	}
	if k < n {
		high = mathext.InvRegIncBeta(k+1, n-k, level)
	}
	return low, high
}
