// Package calls makes timed calls in a closed loop, and keeps those of any loop: what they
// are, how long they took, and their file.
package calls

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"barograph/pipeline/cell"
	"barograph/stages/traffic"
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

// Loop makes and times len(samples) calls in a closed loop, in which a call is due once
// the one before is complete. It allocates nothing; done counts
// the calls for whoever watches. It stops, with ctx's error, between calls. At least so
// often, in nanoseconds, it gives its processor up between calls, and a call is then due
// when it is back; 0: never.
func Loop(ctx context.Context, samples []Sample, done *atomic.Int64, yield int64, call func() error) error {
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

// Collected has each of a group of calls complete with the last of them, with which its
// result is there.
func Collected(samples []Sample, group int) {
	for ; group > 1 && len(samples) >= group; samples = samples[group:] {
		for i := range samples[:group] {
			samples[i].End = samples[group-1].End
		}
	}
}

// New returns n samples whose memory is there already: a page that is
// touched for the first time costs the call that touches it.
func New(n int) []Sample {
	samples := make([]Sample, n)
	for i := range samples {
		samples[i].End = -1
	}
	return samples
}

// Percentile returns the smallest latency that p percent of the samples, p from
// 1 to 100, do not exceed, given their latencies in ascending order.
func Percentile(sorted []int64, p int) int64 { return sorted[(p*len(sorted)+99)/100-1] }

// Latencies returns the samples' latencies in ascending order.
func Latencies(samples []Sample) []int64 {
	l := make([]int64, len(samples))
	for i, s := range samples {
		l[i] = s.Latency()
	}
	slices.Sort(l)
	return l
}

// Window is from when the first of some samples was due until the last was complete.
func Window(samples []Sample) [2]int64 {
	w := [2]int64{samples[0].Scheduled, 0}
	for _, s := range samples {
		w[1] = max(w[1], s.End)
	}
	return w
}

// Answered returns a sample for each request. One that was dropped had not been
// answered when the trial ended, and its latency is for that long.
func Answered(requests []traffic.Request) []Sample {
	end := int64(0)
	for _, r := range requests {
		end = max(end, r.Done)
	}
	samples := make([]Sample, len(requests))
	for i, r := range requests {
		samples[i] = Sample{r.Due, r.Begun, r.Done, r.Sent, r.Deadline, r.Batch, 0, 0}
		if !r.Answered() {
			samples[i].End = max(end, r.Due+1)
		}
	}
	return samples
}

// Metrics are the numbers for the run's display. A p99 of fewer calls than 299
// would say nothing (0.99^299 < 0.05).
func Metrics(samples []Sample) map[string]float64 {
	l := Latencies(samples)
	m := map[string]float64{"p50_ns": float64(Percentile(l, 50))}
	if len(l) >= 299 {
		m["p99_ns"] = float64(Percentile(l, 99))
	}
	return m
}

// Quantiles are some of times, in nanoseconds; nil of none.
func Quantiles(times []int64) map[string]int64 {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	return map[string]int64{"p50": Percentile(times, 50), "p99": Percentile(times, 99), "max": Percentile(times, 100)}
}

// Write leaves samples in a file, with columns of [result.CallColumns] by their names.
func Write(path string, names []string, samples []Sample) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	fmt.Fprintln(b, strings.Join(names, ","))
	var line []byte
	for i, s := range samples {
		line = line[:0]
		for j, name := range names {
			if j > 0 {
				line = append(line, ',')
			}
			line = strconv.AppendInt(line, s.value(name, i), 10)
		}
		b.Write(append(line, '\n')) // the error stays with b until Flush
	}
	if err := errors.Join(b.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
