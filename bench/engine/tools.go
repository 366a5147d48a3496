package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A shape is how cells hang together.
type shape string

const (
	fan   shape = "fan"   // each reads a file of its own
	chain shape = "chain" // each reads what the one before wrote
)

func input(i int) string  { return fmt.Sprintf("in/%d.txt", i) }
func output(i int) string { return fmt.Sprintf("out/%d.txt", i) }

// reads is what a cell reads.
func (s shape) reads(i int) string {
	if s == chain && i > 1 {
		return output(i - 1)
	}
	return input(i)
}

// A tool is a program that can run cells.
type tool struct {
	name, path string
	file       string                      // that describes the cells
	text       func(s shape, n int) string // of the file
	setup      []string                    // arguments of a run before the first
	args       func(jobs int) []string
	most       map[shape]int // cells that it runs within minutes
	slow       bool          // once is enough
}

func (t *tool) command(jobs int) []string { return append([]string{t.path}, t.args(jobs)...) }

func (t *tool) version(ctx context.Context) string {
	arg := "--version"
	if t.name == "barograph" {
		arg = "version"
	}
	out, _ := exec.CommandContext(ctx, t.path, arg).Output() // for the reader
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// lay makes a folder with inputs and the tool's description of the cells.
func (t *tool) lay(ctx context.Context, dir string, s shape, n int) error {
	inputs := n
	if s == chain {
		inputs = 1
	}
	for i := 1; i <= inputs; i++ {
		if err := write(dir, input(i), fmt.Sprintf("input %d\n", i)); err != nil {
			return err
		}
	}
	if err := write(dir, t.file, t.text(s, n)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "out"), 0o777); err != nil {
		return err
	}
	if t.setup == nil {
		return nil
	}
	return run(ctx, dir, append([]string{t.path}, t.setup...))
}

func write(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o666)
}

func tools(program, venvs string) []*tool {
	any := map[shape]int{fan: math.MaxInt, chain: math.MaxInt}
	jobs := func(flag string, before ...string) func(int) []string {
		return func(n int) []string { return append(before[:len(before):len(before)], flag+strconv.Itoa(n)) }
	}
	each := func(head string, s shape, n int, line func(b *strings.Builder, i int)) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 1; i <= n; i++ {
			line(&b, i)
		}
		return b.String()
	}
	return []*tool{
		{
			name: "barograph", path: program, file: "configs/study.yaml", most: any,
			args: jobs("--jobs=", "run", "configs/study.yaml"),
			text: func(s shape, n int) string {
				if s == fan {
					return fmt.Sprintf(`study: bench
stages:
  x:
    uses: command
    matrix: {n: %d}
    inputs: ["in/${{ n }}.txt"]
    run: cat in/${{ n }}.txt > out/${{ n }}.txt
    outputs: ["out/${{ n }}.txt"]
`, n)
				}
				return each("study: bench\nstages:\n", s, n, func(b *strings.Builder, i int) {
					from := "inputs: [" + input(1) + "]"
					if i > 1 {
						from = fmt.Sprintf("needs: [s%d]", i-1)
					}
					fmt.Fprintf(b, "  s%d: {uses: command, %s, run: \"cat %s > %s\", outputs: [%s]}\n", i, from, s.reads(i), output(i), output(i))
				})
			},
		},
		{
			name: "ninja", path: "ninja", file: "build.ninja", most: any,
			args: jobs("-j"),
			text: func(s shape, n int) string {
				return each("rule cat\n  command = cat $in > $out\n", s, n, func(b *strings.Builder, i int) {
					fmt.Fprintf(b, "build %s: cat %s\n", output(i), s.reads(i))
				})
			},
		},
		{
			name: "make", path: "make", file: "Makefile", most: any,
			args: jobs("-j"),
			text: func(s shape, n int) string {
				head := "all:" + each("", s, n, func(b *strings.Builder, i int) { b.WriteString(" " + output(i)) }) + "\n"
				return each(head, s, n, func(b *strings.Builder, i int) {
					fmt.Fprintf(b, "%s: %s\n\tcat $< > $@\n", output(i), s.reads(i))
				})
			},
		},
		{
			name: "snakemake", path: filepath.Join(venvs, "snakemake/bin/snakemake"), file: "Snakefile", slow: true,
			most: map[shape]int{fan: 1000, chain: 100},
			args: jobs("--cores=", "--quiet=all"),
			text: func(s shape, n int) string {
				in := `lambda w: f"in/{w.n}.txt"`
				if s == chain {
					in = `lambda w: f"out/{int(w.n) - 1}.txt" if int(w.n) > 1 else "in/1.txt"`
				}
				return fmt.Sprintf("rule all:\n    input: expand(\"out/{n}.txt\", n=range(1, %d))\nrule x:\n    input: %s\n    output: \"out/{n}.txt\"\n    shell: \"cat {input} > {output}\"\n", n+1, in)
			},
		},
		{
			name: "dvc", path: filepath.Join(venvs, "dvc/bin/dvc"), file: "dvc.yaml", slow: true,
			most: map[shape]int{fan: 100, chain: 100}, setup: []string{"init", "--no-scm", "--quiet"},
			args: func(int) []string { return []string{"repro", "--quiet"} }, // it runs one at a time
			text: func(s shape, n int) string {
				return each("stages:\n", s, n, func(b *strings.Builder, i int) {
					fmt.Fprintf(b, "  s%d: {cmd: 'cat %s > %s', deps: [%s], outs: [%s]}\n", i, s.reads(i), output(i), s.reads(i), output(i))
				})
			},
		},
	}
}
