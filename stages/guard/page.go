package guard

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/shared"
)

const (
	slots = 64   // credits that a page has room for
	told  = 4096 // latencies that it keeps
	magic = 0x6472617567_0003
)

// A layout is a page's memory: words that processes change without a lock.
type layout struct {
	magic   atomic.Uint64
	bell    atomic.Uint32       // changes whenever a credit is given back
	waiting atomic.Int32        // who sleep until then
	holders [slots]atomic.Int64 // process of each credit that is out, or 0
	count   atomic.Uint64       // latencies told
	ring    [told]atomic.Int64
	victims atomic.Int32
	began   atomic.Int64 // when the victim's call did; 0: none goes on
	takes   atomic.Int64 // for how long it is expected to; 0: that is not known
	in, out atomic.Int64 // bytes that a call copies to the device and back; 0: that is not known
}

// A Page is memory that copiers and their victim share: the credits that let copies
// go, and the calls and latencies that the victim tells. A credit whose process has ended is
// taken back.
type Page struct {
	*layout
	unmap func() error // nil where it is not mapped
}

// NewPage returns a page for this process alone.
func NewPage() *Page { return &Page{layout: new(layout)} }

// OpenPage maps the page at a path, which it makes where there is none. Whoever
// makes a page removes its file.
func OpenPage(path string) (*Page, error) {
	l, unmap, err := shared.Map(path, magic, func(l *layout) *atomic.Uint64 { return &l.magic })
	if err != nil {
		return nil, err
	}
	return &Page{layout: l, unmap: unmap}, nil
}

// Close unmaps a page.
func (p *Page) Close() error {
	if p.unmap == nil {
		return nil
	}
	return p.unmap()
}

// Tell adds a latency of the victim, in nanoseconds. It takes some nanoseconds and
// never waits. One process at a time tells.
func (p *Page) Tell(latency int64) {
	n := p.count.Load()
	p.ring[n%told].Store(latency)
	p.count.Store(n + 1)
}

// latencies appends those told from a count on, as far as they are kept, and
// returns the next count.
func (p *Page) latencies(from uint64, into []int64) ([]int64, uint64) {
	n := p.count.Load()
	if n > told && from < n-told {
		from = n - told
	}
	for ; from < n; from++ {
		into = append(into, p.ring[from%told].Load())
	}
	return into, n
}

// beside returns how long a victim's call takes that goes on; 0 where none does, or it is
// one of the first. There is a victim, or nobody tells.
func (p *Page) beside() (takes int64, victim bool) {
	if p.began.Load() > 0 {
		takes = p.takes.Load()
	}
	return takes, p.victims.Load() > 0
}

var process = int64(os.Getpid())

// take takes one of the first so many credits, if one is there.
func (p *Page) take(limit int) (slot int, ok bool) {
	for i := range min(limit, slots) {
		if p.holders[i].Load() == 0 && p.holders[i].CompareAndSwap(0, process) {
			return i, true
		}
	}
	return 0, false
}

// give gives a credit back.
func (p *Page) give(slot int) {
	p.holders[slot].Store(0)
	p.bell.Add(1)
	if p.waiting.Load() > 0 {
		p.futex(futexWake, 1, nil)
	}
}

// await returns once a credit was given back since the bell's state, or after a
// while. It looks again and again at first: to be woken takes longer than a small
// copy.
func (p *Page) await(bell uint32) {
	const busily, asleep = 100 * time.Microsecond, time.Millisecond
	for begun := time.Now(); time.Since(begun) < busily; runtime.Gosched() {
		if p.bell.Load() != bell {
			return
		}
	}
	p.waiting.Add(1)
	ts := unix.NsecToTimespec(int64(asleep))
	p.futex(futexWait, bell, &ts)
	p.waiting.Add(-1)
}

// watch returns once the victim's call is no longer the one that began at a time, at a
// later time, or once halt is set. It sleeps not: a call is shorter than to be woken.
func (p *Page) watch(began, until int64, halt *atomic.Bool) {
	for p.began.Load() == began && cell.Now() < until && !halt.Load() {
	}
}

// Operations of futex(2), between processes.
const futexWait, futexWake = 0, 1

// futex calls the kernel; whoever is not woken looks again by itself.
func (p *Page) futex(op int, v uint32, ts *unix.Timespec) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&p.bell)), uintptr(op), uintptr(v), uintptr(unsafe.Pointer(ts)), 0, 0)
}

// recover takes back the credits of processes that have ended.
func (p *Page) recover() {
	for i := range p.holders {
		if pid := p.holders[i].Load(); pid > 0 && pid != process && errors.Is(unix.Kill(int(pid), 0), unix.ESRCH) && p.holders[i].CompareAndSwap(pid, 0) {
			p.bell.Add(1)
		}
	}
}
