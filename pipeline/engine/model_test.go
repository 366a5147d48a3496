package engine_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/engine"

	"pgregory.net/rapid"
)

// A graph is a random study and what its cells compute, known without running
// any: a node's output is its word and what it reads, or only the number of
// lines of that, so that some edits change nothing further down.
type graph struct {
	files []string // contents, by number
	nodes []node
}

type node struct {
	word  string
	count bool // it counts lines
	reads []int
	needs []int // nodes before it
}

func (g *graph) yaml() string {
	var b strings.Builder
	b.WriteString("stages:\n")
	for i, n := range g.nodes {
		var from, inputs, needs []string
		for _, f := range n.reads {
			from = append(from, fmt.Sprintf("in%d", f))
			inputs = append(inputs, fmt.Sprintf("in%d", f))
		}
		for _, d := range n.needs {
			from = append(from, fmt.Sprintf("out%d", d))
			needs = append(needs, fmt.Sprintf("n%d", d))
		}
		filter := "cat"
		if n.count {
			filter = "wc -l"
		}
		fmt.Fprintf(&b, "  n%d: {uses: command, inputs: [%s], needs: [%s], outputs: [out%d], run: 'cat /dev/null %s | %s > out%d; echo %s >> out%d'}\n",
			i, strings.Join(inputs, ", "), strings.Join(needs, ", "), i, strings.Join(from, " "), filter, i, n.word, i)
	}
	return b.String()
}

// outputs returns what a clean build makes, and what decides each node.
func (g *graph) outputs() (out, decided []string) {
	for i, n := range g.nodes {
		var read strings.Builder
		key := fmt.Sprintf("%d %v %v", i, n.needs, n.reads)
		for _, f := range n.reads {
			read.WriteString(g.files[f])
			key += fmt.Sprintf(" %q", g.files[f])
		}
		for _, d := range n.needs {
			read.WriteString(out[d])
			key += fmt.Sprintf(" %q", out[d])
		}
		text := read.String()
		if n.count {
			text = fmt.Sprintf("%d\n", strings.Count(text, "\n"))
		}
		out = append(out, text+n.word+"\n")
		decided = append(decided, fmt.Sprintf("%s %s %v", key, n.word, n.count))
	}
	return out, decided
}

var word = rapid.StringMatching(`[a-c]{1,2}`)

func drawGraph(t *rapid.T) *graph {
	g := &graph{files: rapid.SliceOfN(rapid.Map(word, func(s string) string { return s + "\n" }), 1, 3).Draw(t, "files")}
	for i := range rapid.IntRange(1, 7).Draw(t, "nodes") {
		g.nodes = append(g.nodes, drawNode(t, g, i))
	}
	return g
}

func drawNode(t *rapid.T, g *graph, i int) node {
	some := func(n int, label string) []int {
		var chosen []int
		for j := range n {
			if rapid.Bool().Draw(t, label) {
				chosen = append(chosen, j)
			}
		}
		return chosen
	}
	return node{word.Draw(t, "word"), rapid.Bool().Draw(t, "count"), some(len(g.files), "reads"), some(i, "needs")}
}

// After any edits, lost and damaged files, interrupts and crashes, a run leaves
// what a clean build makes; it starts only what never ended before with the same
// inputs; and a second run starts nothing.
func TestIncrementalEqualsClean(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		defer flag.Set("rapid.checks", f.DefValue)
		flag.Set("rapid.checks", "12")
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "model-")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		w := &workspace{t: rt, root: dir}
		w.write("configs/machines/host.yaml", "name: host\ndevice: host\n")
		g := drawGraph(rt)
		ended := map[string]bool{} // by what decided the node
		forgiven := false          // results were lost, so that repeating is right
		lay := func() {
			w.write("configs/s.yaml", "study: s\nmachine: host\n"+g.yaml())
			for i, text := range g.files {
				w.write(fmt.Sprint("in", i), text)
			}
		}
		run := func(ctx context.Context, on func(string)) (*engine.Result, *seen, error) {
			res, sight, err := w.runIn(ctx, engine.Options{}, on)
			_, decided := g.outputs()
			for _, id := range sight.starts {
				var i int
				fmt.Sscanf(id, "n%d", &i)
				if ended[decided[i]] && !forgiven {
					rt.Fatalf("%s was started again", id)
				}
				if sight.ends[id].Status == engine.Ran {
					ended[decided[i]] = true
				}
			}
			return res, sight, err
		}
		state := filepath.Join(dir, ".barograph")
		boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			lay()
			node := rapid.IntRange(0, len(g.nodes)-1).Draw(rt, "node")
			switch rapid.SampledFrom([]string{"file", "node", "lose", "edit", "damage", "interrupt", "crash", "tear"}).Draw(rt, "action") {
			case "file":
				g.files[rapid.IntRange(0, len(g.files)-1).Draw(rt, "file")] = word.Draw(rt, "text") + "\n"
			case "node":
				g.nodes[node] = drawNode(rt, g, node)
			case "lose":
				os.Remove(filepath.Join(dir, fmt.Sprint("out", node)))
			case "edit": // it is refused, and stays
				out := fmt.Sprint("out", node)
				w.write(out, "edited\n")
				if res, sight, err := w.run(engine.Options{}); err == nil || len(sight.starts) > 0 || w.read(out) != "edited\n" {
					rt.Fatalf("over an edited output: %v, started %v, %v, %q", err, sight.starts, res, w.read(out))
				}
				if err := os.Remove(filepath.Join(dir, out)); err != nil {
					rt.Fatal(err)
				}
			case "damage": // with the same size, and nothing but its times to tell
				objects, _ := filepath.Glob(filepath.Join(state, "store/objects/*/*"))
				for _, o := range objects {
					b, _ := os.ReadFile(o)
					b[0] ^= 1
					if err := os.Chmod(o, 0o644); err != nil {
						rt.Fatal(err)
					}
					filetest.Write(rt, o, b)
				}
				forgiven = len(objects) > 0
			case "interrupt":
				ctx, cancel := context.WithCancel(context.Background())
				at := rapid.IntRange(1, len(g.nodes)).Draw(rt, "at")
				_, _, _ = run(ctx, func(string) {
					if at--; at == 0 {
						cancel()
					}
				})
				cancel()
			case "crash": // the store is what it was when some cell began
				before := filepath.Join(dir, "before")
				if err := os.RemoveAll(before); err != nil {
					rt.Fatal(err)
				}
				at := rapid.IntRange(1, len(g.nodes)).Draw(rt, "at")
				_, _, _ = run(context.Background(), func(string) {
					if at--; at == 0 {
						if err := os.CopyFS(before, os.DirFS(state)); err != nil {
							rt.Fatal(err)
						}
					}
				})
				if at <= 0 {
					if err := os.RemoveAll(state); err != nil {
						rt.Fatal(err)
					}
					if err := os.Rename(before, state); err != nil {
						rt.Fatal(err)
					}
					claims := filepath.Join(state, "outputs")
					b, err := os.ReadFile(claims) // as after the machine has started again
					if err == nil {
						err = os.WriteFile(claims, bytes.ReplaceAll(b, bytes.TrimSpace(boot), []byte("earlier")), 0o666)
					}
					if err != nil {
						rt.Fatal(err)
					}
					forgiven = true
				}
			case "tear": // the machine died while it wrote the log
				log := filepath.Join(state, "store/cells.log")
				if b, err := os.ReadFile(log); err == nil && len(b) > 0 {
					filetest.Write(rt, log, b[:rapid.IntRange(0, len(b)-1).Draw(rt, "length")])
					forgiven = true
				}
			}
			lay()
			res, _, err := run(context.Background(), nil)
			if err != nil || len(res.Failures) > 0 {
				rt.Fatal(err, res.Failures)
			}
			forgiven = false
			want, decided := g.outputs()
			for i := range g.nodes {
				ended[decided[i]] = true
				if got := w.read(fmt.Sprint("out", i)); got != want[i] {
					rt.Fatalf("out%d is %q, a clean build makes %q\n%s", i, got, want[i], g.yaml())
				}
			}
			// Results that were lost with the crash may be made again later.
			for key := range ended {
				if !slices.Contains(decided, key) {
					delete(ended, key)
				}
			}
			if _, sight, _ := run(context.Background(), nil); len(sight.starts) > 0 {
				rt.Fatalf("a second run started %v", sight.starts)
			}
		}
	})
}
