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

// Tensor gives an input to the library, without copying it.
func Tensor(t input.Tensor) (ort.Value, error) {
	switch data := t.Data.(type) {
	case []int64:
		return shaped(t.Shape, data)
	case []int32:
		return shaped(t.Shape, data)
	case []int16:
		return shaped(t.Shape, data)
	case []int8:
		return shaped(t.Shape, data)
	case []uint64:
		return shaped(t.Shape, data)
	case []uint32:
		return shaped(t.Shape, data)
	case []uint8:
		return shaped(t.Shape, data)
	case []float32:
		return shaped(t.Shape, data)
	case []float64:
		return shaped(t.Shape, data)
	case []bool:
		return shaped(t.Shape, data)
	case []uint16:
		if t.Type.String() == "uint16" {
			return shaped(t.Shape, data)
		}
		if len(t.Shape) == 0 || len(data) == 0 {
			return nil, fmt.Errorf("a %v without dimensions or elements is not supported", t.Type)
		}
		raw := unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), 2*len(data))
		return ort.NewCustomDataTensor(t.Shape, raw, ort.TensorElementDataType(t.Type)) // numbered alike
	}
	return nil, fmt.Errorf("a tensor of %T is not supported", t.Data)
}

func shaped[T ort.TensorData](shape []int64, data []T) (ort.Value, error) {
	if len(shape) == 0 {
		return ort.NewScalar(data[0])
	}
	return ort.NewTensor(shape, data)
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
	switch t.String() {
	case "int64":
		return emptied[int64](shape)
	case "int32":
		return emptied[int32](shape)
	case "int16":
		return emptied[int16](shape)
	case "int8":
		return emptied[int8](shape)
	case "uint64":
		return emptied[uint64](shape)
	case "uint32":
		return emptied[uint32](shape)
	case "uint16":
		return emptied[uint16](shape)
	case "uint8":
		return emptied[uint8](shape)
	case "bool":
		return emptied[bool](shape)
	case "float32":
		return emptied[float32](shape)
	case "float64":
		return emptied[float64](shape)
	case "float16", "bfloat16": // of which a call would find half the room
		n, _ := t.Bytes(ort.Shape(shape).FlattenedSize())
		return ort.NewCustomDataTensor(shape, make([]byte, n), ort.TensorElementDataType(t))
	}
	return nil, nil
}

func emptied[T ort.TensorData](shape []int64) (ort.Value, error) {
	if len(shape) == 0 {
		return ort.NewEmptyScalar[T]()
	}
	return ort.NewEmptyTensor[T](shape)
}

// Made returns those that are there.
func Made(values []ort.Value) []ort.Value {
	return slices.DeleteFunc(values, func(v ort.Value) bool { return v == nil })
}

// Pinned copies the data of a tensor to page-locked memory.
func Pinned(gpu cuda.GPU, data any) (any, error) {
	switch d := data.(type) {
	case []int64:
		return pin(gpu, d)
	case []int32:
		return pin(gpu, d)
	case []int16:
		return pin(gpu, d)
	case []int8:
		return pin(gpu, d)
	case []uint64:
		return pin(gpu, d)
	case []uint32:
		return pin(gpu, d)
	case []uint16:
		return pin(gpu, d)
	case []uint8:
		return pin(gpu, d)
	case []bool:
		return pin(gpu, d)
	case []float32:
		return pin(gpu, d)
	case []float64:
		return pin(gpu, d)
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
		var p ort.Value
		switch t := v.(type) {
		case *ort.Tensor[int64]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[int32]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[int16]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[int8]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[uint64]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[uint32]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[uint16]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[uint8]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[bool]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[float32]:
			p, err = pinTensor(gpu, t)
		case *ort.Tensor[float64]:
			p, err = pinTensor(gpu, t)
		default:
			err = cell.Hint(fmt.Errorf("no page-locked memory for an output of %T", v), "set memory: pageable")
		}
		if err = errors.Join(err, v.Destroy()); err != nil {
			return made, err
		}
		made = append(made, p)
	}
	return made, nil
}

func pinTensor[T ort.TensorData](gpu cuda.GPU, t *ort.Tensor[T]) (ort.Value, error) {
	data, err := pin(gpu, t.GetData())
	if err != nil {
		return nil, err
	}
	return ort.NewTensor(t.GetShape(), data)
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
