package network

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// Quantiles are rounded to integers of a grid; no value may lie so near the
// middle of two that another processor's arithmetic could round it otherwise.
func TestQuantilesRoundAlikeEverywhere(t *testing.T) {
	for i := range quantiles() {
		q := quantile(i)
		if d := math.Abs(q - math.Floor(q) - 0.5); d < 1e-7 {
			t.Errorf("quantile %d is %g grid steps, %g from the middle", i, q, d)
		}
	}
}

func TestWeightsAreNormal(t *testing.T) {
	const n, mean, std = 1 << 20, 1.0, 0.02
	var buf bytes.Buffer
	if err := (stream{1, "x", mean, std, n}).write(&buf); err != nil {
		t.Fatal(err)
	}
	z := make([]float64, n)
	var lag float64
	for i := range z {
		v := math.Float32frombits(binary.LittleEndian.Uint32(buf.Bytes()[4*i:]))
		z[i] = (float64(v) - mean) / std
		if i > 0 {
			lag += z[i] * z[i-1] / n
		}
	}
	var moments [5]float64
	for _, x := range z {
		for k := range moments {
			moments[k] += math.Pow(x, float64(k)) / n
		}
	}
	// Five standard errors of each moment of a normal sample.
	for k, want := range map[int]struct{ value, se float64 }{1: {0, 1}, 2: {1, math.Sqrt2}, 3: {0, math.Sqrt(15)}, 4: {3, math.Sqrt(96)}} {
		if d := math.Abs(moments[k] - want.value); d > 5*want.se/math.Sqrt(n) {
			t.Errorf("moment %d is %g, not %g", k, moments[k], want.value)
		}
	}
	if math.Abs(lag) > 5/math.Sqrt(n) {
		t.Errorf("neighbours correlate by %g", lag)
	}
	// Kolmogorov's distance to the normal distribution, at a false alarm in 10^6.
	slices.Sort(z)
	for i, x := range z {
		d := math.Abs((float64(i)+0.5)/n - 0.5*math.Erfc(-x/math.Sqrt2))
		if d > 2.7/math.Sqrt(n) {
			t.Fatalf("the distribution differs by %g at %g", d, x)
		}
	}
}

func TestWeightsDependOnSeedAndNameAlone(t *testing.T) {
	write := func(s stream) string {
		var b strings.Builder
		if err := s.write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	base := write(stream{1, "a", 0, 1, 100000})
	if write(stream{1, "a", 0, 1, 100000}) != base {
		t.Error("the same stream differs")
	}
	if !strings.HasPrefix(base, write(stream{1, "a", 0, 1, 70001})) {
		t.Error("a shorter stream is not the beginning of a longer one")
	}
	for _, s := range []stream{{2, "a", 0, 1, 100000}, {1, "b", 0, 1, 100000}} {
		if write(s) == base {
			t.Errorf("%+v gives the stream of another", s)
		}
	}
}

func BenchmarkWeights(b *testing.B) {
	const n = 1 << 22
	b.SetBytes(4 * n)
	for b.Loop() {
		if err := (stream{1, "x", 0, 0.02, n}).write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
