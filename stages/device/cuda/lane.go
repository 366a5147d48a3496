//go:build cuda

package cuda

// #include <cuda.h>
// #include <sched.h>
//
// /* Waits for the first of n events, and says which. */
// static CUresult first_of(CUevent *events, int n, int *which) {
//	*which = 0;
//	if (n == 1) return cuEventSynchronize(events[0]);
//	for (;; sched_yield())
//		for (int i = 0; i < n; i++) {
//			CUresult r = cuEventQuery(events[i]);
//			if (r == CUDA_ERROR_NOT_READY) continue;
//			*which = i;
//			return r;
//		}
// }
//
// /* Milliseconds from start to end, and from the copy before to end. */
// static CUresult elapsed(CUevent before, CUevent start, CUevent end, float *ms) {
//	CUresult r = cuEventElapsedTime(&ms[0], start, end);
//	return r == CUDA_SUCCESS ? cuEventElapsedTime(&ms[1], before, end) : r;
// }
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"gorgonia.org/cu"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/host"
)

// A lane is one thread's path: a way for each direction it copies in.
type lane struct {
	gpu  *gpu
	ways []*way
	// For C to write to.
	heads [2]C.CUevent
	which C.int
	ms    [2]C.float
}

// A way is one direction of a lane: a stream or two, and a ring of copies in flight.
// The ring has two slots more than copies: one that is done is read after the next
// was submitted, and until then the one before it keeps its event.
type way struct {
	direction device.Direction
	bytes     int64
	turn      *sync.Mutex // to be held while a copy is submitted, or nil
	host      []byte
	device    cu.DevicePtr
	other     cu.DevicePtr // that a copy within the device goes to
	lean      bool
	streams   []cu.Stream // two where copies are queued ahead, by turns
	made      int         // copies
	ring      []slot
	head      int // of the oldest in flight
	flying    int
	clock     clock
	last      device.Copy
	release   func() error // of host
}

type slot struct {
	start, end cu.Event
	submitted  int64
	bytes      int64
}

// handle is the event itself, which package cu keeps to itself.
func handle(e *cu.Event) C.CUevent { return *(*C.CUevent)(unsafe.Pointer(e)) }

// Lane allocates a thread's buffers, streams and events.
func (g *gpu) Lane(l device.Load, thread int) (_ device.Lane, err error) {
	if l.Directions[0] == device.H2H {
		m, err := host.Open()
		if err != nil {
			return nil, err
		}
		return m.Lane(l, thread)
	}
	if err := cu.SetCurrentContext(g.context); err != nil {
		return nil, fmt.Errorf("use the GPU's context: %w", err)
	}
	if err := relax(); err != nil {
		return nil, err
	}
	x := &lane{gpu: g}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.Close())
		}
	}()
	for _, d := range l.Directions {
		w := &way{direction: d, bytes: l.Block, lean: l.Lean, streams: make([]cu.Stream, 1+min(1, l.Ahead)), ring: make([]slot, l.Outstanding+2)}
		x.ways = append(x.ways, w)
		if err := w.open(g, l.Pageable); err != nil {
			return nil, fmt.Errorf("stressor thread %d: %w", thread, err)
		}
	}
	return x, nil
}

func (w *way) open(g *gpu, pageable bool) (err error) {
	switch {
	case w.direction == device.D2D:
		if w.other, err = allocate(w.bytes); err != nil {
			return err
		}
	case pageable:
		w.turn = &g.turn
		w.host, err = unix.Mmap(-1, 0, int(w.bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return cell.Hint(fmt.Errorf("allocate %s of host memory: %w", unit.Size(w.bytes), err), "lower threads or block")
		}
		w.release = func() error { return unix.Munmap(w.host) }
		for i := 0; i < len(w.host); i += os.Getpagesize() {
			w.host[i] = 1
		}
	default:
		if w.host, err = g.Pinned(w.bytes); err != nil {
			return err
		}
		w.release = func() error { return cu.MemFreeHost(unsafe.Pointer(&w.host[0])) }
	}
	if w.device, err = allocate(w.bytes); err != nil {
		return err
	}
	for i := range w.streams {
		if w.streams[i], err = cu.MakeStream(cu.NonBlocking); err != nil {
			return fmt.Errorf("make a stream: %w", err)
		}
	}
	for i := range w.ring {
		for _, e := range []*cu.Event{&w.ring[i].start, &w.ring[i].end} {
			if *e, err = cu.MakeEvent(cu.DefaultEvent); err != nil {
				return fmt.Errorf("make an event: %w", err)
			}
		}
	}
	// Where the GPU's clock stands: the first copy is timed from here.
	e := w.ring[len(w.ring)-1].end
	if err = errors.Join(e.Record(w.streams[0]), e.Synchronize()); err != nil {
		return fmt.Errorf("read the GPU's clock: %w", err)
	}
	w.clock.offset = float64(cell.Now())
	return nil
}

func allocate(bytes int64) (cu.DevicePtr, error) {
	p, err := cu.MemAlloc(bytes)
	if err != nil {
		return 0, cell.Hint(fmt.Errorf("allocate %s of device memory: %w", unit.Size(bytes), err), "lower threads or block, or free device memory")
	}
	return p, nil
}

// Submit puts a copy in flight.
func (x *lane) Submit(d device.Direction, bytes int64) error {
	w := x.ways[0]
	if w.direction != d {
		w = x.ways[1]
	}
	s := &w.ring[(w.head+w.flying)%len(w.ring)]
	s.submitted, s.bytes = cell.Now(), bytes
	stream := w.streams[w.made%len(w.streams)]
	var err error
	switch {
	case !w.lean:
		err = s.start.Record(stream)
	case len(w.streams) > 1: // a chain: ready once the copy before is done
		err = stream.Wait(w.ring[(w.head+w.flying+len(w.ring)-1)%len(w.ring)].end, 0)
	}
	if w.turn != nil {
		w.turn.Lock()
	}
	switch {
	case err != nil:
	case d == device.H2D:
		err = cu.MemcpyHtoDAsync(w.device, unsafe.Pointer(&w.host[0]), bytes, stream)
	case d == device.D2D:
		err = cu.MemcpyDtoDAsync(w.other, w.device, bytes, stream)
	default:
		err = cu.MemcpyDtoHAsync(unsafe.Pointer(&w.host[0]), w.device, bytes, stream)
	}
	if w.turn != nil {
		w.turn.Unlock()
	}
	if err == nil {
		err = s.end.Record(stream)
	}
	if err != nil {
		return fmt.Errorf("submit a copy of %s %v: %w", unit.Size(bytes), d, err)
	}
	w.made++
	w.flying++
	return nil
}

// Wait returns the copy that is done first.
func (x *lane) Wait(done func(device.Direction) error) (device.Copy, error) {
	var flying [2]*way
	n := 0
	for _, w := range x.ways {
		if w.flying > 0 {
			flying[n], x.heads[n] = w, handle(&w.ring[w.head].end)
			n++
		}
	}
	if n == 0 {
		return device.Copy{}, errors.New("wait for a copy: none was submitted")
	}
	if err := result(C.first_of(&x.heads[0], C.int(n), &x.which), "wait for a copy"); err != nil {
		return device.Copy{}, err
	}
	w, now := flying[x.which], cell.Now()
	if done != nil {
		if err := done(w.direction); err != nil {
			return device.Copy{}, err
		}
	}
	return w.finish(x, now)
}

// finish takes the oldest copy off the ring, of whose end the host learnt at a time,
// and reads its times.
func (w *way) finish(x *lane, learnt int64) (device.Copy, error) {
	s, before := &w.ring[w.head], &w.ring[(w.head+len(w.ring)-1)%len(w.ring)]
	first := &s.start
	if w.lean { // of which there is no event
		first = &before.end
	}
	if err := result(C.elapsed(handle(&before.end), handle(first), handle(&s.end), &x.ms[0]), "time a copy"); err != nil {
		return device.Copy{}, err
	}
	end := w.clock.tell(float64(x.ms[1])*1e6, learnt)
	// No earlier than it can have been, nor out of order.
	start := max(end-int64(float64(x.ms[0])*1e6), s.submitted, w.last.Start)
	if w.lean {
		start = max(s.submitted, w.last.End())
	}
	return w.over(start, max(end, start, w.last.End())), nil
}

// over takes the oldest copy off the ring.
func (w *way) over(start, end int64) device.Copy {
	w.last = device.Copy{Start: start, Duration: end - start, Bytes: w.ring[w.head].bytes, Direction: w.direction}
	w.head = (w.head + 1) % len(w.ring)
	w.flying--
	return w.last
}

// Close releases the lane.
func (x *lane) Close() error {
	errs := []error{cu.SetCurrentContext(x.gpu.context)}
	for _, w := range x.ways {
		for i := range w.streams {
			if s := &w.streams[i]; *s != (cu.Stream{}) {
				errs = append(errs, s.Synchronize(), s.Destroy())
			}
		}
		for i := range w.ring {
			for _, e := range []*cu.Event{&w.ring[i].start, &w.ring[i].end} {
				if *e != (cu.Event{}) {
					errs = append(errs, cu.DestroyEvent(e))
				}
			}
		}
		for _, p := range []cu.DevicePtr{w.device, w.other} {
			if p != 0 {
				errs = append(errs, cu.MemFree(p))
			}
		}
		if w.release != nil {
			errs = append(errs, w.release())
		}
	}
	return errors.Join(errs...)
}
