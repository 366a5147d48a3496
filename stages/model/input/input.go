// Package input draws what is fed to a model.
package input

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/model/onnx"
	"barograph/stages/model/token"

	"github.com/x448/float16"
)

// An Input is a tensor to feed, and how to draw its elements.
type Input struct {
	Name   string   `json:"name" required:"true" also:"number"`
	Type   string   `json:"type" required:"true"`               // int64, float32, ...
	Dims   []string `json:"dims" required:"true" also:"number"` // numbers, or names that a caller gives values
	Values Values   `json:"values" required:"true"`
}

// Values says how elements are drawn: exactly one of its fields is set.
type Values struct {
	Constant *float64    `json:"constant,omitempty"`
	Uniform  *[2]float64 `json:"uniform,omitempty"` // [low, high); whole numbers for integer types
	Normal   *[2]float64 `json:"normal,omitempty"`  // mean, standard deviation
	Text     *token.Text `json:"text,omitempty"`    // tokens of a text
	Length   string      `json:"length,omitempty"`  // the size of a dimension, in each element
}

// A Tensor is an input of a call.
type Tensor struct {
	Shape []int64
	Data  any // []int64, []float32, []bool, ..., in row-major order; []uint16 for the bits of 16-bit floats
	Type  onnx.Type
	Cut   int // texts that are longer than their tokens' place
}

// maxElements bounds one generated tensor: 1 GiB of int64.
const maxElements = 1 << 27

// An element is what can be drawn of one type. Values of integer types lie from
// low to high; those of 64 bits are kept within 31, where float64 and every
// index is exact.
type element struct {
	draw      func(v Values, r *rand.Rand, n int64) any
	low, high float64 // both 0: no integer
}

const most = 1<<31 - 1

var elements = map[string]element{
	"int64":    whole[int64](-most, most),
	"int32":    whole[int32](-most, most),
	"int16":    whole[int16](math.MinInt16, math.MaxInt16),
	"int8":     whole[int8](math.MinInt8, math.MaxInt8),
	"uint64":   whole[uint64](0, most),
	"uint32":   whole[uint32](0, most),
	"uint16":   whole[uint16](0, math.MaxUint16),
	"uint8":    whole[uint8](0, math.MaxUint8),
	"bool":     {func(v Values, r *rand.Rand, n int64) any { return draw(n, func() bool { return v.integer(r) != 0 }) }, 0, 1},
	"float64":  real(func(x float64) float64 { return x }),
	"float32":  real(func(x float64) float32 { return float32(x) }),
	"float16":  real(func(x float64) uint16 { return float16.Fromfloat32(float32(x)).Bits() }),
	"bfloat16": real(func(x float64) uint16 { return uint16(math.Float32bits(float32(x)) >> 16) }),
}

func whole[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](low, high float64) element {
	return element{func(v Values, r *rand.Rand, n int64) any { return draw(n, func() T { return T(v.integer(r)) }) }, low, high}
}

func real[T any](convert func(float64) T) element {
	return element{draw: func(v Values, r *rand.Rand, n int64) any { return draw(n, func() T { return convert(v.real(r)) }) }}
}

func draw[T any](n int64, one func() T) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = one()
	}
	return s
}

// integer draws a whole number.
func (v Values) integer(r *rand.Rand) int64 {
	if v.Constant != nil {
		return int64(*v.Constant)
	}
	low, high := int64(v.Uniform[0]), int64(v.Uniform[1])
	return low + r.Int64N(high-low)
}

// real draws a number.
func (v Values) real(r *rand.Rand) float64 {
	switch {
	case v.Constant != nil:
		return *v.Constant
	case v.Uniform != nil:
		return v.Uniform[0] + r.Float64()*(v.Uniform[1]-v.Uniform[0])
	}
	return v.Normal[0] + r.NormFloat64()*v.Normal[1]
}

// Check tells what is wrong with an input's description. Indices must stay
// below bound, unless that is 0.
func (in *Input) Check(bound int64) error {
	e, ok := elements[in.Type]
	if !ok {
		if in.Type == onnx.Type(0).String() {
			return cell.Hint(errors.New("it is no tensor but a sequence, a map or an optional value"), "export the model with tensors for inputs")
		}
		return cell.Hint(fmt.Errorf("no values can be drawn of type %q", in.Type),
			"types are %s", strings.Join(slices.Sorted(maps.Keys(elements)), ", "))
	}
	v := in.Values
	var numbers []float64
	set := 0
	if v.Constant != nil {
		set, numbers = set+1, append(numbers, *v.Constant)
	}
	for _, pair := range []*[2]float64{v.Uniform, v.Normal} {
		if pair != nil {
			set, numbers = set+1, append(numbers, pair[:]...)
		}
	}
	if v.Text != nil {
		set++
	}
	if v.Length != "" {
		set++
	}
	switch {
	case set != 1:
		return errors.New("values takes exactly one of constant, uniform, normal, text and length")
	case v.Length != "":
		return nil // known once the dimension has a size
	case v.Text != nil:
		return v.Text.Check(in.Type, in.Dims)
	}
	low, high := numbers[0], numbers[0]
	if v.Uniform != nil {
		if numbers[0] >= numbers[1] {
			return fmt.Errorf("uniform [%g, %g) is empty", numbers[0], numbers[1])
		}
		high = numbers[1] - 1
	}
	integer := e.low != e.high
	for _, x := range numbers {
		switch {
		case math.IsNaN(x) || math.IsInf(x, 0):
			return fmt.Errorf("%g is not a finite number", x)
		case integer && (v.Normal != nil || x != math.Trunc(x)), integer && (low < e.low || high > e.high):
			return fmt.Errorf("%s takes a constant, or uniform, of whole numbers from %.0f to %.0f", in.Type, e.low, e.high)
		}
	}
	if bound > 0 && (low < 0 || high >= float64(bound)) {
		return fmt.Errorf("values must lie from 0 to %d", bound-1)
	}
	return nil
}

// Draw returns the elements. dims gives symbolic dimensions their values. Inputs with
// the same name, shape and seed are the same.
func (in *Input) Draw(dims map[string]int64, seed uint64) (Tensor, error) {
	n, err := in.Elements(dims)
	if err != nil {
		return Tensor{}, err
	}
	shape, _ := onnx.Resolve(in.Dims, dims)
	t := Tensor{Shape: shape}
	t.Type, _ = onnx.ParseType(in.Type)
	if in.Values.Text != nil {
		t.Data, t.Cut, err = in.Values.Text.Draw(shape[0], shape[1])
		return t, err
	}
	values := in.Values
	if values.Length != "" {
		size, err := onnx.Resolve([]string{values.Length}, dims)
		if err != nil {
			return Tensor{}, err
		}
		if e, x := elements[in.Type], float64(size[0]); e.high > 0 && x > e.high {
			return Tensor{}, fmt.Errorf("the length %g is beyond %s", x, in.Type)
		} else {
			values = constant(x)
		}
	}
	key := sha256.Sum256(fmt.Appendf(binary.LittleEndian.AppendUint64(nil, seed), "%s %v", in.Name, t.Shape))
	t.Data = elements[in.Type].draw(values, rand.New(rand.NewChaCha8(key)), n)
	return t, nil
}

// Elements returns how many elements the input has.
func (in *Input) Elements(dims map[string]int64) (int64, error) {
	shape, err := onnx.Resolve(in.Dims, dims)
	if err != nil {
		return 0, err
	}
	t := onnx.Tensor{Dims: shape}
	n, ok := t.Elements()
	if !ok || n > maxElements {
		return 0, fmt.Errorf("%s %v has more than %d elements", in.Type, shape, maxElements)
	}
	return n, nil
}
