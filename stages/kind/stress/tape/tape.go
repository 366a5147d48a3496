// Package tape records what a stressor's threads copy: when each copy started, its
// bytes, and how long it took. A thread adds to its tape without waiting for memory or
// for whoever reads.
package tape

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"sync/atomic"

	"barograph/pipeline/cell"
	"barograph/stages/device"
)

// ReelLength copies of 32 bytes make 128 KiB: a thread that copies 64 KiB at a
// time asks for a new reel some thirty times a second.
const ReelLength = 1 << 12

// A Reel is the memory of ReelLength copies.
type Reel [ReelLength]device.Copy

// newReel makes a reel and touches its pages here, and not in a thread that
// copies.
func newReel() *Reel {
	r := new(Reel)
	for i := range r {
		r[i].Bytes = 1
	}
	return r
}

// A Tape holds what one thread has copied in one direction, where copies start
// and end in the order in which they finish. The thread adds to it; others may
// read what it has added so far.
type Tape struct {
	thread  int
	reels   []*Reel
	n       atomic.Int64
	longest atomic.Int64 // duration of a copy, in nanoseconds
}

func one(thread, limit int) *Tape {
	// Readers look at reels while the thread adds to it: it must not move. The
	// first is there from the start, lest the thread wait for it.
	t := &Tape{thread: thread, reels: make([]*Reel, max(1, (limit+ReelLength-1)/ReelLength))}
	t.reels[0] = newReel()
	return t
}

// New makes the tapes of a load: for each thread, one per direction.
func New(l device.Load, limit int) []*Tape {
	var tapes []*Tape
	for thread := range l.Threads {
		for range l.Directions {
			tapes = append(tapes, one(thread, limit))
		}
	}
	return tapes
}

func (t *Tape) Len() int              { return int(t.n.Load()) }
func (t *Tape) at(i int) *device.Copy { return &t.reels[i/ReelLength][i%ReelLength] }

var errFull = errors.New("no room for more copies")

// Add appends a copy, taking a fresh reel from spare when the last is full.
func (t *Tape) Add(c device.Copy, spare <-chan *Reel) error {
	n := t.n.Load()
	if n > 0 && n%ReelLength == 0 {
		r, ok := <-spare
		if !ok || n/ReelLength == int64(len(t.reels)) {
			return errFull
		}
		t.reels[n/ReelLength] = r
	}
	*t.at(int(n)) = c
	if c.Duration > t.longest.Load() {
		t.longest.Store(c.Duration)
	}
	t.n.Store(n + 1)
	return nil
}

// Spares makes reels ahead of need, so that threads never wait for memory,
// until all hold limit copies or stop closes; then it closes its channel.
func Spares(ahead, limit int, stop <-chan struct{}) <-chan *Reel {
	spare := make(chan *Reel, ahead)
	go func() {
		defer close(spare)
		for made := 0; made < limit; made += ReelLength {
			select {
			case spare <- newReel():
			case <-stop:
				return
			}
		}
	}()
	return spare
}

// Longest returns the longest copy's duration in nanoseconds.
func Longest(tapes []*Tape) (d int64) {
	for _, t := range tapes {
		d = max(d, t.longest.Load())
	}
	return d
}

// Span returns when the first of all copies began and the last one ended; zeros
// if there is none.
func Span(tapes []*Tape) (s [2]int64) {
	for _, t := range tapes {
		n := t.Len()
		if n == 0 {
			continue
		}
		if first := t.at(0).Start; s == [2]int64{} || first < s[0] {
			s[0] = first
		}
		s[1] = max(s[1], t.at(n-1).End())
	}
	return s
}

// Within returns the bytes that all tapes hold between start and end, by
// direction; a copy that straddles an edge counts by its share.
func Within(tapes []*Tape, start, end int64) (sum [device.NumDirections]float64) {
	for _, t := range tapes {
		for i := t.Len() - 1; i >= 0 && t.at(i).End() >= start; i-- {
			c := t.at(i)
			sum[c.Direction] += c.Within(start, end)
		}
	}
	return sum
}

// Write writes the copies of all tapes, merged by start, as result.CopiesFile
// says.
func Write(w io.Writer, tapes []*Tape) (err error) {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(z, 1<<16)
	if _, err := b.WriteString("thread,start_ns,bytes,duration_ns,direction\n"); err != nil {
		return err
	}
	at := make([]int, len(tapes))
	var line []byte
	for {
		first := -1
		for i, t := range tapes {
			if at[i] < t.Len() && (first < 0 || t.at(at[i]).Start < tapes[first].at(at[first]).Start) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		c := tapes[first].at(at[first])
		at[first]++
		line = strconv.AppendInt(line[:0], int64(tapes[first].thread), 10)
		for _, v := range [...]int64{c.Start, c.Bytes, c.Duration} {
			line = strconv.AppendInt(append(line, ','), v, 10)
		}
		line = append(append(append(line, ','), c.Direction.String()...), '\n')
		if _, err := b.Write(line); err != nil {
			return err
		}
	}
	return cmp.Or(b.Flush(), z.Close())
}

// Record puts copies on their threads' tapes, in the order in which they come.
func Record(copies iter.Seq2[int, device.Copy], n int, l device.Load) ([]*Tape, error) {
	ended := make(chan struct{})
	defer close(ended)
	// The last reel of each tape is used in part.
	spare := Spares(1, n+l.Threads*len(l.Directions)*ReelLength, ended)
	tapes := New(l, n)
	for thread, c := range copies {
		if i := slices.Index(l.Directions, c.Direction); i >= 0 {
			if err := tapes[thread*len(l.Directions)+i].Add(c, spare); err != nil {
				return nil, fmt.Errorf("record simulated copies: %w", err)
			}
		}
	}
	return tapes, nil
}

// Full explains that a tape was full.
func Full(limit int) error {
	return cell.Hint(fmt.Errorf("record copies: more than %d of them", limit),
		"give the stressor larger blocks or a rate, or its trial fewer calls")
}
