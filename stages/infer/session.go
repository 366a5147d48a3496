package infer

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"barograph/stages/asset"
	"barograph/stages/model"
	"barograph/stages/model/onnx"

	ort "github.com/yalue/onnxruntime_go"
)

var loaded struct {
	sync.Mutex
	lib string
}

// loadLibrary opens the ONNX Runtime library, once per process, and returns its
// version. Threads that the library starts inherit the affinity of the thread
// that calls this and [open].
func loadLibrary(lib string) (version string, err error) {
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

// A session is a model ready to be called, its inputs filled in and its outputs
// bound to memory, so that a call allocates nothing.
type session struct {
	ort     *ort.DynamicAdvancedSession
	binding *ort.IoBinding
	values  []ort.Value // inputs, then outputs
	options *ort.SessionOptions
	idle    *ort.RunOptions
}

// options of every session, as recorded in the result. Those that this package
// does not set (spinning) have the library's default, as in Python.
var options = map[string]string{
	"execution_mode":     "sequential",
	"graph_optimization": "all",
	"inter_op_threads":   "1",
	"memory_arena":       "on",
	"memory_pattern":     "on",
	"intra_op_spinning":  "on",
	"io_binding":         "inputs and outputs bound once, in host memory",
}

// open loads a model's file and binds the inputs that are drawn from seed, with
// values for the model's symbolic dimensions.
func open(c *model.Config, file string, dims map[string]int64, threads int, seed uint64) (x *session, err error) {
	x = &session{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("load model %q: %w", c.Name, err), x.close())
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
	if x.ort, err = ort.NewDynamicAdvancedSession(file, nil, nil, x.options); err != nil {
		return x, err
	}
	if x.binding, err = x.ort.CreateIoBinding(); err != nil {
		return x, err
	}
	for name, t := range inputs {
		if err := x.bind(name, x.binding.BindInput, func() (ort.Value, error) { return tensor(t) }); err != nil {
			return x, fmt.Errorf("input %q: %w", name, err)
		}
	}
	for _, out := range info.Outputs {
		if err := x.bind(out.Name, x.binding.BindOutput, func() (ort.Value, error) { return room(out, dims) }); err != nil {
			return x, fmt.Errorf("output %q: %w", out.Name, err)
		}
	}
	x.idle, err = ort.NewRunOptions()
	return x, err
}

// bind makes a tensor, keeps it for as long as the session, and binds it.
func (x *session) bind(name string, to func(string, ort.Value) error, tensor func() (ort.Value, error)) error {
	v, err := tensor()
	if err != nil {
		return err
	}
	x.values = append(x.values, v)
	return to(name, v)
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

// tensor gives an input to the library, without copying it.
func tensor(t model.Tensor) (ort.Value, error) {
	switch data := t.Data.(type) {
	case []int64:
		return ort.NewTensor(t.Shape, data)
	case []int32:
		return ort.NewTensor(t.Shape, data)
	case []float32:
		return ort.NewTensor(t.Shape, data)
	case []float64:
		return ort.NewTensor(t.Shape, data)
	case []bool:
		return ort.NewTensor(t.Shape, data)
	}
	return nil, fmt.Errorf("a tensor of %T is not supported", t.Data)
}

// room makes a tensor for an output.
func room(out onnx.Value, dims map[string]int64) (ort.Value, error) {
	shape := make(ort.Shape, len(out.Dims))
	for i, d := range out.Dims {
		size, ok := dims[d]
		if !ok {
			var err error
			if size, err = strconv.ParseInt(d, 10, 64); err != nil {
				return nil, fmt.Errorf("its dimension %q is none of the inputs'", d)
			}
		}
		shape[i] = size
	}
	switch out.Type.String() {
	case "int64":
		return ort.NewEmptyTensor[int64](shape)
	case "int32":
		return ort.NewEmptyTensor[int32](shape)
	case "float32":
		return ort.NewEmptyTensor[float32](shape)
	case "float64":
		return ort.NewEmptyTensor[float64](shape)
	}
	return nil, fmt.Errorf("its type %v is not supported", out.Type)
}

// call is one inference.
func (x *session) call() error { return x.ort.RunWithBinding(x.binding) }

// nothing is the shortest way there is into the library and back: it clears a
// flag that was not set. It stands in for call where the harness alone is timed.
func (x *session) nothing() error { return x.idle.UnsetTerminate() }

// close releases everything, and whatever of it open got to.
func (x *session) close() error {
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
