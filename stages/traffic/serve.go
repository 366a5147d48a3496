package traffic

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
)

// A Worker answers batches, one after the other.
type Worker struct {
	// On runs a function and returns when it has ended, on the thread that is to answer;
	// nil: on any. The first worker's is that of the caller of Serve.
	On func(func())
	// Call answers a batch of n.
	Call func(n int) error
}

// Serve answers a queue's requests in real time, and returns once all are settled, or
// with ctx's cause between two calls. watch, which may be nil, is told of each request
// that is answered, and how many are settled, one at a time.
func Serve(ctx context.Context, q *Queue, workers []Worker, watch func(settled int, r *Request)) error {
	s := &server{queue: q, watch: watch}
	errs := make([]error, len(workers))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	work := func(i int) {
		if errs[i] = s.work(ctx, workers[i]); errs[i] != nil {
			stop(errs[i])
		}
	}
	for i, w := range workers[1:] {
		group.Go(func() {
			if w.On == nil {
				w.On = func(f func()) { f() }
			}
			w.On(func() { work(i + 1) })
		})
	}
	work(0)
	group.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err // the first one's, and not what it made of the others
		}
	}
	return errors.Join(errs...)
}

type server struct {
	sync.Mutex
	queue *Queue
	watch func(settled int, r *Request)
}

func (s *server) work(ctx context.Context, w Worker) error {
	free, sleeper := cell.Now(), newSleeper()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.Lock()
		batch := s.queue.Take(cell.Now(), free)
		s.Unlock()
		switch {
		case batch.N == 0 && batch.Wake == Never:
			return nil
		case batch.N == 0:
			sleeper.await(ctx, batch.Wake)
			continue
		}
		begun := cell.Now()
		if err := w.Call(batch.N); err != nil {
			return err
		}
		free = cell.Now()
		s.Lock()
		s.queue.Answer(batch, begun, free)
		if s.watch != nil {
			s.queue.Each(batch, func(r *Request) { s.watch(s.queue.settled, r) })
		}
		s.Unlock()
	}
}

// A sleeper waits for times to come: asleep while they are far off, in slices, to notice
// that ctx ends, and watching the clock at the end, since a sleeper wakes late.
type sleeper struct {
	// awake is for how many nanoseconds it watches: twice as long as it ever woke late,
	// which on a virtual processor that was idle is milliseconds.
	awake int64
	now   func() int64 // nanoseconds
	sleep func(nanoseconds int64)
}

const (
	leastAwake = int64(200 * time.Microsecond)
	mostAwake  = int64(10 * time.Millisecond)
	slice      = int64(20 * time.Millisecond)
)

func newSleeper() *sleeper {
	return &sleeper{awake: leastAwake, now: cell.Now, sleep: func(nanoseconds int64) {
		ts := unix.NsecToTimespec(nanoseconds)
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // EINTR only wakes early
	}}
}

// await returns once a time has come, or ctx ends.
func (s *sleeper) await(ctx context.Context, due int64) {
	for ctx.Err() == nil {
		now := s.now()
		left := due - now
		if left <= 0 {
			return
		}
		if left <= s.awake {
			continue
		}
		asleep := min(left-s.awake, slice)
		s.sleep(asleep)
		s.awake = min(max(s.awake, 2*(s.now()-now-asleep)), mostAwake)
	}
}
