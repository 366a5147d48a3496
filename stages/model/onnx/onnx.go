// Package onnx writes ONNX files and reads what is in them, without the weights
// ever being in memory: [Graph.Write] streams them out and [Inspect] skips them.
//
// The format is the protocol buffer ModelProto of
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; field numbers in this
// package are that file's.
package onnx

import "fmt"

// A Type is the type of a tensor's elements, as TensorProto.DataType numbers it.
type Type int32

// The types that graphs are written with; files may hold any other.
const (
	Float32 Type = 1
	Int64   Type = 7
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
	Name string   `json:"name"`
	Type Type     `json:"type"`
	Dims []string `json:"dims"` // a number, a name, or ? where the file says nothing
}

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
	// Parameters counts the elements of initialisers, without those that hold
	// shapes and indices (32 and 64 bit integers, truth values, text).
	Parameters       int64          `json:"parameters"`
	InitialiserBytes int64          `json:"initialiser_bytes"`
	Ops              map[string]int `json:"ops"`                // how often each operator stands in it
	External         []string       `json:"external,omitempty"` // files with more data, beside the model's
	Bytes            int64          `json:"bytes"`              // of the model's file
	Initialisers     []Tensor       `json:"-"`
}

// add counts an initialiser.
func (i *Info) add(t Tensor) error {
	n, ok := t.Elements()
	if !ok {
		return fmt.Errorf("initialiser %q has the impossible shape %v", t.Name, t.Dims)
	}
	size, fixed := t.Type.Bytes(n)
	if fixed && t.Bytes != 0 && t.Bytes != size {
		return fmt.Errorf("initialiser %q of %v %v holds %d bytes, not %d", t.Name, t.Type, t.Dims, t.Bytes, size)
	}
	if types[t.Type].weight {
		i.Parameters += n
	}
	i.InitialiserBytes += size
	i.Initialisers = append(i.Initialisers, t)
	return nil
}
