package infer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/asset"
	"barograph/stages/device/host"
	"barograph/stages/kind/infer/calls"
	"barograph/stages/kind/infer/session"
	"barograph/stages/model"
	"barograph/stages/model/onnx"
	"barograph/stages/result"
)

// A cell changes its whole process: processors, garbage collection, a library
// that stays loaded. So tests run cells as the engine does, in a process of
// their own, which is this binary over again.
func TestMain(m *testing.M) {
	if os.Getenv("BAROGRAPH_INFER_CELL") != "" {
		if cell.Serve(cell.NewKinds(Kind()), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
	os.Exit(m.Run())
}

// start begins a cell in a folder of its own.
func start(t *testing.T, spec cell.Spec, with map[string]any, env ...string) (cmd *exec.Cmd, stdout *bytes.Buffer) {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	k := Kind()
	params := k.With()
	set := map[string]any{"model": "bert-tiny", "sequence": 16, "warmup": 3, "calls": 20}
	maps.Copy(set, with)
	b, err := json.Marshal(set)
	if err == nil {
		err = json.Unmarshal(b, params)
	}
	if err == nil {
		spec.With, err = json.Marshal(params)
	}
	if err != nil {
		t.Fatal(err)
	}
	spec.Kind, spec.ID, spec.Stage, spec.Outputs = "infer", "infer", "infer", k.Outputs(params)
	if spec.Root == "" {
		spec.Root = root
	}
	if spec.Machine.Device == "" {
		spec.Machine.Device = "host"
	}
	line, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(os.Args[0])
	cmd.Dir = t.TempDir()
	cmd.Env = append(append(os.Environ(), "BAROGRAPH_INFER_CELL=1", "ONNXRUNTIME_LIB="), env...)
	cmd.Stdin = bytes.NewReader(append(line, '\n'))
	stdout = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdout
}

// events waits for a cell's end and returns what it said.
func events(t *testing.T, cmd *exec.Cmd, stdout *bytes.Buffer) (all []cell.Event, err error) {
	t.Helper()
	err = cmd.Wait()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var e cell.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("event %q: %v", lines.Text(), err)
		}
		all = append(all, e)
	}
	return all, err
}

// measured runs a cell, and returns what it left.
func measured(t *testing.T, spec cell.Spec, with map[string]any, env ...string) ([]calls.Sample, result.Infer) {
	t.Helper()
	cmd, stdout := start(t, spec, with, env...)
	if all, err := events(t, cmd, stdout); err != nil {
		t.Fatalf("%v: %+v", err, ofType(all, "error"))
	}
	return outputs(t, cmd.Dir)
}

func ofType(all []cell.Event, name string) (some []cell.Event) {
	for _, e := range all {
		if e.Type == name {
			some = append(some, e)
		}
	}
	return some
}

// A process that a signal stops, for less than the engine would end it for, says so.
func TestStops(t *testing.T) {
	cmd, stdout := start(t, cell.Spec{}, map[string]any{"calls": 1000})
	go func() {
		for cmd.Process.Signal(syscall.SIGSTOP) == nil {
			time.Sleep(5 * time.Millisecond)
			_ = cmd.Process.Signal(syscall.SIGCONT)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	all, err := events(t, cmd, stdout)
	if err != nil {
		t.Fatal(err)
	}
	_, about := outputs(t, cmd.Dir)
	says := cell.Stopped("the inference", about.Stops) + " while calls were timed"
	if about.Stops == 0 || !slices.Contains(about.Warnings, says) || !slices.ContainsFunc(ofType(all, "warning"), func(e cell.Event) bool { return e.Text == says }) {
		t.Errorf("%d stops, warnings %q", about.Stops, about.Warnings)
	}
}

// outputs reads what a cell left, and checks what holds of every cell.
func outputs(t *testing.T, dir string) (samples []calls.Sample, about result.Infer) {
	t.Helper()
	if err := cell.ReadJSON(filepath.Join(dir, result.InferFile), &about); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, result.CallsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	open := about.Traffic != nil
	sought := open && about.Traffic.Carried != nil
	if want := result.CallNames(open, sought, about.Tenancy != nil); !reflect.DeepEqual(rows[0], want) || about.Tenancy == nil && ((len(want) == 4) == open || (len(want) == 8) != sought) {
		t.Errorf("columns %q", rows[0])
	}
	if len(rows)-1 != about.Calls {
		t.Errorf("%d calls in the file, %d asked for", len(rows)-1, about.Calls)
	}
	for i, r := range rows[1:] {
		var v [8]int64
		for k := range r {
			if v[k], err = strconv.ParseInt(r[k], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		s := calls.Sample{Scheduled: v[1], Start: v[2], End: v[1] + v[3], Sent: v[4], Deadline: v[5], Batch: int(v[6]), Probe: int(v[7])}
		samples = append(samples, s)
		if v[0] != int64(i+1) || s.Start < s.Scheduled || s.End <= s.Start {
			t.Errorf("call %d: %v", i+1, r)
		}
		if i > 0 && !open && s.Scheduled != samples[i-1].End {
			t.Errorf("call %d is scheduled at %d, the one before was complete at %d", i+1, s.Scheduled, samples[i-1].End)
		}
	}
	if want := calls.Window(samples); about.Window != want {
		t.Errorf("window %v, want %v", about.Window, want)
	}
	return samples, about
}

func TestHost(t *testing.T) {
	own, _, err := host.Split()
	if err != nil {
		t.Fatal(err)
	}
	before := cell.Now()
	cmd, stdout := start(t, cell.Spec{Seed: 7}, map[string]any{"calls": 300})
	all, err := events(t, cmd, stdout)
	after := cell.Now()
	if err != nil {
		t.Fatalf("%v: %+v", err, ofType(all, "error"))
	}
	samples, about := outputs(t, cmd.Dir)
	if samples[0].Scheduled < before || samples[len(samples)-1].End > after {
		t.Errorf("calls from %d to %d lie outside the process's life, %d to %d", samples[0].Scheduled, samples[len(samples)-1].End, before, after)
	}
	version, sha, err := asset.RuntimeIdentity()
	if err != nil {
		t.Fatal(err)
	}
	c, err := model.Load("../../..", "bert-tiny")
	if err != nil {
		t.Fatal(err)
	}
	want := result.Infer{
		Model: "bert-tiny", ModelSHA: about.ModelSHA, Parameters: c.Parameters, Batch: 1, Sequence: 16, Device: "host",
		In: 3 * 16 * 8, Out: (16 + 1) * 128 * 4, Weights: 4 * c.Parameters,
		Provider: "CPUExecutionProvider", Library: "onnxruntime " + version, LibrarySHA: sha, Threads: len(own), CPUs: own,
		Options: session.Options, Warmup: 3, Calls: 300, Arrivals: "closed", Window: about.Window, Jitter: about.Jitter, Resident: about.Resident,
	}
	want.Warnings = about.Warnings // for one CPU, or for others' work on it
	want.Delay, want.Environment = about.Delay, about.Environment
	if about.Environment == nil || about.Environment.Kernel == "" {
		t.Errorf("environment %+v", about.Environment)
	}
	if !reflect.DeepEqual(about, want) {
		t.Errorf("infer.json holds\n%+v, want\n%+v", about, want)
	}
	if about.Delay < 0 || about.Delay > about.Window[1]-about.Window[0] {
		t.Errorf("a delay of %d ns in the window %v", about.Delay, about.Window)
	}
	if len(about.ModelSHA) != 64 {
		t.Errorf("model's digest %q", about.ModelSHA)
	}
	j := about.Jitter
	if !(0 < j["p50"] && j["p50"] <= j["p99"] && j["p99"] <= j["max"]) {
		t.Errorf("jitter %v", j)
	}
	l := calls.Latencies(samples)
	if p50 := calls.Percentile(l, 50); j["p50"]*20 > p50 {
		t.Errorf("the harness takes %d ns of a call of %d ns", j["p50"], p50)
	}
	if w := ofType(all, "window"); len(w) != 1 || w[0].Start != about.Window[0] || w[0].End != about.Window[1] {
		t.Errorf("window events %+v", w)
	}
	m := ofType(all, "metric")
	if len(m) != 1 || m[0].Values["p50_ns"] != float64(calls.Percentile(l, 50)) || m[0].Values["p99_ns"] != float64(calls.Percentile(l, 99)) {
		t.Errorf("metric events %+v", m)
	}
	if p := ofType(all, "progress"); len(p) == 0 || p[len(p)-1].Done != 303 || p[len(p)-1].Total != 303 {
		t.Errorf("progress events %+v", p)
	}
}

// While calls run, the measuring thread and the library's pool have the
// inference's processors to themselves: the Go runtime's threads are elsewhere.
func TestPlacement(t *testing.T) {
	own, others, err := host.Split()
	if err != nil {
		t.Fatal(err)
	}
	// The measuring one, two of the pool, and one that the library keeps asleep.
	const threads = 3
	cmd, stdout := start(t, cell.Spec{}, map[string]any{"calls": 1 << 20, "threads": threads})
	defer func() { _ = cmd.Process.Kill() }()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		masks := affinities(t, cmd.Process.Pid)
		inferring, rest := 0, 0
		for _, m := range masks {
			switch {
			case slices.Equal(m, own):
				inferring++
			case slices.Equal(m, others):
				rest++
			}
		}
		if (inferring == threads || inferring == threads+1) && rest > 0 && inferring+rest == len(masks) || slices.Equal(own, others) && inferring > threads {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("threads run on CPUs %v; want %d on %v and the rest on %v", masks, threads, own, others)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	all, err := events(t, cmd, stdout)
	if err == nil {
		t.Error("a cell that was told to stop ended well")
	}
	if e := ofType(all, "error"); len(e) != 1 || !strings.Contains(e[0].Text, "cancel") && !strings.Contains(e[0].Text, "terminated") {
		t.Errorf("error events %+v", e)
	}
	if names, err := os.ReadDir(cmd.Dir); err != nil || len(names) > 0 {
		t.Errorf("a cell that was told to stop left %v, %v", names, err)
	}
}

// affinities returns the CPUs each thread of a process may use.
func affinities(t *testing.T, pid int) (masks [][]int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		_, rest, _ := strings.Cut(string(b), "Cpus_allowed_list:\t")
		list, _, _ := strings.Cut(rest, "\n")
		var cpus []int
		for _, part := range strings.Split(list, ",") {
			var lo, hi int
			if n, _ := fmt.Sscanf(part, "%d-%d", &lo, &hi); n == 1 {
				hi = lo
			}
			for c := lo; c <= hi; c++ {
				cpus = append(cpus, c)
			}
		}
		masks = append(masks, cpus)
	}
	return masks
}

func TestSim(t *testing.T) {
	spec := cell.Spec{Seed: 11, Machine: cell.Machine{Name: "p100", Device: "sim"},
		Gang: []cell.Input{{Stage: "stress", Kind: "stress", ID: "stress[level=4]",
			With: json.RawMessage(`{"threads":4,"block":16777216,"direction":"d2h"}`)}}}
	var runs [][]calls.Sample
	// A library that is none does not matter here.
	for range 2 {
		samples, about := measured(t, spec, nil, "ONNXRUNTIME_LIB=/etc/hostname")
		if !about.Simulated || about.Library != "simulated" || about.Device != "sim" {
			t.Errorf("not said to be simulated: %+v", about)
		}
		runs = append(runs, samples)
	}
	if !reflect.DeepEqual(runs[0], runs[1]) {
		t.Error("two simulations of one trial differ")
	}
	spec.Gang = nil
	alone, _ := measured(t, spec, nil)
	if a, b := calls.Percentile(calls.Latencies(alone), 50), calls.Percentile(calls.Latencies(runs[0]), 50); a >= b {
		t.Errorf("p50 %d ns alone, %d ns under load", a, b)
	}
}

// put writes a file into a new folder.
func put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	filetest.Write(t, path, text)
	return path
}

func TestFails(t *testing.T) {
	lookalike := filepath.Join(t.TempDir(), "lib.so")
	cc := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", lookalike, "-")
	cc.Stdin = strings.NewReader("void *OrtGetApiBase(void) { return (void *)8; }")
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// An ONNX file by its structure, with an operator that nobody has.
	var unusable bytes.Buffer
	g := onnx.New("unusable", "test", 7, 12)
	g.OpAs("y", "Barometer", []string{g.Input("x", onnx.Float32, "batch")})
	g.Output("y", onnx.Float32, "batch")
	if err := g.Write(&unusable); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, device string
		with         map[string]any
		env, want    string
		hint         string
	}{
		{name: "cuda", device: "cuda:1", want: `device "cuda:1"`, hint: "host or sim"},
		{name: "device", device: "abacus", want: "no such device", hint: "host, sim, cuda"},
		{name: "no ONNX", with: map[string]any{"model": put(t, "m.onnx", "a text, and no model")}, want: "is no ONNX file"},
		{name: "unusable ONNX", with: map[string]any{"model": put(t, "m.onnx", unusable.String())}, want: `load model "m"`},
		{name: "no model", with: map[string]any{"model": "bert-huge"}, want: `unknown model "bert-huge"`, hint: "bert"},
		{name: "sequence too long", with: map[string]any{"sequence": 4096}, want: `"sequence" is 4096`},
		{name: "calls", with: map[string]any{"calls": 0}, want: "calls is 0: want at least 1"},
		{name: "arrivals", with: map[string]any{"arrivals": "poison"}, want: `unknown arrivals "poison"`, hint: "there are closed, constant, poisson, bursts, trace"},
		{name: "no library", env: "ONNXRUNTIME_LIB=" + lookalike, want: "is no ONNX Runtime", hint: asset.MinRuntime},
	}
	for _, tt := range tests {
		for _, prepare := range []bool{false, true} {
			if prepare && (tt.name == "calls" || tt.name == "arrivals") {
				continue // Check has seen these
			}
			t.Run(fmt.Sprintf("%s/prepare=%v", tt.name, prepare), func(t *testing.T) {
				cmd, stdout := start(t, cell.Spec{Machine: cell.Machine{Device: tt.device}, Prepare: prepare}, tt.with, tt.env)
				all, err := events(t, cmd, stdout)
				if err == nil {
					t.Fatal("the cell ended well")
				}
				var exit *exec.ExitError
				if !errors.As(err, &exit) || !exit.Exited() {
					t.Fatalf("the cell was killed: %v", err)
				}
				e := ofType(all, "error")
				if len(e) != 1 || !strings.Contains(e[0].Text, tt.want) || !strings.Contains(e[0].Hint, tt.hint) {
					t.Errorf("error events %+v; want %q, hint %q", e, tt.want, tt.hint)
				}
				if w := ofType(all, "window"); len(w) > 0 {
					t.Error("something was measured")
				}
				if names, err := os.ReadDir(cmd.Dir); err != nil || len(names) > 0 {
					t.Errorf("a failed cell left %v, %v", names, err)
				}
			})
		}
	}
}

func TestPrepare(t *testing.T) {
	cmd, stdout := start(t, cell.Spec{Prepare: true}, nil)
	if all, err := events(t, cmd, stdout); err != nil {
		t.Fatalf("%v: %+v", err, all)
	}
	// A simulation needs nothing, and so asks for nothing.
	cache := t.TempDir()
	cmd, stdout = start(t, cell.Spec{Prepare: true, Machine: cell.Machine{Device: "sim"}}, nil, "BAROGRAPH_CACHE="+cache, "PATH=")
	if all, err := events(t, cmd, stdout); err != nil {
		t.Fatalf("%v: %+v", err, all)
	}
	if made, err := os.ReadDir(cache); err != nil || len(made) > 0 {
		t.Errorf("preparing a simulation made %v, %v", made, err)
	}
}

func TestIdentify(t *testing.T) {
	t.Setenv("ONNXRUNTIME_LIB", "")
	k := Kind()
	identity := func(change func(*With)) map[string]string {
		t.Helper()
		w := k.With().(*With)
		w.Model.Name = "bert-tiny"
		change(w)
		if err := k.Check("../../..", "host", w); err != nil {
			t.Fatal(err)
		}
		id, err := k.Identify("../../..", w)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	tiny := identity(func(*With) {})
	mini := identity(func(w *With) { w.Model.Name = "bert-mini" })
	if tiny["model"] == mini["model"] || tiny["onnxruntime"] != mini["onnxruntime"] {
		t.Errorf("identities %v and %v", tiny, mini)
	}
	if !strings.HasPrefix(tiny["onnxruntime"], asset.RuntimeVersion+" sha256:") {
		t.Errorf("library %q", tiny["onnxruntime"])
	}
}

func TestLoopAllocatesNothing(t *testing.T) {
	w := Kind().With().(*With)
	w.Model.Name, w.Sequence = "bert-tiny", 16
	a, err := fetch(t.Context(), Setup{Root: "../../..", Device: "host", With: w})
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.Open(a.model, a.file, w.Sizes(a.model), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	samples := calls.New(200)
	var done atomic.Int64
	for name, call := range map[string]func() error{"call": s.Call, "nothing": s.Nothing} {
		var err error
		if n := testing.AllocsPerRun(5, func() { err = errors.Join(err, calls.Loop(t.Context(), samples, &done, int64(time.Millisecond), call)) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations in %d calls, %v", name, n, len(samples), err)
		}
	}
}

// A stall shows in full in the call that was due while it lasted, and in a
// closed loop in no other.
func TestLoopShowsStall(t *testing.T) {
	const stall = 50 * time.Millisecond
	samples := calls.New(10)
	var done atomic.Int64
	var stalled [2]int64
	i := 0
	err := calls.Loop(t.Context(), samples, &done, 0, func() error {
		if i++; i == 4 {
			stalled[0] = cell.Now()
			time.Sleep(stall)
			stalled[1] = cell.Now()
		}
		return nil
	})
	if err != nil || done.Load() != 10 {
		t.Fatalf("%v after %d calls", err, done.Load())
	}
	for k, s := range samples {
		// However long the machine made another call wait, none of the stall is in it.
		inside := min(s.End, stalled[1]) - max(s.Scheduled, stalled[0])
		if k == 3 && (inside != stalled[1]-stalled[0] || s.Latency() < stall.Nanoseconds()) || k != 3 && inside > 0 {
			t.Errorf("call %d took %v, of which the stall %v", k+1, time.Duration(s.Latency()), time.Duration(inside))
		}
		if k > 0 && s.Scheduled != samples[k-1].End {
			t.Errorf("call %d was due at %d, and the one before ended at %d", k+1, s.Scheduled, samples[k-1].End)
		}
	}
}

// A processor is given up between calls and in none of them, once in a while.
func TestLoopYields(t *testing.T) {
	const yield, call = int64(5 * time.Millisecond), int64(time.Millisecond)
	samples := calls.New(40)
	var done atomic.Int64
	err := calls.Loop(t.Context(), samples, &done, yield, func() error {
		for begun := cell.Now(); cell.Now()-begun < call; {
		}
		return nil
	})
	if err != nil || done.Load() != 40 {
		t.Fatalf("%v after %d calls", err, done.Load())
	}
	last, yields := samples[0].Scheduled, 0
	for i := range samples[1:] {
		ended, due := samples[i].End, samples[i+1].Scheduled
		switch over := ended-last >= yield; {
		case over && due > ended:
			last, yields = due, yields+1
		case over || due != ended:
			t.Errorf("call %d was due %d ns after the one before ended, which was %d ns after the last yield", i+2, due-ended, ended-last)
		}
	}
	if most := int((samples[39].End - samples[0].Scheduled) / yield); yields == 0 || yields > most {
		t.Errorf("%d yields, and at most %d", yields, most)
	}
}

func TestLoopStops(t *testing.T) {
	samples := calls.New(10)
	var done atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	err := calls.Loop(ctx, samples, &done, 0, func() error {
		if done.Load() == 4 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || done.Load() != 5 {
		t.Errorf("%v after %d calls", err, done.Load())
	}
	fault := errors.New("fault")
	if err := calls.Loop(t.Context(), samples, &done, 0, func() error { return fault }); !errors.Is(err, fault) {
		t.Errorf("the call's error became %v", err)
	}
}

// A call that takes long is told of while it goes on, and once.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		say := func(text string) { said = append(said, text) }
		p := patience{last: -1}
		for i := range 600 { // calls of six seconds
			p.watch(say, i/60, 230)
			time.Sleep(100 * time.Millisecond)
		}
		if len(said) > 0 {
			t.Errorf("calls of 6 s: %q", said)
		}
		for range 300 { // one of thirty
			p.watch(say, 10, 230)
			time.Sleep(100 * time.Millisecond)
		}
		if len(said) != 1 || !strings.HasPrefix(said[0], "call 11 of 230 has taken 10s") {
			t.Errorf("a call of 30 s: %q", said)
		}
	})
}

func TestPercentile(t *testing.T) {
	var hundred []int64
	for i := range int64(100) {
		hundred = append(hundred, i+1)
	}
	for _, tt := range []struct {
		sorted []int64
		p      int
		want   int64
	}{{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred, 1, 1}, {hundred[:3], 50, 2}, {hundred[:1], 99, 1}, {hundred[:2], 50, 1}} {
		if got := calls.Percentile(tt.sorted, tt.p); got != tt.want {
			t.Errorf("p%d of %d samples: %d, want %d", tt.p, len(tt.sorted), got, tt.want)
		}
	}
}

// No p99 is shown of fewer calls than bear one.
func TestMetrics(t *testing.T) {
	for n, want := range map[int]bool{1: false, 298: false, 299: true} {
		if _, got := calls.Metrics(calls.New(n))["p99_ns"]; got != want {
			t.Errorf("p99 of %d calls: %v", n, got)
		}
	}
}

// A study chooses the precision of a model that is built here: other weights and
// arithmetic, the same inputs and outputs, and another key.
func TestPrecision(t *testing.T) {
	_, about := measured(t, cell.Spec{Seed: 7}, map[string]any{"precision": "float16"})
	if about.Precision != "float16" || about.Weights != 2*about.Parameters || about.In != 3*16*8 || about.Out != (16+1)*128*4 {
		t.Errorf("%s, weights of %d bytes for %d parameters, in %d, out %d", about.Precision, about.Weights, about.Parameters, about.In, about.Out)
	}
	keys := map[string]bool{}
	for _, precision := range []string{"", "float32", "float16"} {
		w := Kind().With().(*With)
		w.Model.Name, w.Precision = "bert-tiny", precision
		by, err := identify("../../..", w)
		if err != nil {
			t.Fatal(err)
		}
		keys[by["model"]] = true
	}
	if len(keys) != 2 {
		t.Errorf("float32, the model's, and float16 have the digests %v", keys)
	}
}

// A trial whose load takes too long ends at its limit, and says how many calls that
// left it.
func TestLimit(t *testing.T) {
	samples, about := measured(t, cell.Spec{Seed: 7}, map[string]any{"calls": 1_000_000, "limit": "1s"})
	if n := len(samples); n < 5 || n > 999_999 || about.Calls != n || !strings.Contains(strings.Join(about.Warnings, "\n"), "within the limit of 1s, "+strconv.Itoa(n)+" timed calls of 1000000 were made") {
		t.Errorf("%d calls, recorded as %d, warnings %q", len(samples), about.Calls, about.Warnings)
	}
}

// Only a GPU's inference with page-locked memory, and a model that tells its outputs'
// shapes, can do without the copy engine.
func TestCheckPlaced(t *testing.T) {
	reshaped := onnx.New("test", "test", 8, 12)
	reshaped.OpAs("y", "Reshape", []string{reshaped.Input("x", onnx.Float32, "2", "4"), reshaped.Shape(8)})
	reshaped.Output("y", onnx.Float32, "8")
	file := filepath.Join(t.TempDir(), "reshaped.onnx")
	var b bytes.Buffer
	if err := errors.Join(reshaped.Write(&b), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ device, with, want string }{
		{"cuda", `{"model": "bert-tiny", "results": "mapped", "inputs": "split"}`, ""},
		{"cuda", `{"model": "bert-tiny", "results": "copied", "inputs": "copied", "memory": "pageable"}`, ""},
		{"host", `{"model": "bert-tiny", "results": "mapped"}`, "results mapped on device host"},
		{"sim", `{"model": "bert-tiny", "inputs": "split"}`, "inputs split on device sim"},
		{"cuda", `{"model": "bert-tiny", "inputs": "mapped", "memory": "pageable"}`, "reaches page-locked memory only"},
		{"cuda", `{"model": "bert-tiny", "inputs": "sent"}`, `inputs "sent" is not one of copied, mapped, split, carried`},
		{"cuda", `{"model": "pipeline/cli/acceptance/testdata/tutorial/nowhere.onnx", "results": "mapped"}`, "nowhere.onnx"},
		{"cuda", fmt.Sprintf(`{"model": %q, "results": "mapped"}`, file), `output "y" is made by Reshape`},
		{"cuda", fmt.Sprintf(`{"model": %q, "results": "copied"}`, file), ""},
		{"cuda", fmt.Sprintf(`{"model": %q, "results": "carried", "inputs": "carried"}`, file), ""},
		{"host", `{"model": "bert-tiny", "results": "carried"}`, "results carried on device host"},
		{"cuda", `{"model": "gpt2-decode", "sequence": 1, "dims": {"past": 127}, "outputs": ["logits"], "results": "mapped"}`, ""},
		{"cuda", `{"model": "resnet50", "results": "mapped", "inputs": "mapped"}`, ""},
		{"cuda", `{"model": "bert-tiny", "collect": 10, "priority": "high", "inputs": "mapped"}`, ""},
		{"host", `{"model": "bert-tiny", "collect": 1, "priority": "normal"}`, ""},
		{"host", `{"model": "bert-tiny", "collect": 10}`, "results collected on device host"},
		{"sim", `{"model": "bert-tiny", "priority": "high"}`, "priority high on device sim: only a GPU's streams"},
		{"cuda", `{"model": "bert-tiny", "priority": "low"}`, `priority "low" is not one of normal, high`},
		{"cuda", `{"model": "bert-tiny", "collect": 7}`, "collect 7 with 300 calls after 30 of warm-up: the last results would never be copied"},
		{"cuda", `{"model": "bert-tiny", "collect": 20, "calls": 300}`, "the last results would never be copied"},
		{"cuda", `{"model": "bert-tiny", "collect": -1}`, "collect is -1: want 0 to 1024"},
		{"cuda", `{"model": "bert-tiny", "collect": 2000}`, "collect is 2000"},
		{"cuda", `{"model": "bert-tiny", "collect": 10, "results": "mapped"}`, "collect 10 with results: mapped"},
		{"cuda", `{"model": "bert-tiny", "collect": 10, "memory": "pageable"}`, "reaches page-locked memory only"},
		{"cuda", `{"model": "bert-tiny", "collect": 10, "arrivals": "poisson", "rate": 100}`, "calls that do not follow one another"},
		{"cuda", `{"model": "bert-tiny", "collect": 10, "rounds": 2}`, "calls that do not follow one another"},
	} {
		with := Kind().With()
		if err := json.Unmarshal([]byte(tt.with), with); err != nil {
			t.Fatal(err)
		}
		switch err := check("../../..", tt.device, with); {
		case tt.want == "" && err != nil:
			t.Errorf("%s, %s: %v", tt.device, tt.with, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s, %s: %v, want %q", tt.device, tt.with, err, tt.want)
		}
	}
}

// TestDelayWithin: only what the calls waited is part of their time.
func TestDelayWithin(t *testing.T) {
	samples := []calls.Sample{{Scheduled: 1000}, {End: 1160}}
	for _, c := range []struct{ delay, begun, ended, want int64 }{
		{0, 1000, 1160, 0}, {50, 1000, 1161, 49}, // all but what may have passed outside
		{772, 228, 1160, 0}, // lost before the first call: 482.5% of the window
		{872, 228, 1160, 100},
		{500, 1000, 1660, 0},   // after the last
		{900, 1000, 1160, 160}, // accounted late
	} {
		if got := within(c.delay, c.begun, c.ended, samples); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
