package network

import (
	"fmt"
	"strconv"

	"barograph/stages/model/onnx"
)

// ViT is the vision transformer of Dosovitskiy et al., "An Image is Worth 16x16
// Words" (2021), https://arxiv.org/abs/2010.11929, computed as in the transformers
// library (ViTForImageClassification, eval mode).
type ViT struct {
	Layers       int64   `json:"layers" required:"true"`
	Hidden       int64   `json:"hidden" required:"true"`
	Heads        int64   `json:"heads" required:"true"`
	Intermediate int64   `json:"intermediate" required:"true"`
	Image        int64   `json:"image" required:"true"` // height and width, in pixels
	Patch        int64   `json:"patch" required:"true"` // likewise
	Classes      int64   `json:"classes" required:"true"`
	Epsilon      float64 `json:"layer-norm-epsilon" required:"true"`
	Deviation    float64 `json:"initializer-range" required:"true"`
}

func (v *ViT) Check() *Fault {
	f := first(
		sizes(1, "layers", v.Layers, "hidden", v.Hidden, "heads", v.Heads, "intermediate", v.Intermediate,
			"image", v.Image, "patch", v.Patch, "classes", v.Classes),
		checkLayers(v.Layers), checkHeads(v.Heads, v.Hidden), checkImage(v.Image),
		checkEpsilon(v.Epsilon, "ViT's is 1e-12"), checkDeviation(v.Deviation, "ViT's is 0.02"))
	if f == nil && v.Image%v.Patch != 0 {
		return &Fault{"patch", fmt.Sprintf("patches of %d do not divide an image of %d", v.Patch, v.Image), ""}
	}
	return f
}

func (v *ViT) Limits() map[string]int64 { return nil }

func (v *ViT) Build(w Weights) *Network {
	n := newNetwork("vit", w, v.Deviation)
	side := strconv.FormatInt(v.Image, 10)
	pixels := n.input("pixel_values", "batch", "3", side, side)
	x := v.embed(n, pixels)
	if w.Float16 {
		x = v.half(n, x)
	} else {
		x = v.encoder(n, x)
	}
	class := n.Op("classifier", "Gather", []string{x, n.Index(0)}, onnx.Int("axis", 1))
	n.scores("classifier", class, v.Hidden, v.Classes)
	return n
}

func layer(l int64) string { return "vit.encoder.layer." + strconv.FormatInt(l, 10) }

// encoder returns the normalised states of all tokens.
func (v *ViT) encoder(n *Network, x string) string {
	for l := range v.Layers {
		scope := layer(l)
		h := n.norm(scope+".layernorm_before", x, v.Hidden, v.Epsilon)
		h = n.selfAttention(scope+".attention.attention", [3]string{".query", ".key", ".value"}, h, "", v.Hidden, v.Heads)
		x = n.Op(scope, "Add", []string{n.linear(scope+".attention.output.dense", h, v.Hidden, v.Hidden), x})
		h = n.norm(scope+".layernorm_after", x, v.Hidden, v.Epsilon)
		h = n.gelu(scope+".intermediate", n.linear(scope+".intermediate.dense", h, v.Hidden, v.Intermediate))
		x = n.Op(scope, "Add", []string{n.linear(scope+".output.dense", h, v.Intermediate, v.Hidden), x})
	}
	return n.norm("vit.layernorm", x, v.Hidden, v.Epsilon)
}

// half is encoder in float16.
func (v *ViT) half(n *Network, x string) string {
	h := n.norm(layer(0)+".layernorm_before", x, v.Hidden, v.Epsilon)
	for l := range v.Layers {
		scope := layer(l)
		weight, bias := n.merged(scope+".attention.attention", [3]string{".query", ".key", ".value"}, v.Hidden)
		h = n.fusedAttention(scope, h, weight, bias, "", v.Heads)
		h = n.transposedProduct(scope+".attention.output.dense", h, v.Hidden, v.Hidden)
		h, x = n.skipNormSum(scope+".layernorm_after", h, x, scope+".attention.output.dense.bias", v.Hidden, v.Epsilon)
		h = n.biasGelu(scope+".intermediate.dense", n.transposedProduct(scope+".intermediate.dense", h, v.Hidden, v.Intermediate), v.Intermediate)
		h = n.transposedProduct(scope+".output.dense", h, v.Intermediate, v.Hidden)
		next := "vit.layernorm"
		if l+1 < v.Layers {
			next = layer(l+1) + ".layernorm_before"
		}
		h, x = n.skipNormSum(next, h, x, scope+".output.dense.bias", v.Hidden, v.Epsilon)
	}
	return h
}

// embed makes a token of each patch, behind one that stands for the class, and
// adds their places: [batch, 1 + patches, hidden].
func (v *ViT) embed(n *Network, pixels string) string {
	const scope = "vit.embeddings"
	name := scope + ".patch_embeddings.projection"
	x := n.Op(name, "Conv", []string{
		pixels, n.parameter(name+".weight", 0, v.Hidden, 3, v.Patch, v.Patch), n.parameter(name+".bias", 0, v.Hidden),
	}, onnx.Ints("kernel_shape", v.Patch, v.Patch), onnx.Ints("strides", v.Patch, v.Patch))
	x = n.Op(name, "Reshape", []string{x, n.Shape(0, v.Hidden, -1)})
	x = n.Op(name, "Transpose", []string{x}, onnx.Ints("perm", 0, 2, 1))

	batch := n.Op(scope, "Gather", []string{n.Op(scope, "Shape", []string{pixels}), n.Shape(0)}, onnx.Int("axis", 0))
	shape := n.Op(scope, "Concat", []string{batch, n.Shape(1, v.Hidden)}, onnx.Int("axis", 0))
	class := n.Op(scope, "Expand", []string{n.parameter(scope+".cls_token", 0, 1, 1, v.Hidden), shape})
	x = n.Op(scope, "Concat", []string{class, x}, onnx.Int("axis", 1))
	side := v.Image / v.Patch
	return n.Op(scope, "Add", []string{x, n.parameter(scope+".position_embeddings", 0, 1, 1+side*side, v.Hidden)})
}
