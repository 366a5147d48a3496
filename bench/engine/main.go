// Engine compares the engine with GNU make, ninja, Snakemake and DVC on the same
// cells, as far as they are installed: each cell is `cat in > out`. Tools take
// turns, so that a machine that grows slower or faster does so for all, and each
// time is a median over rounds, with its ratio to ninja's.
//
// It measures runs that have nothing to do, for cells side by side (fan) and one
// after another (chain); first runs; one file changed among all; the program's
// start; and an output of 1 GB kept and given back. Everything happens in a
// temporary folder, and nothing of it is removed before the end: ext4 without a
// journal passes over what was removed of late, file by file, so that removing
// slows down whoever comes next. Processor time is printed beside wall time: the
// first says more on a busy machine.
//
//	go run ./bench/engine                      # all, some minutes
//	go run ./bench/engine -cells 1000 -tools barograph,ninja
//	go run ./bench/engine -install             # fetch ninja, Snakemake and DVC through pip first
//	go run ./bench/engine -what first -jobs 2 -tools barograph,ninja,snakemake
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
)

func main() {
	b := bench{}
	var cells, names, line string
	var install bool
	flag.StringVar(&cells, "cells", "100,1000,10000", "sizes of the studies with nothing to do")
	flag.StringVar(&names, "tools", "", "tools to compare; all that are installed if none is named")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each no-op is measured; first runs a third as often")
	flag.IntVar(&b.first, "first", 1000, "cells of a first run")
	flag.StringVar(&b.jobs, "jobs", "1,2", "cells at a time in first runs")
	flag.StringVar(&b.what, "what", "start,first,noop,large", "what to measure")
	flag.StringVar(&b.shapes, "shapes", "fan,chain", "how cells hang together in studies with nothing to do")
	flag.StringVar(&line, "line", "plain", "what a cell is: "+strings.Join(slices.Sorted(maps.Keys(lines)), ", "))
	flag.BoolVar(&install, "install", false, "fetch ninja, Snakemake and DVC through pip, into the cache")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := b.prepare(ctx, cells, names, install)
	if err == nil {
		err = b.take(line)
	}
	if err == nil {
		err = b.run(ctx, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

type bench struct {
	rounds, first int
	jobs, what    string
	shapes        string
	sizes         []int
	tools         []*tool
	dir           string
}

func (b *bench) prepare(ctx context.Context, cells, names string, install bool) error {
	for _, sh := range strings.Split(b.shapes, ",") {
		if shape(sh) != fan && shape(sh) != chain {
			return fmt.Errorf("-shapes %q: want fan or chain", b.shapes)
		}
	}
	for _, s := range strings.Split(cells, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 2 {
			return fmt.Errorf("-cells %q: want numbers of at least 2", cells)
		}
		b.sizes = append(b.sizes, n)
	}
	cache, err := cell.CacheDir()
	if err != nil {
		return err
	}
	for _, name := range []string{"ninja", "snakemake", "dvc"} {
		venv := filepath.Join(cache, "bench", name)
		if _, err := os.Stat(filepath.Join(venv, "bin", name)); err == nil || !install {
			continue
		}
		fmt.Fprintln(os.Stderr, "engine: fetching", name)
		for _, cmd := range [][]string{{"python3", "-m", "venv", venv}, {filepath.Join(venv, "bin/pip"), "install", "--quiet", name}} {
			if out, err := exec.CommandContext(ctx, cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("install %s: %w\n%s", name, err, out)
			}
		}
	}
	if b.dir, err = os.MkdirTemp("", "bench-engine-"); err != nil {
		return err
	}
	// The program as it is shipped, and no race detector or test in it.
	program := filepath.Join(b.dir, "barograph")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("build the program (run this at the module's root): %w\n%s", err, out)
	}
	for _, t := range tools(program, filepath.Join(cache, "bench")) {
		path, err := exec.LookPath(filepath.Join(cache, "bench", t.name, "bin", t.name))
		if err != nil {
			path, err = exec.LookPath(t.path)
		}
		switch asked := names == "" || slices.Contains(strings.Split(names, ","), t.name); {
		case !asked:
		case err != nil:
			fmt.Fprintf(os.Stderr, "engine: no %s here; left out\n", t.name)
		default:
			t.path = path
			b.tools = append(b.tools, t)
		}
	}
	return nil
}

// lines are what a cell can be, by how the line begins. The last two need a shell.
var lines = map[string]string{
	"plain":  "cat ",               // in > out
	"input":  "cat < ",             // in > out
	"errors": "cat 2>&1 ",          // in > out
	"one":    "cat 2>> /dev/null ", // in > out: one program
	"two":    "true && cat ",       // in > out
}

// take has the lines of all tools be others than cat in > out.
func (b *bench) take(name string) error {
	line := lines[name]
	if line == "" {
		return fmt.Errorf("-line %q: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(lines)), ", "))
	}
	lines := strings.NewReplacer("run: cat ", "run: "+line, `"cat `, `"`+line, "command = cat ", "command = "+line, "\tcat ", "\t"+line, "'cat ", "'"+line)
	for _, t := range b.tools {
		text := t.text
		t.text = func(s shape, n int) string { return lines.Replace(text(s, n)) }
	}
	return nil
}

func (b *bench) run(ctx context.Context, out io.Writer) error {
	defer os.RemoveAll(b.dir)
	w := &table{Writer: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	for _, t := range b.tools {
		fmt.Fprintf(w, "%s\t%s\n", t.name, t.version(ctx))
	}
	load := loadavg()
	fmt.Fprintf(w, "\nwhat\ttool\twall\tx ninja\tprocessor\tpeak MiB\n")
	steps := map[string]func(context.Context, *table) error{"start": b.starts, "first": b.firsts, "noop": b.noops, "large": b.large}
	for _, name := range strings.Split(b.what, ",") {
		step := steps[name]
		if step == nil {
			return fmt.Errorf("-what %q: want start, first, noop or large", name)
		}
		if err := step(ctx, w); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "load average %s before, %s after\n", load, loadavg())
	return nil
}

func loadavg() string {
	b, _ := os.ReadFile("/proc/loadavg") // for the reader; empty elsewhere
	load, _, _ := strings.Cut(string(b), " ")
	return load
}

// starts measures commands that do next to nothing.
func (b *bench) starts(ctx context.Context, w *table) error {
	baro := b.named("barograph")
	if baro == nil {
		return nil
	}
	for _, args := range [][]string{{"version"}, {"status", "configs/paper.yaml"}} {
		var m measurements
		for range 4 * b.rounds {
			if err := m.time(ctx, ".", append([]string{baro.path}, args...)); err != nil {
				return err
			}
		}
		w.row("barograph "+strings.Join(args, " "), baro, m, 0)
	}
	return nil
}

func (b *bench) named(name string) *tool {
	for _, t := range b.tools {
		if t.name == name {
			return t
		}
	}
	return nil
}

// firsts measures runs in which every cell runs.
func (b *bench) firsts(ctx context.Context, w *table) error {
	for _, text := range strings.Split(b.jobs, ",") {
		jobs, err := strconv.Atoi(text)
		if err != nil || jobs < 1 {
			return fmt.Errorf("-jobs %q: want numbers of at least 1", b.jobs)
		}
		what := fmt.Sprintf("first run, %d cells, %d at a time", b.first, jobs)
		err = b.compare(w, what, max(1, b.rounds/3), fan, b.first, func(t *tool, round int, m *measurements) error {
			dir := filepath.Join(b.dir, fmt.Sprintf("first-%s-%d-%d", t.name, jobs, round))
			if err := t.lay(ctx, dir, fan, b.first); err != nil {
				return err
			}
			if err := m.time(ctx, dir, t.command(jobs)); err != nil {
				return err
			}
			return complete(dir, b.first)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// noops measures runs with nothing to do, and, of the largest size, with one input
// changed and what is asked then. The first runs before are measured once.
func (b *bench) noops(ctx context.Context, w *table) error {
	for _, n := range b.sizes {
		for _, sh := range strings.Split(b.shapes, ",") {
			if err := b.noop(ctx, w, n, shape(sh)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) noop(ctx context.Context, w *table, n int, sh shape) error {
	dirs := map[*tool]string{}
	what := fmt.Sprintf("%d cells, %s", n, sh)
	err := b.compare(w, "first run, "+what+", 2 at a time, one turn", 1, sh, n, func(t *tool, round int, m *measurements) error {
		dirs[t] = filepath.Join(b.dir, fmt.Sprintf("noop-%s-%s-%d", t.name, sh, n))
		if err := t.lay(ctx, dirs[t], sh, n); err != nil {
			return err
		}
		if err := m.time(ctx, dirs[t], t.command(2)); err != nil {
			return err
		}
		// What was just written is looked at more closely by those who know how coarse a
		// file's times are; a second run settles it for all.
		if err := run(ctx, dirs[t], t.command(2)); err != nil {
			return err
		}
		return complete(dirs[t], n)
	})
	if err == nil {
		err = b.compare(w, "nothing to do, "+what, b.rounds, sh, n, func(t *tool, round int, m *measurements) error {
			return m.time(ctx, dirs[t], t.command(2))
		})
	}
	if err != nil || sh != fan || n != slices.Max(b.sizes) {
		return err
	}
	err = b.compare(w, fmt.Sprintf("one input changed of %d, %s", n, sh), b.rounds, sh, n, func(t *tool, round int, m *measurements) error {
		text := fmt.Sprintf("changed %d\n", round)
		if err := os.WriteFile(filepath.Join(dirs[t], input(7)), []byte(text), 0o666); err != nil {
			return err
		}
		if err := m.time(ctx, dirs[t], t.command(2)); err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(dirs[t], output(7))); err != nil || string(got) != text {
			return fmt.Errorf("the output is %q, not what the changed input says: %w", got, err)
		}
		return nil
	})
	baro := b.named("barograph")
	if err != nil || baro == nil {
		return err
	}
	for _, args := range [][]string{{"status", "configs/study.yaml"}, {"why", "configs/study.yaml", "x[n=7]"}} {
		var m measurements
		for round := range b.rounds {
			if err := os.WriteFile(filepath.Join(dirs[baro], input(7)), []byte(fmt.Sprintf("asked %d\n", round)), 0o666); err != nil {
				return err
			}
			if err := m.time(ctx, dirs[baro], append([]string{baro.path}, args...)); err != nil {
				return err
			}
		}
		w.row(fmt.Sprintf("%s, one input changed of %d", args[0], n), baro, m, 0)
	}
	return w.Flush()
}

// large measures an output of 1 GB: made and kept, then given back after it was
// lost from the workspace.
func (b *bench) large(ctx context.Context, w *table) error {
	baro := b.named("barograph")
	if baro == nil {
		return nil
	}
	dir := filepath.Join(b.dir, "large")
	study := "study: large\nstages: {x: {uses: command, run: 'head -c 1000000000 /dev/zero > big', outputs: [big]}}\n"
	if err := write(dir, "configs/study.yaml", study); err != nil {
		return err
	}
	var bare, kept, given measurements
	if err := bare.time(ctx, dir, []string{"sh", "-c", "head -c 1000000000 /dev/zero > bare; sync bare"}); err != nil {
		return err
	}
	if err := kept.time(ctx, dir, baro.command(2)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "big")); err != nil {
		return err
	}
	if err := given.time(ctx, dir, baro.command(2)); err != nil {
		return err
	}
	w.row("1 GB written by head, and synced", &tool{name: "sh"}, bare, 0)
	w.row("1 GB written by a cell, kept and published", baro, kept, 0)
	w.row("1 GB given back to the workspace", baro, given, 0)
	return nil
}

// compare lets the tools take turns at something, and prints a row for each.
func (b *bench) compare(w *table, what string, rounds int, sh shape, n int, do func(t *tool, round int, m *measurements) error) error {
	all := map[*tool]*measurements{}
	for round := range rounds {
		for _, t := range b.tools {
			if n > t.most[sh] || t.slow && round > 0 {
				continue
			}
			if all[t] == nil {
				all[t] = &measurements{}
			}
			if err := do(t, round, all[t]); err != nil {
				return fmt.Errorf("%s: %s: %w", what, t.name, err)
			}
		}
	}
	base := time.Duration(0)
	if m := all[b.named("ninja")]; m != nil {
		base = m.wall()
	}
	for _, t := range b.tools {
		if all[t] != nil {
			w.row(what, t, *all[t], base)
		} else {
			fmt.Fprintf(w, "%s\t%s\tleft out: it would take minutes\n", what, t.name)
		}
	}
	return w.Flush()
}

// complete checks that a tool made what it was asked for.
func complete(dir string, n int) error {
	for i := 1; i <= n; i++ {
		if st, err := os.Stat(filepath.Join(dir, output(i))); err != nil || st.Size() == 0 {
			return fmt.Errorf("%s was not made: %w", output(i), cmp.Or(err, errors.New("it is empty")))
		}
	}
	return nil
}

// Measurements are of one command, run several times.
type measurements struct {
	walls, processors []time.Duration
	peak              int64 // bytes
}

func (m *measurements) time(ctx context.Context, dir string, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	m.walls = append(m.walls, wall)
	m.processors = append(m.processors, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	m.peak = max(m.peak, usage.Maxrss<<10)
	return nil
}

func run(ctx context.Context, dir string, argv []string) error {
	return new(measurements).time(ctx, dir, argv)
}

func (m *measurements) wall() time.Duration { return median(m.walls) }

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

type table struct{ *tabwriter.Writer }

func (w *table) row(what string, t *tool, m measurements, base time.Duration) {
	ratio := ""
	if base > 0 {
		ratio = fmt.Sprintf("%.2f", float64(m.wall())/float64(base))
	}
	fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%v\t%d\n", what, t.name, brief(m.wall()), ratio, brief(median(m.processors)), m.peak>>20)
}

func brief(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
