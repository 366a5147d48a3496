package infer

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"

	"barograph/pipeline/cell"
)

// A Sample is one timed call: when it was due, sent and complete, in nanoseconds
// on the clock of [cell.Now]. Where calls do not wait for one another it is one
// request, with what package traffic has of it.
type Sample struct {
	Scheduled, Start, End int64
	Sent, Deadline        int64
	Batch                 int // 0: it was dropped
	Probe                 int // from 1 on, where a rate is sought
	Round                 int // from 1 on, where tenants are measured
}

// value returns what calls.csv holds of the i-th sample in a column, see
// [result.CallColumns].
func (s *Sample) value(column string, i int) int64 {
	switch column {
	case "call":
		return int64(i + 1)
	case "scheduled_ns":
		return s.Scheduled
	case "start_ns":
		return s.Start
	case "latency_ns":
		return s.Latency()
	case "sent_ns":
		return s.Sent
	case "deadline_ns":
		return s.Deadline
	case "answered_with":
		return int64(s.Batch)
	case "probe":
		return int64(s.Probe)
	}
	return int64(s.Round)
}

// Latency runs from the scheduled arrival, so that a stall shows in every call
// it delays (rule 1 of stages/README.md); Start less Scheduled is the lag with
// which it was sent.
func (s Sample) Latency() int64 { return s.End - s.Scheduled }

// loop makes and times len(samples) calls in a closed loop, in which a call is due once
// the one before is complete. It allocates nothing; done counts
// the calls for whoever watches. It stops, with ctx's error, between calls. At least so
// often, in nanoseconds, it gives its processor up between calls, and a call is then due
// when it is back; 0: never.
func loop(ctx context.Context, samples []Sample, done *atomic.Int64, yield int64, call func() error) error {
	previous := cell.Now()
	yielded := previous
	for i := range samples {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s := &samples[i]
		s.Scheduled, s.Start = previous, cell.Now()
		if err := call(); err != nil {
			return err
		}
		s.End = cell.Now()
		previous = s.End
		if yield > 0 && previous-yielded >= yield {
			runtime.Gosched()
			previous = cell.Now()
			yielded = previous
		}
		done.Store(int64(i + 1))
	}
	return nil
}

// collected has each of a group of calls complete with the last of them, with which its
// result is there.
func collected(samples []Sample, group int) {
	for ; group > 1 && len(samples) >= group; samples = samples[group:] {
		for i := range samples[:group] {
			samples[i].End = samples[group-1].End
		}
	}
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
