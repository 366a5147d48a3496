// Package onnx writes ONNX files and reads what is in them, without the weights
// ever being in memory: [Graph.Write] streams them out and [Inspect] skips them.
//
// The format is the protocol buffer ModelProto of
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; field numbers in this
// package are that file's.
package onnx

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
)

// A Type is the type of a tensor's elements, as TensorProto.DataType numbers it.
type Type int32

// The types that graphs are written with; files may hold any other.
const (
	Float32 Type = 1
	Int32   Type = 6
	Int64   Type = 7
	Float16 Type = 10
)

// types lists names, sizes in bits (0: no fixed size) and whether tensors of the
// type are taken for weights. 32 and 64 bit integers hold shapes and indices.
var types = map[Type]struct {
	name   string
	bits   int64
	weight bool
}{
	1: {"float32", 32, true}, 2: {"uint8", 8, true}, 3: {"int8", 8, true},
	4: {"uint16", 16, true}, 5: {"int16", 16, true}, 6: {"int32", 32, false},
	7: {"int64", 64, false}, 8: {"string", 0, false}, 9: {"bool", 8, false},
	10: {"float16", 16, true}, 11: {"float64", 64, true}, 12: {"uint32", 32, false},
	13: {"uint64", 64, false}, 14: {"complex64", 64, true}, 15: {"complex128", 128, true},
	16: {"bfloat16", 16, true}, 17: {"float8e4m3fn", 8, true}, 18: {"float8e4m3fnuz", 8, true},
	19: {"float8e5m2", 8, true}, 20: {"float8e5m2fnuz", 8, true}, 21: {"uint4", 4, true},
	22: {"int4", 4, true}, 23: {"float4e2m1", 4, true}, 24: {"float8e8m0", 8, true},
	25: {"uint2", 2, true}, 26: {"int2", 2, true},
}

// String returns the type's name, for example "int64".
func (t Type) String() string {
	if d, ok := types[t]; ok {
		return d.name
	}
	if t == 0 {
		return "no tensor"
	}
	return fmt.Sprintf("type %d", int32(t))
}

// MarshalText writes the type's name.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// ParseType returns the type of a name.
func ParseType(name string) (Type, bool) {
	for t, d := range types {
		if d.name == name {
			return t, true
		}
	}
	return 0, false
}

// Bytes returns how many bytes n elements take as raw data; false where the
// type has no fixed size.
func (t Type) Bytes(n int64) (int64, bool) {
	d := types[t]
	if d.bits < 8 {
		return (n*d.bits + 7) / 8, d.bits > 0
	}
	return n * (d.bits / 8), true
}

// A Value is an input or an output of a graph.
type Value struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
	// Dims holds numbers, names, and ? where the file says nothing; it is nil
	// where the file does not even say how many dimensions there are.
	Dims []string `json:"dims"`
}

// Resolve gives dims their sizes, names by values.
func Resolve(dims []string, values map[string]int64) ([]int64, error) {
	shape := make([]int64, len(dims))
	for i, d := range dims {
		for _, name := range Terms(d) {
			size, ok := values[name]
			if !ok {
				var err error
				if size, err = strconv.ParseInt(name, 10, 64); err != nil || size < 0 {
					return nil, fmt.Errorf("dimension %q is neither a size nor a name with a value", name)
				}
			}
			if shape[i] > math.MaxInt64-size {
				return nil, fmt.Errorf("dimension %q overflows", d)
			}
			shape[i] += size
		}
	}
	return shape, nil
}

// Terms returns what a dimension is the sum of: exporters write "past + sequence"
// where a cache grows. Most have one term.
func Terms(dim string) []string { return strings.Split(dim, " + ") }

// A Tensor is an initialiser.
type Tensor struct {
	Name string
	Type Type
	Dims []int64
	// Offset and Bytes say where the raw data lies: in the model's file, or in
	// External, a path relative to its folder. Bytes is 0 where elements are
	// stored one by one.
	Offset, Bytes int64
	External      string
}

// Elements returns the number of elements; false when it exceeds what fits.
func (t *Tensor) Elements() (int64, bool) {
	n := int64(1)
	for _, d := range t.Dims {
		if d < 0 || d > 0 && n > (1<<50)/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// An Info says what an ONNX file holds.
type Info struct {
	IR       int64            `json:"ir_version"`
	Producer string           `json:"producer,omitempty"`
	Opset    int64            `json:"opset"`             // of the standard operators
	Domains  map[string]int64 `json:"domains,omitempty"` // other operator sets
	Inputs   []Value          `json:"inputs"`            // without initialisers
	Outputs  []Value          `json:"outputs"`
	// Parameters counts the elements of initialisers and constants that training
	// adjusts, or that took the place of such when the model was quantised. It leaves
	// out what holds shapes and indices (32 and 64 bit integers, truth values, text),
	// what has no dimension, the running statistics of a batch normalisation, the
	// scales of a resizing, and the scales and zero points of a quantisation.
	Parameters       int64          `json:"parameters"`
	InitialiserBytes int64          `json:"initialiser_bytes"`
	Ops              map[string]int `json:"ops"`                // how often each operator stands in it
	External         []string       `json:"external,omitempty"` // files with more data, beside the model's
	Bytes            int64          `json:"bytes"`              // of the model's file
	Initialisers     []Tensor       `json:"-"`
	// Rows tells of inputs that choose rows of initialisers how many rows there
	// are to choose from: of token numbers, the size of the vocabulary.
	Rows map[string]int64 `json:"rows,omitempty"`
	// Makers names the operator that makes each output, where it makes that first.
	Makers map[string]string `json:"-"`
}

// add takes in an initialiser.
func (i *Info) add(t Tensor) error {
	n, ok := t.Elements()
	if !ok {
		return fmt.Errorf("initialiser %q has the impossible shape %v", t.Name, t.Dims)
	}
	size, fixed := t.Type.Bytes(n)
	if fixed && t.Bytes != 0 && t.Bytes != size {
		return fmt.Errorf("initialiser %q of %v %v holds %d bytes, not %d", t.Name, t.Type, t.Dims, t.Bytes, size)
	}
	i.InitialiserBytes += size
	i.Initialisers = append(i.Initialisers, t)
	return nil
}

// CheckExternal tells which of the data files of a model in a folder are missing
// or too short for what lies in them, all at once.
func (i *Info) CheckExternal(dir string) error {
	need := map[string]int64{}
	for _, t := range i.Initialisers {
		n, _ := t.Elements()
		size, _ := t.Type.Bytes(n)
		need[t.External] = max(need[t.External], t.Offset+size)
	}
	var errs []error
	for _, name := range i.External {
		fi, err := cell.Regular(filepath.Join(dir, name))
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("data file: %w", err))
		case fi.Size() < need[name]:
			errs = append(errs, fmt.Errorf("data file %s holds %d bytes, and initialisers reach to byte %d", filepath.Join(dir, name), fi.Size(), need[name]))
		}
	}
	return errors.Join(errs...)
}

// uses notes what operators do with initialisers and inputs.
type uses struct {
	apart  map[string]bool     // initialisers that no training adjusts
	biases map[string]bool     // of 32 bit integers, which are parameters all the same
	tables map[string][]string // name of an index -> what it chooses rows of
	from   map[string]alias    // what an operator hands on from its first input, by its output
	makers map[string]string   // operators, by their first output
}

// An alias is a value with the elements of another, perhaps in another shape.
type alias struct {
	before   string
	reshaped bool
}

// maxInputs is how many inputs of an operator uses looks at.
const maxInputs = 9

// apart says which inputs of operators hold what no training adjusts.
var apart = map[string][]int{
	"BatchNormalization": {3, 4},
	"Resize":             {1, 2},
	"Upsample":           {1},
	"QuantizeLinear":     {1, 2},
	"DequantizeLinear":   {1, 2},
	"QLinearConv":        {1, 2, 4, 5, 6, 7},
	"QLinearMatMul":      {1, 2, 4, 5, 6, 7},
	"QGemm":              {1, 2, 4, 5, 7, 8},
	"ConvInteger":        {2, 3},
	"MatMulInteger":      {2, 3},
}

// biases says which input of an operator may be a bias of 32 bit integers.
var biases = map[string]int{"DequantizeLinear": 0, "QLinearConv": 8, "QGemm": 6}

// see takes in an operator, named with its domain unless that is the standard
// one, and its first output; axis is its attribute, or 0.
func (u *uses) see(op string, inputs []string, output string, axis int64) {
	if u.apart == nil {
		u.apart, u.biases = map[string]bool{}, map[string]bool{}
		u.tables, u.from, u.makers = map[string][]string{}, map[string]alias{}, map[string]string{}
	}
	u.makers[output] = op
	plain := strings.TrimPrefix(op, "com.microsoft.") // which has the same for more types
	for _, i := range apart[plain] {
		if i < len(inputs) {
			u.apart[inputs[i]] = true
		}
	}
	if i, ok := biases[plain]; ok && i < len(inputs) {
		u.biases[inputs[i]] = true
	}
	switch plain {
	case "Gather":
		if len(inputs) >= 2 && axis == 0 {
			u.tables[inputs[1]] = append(u.tables[inputs[1]], inputs[0])
		}
	case "EmbedLayerNormalization":
		if len(inputs) >= 5 {
			u.tables[inputs[0]] = append(u.tables[inputs[0]], inputs[2])
			u.tables[inputs[1]] = append(u.tables[inputs[1]], inputs[4])
		}
	case "Cast", "Identity", "DequantizeLinear", "Clip":
		if len(inputs) > 0 {
			u.from[output] = alias{inputs[0], false}
		}
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		if len(inputs) > 0 {
			u.from[output] = alias{inputs[0], true}
		}
	}
}

// origin follows a value back to what it has its elements from, and tells whether
// their shape changed on the way.
func (u *uses) origin(name string) (first string, reshaped bool) {
	for range 16 { // a file may go in circles
		p, ok := u.from[name]
		if !ok {
			break
		}
		name, reshaped = p.before, reshaped || p.reshaped
	}
	return name, reshaped
}

// settle fills in what takes the whole graph to know.
func (i *Info) settle(u *uses) {
	rows := map[string]int64{}
	for _, t := range i.Initialisers {
		bias := t.Type == Int32 && u.biases[t.Name]
		if n, _ := t.Elements(); len(t.Dims) > 0 && (types[t.Type].weight || bias) && !u.apart[t.Name] {
			i.Parameters += n
		}
		if len(t.Dims) > 0 {
			rows[t.Name] = t.Dims[0]
		}
	}
	for _, out := range i.Outputs {
		if i.Makers == nil {
			i.Makers = map[string]string{}
		}
		i.Makers[out.Name] = u.makers[out.Name]
	}
	inputs := map[string]bool{}
	for _, in := range i.Inputs {
		inputs[in.Name] = true
	}
	for index, tables := range u.tables {
		in, _ := u.origin(index)
		for _, table := range tables {
			table, reshaped := u.origin(table)
			n := rows[table]
			if known := i.Rows[in]; !inputs[in] || reshaped || n < 1 || known > 0 && known < n {
				continue
			}
			if i.Rows == nil {
				i.Rows = map[string]int64{}
			}
			i.Rows[in] = n
		}
	}
}
