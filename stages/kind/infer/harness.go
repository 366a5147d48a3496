package infer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device/cuda"
	"barograph/stages/device/host"
	"barograph/stages/guard"
	"barograph/stages/kind/infer/calls"
	"barograph/stages/kind/infer/session"
	"barograph/stages/result"
)

// A Harness is a model on the ONNX Runtime's CPU or CUDA provider, set up to be timed.
// It takes the whole process: there is one Harness in it, and nothing else that
// matters.
type Harness struct {
	// About says what is measured, and what was seen while it was: all of it but
	// the device, the window and the environment.
	About result.Infer

	session *session.Session
	look    func() result.GPUState // at the GPU, or nil
	moved   []int64                // how long weights took in each call of the last Time, in nanoseconds
	percent int                    // of the garbage collector
	limited bool                   // the last Time stopped at a limit
	spare   []calls.Sample         // room for a closed loop's calls
	glance  time.Duration          // how often Time calls progress; 0: ten times a second
	// answered is told of each request of an open loop that was answered, by when it was
	// due; or nil.
	answered func(due int64)
	group    int           // calls whose results come at once; 0: each by itself
	yield    int64         // how often a closed loop gives its processor up between calls, in nanoseconds; 0: never
	page     *guard.Page   // on which a load's guard hears of each call, or nil
	victim   *guard.Victim // of page
	open     func(*With) (*session.Session, error)
	asked    // in an open loop
}

// A Setup is what a harness is made of.
type Setup struct {
	Root   string // the workspace
	Device string // host, cuda or cuda:N
	With   *With
	GPU    cuda.GPU          // nil: that of Device
	Seed   uint64            // of the inputs
	Log    func(line string) // for a person; may be nil
}

// NewHarness places the process, fetches and loads what the setup names, and opens
// a session with inputs drawn from its seed. The calling goroutine keeps its thread
// for good, and must be the one that uses the Harness.
func NewHarness(ctx context.Context, s Setup) (*Harness, error) {
	w := s.With
	h := &Harness{About: result.Infer{
		Model: w.Model.String(), Batch: w.Batch.Size, Sequence: w.Sequence, Dims: w.Dims, Provider: "CPUExecutionProvider",
		Warmup: w.Warmup, Calls: w.Calls, Arrivals: w.Arrivals, Options: session.Options,
	}}
	// Before the library is loaded: its pool inherits this thread's processors.
	own, err := h.place()
	if err != nil {
		return nil, err
	}
	if h.About.Threads = w.Threads; w.Threads == 0 {
		h.About.Threads = len(own)
	}
	if h.About.Threads > len(own) {
		h.warn("%d threads on %d processors", h.About.Threads, len(own))
	}
	a, err := fetch(ctx, s)
	if err != nil {
		return nil, err
	}
	h.About.ModelSHA, h.About.Parameters, h.About.Precision = a.fileSHA, a.model.Parameters, a.model.Precision
	h.About.Library, h.About.LibrarySHA = a.library, a.libSHA
	if s.Device == "host" {
		err = h.onCPU(s, a)
	} else {
		err = h.onCUDA(ctx, s, a)
	}
	if err != nil {
		return nil, err
	}
	if err := h.more(s); err != nil {
		return nil, err
	}
	h.describe()
	runtime.GC()
	h.percent = debug.SetGCPercent(-1)
	return h, nil
}

// onCPU sets a harness up on the processors.
func (h *Harness) onCPU(s Setup, a assets) (err error) {
	h.open = func(w *With) (*session.Session, error) {
		return session.Open(a.model, a.file, w.Sizes(a.model), h.About.Threads, s.Seed)
	}
	if h.session, err = h.open(s.With); err == nil && h.session.Unbound() {
		h.About.Options = maps.Clone(session.Options)
		h.About.Options["io_binding"] = "none: each call makes memory for its outputs"
		h.warn("each call also makes memory for its outputs and copies them there: their shapes are not those that the model's file tells")
	}
	return err
}

// describe notes what the session says of its model and inputs.
func (h *Harness) describe() {
	if h.session.Cut > 0 {
		h.warn("texts of %d samples are longer than their input, and were cut to its length", h.session.Cut)
	}
	for _, why := range h.session.Doubts {
		h.warn("%s: a model with nothing to compute answers so; see what its inputs hold (values: in configs/models, which `barograph new model` writes)", why)
	}
	h.About.Weights, h.About.In, h.About.Out = h.session.Weights, h.session.In, h.session.Out
}

// place gives this thread the inference's processors, which it returns, and the
// Go runtime's own threads the others: they wake up every so often, and would
// push the inference aside.
func (h *Harness) place() (own []int, err error) {
	own, others, err := host.Split()
	if err != nil {
		return nil, err
	}
	if slices.Contains(others, own[0]) {
		h.warn("inference and stressor share CPU %d, the only one: they contend for the processor too", own[0])
	}
	// From here on the runtime starts new threads from one that is not ours, so
	// that they inherit its processors and not ours.
	runtime.LockOSThread()
	err = host.Pin(others)
	if err == nil {
		err = host.PinThread(own)
	}
	if err != nil {
		h.warn("inference is not kept on its processors: %v", err)
	} else {
		h.About.CPUs = own
	}
	return own, nil
}

func (h *Harness) warn(format string, args ...any) {
	h.About.Warnings = append(h.About.Warnings, fmt.Sprintf(format, args...))
}

// emptyCalls is how often the harness times a call that does nothing.
const emptyCalls = 10_000

// Jitter times calls that do nothing, through the loop that times calls, and
// notes what that takes in About.
func (h *Harness) Jitter(ctx context.Context) error {
	samples := calls.New(emptyCalls)
	var done atomic.Int64
	if err := calls.Loop(ctx, samples, &done, 0, h.session.Nothing); err != nil {
		return fmt.Errorf("time empty calls: %w", err)
	}
	h.About.Jitter = calls.Quantiles(calls.Latencies(samples))
	return nil
}

// Time makes and times n calls, and adds collections of garbage and time spent
// waiting for a processor to About. Ten times a second it has another thread
// call progress, which may be nil, with the number of calls done. It stops between
// calls, with ctx's error, or, where that is a limit, with those that were made.
func (h *Harness) Time(ctx context.Context, n int, progress func(done int)) ([]calls.Sample, error) {
	var done atomic.Int64
	if progress != nil {
		defer watch(cmp.Or(h.glance, 100*time.Millisecond), func() { progress(int(done.Load())) })()
	}
	before := observe()
	begun := cell.Now()
	var samples []calls.Sample
	var err error
	if h.course != nil {
		samples, err = h.serve(ctx, &done)
	} else {
		samples, err = h.closed(ctx, n, &done)
	}
	ended := cell.Now()
	after := observe()
	h.About.GCs += after.gcs - before.gcs
	h.About.Stops += after.stops - before.stops
	if err != nil {
		return nil, fmt.Errorf("call %d: %w", done.Load()+1, err)
	}
	if h.course != nil {
		begun = samples[0].Scheduled // until then the thread sleeps, and waits for nothing
	}
	h.About.Delay += within(after.delay-before.delay, begun, ended, samples)
	return samples, nil
}

// closed makes and times n calls, each once the one before is complete.
func (h *Harness) closed(ctx context.Context, n int, done *atomic.Int64) ([]calls.Sample, error) {
	samples := h.spare
	if len(samples) < n {
		samples = calls.New(n)
	}
	samples = samples[:n]
	call := h.session.Call
	if h.session.Swap != nil {
		h.moved = make([]int64, n)
		call = func() error {
			start := cell.Now()
			err := h.session.Swap()
			h.moved[done.Load()] = cell.Now() - start
			if err != nil {
				return err
			}
			return h.session.Call()
		}
	}
	if page := h.page; page != nil {
		untold := call
		defer func() { h.victim.End(cell.Now()) }()
		call = func() error { // calls whose results come at once are one
			i, n := int(done.Load()), max(1, h.group)
			if i%n == 0 {
				h.victim.Begin(samples[i].Scheduled)
			}
			err := untold()
			if first := i + 1 - n; (i+1)%n == 0 {
				page.Tell(cell.Now() - samples[first].Scheduled)
			}
			return err
		}
	}
	err := calls.Loop(ctx, samples, done, h.yield, call)
	whole := int(done.Load()) / max(1, h.group) * max(1, h.group)
	if errors.Is(err, errLimit) && whole > 0 {
		samples, h.limited, err = samples[:whole], true, nil
	}
	calls.Collected(samples, h.group)
	return samples, err
}

// within returns how much of a delay, seen between two times, fell into the window
// of the calls: the thread may lose its processor before the first and after the
// last, for longer than short calls take. What passed outside is taken for delay,
// since a thread that is not delayed passes it in microseconds.
func within(delay, begun, ended int64, samples []calls.Sample) int64 {
	span := calls.Window(samples)
	first, last := span[0], span[1]
	outside := max(first-begun, 0) + max(ended-last, 0)
	return min(max(delay-outside, 0), last-first)
}

// Tensors returns the data of inputs and outputs, by name, as the last call left
// them.
func (h *Harness) Tensors() map[string]any { return h.session.Tensors() }

// Close releases the session. The thread stays where it is.
func (h *Harness) Close() error {
	debug.SetGCPercent(h.percent)
	var errs []error
	for _, sessions := range h.sessions {
		for _, x := range sessions {
			errs = append(errs, x.Close())
		}
	}
	for _, t := range h.threads {
		if t != nil {
			close(t)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the session: %w", err)
	}
	return nil
}

// A count is what the process has suffered so far.
type count struct {
	gcs   uint32
	stops int
	delay int64 // nanoseconds in which the calling thread could have run and did not
}

// errLimit ends a trial that takes longer than it may.
var errLimit = errors.New("the limit is over")

// observe counts for the calling thread. A kernel without schedstat tells of no
// delay.
func observe() (n count) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	n.gcs, n.stops = m.NumGC, cell.Stops()
	var ran int64
	b, err := os.ReadFile("/proc/thread-self/schedstat")
	if err == nil {
		_, err = fmt.Sscan(string(b), &ran, &n.delay)
	}
	if err != nil {
		n.delay = 0
	}
	return n
}

// resident returns the bytes of memory that the process holds, 0 if the kernel
// does not tell.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	var size, pages int64
	if err == nil {
		_, err = fmt.Sscan(string(b), &size, &pages)
	}
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// watch calls look again and again until stop is called.
func watch(every time.Duration, look func()) (stop func()) {
	quit, gone := make(chan bool), make(chan bool)
	go func() {
		defer close(gone)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				look()
			}
		}
	}()
	return func() { close(quit); <-gone }
}
