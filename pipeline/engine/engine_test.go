package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/engine"
	"barograph/pipeline/launch"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

// The test binary is also the program that cells are started with.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "cell" {
		if cell.Serve(kinds, os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "guard" {
		launch.Stand(os.Args[2], os.Stdin)
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
	os.Exit(m.Run())
}

type with struct {
	Value int    `json:"value"`
	Do    string `json:"do"` // what goes wrong
}

// kinds are real cells that do little: measure notes when it ran, press runs in
// the background, and a shell line is what it is in the program.
var kinds = cell.NewKinds(
	&cell.Kind{
		Name: "measure", Version: "1", Measured: true,
		Ways:    func(any) []string { return []string{"d2h"} },
		With:    func() any { return &with{} },
		Outputs: func(any) []string { return []string{"measured.json"} },
		Beside:  func(s *cell.Spec) bool { return strings.Contains(string(s.With), "beside") },
		Environ: func(_ context.Context, s *cell.Spec) (map[string]string, error) {
			return map[string]string{"TRIAL": s.ID}, nil
		},
		Lacks: func(_ string, w any) error {
			if w.(*with).Do == "lacking" {
				return cell.Hint(errors.New("a gauge is not here"), "bring one")
			}
			return nil
		},
		Prepare: func(_ context.Context, c *cell.Cell) error {
			if c.With.(*with).Do == "unprepared" {
				return cell.Hint(errors.New("nothing to measure with"), "bring something")
			}
			return nil
		},
		Run: func(ctx context.Context, c *cell.Cell) error {
			w := c.With.(*with)
			start := cell.Now()
			switch w.Do {
			case "begin and hang":
				c.Progress(3, 230, "timed calls")
				fallthrough
			case "hang":
				<-ctx.Done()
				return ctx.Err()
			case "deaf":
				select {}
			case "stop":
				return syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			case "stray":
				return os.WriteFile("stray.txt", nil, 0o666)
			case "nothing":
				return nil
			case "unsteady":
				c.Unsteady("it never came to rest")
			case "warn":
				c.Warn("%s", strings.Repeat("é", 1<<18))
				for i := range 100000 {
					c.Warn("warning %d", i)
				}
			case "die":
				return cell.Hint(errors.New("it went wrong"), "try again")
			case "wait":
				time.Sleep(200 * time.Millisecond)
			case "print":
				fmt.Println("hello")
			case "beside":
				if err := os.WriteFile(filepath.Join(c.Root, "set-up"), nil, 0o666); err != nil {
					return err
				}
				if err := c.Await(ctx); err != nil {
					return err
				}
				if _, err := os.Stat(filepath.Join(c.Root, "pressing")); err != nil {
					return fmt.Errorf("it began before the pressure: %w", err)
				}
			case "lost": // on one GPU, from then on
				if c.Machine.Device == "sim:1" {
					return errors.Join(errors.New("no answer"), os.WriteFile(filepath.Join(c.Root, "lost"), nil, 0o666))
				}
			case "beside and die":
				return errors.New("not set up")
			}
			time.Sleep(20 * time.Millisecond)
			c.Measured(start, cell.Now())
			b, err := json.Marshal(map[string]any{"id": c.ID, "value": w.Value, "start": start, "end": cell.Now(), "gang": len(c.Gang), "device": c.Machine.Device, "trial": os.Getenv("TRIAL")})
			if err != nil {
				return err
			}
			return os.WriteFile("measured.json", b, 0o666)
		},
	},
	&cell.Kind{
		Name: "press", Version: "1", Measured: true, Background: true,
		First:   func(s *cell.Spec) bool { return strings.Contains(string(s.With), "first") },
		With:    func() any { return &with{} },
		Outputs: func(any) []string { return []string{"pressed.json"} },
		Run: func(ctx context.Context, c *cell.Cell) error {
			switch c.With.(*with).Do {
			case "never ready":
				return errors.New("no pressure")
			case "first":
				time.Sleep(50 * time.Millisecond)
				if _, err := os.Stat(filepath.Join(c.Root, "set-up")); err == nil {
					return errors.New("another was started before this was ready")
				}
				if err := os.WriteFile(filepath.Join(c.Root, "pressing"), nil, 0o666); err != nil {
					return err
				}
			case "late": // until the other is set up
				for begun := time.Now(); ; time.Sleep(time.Millisecond) {
					if _, err := os.Stat(filepath.Join(c.Root, "set-up")); err == nil {
						break
					}
					if time.Since(begun) > 10*time.Second {
						return errors.New("nobody set up meanwhile")
					}
				}
				if err := os.WriteFile(filepath.Join(c.Root, "pressing"), nil, 0o666); err != nil {
					return err
				}
			case "hang":
				<-ctx.Done()
				return ctx.Err()
			}
			c.Ready()
			if c.With.(*with).Do == "stop" {
				return syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			}
			if c.With.(*with).Do == "die" {
				time.Sleep(5 * time.Millisecond)
				return errors.New("burst")
			}
			var window cell.Control
			for m := range c.Controls() {
				if m.Type == "window" {
					window = m
				}
			}
			b, err := json.Marshal(window)
			if err != nil {
				return err
			}
			return os.WriteFile("pressed.json", b, 0o666)
		},
	},
	&cell.Kind{
		Name: "near", Version: "1", Measured: true,
		With:    func() any { return &with{} },
		Outputs: func(any) []string { return []string{"measured.json"} },
		Others:  func(w any) ([]int, bool) { return nil, w.(*with).Do == "" },
		Survey: func(gpus []int, directions []string) any {
			return &with{Value: gpus[len(gpus)-1], Do: strings.Join(directions, ",")}
		},
		Run: func(_ context.Context, c *cell.Cell) error {
			if c.With.(*with).Value == 7 {
				return cell.Hint(fmt.Errorf("GPU 7 is another card, loaded %s", c.With.(*with).Do), "leave it out")
			}
			time.Sleep(10 * time.Millisecond)
			return os.WriteFile("measured.json", nil, 0o666)
		},
	},
	&cell.Kind{
		Name: "command", Version: "1", Script: true,
		With: func() any { return &struct{}{} },
	},
)

// A workspace is a folder with a study in it.
type workspace struct {
	t     filetest.T
	root  string
	store *store.Store // of the run that goes on
	plan  *plan.Plan   // of the last run
}

func newWorkspace(t *testing.T, yaml string) *workspace {
	w := &workspace{t: t, root: t.TempDir()}
	w.write("configs/machines/host.yaml", "name: host\ndevice: host\n")
	w.write("configs/s.yaml", "study: s\nmachine: host\n"+yaml)
	return w
}

func (w *workspace) write(name, text string) {
	w.t.Helper()
	filetest.Write(w.t, filepath.Join(w.root, name), text)
}

func (w *workspace) read(name string) string {
	w.t.Helper()
	return string(filetest.Read(w.t, filepath.Join(w.root, name)))
}

// seen collects what an observer is told.
type seen struct {
	starts  []string
	ends    map[string]engine.Outcome
	files   []string
	retries []string
	on      func(what string) // a cell that starts, or an event's type
}

func (s *seen) Begin(*plan.Plan, []*plan.Cell) {}
func (s *seen) Event(_ *plan.Cell, e cell.Event) {
	if s.on != nil {
		s.on(e.Type)
	}
}
func (s *seen) Retry(c *plan.Cell, _ error, _ time.Duration) { s.retries = append(s.retries, c.ID) }
func (s *seen) Publish(path string)                          { s.files = append(s.files, path) }
func (s *seen) End(c *plan.Cell, o engine.Outcome)           { s.ends[c.ID] = o }
func (s *seen) Start(c *plan.Cell, _ string) {
	s.starts = append(s.starts, c.ID)
	if s.on != nil {
		s.on(c.ID)
	}
}

func (w *workspace) run(opt engine.Options, set ...string) (*engine.Result, *seen, error) {
	return w.runIn(context.Background(), opt, nil, set...)
}

func (w *workspace) runIn(ctx context.Context, opt engine.Options, on func(string), set ...string) (*engine.Result, *seen, error) {
	w.t.Helper()
	st, err := study.Load(filepath.Join(w.root, "configs/s.yaml"), study.Options{Kinds: kinds, Set: set})
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := plan.Build(st)
	if err != nil {
		w.t.Fatal(err)
	}
	w.plan = p
	state := filepath.Join(w.root, ".barograph")
	s, err := store.Open(filepath.Join(state, "store"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
	sight := &seen{ends: map[string]engine.Outcome{}, on: on}
	opt.Program = func(*plan.Cell) (string, error) { return os.Executable() }
	opt.Jobs, opt.Observer = max(opt.Jobs, 2), sight
	res, err := engine.Run(ctx, p, s, state, opt)
	if e := s.Close(); e != nil {
		w.t.Fatal(e)
	}
	if left, _ := os.ReadDir(filepath.Join(state, "tmp")); len(left) > 0 {
		w.t.Errorf("private folders left behind: %v", left)
	}
	return res, sight, err
}

const chain = `
params: {word: one}
stages:
  first:  {uses: command, run: 'echo ${{ word }} > a.txt', outputs: [out/a.txt]}
  second: {uses: command, needs: [first], matrix: {n: 3}, run: 'cat out/a.txt > b; echo ${{ n }} >> b; mkdir -p out; mv b out/${{ n }}.txt', outputs: ['out/${{ n }}.txt']}
  third:  {uses: command, needs: [second], run: 'cat out/1.txt out/2.txt out/3.txt > all.txt', outputs: [all.txt]}
`

func TestRunReuseAndRerun(t *testing.T) {
	w := newWorkspace(t, strings.Replace(chain, "> a.txt", "> out/a.txt", 1))
	res, sight, err := w.run(engine.Options{})
	if err != nil || len(res.Failures) > 0 {
		t.Fatal(err, res.Failures)
	}
	if got, want := w.read("all.txt"), "one\n1\none\n2\none\n3\n"; got != want {
		t.Errorf("all.txt = %q, want %q", got, want)
	}
	if len(sight.starts) != 5 {
		t.Errorf("started %v, want 5 cells", sight.starts)
	}
	// Again: nothing runs. A lost output is put back without a run; so is an edited
	// one, but only where that is asked for.
	w.write("all.txt", "edited")
	if err := os.Remove(filepath.Join(w.root, "out/2.txt")); err != nil {
		t.Fatal(err)
	}
	if _, _, err = w.run(engine.Options{}); err == nil || !strings.Contains(err.Error(), "all.txt: it was changed since a run wrote it") || w.read("all.txt") != "edited" {
		t.Errorf("over an edited output: %v, %q", err, w.read("all.txt"))
	}
	res, sight, err = w.run(engine.Options{Overwrite: true})
	if err != nil || len(sight.starts) != 0 || res.Counts[engine.Stood] != 5 {
		t.Errorf("second run: %v, started %v, counts %v; want nothing started", err, sight.starts, res.Counts)
	}
	if got := w.read("all.txt") + w.read("out/2.txt"); got != "one\n1\none\n2\none\n3\none\n2\n" {
		t.Errorf("after the second run: %q", got)
	}
	// Another parameter reruns what depends on it; the old value is still known.
	if _, sight, _ = w.run(engine.Options{}, "word=two"); len(sight.starts) != 5 || w.read("out/1.txt") != "two\n1\n" {
		t.Errorf("with word=two: started %v", sight.starts)
	}
	if _, sight, _ = w.run(engine.Options{}); len(sight.starts) != 0 || w.read("out/1.txt") != "one\n1\n" {
		t.Errorf("back at word=one: started %v, out/1.txt %q", sight.starts, w.read("out/1.txt"))
	}
	if _, sight, _ = w.run(engine.Options{Fresh: []string{"third"}}); !slices.Equal(sight.starts, []string{"third"}) {
		t.Errorf("--fresh third started %v", sight.starts)
	}
}

func TestEarlyCutoff(t *testing.T) {
	w := newWorkspace(t, `
stages:
  sorted: {uses: command, inputs: [in.txt], run: 'sort in.txt > s.txt', outputs: [s.txt]}
  count:  {uses: command, needs: [sorted], run: 'wc -l < s.txt > n.txt', outputs: [n.txt]}
`)
	w.write("in.txt", "b\na\n")
	w.run(engine.Options{})
	w.write("in.txt", "a\nb\n")
	if _, sight, _ := w.run(engine.Options{}); !slices.Equal(sight.starts, []string{"sorted"}) {
		t.Errorf("started %v; sorted's output is the same, so count need not run", sight.starts)
	}
}

const pressed = `
params: {levels: [0, 1, 2]}
seed: 7
order: {block: replicate, baseline: {level: 0}}
stages:
  calibrate: {uses: measure}
  press: {uses: press, background: true, needs: [calibrate], matrix: {level: '${{ levels }}'}, with: {value: '${{ level }}'}}
  victim: {uses: measure, during: [press], matrix: {level: '${{ levels }}', replicate: 3}, with: {value: '${{ level }}'}}
  pure: {uses: command, matrix: {n: 4}, run: 'echo ${{ n }} > ${{ n }}.txt', outputs: ['${{ n }}.txt']}
  all: {uses: command, needs: [press, victim], run: 'echo done > all.txt', outputs: [all.txt]}
`

// Measured cells run alone, in the drawn order, with the baseline first, in the
// middle and last, and their background learns the window they measured.
func TestTrials(t *testing.T) {
	w := newWorkspace(t, pressed)
	res, sight, err := w.run(engine.Options{Jobs: 4})
	if err != nil || len(res.Failures) > 0 {
		t.Fatal(err, res.Failures)
	}
	var order []string
	for _, id := range sight.starts {
		if strings.HasPrefix(id, "victim") {
			order = append(order, id)
		}
	}
	if len(order) != 9 || order[0] != "victim[level=0,replicate=1]" || order[4] != "victim[level=0,replicate=2]" || order[8] != "victim[level=0,replicate=3]" {
		t.Errorf("order %v: want the baseline first, in the middle and last", order)
	}
	_, again, _ := w.run(engine.Options{Fresh: []string{"victim"}})
	if got := slices.DeleteFunc(again.starts, func(id string) bool { return !strings.HasPrefix(id, "victim") }); !slices.Equal(got, order) {
		t.Errorf("the order changed for the same seed: %v, then %v", order, got)
	}
	// Windows: each press was told what its victim measured.
	s, err := store.View(filepath.Join(w.root, ".barograph/store"))
	if err != nil {
		t.Fatal(err)
	}
	type span struct{ start, end int64 }
	var spans []span
	for _, id := range order {
		var m struct{ Start, End int64 }
		var c cell.Control
		readObject(t, s, "s/"+id, &m)
		readObject(t, s, "s/press"+strings.Split(strings.TrimPrefix(id, "victim"), ",")[0]+"]@"+id, &c)
		if c.Type != "window" || c.Start != m.Start || c.End <= c.Start {
			t.Errorf("%s measured from %d, its press was told %+v", id, m.Start, c)
		}
		spans = append(spans, span{m.Start, m.End})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.start - b.start) })
	for i := 1; i < len(spans); i++ {
		if spans[i].start < spans[i-1].end {
			t.Errorf("two measured cells overlap: %v", spans[i-1:i+1])
		}
	}
}

func readObject(t *testing.T, s *store.Store, cellName string, v any) {
	t.Helper()
	r := s.Latest(cellName)
	if r == nil {
		t.Fatalf("no record of %s", cellName)
	}
	b, err := os.ReadFile(s.Object(r.Files[0].Digest))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailures(t *testing.T) {
	for _, test := range []struct{ name, yaml, want, hint string }{
		{"error with a hint", `stages: {x: {uses: measure, with: {do: die}}}`, "it went wrong", "try again"},
		{"undeclared file", `stages: {x: {uses: measure, with: {do: stray}}}`, "left no measured.json", "declared"},
		{"missing output", `stages: {x: {uses: measure, with: {do: nothing}}}`, "left no measured.json", "declared"},
		{"timeout", `stages: {x: {uses: measure, timeout: 200ms, with: {do: hang}}}`, "no end after 200ms", "raise timeout"},
		{"deaf child", `stages: {x: {uses: measure, timeout: 100ms, with: {do: deaf}}}`, "no end after 100ms", "raise timeout"},
		{"print on the protocol", `stages: {x: {uses: measure, with: {do: print}}}`, `wrote "hello\n" on standard output`, ""},
		{"shell line fails", `stages: {x: {uses: command, run: 'echo sorry >&2; exit 7', outputs: [o]}}`, "exit status 7; its last words:\nsorry", ""},
		{"first failing line counts", `stages: {x: {uses: command, run: "false\ntouch o\n", outputs: [o]}}`, "exit status 1", ""},
		{"killed", `stages: {x: {uses: command, run: 'kill -9 $$', outputs: [o]}}`, "killed by signal 9", "memory"},
		{"output is a link", `stages: {x: {uses: command, run: 'ln -s /etc/passwd o', outputs: [o]}}`, "no regular file", ""},
		{"background dies", `stages: {p: {uses: press, background: true, with: {do: die}}, x: {uses: measure, during: [p]}}`, "background cell p@x died while x ran: burst", ""},
		{"stopped", `stages: {p: {uses: press, background: true}, x: {uses: measure, during: [p], with: {do: stop}}}`, "a signal had stopped it", "run again"},
		{"background stopped", `stages: {p: {uses: press, background: true, with: {do: stop}}, x: {uses: measure, during: [p], with: {do: hang}}}`, "background cell p@x died while x ran: a signal had stopped it", "run again"},
		{"background never ready", `stages: {p: {uses: press, background: true, with: {do: never ready}}, x: {uses: measure, during: [p]}}`, "died before it was ready: no pressure", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, test.yaml)
			res, _, err := w.run(engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), test.want) {
				t.Fatalf("failures %v, want one with %q", res.Failures, test.want)
			}
			var h *cell.Error
			if errors.As(res.Failures[0].Err, &h); test.hint != "" && (h == nil || !strings.Contains(h.Hint, test.hint)) {
				t.Errorf("hint %v, want one with %q", h, test.hint)
			}
			s, err := store.View(filepath.Join(w.root, ".barograph/store"))
			if err != nil {
				t.Fatal(err)
			}
			if s.Latest("s/x") != nil || s.Latest("s/p@x") != nil {
				t.Error("a failed trial left a record")
			}
		})
	}
}

// A shell line fails with any part of its pipes, but not with a part that nobody
// wanted to read to the end.
func TestPipes(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"cat missing.csv | sort > o", "part 1 of 2 of a pipe ended with status 1"},
		{"echo 1 | cat - missing.csv | sort > o", "part 2 of 3 of a pipe ended with status 1"},
		{"echo 1 > o; false | true; echo 2 > o", "part 1 of 2"},
		{"(cat missing.csv | sort) > o", "part 1 of 2"},
		{"x=$(cat missing.csv | sort); echo $x > o", "part 1 of 2"},
		{"f() { cat missing.csv | sort; }; f > o", "part 1 of 2"},
		{"exit 7 | true; touch o", "exit status 7"},
		{"echo 1 | sort > o; exit 4", "exit status 4"},
		{"echo 1 | sort > o; ! true", "exit status 1"},
		{"set -e; yes | head -n 1 > o; touch p", "exit status 141"},
		{"echo {a,b}'|' > o; grep -q '^{a,b}' o", ""}, // it is /bin/sh's
		{"yes | head -n 1 > o", ""},
		{"yes | head -n 1 > o; test -s o; echo 'a\\tb' | grep -q '\t'", ""},
		{"x=$(yes | head -n 1); (yes | head -n 1) > o", ""},
		{"yes | head -n 1 > o; f() { yes | head -n 1; }; f", ""},
		{"echo a | { yes | head -n 1; } > o", ""},
		{"echo a | (yes | head -n 1) > o", ""},
		{"echo a | (while read x; do yes | head -n 1; done) > o", ""},
		{"echo a | while read x; do yes | head -n 1; done > o", ""},
		{"for i in 1 2; do yes | head -n 1; done > o", ""},
		{"yes | head -n 1 > o & wait $!", ""},
		{"(trap 'touch o' EXIT; yes | head -n 1)", ""},
		{"echo a | sh -c 'cat; exit 141' > o", "part 2 of 2 of a pipe ended with status 141"},
		{"echo a | (sh -c 'cat; exit 141') > o", "part 2 of 2 of a pipe ended with status 141"},
		{"echo a | cat | sh -c 'cat; kill -13 $$' > o; touch p", "part 3 of 3 of a pipe ended with status 141"},
		{"echo a | cat > o; sh -c 'exit 141'", "exit status 141"},
		{"echo a | cat > o; sh -c 'exit 141' && true", "exit status 141"},
		{"if cat missing.csv | sort; then false; fi; echo 1 | grep 2 || touch o", ""},
	} {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, fmt.Sprintf("stages: {x: {uses: command, run: %q, outputs: [o]}}", test.line))
			res, _, err := w.run(engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" && len(res.Failures) != 0 || test.want != "" && (len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), test.want)) {
				t.Errorf("failures %v, want %q", res.Failures, test.want)
			}
		})
	}
}

// A program has its folder in PWD, whatever its stage's env: says, with a shell and without.
func TestFolder(t *testing.T) {
	for _, line := range []string{"printenv PWD > o", "true; printenv PWD > o", "printenv PWD | cat > o"} {
		w := newWorkspace(t, fmt.Sprintf("stages: {x: {uses: command, run: %q, outputs: [o], env: {PWD: /nowhere}}}", line))
		if res, _, err := w.run(engine.Options{}); err != nil || len(res.Failures) != 0 {
			t.Fatalf("%q: %v, %v", line, err, res)
		}
		if folder := w.read("o"); !strings.HasPrefix(folder, w.root+"/") {
			t.Errorf("%q has its folder in %q", line, folder)
		}
	}
}

// A file that a shell line cannot see because its stage does not name it is
// named, whoever missed it and whatever it was called.
func TestUndeclared(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"sh scripts/run.sh > o", "inputs: [scripts/run.sh]"},
		{"./tool > o", "inputs: [tool]"},
		{"cat < in.csv > o", "inputs: [in.csv]"},
		{"sh scripts/run.sh | sort > o", "inputs: [scripts/run.sh]"},
		{"cat $W/in.csv > /dev/null; sort --files0-from=in.csv > o", "inputs: [in.csv]"},
		{"ls scripts > o", "inputs: [scripts/**]"},
		{"sh declared.sh > o", "inputs: [in.csv]"}, // which names it
		{"test -e in.csv", "inputs: [in.csv]"},     // and says nothing
		{"cat nowhere.csv > o", ""},                // though there is a file by a word of the error
		{"cat declared.sh > o; false", ""},
		{"mkdir results", ""}, // where its output lies
		{"cd results && false", ""},
		{"echo in.csv.gz is no number >&2; false scripts", ""},
		{"tool() { false; }; tool", ""}, // which is none of the workspace
		{"kill -9 $$ scripts", "something else killed it"},
		{"kill -11 $$ scripts", ""},
	} {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, "")
			w.write("configs/s.yaml", fmt.Sprintf("study: s\nmachine: host\nstages: {x: {uses: command, inputs: [declared.sh], run: %q, outputs: [o, results/o]}}", strings.ReplaceAll(test.line, "$W", w.root)))
			for _, name := range []string{"scripts/run.sh", "tool", "in.csv", "status", "results/other"} {
				w.write(name, "")
			}
			w.write("declared.sh", "cat in.csv")
			res, _, err := w.run(engine.Options{})
			if err != nil || len(res.Failures) != 1 {
				t.Fatal(err, res.Failures)
			}
			hint := cell.HintOf(res.Failures[0].Err)
			if test.want == "" && hint != "" || !strings.Contains(hint, test.want) {
				t.Errorf("hint %q, want %q", hint, test.want)
			}
		})
	}
}

// What did not come to rest is measured again, at once and by the next run that
// would measure something on it.
func TestUnsteady(t *testing.T) {
	w := newWorkspace(t, `
params: {do: unsteady}
stages:
  calibrate: {uses: measure, with: {do: '${{ do }}', value: 1}}
  after: {uses: measure, needs: [calibrate], with: {value: 2}}
`)
	opt := engine.Options{Backoff: time.Millisecond}
	res, sight, err := w.run(opt)
	if err != nil || len(res.Failures) > 0 || len(sight.retries) != 2 || len(res.Warnings) != 1 || res.Warnings[0].Text != "it never came to rest" {
		t.Fatalf("%v, %v, retries %v, %v", err, res.Failures, sight.retries, res.Warnings)
	}
	decided := func() *plan.Decision {
		t.Helper()
		st, err := study.Load(filepath.Join(w.root, "configs/s.yaml"), study.Options{Kinds: kinds})
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Build(st)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.View(filepath.Join(w.root, ".barograph/store"))
		if err != nil {
			t.Fatal(err)
		}
		d := plan.NewDecider(p, s, nil)
		if err := d.All(); err != nil {
			t.Fatal(err)
		}
		return d.Of(p.Cell("calibrate"))
	}
	if dec := decided(); dec.State != plan.Stands || dec.Reason != "but its result is not good: it never came to rest" {
		t.Errorf("then %v: %s", dec.State, dec.Reason)
	}
	if _, sight, _ = w.run(opt); len(sight.starts) > 0 {
		t.Errorf("with nothing to measure, %v was started", sight.starts)
	}
	// It is for nothing that is measured later; what is no better takes the place of
	// nothing, so that what rests on it stands.
	more := strings.Replace(w.read("configs/s.yaml"), "  after:", "  more: {uses: measure, needs: [calibrate], with: {value: 3}}\n  after:", 1)
	w.write("configs/s.yaml", more)
	if dec := decided(); dec.State != plan.Runs || dec.Reason != "its last result is not good: it never came to rest" {
		t.Errorf("with more to measure %v: %s", dec.State, dec.Reason)
	}
	if _, sight, _ = w.run(opt); !slices.Equal(sight.starts, []string{"calibrate", "calibrate", "calibrate", "more"}) {
		t.Errorf("with more to measure, %v was started", sight.starts)
	}
	w.run(opt, "do=''") // steady
	w.write("configs/s.yaml", strings.Replace(more, "value: 3", "value: 4", 1))
	if _, sight, _ = w.run(opt, "do=''"); !slices.Equal(sight.starts, []string{"more"}) {
		t.Errorf("on a steady one, %v was started", sight.starts)
	}
}

// Of a flood of warnings the first are kept, and how many there were more.
func TestFloodOfWarnings(t *testing.T) {
	w := newWorkspace(t, `stages: {x: {uses: measure, with: {do: warn}}}`)
	res, _, err := w.run(engine.Options{})
	if err != nil || len(res.Failures) > 0 || len(res.Warnings) != 101 || len(res.Warnings[0].Text) > 2100 || res.Warnings[100].Text != "99901 more warnings are not kept" {
		t.Fatalf("%v, %v, %d warnings", err, res.Failures, len(res.Warnings))
	}
	if log := w.read(".barograph/store/details.log"); len(log) > 10000 {
		t.Errorf("%d bytes of them are kept", len(log))
	}
}

// What does not end by itself says how far it had come.
func TestHowFar(t *testing.T) {
	for name, test := range map[string]struct{ stages, far string }{
		"a cell":       {`{x: {uses: measure, timeout: "${{ limit }}", with: {do: begin and hang}}}`, "3 of 230 (timed calls)"},
		"a background": {`{p: {uses: press, background: true, with: {do: hang}}, x: {uses: measure, during: [p], timeout: "${{ limit }}"}}`, "background cell p@x was not ready"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, "params: {limit: 1h}\nstages: "+test.stages)
			// On a busy machine a cell may take long to begin.
			for limit := 500 * time.Millisecond; ; limit *= 2 {
				res, _, err := w.run(engine.Options{}, "limit="+limit.String())
				if err != nil || len(res.Failures) != 1 {
					t.Fatal(err, res.Failures)
				}
				got, want := res.Failures[0].Err.Error(), fmt.Sprintf("no end after %v, its timeout: %s", limit, test.far)
				if got == want {
					break
				} else if limit > 30*time.Second {
					t.Fatalf("failed with %q, want %q", got, want)
				}
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		w := newWorkspace(t, `stages: {x: {uses: measure, with: {do: begin and hang}}}`)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		_, sight, err := w.runIn(ctx, engine.Options{}, func(what string) {
			if what == "progress" {
				cancel()
			}
		})
		if got := sight.ends["x"]; !errors.Is(err, context.Canceled) || got.Status != engine.Skipped || got.Far != "3 of 230 (timed calls)" {
			t.Errorf("%v, and x ended as %+v", err, got)
		}
	})
}

func TestPrepareFailsBeforeAnythingRuns(t *testing.T) {
	w := newWorkspace(t, `stages: {a: {uses: command, run: 'touch a', outputs: [a]}, x: {uses: measure, needs: [a], with: {do: unprepared}}}`)
	_, sight, err := w.run(engine.Options{})
	var h *cell.Error
	if !errors.As(err, &h) || !strings.Contains(err.Error(), `prepare stage "x": nothing to measure with`) || len(sight.starts) > 0 {
		t.Errorf("err %v, started %v", err, sight.starts)
	}
}

func TestUnwritableOutput(t *testing.T) {
	w := newWorkspace(t, `stages: {x: {uses: command, run: 'echo > blocked/o', outputs: [blocked/o]}}`)
	w.write("blocked", "a file where a folder should be")
	_, sight, err := w.run(engine.Options{})
	if err == nil || !strings.Contains(err.Error(), "blocked is no folder") || len(sight.starts) > 0 {
		t.Errorf("err %v, started %v; want it refused before anything runs", err, sight.starts)
	}
}

// What somebody else wrote is not overwritten; what a run wrote is.
func TestForeignFile(t *testing.T) {
	w := newWorkspace(t, `stages: {a: {uses: command, run: 'echo mine > notes.txt', outputs: [notes.txt]}}`)
	w.write("notes.txt", "dear diary")
	_, sight, err := w.run(engine.Options{})
	var h *cell.Error
	if !errors.As(err, &h) || !strings.Contains(err.Error(), "a is to write notes.txt: it is there") || len(sight.starts) > 0 || w.read("notes.txt") != "dear diary" {
		t.Fatalf("err %v, started %v, notes %q", err, sight.starts, w.read("notes.txt"))
	}
	if err := os.Remove(filepath.Join(w.root, "notes.txt")); err != nil {
		t.Fatal(err)
	}
	w.run(engine.Options{})
	for _, lost := range []string{"store", "outputs", "store", "outputs"} { // either tells what a run made
		if err := os.RemoveAll(filepath.Join(w.root, ".barograph", lost)); err != nil {
			t.Fatal(err)
		}
		if _, sight, err := w.run(engine.Options{Fresh: []string{"a"}}); err != nil || len(sight.starts) != 1 || w.read("notes.txt") != "mine\n" {
			t.Errorf("without %s: %v, %q", lost, err, w.read("notes.txt"))
		}
	}
	w.write("notes.txt", "edited")
	if err := os.RemoveAll(filepath.Join(w.root, ".barograph/store")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.run(engine.Options{}); err == nil || w.read("notes.txt") != "edited" {
		t.Errorf("an edited output of a run that the store has lost: %v, %q", err, w.read("notes.txt"))
	}
}

// A path is a run's once a run has written there, and not because one was to.
func TestForeignFileAfterFailedRun(t *testing.T) {
	for name, spoil := range map[string]func(*workspace){
		"failed": func(w *workspace) { w.run(engine.Options{}) },
		"interrupted": func(w *workspace) {
			ctx, cancel := context.WithCancel(context.Background())
			w.runIn(ctx, engine.Options{}, func(string) { cancel() })
		},
		"not carried out": func(w *workspace) { w.run(engine.Options{Capacity: map[string]int64{"device": -1}}) },
		"killed": func(w *workspace) { // while it ran
			boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
			w.write(".barograph/outputs", "-\t"+strings.TrimSpace(string(boot))+"\tnotes.txt\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, `stages: {a: {uses: command, run: 'sleep 0.1; false; echo mine > notes.txt', outputs: [notes.txt]}}`)
			spoil(w)
			w.write("notes.txt", "dear diary")
			w.write("configs/s.yaml", strings.Replace(w.read("configs/s.yaml"), "false; ", "", 1))
			if _, sight, err := w.run(engine.Options{}); err == nil || !strings.Contains(err.Error(), "it is there, and no run made it") || len(sight.starts) > 0 || w.read("notes.txt") != "dear diary" {
				t.Errorf("err %v, started %v, notes %q", err, sight.starts, w.read("notes.txt"))
			}
		})
	}
}

// A file that appears while the cell runs that is to write it is not overwritten.
func TestForeignFileMeanwhile(t *testing.T) {
	w := newWorkspace(t, "")
	w.write("configs/s.yaml", "study: s\nmachine: host\nstages: {a: {uses: command, run: 'echo dear diary > "+w.root+"/notes.txt; echo mine > notes.txt', outputs: [notes.txt]}}\n")
	res, _, err := w.run(engine.Options{})
	if err != nil || len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), "no run made it") || w.read("notes.txt") != "dear diary\n" {
		t.Errorf("%v, %v, notes %q", err, res.Failures, w.read("notes.txt"))
	}
}

// Whoever removes what is stored need not remove the outputs too.
func TestStateRemoved(t *testing.T) {
	w := newWorkspace(t, `stages: {a: {uses: command, run: 'date +%N > o; mkdir -p out; ln -s nowhere l; echo 1 > out/o', outputs: [o, out/o]}}`)
	opt := engine.Options{Cache: t.TempDir()}
	for range 2 {
		if res, _, err := w.run(opt); err != nil || res.Counts[engine.Ran] != 1 {
			t.Fatalf("%v, %v", err, res.Failures)
		}
		if err := os.RemoveAll(filepath.Join(w.root, ".barograph")); err != nil {
			t.Fatal(err)
		}
	}
	w.write("o", "edited")
	if _, _, err := w.run(opt); err == nil || w.read("o") != "edited" {
		t.Errorf("%v, o holds %q", err, w.read("o"))
	}
}

// What is made while an input changes is kept under no key, even if the input is
// then as it was before.
func TestInputChangesMeanwhile(t *testing.T) {
	for name, edit := range map[string]string{
		"and stays so":      "echo B > $W/in",
		"and back":          "echo B > $W/in; cat in > out; echo A > $W/in",
		"through its link":  "echo B >> in",
		"by another's":      "mv $W/other $W/in",
		"to nothing":        "rm $W/in",
		"to what ends late": "rm $W/in; mkfifo $W/in",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, "")
			w.write("configs/s.yaml", "study: s\nmachine: host\nstages:\n  x: {uses: command, inputs: [in], run: 'cat in > out; if [ -e "+w.root+"/edit ]; then . "+w.root+"/edit; fi', outputs: [out]}\n")
			w.write("in", "A\n")
			w.write("other", "A\n")
			w.write("edit", strings.ReplaceAll(edit, "$W", w.root))
			if res, on, _ := w.run(engine.Options{}); res.Counts[engine.Failed] != 1 {
				t.Errorf("%v, want one that failed; %v", res.Counts, on.ends["x"])
			}
			if err := errors.Join(os.Remove(filepath.Join(w.root, "edit")), os.RemoveAll(filepath.Join(w.root, "in"))); err != nil {
				t.Fatal(err)
			}
			w.write("in", "A\n")
			if res, _, err := w.run(engine.Options{}); err != nil || res.Counts[engine.Ran] != 1 || w.read("out") != "A\n" {
				t.Errorf("then %v, %v, %q", res.Counts, err, w.read("out"))
			}
		})
	}
}

func TestKeepGoing(t *testing.T) {
	yaml := `
stages:
  bad:   {uses: command, run: 'false', outputs: [b]}
  after: {uses: command, needs: [bad], run: 'touch c', outputs: [c]}
  slow:  {uses: command, run: 'sleep 0.2; touch d', outputs: [d]}
  other: {uses: command, needs: [slow], run: 'touch e', outputs: [e]}
`
	res, _, _ := newWorkspace(t, yaml).run(engine.Options{KeepGoing: true})
	if res.Counts[engine.Failed] != 1 || res.Counts[engine.Skipped] != 1 || res.Counts[engine.Ran] != 2 {
		t.Errorf("with --keep-going: %v", res.Counts)
	}
	res, _, _ = newWorkspace(t, yaml).run(engine.Options{})
	if res.Counts[engine.Failed] != 1 || res.Counts[engine.Skipped] != 2 || res.Counts[engine.Ran] != 1 {
		t.Errorf("without: %v; what runs may end, nothing more starts", res.Counts)
	}
}

// An interrupted run leaves no process and no half output, keeps what had
// ended, and the next run goes on.
func TestInterrupt(t *testing.T) {
	w := newWorkspace(t, `
stages:
  first: {uses: command, run: 'echo 1 > a', outputs: [a]}
  long:  {uses: command, needs: [first], run: 'echo half > b; sleep 60 & echo $! > '$PIDS'; wait', outputs: [b], env: {PIDS: pid}}
`)
	pids := filepath.Join(t.TempDir(), "pid")
	w.write("configs/s.yaml", strings.ReplaceAll(strings.ReplaceAll(w.read("configs/s.yaml"), "'$PIDS'", pids), ", env: {PIDS: pid}", ""))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, sight, err := w.runIn(ctx, engine.Options{}, func(id string) {
		if id == "long" {
			go func() {
				for range 3000 {
					if b, err := os.ReadFile(pids); err == nil && len(b) > 1 {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				cancel()
			}()
		}
	})
	if !errors.Is(err, context.Canceled) || sight.ends["first"].Status != engine.Ran || sight.ends["long"].Status != engine.Skipped {
		t.Fatalf("err %v, ends %v", err, sight.ends)
	}
	if _, err := os.Stat(filepath.Join(w.root, "b")); err == nil {
		t.Error("half an output was published")
	}
	pid := strings.TrimSpace(string(filetest.Read(t, pids)))
	for range 3000 {
		if b, err := os.ReadFile("/proc/" + pid + "/stat"); err != nil || strings.Contains(string(b), ") Z ") {
			pid = ""
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if pid != "" {
		t.Errorf("process %s outlived the run", pid)
	}
	w.write("configs/s.yaml", strings.ReplaceAll(w.read("configs/s.yaml"), "sleep 60", "sleep 0"))
	if _, sight, err = w.run(engine.Options{}); err != nil || !slices.Equal(sight.starts, []string{"long"}) {
		t.Errorf("the next run: %v, started %v", err, sight.starts)
	}
}

func TestJobs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Fatal("the engine is for Linux")
	}
	// Four cells that each wait for all four can only end side by side.
	w := newWorkspace(t, `stages: {x: {uses: command, matrix: {n: 4}, timeout: 20s, run: 'touch MEET/${{ n }}; while [ $(ls MEET | wc -l) -lt 4 ]; do sleep 0.01; done; touch o${{ n }}', outputs: ['o${{ n }}']}}`)
	w.write("configs/s.yaml", strings.ReplaceAll(w.read("configs/s.yaml"), "MEET", t.TempDir()))
	res, _, err := w.run(engine.Options{Jobs: 4})
	if err != nil || res.Counts[engine.Ran] != 4 {
		t.Errorf("%v %v", err, res.Failures)
	}
}

const besides = `
params: {do: beside, press: late}
stages:
  press: {uses: press, background: true, with: {do: "${{ press }}"}}
  measure: {uses: measure, during: [press], with: {do: "${{ do }}"}}
`

// A foreground cell that asks for it is started beside its background, and begins
// once that is ready; whichever of them fails first is what the trial says. One that has
// to be ready before all others is.
func TestBeside(t *testing.T) {
	w := newWorkspace(t, besides)
	if res, _, err := w.run(engine.Options{}); err != nil || len(res.Failures) > 0 {
		t.Fatal(err, res.Failures)
	}
	w = newWorkspace(t, besides)
	if res, _, err := w.run(engine.Options{}, "press=first"); err != nil || len(res.Failures) > 0 {
		t.Errorf("one that has to be ready before all: %v, %+v", err, res.Failures)
	}
	for set, want := range map[string]string{"press=never ready": "no pressure", "do=beside and die": "not set up"} {
		w := newWorkspace(t, besides)
		res, _, err := w.run(engine.Options{}, set)
		if err != nil || len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), want) {
			t.Errorf("%s: %v, %+v", set, err, res)
		}
	}
}

// What a computer lacks is said before anything runs, and not of what stands.
func TestLacks(t *testing.T) {
	w := newWorkspace(t, "stages:\n  measure: {uses: measure, with: {do: lacking}}\n")
	if _, sight, err := w.run(engine.Options{}); err == nil || !strings.Contains(err.Error(), "a gauge is not here") || len(sight.starts) > 0 {
		t.Errorf("%v, started %v", err, sight.starts)
	}
}
