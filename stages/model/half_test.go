package model

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/x448/float16"
	ort "github.com/yalue/onnxruntime_go"
)

// A model in float16 is another file of half the weights, with the same parameters,
// inputs and outputs; and it is the one that a configuration with precision names.
func TestPrecision(t *testing.T) {
	c := small(t)
	half, err := c.WithPrecision("float16")
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Info()
	if err != nil {
		t.Fatal(err)
	}
	got, err := half.Info()
	if err != nil {
		t.Fatal(err)
	}
	if got.Parameters != info.Parameters || 2*got.InitialiserBytes != info.InitialiserBytes || half.Digest() == c.Digest() || c.Precision != "" ||
		!reflect.DeepEqual(got.Inputs, info.Inputs) || !reflect.DeepEqual(got.Outputs, info.Outputs) || !reflect.DeepEqual(got.Rows, info.Rows) {
		t.Errorf("float16 %+v\nfloat32 %+v", got, info)
	}
	if named := small(t, "seed: 7", "seed: 7\nprecision: float16"); named.Digest() != half.Digest() {
		t.Error("the configuration's precision gives another file than a study's")
	}
	if back, err := half.WithPrecision("float32"); err != nil || back.Digest() != c.Digest() {
		t.Errorf("back to float32: %v", err)
	}
	path, err := Ensure(t.Context(), half, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := LoadFile("", path)
	if err != nil {
		t.Fatal(err)
	}
	for precision, of := range map[string]*Config{"float8": c, "float16": file} {
		if _, err := of.WithPrecision(precision); err == nil {
			t.Errorf("%s of %s: no error", precision, of.Name)
		}
	}
}

// The weights of query, key and value stand side by side, also those of a checkpoint.
func TestHalfCheckpoint(t *testing.T) {
	c := small(t)
	tensors, shapes := trained(t, c)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, save(t, "F32", tensors, shapes), 0o666); err != nil {
		t.Fatal(err)
	}
	half, err := c.WithPrecision("float16")
	if err != nil {
		t.Fatal(err)
	}
	with, file, err := half.WithWeights(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	built, err := Ensure(t.Context(), with, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := Inspect(built)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(built)
	if err != nil {
		t.Fatal(err)
	}
	const scope = "encoder.layer.1.attention.self"
	parts := []string{scope + ".query", scope + ".key", scope + ".value"}
	seen := 0
	for _, w := range info.Initialisers {
		at := func(i int64) float64 {
			return float64(float16.Frombits(binary.LittleEndian.Uint16(b[w.Offset+2*i:])).Float32())
		}
		switch w.Name {
		case scope + ".weight": // [in, 3 out] of three [out, in]
			for i := range w.Dims[0] {
				for k := range w.Dims[1] {
					if want := tensors[parts[k/48]+".weight"][k%48*48+i]; at(i*w.Dims[1]+k) != want {
						t.Fatalf("%s[%d, %d] is %g, want %g", w.Name, i, k, at(i*w.Dims[1]+k), want)
					}
				}
			}
			seen++
		case scope + ".bias":
			for k := range w.Dims[0] {
				if want := tensors[parts[k/48]+".bias"][k%48]; at(k) != want {
					t.Fatalf("%s[%d] is %g, want %g", w.Name, k, at(k), want)
				}
			}
			seen++
		}
	}
	if seen != 2 {
		t.Errorf("%d of the two are there", seen)
	}
	tensors["pooler.dense.bias"][3] = 1e6
	if err := os.WriteFile(path, save(t, "F32", tensors, shapes), 0o666); err != nil {
		t.Fatal(err)
	}
	with, file, err = half.WithWeights(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := Ensure(t.Context(), with, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), `write weight "pooler.dense.bias": the weight 1e+06 is beyond float16`) {
		t.Errorf("a weight beyond float16: %v", err)
	}
}

// Activations whose squares are beyond float16 do not get lost in a normalisation.
func TestLargeActivations(t *testing.T) {
	data, err := os.ReadFile("testdata/reference/configs/models/gpt2-small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	text := strings.Replace(string(data), "initializer-range: 0.2", "initializer-range: 2", 1)
	if err := os.MkdirAll(filepath.Join(root, folder), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, folder, "gpt2-small.yaml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := Load(root, "gpt2-small")
	if err != nil {
		t.Fatal(err)
	}
	half, err := c.WithPrecision("float16")
	if err != nil {
		t.Fatal(err)
	}
	var logits [2][]float32
	for i, c := range []*Config{c, half} {
		path, err := Ensure(t.Context(), c, t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		logits[i] = compute(t, c, path, ort.GraphOptimizationLevelEnableAll, map[string]int64{"batch": 1, "sequence": 8}, []string{"logits"})[0]
	}
	want := make([]float64, len(logits[0]))
	for i, v := range logits[0] {
		want[i] = float64(v)
	}
	if d := relative(logits[1], want); !(d < 10*halfTolerance) || math.IsNaN(d) {
		t.Errorf("float16 differs by %g of the norm", d)
	}
}
