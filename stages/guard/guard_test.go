package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/twin"
	"barograph/stages/guard"
)

func parse(t testing.TB, text string) guard.Policy {
	t.Helper()
	p, err := guard.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Copies 64 MiB by two streams that have one chunk of 2 MiB in flight each, over a
// link of 55 GB/s. A victim in the same process waits for two chunks at most, and for
// what the link's constant allows.
func ExampleGuard_Copy() {
	policy, err := guard.Parse("window/2MiB/streams:2")
	if err != nil {
		fmt.Println(err)
		return
	}
	link := guard.Link{Capacity: 55e9, Queue: guard.Turns, Constant: 50 * time.Microsecond}
	load := guard.Shape{Streams: 16, Chunk: 64 << 20, InFlight: 1}
	fmt.Println(policy.Bound(load, link))

	g, err := guard.New(policy, load, link, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	from, to := bytes.Repeat([]byte{1}, 64<<20), make([]byte, 64<<20)
	memory := guard.Memory{To: to, From: from}
	err = g.Copy(context.Background(), []guard.Stream{memory, memory}, int64(len(from)))
	fmt.Println(err, bytes.Equal(from, to), g.Report().Copies)

	naive, err := guard.Parse("chunks/2MiB")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = naive.Bound(load, link)
	fmt.Println(err)
	// Output:
	// 126.261µs <nil>
	// <nil> true 32
	// no bound: the copy engine stays with a stream that has more ready, and each has 32 copies
}

// h100 is a link like that of an H100, with turns.
func h100() twin.Link {
	l := twin.Link{Overhead: 2.7e3, Switch: 1e3}
	for d := range l.Bandwidth {
		l.Bandwidth[d], l.Turn[d] = 55e9, 1.05e6
	}
	return l
}

// A trial is a victim of 1 ms that copies so many bytes out beside a load under a policy,
// simulated. It returns the largest wait of a call for the link and how many calls there
// were.
func trial(t testing.TB, policy string, link twin.Link, of guard.Link, process int, out, until int64) (largest time.Duration, calls int, r guard.Report) {
	t.Helper()
	p := parse(t, policy)
	load := guard.Shape{Streams: 16, Chunk: 64 << 20, InFlight: 1}
	page := guard.NewPage()
	g, err := guard.New(p, load, of, page)
	if err != nil {
		t.Fatal(err)
	}
	s := g.Shape()
	l := twin.Load{
		Process: process, Threads: s.Streams, Block: s.Chunk, Outstanding: s.InFlight, Directions: []device.Direction{device.D2H},
		Guard: g, Gap: 5e3, Jitter: 2e3,
	}
	alone := link.Copies(nil, []int64{out}, false)
	rng := rand.New(rand.NewPCG(1, 2))
	compute := int64(0)
	service := &twin.Service{
		Start: 1e6, Out: []int64{out}, Page: page,
		Compute: func(int64) int64 { compute = 1e6 + rng.Int64N(1e5); return compute },
		Done: func(c twin.Call) bool {
			largest = max(largest, time.Duration(c.Latency-compute-alone))
			calls++
			return true
		},
	}
	link.Run([]twin.Load{l}, []*twin.Service{service}, until, 1)
	return largest, calls, g.Report()
}

// result is what the victim of a trial copies out: 396 KiB.
const result = 396 << 10

// A million simulated copies beside a victim: not one wait beyond the bound, neither
// of the victim nor of the copies themselves. So it is where the link is as slow at times
// as the bound allows for, and where copies of the victim's that are longer than the bound
// are served in between; where it is slower yet, the guard says so.
func TestMillionCopies(t *testing.T) {
	slow := twin.Slow{Every: 400e6, For: 60e6, Times: 2.5}
	for _, tt := range []struct {
		policy  string
		process int
		seconds int64
		slow    twin.Slow
		out     int64
	}{
		{policy: "window/2MiB/streams:2", seconds: 45, out: result},
		{policy: "window/2MiB", process: 1, seconds: 5, out: result},
		{policy: "window/2MiB/streams:2/credit:1", process: 1, seconds: 5, out: result},
		{policy: "window/2MiB", process: 1, seconds: 5, slow: slow, out: result},
		{policy: "window/2MiB/streams:2/credit:1", process: 1, seconds: 5, slow: slow, out: result},
		{policy: "window/2MiB", process: 1, seconds: 5, out: 6 << 20},
	} {
		of := guard.Link{Capacity: 55e9, Queue: guard.Turns, Overhead: 3700, Slow: max(1, tt.slow.Times), Constant: 50 * time.Microsecond, Processes: tt.process, Outputs: true}
		bound, err := parse(t, tt.policy).Bound(guard.Shape{Streams: 16, Chunk: 64 << 20, InFlight: 1}, of)
		if err != nil {
			t.Fatal(err)
		}
		link := h100()
		link.Slow = tt.slow
		largest, calls, r := trial(t, tt.policy, link, of, tt.process, tt.out, tt.seconds*1e9)
		t.Logf("%s, process %d: bound %v; %d calls, largest wait %v; %+v", tt.policy, tt.process, bound, calls, largest, r)
		own := time.Duration(float64(tt.out) / of.Capacity * 1e9)
		room := of.Constant // which a link without slow times does not need
		if of.Slow > 1 {
			room = 0
		}
		if largest > bound-room+time.Duration(float64(own)*(of.Slow-1)) || r.Longest > bound+time.Duration(float64(own)*of.Slow) || tt.out > result && r.Longest < bound {
			t.Errorf("%s: bound %v, but the victim waited %v, a copy %v", tt.policy, bound, largest, r.Longest)
		}
		if r.Violations != 0 || r.Bound != bound || (r.Slow > 0) != (of.Slow > 1) || (r.Usual < bound) != (of.Slow > 1) {
			t.Errorf("%s: bound %v, and the guard saw %+v", tt.policy, bound, r)
		}
		if r.Copies < 18e3*tt.seconds || calls < int(800*tt.seconds) {
			t.Errorf("%s: %d copies, %d calls", tt.policy, r.Copies, calls)
		}
		if of.Slow == 1 {
			continue
		}
		of.Slow = 1.4 // what a copy costs beside its bytes is no slower
		if _, _, r = trial(t, tt.policy, link, of, tt.process, tt.out, 1e9); r.Violations == 0 {
			t.Errorf("%s: a link that is slower than was said broke no bound: %+v", tt.policy, r)
		}
	}
}

// A guard counts beside a victim's calls: neither while it prepares, nor once it is done.
func TestSawBesideCalls(t *testing.T) {
	page := guard.NewPage()
	g, err := guard.New(parse(t, "window/1MiB"), guard.Shape{}, guard.Link{Capacity: 1e9, Outputs: true}, page)
	if err != nil {
		t.Fatal(err)
	}
	const usual, long = 1e6, 9e6 // ns for a copy: within the bound, and not
	saw := func(want guard.Report, waits ...int64) {
		t.Helper()
		for _, wait := range waits {
			g.Saw(0, wait)
		}
		want.Bound, want.Usual = g.Report().Bound, g.Report().Usual
		if got := g.Report(); got != want {
			t.Errorf("it saw %+v, want %+v", got, want)
		}
	}
	saw(guard.Report{Copies: 1, Violations: 1, Longest: long}, long) // nobody has told of calls
	v := page.Victim()
	v.Moves(1e9, 1e6)
	now := int64(1)
	for range 16 {
		v.Begin(now)
		now += 5e6
		saw(guard.Report{Copies: 1, Violations: 1, Longest: long}, long)
	}
	v.Begin(now)
	saw(guard.Report{Copies: 1, Longest: usual}, usual)
	saw(guard.Report{Copies: 2, Longest: usual + 0.9e6}, usual+0.9e6)  // with the results of one call
	saw(guard.Report{Copies: 3, Longest: 2.8e6, Violations: 1}, 2.8e6) // of two, which do not end so soon
	saw(guard.Report{Copies: 4, Longest: long, Violations: 2}, long)   // of two, which have 2 of the 9 ms
	saw(guard.Report{Copies: 5, Longest: long, Violations: 2}, usual)
	v.End(now + 5e6)
	saw(guard.Report{Copies: 5, Longest: long, Violations: 2}, long)
}

// What has no bound has none: naive chunks let next to no call through, and two
// copies ready in another process cost a turn.
func TestNoBound(t *testing.T) {
	of := guard.Link{Capacity: 55e9, Queue: guard.Turns}
	if _, calls, _ := trial(t, "chunks/1MiB", h100(), of, 0, result, 1e9); calls > 10 {
		t.Errorf("naive chunks let %d calls through in a second", calls)
	}
	of.Processes = 1
	if largest, _, _ := trial(t, "window/4MiB/streams:2", h100(), of, 1, result, 1e9); largest < 900*time.Microsecond {
		t.Errorf("two copies ready in another process held the victim up by %v at most, want a turn", largest)
	}
}

// The loop finds a window that keeps the victim's target, where it begins with one
// that does not.
func TestLoopHoldsTarget(t *testing.T) {
	of := guard.Link{Capacity: 55e9, Queue: guard.Turns, Processes: 1}
	wait := func(policy string) (kept float64, late int) {
		page := guard.NewPage()
		g, err := guard.New(parse(t, policy), guard.Shape{Streams: 2, Chunk: 4 << 20, InFlight: 1}, of, page)
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		l := twin.Load{
			Process: 1, Threads: 2, Block: 4 << 20, Outstanding: 1, Directions: []device.Direction{device.D2H}, Guard: g, Gap: 5e3,
			Done: func(_ int, c device.Copy) bool { sum += c.Bytes; return true },
		}
		// It computes for a little longer than a turn, and so waits for two.
		service := &twin.Service{Out: []int64{396 << 10}, Page: page, Compute: func(int64) int64 { return 1.2e6 }, Done: func(c twin.Call) bool {
			if c.Scheduled > 1e9 && c.Latency > 1.4e6 {
				late++
			}
			return true
		}}
		link := h100()
		link.Run([]twin.Load{l}, []*twin.Service{service}, 4e9, 1)
		return float64(sum) / 4 / 55e9, late
	}
	_, late := wait("window/4MiB/streams:2")
	kept, loop := wait("loop/1.4ms/4MiB/streams:2/cool_down:10s")
	if late < 1000 || loop != 0 || kept < 0.85 {
		t.Errorf("%d calls came late under the window and %d under the loop, which kept %.2f of the link", late, loop, kept)
	}
}

// Beside loads that step aside a victim waits for next to nothing, in their process
// and in another, where they keep as much of the link as one that does not. In the
// first calls and in one of ten it is earlier than it told. A link that is slower for a
// while makes a call late, and no more once the load has seen it.
func TestAside(t *testing.T) {
	slow := twin.Slow{Every: 400e6, For: 60e6, Times: 2}
	for _, tt := range []struct {
		policy   string
		process  int
		way      device.Direction
		slow     twin.Slow
		p99, max int64 // ns over the latency alone
		kept     float64
	}{
		{policy: "none", process: 1, way: device.D2H, p99: 700e3, max: 1200e3, kept: 0.97},
		{policy: "aside/8MiB", process: 1, way: device.D2H, p99: 12e3, max: 330e3, kept: 0.94},
		{policy: "aside/8MiB", way: device.D2H, p99: 12e3, max: 330e3, kept: 0.94},
		{policy: "aside/8MiB", process: 1, way: device.H2D, p99: 12e3, max: 330e3, kept: 0.93},
		{policy: "aside/8MiB/streams:2/in_flight:1", process: 1, way: device.D2H, p99: 12e3, max: 330e3, kept: 0.94},
		{policy: "aside/8MiB/lead:60us/small:512KiB", process: 1, way: device.D2H, p99: 14e3, max: 330e3, kept: 0.94},
		{policy: "aside/8MiB/inputs:60us/small:512KiB", way: device.H2D, p99: 14e3, max: 330e3, kept: 0.92},
		{policy: "aside/32MiB/in_flight:1", process: 1, way: device.D2H, slow: slow, p99: 20e3, max: 700e3, kept: 0.87},
		{policy: "aside/8MiB", way: device.D2H, slow: slow, p99: 20e3, max: 330e3, kept: 0.86},
		{policy: "aside/32MiB/in_flight:1", process: 1, way: device.H2D, slow: slow, p99: 20e3, max: 700e3, kept: 0.86},
		{policy: "aside/32MiB/in_flight:1/grow:1", process: 1, way: device.H2D, p99: 12e3, max: 330e3, kept: 0.92},
		{policy: "aside/8MiB/grow:2", way: device.H2D, p99: 12e3, max: 330e3, kept: 0.92},
	} {
		link := h100()
		link.Slow = tt.slow
		of := guard.Link{Capacity: 55e9, Queue: guard.Turns, Overhead: 2700, Constant: guard.Constant}
		of.Processes, of.Inputs, of.Outputs = tt.process, tt.way == device.H2D, tt.way == device.D2H
		page := guard.NewPage()
		g, err := guard.New(parse(t, tt.policy), guard.Shape{Streams: 2, Chunk: 64 << 20, InFlight: 1}, of, page)
		if err != nil {
			t.Fatal(err)
		}
		s, sum := g.Shape(), 0.0
		l := twin.Load{
			Process: tt.process, Threads: s.Streams, Block: s.Chunk, Outstanding: s.InFlight, Directions: []device.Direction{tt.way}, Guard: g, Gap: 5e3,
			Done: func(_ int, c device.Copy) bool { sum += float64(c.Bytes); return true },
		}
		in, out := []int64{64 << 10}, []int64{396 << 10}
		alone := link.Copies(in, out, false)
		rng, compute := rand.New(rand.NewPCG(1, 2)), int64(0)
		var waits []int64
		calls := int64(0)
		service := &twin.Service{
			Start: 1e6, In: in, Out: out, Page: page,
			Compute: func(int64) int64 { compute = int64(1.2e6 * (1 + 0.003*rng.NormFloat64())); return compute },
			Done: func(c twin.Call) bool {
				waits = append(waits, c.Latency-compute-alone)
				calls += c.Latency
				return true
			},
		}
		const until = 4e9
		link.Run([]twin.Load{l}, []*twin.Service{service}, until, 1)
		slices.Sort(waits)
		p99, most, kept := waits[len(waits)*99/100], waits[len(waits)-1], sum/until*1e9/55e9
		t.Logf("%s, process %d, %v: p99 %d ns, max %d ns, %.3f of the link; %+v", tt.policy, tt.process, tt.way, p99, most, kept, g.Report())
		if none := tt.policy == "none"; none != (p99 > tt.p99) || most > tt.max || kept < tt.kept || !none && tt.slow.Every == 0 && g.Report().Violations > 0 {
			t.Errorf("%s, process %d, %v: p99 %d ns, max %d ns, %.3f of the link; %+v", tt.policy, tt.process, tt.way, p99, most, kept, g.Report())
		}
		own := in[0]
		if of.Outputs {
			own = out[0]
		}
		if left := of.Left(own, 1, time.Duration(calls/int64(len(waits)))); kept > left {
			t.Errorf("%s, process %d, %v: %.4f of the link, of which the victim leaves %.4f", tt.policy, tt.process, tt.way, kept, left)
		}
	}
}

// Inputs that are sent later than a call begins wait in one process until the engine has
// served all copies of a stream that has more ready, and with one in flight for that one.
func TestLateInputs(t *testing.T) {
	for _, tt := range []struct {
		policy string
		least  int64 // ns over the latency alone, of the call that waits longest
		most   int64
	}{
		{"aside/8MiB/in_flight:3", 1100e3, 1600e3},
		{"aside/8MiB/in_flight:1", 50e3, 170e3},
		{"aside/8MiB/in_flight:1/streams:2", 150e3, 320e3},
	} {
		link, page := h100(), guard.NewPage()
		of := guard.Link{Capacity: 55e9, Queue: guard.Turns, Overhead: 2700, Constant: guard.Constant, Inputs: true}
		g, err := guard.New(parse(t, tt.policy), guard.Shape{}, of, page)
		if err != nil {
			t.Fatal(err)
		}
		s := g.Shape()
		l := twin.Load{Threads: s.Streams, Block: s.Chunk, Outstanding: s.InFlight, Directions: []device.Direction{device.H2D}, Guard: g, Gap: 5e3}
		in, lag, longest, calls := []int64{600 << 10}, int64(0), int64(0), 0
		alone := link.Copies(in, nil, false)
		service := &twin.Service{
			Start: 1e6, In: in, Page: page, Compute: func(int64) int64 { return 1.2e6 },
			Lag: func() int64 {
				lag = 0
				if calls%50 == 49 {
					lag = 70e3
				}
				return lag
			},
			Done: func(c twin.Call) bool {
				calls++
				if calls > 50 { // the first are not foretold
					longest = max(longest, c.Latency-lag-1.2e6-alone)
				}
				return true
			},
		}
		link.Run([]twin.Load{l}, []*twin.Service{service}, 2e9, 1)
		t.Logf("%s: %d calls, the longest waited for %d ns", tt.policy, calls, longest)
		if longest < tt.least || longest > tt.most || calls < 1000 {
			t.Errorf("%s: %d calls, and the longest waited for %d ns: want %d to %d", tt.policy, calls, longest, tt.least, tt.most)
		}
	}
}

// What a model moves is no load's: of GPT-2 that decodes an eighth, whatever the policy.
func TestLeft(t *testing.T) {
	l := guard.Link{Capacity: 55e9, Overhead: 5 * time.Microsecond}
	for _, tt := range []struct {
		bytes  int64
		copies int
		call   time.Duration
		want   float64
	}{{9_437_192, 2, 1360 * time.Microsecond, 0.8665}, {396_288, 2, 1290 * time.Microsecond, 0.987}, {0, 0, time.Millisecond, 1}, {55e9, 1, time.Millisecond, 0}} {
		if got := l.Left(tt.bytes, tt.copies, tt.call); math.Abs(got-tt.want) > 5e-4 {
			t.Errorf("%d bytes in %d copies of a call of %v leave %.4f, want %.4f", tt.bytes, tt.copies, tt.call, got, tt.want)
		}
	}
}

// A victim cannot keep a load off the link for ever: neither by calls without end, nor
// by one that it never ends.
func TestAsideGoesOn(t *testing.T) {
	page := guard.NewPage()
	g, err := guard.New(parse(t, "aside/1MiB/most:1ms"), guard.Shape{}, guard.Link{Capacity: 1e9}, page)
	if err != nil {
		t.Fatal(err)
	}
	v, copies, now := page.Victim(), 0, int64(1e9)
	for ; now < 1.1e9; now += 50e3 {
		if now < 1.05e9 {
			v.Begin(now)
		}
		if p, _, ok := g.Try(now, 1<<20); ok {
			copies++
			g.Leave(p, now, now)
		}
		if now == 1.05e9 && (copies < 40 || copies > 60) {
			t.Errorf("beside calls without end %d copies went in 50 ms, and one in each was to", copies)
		}
	}
	if copies < 900 {
		t.Errorf("beside a call that does not end %d copies went in all", copies)
	}
	v.End(now)
	if p, _, ok := g.Try(now, 1<<20); !ok || p.Bytes != 1<<20 {
		t.Errorf("after the last call the load may copy %d bytes", p.Bytes)
	}
}

// A guard that waits for a victim sees the next call at once, and the end of the load.
func TestAsideWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	page, err := guard.OpenPage(path)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	g, err := guard.New(parse(t, "aside/1MiB/most:1m"), guard.Shape{}, guard.Link{Capacity: 1e9}, page)
	if err != nil {
		t.Fatal(err)
	}
	other, err := guard.OpenPage(path) // of the victim's process
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	v := other.Victim()
	v.Begin(cell.Now())
	page.Victim().End(cell.Now()) // a second one is not heard
	var halt atomic.Bool
	for _, end := range []func(){func() { v.End(cell.Now()) }, func() { halt.Store(true) }} {
		if _, ok := g.EnterNow(1 << 20); ok {
			t.Fatal("a copy went while the victim's call was on")
		}
		entered := make(chan bool)
		go func() {
			p, ok := g.Enter(1<<20, true, &halt)
			if ok {
				g.Leave(p, 0, cell.Now())
			}
			entered <- ok
		}()
		time.Sleep(2 * time.Millisecond)
		end()
		if ok := <-entered; ok == halt.Load() {
			t.Errorf("entered %v, halted %v", ok, halt.Load())
		}
		v.Begin(cell.Now())
	}
}

// Two guards on one page, as in two processes, never have more copies in flight than
// the credits.
func TestSharedCredit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	var flying, most, made atomic.Int64
	var all sync.WaitGroup
	for range 2 {
		page, err := guard.OpenPage(path)
		if err != nil {
			t.Fatal(err)
		}
		defer page.Close()
		g, err := guard.New(parse(t, "window/64KiB/streams:2/credit:3"), guard.Shape{Streams: 2, Chunk: 1 << 20, InFlight: 1}, guard.Link{}, page)
		if err != nil {
			t.Fatal(err)
		}
		var halt atomic.Bool
		for range 2 {
			all.Go(func() {
				for range 2000 {
					p, ok := g.Enter(1, true, &halt)
					if !ok {
						t.Error("halted")
						return
					}
					n := flying.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					now := cell.Now()
					flying.Add(-1)
					g.Leave(p, now, cell.Now())
					made.Add(1)
				}
			})
		}
	}
	all.Wait()
	if most.Load() > 3 || made.Load() != 8000 {
		t.Errorf("%d copies in flight with a credit of 3, %d made", most.Load(), made.Load())
	}
}

// A rate is held by the clock, and no copy begins in a gap.
func TestPaced(t *testing.T) {
	g, err := guard.New(parse(t, "rate/100MB"), guard.Shape{Streams: 1, Chunk: 64 << 10, InFlight: 1}, guard.Link{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var halt atomic.Bool
	sum, begun := 0.0, time.Now()
	for time.Since(begun) < 100*time.Millisecond {
		p, ok := g.Enter(64<<10, true, &halt)
		if !ok {
			t.Fatal("halted")
		}
		g.Leave(p, 0, 1)
		sum += 64 << 10
	}
	// The bucket makes up for time lost, and so only too much is wrong on a busy machine.
	if want := 100e6 * time.Since(begun).Seconds(); sum > want+128<<10 || sum == 0 {
		t.Errorf("%g bytes, and the rate allows %g", sum, want)
	}

	if g, err = guard.New(parse(t, "duty/2ms/8ms/64KiB"), guard.Shape{}, guard.Link{}, nil); err != nil {
		t.Fatal(err)
	}
	for now := int64(0); now < 30e6; now += 1e5 {
		_, at, ok := g.Try(now, 1)
		want := now
		if now%10e6 >= 2e6 {
			want = now - now%10e6 + 10e6
		}
		if !ok || at != want {
			t.Fatalf("at %d ns a copy may begin at %d, want %d", now, at, want)
		}
	}
}

type broken struct{ after int }

func (b *broken) Submit(int64, int64) error {
	if b.after--; b.after < 0 {
		return errors.New("the link is down")
	}
	return nil
}
func (b *broken) Wait() error { return nil }

// An error of a stream ends the others, and one that is cancelled ends early.
func TestCopyEnds(t *testing.T) {
	g, err := guard.New(parse(t, "window/4KiB/streams:2/in_flight:3"), guard.Shape{Streams: 1, Chunk: 1, InFlight: 1}, guard.Link{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	streams := []guard.Stream{&broken{after: 100}, &broken{after: 1 << 30}}
	if err := g.Copy(context.Background(), streams, 1<<40); err == nil || !strings.Contains(err.Error(), "the link is down") {
		t.Errorf("a broken stream gave %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := g.Copy(ctx, []guard.Stream{&broken{after: 1 << 30}, &broken{after: 1 << 30}}, 1<<40); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a cancelled copy gave %v", err)
	}
	if err := g.Copy(context.Background(), streams[:1], 1); err == nil || !strings.Contains(err.Error(), "1 streams, and policy") {
		t.Errorf("too few streams gave %v", err)
	}
}

// What is not a page is not taken for one.
func TestOpenPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := guard.OpenPage(path); err == nil || !strings.Contains(err.Error(), "holds something else") {
		t.Errorf("opened it: %v", err)
	}
}
