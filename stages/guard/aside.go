package guard

import "math"

// A Victim tells on a page when its calls begin and for how long they are expected to
// take, so that loads under the policy aside are off the link when its copies want it.
// It takes some nanoseconds and never waits. A page hears of one victim.
type Victim struct {
	page  *Page
	began int64 // the call that goes on; 0: none does
	calls int
	takes int64 // what most calls take at least
}

const (
	// Calls that are made before it is told how long they take: loads stay off the link
	// for all of each.
	unheard = 16
	// One call in so many is said to end earlier, by such a share. Its time is the
	// victim's own even where loads leave too late for others, and so is learnt from.
	wide, berth = 8, 1. / 32
	// The share of calls that take less than what is told, and of the time the step by
	// which that follows them.
	sooner, step = 0.2, 1. / 200
)

// Victim returns one that tells on the page, or, where another does already, that is
// not heard.
func (p *Page) Victim() *Victim {
	v := &Victim{takes: math.MaxInt64}
	if p.victims.Add(1) == 1 {
		v.page = p
	}
	return v
}

// Moves tells how many bytes a call copies to the device and back, over one link each.
func (v *Victim) Moves(in, out int64) {
	if v.page != nil {
		v.page.in.Store(in)
		v.page.out.Store(out)
	}
}

// Begin tells that a call begins at a time, and that the one before is over.
func (v *Victim) Begin(now int64) {
	if v.page == nil {
		return
	}
	v.learn(now)
	v.began = now
	takes := int64(0)
	if v.calls >= unheard {
		takes = v.takes
	}
	if v.wide() {
		takes -= int64(berth * float64(takes))
	}
	v.page.takes.Store(takes)
	v.page.began.Store(now)
}

// End tells that no call goes on.
func (v *Victim) End(now int64) {
	if v.page == nil {
		return
	}
	v.learn(now)
	v.began = 0
	v.page.began.Store(0)
}

// wide tells whether the call is one of those that are learnt from.
func (v *Victim) wide() bool { return v.calls%wide == 0 }

// learn follows a low quantile of the calls' times.
func (v *Victim) learn(now int64) {
	if v.began == 0 {
		return
	}
	took, learnt := now-v.began, v.wide()
	switch v.calls++; {
	case v.calls <= unheard:
		v.takes = min(v.takes, took)
	case !learnt:
	case took < v.takes:
		v.takes -= int64(step * (1 - sooner) * float64(v.takes))
	default:
		v.takes += int64(step * sooner * float64(v.takes))
	}
}

// An aside keeps a process's copies off a link while a victim wants it.
type aside struct {
	lead, early, copied, most int64 // of the policy; early less sent
	inputs, outputs           bool  // which of the victim's copies use the link
	grow                      float64
	byteTime, overhead        float64
	pace                      float64 // what a byte takes at present, byteTime or longer

	flying int   // copies in flight
	bytes  int64 // of those
	served int64 // since when the link is with the oldest of them
	clear  int64 // when they are done, as far as is known
	since  int64 // when a copy last went or was done
}

const (
	// A link may be slower for some tens of milliseconds (data/README.md, "What to do
	// about contention"), and copies that are sized by its capacity then end too late. So
	// the pace is that of the last so many bytes, where it is slower than the capacity by
	// more than what the host takes to notice, and at most [Slowest] times slower: what is
	// slower yet is no link's, but a thread's that lost its processor.
	paced, noticed = 4 << 20, 1.1
	// In so many nanoseconds the host submits a copy, the engine comes to it, and the host
	// notices its end; of a short copy that is as much as the copy itself.
	reaction = 20_000
	// How long before those in flight are done, as far as is known, a copy is submitted.
	submission = 4_000
)

func newAside(p Policy, l Link) *aside {
	a := &aside{lead: int64(p.Lead), early: int64(p.Early - p.Sent), copied: int64(p.Inputs), most: int64(p.Most), inputs: l.Inputs, outputs: l.Outputs, grow: float64(p.Grow), since: math.MaxInt64}
	if !a.inputs && !a.outputs {
		a.inputs, a.outputs = true, true
	}
	a.byteTime, a.overhead = 1e9/l.Capacity*float64(max(1, l.Processes)), float64(l.Overhead)
	a.pace = a.byteTime
	return a
}

// A part of a copy is of so many bytes at least, and a multiple of them.
const part = 128 << 10

// let returns how many bytes of a copy may go now, as far as the link is the load's; of
// none, when to ask again at the latest.
func (a *aside) let(now, bytes, began, takes int64) (n, again int64) {
	a.since = min(a.since, now)
	until, again := a.free(now, began, takes)
	if now-a.since >= a.most {
		return bytes, 0
	}
	if until < math.MaxInt64 {
		room := (float64(until-max(now, a.clear)) - a.overhead) / a.pace
		if room < float64(bytes) {
			bytes = max(0, int64(room)/part*part)
		}
	}
	return bytes, min(again, a.since+a.most)
}

// free returns until when the link is the load's: now or before where it is the
// victim's, and then when it no longer is, as far as that is known.
func (a *aside) free(now, began, takes int64) (until, again int64) {
	const never = math.MaxInt64
	switch {
	case began == 0 || now >= began+takes+a.most: // or it has ended without a word
		return never, never
	case takes == 0:
		return 0, never
	case a.inputs && now < began+a.copied:
		return 0, began + a.copied
	}
	until = began + takes // when the next call's inputs come
	if a.inputs {
		until -= a.early
	}
	if a.outputs {
		until = min(until, began+takes-a.lead)
	}
	if a.inputs && a.grow > 0 {
		return a.late(now, began, until)
	}
	return until, never
}

// late returns until when the link is the load's if the call's inputs may come later than
// they should have: a copy is to end before it has taken so many times as long as the call
// has gone on by its beginning. One of another stream goes a little before those in flight
// are done, lest the link idle.
func (a *aside) late(now, began, until int64) (_, again int64) {
	least, start := a.time(1, part)+1, max(now, a.clear)
	if start-now > submission {
		return now, start - submission
	}
	if grown := start + max(least, int64(a.grow*float64(start-began))); grown < until {
		return grown, start + least
	}
	return until, math.MaxInt64
}

// wanted tells whether copies of the victim's want the link now, which before its call
// ends they only may.
func (a *aside) wanted(now, began, takes int64) bool {
	return takes == 0 || a.inputs && now < began+a.copied
}

// went takes note of a copy that goes.
func (a *aside) went(now, bytes int64) {
	if a.flying == 0 {
		a.served = now
	}
	a.flying, a.bytes, a.since = a.flying+1, a.bytes+bytes, now
	a.clear = max(a.clear, now) + a.time(1, bytes)
}

// done takes note of one that is done.
func (a *aside) done(now, bytes int64) {
	a.learn(now-a.served, bytes)
	a.flying, a.bytes, a.since, a.served = a.flying-1, a.bytes-bytes, now, now
	a.clear = now + a.time(a.flying, a.bytes)
}

// learn follows the link's pace by what a copy took.
func (a *aside) learn(took, bytes int64) {
	seen := (float64(took) - a.overhead) / float64(bytes)
	if seen = min(seen, Slowest*a.byteTime); seen < noticed*a.byteTime+reaction/float64(bytes) {
		seen = a.byteTime
	}
	a.pace += min(1, float64(bytes)/paced) * (seen - a.pace)
}

func (a *aside) time(copies int, bytes int64) int64 {
	return int64(float64(copies)*a.overhead + float64(bytes)*a.pace)
}
