package plan_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/plan"
	"barograph/pipeline/source"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

var kinds = cell.NewKinds(
	&cell.Kind{Name: "command", Version: "1", Script: true, With: func() any { return &struct{}{} }},
	&cell.Kind{
		Name: "measure", Version: "1", Measured: true, Background: true,
		With: func() any {
			return &struct {
				Value int `json:"value"`
			}{}
		},
		Outputs: func(any) []string { return []string{"m"} },
	},
	&cell.Kind{
		Name: "collect", Version: "1",
		With: func() any { return &struct{}{} },
		Publishes: func(study, machine string, _ any) []string {
			return []string{"data/" + study + "/" + machine + "/samples.csv"}
		},
	},
)

// workspace writes files into a folder, among them the study s.
func workspace(t testing.TB, yaml string, files ...string) string {
	t.Helper()
	root := t.TempDir()
	put := func(name, text string) {
		filetest.Write(t, filepath.Join(root, name), text)
	}
	put("configs/machines/host.yaml", "name: host\ndevice: host\n")
	put("configs/s.yaml", "study: s\nmachine: host\n"+yaml)
	for _, f := range files {
		put(f, f)
	}
	return root
}

func build(t testing.TB, root string, set ...string) (*plan.Plan, error) {
	t.Helper()
	s, err := study.Load(filepath.Join(root, "configs/s.yaml"), study.Options{Kinds: kinds, Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Build(s)
}

func ids(cells []*plan.Cell) []string {
	var out []string
	for _, c := range cells {
		out = append(out, c.ID)
	}
	return out
}

func TestCellsAndEdges(t *testing.T) {
	root := workspace(t, `
stages:
  last: {uses: command, needs: [side, victim, press], run: 'true', outputs: [last]}
  press: {uses: measure, background: true, needs: [cal], matrix: {level: [0, 1]}, with: {value: "${{ level }}"}}
  victim: {uses: measure, during: [press], matrix: {level: [0, 1], replicate: 2}}
  side: {uses: command, needs: [victim], matrix: {level: [1]}, run: 'true', outputs: ['side${{ level }}']}
  cal: {uses: measure}
`)
	p, err := build(t, root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"cal",
		"press[level=0]@victim[level=0,replicate=1]", "victim[level=0,replicate=1]",
		"press[level=0]@victim[level=0,replicate=2]", "victim[level=0,replicate=2]",
		"press[level=1]@victim[level=1,replicate=1]", "victim[level=1,replicate=1]",
		"press[level=1]@victim[level=1,replicate=2]", "victim[level=1,replicate=2]",
		"side[level=1]", "last",
	}
	if got := ids(p.Cells); !slices.Equal(got, want) {
		t.Errorf("cells\n got %v\nwant %v", got, want)
	}
	if got := ids(p.Cell("side[level=1]").Needs); !slices.Equal(got, []string{"victim[level=1,replicate=1]", "victim[level=1,replicate=2]"}) {
		t.Errorf("side[level=1] needs %v: want the cells that agree on level", got)
	}
	if got := len(p.Cell("last").Needs); got != 9 {
		t.Errorf("last needs %d cells, want side, 4 victims and their 4 background cells", got)
	}
	if got := ids(p.Cell("press[level=1]@victim[level=1,replicate=2]").Needs); !slices.Equal(got, []string{"cal"}) {
		t.Errorf("a background cell needs %v", got)
	}
}

func TestBuildErrors(t *testing.T) {
	for _, test := range []struct{ name, yaml, want, hint string }{
		{"two writers", `stages: {a: {uses: collect}, x: {uses: collect}}`, "a and x both write results/data/s/host/samples.csv", "own path"},
		{"missing input", `stages: {x: {uses: command, run: 'true', inputs: [no.txt], outputs: [o]}}`, `input "no.txt" of x matches no file`, "make the file"},
		{"written input", `stages: {x: {uses: command, run: 'tr a b < in.txt >> "./in.txt"', inputs: [in.txt], outputs: [o]}}`, "the line of x writes to in.txt, which it is given to read", "another name"},
		{"written input of a need", `stages: {a: {uses: command, run: 'echo > t', outputs: [t]}, x: {uses: command, needs: [a], run: 'echo a 2>&1 | tr a b >t; cp t o', outputs: [o]}}`, "the line of x writes to t, which it is given to read", "another name"},
		{"hidden edge, file there", `stages: {a: {uses: command, run: 'true', outputs: [in.txt]}, x: {uses: command, run: 'true', inputs: [in.txt], outputs: [o]}}`, "x reads in.txt, which a writes", "needs: [a]"},
		{"hidden edge, file not there", `stages: {a: {uses: command, run: 'true', outputs: [t/1.txt]}, x: {uses: command, run: 'true', inputs: ['t/*.txt'], outputs: [o]}}`, `input "t/*.txt" of x matches no file`, "needs: [a]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := build(t, workspace(t, test.yaml, "in.txt"))
			var errs source.Errors
			if !errors.As(err, &errs) {
				t.Fatalf("error %v, want source.Errors", err)
			}
			e := errs[0]
			if !strings.Contains(e.Msg, test.want) || !strings.Contains(e.Hint, test.hint) || e.Pos.Line == 0 {
				t.Errorf("error %v at %v, hint %q", e.Msg, e.Pos, e.Hint)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	yaml := `
params: {seed_is: 1}
seed: %d
order: {block: replicate, baseline: {level: 0}}
stages:
  m: {uses: measure, matrix: {level: [0, 1, 2, 3, 4, 5], replicate: %d}, with: {value: "${{ level }}"}}
`
	for reps := 1; reps <= 5; reps++ {
		orders := map[string]bool{}
		for seed := range 4 {
			p, err := build(t, workspace(t, fmt.Sprintf(yaml, seed, reps)))
			if err != nil {
				t.Fatal(err)
			}
			got := ids(p.Order)
			orders[strings.Join(got, " ")] = true
			if len(got) != 6*reps {
				t.Fatalf("%d replicates: %d cells in order", reps, len(got))
			}
			for i, id := range got { // blocks stay together
				if want := fmt.Sprintf("replicate=%d]", i/6+1); !strings.HasSuffix(id, want) {
					t.Errorf("place %d holds %s, want %s", i, id, want)
				}
			}
			if got[0] != "m[level=0,replicate=1]" {
				t.Errorf("%d replicates: %s stands first, not the baseline", reps, got[0])
			}
			if last := fmt.Sprintf("m[level=0,replicate=%d]", reps); reps > 1 && got[len(got)-1] != last {
				t.Errorf("%d replicates: %s stands last, not the baseline", reps, got[len(got)-1])
			}
			if mid := reps / 2; reps > 2 && got[mid*6+3] != fmt.Sprintf("m[level=0,replicate=%d]", mid+1) {
				t.Errorf("%d replicates: %s stands in the middle, not the baseline", reps, got[mid*6+3])
			}
		}
		if len(orders) < 2 {
			t.Errorf("%d replicates: four seeds draw one order", reps)
		}
	}
}

func TestReasons(t *testing.T) {
	root := workspace(t, `
params: {word: one, other: 1}
stages:
  a: {uses: command, inputs: [in.txt], run: 'echo ${{ word }}', outputs: [a]}
  b: {uses: command, needs: [a], run: 'true', outputs: [b]}
  c: {uses: command, run: 'echo ${{ other }}', outputs: [c]}
`, "in.txt")
	s, err := store.Open(filepath.Join(root, "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	parts := map[string][]store.Part{} // by key
	decide := func(set ...string) map[string]*plan.Decision {
		t.Helper()
		p, err := build(t, root, set...)
		if err != nil {
			t.Fatal(err)
		}
		d := plan.NewDecider(p, s, nil)
		out := map[string]*plan.Decision{}
		for _, c := range p.Cells {
			if out[c.ID], err = d.Decide(c); err != nil {
				t.Fatal(err)
			}
			parts[out[c.ID].Key] = d.Parts(c)
		}
		return out
	}
	commit := func(d *plan.Decision, id string) {
		t.Helper()
		path := filepath.Join(root, "out")
		filetest.Write(t, path, id)
		f, err := s.Put(path, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(store.Detail{Parts: parts[d.Key]}, &store.Record{Key: d.Key, Cell: "s/" + id, Files: []store.File{f}}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(d *plan.Decision, st plan.State, reason string) {
		t.Helper()
		if d.State != st || !strings.Contains(d.Reason, reason) {
			t.Errorf("%v, %q; want %v, %q", d.State, d.Reason, st, reason)
		}
	}
	d := decide()
	is(d["a"], plan.Runs, "has no result yet")
	is(d["b"], plan.Waits, "needs a, which runs")
	commit(d["a"], "a")
	commit(d["c"], "c")
	d = decide()
	is(d["a"], plan.Stands, "")
	is(d["b"], plan.Runs, "has no result yet")
	if err := s.Fail(d["b"].Key, store.Failure{Cell: "s/b", Error: "exit status 1"}); err != nil {
		t.Fatal(err)
	}
	is(decide()["b"], plan.Runs, "failed when it last ran")
	commit(d["b"], "b")
	d = decide("word=two")
	is(d["a"], plan.Runs, "run changed: echo one -> echo two")
	is(d["b"], plan.Waits, "needs a, which runs")
	is(d["c"], plan.Stands, "")
	filetest.Write(t, filepath.Join(root, "in.txt"), "other")
	d = decide()
	is(d["a"], plan.Runs, "file in.txt changed: ")
	is(d["c"], plan.Stands, "")
	command := kinds["command"]
	command.Version = "2" // as in a newer program
	defer func() { command.Version = "1" }()
	is(decide()["c"], plan.Runs, "kind changed: command 1 -> command 2")
}

// A recording stands in for what measures; what only measuring needs is gone,
// and figures of several machines do not overwrite one another.
func TestReplay(t *testing.T) {
	root := workspace(t, `
stages:
  m: {uses: measure, matrix: {level: 2}, with: {value: "${{ level }}"}}
  collect: {uses: collect, needs: [m]}
  draw: {uses: command, needs: [collect], run: 'true', outputs: [figures/f.svg, notes.txt]}
`, "rec/samples.csv")
	for folder, figure := range map[string]string{
		"rec":                 "results/figures/s/host/f.svg",
		"results/data/s/host": "results/figures/s/host/f.svg",
		"data/s/host":         "figures/s/host/f.svg", // it came with the workspace
	} {
		p, err := build(t, root)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(root, folder)
		if err := p.Replay(dir); err != nil {
			t.Fatal(err)
		}
		if got := ids(p.Cells); !slices.Equal(got, []string{"collect", "draw"}) {
			t.Fatalf("cells %v", got)
		}
		if got := p.Cells[0].Given["data/s/host/samples.csv"]; got != filepath.Join(dir, "samples.csv") {
			t.Errorf("collect is given %q", got)
		}
		if got := p.Cells[1].Place("figures/f.svg"); got != figure {
			t.Errorf("replaying %s, the figure goes to %q", folder, got)
		}
		if got := p.Cells[1].Place("notes.txt"); got != "notes.txt" {
			t.Errorf("notes go to %q", got)
		}
	}
}

// Studies that differ in how a list is cut have keys that differ.
// TestOnly keeps what some stages need, in the order of the plan.
func TestOnly(t *testing.T) {
	p, err := build(t, workspace(t, `stages:
  load: {uses: measure, background: true}
  m: {uses: measure, during: [load]}
  other: {uses: measure}
  collect: {uses: collect, needs: [m]}
  draw: {uses: command, needs: [other], run: "true"}
`))
	if err != nil {
		t.Fatal(err)
	}
	p.Only(map[string]bool{"collect": true})
	var ids, order []string
	for _, c := range p.Cells {
		ids = append(ids, c.ID)
	}
	for _, c := range p.Order {
		order = append(order, c.ID)
	}
	if want := "[load@m m collect] [m]"; fmt.Sprint(ids, order) != want {
		t.Errorf("kept %v %v, want %s", ids, order, want)
	}
}

func TestKeysAreUnambiguous(t *testing.T) {
	key := func(yaml, id string) string {
		t.Helper()
		root := workspace(t, yaml, "in.txt")
		p, err := build(t, root)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.View(filepath.Join(root, "store"))
		if err != nil {
			t.Fatal(err)
		}
		dec, err := plan.NewDecider(p, s, nil).Decide(p.Cell(id))
		if err != nil {
			t.Fatal(err)
		}
		return dec.Key
	}
	for _, pair := range [][2]string{
		{`["a b"]`, `[a, b]`}, {`["a b", c]`, `[a, "b c"]`}, {`['["a","b"]']`, `[a, b]`}, {`['a","b']`, `[a, b]`},
	} {
		const stage = "stages: {x: {uses: command, run: 'true', outputs: %s}}\n"
		if key(fmt.Sprintf(stage, pair[0]), "x") == key(fmt.Sprintf(stage, pair[1]), "x") {
			t.Errorf("outputs %s and %s have one key", pair[0], pair[1])
		}
	}
}

// Of a pool, the number of GPUs among which the processors are divided is a part of the
// key; a study on one device, or of simulated ones, has none.
func TestSharedProcessors(t *testing.T) {
	root := workspace(t, "stages:\n  m: {uses: measure}\n  c: {uses: command, run: 'true', outputs: [o]}\n")
	s, err := store.Open(filepath.Join(root, "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := func(device, devices string, n int) (key, shared string) {
		t.Helper()
		filetest.Write(t, filepath.Join(root, "configs/machines/m.yaml"), "device: "+device+"\n")
		gpus := func() cell.GPUs {
			return cell.GPUs{
				Of:         func(cell.Machine) []cell.GPU { return make([]cell.GPU, n) },
				Processors: func([]cell.GPU) ([][]int, error) { return make([][]int, n), nil },
			}
		}
		st, err := study.Load(filepath.Join(root, "configs/s.yaml"), study.Options{Kinds: kinds, Machine: "m", GPUs: gpus, Devices: devices})
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Build(st)
		if err != nil {
			t.Fatal(err)
		}
		d := plan.NewDecider(p, s, nil)
		for _, c := range p.Cells {
			dec, err := d.Decide(c)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range d.Parts(c) {
				if part.Name == "processors" {
					shared += c.ID + ": " + part.Value
				}
			}
			if c.ID == "m" {
				key = dec.Key
			}
		}
		return key, shared
	}
	two, shared := key("cuda", "cuda:0,cuda:1", 2)
	if shared != "m: shared by 2 GPUs" {
		t.Errorf("two of two: %q", shared)
	}
	if again, _ := key("cuda", "cuda:0,cuda:1", 2); again != two {
		t.Error("the key is another each time")
	}
	if four, shared := key("cuda", "cuda:0,cuda:1", 4); four == two || shared != "m: shared by 4 GPUs" {
		t.Errorf("two of four: %q", shared)
	}
	for _, one := range [][2]string{{"cuda", ""}, {"cuda", "cuda:1"}, {"sim", "sim:0,sim:1"}} {
		two, shared := key(one[0], one[1], 2)
		if four, _ := key(one[0], one[1], 4); four != two || shared != "" {
			t.Errorf("%v: %q, and its key depends on how many GPUs there are", one, shared)
		}
	}
}

// How a device is set is part of the key of what is measured there, of nothing
// else, and why names it.
func TestSettingIsPartOfTheKey(t *testing.T) {
	set := map[string]string{"MPS": "off", "driver": "580.1"}
	kinds["measure"].Setting = func(string) map[string]string { return set }
	defer func() { kinds["measure"].Setting = nil }()
	root := workspace(t, `
stages:
  m: {uses: measure}
  c: {uses: command, needs: [m], run: 'true', outputs: [o]}
`)
	s, err := store.Open(filepath.Join(root, "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	decide := func() map[string]*plan.Decision {
		t.Helper()
		p, err := build(t, root)
		if err != nil {
			t.Fatal(err)
		}
		d := plan.NewDecider(p, s, nil)
		out := map[string]*plan.Decision{}
		for _, c := range p.Cells {
			if out[c.ID], err = d.Decide(c); err != nil {
				t.Fatal(err)
			}
			if dec := out[c.ID]; dec.State == plan.Runs {
				r := &store.Record{Key: dec.Key, Cell: p.Name(c)}
				for _, name := range c.Outputs {
					path := filepath.Join(t.TempDir(), "out")
					filetest.Write(t, path, "")
					f, err := s.Put(path, name)
					if err != nil {
						t.Fatal(err)
					}
					r.Files = append(r.Files, f)
				}
				if err := s.Commit(store.Detail{Parts: d.Parts(c)}, r); err != nil {
					t.Fatal(err)
				}
				said := *dec
				out[c.ID] = &said
				d.Finish(c, r)
			}
		}
		return out
	}
	decide()
	if out := decide(); out["m"].State != plan.Stands || out["c"].State != plan.Stands {
		t.Fatalf("as it was: %+v, %+v", out["m"], out["c"])
	}
	set = map[string]string{"MPS": "on", "driver": "580.1"}
	if out := decide(); out["m"].Reason != "device: MPS changed: off -> on" || out["c"].State != plan.Stands {
		t.Errorf("under MPS: %+v, %+v", out["m"], out["c"])
	}
	set = map[string]string{"MPS": "on", "driver": "590.2", "MIG": "off"}
	if out := decide(); out["m"].Reason != "device: MIG is new (off), device: driver changed: 580.1 -> 590.2" {
		t.Errorf("with another driver: %+v", out["m"])
	}
	set = map[string]string{"MPS": "off", "driver": "580.1"}
	if out := decide(); out["m"].State != plan.Stands {
		t.Errorf("set back: %+v", out["m"])
	}
}
