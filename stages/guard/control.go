package guard

import (
	"math"
	"slices"
)

// fewest is of how many calls a p99 is taken at least: of fewer it would be the
// largest but for luck.
const fewest = 50

// A control follows a victim's p99 through steps: at step 0 a window is as wide as it
// is allowed to be. Each step down takes one copy in flight, until one is left, and
// then halves the rate. It steps down as soon as the p99 of a dwell lies above the
// target, and up once it lay below for a cool-down.
type control struct {
	target, dwell, cool int64

	step, last int
	begun      int64  // of the dwell
	stepped    int64  // when it last stepped
	seen       uint64 // latencies of the page
	calls      []int64
}

// leastShare is the share of the capacity below which a control does not go.
const leastShare = 1. / 32

func newControl(p Policy) *control {
	return &control{
		target: int64(p.Target), dwell: int64(p.Dwell), cool: int64(p.CoolDown),
		last: p.Streams - 1 + int(math.Round(math.Log2(1/leastShare))), begun: math.MinInt64,
	}
}

// look takes what the victim told, and steps where a dwell is over.
func (c *control) look(now int64, page *Page) {
	switch {
	case c.begun == math.MinInt64:
		c.begun, c.stepped = now, now
		_, c.seen = page.latencies(math.MaxUint64, nil)
		return
	case now-c.begun < c.dwell:
		return
	}
	c.calls, c.seen = page.latencies(c.seen, c.calls)
	if len(c.calls) < fewest {
		return
	}
	slices.Sort(c.calls)
	p99 := c.calls[(99*len(c.calls)+99)/100-1]
	c.begun, c.calls = now, c.calls[:0]
	switch {
	case p99 > c.target && c.step < c.last:
		c.step, c.stepped = c.step+1, now
	case p99 <= c.target && c.step > 0 && now-c.stepped >= c.cool:
		c.step, c.stepped = c.step-1, now
	}
}

// limit returns how many copies may be in flight of so many streams, and the share
// of the capacity that they may use.
func (c *control) limit(streams int) (flying int, share float64) {
	return max(1, streams-c.step), math.Exp2(-float64(max(0, c.step-streams+1)))
}
