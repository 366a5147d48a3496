package network

import (
	"fmt"
	"math"

	"barograph/stages/model/onnx"
)

// linear is x W + b.
func (n *Network) linear(scope, x string, in, out int64) string {
	n.Transposed[scope+".weight"] = true
	return n.projection(scope, x, in, out)
}

// projection is linear for checkpoints that hold W as it is used, [in, out].
func (n *Network) projection(scope, x string, in, out int64) string {
	y := n.Op(scope, "MatMul", []string{x, n.parameter(scope+".weight", 0, in, out)})
	return n.Op(scope, "Add", []string{y, n.parameter(scope+".bias", 0, out)})
}

// scores is linear of x, [batch, in], as the output logits. ONNX Runtime would make one
// operator of the product and the sum, were they next to each other, and cuBLAS then
// does not write an output that is host memory by a kernel alone; a sum does.
func (n *Network) scores(scope, x string, in, out int64) {
	n.Transposed[scope+".weight"] = true
	row := n.Op(scope, "Unsqueeze", []string{x}, onnx.Ints("axes", 1))
	y := n.Op(scope, "MatMul", []string{row, n.parameter(scope+".weight", 0, in, out)})
	y = n.Op(scope, "Squeeze", []string{y}, onnx.Ints("axes", 1))
	n.result("logits", "Add", []string{y, n.parameter(scope+".bias", 0, out)})
	n.Output("logits", onnx.Float32, "batch", fmt.Sprint(out))
}

// norm is layer normalisation over the last axis (Ba et al. 2016), spelt out: the
// operator came with operator set 17.
func (n *Network) norm(scope, x string, size int64, epsilon float64) string {
	if n.weights.Float16 {
		return n.Op(scope, "LayerNormalization", []string{x, n.parameter(scope+".weight", 1, size), n.parameter(scope+".bias", 0, size)},
			onnx.Int("axis", -1), onnx.Float("epsilon", float32(epsilon)))
	}
	return n.Op(scope, "Add", n.normTerms(scope, x, size, epsilon))
}

// normAs is norm with its result under a given name.
func (n *Network) normAs(out, scope, x string, size int64, epsilon float64) string {
	n.OpAs(out, "Add", n.normTerms(scope, x, size, epsilon))
	return out
}

func (n *Network) normTerms(scope, x string, size int64, epsilon float64) []string {
	centred := n.Op(scope, "Sub", []string{x, n.Op(scope, "ReduceMean", []string{x}, onnx.Ints("axes", -1))})
	square := n.Op(scope, "Pow", []string{centred, n.scalar(2)})
	variance := n.Op(scope, "ReduceMean", []string{square}, onnx.Ints("axes", -1))
	deviation := n.Op(scope, "Sqrt", []string{n.Op(scope, "Add", []string{variance, n.scalar(float32(epsilon))})})
	y := n.Op(scope, "Div", []string{centred, deviation})
	y = n.Op(scope, "Mul", []string{y, n.parameter(scope+".weight", 1, size)})
	return []string{y, n.parameter(scope+".bias", 0, size)}
}

// gelu is x Phi(x) with the exact error function (Hendrycks and Gimpel 2016).
func (n *Network) gelu(scope, x string) string {
	e := n.Op(scope, "Erf", []string{n.Op(scope, "Div", []string{x, n.scalar(math.Sqrt2)})})
	y := n.Op(scope, "Mul", []string{x, n.Op(scope, "Add", []string{e, n.scalar(1)})})
	return n.Op(scope, "Mul", []string{y, n.scalar(0.5)})
}

// selfAttention is multi-head attention (Vaswani et al. 2017) of x to itself, all
// but the last projection. The layers of query, key and value have the names
// given, below scope; bias, if any, is added to the scores.
func (n *Network) selfAttention(scope string, names [3]string, x, bias string, hidden, heads int64) string {
	split := n.Shape(0, 0, heads, hidden/heads)
	part := func(name string, perm ...int64) string {
		s := scope + name
		h := n.Op(s, "Reshape", []string{n.linear(s, x, hidden, hidden), split})
		return n.Op(s, "Transpose", []string{h}, onnx.Ints("perm", perm...))
	}
	q := part(names[0], 0, 2, 1, 3) // [batch, heads, sequence, size]
	k := part(names[1], 0, 2, 3, 1) // [batch, heads, size, sequence]
	v := part(names[2], 0, 2, 1, 3)
	return n.attend(scope, q, k, v, bias, hidden, heads)
}

// attend is softmax(q k / sqrt(size) + bias) v, the heads side by side: [batch,
// sequence, hidden].
func (n *Network) attend(scope, q, k, v, bias string, hidden, heads int64) string {
	scores := n.Op(scope, "MatMul", []string{q, k})
	scores = n.Op(scope, "Div", []string{scores, n.scalar(float32(math.Sqrt(float64(hidden / heads))))})
	if bias != "" {
		scores = n.Op(scope, "Add", []string{scores, bias})
	}
	weights := n.Op(scope, "Softmax", []string{scores}, onnx.Int("axis", 3))
	context := n.Op(scope, "MatMul", []string{weights, v})
	context = n.Op(scope, "Transpose", []string{context}, onnx.Ints("perm", 0, 2, 1, 3))
	return n.Op(scope, "Reshape", []string{context, n.Shape(0, 0, hidden)})
}

// conv is a convolution with square kernels, without bias. Weights are drawn so
// that a ReLU after it keeps the scale (He et al. 2015).
func (n *Network) conv(name, x string, in, out, kernel, stride, groups int64) string {
	w := n.weight(name+".weight", 0, math.Sqrt(2/float64(in/groups*kernel*kernel)), out, in/groups, kernel, kernel)
	pad := kernel / 2
	return n.Op(name, "Conv", []string{x, w}, onnx.Ints("kernel_shape", kernel, kernel), onnx.Ints("strides", stride, stride),
		onnx.Ints("pads", pad, pad, pad, pad), onnx.Int("group", groups))
}

// batchNorm is batch normalisation as it is at inference, by running statistics
// (Ioffe and Szegedy 2015); scale is around what its weights are drawn.
func (n *Network) batchNorm(name, x string, channels int64, scale float64) string {
	const spread, epsilon = 0.05, 1e-5
	inputs := []string{x}
	for _, p := range []struct {
		name string
		mean float64
	}{{".weight", scale}, {".bias", 0}, {".running_mean", 0}, {".running_var", 1}} {
		inputs = append(inputs, n.weight(name+p.name, p.mean, spread, channels))
	}
	return n.Op(name, "BatchNormalization", inputs, onnx.Float("epsilon", epsilon))
}

func (n *Network) relu(name, x string) string { return n.Op(name, "Relu", []string{x}) }

func (n *Network) maxPool(name, x string, kernel, stride int64) string {
	pad := (kernel - 1) / 2
	return n.Op(name, "MaxPool", []string{x}, onnx.Ints("kernel_shape", kernel, kernel), onnx.Ints("strides", stride, stride),
		onnx.Ints("pads", pad, pad, pad, pad))
}

// classify averages an image's features and gives each class a score: logits,
// [batch, classes].
func (n *Network) classify(name, x string, features, classes int64) {
	x = n.Op(name, "GlobalAveragePool", []string{x})
	x = n.Op(name, "Flatten", []string{x})
	n.scores(name, x, features, classes)
}

// first returns the first fault there is.
func first(faults ...*Fault) *Fault {
	for _, f := range faults {
		if f != nil {
			return f
		}
	}
	return nil
}

// sizes checks that sizes, given by name and value in turn, lie from low to what
// keeps every product of two of them far from overflow.
func sizes(low int64, pairs ...any) *Fault {
	const high = 1 << 24
	for i := 0; i < len(pairs); i += 2 {
		key, value := pairs[i].(string), pairs[i+1].(int64)
		if value < low || value > high {
			return &Fault{key, fmt.Sprintf("%d is not from %d to %d", value, low, high), ""}
		}
	}
	return nil
}

func checkLayers(layers int64) *Fault {
	if layers > 1024 {
		return &Fault{"layers", fmt.Sprintf("%d is not from 1 to 1024", layers), ""}
	}
	return nil
}

func checkHeads(heads, hidden int64) *Fault {
	if heads > 0 && hidden%heads != 0 {
		return &Fault{"heads", fmt.Sprintf("%d heads do not divide hidden size %d", heads, hidden), ""}
	}
	return nil
}

func checkEpsilon(epsilon float64, hint string) *Fault {
	if !(epsilon > 0 && epsilon < 1) {
		return &Fault{"layer-norm-epsilon", fmt.Sprintf("%g is not between 0 and 1", epsilon), hint}
	}
	return nil
}

func checkDeviation(deviation float64, hint string) *Fault {
	if !(deviation > 0 && deviation < 100) {
		return &Fault{"initializer-range", fmt.Sprintf("%g is not between 0 and 100", deviation), hint}
	}
	return nil
}
