package link

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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
}

// openMachine opens a device, and confines the calling goroutine, which keeps its
// thread, to the CPUs that an inference has in a study.
func openMachine(settings cell.Machine) (m *machine, gpu cuda.GPU, err error) {
	m = &machine{name: settings.Device, settings: settings}
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
	if m.folder, err = os.MkdirTemp("", "barograph-link-*"); err != nil {
		return nil, nil, err
	}
	m.probe, err = open.Probe(mostSmall)
	return m, gpu, err
}

func (m *machine) close() error { return errors.Join(m.probe.Close(), os.RemoveAll(m.folder)) }

func (m *machine) time(c device.Call, latencies []int64, limit time.Duration) ([]int64, error) {
	return m.probe.Time(c, latencies, limit)
}

func (m *machine) alone(ctx context.Context, l loading) (float64, error) {
	load := device.Load{Threads: l.Threads, Block: l.Block, Outstanding: l.Outstanding, Directions: []device.Direction{l.direction}}
	if err := m.device.Fit(load); err != nil {
		return 0, err
	}
	return stress.Bandwidth(ctx, m.device, load, m.stress, 100*time.Millisecond)
}

func (m *machine) capacity(ctx context.Context) (map[string]Estimate, error) {
	w := stress.Kind().With().(*stress.With)
	w.Mode, w.Directions, w.Duration = "capacity", []string{"h2d", "d2h", "both"}, unit.Duration(100*time.Millisecond)
	c, err := m.start(ctx, w, false)
	if err != nil {
		return nil, err
	}
	r, err := c.wait()
	if err != nil {
		return nil, err
	}
	return calibrated(r), nil
}

// calibrated turns a calibration into estimates: the capacity is the more of two
// measurements of the fastest load, and the interval is from the other one to the
// most that any load reached.
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
				e.Low = min(e.Low, p.Bandwidth)
			}
		}
		found[direction] = e
	}
	return found
}

func (m *machine) beside(ctx context.Context, l loading, f func() error) (each []float64, err error) {
	w := stress.Kind().With().(*stress.With)
	w.Threads, w.Block, w.Outstanding, w.Direction, w.Settle = l.Threads, unit.Size(l.Block), l.Outstanding, l.direction.String(), unit.Duration(2*time.Second)
	if m.name == "host" { // where a CPU has one copy in flight
		w.Threads, w.Outstanding = max(1, len(m.stress)/l.Processes), 1
	}
	var loads []*child
	defer func() {
		for _, c := range loads {
			err = errors.Join(err, c.end())
		}
	}()
	for range l.Processes {
		c, err := m.start(ctx, w, true)
		if err != nil {
			return nil, err
		}
		loads = append(loads, c)
	}
	for _, c := range loads {
		if err := c.ready(); err != nil {
			return nil, err
		}
	}
	from := cell.Now()
	if err := f(); err != nil {
		return nil, err
	}
	to := cell.Now()
	for _, c := range loads {
		c.send(cell.Control{Type: "window", Start: from, End: to})
		c.send(cell.Control{Type: "stop"})
	}
	for _, c := range loads {
		r, err := c.wait()
		if err != nil {
			return nil, err
		}
		each = append(each, r.Achieved)
	}
	return each, nil
}

// A child is a stressor's cell in a process of its own, in the group of this one,
// with which the engine would end it.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	events *bufio.Scanner
	path   string // of its result
	ended  bool
}

func (m *machine) start(ctx context.Context, w *stress.With, background bool) (*child, error) {
	with, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m.begun++
	id := fmt.Sprintf("load-%d", m.begun)
	c := &child{cmd: exec.CommandContext(ctx, self, "cell")}
	c.cmd.Dir, c.cmd.Stderr = filepath.Join(m.folder, id), os.Stderr
	if err := os.Mkdir(c.cmd.Dir, 0o777); err != nil {
		return nil, err
	}
	c.path = filepath.Join(c.cmd.Dir, result.StressFile)
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.in, err = c.cmd.StdinPipe()
	}
	if err == nil {
		// It splits CPUs as this process did when it began.
		err = host.PinThread(slices.Concat(m.infer, m.stress))
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err = errors.Join(err, host.PinThread(m.infer)); err != nil {
		return nil, fmt.Errorf("start a load: %w", err)
	}
	c.events = bufio.NewScanner(out)
	c.events.Buffer(nil, 1<<20)
	c.send(cell.Spec{Kind: "stress", Stage: "stress", ID: id, With: with, Machine: m.settings, Background: background})
	return c, nil
}

// send writes a line; a child that is gone says why at its end.
func (c *child) send(v any) {
	if b, err := json.Marshal(v); err == nil {
		_, _ = c.in.Write(append(b, '\n'))
	}
}

// next returns the child's next event of a type, or the error that it tells.
func (c *child) next(kind string) error {
	for c.events.Scan() {
		var e cell.Event
		if err := json.Unmarshal(c.events.Bytes(), &e); err != nil {
			return fmt.Errorf("hear a load: it wrote %.80q", c.events.Text())
		}
		switch e.Type {
		case kind:
			return nil
		case "error":
			return cell.Hint(fmt.Errorf("load the link: %s", e.Text), "%s", e.Hint)
		}
	}
	return io.EOF
}

func (c *child) ready() error {
	err := c.next("ready")
	if errors.Is(err, io.EOF) {
		return errors.New("load the link: a load ended before it was ready")
	}
	return err
}

// wait sees a child to its end and reads its result.
func (c *child) wait() (*result.Stress, error) {
	if err := c.next(""); !errors.Is(err, io.EOF) {
		return nil, err
	}
	c.ended = true
	if err := c.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("load the link: %w", err)
	}
	r := &result.Stress{}
	return r, result.Read(c.path, r)
}

// end ends a child that has not ended.
func (c *child) end() error {
	if c.ended {
		return nil
	}
	err := c.cmd.Process.Kill()
	_ = c.cmd.Wait() // it was killed
	return err
}
