package script_test

import (
	"barograph/pipeline/cell/filetest"
	"barograph/stages/notebook/script"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A variable of some kind: how it is declared, read as an int, changed, and
// something else of the same function that can be changed without it.
type variableKind struct{ name, declare, read, change, other string }

var variableKinds = []variableKind{
	{"captured", "x := 1; y := 1", "x", "x += 10", "y += 10"},
	{"global", "globalX = 1", "globalX", "globalX += 10", "globalY += 10"},
	{"field of a global", "globalP = point{1, 1}", "globalP.n", "globalP.n += 10", "globalP.m += 10"},
	{"field behind a pointer", "p := &point{1, 1}", "p.n", "p.n += 10", "p.m += 10"},
	{"the pointer", "p, q := &point{1, 1}, &point{}", "p.n", "p = &point{11, 1}", "q = p"},
	{"field of a captured struct", "s := point{1, 1}", "s.n", "s.n += 10", "s.m += 10"},
	{"the struct", "s, t := point{1, 1}, point{}", "s.n", "s = point{11, 1}", "t = s"},
	{"by a method", "s, t := point{1, 1}, line{}", "s.n", "s.raise(10)", "t.raise(10)"},
	{"by a pointer to it", "x, y := 1, 1.5; q, r := &x, &y", "x", "*q += 10", "*r += 10"},
	{"by a pointer to its field", "s, y := point{1, 1}, 1.5; q, r := &s.n, &y", "s.n", "*q += 10", "*r += 10"},
	{"the whole struct by a pointer", "p, q := &point{1, 1}, &line{}", "p.n", "*p = point{11, 1}", "*q = line{}"},
	{"behind a pointer", "q, r := new(int), new(float64); *q = 1", "*q", "*q += 10", "*r += 10"},
	{"element", "l, k := []int{1, 2}, []int64{1}", "l[0]", "l[0] += 10", "k[0] += 10"},
	{"the slice", "l, k := []int{1, 2}, []int{3}", "l[0]", "l = []int{11, 12}", "k = []int{4}"},
	{"the slice's length", "l, k := []int{1}, []int{3}", "len(l)", "l = append(l, 2, 3)", "k = append(k, 4)"},
	{"the index", "l, i, j := []int{1, 12}, 0, 0", "l[i]", "i = 1", "j = 1"},
	{"element of an array", "a, b := [2]int{1, 2}, [2]int{}", "a[0]", "a[0] += 10", "b[0] += 10"},
	{"by a slice of the array", "a, k := [2]int{1, 2}, []string{``}; l := a[:]", "a[0]", "l[0] += 10", "k[0] += `x`"},
	{"field of an element", "l := []point{{1, 1}}", "l[0].n", "l[0].n += 10", "l[0].m += 10"},
	{"copied into", "l, k := []int{1}, []string{``}", "l[0]", "copy(l, []int{11})", "copy(k, []string{`x`})"},
	{"appended into", "l := []int{1, 2}[:1]; k := []string{}", "l[:2][1] - 1", "_ = append(l, 12)", "_ = append(k, ``)"},
	{"entry", "m, k := map[string]int{`a`: 1}, map[string]bool{}", "m[`a`]", "m[`a`] += 10", "k[`a`] = true"},
	{"deleted entry", "m, k := map[string]int{`a`: 1}, map[string]bool{}", "m[`a`]", "delete(m, `a`)", "delete(k, `a`)"},
	{"promoted field", "h := holder{&point{1, 1}}", "h.n", "h.n += 10", "h.m += 10"},
	{"text", "t, u := `a`, `a`", "len(t)", "t += `bc`", "u += `bc`"},
	{"value in an interface", "v, w := any(1), any(1)", "v.(int)", "v = 11", "w = 11"},
	{"receiver of a value method", "p, q := &point{1, 1}, 0", "p.get()", "q += 10", "q += 10"},
	{"element of a list of lists", "l, k := [][]int{{1}}, []string{``}", "l[0][0]", "l[0] = []int{11}", "k[0] = `x`"},
}

// How something is called that changes the variable, as an int of 5.
var callKinds = []struct{ name, declare, call string }{
	{"closure", "g := func() int { CHANGE; return 5 }", "g()"},
	{"literal", "", "func() int { CHANGE; return 5 }()"},
	{"value in a map", "g := map[int]func() int{0: func() int { CHANGE; return 5 }}", "g[0]()"},
	{"field", "g := struct{ f func() int }{func() int { CHANGE; return 5 }}", "g.f()"},
	{"parameter", "g := func() int { CHANGE; return 5 }", "apply(g)"},
	{"method in an interface", "var g five = fiver(func() { CHANGE })", "g.five()"},
	{"generic", "g := func() int { CHANGE; return 5 }", "same(g)()"},
	{"called back by a package", "g := func(least int) bool { CHANGE; return least >= 5 }", "sort.Search(6, g) * 0 + 5"},
	{"called when printed", "g := told(func() { CHANGE })", "len(fmt.Sprint(g))"},
	{"method value", "g := fiver(func() { CHANGE }).five", "g()"},
	{"deferred", "g := func() int { defer func() { CHANGE }(); return 5 }", "g()"},
	{"through another", "f := func() { CHANGE }; g := func() int { f(); return 5 }", "g()"},
}

// What a statement does with R, a read, and C, a call. Open ones depend on an
// order that Go leaves open.
var statementKinds = []struct {
	open bool
	text string
}{
	{true, "fmt.Println(R + C)"},
	{false, "fmt.Println(C + R)"},
	{true, "fmt.Println([]int{R, C})"},
	{true, "fmt.Println([2]int{1: R, 0: C})"},
	{true, "fmt.Println(point{R, C})"},
	{true, "fmt.Println(point{m: R, n: C})"},
	{true, "fmt.Println(map[int]int{R: C})"},
	{true, "fmt.Println(add(R, C))"},
	{false, "fmt.Println(add(C, R))"},
	{true, "fmt.Println(R, C)"},
	{true, "one, two := R, C; fmt.Println(one, two)"},
	{true, "one, two := 0, 0; one, two = R, C; fmt.Println(one, two)"},
	{true, "fmt.Println(func() (int, int) { return R, C }())"},
	{true, "list := make([]int, 100); list[R] = C; fmt.Println(list)"},
	{true, "list := make([]int, 100); list[R] += C; fmt.Println(list)"},
	{true, "list := make([]int, 100); b := 0; list[R], b = C, 2; fmt.Println(list, b)"},
	{true, "list := make([]int, 100); b := 0; b, list[R] = C, 2; fmt.Println(list, b)"},
	{true, "list := map[int]int{}; list[R] = C; fmt.Println(list)"},
	{true, "list := []*point{99: nil}; fmt.Println(list[R].with(C))"},
	{true, "fmt.Println(R < C)"},
	{false, "fmt.Println(R == 1 && C > 0)"},
	{false, "fmt.Println(R == 7 || C > 0)"},
	{true, "fmt.Println(R + id(C))"},
	{false, "fmt.Println(id(R) + C)"},
	{true, "fmt.Println(float64(R) * float64(C))"},
	{true, "fmt.Println(-R + C)"},
	{false, "switch R { case C: fmt.Println(1); case 1: fmt.Println(2); default: fmt.Println(3) }"},
	{true, "c := make(chan int, 20); list := []chan int{}; for range 100 { list = append(list, c) }; list[R] <- C; fmt.Println(<-c)"},
	{true, "fmt.Println(1 << R << C)"},
	{true, "fmt.Println(max(R, C))"},
	{true, "fmt.Println(append([]int{}, R, C))"},
	{true, "fmt.Println(number(R).plus(C))"},
	{true, "fmt.Println(any(R) == any(C))"},
	{true, "if R < C { fmt.Println(1) } else { fmt.Println(2) }"},
	{true, "for i := 0; R < C && i < 3; i++ { fmt.Println(i) }"},
	{true, "defer fmt.Println(R, C)"},
	{true, "fmt.Println(text[R:][:C])"},
	{true, "fmt.Println(text[R:C+90])"},
	{false, "one := R; fmt.Println(one + C)"},
	{false, "one := C; fmt.Println(R + one)"},
	{false, "for range R { fmt.Println(C); break }"},
	{false, "x := 2; x += C; fmt.Println(x, R)"},
}

const orderPrelude = `package main

import (
	"fmt"
	"sort"
)

type point struct{ n, m int }

func (p *point) raise(n int)     { p.n += n }
func (p point) get() int         { return p.n }
func (p *point) with(n int) int  { return n }

type line struct{ a, b int }

func (l *line) raise(n int) { l.a += n }

type holder struct{ *point }

type five interface{ five() int }
type fiver func()

func (f fiver) five() int { f(); return 5 }

type told func()

func (t told) String() string { t(); return "fives" }

type number int

func (n number) plus(m int) int { return int(n) + m }

func add(a, b int) int        { return 2*a + b }
func id(n int) int            { return n }
func apply(f func() int) int  { return f() }
func same[T any](v T) T       { return v }

var (
	globalX, globalY int
	globalP          point
	text             = fmt.Sprintf("%0100d", 7)
	_                = sort.Search
	_                = fmt.Sprint
)

`

// used uses the variables that are declared.
func used(declare string) string {
	var uses []string
	for _, part := range strings.Split(declare, ";") {
		if names, _, ok := strings.Cut(part, ":="); ok {
			for _, name := range strings.Split(names, ",") {
				uses = append(uses, "_ = "+name)
			}
		}
	}
	return strings.Join(uses, "; ")
}

// TestOpenOrder holds what depends on an order that Go leaves open: such statements are
// refused, and those that only look like them are not and do as compiled.
func TestOpenOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	type one struct {
		name, body string
		open       bool
	}
	var all []one
	for i, v := range variableKinds {
		for j, s := range statementKinds {
			call := callKinds[(i+j)%len(callKinds)]
			for _, change := range []string{v.change, v.other} {
				open := s.open && change == v.change && v.change != v.other
				fill := strings.NewReplacer("R", v.read, "C", "("+call.call+")")
				body := strings.Join([]string{v.declare, used(v.declare), strings.ReplaceAll(call.declare, "CHANGE", change),
					"{", strings.ReplaceAll(fill.Replace(s.text), "CHANGE", change), "}"}, "\n\t")
				all = append(all, one{fmt.Sprintf("%s, %s, %s: %s", v.name, change, call.name, s.text), body, open})
			}
		}
	}
	var text, calls strings.Builder
	text.WriteString(orderPrelude)
	for i, c := range all {
		fmt.Fprintf(&text, "func case%d() {\n\t%s\n}\n\n", i, c.body)
		fmt.Fprintf(&calls, "\tcase%d()\n\tfmt.Println(\"end of\", %[1]d)\n", i)
	}
	file := filepath.Join(t.TempDir(), "main.go")
	filetest.Write(t, file, text.String()+"func main() {\n"+calls.String()+"}\n")
	compiled, err := newCompiler(t).run(t.Context(), file)
	if err != nil || compiled.Status != 0 {
		t.Fatalf("the compiled cases end with %v: %s", err, compiled.Said)
	}
	run := 0
	rest := compiled.Out
	for i, c := range all {
		var want string
		want, rest, _ = strings.Cut(rest, fmt.Sprintf("end of %d\n", i))
		program := orderPrelude + "func main() {\n\t" + c.body + "\n}\n"
		refusal := script.Refused(program)
		switch {
		case refusal == nil && c.open:
			t.Errorf("not refused: %s", c.name)
		case refusal != nil && !c.open:
			t.Errorf("refused: %s:\n%v", c.name, refusal)
		case refusal != nil && !strings.Contains(refusal.Error(), "Go leaves"):
			t.Errorf("%s is refused for another reason: %v", c.name, refusal)
		}
		if run++; refusal != nil || run%4 > 0 { // many are alike
			continue
		}
		filetest.Write(t, file, program)
		got, err := interpreted(t.Context(), file)
		if err != nil || got.Status != 0 || got.Out != want {
			t.Errorf("%s: interpreted %v %s %s, compiled %s", c.name, err, got.Out, got.Said, want)
		}
	}
}
