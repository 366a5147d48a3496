package network

import (
	"math"
	"strconv"

	"barograph/stages/model/onnx"
)

// BERT is the encoder of Devlin et al., "BERT" (2019), https://arxiv.org/abs/1810.04805,
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
type BERT struct {
	Layers       int64   `json:"layers" required:"true"`
	Hidden       int64   `json:"hidden" required:"true"`
	Heads        int64   `json:"heads" required:"true"`
	Intermediate int64   `json:"intermediate" required:"true"`
	Vocabulary   int64   `json:"vocabulary" required:"true"`
	Positions    int64   `json:"positions" required:"true"`
	TokenTypes   int64   `json:"token-types" required:"true"` // 0: none, as in DistilBERT
	Epsilon      float64 `json:"layer-norm-epsilon" required:"true"`
	Deviation    float64 `json:"initializer-range" required:"true"` // standard deviation of seeded weights
	Pooler       bool    `json:"pooler" required:"true"`
}

func (b *BERT) Check() *Fault {
	return first(
		sizes(1, "layers", b.Layers, "hidden", b.Hidden, "heads", b.Heads, "intermediate", b.Intermediate,
			"vocabulary", b.Vocabulary, "positions", b.Positions),
		sizes(0, "token-types", b.TokenTypes),
		checkLayers(b.Layers), checkHeads(b.Heads, b.Hidden),
		checkEpsilon(b.Epsilon, "BERT's is 1e-12"), checkDeviation(b.Deviation, "BERT's is 0.02"))
}

func (b *BERT) Limits() map[string]int64 { return map[string]int64{"sequence": b.Positions} }

func (b *BERT) Build(w Weights) *Network {
	n := newNetwork("bert", w, b.Deviation)
	ids := n.Input("input_ids", onnx.Int64, "batch", "sequence")
	mask := n.Input("attention_mask", onnx.Int64, "batch", "sequence")
	var types string
	if b.TokenTypes > 0 {
		types = n.Input("token_type_ids", onnx.Int64, "batch", "sequence")
	}

	x := ""
	if w.Float16 {
		x = b.half(n, ids, mask, types)
	} else {
		x = b.encoder(n, ids, mask, types)
	}
	n.Output("last_hidden_state", onnx.Float32, "batch", "sequence", strconv.FormatInt(b.Hidden, 10))
	if b.Pooler {
		first := n.Op("pooler", "Gather", []string{x, n.Index(0)}, onnx.Int("axis", 1))
		n.result("pooler_output", "Tanh", []string{n.linear("pooler.dense", first, b.Hidden, b.Hidden)})
		n.Output("pooler_output", onnx.Float32, "batch", strconv.FormatInt(b.Hidden, 10))
	}
	return n
}

// encoder returns the last hidden state, which is an output.
func (b *BERT) encoder(n *Network, ids, mask, types string) string {
	x := b.embed(n, ids, types)
	bias := b.maskBias(n, mask)
	for l := range b.Layers {
		scope := "encoder.layer." + strconv.FormatInt(l, 10)
		x = b.attention(n, scope+".attention", x, bias)
		h := n.gelu(scope+".intermediate", n.linear(scope+".intermediate.dense", x, b.Hidden, b.Intermediate))
		h = n.linear(scope+".output.dense", h, b.Intermediate, b.Hidden)
		h = n.Op(scope+".output", "Add", []string{h, x})
		if l < b.Layers-1 {
			x = n.norm(scope+".output.LayerNorm", h, b.Hidden, b.Epsilon)
		} else {
			x = n.normAs("last_hidden_state", scope+".output.LayerNorm", h, b.Hidden, b.Epsilon)
		}
	}
	return x
}

// half is encoder in float16.
func (b *BERT) half(n *Network, ids, mask, types string) string {
	const scope = "embeddings"
	table := func(name string, rows int64) string { return n.parameter(scope+"."+name+".weight", 0, rows, b.Hidden) }
	inputs := []string{n.integers(ids), "", table("word_embeddings", b.Vocabulary), table("position_embeddings", b.Positions), ""}
	if b.TokenTypes > 0 {
		inputs[1], inputs[4] = n.integers(types), table("token_type_embeddings", b.TokenTypes)
	}
	inputs = append(inputs, n.parameter(scope+".LayerNorm.weight", 1, b.Hidden), n.parameter(scope+".LayerNorm.bias", 0, b.Hidden))
	x := n.Parts(scope, onnx.Microsoft+"EmbedLayerNormalization", inputs, []int{0, 1}, onnx.Float("epsilon", float32(b.Epsilon)))[0] // it insists on two
	mask = n.scoreMask(mask)
	for l := range b.Layers {
		scope := "encoder.layer." + strconv.FormatInt(l, 10)
		weight, bias := n.merged(scope+".attention.self", [3]string{".query", ".key", ".value"}, b.Hidden)
		h := n.fusedAttention(scope, x, weight, bias, mask, b.Heads)
		h = n.transposedProduct(scope+".attention.output.dense", h, b.Hidden, b.Hidden)
		x = n.skipNorm(scope+".attention.output.LayerNorm", h, x, scope+".attention.output.dense.bias", b.Hidden, b.Epsilon)
		h = n.biasGelu(scope+".intermediate.dense", n.transposedProduct(scope+".intermediate.dense", x, b.Hidden, b.Intermediate), b.Intermediate)
		h = n.transposedProduct(scope+".output.dense", h, b.Intermediate, b.Hidden)
		x = n.skipNorm(scope+".output.LayerNorm", h, x, scope+".output.dense.bias", b.Hidden, b.Epsilon)
	}
	n.OpAs("last_hidden_state", "Cast", []string{x}, onnx.Int("to", int64(onnx.Float32)))
	return x
}

// embed sums the embeddings of tokens, positions and types, normalised:
// [batch, sequence, hidden].
func (b *BERT) embed(n *Network, ids, types string) string {
	const scope = "embeddings"
	table := func(name string, rows int64, index string) string {
		w := n.parameter(scope+"."+name+".weight", 0, rows, b.Hidden)
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
	if b.TokenTypes > 0 {
		x = n.Op(scope, "Add", []string{x, table("token_type_embeddings", b.TokenTypes, types)})
	}
	return n.norm(scope+".LayerNorm", x, b.Hidden, b.Epsilon)
}

// maskBias turns a mask into what is added to attention scores: 0 where it is
// 1, the lowest float32 where it is 0; [batch, 1, 1, sequence].
func (b *BERT) maskBias(n *Network, mask string) string {
	const scope = "attention_mask"
	m := n.Op(scope, "Unsqueeze", []string{mask}, onnx.Ints("axes", 1))
	m = n.Op(scope, "Unsqueeze", []string{m}, onnx.Ints("axes", 2))
	m = n.Op(scope, "Cast", []string{m}, onnx.Int("to", int64(onnx.Float32)))
	m = n.Op(scope, "Sub", []string{n.scalar(1), m})
	return n.Op(scope, "Mul", []string{m, n.scalar(-math.MaxFloat32)})
}

// attention is multi-head self-attention, its projection, and the residual sum,
// normalised.
func (b *BERT) attention(n *Network, scope, x, bias string) string {
	context := n.selfAttention(scope+".self", [3]string{".query", ".key", ".value"}, x, bias, b.Hidden, b.Heads)
	out := n.linear(scope+".output.dense", context, b.Hidden, b.Hidden)
	return n.norm(scope+".output.LayerNorm", n.Op(scope+".output", "Add", []string{out, x}), b.Hidden, b.Epsilon)
}
