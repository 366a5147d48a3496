// Gpu times BERT on a GPU through the harness that studies use, and writes what
// it computed, for torch_bert.py to check and to time PyTorch against. Beside
// them, copy.cu is the plain CUDA program that the stressor is compared with.
// The README tells how to run the three; without a GPU this program says so and
// does nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"

	"barograph/pipeline/cell"
	"barograph/stages/device/cuda"
	"barograph/stages/infer"
)

func main() {
	dump := flag.String("dump", "", "write the inputs and outputs of a call to this `file`")
	calls := flag.Int("calls", 2000, "timed calls")
	device := flag.String("device", "cuda", "device, such as cuda:1")
	tf32 := flag.Bool("tf32", false, "let the library multiply in TF32")
	seed := flag.Uint64("seed", 1, "of the inputs")
	flag.Parse()
	if _, err := cuda.Open(*device); err != nil {
		fmt.Fprintln(os.Stderr, "nothing to compare:", err)
		return
	}
	if err := run(*device, *dump, *calls, *tf32, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "gpu:", err)
		var h *cell.Error
		if errors.As(err, &h) {
			fmt.Fprintln(os.Stderr, "hint:", h.Hint)
		}
		os.Exit(1)
	}
}

func run(device, dump string, calls int, tf32 bool, seed uint64) error {
	w := infer.Kind().With().(*infer.With)
	w.Model.Name, w.Calls, w.TF32 = "bert-base-uncased", calls, tf32
	ctx := context.Background()
	h, err := infer.NewHarnessOn(ctx, ".", device, w, seed, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Time(ctx, 50, nil); err != nil {
		return err
	}
	samples, err := h.Time(ctx, calls, nil)
	if err != nil {
		return err
	}
	ns := make([]int64, len(samples))
	for i, s := range samples {
		ns[i] = s.Latency()
	}
	slices.Sort(ns)
	if dump != "" {
		b, err := json.Marshal(h.Tensors())
		if err != nil {
			return err
		}
		if err := os.WriteFile(dump, b, 0o666); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"library": h.About.Library, "options": h.About.Options, "signals": h.About.Signals,
		"p50_ns": ns[len(ns)/2], "p99_ns": ns[len(ns)*99/100], "n": len(ns),
	})
}
