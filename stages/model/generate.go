package model

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/model/onnx"

	"github.com/x448/float16"
	"gopkg.in/yaml.v3"
)

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

// defaults returns how an input of an ONNX file is drawn unless one says
// otherwise: what chooses one of rows rows chooses any; masks let everything
// through; other integers are 0, which is an index into anything, and bytes are
// any, as an image's; the rest is normal.
func defaults(v onnx.Value, rows int64) Values {
	var c float64
	switch t := v.Type.String(); {
	case strings.Contains(t, "float"):
		return Values{Normal: &[2]float64{0, 1}}
	case rows > 1:
		return Values{Uniform: &[2]float64{0, float64(min(rows, most))}}
	case strings.Contains(v.Name, "mask") || t == "bool":
		c = 1
	case t == "uint8":
		return Values{Uniform: &[2]float64{0, 256}}
	}
	return Values{Constant: &c}
}

// check tells what is wrong with an input's description. Indices must stay
// below bound, unless that is 0.
func (in *Input) check(bound int64) error {
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
	switch {
	case set != 1:
		return errors.New("values takes exactly one of constant, uniform, normal and text")
	case v.Text != nil:
		return v.Text.check(in)
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

// Generate draws the inputs of one call, by name. dims gives symbolic dimensions
// their values; it must name them all and no others. Inputs with the same name,
// shape and seed are the same.
func Generate(c *Config, dims map[string]int64, seed uint64) (map[string]Tensor, error) {
	if err := c.CheckDims(dims); err != nil {
		return nil, err
	}
	tensors := map[string]Tensor{}
	for _, in := range c.Inputs {
		t, err := in.generate(dims, seed)
		if err != nil {
			return nil, fmt.Errorf("model %q: input %q: %w", c.Name, in.Name, err)
		}
		tensors[in.Name] = t
	}
	return tensors, nil
}

func (in *Input) generate(dims map[string]int64, seed uint64) (Tensor, error) {
	n, err := in.elements(dims)
	if err != nil {
		return Tensor{}, err
	}
	shape, _ := onnx.Resolve(in.Dims, dims)
	t := Tensor{Shape: shape}
	t.Type, _ = onnx.ParseType(in.Type)
	if in.Values.Text != nil {
		t.Data, t.Cut, err = in.Values.Text.draw(shape[0], shape[1])
		return t, err
	}
	key := sha256.Sum256(fmt.Appendf(binary.LittleEndian.AppendUint64(nil, seed), "%s %v", in.Name, t.Shape))
	t.Data = elements[in.Type].draw(in.Values, rand.New(rand.NewChaCha8(key)), n)
	return t, nil
}

// elements returns how many elements the input has.
func (in *Input) elements(dims map[string]int64) (int64, error) {
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

// Dims returns the names of the model's symbolic dimensions, in the order of its
// inputs, each with its largest value, or 0 where none is known.
func (c *Config) Dims() (names []string, limits map[string]int64) {
	limits = map[string]int64{}
	for _, in := range c.Inputs {
		for _, d := range in.Dims {
			for _, t := range onnx.Terms(d) {
				if !isSize(t) && !slices.Contains(names, t) {
					names = append(names, t)
				}
			}
		}
	}
	if c.arch != nil {
		limits = c.arch.limits()
	}
	return names, limits
}

// CheckDims tells whether dims gives every symbolic dimension a value that the
// model takes, and no other a value.
func (c *Config) CheckDims(dims map[string]int64) error {
	names, limits := c.Dims()
	for _, d := range slices.Sorted(maps.Keys(dims)) {
		if !slices.Contains(names, d) {
			return cell.Hint(fmt.Errorf("model %q has no dimension %q", c.Name, d), "%s", suggest(d, names))
		}
	}
	var missing []string
	for _, d := range names {
		size, ok := dims[d]
		limit := limits[d]
		switch {
		case !ok:
			missing = append(missing, d)
		case size < 1 && c.arch != nil:
			return fmt.Errorf("model %q: dimension %q is %d, not at least 1", c.Name, d, size)
		case size < 0: // a cache may begin empty
			return fmt.Errorf("model %q: dimension %q is %d, not at least 0", c.Name, d, size)
		case limit > 0 && size > limit:
			return fmt.Errorf("model %q: dimension %q is %d, and it takes at most %d", c.Name, d, size, limit)
		}
	}
	for sum, limit := range limits {
		if shape, err := onnx.Resolve([]string{sum}, dims); err == nil && shape[0] > limit {
			return fmt.Errorf("model %q: %s is %d, and it takes at most %d", c.Name, sum, shape[0], limit)
		}
	}
	if len(missing) > 0 {
		all, guess := c.GuessDims(), map[string]int64{}
		for _, d := range missing {
			guess[d] = max(1, all[d])
		}
		sizes, err := Flow(guess)
		if err != nil {
			return err
		}
		return &missingError{
			cell.Hint(fmt.Errorf("model %q: no value for the dimension %s", c.Name, quoted(missing)),
				"say, beside model: dims: %s, with the sizes that you mean", sizes), guess}
	}
	for _, in := range c.Inputs {
		if _, err := in.elements(dims); err != nil {
			return fmt.Errorf("model %q: input %q: %w", c.Name, in.Name, err)
		}
	}
	return nil
}

// A missingError names dimensions without a value, and sizes to try.
type missingError struct {
	error
	guess map[string]int64
}

func (e *missingError) Unwrap() error { return e.error }

// Flow writes a value as YAML on one line.
func Flow(v any) (string, error) {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return "", err
	}
	n.Style |= yaml.FlowStyle
	b, err := yaml.Marshal(&n)
	return strings.TrimSpace(string(b)), err
}

// GuessDims gives dimensions other than batch and sequence, which have sizes by
// default, sizes to try a model with: images of 224 by 224, texts of 64 tokens,
// and 1 of all else.
func (c *Config) GuessDims() map[string]int64 {
	guess := map[string]int64{}
	names, _ := c.Dims()
	for _, n := range names {
		switch low := strings.ToLower(n); {
		case n == "batch" || n == "sequence":
		case strings.Contains(low, "height") || strings.Contains(low, "width") || low == "h" || low == "w" || c.spatial(n):
			guess[n] = 224
		case strings.Contains(low, "total"): // of a cache and what is new
			guess[n] = 128
		case strings.Contains(low, "seq") || strings.Contains(low, "len") || strings.Contains(low, "past"):
			guess[n] = 64
		default:
			guess[n] = 1
		}
	}
	return guess
}

// spatial tells whether a dimension is a height or width of an image, of 1 or 3
// channels that stand before or after them.
func (c *Config) spatial(dim string) bool {
	for _, in := range c.Inputs {
		i := slices.Index(in.Dims, dim)
		channels := func(at int) bool { return in.Dims[at] == "1" || in.Dims[at] == "3" }
		if len(in.Dims) == 4 && (i >= 2 && channels(1) || (i == 1 || i == 2) && channels(3)) {
			return true
		}
	}
	return false
}

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = strconv.Quote(n)
	}
	return strings.Join(q, ", ")
}

// Traffic returns how many bytes the inputs and the outputs of one call take,
// which cross the link when the model runs beyond one. The outputs' is -1 where
// the file does not say how large they are.
func (c *Config) Traffic(info *Info, dims map[string]int64) (in, out int64, err error) {
	if err := c.CheckDims(dims); err != nil {
		return 0, 0, err
	}
	for _, i := range c.Inputs {
		t, _ := onnx.ParseType(i.Type)
		n, err := size(t, i.Dims, dims)
		if err != nil {
			return 0, 0, fmt.Errorf("model %q: input %q: %w", c.Name, i.Name, err)
		}
		in += n
	}
	for _, o := range info.Outputs {
		n, err := size(o.Type, o.Dims, dims)
		if err != nil {
			return in, -1, nil // known once it has run
		}
		out += n
	}
	return in, out, nil
}

// size returns how many bytes a tensor takes.
func size(t onnx.Type, dims []string, values map[string]int64) (int64, error) {
	shape, err := onnx.Resolve(dims, values)
	if err != nil {
		return 0, err
	}
	tensor := onnx.Tensor{Dims: shape}
	n, ok := tensor.Elements()
	size, fixed := t.Bytes(n)
	if !ok || !fixed {
		return 0, fmt.Errorf("%v %v has no fixed size", t, shape)
	}
	return size, nil
}
