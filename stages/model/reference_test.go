package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"barograph/stages/asset"
	"barograph/stages/model/network"

	ort "github.com/yalue/onnxruntime_go"
)

// PyTorch, transformers and torchvision computed testdata/reference/reference.json
// in float64 on the weights of the same files; reference.py beside it says how.
func TestArchitecturesAgreeWithPyTorch(t *testing.T) {
	const folder = "testdata/reference"
	var want struct {
		Cases []struct {
			Model   string               `json:"model"`
			Shipped bool                 `json:"shipped"` // it is below the project's configs, at its published size
			SHA     string               `json:"sha256"`
			Dims    map[string]int64     `json:"dims"`
			Outputs map[string][]float64 `json:"outputs"`
		} `json:"cases"`
	}
	data, err := os.ReadFile(folder + "/reference.json")
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{"bert": true} // by its own tests
	for _, w := range want.Cases {
		t.Run(w.Model, func(t *testing.T) {
			at := folder
			if w.Shipped {
				at = root
			}
			c, err := Load(at, w.Model)
			if err != nil {
				t.Fatal(err)
			}
			path, err := Ensure(t.Context(), c, t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if sha, err := asset.Digest(path); err != nil || sha != w.SHA {
				t.Fatalf("the model's SHA-256 is %s (%v), and reference.json is for %s: make it again with reference.py", sha, err, w.SHA)
			}
			tested[c.Architecture] = true
			half, err := c.WithPrecision("float16")
			if err != nil {
				t.Fatal(err)
			}
			file, err := Ensure(t.Context(), half, t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range []ort.GraphOptimizationLevel{ort.GraphOptimizationLevelDisableAll, ort.GraphOptimizationLevelEnableAll} {
				names := slices.Sorted(maps.Keys(w.Outputs))
				for i, got := range compute(t, c, path, level, w.Dims, names) {
					// Of outputs that are all small, an absolute difference would say little.
					if d, rms := largest(got, w.Outputs[names[i]]), rootMeanSquare(w.Outputs[names[i]]); !(d < 1e-4*min(1, rms)) {
						t.Errorf("optimisation %v: %s, of root mean square %g, differs by up to %g", level, names[i], rms, d)
					}
				}
				for i, got := range compute(t, half, file, level, w.Dims, names) {
					if d := relative(got, w.Outputs[names[i]]); !(d < halfTolerance) {
						t.Errorf("float16, optimisation %v: %s differs by %g of its norm", level, names[i], d)
					} else {
						t.Logf("float16, optimisation %v: %s differs by %.2g of its norm", level, names[i], d)
					}
				}
			}
		})
	}
	for _, name := range network.Names() {
		if !tested[name] {
			t.Errorf("architecture %s is compared with nothing", name)
		}
	}
}

// halfTolerance is by how much of its norm what float16 gives may differ from float64.
const halfTolerance = 5e-3

func rootMeanSquare(v []float64) float64 {
	var sum float64
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum / float64(len(v)))
}

// largest is the largest difference of two elements in the same place.
func largest(a []float32, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var d float64
	for i := range a {
		d = max(d, math.Abs(float64(a[i])-b[i]))
	}
	return d
}

// compute calls a model with the inputs that reference.py makes.
func compute(t *testing.T, c *Config, path string, level ort.GraphOptimizationLevel, dims map[string]int64, outputs []string) [][]float32 {
	t.Helper()
	if err := loadRuntime(); err != nil { // before the first tensor
		t.Fatal(err)
	}
	generated, err := Generate(c, dims, 1) // for its shapes
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var in []ort.Value
	for _, i := range c.Inputs {
		var v ort.Value
		switch data := generated[i.Name].Data.(type) {
		case []int64:
			for k := range data {
				data[k] = (7*int64(k) + 3) % int64(i.Values.Uniform[1])
			}
			v, err = ort.NewTensor(generated[i.Name].Shape, data)
		case []float32:
			for k := range data {
				data[k] = float32(math.Sin(float64(k)))
			}
			v, err = ort.NewTensor(generated[i.Name].Shape, data)
		default:
			err = fmt.Errorf("input %s of %T", i.Name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer v.Destroy()
		names, in = append(names, i.Name), append(in, v)
	}
	return run(t, open(t, path, level, "", names, outputs...), in, len(outputs))
}

// Counts as published: for BERT, DistilBERT, MiniLM, GPT-2 and ViT the
// num_parameters() of transformers' BertModel, DistilBertModel, GPT2LMHeadModel and
// ViTForImageClassification (for the small BERTs Turc et al. give 4.4 and 11.3
// millions, with their heads); for ResNet-50 and MobileNetV2 torchvision's
// documentation (num_params); for the U-Net what its unet.py comes to in PyTorch.
var published = map[string]int64{
	"bert-base-uncased": 109_482_240, "bert-large-uncased": 335_141_888, "bert-mini": 11_170_560, "bert-tiny": 4_385_920,
	"distilbert-base-uncased": 66_362_880, "minilm-l6": 22_713_216, "gpt2": 124_439_808, "gpt2-decode": 124_439_808,
	"vit-base-patch16": 86_567_656, "resnet50": 25_557_032, "mobilenetv2": 3_504_872, "unet": 7_763_041,
}

func TestShippedModels(t *testing.T) {
	models, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range models {
		names = append(names, c.Name)
		info, err := c.Info()
		if err != nil {
			t.Fatal(err)
		}
		if want := published[c.Name]; info.Parameters != want || c.Parameters != want {
			t.Errorf("%s: %d parameters, stated %d, published %d", c.Name, info.Parameters, c.Parameters, want)
		}
		dims := map[string]int64{}
		symbols, _ := c.Dims()
		for _, d := range symbols {
			dims[d] = 2
		}
		if _, err := Generate(c, dims, 1); err != nil {
			t.Error(err)
		}
		in, out, err := c.Traffic(info, dims)
		if err != nil || in < 2*2*8 || out < 2*4 {
			t.Errorf("%s: %d bytes in, %d out, %v", c.Name, in, out, err)
		}
	}
	if want := slices.Sorted(maps.Keys(published)); !slices.Equal(names, want) {
		t.Errorf("listed are %q, published %q", names, want)
	}
}
