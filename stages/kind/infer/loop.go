package infer

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
)

// A Sample is one timed call: when it was due, sent and complete, in nanoseconds
// on the clock of [cell.Now].
type Sample struct{ Scheduled, Start, End int64 }

// Latency runs from the scheduled arrival, so that a stall shows in every call
// it delays (rule 1 of stages/README.md); Start less Scheduled is the lag with
// which it was sent.
func (s Sample) Latency() int64 { return s.End - s.Scheduled }

// loop makes and times len(samples) calls. It allocates nothing; done counts
// the calls for whoever watches. It stops, with ctx's error, between calls.
func loop(ctx context.Context, samples []Sample, at schedule, done *atomic.Int64, call func() error) error {
	begin := cell.Now()
	previous := begin
	for i := range samples {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s := &samples[i]
		s.Scheduled = at(i, begin, previous)
		if s.Start = cell.Now(); s.Start < s.Scheduled {
			if s.Start = await(ctx, s.Scheduled); ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		if err := call(); err != nil {
			return err
		}
		s.End = cell.Now()
		previous = s.End
		done.Store(int64(i + 1))
	}
	return nil
}

// newSamples returns n samples whose memory is there already: a page that is
// touched for the first time costs the call that touches it.
func newSamples(n int) []Sample {
	samples := make([]Sample, n)
	for i := range samples {
		samples[i].End = -1
	}
	return samples
}

// percentile returns the smallest latency that p percent of the samples, p from
// 1 to 100, do not exceed, given their latencies in ascending order.
func percentile(sorted []int64, p int) int64 { return sorted[(p*len(sorted)+99)/100-1] }

// latencies returns the samples' latencies in ascending order.
func latencies(samples []Sample) []int64 {
	l := make([]int64, len(samples))
	for i, s := range samples {
		l[i] = s.Latency()
	}
	slices.Sort(l)
	return l
}

// A schedule says when call i is scheduled, given when the loop began and when
// the call before was complete.
type schedule func(i int, begin, previous int64) int64

// closed is the closed loop: a call is due once the one before is complete.
func closed(_ int, _, previous int64) int64 { return previous }

// at returns arrivals at fixed times after the beginning; a closed loop for nil.
func at(due []int64) schedule {
	if due == nil {
		return closed
	}
	return func(i int, begin, _ int64) int64 { return begin + due[i] }
}

// await returns the time once a call is due: asleep while that is far off, in
// slices, to notice that ctx ends, and watching the clock at the end, since a
// sleeper wakes late.
func await(ctx context.Context, due int64) int64 {
	const awake = int64(200 * time.Microsecond)
	for {
		now := cell.Now()
		left := due - now
		if left <= 0 || ctx.Err() != nil {
			return now
		}
		if left > awake {
			ts := unix.NsecToTimespec(min(left-awake, int64(20*time.Millisecond)))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // EINTR only wakes early
		}
	}
}
