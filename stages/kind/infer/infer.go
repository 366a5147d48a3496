// Package infer measures inference: it calls a model again and again and writes
// down when each call was due, sent and complete, in integer nanoseconds.
//
// A cell of kind "infer" leaves [result.CallsFile], with every timed call, and
// [result.InferFile], with all that a reader must know to trust it. On device
// "host" the model runs on the ONNX Runtime's CPU provider, on processors that
// the stressor is kept off; on device "cuda" it runs with the CUDA provider, and
// a call goes from host memory to host memory; on device "sim" the link and the
// model are simulated, in virtual time. A load with sharing: process runs in
// this process, from after the session's first call until after the last.
//
// What the harness itself adds is kept out or written down: nothing allocates
// between the first timed call and the last, the garbage collector is off, the
// measuring thread is its goroutine's alone, progress is reported from another
// processor, and ten thousand empty calls through the same loop tell the jitter
// that remains.
package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/record"
	"barograph/stages/arrival"
	"barograph/stages/asset"
	"barograph/stages/device/cuda"
	"barograph/stages/device/gpu"
	"barograph/stages/device/setting"
	"barograph/stages/device/sim"
	"barograph/stages/kind/infer/calls"
	"barograph/stages/kind/infer/session"
	"barograph/stages/kind/infer/tenancy"
	"barograph/stages/kind/stress"
	"barograph/stages/model"
	"barograph/stages/result"
	"barograph/stages/traffic"
)

// With is what a study says about an inference.
type With struct {
	Model     model.Ref        `json:"model" required:"true" doc:"name of a file under configs/models, without .yaml; or an ONNX file, as a path or as {file: my.onnx, sha256: SUM}"`
	Batch     traffic.Batch    `json:"batch" doc:"samples per call: the model's dimension batch; or {max: 8, wait: 2ms}, which gathers requests of one sample each"`
	Sequence  int              `json:"sequence" min:"1" doc:"tokens per sample: the model's dimension sequence"`
	Dims      map[string]int64 `json:"dims,omitempty" min:"0" doc:"the model's other symbolic dimensions, by name"`
	Precision string           `json:"precision,omitempty" enum:"float32,float16" doc:"weights and arithmetic of a model that is built here; inputs and outputs stay float32 and integers (default: the model's)"`
	Warmup    int              `json:"warmup" min:"0" max:"10000000" doc:"calls before the timed ones"`
	Calls     int              `json:"calls" min:"1" max:"10000000" doc:"timed calls"`
	Limit     unit.Duration    `json:"limit,omitempty" doc:"how long warm-up and timed calls may take together, such as 20s, for a load that may let none through; then the load in its process ends, and the calls that were made stand, with a warning; 0: without limit"`
	Threads   int              `json:"threads" min:"0" doc:"threads the model computes with; 0: one for each of its processors"`
	arrival.Pattern
	traffic.Rule
	Carries *traffic.Search `json:"carries,omitempty" doc:"in place of a rate: the highest is sought at which requests are answered in time, such as {p99: 10ms, from: 50, to: 2000}; calls are those of each probe"`
	session.CUDA
	tenancy.Params
}

// Kind returns the kind "infer".
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:     "infer",
		Version:  "1",
		Inherits: []string{"ONNXRUNTIME_LIB", "CUDA_VISIBLE_DEVICES"},
		Doc:      "measure a model's inference time, call by call",
		With: func() any {
			return &With{Batch: traffic.Batch{Size: 1}, Sequence: 128, Warmup: 30, Calls: 300, Pattern: arrival.Pattern{Arrivals: "closed"}, CUDA: session.Default}
		},
		Measured:   true,
		Background: true,
		Calls:      true,
		Outputs:    func(any) []string { return []string{result.CallsFile, result.InferFile} },
		Check:      check,
		CheckSim:   sim.Check,
		Setting:    setting.Of,
		Identify:   identify,
		Files:      files,
		Environ:    environ,
		Beside:     func(s *cell.Spec) bool { return tenancy.Shared(s) || stress.Beside(s) },
		Together:   together,
		Prepare:    prepare,
		Run:        run,
	}
}

func environ(trial context.Context, s *cell.Spec) (map[string]string, error) {
	by, err := stress.Environ(trial, s)
	if err != nil {
		return nil, err
	}
	tenants, err := tenancy.Environ(trial, s)
	maps.Copy(by, tenants)
	return by, err
}

func check(root, device string, with any) error {
	w := with.(*With)
	for _, f := range []struct {
		name       string
		value, min int
	}{{"limit", int(w.Limit), 0}, {"batch", w.Batch.Size, 1}, {"sequence", w.Sequence, 1}, {"warmup", w.Warmup, 0}, {"calls", w.Calls, 1}, {"threads", w.Threads, 0}} {
		if f.value < f.min {
			return fmt.Errorf("%s is %d: want at least %d", f.name, f.value, f.min)
		}
	}
	if err := w.traffic().Check(root); err != nil {
		return err
	}
	if err := w.Params.Check(device); err != nil {
		return err
	}
	if w.Set() && (w.Carries != nil || w.CUDA.Weights == "swap") {
		return fmt.Errorf("tenancy or rounds with carries, or weights swap: neither is measured in rounds")
	}
	if w.Set() && w.Draw > 0 {
		return fmt.Errorf("draw with tenancy or rounds: each round is asked by a seed of its own")
	}
	if (w.Workers > 1 || w.Batch.Max > 0) && w.CUDA.Weights == "swap" {
		return fmt.Errorf("weights swap with several workers or gathered batches: it moves those of one session")
	}
	c, err := w.Load(root)
	if err != nil {
		return err
	}
	if err := w.CUDA.Check(); err != nil {
		return err
	}
	if err := w.CheckCollect(w.Calls, w.Warmup, w.Arrivals == "closed" && !w.Set()); err != nil {
		return err
	}
	if err := w.CheckPlaced(device, c, w.Sizes(c)); err != nil {
		return err
	}
	if w.SMs > 0 && (w.Inputs == "carried" || w.Results == "carried") {
		return fmt.Errorf("sm_percent with inputs or results carried: the kernel that carries them would run on all multiprocessors")
	}
	names, _ := c.Dims()
	if w.Batch.Max > 1 && !slices.Contains(names, "batch") {
		return cell.Hint(fmt.Errorf("batch gathers up to %d requests, and model %q answers a fixed number in a call: it has no dimension batch, but %q", w.Batch.Max, c.Name, names), "leave batch: out, or export the model with a batch of any size")
	}
	if w.Batch.Samples() > 1 && !slices.Contains(names, "batch") {
		return fmt.Errorf("batch is %d, and model %q has no dimension of that name, but %q: set those with dims", w.Batch.Samples(), c.Name, names)
	}
	if err := w.checkSessions(device, c); err != nil {
		return err
	}
	return c.CheckDims(w.Sizes(c))
}

// Load returns the model in the precision that is wanted.
func (w *With) Load(root string) (*model.Config, error) {
	c, err := w.Model.Load(root)
	if err != nil {
		return nil, err
	}
	return c.WithPrecision(w.Precision)
}

// Sizes gives the model's symbolic dimensions their values.
func (w *With) Sizes(c *model.Config) map[string]int64 {
	return c.Sizes(w.Batch.Size, w.Sequence, w.Dims)
}

// traffic is what these parameters say of it.
func (w *With) traffic() *traffic.Params {
	return &traffic.Params{Pattern: w.Pattern, Rule: w.Rule, Batch: w.Batch, Calls: w.Calls, Warmup: w.Warmup, Carries: w.Carries}
}

// identify names the model and the library; device and machine are the engine's.
// files are the model's and the trace's.
func files(root string, with any) ([]string, error) {
	w := with.(*With)
	c, err := w.Load(root)
	if err != nil {
		return nil, err
	}
	return append(w.Pattern.Files(root), c.Files()...), nil
}

func identify(root string, with any) (map[string]string, error) {
	c, err := with.(*With).Load(root)
	if err != nil {
		return nil, err
	}
	version, sha, err := asset.RuntimeIdentity()
	if err != nil {
		return nil, err
	}
	inputs, err := json.Marshal(c.Inputs)
	if err != nil {
		return nil, err
	}
	by := map[string]string{
		"model":       "sha256:" + c.Digest(),
		"inputs":      string(inputs),
		"onnxruntime": version + " sha256:" + sha,
	}
	sum, err := with.(*With).Digest(root)
	if err != nil {
		return nil, fmt.Errorf("arrivals %s: %w", with.(*With).Arrivals, err)
	}
	if sum != "" {
		by["trace"] = "sha256:" + sum
	}
	return by, nil
}

// device returns what the cell's device is: host, sim, or cuda.
func device(c *cell.Cell) (string, error) {
	switch name := cell.Family(c.Machine.Device); name {
	case "host", "sim", "cuda":
		return name, nil
	}
	return "", cell.Hint(fmt.Errorf("infer on device %q: no such device", c.Machine.Device), "choose a machine whose device is host, sim, cuda or cuda:N")
}

// prepare has library and model in the cache and calls the model once, so that
// whatever is wrong with them shows before anything is measured. A simulation
// takes neither.
func prepare(ctx context.Context, c *cell.Cell) error {
	w := c.With.(*With)
	switch d, err := device(c); {
	case err != nil:
		return err
	case d == "sim":
		return nil
	case d == "cuda": // before anything large is fetched for it
		if _, err := cuda.Open(c.Machine.Device); err != nil {
			return err
		}
	}
	a, err := fetch(ctx, Setup{Root: c.Root, Device: c.Machine.Device, With: w, Log: c.Say})
	if err != nil {
		return err
	}
	var s *session.Session
	if c.Machine.Device == "host" {
		s, err = session.Open(a.model, a.file, w.Sizes(a.model), max(1, w.Threads), 0)
	} else {
		s, err = prepareCUDA(c.Machine.Device, w, a)
	}
	if err != nil {
		return err
	}
	return s.Close()
}

// assets are what a session is made of.
type assets struct {
	model   *model.Config
	file    string // the model's
	fileSHA string
	library string // as in "onnxruntime 1.31.1"
	libSHA  string
}

// fetch has the model built and the library there, and loads the library.
func fetch(ctx context.Context, s Setup) (a assets, err error) {
	get := asset.Runtime
	if s.Device != "host" {
		get = asset.CUDARuntime
	}
	lib, err := get(ctx, s.Log)
	if err != nil {
		return a, err
	}
	if a.libSHA, err = asset.Digest(lib); err != nil {
		return a, err
	}
	if a.model, err = s.With.Load(s.Root); err != nil {
		return a, err
	}
	cache, err := cell.CacheDir()
	if err != nil {
		return a, err
	}
	if a.file, err = model.Ensure(ctx, a.model, cache, s.Log); err != nil {
		return a, err
	}
	if a.fileSHA, err = asset.Digest(a.file); err != nil {
		return a, err
	}
	version, err := session.Load(lib)
	if err != nil {
		return a, err
	}
	a.library = "onnxruntime " + version
	return a, nil
}

// onSim takes the calls from a simulation of the cell's trial.
func onSim(ctx context.Context, c *cell.Cell, w *With) ([]calls.Sample, result.Infer, error) {
	samples, made, course, err := simulate(c, w)
	if err != nil {
		return nil, result.Infer{}, err
	}
	shared, err := amongSimulated(c, w, course != nil, &samples)
	if err != nil {
		return nil, result.Infer{}, err
	}
	m, err := w.Load(c.Root)
	if err != nil {
		return nil, result.Infer{}, err
	}
	info, err := m.Info()
	if err != nil {
		return nil, result.Infer{}, err
	}
	in, out, err := m.Traffic(info, w.Sizes(m))
	if err != nil {
		return nil, result.Infer{}, err
	}
	c.Progress(w.Warmup+w.Calls, w.Warmup+w.Calls, "")
	wait := c.Await
	if c.Background {
		c.Ready()
		wait = func(ctx context.Context) error { return stopped(ctx, c) }
	}
	if err := wait(ctx); err != nil {
		return nil, result.Infer{}, err
	}
	warnings := []string{"simulated: the machine's parameters say how long the model computes, whatever batch and sequence; models of which they say nothing of their own are alike"}
	if len(samples) < w.Calls && shared == nil {
		warnings = append(warnings, fmt.Sprintf("within the limit of %v, %d timed calls of %d were answered: the last latency is for how long one had waited", w.Limit, len(samples)-1, w.Calls))
	}
	about := result.Infer{
		Model: w.Model.String(), Precision: m.Precision, Parameters: m.Parameters, Batch: w.Batch.Size, Sequence: w.Sequence, Dims: w.Dims, Device: c.Machine.Device,
		In: in, Out: max(out, 0), Weights: info.InitialiserBytes,
		Simulated: true, Provider: "simulated", Library: "simulated",
		Warmup: w.Warmup, Calls: len(samples), Arrivals: w.Arrivals, Schedule: made,
		Warnings: warnings, Tenancy: shared,
	}
	if shared != nil {
		about.Window = [2]int64{shared.Windows[0][0], shared.Windows[len(shared.Windows)-1][1]}
	}
	if about.Traffic, err = w.told(samples, course); err != nil {
		return nil, about, err
	}
	if about.Traffic != nil {
		about.Warnings = append(about.Warnings, about.Traffic.Doubts()...)
	}
	return samples, about, nil
}

// simulate takes the samples from a simulation.
func simulate(c *cell.Cell, w *With) (samples []calls.Sample, made *arrival.Made, course traffic.Course, err error) {
	if course, made, err = w.traffic().Course(c.Root, c.Seed); err != nil {
		return nil, nil, nil, err
	}
	if course == nil {
		all, err := sim.Run(c.Machine, c.Gang, sim.Request{Warmup: w.Warmup, Calls: w.Calls, Seed: c.Seed, Limit: int64(w.Limit), Model: w.Model.Name})
		for _, call := range all {
			samples = append(samples, calls.Sample{Scheduled: call.Scheduled, Start: call.Start, End: call.Scheduled + call.Latency})
		}
		return samples, nil, nil, err
	}
	requests, err := sim.Serve(c.Machine, c.Gang, &sim.Traffic{Course: course, Warmup: w.Warmup, Workers: w.Workers, Model: w.Model.Name}, c.Seed, int64(w.Limit))
	return calls.Answered(requests), made, course, err
}

// run measures on the cell's device.
func run(ctx context.Context, c *cell.Cell) error {
	w := c.With.(*With)
	if err := check(c.Root, c.Machine.Device, w); err != nil {
		return err
	}
	measure := onHost
	switch d, err := device(c); {
	case err != nil:
		return err
	case d == "sim":
		measure = onSim
	case w.Set() || tenancy.Shared(&c.Spec):
		if c.Background && w.Tenancy == "thread" {
			return lodge(ctx, c)
		}
		measure = amongTenants
	}
	env := record.Environment(gpu.Here()) // before this process is confined to its processors
	samples, about, err := measure(ctx, c, w)
	if err != nil {
		return err
	}
	return leave(c, &env, samples, about, c.Path)
}

// leave completes a result and writes the cell's outputs, at paths by their names.
func leave(c *cell.Cell, env *record.Env, samples []calls.Sample, about result.Infer, path func(name string) (string, error)) error {
	about.Environment = env
	if about.Card = card(c.Machine); about.Card != nil {
		about.Device = cell.Family(about.Device) // which of them, the card says
	}
	if about.Tenancy == nil {
		about.Window = calls.Window(samples)
	}
	if !c.Background {
		c.Measured(about.Window[0], about.Window[1])
	}
	c.Metric(calls.Metrics(samples))
	if t := about.Traffic; t != nil && t.Carried != nil {
		c.Say(t.Carried.String())
	}
	for _, text := range about.Warnings {
		c.Warn("%s", text)
	}
	return write(path, samples, about)
}

// card is the GPU of a machine's device, where it is one of a computer.
func card(m cell.Machine) *cell.GPU {
	gpus := gpu.Visible(gpu.Here().List)
	if m.Simulated() {
		if gpus = sim.GPUs(m); len(gpus) == 1 {
			return nil
		}
	}
	if n := cell.Ordinal(m.Device); n < len(gpus) && m.Device != "host" {
		return &gpus[n]
	}
	return nil
}

// judgedInvalid is the share of lost time beyond which all trials together are
// INVALID, as package judge has it.
const judgedInvalid = 0.5

// onHost measures on the ONNX Runtime, with its CPU or its CUDA provider.
func onHost(ctx context.Context, c *cell.Cell, w *With) (samples []calls.Sample, about result.Infer, err error) {
	h, err := NewHarness(ctx, Setup{Root: c.Root, Device: c.Machine.Device, With: w, Seed: c.Seed, Log: func(line string) { fmt.Fprintln(os.Stderr, line) }})
	if err != nil {
		return nil, about, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	total := w.Warmup + w.Calls
	if w.Carries != nil {
		total = w.Warmup + w.Calls*w.Carries.Most()
	}
	c.Progress(0, total, "ready for the load")
	if err := c.Await(ctx); err != nil {
		return nil, about, err
	}
	// A load in this process begins here: whatever the library allocates at
	// first, and the capture of a CUDA graph, is behind us.
	guest, err := stress.Join(ctx, c)
	if err != nil {
		return nil, about, err
	}
	if guest != nil {
		h.yield = yields
		defer func() {
			var span [2]int64
			if err == nil {
				span = calls.Window(samples)
			}
			err = errors.Join(err, guest.Leave(span))
		}()
	}
	if err := h.listened(); err != nil {
		return nil, about, err
	}
	within, ended := limit(ctx, w, guest)
	defer ended()
	p := patience{last: -1}
	warm, err := h.Time(within, w.Warmup, func(done int) {
		p.watch(c.Say, done, total)
		c.Progress(done, total, "warm-up calls")
	})
	if err != nil {
		return nil, about, fmt.Errorf("warm up: %w", err)
	}
	if h.limited {
		about = h.short(w, warm, "calls, all of them meant to warm up,")
		about.Device = c.Machine.Device
		return warm, about, nil
	}
	if err := h.Jitter(ctx); err != nil {
		return nil, about, err
	}
	h.About.GCs, h.About.Stops, h.About.Delay = 0, 0, 0 // of the warm-up
	if h.look != nil {
		h.About.GPU = &result.GPU{Before: h.look()}
	}
	if len(c.Gang) > 0 { // beside a load a call may well take longer than its deadline
		warm = nil
	}
	if err := h.expect(ctx, c.Root, c.Seed, w, warm); err != nil {
		return nil, about, err
	}
	h.About.Resident[0] = resident()
	if samples, err = h.Time(within, w.Calls, func(done int) {
		if h.course == nil { // else a call may be far off
			p.watch(c.Say, w.Warmup+done, total)
		}
		c.Progress(w.Warmup+done, total, "timed calls")
	}); err != nil {
		return nil, about, err
	}
	h.About.Resident[1], h.About.Transfers = resident(), h.moved
	if h.look != nil {
		h.judge(c)
	}
	c.Progress(total, total, "")

	h.About.Calls = len(samples)
	if h.About.Traffic, err = w.told(samples, h.course); err != nil {
		return nil, about, err
	}
	about = h.About
	if h.limited {
		about = h.short(w, samples, "timed calls")
	}
	about.Device = c.Machine.Device
	h.doubts(&about, samples)
	return samples, about, nil
}

// doubts adds to what is told of timed calls what a reader has to know of them.
func (h *Harness) doubts(about *result.Infer, samples []calls.Sample) {
	if about.GCs > 0 {
		about.Warnings = append(about.Warnings, fmt.Sprintf("the garbage collector ran %d times while calls were timed", about.GCs))
	}
	if about.Stops > 0 {
		about.Warnings = append(about.Warnings, cell.Stopped("the inference", about.Stops)+" while calls were timed")
	}
	if t := about.Traffic; t != nil {
		t.Pace = h.pace
		about.Warnings = append(about.Warnings, t.Doubts()...)
	}
	span := calls.Window(samples)
	timed := span[1] - span[0]
	if about.Tenancy != nil {
		timed = about.Tenancy.Timed()
	}
	if share := float64(about.Delay) / float64(timed); share > 0.01 {
		invalid := ""
		if share > judgedInvalid && (about.Tenancy == nil || about.Tenancy.Of == 1) {
			invalid = "INVALID, if it is so throughout: "
		}
		about.Warnings = append(about.Warnings,
			invalid+fmt.Sprintf("for %.1f%% of the time the inference waited for its processor, which ran something else", 100*share))
	}
}

// yields is how often a closed loop beside a load in its process gives its processor up
// between calls. The Go runtime looks for goroutines that kept theirs for more than 10 ms,
// every 20 us while other threads of the process make calls into C. It then takes the
// processor away wherever the goroutine is, and a goroutine that keeps its thread waits
// for two threads to wake: on an H100 a call came late by 40 to 140 us every 20 to 30 ms.
const yields = int64(8 * time.Millisecond)

// listened has the loads of the trial that want to hear of each call hear of it.
func (h *Harness) listened() (err error) {
	if h.page, err = stress.OpenPage(); err == nil && h.page != nil {
		h.victim = h.page.Victim()
		in, out := h.session.In, h.session.Out
		for _, sizes := range h.sessions { // of batches
			for _, x := range sizes {
				in, out = max(in, x.In), max(out, x.Out)
			}
		}
		h.victim.Moves(in, out)
	}
	return err
}

// limit returns a context that ends when the calls have taken as long as they may. The
// load in this process ends with it, since it may keep a call that has begun from ever
// ending.
func limit(ctx context.Context, w *With, guest *stress.Guest) (context.Context, func()) {
	if w.Limit == 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(w.Limit), errLimit)
	stop := func() bool { return true }
	if guest != nil {
		stop = context.AfterFunc(ctx, guest.Halt)
	}
	return ctx, func() {
		stop()
		cancel()
	}
}

// short describes a trial that its limit cut off.
func (h *Harness) short(w *With, made []calls.Sample, what string) result.Infer {
	about := h.About
	about.Calls = len(made)
	about.Warnings = append(about.Warnings, fmt.Sprintf("within the limit of %v, %d %s of %d were made; the last one may have ended only because the load did", w.Limit, len(made), what, w.Calls))
	return about
}

// A patience ends with a call that takes long: a load may starve it, and one who has
// no terminal would see nothing until the end. It belongs to the thread that watches.
type patience struct {
	last  int // calls done
	since time.Time
	ended bool
}

const longCall = 10 * time.Second

// watch is told, again and again, how many calls are done.
func (p *patience) watch(say func(string), done, total int) {
	now := time.Now()
	if done != p.last {
		p.last, p.since = done, now
	}
	if !p.ended && now.Sub(p.since) >= longCall {
		p.ended = true
		say(fmt.Sprintf("call %d of %d has taken %v and goes on", done+1, total, longCall))
	}
}

// write leaves a cell's outputs, at paths by their names.
func write(at func(name string) (string, error), samples []calls.Sample, about result.Infer) error {
	path, err := at(result.CallsFile)
	if err == nil {
		names := result.CallNames(about.Traffic != nil, about.Traffic != nil && about.Traffic.Carried != nil, about.Tenancy != nil)
		err = calls.Write(path, names, samples)
	}
	if err != nil {
		return err
	}
	if path, err = at(result.InferFile); err != nil {
		return err
	}
	return result.Write(path, about)
}
