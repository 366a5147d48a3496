package network

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"barograph/stages/model/onnx"

	"github.com/x448/float16"
)

// In float16 the graphs are made of the operators that ONNX Runtime puts in the place
// of float32's patterns: it finds the patterns of float16 on no CPU and only some on a
// GPU. They are safe where the parts would not be, for they sum squares, exponentials
// and products in float32; a square above 65504 is infinite in float16.

// A halver takes float32 elements, little endian, and writes them as float16.
type halver struct {
	w   io.Writer
	buf []byte
}

// Write takes whole elements.
func (h *halver) Write(p []byte) (int, error) {
	h.buf = h.buf[:0]
	for b := p; len(b) >= 4; b = b[4:] {
		x := math.Float32frombits(binary.LittleEndian.Uint32(b))
		f := float16.Fromfloat32(x)
		if f.IsInf(0) {
			return 0, fmt.Errorf("the weight %g is beyond float16", x)
		}
		h.buf = binary.LittleEndian.AppendUint16(h.buf, f.Bits())
	}
	if _, err := h.w.Write(h.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// beside adds an initialiser that holds several matrices [rows, columns] side by side,
// or with 0 rows vectors one after the other.
func (n *Network) beside(name string, rows, columns int64, parts ...string) string {
	dims := []int64{rows, columns}
	if rows == 0 {
		dims = dims[1:]
	}
	var sources []func(io.Writer) error
	for _, p := range parts {
		sources = append(sources, n.elements(p, 0, n.deviation, dims...))
	}
	all := append([]int64{}, dims...)
	all[len(all)-1] *= int64(len(parts))
	return n.initialiser(name, all, func(w io.Writer) error {
		held := make([]bytes.Buffer, len(parts))
		for i, s := range sources {
			if err := s(&held[i]); err != nil {
				return err
			}
		}
		for range max(1, rows) {
			for i := range held {
				if _, err := w.Write(held[i].Next(int(4 * columns))); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// merged adds the weights and biases of the layers of query, key and value as one.
func (n *Network) merged(scope string, names [3]string, hidden int64) (weight, bias string) {
	var weights, biases []string
	for _, name := range names {
		n.Transposed[scope+name+".weight"] = true
		weights, biases = append(weights, scope+name+".weight"), append(biases, scope+name+".bias")
	}
	return n.beside(scope+".weight", hidden, hidden, weights...), n.beside(scope+".bias", 0, hidden, biases...)
}

// fusedAttention is multi-head attention of x to itself, all but the last projection,
// with the weights of query, key and value side by side: [batch, sequence, hidden].
// mask, if any, is what [Network.scoreMask] gives: with one by sequence and key ONNX
// Runtime takes four kernels on any GPU, and with one that is added to scores a single one.
func (n *Network) fusedAttention(scope, x, weight, bias, mask string, heads int64) string {
	inputs := []string{x, weight, bias}
	if mask != "" {
		inputs = append(inputs, "", "", mask)
	}
	return n.Op(scope, onnx.Microsoft+"Attention", inputs, onnx.Int("num_heads", heads))
}

// scoreMask turns a mask of 1 and 0 into what is added to attention scores: 0 where it is
// 1, the lowest float16 where it is 0; [batch, 1, sequence, sequence]. Scores that are
// all lowered alike weigh as before: a sequence that is masked whole is looked at whole.
func (n *Network) scoreMask(mask string) string {
	values := n.Op(mask, "Cast", []string{n.Shape(-65504, 0)}, onnx.Int("to", int64(onnx.Float16)))
	m := n.Op(mask, "Gather", []string{values, mask}, onnx.Int("axis", 0))
	m = n.Op(mask, "Unsqueeze", []string{m}, onnx.Ints("axes", 1, 2))
	dims := n.Op(mask, "Gather", []string{n.Op(mask, "Shape", []string{m}), n.Shape(0, 1, 3, 3)}, onnx.Int("axis", 0))
	return n.Op(mask, "Expand", []string{m, dims})
}

// product is x W; what uses it adds the bias.
func (n *Network) product(scope, x string, in, out int64) string {
	return n.Op(scope, "MatMul", []string{x, n.parameter(scope+".weight", 0, in, out)})
}

// transposedProduct is product for checkpoints that hold W as [out, in].
func (n *Network) transposedProduct(scope, x string, in, out int64) string {
	n.Transposed[scope+".weight"] = true
	return n.product(scope, x, in, out)
}

// skipNorm is layer normalisation of x + skip + bias.
func (n *Network) skipNorm(scope, x, skip, bias string, size int64, epsilon float64) string {
	return n.skipNormParts(scope, x, skip, bias, size, epsilon, 0)[0]
}

// skipNormSum is skipNorm, and what is normalised.
func (n *Network) skipNormSum(scope, x, skip, bias string, size int64, epsilon float64) (normal, sum string) {
	outs := n.skipNormParts(scope, x, skip, bias, size, epsilon, 0, 3)
	return outs[0], outs[1]
}

func (n *Network) skipNormParts(scope, x, skip, bias string, size int64, epsilon float64, wanted ...int) []string {
	return n.Parts(scope, onnx.Microsoft+"SkipLayerNormalization",
		[]string{x, skip, n.parameter(scope+".weight", 1, size), n.parameter(scope+".bias", 0, size), n.parameter(bias, 0, size)},
		wanted, onnx.Float("epsilon", float32(epsilon)))
}

// biasGelu is GELU of x + bias.
func (n *Network) biasGelu(scope, x string, size int64) string {
	return n.Op(scope, onnx.Microsoft+"BiasGelu", []string{x, n.parameter(scope+".bias", 0, size)})
}

// fastGelu is GPT-2's GELU of x + bias.
func (n *Network) fastGelu(scope, x string, size int64) string {
	return n.Op(scope, onnx.Microsoft+"FastGelu", []string{x, n.parameter(scope+".bias", 0, size)})
}

// integers brings an input to int32, as ONNX Runtime's own operators want it.
func (n *Network) integers(x string) string {
	return n.Op(x, "Cast", []string{x}, onnx.Int("to", int64(onnx.Int32)))
}
