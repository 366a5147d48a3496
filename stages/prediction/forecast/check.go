package forecast

import (
	"math"
	"time"

	"barograph/pipeline/source"
	"barograph/stages/device"
)

// Read reads a lesson. What cannot have been learned, or is not there, is refused at its
// place: file:line:column.
func Read(path string) (*Lesson, error) {
	x := &Lesson{}
	n, err := source.ReadJSON(path, x)
	if err != nil {
		return nil, err
	}
	if e := x.check(n); e != nil {
		return nil, e
	}
	return x, nil
}

func (x *Lesson) check(n *source.Node) *source.Error {
	p := n.At("parameters")
	const full, below = "full link", "below a full link"
	learned, untaught := x.Parameters, Unlearned.Parameters
	for _, v := range []struct {
		key                   string
		value, untaught, most float64
		from                  string // the class that teaches it
	}{
		{"fetch_ns", learned.Fetch, untaught.Fetch, longest, full}, {"fetch_tail_ns", learned.FetchTail, untaught.FetchTail, longest, full},
		{"notice_ns", learned.Notice, untaught.Notice, longest, full}, {"tail_ns", learned.Tail, untaught.Tail, longest, full},
		{"late_ns", learned.Late, untaught.Late, longest, below}, {"stalls_per_s", learned.Stalls, untaught.Stalls, 1e6, below},
	} {
		if err := Between(p.At(v.key), v.key, v.value, 0, v.most); err != nil {
			return err
		}
		// What was learned of a class was predicted of it too, and erred by something.
		if len(x.Errors[v.from]) == 0 && v.value != v.untaught {
			return n.At("errors", v.from).Errorf("", "errors hold none of %q, from which %s %g was learned", v.from, v.key, v.value)
		}
	}
	for class, studies := range x.Errors {
		for study, errs := range studies {
			for i, of := range errs {
				at := n.At("errors", class, study, i)
				switch {
				case len(of) == 0:
					return at.Errorf("", "%s holds no errors", study)
				case len(of) != len(errs[0]):
					return at.Errorf("", "%s holds %d errors of p50, and %d here", study, len(errs[0]), len(of))
				}
				if err := Ascending(at, study, of); err != nil {
					return err
				}
			}
		}
	}
	return x.Link.check(n.At("link"))
}

// No link is slower or faster, in bytes per second, and nothing of it lasts longer, in
// nanoseconds.
const (
	lowest, fastest   = 1e5, 1e14
	shortest, longest = 1e4, 1e9 // the first of turns
	// Shortest is the shortest turn.
	Shortest = time.Duration(shortest)
)

func (m *Machine) check(n *source.Node) *source.Error {
	l, of := &m.Link, n.At("link")
	type value struct {
		at          *source.Node
		value       float64
		least, most float64
	}
	values := []value{
		{of.At("overhead_ns"), l.Overhead, 0, longest}, {of.At("switch_ns"), float64(l.Switch), 0, longest},
		{of.At("small_idle_bytes"), float64(l.SmallIdle), 0, math.MaxInt64}, {of.At("small_behind_bytes"), float64(l.SmallBehind), 0, math.MaxInt64},
	}
	if l.Both != 0 {
		values = append(values, value{of.At("both_bytes_per_s"), l.Both, lowest, fastest})
	}
	for i, d := range Ways {
		if way := int(d); d == device.H2D || m.Capacity[i] != 0 { // a memory bus is one path
			values = append(values, value{of.At("bandwidth_bytes_per_s", way), l.Bandwidth[d], lowest, fastest}, value{n.At("capacity_bytes_per_s", i), m.Capacity[i], lowest, fastest})
		}
		if low, high := m.Turn[i][0], m.Turn[i][1]; low != 0 || high != 0 {
			values = append(values, value{n.At("turn_ns", i, 0), low, shortest, high}, value{n.At("turn_ns", i, 1), high, low, longest})
		}
		for k, b := range m.Blocks[i] {
			at := n.At("blocks", i, k)
			values = append(values, value{at.At("bytes"), float64(b.Bytes), 1, largest}, value{at.At("busy_ns"), b.Busy, 0, longest}, value{at.At("gap_ns"), b.Gap, 0, longest})
		}
	}
	for _, v := range values {
		if err := Between(v.at, v.at.Label(), v.value, v.least, v.most); err != nil {
			return err
		}
	}
	return nil
}

// Between refuses a value that stands at a node and lies outside two bounds, or is none.
func Between(n *source.Node, name string, v, least, most float64) *source.Error {
	if v >= least && v <= most {
		return nil
	}
	return n.Errorf("", "%s is %g: want %g to %g", name, v, least, most)
}

// furthest is how far anything learned may lie from 0, in logarithms: a thousand times.
// Models beside others on an H100 took 2.6 times what was simulated at most.
const furthest = 7

// InLogarithms refuses a logarithm that stands at a node and tells of more than a
// thousand times.
func InLogarithms(n *source.Node, name string, v float64) *source.Error {
	if math.Abs(v) <= furthest {
		return nil
	}
	return n.Errorf("", "%s is %g, in logarithms: want %d at most, a thousand times", name, v, furthest)
}

// Ascending refuses a list of logarithms at a node one of which is such or does not ascend.
func Ascending(n *source.Node, name string, errs []float64) *source.Error {
	for i, v := range errs {
		if err := InLogarithms(n.At(i), name, v); err != nil {
			return err
		}
		if i > 0 && v < errs[i-1] {
			return n.At(i).Errorf("", "%s does not ascend: %g follows %g", name, v, errs[i-1])
		}
	}
	return nil
}
