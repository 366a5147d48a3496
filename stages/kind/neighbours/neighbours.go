// Package neighbours is the stage that measures what loads on the links of several GPUs
// of one computer leave of one another.
//
// It loads one GPU's link, then those of several at once, and takes down what each
// carries: each GPU alone, groups of each size that together hold every GPU, all at
// once, and, in direction both, every pair. In direction opposite every other GPU of a
// group copies the other way. Groups are measured in an order that is drawn anew for
// each replicate. Where the computer has several NUMA nodes, each GPU alone and all at
// once are measured with host memory in each of them too.
//
// Beside that stands what is declared of the cards: their nearest common ancestor by
// NVML, their paths in sysfs, their nodes.
//
// With within it fails where cards differ, or where one loses a larger share of what it
// carries alone: this is how a run learns whether GPUs may be measured on at once.
package neighbours

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device/gpu"
	"barograph/stages/device/setting"
	"barograph/stages/device/sim"
	"barograph/stages/result"
)

// With holds the parameters of the stage.
type With struct {
	GPUs       []int         `json:"gpus,omitempty" min:"0" max:"63" doc:"the GPUs, counted from 0 by PCI address; none named: all that CUDA_VISIBLE_DEVICES leaves"`
	Directions []string      `json:"directions" enum:"h2d,d2h,both,opposite" doc:"ways of the copies; opposite: every other GPU copies the other way"`
	Counts     []int         `json:"counts,omitempty" min:"1" max:"64" doc:"how many links are loaded at once; none named: from 1 to all"`
	Pairs      bool          `json:"pairs" doc:"load every pair of links in both directions, and not only pairs that together hold every GPU"`
	Nodes      bool          `json:"nodes" doc:"where there are several NUMA nodes, put host memory into each of them too"`
	Threads    int           `json:"threads" min:"1" max:"64" doc:"threads that copy over each link"`
	Block      unit.Size     `json:"block" min:"1" doc:"bytes of one copy"`
	Replicates int           `json:"replicates" min:"1" max:"100" doc:"how often each group is measured"`
	Settle     unit.Duration `json:"settle" doc:"how long loads may take to become steady"`
	Duration   unit.Duration `json:"duration" doc:"how long a group is measured"`
	Within     float64       `json:"within,omitempty" min:"0" max:"1" doc:"fail where the cards differ, or a link loses more than this share beside others; 0: do not judge"`
}

// survey loads each GPU alone and all at once, in the directions in which cells that
// are measured at once may load them together.
func survey(gpus []int, directions []string) any {
	w := Kind().With().(*With)
	w.GPUs, w.Counts, w.Pairs, w.Nodes, w.Replicates, w.Within = gpus, []int{1, len(gpus)}, false, false, 1, disturbs
	w.Directions = slices.DeleteFunc(slices.Clone(directions), func(d string) bool { return !slices.Contains([]string{"h2d", "d2h", "both"}, d) })
	switch {
	case len(w.Directions) == 0:
		w.Directions = []string{"both"}
	case slices.Contains(w.Directions, "h2d") && slices.Contains(w.Directions, "d2h"):
		w.Directions = append(w.Directions, "opposite")
	}
	return w
}

// disturbs is the share that loads on other links may take from one for calls to be
// measured on all at once.
const disturbs = 0.05

const hint = "neighbours are GPUs of one computer: choose a machine with several, or --machine sim-gpus to see a simulation"

// Kind returns the kind neighbours.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:     "neighbours",
		Version:  "1",
		Inherits: []string{"CUDA_VISIBLE_DEVICES"},
		Doc:      "measures what loads on the links of several GPUs of one computer leave of one another",
		Measured: true,
		With: func() any {
			return &With{
				Directions: []string{"h2d", "d2h", "both", "opposite"}, Pairs: true, Nodes: true, Threads: 2, Block: 64 << 20, Replicates: 3,
				Settle: unit.Duration(2 * time.Second), Duration: unit.Duration(300 * time.Millisecond),
			}
		},
		Outputs:  func(any) []string { return []string{result.NeighboursFile} },
		Check:    func(_, _ string, with any) error { return with.(*With).check() },
		Lacks:    func(device string, with any) error { return with.(*With).lacks(device) },
		CheckSim: sim.Check,
		Setting:  setting.Of,
		Others:   func(with any) ([]int, bool) { w := with.(*With); return w.GPUs, len(w.GPUs) == 0 },
		Survey:   survey,
		Environ: func(_ context.Context, s *cell.Spec) (map[string]string, error) {
			return gpu.Environ(s.Machine.Device), nil
		},
		Run: run,
	}
}

// lacks says why a computer has no neighbours to measure.
func (w *With) lacks(on string) error {
	switch {
	case cell.Family(on) == "host":
		return cell.Hint(errors.New("device host has one memory bus, and no neighbours"), hint)
	case len(w.GPUs) == 1:
		return cell.Hint(fmt.Errorf("gpus %v: one GPU has no neighbours", w.GPUs), hint)
	}
	return nil
}

func (w *With) check() error {
	switch {
	case len(w.Directions) == 0:
		return fmt.Errorf("directions: none of h2d, d2h, both, opposite")
	case w.Settle <= 0 || w.Duration <= 0:
		return fmt.Errorf("settle %v, duration %v: want more than 0", w.Settle, w.Duration)
	case len(slices.Compact(slices.Sorted(slices.Values(w.GPUs)))) < len(w.GPUs):
		return fmt.Errorf("gpus %v names one twice", w.GPUs)
	}
	for _, name := range w.Directions {
		if !slices.Contains([]string{"h2d", "d2h", "both", "opposite"}, name) {
			return fmt.Errorf("directions %q is not one of h2d, d2h, both, opposite", name)
		}
	}
	return nil
}

// A rig loads the links of a computer.
type rig interface {
	// declared returns the cards of GPUs by number, their pairs, and the NUMA nodes.
	declared(gpus []int) ([]result.Card, []result.Pair, []int, error)
	// carry loads links at once and fills in what each carries; steady tells whether all
	// had settled.
	carry(ctx context.Context, w *With, g *result.Group) error
	// judged returns what the driver says against all that was measured since declared.
	judged() []string
	close() error
}

func run(ctx context.Context, c *cell.Cell) (err error) {
	w := c.With.(*With)
	if err := cmp.Or(w.check(), w.lacks(c.Machine.Device)); err != nil {
		return err
	}
	begun := time.Now()
	found := &result.Neighbours{Device: c.Machine.Device, Simulated: c.Machine.Simulated(), Block: int64(w.Block), Threads: w.Threads}
	var r rig = &simulation{c}
	have := len(sim.GPUs(c.Machine))
	if !found.Simulated {
		have = len(gpu.Visible(gpu.Here().List))
		if r, err = newMachine(c); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, r.close()) }()
	gpus := slices.Sorted(slices.Values(w.GPUs))
	if len(gpus) == 0 {
		for i := range have {
			gpus = append(gpus, i)
		}
	}
	if have < 2 || gpus[len(gpus)-1] >= have {
		return cell.Hint(fmt.Errorf("measure neighbours: this computer has %d GPUs to use, counted from 0, and %s asked for", have, asked(w.GPUs)), hint)
	}
	if found.GPUs, found.Pairs, found.Nodes, err = r.declared(gpus); err != nil {
		return err
	}
	if why := found.Unlike(); why != "" && w.Within > 0 {
		return cell.Hint(fmt.Errorf("these GPUs are not alike: %s", why), "name alike ones with --devices, or measure on one")
	}
	if err := measure(ctx, c, w, r, gpus, found); err != nil {
		return err
	}
	found.Took, found.Invalid = int64(time.Since(begun)), r.judged()
	for _, why := range found.Invalid {
		c.Warn("INVALID: %s", why)
	}
	for _, text := range found.Warnings {
		c.Warn("%s", text)
	}
	for _, direction := range w.Directions {
		if why := found.Uneven(direction, w.Within); why != "" && w.Within > 0 {
			return cell.Hint(fmt.Errorf("these GPUs are not alike: %s", why), "name alike ones with --devices, or measure on one")
		}
	}
	if losses := found.Losses(); w.Within > 0 && len(losses) > 0 && losses[0].Share > w.Within {
		return cell.Hint(fmt.Errorf("neighbours disturb one another: %v, and %.1f%% is allowed", losses[0], 100*w.Within), "measure on one of them at a time, or on GPUs that share no link: see configs/neighbours.yaml")
	}
	if losses := found.Losses(); w.Within > 0 && len(losses) > 0 {
		c.Say(fmt.Sprintf("%d GPUs alike, %s; loads %s on all take %.1f%% from one at most, and %.0f%% is allowed", len(found.GPUs), found.GPUs[0].Name, strings.Join(w.Directions, ", "), 100*max(0, losses[0].Share), 100*w.Within))
	}
	path, err := c.Path(result.NeighboursFile)
	if err != nil {
		return err
	}
	return result.Write(path, found)
}

func asked(gpus []int) string {
	if len(gpus) == 0 {
		return "two are"
	}
	return fmt.Sprintf("GPUs %v are", gpus)
}

// measure loads group after group.
func measure(ctx context.Context, c *cell.Cell, w *With, r rig, gpus []int, found *result.Neighbours) error {
	if most := slices.Max(append(slices.Clone(w.Counts), 0)); most > len(gpus) {
		return cell.Hint(fmt.Errorf("counts has %d, and there are %d GPUs", most, len(gpus)), "leave counts out for all numbers that there are")
	}
	groups := w.groups(len(gpus), found.Nodes)
	if len(groups) == 0 {
		return cell.Hint(errors.New("nothing to load: in opposite directions there are two links at least"), "add a direction, or a count")
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0x6e656967))
	begun := cell.Now()
	for replicate := range w.Replicates {
		rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		for i, g := range groups {
			g.Links = slices.Clone(g.Links)
			for j := range g.Links {
				g.Links[j].GPU = gpus[g.Links[j].GPU] // by number while it is measured
			}
			g.Replicate = replicate + 1
			c.Progress(replicate*len(groups)+i, w.Replicates*len(groups), fmt.Sprintf("%d links %s", len(g.Links), g.Direction))
			before := cell.Stops()
			if err := r.carry(ctx, w, &g); err != nil {
				return fmt.Errorf("load %d links %s: %w", len(g.Links), g.Direction, err)
			}
			g.Stops += cell.Stops() - before
			for j := range g.Links {
				g.Links[j].GPU = slices.Index(gpus, g.Links[j].GPU)
			}
			if !g.Steady {
				found.Warnings = append(found.Warnings, fmt.Sprintf("%d links %s, replicate %d: not steady after %v", len(g.Links), g.Direction, g.Replicate, w.Settle))
			}
			if g.Stops > 0 && !found.Simulated {
				found.Warnings = append(found.Warnings, fmt.Sprintf("%d links %s, replicate %d: %s", len(g.Links), g.Direction, g.Replicate, cell.Stopped("what measures, or a load,", g.Stops)))
			}
			found.Together = append(found.Together, g)
		}
	}
	c.Progress(w.Replicates*len(groups), w.Replicates*len(groups), "")
	c.Measured(begun, cell.Now())
	return nil
}

// groups lists what is loaded at once, by the places of n GPUs.
func (w *With) groups(n int, nodes []int) (groups []result.Group) {
	add := func(direction string, node *int, members ...int) {
		g := result.Group{Direction: direction, Node: node}
		slices.Sort(members)
		for i, m := range members {
			way := direction
			if direction == "opposite" {
				way = []string{"h2d", "d2h"}[i%2]
			}
			g.Links = append(g.Links, result.Flow{GPU: m, Direction: way})
		}
		same := func(x result.Group) bool {
			return x.Direction == g.Direction && x.Node == g.Node && slices.Equal(x.Links, g.Links)
		}
		if !slices.ContainsFunc(groups, same) {
			groups = append(groups, g)
		}
	}
	counts := w.Counts
	if len(counts) == 0 {
		for k := range n {
			counts = append(counts, k+1)
		}
	}
	for _, direction := range w.Directions {
		for _, k := range counts {
			if k > n || k == 1 && direction == "opposite" { // alone, there is none
				continue
			}
			for first := 0; first < n; first += k { // together they hold every GPU
				var members []int
				for i := range k {
					members = append(members, (first+i)%n)
				}
				add(direction, nil, members...)
			}
		}
	}
	if w.Pairs && slices.Contains(w.Directions, "both") {
		for a := range n {
			for b := a + 1; b < n; b++ {
				add("both", nil, a, b)
			}
		}
	}
	if !w.Nodes || len(nodes) < 2 {
		return groups
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for _, node := range nodes {
		for _, direction := range []string{"h2d", "d2h"} {
			for i := range n {
				add(direction, &node, i)
			}
			add(direction, &node, all...)
		}
	}
	return groups
}

// A simulation is a rig on a simulated computer.
type simulation struct{ *cell.Cell }

func (s *simulation) close() error     { return nil }
func (s *simulation) judged() []string { return nil }

func (s *simulation) declared(gpus []int) (cards []result.Card, pairs []result.Pair, nodes []int, err error) {
	all := sim.GPUs(s.Machine)
	root := s.Machine.Sim["root_h2d"]+s.Machine.Sim["root_d2h"] > 0
	for i, n := range gpus {
		path := []string{"sim", "root" + strconv.Itoa(n)}
		if root {
			path = []string{"sim", "root"}
		}
		cards = append(cards, result.Card{Device: s.Machine.On(n).Device, GPU: all[n], Path: append(path, all[n].PCI)})
		for j := range i {
			p := result.Pair{GPUs: [2]int{j, i}, Ancestor: "node"}
			if root {
				p.Ancestor = "single switch"
			}
			pairs = append(pairs, p)
		}
	}
	common(cards, pairs)
	for n := range sim.Nodes(s.Machine) {
		nodes = append(nodes, n)
	}
	return cards, pairs, nodes, nil
}

// common fills in what paths and nodes say that pairs have in common.
func common(cards []result.Card, pairs []result.Pair) {
	for i, p := range pairs {
		a, b := cards[p.GPUs[0]], cards[p.GPUs[1]]
		for k := range min(len(a.Path), len(b.Path)) {
			if a.Path[k] != b.Path[k] {
				break
			}
			pairs[i].Common = a.Path[k]
		}
		if a.NUMA != nil && b.NUMA != nil {
			same := *a.NUMA == *b.NUMA
			pairs[i].SameNode = &same
		}
	}
}

// carry simulates a second of the loads from their second on.
func (s *simulation) carry(_ context.Context, w *With, g *result.Group) error {
	const from, to = int64(1e9), int64(2e9)
	gang, err := w.gang(g)
	if err != nil {
		return err
	}
	for i, f := range g.Links {
		copies, _, err := sim.Copies(s.Machine.On(f.GPU), gang, sim.View{Cell: gang[i].ID, Until: to, Limit: 1 << 22})
		if err != nil {
			return err
		}
		for _, c := range copies {
			g.Links[i].Bandwidth += c.Within(from, to) / (float64(to-from) / 1e9)
		}
	}
	g.Steady = true
	return nil
}
