package forecast

import (
	"cmp"
	"fmt"
	"math"

	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/twin"
)

// Ways are the directions of a link.
var Ways = [2]device.Direction{device.H2D, device.D2H}

// A Machine is what is known of a machine's link.
type Machine struct {
	Name     string        `json:"name"`
	Link     twin.Link     `json:"link"`
	Capacity [2]float64    `json:"capacity_bytes_per_s"` // by direction, of which a load's share is one
	Turn     [2][2]float64 `json:"turn_ns"`              // by direction, from low to high
	// Blocks are what copies of a load cost beside their bytes, by direction, in order
	// of size.
	Blocks [2][]Block `json:"blocks"`
	// Assumed says what nobody measured.
	Assumed   []string `json:"assumed,omitempty"`
	HalfSmall bool     `json:"half_small,omitempty"` // the small path may be there or not
	Memory    int64    `json:"-"`                    // bytes of the host's, in which copies are page-locked; 0: not known
}

// A Block is one size of a load's copies, as it was measured. Times are nanoseconds.
type Block struct {
	Bytes int64   `json:"bytes"`
	Busy  float64 `json:"busy_ns"` // that a copy holds the engine beside its bytes
	Gap   float64 `json:"gap_ns"`  // from a copy's end to the next one's submission, by one thread
}

const largest = 1 << 40 // bytes of loads' copies, and of one of those that were measured

// holds refuses loads whose copies no memory holds.
func (m *Machine) holds(c *Condition) error {
	most := cmp.Or(m.Memory, largest)
	if n := max(1, c.Loads*c.Threads*c.Outstanding); c.Block > most/int64(n) {
		of := "and the host of " + m.Name + " has"
		if m.Memory == 0 {
			of = "want at most"
		}
		return fmt.Errorf("%d copies of %v in flight take %.0f GiB of page-locked memory, %s %.0f", n, unit.Size(c.Block), float64(n)*float64(c.Block)/(1<<30), of, float64(most)/(1<<30))
	}
	return nil
}

// Block returns what the measured block nearest to one costs.
func (m *Machine) Block(way int, bytes int64) Block {
	nearest := Block{Busy: m.Link.Overhead}
	far := math.Inf(1)
	for _, b := range m.Blocks[way] {
		if d := math.Abs(math.Log(float64(b.Bytes) / float64(bytes))); d < far {
			nearest, far = b, d
		}
	}
	return nearest
}

// Sim are the parameters of device sim that a card decides, for a load with small gaps:
// what is simulated under them is the card's link.
func (m *Machine) Sim() map[string]float64 {
	l := &m.Link
	p := map[string]float64{
		"bandwidth_both": l.Both, "overhead_ns": l.Overhead, "switch_ns": float64(l.Switch),
		"small_idle": float64(l.SmallIdle), "small_behind": float64(l.SmallBehind), "gap_ns": math.Inf(1),
	}
	for i, d := range Ways {
		p["bandwidth_"+d.String()], p["turn_"+d.String()+"_ns"] = l.Bandwidth[d], float64(l.Turn[d])
		for _, b := range m.Blocks[i] {
			p["gap_ns"] = min(p["gap_ns"], b.Gap)
		}
	}
	return p
}
