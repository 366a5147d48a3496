package stress

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"

	"barograph/pipeline/cell"
	"barograph/stages/device"
)

// reelLength copies of 32 bytes make 128 KiB: a thread that copies 64 KiB at a
// time asks for a new reel some thirty times a second.
const reelLength = 1 << 12

type reel [reelLength]device.Copy

// newReel makes a reel and touches its pages here, and not in a thread that
// copies.
func newReel() *reel {
	r := new(reel)
	for i := range r {
		r[i].Bytes = 1
	}
	return r
}

// A tape holds what one thread has copied in one direction, where copies start
// and end in the order in which they finish. The thread adds to it; others may
// read what it has added so far.
type tape struct {
	thread  int
	reels   []*reel
	n       atomic.Int64
	longest atomic.Int64 // duration of a copy, in nanoseconds
}

func newTape(thread, limit int) *tape {
	// Readers look at reels while the thread adds to it: it must not move. The
	// first is there from the start, lest the thread wait for it.
	t := &tape{thread: thread, reels: make([]*reel, max(1, (limit+reelLength-1)/reelLength))}
	t.reels[0] = newReel()
	return t
}

// newTapes makes the tapes of a load: for each thread, one per direction.
func newTapes(l device.Load, limit int) []*tape {
	var tapes []*tape
	for thread := range l.Threads {
		for range l.Directions {
			tapes = append(tapes, newTape(thread, limit))
		}
	}
	return tapes
}

func (t *tape) len() int              { return int(t.n.Load()) }
func (t *tape) at(i int) *device.Copy { return &t.reels[i/reelLength][i%reelLength] }

var errFull = errors.New("no room for more copies")

// add appends a copy, taking a fresh reel from spare when the last is full.
func (t *tape) add(c device.Copy, spare <-chan *reel) error {
	n := t.n.Load()
	if n > 0 && n%reelLength == 0 {
		r, ok := <-spare
		if !ok || n/reelLength == int64(len(t.reels)) {
			return errFull
		}
		t.reels[n/reelLength] = r
	}
	*t.at(int(n)) = c
	if c.Duration > t.longest.Load() {
		t.longest.Store(c.Duration)
	}
	t.n.Store(n + 1)
	return nil
}

// spares makes reels ahead of need, so that threads never wait for memory,
// until all hold limit copies or stop closes; then it closes its channel.
func spares(ahead, limit int, stop <-chan struct{}) <-chan *reel {
	spare := make(chan *reel, ahead)
	go func() {
		defer close(spare)
		for made := 0; made < limit; made += reelLength {
			select {
			case spare <- newReel():
			case <-stop:
				return
			}
		}
	}()
	return spare
}

// longest returns the longest copy's duration in nanoseconds.
func longest(tapes []*tape) (d int64) {
	for _, t := range tapes {
		d = max(d, t.longest.Load())
	}
	return d
}

// span returns when the first of all copies began and the last one ended; zeros
// if there is none.
func span(tapes []*tape) (s [2]int64) {
	for _, t := range tapes {
		n := t.len()
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

// within returns the bytes that all tapes hold between start and end, by
// direction; a copy that straddles an edge counts by its share.
func within(tapes []*tape, start, end int64) (sum [device.NumDirections]float64) {
	for _, t := range tapes {
		for i := t.len() - 1; i >= 0 && t.at(i).End() >= start; i-- {
			c := t.at(i)
			sum[c.Direction] += c.Within(start, end)
		}
	}
	return sum
}

// write writes the copies of all tapes, merged by start, as result.CopiesFile
// says.
func write(w io.Writer, tapes []*tape) (err error) {
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
			if at[i] < t.len() && (first < 0 || t.at(at[i]).Start < tapes[first].at(at[first]).Start) {
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

// full explains errFull.
func full(limit int) error {
	return cell.Hint(fmt.Errorf("record copies: more than %d of them", limit),
		"give the stressor larger blocks or a rate, or its trial fewer calls")
}
