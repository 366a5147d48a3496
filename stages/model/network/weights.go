package network

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"

	"barograph/stages/model/onnx"
)

// A Network is a graph under construction together with where its weights come
// from.
type Network struct {
	*onnx.Graph
	// Transposed names the matrices that stand [in, out] here and [out, in] in
	// checkpoints.
	Transposed map[string]bool

	weights Weights
	// recipe says how each weight is filled; with the graph's skeleton it
	// decides every byte of the file.
	recipe []byte
	// deviation is that of parameters.
	deviation float64
}

// scalar adds a constant of the network's precision.
func (n *Network) scalar(v float32) string {
	if n.weights.Float16 {
		return n.Half(v)
	}
	return n.Scalar(v)
}

// input adds an input of float32, and brings it to the network's precision.
func (n *Network) input(name string, dims ...string) string {
	x := n.Input(name, onnx.Float32, dims...)
	if n.weights.Float16 {
		return n.Op(name, "Cast", []string{x}, onnx.Int("to", int64(onnx.Float16)))
	}
	return x
}

// result adds an operator that gives an output of float32 by that name, and returns
// what it gives in the network's precision.
func (n *Network) result(name, op string, inputs []string, attrs ...onnx.Attribute) string {
	if !n.weights.Float16 {
		n.OpAs(name, op, inputs, attrs...)
		return name
	}
	x := n.Op(name, op, inputs, attrs...)
	n.OpAs(name, "Cast", []string{x}, onnx.Int("to", int64(onnx.Float32)))
	return x
}

// Weights says where those of a network come from, and in what precision they and the
// arithmetic are.
type Weights struct {
	Seed    uint64
	Float16 bool // else float32; inputs and outputs are of that or of integers either way
	// Stored, unless nil, returns what writes a parameter's elements as float32,
	// in place of what the seed gives.
	Stored func(parameter string, transposed bool) func(io.Writer) error
}

// Digest returns, in hexadecimal, a SHA-256 of everything that decides the file of
// a network whose weights come from a seed.
func (n *Network) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n%d\n", weightsVersion, n.weights.Seed, len(n.recipe))
	h.Write(n.recipe)
	h.Write(n.Skeleton())
	return hex.EncodeToString(h.Sum(nil))
}

// newNetwork begins a graph of operator set 12; see [BERT] for why that one.
func newNetwork(name string, w Weights, deviation float64) *Network {
	return &Network{Graph: onnx.New(name, "barograph", 7, 12), weights: w, deviation: deviation, Transposed: map[string]bool{}}
}

// parameter adds a parameter. At the start of training biases are 0 and the
// weights of normalisations 1; here these too are drawn, around 0 and 1, so that a
// graph that confuses or forgets them gives other results.
func (n *Network) parameter(name string, mean float64, dims ...int64) string {
	return n.weight(name, mean, n.deviation, dims...)
}

// weight adds an initialiser drawn from N(mean, std^2), as [stream] draws, or
// taken from a checkpoint.
func (n *Network) weight(name string, mean, std float64, dims ...int64) string {
	return n.initialiser(name, dims, n.elements(name, mean, std, dims...))
}

// elements returns what writes a parameter as float32.
func (n *Network) elements(name string, mean, std float64, dims ...int64) func(io.Writer) error {
	if n.weights.Stored != nil {
		return n.weights.Stored(name, n.Transposed[name])
	}
	s := stream{n.weights.Seed, name, mean, std, 1}
	for _, d := range dims {
		s.count *= d
	}
	n.recipe = binary.LittleEndian.AppendUint64(n.recipe, math.Float64bits(mean))
	n.recipe = binary.LittleEndian.AppendUint64(n.recipe, math.Float64bits(std))
	return s.write
}

// initialiser adds one of the network's precision, from what writes float32.
func (n *Network) initialiser(name string, dims []int64, data func(io.Writer) error) string {
	if !n.weights.Float16 {
		return n.Weight(name, dims, data)
	}
	return n.WeightOf(onnx.Float16, name, dims, func(w io.Writer) error { return data(&halver{w: w}) })
}

// weightsVersion changes when a stream has other numbers.
const weightsVersion = "barograph weights 1"

// A stream is float32 values, little endian, that its seed and name
// decide: neither the order in which tensors are written nor the machine
// matters. The values are independent draws from [quantiles], scaled.
type stream struct {
	seed      uint64
	name      string
	mean, std float64
	count     int64
}

// quantiles holds those of the standard normal distribution at the midpoints of
// 2^12 equal shares, so that 12 random bits choose a normal value, truncated at
// 3.7 standard deviations, by a look-up in 16 KiB: as fast as a disk writes.
// They are rounded to multiples of 2^-12, which hides in what last digit two
// processors' arithmetic may differ.
var quantiles = sync.OnceValue(func() *[1 << 12]float64 {
	var q [1 << 12]float64
	for i := range q {
		q[i] = math.Round(quantile(i)) / grid
	}
	return &q
})

const grid = 1 << 12

func quantile(i int) float64 {
	return grid * math.Sqrt2 * math.Erfinv((2*float64(i)+1)/(1<<12)-1)
}

func (s stream) write(w io.Writer) error {
	var values [1 << 12]uint32
	for i, q := range quantiles() {
		// The conversion around the product keeps compilers from fusing it with
		// the sum, which would round differently.
		values[i] = math.Float32bits(float32(float64(q*s.std) + s.mean))
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", weightsVersion, s.seed, s.name))
	src := rand.NewPCG(binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:]))
	buf := make([]byte, 256<<10) // a multiple of the 16 bytes that one draw gives
	for left := 4 * s.count; left > 0; left -= int64(len(buf)) {
		for b := buf; len(b) >= 16; b = b[16:] {
			u := src.Uint64()
			binary.LittleEndian.PutUint32(b, values[u>>52])
			binary.LittleEndian.PutUint32(b[4:], values[u>>40&0xfff])
			binary.LittleEndian.PutUint32(b[8:], values[u>>28&0xfff])
			binary.LittleEndian.PutUint32(b[12:], values[u>>16&0xfff])
		}
		buf = buf[:min(int64(len(buf)), left)]
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
