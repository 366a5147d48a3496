// Package drive keeps a load up: threads that copy blocks over a device in a closed
// loop, each copy on tape, and the rule by which a load is steady.
package drive

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"gonum.org/v1/gonum/floats"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/host"
	"barograph/stages/guard"
	"barograph/stages/kind/stress/tape"
)

// A Drive is a load while its threads copy.
type Drive struct {
	Load  device.Load
	rate  float64 // bytes per second; 0: no limit
	limit int     // copies of all threads together
	guard *guard.Guard

	pace struct {
		sync.Mutex
		guard.Bucket
	}
	Tapes     []*tape.Tape   // of each thread, one per direction
	frontiers []atomic.Int64 // per thread: no copy that is still to be recorded starts before
	spare     <-chan *tape.Reel
	halt      atomic.Bool
	broken    chan struct{} // closed once a thread has failed
	once      sync.Once
	err       error // of the first thread that failed, once broken
	ended     chan struct{}
	restore   func()
}

// idle is the frontier of a thread with nothing in flight.
const idle = math.MaxInt64

// Start begins a load with one operating system thread per stressor thread,
// spread over the CPUs. It returns once all have their buffers and copy.
//
// While a drive runs, nothing collects garbage, and every thread has a
// processor of the Go scheduler to itself, so that only the kernel divides CPUs
// between them. A guard, where there is one, lets each copy go. So many copies are kept
// until one too many breaks the load; 0: [MaxCopies].
func Start(ctx context.Context, dev device.Device, load device.Load, g *guard.Guard, rate float64, limit int, cpus []int) (*Drive, error) {
	if limit == 0 {
		var err error
		if limit, err = MaxCopies(); err != nil {
			return nil, err
		}
	}
	d := &Drive{
		Load: load, guard: g, rate: rate, limit: limit, frontiers: make([]atomic.Int64, load.Threads),
		broken: make(chan struct{}), ended: make(chan struct{}),
	}
	if load.Threads > 0 {
		if err := dev.Fit(load); err != nil {
			return nil, err
		}
	}
	d.pace.Bucket = guard.NewBucket(rate, load.Block)
	d.Tapes = tape.New(load, limit)
	d.spare = tape.Spares(load.Threads, limit, d.ended)
	gc, procs := debug.SetGCPercent(-1), runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(procs + load.Threads)
	d.restore = func() {
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(gc)
	}

	var open, done sync.WaitGroup
	begin := make(chan struct{})
	open.Add(load.Threads)
	for i := range load.Threads {
		done.Go(func() {
			// The thread keeps its affinity and is not given back: it ends here.
			runtime.LockOSThread()
			if err := d.thread(dev, i, cpus[i%len(cpus)], open.Done, begin); err != nil {
				d.fail(fmt.Errorf("stressor thread %d: %w", i, err))
			}
		})
	}
	go func() {
		done.Wait()
		close(d.ended)
	}()
	opened := make(chan struct{})
	go func() {
		open.Wait()
		close(opened)
	}()
	select {
	case <-opened:
		close(begin)
	case <-ctx.Done():
		d.halt.Store(true)
		close(begin)
		return nil, errors.Join(ctx.Err(), d.Stop())
	}
	return d, nil
}

// Broken is closed once a thread has failed, by the error that Err points to.
func (d *Drive) Broken() <-chan struct{} { return d.broken }

// Err points to the error of the first thread that failed, once Broken is closed.
func (d *Drive) Err() *error { return &d.err }

// Halt has the load begin no other copy.
func (d *Drive) Halt() { d.halt.Store(true) }

// fail stops every thread; the first failure is the drive's.
func (d *Drive) fail(err error) {
	d.halt.Store(true)
	d.once.Do(func() {
		d.err = err
		close(d.broken)
	})
}

// Stop ends the load, waits for what is in flight, and returns the first
// failure, if any.
func (d *Drive) Stop() error {
	d.halt.Store(true)
	<-d.ended
	d.restore()
	return d.err
}

// Finished waits until a load of so many calls has made them.
func (d *Drive) Finished(ctx context.Context) error {
	select {
	case <-d.ended:
		return d.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sleep lets the load go on for a while.
func (d *Drive) Sleep(ctx context.Context, while time.Duration) error {
	over := time.NewTimer(while)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case <-d.broken:
		return d.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// thread is the life of one stressor thread.
func (d *Drive) thread(dev device.Device, i, cpu int, opened func(), begin <-chan struct{}) (err error) {
	lane, err := func() (device.Lane, error) {
		defer opened()
		if err := host.PinThread([]int{cpu}); err != nil {
			return nil, err
		}
		if node := d.Load.Node; node != nil {
			if err := host.BindMemory(*node); err != nil {
				return nil, err
			}
		}
		return dev.Lane(d.Load, i)
	}()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lane.Close()) }()
	<-begin
	n := len(d.Load.Directions)
	return d.haul(lane, d.Tapes[i*n:(i+1)*n], &d.frontiers[i]).copy()
}

// A haul is the copies of one stressor thread.
type haul struct {
	*Drive
	lane     device.Lane
	lots     []lot                        // of each direction
	by       [device.NumDirections]*lot   // the same
	flying   int                          // copies in flight
	frontier *atomic.Int64                // the thread's
	next     func(device.Direction) error // early
}

// A lot is the copies of one direction in a lane.
type lot struct {
	*tape.Tape
	direction device.Direction
	made      int   // submitted
	flying    int   // of those, not done
	latest    int64 // start of the one that was recorded last
	flights   []flight
}

// A flight is a copy in flight, or done and still to be recorded.
type flight struct {
	pass guard.Pass
	sent int64 // when its submission returned
	// Whether, when it was submitted, its stream had nothing before it.
	alone bool
}

func (d *Drive) haul(lane device.Lane, tapes []*tape.Tape, frontier *atomic.Int64) *haul {
	h := &haul{Drive: d, lane: lane, lots: make([]lot, len(tapes)), frontier: frontier}
	for i, dir := range d.Load.Directions {
		h.lots[i] = lot{Tape: tapes[i], direction: dir}
		if d.guard != nil {
			h.lots[i].flights = make([]flight, 0, d.Load.Outstanding+1)
		}
		h.by[dir] = &h.lots[i]
	}
	h.next = h.early
	return h
}

// copy keeps copies in flight until the drive halts, and records each. Nothing
// in it allocates.
func (h *haul) copy() error {
	now := cell.Now()
	h.frontier.Store(now)
	for i := range h.lots {
		h.lots[i].latest, h.lots[i].made = now, 0
	}
	err := h.loop()
	if err == nil {
		h.frontier.Store(idle)
	}
	return err
}

// loop leaves what comes between two copies to the lane where it can, and nothing may
// hold a copy back.
func (h *haul) loop() error {
	if r, ok := h.lane.(device.Runner); ok && h.rate == 0 && (h.guard == nil || h.guard.Free()) {
		more, err, note := true, error(nil), h.note
		for more && err == nil {
			more, err = r.KeepUp(&h.halt, note)
		}
		return err
	}
	for range h.Load.Outstanding {
		for i := range h.lots {
			if err := h.submit(&h.lots[i]); err != nil {
				return err
			}
		}
	}
	for h.flying > 0 {
		c, err := h.lane.Wait(h.next)
		if err != nil {
			return err
		}
		l := h.by[c.Direction]
		if h.guard != nil {
			h.saw(c, l.flights[0].sent, l.flights[0].alone)
			l.flights = l.flights[:copy(l.flights, l.flights[1:])]
		}
		if err := h.record(l, c); err != nil {
			return err
		}
		if err := h.refill(); err != nil {
			return err
		}
	}
	return nil
}

// refill submits what the guard held back.
func (h *haul) refill() error {
	for i := range h.lots {
		for h.lots[i].flying < h.Load.Outstanding {
			before := h.flying
			if err := h.submit(&h.lots[i]); err != nil {
				return err
			}
			if h.flying == before {
				break
			}
		}
	}
	return nil
}

// note takes note of a copy that the lane itself submitted.
func (h *haul) note(f device.Flight) error {
	if h.guard != nil {
		h.saw(f.Copy, f.Sent, f.Alone)
	}
	return h.record(h.by[f.Direction], f.Copy)
}

// record puts a copy on tape.
func (h *haul) record(l *lot, c device.Copy) error {
	if err := l.Add(c, h.spare); err != nil {
		return tape.Full(h.limit)
	}
	// A direction's copies finish in order, so those still in flight were
	// not submitted before this one started.
	l.latest = c.Start
	at := int64(idle)
	for i := range h.lots {
		at = min(at, h.lots[i].latest)
	}
	h.frontier.Store(at)
	return nil
}

// early takes note of a copy that is done, and puts the next in flight before its times
// are read, if nothing has to be waited for: the sooner it is there, the less the link
// idles.
func (h *haul) early(dir device.Direction) error {
	l := h.by[dir]
	h.flying--
	l.flying--
	if h.guard != nil {
		h.guard.Done(l.flights[0].pass, cell.Now())
	}
	if h.rate > 0 || h.over(l) {
		return nil
	}
	if h.guard != nil {
		pass, ok := h.guard.EnterNow(h.Load.Block)
		if !ok {
			return nil
		}
		l.flights = append(l.flights, flight{pass: pass, alone: l.flying == 0})
	}
	return h.launch(l)
}

// over tells whether a lot has no more copies to make.
func (h *haul) over(l *lot) bool {
	return h.halt.Load() || h.Load.Calls > 0 && l.made == h.Load.Calls
}

// saw tells the guard of the times of a copy that is done, whose submission was over at
// a time, and found its stream empty or not.
func (h *haul) saw(c device.Copy, sent int64, alone bool) {
	since := sent
	switch queued := !alone && h.Load.Ahead == 0; {
	case sent >= c.End(): // the host learnt nothing of it in between
		since = c.Start
	case !queued: // its stream reached it at once, or once the one before was done
		since = max(sent, c.Start) // what held the host up before is none of the link's
	}
	h.guard.Saw(since, c.End())
}

// submit puts the next copy of a lot in flight, unless the load has made its calls,
// halts, or is held back by its guard.
func (h *haul) submit(l *lot) error {
	if h.over(l) {
		return nil
	}
	waits := h.rate > 0 || h.guard != nil
	if waits && h.flying == 0 { // no copy is still to be recorded
		h.frontier.Store(idle)
	}
	if h.rate > 0 && !h.wait() {
		return nil
	}
	if h.guard != nil {
		pass, ok := h.guard.Enter(h.Load.Block, h.flying == 0, &h.halt)
		if !ok {
			return nil
		}
		l.flights = append(l.flights, flight{pass: pass, alone: l.flying == 0})
	}
	if waits && h.flying == 0 {
		h.frontier.Store(cell.Now())
	}
	return h.launch(l)
}

func (h *haul) launch(l *lot) error {
	l.made++
	l.flying++
	h.flying++
	if h.guard == nil {
		return h.lane.Submit(l.direction, h.Load.Block)
	}
	f := &l.flights[len(l.flights)-1]
	err := h.lane.Submit(l.direction, f.pass.Bytes)
	f.sent = cell.Now()
	return err
}

// wait sleeps until the bucket lets the next copy go; false means that the drive
// halted first.
func (d *Drive) wait() bool {
	d.pace.Lock()
	at := d.pace.Reserve(cell.Now(), d.Load.Block)
	d.pace.Unlock()
	return guard.Sleep(at, &d.halt)
}

// The rule by which a load is steady: bandwidth in three successive windows
// lies within 5% of their mean. A window is long enough for two copies of the
// longest duration seen. Under a rate, it is long enough for four blocks too, and
// a difference of one block is allowed: no window can tell less. A load of which
// nothing has arrived is not steady.
const (
	steadyWindows   = 3
	steadyTolerance = 0.05
	shortestWindow  = 100 * time.Millisecond
)

// Window returns the length of a steady rule's window in nanoseconds.
func (d *Drive) Window() int64 {
	w := max(int64(shortestWindow), 2*tape.Longest(d.Tapes))
	if d.rate > 0 {
		w = max(w, int64(4e9*float64(d.Load.Block)/d.rate))
	}
	return w
}

// Frontier returns the latest time of which every copy is recorded.
func (d *Drive) Frontier() int64 {
	at := cell.Now()
	for i := range d.frontiers {
		at = min(at, d.frontiers[i].Load())
	}
	return at
}

// steady applies the rule to the time since a moment, and returns the interval
// of the three windows.
func (d *Drive) steady(since int64) (from, to int64, ok bool) {
	w := d.Window()
	to = d.Frontier()
	from = to - steadyWindows*w
	if from < since {
		return from, to, false
	}
	var bytes [steadyWindows]float64
	for i := range bytes {
		start := from + int64(i)*w
		sum := tape.Within(d.Tapes, start, start+w)
		bytes[i] = floats.Sum(sum[:])
	}
	least, most, mean := bytes[0], bytes[0], 0.0
	for _, b := range bytes {
		least, most, mean = min(least, b), max(most, b), mean+b/steadyWindows
	}
	allowed := steadyTolerance * mean
	if d.rate > 0 {
		allowed += float64(d.Load.Block)
	}
	return from, to, mean > 0 && most-least <= allowed
}

// Settle waits until the load is steady, at most for a time, and returns the
// interval in which it was; ok is false if it never was.
func (d *Drive) Settle(ctx context.Context, most time.Duration, interrupt <-chan cell.Control) (from, to int64, ok bool, err error) {
	begun := cell.Now()
	tick := time.NewTicker(shortestWindow / 4)
	defer tick.Stop()
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	for {
		select {
		case <-tick.C:
			if from, to, ok = d.steady(begun); ok {
				return from, to, true, nil
			}
		case <-timeout.C:
			return begun, d.Frontier(), false, nil
		case <-d.broken:
			return 0, 0, false, d.err
		case <-ctx.Done():
			return 0, 0, false, ctx.Err()
		case <-interrupt:
			return 0, 0, false, errInterrupted
		}
	}
}

// errInterrupted says that the engine ended a trial before the load was ready.
var errInterrupted = errors.New("stopped before the load was steady")

// Bandwidth returns what a load carries that is kept up for a while by threads of
// this process, spread over CPUs, in bytes per second.
func Bandwidth(ctx context.Context, dev device.Device, l device.Load, cpus []int, while time.Duration) (float64, error) {
	d, err := Start(ctx, dev, l, nil, 0, 0, cpus)
	if err != nil {
		return 0, err
	}
	from := Warm(while)
	err = d.Sleep(ctx, while)
	to := d.Frontier()
	if err = errors.Join(err, d.Stop()); err != nil || to <= from {
		return 0, err
	}
	return d.Bandwidth(from, to), nil
}

// Warm is from when a load counts: the first fifth is for page tables and clocks to
// warm.
func Warm(while time.Duration) int64 { return cell.Now() + int64(while/5) }

// Bandwidth returns what the load carried between two times, in bytes per second.
func (d *Drive) Bandwidth(from, to int64) float64 {
	sum := tape.Within(d.Tapes, from, to)
	return floats.Sum(sum[:]) / (float64(to-from) / 1e9)
}

// MaxCopies returns how many copies may be recorded: 2^25, or what fits an
// eighth of available memory.
func MaxCopies() (int, error) {
	m, err := host.Open()
	if err != nil {
		return 0, err
	}
	return int(min(1<<25, m.Available/8/32)), nil
}
