package nb

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/stats"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// A nanosecond since 1970 has 19 digits, and no float64 holds it.
const unix = 1764316800123456789

func TestColumn(t *testing.T) {
	enter(t, cell.Spec{Outputs: []string{"t.csv"}})
	df := dataframe.New(
		Column("at", []int64{unix, unix + 1, math.MaxInt64}), Column("n", []int{3, 1, 2}), Column("x", []float64{0.5, math.NaN(), 2e-9}),
		Column("word", []string{"a", "b", "c"}), Column("ok", []bool{true, false, true}),
	)
	Table("t.csv", df)
	if got, want := string(filetest.Read(t, "t.csv")), "at,n,x,word,ok\n1764316800123456789,3,0.5,a,true\n1764316800123456790,1,,b,false\n9223372036854775807,2,0.000000002,c,true\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
	want(t, raised(func() { Column("x", []any{1}) }), `nb.Column("x"): a column is of []int64, []int, []float64, []string or []bool, not of []interface {}`)
}

// A data frame holds whole numbers of 19 digits, beside gaps too; among fractions,
// which do not, it is an error.
func TestFrameOfWholeNumbers(t *testing.T) {
	in := t.TempDir()
	enter(t, cell.Spec{Inputs: []cell.Input{{Files: map[string]string{
		"gaps.csv":  file(t, in+"/gaps.csv", fmt.Sprintf("at,x\n%d,0.5\n,007\n%d,9007199254740992\n", unix, unix+1)),
		"mixed.csv": file(t, in+"/mixed.csv", fmt.Sprintf("at,x\n1,0.5\n2,-%d\n", unix)),
		"empty.csv": file(t, in+"/empty.csv", ""),
	}}}})
	if got := Frame("gaps.csv").Col("at").Records(); !slices.Equal(got, []string{fmt.Sprint(unix), "NaN", fmt.Sprint(unix + 1)}) {
		t.Errorf("read %q", got)
	}
	want(t, raised(func() { Frame("mixed.csv") }), fmt.Sprintf(`nb.Frame("mixed.csv"): column "x" holds fractions, and in row 2 -%d, which has more digits`, unix))
	want(t, raised(func() { Frame("empty.csv") }), `nb.Frame("empty.csv"): `)
}

func TestGroups(t *testing.T) {
	enter(t, cell.Spec{})
	seconds := []float64{300e-9, 1e-9, 20e-9, 1e-9, math.NaN()}
	df := dataframe.New(Column("s", seconds), Column("a", []string{"x_y", "x", "x", "x_y", "x"}), Column("b", []string{"z", "y_z", "y", "z", "z"}), Column("row", []int{0, 1, 2, 3, 4}))
	show := func(groups []Group) string {
		var out []string
		for _, g := range groups {
			rows, err := g.Frame.Col("row").Int()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint(g.Label, rows, len(g.Values)))
		}
		return strings.Join(out, "; ")
	}
	if got, want := show(Groups(df, "s")), "s=[4] 1; s=0.000000001[1 3] 1; s=0.00000002[2] 1; s=0.0000003[0] 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := show(Groups(df, "a", "b")), "a=x, b=y[2] 2; a=x, b=y_z[1] 2; a=x, b=z[4] 2; a=x_y, b=z[0 3] 2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	big := dataframe.New(Column("at", []int64{unix + 2, unix, unix + 1, unix}), Column("row", []int{0, 1, 2, 3}))
	if got, want := show(Groups(big, "at")), fmt.Sprintf("at=%d[1 3] 1; at=%d[2] 1; at=%d[0] 1", unix, unix+1, unix+2); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want(t, raised(func() { Groups(df, "s", "rows") }), `nb.Groups(["s" "rows"]): no column is named "rows"; there is s, a, b, row`)
	want(t, raised(func() { Groups(df) }), "no column to group by")
}

func TestFilter(t *testing.T) {
	enter(t, cell.Spec{})
	df := dataframe.New(Column("n", []int64{2, 3, unix, unix + 1}), Column("x", []float64{0.5, math.NaN(), 2, 3}), Column("w", []string{"a", "b", "c", "d"}), Column("ok", []bool{true, false, true, true}))
	for _, c := range []struct {
		column string
		by     series.Comparator
		value  any
		want   string
	}{
		{"n", ">", 2.5, "[b c d]"},
		{"n", "<", 2.5, "[a]"},
		{"n", "==", 2.5, "[]"},
		{"n", "==", int64(unix), "[c]"},
		{"n", ">", unix, "[d]"},
		{"n", ">=", unix, "[c d]"},
		{"n", "<=", 3, "[a b]"},
		{"n", "<", math.Inf(1), "[a b c d]"},
		{"x", "!=", 2, "[a d]"},
		{"x", ">=", 2, "[c d]"},
		{"w", ">", "b", "[c d]"},
		{"ok", "==", false, "[b]"},
	} {
		var got dataframe.DataFrame
		if err := raised(func() { got = Filter(df, c.column, c.by, c.value) }); err != nil || fmt.Sprint(got.Col("w").Records()) != c.want {
			t.Errorf("%s %s %v: %v, %v, want %s", c.column, c.by, c.value, got.Col("w").Records(), err, c.want)
		}
	}
	want(t, raised(func() { Filter(df, "n", "=", 2) }), `nb.Filter("n", =, 2): no comparison is called "="`)
	want(t, raised(func() { Filter(df, "n", "<", "two") }), "the column holds numbers, and two is a string")
	want(t, raised(func() { Filter(df, "n", "<", math.NaN()) }), "the column holds numbers, and NaN is a float64")
	want(t, raised(func() { Filter(df, "w", "<", 2) }), "the column holds text, and 2 is a int")
	want(t, raised(func() { Filter(df, "ok", "<", "true") }), "the column holds true and false, and true is a string")
	want(t, raised(func() { Filter(df, "N", "<", 2) }), `no column is named "N"; there is n, x, w, ok`)
}

func TestStack(t *testing.T) {
	enter(t, cell.Spec{})
	a := dataframe.New(Column("n", []int{1, 2}), Column("w", []string{"a", "b"}))
	b := dataframe.New(Column("w", []string{"c"}), Column("n", []float64{2.75}))
	if got := fmt.Sprint(Stack(a, b).Records()); got != "[[n w] [1.000000 a] [2.000000 b] [2.750000 c]]" {
		t.Errorf("got %s", got)
	}
	if got := Stack(b, a).Col("n").Float(); got[0] != 2.75 || got[2] != 2 {
		t.Errorf("got %v", got)
	}
	whole := dataframe.New(Column("n", []int64{unix}), Column("w", []string{"d"}))
	if got, err := Stack(a, whole).Col("n").Int(); err != nil || got[2] != unix {
		t.Errorf("got %v, %v", got, err)
	}
	want(t, raised(func() { Stack(b, whole) }), `column "n": 1764316800123456789 in row 1 is no fraction without rounding`)
	want(t, raised(func() { Stack(a, dataframe.New(Column("n", []int{1}))) }), "nb.Stack(): frame 2 has the columns")
	want(t, raised(func() { Stack(a, dataframe.New(Column("n", []int{1}), Column("x", []int{1}))) }), `no column is named "w"; there is n, x`)
	want(t, raised(func() { Stack(a, dataframe.New(Column("n", []string{"1"}), Column("w", []string{"1"}))) }), `column "n" holds string in frame 2, and int before`)
	want(t, raised(func() { Stack() }), "no data frame")
}

func TestSum(t *testing.T) {
	if got := Sum([]int64{unix, unix, -1}); got != 2*unix-1 {
		t.Errorf("sum %d", got)
	}
	want(t, raised(func() { Sum([]int64{math.MaxInt64, 1}) }), "nb.Sum(): the sum is beyond what an int64 can hold")
	want(t, raised(func() { Sum([]int64{math.MinInt64, -1}) }), "beyond what an int64 can hold")
}

func TestSampleFunctions(t *testing.T) {
	values := []float64{3, 1, 2}
	if q := Quantile(values, 0.25, stats.Linear); q != 1.5 {
		t.Errorf("quartile %v", q)
	}
	if b := BoxOf(values, stats.Linear, 1.5); b.Q1 != 1.5 || b.Q3 != 2.5 || b.High != 3 {
		t.Errorf("box %+v", b)
	}
	if got := fmt.Sprint(Histogram(values, Edges(1, 3, 2))); got != "[1 2]" {
		t.Errorf("counts %s", got)
	}
	if low, high := Range(values); low != 1 || high != 3 {
		t.Errorf("range %v to %v", low, high)
	}
	if tau, d := KendallTauB(values, values), Deviation(values, nil); tau != 1 || d != 1 {
		t.Errorf("tau %v, deviation %v", tau, d)
	}
	want(t, raised(func() { Quantile(values, 25, stats.Linear) }), "nb.Quantile(25, linear): quantile 25 is not between 0 and 1")
	want(t, raised(func() { Range([]float64{1, math.NaN()}) }), "nb.Range(): value 2 of 2 is not a number")
}
