// Gpu shows on a machine with an NVIDIA GPU what no other can:
//
//	gpu [latency]  times BERT, or another model, through the harness that studies use,
//	               and writes what it computed, for torch_bert.py to check and to time
//	               PyTorch against
//	gpu link       the stressor's bandwidth without an inference, beside what copy.cu
//	               reaches, and whether its rate limiter holds; status 3 where nothing
//	               fails and the link did not carry what was asked of it
//	gpu blocks     the bandwidth of one thread with one and two copies in flight, beside
//	               loops.cu
//	gpu soak       runs a study and watches the memory that it holds, on GPU and host
//	gpu faults     runs a study on GPUs that are not there, full, or used by others
//
// all.sh runs everything. Flags: gpu COMMAND -help. Without a GPU, latency says so
// and does nothing; the others take -device or -machine host, for a rehearsal.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"barograph/pipeline/cell"
	"barograph/stages/device/cuda"
	"barograph/stages/kind/infer"
)

var commands = map[string]func(ctx context.Context, args []string) error{
	"latency": latency, "link": link, "blocks": blocks, "soak": soak, "faults": faults,
	// The others start these in processes of their own.
	"hold": hold, "unlocked": unlocked,
}

func main() {
	name, args := "latency", os.Args[1:]
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	command := commands[name]
	if command == nil {
		fmt.Fprintf(os.Stderr, "gpu: no command %q: there is latency, link, blocks, soak and faults\n", name)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "gpu:", err)
		if hint := cell.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(cell.StatusOf(err))
	}
}

// flags begins the flags of a command.
func flags(name string) *flag.FlagSet { return flag.NewFlagSet("gpu "+name, flag.ExitOnError) }

func latency(ctx context.Context, args []string) error {
	f := flags("latency")
	dump := f.String("dump", "", "write the inputs and outputs of a call to this `file`")
	calls := f.Int("calls", 2000, "timed calls")
	device := f.String("device", "cuda", "device, such as cuda:1, or host")
	w := infer.Kind().With().(*infer.With)
	f.StringVar(&w.Model.Name, "model", "bert-base-uncased", "`name` of a model")
	f.IntVar(&w.Sequence, "sequence", w.Sequence, "tokens")
	f.StringVar(&w.Precision, "precision", "", "float32 or float16; the model's unless said")
	past := f.Int64("past", 0, "tokens before, of a model with a cache")
	tf32 := f.Bool("tf32", false, "let the library multiply in TF32")
	seed := f.Uint64("seed", 1, "of the inputs")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *device != "host" {
		if _, err := cuda.Open(*device); err != nil {
			fmt.Fprintln(os.Stderr, "nothing to compare:", err)
			return nil
		}
	}
	if *past > 0 {
		w.Dims = map[string]int64{"past": *past}
	}
	w.Calls, w.TF32 = *calls, *tf32
	h, err := infer.NewHarness(ctx, infer.Setup{Root: ".", Device: *device, With: w, Seed: *seed, Log: func(line string) { fmt.Fprintln(os.Stderr, line) }})
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Time(ctx, 50, nil); err != nil {
		return err
	}
	samples, err := h.Time(ctx, *calls, nil)
	if err != nil {
		return err
	}
	ns := make([]int64, len(samples))
	for i, s := range samples {
		ns[i] = s.Latency()
	}
	slices.Sort(ns)
	if *dump != "" {
		b, err := json.Marshal(h.Tensors())
		if err != nil {
			return err
		}
		if err := os.WriteFile(*dump, b, 0o666); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"library": h.About.Library, "options": h.About.Options, "signals": h.About.Signals,
		"p50_ns": ns[len(ns)/2], "p99_ns": ns[len(ns)*99/100], "n": len(ns),
	})
}
