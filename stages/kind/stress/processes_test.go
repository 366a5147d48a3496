package stress

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device/sim"
)

// The test binary is also the program that loads of several processes are started
// with.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "cell" {
		if cell.Serve(cell.NewKinds(Kind()), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
	os.Exit(m.Run())
}

// Two processes load as one cell: their copies are joined in order, each with threads
// of its own, and what they achieved adds up to what the copies say.
func TestProcesses(t *testing.T) {
	c := serve(t, trial(cell.Machine{Device: "host"}), `{"processes": 2, "threads": 1, "block": "1MiB"}`)
	c.until("ready")
	from := cell.Now()
	time.Sleep(200 * time.Millisecond)
	to := cell.Now()
	c.control(cell.Control{Type: "window", Start: from, End: to})
	c.control(cell.Control{Type: "stop"})
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	r, copies := results(t)
	sum, threads := 0.0, map[int]int{}
	for _, x := range copies {
		sum += x.Within(from, to)
		threads[x.Thread]++
	}
	if r.Processes != 2 || r.Copies != int64(len(copies)) || threads[0] == 0 || threads[1] == 0 || len(threads) != 2 {
		t.Errorf("%d processes, %d copies of %d, threads %v", r.Processes, len(copies), r.Copies, threads)
	}
	if got := sum / (float64(to-from) / 1e9); math.Abs(got-r.Achieved) > 0.001*got {
		t.Errorf("achieved %v, and %v by the copies", r.Achieved, got)
	}
	if !slices.IsSortedFunc(copies, func(a, b sim.Copy) int { return int(a.Start - b.Start) }) {
		t.Error("copies are out of order")
	}
}

// Processes that share one credit never copy at once, however many streams they have.
func TestProcessesShareCredit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	t.Setenv(page, path)
	c := serve(t, calibrated(t, hostMachine, 10e9), `{"processes": 2, "threads": 1, "block": "8MiB", "policy": "window/1MiB/streams:2/credit:1"}`)
	c.until("ready")
	from := cell.Now()
	time.Sleep(200 * time.Millisecond)
	c.control(cell.Control{Type: "window", Start: from, End: cell.Now()})
	c.control(cell.Control{Type: "stop"})
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	r, copies := results(t)
	threads := map[int]int{}
	for i, x := range copies {
		threads[x.Thread]++
		if i > 0 && x.Start < copies[i-1].End() {
			t.Fatalf("copy %d of thread %d begins %d ns before copy %d of thread %d is done", i, x.Thread, copies[i-1].End()-x.Start, i-1, copies[i-1].Thread)
		}
	}
	if len(threads) != 4 || r.Guard == nil || r.Guard.Streams != 2 || r.Guard.Share <= 0 {
		t.Errorf("%d copies of threads %v, guard %+v", len(copies), threads, r.Guard)
	}
}

// A load whose process fails says why.
func TestProcessFails(t *testing.T) {
	c := serve(t, trial(cell.Machine{Device: "host"}), `{"processes": 2, "threads": 1, "block": "1000000GiB"}`)
	if err := c.end(); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("%v", err)
	}
}

// MPS is a GPU's, and its trial's cells find one daemon; others find none.
func TestMPS(t *testing.T) {
	w := Kind().With().(*With)
	w.Sharing = "mps"
	if err := w.check("host"); err == nil || !strings.HasPrefix(err.Error(), "sharing ") {
		t.Errorf("on the host: %v", err)
	}
	if err := w.check("cuda"); err != nil {
		t.Error(err)
	}
	load := cell.Input{Kind: "stress", ID: "stress[level=1]", With: []byte(`{"sharing": "mps"}`)}
	infer := &cell.Spec{Kind: "infer", ID: "infer[level=1]", Machine: cell.Machine{Device: "cuda"}, Gang: []cell.Input{load}}
	stressor := &cell.Spec{Kind: "stress", ID: load.ID, With: load.With, During: infer.ID, Machine: infer.Machine}
	const pipe = "CUDA_MPS_PIPE_DIRECTORY"
	environ := func(s *cell.Spec) map[string]string {
		by, err := Environ(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return by
	}
	if a, b := environ(infer)[pipe], environ(stressor)[pipe]; a == "" || a != b {
		t.Errorf("%q and %q", a, b)
	}
	if Beside(infer) {
		t.Error("the inference would start before the daemon")
	}
	two := cell.Input{Kind: "stress", With: json.RawMessage(`{"sharing": "mps", "gpus": [2, 0]}`)}
	if on := devicesOf(&cell.Spec{Kind: "infer", Machine: cell.Machine{Device: "cuda"}, Gang: []cell.Input{load, two}}); !slices.Equal(on, []string{"cuda", "cuda:2"}) {
		t.Errorf("the trial is on %v", on)
	}
	alone := &cell.Spec{Kind: "infer", ID: infer.ID, Machine: infer.Machine}
	if environ(alone)[pipe] == environ(infer)[pipe] || !Beside(alone) {
		t.Error("a trial without MPS finds the daemon of one with it")
	}
}

// Without threads a cell that keeps the daemon is no client of it, and needs no GPU.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	daemon := "#!/bin/sh\nif [ \"$1\" = -f ]; then : >$CUDA_MPS_PIPE_DIRECTORY/on; while [ -e $CUDA_MPS_PIPE_DIRECTORY/on ]; do sleep 0.02; done; exit 0; fi\n" +
		"read -r c; [ -e $CUDA_MPS_PIPE_DIRECTORY/on ] || exit 1; case $c in quit*) rm $CUDA_MPS_PIPE_DIRECTORY/on ;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "nvidia-cuda-mps-control"), []byte(daemon), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", dir)
	spec := trial(cell.Machine{Device: "cuda"})
	with := `{"threads": 0, "sharing": "mps"}`
	environ, err := Environ(t.Context(), &cell.Spec{Kind: "stress", With: []byte(with), During: spec.During, Machine: spec.Machine})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range environ {
		t.Setenv(name, v)
	}
	c := serve(t, spec, with)
	c.until("ready")
	if _, err := os.Stat(filepath.Join(os.Getenv("CUDA_MPS_PIPE_DIRECTORY"), "on")); err != nil {
		t.Error(err)
	}
	c.control(cell.Control{Type: "window", Start: 1, End: 2})
	c.control(cell.Control{Type: "stop"})
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if r, copies := results(t); r.Threads != 0 || r.Processes != 1 || len(copies) != 0 || r.AchievedBy["h2d"] != 0 || r.Window != [2]int64{1, 2} {
		t.Errorf("%+v, %d copies", r, len(copies))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "barograph-*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// Simulated GPUs of several share under MPS as one alone does, and want no daemon.
func TestSimulatedMPS(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	w := Kind().With().(*With)
	w.Sharing = "mps"
	for device, want := range map[string]bool{"sim": true, "sim:1": true, "host": false} {
		err := w.check(device)
		if err == nil {
			err = Kind().Lacks(device, w)
		}
		if (err == nil) != want {
			t.Errorf("on %s: %v", device, err)
		}
	}
}
