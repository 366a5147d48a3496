package session

import (
	"errors"
	"math"
	"slices"
	"testing"
	"unsafe"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
	"barograph/stages/kind/infer/placed"
	"barograph/stages/model"

	ort "github.com/yalue/onnxruntime_go"
)

// openTiny opens a session in this process, with the library at a path.
func openTiny(t *testing.T) (x *Session, lib string) {
	t.Helper()
	t.Setenv("ONNXRUNTIME_LIB", "")
	lib, err := asset.Runtime(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(lib); err != nil {
		t.Fatal(err)
	}
	c, err := model.Load("../../../..", "bert-tiny")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := cell.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	file, err := model.Ensure(t.Context(), c, cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x, err = Open(c, file, map[string]int64{"batch": 1, "sequence": 16}, 1, 7); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x, lib
}

// The call fills the outputs that were bound, every time.
func TestSessionComputes(t *testing.T) {
	s, _ := openTiny(t)
	out := s.values[len(s.values)-2].(*ort.Tensor[float32])
	if err := s.Call(); err != nil {
		t.Fatal(err)
	}
	first := slices.Clone(out.GetData())
	norm := 0.0
	for _, v := range first {
		norm += float64(v) * float64(v)
	}
	if len(first) == 0 || norm == 0 || math.IsNaN(norm) || math.IsInf(norm, 0) {
		t.Errorf("output of %d elements has norm %g", len(first), norm)
	}
	out.ZeroContents()
	if err := s.Call(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first, out.GetData()) {
		t.Error("two calls on the same input differ")
	}
}

// What the library says is told without the places in its source.
func TestPlain(t *testing.T) {
	for said, want := range map[string]string{
		"Load model from m.onnx failed:/onnxruntime_src/onnxruntime/core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::ModelOptions&) Unsupported model IR version: 99, max supported IR version: 13": "Load model from m.onnx failed:Unsupported model IR version: 99, max supported IR version: 13",
		"Status Message: /onnxruntime_src/core/reshape_helper.h:33 onnxruntime::ReshapeHelper::ReshapeHelper(const TensorShape&, bool) i < input_shape.NumDimensions() was false. Zero.":                                                    "Status Message: i < input_shape.NumDimensions() was false. Zero.",
		"/onnxruntime_src/core/conv.cc:52 virtual common::Status ConvInteger::Compute(OpKernelContext*) const IsScalar(z) was false.":                                                                                                       "IsScalar(z) was false.",
		"/onnxruntime_src/core/mel.cc:7 Status Mel<T>::operator()(void (*)(int), int) too few":                                                                                                                                              "too few",
		"no place (in) it": "no place (in) it",
	} {
		if got := plain(errors.New(said)).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A session reads and writes tensors where they were placed.
func TestPlaced(t *testing.T) {
	x, lib := openTiny(t)
	library, err := placed.Open(lib)
	if err != nil {
		t.Fatal(err)
	}
	in, out := x.values[:len(x.values)-2], slices.Clone(x.values[len(x.values)-2:])
	first, ok := out[0].(*ort.Tensor[float32])
	if !ok {
		t.Fatalf("the first output is %T", out[0])
	}
	host, err := ort.NewEmptyTensor[float32](first.GetShape())
	if err != nil {
		t.Fatal(err)
	}
	data, err := library.Data(host)
	if err != nil || data != unsafe.Pointer(&host.GetData()[0]) {
		t.Fatalf("the data lies at %v, %v", data, err)
	}
	bytes := int64(4 * len(host.GetData()))
	there, err := library.Place("Cpu", 0, uintptr(data), bytes, host)
	if err != nil {
		t.Fatal(err)
	}
	out[0] = there
	if err := x.ort.Run(in, out); err != nil {
		t.Fatal(err)
	}
	if got := host.GetData(); !slices.Equal(got, first.GetData()) {
		t.Errorf("placed, the output begins with %v, and %v otherwise", got[:4], first.GetData()[:4])
	}
	if placed.Host(there) != ort.Value(host) || placed.Host(first) != ort.Value(first) {
		t.Error("the host tensors are others")
	}
	if _, err := library.Place("Cpu", 0, uintptr(data), bytes-1, first); err == nil {
		t.Error("a tensor fits into memory that is too small")
	}
	if err := there.Destroy(); err != nil {
		t.Error(err)
	}
	if _, err := placed.Open("/nowhere/libonnxruntime.so"); err == nil {
		t.Error("opened a library that is not there")
	}
}
