// Package session opens a model on the ONNX Runtime, with its CPU or its CUDA provider,
// and calls it: inputs are drawn, and memory for them and for outputs is there, before
// the first call.
package session

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
	"barograph/stages/device/cuda"
	"barograph/stages/kind/infer/placed"
	"barograph/stages/kind/infer/value"
	"barograph/stages/model"
	"barograph/stages/model/onnx"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"
)

var loaded struct {
	sync.Mutex
	lib string
}

// Load opens the ONNX Runtime library, once per process, and returns its version.
// Threads that the library starts inherit the affinity of the thread that calls this
// and [Open].
func Load(lib string) (version string, err error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.lib == lib {
		return ort.GetVersion(), nil
	}
	if loaded.lib != "" {
		return "", fmt.Errorf("load %s: this process has loaded %s", lib, loaded.lib)
	}
	// Before anything of the library runs: calling into one of another make
	// may end the process.
	if _, err := asset.LibraryVersion(lib); err != nil {
		return "", err
	}
	ort.SetSharedLibraryPath(lib)
	if err := ort.InitializeEnvironment(); err != nil {
		return "", fmt.Errorf("load %s: %w", lib, err)
	}
	loaded.lib = lib
	return ort.GetVersion(), nil
}

// A Session is a model ready to be called, its inputs filled in and its outputs
// bound to memory, so that a call allocates nothing.
type Session struct {
	// Bytes of the inputs and outputs of a call, and of the model's weights.
	In, Out, Weights int64
	Cut              int          // texts among the inputs that did not fit
	Doubts           []string     // about the outputs that the first call gave
	Swap             func() error // moves weights to the device before each call, or nil

	ort     *ort.DynamicAdvancedSession
	binding *ort.IoBinding
	values  []ort.Value // inputs, then outputs
	names   []string    // of the values
	options *ort.SessionOptions
	idle    *ort.RunOptions
	run     func() error   // a call, where values are not bound
	outputs []onnx.Value   // of which the last of values hold what a call gave
	sends   []func() error // of inputs, before each call
	carrier cuda.Carrier   // of inputs and outputs, or nil
	shelf   *shelf         // of outputs, or nil
}

// Options of every session, as recorded in the result. Those that this package
// does not set (spinning) have the library's default, as in Python.
var Options = map[string]string{
	"execution_mode":     "sequential",
	"graph_optimization": "all",
	"inter_op_threads":   "1",
	"memory_arena":       "on",
	"memory_pattern":     "on",
	"intra_op_spinning":  "on",
	"io_binding":         "inputs and outputs bound once, in host memory",
}

// Open loads a model's file, binds the inputs that are drawn from seed, with
// values for the model's symbolic dimensions, and calls it once.
func Open(c *model.Config, file string, dims map[string]int64, threads int, seed uint64) (x *Session, err error) {
	x = &Session{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("load model %q: %w", c.Name, err), x.Close())
			x = nil
		}
	}()
	inputs, err := model.Generate(c, dims, seed)
	if err != nil {
		return x, err
	}
	info, err := model.Inspect(file)
	if err != nil {
		return x, err
	}
	if x.options, err = sessionOptions(threads); err != nil {
		return x, err
	}
	var names, outputs []string
	for _, in := range c.Inputs {
		names = append(names, in.Name)
	}
	for _, out := range info.Outputs {
		outputs = append(outputs, out.Name)
	}
	if x.ort, err = ort.NewDynamicAdvancedSession(file, names, outputs, x.options); err != nil {
		return x, untaken(err)
	}
	for _, name := range names {
		v, err := value.Tensor(inputs[name])
		if err != nil {
			return x, fmt.Errorf("input %q: %w", name, err)
		}
		x.values = append(x.values, v)
		x.In += value.Size(inputs[name].Type, v)
		x.Cut = max(x.Cut, inputs[name].Cut)
	}
	x.names = append(slices.Clone(names), outputs...)
	x.Weights, x.outputs = info.InitialiserBytes, info.Outputs
	if x.idle, err = ort.NewRunOptions(); err != nil {
		return x, err
	}
	if err := x.fits(info, info.Outputs, dims); err != nil {
		return x, err
	}
	results, err := x.room(info.Outputs, dims)
	x.values = append(x.values, value.Made(results)...)
	if err == nil {
		err = x.bind(names, info.Outputs)
	}
	if err != nil || x.Call() != nil { // for want of the right memory for outputs, or for good
		return x, x.loosen(len(names), info.Outputs)
	}
	x.look(x.values[len(names):])
	return x, nil
}

// look notes what makes one doubt the outputs that a call left.
func (x *Session) look(values []ort.Value) {
	for i, v := range values {
		if why := value.Doubt(x.outputs[i].Name, x.outputs[i].Type, placed.Host(v)); why != "" {
			x.Doubts = append(x.Doubts, why)
		}
	}
}

// untaken says what may help where the library does not load a model.
func untaken(err error) error {
	hint := "this ONNX Runtime does not take the model: `barograph model info` shows its operators and their versions"
	if text := err.Error(); strings.Contains(text, "IR version") || strings.Contains(text, "opset") {
		hint = "the model is newer than this ONNX Runtime: export it for an older operator set, save it with an older IR version (in Python, ir_version of what onnx.load gives), or point ONNXRUNTIME_LIB at a newer library"
	}
	return cell.Hint(plain(err), "%s", hint)
}

// plain takes the places in the library's source out of what it says.
func plain(err error) error {
	return errors.New(place.ReplaceAllString(err.Error(), ""))
}

// place matches a file and line, and the function there with its parameters.
var place = regexp.MustCompile(`/onnxruntime_src/\S+:\d+ [^(]*(?:\((?:[^()]|\([^()]*\))*\))+(?: const)? `)

// refused says what may help where the model ran into an error.
func refused(err error) error {
	return cell.Hint(fmt.Errorf("call it: %w", plain(err)),
		"it may want inputs of other sizes (dims: beside model:) or values: `barograph new model` writes a configuration in which both can be said")
}

// loosen has each call make memory for its outputs, for a model whose file is
// mistaken about their shapes: the library then takes no memory of the right one.
func (x *Session) loosen(inputs int, outputs []onnx.Value) error {
	var errs []error
	for _, v := range x.values[inputs:] {
		errs = append(errs, v.Destroy())
	}
	x.values = x.values[:inputs]
	values := make([]ort.Value, len(outputs))
	first := true
	x.run = func() error {
		clear(values)
		err := x.find(values, outputs)
		if err == nil && first {
			x.look(values)
			first = false
		}
		x.Out = 0
		for i, v := range value.Made(values) {
			x.Out += value.Size(outputs[i].Type, v)
			err = errors.Join(err, v.Destroy())
		}
		return err
	}
	return errors.Join(append(errs, x.run())...)
}

// bind binds the values, those of the inputs first.
func (x *Session) bind(names []string, outputs []onnx.Value) (err error) {
	if x.binding, err = x.ort.CreateIoBinding(); err != nil {
		return err
	}
	for i, name := range names {
		if err := x.binding.BindInput(name, x.values[i]); err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
	}
	for i, out := range outputs {
		v := x.values[len(names)+i]
		if err := x.binding.BindOutput(out.Name, v); err != nil {
			return fmt.Errorf("output %q: %w", out.Name, err)
		}
		x.Out += value.Size(out.Type, v)
	}
	return nil
}

func sessionOptions(threads int) (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		o.SetIntraOpNumThreads(threads),
		o.SetInterOpNumThreads(1),
		o.SetExecutionMode(ort.ExecutionModeSequential),
		o.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		o.SetMemPattern(true),
		o.SetCpuMemArena(true))
	if err != nil {
		return nil, errors.Join(err, o.Destroy())
	}
	return o, nil
}

// room makes tensors for the outputs. Those whose shape the file does not tell
// get the one that a first call finds.
func (x *Session) room(outputs []onnx.Value, dims map[string]int64) (values []ort.Value, err error) {
	values = make([]ort.Value, len(outputs))
	for i, out := range outputs {
		shape, err := onnx.Resolve(out.Dims, dims)
		if out.Dims == nil || err != nil {
			continue
		}
		if values[i], err = value.Empty(out.Type, shape); err != nil {
			return value.Made(values), fmt.Errorf("output %q: %w", out.Name, err)
		}
	}
	if !slices.Contains(values, nil) {
		return values, nil
	}
	return values, x.find(values, outputs)
}

// fits tells whether inputs, weights and those outputs whose shapes are known can
// be in memory together.
func (x *Session) fits(info *model.Info, outputs []onnx.Value, dims map[string]int64) error {
	left := Memory() - x.In - info.InitialiserBytes
	for _, out := range outputs {
		shape, err := onnx.Resolve(out.Dims, dims)
		if err != nil {
			continue
		}
		n, ok := (&onnx.Tensor{Dims: shape}).Elements()
		bytes, _ := out.Type.Bytes(n)
		if left -= bytes; !ok || left < 0 {
			return cell.Hint(fmt.Errorf("inputs, weights and output %q, %v %v, take more memory than this machine has", out.Name, out.Type, shape),
				"give its dimensions smaller sizes (dims:, batch:, sequence:)")
		}
	}
	return nil
}

// Memory returns how many bytes the machine has.
func Memory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil || info.Totalram == 0 {
		return math.MaxInt64
	}
	return int64(info.Totalram) * int64(max(1, info.Unit))
}

// find calls the model for those of its outputs that have no memory yet, and puts
// what the call made in their place.
func (x *Session) find(values []ort.Value, outputs []onnx.Value) error {
	before := slices.Clone(values)
	err := x.ort.Run(x.values, values)
	if err == nil {
		return nil
	}
	copy(values, before)
	for i, v := range before {
		if t := outputs[i].Type.String(); v == nil && strings.HasSuffix(t, "float16") {
			return cell.Hint(fmt.Errorf("call it, to see its outputs' shapes: %w", err),
				"of output %q, which is %s, the file must tell the shape; or export the model with float32 for inputs and outputs", outputs[i].Name, t)
		}
	}
	return refused(err)
}

// Call is one inference.
func (x *Session) Call() error {
	if x.run != nil {
		return x.run()
	}
	return x.ort.RunWithBinding(x.binding)
}

// Nothing is the shortest way there is into the library and back: it clears a
// flag that was not set. It stands in for Call where the harness alone is timed.
func (x *Session) Nothing() error { return x.idle.UnsetTerminate() }

// Unbound tells whether each call makes memory for its outputs, on the CPU provider: their
// shapes are not those that the model's file tells.
func (x *Session) Unbound() bool { return x.run != nil }

// Tensors returns the data of inputs and outputs, by name, as the last call left
// them.
func (x *Session) Tensors() map[string]any {
	all := map[string]any{}
	for i, v := range x.values {
		switch t := placed.Host(v).(type) {
		case *ort.Tensor[int64]:
			all[x.names[i]] = t.GetData()
		case *ort.Tensor[float32]:
			all[x.names[i]] = t.GetData()
		}
	}
	return all
}

// Close releases everything, and whatever of it [Open] got to.
func (x *Session) Close() error {
	var errs []error
	if x.idle != nil {
		errs = append(errs, x.idle.Destroy())
	}
	if x.binding != nil {
		errs = append(errs, x.binding.Destroy())
	}
	if x.ort != nil {
		errs = append(errs, x.ort.Destroy())
	}
	for _, v := range x.values {
		errs = append(errs, v.Destroy())
	}
	if x.options != nil {
		errs = append(errs, x.options.Destroy())
	}
	return errors.Join(errs...)
}
