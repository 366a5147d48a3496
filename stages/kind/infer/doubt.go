package infer

import (
	"encoding/binary"
	"fmt"
	"math"

	"barograph/stages/model/onnx"

	ort "github.com/yalue/onnxruntime_go"
)

// doubt returns why an output, as a call left it, makes one doubt that the model had
// anything to compute, or nothing.
func doubt(name string, t onnx.Type, v ort.Value) string {
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
