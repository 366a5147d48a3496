package neighbours

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/gpu"
	"barograph/stages/device/host"
	"barograph/stages/device/nvml"
	"barograph/stages/kind/stress"
	"barograph/stages/result"
)

// load is a stressor on the link of one GPU of a group.
func (w *With) load(f result.Flow, node *int) *stress.With {
	s := stress.Kind().With().(*stress.With)
	s.Threads, s.Block, s.Direction, s.Node, s.Settle = w.Threads, w.Block, f.Direction, node, w.Settle
	return s
}

// gang is a group's loads as cells of one trial, in the group's order.
func (w *With) gang(g *result.Group) (gang []cell.Input, err error) {
	for _, f := range g.Links {
		s := w.load(f, g.Node)
		s.GPUs = []int{f.GPU}
		in := cell.Input{Kind: "stress", ID: "load-" + strconv.Itoa(f.GPU)}
		if in.With, err = json.Marshal(s); err != nil {
			return nil, err
		}
		gang = append(gang, in)
	}
	return gang, nil
}

// A machine is a rig of this computer's GPUs. Loads are a study's own stressors, each a
// child of this process.
type machine struct {
	*cell.Cell
	folder string // of the loads' files
	begun  int    // groups so far
	probes []*nvml.Probe
	before []device.State
}

func newMachine(c *cell.Cell) (*machine, error) {
	folder, err := os.MkdirTemp(".", "barograph-neighbours-*")
	return &machine{Cell: c, folder: folder}, err
}

func (m *machine) close() error { return os.RemoveAll(m.folder) }

func (m *machine) declared(gpus []int) (cards []result.Card, pairs []result.Pair, nodes []int, err error) {
	visible := gpu.Visible(gpu.Here().List)
	for i, n := range gpus {
		c := result.Card{Device: m.Machine.On(n).Device, GPU: visible[n], Path: path(visible[n].PCI)}
		probe, err := nvml.Open(c.PCI)
		if err != nil {
			return nil, nil, nil, err
		}
		state := probe.Look(false)
		c.Driver, c.Generation, c.Width = state.Driver, state.MaxGeneration, state.MaxWidth
		for j, before := range m.probes {
			pairs = append(pairs, result.Pair{GPUs: [2]int{j, i}, Ancestor: before.Ancestor(probe)})
		}
		cards, m.probes, m.before = append(cards, c), append(m.probes, probe), append(m.before, state)
	}
	common(cards, pairs)
	return cards, pairs, host.Nodes(), nil
}

// path is that of a PCI device from its root down.
func path(address string) []string {
	to, err := filepath.EvalSymlinks("/sys/bus/pci/devices/" + address)
	if err != nil {
		return nil // a container may hide it
	}
	return strings.Split(strings.TrimPrefix(to, "/sys/devices/"), "/")
}

func (m *machine) judged() (why []string) {
	for i, p := range m.probes {
		before, after := m.before[i], p.Look(false)
		before.SMClock, after.SMClock = 0, 0 // copies do not depend on it
		for _, text := range nvml.Judge(before, after, false, nvml.Own(after)) {
			why = append(why, fmt.Sprintf("GPU %d: %s", i, text))
		}
	}
	return why
}

// carry begins all loads, and measures once the last is steady.
func (m *machine) carry(ctx context.Context, w *With, g *result.Group) error {
	var loads []*stress.Child
	m.begun++
	for i, f := range g.Links {
		id := fmt.Sprintf("load-%d-%d", m.begun, f.GPU)
		c, err := stress.Begin(ctx, filepath.Join(m.folder, id), w.load(f, g.Node), cell.Spec{Stage: "stress", ID: id, Machine: m.Machine.On(f.GPU), Background: true, Seq: i + 1})
		if err != nil {
			return err
		}
		defer c.Close()
		loads = append(loads, c)
	}
	for _, c := range loads {
		if err := c.Ready(); err != nil {
			return err
		}
	}
	window := [2]int64{cell.Now(), 0}
	select {
	case <-time.After(time.Duration(w.Duration)):
	case <-ctx.Done():
		return ctx.Err()
	}
	window[1] = cell.Now()
	for _, c := range slices.Backward(loads) {
		c.Stop(window)
	}
	g.Steady = true
	for i, c := range loads {
		r, err := c.Wait()
		if err != nil {
			return err
		}
		g.Links[i].Bandwidth = r.Achieved
		g.Steady, g.Stops = g.Steady && r.Steady, g.Stops+r.Stops
	}
	return nil
}
