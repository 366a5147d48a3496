package notebook_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/notebook"
	"barograph/stages/notebook/script"
)

// TestErrors holds what users read when a notebook is at fault.
func TestErrors(t *testing.T) {
	cases := []struct {
		name, text string
		change     func(*cell.Spec)
	}{
		{"syntax", program("\tx := (1\n\t_ = x"), nil},
		{"undefined", program("\tdf := nb.Fram(\"samples.csv\")\n\t_ = df"), nil},
		{"unused", program("\tx := 1"), nil},
		{"type", program("\tvar s string = nb.Float(\"a\", 1)\n\tfmt.Println(s)"), nil},
		{"many", program(strings.Repeat("\tundefined()\n", 12)), nil},
		{"import-os", program("\tos.Exit(1)"), nil},
		{"import-exec", program("\tfmt.Println(exec.Command(\"true\").Run())"), nil},
		{"import-unsafe", program("\tfmt.Println(unsafe.Sizeof(1))"), nil},
		{"clock", program("\tfmt.Println(time.Now())"), nil},
		{"goroutine", program("\tgo func() { panic(1) }()\n\tselect {}"), nil},
		{"order", program("\tn := 1\n\tnext := func() int { n++; return n }\n\tfmt.Println(n + next())"), nil},
		{"order-of-panics", program("\tvar x []int\n\tdefer func() { fmt.Println(recover()) }()\n\tsay := func() int { fmt.Println(\"said\"); return 1 }\n\tfmt.Println(x[0] + say())"), nil},
		{"recursive-type", program("\tvar t tree\n\tfmt.Println(len(t))") + "\ntype tree []tree\n", nil},
		{"not-main", strings.Replace(program("\tfmt.Println(1)"), "package main", "package figure", 1), nil},
		{"no-main", strings.Replace(program("\tfmt.Println(1)"), "func main", "func Main", 1), nil},
		{"panic", program("\t// %% First\n\tfmt.Println(\"before\")\n\t// %% Second\n\tif true {\n\t\tpanic(\"no such luck\")\n\t}"), nil},
		{"index", program("\tx := []int{1, 2}\n\tfor i := 0; i < 3; i++ {\n\t\tfmt.Println(x[i])\n\t}"), nil},
		{"nil-map", program("\tvar m map[string]int\n\tfmt.Println(len(m))\n\tm[\"a\"] = 1"), nil},
		{"in-function", program("\tfmt.Println(half(0))\n") + "\nfunc half(n int) int {\n\tif n == 0 {\n\t\treturn 1 / n\n\t}\n\treturn n / 2\n}\n", nil},
		{"global", program("\tfmt.Println(x, nb.Seed())\n") + "\nvar x = nb.Frame(\"a.csv\")\n", nil},
		{"library", program("\tx := []float64{1}\n\tfmt.Println(nb.Align([][]string{{\"a\"}, {}}), x)"), nil},
		{"input", program("\tfmt.Println(nb.Frame(\"samples.csv\"))"), nil},
		{"undeclared", program("\tnb.Text(\"other.txt\", \"x\")"), func(s *cell.Spec) { s.Outputs = []string{"figures/a.svg"} }},
		{"undeclared-plot", program("\tp := plot.New()\n\tnb.Check(p.Save(vg.Length(100), vg.Length(100), \"other.svg\"))"), nil},
		{"outside", program("\tp := plot.New()\n\tnb.Check(p.Save(vg.Length(100), vg.Length(100), \"/tmp/barograph-outside.svg\"))"), nil},
		{"missing", program("\tfmt.Println(1)"), func(s *cell.Spec) { s.Outputs = []string{"figures/a.svg"} }},
		{"param", program("\tfmt.Println(nb.Float(\"colour\", 1), nb.Int(\"bins\", 1))"), func(s *cell.Spec) { s.With = json.RawMessage(`{"color": 2}`) }},
		{"param-type", program("\tfmt.Println(nb.Int(\"bins\", 1))"), func(s *cell.Spec) { s.With = json.RawMessage(`{"bins": 1.5}`) }},
		{"param-choice", program("\tfmt.Println(nb.String(\"axis\", \"log\", \"log\", \"linear\"))"), func(s *cell.Spec) { s.With = json.RawMessage(`{"axis": "lgo"}`) }},
		{"claim", program("\tfmt.Println(1)"), func(s *cell.Spec) {
			s.Outputs = []string{"verdicts.json"}
			s.Claims = []cell.Claim{{ID: "C1", Says: "it grows", JudgedBy: "plot"}, {ID: "C9", Says: "it shrinks", JudgedBy: "other"}}
		}},
		{"verdict", program("\tnb.Verdict(\"C1\", \"proven\", \"\")"), func(s *cell.Spec) { s.Outputs = []string{"verdicts.json"} }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := own(t, c.text)
			if c.change != nil {
				c.change(&s)
			}
			o := serve(t, s, time.Minute)
			if o.err == nil || o.failure.Type == "" {
				t.Fatalf("ended with %v and no error event; log:\n%s", o.err, o.log)
			}
			text := o.failure.Text + "\n"
			if o.failure.Hint != "" {
				text += "hint: " + o.failure.Hint + "\n"
			}
			filetest.Golden(t, *update, "testdata/errors/"+c.name+".txt", strings.ReplaceAll(text, s.Root, "ROOT"))
			if c.name == "outside" {
				if _, err := os.Stat("/tmp/barograph-outside.svg"); err == nil {
					t.Error("the notebook wrote outside its folder")
				}
			}
		})
	}
}

// colourMap returns a notebook with a type that has more methods than a notebook's
// own types are handed over with.
func colourMap(body string) string {
	return strings.Replace(program(body), "import", "import \"image/color\"\nimport", 1) + `
type M struct{}

func (M) At(float64) (color.Color, error) { return nil, nil }
func (M) Max() float64 { return 1 }
func (M) SetMax(float64) {}
func (M) Min() float64 { return 0 }
func (M) SetMin(float64) {}
func (M) Alpha() float64 { return 1 }
func (M) SetAlpha(float64) {}
func (M) Palette(int) palette.Palette { return nil }
`
}

// TestTraps runs what an interpreter would do otherwise than the compiler: each
// comes out right, or is refused.
func TestTraps(t *testing.T) {
	for _, c := range []struct{ name, text, refused, printed string }{
		{name: "string method", printed: "T [T] {a:{A:3}} main.T\n", text: program("\tfmt.Printf(\"%v %v %+v %T\\n\", T{1}, []T{{2}}, struct{ a any }{T{3}}, T{4})") + "\ntype T struct{ A int }\n\nfunc (T) String() string { return \"T\" }\n"},
		{name: "error type", printed: "E true\n", text: strings.Replace(program("\tvar e *E\n\terr := fmt.Errorf(\"%w\", &E{1})\n\tfmt.Println(err, errors.As(err, &e) && e.n == 1)"), "import", "import \"errors\"\nimport", 1) + "\ntype E struct{ n int }\n\nfunc (*E) Error() string { return \"E\" }\n"},
		{name: "plotter", printed: "drawn\n",
			text: strings.Replace(program("\tp := plot.New()\n\tp.Add(P{})\n\t_, err := p.WriterTo(100, 100, \"svg\")\n\tnb.Check(err)"), "import", "import \"gonum.org/v1/plot/vg/draw\"\nimport \"fmt\"\nimport", 1) + "\ntype P struct{}\n\nfunc (P) Plot(c draw.Canvas, p *plot.Plot) { fmt.Println(\"drawn\") }\n"},
		{name: "two interfaces", refused: "not as all",
			text: strings.Replace(program("\tp := plot.New()\n\tp.Add(P{})"), "import", "import \"gonum.org/v1/plot/vg/draw\"\nimport", 1) + "\ntype P struct{}\n\nfunc (P) Plot(c draw.Canvas, p *plot.Plot) {}\nfunc (P) DataRange() (a, b, c, d float64) { return }\n"},
		{name: "sorter", printed: "[1 2 3]\n", text: program("\ts := S{3, 1, 2}\n\tsort.Sort(s)\n\tfmt.Println(s)") +
			"\ntype S []int\n\nfunc (s S) Len() int { return len(s) }\nfunc (s S) Less(i, j int) bool { return s[i] < s[j] }\nfunc (s S) Swap(i, j int) { s[i], s[j] = s[j], s[i] }\n"},
		{name: "points", printed: "[{1 2}]\n", text: program("\tl, err := plotter.NewLine(X{})\n\tnb.Check(err)\n\tfmt.Println(l.XYs)") +
			"\ntype X struct{}\n\nfunc (X) Len() int { return 1 }\nfunc (X) XY(i int) (float64, float64) { return 1, 2 }\n"},
		{name: "scale, ticks and text", printed: "0.25 [{5 five}] v\n", text: program("\tp := plot.New()\n\tp.X.Scale = N{}\n\tp.X.Tick.Marker = T{}\n\tvar s fmt.Stringer = V{}\n\tfmt.Println(p.X.Scale.Normalize(0, 4, 1), p.X.Tick.Marker.Ticks(0, 9), s)") +
			"\ntype N struct{}\n\nfunc (N) Normalize(min, max, x float64) float64 { return (x - min) / (max - min) }\n\ntype T struct{}\n\nfunc (T) Ticks(min, max float64) []plot.Tick { return []plot.Tick{{Value: 5, Label: \"five\"}} }\n\ntype V struct{}\n\nfunc (V) String() string { return \"v\" }\n"},
		{name: "heat map", printed: "0 6\n", text: strings.Replace(program("\th := plotter.NewHeatMap(G{}, palette.Heat(3, 1))\n\tfmt.Println(h.Min, h.Max)"), "import", "import \"gonum.org/v1/plot/palette\"\nimport", 1) +
			"\ntype G struct{}\n\nfunc (G) Dims() (c, r int) { return 3, 4 }\nfunc (G) Z(c, r int) float64 { return float64(c * r) }\nfunc (G) X(c int) float64 { return float64(c) }\nfunc (G) Y(r int) float64 { return float64(r) }\n"},
		{name: "writer", refused: "main.go:9:2: a notebook's own type, W, cannot stand in for io.Writer",
			text: strings.Replace(program("\tw := tabwriter.NewWriter(W{}, 3, 8, 1, ' ', tabwriter.AlignRight)\n\tfmt.Fprintln(w, \"a\\t\")"), "import", "import \"text/tabwriter\"\nimport", 1) +
				"\ntype W struct{}\n\nfunc (W) Write(b []byte) (int, error) { return len(b), nil }\n"},
		{name: "colour map", refused: "main.go:10:2: a notebook's own type, M, cannot stand in for gonum.org/v1/plot/palette.ColorMap", text: strings.Replace(colourMap("\tvar m palette.ColorMap = M{}\n\tfmt.Println(m.Max())"), "import", "import \"gonum.org/v1/plot/palette\"\nimport", 1)},
		{name: "colour map within any", refused: "a notebook's own type cannot stand in for gonum.org/v1/plot/palette.ColorMap", text: strings.Replace(colourMap("\tvar x any = M{}\n\tm := x.(palette.ColorMap)\n\tfmt.Println(m.Max())"), "import", "import \"gonum.org/v1/plot/palette\"\nimport", 1)},
		{name: "range closure", printed: "0\n", text: program("\tf := []func(){}\n\tfor i := range []int{1, 2} {\n\t\tf = append(f, func() { fmt.Println(i) })\n\t}\n\tf[0]()")},
		{name: "old loop", printed: "1\n", text: strings.Replace(program("\tf := []func(){}\n\tfor i := range []int{1, 2} {\n\t\tf = append(f, func() { fmt.Println(i) })\n\t}\n\tf[0]()"), script.Language, "go1.21", 1)},
		{name: "range sort", printed: "[1 2]\n", text: program("\tfor _, v := range [][]int{{2, 1}} {\n\t\tsort.Slice(v, func(i, j int) bool { return v[i] < v[j] })\n\t\tfmt.Println(v)\n\t}")},
		{name: "loop closure", printed: "0 1 2 \n", text: program("\tf := []func(){}\n\tfor i := range 3 {\n\t\tf = append(f, func() { fmt.Print(i, \" \") })\n\t}\n\tfor _, g := range f {\n\t\tg()\n\t}\n\tfmt.Println()")},
		{name: "built-in functions", printed: "1 3 0\n", text: program("\tm := map[int]int{1: 1}\n\tclear(m)\n\tfmt.Println(min(3, 1), max(3, 1), len(m))")},
		{name: "constants", printed: "1 2\n", text: program("\tconst calls = 299\n\tvar lost float64 = 1 - calls/300\n\tvar half float64 = 5 / 2\n\tfmt.Println(lost, half)")},
		{name: "literals in a loop", printed: "[[0] [1]] [true false]\n", text: program("\tvar x [][]int\n\tvar found []*bool\n\tm := map[int]bool{0: true}\n\tfor i := range 2 {\n\t\tx = append(x, []int{i})\n\t\t_, ok := m[i]\n\t\tfound = append(found, &ok)\n\t}\n\tfmt.Println(x, []bool{*found[0], *found[1]})")},
		{name: "absent keys", printed: "a [1] true b [] false a [1] true c [] false \n", text: program("\tm := map[string][]int{\"a\": {1}}\n\tfor _, k := range []string{\"a\", \"b\", \"a\", \"c\"} {\n\t\tv, ok := m[k]\n\t\tfmt.Print(k, \" \", v, \" \", ok, \" \")\n\t}\n\tfmt.Println()")},
		{name: "types in interfaces", printed: "2 false true {1} main.a\n", text: program("\tm := map[any]int{level(1): 1, 1: 2}\n\tvar x any = a{1}\n\t_, isB := x.(b)\n\t_, isA := x.(a)\n\tfmt.Printf(\"%d %v %v %v %T\\n\", len(m), isB, isA, x, x)") + "\ntype level int\ntype a struct{ n int }\ntype b struct{ n int }\n"},
		{name: "recover", printed: "no 1\n", text: program("\tdefer func() { fmt.Println(\"no\", recover()) }()\n\tpanic(1)")},
		{name: "counts and sizes that are always wrong", printed: "runtime error: negative shift amount\nruntime error: makeslice: len out of range\nmakechan: size out of range\nruntime error: index out of range [3] with length 3\n", text: program("\tfor i := range 4 {\n\t\tfunc() {\n\t\t\tdefer func() { fmt.Println(recover()) }()\n\t\t\tn, three := -1, 3\n\t\t\tvar x [3]int\n\t\t\tswitch i {\n\t\t\tcase 0:\n\t\t\t\tfmt.Println(1 << n)\n\t\t\tcase 1:\n\t\t\t\tfmt.Println(make([]int, n))\n\t\t\tcase 2:\n\t\t\t\tfmt.Println(make(chan int, n))\n\t\t\tcase 3:\n\t\t\t\tfmt.Println(x[three])\n\t\t\t}\n\t\t}()\n\t}")},
		{name: "rounded once", printed: "1.1529216e+18 1.1529216e+18\n", text: program("\tn := int64(1)<<60 + 1<<36\n\tfor range 1 {\n\t\tn++\n\t}\n\tfmt.Println(float32(n), float32(uint64(n)))")},
		{name: "a package's own panic", printed: "bytes: negative Repeat count string\n", text: program("\tdefer func() {\n\t\tr := recover()\n\t\tfmt.Printf(\"%v %T\\n\", r, r)\n\t}()\n\tn := -1\n\tfmt.Println(bytes.Repeat(nil, n))")},
		{name: "deferred recover", printed: "1 <nil>\n", text: program("\tdefer func() { fmt.Println(recover()) }()\n\tfunc() {\n\t\tdefer func() { fmt.Print(recover(), \" \") }()\n\t\tdefer recover()\n\t\tpanic(1)\n\t}()\n\tdefer func() { defer recover() }()\n\tpanic(2)")},
		{name: "functions of their own struct in a map", printed: "2 1 1\n", text: program("\tt := &T{n: 1, f: map[string]func(*T) int{}, seen: map[*T]int{}}\n\tt.f[\"a\"] = func(t *T) int { t.n++; return t.n }\n\tt.seen[t]++\n\tfmt.Println(t.f[\"a\"](t), len(t.f), t.seen[t])") + "\ntype T struct {\n\tf    map[string]func(*T) int\n\tseen map[*T]int\n\tn    int\n}\n"},
		{name: "io.Writer", printed: "  a\n", text: strings.Replace(program("\tvar b bytes.Buffer\n\tw := tabwriter.NewWriter(&b, 3, 8, 1, ' ', tabwriter.AlignRight)\n\tfmt.Fprintln(w, \"a\\t\")\n\tnb.Check(w.Flush())\n\tfmt.Print(b.String())"), "import", "import \"text/tabwriter\"\nimport", 1)},
		{name: "array of what leads back", refused: "main.go:11:23: an array of what leads back to its own struct", text: program("\tfmt.Println(T{n: 1}.n)") + "\ntype T struct{ n int; f [2]func(*T) int }\n"},
		{name: "recursion", refused: "call themselves without end", text: program("\tfmt.Println(f(1))") + "\nfunc f(n int) int { return f(n + 1) }\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := serve(t, own(t, c.text), time.Minute)
			said := o.failure.Text + o.log
			if c.refused != "" && (o.err == nil || !strings.Contains(said, c.refused)) {
				t.Errorf("ended with %v; want it refused with %q; said\n%.2000s", o.err, c.refused, said)
			}
			if c.refused == "" && (o.err != nil || o.log != c.printed) {
				t.Errorf("ended with %v; want %q printed; said\n%.2000s", o.err, c.printed, said)
			}
		})
	}
}

// TestRunaway tries to outlast or outgrow the host.
func TestRunaway(t *testing.T) {
	for _, c := range []struct{ name, body, interrupt, want string }{
		{"loop", "\t// %% Forever\n\tfmt.Println(\"on and on\")\n\tfor {\n\t}", "on and on", "notebooks/trial/main.go: the notebook was stopped (in \"Forever\"): interrupt signal received"},
		{"memory", "\tx := [][]byte{}\n\tfor {\n\t\tx = append(x, bytes.Repeat([]byte{1}, 1<<26))\n\t\tfmt.Println(len(x))\n\t}", "", "MiB of memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			o := serveUntil(t, own(t, program(c.body)), time.Minute, c.interrupt)
			if o.err == nil || !strings.Contains(o.failure.Text, c.want) {
				t.Errorf("ended with %v, %q; want an error about %q; log:\n%s", o.err, o.failure.Text, c.want, o.log)
			}
			t.Logf("%v", time.Since(began))
		})
	}
}

// TestHuge asks for more than the machine has at once, which no runtime survives.
func TestHuge(t *testing.T) {
	size := 40
	if notebook.RaceDetector { // under which memory is not limited, but addresses are
		size = 47
	}
	o := serve(t, own(t, program("\tn := 1 << "+fmt.Sprint(size)+"\n\tx := make([]byte, n)\n\tfmt.Println(len(x))")), time.Minute)
	if o.err == nil || !strings.HasPrefix(o.log, "fatal error: ") {
		t.Errorf("ended with %v; log:\n%.2000s", o.err, o.log)
	}
}

// TestPrints checks that prints reach the log, in order, and the folder stays
// clean.
func TestPrints(t *testing.T) {
	o := serve(t, own(t, program("\tfmt.Print(\"a\\n\")\n\tfmt.Printf(\"%d\\n\", 1)\n\tfmt.Println(\"b\")\n\tnb.Warn(\"%d doubts\", 2)")), time.Minute)
	if o.err != nil || o.log != "a\n1\nb\nwarning: 2 doubts\n" {
		t.Errorf("ended with %v, log %q", o.err, o.log)
	}
	if len(o.warnings) != 1 || o.warnings[0] != "2 doubts" {
		t.Errorf("warnings %q", o.warnings)
	}
	left, err := filepath.Glob(filepath.Join(o.dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
}
