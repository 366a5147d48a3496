package infer

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/model/onnx"
)

// graph writes an ONNX file of a graph with the weight w, [4, 3].
func graph(t *testing.T, opset int64, fill func(g *onnx.Graph, w string)) string {
	t.Helper()
	g := onnx.New("test", "test", 8, opset)
	fill(g, g.Weight("w", []int64{4, 3}, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 48))
		return err
	}))
	var b bytes.Buffer
	if err := g.Write(&b); err != nil {
		t.Fatal(err)
	}
	return put(t, "m.onnx", b.String())
}

func typed(t *testing.T, name string) onnx.Type {
	t.Helper()
	typ, ok := onnx.ParseType(name)
	if !ok {
		t.Fatalf("no type %q", name)
	}
	return typ
}

// external copies the model whose weights lie in another file, of which it keeps
// size bytes; -1: all.
func external(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"external.onnx", "external.onnx.data"} {
		b := filetest.Read(t, filepath.Join("testdata", name))
		if strings.HasSuffix(name, ".data") {
			if size == 0 {
				continue
			}
			b = b[:min(len(b), max(size, len(b)*max(0, -size)))]
		}
		filetest.Write(t, filepath.Join(dir, name), b)
	}
	return filepath.Join(dir, "external.onnx")
}

// Whatever is wrong with a model's file shows before anything is measured, with
// words for it.
func TestFilesThatCannotRun(t *testing.T) {
	matmul := func(g *onnx.Graph, w string) {
		g.OpAs("y", "MatMul", []string{g.Input("x", onnx.Float32, "rows", "columns"), w})
		g.Output("y", onnx.Float32, "rows", "3")
	}
	huge := put(t, "huge.onnx", "")
	if err := os.Truncate(huge, 3<<30); err != nil { // of which the disk holds nothing
		t.Fatal(err)
	}
	whole := filetest.Read(t, external(t, -1))
	for _, tt := range []struct {
		name       string
		model      any
		dims       map[string]any
		want, hint string
	}{
		{name: "unknown operation", want: "Frobnicate", hint: "model info", model: graph(t, 12, func(g *onnx.Graph, w string) {
			g.OpAs("y", "Frobnicate", []string{g.Input("x", onnx.Float32, "2", "4"), w})
			g.Output("y", onnx.Float32, "2", "3")
		})},
		{name: "operator set of the future", want: "opset", hint: "older operator set", model: graph(t, 999, matmul),
			dims: map[string]any{"rows": 1, "columns": 4}},
		{name: "no data file", want: "external.onnx.data: no such file", hint: "belong beside it", model: external(t, 0)},
		{name: "short data file", want: "external.onnx.data holds 100 bytes, and initialisers reach to byte", model: external(t, 100)},
		{name: "cut short", want: "is cut short", model: put(t, "half.onnx", string(whole[:len(whole)/2]))},
		{name: "3 GB in one file", want: "holds 3221225472 bytes, and one ONNX file at most 2147483647", hint: "external data", model: huge},
		{name: "nameless sizes", want: `no value for the dimension "rows", "columns"`, hint: "dims: {columns: 1, rows: 1}", model: graph(t, 12, matmul)},
		{name: "unknown dimension", want: `has no dimension "row"`, hint: `"rows"`, model: graph(t, 12, matmul), dims: map[string]any{"row": 1}},
		{name: "wrong shape", want: "MatMul", model: graph(t, 12, matmul), dims: map[string]any{"rows": 2, "columns": 5}},
		{name: "an input of text", want: `input "x": no values can be drawn of type "string"`, hint: "types are", model: graph(t, 12, func(g *onnx.Graph, w string) {
			g.OpAs("y", "Identity", []string{g.Input("x", typed(t, "string"), "1")})
			g.Output("y", typed(t, "string"), "1")
		})},
		{name: "more than fits", want: "has more than 134217728 elements", model: graph(t, 12, matmul), dims: map[string]any{"rows": 1 << 40, "columns": 4}},
		{name: "an output that fits nowhere", want: `output "y", float32 [1 1099511627776], take more memory`, hint: "smaller sizes", model: graph(t, 12, func(g *onnx.Graph, w string) {
			g.OpAs("y", "MatMul", []string{g.Input("x", onnx.Float32, "rows", "4"), w})
			g.Output("y", onnx.Float32, "rows", "1099511627776")
		}), dims: map[string]any{"rows": 1}},
		{name: "an input that is no tensor", want: `input "x": it is no tensor`, hint: "tensors for inputs", model: graph(t, 12, func(g *onnx.Graph, w string) {
			g.OpAs("y", "SequenceLength", []string{g.Input("x", 0)})
			g.Output("y", onnx.Int64)
		})},
		{name: "an output that is no tensor", want: `output "y" is no tensor`, hint: "zipmap=False", model: graph(t, 12, func(g *onnx.Graph, w string) {
			g.OpAs("y", "SequenceConstruct", []string{g.Input("x", onnx.Float32, "2")})
			g.Output("y", 0)
		})},
		{name: "no output", want: "gives no output", model: graph(t, 12, func(g *onnx.Graph, w string) {
			g.OpAs("y", "MatMul", []string{g.Input("x", onnx.Float32, "2", "4"), w})
		})},
		{name: "values that an operator refuses", want: "division by zero", hint: "new model", model: graph(t, 14, func(g *onnx.Graph, w string) {
			x := g.Input("x", onnx.Int64, "2")
			g.OpAs("y", "Div", []string{x, x})
			g.Output("y", onnx.Int64, "2")
		})},
		{name: "another file", want: "the SHA-256 of", hint: "another file", model: map[string]any{"file": external(t, -1), "sha256": strings.Repeat("0", 64)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with := map[string]any{"model": tt.model}
			if tt.dims != nil {
				with["dims"] = tt.dims
			}
			cmd, stdout := start(t, cell.Spec{Prepare: true}, with)
			all, err := events(t, cmd, stdout)
			e := ofType(all, "error")
			if err == nil || len(e) != 1 || !strings.Contains(e[0].Text, tt.want) || !strings.Contains(e[0].Hint, tt.hint) {
				t.Errorf("%v: error events %+v; want %q, hint %q", err, e, tt.want, tt.hint)
			}
		})
	}
}

// Files of every kind are measured, and what crosses the link is known of each.
func TestFiles(t *testing.T) {
	for _, tt := range []struct {
		name             string
		model            string
		dims             map[string]any
		in, out, weights int64
	}{
		{name: "weights apart", model: external(t, -1), in: 4 * 3 * 16 * 16, out: 4 * 5, weights: 4*(3*8*9+8+8*5+5) + 8*4},
		{name: "output found by a call", model: graph(t, 12, func(g *onnx.Graph, w string) {
			x := g.Input("x", typed(t, "uint8"), "n", "4")
			g.OpAs("where", "NonZero", []string{g.Op("", "Add", []string{g.Op("", "Cast", []string{x}, onnx.Int("to", 1)), g.Scalar(1)})})
			g.Output("where", onnx.Int64, "2", "found")
			g.OpAs("y", "MatMul", []string{g.Op("", "Cast", []string{x}, onnx.Int("to", 1)), w})
			g.Output("y", onnx.Float32, "n", "3")
		}), dims: map[string]any{"n": 5}, in: 20, out: 8*2*20 + 4*15, weights: 48},
		{name: "many types", model: graph(t, 16, func(g *onnx.Graph, w string) {
			sum := w
			for _, name := range []string{"float16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"} {
				x := g.Input(name, typed(t, name), "1")
				sum = g.Op("", "Add", []string{sum, g.Op("", "Cast", []string{x}, onnx.Int("to", 1))})
			}
			x := g.Input("none", onnx.Float32) // no dimension
			sum = g.Op("", "Add", []string{sum, x})
			g.OpAs("y", "Cast", []string{sum}, onnx.Int("to", int64(typed(t, "float16"))))
			g.Output("y", typed(t, "float16"), "4", "3")
		}), in: 2 + 8 + 1 + 2 + 4 + 8 + 1 + 2 + 4 + 8 + 1 + 4, out: 24, weights: 48},
		{name: "an output that is not what the file tells", model: graph(t, 14, func(g *onnx.Graph, w string) {
			shape := g.Input("shape", onnx.Int64, "2") // of zeros: as it was
			g.OpAs("y", "Reshape", []string{w, shape})
			g.Output("y", onnx.Float32, "elements")
		}), in: 16, out: 48, weights: 48},
		{name: "outputs without dimensions", model: graph(t, 14, func(g *onnx.Graph, w string) {
			x := g.Input("x", onnx.Float32)
			g.OpAs("y", "Abs", []string{x})
			g.Output("y", onnx.Float32)
			g.OpAs("less", "Less", []string{x, g.Scalar(0)})
			g.Output("less", typed(t, "bool"))
		}), in: 4, out: 5, weights: 48},
		{name: "a cache that begins empty", model: graph(t, 14, func(g *onnx.Graph, w string) {
			g.OpAs("present", "Concat", []string{g.Input("past", onnx.Float32, "past", "3"), w}, onnx.Int("axis", 0))
			g.Output("present", onnx.Float32, "past + 4", "3")
		}), dims: map[string]any{"past": 0}, in: 0, out: 48, weights: 48},
		{name: "a cache that grows", model: graph(t, 12, func(g *onnx.Graph, w string) {
			a, b := g.Input("past", onnx.Float32, "past", "3"), g.Input("mask", onnx.Int64, "past + 1")
			g.OpAs("present", "Concat", []string{a, w}, onnx.Int("axis", 0))
			g.Output("present", onnx.Float32, "past + 4", "3")
			g.OpAs("seen", "Identity", []string{b})
			g.Output("seen", onnx.Int64, "past + 1")
		}), dims: map[string]any{"past": 6}, in: 4*18 + 8*7, out: 4*30 + 8*7, weights: 48},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with := map[string]any{"model": tt.model}
			if tt.dims != nil {
				with["dims"] = tt.dims
			}
			_, about := measured(t, cell.Spec{}, with)
			if about.In != tt.in || about.Out != tt.out || about.Weights != tt.weights {
				t.Errorf("in %d, out %d, weights %d; want %d, %d, %d", about.In, about.Out, about.Weights, tt.in, tt.out, tt.weights)
			}
		})
	}
}

// Lengths are whole where they were 0, and what a model answers that had nothing to
// compute, or lost its numbers, is a warning beside the numbers.
func TestEmptyAnswers(t *testing.T) {
	// As many frames as the largest of lengths, as text-to-speech and speech models have.
	frames := func(t *testing.T) string {
		return graph(t, 14, func(g *onnx.Graph, w string) {
			x, lengths := g.Input("x", onnx.Float32, "batch", "sequence"), g.Input("lengths", onnx.Int64, "batch")
			longest := g.Op("", "ReduceMax", []string{lengths}, onnx.Int("keepdims", 0))
			count := g.Op("", "Shape", []string{g.Op("", "Range", []string{g.Index(0), longest, g.Index(1)})})
			g.OpAs("y", "Expand", []string{g.Op("", "ReduceSum", []string{x}, onnx.Int("keepdims", 0)), count})
			g.Output("y", onnx.Float32, "frames")
		})
	}
	unary := func(t *testing.T, kind string, fill func(g *onnx.Graph, x string)) string {
		return graph(t, 14, func(g *onnx.Graph, w string) {
			fill(g, g.Input("x", onnx.Float32, "4", "8"))
			g.Output("y", typed(t, kind), "4", "8")
		})
	}
	for _, tt := range []struct {
		name, model, config, want string
		out                       int64
	}{
		{name: "lengths", model: frames(t), out: 4 * 50},
		{name: "no length", model: frames(t), config: "values: {constant: 0}", want: `output "y" has no element`},
		{name: "NaN", model: unary(t, "float32", func(g *onnx.Graph, x string) {
			g.OpAs("y", "Log", []string{g.Op("", "Neg", []string{g.Op("", "Abs", []string{x})})})
		}),
			want: `output "y" holds NaN in 32 of 32 elements`, out: 128},
		{name: "zeros", model: unary(t, "float32", func(g *onnx.Graph, x string) { g.OpAs("y", "Mul", []string{x, g.Scalar(0)}) }), want: `output "y" is all zeros`, out: 128},
		{name: "zeros of 16 bits", model: unary(t, "float16", func(g *onnx.Graph, x string) {
			g.OpAs("y", "Cast", []string{g.Op("", "Mul", []string{x, g.Scalar(0)})}, onnx.Int("to", int64(typed(t, "float16"))))
		}), want: `output "y" is all zeros`, out: 64},
		{name: "numbers", model: unary(t, "float32", func(g *onnx.Graph, x string) { g.OpAs("y", "Abs", []string{x}) }), out: 128},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with := map[string]any{"model": tt.model, "sequence": 50}
			root := t.TempDir()
			if tt.config != "" {
				dir := filepath.Join(root, "configs", "models")
				config := fmt.Sprintf("model: frames\ndescription: d\nsource: s\nfile: %s\ninputs:\n"+
					"  - {name: x, type: float32, dims: [batch, sequence], values: {normal: [0, 1]}}\n  - {name: lengths, type: int64, dims: [batch], %s}\n", tt.model, tt.config)
				filetest.Write(t, filepath.Join(dir, "frames.yaml"), config)
				with["model"] = "frames"
			}
			cmd, stdout := start(t, cell.Spec{Root: root}, with)
			all, err := events(t, cmd, stdout)
			if err != nil {
				t.Fatalf("%v: %+v", err, ofType(all, "error"))
			}
			_, about := outputs(t, cmd.Dir)
			var said []string
			for _, w := range about.Warnings {
				if strings.HasPrefix(w, "output ") {
					said = append(said, w)
				}
			}
			if len(said) > 1 || len(said) == 1 != (tt.want != "") || !strings.HasPrefix(strings.Join(said, ""), tt.want) || about.Out != tt.out {
				t.Errorf("%d bytes, warnings %q; want %d, %q", about.Out, said, tt.out, tt.want)
			}
			if w := ofType(all, "warning"); len(said) == 1 && !slices.ContainsFunc(w, func(e cell.Event) bool { return e.Text == said[0] }) {
				t.Errorf("it is not said: %+v", w)
			}
		})
	}
}
