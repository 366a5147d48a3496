package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"barograph/stages/asset"
	"barograph/stages/kind/infer"
)

func TestMain(m *testing.M) {
	if os.Getenv(asPlayer) != "" {
		exit(play(context.Background(), os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// Whether the harness keeps its promise is the bench's to say, on a model that
// takes long enough; that the bench can say it is tested here.
func TestBench(t *testing.T) {
	t.Setenv("ONNXRUNTIME_LIB", "")
	b := bench{root: "../..", pairs: 2, turns: 2, tolerance: 1e6, busy: 1e6, seed: 1,
		with: *infer.Kind().With().(*infer.With)}
	b.with.Model.Name, b.with.Batch.Size, b.with.Sequence, b.with.Warmup, b.with.Calls = "bert-tiny", 2, 16, 1, 5
	var out bytes.Buffer
	if err := b.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"all", "bert-tiny, batch 2, sequence 16", "onnxruntime " + asset.RuntimeVersion + " against Python's onnxruntime " + asset.RuntimeVersion, "20 calls"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	b.tolerance, b.pairs = 0, 1
	if err := b.run(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "further from 1") {
		t.Errorf("a ratio beyond the tolerance: %v", err)
	}
	b.busy = -1
	if err := b.run(t.Context(), &out); !errors.Is(err, errBusy) {
		t.Errorf("a machine that is too busy: %v", err)
	}
	b.with.Threads = -1
	if err := b.run(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "threads is -1") {
		t.Errorf("threads that cannot be: %v", err)
	}
}

func TestTimes(t *testing.T) {
	for want, v := range map[float64][]int64{3: {3}, 2.5: {4, 1, 3, 2}, 2: {3, 1, 2}} {
		if got := (&times{Latencies: v}).median(); got != want {
			t.Errorf("median of %v: %v", v, got)
		}
	}
	both := times{[]int64{60, 20}, 4}
	both.add(times{[]int64{120}, 6})
	if got := both.waited(); got != 0.05 {
		t.Errorf("waited %v of the time", got)
	}
}

func TestMean(t *testing.T) {
	// By hand: logs 0 and 2 have mean 1, deviation sqrt 2, and t(1) is 12.706.
	m, low, high := mean([]float64{1, math.Exp(2)})
	for _, c := range [][2]float64{{m, math.E}, {math.Log(low), 1 - 12.706}, {math.Log(high), 1 + 12.706}} {
		if math.Abs(c[0]-c[1]) > 1e-3 {
			t.Errorf("%v, want %v", c[0], c[1])
		}
	}
	if m, low, high := mean([]float64{1.5}); m != 1.5 || low != 0 || !math.IsInf(high, 1) {
		t.Errorf("of one ratio: %v from %v to %v", m, low, high)
	}
}
