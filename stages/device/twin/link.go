// Package twin computes latencies beside a load instead of measuring them: it
// simulates the link, event by event. The device sim and predictions rest on it.
// What comes out of it was computed and not measured, and whoever shows it says so.
//
// Each direction of a [Link] has a copy engine that serves one copy at a time.
// Copies wait in streams, and streams belong to processes:
//
//   - Within a process the stream that became ready first is served first, and
//     the engine stays with a stream that has more ready.
//   - Between processes that both have copies ready the engine takes turns of a
//     fixed length, and breaks off a copy where a turn ends inside it.
//   - A process that has nothing more ready loses its turn. So one that keeps a
//     single copy in flight makes others wait for that copy and not for a turn.
//   - Small copies to the device go another way, and wait for nobody.
//
// A link without turns serves copies in the order in which they were submitted,
// whoever they belong to: a plain queue.
//
// Times are nanoseconds of virtual time, sizes bytes, bandwidths bytes per second.
// The same arguments give the same result to the nanosecond.
package twin

import (
	"math"

	"barograph/stages/device"
	"barograph/stages/guard"
)

// A Link is what a simulation knows of one. The zero value of a field leaves out
// what it stands for.
type Link struct {
	Bandwidth [device.NumDirections]float64 `json:"bandwidth_bytes_per_s"` // of each direction alone
	Both      float64                       `json:"both_bytes_per_s"`      // of h2d and d2h together; 0: their sum
	Overhead  float64                       `json:"overhead_ns"`           // time a copy holds its engine beside its bytes
	Turn      [device.NumDirections]int64   `json:"turn_ns"`               // 0: a plain queue
	Switch    int64                         `json:"switch_ns"`             // time an engine takes from one process to another
	// The largest copy to the device that takes the small path: of a stream with
	// nothing pending, and of one with a kernel before it.
	SmallIdle   int64 `json:"small_idle_bytes"`
	SmallBehind int64 `json:"small_behind_bytes"`
	// Fetch is by how much commands and small copies of a request are held up by
	// a load that fills the link towards the device.
	Fetch     int64     `json:"fetch_ns,omitempty"`
	Computing Computing `json:"computing,omitzero"` // of the device, for several services
	Slow      Slow      `json:"slow,omitzero"`
}

// A Slow says that a link is slower again and again, as those of some H100 were seen to be
// (data/README.md, "What to do about contention").
type Slow struct {
	Every int64   `json:"every_ns"` // from the beginning of one such time to that of the next
	For   int64   `json:"for_ns"`   // how long it lasts
	Times float64 `json:"times"`    // by how much longer a copy's bytes take meanwhile, and not what it costs beside them
	// Back is for how long, after that, the link comes back: at once by a quarter, and then
	// evenly.
	Back int64 `json:"back_ns,omitempty"`
}

const back = 0.75

// Depth tells how slow the link is at a time, from 0, not at all, to 1. Each time ends with
// one in which the link is slow, and comes back.
func (s *Slow) Depth(now int64) float64 {
	if s.Every == 0 {
		return 0
	}
	switch remain := s.Every - now%s.Every; {
	case remain > s.For+s.Back:
		return 0
	case remain > s.Back:
		return 1
	default:
		return back * float64(remain) / float64(s.Back)
	}
}

// end returns when so long a time of a copy's bytes is over.
func (s *Slow) end(from, takes int64) int64 {
	if s.Every == 0 || s.For+s.Back == 0 {
		return from + takes
	}
	for left := float64(takes); ; {
		times := 1 + s.Depth(from)*(s.Times-1)
		edge := from - from%s.Every + s.Every
		switch remain := edge - from; {
		case remain > s.For+s.Back:
			edge -= s.For + s.Back
		case remain > s.Back:
			edge -= s.Back
		case s.Times > 1: // it comes back: of what is left, 1/times is done at once, and times falls evenly
			pace := float64(s.Back) / (s.Times - 1) / back
			if end := from + int64(math.Round(pace*times*-math.Expm1(-left/pace))); end <= edge {
				return end
			}
			left -= pace * math.Log(times)
			from = edge
			continue
		}
		if end := from + int64(math.Round(left*times)); end <= edge {
			return end
		}
		left -= float64(edge-from) / times
		from = edge
	}
}

// length returns how long a copy holds its engine; share is that of the bandwidth
// which its memory allows.
func (l *Link) length(d device.Direction, bytes int64, share float64, both bool) int64 {
	bandwidth := l.Bandwidth[d] * share
	if sum := l.Bandwidth[device.H2D] + l.Bandwidth[device.D2H]; both && l.Both > 0 && l.Both < sum {
		bandwidth *= l.Both / sum
	}
	return int64(math.Round(l.Overhead + float64(bytes)/bandwidth*1e9))
}

// small tells whether a copy to the device goes past the engine.
func (l *Link) small(bytes int64, behind bool) bool {
	limit := l.SmallIdle
	if behind {
		limit = l.SmallBehind
	}
	return limit > 0 && bytes <= limit
}

// A Load is a stressor: threads that keep copies in flight.
type Load struct {
	Process     int // 0 is that of the requests
	Threads     int
	Block       int64
	Outstanding int // of each thread and direction
	Directions  []device.Direction
	Share       float64 // of the bandwidth, below 1 for pageable memory; 0: all of it
	Rate        float64 // of the whole load; 0: no limit
	// Guard lets copies go; nil: all as soon as they can. It wants one of its own for
	// each load and run, and threads and outstanding as its shape says.
	Guard    *guard.Guard
	Owed     int64   // by how long it is behind its rate at first; its bucket may hold less
	Calls    int     // copies of each thread and direction; 0: without end
	Overhead int64   // time a copy holds its engine beside that of the link's copies
	Gap      int64   // from a copy's end to the next one's submission, at least
	Jitter   float64 // by how much that is longer, on average; it varies exponentially
	Serial   bool    // one thread after the other takes that time, as at a driver's lock
	// Late is by how much a thread that sleeps until its rate lets it go on wakes
	// late, on average; how late varies exponentially.
	Late float64
	// Stalls is how often in a second of sleep a thread is held up by Stall, on
	// average; for how long varies exponentially.
	Stalls float64
	Stall  int64
	// Done is told of every copy, once it is over, and says whether to go on; nil:
	// nobody is told. Copies of one direction are over in the order in which they
	// began.
	Done func(thread int, c device.Copy) bool
}

// A Service answers requests, one after the other or gathered into batches: input to
// the device, compute, output to the host.
type Service struct {
	Process int
	Start   int64   // of the first request, or what Due counts from
	Due     []int64 // when requests are due; nil: each once the one before is complete
	In, Out []int64 // bytes of each copy
	Behind  bool    // input copies stand behind a kernel in their stream
	// Occupancy is how much of the device the service's computing takes, by which it
	// slows that of others.
	Occupancy float64
	// Compute returns how long the device computes for the next request, from now on.
	Compute func(now int64) int64
	// Lag returns how much later than a request began its commands are sent, of which loads
	// hear nothing; nil: no later.
	Lag func() int64
	// Held returns by how much more than by the link's Fetch they are held up then; nil: no
	// more.
	Held func() int64
	// Notice returns how much later than without load the process sees a request's
	// last output; nil: no later.
	Notice func() int64
	// Page is told each latency, and the calls of the first worker, for loads that follow
	// them; nil: nobody is told.
	Page *guard.Page
	// Done is told of every answered request, and says whether there are to be more.
	Done func(Call) bool
	// Queue, where there is one, says what to do instead of Due; Page and Done are then
	// told nothing. Its workers answer side by side.
	Queue   Queue
	Workers int
	Further float64 // share of the computing time that each further request of a batch adds
}

// A Queue gives workers batches of requests.
type Queue interface {
	// Take gives a worker, which is free, so many requests to answer together; or none,
	// and then it asks again at a later time, or, where that is never, no more, and where
	// it has passed all is over.
	Take(worker int, now int64) (n int, wake int64)
	// Answer is told when the worker's batch was begun and done, and says whether to go
	// on.
	Answer(worker int, begun, done int64) bool
}

// A Call is one request that was answered. Latency runs from Scheduled; Start is
// when it was sent, later than that only if the one before was still unanswered.
type Call struct {
	Scheduled, Start, Latency int64
}

// Copies returns how long a request's copies take where nothing else uses the link.
func (l *Link) Copies(in, out []int64, behind bool) int64 {
	sum, small := int64(0), int64(0)
	for _, b := range in {
		if n := l.length(device.H2D, b, 1, false); l.small(b, behind) {
			small = max(small, n) // beside one another, and beside what an engine copies
		} else {
			sum += n
		}
	}
	if sum == 0 {
		sum = small
	}
	for _, b := range out {
		sum += l.length(device.D2H, b, 1, false)
	}
	return sum
}
