package link

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/device"
	"barograph/stages/device/cuda"
	"barograph/stages/device/gpu"
	"barograph/stages/device/mps"
	"barograph/stages/device/nvml"
	"barograph/stages/device/setting"
	"barograph/stages/device/sim"
	"barograph/stages/kind/stress"
)

// With is the parameters of link.
type With struct {
	Sharing string `json:"sharing" enum:"separate,mps" doc:"how the calls' process and those of the loads share the GPU: by turns, or through NVIDIA's MPS, whose daemon is the cell's own"`
}

func (w *With) mps() bool { return w.Sharing == "mps" }

func (w *With) check(on string) error {
	switch {
	case w.Sharing != "separate" && !w.mps():
		return fmt.Errorf("sharing %q is not one of separate, mps", w.Sharing)
	case w.mps() && cell.Family(on) == "host":
		return cell.Hint(fmt.Errorf("sharing mps on device %s: MPS is a service of NVIDIA's GPUs", on), "choose a machine whose device is cuda, or sharing: separate")
	}
	return nil
}

const (
	summary = "card.txt"
	invalid = "INVALID: " // begins a warning that says why none of a card can be trusted
)

// Kind returns the stage kind link.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:     "link",
		Version:  "1",
		Inherits: []string{"CUDA_VISIBLE_DEVICES"},
		Doc:      "measures the link card of the machine: capacity, the copy engine's turn, the small path, copies in flight",
		Measured: true,
		With:     func() any { return &With{Sharing: "separate"} },
		Outputs:  func(any) []string { return []string{summary} },
		Publishes: func(_, machine string, with any) []string {
			name := Name(machine, with.(*With).mps())
			return append([]string{File(name), callsFile(name)}, figures(name)...)
		},
		Check:    func(_, device string, with any) error { return with.(*With).check(device) },
		CheckSim: sim.Check,
		Lacks: func(device string, with any) error {
			if with.(*With).mps() && cell.Family(device) != "sim" {
				return mps.Lacks()
			}
			return nil
		},
		Setting: setting.Of,
		Environ: stress.Environ,
		Summary: summary,
		Run:     run,
	}
}

// callsFile is where the calls are kept that the card of a name was made of.
func callsFile(name string) string { return filepath.Join("data", "link", name+".csv.gz") }

func run(ctx context.Context, c *cell.Cell) (err error) {
	begun, w := time.Now(), c.With.(*With)
	if err := w.check(c.Machine.Device); err != nil {
		return err
	}
	if w.mps() && !c.Machine.Simulated() && c.During == "" {
		return through(ctx, c)
	}
	card := &Card{
		Schema: Schema, Machine: c.Machine.Name, Device: c.Machine.Device, Simulated: c.Machine.Simulated(), MPS: w.mps(),
		Day: begun.UTC().Format(time.DateOnly), Environment: record.Environment(gpu.Here()),
	}
	directions := []device.Direction{device.H2D, device.D2H}
	var r rig
	judge := func() {}
	if card.Simulated {
		r = &simulation{settings: c.Machine, sharing: w.Sharing}
	} else {
		m, gpu, err := openMachine(c.Machine, card)
		if m != nil && m.probe != nil {
			defer func() { err = errors.Join(err, m.close()) }()
		}
		if err != nil {
			return err
		}
		if r = m; m.device.OnePath() {
			directions = directions[:1]
		}
		if gpu != nil {
			// Clocks are up from here on.
			if _, err := m.time(device.Call{Kernel: time.Millisecond}, make([]int64, 500), patience); err != nil {
				return err
			}
			judge = card.watch(gpu)
		}
		if err := served(w); err != nil {
			return err
		}
	}
	measured, err := measure(ctx, r, directions, card, func(what string) {
		c.Say(what)
		fmt.Fprintf(os.Stderr, "%6.2f s: %s\n", time.Since(begun).Seconds(), what)
	})
	if err != nil {
		return err
	}
	judge()
	card.Took = int64(time.Since(begun))
	for _, text := range card.Warnings {
		c.Warn("%s", text)
	}
	for _, why := range card.Invalid {
		c.Warn("%s", invalid+why)
	}
	path, err := c.Path(File(card.name()))
	if err != nil {
		return err
	}
	if err := card.Write(path); err != nil {
		return err
	}
	if err := measured.write(c, callsFile(card.name())); err != nil {
		return err
	}
	if err := card.draw(".", card.name()); err != nil {
		return err
	}
	f, err := c.Create(summary)
	if err != nil {
		return err
	}
	return errors.Join(card.Text(f), f.Close())
}

// watch notes what serves the GPU, and returns a function that notes what makes
// the card doubtful.
func (c *Card) watch(gpu cuda.GPU) func() {
	c.CUDA = gpu.About().CUDA
	probe, err := nvml.Open(gpu.PCI())
	if err != nil {
		c.warn("the state of the GPU is unknown: %v", err)
		return func() {}
	}
	before := probe.Look(false)
	return func() {
		after := probe.Look(false)
		c.GPU, c.Driver, c.Generation, c.Width = after.Name, after.Driver, after.Generation, after.Width
		c.Invalid = nvml.Judge(before, after, false, nvml.Own(after))
	}
}

// write keeps every call.
func (m *measurement) write(c *cell.Cell, name string) (err error) {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	w := bufio.NewWriter(z)
	fmt.Fprintln(w, "direction,processes,threads,outstanding,block_bytes,kernel_ns,bytes,latency_ns")
	for _, s := range m.samples {
		fmt.Fprintf(w, "%v,%d,%d,%d,%d,%d,%d,%d\n", s.call.Direction, s.Processes, s.Threads, s.Outstanding, s.Block, max(-1, s.call.Kernel), s.call.Bytes, s.latency)
	}
	return errors.Join(w.Flush(), z.Close())
}
