package onnx

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
)

// sample is a graph with a bit of everything: y = relu(x W + c).
func sample() *Graph {
	g := New("sample", "test", 7, 12)
	x := g.Input("x", Float32, "batch", "4")
	w := g.Weight("w", []int64{4, 3}, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 48))
		return err
	})
	y := g.Op("layer", "MatMul", []string{x, w})
	y = g.Op("layer", "Add", []string{y, g.Scalar(2)})
	y = g.Op("layer", "Add", []string{y, g.Scalar(2)}) // the constant is shared
	g.OpAs("y", "Reshape", []string{y, g.Shape(-1, 3)})
	g.Output("y", Float32, "batch", "3")
	return g
}

func encode(t testing.TB, g *Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := g.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func inspectBytes(b []byte) (*Info, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func TestRoundTrip(t *testing.T) {
	g := sample()
	b := encode(t, g)
	got, err := inspectBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	want := &Info{
		IR: 7, Producer: "test", Opset: 12,
		Inputs:     []Value{{"x", Float32, []string{"batch", "4"}}},
		Outputs:    []Value{{"y", Float32, []string{"batch", "3"}}},
		Parameters: 12, InitialiserBytes: 48,
		Ops:    map[string]int{"MatMul": 1, "Add": 2, "Reshape": 1, "Constant": 2},
		Makers: map[string]string{"y": "Reshape"},
		Bytes:  int64(len(b)),
	}
	tensors := got.Initialisers
	got.Initialisers = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Inspect gives\n%+v, want\n%+v", got, want)
	}
	if len(tensors) != 1 || !bytes.Equal(b[tensors[0].Offset:][:tensors[0].Bytes], make([]byte, 48)) {
		t.Errorf("initialisers %+v", tensors)
	}
	info, err := g.Info()
	if err != nil {
		t.Fatal(err)
	}
	info.Initialisers = nil
	if !reflect.DeepEqual(info, want) {
		t.Errorf("Info gives\n%+v, want\n%+v", info, want)
	}
}

// A file that ends early, wherever that is, is an error.
func TestCutShort(t *testing.T) {
	b := encode(t, sample())
	for n := range b {
		info, err := inspectBytes(b[:n])
		if err == nil {
			t.Errorf("the first %d of %d bytes pass for a model: %+v", n, len(b), info)
		}
	}
}

// What is no file ends at once, also what would wait for a writer.
func TestInspectSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, loop := filepath.Join(dir, "pipe"), filepath.Join(dir, "loop")
	if err := errors.Join(unix.Mkfifo(pipe, 0o666), os.Symlink(loop, loop)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "no regular file", pipe: "no regular file", "/dev/zero": "no regular file", loop: "symbolic links"} {
		if _, err := Inspect(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestReadErrors(t *testing.T) {
	whole := encode(t, sample())
	bytesField := func(num protowire.Number, v []byte) []byte { return message(nil, num, v) }
	model := func(graph []byte) []byte {
		b := integer(nil, 1, 7)
		b = message(b, 7, graph)
		return message(b, 8, integer(nil, 2, 12))
	}
	deep := bytesField(2, []byte("leaf"))
	for range maxDepth + 2 { // a graph in an attribute of an operator of a graph ...
		node := append(text(nil, 4, "If"), bytesField(5, bytesField(6, deep))...)
		deep = bytesField(1, node)
	}
	weight := func(t Tensor, more ...[]byte) []byte {
		return model(bytesField(5, append(tensor(t), bytes.Join(more, nil)...)))
	}
	entry := func(k, v string) []byte { return bytesField(13, text(text(nil, 1, k), 2, v)) }
	outside := integer(nil, 14, 1)
	f4 := Tensor{Name: "w", Type: Float32, Dims: []int64{4}}
	cases := []struct {
		name, want string
		data       []byte
	}{
		{"empty", "is empty", nil},
		{"text", "is no ONNX file", []byte("The quick brown fox jumps over the lazy dog.\n")},
		{"zeros", "is no ONNX file", make([]byte, 100)},
		{"ones", "is no ONNX file", bytes.Repeat([]byte{0xff}, 100)},
		{"a zip file", "is no", []byte("PK\x03\x04\x14\x00\x00\x00\x08\x00")},
		{"half", "is cut short", whole[:len(whole)/2]},
		{"no graph", "lacks", integer(nil, 1, 7)},
		{"two graphs", "second graph", append(model(nil), bytesField(7, nil)...)},
		{"graph that is a number", "should hold a message", integer(integer(nil, 1, 7), 7, 1)},
		{"huge length", "is cut short", append(integer(nil, 1, 7), 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)},
		{"operator without type", "without a type", model(bytesField(1, nil))},
		{"deep", "within", model(deep)},
		{"long name", "is text of", model(bytesField(1, text(nil, 4, strings.Repeat("x", maxText+1))))},
		{"negative dim", "impossible shape", weight(Tensor{Name: "w", Type: Float32, Dims: []int64{-1}})},
		{"overflow", "impossible shape", weight(Tensor{Name: "w", Type: Float32, Dims: []int64{1 << 40, 1 << 40}})},
		{"wrong size", "holds 8 bytes, not 16", weight(f4, bytesField(9, make([]byte, 8)))},
		{"nameless data", "does not name", weight(f4, outside)},
		{"data elsewhere", `names the data file "../secret", which is not below`, weight(f4, outside, entry("location", "../secret"))},
		{"bad offset", "offset", weight(f4, outside, entry("location", "a"), entry("offset", "-1"))},
		{"many dims", "dimensions", weight(Tensor{Name: "w", Type: Float32, Dims: make([]int64, maxRank+1)})},
	}
	for _, c := range cases {
		_, err := inspectBytes(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// What other writers do: packed dims, weights listed as inputs, sub-graphs, other
// domains, data in other files, element lists.
func TestReadOtherWriters(t *testing.T) {
	var packed []byte
	for _, d := range []uint64{2, 3} {
		packed = protowire.AppendVarint(packed, d)
	}
	w := message(nil, 1, packed)
	w = text(integer(w, 2, int64(Float32)), 8, "w")
	w = message(w, 13, text(text(nil, 1, "location"), 2, "w.data"))
	w = message(w, 13, text(text(nil, 1, "length"), 2, "24"))
	w = integer(w, 14, 1)
	inner := message(nil, 1, text(nil, 4, "Relu"))
	node := text(text(nil, 4, "If"), 7, "")
	node = message(node, 5, message(text(nil, 1, "then_branch"), 6, inner))
	graph := message(nil, 1, node)
	graph = message(graph, 1, text(text(nil, 4, "Gelu"), 7, "com.microsoft"))
	graph = message(graph, 5, w)
	graph = message(graph, 5, text(integer(integer(nil, 1, 1), 2, int64(Int64)), 8, "shape"))
	for _, name := range []string{"x", "w"} {
		graph = message(graph, 11, value(Value{name, Float32, []string{"n"}}))
	}
	graph = message(graph, 11, message(text(nil, 1, "free"), 2, message(nil, 1, message(integer(nil, 1, 1), 2, message(nil, 1, nil)))))
	file := message(integer(nil, 1, 3), 7, graph)
	file = message(file, 8, integer(nil, 2, 9))
	file = message(file, 8, integer(text(nil, 1, "com.microsoft"), 2, 1))
	got, err := inspectBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	got.Initialisers = nil
	want := &Info{
		IR: 3, Opset: 9, Domains: map[string]int64{"com.microsoft": 1},
		Inputs:     []Value{{"x", Float32, []string{"n"}}, {"free", Float32, []string{"?"}}},
		Parameters: 6, InitialiserBytes: 32, External: []string{"w.data"},
		Ops: map[string]int{"If": 1, "Relu": 1, "com.microsoft.Gelu": 1}, Bytes: int64(len(file)),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// metered counts the bytes read.
type metered struct {
	io.ReaderAt
	n int
}

func (m *metered) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.ReaderAt.ReadAt(p, off)
	m.n += n
	return n, err
}

func TestReadSkipsWeights(t *testing.T) {
	g := New("big", "test", 7, 12)
	for _, name := range []string{"a", "b", "c"} {
		g.Weight(name, []int64{1 << 20}, func(w io.Writer) error {
			_, err := w.Write(make([]byte, 4<<20))
			return err
		})
	}
	b := encode(t, g)
	m := &metered{ReaderAt: bytes.NewReader(b)}
	info, err := Read(m, int64(len(b)))
	if err != nil || info.Parameters != 3<<20 {
		t.Fatalf("%+v, %v", info, err)
	}
	if m.n > 512<<10 {
		t.Errorf("%d of %d bytes were read", m.n, len(b))
	}
}

func TestWriteErrors(t *testing.T) {
	g := New("big", "test", 7, 12)
	g.Weight("w", []int64{1 << 30}, nil)
	if err := g.Write(io.Discard); err == nil || !strings.Contains(err.Error(), "do not fit in one ONNX file") {
		t.Errorf("4 GiB: error %v", err)
	}
	short := New("short", "test", 7, 12)
	short.Weight("w", []int64{2}, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 4))
		return err
	})
	if err := short.Write(io.Discard); err == nil || err.Error() != `write weight "w": its source gave 4 bytes, not 8` {
		t.Errorf("half a weight: error %v", err)
	}
	if err := sample().Write(failing{}); !errors.Is(err, errFull) {
		t.Errorf("a full disk: error %v", err)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func FuzzRead(f *testing.F) {
	f.Add(encode(f, sample()))
	f.Add([]byte("hello"))
	f.Add([]byte{8, 7, 0x3a, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := inspectBytes(b)
		if err != nil {
			return
		}
		for _, w := range info.Initialisers {
			if w.External == "" && (w.Offset < 0 || w.Bytes < 0 || w.Offset+w.Bytes > int64(len(b))) {
				t.Errorf("initialiser %+v lies outside %d bytes", w, len(b))
			}
		}
	})
}

// What counts as a parameter, and which inputs choose rows, as other exporters
// than ours write it.
func TestParametersAndRows(t *testing.T) {
	node := func(op, inputs, output string, attrs ...[]byte) []byte {
		var b []byte
		for in := range strings.FieldsSeq(inputs) {
			b = text(b, 1, in)
		}
		b = text(text(b, 2, output), 4, op)
		if of, name, ok := strings.Cut(op, ":"); ok {
			b = text(text(b, 7, of), 4, name) // the last one counts
		}
		for _, a := range attrs {
			b = message(b, 5, a)
		}
		return message(nil, 1, b)
	}
	of := func(name string, typ Type, dims ...int64) []byte {
		tt := Tensor{Name: name, Type: typ, Dims: dims}
		n, _ := tt.Elements()
		size, _ := typ.Bytes(n)
		return message(tensor(tt), 9, make([]byte, size))
	}
	weight := func(name string, typ Type, dims ...int64) []byte {
		return message(nil, 5, of(name, typ, dims...))
	}
	constant := func(name string, dims ...int64) []byte {
		value := message(nil, 5, of("", Float32, dims...)) // before the attribute's name, which may stand anywhere
		return node("Constant", "", name, text(value, 1, "value"))
	}
	int8s := Type(3)
	tests := []struct {
		name              string
		graph             [][]byte
		parameters, bytes int64
		rows              map[string]int64
	}{
		{"weights as constants", [][]byte{constant("w", 4, 3), constant("b", 1), constant("two")}, 13, 52, nil},
		{"constant statistics", [][]byte{
			constant("s", 4), constant("b", 4), constant("m", 4), constant("v", 4), node("BatchNormalization", "x s b m v", "y"),
		}, 8, 64, nil},
		{"scalars", [][]byte{weight("w", Float32, 5), weight("epsilon", Float32)}, 5, 24, nil},
		{"sparse", [][]byte{message(nil, 15, message(message(nil, 1, of("w", Float32, 7)), 2, of("", Int64, 7)))}, 7, 28, nil},
		{"quantised", [][]byte{
			weight("w", int8s, 4, 3), weight("ws", Float32, 3), weight("wz", int8s, 3), node("DequantizeLinear", "w ws wz", "wf"),
			weight("b", Int32, 3), weight("bs", Float32, 3), node("com.microsoft:DequantizeLinear", "b bs", "bf"),
			weight("n", Int32, 3),
		}, 15, 12 + 12 + 3 + 12 + 12 + 12, nil},
		{"quantised operators", [][]byte{
			weight("w", int8s, 4, 3), weight("s", Float32, 1), weight("z", int8s, 1), weight("b", Int32, 4),
			node("QLinearConv", "x s z w s z s z b", "y"), node("com.microsoft:QGemm", "x s z w s z b s z", "z"),
		}, 16, 12 + 4 + 1 + 16, nil},
		{"resized", [][]byte{weight("scales", Float32, 4), node("Resize", "x scales scales", "y")}, 0, 16, nil},
		{"reshaped tokens", [][]byte{
			weight("table", Float32, 9, 2), node("Reshape", "x shape", "flat"), node("Cast", "flat", "ids"), node("Gather", "table ids", "y"),
		}, 18, 72, map[string]int64{"x": 9}},
		{"rows of a quantised table", [][]byte{
			weight("q", int8s, 9, 2), weight("s", Float32, 2), node("DequantizeLinear", "q s", "table"), node("Gather", "table x", "y"),
		}, 18, 26, map[string]int64{"x": 9}},
		{"rows of another shape", [][]byte{
			weight("w", Float32, 9, 2), node("Reshape", "w shape", "table"), node("Gather", "table x", "y"),
		}, 18, 72, nil},
		{"embedding of ONNX Runtime", [][]byte{
			weight("words", Float32, 9, 2), weight("places", Float32, 8, 2), weight("kinds", Float32, 2, 2),
			node("com.microsoft:EmbedLayerNormalization", "x t words places kinds", "y"),
		}, 38, 152, map[string]int64{"x": 9, "t": 2}},
		{"in circles", [][]byte{
			weight("table", Float32, 9, 2), node("Cast", "a", "b"), node("Cast", "b", "a"), node("Gather", "table a", "y"),
		}, 18, 72, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			graph := bytes.Join(tt.graph, nil)
			for _, in := range []string{"x", "t"} {
				graph = message(graph, 11, value(Value{in, Int64, []string{"n"}}))
			}
			info, err := inspectBytes(message(message(integer(nil, 1, 7), 7, graph), 8, integer(nil, 2, 13)))
			if err != nil {
				t.Fatal(err)
			}
			if info.Parameters != tt.parameters || info.InitialiserBytes != tt.bytes || !reflect.DeepEqual(info.Rows, tt.rows) {
				t.Errorf("%d parameters in %d bytes, rows %v; want %d, %d, %v",
					info.Parameters, info.InitialiserBytes, info.Rows, tt.parameters, tt.bytes, tt.rows)
			}
		})
	}
}
