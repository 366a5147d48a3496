package model

import (
	"fmt"
	"math"
	"strconv"

	"barograph/stages/model/onnx"
)

// bert is the encoder of Devlin et al., "BERT" (2019), https://arxiv.org/abs/1810.04805,
// computed as in the transformers library (BertModel, eval mode).
//
// Initialisers have the names of Hugging Face checkpoints; the matrices of
// linear layers are stored transposed, [in, out], so that x W + b is a MatMul
// and an Add.
//
// The graph keeps to operator set 12 and to the patterns that ONNX Runtime
// replaces by EmbedLayerNormalization, Attention, SkipLayerNormalization and
// BiasGelu. From operator set 13 on (Unsqueeze) it finds no attention; on a GPU,
// where BERT at batch 1 is bound by kernel launches, and for CUDA graphs, which
// want no operator left on the CPU, that matters more than the 3% that the fused
// attention loses on one CPU thread.
type bert struct {
	Layers       int64   `yaml:"layers"`
	Hidden       int64   `yaml:"hidden"`
	Heads        int64   `yaml:"heads"`
	Intermediate int64   `yaml:"intermediate"`
	Vocabulary   int64   `yaml:"vocabulary"`
	Positions    int64   `yaml:"positions"`
	TokenTypes   int64   `yaml:"token-types"`
	Epsilon      float64 `yaml:"layer-norm-epsilon"`
	Deviation    float64 `yaml:"initializer-range"` // standard deviation of seeded weights
	Pooler       bool    `yaml:"pooler"`
}

func (b *bert) check() *fault {
	for _, s := range []struct {
		key   string
		value int64
	}{
		{"layers", b.Layers}, {"hidden", b.Hidden}, {"heads", b.Heads}, {"intermediate", b.Intermediate},
		{"vocabulary", b.Vocabulary}, {"positions", b.Positions}, {"token-types", b.TokenTypes},
	} {
		// The bound keeps every product of two sizes far from overflow.
		if s.value < 1 || s.value > 1<<24 {
			return &fault{s.key, fmt.Sprintf("%d is not from 1 to %d", s.value, 1<<24), ""}
		}
	}
	switch {
	case b.Layers > 1024:
		return &fault{"layers", fmt.Sprintf("%d is not from 1 to 1024", b.Layers), ""}
	case b.Hidden%b.Heads != 0:
		return &fault{"heads", fmt.Sprintf("%d heads do not divide hidden size %d", b.Heads, b.Hidden), ""}
	case !(b.Epsilon > 0 && b.Epsilon < 1):
		return &fault{"layer-norm-epsilon", fmt.Sprintf("%g is not between 0 and 1", b.Epsilon), "BERT's is 1e-12"}
	case !(b.Deviation > 0 && b.Deviation < 100):
		return &fault{"initializer-range", fmt.Sprintf("%g is not between 0 and 100", b.Deviation), "BERT's is 0.02"}
	}
	return nil
}

func (b *bert) limits() map[string]int64 { return map[string]int64{"sequence": b.Positions} }

func (b *bert) build(seed uint64) *network {
	n := &network{Graph: onnx.New("bert", "barograph", 7, 12), seed: seed}
	ids := n.Input("input_ids", onnx.Int64, "batch", "sequence")
	mask := n.Input("attention_mask", onnx.Int64, "batch", "sequence")
	types := n.Input("token_type_ids", onnx.Int64, "batch", "sequence")

	x := b.embed(n, ids, types)
	bias := b.maskBias(n, mask)
	for l := range b.Layers {
		scope := "encoder.layer." + strconv.FormatInt(l, 10)
		x = b.attention(n, scope+".attention", x, bias)
		h := b.gelu(n, scope+".intermediate", b.linear(n, scope+".intermediate.dense", x, b.Hidden, b.Intermediate))
		h = b.linear(n, scope+".output.dense", h, b.Intermediate, b.Hidden)
		x = b.norm(n, scope+".output.LayerNorm", n.Op(scope+".output", "Add", []string{h, x}), l == b.Layers-1)
	}
	n.Output(x, onnx.Float32, "batch", "sequence", strconv.FormatInt(b.Hidden, 10))
	if b.Pooler {
		first := n.Op("pooler", "Gather", []string{x, n.Index(0)}, onnx.Int("axis", 1))
		n.OpAs("pooler_output", "Tanh", []string{b.linear(n, "pooler.dense", first, b.Hidden, b.Hidden)})
		n.Output("pooler_output", onnx.Float32, "batch", strconv.FormatInt(b.Hidden, 10))
	}
	return n
}

// weight adds a parameter. At the start of training BERT's biases are 0 and its
// layer norms' weights 1; here these too are drawn, around 0 and 1, so that a
// graph that confuses or forgets them gives other results.
func (b *bert) weight(n *network, name string, mean float64, dims ...int64) string {
	return n.weight(name, mean, b.Deviation, dims...)
}

// embed sums the embeddings of tokens, positions and types, normalised:
// [batch, sequence, hidden].
func (b *bert) embed(n *network, ids, types string) string {
	const scope = "embeddings"
	table := func(name string, rows int64, index string) string {
		w := b.weight(n, scope+"."+name+".weight", 0, rows, b.Hidden)
		return n.Op(scope+"."+name, "Gather", []string{w, index}, onnx.Int("axis", 0))
	}
	shape := n.Op(scope, "Shape", []string{ids})
	length := n.Op(scope, "Gather", []string{shape, n.Index(1)}, onnx.Int("axis", 0))
	count := n.Op(scope, "Range", []string{n.Index(0), length, n.Index(1)})
	row := n.Op(scope, "Unsqueeze", []string{count}, onnx.Ints("axes", 0))
	positions := n.Op(scope, "Expand", []string{row, shape})

	x := n.Op(scope, "Add", []string{
		table("word_embeddings", b.Vocabulary, ids),
		table("position_embeddings", b.Positions, positions),
	})
	x = n.Op(scope, "Add", []string{x, table("token_type_embeddings", b.TokenTypes, types)})
	return b.norm(n, scope+".LayerNorm", x, false)
}

// maskBias turns a mask into what is added to attention scores: 0 where it is
// 1, the lowest float32 where it is 0; [batch, 1, 1, sequence].
func (b *bert) maskBias(n *network, mask string) string {
	const scope = "attention_mask"
	m := n.Op(scope, "Unsqueeze", []string{mask}, onnx.Ints("axes", 1))
	m = n.Op(scope, "Unsqueeze", []string{m}, onnx.Ints("axes", 2))
	m = n.Op(scope, "Cast", []string{m}, onnx.Int("to", int64(onnx.Float32)))
	m = n.Op(scope, "Sub", []string{n.Scalar(1), m})
	return n.Op(scope, "Mul", []string{m, n.Scalar(-math.MaxFloat32)})
}

// attention is multi-head self-attention, its projection, and the residual sum,
// normalised.
func (b *bert) attention(n *network, scope, x, bias string) string {
	size := b.Hidden / b.Heads
	split := n.Shape(0, 0, b.Heads, size)
	heads := func(name string, perm ...int64) string {
		s := scope + ".self." + name
		h := n.Op(s, "Reshape", []string{b.linear(n, s, x, b.Hidden, b.Hidden), split})
		return n.Op(s, "Transpose", []string{h}, onnx.Ints("perm", perm...))
	}
	q := heads("query", 0, 2, 1, 3) // [batch, heads, sequence, size]
	k := heads("key", 0, 2, 3, 1)   // [batch, heads, size, sequence]
	v := heads("value", 0, 2, 1, 3)

	self := scope + ".self"
	scores := n.Op(self, "MatMul", []string{q, k})
	scores = n.Op(self, "Div", []string{scores, n.Scalar(float32(math.Sqrt(float64(size))))})
	scores = n.Op(self, "Add", []string{scores, bias})
	weights := n.Op(self, "Softmax", []string{scores}, onnx.Int("axis", 3))
	context := n.Op(self, "MatMul", []string{weights, v})
	context = n.Op(self, "Transpose", []string{context}, onnx.Ints("perm", 0, 2, 1, 3))
	context = n.Op(self, "Reshape", []string{context, n.Shape(0, 0, b.Hidden)})

	out := b.linear(n, scope+".output.dense", context, b.Hidden, b.Hidden)
	return b.norm(n, scope+".output.LayerNorm", n.Op(scope+".output", "Add", []string{out, x}), false)
}

// linear is x W + b.
func (b *bert) linear(n *network, scope, x string, in, out int64) string {
	y := n.Op(scope, "MatMul", []string{x, b.weight(n, scope+".weight", 0, in, out)})
	return n.Op(scope, "Add", []string{y, b.weight(n, scope+".bias", 0, out)})
}

// norm is layer normalisation over the last axis (Ba et al. 2016), spelt out: the
// operator came with operator set 17.
func (b *bert) norm(n *network, scope, x string, last bool) string {
	centred := n.Op(scope, "Sub", []string{x, n.Op(scope, "ReduceMean", []string{x}, onnx.Ints("axes", -1))})
	square := n.Op(scope, "Pow", []string{centred, n.Scalar(2)})
	variance := n.Op(scope, "ReduceMean", []string{square}, onnx.Ints("axes", -1))
	deviation := n.Op(scope, "Sqrt", []string{n.Op(scope, "Add", []string{variance, n.Scalar(float32(b.Epsilon))})})
	y := n.Op(scope, "Div", []string{centred, deviation})
	y = n.Op(scope, "Mul", []string{y, b.weight(n, scope+".weight", 1, b.Hidden)})
	sum := []string{y, b.weight(n, scope+".bias", 0, b.Hidden)}
	if last {
		n.OpAs("last_hidden_state", "Add", sum)
		return "last_hidden_state"
	}
	return n.Op(scope, "Add", sum)
}

// gelu is x Phi(x) with the exact error function (Hendrycks and Gimpel 2016).
func (b *bert) gelu(n *network, scope, x string) string {
	e := n.Op(scope, "Erf", []string{n.Op(scope, "Div", []string{x, n.Scalar(math.Sqrt2)})})
	y := n.Op(scope, "Mul", []string{x, n.Op(scope, "Add", []string{e, n.Scalar(1)})})
	return n.Op(scope, "Mul", []string{y, n.Scalar(0.5)})
}
