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
)

// A Tensor is an input of a call.
type Tensor struct {
	Shape []int64
	Data  any // []int64, []int32, []float32, []float64 or []bool, in row-major order
}

// maxElements bounds one generated tensor: 1 GiB of int64.
const maxElements = 1 << 27

// generators draws n elements of each type.
var generators = map[string]func(v Values, r *rand.Rand, n int64) any{
	"int64": func(v Values, r *rand.Rand, n int64) any { return draw(n, func() int64 { return v.integer(r) }) },
	"int32": func(v Values, r *rand.Rand, n int64) any { return draw(n, func() int32 { return int32(v.integer(r)) }) },
	"float32": func(v Values, r *rand.Rand, n int64) any {
		return draw(n, func() float32 { return float32(v.real(r)) })
	},
	"float64": func(v Values, r *rand.Rand, n int64) any { return draw(n, func() float64 { return v.real(r) }) },
	"bool":    func(v Values, r *rand.Rand, n int64) any { return draw(n, func() bool { return v.integer(r) != 0 }) },
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
// otherwise: masks let everything through; integers are 0, which is an index
// into anything; the rest is normal.
func defaults(v onnx.Value) Values {
	var c float64
	switch v.Type.String() {
	case "float32", "float64":
		return Values{Normal: &[2]float64{0, 1}}
	}
	if strings.Contains(v.Name, "mask") {
		c = 1
	}
	return Values{Constant: &c}
}

// check tells what is wrong with an input's description. Indices must stay
// below bound, unless that is 0.
func (in *Input) check(bound int64) error {
	if generators[in.Type] == nil {
		return cell.Hint(fmt.Errorf("no values can be drawn of type %q", in.Type),
			"types are %s", strings.Join(slices.Sorted(maps.Keys(generators)), ", "))
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
	if set != 1 {
		return errors.New("values takes exactly one of constant, uniform and normal")
	}
	integer := !strings.HasPrefix(in.Type, "float")
	for _, x := range numbers {
		switch {
		case math.IsNaN(x) || math.IsInf(x, 0):
			return fmt.Errorf("%g is not a finite number", x)
		case integer && (v.Normal != nil || x != math.Trunc(x) || math.Abs(x) > 1<<31-1):
			return fmt.Errorf("%s takes a constant, or uniform, of whole numbers within 31 bits", in.Type)
		}
	}
	low, high := numbers[0], numbers[0]
	if v.Uniform != nil {
		if numbers[0] >= numbers[1] {
			return fmt.Errorf("uniform [%g, %g) is empty", numbers[0], numbers[1])
		}
		high = numbers[1] - 1
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
	t := Tensor{Shape: []int64{}}
	n := int64(1)
	for _, d := range in.Dims {
		size, ok := dims[d]
		if !ok {
			var err error
			if size, err = strconv.ParseInt(d, 10, 64); err != nil || size < 0 {
				return t, fmt.Errorf("dimension %q is neither a size nor a name", d)
			}
		}
		if size > 0 && n > maxElements/size {
			return t, fmt.Errorf("its elements exceed %d", maxElements)
		}
		n *= size
		t.Shape = append(t.Shape, size)
	}
	key := sha256.Sum256(fmt.Appendf(binary.LittleEndian.AppendUint64(nil, seed), "%s %v", in.Name, t.Shape))
	t.Data = generators[in.Type](in.Values, rand.New(rand.NewChaCha8(key)), n)
	return t, nil
}

// Dims returns the names of the model's symbolic dimensions, in the order of its
// inputs, each with its largest value, or 0 where none is known.
func (c *Config) Dims() (names []string, limits map[string]int64) {
	limits = map[string]int64{}
	for _, in := range c.Inputs {
		for _, d := range in.Dims {
			if _, err := strconv.ParseInt(d, 10, 64); err != nil && !slices.Contains(names, d) {
				names = append(names, d)
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
	for _, d := range names {
		size, ok := dims[d]
		limit := limits[d]
		switch {
		case !ok:
			return fmt.Errorf("model %q: dimension %q has no value", c.Name, d)
		case size < 1:
			return fmt.Errorf("model %q: dimension %q is %d, not at least 1", c.Name, d, size)
		case limit > 0 && size > limit:
			return fmt.Errorf("model %q: dimension %q is %d, and it takes at most %d", c.Name, d, size, limit)
		}
	}
	return nil
}
