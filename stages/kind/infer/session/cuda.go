package session

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
	"barograph/stages/device/cuda"
	"barograph/stages/kind/infer/placed"
	"barograph/stages/kind/infer/value"
	"barograph/stages/model"
	"barograph/stages/model/onnx"

	ort "github.com/yalue/onnxruntime_go"
)

// CUDA holds the parameters of an inference that only the CUDA provider has.
type CUDA struct {
	Graph      bool     `json:"cuda_graph" doc:"device cuda: capture the model's kernels once and replay them; false launches each kernel in each call"`
	TF32       bool     `json:"tf32" doc:"device cuda: multiply in TF32 where the chip can; false is float32, as the paper's chip computes"`
	ConvSearch string   `json:"conv_search" enum:"heuristic,exhaustive,default" doc:"device cuda: how cuDNN's algorithm for a convolution is chosen"`
	Arena      string   `json:"arena" enum:"exact,doubling" doc:"device cuda: how the library's device memory grows, by what is asked for or by powers of two"`
	Memory     string   `json:"memory" enum:"pinned,pageable" doc:"device cuda: host memory of inputs and outputs"`
	Outputs    []string `json:"outputs,omitempty" doc:"device cuda: the model's outputs that each call copies back to the host; none named: all"`
	Inputs     string   `json:"inputs,omitempty" enum:"copied,mapped,split,carried" doc:"device cuda: how inputs get to the model; copied by the copy engine (default); mapped: its kernels read page-locked host memory; split: sent ahead in pieces that go past the engine; carried: by a kernel ahead of the model's"`
	Results    string   `json:"results,omitempty" enum:"copied,mapped,carried" doc:"device cuda: how outputs get to the host; copied by the copy engine (default); mapped: the model's kernels write them to page-locked host memory; carried: a kernel after them does"`
	Collect    int      `json:"collect,omitempty" min:"0" max:"1024" doc:"device cuda: calls whose outputs stay on the device until all are copied to the host at once, in one copy that may wait; the first result waits for the last, and latencies hold that; 0: none"`
	Stream     string   `json:"priority,omitempty" enum:"normal,high" doc:"device cuda: of the stream that the model runs and copies in among those of its process; high is the greatest that the GPU knows (default: normal, the least)"`
	Weights    string   `json:"weights" enum:"resident,swap" doc:"device cuda: swap moves as many bytes as the model's weights to the device before each call, as for a model that is not resident"`
}

// Default are the parameters where a study says nothing.
var Default = CUDA{Graph: true, ConvSearch: "heuristic", Arena: "exact", Memory: "pinned", Weights: "resident"}

// Check reports parameters that mean nothing.
func (w *CUDA) Check() error {
	for _, f := range []struct {
		name, value string
		known       []string
	}{
		{"conv_search", w.ConvSearch, []string{"heuristic", "exhaustive", "default"}},
		{"arena", w.Arena, []string{"exact", "doubling"}},
		{"memory", w.Memory, []string{"pinned", "pageable"}},
		{"weights", w.Weights, []string{"resident", "swap"}},
		{"inputs", cmp.Or(w.Inputs, "copied"), []string{"copied", "mapped", "split", "carried"}},
		{"results", cmp.Or(w.Results, "copied"), []string{"copied", "mapped", "carried"}},
		{"priority", cmp.Or(w.Stream, "normal"), []string{"normal", "high"}},
	} {
		if !slices.Contains(f.known, f.value) {
			return fmt.Errorf("%s %q is not one of %s", f.name, f.value, strings.Join(f.known, ", "))
		}
	}
	return nil
}

// smallPath is the largest copy to the device that goes past the copy engine, of a
// stream with nothing pending (`barograph link`, on an H100 and an H200).
const smallPath = 24_576

// handsOn are operators that the CUDA provider does by a copy.
var handsOn = []string{"Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}

// placed returns by which names inputs and results get past the copy engine.
func (w *CUDA) placed() (inputs, results string) {
	if inputs, results = strings.TrimPrefix(w.Inputs, "copied"), strings.TrimPrefix(w.Results, "copied"); w.Collect > 1 {
		results = "collected"
	}
	return inputs, results
}

// CheckPlaced reports why a model's inputs or outputs cannot get past the copy engine.
func (w *CUDA) CheckPlaced(device string, c *model.Config, dims map[string]int64) error {
	if err := w.checkPriority(device); err != nil {
		return err
	}
	inputs, results := w.placed()
	for _, f := range []struct{ name, value string }{{"inputs", inputs}, {"results", results}} {
		switch {
		case f.value == "":
		case !strings.HasPrefix(device, "cuda"):
			return cell.Hint(fmt.Errorf("%s %s on device %s: only a GPU's inference has a copy engine to get past", f.name, f.value, device), "leave %s out, or measure on a GPU", f.name)
		case w.Memory == "pageable":
			return cell.Hint(fmt.Errorf("%s %s with memory: pageable: a GPU reaches page-locked memory only", f.name, f.value), "set memory: pinned")
		}
	}
	if results == "" {
		return nil
	}
	info, err := c.Info()
	if err != nil {
		return err
	}
	wanted, err := w.wanted(info.Outputs)
	if err != nil {
		return err
	}
	for _, out := range wanted {
		if _, err := onnx.Resolve(out.Dims, dims); out.Dims == nil || err != nil {
			return cell.Hint(fmt.Errorf("results %s of model %q: it does not tell the shape of output %q, and the memory has to be there before the call", results, c.Name, out.Name),
				"name outputs: whose shapes it tells, or give their dimensions in dims:")
		}
		if op := info.Makers[out.Name]; results == "mapped" && slices.Contains(handsOn, op) {
			return cell.Hint(fmt.Errorf("results mapped of model %q: output %q is made by %s, which computes nothing: the CUDA provider copies it, by the copy engine where one end is host memory", c.Name, out.Name, op),
				"set results: carried, or name other outputs:")
		}
	}
	return nil
}

// provider returns the CUDA provider's options, by its own names.
func (w *CUDA) provider(ordinal int) map[string]string {
	bit := map[bool]string{false: "0", true: "1"}
	return map[string]string{
		"device_id":              strconv.Itoa(ordinal),
		"enable_cuda_graph":      bit[w.Graph],
		"use_tf32":               bit[w.TF32],
		"cudnn_conv_algo_search": strings.ToUpper(w.ConvSearch),
		"arena_extend_strategy":  map[string]string{"exact": "kSameAsRequested", "doubling": "kNextPowerOfTwo"}[w.Arena],
	}
}

// Recorded returns the options of a session on a GPU, as the result holds them.
func (w *CUDA) Recorded(ordinal int, outputs []string) map[string]string {
	m := maps.Clone(Options)
	maps.Copy(m, w.provider(ordinal))
	m["io_binding"] = "none: inputs from " + w.Memory + " host memory and outputs to it in each call"
	m["outputs"] = strings.Join(outputs, " ")
	if inputs, results := w.placed(); inputs+results != "" {
		m["io_binding"] = fmt.Sprintf("none: inputs %s, results %s, in %s host memory", cmp.Or(inputs, "copied"), cmp.Or(results, "copied"), w.Memory)
	}
	if w.Collect > 1 {
		m["results"] = w.price()
	}
	if w.Stream == "high" {
		m["stream_priority"] = w.Stream
	}
	m["weights"] = w.Weights
	return m
}

// OpenCUDA loads a model's file on a GPU, and names the outputs of a call. A call goes from host memory to host
// memory: with a CUDA graph the copies are part of the graph.
func OpenCUDA(gpu cuda.GPU, w *CUDA, c *model.Config, file string, dims map[string]int64, seed uint64) (x *Session, outputs []string, err error) {
	x = &Session{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("load model %q on the GPU: %w", c.Name, err), x.Close())
			x = nil
		}
	}()
	inputs, err := model.Generate(c, dims, seed)
	if err != nil {
		return x, nil, err
	}
	info, err := model.Inspect(file)
	if err != nil {
		return x, nil, err
	}
	wanted, err := w.wanted(info.Outputs)
	if err != nil {
		return x, nil, err
	}
	var names []string
	for _, in := range c.Inputs {
		names = append(names, in.Name)
	}
	for _, out := range wanted {
		outputs = append(outputs, out.Name)
		if _, err := onnx.Resolve(out.Dims, dims); w.Graph && (out.Dims == nil || err != nil) {
			return x, nil, cell.Hint(fmt.Errorf("the file does not tell the shape of output %q, and a CUDA graph needs fixed addresses", out.Name), "set cuda_graph: false")
		}
	}
	if x.options, err = sessionOptions(1); err != nil {
		return x, nil, err
	}
	provider := w.provider(gpu.Ordinal())
	stream, err := gpu.Stream(w.Stream == "high")
	if err != nil {
		return x, nil, err
	}
	if stream != 0 {
		provider["has_user_compute_stream"], provider["user_compute_stream"] = "1", strconv.FormatUint(uint64(stream), 10)
	}
	if err := addCUDA(x.options, provider); err != nil {
		return x, nil, err
	}
	if x.ort, err = ort.NewDynamicAdvancedSession(file, names, outputs, x.options); err != nil {
		return x, nil, cell.Hint(plain(err), "what the message names must be there for this ONNX Runtime: `barograph model info` shows the model's operators; device memory may be too small; cuda_graph: false lets nodes run on the CPU")
	}
	for _, name := range names {
		t := inputs[name]
		if w.Memory == "pinned" {
			if t.Data, err = value.Pinned(gpu, t.Data); err != nil {
				return x, nil, err
			}
		}
		v, err := value.Tensor(t)
		if err != nil {
			return x, nil, fmt.Errorf("input %q: %w", name, err)
		}
		x.values = append(x.values, v)
		x.In += value.Size(t.Type, v)
		x.Cut = max(x.Cut, t.Cut)
		if how, _ := w.placed(); how != "" {
			if x.values[len(x.values)-1], err = x.place(gpu, how, true, v, value.Size(t.Type, v)); err != nil {
				return x, nil, fmt.Errorf("input %q: %w", name, err)
			}
		}
	}
	if err := x.fits(info, wanted, dims); err != nil {
		return x, nil, err
	}
	results, err := x.room(wanted, dims)
	if err == nil && w.Collect > 1 {
		if x.shelf, err = newShelf(gpu, w.Collect, wanted, results); err == nil {
			results, err = value.PinnedTensors(x.shelf, results)
		}
	} else if err == nil && w.Memory == "pinned" {
		results, err = value.PinnedTensors(gpu, results)
	}
	x.values = append(x.values, value.Made(results)...)
	if err != nil {
		return x, nil, err
	}
	for i, v := range results {
		x.Out += value.Size(wanted[i].Type, v)
		if _, how := w.placed(); how != "" {
			if x.values[len(names)+i], err = x.place(gpu, how, false, v, value.Size(wanted[i].Type, v)); err != nil {
				return x, nil, fmt.Errorf("output %q: %w", wanted[i].Name, err)
			}
		}
	}
	x.Weights, x.outputs = info.InitialiserBytes, wanted
	if x.idle, err = ort.NewRunOptions(); err != nil {
		return x, nil, err
	}
	x.names = append(slices.Clone(names), outputs...)
	in, out := x.values[:len(names)], x.values[len(names):]
	x.run = func() error {
		for _, send := range x.sends {
			if err := send(); err != nil {
				return err
			}
		}
		switch err := x.ort.Run(in, out); {
		case err != nil:
			return err
		case x.shelf != nil:
			return x.shelf.keep()
		case x.carrier != nil:
			return x.carrier.Fetch()
		}
		return nil
	}
	if w.Weights == "swap" {
		if x.Swap, err = gpu.Transfer(x.Weights); err != nil {
			return x, nil, err
		}
	}
	return x, outputs, nil
}

// place puts a tensor in page-locked memory where the model's kernels reach it: there,
// or in the device's memory, to which it is sent before each call, or fetched after it.
func (x *Session) place(gpu cuda.GPU, how string, input bool, v ort.Value, bytes int64) (ort.Value, error) {
	if bytes == 0 {
		return v, nil
	}
	library, err := placed.Open(loaded.lib)
	if err != nil {
		return v, err
	}
	data, err := library.Data(v)
	if err != nil {
		return v, err
	}
	var address uintptr
	switch how {
	case "split":
		var send func() error
		address, send, err = gpu.Split(data, bytes, smallPath)
		x.sends = append(x.sends, send)
	case "carried":
		if x.carrier == nil {
			if x.carrier, err = gpu.Carrier(); err != nil {
				return v, err
			}
			x.sends = append(x.sends, x.carrier.Send)
		}
		if input {
			address, err = x.carrier.In(data, bytes)
		} else {
			address, err = x.carrier.Out(data, bytes)
		}
	case "collected":
		address = x.shelf.place(bytes)
	default:
		address, err = gpu.Address(data)
	}
	if err != nil {
		return v, err
	}
	t, err := library.Place("Cuda", gpu.Ordinal(), address, bytes, v)
	if err != nil {
		return v, err
	}
	return t, nil
}

// wanted returns the outputs that are copied back.
func (w *CUDA) wanted(all []onnx.Value) ([]onnx.Value, error) {
	if len(w.Outputs) == 0 {
		return all, nil
	}
	var wanted []onnx.Value
	for _, name := range w.Outputs {
		i := slices.IndexFunc(all, func(v onnx.Value) bool { return v.Name == name })
		if i < 0 {
			var known []string
			for _, v := range all {
				known = append(known, v.Name)
			}
			return nil, cell.Hint(fmt.Errorf("the model has no output %q", name), "it has %s", strings.Join(known, ", "))
		}
		wanted = append(wanted, all[i])
	}
	return wanted, nil
}

func addCUDA(o *ort.SessionOptions, provider map[string]string) error {
	p, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return cell.Hint(fmt.Errorf("ask the library for CUDA: %w", err), "this ONNX Runtime is built without CUDA: unset ONNXRUNTIME_LIB to fetch one with it, or point it at one")
	}
	err = p.Update(provider)
	if err == nil {
		err = o.AppendExecutionProviderCUDA(p)
	}
	if err != nil {
		err = cell.Hint(fmt.Errorf("start ONNX Runtime's CUDA provider: %w", err),
			"it needs cuBLAS, cuRAND, cuFFT and the runtime of CUDA %s, and cuDNN 9, on LD_LIBRARY_PATH: the README tells how to get them", asset.CUDAMajor)
	}
	return errors.Join(err, p.Destroy())
}

// First makes the first calls of a session on a GPU, as many as belong together, which
// capture the graph and may load code, and looks at what the last gave.
func (x *Session) First(group int) error {
	for range group {
		if err := x.Call(); err != nil {
			return refused(err)
		}
	}
	x.look(x.values[len(x.values)-len(x.outputs):])
	return nil
}
