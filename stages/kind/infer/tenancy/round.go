package tenancy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
)

const (
	// Glance is how often a tenant looks at the page while it calls.
	Glance = time.Millisecond
	// settled is how many calls each makes in a round before its window opens.
	settled = 5
	// pause is for how long all are idle between two rounds.
	pause = 20 * time.Millisecond
)

// A step is how far a tenant has come in a round.
type step struct {
	begun  time.Time
	looks  int // since the window had opened
	before int // calls that had begun by the second of them
	// counted tells that [Member.Answered] counts, since calls do not follow one another.
	counted bool
}

// Begin returns once the trial's next round has begun.
// Where requests arrive by themselves they are counted by Answered.
func (m *Member) Begin(ctx context.Context, arriving bool) error {
	m.round++
	m.step = step{begun: time.Now(), counted: arriving}
	if m.Number == 1 {
		if m.round > 1 {
			time.Sleep(pause)
		}
		m.page.start.Store(0)
		m.page.end.Store(0)
		for i := range m.page.tenants {
			m.page.tenants[i].within.Store(0)
		}
		m.page.round.Store(m.round)
	}
	return m.await(ctx, func() bool { return m.page.round.Load() == m.round })
}

// await looks at the page until something is so, or ctx ends.
func (m *Member) await(ctx context.Context, so func() bool) error {
	for tick := time.Tick(Glance); !so(); {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick:
		}
	}
	return nil
}

// in tells whether a tenant calls in a round.
func (m *Member) in(tenant int, round int64) bool {
	return m.groups == nil || slices.Contains(m.groups[round-1], tenant)
}

// Rounds is how many rounds a trial has, where a tenant wants so many windows of a group.
func (m *Member) Rounds(wanted int) int {
	if m.groups != nil {
		return len(m.groups)
	}
	return max(1, wanted)
}

// Group returns the numbers of the tenants that call in a round, from 1 on; nil: all do in
// each.
func (m *Member) Group(round int) (numbers []int) {
	if m.groups == nil {
		return nil
	}
	for _, i := range m.groups[round-1] {
		numbers = append(numbers, i+1)
	}
	return numbers
}

// Groups are the tenants that call at once, by round, each from 0; nil: all in each.
func (m *Member) Groups() [][]int { return m.groups }

// Pauses tells whether this tenant makes no calls in the round that has begun.
func (m *Member) Pauses() bool { return !m.in(m.Number-1, m.round) }

// Sit waits for the end of a round in which this tenant pauses. The first tenant opens and
// closes the window all the same.
func (m *Member) Sit(ctx context.Context) error {
	var failed error
	err := m.await(ctx, func() bool {
		if m.Number == 1 && m.page.end.Load() == 0 {
			failed = m.conduct()
		}
		return failed != nil || m.page.end.Load() != 0
	})
	return cmp.Or(failed, err)
}

// Saw tells the others how many calls this tenant has made in its round, and whether the
// round is over. The first tenant opens and closes the window, and fails where the
// others do not keep up.
func (m *Member) Saw(done int) (over bool, err error) {
	own := &m.page.tenants[m.Number-1]
	if done >= settled {
		own.running.Store(m.round)
	}
	if m.page.start.Load() != 0 {
		// done was counted before: only from the second look on is it no call of before
		// the window. One more had begun by then.
		if m.step.looks++; m.step.looks == 2 {
			m.step.before = done + 1
		}
		if m.step.looks > 2 && !m.step.counted {
			own.within.Store(int64(done - m.step.before))
		}
	}
	if m.Number == 1 && m.page.end.Load() == 0 {
		if err := m.conduct(); err != nil {
			return true, err
		}
	}
	return m.page.end.Load() != 0, nil
}

// Answered counts a request that was answered, where requests arrive by themselves.
func (m *Member) Answered(due int64) {
	if start := m.page.start.Load(); start != 0 && due >= start {
		m.page.tenants[m.Number-1].within.Add(1)
	}
}

// conduct opens the window once all call, and closes it once all have made their calls
// within. It allocates nothing, since the garbage collector is off meanwhile.
func (m *Member) conduct() error {
	idle, short := 0, 0 // of the tenants
	for i, need := range m.need {
		if !m.in(i, m.round) {
			continue
		}
		if !m.calls(i) {
			idle++
		}
		if m.made(i) < int64(need) {
			short++
		}
	}
	late := time.Since(m.step.begun) > m.limit
	switch opened := m.page.start.Load() != 0; {
	case idle > 0 && late:
		return fmt.Errorf("round %d: after %v %s had not made %d calls, for which the others wait", m.round, m.limit, strings.Join(m.those(func(i int) string {
			if m.calls(i) || !m.in(i, m.round) {
				return ""
			}
			return m.name(i)
		}), " and "), settled)
	case idle > 0:
	case !opened:
		m.page.start.Store(cell.Now())
	case short == 0:
		m.page.end.Store(cell.Now())
	case late:
		return fmt.Errorf("round %d took longer than %v: of the calls in its window %s", m.round, m.limit, strings.Join(m.those(func(i int) string {
			if m.made(i) >= int64(m.need[i]) || !m.in(i, m.round) {
				return ""
			}
			return fmt.Sprintf("%s has made %d of %d", m.name(i), m.made(i), m.need[i])
		}), ", and "))
	}
	return nil
}

// calls tells whether a tenant has begun to call in the round.
func (m *Member) calls(i int) bool { return m.page.tenants[i].running.Load() == m.round }

// made is how many calls a tenant has made in the round's window.
func (m *Member) made(i int) int64 { return max(0, m.page.tenants[i].within.Load()) }

// those returns what is said of tenants of which anything is.
func (m *Member) those(say func(i int) string) (said []string) {
	for i := range m.Models {
		if text := say(i); text != "" {
			said = append(said, text)
		}
	}
	return said
}

// Name of the tenant, for a message.
func (m *Member) Name() string { return m.name(m.Number - 1) }

// name of a tenant, for a message.
func (m *Member) name(i int) string { return fmt.Sprintf("tenant %d (%s)", i+1, m.Models[i]) }

// End returns the window of the round once every tenant pauses.
func (m *Member) End(ctx context.Context) (window [2]int64, err error) {
	if err := m.await(ctx, func() bool { return m.page.end.Load() != 0 }); err != nil {
		return window, err
	}
	window = [2]int64{m.page.start.Load(), m.page.end.Load()}
	m.page.tenants[m.Number-1].idle.Store(m.round)
	m.spans = append(m.spans, window)
	ctx, stop := context.WithTimeoutCause(ctx, m.limit, fmt.Errorf("round %d: a tenant's call went on for %v after the window had closed", m.round, m.limit))
	defer stop()
	return window, m.await(ctx, func() bool {
		for i := range m.Models {
			if m.page.tenants[i].idle.Load() < m.round {
				return false
			}
		}
		return true
	})
}

// Cut returns those of a round's calls, given in order, that were due and complete within
// its window, and counts the others.
func Cut[S any](m *Member, window [2]int64, all []S, span func(S) (due, done int64)) (kept []S) {
	for _, s := range all {
		switch due, done := span(s); {
		case due < window[0]:
			m.cut[0]++
		case done > window[1]:
			m.cut[1]++
		default:
			kept = append(kept, s)
		}
	}
	return kept
}

// Windows returns those of the rounds so far, and how many calls were cut before and
// after them.
func (m *Member) Windows() (windows [][2]int64, cut [2]int) { return m.spans, m.cut }
