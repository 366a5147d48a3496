//go:build cuda

package cuda

// #include <stdlib.h>
// #include "lane.h"
import "C"

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"gorgonia.org/cu"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/host"
)

// A lane is one thread's path: a way for each direction it copies in. The loop around
// its copies is C's, which crosses into Go once in a batch of them.
type lane struct {
	gpu  *gpu
	load device.Load
	ways []*way
	c    []C.way // theirs, in C's memory
	done []C.ended
	// For C to write to.
	count C.int
}

// A way is one direction of a lane.
type way struct {
	c         *C.way
	direction device.Direction
	clock     clock
	last      device.Copy
	release   func() error // of host memory
}

// batch is how many copies a lane tells of at once.
const batch = 512

// calloc makes room in C's memory.
func calloc[T any](n int) []T {
	var zero T
	return unsafe.Slice((*T)(C.calloc(C.size_t(n), C.size_t(unsafe.Sizeof(zero)))), n)
}

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
	n := len(l.Directions)
	x := &lane{gpu: g, load: l, c: calloc[C.way](n), done: calloc[C.ended](batch)}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.Close())
		}
	}()
	for i, d := range l.Directions {
		w := &way{c: &x.c[i], direction: d}
		x.ways = append(x.ways, w)
		if err := w.open(g, l); err != nil {
			return nil, fmt.Errorf("stressor thread %d: %w", thread, err)
		}
	}
	return x, nil
}

func (w *way) open(g *gpu, l device.Load) (err error) {
	w.c.block, w.c.streams = C.size_t(l.Block), C.int(1+min(1, l.Ahead))
	w.c.direction = map[device.Direction]uint32{device.H2D: C.IN, device.D2H: C.OUT, device.D2D: C.WITHIN}[w.direction]
	var d cu.DevicePtr
	switch {
	case w.direction == device.D2D:
		d, err = allocate(l.Block)
		w.c.other = C.CUdeviceptr(d)
	case l.Pageable:
		w.c.turn = g.turn
		var host []byte
		if host, err = unix.Mmap(-1, 0, int(l.Block), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
			return cell.Hint(fmt.Errorf("allocate %s of host memory: %w", unit.Size(l.Block), err), "lower threads or block")
		}
		w.c.host, w.release = unsafe.Pointer(&host[0]), func() error { return unix.Munmap(host) }
		for i := 0; i < len(host); i += os.Getpagesize() {
			host[i] = 1
		}
	default:
		var host []byte
		if host, err = g.Pinned(l.Block); err != nil {
			return err
		}
		w.c.host, w.release = unsafe.Pointer(&host[0]), func() error { return cu.MemFreeHost(unsafe.Pointer(&host[0])) }
	}
	if err == nil {
		d, err = allocate(l.Block)
		w.c.device = C.CUdeviceptr(d)
	}
	for i := range int(w.c.streams) {
		err = cmp.Or(err, makeStream(&w.c.stream[i], l.High))
	}
	ring := calloc[C.slot](l.Outstanding + 1)
	w.c.ring, w.c.length = &ring[0], C.int(len(ring))
	for i := range ring {
		err = cmp.Or(err, result(C.cuEventCreate(&ring[i].end, C.CU_EVENT_DEFAULT), "make an event"))
	}
	if err != nil {
		return err
	}
	// Where the GPU's clock stands: the first copy is timed from here.
	e := ring[len(ring)-1].end
	err = errors.Join(result(C.cuEventRecord(e, w.c.stream[0]), "read the GPU's clock"), result(C.cuEventSynchronize(e), "read the GPU's clock"))
	w.clock.offset = float64(cell.Now())
	return err
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
	return x.failed(C.submit(w.c, C.size_t(bytes), C.int64_t(cell.Now())))
}

// failed turns the driver's answer to a copy into an error.
func (x *lane) failed(r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return result(r, fmt.Sprintf("copy %s %v", unit.Size(x.load.Block), x.load.Directions))
}

// Wait returns the copy that is done first.
func (x *lane) Wait(done func(device.Direction) error) (device.Copy, error) {
	flying := 0
	for _, w := range x.ways {
		flying += int(w.c.flying)
	}
	if flying == 0 {
		return device.Copy{}, errors.New("wait for a copy: none was submitted")
	}
	e := &x.done[0]
	if err := x.failed(C.await(&x.c[0], C.int(len(x.c)), e)); err != nil {
		return device.Copy{}, err
	}
	if done != nil {
		if err := done(x.ways[e.way].direction); err != nil {
			return device.Copy{}, err
		}
	}
	return x.finish(e), nil
}

// KeepUp is that of [device.Runner].
func (x *lane) KeepUp(halt *atomic.Bool, done func(device.Flight) error) (more bool, err error) {
	const most = 2 * time.Millisecond
	if err := x.failed(C.keep_up(&x.c[0], C.int(len(x.c)), C.int(x.load.Outstanding), C.int64_t(x.load.Calls), C.int64_t(most),
		(*C.uint32_t)(unsafe.Pointer(halt)), &x.done[0], batch, &x.count)); err != nil {
		return false, err
	}
	for i := range x.done[:x.count] {
		e := &x.done[i]
		if err := done(device.Flight{Copy: x.finish(e), Sent: int64(e.sent), Alone: e.alone != 0}); err != nil {
			return false, err
		}
	}
	return x.count > 0, nil
}

// finish puts the times of a copy on the host's clock.
func (x *lane) finish(e *C.ended) device.Copy {
	w := x.ways[e.way]
	end := w.clock.tell(float64(e.gap)*1e6, int64(e.learnt))
	// No earlier than it can have been, nor out of order.
	start := max(int64(e.asked), w.last.End())
	w.last = device.Copy{Start: start, Duration: max(0, end-start), Bytes: int64(e.bytes), Direction: w.direction}
	return w.last
}

// Close releases the lane.
func (x *lane) Close() error {
	errs := []error{cu.SetCurrentContext(x.gpu.context)}
	for _, w := range x.ways {
		for _, s := range w.c.stream {
			if s != nil {
				errs = append(errs, result(C.cuStreamSynchronize(s), "wait for a stream"), result(C.cuStreamDestroy(s), "release a stream"))
			}
		}
		for _, s := range unsafe.Slice(w.c.ring, w.c.length) {
			if s.end != nil {
				errs = append(errs, result(C.cuEventDestroy(s.end), "release an event"))
			}
		}
		C.free(unsafe.Pointer(w.c.ring))
		for _, p := range []C.CUdeviceptr{w.c.device, w.c.other} {
			if p != 0 {
				errs = append(errs, result(C.cuMemFree(p), "free device memory"))
			}
		}
		if w.release != nil {
			errs = append(errs, w.release())
		}
	}
	C.free(unsafe.Pointer(&x.c[0]))
	C.free(unsafe.Pointer(&x.done[0]))
	return errors.Join(errs...)
}
