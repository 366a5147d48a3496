package drive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/host"
	"barograph/stages/guard"
	"barograph/stages/kind/stress/tape"
)

// taped returns tapes that hold these copies, one per thread and direction.
func taped(t interface{ Fatal(...any) }, threads ...[]device.Copy) []*tape.Tape {
	stop := make(chan struct{})
	defer close(stop)
	spare := tape.Spares(1, 1<<20, stop)
	all := []device.Direction{device.H2D, device.D2H, device.D2D, device.H2H}
	tapes := tape.New(device.Load{Threads: len(threads), Directions: all}, 1<<20)
	for i, copies := range threads {
		for _, c := range copies {
			if err := tapes[len(all)*i+int(c.Direction)].Add(c, spare); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tapes
}

// drawThreads draws what lanes may record: in each direction one copy after
// another.
func drawThreads(t *rapid.T) (threads [][]device.Copy, total [device.NumDirections]float64, end int64) {
	threads = make([][]device.Copy, rapid.IntRange(1, 4).Draw(t, "threads"))
	for i := range threads {
		var at [device.NumDirections]int64
		for range rapid.IntRange(0, 40).Draw(t, "copies") {
			d := device.Direction(rapid.IntRange(0, device.NumDirections-1).Draw(t, "direction"))
			c := device.Copy{
				Start: at[d] + rapid.Int64Range(0, 50).Draw(t, "gap"), Duration: rapid.Int64Range(1, 100).Draw(t, "duration"),
				Bytes: rapid.Int64Range(1, 1<<30).Draw(t, "bytes"), Direction: d,
			}
			at[d] = c.End()
			end = max(end, c.End())
			total[d] += float64(c.Bytes)
			threads[i] = append(threads[i], c)
		}
	}
	return threads, total, end
}

// However time is cut into windows, each byte is in exactly one of them.
func TestAdjacentWindowsHoldEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threads, total, end := drawThreads(t)
		tapes := taped(t, threads...)
		var sum [device.NumDirections]float64
		edge := int64(0)
		for edge < end {
			next := edge + rapid.Int64Range(1, 2000).Draw(t, "window")
			for d, v := range tape.Within(tapes, edge, next) {
				sum[d] += v
			}
			edge = next
		}
		for d := range sum {
			if math.Abs(sum[d]-total[d]) > 1e-6*total[d] {
				t.Fatalf("direction %d: windows hold %g of %g bytes", d, sum[d], total[d])
			}
		}
	})
}

func TestWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threads, _, _ := drawThreads(t)
		tapes := taped(t, threads...)
		want := 0
		for _, tp := range tapes {
			want += tp.Len()
		}
		var b bytes.Buffer
		if err := tape.Write(&b, tapes); err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:]
		if len(lines) != want {
			t.Fatalf("%d rows of %d copies", len(lines), want)
		}
		left := map[string]int{}
		for i, copies := range threads {
			for _, c := range copies {
				left[fmt.Sprintf("%d,%d,%d,%d,%v", i, c.Start, c.Bytes, c.Duration, c.Direction)]++
			}
		}
		last := int64(-1)
		for _, l := range lines {
			var thread, start int64
			if _, err := fmt.Sscanf(l, "%d,%d", &thread, &start); err != nil || start < last {
				t.Fatalf("row %q after a start of %d, %v", l, last, err)
			}
			last = start
			if left[l]--; left[l] < 0 {
				t.Fatalf("row %q is no copy", l)
			}
		}
	})
	if err := tape.Write(brokenWriter{}, nil); err == nil {
		t.Error("a full disk went unnoticed")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestSteadyRule(t *testing.T) {
	const ms = int64(time.Millisecond)
	// Copies of 1 ms back to back for 400 ms, with bytes by the ms.
	series := func(bytes func(i int64) int64) (c []device.Copy) {
		for i := range int64(400) {
			c = append(c, device.Copy{Start: i * ms, Duration: ms, Bytes: bytes(i)})
		}
		return c
	}
	for _, tt := range []struct {
		name   string
		copies []device.Copy
		rate   float64
		since  int64
		want   bool
	}{
		{"level", series(func(int64) int64 { return 1000 }), 0, 0, true},
		{"level after a ramp", series(func(i int64) int64 { return 10 * min(i, 100) }), 0, 0, true},
		{"too short", series(func(int64) int64 { return 1000 }), 0, 150 * ms, false},
		{"rising by 3% a window", series(func(i int64) int64 { return 1000 * (1000 + 3*i/10) / 1000 }), 0, 0, false},
		{"rising by 2% a window", series(func(i int64) int64 { return 100000 * (10000 + 2*i) / 10000 }), 0, 0, true},
		{"a dip in the middle", series(func(i int64) int64 {
			if i >= 200 && i < 300 {
				return 940
			}
			return 1000
		}), 0, 0, false},
		{"paced, off by a block", series(func(i int64) int64 {
			if i%25 == 0 && i != 150 {
				return 1000
			}
			return 0
		}), 40e3, 0, true},
		{"nothing arrived", nil, 0, 0, false},
	} {
		for direction := range device.Direction(device.NumDirections) {
			for i := range tt.copies {
				tt.copies[i].Direction = direction
			}
			d := &Drive{Load: device.Load{Threads: 1, Block: 1000}, rate: tt.rate, Tapes: taped(t, tt.copies), frontiers: make([]atomic.Int64, 1)}
			d.frontiers[0].Store(400 * ms)
			from, to, ok := d.steady(tt.since)
			if ok != tt.want {
				t.Errorf("%s, %v: steady is %v from %d to %d ms", tt.name, direction, ok, from/ms, to/ms)
			}
		}
	}
}

func TestWindowIsLongEnough(t *testing.T) {
	d := &Drive{Load: device.Load{Block: 64 << 20}, Tapes: taped(t, []device.Copy{{Duration: 3}, {Start: 10, Duration: 7e8}, {Start: 8e8, Duration: 1}})}
	if got := d.Window(); got != 14e8 {
		t.Errorf("with a copy of 700 ms a window has %d ns", got)
	}
	d.rate = 64 << 20
	if got := d.Window(); got != 4e9 {
		t.Errorf("with a block a second a window has %d ns", got)
	}
}

// A wire is a device that carries copies asynchronously, each in a given time,
// one after another in each direction, and can be made to break.
type wire struct {
	each   time.Duration
	breaks int // a lane fails at this copy
	fails  error
	peak   *atomic.Int64 // most copies in flight in a direction
	idled  *atomic.Int64 // copies after which nothing was in flight before their times were known
	gate   chan struct{} // opens lanes once it is closed, if there is one
}

func (w wire) Fit(device.Load) error      { return nil }
func (w wire) OnePath() bool              { return false }
func (w wire) Notes(device.Load) []string { return nil }
func (w wire) Lane(l device.Load, thread int) (device.Lane, error) {
	if w.breaks == 0 && w.fails != nil {
		return nil, w.fails
	}
	if w.gate != nil {
		<-w.gate
	}
	return &wireLane{wire: w, block: l.Block, most: l.Outstanding}, nil
}

type wireLane struct {
	wire
	block  int64
	most   int
	flying [2][]int64 // when each copy in flight will be done
	free   [2]int64
	n      int
	closed bool
}

func (l *wireLane) Submit(d device.Direction, bytes int64) error {
	if l.n++; l.n == l.breaks {
		return l.fails
	}
	if len(l.flying[d]) == l.most {
		return fmt.Errorf("more than %d copies in flight", l.most)
	}
	l.free[d] = max(l.free[d], cell.Now()) + int64(l.each)
	l.flying[d] = append(l.flying[d], l.free[d])
	if n := int64(len(l.flying[d])); l.peak != nil && n > l.peak.Load() {
		l.peak.Store(n)
	}
	return nil
}

func (l *wireLane) Wait(done func(device.Direction) error) (device.Copy, error) {
	d := device.H2D
	if len(l.flying[0]) == 0 || len(l.flying[1]) > 0 && l.flying[1][0] < l.flying[0][0] {
		d = device.D2H
	}
	if len(l.flying[d]) == 0 {
		return device.Copy{}, errors.New("nothing in flight")
	}
	end := l.flying[d][0]
	l.flying[d] = l.flying[d][1:]
	time.Sleep(time.Duration(end - cell.Now()))
	c := device.Copy{Start: end - int64(l.each), Duration: int64(l.each), Bytes: l.block, Direction: d}
	err := done(d)
	if l.idled != nil && len(l.flying[d]) == 0 {
		l.idled.Add(1)
	}
	return c, err
}

func (l *wireLane) Close() error {
	if l.closed || len(l.flying[0])+len(l.flying[1]) > 0 {
		return errors.New("closed twice, or with copies in flight")
	}
	l.closed = true
	return nil
}

// cpu is one this process may use.
func cpu(t *testing.T) []int {
	_, own, err := host.Split()
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// Asynchronous lanes: every copy is recorded, never more than asked for are in
// flight, and the link is kept busy both ways.
func TestOutstanding(t *testing.T) {
	load := device.Load{Threads: 2, Block: 1 << 20, Outstanding: 3, Directions: []device.Direction{device.H2D, device.D2H}}
	procs := runtime.GOMAXPROCS(0)
	var peak atomic.Int64
	d, err := Start(t.Context(), wire{each: 5 * time.Millisecond, peak: &peak}, load, nil, 0, 1<<20, cpu(t))
	if err != nil {
		t.Fatal(err)
	}
	// Never more than the wire carries, and in one of ten intervals at least half of
	// that, however busy the machine is.
	busy := map[device.Direction]float64{}
	for try := 0; try < 10 && (busy[device.H2D] < 0.5 || busy[device.D2H] < 0.5); try++ {
		from := cell.Now()
		if err := d.Sleep(t.Context(), 150*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		sum := tape.Within(d.Tapes, from, d.Frontier())
		for _, dir := range load.Directions {
			share := sum[dir] / (2 * float64(d.Frontier()-from) / 5e6 * (1 << 20))
			busy[dir] = max(busy[dir], share)
			if share > 1.01 {
				t.Errorf("%v: %g of what the wire carries", dir, share)
			}
		}
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if busy[device.H2D] < 0.5 || busy[device.D2H] < 0.5 {
		t.Errorf("the wire was never busy: %v", busy)
	}
	if got := peak.Load(); got != 3 {
		t.Errorf("at most %d copies were in flight in a direction, want 3", got)
	}
	if got := runtime.GOMAXPROCS(0); got != procs {
		t.Errorf("GOMAXPROCS is %d afterwards, was %d", got, procs)
	}
}

// A thread with nothing in flight does not hold the frontier back, one with a
// long copy does.
func TestFrontier(t *testing.T) {
	load := device.Load{Threads: 1, Block: 1 << 20, Outstanding: 1, Directions: []device.Direction{device.H2D}}
	d, err := Start(t.Context(), wire{each: time.Millisecond}, load, nil, 10<<20, 1<<20, cpu(t)) // one copy in 100 ms
	if err != nil {
		t.Fatal(err)
	}
	least := int64(math.MaxInt64)
	for range 50 {
		time.Sleep(2 * time.Millisecond)
		least = min(least, cell.Now()-d.Frontier())
	}
	if least > 1e6 {
		t.Errorf("while the thread waits for its tokens the frontier is %d ns behind", least)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	d, err = Start(t.Context(), wire{each: time.Second}, load, nil, 0, 1<<20, cpu(t))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if lag := cell.Now() - d.Frontier(); lag < 40e6 {
		t.Errorf("with a copy in flight for 50 ms the frontier is %d ns behind", lag)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenLanes(t *testing.T) {
	boom := errors.New("boom")
	load := device.Load{Threads: 3, Block: 1, Outstanding: 1, Directions: []device.Direction{device.H2D}}
	for _, breaks := range []int{0, 1, 20} {
		d, err := Start(t.Context(), wire{each: 100 * time.Microsecond, breaks: breaks, fails: boom}, load, nil, 0, 1<<20, cpu(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := d.Settle(t.Context(), 10*time.Second, nil); !errors.Is(err, boom) || !strings.Contains(err.Error(), "stressor thread") {
			t.Errorf("breaking at copy %d: settle says %v", breaks, err)
		}
		if err := d.Stop(); !errors.Is(err, boom) {
			t.Errorf("breaking at copy %d: stop says %v", breaks, err)
		}
	}
}

func TestRecordIsFull(t *testing.T) {
	load := device.Load{Threads: 1, Block: 1, Outstanding: 1, Directions: []device.Direction{device.H2D}}
	d, err := Start(t.Context(), wire{}, load, nil, 0, 2*tape.ReelLength, cpu(t))
	if err != nil {
		t.Fatal(err)
	}
	err = d.Sleep(t.Context(), 20*time.Second)
	var hint *cell.Error
	if !errors.As(err, &hint) || !strings.Contains(err.Error(), "more than 8192") || !strings.Contains(hint.Hint, "larger blocks") {
		t.Errorf("%v", err)
	}
	if d.Stop(); d.Tapes[0].Len() != 2*tape.ReelLength {
		t.Errorf("%d copies recorded", d.Tapes[0].Len())
	}
}

func TestCancel(t *testing.T) {
	load := device.Load{Threads: 2, Block: 1 << 20, Outstanding: 1, Directions: []device.Direction{device.H2D}}
	ctx, cancel := context.WithCancel(t.Context())
	d, err := Start(ctx, wire{each: time.Millisecond}, load, nil, 1, 1<<20, cpu(t)) // tokens for the second copy come in days
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := d.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	begun := time.Now()
	if err := d.Stop(); err != nil || time.Since(begun) > time.Minute {
		t.Errorf("stopping took %v, %v", time.Since(begun), err)
	}
}

// A load that is cancelled while its threads open their lanes does not begin.
func TestCancelBeforeLanesAreOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		load := device.Load{Threads: 2, Block: 1, Outstanding: 1, Directions: []device.Direction{device.H2D}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		gate, ended := make(chan struct{}), make(chan error)
		go func() {
			d, err := Start(ctx, wire{gate: gate}, load, nil, 0, 1<<20, cpu(t))
			if d != nil {
				t.Error("a load began")
			}
			ended <- err
		}()
		synctest.Wait() // the threads are at the gate, and start waits for them to end
		close(gate)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// under starts a load of so many copies under a policy; none has no guard.
func under(t *testing.T, dev device.Device, text string, rate float64, calls int) (d *Drive, g *guard.Guard) {
	load := device.Load{Threads: 1, Block: 64 << 10, Outstanding: 1, Directions: []device.Direction{device.H2D}, Calls: calls}
	policy, err := guard.Parse(text)
	if err == nil && !policy.None() {
		g, err = guard.New(policy, guard.Shape{Streams: 1, Chunk: load.Block, InFlight: 1}, guard.Link{Capacity: 1e9}, nil)
	}
	if err == nil {
		d, err = Start(t.Context(), dev, load, g, rate, 1<<20, cpu(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return d, g
}

// The next copy is in flight before the times of the one before are read, unless the
// load's pace or its policy may hold it back.
func TestNextCopyGoesFirst(t *testing.T) {
	const calls = 10
	for _, tt := range []struct {
		policy string
		rate   float64
		idled  int64
	}{
		{"none", 0, 1}, // after the last
		{"window/64KiB", 0, 1},
		{"window/64KiB/credit:1", 0, 1},
		{"rate/100GB", 0, calls},
		{"none", 1e12, calls},
	} {
		var idled atomic.Int64
		d, g := under(t, wire{each: time.Millisecond, idled: &idled}, tt.policy, tt.rate, calls)
		if err := d.Finished(t.Context()); err != nil {
			t.Error(err)
		}
		if err := d.Stop(); err != nil || idled.Load() != tt.idled || d.Tapes[0].Len() != calls {
			t.Errorf("%s at %g: %v; after %d of %d copies the link idled, want %d", tt.policy, tt.rate, err, idled.Load(), d.Tapes[0].Len(), tt.idled)
		}
		if saw := g.Report().Copies; g != nil && saw != calls {
			t.Errorf("%s: the guard saw %d copies", tt.policy, saw)
		}
	}
}

// A runner is a wire whose lanes have copies follow one another by themselves.
type runner struct {
	wire
	batches *atomic.Int64
}

func (r runner) Lane(l device.Load, thread int) (device.Lane, error) {
	lane, err := r.wire.Lane(l, thread)
	if err != nil {
		return nil, err
	}
	return &running{lane.(*wireLane), l, r.batches}, nil
}

type running struct {
	*wireLane
	load    device.Load
	batches *atomic.Int64
}

// KeepUp tells of three copies at a time.
func (r *running) KeepUp(halt *atomic.Bool, done func(device.Flight) error) (more bool, err error) {
	r.batches.Add(1)
	next := func(d device.Direction) error {
		if halt.Load() || r.load.Calls > 0 && r.n >= r.load.Calls {
			return nil
		}
		return r.Submit(d, r.block)
	}
	for len(r.flying[0]) < r.most && r.n < r.load.Calls && !halt.Load() {
		if err := r.Submit(device.H2D, r.block); err != nil {
			return false, err
		}
	}
	for i := 0; i < 3 && len(r.flying[0]) > 0; i++ {
		c, err := r.Wait(next)
		if err != nil {
			return false, err
		}
		more = true
		if err := done(device.Flight{Copy: c, Sent: c.Start}); err != nil {
			return false, err
		}
	}
	return more, nil
}

// Copies follow one another by themselves where nothing may hold one back; either way
// each is recorded, and told to the guard.
func TestRunner(t *testing.T) {
	const calls = 10
	for _, tt := range []struct {
		policy string
		rate   float64
		alone  bool
	}{{"none", 0, true}, {"window/64KiB", 0, true}, {"window/64KiB/credit:2", 0, false}, {"rate/100GB", 0, false}, {"duty/1ms/1ms/64KiB", 0, false}, {"none", 1e12, false}} {
		var batches atomic.Int64
		d, g := under(t, runner{wire{each: time.Millisecond}, &batches}, tt.policy, tt.rate, calls)
		if err := errors.Join(d.Finished(t.Context()), d.Stop()); err != nil || d.Tapes[0].Len() != calls || d.frontiers[0].Load() != idle {
			t.Errorf("%s: %v, %d copies", tt.policy, err, d.Tapes[0].Len())
		}
		if (batches.Load() > 0) != tt.alone || g != nil && g.Report().Copies != calls {
			t.Errorf("%s at %g: %d batches, the guard saw %d copies", tt.policy, tt.rate, batches.Load(), g.Report().Copies)
		}
	}
	broken := errors.New("broken")
	var batches atomic.Int64
	load := device.Load{Threads: 1, Block: 1, Outstanding: 2, Directions: []device.Direction{device.H2D}, Calls: calls}
	d, err := Start(t.Context(), runner{wire{each: time.Millisecond, breaks: 5, fails: broken}, &batches}, load, nil, 0, 1<<20, cpu(t))
	if err != nil {
		t.Fatal(err)
	}
	<-d.Broken()
	if err := d.Stop(); !errors.Is(err, broken) {
		t.Errorf("a lane that broke: %v", err)
	}
}

// The loop that copies allocates nothing, so it calls for no collection.
func TestCopyAllocatesNothing(t *testing.T) {
	dev, err := host.Open()
	if err != nil {
		t.Fatal(err)
	}
	const runs, calls = 5, 500
	load := device.Load{Threads: 1, Block: 64 << 10, Outstanding: 1, Directions: []device.Direction{device.H2D}, Calls: calls}
	lane, err := dev.Lane(load, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := &Drive{Load: load, limit: 1 << 20, Tapes: tape.New(load, 1<<20), frontiers: make([]atomic.Int64, 1)}
	h := d.haul(lane, d.Tapes, &d.frontiers[0])
	if n := testing.AllocsPerRun(runs, func() { err = errors.Join(err, h.copy()) }); n != 0 {
		t.Errorf("%d copies allocated %v times", calls, n)
	}
	if err := errors.Join(err, lane.Close()); err != nil || d.Tapes[0].Len() != (runs+1)*calls {
		t.Errorf("%d copies, %v", d.Tapes[0].Len(), err)
	}
}
