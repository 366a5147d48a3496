package guard

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// A Queue is how copies of one direction wait for a link.
type Queue int

const (
	// FIFO serves copies in the order in which they were submitted.
	FIFO Queue = iota
	// Turns is a GPU's copy engine: between processes it takes turns of a fixed
	// length while both have copies ready; within one it stays with a stream that has
	// more ready.
	Turns
	// Shared is a bus on which no copy waits for another: all become slower.
	Shared
)

// A Link is what a bound rests on.
type Link struct {
	Capacity float64 // bytes per second, calibrated
	Queue    Queue
	// Overhead is how long a copy holds the link beside its bytes.
	Overhead time.Duration
	// Slow is how many times as long as at the capacity a byte may take, for some tens of
	// milliseconds and whatever is copied, such as [Slowest]; up to 1: no longer ever.
	Slow float64
	// Constant is what a bound allows beside the copies in flight: from a submission until
	// the engine comes to it, and what telling the time of an end adds.
	Constant time.Duration // such as [Constant]
	// Processes that copy, beside that of the victim; 0: the victim's own does.
	Processes int
	// Which of a victim's copies use it, those of its inputs or of its outputs; neither:
	// both.
	Inputs, Outputs bool
}

// Constant is room for what passes between a submission and the engine, on PCIe of the
// third generation and later.
const Constant = 50 * time.Microsecond

// Slowest is the [Link.Slow] of GPUs: the link of some cards is slower at times, with or
// without a load (data/README.md, "What to do about contention"). The slowest copies that
// an H100 was seen to make took 3.04 times as long as at the capacity.
const Slowest = 3.5

// A Shape is what is in flight on a link: so many streams in each process, and in
// each stream so many copies of a chunk.
type Shape struct {
	Streams  int
	Chunk    int64 // bytes
	InFlight int
}

// Bytes returns those in flight at most.
func (s Shape) Bytes() float64 { return float64(s.Streams) * float64(s.InFlight) * float64(s.Chunk) }

// Shape returns what a load of so many streams, blocks and blocks in flight becomes
// under the policy.
func (p Policy) Shape(load Shape) Shape {
	switch p.Name {
	case "chunks":
		per := (load.Chunk + int64(p.Chunk) - 1) / int64(p.Chunk)
		return Shape{load.Streams, int64(p.Chunk), int(min(per*int64(load.InFlight), math.MaxInt32))}
	case "rate":
		if p.Chunk > 0 {
			load.Chunk = int64(p.Chunk)
		}
		return load
	case "window", "duty", "loop", "aside":
		return Shape{p.Streams, int64(p.Chunk), p.InFlight}
	}
	return load
}

// Left returns the share of a link that is left at most beside a victim which moves so many
// bytes over it in a call, in so many copies, if a call takes so long: one copy at a time
// holds the link, so that no policy leaves a load more.
func (l Link) Left(bytes int64, copies int, call time.Duration) float64 {
	own := float64(copies)*float64(l.Overhead) + float64(bytes)/l.Capacity*1e9
	return max(0, 1-own/float64(call))
}

// ErrNoBound is why a victim's copy may wait for as long as the load goes on.
var ErrNoBound = errors.New("no bound")

// Usual returns the link as it is where it is never slower than its capacity.
func (l Link) Usual() Link {
	l.Slow = 1
	return l
}

// slowest is how many nanoseconds a byte takes at most.
func (l Link) slowest() float64 { return 1e9 / l.Capacity * max(1, l.Slow) }

// mostStreams is for how many streams of one process a GPU's copy engine was seen to
// let another's copy through after one copy of each.
const mostStreams = 2

// Bound returns how long a victim's copy can wait behind copies of a load under the
// policy: the bytes that are in flight over the capacity at its slowest, each copy's
// overhead, and the link's constant; under duty, the time in which copies begin too.
// Under aside it is that of a copy that the victim told of: one that is ready before
// waits until the time that was told. Where nothing bounds the wait the error is an
// [ErrNoBound] and says why.
//
// It holds under what it assumes: that the capacity was calibrated on this link, which
// is never slower than [Link.Slow] says; that nobody else copies in this direction but
// the load and the victim; and that the engine takes copies as [Link.Queue] says.
func (p Policy) Bound(load Shape, l Link) (time.Duration, error) {
	s := p.Shape(load)
	streams := s.Streams * max(1, l.Processes)
	if p.Credit > 0 {
		streams = min(streams, p.Credit)
	}
	none := func(format string, args ...any) (time.Duration, error) {
		return 0, fmt.Errorf("%w: %s", ErrNoBound, fmt.Sprintf(format, args...))
	}
	duty := p.Name == "duty"
	freed := duty || p.Aside() // no copy goes while a victim's is ready
	switch {
	case !(l.Capacity > 0):
		return none("the link's capacity is not known")
	case l.Queue == Shared:
		return none("on a shared bus no copy waits for another, and all become slower")
	case l.Queue == FIFO:
	case l.Processes > 0 && streams*s.InFlight > 1 && !freed:
		return none("%d copies ready in other processes bring about the copy engine's turns, and a victim's copy waits for a whole one", streams*s.InFlight)
	case l.Processes > 0 && p.Ahead > 0:
		return none("copies that are queued ahead in another process keep the copy engine, which then takes turns, and a victim's copy waits for a whole one")
	case l.Processes == 0 && p.Aside() && s.InFlight > 1 && (l.Inputs || !l.Outputs):
		return none("inputs that are sent later than a call begins wait until the engine has served all %d copies that are ready, and those that follow until the call's end", s.InFlight)
	case s.InFlight > 1 && !freed:
		return none("the copy engine stays with a stream that has more ready, and each has %d copies", s.InFlight)
	case l.Processes == 0 && streams > mostStreams && !freed:
		return none("beside %d streams a victim's copy was seen to wait for longer than one copy of each", streams)
	}
	one := float64(l.Overhead) + float64(s.Chunk)*l.slowest()
	wait := float64(streams*s.InFlight)*one + float64(l.Constant)
	if duty {
		wait += float64(p.On)
	}
	if wait > math.MaxInt64/2 {
		return none("what is in flight takes longer than can be told")
	}
	return time.Duration(math.Ceil(wait)), nil
}
