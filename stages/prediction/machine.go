package prediction

import (
	"math"
	"slices"

	"barograph/stages/device"
	"barograph/stages/link"
)

// FromCard is what a link card says, for a model that runs under MPS or not.
func FromCard(c *link.Card, mps bool) *Machine {
	m := &Machine{Name: c.Machine}
	if !c.Simulated { // a simulated load's copies take no memory
		m.Memory = c.Environment.Memory.Total
	}
	m.Link.Both = c.Capacity["both"].Value
	for i, d := range Ways {
		w := c.Ways[d.String()]
		m.Blocks[i] = []Block{} // not null in JSON
		m.Capacity[i] = c.Capacity[d.String()].Value
		m.Link.Bandwidth[d] = m.Capacity[i]
		if w == nil {
			continue
		}
		if w.Turn.Seen {
			m.Link.Turn[d] = int64(w.Turn.Length.Value)
			m.Turn[i] = [2]float64{w.Turn.Length.Low, w.Turn.Length.High}
		}
		if d == device.H2D {
			m.Link.SmallIdle = unbounded(w.Small.Idle)
			if c.MPS || !mps { // MPS takes it away behind a kernel
				m.Link.SmallBehind = unbounded(w.Small.Behind)
			}
		}
		flight(m, i, w.Flight.Depths)
		if len(m.Blocks[i]) > 0 { // a request's copies are small
			m.Link.Overhead = max(m.Link.Overhead, m.Blocks[i][0].Busy)
		}
	}
	for _, d := range Ways {
		// Beside its turns a call takes its copy, and the engine's way to it and back.
		if w := c.Ways[d.String()]; w != nil && w.Turn.Seen && len(w.Turn.Steps) > 0 {
			own := w.Turn.Own.Value - m.Link.Overhead - float64(w.Turn.Steps[0].Bytes)/m.Link.Bandwidth[d]*1e9
			m.Link.Switch = max(m.Link.Switch, int64(own/2))
		}
	}
	return m
}

// unbounded reads a card's limit of the small path, whose -1 is none that was found.
func unbounded(limit int64) int64 {
	if limit < 0 {
		return math.MaxInt64
	}
	return limit
}

const steady = 4 << 20 // bytes of the smallest copies that fill the link

// flight takes from copies in flight the bandwidth without what each copy costs, and
// that cost.
func flight(m *Machine, way int, depths []link.Depth) {
	shortest, single := map[int64]float64{}, map[int64]float64{} // time of a copy by block
	var blocks []int64
	for _, x := range depths {
		if x.Bandwidth <= 0 || x.Block < steady { // there the processor is slower than the link
			continue
		}
		t := float64(x.Block) / x.Bandwidth * 1e9
		if x.Outstanding == 1 {
			single[x.Block] = t
		}
		if best, ok := shortest[x.Block]; !ok {
			blocks = append(blocks, x.Block)
			shortest[x.Block] = t
		} else {
			shortest[x.Block] = min(best, t)
		}
	}
	if len(blocks) < 2 {
		return
	}
	slices.Sort(blocks)
	bandwidth := &m.Link.Bandwidth[Ways[way]]
	large := blocks[len(blocks)-1]
	if slope := (shortest[large] - shortest[blocks[0]]) / float64(large-blocks[0]); slope > 0 {
		*bandwidth = max(*bandwidth, 1e9/slope)
	}
	for _, b := range blocks {
		x := Block{Bytes: b, Busy: max(0, shortest[b] - float64(b) / *bandwidth * 1e9)}
		if t, ok := single[b]; ok {
			x.Gap = max(0, t-shortest[b])
		}
		m.Blocks[way] = append(m.Blocks[way], x)
	}
}
