package model

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
	"barograph/stages/asset"
	"barograph/stages/model/input"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write golden files")

const root = "../.."

// small loads testdata/bert-small.yaml, changed by pairs of old and new text.
func small(t testing.TB, replace ...string) *Config {
	t.Helper()
	c, err := read(".", "bert-small.yaml", "bert-small", smallYAML(t, replace...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func smallYAML(t testing.TB, replace ...string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/bert-small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !bytes.Contains(data, []byte(replace[i])) {
			t.Fatalf("bert-small.yaml holds no %q", replace[i])
		}
		data = bytes.Replace(data, []byte(replace[i]), []byte(replace[i+1]), 1)
	}
	return data
}

func TestConfigurationErrors(t *testing.T) {
	const ids = "  - {name: input_ids, type: int64, dims: [batch, sequence], values: {uniform: [0, 61]}}\n"
	cases := []struct {
		name    string
		replace []string
	}{
		{"misspelt key", []string{"intermediate:", "intermediat:"}},
		{"unknown key", []string{"seed: 7", "seed: 7\nzzzzzzzzzzzzzzzzz: 1"}},
		{"key twice", []string{"layers: 2", "layers: 2\n  layers: 3"}},
		{"missing key", []string{"  heads: 4\n", ""}},
		{"text for number", []string{"layers: 2", "layers: two"}},
		{"fraction for whole number", []string{"layers: 2", "layers: 2.5"}},
		{"null", []string{"layers: 2", "layers:"}},
		{"list for mapping", []string{"values: {uniform: [0, 61]}", "values: [0, 61]"}},
		{"mapping for list", []string{"[0, 61]", "{a: 1}"}},
		{"pair of three", []string{"[0, 61]", "[0, 1, 2]"}},
		{"negative seed", []string{"seed: 7", "seed: -7"}},
		{"precision", []string{"seed: 7", "seed: 7\nprecision: float8"}},
		{"huge seed", []string{"seed: 7", "seed: 18446744073709551616"}},
		{"another name", []string{"model: bert-small", "model: bert-smell"}},
		{"unknown architecture", []string{"architecture: bert", "architecture: bart"}},
		{"heads that do not divide", []string{"heads: 4", "heads: 5"}},
		{"no layers", []string{"layers: 2", "layers: 0"}},
		{"many layers", []string{"layers: 2", "layers: 1025"}},
		{"epsilon", []string{"1e-12", "0"}},
		{"deviation", []string{"0.3", ".nan"}},
		{"wrong count", []string{"44160", "44161"}},
		{"beyond one file", []string{"vocabulary: 61", "vocabulary: 16777216"}},
		{"unknown input", []string{"attention_mask", "attention_musk"}},
		{"input missing", []string{ids, ""}},
		{"input twice", []string{ids, ids + ids}},
		{"input type", []string{"type: int64", "type: int32"}},
		{"input dims", []string{"[batch, sequence]", "[sequence]"}},
		{"index beyond table", []string{"[0, 61]", "[0, 62]"}},
		{"negative index", []string{"[0, 61]", "[-1, 61]"}},
		{"empty range", []string{"[0, 61]", "[5, 5]"}},
		{"fractional range", []string{"[0, 61]", "[0, 60.5]"}},
		{"normal integers", []string{"uniform: [0, 61]", "normal: [0, 1]"}},
		{"two generators", []string{"{uniform: [0, 61]}", "{uniform: [0, 61], constant: 1}"}},
		{"no generator", []string{"{uniform: [0, 61]}", "{}"}},
		{"alias of itself", []string{"values: {uniform: [0, 61]}", "values: &v {uniform: [*v, 61]}"}},
		{"bad syntax", []string{"seed: 7", "seed: [7"}},
		{"tab", []string{"seed: 7", "\tseed: 7"}},
		{"two documents", []string{"seed: 7", "seed: 7\n---\nmodel: x"}},
	}
	var got strings.Builder
	report := func(name string, data []byte) {
		_, err := read(".", "m.yaml", "bert-small", data)
		var at *source.Error
		if !errors.As(err, &at) || at.Pos.Line < 1 {
			t.Errorf("%s: error %v has no place", name, err)
			return
		}
		fmt.Fprintf(&got, "# %s\n%v\n", name, err)
		var h *cell.Error
		if errors.As(err, &h) {
			fmt.Fprintf(&got, "hint: %s\n", h.Hint)
		}
	}
	for _, c := range cases {
		report(c.name, smallYAML(t, c.replace...))
	}
	report("empty file", nil)
	report("comment only", []byte("# nothing\n"))
	report("not a mapping", []byte("- 1\n"))
	golden(t, "testdata/errors.golden", got.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it); got:\n%s", file, got)
	}
}

func TestLoadUnknown(t *testing.T) {
	for name, hint := range map[string]string{
		"bert-base-uncase": `did you mean "bert-base-uncased"?`,
		"bert-bas":         `did you mean "bert-base-uncased"?`,
		"../models/x":      "known are " + strings.Join(slices.Sorted(maps.Keys(published)), ", "),
		"":                 "known are " + strings.Join(slices.Sorted(maps.Keys(published)), ", "),
	} {
		_, err := Load(root, name)
		var h *cell.Error
		if !errors.As(err, &h) || h.Hint != hint {
			t.Errorf("Load(%q) = %v, hint %+v; want hint %q", name, err, h, hint)
		}
	}
}

func TestBuildIsByteStable(t *testing.T) {
	c := small(t)
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := Build(w, c); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two builds differ")
	}
	sum := sha256.Sum256(a.Bytes())
	golden(t, "testdata/bert-small.golden", fmt.Sprintf("sha256 %s\ndigest %s\n", hex.EncodeToString(sum[:]), c.Digest()))
}

func TestDigestCoversWhatDecidesTheFile(t *testing.T) {
	base := small(t).Digest()
	seen := map[string]string{base: "itself"}
	for name, replace := range map[string][]string{
		"seed":    {"seed: 7", "seed: 8"},
		"heads":   {"heads: 4", "heads: 3"},
		"epsilon": {"1e-12", "1e-11"},
		"range":   {"0.3", "0.31"},
		"layers":  {"layers: 2", "layers: 1", "44160", "25200"},
		"pooler":  {"pooler: true", "pooler: false", "44160", "41808"},
	} {
		d := small(t, replace...).Digest()
		if seen[d] != "" {
			t.Errorf("a change of %s gives the digest of %s", name, seen[d])
		}
		seen[d] = name
	}
	if d := small(t, "[0, 61]", "[0, 60]", "BERT for tests", "other").Digest(); d != base {
		t.Error("inputs and descriptions change the digest, and the file does not depend on them")
	}
}

func TestEnsureBuildsOnce(t *testing.T) {
	c, dir := small(t), t.TempDir()
	var builds atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := Ensure(t.Context(), c, dir, func(line string) {
				if strings.HasPrefix(line, "building") {
					builds.Add(1)
				}
			})
			if err != nil || path != filepath.Join(dir, "models", c.Digest()+".onnx") {
				t.Errorf("Ensure = %q, %v", path, err)
			}
		})
	}
	wg.Wait()
	if builds.Load() != 1 {
		t.Errorf("%d builds", builds.Load())
	}
	path := Path(c, dir)
	info, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := c.Info(); err != nil || info.Parameters != want.Parameters || !reflect.DeepEqual(info.Ops, want.Ops) || info.Bytes != want.Bytes {
		t.Errorf("the file holds %+v, the graph %+v, %v", info, want, err)
	}
	// What a killed builder or a careless hand left is not taken for the model.
	if err := errors.Join(os.Truncate(path, 100), os.WriteFile(path+".tmp", []byte("half"), 0o666)); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(t.Context(), c, dir, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := Inspect(path); err != nil || again.Bytes != info.Bytes {
		t.Errorf("a damaged file was not built again: %v", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(path, damaged, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(t.Context(), c, dir, nil); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, whole) {
		t.Errorf("a file with one bit changed was taken for the model: %v", err)
	}
	onlyModel(t, dir)
}

// onlyModel checks that nothing but models, their digests and locks lies in a
// cache.
func onlyModel(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".onnx") && !strings.HasSuffix(path, ".lock") && !strings.HasSuffix(path, ".sha256") {
			t.Errorf("%s was left", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnsureStops(t *testing.T) {
	c, dir := small(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Ensure(ctx, c, dir, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(Path(c, dir)); err == nil {
		t.Error("a model was left")
	}
	onlyModel(t, dir)
}

// TestEnsureFullDisk builds in a child process that may not write large files,
// which fails in the middle, as on a full disk.
func TestEnsureFullDisk(t *testing.T) {
	if dir := os.Getenv("MODEL_TEST_DIR"); dir != "" {
		if _, err := Ensure(t.Context(), small(t), dir, nil); err != nil {
			fmt.Println("FAILED AS WANTED:", err)
		}
		return
	}
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", `ulimit -f 64 && exec "$0" -test.run='^TestEnsureFullDisk$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "MODEL_TEST_DIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "FAILED AS WANTED: build model \"bert-small\"") {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(Path(small(t), dir)); err == nil {
		t.Error("a model was left")
	}
	onlyModel(t, dir)
}

func TestLoadONNXFile(t *testing.T) {
	dir := t.TempDir()
	var file bytes.Buffer
	if err := Build(&file, small(t)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "any.onnx")
	if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"any.onnx", path} {
		c, err := Load(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Ensure(t.Context(), c, "/nowhere", nil)
		if err != nil || got != path || c.Parameters != 44160 || len(c.Inputs) != 3 {
			t.Errorf("%+v is at %q, %v", c, got, err)
		}
		tensors, err := Generate(c, map[string]int64{"batch": 1, "sequence": 2}, 1)
		if err != nil || !reflect.DeepEqual(tensors["attention_mask"].Data, []int64{1, 1}) {
			t.Errorf("tensors %v, %v", tensors, err)
		}
	}
	for name, want := range map[string]string{"": "is empty", "hello, I am a text file": "is no ONNX file", string(file.Bytes()[:file.Len()/2]): "is cut short"} {
		if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, "any.onnx"); err == nil || !strings.Contains(err.Error(), path+" "+want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := Load(dir, "none.onnx"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestLoadONNXFileWithData(t *testing.T) {
	dir := t.TempDir()
	// What exporters write beyond 2 GiB: an initialiser whose data lie elsewhere.
	python, err := asset.PythonPath(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", `
import numpy, onnx
from onnx import helper
w = onnx.numpy_helper.from_array(numpy.ones((4, 3), "float32"), "w")
io = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", d]) for n, d in (("x", 4), ("y", 3))]
graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", io[:1], io[1:], [w])
onnx.save(helper.make_model(graph), "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+python)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := Load(dir, "m.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if c.Parameters != 12 || len(c.Inputs) != 1 || !slices.Equal(c.Inputs[0].Dims, []string{"n", "4"}) {
		t.Errorf("model %+v", c)
	}
	digest, data := c.Digest(), filepath.Join(dir, "m.data")
	if err := os.WriteFile(data, make([]byte, 48), 0o666); err != nil {
		t.Fatal(err)
	}
	if c, err = Load(dir, "m.onnx"); err != nil || c.Digest() == digest {
		t.Errorf("other data, the same digest: %v", err)
	}
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	var h *cell.Error
	if _, err := Load(dir, "m.onnx"); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &h) {
		t.Errorf("without its data: error %v", err)
	}
}

// TestBuildMemory builds BERT-base in a child process, which reports its peak.
func TestBuildMemory(t *testing.T) {
	if os.Getenv("MODEL_TEST_MEMORY") != "" {
		c, err := Load(root, "bert-base-uncased")
		if err == nil {
			err = Build(io.Discard, c)
		}
		// Not getrusage's, which counts from before this program was executed and
		// so holds what the parent held.
		status, e := os.ReadFile("/proc/self/status")
		_, peak, ok := strings.Cut(string(status), "VmHWM:")
		if err := errors.Join(err, e); err != nil || !ok {
			t.Fatal(err, ok)
		}
		fmt.Printf("peak %s\n", strings.TrimSpace(peak))
		return
	}
	peak := buildPeak(t)
	limit := 200 << 10
	if raced {
		limit *= 3 // the race detector remembers who wrote each word
	}
	if peak > limit {
		t.Errorf("building 438 MB took %d MiB of memory", peak>>10)
	}
}

// buildPeak returns the peak memory of a process that builds BERT-base, in KiB.
func buildPeak(t testing.TB) (peak int) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestBuildMemory$")
	cmd.Env = append(os.Environ(), "MODEL_TEST_MEMORY=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(out), "peak %d kB", &peak); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return peak
}

// BenchmarkBuild builds BERT-base into an empty cache, and in turn writes as many
// random bytes, the kernel's, to a file in the same folder; both end on the disk.
// ratio is the time of the first over the second's.
func BenchmarkBuild(b *testing.B) {
	c, err := Load(root, "bert-base-uncased")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	var build, random time.Duration
	for b.Loop() {
		start := time.Now()
		path, err := Ensure(b.Context(), c, filepath.Join(dir, "cache"), nil)
		if err != nil {
			b.Fatal(err)
		}
		build += time.Since(start)
		built, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
			b.Fatal(err)
		}

		f, err := os.Create(filepath.Join(dir, "random"))
		if err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		_, err = io.CopyBuffer(f, io.LimitReader(rand.Reader, built.Size()), make([]byte, 1<<20))
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			b.Fatal(err)
		}
		random += time.Since(start)
		if err := os.Remove(f.Name()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op") // of both together
	b.ReportMetric(build.Seconds()/float64(b.N), "build-s")
	b.ReportMetric(random.Seconds()/float64(b.N), "random-s")
	b.ReportMetric(float64(build)/float64(random), "ratio")
	b.ReportMetric(float64(buildPeak(b))/1024, "peak-MiB")
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(root, "bert-base-uncased"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestGenerate(t *testing.T) {
	c := small(t)
	rapid.Check(t, func(t *rapid.T) {
		dims := map[string]int64{"batch": rapid.Int64Range(1, 4).Draw(t, "batch"), "sequence": rapid.Int64Range(1, 16).Draw(t, "sequence")}
		seed := rapid.Uint64().Draw(t, "seed")
		a, err := Generate(c, dims, seed)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := Generate(c, dims, seed); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("drawn again, the inputs differ: %v", err)
		}
		for name, high := range map[string]int64{"input_ids": 61, "attention_mask": 2, "token_type_ids": 2} {
			ids := a[name].Data.([]int64)
			if !slices.Equal(a[name].Shape, []int64{dims["batch"], dims["sequence"]}) || int64(len(ids)) != dims["batch"]*dims["sequence"] {
				t.Fatalf("%s has shape %v and %d elements", name, a[name].Shape, len(ids))
			}
			if slices.Min(ids) < 0 || slices.Max(ids) >= high {
				t.Fatalf("%s is %v", name, ids)
			}
		}
	})
	dims := map[string]int64{"batch": 4, "sequence": 16}
	a, _ := Generate(c, dims, 1)
	b, _ := Generate(c, dims, 2)
	if reflect.DeepEqual(a, b) {
		t.Error("two seeds give the same inputs")
	}
	if len(slices.Compact(slices.Sorted(slices.Values(a["input_ids"].Data.([]int64))))) < 20 {
		t.Errorf("token ids hardly vary: %v", a["input_ids"])
	}
}

func TestGenerateTypes(t *testing.T) {
	one, pair := 1.0, [2]float64{-2, 3}
	c := &Config{Name: "x", Inputs: []input.Input{
		{Name: "f", Type: "float32", Dims: []string{"n", "3"}, Values: input.Values{Uniform: &pair}},
		{Name: "d", Type: "float64", Dims: []string{"n"}, Values: input.Values{Normal: &pair}},
		{Name: "i", Type: "int32", Dims: []string{}, Values: input.Values{Constant: &one}},
		{Name: "b", Type: "bool", Dims: []string{"2"}, Values: input.Values{Constant: &one}},
	}}
	got, err := Generate(c, map[string]int64{"n": 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if f := got["f"].Data.([]float32); len(f) != 6 || slices.Min(f) < -2 || slices.Max(f) >= 3 {
		t.Errorf("f is %v", f)
	}
	if d := got["d"].Data.([]float64); len(d) != 2 || d[0] == d[1] {
		t.Errorf("d is %v", d)
	}
	if i := got["i"]; !reflect.DeepEqual(i, input.Tensor{Shape: []int64{}, Data: []int32{1}, Type: 6}) {
		t.Errorf("i is %v", i)
	}
	if b := got["b"]; !reflect.DeepEqual(b, input.Tensor{Shape: []int64{2}, Data: []bool{true, true}, Type: 9}) {
		t.Errorf("b is %v", b)
	}
}

// Sizes to try are those of an image, of a text, or 1.
func TestGuessDims(t *testing.T) {
	c := &Config{Inputs: []input.Input{
		{Dims: []string{"batch", "3", "p2o.1", "p2o.2"}},
		{Dims: []string{"N", "rows", "columns", "1"}},
		{Dims: []string{"8", "N", "64", "c"}},
		{Dims: []string{"batch", "sequence_length", "image_width"}},
		{Dims: []string{"past_length", "total_sequence_length", "past_length + 1"}},
	}}
	want := map[string]int64{
		"p2o.1": 224, "p2o.2": 224, "rows": 224, "columns": 224, "N": 1, "c": 1,
		"sequence_length": 64, "image_width": 224, "past_length": 64, "total_sequence_length": 128,
	}
	if got := c.GuessDims(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	err := c.CheckDims(map[string]int64{"batch": 1, "N": 1, "c": 1, "p2o.1": 1, "p2o.2": 1, "rows": 1, "columns": 1, "image_width": 1})
	if want := "dims: {past_length: 64, sequence_length: 64, total_sequence_length: 128}"; !strings.Contains(cell.HintOf(err), want) {
		t.Errorf("hint %q, want %q", cell.HintOf(err), want)
	}
}

func TestGenerateErrors(t *testing.T) {
	c := small(t)
	for want, dims := range map[string]map[string]int64{
		`model "bert-small": no value for the dimension "sequence"`:                                        {"batch": 1},
		`model "bert-small" has no dimension "sequnce"`:                                                    {"batch": 1, "sequnce": 1},
		`model "bert-small": dimension "batch" is 0, not at least 1`:                                       {"batch": 0, "sequence": 1},
		`model "bert-small": dimension "sequence" is 17, and it takes at most 16`:                          {"batch": 1, "sequence": 17},
		`model "bert-small": input "input_ids": int64 [1099511627776 16] has more than 134217728 elements`: {"batch": 1 << 40, "sequence": 16},
	} {
		if _, err := Generate(c, dims, 1); err == nil || err.Error() != want {
			t.Errorf("dims %v: error %v, want %s", dims, err, want)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add(smallYAML(f))
	f.Add(smallYAML(f, "layers: 2", "layers: [2"))
	f.Add(smallYAML(f, "[0, 61]", "&v [*v, 1]"))
	f.Add([]byte("a: &a [*a]\nmodel: *a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := read(".", "m.yaml", "bert-small", data)
		var at *source.Error
		if err != nil && !errors.As(err, &at) {
			t.Errorf("error without a place: %v", err)
		}
		if err == nil && c.Digest() == "" {
			t.Error("a model without digest")
		}
	})
}
