package model

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"

	"barograph/stages/model/onnx"
)

// A network is a graph under construction together with where its weights come
// from.
type network struct {
	*onnx.Graph
	seed uint64
	// recipe says how each weight is filled; with the graph's skeleton it
	// decides every byte of the file.
	recipe []byte
}

// weight adds an initialiser drawn from N(mean, std^2), as [seeded] draws.
func (n *network) weight(name string, mean, std float64, dims ...int64) string {
	s := seeded{n.seed, name, mean, std, 1}
	for _, d := range dims {
		s.count *= d
	}
	n.recipe = binary.LittleEndian.AppendUint64(n.recipe, math.Float64bits(mean))
	n.recipe = binary.LittleEndian.AppendUint64(n.recipe, math.Float64bits(std))
	return n.Weight(name, dims, s.write)
}

// weightsVersion changes when seeded writes other numbers.
const weightsVersion = "barograph weights 1"

// seeded is a stream of float32 values, little endian, that its seed and name
// decide: neither the order in which tensors are written nor the machine
// matters.
//
// A value is the sum of four independent uniform 16-bit numbers, centred and
// scaled: the Irwin-Hall distribution of order 4, a normal one truncated at
// 3.46 standard deviations for the purpose (BERT's own truncates at 2; excess
// kurtosis -0.3). It takes one 64-bit draw and no transcendental function, so
// it is as fast as the disk and the same bits on every processor.
type seeded struct {
	seed      uint64
	name      string
	mean, std float64
	count     int64
}

// Mean and standard deviation of the sum of four uniform 16-bit numbers: the
// variance of one is (2^32 - 1) / 12.
const laneMean = 2 * (1<<16 - 1)

var laneStd = math.Sqrt(4 * (1<<32 - 1) / 12.)

func (s seeded) write(w io.Writer) error {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64([]byte(weightsVersion), s.seed))
	h.Write([]byte(s.name))
	src := rand.NewChaCha8([sha256.Size]byte(h.Sum(nil)))
	scale, mean := float32(s.std/laneStd), float32(s.mean)
	buf := make([]byte, 256<<10)
	for left := 4 * s.count; left > 0; left -= int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), left)]
		for i := 0; i < len(buf); i += 4 {
			u := src.Uint64()
			sum := int32(u&0xffff + u>>16&0xffff + u>>32&0xffff + u>>48)
			// The conversion around the product keeps compilers from fusing it
			// with the sum, which would round differently.
			v := float32(float32(sum-laneMean)*scale) + mean
			binary.LittleEndian.PutUint32(buf[i:], math.Float32bits(v))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
