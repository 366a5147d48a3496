package network

import (
	"math"
	"strconv"

	"barograph/stages/model/onnx"
)

// GPT2 is the decoder of Radford et al., "Language Models are Unsupervised
// Multitask Learners" (2019), computed as in the transformers library
// (GPT2LMHeadModel, eval mode), with a score for every token of the vocabulary
// after every token of the input.
//
// With a cache the graph takes the keys and values of the tokens before, past,
// and gives back those of all, present: in one tensor [batch, layers, 2, heads,
// tokens, size], as OpenAI's code has them. Without one it takes no past: it is
// the prefill. Both have the same weights.
type GPT2 struct {
	Layers     int64   `json:"layers" required:"true"`
	Hidden     int64   `json:"hidden" required:"true"`
	Heads      int64   `json:"heads" required:"true"`
	Vocabulary int64   `json:"vocabulary" required:"true"`
	Positions  int64   `json:"positions" required:"true"`
	Epsilon    float64 `json:"layer-norm-epsilon" required:"true"`
	Deviation  float64 `json:"initializer-range" required:"true"`
	Cache      bool    `json:"cache" required:"true"`
}

func (g *GPT2) Check() *Fault {
	return first(
		sizes(1, "layers", g.Layers, "hidden", g.Hidden, "heads", g.Heads, "vocabulary", g.Vocabulary, "positions", g.Positions),
		checkLayers(g.Layers), checkHeads(g.Heads, g.Hidden),
		checkEpsilon(g.Epsilon, "GPT-2's is 1e-5"), checkDeviation(g.Deviation, "GPT-2's is 0.02"))
}

func (g *GPT2) Limits() map[string]int64 {
	return map[string]int64{"sequence": g.Positions, "past": g.Positions - 1, "past + sequence": g.Positions}
}

func (g *GPT2) Build(w Weights) *Network {
	n := newNetwork("gpt2", w, g.Deviation)
	num := func(i int64) string { return strconv.FormatInt(i, 10) }
	total := "sequence"
	ids := n.Input("input_ids", onnx.Int64, "batch", "sequence")
	var past string
	if g.Cache {
		past = n.input("past", "batch", num(g.Layers), "2", num(g.Heads), "past", num(g.Hidden/g.Heads))
		total = "past + sequence"
	}

	start, end := g.span(n, ids, past)
	var positions, bias string
	if !w.Float16 {
		positions, bias = g.positions(n, start, end)
	}
	tokens := n.parameter("wte.weight", 0, g.Vocabulary, g.Hidden)
	places := n.parameter("wpe.weight", 0, g.Positions, g.Hidden)
	word := n.Op("wte", "Gather", []string{tokens, ids}, onnx.Int("axis", 0))
	var x string
	var present []string
	if w.Float16 {
		// A Gather of a Range that nothing else uses would become a Slice whose ends
		// ONNX Runtime computes on the GPU and reads on the host, and then no CUDA
		// graph can be captured. Here they are computed on the host to begin with.
		x = n.Op("embeddings", "Add", []string{word, n.Op("wpe", "Slice", []string{places, start, end, n.Shape(0)})})
		x, present = g.half(n, x, past)
	} else {
		x = n.Op("embeddings", "Add", []string{word, n.Op("wpe", "Gather", []string{places, positions}, onnx.Int("axis", 0))})
		x, present = g.decoder(n, x, past, bias)
	}

	// The embeddings are the last layer's weights too. This operator takes them as they
	// lie, where a transposed copy would be as large as they are, and gives the output
	// itself, where Gemm's would have to be given its shape by a copy.
	n.result("logits", onnx.Microsoft+"FusedMatMul", []string{x, tokens}, onnx.Int("transB", 1))
	n.Output("logits", onnx.Float32, "batch", "sequence", num(g.Vocabulary))
	n.result("present", "Concat", present, onnx.Int("axis", 1))
	n.Output("present", onnx.Float32, "batch", num(g.Layers), "2", num(g.Heads), total, num(g.Hidden/g.Heads))
	return n
}

// decoder returns the normalised states of all tokens, and the keys and values of each
// layer.
func (g *GPT2) decoder(n *Network, x, past, bias string) (states string, present []string) {
	for l := range g.Layers {
		scope := "h." + strconv.FormatInt(l, 10)
		attended, kv := g.attention(n, scope+".attn", n.norm(scope+".ln_1", x, g.Hidden, g.Epsilon), bias, past, l)
		present = append(present, kv)
		x = n.Op(scope, "Add", []string{x, attended})
		h := n.projection(scope+".mlp.c_fc", n.norm(scope+".ln_2", x, g.Hidden, g.Epsilon), g.Hidden, 4*g.Hidden)
		h = n.projection(scope+".mlp.c_proj", g.gelu(n, scope+".mlp", h), 4*g.Hidden, g.Hidden)
		x = n.Op(scope, "Add", []string{x, h})
	}
	return n.norm("ln_f", x, g.Hidden, g.Epsilon), present
}

// half is decoder in float16.
func (g *GPT2) half(n *Network, x, past string) (states string, present []string) {
	turn := func(scope, x string) string { // the two of keys and values before the samples, or back
		return n.Op(scope, "Transpose", []string{x}, onnx.Ints("perm", 1, 0, 2, 3, 4))
	}
	h := n.norm("h.0.ln_1", x, g.Hidden, g.Epsilon)
	for l := range g.Layers {
		scope := "h." + strconv.FormatInt(l, 10)
		attention := scope + ".attn"
		inputs := []string{h, n.parameter(attention+".c_attn.weight", 0, g.Hidden, 3*g.Hidden), n.parameter(attention+".c_attn.bias", 0, 3*g.Hidden)}
		if past != "" {
			before := n.Op(attention, "Gather", []string{past, n.Index(l)}, onnx.Int("axis", 1))
			inputs = append(inputs, "", turn(attention, before))
		}
		outs := n.Parts(attention, onnx.Microsoft+"Attention", inputs, []int{0, 1}, onnx.Int("num_heads", g.Heads), onnx.Int("unidirectional", 1))
		present = append(present, n.Op(attention, "Unsqueeze", []string{turn(attention, outs[1])}, onnx.Ints("axes", 1)))
		h = n.product(attention+".c_proj", outs[0], g.Hidden, g.Hidden)
		h, x = n.skipNormSum(scope+".ln_2", h, x, attention+".c_proj.bias", g.Hidden, g.Epsilon)
		h = n.fastGelu(scope+".mlp.c_fc", n.product(scope+".mlp.c_fc", h, g.Hidden, 4*g.Hidden), 4*g.Hidden)
		h = n.product(scope+".mlp.c_proj", h, 4*g.Hidden, g.Hidden)
		next := "ln_f"
		if l+1 < g.Layers {
			next = "h." + strconv.FormatInt(l+1, 10) + ".ln_1"
		}
		h, x = n.skipNormSum(next, h, x, scope+".mlp.c_proj.bias", g.Hidden, g.Epsilon)
	}
	return h, present
}

// span returns the places of the first token of the input and of the one after its
// last, behind those of the past: numbers, or in float16 lists of one, for Slice.
func (g *GPT2) span(n *Network, ids, past string) (start, end string) {
	const scope = "positions"
	number := n.Index
	if n.weights.Float16 {
		number = func(i int64) string { return n.Shape(i) }
	}
	length := func(of string, axis int64) string {
		return n.Op(scope, "Gather", []string{n.Op(scope, "Shape", []string{of}), number(axis)}, onnx.Int("axis", 0))
	}
	start, end = number(0), length(ids, 1)
	if past != "" {
		start = length(past, 4)
		end = n.Op(scope, "Add", []string{start, end})
	}
	return start, end
}

// positions returns the place of each token of the input, and what is added to
// attention scores, [sequence, past + sequence]: 0 where a token looks at itself or
// back, the lowest float32 where it looks ahead.
func (g *GPT2) positions(n *Network, start, end string) (positions, bias string) {
	const scope = "positions"
	positions = n.Op(scope, "Range", []string{start, end, n.Index(1)})
	from := n.Op(scope, "Unsqueeze", []string{positions}, onnx.Ints("axes", 1))
	ahead := n.Op(scope, "Greater", []string{n.Op(scope, "Range", []string{n.Index(0), end, n.Index(1)}), from})
	return positions, n.Op(scope, "Where", []string{ahead, n.scalar(-math.MaxFloat32), n.scalar(0)})
}

// attention returns what layer l's attention adds, and its keys and values, [batch,
// 1, 2, heads, past + sequence, size].
func (g *GPT2) attention(n *Network, scope, x, bias, past string, l int64) (out, present string) {
	size := g.Hidden / g.Heads
	split := n.Shape(0, 0, g.Heads, size)
	parts := n.Split(scope, n.projection(scope+".c_attn", x, g.Hidden, 3*g.Hidden), 2, 3)
	for i, p := range parts {
		parts[i] = n.Op(scope, "Reshape", []string{p, split})
		parts[i] = n.Op(scope, "Transpose", []string{parts[i]}, onnx.Ints("perm", 0, 2, 1, 3))
	}
	if past != "" {
		before := n.Op(scope, "Gather", []string{past, n.Index(l)}, onnx.Int("axis", 1)) // [batch, 2, heads, past, size]
		for i := range 2 {
			old := n.Op(scope, "Gather", []string{before, n.Index(int64(i))}, onnx.Int("axis", 1))
			parts[1+i] = n.Op(scope, "Concat", []string{old, parts[1+i]}, onnx.Int("axis", 2))
		}
	}
	var kept []string
	for _, p := range parts[1:] {
		kept = append(kept, n.Op(scope, "Unsqueeze", []string{p}, onnx.Ints("axes", 1, 2)))
	}
	k := n.Op(scope, "Transpose", []string{parts[1]}, onnx.Ints("perm", 0, 1, 3, 2))
	context := n.attend(scope, parts[0], k, parts[2], bias, g.Hidden, g.Heads)
	return n.projection(scope+".c_proj", context, g.Hidden, g.Hidden), n.Op(scope, "Concat", kept, onnx.Int("axis", 2))
}

// gelu is GPT-2's, with the hyperbolic tangent for an approximation (Hendrycks
// and Gimpel 2016).
func (g *GPT2) gelu(n *Network, scope, x string) string {
	y := n.Op(scope, "Mul", []string{n.Op(scope, "Pow", []string{x, n.scalar(3)}), n.scalar(0.044715)})
	y = n.Op(scope, "Mul", []string{n.Op(scope, "Add", []string{x, y}), n.scalar(float32(math.Sqrt(2 / math.Pi)))})
	y = n.Op(scope, "Add", []string{n.Op(scope, "Tanh", []string{y}), n.scalar(1)})
	return n.Op(scope, "Mul", []string{n.Op(scope, "Mul", []string{x, n.scalar(0.5)}), y})
}
