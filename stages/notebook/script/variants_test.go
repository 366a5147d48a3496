package script_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

// Statements whose kinds have differed between interpreter and compiler, or could:
// each is the body of a function.
var variants = []string{
	// Control flow.
	"outer:\n\tfor i := range 4 {\n\t\tfor j := range 4 {\n\t\t\tif j == 2 { continue outer }\n\t\t\tif i == 3 { break outer }\n\t\t\tp(i, j)\n\t\t}\n\t}",
	"i := 0\nagain:\n\ti++\n\tif i < 4 { goto again }\n\tp(i)",
	"for i := range 5 { switch { case i == 1: fallthrough; case i == 2: p(`two`); case i > 3: break; default: p(i) } }",
	"loop:\n\tfor i := 0; ; i++ { switch i { case 3: break loop; case 1: continue; default: p(i) } }",
	"switch x := 3; { case x > 2: p(`more`); case x > 1: p(`less`) }",
	"switch f := func() int { p(`once`); return 2 }; f() { case 1, 2: p(`hit`) }",
	"c := make(chan int, 2); select { case c <- 1: p(`sent`); default: p(`none`) }; select { case v, ok := <-c: p(v, ok); default: p(`none`) }; select { case v := <-c: p(v); default: p(`empty`) }",
	"c := make(chan int, 3); for i := range 3 { c <- i }; close(c); for v := range c { p(v) }; v, ok := <-c; p(v, ok, len(c), cap(c))",
	"x := 1; { x := x + 1; x++; p(x) }; if x := x * 10; x > 5 { p(x) } else if y := x; y > 0 { p(y) }; p(x)",
	"func() { for i := range 3 { defer p(`d`, i) } }()",
	// Loop variables in closures, in the three forms.
	"var f []func() int; for i := 0; i < 3; i++ { f = append(f, func() int { i += 10; return i }) }; for _, g := range f { p(g(), g()) }",
	"var f []func() string; for i, v := range []string{`a`, `b`} { f = append(f, func() string { v += `x`; return fmt.Sprint(i, v) }) }; for _, g := range f { p(g(), g()) }",
	"var f []*int; for i := range 3 { f = append(f, &i) }; *f[0] = 7; for _, v := range f { p(*v) }",
	"for i := 0; i < 6; i++ { f := func() { i++ }; f(); p(i) }",
	"m := map[int]func() int{}; for k, v := range map[int]int{1: 2} { m[k] = func() int { return k + v } }; p(m[1]())",
	// Deferred calls and named results.
	"f := func() (n int) { defer func() { n *= 2 }(); n = 4; return n + 1 }; p(f())",
	"f := func() (n int, err error) { defer func() { if r := recover(); r != nil { err = fmt.Errorf(`caught %v`, r); n = -1 } }(); var m map[string]int; m[`a`] = 1; return 5, nil }; n, err := f(); p(n, err)",
	"f := func() (s string) { for _, w := range []string{`a`, `b`, `c`} { defer func() { s += w }() }; return `>` }; p(f())",
	"f := func() { defer func() { p(recover()) }(); defer func() { panic(`second`) }(); panic(`first`) }; f()",
	"f := func() (r any) { defer func() { r = recover() }(); var x []int; i := 5; p(x[i]); return nil }; p(f())",
	"f := func() (r any) { defer func() { r = recover() }(); a, b := 1, 0; p(a / b); return nil }; p(f())",
	"f := func() (r any) { defer func() { r = recover() }(); var e any = `text`; p(e.(int)); return nil }; p(f())",
	"f := func() (r any) { defer func() { r = recover() }(); var q *pair; p(q.a); return nil }; p(f())",
	"f := func() (r any) { defer func() { r = recover() }(); x := []int{1, 2, 3}; i := 4; p(x[1:i]); return nil }; p(f())",
	"f := func() (r any) { defer func() { r = recover() }(); panic(fmt.Errorf(`e %d`, 1)) }; p(f())",
	"f := func() { defer func() { p(recover()); p(recover()) }(); panic(nil) }; f()",
	// Methods.
	"e := outerBox{&inner{3}, 4}; f, g := e.get, e.add; e.inner = &inner{9}; g(5); p(f(), e.get(), (*inner).get(e.inner), inner.twice(*e.inner))",
	"var s shape = square{2}; f := s.area; s = square{5}; p(f(), s.area(), shape.area(s))",
	"v := square{3}; f := v.area; v.side = 9; p(f(), square.area(v))",
	"q := &pair{1, 2}; f := q.sum; q.a = 10; p(f(), (*pair).sum(q)); q = &pair{}; p(f())",
	"l := []pair{{1, 2}, {3, 4}}; for i := range l { f := l[i].bump; f(); f() }; p(l)",
	"var o outerBox; func() { defer func() { p(recover() != nil) }(); p(o.get()) }()",
	// Interfaces and comparison.
	"var a, b any = square{2}, square{2}; p(a == b, a == any(2), any(int8(2)) == any(2), any(nil) == nil)",
	"type one struct{ side int }; var a any = one{2}; var b any = square{2}; _, ok := b.(one); p(a == b, ok)",
	"var e error; var f *failing; p(e == nil, f == nil); e = f; p(e == nil)",
	"f := func() (r any) { defer func() { r = recover() }(); var a, b any = []int{1}, []int{1}; return a == b }; p(f())",
	"for _, v := range []any{1, int8(1), `a`, 1.5, nil, square{1}, &pair{}, []int{1}, func() {}, failing{}, two(2)} { switch x := v.(type) { case int, int8: p(`int`, x); case nil: p(`nil`); case shape: p(`shape`, x.area()); case error: p(`error`, x); case fmt.Stringer: p(`stringer`, x); case []int: p(len(x)); case func(): p(`func`); default: p(`other`, fmt.Sprintf(`%T`, x)) } }",
	"arr := [2]any{1, `a`}; brr := arr; brr[0] = 2; p(arr == brr, arr == [2]any{1, `a`}, struct{ a any; b string }{1, `x`} == struct{ a any; b string }{1, `x`})",
	// Maps.
	"m := map[any]int{}; m[1] = 1; m[int8(1)] = 2; m[two(1)] = 3; m[square{1}] = 4; m[[2]int{1, 2}] = 5; p(len(m), m[1], m[int8(1)], m[two(1)], m[square{1}], m[[2]int{1, 2}])",
	"m := map[float64]int{}; nan := math.NaN(); m[nan] = 1; m[nan] = 2; m[0] = 1; negative := math.Copysign(0, -1); m[negative]++; _, ok := m[nan]; p(len(m), ok, m[0]); clear(m); p(len(m))",
	"m := map[pair]string{{1, 2}: `a`}; m[pair{1, 2}] += `b`; v, ok := m[pair{2, 1}]; p(m, v == ``, ok); delete(m, pair{1, 2}); delete(m, pair{}); p(len(m))",
	"m := map[string][]int{}; m[`a`] = append(m[`a`], 1, 2); m[`a`][0]++; p(m); var n map[string]int; p(n[`x`], len(n)); for range n { p(`never`) }",
	"m := map[string]struct{ n int }{`a`: {1}}; v := m[`a`]; v.n = 5; p(m, v); m[`a`] = v; p(m)",
	"m := map[string]*pair{`a`: {1, 2}}; m[`a`].a = 7; m[`a`].bump(); p(*m[`a`])",
	"m := map[[2]string]map[string]int{}; k := [2]string{`a`, `b`}; if m[k] == nil { m[k] = map[string]int{} }; m[k][`c`]++; k[0] = `z`; p(m, len(m[k]))",
	// Constants.
	"const big = 1 << 100; p(big >> 98, float64(big), big/(1<<99)+0.5)",
	"const ( a = iota * 10; b; _; c = `x`; d; e = iota ); p(a, b, c, d, e)",
	"type kind uint8; const ( one kind = 1 << iota; twoK; four ); p(one|four, twoK, fmt.Sprintf(`%T`, four))",
	"var u uint8 = 255; u++; var i int8 = 127; i++; var n int32 = math.MinInt32; n = -n; p(u, i, n, ^uint16(0), -7/2, -7%2, 7&^5, 1<<3|1)",
	"var s uint = 70; var u uint8 = 200; var i int8 = -128; p(1<<s == 0, int64(1)<<s, -1>>s, u<<1, i/-1, -i, u>>3<<3)",
	"const x = 'a' + 1; var r = x; p(r, string(r), x, fmt.Sprintf(`%T %T`, r, x), 'é', `é`[0], len(`é`))",
	"const c = 1 + 2i; z := c * c; p(real(z), imag(z), z == complex(-3, 4), complex64(z))",
	"const calls = 299; var lost float64 = 1 - calls/300; var half float64 = 7 / 2; x := 10.0; x -= 7 / 2; p(lost, half, x, 7/2*2.0, 7/2.0)",
	"var a any = 1 << 3; var b any = 'x'; var c any = 2.0; var d any = 1i; var e any = 5 / 2.0; p(fmt.Sprintf(`%T %T %T %T %T`, a, b, c, d, e))",
	"const huge = math.MaxUint64; p(uint64(huge), huge%10 == 5, float32(0.1) == 0.1, float64(float32(0.1)))",
	"var d = 3 * time.Second / 2; p(d, d.Milliseconds(), time.Duration(1.5*float64(time.Second)))",
	// Conversions.
	"f := 3.99; g := -3.99; p(int(f), int(g), uint8(int(f)), int64(float32(16777217)), float32(16777217))",
	"s := `a\\xffé`; for i, r := range s { p(i, r) }; p([]byte(s), []rune(s), string([]rune(s)) == s, len(s), s[1], string([]byte{255, 65}), strings.ToValidUTF8(s, `?`))",
	"p(string(rune(65)), string(rune(-1)), string([]byte(nil)) == ``, []byte(`ab`)[1:], string([]rune{0x10FFFF, 0xD800}))",
	"type celsius float64; type temps []celsius; t := temps{1.5, 2}; var sum celsius; for _, v := range t { sum += v }; p(sum, t, float64(sum)/2, []celsius(t)[0])",
	"x := []int{1, 2, 3, 4}; a := [2]int(x[1:]); b := (*[2]int)(x); b[0] = 9; a[0] = 7; p(x, a, *b, len(b))",
	"var u8 = uint8(250); var i = int(u8) + 10; var n int16 = int16(int32(70000)>>1 + int32(i-i)); p(i, uint8(i), int8(u8), n)",
	// Arrays, structs and slices.
	"a := [3]int{1, 2, 3}; b := a; b[0] = 9; f := func(x [3]int) [3]int { x[1] = 8; return x }; p(a, b, f(a), a == [3]int{1, 2, 3}); for i, v := range a { a[2] = 10; p(i, v) }",
	"a := [...]string{2: `c`, 0: `a`}; q := &a; for i := range q { q[i] += `!` }; p(a, len(q), a[1:])",
	"s := pair{1, 2}; t := s; t.a = 9; u := &s; u.b = 7; v := *u; v.a = 100; p(s, t, *u, v)",
	"type nested struct { pair; l [2]pair; m map[string]int }; x := nested{pair: pair{1, 2}}; y := x; y.a, y.l[1].b = 5, 6; y.pair.bump(); p(x, y, x.pair == y.pair)",
	"x := make([]int, 3, 10); y := append(x, 1); z := append(x, 2); p(y, z, len(x), cap(x)); w := append(x[:1:1], 5); p(x, w)",
	"x := []int{1, 2, 3, 4, 5}; y := x[1:3]; y = append(y, 99); p(x, y, cap(y)); copy(x[1:], x); p(x, x[:0], x[5:])",
	"x := []int{1, 2, 3}; for i, v := range x { x = append(x, v*10); if i == 0 { x[1] = 50 } }; p(x)",
	"var x []int; p(x == nil, len(x), append(x, x...) == nil, x[0:0] == nil); x = []int{}; p(x == nil)",
	"x := []int{1, 2, 3}; i := 0; i, x[i] = 2, 9; p(i, x); x[0], x[2] = x[2], x[0]; p(x); a, b := 1, 2; a, b = b, a+b; p(a, b)",
	"l := [][]int{{1}, {2, 3}}; m := l; m[0] = []int{7}; m[1][0] = 8; p(l, len(l[1]))",
	"x := []*pair{{1, 2}, {3, 4}}; y := append([]*pair(nil), x...); y[0].a = 9; y[1] = &pair{}; p(*x[0], *x[1])",
	"clear([]int{1}); x := []int{1, 2}; clear(x); p(x, min(3, 1, 2), max(2.5, 1), min(`b`, `a`), min(1, math.NaN()), max(math.Inf(1), math.NaN()), math.Signbit(min(0, math.Copysign(0, -1))))",
	// Printing.
	"p(fmt.Sprintf(`%v %+v %#v %T`, pair{1, 2}, &pair{1, 2}, square{1}, []pair{}), fmt.Sprintf(`%v %d %s %x`, two(2), two(2), two(2), two(255)))",
	"p(fmt.Sprintf(`%v %+v`, outerBox{nil, 1}, struct { A any; b []pair; c map[string]two; d *int }{pair{1, 2}, []pair{{3, 4}}, map[string]two{`x`: 1}, nil}))",
	"p(fmt.Sprintf(`%q %v %x`, []string{`a b`, `c`}, []byte(`hi`), `hi`), fmt.Sprintf(`%5.2f|%-5d|%05d|%+d|%e`, 3.14159, 42, 42, 42, 1e6), fmt.Sprintf(`%!|%d`, `x`), fmt.Sprintf(`%d %d`, 1))",
	"p(fmt.Sprintf(`%T %T %T %T`, two(1), func(pair) error { return nil }, map[two][]*pair{}, [2]shape{}), fmt.Sprintf(`%p`, &pair{})[:2], fmt.Sprintf(`%v`, failing{}), failing{})",
	"p(fmt.Sprint(`a`, 1, 2, `b`, `c`, 3.0, nil, true), fmt.Sprintln(two(3), []two{4}, map[two]two{1: 2}, [1]error{failing{}}))",
	"var e any = 1e21; var f float32 = 0.1; p(e, f, 1e20, 100000.0, 1e-7, float32(1)/3, 1.0, math.MaxFloat64, math.Inf(-1), -0.0)",
	// Sorting.
	"x := []pair{{2, 1}, {1, 1}, {2, 2}, {1, 2}, {0, 9}}; sort.SliceStable(x, func(i, j int) bool { return x[i].a < x[j].a }); p(x); y := []string{`b`, `a`}; sort.Sort(sort.Reverse(sort.StringSlice(y))); p(y, sort.SearchInts([]int{1, 3, 5}, 4))",
	"x := byA{{3, 1}, {1, 2}, {2, 3}}; sort.Sort(x); p(x); sort.Sort(sort.Reverse(x)); p(x, sort.IsSorted(x))",
	// Generics and iterators.
	"p(mapped([]int{1, 2}, func(i int) string { return fmt.Sprint(i * 2) }), total([]float64{1.5, 2}), total([]two{1, 2}), keys(map[string]int{`a`: 1}))",
	"s := stack[string]{}; s.push(`a`); s.push(`b`); v, ok := s.pop(); p(v, ok, len(s.items)); t := stack[pair]{}; _, ok = t.pop(); p(ok, fmt.Sprintf(`%T`, t))",
	"for i, v := range count(4) { if i == 2 { continue }; if i == 3 { break }; p(i, v) }; for v := range func(yield func(int) bool) { _ = yield(7) && yield(8) } { p(v) }",
	"f := func() int { for i := range func(yield func(int) bool) { for i := 0; yield(i); i++ {} } { defer p(`d`, i); if i == 2 { return i * 10 } }; return -1 }; p(f())",
	"p(pick(true, 1, 2), pick(false, `a`, `b`), pick[any](true, nil, 1), zero[pair](), zero[*int]() == nil, zero[[]int]() == nil)",
	"type list[T any] struct { v T; next *list[T] }; l := &list[int]{1, &list[int]{2, nil}}; n := 0; for q := l; q != nil; q = q.next { n += q.v }; p(n)",
	"f := func() (n int) { defer func() { n++ }(); for i := range func(yield func(int) bool) { for i := 1; yield(i); i++ {} } { defer func() { n *= 10 }(); if i == 2 { n = 3; return } }; return -1 }; p(f())",
	"f := func() (r any) { defer func() { p(`outer`) }(); for i := range count(2) { defer func() { r = fmt.Sprint(i, recover()) }(); if i == 1 { panic(`inside`) } }; return 1 }; p(f())",
	"f := func() { for i := range count(2) { for j := range count(2) { defer p(i, j) } } }; f()",
	"f := func() string { for i := range count(2) { defer func() { p(`done`, i) }() }; return `end` }; p(f())",
	// Closures.
	"counter := func() func() int { n := 0; return func() int { n++; return n } }; a, b := counter(), counter(); a(); a(); p(a(), b())",
	"var fib func(int) int; fib = func(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }; p(fib(15))",
	"x := 1; f := func() int { return x }; x = 5; g := func(x int) int { x++; return x }; p(f(), g(x), x)",
	"f := func(n ...int) (int, bool) { return len(n), n == nil }; a, b := f(); p(a, b); c, d := f([]int{1, 2}...); p(c, d); x := []int{1}; func(n ...int) { n[0] = 9 }(x...); p(x)",
	"var e error = failing{}; w := fmt.Errorf(`outer: %w`, e); var f failing; p(errors.Is(w, e), errors.As(w, &f), errors.Unwrap(w) == e, w, errors.Join(e, w))",
	"b := strings.Builder{}; fmt.Fprintf(&b, `%d-`, 1); b.WriteString(`x`); p(b.String(), b.Len()); r := strings.NewReplacer(`a`, `b`); p(r.Replace(`banana`), strings.Map(func(r rune) rune { if r == 'a' { return -1 }; return r }, `banana`), strings.FieldsFunc(`a1b2`, func(r rune) bool { return r < 'a' }))",
}

const variantsPrelude = `package main

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"
)

type pair struct{ a, b int }

func (q *pair) bump()    { q.a++ }
func (q *pair) sum() int { return q.a + q.b }

type inner struct{ n int }

func (i *inner) get() int   { return i.n }
func (i *inner) add(n int)  { i.n += n }
func (i inner) twice() int  { return i.n * 2 }

type outerBox struct {
	*inner
	m int
}

type shape interface{ area() int }

type square struct{ side int }

func (s square) area() int { return s.side * s.side }

type failing struct{}

func (failing) Error() string { return "failing" }

type two int

func (t two) String() string { return fmt.Sprintf("two(%d)", int(t)) }

type byA []pair

func (x byA) Len() int           { return len(x) }
func (x byA) Less(i, j int) bool { return x[i].a < x[j].a }
func (x byA) Swap(i, j int)      { x[i], x[j] = x[j], x[i] }

type stack[T any] struct{ items []T }

func (s *stack[T]) push(v T) { s.items = append(s.items, v) }
func (s *stack[T]) pop() (v T, ok bool) {
	if len(s.items) == 0 {
		return v, false
	}
	v = s.items[len(s.items)-1]
	s.items = s.items[:len(s.items)-1]
	return v, true
}

type number interface{ ~int | ~float64 }

func total[T number](x []T) (sum T) {
	for _, v := range x {
		sum += v
	}
	return sum
}

func mapped[T, U any](x []T, f func(T) U) (out []U) {
	for _, v := range x {
		out = append(out, f(v))
	}
	return out
}

func keys[K comparable, V any](m map[K]V) (out []K) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

func zero[T any]() (v T) { return v }

func count(n int) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for i := range n {
			if !yield(i, strings.Repeat("x", i)) {
				return
			}
		}
	}
}

func p(values ...any) { fmt.Println(values...) }

var (
	_ = errors.New
	_ = math.Pi
	_ = sort.Ints
	_ = time.Second
)

`

// TestVariants holds each of them against the compiler.
func TestVariants(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	var text, calls strings.Builder
	text.WriteString(variantsPrelude)
	for i, body := range variants {
		fmt.Fprintf(&text, "func variant%d() {\n\t%s\n}\n\n", i, body)
		fmt.Fprintf(&calls, "\tvariant%d()\n\tfmt.Println(\"end of\", %[1]d)\n", i)
	}
	file := filepath.Join(t.TempDir(), "main.go")
	filetest.Write(t, file, text.String()+"func main() {\n"+calls.String()+"}\n")
	compiled, err := newCompiler(t).run(t.Context(), file)
	if err != nil || compiled.Status != 0 {
		t.Fatalf("the compiled variants end with %v: %s", err, compiled.Said)
	}
	rest := compiled.Out
	for i, body := range variants {
		var want string
		want, rest, _ = strings.Cut(rest, fmt.Sprintf("end of %d\n", i))
		filetest.Write(t, file, variantsPrelude+"func main() {\n\t"+body+"\n}\n")
		got, err := interpreted(t.Context(), file)
		if err != nil || got.Status != 0 || got.Out != want {
			t.Errorf("%s:\ninterpreted %v %d %q%s\ncompiled %q", body, err, got.Status, got.Out, got.Said, want)
		}
	}
}
