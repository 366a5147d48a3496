package model

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"barograph/stages/asset"
	"barograph/stages/model/network"

	ort "github.com/yalue/onnxruntime_go"
)

// reference is BERT computed in float64 with plain loops, from the formulae of
// Devlin et al. 2019 and Vaswani et al. 2017, on the weights of an ONNX file. It
// shares nothing with the builder but the names of weights.
type reference struct {
	network.BERT
	weights map[string][]float64
}

func newReference(t *testing.T, c *Config, path string) *reference {
	t.Helper()
	info, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &reference{*c.arch.(*network.BERT), map[string][]float64{}}
	for _, w := range info.Initialisers {
		raw := make([]byte, w.Bytes)
		if _, err := f.ReadAt(raw, w.Offset); err != nil {
			t.Fatal(err)
		}
		for ; len(raw) > 0; raw = raw[4:] {
			r.weights[w.Name] = append(r.weights[w.Name], float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
		}
	}
	return r
}

func (r *reference) weight(name string) []float64 {
	w, ok := r.weights[name]
	if !ok {
		panic("no weight " + name)
	}
	return w
}

// linear is x W + b for every row of x; W is stored [in, out].
func (r *reference) linear(x [][]float64, name string) [][]float64 {
	w, b := r.weight(name+".weight"), r.weight(name+".bias")
	y := make([][]float64, len(x))
	for i := range x {
		y[i] = make([]float64, len(b))
		for o := range b {
			y[i][o] = b[o]
			for k := range x[i] {
				y[i][o] += x[i][k] * w[k*len(b)+o]
			}
		}
	}
	return y
}

// norm normalises every row to mean 0 and variance 1, then scales and shifts.
func (r *reference) norm(x [][]float64, name string) [][]float64 {
	gamma, beta := r.weight(name+".weight"), r.weight(name+".bias")
	y := make([][]float64, len(x))
	for i, row := range x {
		var mean, variance float64
		for _, v := range row {
			mean += v / float64(len(row))
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / float64(len(row))
		}
		y[i] = make([]float64, len(row))
		for k, v := range row {
			y[i][k] = (v-mean)/math.Sqrt(variance+r.Epsilon)*gamma[k] + beta[k]
		}
	}
	return y
}

func sum(a, b [][]float64) [][]float64 {
	y := make([][]float64, len(a))
	for i := range a {
		y[i] = make([]float64, len(a[i]))
		for k := range a[i] {
			y[i][k] = a[i][k] + b[i][k]
		}
	}
	return y
}

// forward computes one sequence: its hidden states and its pooled output.
func (r *reference) forward(ids, mask, types []int64) (hidden [][]float64, pooled []float64) {
	h := int(r.Hidden)
	words, positions, kinds := r.weight("embeddings.word_embeddings.weight"),
		r.weight("embeddings.position_embeddings.weight"), r.weight("embeddings.token_type_embeddings.weight")
	x := make([][]float64, len(ids))
	for i := range ids {
		x[i] = make([]float64, h)
		for k := range h {
			x[i][k] = words[int(ids[i])*h+k] + positions[i*h+k] + kinds[int(types[i])*h+k]
		}
	}
	x = r.norm(x, "embeddings.LayerNorm")
	for l := range r.Layers {
		layer := fmt.Sprintf("encoder.layer.%d.", l)
		attended := r.linear(r.attend(x, mask, layer+"attention.self."), layer+"attention.output.dense")
		x = r.norm(sum(attended, x), layer+"attention.output.LayerNorm")
		inner := r.linear(x, layer+"intermediate.dense")
		for i := range inner {
			for k, v := range inner[i] {
				inner[i][k] = v * 0.5 * (1 + math.Erf(v/math.Sqrt2))
			}
		}
		x = r.norm(sum(r.linear(inner, layer+"output.dense"), x), layer+"output.LayerNorm")
	}
	if r.Pooler {
		pooled = r.linear(x[:1], "pooler.dense")[0]
		for k, v := range pooled {
			pooled[k] = math.Tanh(v)
		}
	}
	return x, pooled
}

// attend is softmax(Q K^T / sqrt(d) + mask) V for every head, side by side.
func (r *reference) attend(x [][]float64, mask []int64, name string) [][]float64 {
	q, k, v := r.linear(x, name+"query"), r.linear(x, name+"key"), r.linear(x, name+"value")
	size := int(r.Hidden / r.Heads)
	out := make([][]float64, len(x))
	for i := range x {
		out[i] = make([]float64, r.Hidden)
		for head := range int(r.Heads) {
			scores := make([]float64, len(x))
			highest := math.Inf(-1)
			for j := range x {
				for d := head * size; d < (head+1)*size; d++ {
					scores[j] += q[i][d] * k[j][d]
				}
				scores[j] = scores[j]/math.Sqrt(float64(size)) + float64(1-mask[j])*-math.MaxFloat32
				highest = max(highest, scores[j])
			}
			var total float64
			for j := range scores {
				scores[j] = math.Exp(scores[j] - highest)
				total += scores[j]
			}
			for j := range x {
				for d := head * size; d < (head+1)*size; d++ {
					out[i][d] += scores[j] / total * v[j][d]
				}
			}
		}
	}
	return out
}

var loadRuntime = sync.OnceValue(func() error {
	lib, err := asset.Runtime(context.Background(), nil)
	if err != nil {
		return err
	}
	ort.SetSharedLibraryPath(lib)
	return ort.InitializeEnvironment()
})

var bertInputs = []string{"input_ids", "attention_mask", "token_type_ids"}

// open opens a session of the real ONNX Runtime on one thread.
func open(t *testing.T, path string, level ort.GraphOptimizationLevel, optimised string, inputs []string, outputs ...string) *ort.DynamicAdvancedSession {
	t.Helper()
	if err := loadRuntime(); err != nil {
		t.Fatal(err)
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer options.Destroy()
	for _, err := range []error{options.SetIntraOpNumThreads(1), options.SetGraphOptimizationLevel(level), options.SetLogSeverityLevel(ort.LoggingLevelError)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if optimised != "" {
		if err := options.SetOptimizedModelFilePath(optimised); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ort.NewDynamicAdvancedSession(path, inputs, outputs, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Destroy() })
	return s
}

// call runs a session on three [batch, sequence] inputs.
func call(t *testing.T, s *ort.DynamicAdvancedSession, batch, sequence int, outputs int, inputs ...[]int64) [][]float32 {
	t.Helper()
	var in []ort.Value
	for _, data := range inputs {
		v, err := ort.NewTensor(ort.NewShape(int64(batch), int64(sequence)), data)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Destroy()
		in = append(in, v)
	}
	return run(t, s, in, outputs)
}

// run runs a session, all of whose outputs are float32.
func run(t *testing.T, s *ort.DynamicAdvancedSession, in []ort.Value, outputs int) [][]float32 {
	t.Helper()
	out := make([]ort.Value, outputs)
	if err := s.Run(in, out); err != nil {
		t.Fatal(err)
	}
	var got [][]float32
	for _, v := range out {
		got = append(got, slices.Clone(v.(*ort.Tensor[float32]).GetData()))
		if err := v.Destroy(); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// relative is |a - b| / |b| in the Euclidean norm.
func relative(a []float32, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var d, n float64
	for i := range a {
		d += (float64(a[i]) - b[i]) * (float64(a[i]) - b[i])
		n += b[i] * b[i]
	}
	return math.Sqrt(d / n)
}

func TestBERTAgreesWithFloat64(t *testing.T) {
	c := small(t)
	path, err := Ensure(t.Context(), c, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("float32", func(t *testing.T) { compareBERT(t, c, path, path, 1e-5) })
	half, err := c.WithPrecision("float16")
	if err != nil {
		t.Fatal(err)
	}
	file, err := Ensure(t.Context(), half, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("float16", func(t *testing.T) { compareBERT(t, c, path, file, halfTolerance) })
}

// compareBERT compares what a file gives with float64 on the weights of another.
func compareBERT(t *testing.T, c *Config, weights, path string, tolerance float64) {
	ref := newReference(t, c, weights)
	for _, level := range []ort.GraphOptimizationLevel{ort.GraphOptimizationLevelDisableAll, ort.GraphOptimizationLevelEnableAll} {
		s := open(t, path, level, "", bertInputs, "last_hidden_state", "pooler_output")
		for _, shape := range [][2]int{{1, 1}, {1, 16}, {2, 7}, {3, 16}} {
			batch, sequence := shape[0], shape[1]
			r := rand.New(rand.NewPCG(uint64(batch), uint64(sequence)))
			for _, masked := range []string{"none", "tail", "random", "all"} {
				t.Run(fmt.Sprintf("%v/%dx%d/%s", level, batch, sequence, masked), func(t *testing.T) {
					n := batch * sequence
					ids, mask, types := make([]int64, n), make([]int64, n), make([]int64, n)
					for i := range n {
						ids[i], types[i] = r.Int64N(c.arch.(*network.BERT).Vocabulary), r.Int64N(2)
						switch masked {
						case "none":
							mask[i] = 1
						case "tail":
							if i%sequence <= sequence/2 {
								mask[i] = 1
							}
						case "random":
							mask[i] = r.Int64N(2)
						}
					}
					got := call(t, s, batch, sequence, 2, ids, mask, types)
					if masked == "all" && path != weights { // in float16
						for i := range mask {
							mask[i] = 1
						}
					}
					var hidden, pooled []float64
					for b := range batch {
						at, end := b*sequence, (b+1)*sequence
						h, p := ref.forward(ids[at:end], mask[at:end], types[at:end])
						for _, row := range h {
							hidden = append(hidden, row...)
						}
						pooled = append(pooled, p...)
					}
					if d := relative(got[0], hidden); !(d < tolerance) {
						t.Errorf("last_hidden_state differs by %g", d)
					}
					if d := relative(got[1], pooled); !(d < tolerance) {
						t.Errorf("pooler_output differs by %g", d)
					}
				})
			}
		}
	}
}

// The transformers library, given the weights of the same file, computed
// testdata/transformers.json; transformers.py says how.
func TestBERTAgreesWithTransformers(t *testing.T) {
	var want struct {
		SHA    string    `json:"sha256"`
		IDs    []int64   `json:"input_ids"`
		Mask   []int64   `json:"attention_mask"`
		Types  []int64   `json:"token_type_ids"`
		Hidden []float64 `json:"last_hidden_state"`
		Pooled []float64 `json:"pooler_output"`
	}
	data, err := os.ReadFile("testdata/transformers.json")
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	path, err := Ensure(t.Context(), small(t), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if sha, err := asset.Digest(path); err != nil || sha != want.SHA {
		t.Fatalf("the model's SHA-256 is %s (%v), and transformers.json is for %s: make it again with transformers.py", sha, err, want.SHA)
	}
	s := open(t, path, ort.GraphOptimizationLevelEnableAll, "", bertInputs, "last_hidden_state", "pooler_output")
	got := call(t, s, 3, 8, 2, want.IDs, want.Mask, want.Types)
	if d := relative(got[0], want.Hidden); !(d < 1e-5) {
		t.Errorf("last_hidden_state differs by %g", d)
	}
	if d := relative(got[1], want.Pooled); !(d < 1e-5) {
		t.Errorf("pooler_output differs by %g", d)
	}
}

func TestBERTWithoutPooler(t *testing.T) {
	c := small(t, "pooler: true", "pooler: false", "44160", "41808")
	path, err := Ensure(t.Context(), c, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, ort.GraphOptimizationLevelEnableAll, "", bertInputs, "last_hidden_state")
	ids, ones, zeros := []int64{3, 1, 4}, []int64{1, 1, 1}, []int64{0, 0, 0}
	h, _ := newReference(t, c, path).forward(ids, ones, zeros)
	var want []float64
	for _, row := range h {
		want = append(want, row...)
	}
	if d := relative(call(t, s, 1, 3, 1, ids, ones, zeros)[0], want); !(d < 1e-5) {
		t.Errorf("last_hidden_state differs by %g", d)
	}
}

// ONNX Runtime recognises the graph's patterns: what it runs has one fused
// attention per layer and no trace of the parts.
func TestBERTIsFused(t *testing.T) {
	c := small(t)
	dir := t.TempDir()
	path, err := Ensure(t.Context(), c, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	optimised := filepath.Join(dir, "optimised.onnx")
	open(t, path, ort.GraphOptimizationLevelEnableAll, optimised, bertInputs, "last_hidden_state", "pooler_output")
	info, err := Inspect(optimised)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"com.microsoft.EmbedLayerNormalization": 1, "com.microsoft.Attention": 2, "com.microsoft.BiasGelu": 2,
		"com.microsoft.SkipLayerNormalization": 4, "MatMul": 6,
	}
	for op, n := range want {
		if info.Ops[op] != n {
			t.Errorf("%d %s, want %d", info.Ops[op], op, n)
		}
	}
	for _, op := range []string{"Softmax", "Erf", "Transpose", "ReduceMean", "Shape"} {
		if info.Ops[op] > 0 {
			t.Errorf("%d %s are left", info.Ops[op], op)
		}
	}
}

// The onnx package's checker, shapes inferred, accepts the files.
func TestONNXChecker(t *testing.T) {
	python, err := asset.PythonPath(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	others, err := List("testdata/reference")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(others, small(t), small(t, "pooler: true", "pooler: false", "44160", "41808")) {
		path, err := Ensure(t.Context(), c, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("python3", "-c", `import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True)`, path)
		cmd.Env = append(os.Environ(), "PYTHONPATH="+python)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, bytes.TrimSpace(out))
		}
	}
}
