package stress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/sim"
	"barograph/stages/result"
)

// A child is a stress cell served as the engine would, in this process.
type child struct {
	t      testing.TB
	in     *io.PipeWriter
	events *json.Decoder
	done   chan error
	seen   []cell.Event
}

// serve starts a cell with these parameters in a fresh folder.
func serve(t testing.TB, spec cell.Spec, with string) *child {
	t.Helper()
	t.Chdir(t.TempDir())
	defaults, err := json.Marshal(Kind().With())
	if err != nil {
		t.Fatal(err)
	}
	merged := map[string]any{}
	// A machine that is busy with other tests may never be steady.
	for _, b := range []string{string(defaults), `{"settle": "500ms"}`, with} {
		if err := json.Unmarshal([]byte(b), &merged); err != nil {
			t.Fatal(err)
		}
	}
	if spec.With, err = json.Marshal(merged); err != nil {
		t.Fatal(err)
	}
	spec.Kind, spec.ID = "stress", "stress[level=1]"
	line, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &child{t: t, in: inW, events: json.NewDecoder(bufio.NewReader(outR)), done: make(chan error, 1)}
	go func() {
		err := cell.Serve(cell.NewKinds(Kind()), inR, outW)
		inR.Close()
		outW.Close()
		c.done <- err
	}()
	c.write(string(line))
	return c
}

func (c *child) write(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) control(m cell.Control) {
	c.t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(string(b))
}

// until reads events up to one of the given type.
func (c *child) until(kind string) cell.Event {
	c.t.Helper()
	for {
		var e cell.Event
		if err := c.events.Decode(&e); err != nil {
			c.t.Fatalf("no event %q: %v after %+v", kind, err, c.seen)
		}
		c.seen = append(c.seen, e)
		if e.Type == kind {
			return e
		}
	}
}

// end reads the remaining events and returns what Serve did.
func (c *child) end() error {
	c.t.Helper()
	for {
		var e cell.Event
		if err := c.events.Decode(&e); err != nil {
			break
		}
		c.seen = append(c.seen, e)
	}
	select {
	case err := <-c.done:
		return err
	case <-time.After(20 * time.Second):
		c.t.Fatal("the cell hangs")
		return nil
	}
}

// results reads the files that the cell left.
func results(t *testing.T) (r result.Stress, copies []sim.Copy) {
	t.Helper()
	if err := cell.ReadJSON(result.StressFile, &r); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(result.CopiesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rows[0], ","); got != "thread,start_ns,bytes,duration_ns,direction" {
		t.Errorf("header %q", got)
	}
	for _, row := range rows[1:] {
		var v [4]int64
		for i := range v {
			if v[i], err = strconv.ParseInt(row[i], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		d, err := device.Directions(row[4])
		if err != nil || len(d) != 1 {
			t.Fatalf("direction %q", row[4])
		}
		copies = append(copies, sim.Copy{Thread: int(v[0]), Copy: device.Copy{Start: v[1], Bytes: v[2], Duration: v[3], Direction: d[0]}})
	}
	if int64(len(copies)) != r.Copies {
		t.Errorf("%d copies in the file, %d in the result", len(copies), r.Copies)
	}
	if !slices.IsSortedFunc(copies, func(a, b sim.Copy) int { return int(a.Start - b.Start) }) {
		t.Error("copies are not in order of start")
	}
	return r, copies
}

var (
	hostMachine = cell.Machine{Name: "here", Device: "host"}
	simMachine  = cell.Machine{Name: "sim", Device: "sim"}
)

func trial(m cell.Machine) cell.Spec {
	return cell.Spec{Machine: m, Background: true, During: "infer[level=1]", Gang: []cell.Input{{Kind: "infer", ID: "infer[level=1]", Seed: 7, With: []byte(`{}`)}}}
}

// A load that a signal stops says so. A process that goes on has the signal SIGCONT.
func TestStops(t *testing.T) {
	for threads, says := range []string{"a signal (such as SIGSTOP) stopped the load once", "a signal (such as SIGSTOP) stopped the load once: alone, it would have copied more"} {
		c := serve(t, trial(hostMachine), fmt.Sprintf(`{"threads": %d, "block": "1MiB"}`, threads))
		defer c.in.Close()
		c.until("ready")
		before := cell.Stops()
		if err := syscall.Kill(os.Getpid(), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for cell.Stops() == before { // the runtime hands a signal on when it comes to it
			time.Sleep(time.Millisecond)
		}
		c.control(cell.Control{Type: "stop"})
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		if r, _ := results(t); !slices.Contains(r.Warnings, says) {
			t.Errorf("%d threads: warnings %q", threads, r.Warnings)
		}
	}
}

// The protocol on a real device: ready, a window, stop; and a result that
// agrees with its copies.
func TestLoad(t *testing.T) {
	begun := cell.Now()
	c := serve(t, trial(hostMachine), `{"threads": 2, "block": "2MiB", "direction": "both", "outstanding": 3}`)
	defer c.in.Close()
	c.until("ready")
	start := cell.Now()
	time.Sleep(200 * time.Millisecond) // the window that is measured
	end := cell.Now()
	c.control(cell.Control{Type: "window", Start: start, End: end})
	c.control(cell.Control{Type: "stop"})
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	r, copies := results(t)
	threads, sum := map[int]bool{}, map[string]float64{}
	for _, c := range copies {
		threads[c.Thread] = true
		sum[c.Direction.String()] += c.Within(start, end) / (float64(end-start) / 1e9)
		if c.Bytes != 2<<20 || c.Duration <= 0 || c.Start < begun || c.End() > cell.Now() {
			t.Fatalf("copy %+v", c)
		}
	}
	if r.Mode != "load" || r.Device != "host" || r.Simulated || r.Threads != 2 || r.Block != 2<<20 || r.Outstanding != 3 || r.Direction != "both" ||
		r.Memory != "pinned" || r.Rate != 0 || len(r.CPUs) == 0 || r.Window != [2]int64{start, end} || len(r.Notes) != 2 {
		t.Errorf("result %+v", r)
	}
	if len(threads) != 2 || len(sum) != 2 {
		t.Errorf("threads %v, directions %v", threads, sum)
	}
	for d, v := range sum {
		if got := r.AchievedBy[d]; math.Abs(got-v) > 1e-6*v || v < 50e6 {
			t.Errorf("%s: achieved %g bytes/s, its copies say %g", d, got, v)
		}
	}
	if total := sum["h2d"] + sum["d2h"]; math.Abs(r.Achieved-total) > 1e-6*total {
		t.Errorf("achieved %g bytes/s, the sum is %g", r.Achieved, total)
	}
}

func TestNoLoad(t *testing.T) {
	for _, m := range []cell.Machine{hostMachine, simMachine} {
		c := serve(t, trial(m), `{"threads": 0, "block": 0}`)
		c.until("ready")
		c.control(cell.Control{Type: "window", Start: 5, End: 1e9})
		c.control(cell.Control{Type: "stop"})
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		if r, copies := results(t); r.Achieved != 0 || len(copies) != 0 || !r.Steady || len(r.Warnings) != 0 || r.AchievedBy["h2d"] != 0 {
			t.Errorf("%s: %+v", m.Name, r)
		}
		c.in.Close()
	}
}

// A rate, given as such or as a share of what was calibrated, is never exceeded
// on average, and held within 2% over the time in which this machine, busy with
// other tests, did not stall the threads.
func TestRate(t *testing.T) {
	calibration := filepath.Join(t.TempDir(), "stress.json")
	if err := result.Write(calibration, result.Stress{Mode: "capacity", Device: "host", Capacity: map[string]float64{"h2d": 1.6e9, "d2h": 1}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		with string
		want float64
	}{
		{`{"threads": 2, "block": "1MiB", "rate": "400MB/s"}`, 400e6},
		{`{"threads": 3, "block": "256KiB", "rate": "25%"}`, 400e6},
		{`{"threads": 1, "block": "64KiB", "rate": "100MB/s", "direction": "both"}`, 100e6},
	} {
		spec := trial(hostMachine)
		spec.Inputs = []cell.Input{{Stage: "calibrate", Kind: "stress", ID: "calibrate", Files: map[string]string{result.StressFile: calibration}}}
		c := serve(t, spec, tt.with)
		c.until("ready")
		start := cell.Now()
		time.Sleep(500 * time.Millisecond) // the window that is measured
		c.control(cell.Control{Type: "window", Start: start, End: cell.Now()})
		c.control(cell.Control{Type: "stop"})
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		r, copies := results(t)
		n := len(copies) - 1
		life, stalled := copies[n].Start-copies[0].Start, int64(0)
		for i := range n {
			if gap := copies[i+1].Start - copies[i].Start; gap > 10e6 {
				stalled += gap
			}
		}
		bytes := float64(r.Block) * float64(n)
		most, least := tt.want*float64(life)/1e9, tt.want*float64(life-stalled)/1e9
		if r.Rate != tt.want || bytes > most*1.0001 || bytes < 0.98*least {
			t.Errorf("%s: asked %g, copied %g bytes in %d ms, stalled for %d", tt.with, r.Rate, bytes, life/1e6, stalled/1e6)
		}
		c.in.Close()
	}
}

// Outside a trial a load copies for its duration, and nobody has to stop it.
func TestForegroundLoad(t *testing.T) {
	for _, m := range []cell.Machine{hostMachine, simMachine} {
		c := serve(t, cell.Spec{Machine: m}, `{"threads": 1, "block": "1MiB", "duration": "50ms"}`)
		c.in.Close()
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		r, copies := results(t)
		if length := r.Window[1] - r.Window[0]; length < 50e6 || length > 10e9 || r.Achieved < 50e6 || len(copies) == 0 {
			t.Errorf("%s: window %d ns, %g bytes/s, %d copies", m.Name, length, r.Achieved, len(copies))
		}
	}
}

// Both sides of a simulated trial see the same link: what the stressor reports
// is what the inference met.
func TestSimulatedTrial(t *testing.T) {
	spec := trial(simMachine)
	c := serve(t, spec, `{"threads": 3, "block": "12MiB"}`)
	defer c.in.Close()
	c.until("ready")
	calls, err := sim.Run(simMachine, []cell.Input{{Kind: "stress", ID: "stress[level=1]", With: []byte(`{"threads": 3, "block": "12MiB"}`)}},
		sim.Request{Warmup: 5, Calls: 20, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	start, end := calls[0].Scheduled, calls[19].Scheduled+calls[19].Latency
	c.control(cell.Control{Type: "window", Start: start, End: end})
	c.control(cell.Control{Type: "stop"})
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	r, copies := results(t)
	if !r.Simulated || len(r.CPUs) != 0 || math.Abs(r.Achieved/11.58e9-1) > 0.005 {
		t.Errorf("result %+v", r)
	}
	// Every call's input waits for the copies ahead of it, so each moment in
	// which the link begins a copy after an idle one belongs to a call's input.
	busy := 0
	for i := 1; i < len(copies); i++ {
		gap := copies[i].Start - copies[i-1].End()
		if gap < 0 {
			t.Fatalf("copies %d and %d overlap", i-1, i)
		}
		if gap > 0 && copies[i].Start > start {
			busy++
		}
	}
	if busy < 19 || busy > 21 {
		t.Errorf("the 20 calls of the window came between copies %d times", busy)
	}
}

// Copies that leave the simulated link idle are made and recorded, and delay no
// call.
func TestSimulatedControls(t *testing.T) {
	alone, err := sim.Run(simMachine, nil, sim.Request{Calls: 20, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	for direction, bandwidth := range map[string]float64{"d2d": 250e9, "h2h": 20e9} {
		with := fmt.Sprintf(`{"threads": 4, "block": "16MiB", "direction": %q}`, direction)
		c := serve(t, trial(simMachine), with)
		c.until("ready")
		calls, err := sim.Run(simMachine, []cell.Input{{Kind: "stress", ID: "stress[level=1]", With: []byte(with)}}, sim.Request{Calls: 20, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(calls, alone) {
			t.Errorf("%s: calls beside copies off the link took other times", direction)
		}
		c.control(cell.Control{Type: "window", Start: calls[0].Scheduled, End: calls[19].Scheduled + calls[19].Latency})
		c.control(cell.Control{Type: "stop"})
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		if r, copies := results(t); r.Direction != direction || math.Abs(r.AchievedBy[direction]/bandwidth-1) > 0.2 || len(copies) == 0 || copies[0].Direction.String() != direction {
			t.Errorf("%s: %+v, %d copies", direction, r, len(copies))
		}
		c.in.Close()
	}
}

// A load of so many calls makes them and ends, also beside a trial, of which it
// says for how much it lasted.
func TestCalls(t *testing.T) {
	for _, m := range []cell.Machine{hostMachine, simMachine} {
		for _, calls := range []int{2, 40} {
			with := fmt.Sprintf(`{"threads": 2, "block": "1MiB", "direction": "both", "outstanding": 3, "calls": %d}`, calls)
			count := func(copies []sim.Copy) {
				t.Helper()
				made := map[string]int{}
				for _, c := range copies {
					made[fmt.Sprint(c.Thread, c.Direction)]++
				}
				for _, who := range []string{"0 h2d", "0 d2h", "1 h2d", "1 d2h"} {
					if made[who] != calls {
						t.Errorf("%s, calls %d: %s made %d copies", m.Device, calls, who, made[who])
					}
				}
			}
			alone := serve(t, cell.Spec{Machine: m}, with)
			alone.in.Close()
			if err := alone.end(); err != nil {
				t.Fatal(err)
			}
			r, copies := results(t)
			if count(copies); r.Copies != int64(4*calls) || r.Achieved <= 0 || strings.Contains(strings.Join(r.Warnings, " "), "were over") {
				t.Errorf("%s, calls %d: %+v", m.Device, calls, r)
			}

			c := serve(t, trial(m), with)
			c.until("ready")
			begun := int64(0)
			if m.Device == "host" {
				begun = cell.Now()
			}
			c.control(cell.Control{Type: "window", Start: begun, End: begun + 60e9})
			c.control(cell.Control{Type: "stop"})
			if err := c.end(); err != nil {
				t.Fatal(err)
			}
			c.in.Close()
			if r, _ := results(t); !strings.Contains(strings.Join(r.Warnings, " "), "the load's copies were over after") {
				t.Errorf("%s, calls %d, beside a trial: %+v", m.Device, calls, r)
			}
		}
	}
}

func TestCapacity(t *testing.T) {
	c := serve(t, cell.Spec{Machine: hostMachine}, `{"mode": "capacity", "directions": ["d2h"], "block": "4MiB", "duration": "60ms"}`)
	c.in.Close()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	var r result.Stress
	if err := cell.ReadJSON(result.StressFile, &r); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(result.CopiesFile); err == nil {
		t.Error("a calibration left copies")
	}
	if v := r.Capacity["d2h"]; v < 100e6 || r.Capacity["h2d"] != v || r.Capacity["both"] != v || r.Block != 4<<20 || r.Threads < 1 || len(r.Sweep) < 2 {
		t.Errorf("result %+v", r)
	}
	// What the sweep chose was its fastest.
	best := slices.MaxFunc(r.Sweep[:2], func(a, b result.Point) int { return int(a.Bandwidth - b.Bandwidth) })
	if best.Threads != r.Threads {
		t.Errorf("chose %d threads of %+v", r.Threads, r.Sweep)
	}
	if last := c.seen[len(c.seen)-1]; last.Type != "window" || last.End <= last.Start {
		t.Errorf("last event %+v", last)
	}
}

func TestSimulatedCapacity(t *testing.T) {
	c := serve(t, cell.Spec{Machine: simMachine}, `{"mode": "capacity", "directions": ["h2d", "d2h", "both"]}`)
	c.in.Close()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	var r result.Stress
	if err := cell.ReadJSON(result.StressFile, &r); err != nil {
		t.Fatal(err)
	}
	for _, d := range slices.Sorted(maps.Keys(r.Capacity)) {
		// A rate given as a share means the same to both sides of a trial.
		want, err := sim.Capacity(simMachine, d, sim.CapacityBlock)
		if err != nil || math.Abs(r.Capacity[d]/want-1) > 1e-6 {
			t.Errorf("capacity %s is %g, want %g, %v", d, r.Capacity[d], want, err)
		}
	}
	if !r.Simulated || len(r.Capacity) != 3 || len(r.Sweep) != 3*10 || r.Block != 64<<20 {
		t.Errorf("result %+v", r)
	}
}

func TestErrors(t *testing.T) {
	cuda := cell.Machine{Name: "h100", Device: "cuda:1"}
	for _, tt := range []struct {
		name       string
		machine    cell.Machine
		with       string
		want, hint string
	}{
		{"portable program", cuda, `{"threads": 1, "block": 1}`, `open device "cuda:1"`, "barograph-cuda"},
		{"calibrating too", cuda, `{"mode": "capacity"}`, `open device "cuda:1"`, "barograph-cuda"},
		{"device", cell.Machine{Device: "tape"}, `{}`, `open device "tape"`, "want host, sim"},
		{"copies in device memory", hostMachine, `{"threads": 1, "block": 1, "direction": "d2d"}`, "direction d2d on device host: the memory bus itself is the link", "a GPU's link, or of a simulated one"},
		{"copies off the memory bus", hostMachine, `{"threads": 1, "block": 1, "direction": "h2h"}`, "direction h2h on device host: the memory bus itself is the link", "leave them out"},
		{"calibrating those", hostMachine, `{"mode": "capacity", "directions": ["h2h"]}`, "directions h2h on device host", "leave them out"},
		{"share", hostMachine, `{"threads": 1, "block": 1, "rate": "50%"}`, "no calibration of device host, direction h2d", "mode: capacity"},
		{"share in a simulation", simMachine, `{"threads": 1, "block": 1, "rate": "50%"}`, "no calibration of device sim", "mode: capacity"},
		{"memory", hostMachine, `{"threads": 8000, "block": "1GiB"}`, "8000 threads with two buffers of 1 GiB each need", "lower threads"},
		{"block", hostMachine, `{"threads": 1}`, "1 threads and no block", "4MiB"},
		{"sim parameter", cell.Machine{Name: "m", Device: "sim", Sim: map[string]float64{"x": 1}}, `{"mode": "capacity"}`, `unknown parameter "x"`, "bandwidth_h2d"},
	} {
		c := serve(t, cell.Spec{Machine: tt.machine}, tt.with)
		c.in.Close()
		err := c.end()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if last := c.seen[len(c.seen)-1]; last.Type != "error" || !strings.Contains(last.Hint, tt.hint) {
			t.Errorf("%s: last event %+v, want hint %q", tt.name, last, tt.hint)
		}
		if files, _ := filepath.Glob("*"); len(files) != 0 {
			t.Errorf("%s: left %v", tt.name, files)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ with, want string }{ // on device cuda
		{`{}`, ""},
		{`{"threads": 16, "block": "64MiB", "rate": "50%", "memory": "pageable", "direction": "both"}`, ""},
		{`{"mode": "capacity"}`, ""},
		{`{"mode": "idle"}`, `mode "idle"`},
		{`{"direction": "up"}`, `direction "up"`},
		{`{"direction": "d2d", "threads": 1, "block": 1}`, ""},
		{`{"mode": "capacity", "directions": ["h2d", "d2d", "h2h"]}`, ""},
		{`{"mode": "capacity", "directions": ["up"]}`, `direction "up"`},
		{`{"mode": "capacity", "directions": []}`, "no directions"},
		{`{"mode": "capacity", "calls": 3}`, "mode capacity with calls of 3"},
		{`{"calls": -1}`, "calls is -1"},
		{`{"calls": 300, "threads": 1, "block": 1}`, ""},
		{`{"mode": "capacity", "rate": "50%"}`, "a rate of 50%"},
		{`{"memory": "swap"}`, `memory "swap"`},
		{`{"outstanding": 0}`, "outstanding 0"},
		{`{"threads": -1}`, "threads -1"},
		{`{"settle": 0}`, "settle 0s"},
		{`{"threads": 2}`, "2 threads and no block"},
		{`{"threads": 1, "block": 1, "policy": "window/1MiB"}`, ""},
		{`{"threads": 1, "block": 1, "policy": "none", "rate": "50%"}`, ""},
		{`{"threads": 1, "block": 1, "policy": "window/1MiB", "rate": "50%"}`, "policy window/1MiB with a rate of 50%"},
		{`{"mode": "capacity", "policy": "window/1MiB"}`, "with mode capacity"},
		{`{"threads": 1, "block": 1, "memory": "pageable", "policy": "window/1MiB"}`, "with memory: pageable"},
		{`{"threads": 1, "block": 1, "priority": "high"}`, ""},
		{`{"mode": "capacity", "priority": "high"}`, "mode capacity with priority: high"},
		{`{"threads": 1, "block": 1, "priority": "low"}`, `priority "low" is not one of normal, high`},
		{`{"threads": 1, "block": 1, "mps_priority": "low"}`, "mps_priority is low with sharing: separate"},
		{`{"threads": 1, "block": 1, "mps_priority": "high"}`, `mps_priority "high" is not one of normal, low`},
		{`{"threads": 1, "block": "64MiB", "policy": "chunks/4KiB"}`, "puts 16384 copies of a block of 64 MiB in flight"},
	} {
		with := Kind().With()
		if err := json.Unmarshal([]byte(tt.with), with); err != nil {
			t.Fatal(err)
		}
		switch err := Kind().Check("", "cuda", with); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.with, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.with, err, tt.want)
		}
	}
	if err := Kind().Check("", "sim", &With{Mode: "load", Direction: "h2d", Memory: "pinned", Sharing: "separate", Priority: "high"}); err == nil || !strings.Contains(err.Error(), "only a GPU's streams have priorities") {
		t.Errorf("a simulated stream of priority high: %v", err)
	}
}

// An engine that goes away leaves no stressor behind, and no result.
func TestEngineGoesAway(t *testing.T) {
	for _, m := range []cell.Machine{hostMachine, simMachine} {
		c := serve(t, trial(m), `{"threads": 1, "block": "1MiB"}`)
		c.until("ready")
		c.in.Close()
		if err := c.end(); err == nil || !strings.Contains(err.Error(), "engine went away") {
			t.Errorf("%s: %v", m.Name, err)
		}
		if files, _ := filepath.Glob("*"); len(files) != 0 {
			t.Errorf("%s: left %v", m.Name, files)
		}
	}
}

func TestStopWithoutWindow(t *testing.T) {
	c := serve(t, trial(hostMachine), `{"threads": 1, "block": "1MiB"}`)
	defer c.in.Close()
	c.until("ready")
	time.Sleep(20 * time.Millisecond)
	c.control(cell.Control{Type: "stop"})
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if r, _ := results(t); r.Achieved < 50e6 || !strings.Contains(strings.Join(r.Warnings, "\n"), "no window") {
		t.Errorf("result %+v", r)
	}
}

// A load that never becomes steady is used, with a warning.
func TestUnsteady(t *testing.T) {
	c := serve(t, trial(hostMachine), `{"threads": 1, "block": "1MiB", "settle": "10ms"}`) // less than three windows
	defer c.in.Close()
	c.until("ready")
	c.control(cell.Control{Type: "window", Start: cell.Now() - 1e6, End: cell.Now()})
	c.control(cell.Control{Type: "stop"})
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if r, _ := results(t); r.Steady || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "not steady after 10ms") {
		t.Errorf("result %+v", r)
	}
}

// A delay of inputs that a load does not meet is told before anything is measured.
func TestPrepareTellsOfSent(t *testing.T) {
	for direction, want := range map[string]bool{"d2h": true, "h2d": false, "both": false} {
		var said bytes.Buffer
		in := fmt.Sprintf(`{"kind":"stress","id":"load","prepare":true,"with":{"threads":1,"block":"1MiB","direction":%q,"policy":"aside/4MiB/sent:6us"},"machine":{"name":"sim","device":"sim"}}`+"\n", direction)
		if err := cell.Serve(cell.NewKinds(Kind()), strings.NewReader(in), &said); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said.String(), "sent has no effect") != want {
			t.Errorf("%s: said %s", direction, said.String())
		}
	}
}
