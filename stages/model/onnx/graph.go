package onnx

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/x448/float16"
	"google.golang.org/protobuf/encoding/protowire"
)

// MaxBytes is the size of the largest model that fits in one file: protocol
// buffers end at 2 GiB.
const MaxBytes = math.MaxInt32

// A Graph is a model under construction. Its methods return the names by which
// later operators refer to what they added.
type Graph struct {
	name     string
	ir       int64
	opset    int64
	producer string

	nodes           []byte // encoded, in order
	ops             map[string]int
	domains         map[string]int64 // versions of operator sets other than the standard one
	inputs, outputs []Value
	weights         []weight
	constants       map[string]string // encoded tensor -> name
	taken           map[string]int
	uses            uses
}

type weight struct {
	Tensor
	data func(io.Writer) error
}

// New returns an empty graph of standard operators of one version, in a file of
// the IR version that goes with it.
func New(name, producer string, ir, opset int64) *Graph {
	return &Graph{
		name: name, producer: producer, ir: ir, opset: opset,
		ops: map[string]int{}, constants: map[string]string{}, taken: map[string]int{},
	}
}

// Input adds an input; a dim is a number or a name.
func (g *Graph) Input(name string, t Type, dims ...string) string {
	g.inputs = append(g.inputs, Value{name, t, dims})
	return name
}

// Inputs returns the inputs added so far.
func (g *Graph) Inputs() []Value { return g.inputs }

// Output makes a value an output of the graph, under its own name.
func (g *Graph) Output(name string, t Type, dims ...string) {
	g.outputs = append(g.outputs, Value{name, t, dims})
}

// Weight adds an initialiser of float32 elements. Write calls data, which must
// write them in row-major order, little endian.
func (g *Graph) Weight(name string, dims []int64, data func(io.Writer) error) string {
	return g.WeightOf(Float32, name, dims, data)
}

// WeightOf is [Graph.Weight] for elements of any type.
func (g *Graph) WeightOf(of Type, name string, dims []int64, data func(io.Writer) error) string {
	t := Tensor{Name: name, Type: of, Dims: dims}
	if n, ok := t.Elements(); ok {
		t.Bytes, _ = t.Type.Bytes(n)
	}
	g.weights = append(g.weights, weight{t, data})
	return name
}

// An Attribute is a named argument of an operator.
type Attribute struct {
	name    string
	integer int64 // of Int
	encoded []byte
}

// Attribute types of AttributeProto.
const (
	attrFloat  = 1
	attrInt    = 2
	attrTensor = 4
	attrInts   = 7
)

// Float is a float32 attribute.
func Float(name string, v float32) Attribute {
	b := text(nil, 1, name)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 2, protowire.Fixed32Type), math.Float32bits(v))
	return Attribute{name: name, encoded: integer(b, 20, attrFloat)}
}

// Int is an integer attribute.
func Int(name string, v int64) Attribute {
	b := text(nil, 1, name)
	b = integer(b, 3, v)
	return Attribute{name, v, integer(b, 20, attrInt)}
}

// Ints is an attribute that is a list of integers.
func Ints(name string, v ...int64) Attribute {
	b := text(nil, 1, name)
	for _, n := range v {
		b = integer(b, 8, n)
	}
	return Attribute{name: name, encoded: integer(b, 20, attrInts)}
}

// Op adds an operator with one output, named scope/op, and returns that name.
func (g *Graph) Op(scope, op string, inputs []string, attrs ...Attribute) string {
	out := g.unique(scope + "/" + op)
	g.OpAs(out, op, inputs, attrs...)
	return out
}

// OpAs adds an operator whose one output has a given name.
func (g *Graph) OpAs(out, op string, inputs []string, attrs ...Attribute) {
	g.add([]string{out}, op, inputs, attrs)
}

// Parts adds an operator of which some outputs are wanted, by their numbers from 0, and
// returns their names.
func (g *Graph) Parts(scope, op string, inputs []string, wanted []int, attrs ...Attribute) []string {
	outs := make([]string, wanted[len(wanted)-1]+1)
	var names []string
	for _, i := range wanted {
		outs[i] = g.unique(scope + "/" + op)
		names = append(names, outs[i])
	}
	g.add(outs, op, inputs, attrs)
	return names
}

// Split adds the operator that divides a value along an axis into equal parts.
func (g *Graph) Split(scope, in string, axis int64, parts int) []string {
	var outs []string
	for range parts {
		outs = append(outs, g.unique(scope+"/Split"))
	}
	g.add(outs, "Split", []string{in}, []Attribute{Int("axis", axis)})
	return outs
}

// Microsoft is what begins the names of operators that ONNX Runtime has of its own, of
// the first version of their set.
const Microsoft = "com.microsoft."

// add adds an operator, named for its first output.
func (g *Graph) add(outs []string, op string, inputs []string, attrs []Attribute) {
	var axis int64
	var b []byte
	for _, in := range inputs {
		b = text(b, 1, in)
	}
	for _, out := range outs {
		b = text(b, 2, out)
	}
	b = text(b, 3, outs[0])
	plain, own := strings.CutPrefix(op, Microsoft)
	b = text(b, 4, plain)
	for _, a := range attrs {
		b = message(b, 5, a.encoded)
		if a.name == "axis" {
			axis = a.integer
		}
	}
	if own {
		b = text(b, 7, strings.TrimSuffix(Microsoft, "."))
		g.domains = map[string]int64{strings.TrimSuffix(Microsoft, "."): 1}
	}
	g.nodes = message(g.nodes, 1, b)
	g.ops[op]++
	g.uses.see(op, inputs, outs[0], axis)
}

func (g *Graph) unique(name string) string {
	g.taken[name]++
	if n := g.taken[name]; n > 1 {
		return name + "_" + strconv.Itoa(n)
	}
	return name
}

// Scalar adds a float32 constant without dimensions. It is an operator
// (Constant) and no initialiser, so that the initialisers of a graph are its
// parameters.
func (g *Graph) Scalar(v float32) string {
	return g.constant(Float32, nil, binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
}

// Half adds a float16 constant without dimensions.
func (g *Graph) Half(v float32) string {
	return g.constant(Float16, nil, binary.LittleEndian.AppendUint16(nil, float16.Fromfloat32(v).Bits()))
}

// Index adds an int64 constant without dimensions.
func (g *Graph) Index(v int64) string {
	return g.constant(Int64, nil, binary.LittleEndian.AppendUint64(nil, uint64(v)))
}

// Shape adds an int64 constant of one dimension.
func (g *Graph) Shape(v ...int64) string {
	var raw []byte
	for _, n := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(n))
	}
	return g.constant(Int64, []int64{int64(len(v))}, raw)
}

// constant adds a constant once.
func (g *Graph) constant(t Type, dims []int64, raw []byte) string {
	value := message(tensor(Tensor{Type: t, Dims: dims}), 9, raw)
	if name, ok := g.constants[string(value)]; ok {
		return name
	}
	a := text(nil, 1, "value")
	a = message(a, 5, value)
	name := g.Op("constant", "Constant", nil, Attribute{name: "value", encoded: integer(a, 20, attrTensor)})
	g.constants[string(value)] = name
	return name
}

// Info returns what [Inspect] would say of the file that Write writes, except
// for the offsets of its initialisers.
func (g *Graph) Info() (*Info, error) {
	info := &Info{
		IR: g.ir, Producer: g.producer, Opset: g.opset, Inputs: g.inputs, Outputs: g.outputs,
		Domains: g.domains, Ops: g.ops, Bytes: g.layout().size,
	}
	for _, w := range g.weights {
		if err := info.add(w.Tensor); err != nil {
			return nil, err
		}
	}
	info.settle(&g.uses)
	return info, nil
}

// A layout is a file without its weights' elements.
type layout struct {
	head    []byte   // all that stands before the weights
	weights [][]byte // what stands before each weight's elements
	tail    []byte
	size    int64 // of the file
}

func (g *Graph) layout() layout {
	head := text(g.nodes[:len(g.nodes):len(g.nodes)], 2, g.name)
	var tail []byte
	for _, v := range g.inputs {
		tail = message(tail, 11, value(v))
	}
	for _, v := range g.outputs {
		tail = message(tail, 12, value(v))
	}
	var l layout
	inner := int64(len(head) + len(tail)) // bytes of the GraphProto
	for _, w := range g.weights {
		body := tensor(w.Tensor)
		body = protowire.AppendTag(body, 9, protowire.BytesType)
		body = protowire.AppendVarint(body, uint64(w.Bytes))
		size := int64(len(body)) + w.Bytes
		b := protowire.AppendTag(nil, 5, protowire.BytesType)
		b = append(protowire.AppendVarint(b, uint64(size)), body...)
		l.weights = append(l.weights, b)
		inner += int64(len(b)) + w.Bytes
	}
	l.head = integer(nil, 1, g.ir)
	l.head = text(l.head, 2, g.producer)
	l.head = protowire.AppendTag(l.head, 7, protowire.BytesType)
	l.head = protowire.AppendVarint(l.head, uint64(inner))
	l.size = int64(len(l.head)) + inner
	l.head = append(l.head, head...)
	set := message(nil, 8, integer(text(nil, 1, ""), 2, g.opset))
	for domain, version := range g.domains { // one at most
		set = message(set, 8, integer(text(nil, 1, domain), 2, version))
	}
	l.size += int64(len(set))
	l.tail = append(tail, set...)
	return l
}

// Skeleton returns the file's bytes without its weights' elements: two graphs
// with the same skeleton and the same elements are the same file.
func (g *Graph) Skeleton() []byte {
	l := g.layout()
	return slices.Concat(l.head, slices.Concat(l.weights...), l.tail)
}

// Write writes the model. The same graph gives the same bytes.
func (g *Graph) Write(w io.Writer) error {
	l := g.layout()
	if l.size > MaxBytes {
		return fmt.Errorf("write %s: %d bytes do not fit in one ONNX file, which ends at %d", g.name, l.size, MaxBytes)
	}
	out := bufio.NewWriter(w)
	if _, err := out.Write(l.head); err != nil {
		return err
	}
	for i, t := range g.weights {
		if _, err := out.Write(l.weights[i]); err != nil {
			return err
		}
		c := counter{w: out}
		if err := t.data(&c); err != nil {
			return fmt.Errorf("write weight %q: %w", t.Name, err)
		}
		if c.n != t.Bytes {
			return fmt.Errorf("write weight %q: its source gave %d bytes, not %d", t.Name, c.n, t.Bytes)
		}
	}
	if _, err := out.Write(l.tail); err != nil {
		return err
	}
	return out.Flush()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// tensor encodes a TensorProto without its elements.
func tensor(t Tensor) []byte {
	var b []byte
	for _, d := range t.Dims {
		b = integer(b, 1, d)
	}
	b = integer(b, 2, int64(t.Type))
	if t.Name != "" {
		b = text(b, 8, t.Name)
	}
	return b
}

// value encodes a ValueInfoProto.
func value(v Value) []byte {
	var shape []byte
	for _, d := range v.Dims {
		var dim []byte
		if n, err := strconv.ParseInt(d, 10, 64); err == nil {
			dim = integer(nil, 1, n)
		} else {
			dim = text(nil, 2, d)
		}
		shape = message(shape, 1, dim)
	}
	t := integer(nil, 1, int64(v.Type))
	t = message(t, 2, shape)
	return message(text(nil, 1, v.Name), 2, message(nil, 1, t))
}

func integer(b []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

func text(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func message(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}
