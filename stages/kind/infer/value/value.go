// Package value makes, sizes and looks at the values that ONNX Runtime takes and gives:
// tensors over Go memory, of every type that its Go binding knows.
package value

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"barograph/pipeline/cell"
	"barograph/stages/device/cuda"
	"barograph/stages/model/input"
	"barograph/stages/model/onnx"

	ort "github.com/yalue/onnxruntime_go"
)

// An element is a type of a tensor's elements that the library's Go binding knows. What is
// not of the type is not ok.
type element interface {
	tensor(shape []int64, data any) (v ort.Value, ok bool, err error)
	empty(shape []int64) (ort.Value, error)
	pinned(gpu cuda.GPU, data any) (p any, ok bool, err error)
	pinnedTensor(gpu cuda.GPU, v ort.Value) (p ort.Value, ok bool, err error)
}

// elements are those by name.
var elements = map[string]element{
	"int64": typed[int64]{}, "int32": typed[int32]{}, "int16": typed[int16]{}, "int8": typed[int8]{},
	"uint64": typed[uint64]{}, "uint32": typed[uint32]{}, "uint16": typed[uint16]{}, "uint8": typed[uint8]{},
	"bool": typed[bool]{}, "float32": typed[float32]{}, "float64": typed[float64]{},
}

type typed[T ort.TensorData] struct{}

func (typed[T]) tensor(shape []int64, data any) (v ort.Value, ok bool, err error) {
	d, ok := data.([]T)
	switch {
	case !ok:
	case len(shape) == 0:
		v, err = ort.NewScalar(d[0])
	default:
		v, err = ort.NewTensor(shape, d)
	}
	return v, ok, err
}

func (typed[T]) empty(shape []int64) (ort.Value, error) {
	if len(shape) == 0 {
		return ort.NewEmptyScalar[T]()
	}
	return ort.NewEmptyTensor[T](shape)
}

func (typed[T]) pinned(gpu cuda.GPU, data any) (any, bool, error) {
	d, ok := data.([]T)
	if !ok {
		return nil, false, nil
	}
	p, err := pin(gpu, d)
	return p, true, err
}

func (typed[T]) pinnedTensor(gpu cuda.GPU, v ort.Value) (p ort.Value, ok bool, err error) {
	t, ok := v.(*ort.Tensor[T])
	if !ok {
		return nil, false, nil
	}
	data, err := pin(gpu, t.GetData())
	if err == nil {
		p, err = ort.NewTensor(t.GetShape(), data)
	}
	return p, true, err
}

// bits makes a tensor of floats of 16 bits over their bytes, of which the binding knows no
// type, but numbers it alike.
func bits(t onnx.Type, shape []int64, data []byte) (ort.Value, error) {
	return ort.NewCustomDataTensor(shape, data, ort.TensorElementDataType(t))
}

// Tensor gives an input to the library, without copying it.
func Tensor(t input.Tensor) (ort.Value, error) {
	if e := elements[t.Type.String()]; e != nil {
		if v, ok, err := e.tensor(t.Shape, t.Data); ok {
			return v, err
		}
	}
	data, ok := t.Data.([]uint16)
	if !ok {
		return nil, fmt.Errorf("a tensor of %T is not supported", t.Data)
	}
	if len(t.Shape) == 0 || len(data) == 0 {
		return nil, fmt.Errorf("a %v without dimensions or elements is not supported", t.Type)
	}
	return bits(t.Type, t.Shape, unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), 2*len(data)))
}

// Size returns how many bytes a tensor takes, or 0 where its elements have no size.
func Size(t onnx.Type, v ort.Value) int64 {
	n := int64(1) // of no dimensions
	if shape := v.GetShape(); len(shape) > 0 {
		n = shape.FlattenedSize()
	}
	n, _ = t.Bytes(n)
	return n
}

// Empty makes room for an output, or nothing for one of a type that has none.
func Empty(t onnx.Type, shape []int64) (ort.Value, error) {
	name := t.String()
	if e := elements[name]; e != nil {
		return e.empty(shape)
	}
	if name == "float16" || name == "bfloat16" { // of which a call would find half the room
		n, _ := t.Bytes(ort.Shape(shape).FlattenedSize())
		return bits(t, shape, make([]byte, n))
	}
	return nil, nil
}

// Made returns those that are there.
func Made(values []ort.Value) []ort.Value {
	return slices.DeleteFunc(values, func(v ort.Value) bool { return v == nil })
}

// Pinned copies the data of a tensor to page-locked memory.
func Pinned(gpu cuda.GPU, data any) (any, error) {
	for _, e := range elements {
		if p, ok, err := e.pinned(gpu, data); ok {
			return p, err
		}
	}
	return nil, cell.Hint(fmt.Errorf("no page-locked memory for a tensor of %T", data), "set memory: pageable")
}

func pin[T any](gpu cuda.GPU, data []T) ([]T, error) {
	if len(data) == 0 {
		return data, nil
	}
	b, err := gpu.Pinned(int64(len(data)) * int64(unsafe.Sizeof(data[0])))
	if err != nil {
		return nil, err
	}
	p := unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(data))
	copy(p, data)
	return p, nil
}

// PinnedTensors makes tensors of the same shapes in page-locked memory.
func PinnedTensors(gpu cuda.GPU, values []ort.Value) (made []ort.Value, err error) {
	for _, v := range values {
		p, err := pinnedTensor(gpu, v)
		if err = errors.Join(err, v.Destroy()); err != nil {
			return made, err
		}
		made = append(made, p)
	}
	return made, nil
}

func pinnedTensor(gpu cuda.GPU, v ort.Value) (ort.Value, error) {
	for _, e := range elements {
		if p, ok, err := e.pinnedTensor(gpu, v); ok {
			return p, err
		}
	}
	return nil, cell.Hint(fmt.Errorf("no page-locked memory for an output of %T", v), "set memory: pageable")
}

// Doubt returns why an output, as a call left it, makes one doubt that the model had
// anything to compute, or nothing.
func Doubt(name string, t onnx.Type, v ort.Value) string {
	if shape := v.GetShape(); len(shape) > 0 && shape.FlattenedSize() == 0 {
		return fmt.Sprintf("output %q has no element", name)
	}
	float := true
	var seen content
	switch v := v.(type) {
	case interface{ GetData() []float32 }:
		seen = look(v.GetData())
	case interface{ GetData() []float64 }:
		seen = look(v.GetData())
	case interface{ GetData() float32 }:
		seen = look([]float32{v.GetData()})
	case interface{ GetData() float64 }:
		seen = look([]float64{v.GetData()})
	case *ort.CustomDataTensor:
		seen = half(v.GetData(), t)
	case interface{ GetData() []int64 }:
		seen, float = look(v.GetData()), false
	case interface{ GetData() []int32 }:
		seen, float = look(v.GetData()), false
	case interface{ GetData() []uint8 }:
		seen, float = look(v.GetData()), false
	case interface{ GetData() []int8 }:
		seen, float = look(v.GetData()), false
	default:
		return ""
	}
	switch {
	case seen.nan > 0:
		return fmt.Sprintf("output %q holds NaN in %d of %d elements", name, seen.nan, seen.all)
	case seen.zero == seen.all && (float || seen.all > 1): // one 0 may be the number of a class
		return fmt.Sprintf("output %q is all zeros", name)
	}
	return ""
}

// content counts elements.
type content struct{ all, zero, nan int }

func (c *content) add(zero, nan bool) {
	c.all++
	if zero {
		c.zero++
	}
	if nan {
		c.nan++
	}
}

func look[T float32 | float64 | int64 | int32 | uint8 | int8](data []T) (c content) {
	for _, x := range data {
		c.add(x == 0, math.IsNaN(float64(x)))
	}
	return c
}

// half looks at floats of 16 bits.
func half(data []byte, t onnx.Type) (c content) {
	infinite := uint16(0x7c00)
	if t.String() == "bfloat16" {
		infinite = 0x7f80
	}
	for ; len(data) > 1; data = data[2:] {
		x := binary.NativeEndian.Uint16(data) & 0x7fff
		c.add(x == 0, x > infinite)
	}
	return c
}
