package stress

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/result"
)

// calibrated is a trial whose link was calibrated.
func calibrated(t *testing.T, m cell.Machine, capacity float64) cell.Spec {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stress.json")
	if err := result.Write(file, result.Stress{Mode: "capacity", Device: m.Device, Capacity: map[string]float64{"h2d": capacity, "d2h": capacity}}); err != nil {
		t.Fatal(err)
	}
	spec := trial(m)
	spec.Inputs = []cell.Input{{Stage: "calibrate", Kind: "stress", ID: "calibrate", Files: map[string]string{result.StressFile: file}}}
	return spec
}

// A policy's streams and chunks take the place of threads and blocks, on the memory
// bus and in a simulation, and the result says what bounds a wait, or that nothing does.
func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		machine         cell.Machine
		policy          string
		streams         int
		chunk           int64
		bound           time.Duration
		no              string
		atLeast, atMost float64 // of the capacity, simulated
	}{
		{machine: hostMachine, policy: `"window/1MiB/streams:2"`, streams: 2, chunk: 1 << 20, no: "on a shared bus"},
		{machine: hostMachine, policy: `{"chunks": {"chunk": "256KiB"}}`, streams: 3, chunk: 256 << 10, no: "on a shared bus"},
		{machine: hostMachine, policy: `{"duty": {"on": "1ms", "off": "1ms", "chunk": "256KiB"}}`, streams: 1, chunk: 256 << 10, no: "on a shared bus"},
		// 2 chunks of 2 MiB at 11.69 GB/s, 10 us for each copy, and 50 us.
		{machine: simMachine, policy: `{"window": {"chunk": "2MiB", "streams": 2}}`, streams: 2, chunk: 2 << 20, bound: 428795, atLeast: 0.9, atMost: 1},
		{machine: simMachine, policy: `{"rate": {"rate": "50%"}}`, streams: 3, chunk: 4 << 20, bound: 1156383, atLeast: 0.49, atMost: 0.51},
	} {
		c := serve(t, calibrated(t, tt.machine, 11.69e9), `{"threads": 3, "block": "4MiB", "policy": `+tt.policy+`}`)
		c.until("ready")
		start, end := int64(1e9), int64(2e9)
		if tt.machine.Device == "host" {
			start = cell.Now()
			time.Sleep(100 * time.Millisecond) // the window that is measured
			end = cell.Now()
		}
		c.control(cell.Control{Type: "window", Start: start, End: end})
		c.control(cell.Control{Type: "stop"})
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		c.in.Close()
		r, copies := results(t)
		g := r.Guard
		if g == nil {
			t.Fatalf("%s, %s: no guard in %+v", tt.machine.Name, tt.policy, r)
		}
		if g.Streams != tt.streams || g.Chunk != tt.chunk || time.Duration(g.Bound) != tt.bound || !strings.Contains(g.NoBound, tt.no) || (g.NoBound == "") != (tt.no == "") || g.Longest <= 0 {
			t.Errorf("%s, %s: %+v", tt.machine.Name, tt.policy, g)
		}
		threads := map[int]bool{}
		for _, copy := range copies {
			if threads[copy.Thread] = true; copy.Bytes != tt.chunk {
				t.Fatalf("%s: a copy of %d bytes", tt.policy, copy.Bytes)
			}
		}
		if len(threads) != tt.streams || math.Abs(g.Share-r.Achieved/11.69e9) > 1e-9 {
			t.Errorf("%s, %s: streams %v, share %g of %g", tt.machine.Name, tt.policy, threads, g.Share, r.Achieved)
		}
		if tt.atMost > 0 && (g.Share < tt.atLeast || g.Share > tt.atMost || g.Violations != 0) {
			t.Errorf("%s: share %g, %d violations", tt.policy, g.Share, g.Violations)
		}
	}
}

// A loop rests on a capacity.
func TestLoopWithoutCapacity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	t.Setenv(page, path)
	c := serve(t, trial(hostMachine), `{"threads": 1, "block": "1MiB", "policy": "loop/1ms/1MiB"}`)
	defer c.in.Close()
	if err := c.end(); err == nil || !strings.Contains(err.Error(), "rests on the link's capacity") {
		t.Errorf("it ran: %v", err)
	}
}

// A load that runs by itself has a page too.
func TestPageOfLoadAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	t.Setenv(page, path)
	c := serve(t, cell.Spec{Machine: hostMachine}, `{"threads": 1, "block": "1MiB", "calls": 50, "policy": "window/256KiB"}`)
	defer c.in.Close()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if r, copies := results(t); r.Guard == nil || r.Guard.Beside != 50 || len(copies) != 50 {
		t.Errorf("%d copies, the guard saw %+v", len(copies), r.Guard)
	}
}

// Every trial with a policy has a page, on which its victim tells of its calls.
func TestPage(t *testing.T) {
	for policy, want := range map[string]bool{
		`"none"`: false, `"window/1MiB"`: true, `"window/1MiB/credit:1"`: true, `"loop/1ms/1MiB"`: true,
	} {
		spec := trial(hostMachine)
		spec.Kind, spec.With = "stress", []byte(`{"policy": `+policy+`}`)
		by, err := Environ(t.Context(), &spec)
		if (by[page] != "") != want || err != nil {
			t.Errorf("%s: %v, %v", policy, by, err)
		}
		// The inference of the trial finds the same.
		victim := cell.Spec{Kind: "infer", ID: spec.During, Gang: []cell.Input{{Kind: "stress", With: spec.With}}}
		if its, err := Environ(t.Context(), &victim); its[page] != by[page] || err != nil {
			t.Errorf("%s: the load has %v, the victim %v, %v", policy, by, its, err)
		}
	}
}
