package guard

import "time"

// A Bucket is a token bucket that holds a load to a rate on average: it tells each
// copy when it may start. The zero Bucket sets no limit. It holds no lock and reads no
// clock, so that real threads and simulated ones share it.
type Bucket struct {
	rate    float64 // bytes per second; 0: no limit
	depth   float64 // nanoseconds of tokens that time lost may be made up with
	started bool
	origin  int64   // when the first copy asked
	next    float64 // when the bucket next has tokens, nanoseconds after origin
}

// NewBucket returns a bucket for a rate in bytes per second; 0 is no limit. It is
// empty at first, so that a load starts without a burst, and holds the tokens of a
// twentieth of a second, or of four copies if those take longer: a thread that woke
// late catches up, while a long stall is not followed by a long burst.
func NewBucket(rate float64, chunk int64) Bucket {
	if rate <= 0 {
		return Bucket{}
	}
	return Bucket{rate: rate, depth: max(float64(50*time.Millisecond), 4e9*float64(chunk)/rate)}
}

// Reserve takes the tokens of one copy and returns when it may start; at or before
// now means at once.
func (b *Bucket) Reserve(now, bytes int64) (at int64) {
	if b.rate == 0 {
		return now
	}
	if !b.started {
		b.started, b.origin = true, now
	}
	b.next = max(b.next, float64(now-b.origin)-b.depth)
	at = b.origin + int64(b.next)
	b.next += float64(bytes) / b.rate * 1e9
	return at
}
