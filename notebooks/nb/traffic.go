package nb

import (
	"slices"

	"barograph/stages/traffic"
)

// Answers are how requests were answered that do not wait for one another: how many
// missed their deadlines, were dropped, or were in time per second.
type Answers = traffic.Answers

// Answers sums up requests by their deadlines, with an exact 95% interval of the share
// that was missed: of a set with the columns replicate, scheduled_ns, latency_ns,
// deadline_ns and answered_with. One without a deadline is missed if it was dropped.
func (s *Set) Answers() Answers { return traffic.Sum(called("Set.Answers").requests(s)...) }

// Ages returns how old the newest answer is, in nanoseconds, at so many even times of
// each replicate, from its first answer to its last arrival: of a set with the columns
// that Answers takes.
func (s *Set) Ages(times int) []int64 {
	ages := []int64{}
	for _, requests := range called("Set.Ages", times).requests(s) {
		ages = append(ages, traffic.Ages(requests, times)...)
	}
	return ages
}

// Promise judges, with a confidence of 99%, that no more than a share of requests misses
// its deadline: reproduced, refuted, or not identified where the number of requests
// cannot tell. For a share of 0.001 one may be late of 6,636, as in MLPerf's rules.
func Promise(a Answers, allowed float64) (verdict, because string) { return a.Promise(allowed) }

// requests returns each replicate's.
func (c call) requests(s *Set) [][]traffic.Request {
	due, took := c.replicates(s, "scheduled_ns"), c.replicates(s, "latency_ns")
	optional := func(name string) [][]int64 { // nil in a recording of closed loops alone
		if !slices.Contains(s.Columns(), name) {
			return nil
		}
		return c.replicates(s, name)
	}
	deadlines, with := optional("deadline_ns"), optional("answered_with")
	all := make([][]traffic.Request, len(due))
	for i := range due {
		all[i] = make([]traffic.Request, len(due[i]))
		for k, at := range due[i] {
			r := traffic.Request{Due: at, Done: at + took[i][k], Batch: 1}
			if deadlines != nil {
				r.Deadline = deadlines[i][k]
			}
			if with != nil {
				r.Batch = int(with[i][k])
			}
			all[i][k] = r
		}
	}
	return all
}
