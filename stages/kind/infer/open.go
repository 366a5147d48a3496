package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device/host"
	"barograph/stages/device/sim"
	"barograph/stages/kind/infer/calls"
	"barograph/stages/kind/infer/session"
	"barograph/stages/model"
	"barograph/stages/result"
	"barograph/stages/traffic"
)

// An asked is what a harness is asked in an open loop, and with what it answers.
type asked struct {
	course   traffic.Course
	sessions [][]*session.Session // of each worker, by the samples of a call from the fewest
	threads  []thread             // of each worker; the first's is that of the harness
	pace     map[string]int64     // of requests that ask for nothing
}

// more opens the sessions of an open loop beside the first: one for each worker, and
// for each size of batch that may be gathered.
func (h *Harness) more(s Setup) error {
	workers, sizes := max(1, s.With.Workers), max(1, s.With.Batch.Max)
	h.sessions, h.threads = make([][]*session.Session, workers), make([]thread, workers)
	for i := range h.sessions {
		if i > 0 {
			h.threads[i] = newThread()
			if err := h.threads[i].do(h.pin); err != nil {
				return fmt.Errorf("worker %d: %w", i+1, err)
			}
		}
		for n := range sizes {
			if i+n == 0 {
				h.sessions[0] = append(h.sessions[0], h.session)
				continue
			}
			w := *s.With
			if w.Batch.Max > 0 {
				w.Batch = traffic.Batch{Size: n + 1}
			}
			x, err := h.open(&w)
			if err != nil {
				return fmt.Errorf("worker %d, batches of %d: %w", i+1, n+1, err)
			}
			h.sessions[i] = append(h.sessions[i], x)
			if err := h.threads[i].do(func() error { return warm(x) }); err != nil {
				return fmt.Errorf("worker %d, batches of %d: %w", i+1, n+1, err)
			}
		}
	}
	return nil
}

// warm calls a session until it is no longer cold. ONNX Runtime captures a CUDA graph
// anew for each thread that calls a session, and while it does no other thread may wait
// for the device, so this comes before any worker answers, on the thread that is to.
func warm(x *session.Session) error {
	for range 3 {
		if err := x.Call(); err != nil {
			return err
		}
	}
	return nil
}

// A thread runs functions on one thread of the operating system; nil is the caller's.
type thread chan func()

func newThread() thread {
	t := make(thread)
	go func() {
		runtime.LockOSThread() // for good: it ends with the goroutine
		for f := range t {
			f()
		}
	}()
	return t
}

// run runs f on the thread, and returns when it has ended.
func (t thread) run(f func()) {
	if t == nil {
		f()
		return
	}
	done := make(chan struct{})
	t <- func() { defer close(done); f() }
	<-done
}

// do runs f on the thread, and returns what it does.
func (t thread) do(f func() error) (err error) {
	t.run(func() { err = f() })
	return err
}

// checkSessions reports that the weights of all sessions together do not fit into this
// computer's memory; a GPU's is known only where it is.
func (w *With) checkSessions(device string, c *model.Config) error {
	workers, sizes := max(1, w.Workers), max(1, w.Batch.Max)
	if workers*sizes == 1 || cell.Family(device) != "host" {
		return nil
	}
	info, err := c.Info()
	if err != nil {
		return err
	}
	if n := int64(workers * sizes); info.InitialiserBytes > session.Memory()/n {
		key := "batch"
		if workers > 1 {
			key = "workers"
		}
		return cell.Hint(fmt.Errorf("%s: %d workers with batches of 1 to %d are %d sessions, each with %v of weights: more than this machine has", key, workers, sizes, n, unit.Size(info.InitialiserBytes)), "lower workers:, or max: of batch")
	}
	return nil
}

// expect readies an open loop, if the cell's calls are one: its course, and what the
// harness adds to requests that ask for nothing. warm are calls in a closed loop without
// a load, if there were any.
func (h *Harness) expect(ctx context.Context, root string, seed uint64, w *With, warm []calls.Sample) error {
	course, made, err := w.traffic().Course(root, seed)
	if err != nil || course == nil {
		return err
	}
	h.About.Schedule = made
	if len(warm) > 0 && w.Deadline > 0 {
		fastest := slices.MinFunc(warm, func(a, b calls.Sample) int { return int(a.End - a.Start - b.End + b.Start) })
		if took := fastest.End - fastest.Start; took > int64(w.Deadline) {
			return unanswerable(fmt.Errorf("deadline is %v, and the fastest of %d calls to warm up took %v: every request would miss it", w.Deadline, len(warm), time.Duration(took)))
		}
	}
	if h.pace, err = pace(ctx); err != nil {
		return err
	}
	h.course = course
	return nil
}

func unanswerable(err error) error {
	return cell.Hint(err, "give a longer deadline:, or a smaller model")
}

// simulatedInTime reports that a simulated device takes longer than its deadline for
// each call of an inference, even without a load: what it takes is known beforehand.
func simulatedInTime(m cell.Machine, in cell.Input) error {
	w := Kind().With().(*With)
	if cell.Family(m.Device) != "sim" || json.Unmarshal(in.With, w) != nil || w.Deadline <= 0 {
		return nil
	}
	const count = 100
	alone, err := sim.Run(m, nil, sim.Request{Calls: count, Seed: 1, Model: w.Model.Name})
	if err != nil {
		return err
	}
	fastest := slices.MinFunc(alone, func(a, b sim.Call) int { return int(a.Latency - b.Latency) })
	if fastest.Latency > int64(w.Deadline) {
		return unanswerable(fmt.Errorf("deadline is %v, and the fastest of %d simulated calls without a load takes %v: every request would miss it", w.Deadline, count, time.Duration(fastest.Latency)))
	}
	return nil
}

// pace has requests answered that ask for nothing, 10,000 a second, and returns
// quantiles of their lag in nanoseconds.
func pace(ctx context.Context) (map[string]int64, error) {
	const count, every = 2000, int64(100 * time.Microsecond)
	due := make([]int64, count)
	for i := range due {
		due[i] = int64(i) * every
	}
	q := traffic.NewQueue(due, cell.Now()+every, traffic.Rule{}, traffic.Batch{})
	if err := traffic.Serve(ctx, q, []traffic.Worker{{Call: func(int) error { return nil }}}, nil); err != nil {
		return nil, fmt.Errorf("pace empty requests: %w", err)
	}
	var lag []int64
	for _, r := range q.Requests {
		if r.Answered() {
			lag = append(lag, r.Sent-r.Due)
		}
	}
	return calls.Quantiles(lag), nil
}

// serve answers all that is asked, and counts what is settled.
func (h *Harness) serve(ctx context.Context, done *atomic.Int64) ([]calls.Sample, error) {
	workers := make([]traffic.Worker, len(h.sessions))
	for i, sessions := range h.sessions {
		workers[i] = traffic.Worker{On: h.threads[i].run, Call: func(n int) error { return sessions[n-1].Call() }}
	}
	if swap := h.session.Swap; swap != nil { // of one session, which answers one request at a time
		workers[0].Call = func(int) error {
			start := cell.Now()
			err := swap()
			h.moved = append(h.moved, cell.Now()-start)
			return errors.Join(err, h.session.Call())
		}
	}
	if v := h.victim; v != nil { // which is one call at a time
		untold := workers[0].Call
		workers[0].Call = func(n int) error {
			v.Begin(cell.Now())
			defer func() { v.End(cell.Now()) }()
			return untold(n)
		}
	}
	var requests []traffic.Request
	const soon = int64(time.Millisecond) // for the workers' threads to be there
	for q := h.course.Next(cell.Now() + soon); q != nil; q = h.course.Next(cell.Now() + soon) {
		before := int64(len(requests))
		err := traffic.Serve(ctx, q, workers, func(settled int, r *traffic.Request) {
			done.Store(before + int64(settled))
			if h.answered != nil {
				h.answered(r.Due)
			}
			if h.page != nil {
				h.page.Tell(r.Done - r.Due)
			}
		})
		if errors.Is(err, errLimit) && done.Load() > 0 {
			h.limited = true
			return calls.Answered(append(requests, q.Abandon(cell.Now())...)), nil
		}
		if err != nil {
			return nil, err
		}
		requests = append(requests, q.Requests...)
	}
	return calls.Answered(requests), nil
}

// pin gives a further worker's thread the processors of the first.
func (h *Harness) pin() error {
	if h.About.CPUs == nil {
		return nil
	}
	return host.PinThread(h.About.CPUs)
}

// told says how the requests of an open loop were answered; nil for a closed one.
func (w *With) told(samples []calls.Sample, course traffic.Course) (*result.Traffic, error) {
	if course == nil {
		return nil, nil
	}
	t := &result.Traffic{
		Deadline: int64(w.Deadline), Queue: w.Queue, Drop: w.Drop, Workers: max(1, w.Workers), Gather: w.Batch.Max, Wait: int64(w.Batch.Wait),
		Every: (samples[len(samples)-1].Scheduled - samples[0].Scheduled) / int64(max(1, len(samples)-1)),
	}
	var answered []calls.Sample
	lag, busy := int64(0), int64(0)
	for _, s := range samples {
		if s.Batch == 0 {
			t.Dropped++
			continue
		}
		answered = append(answered, s)
		if s.Deadline > 0 && s.End > s.Deadline {
			t.Late++
		}
		lag += (s.Sent - s.Scheduled) / int64(s.Batch)
		busy += (s.End - s.Start + s.Sent - s.Scheduled) / int64(s.Batch)
	}
	var err error
	if t.Carried, err = course.Carried(); err != nil {
		return nil, fmt.Errorf("the rate that is carried: %w", err)
	}
	if t.Carried != nil {
		for i := range samples {
			samples[i].Probe = 1 + i/w.Calls
		}
	}
	if t.Answered = len(answered); t.Answered == 0 {
		return t, nil
	}
	t.Share = float64(lag) / float64(max(1, busy))
	last := answered[len(answered)-1]
	if t.Carried == nil { // else some probes are meant to be too fast
		t.Behind = last.Start - last.Scheduled
	}
	t.Latency = calls.Percentile(calls.Latencies(answered), 99)
	for i, s := range answered {
		answered[i].Scheduled, answered[i].End = 0, s.Sent-s.Scheduled
	}
	t.Lag = calls.Quantiles(calls.Latencies(answered))
	return t, nil
}
