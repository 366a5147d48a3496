package recording

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const table = `level,replicate,latency_ns,model,share
0,1,100,bert,
1,1,200,bert,0.5
1,2,300,gpt,0.25
10,1,5,bert,1
`

func read(t testing.TB, text string, o Options) *Table {
	t.Helper()
	s, err := Read(strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// got ends the test on an error, and returns the value that came with it.
func got[T any](t interface{ Fatal(...any) }) func(v T, err error) T {
	return func(v T, err error) T {
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestTable(t *testing.T) {
	s := read(t, table, Options{})
	ints, floats, one := got[[]int64](t), got[[]float64](t), got[*Table](t)
	if got := ints(s.Ints("latency_ns")); !slices.Equal(got, []int64{100, 200, 300, 5}) {
		t.Errorf("latency_ns %v", got)
	}
	if got := floats(s.Floats("share")); !math.IsNaN(got[0]) || !slices.Equal(got[1:], []float64{0.5, 0.25, 1}) {
		t.Errorf("share %v", got)
	}
	var labels []string
	for _, g := range got[[]*Table](t)(s.By("level")) {
		labels = append(labels, fmt.Sprintf("%s %d %s", g.Label, g.Len(), g.Value))
	}
	if want := []string{"level=0 1 0", "level=1 2 1", "level=10 1 10"}; !slices.Equal(labels, want) {
		t.Errorf("levels %q, want %q: numbers, not text, decide the order", labels, want)
	}
	level := one(s.Where("level", "1"))
	if got := got[string](t)(one(level.Where("model", "gpt")).Only("latency_ns")); got != "300" {
		t.Errorf("the gpt sample of level 1 took %s", got)
	}
	if got := got[float64](t)(level.Mean("share")); got != 0.375 {
		t.Errorf("mean share %v", got)
	}
	both := one(s.Where("level", "10"))
	both.Add(level)
	if !slices.Equal(ints(both.Ints("latency_ns")), []int64{5, 200, 300}) || both.Len() != 3 {
		t.Errorf("joined, %d samples", both.Len())
	}
	if got := read(t, table, Options{Columns: []string{"model", "level"}}); !slices.Equal(got.Columns(), []string{"level", "model"}) || !slices.Equal(got.Varying(), []string{"share"}) {
		t.Errorf("kept %q, varying %q", got.Columns(), got.Varying())
	}
	for want, err := range map[string]func() error{
		"the column holds fractions":                               func() error { _, err := s.Ints("share"); return err },
		`text, such as "bert"`:                                     func() error { _, err := s.Floats("model"); return err },
		`no column is named "latency"; there is level, replicate,`: func() error { _, err := s.By("latency"); return err },
		"the column holds several values, among them bert and gpt": func() error { _, err := s.Only("model"); return err },
		"there is no sample":                                       func() error { _, err := one(s.Where("level", "2")).Only("model"); return err },
	} {
		if err := err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A table knows the lines of its rows, whatever was left out between them, and
// however the file is compressed.
func TestPlaces(t *testing.T) {
	text := "a,note,b\n\n1,x,2\n\"1\",\"x,y\",3\n2,x,4\n"
	for _, in := range []string{text, compressed(t, text)} {
		s, err := Read(strings.NewReader(in), Options{Where: map[string]string{"a": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		g, err := s.Where("b", "3")
		if err != nil || s.Len() != 2 {
			t.Fatal(s.Len(), err)
		}
		if err := g.At("b", fmt.Errorf("is odd")); err.Error() != "4:11: column b: is odd" {
			t.Error(err)
		}
	}
}

func compressed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestErrors(t *testing.T) {
	for text, problem := range map[string]string{
		"":                               "the file is empty",
		"a,a\n":                          `1:3: two columns are named "a"`,
		"a,b\n1\n":                       "2:1: has 1 fields, want 2",
		"a\n1\nx\n":                      `3:1: column a: "x" is no number`,
		"a\n\"x\n":                       "2:",
		strings.Repeat("x", 1<<21):       "longer than",
		compressed(t, table)[:60]:        "decompress: unexpected EOF",
		compressed(t, "a,b\n1\n"):        "2:1: has 1 fields, want 2",
		"\x1f\x8bnothing of the kind":    "decompress: gzip: invalid header",
		"latency_ns\n5\n0\n":             `3:1: column latency_ns: "0" is not a positive time`,
		"latency_ns\n5\nNaN\n":           `3:1: column latency_ns: "NaN" is no whole number of nanoseconds`,
		"latency_ns\n5\n\"\"\n":          "3:1: column latency_ns: is empty",
		"latency_ns,utilisation\n5,85\n": `2:3: column utilisation: "85" is more than 1000%`,
		"utilisation\n0.5\n-0.1\n":       `3:1: column utilisation: "-0.1" is negative`,
		"utilisation\nInf\n":             `2:1: column utilisation: "Inf" is no number`,
		"latency_ns\n5\n1.5e0\n":         `3:1: column latency_ns: "1.5e0" is no whole number`,
		"latency_ns\n5.\n":               `2:1: column latency_ns: "5." is no whole number`,
		"latency_ns\n5.0\n5.01\n":        `3:1: column latency_ns: "5.01" is no whole number`,
		"threads\nmany\n":                `2:1: column threads: "many" is no number`,
	} {
		if _, err := Read(strings.NewReader(text), Options{}); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%.20q: %v, want %q", text, err, problem)
		}
	}
	for _, c := range []struct {
		where map[string]string
		want  string
	}{
		{map[string]string{"level": "2"}, "none of 4 rows has level=2; there is level=0, level=1, level=10"},
		{map[string]string{"level": "1", "model": "vit"}, "none of 4 rows has level=1 and model=vit; there is model=bert, model=gpt"},
		{map[string]string{"lever": "2"}, `1:1: no column is named "lever"; there is level,`},
	} {
		if _, err := Read(strings.NewReader(table), Options{Where: c.where}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// TestWholeFloats reads times as pandas writes them.
func TestWholeFloats(t *testing.T) {
	table := read(t, "latency_ns,level\n10000000.0,0\n7,0\n9007199254740993.00,1\n1e+07,1\n1.024121E+06,1\n", Options{Columns: []string{"latency_ns"}})
	if ns := got[[]int64](t)(table.Ints("latency_ns")); !slices.Equal(ns, []int64{10000000, 7, 9007199254740993, 10000000, 1024121}) {
		t.Error(ns)
	}
}

// TestDigits reads whole numbers of up to 19 digits, beside gaps and fractions, in
// one block and in many. A column gives back what the file says, or says why not.
func TestDigits(t *testing.T) {
	const unix = "1764316800123456789"
	for _, c := range []struct{ fields, ints, texts string }{
		{unix + " 9223372036854775807 -9223372036854775808", "[" + unix + " 9223372036854775807 -9223372036854775808]", "same"},
		{unix + " - 7", "empty fields", "same"},
		{"- - 7", "empty fields", "same"},
		{"- " + unix + " 0.5", "fractions", "fractions, and " + unix},
		{"0.5 " + unix + " -", "fractions", "fractions, and " + unix},
		{"0.5 9007199254740992 -", "fractions", "same"},
		{"9223372036854775807 -9223372036854775808 -", "fractions", "fractions, and 9223372036854775807"},
		{"- -9223372036854775808", "fractions", "fractions, and -9223372036854775808"},
		{"-9223372036854775808 -", "fractions", "fractions, and -9223372036854775808"},
	} {
		for _, block := range []int{0, 24} {
			fields := strings.Split(c.fields, " ")
			for i, f := range fields {
				if f == "-" {
					fields[i] = ""
				}
			}
			table := read(t, "at,b\n"+strings.Join(fields, ",1\n")+",1\n", Options{block: block})
			ints, err := table.Ints("at")
			if got := fmt.Sprint(ints, err); !strings.Contains(got, c.ints) {
				t.Errorf("%s: %s, want %s", c.fields, got, c.ints)
			}
			texts, err := table.Texts("at")
			if c.texts == "same" && (err != nil || !slices.Equal(texts, fields)) || c.texts != "same" && !strings.Contains(fmt.Sprint(err), c.texts) {
				t.Errorf("%s: %q, %v, want %s", c.fields, texts, err, c.texts)
			}
			floats := got[[]float64](t)(table.Floats("at"))
			for i, f := range fields {
				if want, err := strconv.ParseFloat(f, 64); floats[i] != want && err == nil || math.IsNaN(floats[i]) != (f == "") {
					t.Errorf("%s: floats %v", c.fields, floats)
				}
			}
			for _, f := range []func() error{
				func() error { _, err := table.By("at"); return err }, func() error { _, err := table.Where("at", ""); return err }, func() error { _, err := table.Only("at"); return err },
			} {
				if err := f(); c.texts != "same" && (err == nil || !strings.Contains(err.Error(), c.texts)) {
					t.Errorf("%s: %v, want %s", c.fields, err, c.texts)
				}
			}
		}
	}
	if got := got[[]int64](t)(got[[]*Table](t)(read(t, "at,b\n5,1\n,2\n", Options{}).By("b"))[0].Ints("at")); got[0] != 5 {
		t.Errorf("a group without a gap: %d", got)
	}
}

// TestIndex: the column of row numbers of pandas and R is no axis.
func TestIndex(t *testing.T) {
	for _, text := range []string{",level,latency_ns\n0,1,5\n1,1,6\n", "\"\",\"level\",\"latency_ns\"\n\"1\",1,5\n\"2\",1,6\n"} {
		if table := read(t, text, Options{Columns: []string{"level", "latency_ns"}}); len(table.Varying()) > 0 {
			t.Errorf("%q: %q", text, table.Varying())
		}
	}
}

// TestBadCalibration reads a share that only the program's own recording can hold.
func TestBadCalibration(t *testing.T) {
	const text = "latency_ns,utilisation\n5,24.8\n"
	used := got[[]float64](t)(read(t, text, Options{Recorded: true}).Floats("utilisation"))
	if !slices.Equal(used, []float64{24.8}) {
		t.Error(used)
	}
	if _, err := Read(strings.NewReader(text), Options{}); err == nil {
		t.Error("of others it may be percent")
	}
}

// TestRoundTrip writes tables with encoding/csv and reads them back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "n")
		ints := rapid.SliceOfN(rapid.Int64Range(-1e17, 1e17), n, n).Draw(t, "ints")
		floats := rapid.SliceOfN(rapid.Float64(), n, n).Draw(t, "floats")
		texts := rapid.SliceOfN(rapid.StringMatching(`[a-z ,"]{1,8}x`), n, n).Draw(t, "texts")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		rows := [][]string{{"i", "f", "t"}}
		for i := range n {
			rows = append(rows, []string{strconv.FormatInt(ints[i], 10), strconv.FormatFloat(floats[i], 'f', -1, 64), texts[i]})
		}
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		s, err := Read(&b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if s.Len() != n || !slices.Equal(got[[]int64](t)(s.Ints("i")), ints) || !slices.Equal(got[[]string](t)(s.Texts("t")), texts) {
			t.Fatalf("got %d rows", s.Len())
		}
		if got := got[[]float64](t)(s.Floats("f")); !slices.Equal(got, floats) {
			t.Fatalf("floats %v, want %v", got, floats)
		}
		total := 0
		for _, g := range got[[]*Table](t)(s.By("t")) {
			total += g.Len()
		}
		if total != n {
			t.Fatalf("groups hold %d of %d rows", total, n)
		}
	})
}

// TestBlocks reads tables in one block and in many, which must not matter: not to
// what a column holds, and not to what is wrong with it.
func TestBlocks(t *testing.T) {
	field := rapid.OneOf(rapid.SampledFrom([]string{"", "", "1", "-7", "2.5", "1e3", "NaN", "x", "00", `"a,b"`, "12345678901234567890"}))
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("a,b,c,d\n")
		plain := rapid.SampledFrom([]string{"", "4", "0.5", "word"}).Draw(t, "plain")
		last := rapid.SampledFrom([]string{"", "x"}).Draw(t, "last")
		for range rapid.IntRange(0, 30).Draw(t, "rows") {
			fmt.Fprintf(&b, "%s,%s,%s,%s", field.Draw(t, "a"), plain, rapid.SampledFrom([]string{"", "3", "3", "3", "0.1"}).Draw(t, "c"), last)
			b.WriteString(rapid.SampledFrom([]string{"\n", "\n", "\n", "\r\n", "\n\n", ",\n"}).Draw(t, "end"))
		}
		text := b.String()
		o := Options{Columns: rapid.SampledFrom([][]string{nil, {"a", "b", "c"}}).Draw(t, "columns"), Where: rapid.SampledFrom([]map[string]string{nil, nil, {"c": "3"}}).Draw(t, "where")}
		whole, wrong := Read(strings.NewReader(text), o)
		o.block = rapid.IntRange(64, 200).Draw(t, "block")
		cut, err := Read(strings.NewReader(text), o)
		if fmt.Sprint(err) != fmt.Sprint(wrong) {
			t.Fatalf("%q: %v; in one block %v", text, err, wrong)
		}
		if err != nil {
			return
		}
		for _, name := range whole.Columns() {
			one, many := got[[]string](t)(whole.Texts(name)), got[[]string](t)(cut.Texts(name))
			if a, b := whole.data.byName[name].holds, cut.data.byName[name].holds; a != b || !slices.Equal(one, many) {
				t.Fatalf("%q: column %s holds %d %q; in one block %d %q", text, name, b, many, a, one)
			}
			total := 0
			for _, g := range got[[]*Table](t)(cut.By(name)) {
				total += g.Len()
				if only := got[string](t)(g.Only(name)); only != g.Value {
					t.Fatalf("the group %s holds %s", g.Label, only)
				}
			}
			if total != cut.Len() {
				t.Fatalf("groups hold %d of %d rows", total, cut.Len())
			}
		}
		if !slices.Equal(whole.Varying(), cut.Varying()) {
			t.Fatalf("varying %q; in one block %q", cut.Varying(), whole.Varying())
		}
		rows := 0
		for p := range cut.Pieces(cut.Columns()) {
			for i, name := range cut.Columns() {
				if only := got[string](t)(p.Only(name)); only != p.Text(i) {
					t.Fatalf("a piece at %d says %s for %s", rows, p.Text(i), only)
				}
			}
			rows += p.Len()
		}
		if rows != cut.Len() {
			t.Fatalf("pieces hold %d of %d rows", rows, cut.Len())
		}
	})
}

// A column that begins to hold text far into a file holds what was written from
// there on, also what looks like a number.
func TestLateText(t *testing.T) {
	text := "a,b\n" + strings.Repeat(",1\n", 40) + "x,1\n" + strings.Repeat("007,1\n", 100) + "1e3,2.5\n"
	s := read(t, text, Options{block: 32})
	a := got[[]string](t)(s.Texts("a"))
	if len(a) != 142 || a[39] != "" || a[40] != "x" || a[41] != "007" || a[140] != "007" || a[141] != "1e3" {
		t.Errorf("read %q", a)
	}
	if b := got[[]float64](t)(s.Floats("b")); b[0] != 1 || b[141] != 2.5 {
		t.Errorf("read %v", b)
	}
	_, err := Read(strings.NewReader("a\n"+strings.Repeat("1\n", 50)+"x\n"), Options{block: 32})
	if err == nil || err.Error() != `52:1: column a: "x" is no number, as in the lines before` {
		t.Error(err)
	}
	_, err = Read(strings.NewReader("a\n"+strings.Repeat("1\n", 50)+strings.Repeat("9", 40)), Options{block: 32})
	if err == nil || err.Error() != "52:1: longer than 32 bytes: this is no table" {
		t.Error(err)
	}
}

// What trials share takes no memory by the row, and what differs 8 bytes.
func TestMemory(t *testing.T) {
	const n = 100_000
	var b strings.Builder
	b.WriteString("level,latency_ns,model,utilisation\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%d,bert,%g\n", i/(n/4), 1000+i%7, float64(i/(n/4))/10)
	}
	s := read(t, b.String(), Options{})
	for name, most := range map[string]int{"level": 4, "latency_ns": n + n/20, "model": 1, "utilisation": 4} {
		c := s.data.byName[name]
		if held := cap(c.wholes.values) + cap(c.fractions.values) + cap(c.codes.values); held > 2*most && held > most+n/20 {
			t.Errorf("%s: room for %d values", name, held)
		}
	}
	g := got[[]*Table](t)(s.By("level"))[2]
	if v := got[[]int64](t)(g.Ints("latency_ns")); len(v) != n/4 || &v[0] != &s.data.byName["latency_ns"].wholes.values[n/2] {
		t.Error("the values of a group in one piece are copied")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(table))
	f.Add([]byte("a,b\r\n\"1,2\",x\r\n"))
	f.Add([]byte(compressed(f, table)))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Read(bytes.NewReader(text), Options{})
		if err != nil {
			return
		}
		for _, name := range s.Columns() {
			if got := got[[]string](t)(s.Texts(name)); len(got) != s.Len() {
				t.Errorf("column %q has %d values of %d", name, len(got), s.Len())
			}
			if _, err := s.By(name); err != nil {
				t.Error(err)
			}
		}
	})
}
