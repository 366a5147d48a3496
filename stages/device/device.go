// Package device is the hardware seam of the stressor: what it copies over, and
// how one of its threads puts copies in flight and learns when they were done.
//
// An implementation is a [Device]: package host copies over the memory bus of
// any machine, and a build with GPU support adds PCIe. The loop that drives
// lanes, their pace and the records they leave are the stressor's, and are the
// same for every device. Package sim stands beside the seam and not behind it:
// it simulates the whole link, stressors and inference together, in virtual
// time.
package device

import (
	"fmt"
	"sync/atomic"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
)

// A Direction is the way a copy goes, seen from the host. On a device with one
// path for both, such as the memory bus, it is only a label. Copies that begin and
// end on one side leave the link idle: they are null controls, which put the same
// traffic on memory and none on what is under pressure.
type Direction uint8

const (
	H2D           Direction = iota // host to device
	D2H                            // device to host
	D2D                            // within the device's memory
	H2H                            // within host memory, by the stressor's CPUs
	NumDirections = iota
)

var directionNames = [NumDirections]string{"h2d", "d2h", "d2d", "h2h"}

func (d Direction) String() string { return directionNames[d] }

// OffLink tells whether copies in this direction leave the link idle.
func (d Direction) OffLink() bool { return d == D2D || d == H2H }

// Directions reads h2d, d2h, both (of these), d2d or h2h.
func Directions(s string) ([]Direction, error) {
	if s == "both" {
		return []Direction{H2D, D2H}, nil
	}
	for i, name := range directionNames {
		if s == name {
			return []Direction{Direction(i)}, nil
		}
	}
	return nil, fmt.Errorf("direction %q is not one of h2d, d2h, both, d2d, h2h", s)
}

// A Load is what a stressor puts on a device.
type Load struct {
	Threads     int
	Block       int64       // bytes of one copy
	Outstanding int         // copies in flight per thread and direction, at least 1
	Directions  []Direction // each thread keeps copies in flight in all of them
	Pageable    bool        // host memory is pageable rather than page-locked
	Node        *int        // NUMA node of host memory; nil: as the kernel places it
	Calls       int         // copies of each thread in each direction; 0: without end
	// Ahead is how many of Outstanding are queued so that each becomes ready only once
	// the one before is done. Only a GPU can, and then all but one are.
	Ahead int
	// High has a GPU's streams of the load before all others, where it orders any.
	High bool
}

// Fits reports whether the buffers of all threads fit into what device and host
// memory there is to spare, in bytes: one in each for every direction of a copy
// over the link, two in device memory for copies within it.
func (l Load) Fits(deviceMemory, hostMemory float64) error {
	onDevice, onHost := 1.0, 1.0
	switch l.Directions[0] {
	case D2D:
		onDevice, onHost = 2, 0
	case H2H:
		onDevice, onHost = 0, 2
	}
	for _, side := range []struct {
		name          string
		buffers, have float64
	}{{"device", onDevice, deviceMemory}, {"host", onHost, hostMemory}} {
		// In floating point, since threads times a block may be more than an int64.
		if need := side.buffers * float64(l.Threads) * float64(len(l.Directions)) * float64(l.Block); need > side.have {
			return cell.Hint(fmt.Errorf("%d threads with blocks of %s need %.1f GiB of %s memory, and %.1f GiB can be spared",
				l.Threads, unit.Size(l.Block), need/(1<<30), side.name, max(0, side.have)/(1<<30)),
				"lower threads or block, or free %s memory; a machine file under configs/machines/ can override the study's levels", side.name)
		}
	}
	return nil
}

// A Device is what is under pressure.
type Device interface {
	// Fit reports what stands in the way of a load, such as too little memory,
	// before any of it is allocated.
	Fit(Load) error
	// Lane gives one thread its own path: buffers, allocated and touched, and
	// whatever queues the copies. It is called on the operating system thread
	// that will use the lane, and nothing else will.
	Lane(l Load, thread int) (Lane, error)
	// OnePath tells whether copies in both directions share one path and its
	// capacity, as on a memory bus.
	OnePath() bool
	// Notes says what a reader of the recording must know about copies on this
	// device, such as that both directions are one path.
	Notes(Load) []string
}

// A Lane is one thread's path over a device. Its methods are called from the
// thread that opened it, and allocate nothing.
type Lane interface {
	// Submit puts one copy of so many bytes of a block in flight, or of all. The caller
	// keeps at most Load.Outstanding in flight per direction. A device without asynchronous
	// copies carries it out before it returns.
	Submit(d Direction, bytes int64) error
	// Wait blocks until a copy in flight is done, and returns it. Copies of one
	// direction finish in the order of their submission. Before the copy's times are
	// read, done is called with its direction, unless it is nil: by then the copy is
	// no longer in flight, and the link idles until another is submitted.
	Wait(done func(Direction) error) (Copy, error)
	// Close releases the lane; nothing is in flight.
	Close() error
}

// A Runner is a lane that can have its copies follow one another by itself: the link
// idles for less than where each waits for its caller.
type Runner interface {
	Lane
	// KeepUp keeps Load.Outstanding copies in flight in each direction for a while, and
	// calls done with each that is done. The next call goes on where this one ended. Once
	// halt is set or Load.Calls are made it submits none; more is false when none was left
	// in flight.
	KeepUp(halt *atomic.Bool, done func(Flight) error) (more bool, err error)
}

// A Flight is a copy, when its submission was over, and whether its stream then had
// nothing before it.
type Flight struct {
	Copy
	Sent  int64
	Alone bool
}

// A Copy is one finished copy. Its times are the link's, on the clock of
// cell.Now, not those of the moment Wait returned; Start is no earlier than
// its submission.
type Copy struct {
	Start     int64 // nanoseconds
	Duration  int64 // nanoseconds
	Bytes     int64
	Direction Direction
}

// End returns when the copy was done.
func (c Copy) End() int64 { return c.Start + c.Duration }

// Within returns how many of the copy's bytes fall into the interval from start
// to end: all, none, or, for a copy that straddles an edge, the share of its
// duration inside.
func (c Copy) Within(start, end int64) float64 {
	lo, hi := max(c.Start, start), min(c.End(), end)
	switch {
	case c.Duration == 0 && c.Start >= start && c.Start < end:
		return float64(c.Bytes)
	case hi <= lo:
		return 0
	}
	return float64(c.Bytes) * (float64(hi-lo) / float64(c.Duration))
}

// A Call is what a victim asks of a device: a kernel that computes for a while,
// and a copy behind it in the same stream. It is complete when both are.
type Call struct {
	Kernel    time.Duration // below 0: no kernel, and the copy finds nothing pending
	Bytes     int64         // of the copy; 0: none
	Direction Direction     // H2D or D2H
}

// A Prober is a device that times a victim's calls.
type Prober interface {
	// Probe makes room for calls of at most so many bytes. What it returns is for
	// the calling thread alone.
	Probe(most int64) (Probe, error)
}

// A Probe times calls in a closed loop, one at a time.
type Probe interface {
	// Time makes calls until latencies, in nanoseconds, is full, or limit is over,
	// and returns those that it timed: one at least.
	Time(c Call, latencies []int64, limit time.Duration) ([]int64, error)
	Close() error
}
