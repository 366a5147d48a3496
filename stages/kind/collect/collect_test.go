package collect

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/record"
	"barograph/stages/recording"
	"barograph/stages/result"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the goldens")

// A study is a specification for collect, with the files that its inputs left.
type study struct {
	t    testing.TB
	dir  string
	spec cell.Spec
}

func newStudy(t testing.TB) *study {
	return &study{t, t.TempDir(), cell.Spec{
		Study: "paper", Digest: "d1", Stage: "collect", Kind: "collect", ID: "collect", With: json.RawMessage("{}"),
		Seed: 99, StudySeed: 7, Order: []string{"calibrate", "infer[level=1,replicate=1]", "infer[level=0,replicate=1]"},
		Machine: cell.Machine{Name: "host", Device: "host", Link: cell.Link{Raw: 20e9}, Fingerprint: "sha256:f"},
	}}
}

// at makes a point from axis, value, axis, value...
func at(pairs ...any) (p cell.Point) {
	for i := 0; i < len(pairs); i += 2 {
		p = append(p, cell.Coordinate{Axis: pairs[i].(string), Value: pairs[i+1]})
	}
	return p
}

func (s *study) input(stage, kind, during string, p cell.Point) *cell.Input {
	id := stage + p.String()
	if during != "" {
		id += "@" + during
	}
	s.spec.Inputs = append(s.spec.Inputs, cell.Input{
		Stage: stage, Kind: kind, ID: id, Point: p, During: during, With: json.RawMessage(`{"k":1}`),
		Seq: len(s.spec.Inputs) + 1, Files: map[string]string{},
	})
	return &s.spec.Inputs[len(s.spec.Inputs)-1]
}

func (s *study) file(in *cell.Input, name string, v any) {
	s.t.Helper()
	path := filepath.Join(s.dir, fmt.Sprintf("%d-%s", len(s.spec.Inputs), name))
	var err error
	if text, ok := v.(string); ok {
		err = os.WriteFile(path, []byte(text), 0o666)
	} else {
		err = result.Write(path, v)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	in.Files[name] = path
}

func (s *study) infer(stage string, p cell.Point, r result.Infer, lines string) string {
	in := s.input(stage, "infer", "", p)
	s.file(in, result.InferFile, r)
	s.file(in, result.CallsFile, lines)
	return in.ID
}

func (s *study) stress(stage, during string, p cell.Point, r result.Stress) {
	s.file(s.input(stage, "stress", during, p), result.StressFile, r)
}

// run serves the cell in a folder of its own, as the engine does, and returns
// that folder and the cell's events.
func (s *study) run() (string, []cell.Event, error) {
	s.t.Helper()
	dir := s.t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chdir(dir); err != nil {
		s.t.Fatal(err)
	}
	defer os.Chdir(here)
	spec, err := json.Marshal(s.spec)
	if err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	err = cell.Serve(cell.NewKinds(Kind()), bytes.NewReader(append(spec, '\n')), &out)
	var events []cell.Event
	for d := json.NewDecoder(&out); ; {
		var e cell.Event
		if d.Decode(&e) == io.EOF {
			return dir, events, err
		}
		events = append(events, e)
	}
}

const header = "call,scheduled_ns,start_ns,latency_ns\n"

func bert(n int) result.Infer {
	return result.Infer{
		Model: "bert-base-uncased", Batch: 1, Sequence: 128, Device: "host", Calls: n, Window: [2]int64{10, 90},
		Library: "onnxruntime 1.30.0", LibrarySHA: "ab", Environment: &record.Env{Kernel: "6.1", Go: "go1.26.0"},
	}
}

// paper is a small study of the paper's shape: a calibration and two levels,
// the second measured first.
func paper(t testing.TB) *study {
	s := newStudy(t)
	s.stress("calibrate", "", nil, result.Stress{Mode: "capacity", Direction: "h2d", Capacity: map[string]float64{"h2d": 10e9, "d2h": 8e9}})
	for _, level := range []float64{0, 2} {
		p := at("level", level, "replicate", 1.0)
		id := s.infer("infer", p, bert(2), header+fmt.Sprintf("0,10,11,%d\n1,40,41,%d\n", 30+int(level), 50+int(level)))
		s.stress("stress", id, at("level", level), result.Stress{
			Mode: "load", Device: "host", Threads: int(level), Block: int64(level) * 4 << 20, Outstanding: 1, Direction: "h2d",
			Achieved: level * 2.5e9, Window: [2]int64{10, 90},
		})
	}
	return s
}

func TestGolden(t *testing.T) {
	dir, events, err := paper(t).run()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{record.Samples, record.Run} {
		got := filetest.Read(t, filepath.Join(dir, "data/paper/host", name))
		if name == record.Run {
			got = withoutResults(t, got)
		}
		filetest.Golden(t, *update, filepath.Join("testdata", name), got)
	}
	for _, e := range events {
		if e.Type == "warning" || e.Type == "error" {
			t.Errorf("unexpected %+v", e)
		}
	}
	r, err := record.Open(filepath.Join(dir, "data/paper/host"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Study != "paper" || r.Seed != 7 || len(r.Order) != 3 || r.Environment.Kernel != "6.1" {
		t.Errorf("head %+v", r.Head)
	}
}

// withoutResults strips run.json of what cells of other kinds left, whose shape
// is theirs to change.
func withoutResults(t *testing.T, run []byte) []byte {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal(run, &r); err != nil {
		t.Fatal(err)
	}
	for list, keys := range map[string][]string{"trials": {"infer", "stress"}, "calibrations": {"result"}} {
		for _, entry := range r[list].([]any) {
			for _, key := range keys {
				if _, ok := entry.(map[string]any)[key]; !ok {
					t.Errorf("no %s in %s", key, list)
				}
				delete(entry.(map[string]any), key)
			}
		}
	}
	delete(r, "environment")
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func TestResultsAreKept(t *testing.T) {
	dir, _, err := paper(t).run()
	if err != nil {
		t.Fatal(err)
	}
	r := recorded(t, dir)
	want := bert(2)
	want.Environment = nil // it stands once, at the head
	for _, trial := range r.Trials {
		if !reflect.DeepEqual(trial.Infer, want) {
			t.Errorf("%s: infer %+v, want %+v", trial.ID, trial.Infer, want)
		}
	}
	if got := *r.Trials[1].Stress; got.Threads != 2 || got.Achieved != 5e9 || got.Block != 8<<20 {
		t.Errorf("stress %+v", got)
	}
	if got := r.Calibrations[0].Result.Capacity["d2h"]; got != 8e9 {
		t.Errorf("capacity %v", got)
	}
}

// What Kind publishes is what a cell leaves, to the file.
func TestLeavesWhatItPublishes(t *testing.T) {
	dir, _, err := paper(t).run()
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			left = append(left, name)
		}
		return err
	})
	declared := Kind().Publishes("paper", "host", &With{})
	if len(left) != len(declared) {
		t.Fatalf("left %q, declared %q", left, declared)
	}
	for _, name := range declared {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// Compressed samples are the same rows, in the same bytes whenever they are.
func TestCompressed(t *testing.T) {
	plain, _, err := paper(t).run()
	if err != nil {
		t.Fatal(err)
	}
	want := filetest.Read(t, filepath.Join(plain, "data/paper/host", record.Samples))
	var first []byte
	for range 2 {
		s := paper(t)
		s.spec.With = json.RawMessage(`{"compress": true}`)
		dir, _, err := s.run()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.Open(filepath.Join(dir, "data/paper/host")); err != nil {
			t.Error(err)
		}
		packed := filetest.Read(t, filepath.Join(dir, "data/paper/host", record.Samples+record.Packed))
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v, holds %q, want %q", err, got, want)
		}
		if first != nil && !bytes.Equal(first, packed) {
			t.Error("the same rows gave other bytes")
		}
		first = packed
	}
}

// recorded reads run.json.
func recorded(t testing.TB, dir string) *recording.Run {
	t.Helper()
	r, err := recording.ReadRun(filepath.Join(dir, "data/paper/host", record.Run))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// table reads samples.csv as maps from column to field.
func table(t testing.TB, dir string) (columns []string, rows []map[string]string) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "data/paper/host", record.Samples))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, field := range line {
			row[lines[0][i]] = field
		}
		rows = append(rows, row)
	}
	return lines[0], rows
}

func TestAxesBecomeColumns(t *testing.T) {
	s := newStudy(t)
	s.infer("infer", at("model", "a,\"b\"", "rate", 4194304.0, "pinned", true), bert(1), header+"0,1,1,5\n")
	s.infer("other", at("rate", 0.25, "level", 0.0), bert(1), header+"0,1,1,5\n")
	dir, _, err := s.run()
	if err != nil {
		t.Fatal(err)
	}
	columns, rows := table(t, dir)
	if got := strings.Join(columns[slices.Index(columns, "seq")+1:], " "); got != "axis_model rate pinned" {
		t.Errorf("axes became %q", got)
	}
	for column, want := range map[string][2]string{
		"model": {"bert-base-uncased", "bert-base-uncased"}, "axis_model": {`a,"b"`, ""}, "rate": {"4194304", "0.25"},
		"pinned": {"true", ""}, "level": {"0", "0"}, "replicate": {"1", "1"}, "threads": {"0", "0"},
		"direction": {"", ""}, "utilisation": {"0", "0"}, "seq": {"1", "2"}, "simulated": {"false", "false"},
	} {
		if got := [2]string{rows[0][column], rows[1][column]}; got != want {
			t.Errorf("%s = %q, want %q", column, got, want)
		}
	}
}

func TestUtilisation(t *testing.T) {
	calibrated := func(p cell.Point, capacity map[string]float64) func(*study) {
		return func(s *study) { s.stress("calibrate", "", p, result.Stress{Mode: "capacity", Capacity: capacity}) }
	}
	for _, test := range []struct {
		name         string
		calibrations []func(*study)
		direction    string
		told         map[string]float64
		want, from   string
		warned       bool
	}{
		{"one direction", []func(*study){calibrated(nil, map[string]float64{"h2d": 8e9, "d2h": 4e9})}, "d2h", nil, "0.5", "calibrate", false},
		{"both ways is the sum", []func(*study){calibrated(nil, map[string]float64{"h2d": 8e9, "d2h": 8e9})}, "both", nil, "0.125", "calibrate", false},
		{"both ways as calibrated", []func(*study){calibrated(nil, map[string]float64{"h2d": 8e9, "d2h": 8e9, "both": 10e9})}, "both", nil, "0.2", "calibrate", false},
		{"the point's own", []func(*study){
			calibrated(at("memory", "pinned"), map[string]float64{"h2d": 9e9}),
			calibrated(at("memory", "pageable"), map[string]float64{"h2d": 4e9}),
		}, "h2d", nil, "0.5", "calibrate[memory=pageable]", false},
		{"what the stressor was told", nil, "h2d", map[string]float64{"h2d": 16e9}, "0.125", "stress@infer[level=1,memory=pageable]", false},
		{"copies within the device", []func(*study){calibrated(nil, map[string]float64{"h2d": 8e9, "d2d": 9e9})}, "d2d", nil, "0", "", false},
		{"copies within host memory, not calibrated", nil, "h2h", nil, "0", "", false},
		{"unknown", []func(*study){calibrated(nil, map[string]float64{"h2d": 8e9})}, "d2h", nil, "", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStudy(t)
			for _, c := range test.calibrations {
				c(s)
			}
			id := s.infer("infer", at("level", 1.0, "memory", "pageable"), bert(1), header+"0,1,1,5\n")
			s.stress("stress", id, nil, result.Stress{Mode: "load", Threads: 1, Direction: test.direction, Achieved: 2e9, Capacity: test.told, Window: [2]int64{10, 90}})
			dir, events, err := s.run()
			if err != nil {
				t.Fatal(err)
			}
			if _, rows := table(t, dir); rows[0]["utilisation"] != test.want {
				t.Errorf("utilisation %q, want %q", rows[0]["utilisation"], test.want)
			}
			r := recorded(t, dir)
			if got := r.Trials[0].CapacityFrom; got != test.from {
				t.Errorf("capacity from %q, want %q", got, test.from)
			}
			if raw := *r.Trials[0].OfRaw; raw != 0.1 && raw != 0.05 && (raw != 0 || test.want != "0") {
				t.Errorf("utilisation of the raw link %v", raw)
			}
			warned := len(events) > 0 && events[0].Type == "warning" || len(r.Warnings) > 0
			if warned != test.warned {
				t.Errorf("warnings %q", r.Warnings)
			}
		})
	}
}

func TestDoubtIsKept(t *testing.T) {
	s := newStudy(t)
	for i, kernel := range []string{"6.1", "6.1", "6.2"} {
		r := bert(1)
		r.Environment.Kernel, r.Warnings, r.Simulated = kernel, []string{"jittery"}, i == 2
		if r.Simulated {
			r.Device = "sim"
		}
		id := s.infer("infer", at("level", 1.0, "replicate", float64(i)), r, header+"0,1,1,5\n")
		s.stress("stress", id, nil, result.Stress{Mode: "load", Threads: 1, Direction: "h2d", Capacity: map[string]float64{"h2d": 1}, Window: [2]int64{0, 5}, Warnings: []string{"unsteady"}})
	}
	dir, events, err := s.run()
	if err != nil {
		t.Fatal(err)
	}
	r := recorded(t, dir)
	all := strings.Join(r.Warnings, "\n")
	for want, n := range map[string]int{"jittery": 3, "unsteady": 3, "not of the trial's window": 3, "1 of 3 cells were measured in another environment": 1} {
		if strings.Count(all, want) != n {
			t.Errorf("%d times %q, want %d, in:\n%s", strings.Count(all, want), want, n, all)
		}
	}
	var shown string
	for _, e := range events {
		if e.Type == "warning" {
			shown += e.Text + "\n"
		}
	}
	if strings.Count(shown, "\n") != 4 || strings.Contains(shown, "jittery") || strings.Contains(shown, "unsteady") {
		t.Errorf("collect told, beside its own 4 warnings or in their place:\n%s", shown)
	}
	if r.Environment.Kernel != "6.1" || r.Trials[1].Infer.Environment != nil || r.Trials[2].Infer.Environment.Kernel != "6.2" {
		t.Error("environments are not kept apart")
	}
	if _, rows := table(t, dir); !r.Simulated || rows[0]["simulated"] != "false" || rows[2]["simulated"] != "true" {
		t.Error("simulated cells are not marked")
	}
}

func TestErrors(t *testing.T) {
	load := result.Stress{Mode: "load", Threads: 1}
	point := at("level", 1.0)
	for _, test := range []struct {
		want, hint string
		build      func(*study)
	}{
		{"no infer cell", "needs: of collect", func(s *study) { s.stress("stress", "x", nil, load) }},
		{"infer[level=1] had a background, and no stress cell", "during: of infer", func(s *study) { s.infer("infer", point, bert(1), header+"0,1,1,5\n") }},
		{"infer[level=0] had a background", "", func(s *study) {
			s.stress("stress", s.infer("infer", point, bert(1), header+"0,1,1,5\n"), nil, load)
			s.infer("infer", at("level", 0.0), bert(1), header+"0,1,1,5\n")
		}},
		{"two background cells, up@infer[level=1] and down@infer[level=1]", "direction: both", func(s *study) {
			id := s.infer("infer", point, bert(1), header+"0,1,1,5\n")
			s.stress("up", id, nil, load)
			s.stress("down", id, nil, load)
		}},
		{"infer: 1 calls timed, and its record says 2", "--fresh infer", func(s *study) { s.infer("infer", nil, bert(2), header+"0,1,1,5\n") }},
		{"infer: 3 calls timed, and its record says 2", "", func(s *study) { s.infer("infer", nil, bert(2), header+"0,1,1,5\n1,1,1,5\n2,1,1,5\n") }},
		{"infer: calls.csv:1: want the header", "", func(s *study) { s.infer("infer", nil, bert(1), "0,1,1,5\n") }},
		{"infer: calls.csv:1: want the header", "", func(s *study) { s.infer("infer", nil, bert(0), "") }},
		{"infer: calls.csv:3: call 2 follows call 0", "", func(s *study) { s.infer("infer", nil, bert(2), header+"0,1,1,5\n2,1,1,5\n") }},
		{`infer: calls.csv:2: want 4 whole numbers from 0, found "0,1,1"`, "", func(s *study) { s.infer("infer", nil, bert(1), header+"0,1,1\n") }},
		{`found "0,1,1,5,6"`, "", func(s *study) { s.infer("infer", nil, bert(1), header+"0,1,1,5,6\n") }},
		{`found "0,1,1,-5"`, "", func(s *study) { s.infer("infer", nil, bert(1), header+"0,1,1,-5\n") }},
		{`found "0,1,1,1e3"`, "", func(s *study) { s.infer("infer", nil, bert(1), header+"0,1,1,1e3\n") }},
		{"infer: read ", "", func(s *study) {
			in := s.input("infer", "infer", "", nil)
			s.file(in, result.InferFile, "{")
			s.file(in, result.CallsFile, header)
		}},
		{"infer left no calls.csv", "", func(s *study) { s.file(s.input("infer", "infer", "", nil), result.InferFile, bert(0)) }},
		{"stress left no stress.json", "", func(s *study) { s.input("stress", "stress", "", nil) }},
	} {
		s := newStudy(t)
		test.build(s)
		_, events, err := s.run()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
			continue
		}
		if last := events[len(events)-1]; last.Type != "error" || !strings.Contains(last.Hint, test.hint) {
			t.Errorf("%q came with hint %q, want %q", err, last.Hint, test.hint)
		}
	}
}

// A trial's calls reach samples.csv as they were written, whatever they are.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStudy(t)
		var want [][4]string
		for c := range rapid.IntRange(1, 4).Draw(rt, "cells") {
			first := rapid.Int64Range(0, 1).Draw(rt, "first")
			latencies := rapid.SliceOfN(rapid.Int64Range(0, 1<<62), 0, 20).Draw(rt, "latencies")
			var b strings.Builder
			for i, l := range latencies {
				n := strconv.FormatInt(first+int64(i), 10)
				fmt.Fprintf(&b, "%s,%d,%d,%d\n", n, i, i, l)
				want = append(want, [4]string{strconv.Itoa(c), n, strconv.Itoa(i), strconv.FormatInt(l, 10)})
			}
			s.infer("infer", at("replicate", float64(c)), bert(len(latencies)), header+b.String())
		}
		dir, _, err := s.run()
		if err != nil {
			rt.Fatal(err)
		}
		_, rows := table(t, dir)
		if len(rows) != len(want) {
			rt.Fatalf("%d rows, want %d", len(rows), len(want))
		}
		for i, row := range rows {
			if got := [4]string{row["replicate"], row["call"], row["start_ns"], row["latency_ns"]}; got != want[i] {
				rt.Fatalf("row %d is %q, want %q", i, got, want[i])
			}
		}
	})
}

// The calls of one round are copied alone, and numbered as they were.
func TestRound(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	const calls = "call,latency_ns,round\n1,10,1\n2,20,3\n3,30,3\n4,40,4\n"
	n, err := splice(w, strings.NewReader(calls), 3, []string{"call", "latency_ns"}, []byte("a"), []byte("b"))
	w.Flush()
	if n != 2 || err != nil || out.String() != "a,2,20,b\na,3,30,b\n" {
		t.Errorf("%d calls, %v: %q", n, err, out.String())
	}
	if _, err := splice(w, strings.NewReader(header+"0,1,2,3\n"), 1, []string{"call"}, nil, nil); err == nil || !strings.Contains(err.Error(), "rounds") {
		t.Errorf("without rounds: %v", err)
	}
	if n, err := splice(w, strings.NewReader("call,latency_ns,round\n1,10,1\n3,20,3\n"), 3, []string{"call"}, nil, nil); n != 1 || err == nil {
		t.Errorf("a call that is missing before its round: %d, %v", n, err)
	}
}

// FuzzSplice: a file of calls is refused or copied whole, one row a call.
func FuzzSplice(f *testing.F) {
	f.Add(header + "0,1,2,3\n1,2,3,4\n")
	f.Add(header + "7,1,2,3")
	f.Add("x")
	f.Fuzz(func(t *testing.T, in string) {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		n, err := splice(w, strings.NewReader(in), 0, []string{"call", "scheduled_ns", "start_ns", "latency_ns"}, []byte("a"), []byte("b"))
		w.Flush()
		if err != nil {
			return
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows) != n {
			t.Fatalf("%d rows for %d calls: %v", len(rows), n, err)
		}
		for _, row := range rows {
			if len(row) != 6 || row[0] != "a" || row[5] != "b" {
				t.Fatalf("row %q", row)
			}
		}
	})
}

func manyCalls(n int) string {
	b := []byte(header)
	for i := range n {
		for j, v := range []int{i, i * 1000003, i*1000003 + 40, 41_000_000 + i} {
			b = strconv.AppendInt(b, int64(v), 10)
			b = append(b, ",,,\n"[j])
		}
	}
	return string(b)
}

// The benchmark below tells how quick; this only catches work that grows faster
// than the rows do.
func TestManyRowsAreQuick(t *testing.T) {
	s := newStudy(t)
	lines := manyCalls(10_000)
	for i := range 20 {
		s.infer("infer", at("replicate", float64(i)), bert(10_000), lines)
	}
	start := time.Now()
	if _, _, err := s.run(); err != nil {
		t.Fatal(err)
	}
	// 0.1 s on the machine this was written on; the rest is room for the race
	// detector and a busy neighbour.
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("200,000 rows took %v", took)
	}
}

func BenchmarkCollect(b *testing.B) {
	s := newStudy(b)
	const cells, each = 100, 10_000
	lines := manyCalls(each)
	for i := range cells {
		s.infer("infer", at("replicate", float64(i)), bert(each), lines)
	}
	for b.Loop() {
		if _, _, err := s.run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cells*each)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
