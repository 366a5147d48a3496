package link

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/record"
	"barograph/pipeline/source"
	"barograph/stages/result"
)

// Schema is the version of a card's file; a program reads its own and older ones.
const Schema = 1

// An Estimate is a measured number and the interval that holds it, in the unit
// that the field's name says.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// A Card is what the link of a machine was measured to do. Durations are
// nanoseconds, sizes bytes, bandwidths bytes per second.
type Card struct {
	Schema      int        `json:"schema"`
	Machine     string     `json:"machine"` // a file under configs/machines/
	Device      string     `json:"device"`  // cuda, host, sim
	GPU         string     `json:"gpu,omitempty"`
	Generation  int        `json:"link_generation,omitempty"` // of PCIe, under load
	Width       int        `json:"link_width,omitempty"`
	Simulated   bool       `json:"simulated"`
	Day         string     `json:"day"`              // 2026-11-28
	Driver      string     `json:"driver,omitempty"` // 580.159.04
	CUDA        string     `json:"cuda,omitempty"`   // that the driver speaks: 13.0
	MPS         bool       `json:"mps"`              // measured through NVIDIA's MPS
	Took        int64      `json:"took_ns"`
	Environment record.Env `json:"environment" whole:"false"` // nothing is predicted from it

	// Capacity is that of a study's calibration, by direction: h2d, d2h, and both,
	// the sum of the two at once.
	Capacity map[string]Estimate `json:"capacity_bytes_per_s"`
	// Ways are the directions of the link, by name: h2d and d2h, or h2d alone where
	// both are one path.
	Ways     map[string]*Way `json:"ways"`
	Warnings []string        `json:"warnings,omitempty"`
	Invalid  []string        `json:"invalid,omitempty"` // why none of it can be trusted
}

// A Way is one direction of the link.
type Way struct {
	Turn   Turn   `json:"turn"`
	Small  Small  `json:"small_path"`
	Flight Flight `json:"in_flight"`
	// Alone is what a victim's call takes without load.
	Alone Alone `json:"alone"`
}

// Alone is what calls take without load, at their median: a kernel that ends at
// once, and Bytes copied behind such a kernel or with nothing pending.
type Alone struct {
	Bytes  int64 `json:"bytes"`
	Kernel int64 `json:"kernel_ns"`
	Behind int64 `json:"behind_ns"`
	Idle   int64 `json:"idle_ns"`
}

// A Turn is the time for which the copy engine serves one process while another
// waits with a copy ready. Beside one load a call in a closed loop, whose kernel takes
// t, lasts ceil(t / Length) Length + Own.
type Turn struct {
	// Seen tells whether there is one. If not, the call was not rounded up for any
	// kernel of at most UpTo.
	Seen   bool     `json:"seen"`
	UpTo   int64    `json:"up_to_ns"`
	Length Estimate `json:"length_ns"`
	Own    Estimate `json:"own_ns"` // of the call beside its turns: launching it, its copy
	// Line is how much worse a straight line, the kernel's time and a constant, fits
	// the medians than turns do: the difference in AICc.
	Line float64 `json:"line_delta_aicc"`
	// Loads is how the wait grows with the number of processes that load the link.
	Loads []Loads `json:"loads"`
	// Steps are the staircase: calls of one kernel each beside a number of loads.
	Steps []Step `json:"steps"`
	// Kernel is a kernel without a copy, which no load delays.
	Kernel Step `json:"kernel"`
}

// A Load is what loads a link: so many processes, each with threads that keep copies
// of a block in flight, each thread in a stream of its own.
type Load struct {
	Processes   int   `json:"processes"`
	Threads     int   `json:"threads"`     // of each process
	Outstanding int   `json:"outstanding"` // copies in flight of each thread
	Block       int64 `json:"block_bytes"`
}

// Loads is what a load does to a call with a kernel that ends at once.
type Loads struct {
	Load
	Wait Estimate `json:"wait_ns"`          // median of the call, less what it takes alone
	Each float64  `json:"each_bytes_per_s"` // of each process
}

// A Step is calls of a kernel and a copy of Bytes behind it, beside a load.
type Step struct {
	Load
	Kernel int64 `json:"kernel_ns"` // asked for
	Bytes  int64 `json:"bytes"`
	Alone  int64 `json:"alone_ns"` // median without load
	Calls  int   `json:"calls"`
	P10    int64 `json:"p10_ns"`
	P50    int64 `json:"p50_ns"`
	P90    int64 `json:"p90_ns"`
	P99    int64 `json:"p99_ns,omitempty"` // of 299 calls or more
}

// Small is the path that small copies take past the copy engine's queue, which a
// load does not delay.
type Small struct {
	// Idle is the largest copy into a stream with nothing pending that took it,
	// Behind the largest behind a kernel of the same stream. 0: not one byte did;
	// -1: none was delayed up to Most, so that nothing can be told.
	Idle   int64 `json:"idle_bytes"`
	Behind int64 `json:"behind_bytes"`
	Most   int64 `json:"most_bytes"`
	// Sizes are calls beside one load, by size, for a figure.
	Sizes []Size `json:"sizes"`
}

// A Size is calls that copy Bytes beside one load.
type Size struct {
	Bytes  int64 `json:"bytes"`
	Behind bool  `json:"behind_kernel"`
	Alone  int64 `json:"alone_ns"`
	Calls  int   `json:"calls"`
	P10    int64 `json:"p10_ns"`
	P50    int64 `json:"p50_ns"`
	P90    int64 `json:"p90_ns"`
}

// Flight is what copies in flight do.
type Flight struct {
	// Saturate is how few copies of Block in flight carry 97% of the most that any
	// number of them did.
	Saturate int     `json:"saturate"`
	Block    int64   `json:"block_bytes"`
	Depths   []Depth `json:"depths"`
	// One is what a load of another process with one copy in flight costs a victim.
	One []One `json:"one"`
}

// A Depth is a load with so many copies in flight, without a victim.
type Depth struct {
	Outstanding int     `json:"outstanding"`
	Block       int64   `json:"block_bytes"`
	Bandwidth   float64 `json:"bytes_per_s"`
}

// One is a victim's calls beside a load with one copy in flight.
type One struct {
	Block     int64   `json:"block_bytes"`
	Bandwidth float64 `json:"bytes_per_s"` // of the load
	Victim    Step    `json:"victim"`
}

// Name is what the card of a machine is called: the machine's, or, of one that was
// measured through MPS, another, so that a machine has both.
func Name(machine string, mps bool) string {
	if mps {
		return machine + "-mps"
	}
	return machine
}

func (c *Card) name() string { return Name(c.Machine, c.MPS) }

// File returns what the study calls the card of a name, and where one that came with
// the workspace is.
func File(name string) string {
	return filepath.Join("data", "link", name+".json")
}

// Find returns the path of a machine's card: of the one that was measured in this
// workspace, else of the one that came with it.
func Find(root, machine string, mps bool) string {
	name := Name(machine, mps)
	made := filepath.Join(root, record.Place("link", machine, File(name)))
	if _, err := os.Stat(made); err == nil {
		return made
	}
	return filepath.Join(root, File(name))
}

// Read reads a card. What is wrong with it has its place: file:line:column.
func Read(path string) (*Card, error) {
	c := &Card{}
	n, err := source.ReadJSON(path, c)
	if n != nil && c.Schema > Schema { // whose keys are not known
		err = c.check(n)
	}
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("read a link card: %w", err), "`barograph link` measures one")
	}
	if e := c.check(n); e != nil {
		return nil, fmt.Errorf("read a link card: %w", e)
	}
	return c, nil
}

// Write writes the card to a file.
func (c *Card) Write(path string) error { return result.Write(path, c) }

func (c *Card) check(n *source.Node) *source.Error {
	_, day := time.Parse(time.DateOnly, c.Day)
	name := cell.CheckName("machine", c.Machine)
	ways, capacity := n.At("ways"), n.At("capacity_bytes_per_s")
	switch {
	case c.Schema < 1 || c.Schema > Schema:
		return n.At("schema").Errorf(fmt.Sprintf("this program reads schema %d", Schema), "schema %d", c.Schema)
	case c.Machine == "":
		return n.At("machine").Errorf("", "it names no machine")
	case name != nil:
		return n.At("machine").Errorf(cell.HintOf(name), "%v", name)
	case day != nil:
		return n.At("day").Errorf("write it as 2026-11-28", "its day %q is none", c.Day)
	case len(c.Ways) == 0:
		return ways.Errorf("", "it has no ways")
	}
	for _, p := range ways.Pairs {
		name := p.Key.Val.(string)
		if name != "h2d" && name != "d2h" {
			return p.Key.Errorf("", "its way %q is none of h2d, d2h", name)
		}
		if capacity.Get(name) == nil {
			return capacity.Errorf("", "missing key %q in capacity_bytes_per_s", name)
		}
		if err := c.Capacity[name].check(capacity.At(name), name+"'s capacity_bytes_per_s", slowest, fastest); err != nil {
			return err
		}
		if err := c.Ways[name].check(p.Val, c.Device); err != nil {
			return err
		}
	}
	for _, key := range []string{"took_ns", "link_generation", "link_width"} {
		if v := n.Get(key); v != nil {
			if err := measured(v); err != nil {
				return err
			}
		}
	}
	both, ok := c.Capacity["both"]
	switch {
	case ok:
		return both.check(capacity.At("both"), "both ways' capacity_bytes_per_s", slowest, fastest)
	case len(c.Ways) > 1:
		return capacity.Errorf("", `missing key "both" in capacity_bytes_per_s`)
	}
	return nil
}

// No link is slower or faster, in bytes per second; and nothing of a card's is longer,
// in nanoseconds, or larger, in bytes. What lies beyond is no measurement, and would be
// simulated for hours.
const (
	slowest, fastest = 1e5, 1e14
	shortest         = 1e4 // of turns
	longest          = 1e9
	largest          = 1 << 40
)

func (w *Way) check(n *source.Node, device string) *source.Error {
	t, turn, small, depths := &w.Turn, n.At("turn"), n.At("small_path"), n.At("in_flight", "depths")
	least, most := 0.0, 0.0
	if t.Seen {
		least, most = shortest, longest
	}
	if err := t.Length.check(turn.At("length_ns"), "length_ns", least, most); err != nil {
		return err
	}
	if err := t.Own.check(turn.At("own_ns"), "own_ns", -longest, longest); err != nil {
		return err
	}
	switch {
	case t.UpTo < 0 || t.UpTo > longest:
		return turn.At("up_to_ns").Errorf("", "up_to_ns is %d", t.UpTo)
	case t.Seen && len(t.Steps) == 0:
		return turn.At("steps").Errorf("", "a turn was seen, and there are no steps of it")
	case len(w.Flight.Depths) == 0:
		return depths.Errorf("", "depths are empty: nothing tells what copies in flight carry")
	}
	for _, limit := range []struct {
		key    string
		bytes  int64
		behind bool
	}{{"idle_bytes", w.Small.Idle, false}, {"behind_bytes", w.Small.Behind, true}} {
		at := small.At(limit.key)
		switch {
		case limit.bytes < -1 || limit.bytes > largest:
			return at.Errorf("", "the small path takes %s %d", limit.key, limit.bytes)
		case limit.bytes == -1 && device != "host" && w.delayed(limit.behind):
			return at.Errorf("", "%s is -1, that no copy was delayed, and by sizes each of %v or more was", limit.key, unit.Size(plainCopy))
		}
	}
	for i, d := range w.Flight.Depths {
		if d.Outstanding < 1 || d.Block < 1 || d.Block > largest || d.Bandwidth != 0 && !(d.Bandwidth >= slowest && d.Bandwidth <= fastest) {
			return depths.At(i).Errorf("", "%d copies of %d bytes in flight carry %g bytes_per_s", d.Outstanding, d.Block, d.Bandwidth)
		}
	}
	return measured(n)
}

// measured refuses the first number at a node or below it that no measurement gives, and
// quantiles that do not ascend. What differences and fits may be below 0 is not for it.
func measured(n *source.Node) *source.Error {
	most := math.Inf(1)
	switch {
	case strings.HasSuffix(n.Name, "_ns"):
		most = float64(24 * time.Hour)
	case strings.HasSuffix(n.Name, "bytes_per_s"):
		most = fastest
	case strings.HasSuffix(n.Name, "bytes"):
		most = largest
	}
	if v := number(n); v < 0 || v > most {
		return n.Errorf("", "%s is %v, which no measurement gives", n.Name, n.Val)
	}
	for _, x := range n.Items {
		if err := measured(x); err != nil {
			return err
		}
	}
	for _, p := range n.Pairs {
		switch p.Key.Val {
		case "own_ns", "wait_ns", "line_delta_aicc", "idle_bytes", "behind_bytes":
			continue
		}
		if err := measured(p.Val); err != nil {
			return err
		}
	}
	last := 0.0
	for _, key := range []string{"p10_ns", "p50_ns", "p90_ns", "p99_ns"} {
		if q := n.Get(key); q != nil {
			if number(q) < last {
				return q.Errorf("", "%s is %v, less than a lower quantile", key, q.Val)
			}
			last = number(q)
		}
	}
	return nil
}

// number is a scalar's, or 0 of what is none.
func number(n *source.Node) float64 {
	switch v := n.Val.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

// delayed tells whether all copies too large for any known small path waited for half a
// turn or more, and so long that it could be told.
func (w *Way) delayed(behind bool) (all bool) {
	for _, s := range w.Small.Sizes {
		if s.Behind != behind || s.Bytes < plainCopy {
			continue
		}
		if all = w.Turn.Seen && s.P50 >= 3*s.Alone && float64(s.P50-s.Alone) >= w.Turn.Length.Value/2; !all {
			return false
		}
	}
	return all
}

// check wants finite numbers in order, and within bounds, of what stands at a node.
func (e Estimate) check(n *source.Node, name string, least, most float64) *source.Error {
	if math.IsNaN(e.Low+e.Value+e.High) || e.Low > e.Value || e.Value > e.High || e.Low < least || e.High > most {
		return n.Errorf("", "%s is %g, from %g to %g", name, e.Value, e.Low, e.High)
	}
	return nil
}
