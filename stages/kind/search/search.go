// Package search is the stage that looks for policies on a simulated link: which keeps
// most of it for a load, while the p99 of victims stays within a share of that without
// load.
//
// It draws policies at random and changes the best a little, in turn, by a seed and
// within a budget of trials, and judges each by its worst victim. Policies written by
// hand, and the best found, are then tried on victims and loads that the search did not
// see. All of it is simulated: what it finds is to be measured (study mitigation).
package search

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device/sim"
	"barograph/stages/guard"
)

// With holds the parameters of a search.
type With struct {
	Policies  []string        `json:"policies" required:"true" doc:"policies written by hand, to compare with"`
	Budget    int             `json:"budget" min:"1" max:"100000" doc:"policies that the search tries"`
	Within    float64         `json:"within" min:"0" doc:"share by which the p99 of a victim may exceed that without load"`
	Compute   []unit.Duration `json:"compute" doc:"how long the victims compute that the search sees"`
	Held      []unit.Duration `json:"held" doc:"how long those compute that it does not see"`
	Inputs    unit.Size       `json:"inputs" min:"1" doc:"bytes of the victims' inputs, where the load copies to the device"`
	Threads   int             `json:"threads" min:"1" max:"64" doc:"threads of the load"`
	Block     unit.Size       `json:"block" min:"4KiB" doc:"bytes that each asks to copy at a time"`
	Others    int             `json:"others" min:"1" max:"64" doc:"threads of a load that the search does not see"`
	Direction string          `json:"direction" enum:"h2d,d2h" doc:"of the load's copies"`
	Sharing   string          `json:"sharing" enum:"separate,process" doc:"whether the load is in a process of its own or in the victim's"`
	Calls     int             `json:"calls" min:"299" max:"100000" doc:"timed calls of a trial"`
	Best      int             `json:"best" min:"1" max:"20" doc:"policies found that are tried on what was not seen"`
	Measured  []string        `json:"measured,omitempty" doc:"tables of the study mitigation, which are inputs too, to compare the simulated with"`
}

const (
	table   = "search.csv"
	summary = "summary.txt"
)

// Kind returns the kind "search".
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:    "search",
		Version: "4",
		Doc:     "looks for policies on a simulated link, by a seed and within a budget",
		With: func() any {
			return &With{
				Budget: 200, Within: 0.05, Inputs: 3 * 224 * 224 * 4, Threads: 16, Block: 64 << 20, Others: 4, Direction: "d2h", Sharing: "process", Calls: 400, Best: 3,
				Compute: []unit.Duration{unit.Duration(600 * time.Microsecond), unit.Duration(1200 * time.Microsecond), unit.Duration(2170 * time.Microsecond)},
				Held:    []unit.Duration{unit.Duration(450 * time.Microsecond), unit.Duration(1780 * time.Microsecond), unit.Duration(3240 * time.Microsecond)},
			}
		},
		Outputs:  func(any) []string { return []string{table, summary} },
		Summary:  summary,
		Check:    func(_, _ string, with any) error { return check(with) },
		Lacks:    lacks,
		CheckSim: sim.Check,
		Run:      run,
	}
}

// lacks refuses what is no simulation.
func lacks(device string, _ any) error {
	if cell.Family(device) == "sim" {
		return nil
	}
	return cell.Hint(fmt.Errorf("a search on device %s: it tries thousands of trials, and only a simulation has the time", device), "run it with --machine sim-h100, and measure what it finds")
}

func check(with any) error {
	w := with.(*With)
	if len(w.Compute) == 0 || len(w.Held) == 0 {
		return fmt.Errorf("compute has %d victims and held %d: want one at least of each", len(w.Compute), len(w.Held))
	}
	for _, text := range w.Policies {
		if _, err := guard.Parse(text); err != nil {
			return fmt.Errorf("policies: %w", err)
		}
	}
	return nil
}

// A trial is victims beside a load under a policy.
type trial struct {
	machine  cell.Machine
	with     *With
	compute  []unit.Duration
	threads  int
	seed     uint64
	alone    []int64 // p99 of each victim without load
	capacity float64
}

// A score is what a policy does: of the worst victim, the p99 over that without load, and
// the least share of the link that its load keeps.
type score struct {
	p99, kept float64
	bound     string
}

// better tells whether a score beats another where p99 may exceed that without load by a
// share. Beyond that only less p99 counts.
func (s score) better(o score, within float64) bool {
	a, b := s.p99 <= 1+within, o.p99 <= 1+within
	switch {
	case a && b:
		return s.kept > o.kept
	case a != b:
		return a
	}
	return s.p99 < o.p99
}

// newTrial measures its victims without load.
func newTrial(c *cell.Cell, w *With, compute []unit.Duration, threads int) (*trial, error) {
	t := &trial{machine: c.Machine, with: w, compute: compute, threads: threads, seed: c.Seed}
	var err error
	if t.capacity, err = sim.Capacity(c.Machine, w.Direction, sim.CapacityBlock); err != nil {
		return nil, err
	}
	for _, of := range compute {
		calls, err := sim.Run(t.victim(of), nil, t.request())
		if err != nil {
			return nil, err
		}
		t.alone = append(t.alone, p99(calls))
	}
	return t, nil
}

// victim is the machine with one that computes for so long.
func (t *trial) victim(compute unit.Duration) cell.Machine {
	m := t.machine
	m.Sim = maps.Clone(m.Sim)
	if m.Sim == nil {
		m.Sim = map[string]float64{}
	}
	m.Sim["compute_ns"] = float64(compute)
	if t.with.Direction == "h2d" { // too much for the small path
		m.Sim["bytes_in"], m.Sim["copies_in"] = float64(t.with.Inputs), 1
	}
	return m
}

func (t *trial) request() sim.Request {
	return sim.Request{Warmup: 20, Calls: t.with.Calls, Seed: t.seed, Limit: int64(10 * time.Second)}
}

func p99(calls []sim.Call) int64 {
	l := make([]int64, len(calls))
	for i, c := range calls {
		l[i] = c.Latency
	}
	slices.Sort(l)
	return l[(99*len(l)+99)/100-1]
}

// try simulates every victim beside the load under a policy.
func (t *trial) try(p guard.Policy) (s score, err error) {
	with, err := json.Marshal(map[string]any{
		"threads": t.threads, "block": t.with.Block, "direction": t.with.Direction, "sharing": t.with.Sharing, "policy": p,
	})
	if err != nil {
		return s, err
	}
	gang := []cell.Input{{Kind: "stress", ID: "load", With: with}}
	s.kept = 1
	for i, of := range t.compute {
		m := t.victim(of)
		calls, err := sim.Run(m, gang, t.request())
		if err != nil {
			return s, err
		}
		s.p99 = max(s.p99, float64(p99(calls))/float64(t.alone[i]))
		last := calls[len(calls)-1]
		start, end := calls[0].Scheduled, last.Scheduled+last.Latency
		copies, _, err := sim.Copies(m, gang, sim.View{Cell: "load", Until: end, Serve: true, Seed: t.seed, Limit: 1 << 24})
		if err != nil {
			return s, err
		}
		bytes := 0.0
		for _, c := range copies {
			bytes += c.Within(start, end)
		}
		s.kept = min(s.kept, bytes/(float64(end-start)/1e9)/t.capacity)
	}
	link, err := sim.Guarding(t.machine, t.with.Direction, guard.Link{Capacity: t.capacity, Constant: guard.Constant, Processes: map[string]int{"separate": 1}[t.with.Sharing]})
	if err != nil {
		return s, err
	}
	s.bound = "none"
	if bound, err := p.Bound(guard.Shape{Streams: t.threads, Chunk: int64(t.with.Block), InFlight: 1}, link); err == nil {
		s.bound = bound.Round(time.Microsecond).String()
	}
	return s, nil
}

// draw makes a policy at random for a direction, or, given one, changes it a little. What
// does nothing in the direction is left as it is.
func draw(rng *rand.Rand, from *guard.Policy, direction string) guard.Policy {
	one := func(values ...string) string { return values[rng.IntN(len(values))] }
	chunk := unit.Size(64<<10) << rng.IntN(9) // to 16 MiB
	if rng.IntN(2) == 0 {
		chunk += chunk / 2
	}
	text := ""
	if from != nil && rng.IntN(4) > 0 {
		p := *from
		near := func(v, least, most int64) int64 {
			return min(most, max(least, v*[]int64{4, 6, 7, 9, 10, 12, 16}[rng.IntN(7)]/8))
		}
		if p.Chunk > 0 {
			p.Chunk = unit.Size(near(int64(p.Chunk), 64<<10, 64<<20))
		}
		if p.Streams > 0 {
			p.Streams = min(4, max(1, p.Streams+rng.IntN(3)-1))
		}
		if p.On > 0 {
			p.On, p.Off = unit.Duration(near(int64(p.On), 1e4, 1e8)), unit.Duration(near(int64(p.Off), 1e3, 1e7))
		}
		if p.Aside() {
			if direction == "d2h" {
				p.Lead = unit.Duration(near(int64(p.Lead), 1e3, 2e5))
			} else {
				p.Inputs, p.Early = unit.Duration(near(int64(p.Inputs), 5e3, 2e5)), unit.Duration(rng.IntN(5)*10e3)
				p.Grow = rng.IntN(2) * (1 << rng.IntN(5))
			}
			p.Small = min(p.Chunk, unit.Size(rng.IntN(3))*(512<<10))
			p.InFlight = min(3, max(1, p.InFlight+rng.IntN(3)-1))
		}
		return p
	}
	size := strings.ReplaceAll(chunk.String(), " ", "")
	streams := one("1", "1", "2", "2", "3", "4")
	switch rng.IntN(5) {
	case 4:
		text = fmt.Sprintf("aside/%s/in_flight:%s", size, one("1", "2", "3"))
		if direction == "d2h" {
			text += fmt.Sprintf("/lead:%dus", 10<<rng.IntN(4))
		} else {
			text += fmt.Sprintf("/inputs:%dus", 20<<rng.IntN(3))
		}
	case 0:
		text = fmt.Sprintf("duty/%dus/%dus/%s/streams:%s", 50<<rng.IntN(8), 10<<rng.IntN(7), size, streams)
	case 1:
		text = fmt.Sprintf("rate/%d%%/chunk:%s", 5+5*rng.IntN(19), size)
	default:
		text = fmt.Sprintf("window/%s/streams:%s", size, streams)
	}
	p, err := guard.Parse(text)
	if err != nil {
		panic(fmt.Sprintf("search: drew %s: %v", text, err)) // a mistake in this function
	}
	return p
}

// A candidate is a policy with what it does.
type candidate struct {
	policy guard.Policy
	by     string // hand, or search
	seen   score
	held   score
	// What was measured of it, of the worst model; NaN where nothing was.
	measured score
}

// hunt tries so many policies, and returns them from the best on, each once.
func hunt(ctx context.Context, t *trial, c *cell.Cell) ([]candidate, error) {
	rng := rand.New(rand.NewPCG(c.Seed, 0x736561726368))
	var found []candidate
	known := map[string]bool{}
	for n := range t.with.Budget {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var from *guard.Policy
		if n > t.with.Budget/4 { // first at random only
			from = &found[rng.IntN(min(len(found), 5))].policy
		}
		p := draw(rng, from, t.with.Direction)
		c.Progress(n+1, t.with.Budget, p.String())
		if known[p.String()] {
			continue
		}
		known[p.String()] = true
		s, err := t.try(p)
		if err != nil {
			return nil, fmt.Errorf("try %s: %w", p, err)
		}
		found = append(found, candidate{policy: p, by: "search", seen: s})
		slices.SortStableFunc(found, func(a, b candidate) int {
			switch {
			case a.seen.better(b.seen, t.with.Within):
				return -1
			case b.seen.better(a.seen, t.with.Within):
				return 1
			}
			return 0
		})
	}
	return found, nil
}

func run(ctx context.Context, c *cell.Cell) error {
	w := c.With.(*With)
	if err := cmp.Or(check(w), lacks(c.Machine.Device, w)); err != nil {
		return err
	}
	seen, err := newTrial(c, w, w.Compute, w.Threads)
	if err != nil {
		return err
	}
	held, err := newTrial(c, w, w.Held, w.Others)
	if err != nil {
		return err
	}
	found, err := hunt(ctx, seen, c)
	if err != nil {
		return err
	}
	var all []candidate
	for _, text := range w.Policies {
		p, err := guard.Parse(text)
		if err != nil {
			return err
		}
		s, err := seen.try(p)
		if err != nil {
			return fmt.Errorf("try %s: %w", p, err)
		}
		all = append(all, candidate{policy: p, by: "hand", seen: s})
	}
	all = append(all, found[:min(w.Best, len(found))]...)
	real, err := measured(w.Measured, w.Direction, w.Sharing)
	if err != nil {
		return err
	}
	for i := range all {
		all[i].measured = score{p99: math.NaN(), kept: math.NaN()}
		if m, ok := real[all[i].policy.String()]; ok {
			all[i].measured = m
		}
		if all[i].held, err = held.try(all[i].policy); err != nil {
			return fmt.Errorf("try %s on what was not seen: %w", all[i].policy, err)
		}
	}
	return write(c, w, all)
}

// write leaves the table, and tells it.
func write(c *cell.Cell, w *With, all []candidate) error {
	head := []string{"policy", "by", "bound", "seen_p99_ratio", "seen_kept", "held_p99_ratio", "held_kept", "measured_p99_ratio", "measured_kept"}
	rows := [][]string{head}
	var text bytes.Buffer
	fmt.Fprintf(&text, "SIMULATED on %s: policies for a load %s, sharing %s; p99 of the worst victim over that without load, at most %.2f asked for\n\n", c.Machine.Name, w.Direction, w.Sharing, 1+w.Within)
	tab := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	heading := "policy\tby\tbound\tp99, seen\tlink kept\tp99, held out\tlink kept"
	if len(w.Measured) > 0 {
		heading += "\tp99, measured\tlink kept"
	}
	fmt.Fprintln(tab, heading)
	best := map[string]candidate{}
	for _, x := range all {
		rows = append(rows, []string{x.policy.String(), x.by, x.seen.bound, fmt.Sprintf("%.4f", x.seen.p99), fmt.Sprintf("%.4f", x.seen.kept), fmt.Sprintf("%.4f", x.held.p99), fmt.Sprintf("%.4f", x.held.kept), "", ""})
		fmt.Fprintf(tab, "%s\t%s\t%s\t%.3f\t%.1f%%\t%.3f\t%.1f%%", x.policy, x.by, x.seen.bound, x.seen.p99, 100*x.seen.kept, x.held.p99, 100*x.held.kept)
		if row := rows[len(rows)-1]; !math.IsNaN(x.measured.p99) {
			row[7], row[8] = fmt.Sprintf("%.4f", x.measured.p99), fmt.Sprintf("%.4f", x.measured.kept)
			fmt.Fprintf(tab, "\t%.3f\t%.1f%%", x.measured.p99, 100*x.measured.kept)
		}
		fmt.Fprintln(tab)
		if b, ok := best[x.by]; !ok || x.seen.better(b.seen, w.Within) {
			best[x.by] = x
		}
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	verdict := "is no better than"
	if best["search"].held.better(best["hand"].held, w.Within) {
		verdict = "is better than"
	}
	if hand, ok := best["hand"]; ok {
		fmt.Fprintf(&text, "\non what it did not see, the best that was found, %s, %s the best written by hand, %s\n", best["search"].policy, verdict, hand.policy)
	}
	if len(w.Measured) > 0 {
		fmt.Fprintf(&text, "\n%s\n", rank(all))
	}
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{table, b.Bytes()}, {summary, text.Bytes()}} {
		out, err := c.Create(f.name)
		if err != nil {
			return err
		}
		_, err = out.Write(f.text)
		if err = cmp.Or(err, out.Close()); err != nil {
			return err
		}
	}
	return nil
}
