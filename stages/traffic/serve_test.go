package traffic

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival"
)

// A stall of 100 ms injected once shows in every request that is due inside it, by
// what was left of it then, however requests arrive.
func TestStallShowsInEveryMode(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"trace.txt": "0\n11\n19\n34\n41\n52\n60\n73\n85\n91\n104\n118\n121\n137\n149\n155\n", "loop.txt": "0\n9\n22\n31\n44\n53\n66\n75\n88\n97\n110\n119\n132\n"} {
		filetest.Write(t, filepath.Join(dir, name), text)
	}
	const stall = 100 * time.Millisecond
	every := unit.Duration(10 * time.Millisecond)
	for _, p := range []arrival.Pattern{
		{Arrivals: "constant", Interval: every}, {Arrivals: "poisson", Interval: every}, {Arrivals: "bursts", Interval: every, Burst: 3},
		{Arrivals: "bursts", Interval: every, Dispersion: 5}, {Arrivals: "camera", Interval: every, Jitter: every / 20},
		{Arrivals: "trace", Trace: "trace.txt", Unit: "ms"}, {Arrivals: "loop", Trace: "loop.txt", Unit: "ms"},
	} {
		due, _, err := p.Schedule(dir, 16, 1)
		if err != nil {
			t.Fatal(err)
		}
		q := NewQueue(due, cell.Now(), Rule{}, Batch{})
		calls, stalled := 0, [2]int64{}
		err = Serve(t.Context(), q, []Worker{{Call: func(int) error {
			if calls++; calls == 3 {
				stalled[0] = cell.Now()
				time.Sleep(stall)
				stalled[1] = cell.Now()
			}
			return nil
		}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		inside := 0
		for i, r := range q.Requests {
			if r.Due-q.Requests[0].Due != due[i]-due[0] || r.Sent < r.Due || r.Begun < r.Sent || r.Done < r.Begun || r.Batch != 1 {
				t.Errorf("%s: request %d: %+v", p.Arrivals, i+1, r)
			}
			if r.Due >= stalled[0] && r.Due < stalled[1] {
				inside++
				if r.Done < stalled[1] || r.Done-r.Due < stalled[1]-r.Due {
					t.Errorf("%s: request %d was due %v before the stall ended, and took %v", p.Arrivals, i+1, time.Duration(stalled[1]-r.Due), time.Duration(r.Done-r.Due))
				}
			}
		}
		if third := q.Requests[2]; third.Done-third.Due < int64(stall) || inside == 0 {
			t.Errorf("%s: the request that stalled took %v, and %d were due meanwhile", p.Arrivals, time.Duration(third.Done-third.Due), inside)
		}
	}
}

// Workers answer side by side, each on its own thread.
func TestWorkers(t *testing.T) {
	q := NewQueue(make([]int64, 8), cell.Now(), Rule{Workers: 4}, Batch{})
	var begun, at, most atomic.Int32
	workers := make([]Worker, 4)
	for i := range workers {
		workers[i] = Worker{
			On: func(f func()) { begun.Add(1); f() },
			Call: func(int) error {
				n := at.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				time.Sleep(20 * time.Millisecond)
				at.Add(-1)
				return nil
			},
		}
	}
	settled := 0
	if err := Serve(t.Context(), q, workers, func(n int, r *Request) {
		if settled = n; !r.Answered() {
			t.Errorf("told of %+v", r)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if begun.Load() != 3 || most.Load() < 2 || settled != 8 {
		t.Errorf("%d workers on threads of their own, %d at once, %d settled", begun.Load(), most.Load(), settled)
	}
}

func TestServeStops(t *testing.T) {
	fault, over := errors.New("fault"), errors.New("the limit is over")
	workers := func(call func(int) error) []Worker { return []Worker{{Call: call}, {Call: call}} }
	q := NewQueue(make([]int64, 1000), cell.Now(), Rule{}, Batch{})
	var calls atomic.Int32
	if err := Serve(t.Context(), q, workers(func(int) error {
		if calls.Add(1) == 5 {
			return fault
		}
		return nil
	}), nil); !errors.Is(err, fault) {
		t.Errorf("a failed call: %v", err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, over)
	defer cancel()
	q = NewQueue([]int64{0, int64(time.Hour)}, cell.Now(), Rule{}, Batch{})
	if err := Serve(ctx, q, workers(func(int) error { return nil }), nil); !errors.Is(err, over) {
		t.Errorf("a limit: %v", err)
	}
	if all := q.Abandon(cell.Now()); len(all) != 1 || !all[0].Answered() {
		t.Errorf("cut off with %+v", all)
	}
}

func TestServeAllocatesNothing(t *testing.T) {
	due := make([]int64, 1000)
	q := NewQueue(due, 0, Rule{Queue: 100}, Batch{Max: 4})
	if n := testing.AllocsPerRun(1, func() {
		*q = Queue{Requests: q.Requests, order: q.order[:0], rule: q.rule, batch: q.batch}
		for w := q.Take(0, 0); w.N > 0; w = q.Take(10, 10) {
			q.Answer(w, 10, 20)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A thread that woke late watches the clock for longer from then on, and is late once.
func TestSleeper(t *testing.T) {
	for _, over := range []int64{0, 4e6, 40e6} { // nanoseconds
		clock := int64(0)
		s := newSleeper()
		s.now = func() int64 { clock += 100; return clock }
		s.sleep = func(nanoseconds int64) { clock += nanoseconds + over }
		for i := range 3 {
			due := clock + 33e6
			s.await(t.Context(), due)
			late, most := clock-due, int64(100)
			if i == 0 || 2*over > mostAwake {
				most = over + 100
			}
			if late < 0 || late > most {
				t.Errorf("sleeps %v too long: time %d: %v late", time.Duration(over), i+1, time.Duration(late))
			}
		}
		if s.awake < min(2*over, mostAwake) || s.awake > max(leastAwake, 2*over+200) || s.awake > mostAwake {
			t.Errorf("sleeps %v too long: watches for %v", time.Duration(over), time.Duration(s.awake))
		}
	}
}
