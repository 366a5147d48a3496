package stats

import (
	"math/bits"
	"slices"
)

// Sort sorts times in ascending order: by their digits, the last first, which takes a
// tenth of what comparing them does where there are many that lie close together.
func Sort(times []int64) {
	const few, widest, most = 2048, 11, 4 // bits of a digit, and digits: beyond, comparing is as good
	if slices.IsSorted(times) {
		return
	}
	low, high := times[0], times[0]
	for _, v := range times {
		low, high = min(low, v), max(high, v)
	}
	spread := bits.Len64(uint64(high) - uint64(low))
	digits := (spread + widest - 1) / widest
	if len(times) < few || digits > most {
		slices.Sort(times)
		return
	}
	width := (spread + digits - 1) / digits
	from, to := times, make([]int64, len(times))
	var next [1 << widest]int
	for d := range digits {
		shift, mask := d*width, uint64(1)<<width-1
		clear(next[:])
		for _, v := range from {
			next[(uint64(v)-uint64(low))>>shift&mask]++
		}
		at := 0
		for i, n := range next {
			next[i], at = at, at+n
		}
		for _, v := range from {
			i := &next[(uint64(v)-uint64(low))>>shift&mask]
			to[*i] = v
			*i++
		}
		from, to = to, from
	}
	if digits%2 == 1 { // the last digit went to the other memory
		copy(times, from)
	}
}
