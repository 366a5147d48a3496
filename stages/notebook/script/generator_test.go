package script_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// prelude is what all programs declare.
const prelude = `package main

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
)

type level int

func (l level) String() string { return fmt.Sprintf("L%d", int(l)) }
func (l *level) raise(n int)   { *l += level(n) }

type ratio float64

func (r ratio) area() float64 { return float64(r) * 2 }

type word string

type point struct {
	a int
	b float64
	s string
}

func (p point) area() float64  { return p.b + float64(p.a) }
func (p *point) move(n int)    { p.a += n; p.s += "m" }
func (p point) sum(n int) int  { return p.a + n }

type group struct {
	rows []int
	sum  float64
}

type box struct {
	point
	l    level
	list []int
	next *box
}

type same struct {
	a int
	b float64
	s string
}

type failure struct{ code int }

func (f *failure) Error() string { return fmt.Sprint("failure ", f.code) }

type shape interface{ area() float64 }

type pair[K comparable, V any] struct {
	key K
	val V
}

func (p pair[K, V]) swap() string { return fmt.Sprint(p.val, "/", p.key) }

func val[T any](v T) T { return v }

func apply[T, U any](x []T, f func(T) U) []U {
	var out []U
	for _, v := range x {
		out = append(out, f(v))
	}
	return out
}

func largest[T int | float64 | string | level](x ...T) (m T) {
	for i, v := range x {
		if i == 0 || v > m {
			m = v
		}
	}
	return m
}

func fail(n int) error {
	if n%3 == 0 {
		return &failure{n}
	}
	if n%3 == 1 {
		return fmt.Errorf("wrapped: %w", &failure{n})
	}
	return nil
}

func guarded(f func()) (said string) {
	defer func() {
		if r := recover(); r != nil {
			said = fmt.Sprint("caught ", r)
		}
	}()
	f()
	return "went well"
}

const (
	calls   = 299
	third   = 100 / 3
	mebi    = 1 << 20
	share   = 7 / 2
	precise = 7.0 / 2
	big     = 1 << 62
)

const (
	low level = iota * 2
	mid
	high
)

var total int

func init() { total = calls - third }

var _, _, _, _ = errors.As, math.Sqrt, sort.Ints, strings.ToUpper

`

// randomProgram writes a random notebook with functions of which each prints what it
// computes. The same seed writes the same program.
func randomProgram(seed uint64, functions int) string {
	g := &generator{random: rand.New(rand.NewPCG(seed, 1))}
	g.out.WriteString(prelude)
	for i := range functions {
		g.function(i)
	}
	g.line("func main() {")
	for i := range functions {
		g.line("\tfmt.Println(%q, guarded(f%d))", fmt.Sprintf("f%d", i), i)
	}
	g.line("}")
	return g.out.String()
}

type generator struct {
	random *rand.Rand
	out    strings.Builder
	depth  int
	vars   []variable // in scope
	count  int
	loops  int
}

type variable struct{ name, typ string }

func (g *generator) line(format string, args ...any) {
	fmt.Fprintf(&g.out, strings.Repeat("\t", g.depth)+format+"\n", args...)
}

func (g *generator) pick(list ...string) string { return list[g.random.IntN(len(list))] }

func (g *generator) name() string {
	g.count++
	return fmt.Sprintf("v%d", g.count)
}

// values lists the types that variables have.
var values = []string{
	"int", "int8", "uint8", "int64", "uint32", "float64", "float32", "string", "bool", "level", "ratio", "word", "point", "same", "*point",
	"[]int", "[3]int", "[]point", "map[string]int", "map[any]int", "any", "shape", "error", "func(int) int", "box", "pair[string, int]", "pair[level, float64]", "complex128",
}

func (g *generator) function(i int) {
	g.vars, g.count = nil, 0
	g.line("func f%d() {", i)
	g.depth++
	g.block(6 + g.random.IntN(8))
	g.print()
	g.depth--
	g.line("}\n")
}

// block writes statements; what they declare goes out of scope with them.
func (g *generator) block(n int) {
	for range n {
		g.statement()
	}
}

func (g *generator) nested(n int) {
	kept := len(g.vars)
	g.depth++
	g.block(n)
	g.depth--
	g.vars = g.vars[:kept]
}

// print prints all variables.
func (g *generator) print() {
	for _, v := range g.vars {
		switch v.typ {
		case "func(int) int":
			g.line("fmt.Println(%s(%d))", v.name, g.random.IntN(5))
		case "map[any]int": // whose order is not defined
			g.line("fmt.Println(len(%s), %s[1], %s[level(1)])", v.name, v.name, v.name)
		case "*point":
			g.line("fmt.Println(*%s, %s.area())", v.name, v.name)
		case "box":
			g.line("fmt.Println(%s.a, %s.l, %s.list, %s.next == nil, %s.sum(1))", v.name, v.name, v.name, v.name, v.name)
		case "error", "any", "shape": // of which %#v may print addresses
			g.line("fmt.Printf(\"%%v %%[1]T\\n\", %s)", v.name)
		default:
			g.line("fmt.Printf(%q, %s)", g.pick("%v\n", "%+v\n", "%v %[1]T\n", "%#v\n"), v.name)
		}
	}
}

// of returns a variable of a type, or "".
func (g *generator) of(typ string) string {
	var list []string
	for _, v := range g.vars {
		if v.typ == typ {
			list = append(list, v.name)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return g.pick(list...)
}

func (g *generator) declare(typ string) {
	e := g.expr(typ, 3)
	n := g.name()
	g.line(g.pick("var %s %s = %s", "var %s %s = %s", "var %[1]s %[2]s\n"+strings.Repeat("\t", g.depth)+"%[1]s = %[3]s"), n, typ, e)
	g.line("_ = %s", n)
	g.vars = append(g.vars, variable{n, typ})
}

func (g *generator) statement() {
	if g.depth > 4 {
		g.declare(g.pick("int", "float64", "string"))
		return
	}
	switch g.random.IntN(24) {
	default:
		g.declare(g.pick(values...))
	case 0, 1, 2:
		if len(g.vars) > 0 {
			v := g.vars[g.random.IntN(len(g.vars))]
			g.line("%s = %s", v.name, g.expr(v.typ, 3))
		}
	case 3:
		if v := g.of("int"); v != "" {
			g.line("%s %s %s", v, g.pick("+=", "-=", "*=", "^=", "|=", "&^="), g.expr("int", 2))
		}
		if v := g.of("float64"); v != "" {
			g.line("%s %s %s", v, g.pick("+=", "-=", "*=", "/="), g.expr("float64", 2))
		}
		if v := g.of("uint8"); v != "" {
			g.line("%s%s", v, g.pick("++", "--"))
		}
	case 4:
		g.line("if %s {", g.expr("bool", 3))
		g.nested(2)
		if g.random.IntN(2) == 0 {
			g.line("} else {")
			g.nested(2)
		}
		g.line("}")
	case 5:
		g.loop()
	case 6:
		// Functions keep variables of their turn, and each its own.
		fs, i, t := g.name(), g.name(), g.name()
		g.line("var %s []func(int) int", fs)
		g.line(g.pick("for %s := range %d {", "for %s := 0; %[1]s < %[2]d; %[1]s++ {"), i, 2+g.random.IntN(3))
		g.line("\t%s := %s", t, g.pick("point{a: "+i+"}", "point{a: "+i+" * 2, s: \"t\"}"))
		g.line("\t%s = append(%s, func(n int) int { %s.move(n); %s; return %s.a*10 + %s })", fs, fs, t, g.pick("", i+" += n"), t, i)
		g.line("}")
		g.line("for _, f := range %s {", fs)
		g.line("\tfmt.Print(f(1), f(2), \" \")")
		g.line("}")
		g.line("fmt.Println()")
	case 7:
		// Deferred operands belong to the moment of the defer.
		x, p := g.name(), g.name()
		g.line("func() {")
		g.line("\t%s, %s := %s, %s", x, p, g.expr("int", 2), g.expr("point", 2))
		g.line("\tdefer fmt.Println(\"deferred\", %s, %s, %s.sum(%s))", x, p, p, x)
		g.line("\tdefer func(n int) { fmt.Println(n, %s, %s.a) }(%s)", x, p, x)
		g.line("\tdefer %s.move(%s)", p, x)
		g.line("\tfor i := range 3 {\n\t\t\tdefer func() { fmt.Print(i, %s, \";\") }()\n\t\t}", x)
		g.line("\t%s++\n\t%s.a = %s", x, p, g.expr("int", 2))
		if g.random.IntN(3) == 0 {
			g.line("\tdefer func() { fmt.Println(recover()) }()")
			g.line("\tpanic(%s)", g.pick(g.expr("any", 2), "fmt.Sprint(1)", "errors.New(\"e\")", "level(3)", "point{1, 2, \"x\"}"))
		}
		g.line("}()")
	case 8:
		// A method value holds its receiver.
		p, f, h := g.name(), g.name(), g.name()
		g.line("%s := %s", p, g.expr("point", 2))
		g.line("%s, %s := %s.sum, %s", f, h, p, g.pick("(&"+p+").sum", "point.area", "(*point).move"))
		g.line("_ = %s", h)
		g.line("%s.a += 5", p)
		g.line("fmt.Println(%s(1), %s.sum(1))", f, p)
	case 9:
		g.assertions()
	case 10:
		// Values are copies.
		a, b := g.name(), g.name()
		g.line("%s := %s", a, g.expr(g.pick("[3]int"), 2))
		g.line("%s := %s", b, a)
		g.line("%s[1]++", b)
		g.line("fmt.Println(%s, %s, %s == %s)", a, b, a, b)
		g.line("for i, x := range %s {\n\t\t%s[2] = x + i\n\t}\n\tfmt.Println(%s)", a, a, a)
	case 11:
		m, k := g.name(), g.name()
		typ := g.pick("level", "string", "point", "any", "word", "[2]int", "float64")
		g.line("%s := map[%s]int{}", m, typ)
		key := func() string {
			if typ == "[2]int" {
				return "[2]int{" + g.expr("int", 1) + ", 1}"
			}
			return g.expr(typ, 1)
		}
		for range 3 {
			g.line("%s[%s]%s", m, key(), g.pick("++", " = 4", " += 2"))
		}
		g.line("%s, ok%s := %s[%s]\n\tfmt.Println(%s, ok%s, len(%s))", k, k, m, key(), k, k, m)
		// Rows are grouped by a key, which may be new.
		groups := g.name()
		g.line("%s := map[%s]group{}", groups, typ)
		g.line("for i, k := range []%s{%s, %s, %s, %s} {\n\t\tone, there := %s[k]\n\t\tone.rows, one.sum = append(one.rows, i), one.sum+float64(i)\n\t\t%s[k] = one\n\t\tn, ok := %s[k]\n\t\tn += 3\n\t\tfmt.Println(one, there, n, ok)\n\t}",
			typ, key(), key(), key(), key(), groups, groups, m)
		g.line("for k, v := range %s {\n\t\ttotal += v\n\t\tif v > 3 {\n\t\t\tdelete(%s, k)\n\t\t}\n\t}\n\tfmt.Println(total, len(%s))", m, m, m)
	case 12:
		// What fails says so.
		i := g.name()
		g.line("%s := %s", i, g.expr("int", 2))
		g.line("fmt.Println(guarded(func() {")
		g.line("\t"+g.pick(
			"x := []int{1, 2}\n\t\tfmt.Println(x[%s])", "var m map[string]int\n\t\tm[\"a\"] = %s", "fmt.Println(10 / (%s - %[1]s))", "var p *point\n\t\tp.a = %s",
			"var x any = %s\n\t\tfmt.Println(x.(string))", "x := make([]int, 2)\n\t\tfmt.Println(x[1:%s])", "var s shape\n\t\tfmt.Println(%s, s.area())", "var x any = level(%s)\n\t\tfmt.Println(x.(shape))",
			"fmt.Println(\"abc\"[%s:])", "panic(level(%s))", "m := map[any]int{}\n\t\tm[[]int{%s}]++"), i)
		g.line("}))")
	case 13:
		x := g.name()
		g.line("%s := strings.Split(%s+\",b,c\", \",\")", x, g.expr("string", 2))
		g.line("sort.Slice(%s, func(i, j int) bool { return %s[i] > %s[j] })", x, x, x)
		g.line("for i, r := range strings.Join(%s, %s) {\n\t\tif i > 2 {\n\t\t\tbreak\n\t\t}\n\t\tfmt.Print(i, string(r), r, \" \")\n\t}\n\tfmt.Println(len(%s))", x, g.expr("string", 1), x)
	case 14:
		g.line("fmt.Println(apply(%s, func(n int) %s), largest(%s, %s), largest(low, level(%s)))", g.expr("[]int", 2),
			g.pick("string { return fmt.Sprint(n) }", "level { return level(n) }", "point { return point{a: n} }"), g.expr("int", 1), g.expr("int", 1), g.expr("int", 1))
	case 15:
		e := g.name()
		g.line("if %s := fail(%s); %s != nil {\n\t\tvar f *failure\n\t\tfmt.Println(%s, errors.As(%s, &f), f != nil && f.code > 1)\n\t}", e, g.expr("int", 1), e, e, e)
	}
}

func (g *generator) loop() {
	if g.loops > 1 {
		return
	}
	g.loops++
	i := g.name()
	switch g.random.IntN(4) {
	case 0:
		g.line("for %s := 0; %s < %d; %s++ {", i, i, 1+g.random.IntN(4), i)
	case 1:
		g.line("for %s := range %d {", i, 1+g.random.IntN(4))
	case 2:
		g.line("for _, %s := range %s {", i, g.expr("[]int", 2))
	case 3:
		g.line("for %s := range %s {", i, g.expr("[]int", 2))
	}
	kept := len(g.vars)
	g.vars = append(g.vars, variable{i, "int"}) // only read: assignments would lengthen the loop
	g.depth++
	g.line("if %s %s %d {\n%s\t%s\n%[4]s}", i, g.pick("==", ">"), g.random.IntN(4), strings.Repeat("\t", g.depth), g.pick("continue", "break"))
	x := g.name()
	g.line("%s := %s", x, g.expr("int", 2))
	g.line("total += %s", x)
	g.depth--
	g.vars = g.vars[:kept]
	g.nested(1)
	g.line("}")
	g.loops--
}

func (g *generator) assertions() {
	x := g.name()
	g.line("var %s any = %s", x, g.expr(g.pick("int", "level", "point", "same", "word", "string", "*point", "ratio", "error", "[]int", "pair[string, int]", "shape"), 2))
	for _, t := range []string{g.pick("int", "level", "float64", "ratio"), g.pick("point", "same", "*point", "pair[string, int]"), g.pick("fmt.Stringer", "shape", "error")} {
		v := g.name()
		g.line("if %s, ok := %s.(%s); ok {\n\t\tfmt.Println(%q, %s != nil)\n\t} else {\n\t\tfmt.Println(\"no\", %q)\n\t}", v, x, t, t, "any("+v+")", t)
	}
	g.line("switch y := %s.(type) {", x)
	g.line("case int, string:\n\t\tfmt.Println(\"basic\", y)\n\tcase level:\n\t\ty.raise(2)\n\t\tfmt.Println(y)\n\tcase point:\n\t\ty.move(1)\n\t\tfmt.Println(y)\n\tcase *point:\n\t\tfmt.Println(y.a)\n\tcase shape:\n\t\tfmt.Println(y.area())\n\tcase nil:\n\t\tfmt.Println(\"nil\")\n\tdefault:\n\t\tfmt.Printf(\"%%T\\n\", y)\n\t}")
}

// expr writes an expression of a type.
func (g *generator) expr(typ string, depth int) string {
	if v := g.of(typ); v != "" && g.random.IntN(3) == 0 {
		return v
	}
	n := func(t string) string { return g.expr(t, depth-1) }
	flat := depth <= 0
	small := g.random.IntN(9)
	switch typ {
	case "int":
		if flat {
			return fmt.Sprintf("val(%d)", small)
		}
		return g.pick(fmt.Sprint(small), "calls/3", "third", "share", "mebi%1000", "total%7", "-("+n("int")+")",
			"("+n("int")+g.pick(" + ", " - ", " * ", " & ", " | ", " ^ ")+n("int")+")", "("+n("int")+g.pick(" / ", " % ")+"("+n("int")+" | 1))",
			"(val("+n("int")+")"+g.pick(" << ", " >> ")+"("+n("uint8")+" & 3))", "int("+n("int8")+")", "int("+n("uint8")+")", "int("+n("level")+")", "len("+n("string")+")", "len("+n("[]int")+")",
			n("point")+".a", n("point")+".sum("+n("int")+")", "min("+n("int")+", 5, "+n("int")+")", "max("+n("int")+", 2)", n("func(int) int")+"("+n("int")+")", n("[3]int")+"[1]")
	case "int8", "uint8", "int64", "uint32":
		if flat {
			return fmt.Sprintf("val(%s(%d))", typ, small)
		}
		return g.pick(fmt.Sprintf("val(%s(%d))", typ, 100+small), typ+"(val("+n("int")+"))", "("+n(typ)+g.pick(" + ", " * ", " - ", " &^ ")+n(typ)+")", "("+n(typ)+" << ("+n("uint8")+" & 7))", "^("+n(typ)+")", "-("+n(typ)+")", "("+n(typ)+" / ("+n(typ)+" | 1))")
	case "float64":
		if flat {
			return fmt.Sprintf("val(%d.5)", small)
		}
		return g.pick("val[float64](1 - calls/300)", "val[float64](precise)", "val[float64](share)", "val[float64](5 / 2)", "val[float64](mebi / 3)", "float64("+n("int")+")", "float64("+n("float32")+")", "float64("+n("ratio")+")", "("+n("float64")+g.pick(" + ", " - ", " * ", " / ")+n("float64")+")",
			"-("+n("float64")+")", "math.Sqrt("+n("float64")+")", n("point")+".area()", n("shape")+".area()", "math.Floor("+n("float64")+")", "min("+n("float64")+", 0)", "real("+n("complex128")+")")
	case "float32":
		return g.pick("val(float32(1) / 3)", "float32("+g.expr("int", depth-1)+") * 0.1", "val[float32](1.5)")
	case "complex128":
		if flat {
			return "val(complex(1, 2))"
		}
		return g.pick("complex("+n("float64")+", 1)", "("+n("complex128")+g.pick(" + ", " * ", " - ")+n("complex128")+")", "val(2i)", "-("+n("complex128")+")")
	case "string":
		if flat {
			return g.pick(`"a"`, `"é"`, `""`, `"a b"`)
		}
		return g.pick(`"x"`, "("+n("string")+" + "+n("string")+")", "fmt.Sprint("+n("any")+")", "string("+n("word")+")", "strings.ToUpper("+n("string")+")", "level("+n("level")+").String()", "string([]byte("+n("string")+"))",
			"string(rune('a' + "+n("uint8")+"%26))", `fmt.Sprintf("%d|%v|%s", `+n("int")+", "+n("point")+", "+n("level")+")", n("pair[string, int]")+".swap()")
	case "bool":
		if flat {
			return g.pick("true", "false")
		}
		return g.pick("("+n("int")+g.pick(" < ", " == ", " >= ")+n("int")+")", "("+n("string")+g.pick(" < ", " != ")+n("string")+")", "!"+n("bool"), "("+n("bool")+g.pick(" && ", " || ")+n("bool")+")", "("+n("any")+" == "+n("any")+")",
			"("+n("point")+" == "+n("point")+")", "(any("+n("level")+") == any("+n("int")+"))", "("+n("float64")+" > "+n("float64")+")", "("+n("shape")+" == "+n("shape")+")", "("+n("[3]int")+" == "+n("[3]int")+")", "(fail("+n("int")+") == nil)")
	case "level":
		return g.pick("low", "mid", "high", fmt.Sprintf("level(%d)", small), "level("+g.expr("int", depth-1)+")", "low + 1", "high / 3")
	case "ratio":
		return g.pick("ratio(0.5)", "ratio("+g.expr("float64", depth-1)+")", "val[ratio](1 / 4.0)", "val[ratio](third / 2)")
	case "word":
		return g.pick(`word("w")`, "word("+g.expr("string", depth-1)+")")
	case "point", "same":
		if flat {
			return typ + `{1, 2, "p"}`
		}
		other := map[string]string{"point": "same", "same": "point"}[typ]
		return g.pick(typ+"{}", typ+"{a: "+n("int")+"}", typ+"{"+n("int")+", "+n("float64")+", "+n("string")+"}", typ+"("+n(other)+")", "(*(&"+typ+"{b: "+n("float64")+"}))")
	case "*point":
		return g.pick("&point{a: "+g.expr("int", depth-1)+"}", "new(point)")
	case "[]int":
		if flat {
			return g.pick("[]int{1, 2, 3}", "[]int(nil)")
		}
		return g.pick("[]int{"+n("int")+", "+n("int")+"}", "append("+n("[]int")+", "+n("int")+")", "append([]int{0}, "+n("[]int")+"...)", "make([]int, "+fmt.Sprint(small)+")", "[]int{2: 7, 5}", "append([]int(nil), 1, 2, 3)[1:]")
	case "[3]int":
		return g.pick("[3]int{1, 2}", "[...]int{"+g.expr("int", depth-1)+", 2: 4}", "[3]int{}")
	case "[]point":
		return g.pick("[]point{{}, {a: "+g.expr("int", depth-1)+"}}", "[]point(nil)")
	case "map[string]int":
		return g.pick(`map[string]int{"k": `+g.expr("int", depth-1)+`, "j": 2}`, "map[string]int{}")
	case "map[any]int":
		return g.pick("map[any]int{level(1): 1, 1: 2, 1.5: 3}", `map[any]int{point{}: 1, same{}: 2, "s": 3}`)
	case "any":
		if flat {
			return g.pick("any(1)", `any("s")`, "any(nil)")
		}
		t := g.pick("int", "float64", "string", "level", "point", "same", "ratio", "bool", "word", "pair[string, int]")
		return "any(" + n(t) + ")"
	case "shape":
		return g.pick("shape("+g.expr("point", depth-1)+")", "shape(ratio("+g.expr("int", depth-1)+"))", "shape(&point{a: 3})")
	case "error":
		return g.pick("error(nil)", "error(&failure{"+g.expr("int", depth-1)+"})", `errors.New("plain")`, "fail("+g.expr("int", depth-1)+")")
	case "func(int) int":
		v := ""
		if w := g.of("int"); w != "" {
			v = " + " + w
		}
		return g.pick("func(n int) int { return n"+v+" }", "point{a: 2}.sum", "func(n int) int { n *= 2; return n }")
	case "box":
		return g.pick("box{}", "box{point: "+g.expr("point", depth-1)+", l: "+g.expr("level", depth-1)+"}", "box{list: "+g.expr("[]int", depth-1)+", next: &box{}}")
	case "pair[string, int]":
		return "pair[string, int]{" + g.expr("string", depth-1) + ", " + g.expr("int", depth-1) + "}"
	case "pair[level, float64]":
		return "pair[level, float64]{" + g.expr("level", depth-1) + ", " + g.expr("float64", depth-1) + "}"
	}
	panic("no expression of type " + typ)
}
