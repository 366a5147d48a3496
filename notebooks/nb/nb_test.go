package nb

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/figure"
	"barograph/stages/judge"
	"barograph/stages/recording"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// enter makes this process a notebook in a fresh folder, until the test ends.
func enter(t *testing.T, s cell.Spec) {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv(Env, file(t, filepath.Join(t.TempDir(), "spec.json"), string(b)))
	opening = sync.Once{}
	t.Cleanup(func() { opening = sync.Once{} })
}

func file(t *testing.T, path, text string) string {
	t.Helper()
	filetest.Write(t, path, text)
	return path
}

// raised returns the error that f ends a notebook with.
func raised(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = r.(*Error)
		}
	}()
	f()
	return nil
}

func want(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("raised %v, want %q", err, text)
	}
}

const table = `level,replicate,latency_ns,model,share
0,1,100,bert,
1,1,200,bert,0.5
1,2,300,gpt,0.25
10,1,5,bert,1
`

func TestSet(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "samples.csv"), table)
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"data/a/samples.csv": path}}}})
	s := Samples("samples.csv")
	if got := s.Ints("latency_ns"); !slices.Equal(got, []int64{100, 200, 300, 5}) {
		t.Errorf("latency_ns %v", got)
	}
	if got := s.Floats("share"); !math.IsNaN(got[0]) || !slices.Equal(got[1:], []float64{0.5, 0.25, 1}) {
		t.Errorf("share %v", got)
	}
	var labels []string
	for _, g := range s.By("level") {
		labels = append(labels, fmt.Sprintf("%s %d %s", g.Label, g.Len(), g.Value))
	}
	if want := []string{"level=0 1 0", "level=1 2 1", "level=10 1 10"}; !slices.Equal(labels, want) {
		t.Errorf("levels %q, want %q: numbers, not text, decide the order", labels, want)
	}
	one := s.Where("level", "1")
	if got := one.Where("model", "gpt").Only("latency_ns"); got != "300" {
		t.Errorf("the gpt sample of level 1 took %s", got)
	}
	if got := one.Replicates("latency_ns"); !reflect.DeepEqual(got, [][]int64{{200}, {300}}) {
		t.Errorf("replicates %v", got)
	}
	if got := one.Mean("share"); got != 0.375 {
		t.Errorf("mean share %v", got)
	}
	if n := s.Where("level", "2").Len(); n != 0 {
		t.Errorf("level 2 has %d samples", n)
	}
	s.Ints("latency_ns")[0] = 7
	if got := s.Ints("latency_ns")[0]; got != 100 {
		t.Error("a caller changed the set")
	}
	if got := Samples("samples.csv", "model", "level").Columns(); !slices.Equal(got, []string{"level", "model"}) {
		t.Errorf("kept %q", got)
	}
	want(t, raised(func() { s.Ints("share") }), `nb.Set.Ints("share"): the column holds fractions`)
	want(t, raised(func() { s.Floats("model") }), `the column holds text, such as "bert"`)
	want(t, raised(func() { s.Ints("latency") }), `no column is named "latency"; there is level, replicate,`)
	want(t, raised(func() { s.Only("model") }), "the column holds several values, among them bert and gpt")
	want(t, raised(func() { Samples("samples.csv", "speed") }), `no column is named "speed"`)
}

func TestCurves(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "samples.csv"), "level,replicate,latency_ns,utilisation\n10,1,7,0.5\n2,1,9,\n2,1,5,\n2,1,9,\n")
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"samples.csv": path}}}})
	levels, points := Samples("samples.csv").Curves("level")
	if got := fmt.Sprint(levels.Col("level").Records(), levels.Col("n").Records(), levels.Col("utilisation").Float()); got != "[2 10] [3 1] [NaN 0.5]" {
		t.Errorf("levels %s", got)
	}
	if got := fmt.Sprint(points[0].Records(), points[1].Records()); got != "[[latency_ns count] [5 1] [9 3]] [[latency_ns count] [7 1]]" {
		t.Errorf("points %s", got)
	}
}

// The parameter "where" selects samples, for a notebook that knows nothing of it.
func TestWhere(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "samples.csv"), table)
	for _, c := range []struct{ with, latencies, problem string }{
		{`{}`, "[100 200 300 5]", ""},
		{`{"where": {"level": 1}}`, "[200 300]", ""},
		{`{"where": {"level": "1", "model": "gpt"}}`, "[300]", ""},
		{`{"where": {"share": ""}}`, "[100]", ""},
		{`{"where": {"share": 0.25}}`, "[300]", ""},
		{`{"where": {"level": 2}}`, "", `none of 4 rows has level=2; there is level=0, level=1`},
		{`{"where": {"lever": 2}}`, "", `no column is named "lever"`},
		{`{"where": {"level": [1, 2]}}`, "", "column level: the study gives [1,2], want a text or a number"},
		{`{"where": {"level": null}}`, "", "column level: the study gives nothing, want a text or a number"},
		{`{"where": "level=1"}`, "", `the study gives "level=1", want columns and their values`},
	} {
		enter(t, cell.Spec{With: []byte(c.with), Inputs: []cell.Input{{Files: map[string]string{"data/a/samples.csv": path}}}})
		var got []int64
		err := raised(func() { got = Samples("samples.csv", "latency_ns").Ints("latency_ns") })
		if c.problem != "" {
			want(t, err, c.problem)
			if raised(func() { Judge("samples.csv", nil, judge.Selection{}, judge.Options{Sets: -1}) }) == nil {
				t.Errorf("%s: judged all the same", c.with)
			}
		} else if fmt.Sprint(got) != c.latencies || err != nil {
			t.Errorf("%s: %v, %v, want %s", c.with, got, err, c.latencies)
		}
	}
}

func TestInputs(t *testing.T) {
	enter(t, cell.Spec{Inputs: []cell.Input{
		{Stage: "collect", Files: map[string]string{"data/a/run.json": "/a", "data/a/samples.csv": "/s"}},
		{Stage: "other", Files: map[string]string{"data/b/run.json": "/b"}},
	}, Files: []string{"prices.csv"}})
	if got := called("JSON").input("samples.csv"); got != "/s" {
		t.Errorf("samples.csv is %s", got)
	}
	if got := called("JSON").input("data/b/run.json"); got != "/b" {
		t.Errorf("data/b/run.json is %s", got)
	}
	if got := called("JSON").input("prices.csv"); got != "prices.csv" {
		t.Errorf("prices.csv is %s", got)
	}
	if got := Inputs(); !slices.Equal(got, []string{"data/a/run.json", "data/a/samples.csv", "data/b/run.json", "prices.csv"}) {
		t.Errorf("inputs %q", got)
	}
	want(t, raised(func() { JSON("run.json", nil) }), `2 inputs have this name: ["data/a/run.json" "data/b/run.json"]`)
	want(t, raised(func() { Frame("samples") }), `nb.Frame("samples"): no input is named "samples"; there is data/a/run.json,`)
	want(t, raised(func() { JSON("samples.csv", nil) }), "no such file")
}

func TestFrame(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "x.csv"), table)
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"x.csv": path}}}, Outputs: []string{"y.csv"}})
	packed := file(t, filepath.Join(t.TempDir(), "y.csv.gz"), compressed(t, table))
	opened(t).Spec.Inputs = append(opened(t).Spec.Inputs, cell.Input{Files: map[string]string{"y.csv.gz": packed}})
	if df := Frame("y.csv"); df.Nrow() != 4 {
		t.Errorf("decompressed %v", df)
	}
	df := Frame("x.csv")
	if df.Nrow() != 4 || df.Col("latency_ns").Type() != series.Int {
		t.Errorf("frame %v", df)
	}
	Table("y.csv", df)
	b := filetest.Read(t, "y.csv")
	if got := string(b); got != table {
		t.Errorf("wrote %q, want %q", got, table)
	}
}

func TestTable(t *testing.T) {
	enter(t, cell.Spec{Outputs: []string{"out/t.csv"}})
	Table("out/t.csv", dataframe.New(series.New([]float64{123e-9, 1e21}, series.Float, "x"), series.New([]string{"a,b", "c"}, series.String, "y")))
	b, err := os.ReadFile("out/t.csv")
	if err != nil || string(b) != "x,y\n0.000000123,\"a,b\"\n1000000000000000000000,c\n" {
		t.Errorf("wrote %q, %v", b, err)
	}
	want(t, raised(func() { Table("t.csv", [][]string{}) }), `the study does not declare the output "t.csv"; there is out/t.csv`)
	want(t, raised(func() { Table("out/t.csv", 3) }), "a table is a dataframe.DataFrame or a [][]string, not a int")
	want(t, raised(func() { Table("out/t.csv", [][]string{{"a"}, {"b", "c"}}) }), "row 1 of the table has 2 columns, want 1")
}

func TestAlign(t *testing.T) {
	got := Align([][]string{{"level", "µs", "model"}, {"1", "10.5", "bert"}, {"16", "", "a"}})
	if want := "level    µs  model\n    1  10.5  bert\n   16        a\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFold(t *testing.T) {
	got := Fold([]string{"a: x: 1", "b: y", "no subject", "c: x: 1", "no subject", "d: x: 1"})
	if want := []string{"a and 2 more: x: 1", "b: y", "no subject"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What differs only in numbers is said once, at its worst.
func TestFoldKeepsTheWorst(t *testing.T) {
	got := Fold([]string{
		"infer[level=0,replicate=1]: for 9.5% of the time the inference waited",
		"stress: for 7% of the time CPUs [1] ran something else",
		"infer[level=4,replicate=3]: for 85.1% of the time the inference waited",
		"infer[level=8,replicate=3]: for 12% of the time the inference waited",
		"3 of 4 cells", "1 of 4 cells",
	})
	want := []string{
		"infer[level=4,replicate=3], the worst of 3: for 85.1% of the time the inference waited",
		"stress: for 7% of the time CPUs [1] ran something else",
		"3 of 4 cells (the worst of 2)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunSaysWhatWasLost(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "run.json"), `{"trials": [
{"infer": {"window_ns": [100, 200], "run_delay_ns": 30}, "stress": {"threads": 0, "steady": false}},
{"infer": {"window_ns": [300, 400], "run_delay_ns": 90}, "stress": {"threads": 2, "steady": false}},
{"infer": {"window_ns": [500, 700], "run_delay_ns": 0}, "stress": {"threads": 4, "steady": true}}, {"infer": {}}]}`)
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"run.json": path}}}})
	if r := Recording("run.json"); r.Lost() != 0.3 || r.Unsteady() != 0.5 {
		t.Errorf("lost %v, unsteady %v", r.Lost(), r.Unsteady())
	}
	if r := (&Run{}); r.Lost() != 0 || r.Unsteady() != 0 {
		t.Error("no trials: something was lost")
	}
}

func TestMilliseconds(t *testing.T) {
	for ns, want := range map[float64]string{0: "0.000", 3.53e6: "3.530", 12.345e6: "12.35", 1234.56e6: "1234.6", 1500e3: "1.500", 12_300: "0.012", 9876: "0.00988", -1500: "-0.00150", 79: "0.000079", 0.2: "0.000"} {
		if got := Milliseconds(ns); got != want {
			t.Errorf("%v ns is %s ms, want %s", ns, got, want)
		}
	}
	nan := math.NaN()
	for _, c := range []struct {
		e    Estimate
		want string
	}{
		{Estimate{Value: 2e6, Low: 1e6, High: 3e6}, "2.000 [1.000, 3.000]"},
		{Estimate{Value: 2e6, Low: nan, High: nan}, "2.000 [n too small]"},
		{Estimate{Value: nan, Low: nan, High: nan}, "n too small"},
	} {
		if got := c.e.Milliseconds(); got != c.want {
			t.Errorf("%+v is %q, want %q", c.e, got, c.want)
		}
	}
	if Percent(0.384) != "38%" || Percent(nan) != "unknown" || Number(nan) != "" {
		t.Errorf("%s, %s, %q", Percent(0.384), Percent(nan), Number(nan))
	}
}

func TestSummary(t *testing.T) {
	enter(t, cell.Spec{Outputs: []string{SummaryFile}})
	file(t, SummaryFile, "of an earlier run")
	Summary("a\n")
	Summary("b")
	if b, err := os.ReadFile(SummaryFile); err != nil || string(b) != "a\n\nb\n" {
		t.Errorf("summary %q, %v", b, err)
	}
	enter(t, cell.Spec{Outputs: []string{"x.csv"}})
	want(t, raised(func() { Summary("a") }), `the study does not declare the output "summary.txt"`)
}

func TestVerdict(t *testing.T) {
	enter(t, cell.Spec{Stage: "analyse", Outputs: []string{VerdictsFile}, Claims: []cell.Claim{
		{ID: "C1", Says: "it grows", JudgedBy: "analyse"}, {ID: "C2", Says: "it shrinks", JudgedBy: "other"},
	}})
	Verdict("C1", Reproduced, "p = 0.01")
	Verdict("C2", Refuted, "not ours to judge")
	var got []cell.Verdict
	b, err := os.ReadFile(VerdictsFile)
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if want := []cell.Verdict{{ID: "C1", Says: "it grows", Verdict: Reproduced, Because: "p = 0.01"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("verdicts %+v, %v; want %+v", got, err, want)
	}
	if c := Claims(); len(c) != 1 || c[0].ID != "C1" {
		t.Errorf("claims %+v", c)
	}
	want(t, raised(func() { Verdict("C1", Refuted, "") }), "the claim has a verdict already: reproduced")
	want(t, raised(func() { Verdict("C3", "true", "") }), `unknown verdict "true"`)
}

// A drawing is a figure that writes its format.
type drawing struct{ err error }

func (d drawing) Write(w io.Writer, format string) error {
	if d.err != nil {
		return d.err
	}
	_, err := w.Write([]byte(format))
	return err
}

func TestSave(t *testing.T) {
	for _, c := range []struct {
		outputs, names []string
		want           []string // written
		problem        string
	}{
		{outputs: []string{"f/a.svg", "f/a.pdf", "t.csv"}, names: []string{"a"}, want: []string{"f/a.pdf", "f/a.svg"}},
		{outputs: []string{"f/a.svg", "f/a.pdf", "f/b.png"}, names: []string{"f/a", "b"}, want: []string{"f/a.pdf", "f/a.svg", "f/b.png"}},
		{outputs: []string{"f/a.svg", "f/b.csv", "s.txt"}, want: []string{"f/a.svg", "f/b.csv"}},
		{outputs: []string{"f/a.svg", "f/a.pdf"}, names: []string{"f/a.svg"}, want: []string{"f/a.svg"}},
		{outputs: []string{Any}, want: []string{"figure2.csv", "figure2.pdf", "figure2.png", "figure2.svg"}},
		{outputs: []string{Any}, names: []string{"x"}, want: []string{"x.csv", "x.pdf", "x.png", "x.svg"}},
		{outputs: []string{"f/a.svg"}, names: []string{"b"}, problem: `the study declares no figure "b"; there is f/a.svg`},
		{outputs: []string{"f/a.svg"}, names: []string{"f/a.png"}, problem: `the study does not declare the output "f/a.png"`},
		{outputs: []string{Any}, names: []string{"../x.svg"}, problem: `"../x.svg" is not below the output folder`},
	} {
		enter(t, cell.Spec{Notebook: "/study/notebooks/figure2", Outputs: c.outputs})
		err := raised(func() { Save(drawing{}, c.names...) })
		if c.problem != "" {
			want(t, err, c.problem)
			continue
		}
		if err != nil {
			t.Errorf("%v, %v: %v", c.outputs, c.names, err)
		}
		var got []string
		for _, pattern := range []string{"*", "f/*"} {
			found, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range found {
				if b, err := os.ReadFile(name); err == nil {
					if got = append(got, name); !strings.HasSuffix(name, "."+string(b)) {
						t.Errorf("%s holds %q", name, b)
					}
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v, %v: wrote %q, want %q", c.outputs, c.names, got, c.want)
		}
	}
	enter(t, cell.Spec{Outputs: []string{"a.svg"}})
	want(t, raised(func() { Save(drawing{errors.New("no ink")}, "a") }), `nb.Save(["a"]): no ink`)
	want(t, raised(func() { Save(broken{}, "a") }), `nb.Save(["a"]): a.svg: panic: a pen broke`)
}

// A broken figure panics, in a goroutine of Save's.
type broken struct{}

func (broken) Write(io.Writer, string) error { panic("a pen broke") }

func TestParams(t *testing.T) {
	enter(t, cell.Spec{With: json.RawMessage(`{"alpha": 0.01, "bins": 7, "log": true, "unit": "ms", "block": "4MiB", "bytes": 4096}`)})
	if a, b, l, u := Float("alpha", 1), Int("bins", 1), Bool("log", false), String("unit", "s", "s", "ms"); a != 0.01 || b != 7 || !l || u != "ms" {
		t.Errorf("got %v %v %v %v", a, b, l, u)
	}
	if a, b := Size("block", 1), Size("bytes", 1); a != 4<<20 || b != 4096 {
		t.Errorf("sizes %v %v", a, b)
	}
	if a, b, l, u, s := Float("a", 1.5), Int("b", 2), Bool("c", true), String("d", "x"), Size("e", 3); a != 1.5 || b != 2 || !l || u != "x" || s != 3 {
		t.Errorf("defaults %v %v %v %v %v", a, b, l, u, s)
	}
	want(t, raised(func() { Float("unit", 1) }), `nb.Float("unit"): the study gives "ms", want a number`)
	want(t, raised(func() { Int("alpha", 1) }), "the study gives 0.01, want a whole number")
	want(t, raised(func() { Bool("bins", false) }), "the study gives 7, want true or false")
	want(t, raised(func() { String("bins", "") }), "the study gives 7, want a text")
	want(t, raised(func() { String("unit", "s", "s", "us") }), `the study gives "ms", want one of s, us`)
	want(t, raised(func() { Size("unit", 1) }), `size "ms"`)
}

// Every int64 is exact: as a parameter, a column, a key, an input and an output.
func TestWholeNumbers(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "samples.csv"), fmt.Sprintf("at,replicate,latency_ns\n%d,1,5\n%d,2,6\n%d,1,7\n", unix+1, unix, unix))
	data := file(t, filepath.Join(t.TempDir(), "x.json"), fmt.Sprintf(`{"at": %d, "list": [{"at": 7}, {"at": %d}]}`, unix, unix))
	enter(t, cell.Spec{
		With:   json.RawMessage(fmt.Sprintf(`{"since": %d, "most": 9223372036854775807, "over": 9223372036854775808, "e": 1.5e3, "where": {"at": %d}, "size": %[1]d}`, unix, unix)),
		Inputs: []cell.Input{{Files: map[string]string{"samples.csv": path, "x.json": data}}}, Outputs: []string{"t.csv"},
	})
	if a, b, c, d := Int("since", 0), Int("most", 0), Int("e", 0), Size("size", 0); a != unix || b != math.MaxInt64 || c != 1500 || d != unix {
		t.Errorf("parameters %d %d %d %d", a, b, c, d)
	}
	want(t, raised(func() { Int("over", 0) }), `nb.Int("over"): the study gives 9223372036854775808, want a whole number`)
	s := Samples("samples.csv")
	if got := fmt.Sprint(s.Ints("at"), " ", s.By("at")[0].Value, " ", s.Only("at"), " ", Sum(s.Ints("at"))); got != fmt.Sprintf("[%d %d] %d %d %d", unix, unix, unix, unix, 2*unix) {
		t.Errorf("samples %s", got)
	}
	df := Frame("samples.csv")
	Table("t.csv", df)
	if got := string(filetest.Read(t, "t.csv")); got != string(filetest.Read(t, path)) {
		t.Errorf("wrote %s", got)
	}
	var typed struct{ List []struct{ At int64 } }
	if JSON("x.json", &typed); typed.List[1].At != unix {
		t.Errorf("read %d", typed.List[1].At)
	}
	want(t, raised(func() { var v any; JSON("x.json", &v) }), `nb.JSON("x.json"): the whole number 1764316800123456768 was rounded`)
	want(t, raised(func() { JSON("x.json", &struct{ List []map[string]any }{}) }), "was rounded")
	events := string(filetest.Read(t, filepath.Join(filepath.Dir(os.Getenv(Env)), EventsFile)))
	if !strings.Contains(events, `"text":"since","value":1764316800123456789}`) {
		t.Errorf("events %s", events)
	}
}

// An error names the function that the notebook called, and the column that lacks.
func TestErrorsNameTheCall(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "samples.csv"), "levle,latency,replicates\n0,1,1\n")
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"samples.csv": path}}}, Outputs: []string{"f.svg"}, With: json.RawMessage(`{"note": 3, "unit": "mss"}`)})
	s := Samples("samples.csv")
	group := []*Set{s}
	for call, c := range map[string]struct {
		f    func()
		hint string
	}{
		`nb.Set.Ints("latency_ns"): no column is named "latency_ns"; there is levle, latency, replicates`: {func() { s.Ints("latency_ns") }, `did you mean "latency"?`},
		`nb.Set.Floats("levels"): no column`:                           {func() { s.Floats("levels") }, `did you mean "levle"?`},
		`nb.Set.By("level"): no column`:                                {func() { s.By("level") }, `did you mean "levle"?`},
		`nb.Set.Where("level", "1"): no column`:                        {func() { s.Where("level", "1") }, `did you mean "levle"?`},
		`nb.Set.Replicates("latency_ns"): no column is named "replic`:  {func() { s.Replicates("latency_ns") }, `did you mean "replicates"?`},
		`nb.Set.Lag1(): no column is named "replicate"`:                {func() { s.Lag1() }, `did you mean "replicates"?`},
		`nb.Set.Quantiles([0.5]): no column is named "replicate"`:      {func() { s.Quantiles(0.5) }, `did you mean "replicates"?`},
		`nb.Set.Curves("levle"): no column is named "replicate"`:       {func() { s.Curves("levle") }, `did you mean "replicates"?`},
		`nb.Trend(): no column is named "replicate"`:                   {func() { Trend(group) }, `did you mean "replicates"?`},
		`nb.Growth(): no column is named "replicate"`:                  {func() { Growth(group) }, `did you mean "replicates"?`},
		`nb.Slowdown(0.5): no column is named "replicate"`:             {func() { Slowdown(s, s, 0.5) }, `did you mean "replicates"?`},
		`nb.Drift(): no column is named "seq"`:                         {func() { Drift(s, 0.05) }, ""},
		`nb.Caption(): the study gives 3, want a text`:                 {func() { Caption("a") }, ""},
		`nb.String("unit"): the study gives "mss", want one of s, ms`:  {func() { String("unit", "s", "s", "ms") }, `did you mean "ms"?`},
		`nb.Frame("sample.csv"): no input is named "sample.csv"`:       {func() { Frame("sample.csv") }, `did you mean "samples.csv"?`},
		`nb.Recording("run.json"): no input is named "run.json"`:       {func() { Recording("run.json") }, "the stages in its needs: leave"},
		`nb.Concluded(): the study does not declare`:                   {func() { opened(t).verdicts = make([]cell.Verdict, 1); Concluded() }, "uses: analyse"},
		`nb.Doubted(): the study does not declare the output "summary`: {func() { Doubted([]string{"d"}) }, "uses: analyse"},
		`nb.Verdict("C1"): the study does not declare the output "ver`: {func() { Verdict("C1", Refuted, "") }, "uses: analyse"},
		`nb.Save(["f.sgv"]): the study declares no figure "f.sgv"; th`: {func() { Save(drawing{}, "f.sgv") }, "add it to the stage's outputs:"},
	} {
		err := raised(c.f)
		want(t, err, call)
		if got := cell.HintOf(err); !strings.Contains(got, c.hint) || c.hint == "" && got != "" {
			t.Errorf("%v: hint %q, want %q", err, got, c.hint)
		}
	}
}

func opened(t *testing.T) *book {
	t.Helper()
	return called("opened").open()
}

func TestNoSpecification(t *testing.T) {
	t.Setenv(Env, "")
	opening = sync.Once{}
	defer func() { opening = sync.Once{} }()
	want(t, raised(func() { Seed() }), "$BAROGRAPH_NOTEBOOK is not set")
}

func TestQuantiles(t *testing.T) {
	enter(t, cell.Spec{Seed: 1})
	var b strings.Builder
	b.WriteString("replicate,latency_ns\n")
	for i := range 300 { // slow steps: each sample is much like the one before
		fmt.Fprintf(&b, "%d,%d\n", 1+i/100, 1000000+int(100000*math.Sin(float64(i)/20)))
	}
	table, err := recording.Read(strings.NewReader(b.String()), recording.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := setOf(table).Quantiles(0.5, 0.999)
	if e[0].Method != "bootstrap" || e[0].Effective > 150 || !(e[0].Low <= e[0].Value && e[0].Value <= e[0].High) {
		t.Errorf("of dependent samples: %+v", e[0])
	}
	if e[1].Milliseconds() != "n too small" || e[1].Doubt == "" {
		t.Errorf("p99.9 of 300: %+v", e[1])
	}
}

// The parameter captions is every notebook's that saves a figure.
func TestCaptions(t *testing.T) {
	fig, err := figure.Points(figure.PointsSpec{Caption: []string{"Below."}, Simulated: true, Series: []figure.PointSeries{{X: []float64{1, 2}, Y: []float64{1, 2}}}})
	if err != nil {
		t.Fatal(err)
	}
	for with, below := range map[string]bool{`{}`: true, `{"captions": true}`: true, `{"captions": false}`: false} {
		enter(t, cell.Spec{With: json.RawMessage(with), Outputs: []string{"a.svg"}})
		Save(fig)
		_, drawn, _ := strings.Cut(string(filetest.Read(t, "a.svg")), "</desc>")
		if strings.Contains(drawn, "Below.") != below || !strings.Contains(drawn, "SIMULATED") {
			t.Errorf("%s: drawn %s", with, drawn)
		}
	}
	enter(t, cell.Spec{With: json.RawMessage(`{"captions": "no"}`), Outputs: []string{"a.svg"}})
	want(t, raised(func() { Save(fig, "a") }), `nb.Save(["a"]): the study gives "no", want true or false`)
}

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := recording.Pack(&b, func(w *bufio.Writer) error { _, err := w.WriteString(text); return err }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Requests of each replicate are summed up apart, and those of closed loops miss nothing.
func TestAnswers(t *testing.T) {
	dir := t.TempDir()
	open := file(t, filepath.Join(dir, "samples.csv"), "level,replicate,scheduled_ns,latency_ns,deadline_ns,answered_with\n"+
		"0,1,0,5,10,1\n0,1,100,20,110,1\n0,1,200,900,210,0\n0,2,0,11,10,2\n0,2,100,10,110,2\n1,1,0,5,,\n")
	closed := file(t, filepath.Join(dir, "closed.csv"), "replicate,scheduled_ns,latency_ns\n1,0,5\n1,5,900\n")
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"samples.csv": open, "closed.csv": closed}}}})
	set := Samples("samples.csv").Where("level", "0")
	if a := set.Answers(); a.Requests != 5 || a.Missed != 3 || a.Dropped != 1 || a.InARow != 2 {
		t.Errorf("%+v", a)
	}
	if ages := set.Ages(2); !slices.Equal(ages, []int64{5, 100, 11, 100}) {
		t.Errorf("ages %v", ages)
	}
	if a := Samples("closed.csv").Answers(); a.Requests != 2 || a.Missed != 0 {
		t.Errorf("a closed loop: %+v", a)
	}
	if verdict, _ := Promise(Answers{Requests: 662, Missed: 1}, 0.01); verdict != Reproduced {
		t.Error(verdict)
	}
}

// A prediction is that of package forecast, of what is kept of a machine, and a load that
// cannot be is refused.
func TestPredict(t *testing.T) {
	kept, err := filepath.Abs("../../data/twin/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	old := file(t, filepath.Join(dir, "old.json"), `{"machine": "h100", "from": [], "card": "", "errors": {},
		"parameters": {"fetch_ns": 0, "fetch_tail_ns": 0, "notice_ns": 0, "tail_ns": 0, "late_ns": 15000, "stalls_per_s": 0}}`)
	bad := file(t, filepath.Join(dir, "bad.json"), `{"machine": "h100"}`)
	samples := file(t, filepath.Join(dir, "samples.csv"), "replicate,latency_ns\n1,1500000\n1,1510000\n2,1490000\n")
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{"h100.json": kept, "old.json": old, "bad.json": bad, "samples.csv": samples}}}})
	alone, out := Samples("samples.csv"), []int64{4096}
	p := Predict("h100.json", alone, nil, out, Load{Direction: "d2h"})
	if e := p.Estimates[0]; e.Value < 2.1e6 || e.Value > 2.13e6 || e.Low >= e.Value || e.High <= e.Value || p.Alone[0] != 1.5e6 {
		t.Errorf("two turns of 1.05 ms were wanted: %+v, alone %v", e, p.Alone)
	}
	if light := Predict("h100.json", alone, nil, out, Load{Direction: "d2h", Share: 0.1}); light.Estimates[0].Value > 1.6e6 {
		t.Errorf("beside a tenth of the link: %+v", light.Estimates)
	}
	for _, tt := range []struct {
		load Load
		want string
	}{
		{Load{Direction: "up"}, `direction "up" is not one of`},
		{Load{Share: 1.5}, "share of the link is 1.5"},
		{Load{Loads: -1}, "-1 loads"},
		{Load{Block: -4}, "-4 bytes in flight"},
		{Load{MPS: true}, "without MPS"},
		{Load{Arrivals: "poisson"}, "does not say when requests are due"},
	} {
		want(t, raised(func() { Predict("h100.json", alone, nil, out, tt.load) }), tt.want)
	}
	want(t, raised(func() { Predict("h100.json", alone, []int64{-5}, out, Load{}) }), "a copy of -5 bytes")
	want(t, raised(func() { Predict("old.json", alone, nil, out, Load{}) }), `old.json:1:1: missing key "link" in the lesson`)
	want(t, raised(func() { Predict("bad.json", alone, nil, out, Load{}) }), `bad.json:1:1: missing key "from" in the lesson`)
	want(t, raised(func() { Predict("h100.json", alone, nil, out, Load{Block: 1 << 40}) }), "page-locked memory, want at most 1024")
	want(t, raised(func() { Predict("h100.json", alone.Where("replicate", "3"), nil, out, Load{}) }), "no calls without load")
}
