// Parity compares the inference harness with Python's onnxruntime: the same
// model file and inputs, the same version of the library, as many threads on the
// same processors. Both are there at once and take turns of a few calls, in the
// order A B B A, so that a machine that grows slower or faster does so for both;
// and each pair of processes is followed by a fresh one, since where memory
// happens to lie makes a process faster or slower for all its life. With the
// weights of BERT base that is 10% or more on some virtual machines; those of the
// model that is the default stay in the caches.
//
// It prints the medians of each pair and their ratio, beside the share of time
// that each waited for a processor which ran something else, and the geometric
// mean of the ratios with its 95% confidence interval (Student's t, over pairs).
// It ends with status 1 if that mean is further from 1 than the tolerance, and
// with status 3, INVALID, if the machine was too busy for it to mean anything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
	"barograph/stages/kind/infer"
	"barograph/stages/model"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

func main() {
	if os.Getenv(asPlayer) != "" {
		exit(play(context.Background(), os.Stdin, os.Stdout))
	}
	b := bench{seed: 1, busy: 0.01, with: *infer.Kind().With().(*infer.With)}
	flag.StringVar(&b.root, "root", ".", "`folder` that holds configs")
	b.with.Model.Name = "bert-mini"
	flag.Var(&b.with.Model, "model", "`name` of a model under configs/models")
	flag.IntVar(&b.with.Batch.Size, "batch", 1, "samples per call")
	flag.IntVar(&b.with.Sequence, "sequence", 128, "tokens per sample")
	flag.IntVar(&b.with.Threads, "threads", 0, "threads of both; 0: one for each processor of the inference")
	flag.IntVar(&b.with.Warmup, "warmup", 10, "calls before the first turn")
	flag.IntVar(&b.with.Calls, "calls", 20, "timed calls in a turn, after one that is not")
	flag.IntVar(&b.turns, "turns", 4, "turns of each process")
	flag.IntVar(&b.pairs, "pairs", 10, "pairs of processes, one after the other")
	flag.Float64Var(&b.tolerance, "tolerance", 0.03, "largest distance of the ratio from 1")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(b.run(ctx, os.Stdout))
}

// exit ends the program, saying why.
func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "parity:", err)
	if hint := cell.HintOf(err); hint != "" {
		fmt.Fprintln(os.Stderr, "hint:", hint)
	}
	if errors.Is(err, errBusy) {
		os.Exit(3)
	}
	os.Exit(1)
}

// errBusy is a comparison that other work on the machine has spoilt.
var errBusy = errors.New("INVALID: the processors were not theirs alone")

type bench struct {
	root         string
	with         infer.With
	pairs, turns int
	tolerance    float64
	busy         float64 // share of time waited that spoils the comparison
	seed         uint64

	model   *model.Config
	file    string
	python  string // PYTHONPATH
	placed  placement
	version string // of Python's onnxruntime
}

func (b *bench) run(ctx context.Context, out io.Writer) error {
	if b.pairs < 1 || b.turns < 1 {
		return fmt.Errorf("%d pairs of %d turns: want at least 1", b.pairs, b.turns)
	}
	if err := b.fetch(ctx); err != nil {
		return err
	}
	var ours, theirs times
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "pair\tbarograph p50\tpython p50\tratio\twaited\twaited\t")
	var ratios []float64
	for pair := range b.pairs {
		us, them, err := b.pair(ctx)
		if err != nil {
			return err
		}
		ratios = append(ratios, us.median()/them.median())
		row(w, strconv.Itoa(pair+1), us, them, ratios[pair])
		ours.add(us)
		theirs.add(them)
	}
	ratio, low, high := mean(ratios)
	row(w, "all", ours, theirs, ratio)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "ratio %.4f, 95%% interval %.4f to %.4f\n", ratio, low, high)
	fmt.Fprintf(out, "%s, batch %d, sequence %d; %s against Python's onnxruntime %s; %d threads on CPUs %v; %d calls of each\n",
		b.with.Model.Name, b.with.Batch.Size, b.with.Sequence, b.placed.Library, b.version, b.placed.Threads, b.placed.CPUs, len(ours.Latencies))
	switch {
	case b.placed.Library != "onnxruntime "+b.version:
		return fmt.Errorf("%s is not Python's version, %s", b.placed.Library, b.version)
	case max(ours.waited(), theirs.waited()) > b.busy:
		return cell.Hint(fmt.Errorf("%w: they waited %.1f%% and %.1f%% of the time", errBusy, 100*ours.waited(), 100*theirs.waited()),
			"repeat it when the machine is idle")
	case math.Abs(ratio-1) > b.tolerance:
		return fmt.Errorf("the ratio %.4f is further from 1 than %g", ratio, b.tolerance)
	}
	return nil
}

// fetch has everything there before anything is timed.
func (b *bench) fetch(ctx context.Context) (err error) {
	log := func(line string) { fmt.Fprintln(os.Stderr, "parity:", line) }
	if b.root, err = filepath.Abs(b.root); err != nil {
		return err
	}
	if err := infer.Kind().Check(b.root, "host", &b.with); err != nil {
		return err
	}
	cache, err := cell.CacheDir()
	if err != nil {
		return err
	}
	if b.model, err = b.with.Load(b.root); err != nil {
		return err
	}
	if b.file, err = model.Ensure(ctx, b.model, cache, log); err != nil {
		return err
	}
	if _, err := asset.Runtime(ctx, log); err != nil {
		return err
	}
	b.python, err = asset.PythonPath(ctx, log)
	return err
}

// pair starts a process of each side and has them take turns.
func (b *bench) pair(ctx context.Context) (ours, theirs times, err error) {
	us, err := b.startOurs(ctx)
	if err != nil {
		return ours, theirs, err
	}
	defer func() { err = errors.Join(err, us.end()) }()
	them, err := b.startTheirs(ctx)
	if err != nil {
		return ours, theirs, err
	}
	defer func() { err = errors.Join(err, them.end()) }()
	for turn := range b.turns {
		order := []struct {
			*player
			*times
		}{{us, &ours}, {them, &theirs}}
		if turn%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			t, err := side.turn(b.with.Calls)
			if err != nil {
				return ours, theirs, err
			}
			side.times.add(t)
		}
	}
	return ours, theirs, nil
}

// times are what one side measured, in nanoseconds.
type times struct {
	Latencies []int64 `json:"latencies"`
	Delay     int64   `json:"delay"` // waiting for a processor meanwhile
}

func (t *times) add(more times) {
	t.Latencies = append(t.Latencies, more.Latencies...)
	t.Delay += more.Delay
}

// waited returns the delay as a share of all time.
func (t *times) waited() float64 {
	sum := int64(0)
	for _, l := range t.Latencies {
		sum += l
	}
	return float64(t.Delay) / float64(sum)
}

func (t *times) median() float64 {
	s := slices.Sorted(slices.Values(t.Latencies))
	n := len(s)
	return float64(s[(n-1)/2]+s[n/2]) / 2
}

// row prints a line of the table.
func row(w io.Writer, name string, us, them times, ratio float64) {
	fmt.Fprintf(w, "%s\t%v\t%v\t%.4f\t%.1f%%\t%.1f%%\t\n", name,
		time.Duration(us.median()), time.Duration(them.median()), ratio, 100*us.waited(), 100*them.waited())
}

// mean returns the geometric mean of ratios and its 95% confidence interval,
// which for a single ratio is everything there is.
func mean(ratios []float64) (mean, low, high float64) {
	logs := make([]float64, len(ratios))
	for i, r := range ratios {
		logs[i] = math.Log(r)
	}
	n := float64(len(logs))
	if n < 2 {
		return ratios[0], 0, math.Inf(1)
	}
	m, sd := stat.MeanStdDev(logs, nil)
	half := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * sd / math.Sqrt(n)
	return math.Exp(m), math.Exp(m - half), math.Exp(m + half)
}
