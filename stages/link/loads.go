package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
	"barograph/stages/device/cuda"
	"barograph/stages/device/host"
	"barograph/stages/kind/stress"
	"barograph/stages/kind/stress/drive"
	"barograph/stages/result"
)

// A machine is a rig on real hardware. Loads are a study's own stressors, each a
// child of this process.
type machine struct {
	name          string // of the device
	settings      cell.Machine
	device        device.Device
	probe         device.Probe
	infer, stress []int  // CPUs
	folder        string // of the loads' files
	begun         int    // loads so far
	card          *Card  // for what is wrong with loads
}

// openMachine opens a device, and confines the calling goroutine, which keeps its
// thread, to the CPUs that an inference has in a study.
func openMachine(settings cell.Machine, card *Card) (m *machine, gpu cuda.GPU, err error) {
	m = &machine{name: settings.Device, settings: settings, card: card}
	var open interface {
		device.Device
		device.Prober
	}
	if settings.Device == "host" {
		open, err = host.Open()
	} else {
		gpu, err = cuda.Open(settings.Device)
		open = gpu
	}
	if err != nil {
		return nil, nil, err
	}
	m.device = open
	if m.infer, m.stress, err = host.Split(); err != nil {
		return nil, nil, err
	}
	runtime.LockOSThread()
	if err := errors.Join(host.Pin(m.stress), host.PinThread(m.infer)); err != nil {
		return nil, nil, err
	}
	if m.folder, err = os.MkdirTemp(".", "barograph-link-*"); err != nil {
		return nil, nil, err
	}
	m.probe, err = open.Probe(mostSmall)
	return m, gpu, err
}

func (m *machine) close() error { return errors.Join(m.probe.Close(), os.RemoveAll(m.folder)) }

func (m *machine) time(c device.Call, latencies []int64, limit time.Duration) ([]int64, error) {
	return m.probe.Time(c, latencies, limit)
}

func (m *machine) alone(ctx context.Context, l directedLoad) (float64, error) {
	load := device.Load{Threads: l.Threads, Block: l.Block, Outstanding: l.Outstanding, Directions: []device.Direction{l.direction}}
	if err := m.device.Fit(load); err != nil {
		return 0, err
	}
	return drive.Bandwidth(ctx, m.device, load, m.stress, 100*time.Millisecond)
}

func (m *machine) capacity(ctx context.Context) (map[string]Estimate, error) {
	w := stress.Kind().With().(*stress.With)
	w.Mode, w.Directions, w.Duration = "capacity", []string{"h2d", "d2h", "both"}, unit.Duration(100*time.Millisecond)
	c, err := m.start(ctx, w, 0)
	if err != nil {
		return nil, err
	}
	r, err := m.wait(c, "capacity")
	if err != nil {
		return nil, err
	}
	return calibrated(r), nil
}

// wait sees a load to its end, and warns where a signal stopped it.
func (m *machine) wait(c *stress.Child, what string) (*result.Stress, error) {
	r, err := c.Wait()
	if err == nil && r.Stops > 0 {
		m.card.warn("%s: %s", what, cell.Stopped("the load", r.Stops))
	}
	return r, err
}

// calibrated turns a calibration into estimates: the capacity, and as its interval all
// that was measured of the same load.
func calibrated(r *result.Stress) map[string]Estimate {
	found := map[string]Estimate{}
	for direction, v := range r.Capacity {
		e := Estimate{v, v, v}
		var of []result.Point
		for _, p := range r.Sweep {
			if p.Direction == direction && p.CPUs == len(r.CPUs) {
				of = append(of, p)
			}
		}
		for i, p := range of {
			// The last is the fastest load once more.
			last := of[len(of)-1]
			if i == len(of)-1 || p.Threads == last.Threads && p.Block == last.Block {
				e.Low, e.High = min(e.Low, p.Bandwidth), max(e.High, p.Bandwidth)
			}
		}
		found[direction] = e
	}
	return found
}

func (m *machine) beside(ctx context.Context, l directedLoad, f func() error) (each []float64, err error) {
	w := stress.Kind().With().(*stress.With)
	w.Threads, w.Block, w.Outstanding, w.Direction, w.Settle = l.Threads, unit.Size(l.Block), l.Outstanding, l.direction.String(), unit.Duration(2*time.Second)
	if m.name == "host" { // where a CPU has one copy in flight
		w.Threads, w.Outstanding = max(1, len(m.stress)/l.Processes), 1
	}
	var loads []*stress.Child
	for i := range l.Processes {
		c, err := m.start(ctx, w, i+1)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		loads = append(loads, c)
	}
	for _, c := range loads {
		if err := c.Ready(); err != nil {
			return nil, err
		}
	}
	from := cell.Now()
	if err := f(); err != nil {
		return nil, err
	}
	to := cell.Now()
	for _, c := range loads {
		c.Stop([2]int64{from, to})
	}
	for _, c := range loads {
		r, err := m.wait(c, l.String())
		if err != nil {
			return nil, err
		}
		each = append(each, r.Achieved)
	}
	return each, nil
}

// start starts a load, that of a number beside a victim, or one of no number that ends
// by itself. It splits CPUs as this process did when it began, and so has to inherit
// them all.
func (m *machine) start(ctx context.Context, w *stress.With, number int) (*stress.Child, error) {
	m.begun++
	id := fmt.Sprintf("load-%d", m.begun)
	if err := host.PinThread(slices.Concat(m.infer, m.stress)); err != nil {
		return nil, err
	}
	c, err := stress.Begin(ctx, filepath.Join(m.folder, id), w, cell.Spec{Stage: "stress", ID: id, Machine: m.settings, Background: number > 0, Seq: number})
	return c, errors.Join(err, host.PinThread(m.infer))
}
