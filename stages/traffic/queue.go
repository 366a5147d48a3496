// Package traffic is how requests that do not wait for one another are answered: they
// wait in a queue, are dropped by a policy, are gathered into batches, and are taken
// by workers. It knows no study and no model.
//
// One set of rules, [Queue], serves two clocks: [Serve] answers in real time, and a
// simulated link in its own. The queue is kept by the workers themselves, since the whole schedule is
// known beforehand: what is due while all of them are busy is queued at the time that
// it was due. So there is no generator that could fall behind a clock of its own, and
// what is left of its lag is written down with each request.
package traffic

import (
	"math"
)

// Never is when nothing is to happen any more.
const Never = math.MaxInt64

// A Request is one arrival. Times are nanoseconds on the clock that serves it.
//
//	Due <= Sent <= Begun <= Done
//
// Sent less Due is the lag: for how long it was due, a worker was free for it, and it
// was not taken, which is the harness's doing. Begun less Sent is spent in the queue,
// Done less Begun in the model.
type Request struct {
	Due, Sent, Begun, Done int64
	Deadline               int64 // by when it has to be answered; 0: it has none
	Batch                  int   // requests that were answered together; 0: it was dropped
}

// Answered tells whether the request was.
func (r *Request) Answered() bool { return r.Batch > 0 }

// Late tells whether it missed its deadline: one that was dropped did.
func (r *Request) Late() bool { return r.Batch == 0 || r.Deadline > 0 && r.Done > r.Deadline }

// A Queue holds requests that are due and not yet taken. It allocates nothing once it
// is made, and wants a lock where several threads use it.
type Queue struct {
	Requests []Request // in the order in which they are due

	rule    Rule
	batch   Batch
	next    int     // the first that is not due yet
	order   []int32 // those that were let in
	head    int     // of order: the first that waits
	settled int     // that were answered or dropped
}

// NewQueue makes a queue of requests that are due at so many nanoseconds, ascending,
// after an origin.
func NewQueue(due []int64, origin int64, rule Rule, batch Batch) *Queue {
	q := &Queue{Requests: make([]Request, len(due)), order: make([]int32, 0, len(due)), rule: rule, batch: batch}
	for i, at := range due {
		q.Requests[i].Due = origin + at
		if rule.Deadline > 0 {
			q.Requests[i].Deadline = origin + at + int64(rule.Deadline)
		}
	}
	return q
}

// Work is a batch that a worker has taken.
type Work struct {
	N     int   // requests; 0: there is nothing to do before Wake
	Wake  int64 // when to ask again; Never: no more
	Ready int64 // when it could have been begun
	from  int   // its first in the queue's order
}

// Settled returns how many requests were answered or dropped.
func (q *Queue) Settled() int { return q.settled }

// Take gives a worker its next batch, by what has come until now; the worker has been
// free since a time that is not after it. A batch is ripe once it is full, or once the
// first of it has waited for long enough; it is taken at the latter of that and of
// when the worker was free.
func (q *Queue) Take(now, free int64) Work {
	for {
		ripe, waiting := int64(Never), len(q.order)-q.head
		if waiting > 0 {
			ripe = q.Requests[q.order[q.head]].Due + int64(q.batch.Wait)
		}
		if waiting >= q.batch.most() {
			ripe = min(ripe, q.Requests[q.order[q.head+q.batch.most()-1]].Due)
		}
		ready, due := max(free, ripe), int64(Never)
		if q.next < len(q.Requests) {
			due = q.Requests[q.next].Due
		}
		switch {
		case due <= now && (due < ready || due == ready && waiting < q.batch.most()):
			q.admit()
		case waiting == 0:
			return Work{Wake: due}
		case q.rule.Drop == "late" && q.Requests[q.order[q.head]].Deadline <= min(ready, now):
			q.drop(q.order[q.head], min(ready, now))
			q.head++
		case ready <= now:
			w := Work{N: min(waiting, q.batch.most()), Ready: ready, from: q.head}
			q.head += w.N
			return w
		default:
			return Work{Wake: min(ready, due)}
		}
	}
}

// admit lets the next request in, if there is room.
func (q *Queue) admit() {
	i := int32(q.next)
	q.next++
	if q.rule.Queue > 0 && len(q.order)-q.head >= q.rule.Queue {
		at := q.Requests[i].Due
		if q.rule.Drop != "oldest" {
			q.drop(i, at)
			return
		}
		q.drop(q.order[q.head], at)
		q.head++
	}
	q.order = append(q.order, i)
}

func (q *Queue) drop(i int32, at int64) {
	r := &q.Requests[i]
	r.Sent, r.Begun, r.Done = at, at, at
	q.settled++
}

// Answer notes when a batch was begun and done.
func (q *Queue) Answer(w Work, begun, done int64) {
	q.Each(w, func(r *Request) { r.Sent, r.Begun, r.Done, r.Batch = r.Due+begun-w.Ready, begun, done, w.N })
	q.settled += w.N
}

// Each gives the requests of a batch.
func (q *Queue) Each(w Work, yield func(*Request)) {
	for _, i := range q.order[w.from : w.from+w.N] {
		yield(&q.Requests[i])
	}
}

// Abandon drops at a time whatever was due by then and is not settled, and returns
// all requests that were due: those of a trial that was cut off.
func (q *Queue) Abandon(at int64) []Request {
	for q.next < len(q.Requests) && q.Requests[q.next].Due <= at {
		q.next++
	}
	for i := range q.Requests[:q.next] {
		if r := &q.Requests[i]; r.Done == 0 && !r.Answered() {
			q.drop(int32(i), at)
		}
	}
	return q.Requests[:q.next]
}
