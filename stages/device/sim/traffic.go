package sim

import (
	"encoding/json"
	"fmt"
	"math"

	"barograph/pipeline/cell"
	"barograph/stages/device/twin"
	"barograph/stages/guard"
	"barograph/stages/traffic"
)

// A Traffic is what an inference is asked whose requests do not wait for one another.
// It serves one simulation.
type Traffic struct {
	Course  traffic.Course
	Warmup  int // calls before it
	Workers int
	Model   string // as in [Request]

	page     *guard.Page
	queue    *traffic.Queue
	work     []traffic.Work
	free     []int64
	requests []traffic.Request
	on       bool // the simulation goes on once all are settled
}

// Asked returns what an inference of a trial is asked, by its own parameters; nil: call
// after call.
func Asked(root string, in cell.Input) (*Traffic, error) {
	var p traffic.Params
	if err := json.Unmarshal(in.With, &p); err != nil {
		return nil, fmt.Errorf("read the parameters of %s: %w", in.ID, err)
	}
	course, _, err := p.Course(root, in.Seed)
	if err != nil || course == nil {
		return nil, err
	}
	return &Traffic{Course: course, Warmup: p.Warmup, Workers: p.Workers, Model: Model(in)}, nil
}

// pause is after how long a worker looks again that waits for others to end something.
const pause = 1_000_000

// Serve simulates a trial and returns the requests that were due in it. The machine,
// the gang and a limit are as in [Run].
func Serve(m cell.Machine, gang []cell.Input, v *Traffic, seed uint64, limit int64) ([]traffic.Request, error) {
	t, err := newTrial(m, gang)
	if err != nil {
		return nil, err
	}
	service := t.service(v.Model, seed, nil)
	v.attach(service, t.page)
	until := int64(math.MaxInt64)
	if limit > 0 {
		until = int64(t.param["lead_ns"]) + limit
	}
	t.link.Run(t.loads, []*twin.Service{service}, until, seed)
	if v.queue != nil { // cut off
		v.requests = append(v.requests, v.queue.Abandon(until)...)
	}
	if len(v.requests) == 0 {
		return nil, fmt.Errorf("within the limit of %d ns no request was due after %d calls to warm up", limit, v.Warmup)
	}
	return v.requests, nil
}

// attach has a service take its work from the traffic.
func (v *Traffic) attach(s *twin.Service, page *guard.Page) {
	v.Workers = max(1, v.Workers)
	v.page, v.work, v.free = page, make([]traffic.Work, v.Workers), make([]int64, v.Workers)
	s.Queue, s.Workers = v, v.Workers
}

// Take is as twin.Queue has it.
func (v *Traffic) Take(worker int, now int64) (n int, wake int64) {
	if v.Warmup > 0 {
		if worker == 0 {
			return 1, 0
		}
		return 0, now + pause
	}
	if v.queue == nil && !v.next(now) {
		return v.over()
	}
	w := v.queue.Take(now, v.free[worker])
	switch {
	case w.N > 0:
		v.work[worker] = w
		return w.N, 0
	case w.Wake < traffic.Never:
		return 0, w.Wake
	case v.queue.Settled() < len(v.queue.Requests):
		return 0, now + pause
	}
	v.requests, v.queue = append(v.requests, v.queue.Requests...), nil
	return v.Take(worker, now)
}

// over ends the simulation, or, where it goes on, the work of those that ask.
func (v *Traffic) over() (n int, wake int64) {
	if v.on {
		return 0, traffic.Never
	}
	return 0, -1
}

// next begins the next queue.
func (v *Traffic) next(now int64) bool {
	v.queue = v.Course.Next(now)
	for i := range v.free {
		v.free[i] = now
	}
	return v.queue != nil
}

// Answer is as twin.Queue has it.
func (v *Traffic) Answer(worker int, begun, done int64) bool {
	v.free[worker] = done
	if v.Warmup > 0 {
		v.Warmup--
		return true
	}
	v.queue.Answer(v.work[worker], begun, done)
	v.queue.Each(v.work[worker], func(r *traffic.Request) { v.page.Tell(r.Done - r.Due) })
	return true
}
