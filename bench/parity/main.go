// Parity compares the inference harness with Python's onnxruntime: the same
// model file and inputs, the same version of the library, as many threads on the
// same processors. Both are measured in fresh processes, in turn, in the order
// A B B A A B B A ..., so that a drift of the machine meets both alike. What is
// measured of the harness is the cell that studies run.
//
// It prints the median of each round and of all, and their ratio, beside the
// share of time that each waited for a processor which ran something else. It
// ends with status 1 if the ratio is further from 1 than the tolerance, and with
// status 3, INVALID, if the machine was too busy for the ratio to mean anything.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
	"barograph/stages/infer"
	"barograph/stages/model"
	"barograph/stages/result"
)

//go:embed parity.py
var script string

// asCell makes this program be the cell that it measures.
const asCell = "BAROGRAPH_PARITY_CELL"

func main() {
	if os.Getenv(asCell) != "" {
		if cell.Serve(cell.NewKinds(infer.Kind()), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		return
	}
	b := bench{seed: 1, busy: maxDelay}
	flag.StringVar(&b.root, "root", ".", "`folder` that holds configs")
	flag.StringVar(&b.with.Model, "model", "bert-base-uncased", "`name` of a model under configs/models")
	flag.IntVar(&b.with.Batch, "batch", 1, "samples per call")
	flag.IntVar(&b.with.Sequence, "sequence", 128, "tokens per sample")
	flag.IntVar(&b.with.Warmup, "warmup", 3, "calls before the timed ones, in each process")
	flag.IntVar(&b.with.Calls, "calls", 12, "timed calls in each process")
	flag.IntVar(&b.with.Threads, "threads", 0, "threads of both; 0: one for each processor of the inference")
	flag.IntVar(&b.rounds, "rounds", 8, "processes of each")
	flag.Float64Var(&b.tolerance, "tolerance", 0.03, "largest distance of the ratio from 1")
	flag.Parse()
	b.with.Arrivals = "closed"
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		var h *cell.Error
		if errors.As(err, &h) {
			fmt.Fprintln(os.Stderr, "hint:", h.Hint)
		}
		if errors.Is(err, errBusy) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

// errBusy is a comparison that other work on the machine has spoilt.
var errBusy = errors.New("INVALID: the processors were not theirs alone")

// maxDelay is the share of time that either side may have waited for its
// processor: well below what is to be told apart.
const maxDelay = 0.01

type bench struct {
	root      string
	with      infer.With
	rounds    int
	tolerance float64
	busy      float64 // largest share of time spent waiting
	seed      uint64
}

func (b *bench) run(ctx context.Context, out io.Writer) (err error) {
	if b.rounds < 1 {
		return fmt.Errorf("%d rounds: want at least 1", b.rounds)
	}
	if b.root, err = filepath.Abs(b.root); err != nil {
		return err
	}
	log := func(line string) { fmt.Fprintln(os.Stderr, "parity:", line) }
	k := infer.Kind()
	if err := k.Check(b.root, &b.with); err != nil {
		return err
	}
	cache, err := asset.CacheDir()
	if err != nil {
		return err
	}
	c, err := model.Load(b.root, b.with.Model)
	if err != nil {
		return err
	}
	file, err := model.Ensure(ctx, c, cache, log)
	if err != nil {
		return err
	}
	if _, err := asset.Runtime(ctx, log); err != nil {
		return err
	}
	path, err := asset.PythonPath(ctx, log)
	if err != nil {
		return err
	}

	var ours, theirs times
	var about result.Infer
	var version string
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "round\tbarograph p50\tpython p50\tratio\twaited\twaited\t")
	for round := range b.rounds {
		var us, them times
		measureUs := func() (err error) { us, about, err = b.ours(ctx); return err }
		measureThem := func() (err error) { them, version, err = b.theirs(ctx, c, file, path, about); return err }
		order := []func() error{measureUs, measureThem}
		if round%2 == 1 { // the first round has told theirs the processors
			slices.Reverse(order)
		}
		for _, measure := range order {
			if err := measure(); err != nil {
				return err
			}
		}
		row(w, strconv.Itoa(round+1), us, them)
		ours.add(us)
		theirs.add(them)
	}
	ratio := row(w, "all", ours, theirs)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, batch %d, sequence %d; %s against Python's onnxruntime %s; %d threads on CPUs %v; %d calls of each\n",
		b.with.Model, b.with.Batch, b.with.Sequence, about.Library, version, about.Threads, about.CPUs, len(ours.latencies))
	switch {
	case about.Library != "onnxruntime "+version:
		return fmt.Errorf("%s is not Python's version, %s", about.Library, version)
	case max(ours.waited(), theirs.waited()) > b.busy:
		return cell.Hint(fmt.Errorf("%w: they waited %.1f%% and %.1f%% of the time", errBusy, 100*ours.waited(), 100*theirs.waited()),
			"repeat it when the machine is idle")
	case math.Abs(ratio-1) > b.tolerance:
		return fmt.Errorf("the ratio %.4f is further from 1 than %g", ratio, b.tolerance)
	}
	return nil
}

// times are what one side measured, in nanoseconds.
type times struct {
	latencies []int64
	delay     int64 // within them, waiting for a processor
}

func (t *times) add(more times) {
	t.latencies = append(t.latencies, more.latencies...)
	t.delay += more.delay
}

// waited returns the delay as a share of all time.
func (t *times) waited() float64 {
	sum := int64(0)
	for _, l := range t.latencies {
		sum += l
	}
	return float64(t.delay) / float64(sum)
}

func (t *times) median() float64 {
	s := slices.Sorted(slices.Values(t.latencies))
	n := len(s)
	return float64(s[(n-1)/2]+s[n/2]) / 2
}

// row prints a line of the table and returns its ratio.
func row(w io.Writer, name string, us, them times) float64 {
	a, b := us.median(), them.median()
	fmt.Fprintf(w, "%s\t%v\t%v\t%.4f\t%.1f%%\t%.1f%%\t\n", name, time.Duration(a), time.Duration(b), a/b, 100*us.waited(), 100*them.waited())
	return a / b
}

// ours runs an infer cell in a process of its own.
func (b *bench) ours(ctx context.Context) (t times, about result.Infer, err error) {
	dir, err := os.MkdirTemp("", "parity-*")
	if err != nil {
		return t, about, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	with, err := json.Marshal(b.with)
	if err != nil {
		return t, about, err
	}
	line, err := json.Marshal(cell.Spec{Kind: "infer", Stage: "infer", ID: "infer", With: with, Root: b.root, Seed: b.seed,
		Machine: cell.Machine{Device: "host"}})
	if err != nil {
		return t, about, err
	}
	self, err := os.Executable()
	if err != nil {
		return t, about, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asCell+"=1")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(append(line, '\n')), os.Stderr
	if events, err := cmd.Output(); err != nil {
		return t, about, fmt.Errorf("infer cell: %w\n%s", err, events)
	}
	if err := result.Read(filepath.Join(dir, result.InferFile), &about); err != nil {
		return t, about, err
	}
	f, err := os.Open(filepath.Join(dir, result.CallsFile))
	if err != nil {
		return t, about, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return t, about, err
	}
	for _, r := range rows[1:] {
		v, err := strconv.ParseInt(r[len(r)-1], 10, 64)
		if err != nil {
			return t, about, fmt.Errorf("read %s: %w", result.CallsFile, err)
		}
		t.latencies = append(t.latencies, v)
	}
	t.delay = about.Delay
	return t, about, nil
}

// theirs runs the script, with the threads and processors that ours had.
func (b *bench) theirs(ctx context.Context, c *model.Config, file, path string, about result.Infer) (t times, version string, err error) {
	type input struct {
		Type  string  `json:"type"`
		Shape []int64 `json:"shape"`
		Data  any     `json:"data"`
	}
	job := struct {
		File    string           `json:"file"`
		Calls   int              `json:"calls"`
		Warmup  int              `json:"warmup"`
		Threads int              `json:"threads"`
		CPUs    []int            `json:"cpus"`
		Inputs  map[string]input `json:"inputs"`
	}{file, b.with.Calls, b.with.Warmup, about.Threads, about.CPUs, map[string]input{}}
	tensors, err := model.Generate(c, b.with.Dims(c), b.seed)
	if err != nil {
		return t, "", err
	}
	for _, in := range c.Inputs {
		job.Inputs[in.Name] = input{in.Type, tensors[in.Name].Shape, tensors[in.Name].Data}
	}
	line, err := json.Marshal(job)
	if err != nil {
		return t, "", err
	}
	cmd := exec.CommandContext(ctx, "python3", "-c", script)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+path)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(append(line, '\n')), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return t, "", fmt.Errorf("python3: %w", err)
	}
	var got struct {
		Version   string  `json:"version"`
		Latencies []int64 `json:"latencies"`
		Delay     int64   `json:"delay"`
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got.Latencies) != b.with.Calls {
		return t, "", fmt.Errorf("python3 answers %q: %w", out, errors.Join(err, errors.New("want one latency for each call")))
	}
	return times{got.Latencies, got.Delay}, got.Version, nil
}
