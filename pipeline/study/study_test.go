package study

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/source"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The kinds of these tests: a load with every type of parameter, a measurement,
// a notebook and a script.
type loadWith struct {
	common
	Mode       string        `json:"mode" enum:"load,capacity"`
	Threads    int           `json:"threads" min:"0" max:"64" doc:"How many threads copy."`
	Block      unit.Size     `json:"block" min:"4KiB"`
	Rate       unit.Rate     `json:"rate"`
	Settle     unit.Duration `json:"settle" min:"0s" max:"1m"`
	Directions []string      `json:"directions" enum:"h2d,d2h"`
	Share      float64       `json:"share" min:"0" max:"1"`
	Nested     struct {
		Depth uint8 `json:"depth"`
	} `json:"nested"`
	Pinned *bool          `json:"pinned"`
	Labels map[string]int `json:"labels"`
}

type common struct {
	Direction string `json:"direction" enum:"h2d,d2h,both"`
}

type measureWith struct {
	Model string `json:"model" required:"true" doc:"a model under configs/models/"`
	Calls int    `json:"calls" min:"1"`
}

func kinds() cell.Kinds {
	return cell.NewKinds(
		&cell.Kind{Name: "load", Background: true, Measured: true, Doc: "Makes load.",
			With: func() any { return &loadWith{Mode: "load", Threads: 1, Block: 4096} },
			Check: func(_, device string, with any) error {
				if w := with.(*loadWith); w.Mode == "capacity" && w.Threads == 13 {
					return cell.Hint(errors.New("threads number 13"), "take 12")
				}
				return nil
			},
			CheckSim: checkSim, Columns: []string{"achieved"}},
		&cell.Kind{Name: "measure", Measured: true, With: func() any { return &measureWith{Calls: 300} }, CheckSim: checkSim},
		&cell.Kind{Name: "notes", Notebook: true, Verdicts: "verdicts.json", With: func() any { return &map[string]any{} }},
		&cell.Kind{Name: "shell", Script: true, With: func() any { return &struct{}{} }},
	)
}

func checkSim(parameter string, value float64) error {
	if known := []string{"bandwidth", "noise", "overhead"}; !slices.Contains(known, parameter) {
		return cell.Hint(fmt.Errorf("unknown parameter %q", parameter), "there is %s", strings.Join(known, ", "))
	}
	if value < 0 {
		return fmt.Errorf("parameter %s is %g", parameter, value)
	}
	return nil
}

// workspace writes files below a new folder and returns its path.
func workspace(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		filetest.Write(t, path, text)
	}
	return root
}

const whole = `study: whole
description: every key once
params:
  levels: [0, 1, 4]
  base: 2
  calls: "${{ base * 150 }}"
  block: 4MiB
  share: 0.5
  replicates: 2
machine: small
seed: 7
order: {block: replicate, baseline: {level: 0}}
stages:
  calibrate: {uses: load, with: {mode: capacity, directions: [h2d, d2h]}}
  press:
    uses: load
    background: true
    needs: [calibrate]
    matrix: {level: "${{ levels }}"}
    with:
      threads: ${{ level }}
      block: ${{ (level + 1) * 4 * MiB }}
      rate: 50%
      settle: 250ms
      share: ${{ share }}
      nested: {depth: 3}
      pinned: true
      labels: {a: 1, b: "${{ base }}"}
  infer:
    uses: measure
    during: [press]
    matrix: {level: "${{ levels }}", replicate: "${{ replicates }}"}
    with: {model: "bert-${{ study }}", calls: "${{ calls }}"}
    resources: {device: 1}
    timeout: 10m
    retries: 2
    env: {MACHINE: "${{ machine.name }}"}
  judge:
    uses: notes
    needs: [infer, press]
    notebook: notebooks/judge
    with: {raw: "${{ machine.link.raw / GB }}", list: [1, "${{ base }}"]}
  copy:
    uses: shell
    needs: [infer]
    matrix: {level: "${{ levels }}"}
    run: cp a "out-${{ level }}" '$${{ level }}'
    inputs: ["data/*.csv"]
    outputs: ["out/${{ level }}.txt"]
claims:
  - {id: C1, says: "more is more", judged-by: judge}
`

var wholeFiles = map[string]string{
	"configs/whole.yaml":          whole,
	"configs/machines/small.yaml": "device: sim\ndescription: simulated\nlink: {name: Gen3, raw: 15.754e9}\nsim: {bandwidth: 12e9}\nparams: {base: 1, nobody: 3}\nstudies: {whole: {levels: [0, 1]}}\n",
	"notebooks/judge/main.go":     "package main\n",
}

func TestLoad(t *testing.T) {
	root := workspace(t, wholeFiles)
	path := filepath.Join(root, "configs/whole.yaml")
	s, err := Load(path, Options{Kinds: kinds(), Set: []string{"share=1", "replicates=${{ base + 2 }}"},
		Fingerprint: func(device string) string { return "print of " + device }})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
		}
	}
	check("name", s.Name, "whole")
	check("root", s.Root, root)
	check("seed", s.Seed, uint64(7))
	check("params", s.Params, map[string]any{
		"levels": []any{int64(0), int64(1)}, "base": int64(1), "calls": int64(150),
		"block": "4MiB", "share": 1.0, "replicates": int64(3),
	})
	check("lowered", s.Lowered, []Override{
		{"levels", []any{int64(0), int64(1), int64(4)}, []any{int64(0), int64(1)}, "configs/machines/small.yaml"},
		{"base", int64(2), int64(1), "configs/machines/small.yaml"},
		{"share", 0.5, 1.0, "--set"},
		{"replicates", int64(2), int64(3), "--set"},
	})
	check("machine", s.Machine, cell.Machine{Name: "small", Device: "sim", Description: "simulated",
		Link: cell.Link{Name: "Gen3", Raw: 15.754e9}, Sim: map[string]float64{"bandwidth": 12e9}, Fingerprint: "print of sim"})
	check("machine by", s.MachineBy, path)
	check("order", s.Order, Order{"replicate", cell.Point{{Axis: "level", Value: int64(0)}}})
	check("claims", s.Claims, []cell.Claim{{ID: "C1", Says: "more is more", JudgedBy: "judge"}})
	var names []string
	for _, st := range s.Stages {
		names = append(names, st.Name)
	}
	check("stages", names, []string{"calibrate", "press", "infer", "judge", "copy"})

	infer := s.Stages[2]
	check("during", infer.During, []string{"press"})
	check("matrix", infer.Matrix, []Axis{{"level", []any{int64(0), int64(1)}}, {"replicate", []any{int64(1), int64(2), int64(3)}}})
	check("resources", infer.Resources, map[string]int64{"device": 1})
	check("timeout", infer.Timeout.String(), "10m0s")
	check("retries", infer.Retries, 2)
	check("env", infer.Env, map[string]string{"MACHINE": "small"})
	check("position", infer.Pos, source.Pos{File: path, Line: 29, Col: 3})
	check("notebook", s.Stages[3].Notebook, "notebooks/judge")

	bind := func(stage int, p cell.Point) *Binding {
		t.Helper()
		b, err := s.Bind(s.Stages[stage], p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	yes := true
	check("press", bind(1, cell.Point{{Axis: "level", Value: int64(1)}}).With, &loadWith{
		Mode: "load", Threads: 1, Block: 8 << 20, Rate: unit.Rate{Share: .5}, Settle: 250e6, Share: 1,
		Nested: struct {
			Depth uint8 `json:"depth"`
		}{3}, Pinned: &yes, Labels: map[string]int{"a": 1, "b": 1},
	})
	a := bind(2, cell.Point{{Axis: "level", Value: int64(0)}, {Axis: "replicate", Value: int64(1)}})
	b := bind(2, cell.Point{{Axis: "level", Value: int64(1)}, {Axis: "replicate", Value: int64(3)}})
	check("infer", a.With, &measureWith{"bert-whole", 150})
	check("infer is shared", a == b, true)
	check("judge", bind(3, nil).With, &map[string]any{"raw": 15.754, "list": []any{int64(1), int64(1)}})
	check("copy", bind(4, cell.Point{{Axis: "level", Value: int64(1)}}), &Binding{
		With: &struct{}{}, Script: `cp a "out-1" '${{ level }}'`, Inputs: []string{"data/*.csv"}, Outputs: []string{"out/1.txt"}})
	check("a point outside the matrix", bind(4, cell.Point{{Axis: "level", Value: int64(9)}}).Outputs, []string{"out/9.txt"})
	if _, err := s.Bind(s.Stages[1], nil); err == nil || !strings.Contains(err.Error(), `no value for axis "level"`) {
		t.Errorf("bind without an axis: %v", err)
	}
}

func TestDigest(t *testing.T) {
	digest := func(change func(map[string]string)) string {
		t.Helper()
		files := map[string]string{}
		for k, v := range wholeFiles {
			files[k] = v
		}
		change(files)
		s, err := Load(filepath.Join(workspace(t, files), "configs/whole.yaml"), Options{Kinds: kinds()})
		if err != nil {
			t.Fatal(err)
		}
		return s.Digest
	}
	same := digest(func(map[string]string) {})
	if again := digest(func(map[string]string) {}); again != same {
		t.Errorf("the same files have the digests %s and %s", same, again)
	}
	for _, name := range []string{"configs/whole.yaml", "configs/machines/small.yaml"} {
		if digest(func(f map[string]string) { f[name] += "\n" }) == same {
			t.Errorf("the digest does not cover %s", name)
		}
	}
}

// TestErrors loads each file of testdata/errors and compares what is said with
// the golden file beside it. A first line "# --set x=y" or "# --machine m" adds
// to the command line.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	root := workspace(t, map[string]string{
		"configs/machines/small.yaml": "device: sim\nparams: {calls: many}\nstudies: {misfit: {levls: [0]}}\n",
		"configs/machines/typo.yaml":  "device: sim\nsim:\n  bandwith: 12e9\n  noise: 0.02\n  overhead: -1\n  gap: fast\n",
		"configs/machines/tiny.yaml":  "name: small\ndevce: sim\nlink: {raw: fast}\nmatch: \"(\"\n",
		"notebooks/judge/main.go":     "package main\n",
	})
	// The files lie under configs/, but show under the name they have here.
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text := filetest.Read(t, file)
			opt := Options{Kinds: kinds()}
			for line := range strings.Lines(string(text)) {
				if set, ok := strings.CutPrefix(line, "# --set "); ok {
					opt.Set = append(opt.Set, strings.TrimSuffix(set, "\n"))
				}
				if m, ok := strings.CutPrefix(line, "# --machine "); ok {
					opt.Machine = strings.TrimSpace(m)
				}
			}
			path := filepath.Join(root, "configs", filepath.Base(file))
			filetest.Write(t, path, text)
			s, err := Load(path, opt)
			if err == nil {
				t.Fatalf("no error; stages %v", s.Stages)
			}
			if e := (*source.Error)(nil); !errors.As(err, &e) {
				t.Errorf("%T is no *source.Error", err)
			}
			got := strings.ReplaceAll(err.Error(), root+"/", "") + "\n"
			filetest.Golden(t, *update, strings.TrimSuffix(file, ".yaml")+".golden", got)
		})
	}
}
