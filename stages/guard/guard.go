// Package guard lets bulk copies onto a link under a policy, so that it can be said
// how long a copy of someone else's can wait behind them.
//
// A link is one direction of a bus with a queue: where 64 MiB are on their way, a
// result of 400 KB that is copied after them waits for a millisecond. A [Policy] says
// how much may be on its way at once; a [Guard] keeps it; [Policy.Bound] is the
// longest wait that it allows, or why there is none. Policies are
//
//	none    every copy as it is asked for
//	chunks  blocks divided, and all chunks of a block submitted at once
//	window  chunk, chunks in flight and streams are limited
//	rate    a token bucket for all streams
//	duty    copies begin for a while, and then for a while none does
//	loop    a window that follows the victim's p99
//	aside   copies stay off the link while those of a victim want it
//
// Dividing a copy is not enough: on a GPU whose engine stays with a stream that has
// more ready, chunks that are submitted ahead are one long copy (chunks is here to show
// it), and so a window limits what is in flight.
//
// A guard knows streams and bytes. Whoever has copies to make asks it before each
// ([Guard.Enter], or [Guard.Try] where time is simulated) and tells it after each
// ([Guard.Leave]); [Guard.Copy] does so for streams that carry chunks. Processes that
// share a [Page] share its credits, and on it a victim tells its latencies to loop and
// its calls to aside.
//
// Sizes are bytes, rates bytes per second, and times nanoseconds on CLOCK_MONOTONIC,
// or of virtual time.
package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
)

// A Guard keeps a policy for the copies of one process in one direction. Its methods
// may be called by several threads at once.
type Guard struct {
	policy Policy
	shape  Shape
	link   Link
	page   *Page
	bound  time.Duration // 0: none
	usual  time.Duration // the same if the link is never slower than its capacity

	mu      sync.Mutex
	bucket  Bucket
	control *control
	aside   *aside

	heard                           atomic.Bool // of a victim
	made, slow, violations, longest atomic.Int64
}

// A Pass lets one copy go, from [Guard.Enter] to [Guard.Leave].
type Pass struct {
	Bytes  int64 // of the copy, at most
	credit int   // from 1; 0: none was needed
}

// New returns a guard for a load of so many streams, blocks and blocks in flight. On a
// page that is not its own it shares credits and hears of a victim; nil is one of its
// own.
func New(p Policy, load Shape, l Link, page *Page) (*Guard, error) {
	if _, err := Parse(p.String()); err != nil { // a policy may be made by hand
		return nil, fmt.Errorf("guard copies: %w", err)
	}
	if page == nil {
		page = NewPage()
	}
	g := &Guard{policy: p, shape: p.Shape(load), link: l, page: page}
	if bound, err := p.Bound(load, l); err == nil {
		g.bound = bound
		g.usual, _ = p.Bound(load, l.Usual()) // there is one, since it is shorter
	}
	if !(l.Capacity > 0) && p.Calibrated() {
		return nil, fmt.Errorf("guard copies: policy %s rests on the link's capacity, which is not known", p.Name)
	}
	if p.Rate != nil {
		g.bucket = NewBucket(p.Rate.Of(l.Capacity), g.shape.Chunk)
	}
	if p.Loop() {
		g.control = newControl(p)
	}
	if p.Aside() {
		g.aside = newAside(p, l)
	}
	return g, nil
}

// Shape returns what is in flight at most: as many streams as the caller is to have.
func (g *Guard) Shape() Shape { return g.shape }

// Try asks for a copy of so many bytes at a time: it may begin at the time returned,
// which may be now, or, where every credit is out, not before another has left. Where
// the link is a victim's, it is to ask again once that tells of another call, or at the
// time returned.
func (g *Guard) Try(now, bytes int64) (p Pass, at int64, ok bool) {
	if g.aside != nil {
		return g.yield(now, bytes)
	}
	p.Bytes = bytes
	limit := g.policy.Credit
	g.mu.Lock()
	if g.control != nil {
		g.control.look(now, g.page)
		flying, share := g.control.limit(g.shape.Streams)
		limit = flying
		switch rate := share * g.link.Capacity; {
		case share == 1:
			g.bucket = Bucket{}
		case rate != g.bucket.rate:
			g.bucket = NewBucket(rate, g.shape.Chunk)
		}
	}
	g.mu.Unlock()
	if limit > 0 {
		credit, ok := g.page.take(limit)
		if !ok {
			return p, 0, false
		}
		p.credit = credit + 1
	}
	at = g.policy.begin(now)
	g.mu.Lock()
	at = max(at, g.bucket.Reserve(at, bytes))
	g.mu.Unlock()
	return p, at, true
}

// yield is Try under aside.
func (g *Guard) yield(now, bytes int64) (p Pass, at int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	began, takes := g.page.began.Load(), g.page.takes.Load()
	n, again := g.aside.let(now, bytes, began, takes)
	if small := int64(g.policy.Small); n == 0 && small > 0 && g.aside.flying == 0 && !g.aside.wanted(now, began, takes) {
		if credit, ok := g.page.take(1); ok { // one of all processes, lest the engine take turns
			n, p.credit = min(small, bytes), credit+1
		}
	}
	if n == 0 {
		return p, again, false
	}
	g.aside.went(now, n)
	p.Bytes = n
	return p, now, true
}

// begin returns when copies may begin at or after a time. Processes agree on the gaps
// of duty, since they agree on the time.
func (p Policy) begin(now int64) int64 {
	on, off := int64(p.On), int64(p.Off)
	if on > 0 && now%(on+off) >= on {
		return now - now%(on+off) + on + off
	}
	return now
}

// Enter waits until a copy of so many bytes may begin; false means that halt was set
// first, or that every credit is out and the caller does not want to wait for one. It
// must not want to while copies of its own are in flight, which may hold them all.
func (g *Guard) Enter(bytes int64, wait bool, halt *atomic.Bool) (Pass, bool) {
	for tries := 0; !halt.Load(); tries++ {
		bell, began := g.page.bell.Load(), g.page.began.Load()
		p, at, ok := g.Try(cell.Now(), bytes)
		if ok {
			for Sleep(at, halt) { // one that woke late may find itself in the next gap
				if now := cell.Now(); g.policy.begin(now) <= now {
					return p, true
				}
				at = g.policy.begin(cell.Now())
			}
			g.drop(p)
			return Pass{}, false
		}
		if !wait {
			return Pass{}, false
		}
		if g.aside != nil {
			if g.policy.Small > 0 { // another process's small copy may be over sooner
				at = min(at, cell.Now()+int64(Constant))
			}
			g.page.watch(began, at, halt)
			continue
		}
		if tries%128 == 127 {
			g.page.recover()
		}
		g.page.await(bell)
	}
	return Pass{}, false
}

// Sleep returns true at a time, or false once halt is set. It sleeps in the calling
// thread, which wakes sooner than a timer of the runtime could wake it, and in slices.
func Sleep(at int64, halt *atomic.Bool) bool {
	for !halt.Load() {
		left := at - cell.Now()
		if left <= 0 {
			return true
		}
		ts := unix.NsecToTimespec(min(left, int64(20*time.Millisecond)))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // EINTR only wakes early
	}
	return false
}

// EnterNow is [Guard.Enter] for whoever would rather not wait: false too where the
// policy may hold a copy back for a time.
func (g *Guard) EnterNow(bytes int64) (Pass, bool) {
	if g.times() {
		return Pass{}, false
	}
	p, _, ok := g.Try(cell.Now(), bytes)
	return p, ok
}

// times tells whether the policy may hold a copy back for a time.
func (g *Guard) times() bool { return g.policy.Rate != nil || g.policy.On > 0 || g.policy.Loop() }

// Free tells whether the policy lets every copy of its shape go at once, so that a
// guard need only be told of them.
func (g *Guard) Free() bool { return !g.times() && g.policy.Credit == 0 && g.aside == nil }

// Leave tells that a copy is done, which stood in its stream, with nothing before it,
// from a time to another.
func (g *Guard) Leave(p Pass, since, end int64) {
	g.Done(p, end)
	g.Saw(since, end)
}

// Done tells, at a time, that a copy is done, so that another may go; what is known of
// its times is told by [Guard.Saw].
func (g *Guard) Done(p Pass, now int64) {
	if g.aside != nil {
		g.mu.Lock()
		g.aside.done(now, p.Bytes)
		g.mu.Unlock()
	}
	g.drop(p)
}

// Saw tells from when to when a copy that is done stood in its stream with nothing
// before it. Where a victim tells of its calls it counts beside those only: what a
// process does to begin, such as sending its weights, holds up a load's copies too.
func (g *Guard) Saw(since, end int64) {
	wait, others := end-since, int64(0)
	if takes, beside := g.page.beside(); takes > 0 {
		if g.heard.CompareAndSwap(false, true) {
			g.made.Store(0)
			g.slow.Store(0)
			g.violations.Store(0)
			g.longest.Store(0)
		}
		others = g.others(wait, takes)
	} else if beside {
		return
	}
	switch {
	case g.bound == 0:
	case wait > int64(g.bound)+others:
		g.violations.Add(1)
	case wait > int64(g.usual)+others:
		g.slow.Add(1)
	}
	for {
		longest := g.longest.Load()
		if wait <= longest || g.longest.CompareAndSwap(longest, wait) {
			break
		}
	}
	g.made.Add(1)
}

// others is for how long a victim whose calls take a time may have had the link while a
// copy was in flight: the engine may have served it in between, of each call once.
func (g *Guard) others(wait, takes int64) int64 {
	bytes := int64(0)
	if both := !g.link.Inputs && !g.link.Outputs; g.link.Inputs || both {
		bytes = g.page.in.Load()
	}
	if !g.link.Inputs || g.link.Outputs {
		bytes += g.page.out.Load()
	}
	return int64(float64(bytes) * g.link.slowest() * float64(1+wait/takes))
}

func (g *Guard) drop(p Pass) {
	if p.credit > 0 {
		g.page.give(p.credit - 1)
	}
}

// A Report is what a guard saw: beside a victim's calls, where one tells of them. A wait
// is for how long a copy was in flight, which is what one that was submitted just after
// it would have waited; what the link may have served the victim in between is in it,
// and allowed for where it is counted.
type Report struct {
	Copies     int64
	Bound      time.Duration // 0: there is none
	Usual      time.Duration // the bound where the link is no slower than its capacity
	Longest    time.Duration // wait
	Slow       int64         // waits beyond the usual bound, but not beyond the bound
	Violations int64         // waits beyond the bound
}

// Join adds what another guard saw under the same policy.
func (r Report) Join(o Report) Report {
	return Report{r.Copies + o.Copies, max(r.Bound, o.Bound), max(r.Usual, o.Usual), max(r.Longest, o.Longest), r.Slow + o.Slow, r.Violations + o.Violations}
}

// Report returns what the guard has seen so far; nothing of no guard.
func (g *Guard) Report() Report {
	if g == nil {
		return Report{}
	}
	return Report{g.made.Load(), g.bound, g.usual, time.Duration(g.longest.Load()), g.slow.Load(), g.violations.Load()}
}

// A Stream carries copies over a link in the order in which they were submitted. One
// that copies before Submit returns has nothing to wait for.
type Stream interface {
	// Submit puts the copy of a part of what there is to copy in flight.
	Submit(offset, bytes int64) error
	// Wait returns once the oldest copy in flight is done.
	Wait() error
}

// Copy copies so many bytes over streams, of which there are as many as the guard's
// shape says, each with its thread, and returns once all are done. Each stream takes
// the next chunk that is left. After an error of a stream, or once ctx is done, no
// other chunk begins.
func (g *Guard) Copy(ctx context.Context, streams []Stream, bytes int64) error {
	if len(streams) != g.shape.Streams {
		return fmt.Errorf("guard copies: %d streams, and policy %s has %d", len(streams), g.policy, g.shape.Streams)
	}
	var halt atomic.Bool
	defer context.AfterFunc(ctx, func() { halt.Store(true) })()
	var next atomic.Int64
	errs := make([]error, len(streams))
	var all sync.WaitGroup
	for i, s := range streams {
		all.Go(func() {
			if errs[i] = g.carry(s, bytes, &next, &halt); errs[i] != nil {
				halt.Store(true)
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// carry is the life of a stream.
func (g *Guard) carry(s Stream, bytes int64, next *atomic.Int64, halt *atomic.Bool) error {
	type flight struct {
		pass  Pass
		since int64
	}
	var flying []flight
	for {
		for len(flying) < g.shape.InFlight && !halt.Load() {
			pass, ok := g.Enter(g.shape.Chunk, len(flying) == 0, halt)
			if !ok {
				break
			}
			offset := next.Add(pass.Bytes) - pass.Bytes
			if offset >= bytes {
				g.Done(pass, cell.Now())
				break
			}
			n := min(pass.Bytes, bytes-offset)
			flying = append(flying, flight{pass, cell.Now()})
			if err := s.Submit(offset, n); err != nil {
				g.Done(pass, cell.Now())
				return err
			}
		}
		if len(flying) == 0 {
			return nil
		}
		if err := s.Wait(); err != nil {
			return err
		}
		g.Leave(flying[0].pass, flying[0].since, cell.Now())
		flying = flying[1:]
	}
}

// A Memory is a stream that copies from one part of memory to another, at once.
type Memory struct{ To, From []byte }

// Submit copies.
func (m Memory) Submit(offset, bytes int64) error {
	copy(m.To[offset:offset+bytes], m.From[offset:offset+bytes])
	return nil
}

// Wait has nothing to wait for.
func (m Memory) Wait() error { return nil }
