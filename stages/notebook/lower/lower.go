// Package lower rewrites a notebook into the part of Go on which the interpreter
// and the compiler agree.
//
// The notebook is type-checked and brought into single-assignment form by
// golang.org/x/tools/go/ssa, which settles what the two see differently: constant
// expressions are values of their type, operands of deferred calls and method
// values are variables, every turn of a loop has its own, generic functions are
// written out for their types. From that form a Go program of the simplest
// statements is written: assignments of one operation, calls, jumps. It has none
// of the notebook's own types but structs; what depends on a type at run time is
// done by package kernel. What has no such form is refused, with its place.
package lower

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"reflect"
	"slices"
	"strings"

	"barograph/stages/notebook/lower/form"
	"barograph/stages/notebook/lower/kernel"

	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/types/typeutil"
)

// Names of the packages through which a lowered notebook reaches the kernel and
// the constants that have no simple form.
const (
	Kernel = "barograph.kernel"
	kern   = form.Kernel
)

// Position is the variable that holds the position of what is being done.
const Position = "Barograph_position"

// A Program is a lowered notebook.
type Program struct {
	Text    string   // Go, for the interpreter
	Imports []string // of compiled packages that it uses
	// Exports are the kernel's functions, for the import Kernel.
	Exports map[string]reflect.Value
	machine *kernel.Machine
}

// Failed returns where a panic began that deferred calls ran after; else it is not
// valid, and the variable Position tells.
func (p *Program) Failed() token.Pos { return token.Pos(p.machine.Failed) }

// A Refusal is what cannot be lowered.
type Refusal = form.Refusal

// File lowers a notebook that the type checker has passed. Packages are those it
// may import, and exports their values in the interpreter's form. The error is of
// type *[Refusal] where the notebook is at fault.
func File(fset *token.FileSet, file *ast.File, pkg *types.Package, info *types.Info,
	packages map[string]*types.Package, exports func(path string) map[string]reflect.Value) (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			refusal, ok := r.(*Refusal)
			if !ok {
				panic(r)
			}
			p, err = nil, refusal
		}
	}()
	prog := ssa.NewProgram(fset, ssa.InstantiateGenerics|ssa.BuildSerially|ssa.BareInits)
	// A function or variable that a file names is of a package that it imports;
	// methods of others are made when they are met.
	for _, p := range pkg.Imports() {
		prog.CreatePackage(p, nil, nil, true)
	}
	machine := kernel.New(packages, exports)
	for _, p := range pkg.Imports() {
		machine.Roots = append(machine.Roots, p.Path())
	}
	main := prog.CreatePackage(pkg, []*ast.File{file}, info, false)
	main.Build()

	e := &emitter{
		prog: prog, main: main, Forms: form.New(machine),
		functions: map[*ssa.Function]string{}, boxes: &typeutil.Map{}, parts: &typeutil.Map{},
		invoked: map[string]*invocation{}, valued: map[string]bool{}, globals: map[*ssa.Global]string{}, recovers: uses(file, info, "recover"), measured: measured(file),
	}
	return e.program(), nil
}

// measured returns the places of the arrays that loops range over by their length
// alone, which Go does not read.
func measured(file *ast.File) map[token.Pos]bool {
	places := map[token.Pos]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		r, ok := n.(*ast.RangeStmt)
		if !ok || r.Value != nil {
			return true
		}
		calls := false
		ast.Inspect(r.X, func(n ast.Node) bool {
			_, is := n.(*ast.CallExpr)
			calls = calls || is
			return true
		})
		if star, ok := ast.Unparen(r.X).(*ast.StarExpr); ok && !calls {
			places[star.Pos()] = true
		}
		return true
	})
	return places
}

// uses tells whether a file uses a built-in function.
func uses(file *ast.File, info *types.Info, name string) bool {
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if b, is := info.Uses[id].(*types.Builtin); ok && is && b.Name() == name {
			found = true
		}
		return !found
	})
	return found
}

// An emitter writes a program.
type emitter struct {
	prog *ssa.Program
	main *ssa.Package
	*form.Forms

	out       strings.Builder
	functions map[*ssa.Function]string // their names
	queue     []*ssa.Function
	globals   map[*ssa.Global]string
	boxed     []types.Type  // own types that are put into interfaces
	boxes     *typeutil.Map // the same, as a set
	parts     *typeutil.Map // types that such are made of
	invoked   map[string]*invocation
	order     []*invocation
	valued    map[string]bool    // functions that are values
	measured  map[token.Pos]bool // where arrays are not read
	recovers  bool               // some function recovers
	counter   int
}

// An invocation is a method that is called on a value in an interface.
type invocation struct {
	name, function string
	method         *types.Func
	done           int // of the boxed types
	sig            *types.Signature
	cases          []string
}

func (e *emitter) program() *Program {
	init := e.function(e.main.Func("init"))
	main := e.function(e.main.Func("main"))
	for len(e.queue) > 0 || e.dispatch() {
		f := e.queue[0]
		e.queue = e.queue[1:]
		e.emit(f)
	}
	e.dispatchers()

	var b strings.Builder
	b.WriteString("package main\n\n")
	paths := slices.Sorted(maps.Keys(e.Imports))
	for _, path := range paths {
		fmt.Fprintf(&b, "import %s %q\n", e.Imports[path], path)
	}
	fmt.Fprintf(&b, "import %s %q\n\nvar %s int\n\n", kern, Kernel, Position)
	var globals []string
	for g, name := range e.globals {
		typ := e.Type(g.Type().(*types.Pointer).Elem())
		fmt.Fprintf(&b, "var %s *%s\n", name, typ)
		globals = append(globals, fmt.Sprintf("\t%s = new(%s)\n", name, typ))
	}
	slices.Sort(globals)
	b.WriteString(e.Declared.String())
	b.WriteString(e.out.String())
	fmt.Fprintf(&b, "\nfunc main() {\n\t%s.Where(func() int { return %s })\n%s", kern, Position, strings.Join(globals, ""))
	for _, i := range e.order {
		if len(i.cases) > 0 && i.method.Exported() {
			fmt.Fprintf(&b, "\t%s.Use(%q, %s)\n", kern, i.method.Name(), i.function)
		}
	}
	fmt.Fprintf(&b, "\t%s()\n\t%s()\n}\n", init, main)
	return &Program{Text: b.String(), Imports: paths, Exports: e.exports(), machine: e.Machine}
}

// exports are the functions that the program calls.
func (e *emitter) exports() map[string]reflect.Value {
	m := e.Machine
	functions := map[string]any{
		"Box": m.Box, "Unbox": kernel.Unbox, "In": kernel.In, "Out": kernel.Out, "Plain": kernel.Plain, "AsError": kernel.AsError,
		"Outs": kernel.Outs, "Equal": kernel.Equal, "Is": m.Is, "Implements": m.Implements, "Refuse": m.Refuse, "Method": kernel.Method,
		"Wrap": m.Wrap, "As": m.As, "NewFrame": m.Frame, "Defer": kernel.Defer, "Run": kernel.Run, "RunDefers": kernel.RunDefers,
		"Recovered": func(f *kernel.Frame) bool { return f.Recovered },
		"Enter":     m.Enter, "Recover": m.Recover, "Panic": kernel.Panic, "Range": kernel.Range, "Rune": kernel.Rune, "Clear": kernel.Clear,
		"Next": (*kernel.Iterator).Next, "At": (*kernel.Iterator).At, "Held": (*kernel.Iterator).Held,
		"Array": kernel.Array, "Bounds": kernel.Bounds, "Index": kernel.Index, "Shift": kernel.Shift, "Size": kernel.Size, "Room": kernel.Room, "Single": kernel.Single, "SingleUnsigned": kernel.SingleUnsigned, "Min": kernel.Min, "Max": kernel.Max,
		"HoldsNegativeZero": kernel.HoldsNegativeZero, "Call": kernel.Call, "Hashable": kernel.Hashable, "Negative": kernel.Negative, "Send": kernel.Send, "Receive": kernel.Receive, "Select": kernel.Select, "Print": kernel.Print, "Sprintf": kernel.Sprintf,
		"Open":    kernel.Open,
		"Where":   func(f func() int) { m.Where = f },
		"Use":     func(name string, f any) { m.Methods[name] = reflect.ValueOf(f) },
		"Wrapped": kernel.Wrapped, "Missing": func() any { return kernel.Missing },
		"Frame": (*kernel.Frame)(nil), "Iterator": (*kernel.Iterator)(nil),
	}
	values := map[string]reflect.Value{}
	for name, f := range functions {
		values[name] = reflect.ValueOf(f)
	}
	maps.Copy(values, e.Foreign)
	return values
}

// box notes that values of an own type are put into interfaces, and returns its
// number. What it is made of may be printed with it.
func (e *emitter) box(t types.Type) int {
	n := e.ID(t)
	if e.boxes.At(t) != nil {
		return n
	}
	e.boxes.Set(t, true)
	e.boxed = append(e.boxed, t)
	for _, name := range printing {
		if sel := e.prog.MethodSets.MethodSet(t).Lookup(nil, name); sel != nil {
			e.invoke(sel.Obj().(*types.Func))
		}
	}
	e.boxParts(t)
	return n
}

// boxParts does as box does for the own types that a type is made of, if they
// have methods.
func (e *emitter) boxParts(t types.Type) {
	part := func(t types.Type) {
		if !e.Own(t) || types.IsInterface(t) || e.boxes.At(t) != nil {
			return
		}
		if e.prog.MethodSets.MethodSet(t).Len() > 0 {
			e.box(t)
			return
		}
		if e.parts.At(t) == nil {
			e.parts.Set(t, true)
			e.boxParts(t)
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		part(u.Elem())
	case *types.Slice:
		part(u.Elem())
	case *types.Array:
		part(u.Elem())
	case *types.Map:
		part(u.Key())
		part(u.Elem())
	case *types.Struct:
		for i := range u.NumFields() {
			part(u.Field(i).Type())
		}
	}
}

// printing lists the methods that fmt and errors ask values for.
var printing = []string{"Error", "String", "GoString", "Format", "Unwrap", "Is"}

// function returns the name of a function of the notebook, which will be written.
func (e *emitter) function(f *ssa.Function) string {
	if name := e.functions[f]; name != "" {
		return name
	}
	name := fmt.Sprintf("f%d_%s", len(e.functions), strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, f.Name()))
	e.functions[f] = name
	e.queue = append(e.queue, f)
	return name
}

// invoke returns the name of the function that calls a method of a value in an
// interface.
func (e *emitter) invoke(m *types.Func) string {
	sig := m.Signature()
	key := m.Id() + " " + e.Signature(sig, nil)
	if i := e.invoked[key]; i != nil {
		return i.function
	}
	i := &invocation{name: m.Name(), function: fmt.Sprintf("i%d_%s", len(e.invoked), m.Name()), method: m, sig: sig}
	e.invoked[key] = i
	e.order = append(e.order, i)
	return i.function
}

// dispatch gives every invocation a case for each type that it may meet, and
// tells whether there are functions to write for that.
func (e *emitter) dispatch() bool {
	for k := 0; k < len(e.order); k++ {
		i := e.order[k]
		for ; i.done < len(e.boxed); i.done++ {
			t := e.boxed[i.done]
			sel := e.prog.MethodSets.MethodSet(t).Lookup(i.method.Pkg(), i.method.Name())
			if sel == nil || !types.Identical(sel.Type(), i.sig) { // receivers do not count
				continue
			}
			i.cases = append(i.cases, fmt.Sprintf("%d %s", e.ID(t), e.callMethod(sel, t)))
		}
	}
	return len(e.queue) > 0
}

// callMethod writes the call of a method on a boxed value.
func (e *emitter) callMethod(sel *types.Selection, t types.Type) string {
	f := e.prog.MethodValue(sel)
	if f == nil {
		e.Refuse(sel.Obj().Pos(), "", "method %s of %s cannot be interpreted", sel.Obj().Name(), t)
	}
	return e.function(f) + " " + e.Type(t)
}

// dispatchers writes the functions that call methods of values in interfaces.
func (e *emitter) dispatchers() {
	for _, i := range e.order {
		names := []string{}
		for k := range i.sig.Params().Len() {
			names = append(names, fmt.Sprintf("p%d", k))
		}
		var params []string
		for k, n := range names {
			text := e.Type(i.sig.Params().At(k).Type())
			if i.sig.Variadic() && k == len(names)-1 && !e.Own(i.sig) {
				text = "..." + strings.TrimPrefix(text, "[]")
			}
			params = append(params, n+" "+text)
		}
		results := e.Results(i.sig)
		fmt.Fprintf(&e.out, "func %s(%s)%s {\n", i.function, strings.Join(append([]string{"e interface{}"}, params...), ", "), results)
		n := i.sig.Results().Len()
		if n > 0 {
			var vars []string
			for k := range n {
				fmt.Fprintf(&e.out, "\tvar r%d %s\n", k, e.Type(i.sig.Results().At(k).Type()))
				vars = append(vars, fmt.Sprintf("r%d", k))
			}
			results = strings.Join(vars, ", ")
		}
		e.out.WriteString("\tvar id int\n\tvar all []interface{}\n\tvar u interface{}\n")
		tail := ""
		if len(names) > 0 {
			tail = ", " + strings.Join(names, ", ")
		}
		for _, c := range i.cases {
			part := strings.SplitN(c, " ", 3)
			fmt.Fprintf(&e.out, "\tvar x%s %s\n", part[0], part[2])
		}
		e.out.WriteString("\tid, u = " + kern + ".Open(e)\n")
		for _, c := range i.cases {
			part := strings.SplitN(c, " ", 3)
			fmt.Fprintf(&e.out, "\tif id == %s {\n\t\tx%[1]s = u.(%s)\n", part[0], part[2])
			if n > 0 {
				fmt.Fprintf(&e.out, "\t\t%s = %s(x%s%s)\n\t\treturn %s\n\t}\n", results, part[1], part[0], tail, results)
			} else {
				fmt.Fprintf(&e.out, "\t\t%s(x%s%s)\n\t\treturn\n\t}\n", part[1], part[0], tail)
			}
		}
		fmt.Fprintf(&e.out, "\tall = %s.Method(e, %q%s)\n", kern, i.method.Name(), tail)
		for k := range n {
			t := i.sig.Results().At(k).Type()
			switch typ := e.Type(t); {
			case typ == "interface{}":
				fmt.Fprintf(&e.out, "\tr%d = all[%d]\n", k, k)
			case types.IsInterface(t):
				fmt.Fprintf(&e.out, "\tif all[%d] != nil {\n\t\tr%d = all[%d].(%s)\n\t}\n", k, k, k, typ)
			default:
				fmt.Fprintf(&e.out, "\tr%d = all[%d].(%s)\n", k, k, typ)
			}
		}
		if n > 0 {
			fmt.Fprintf(&e.out, "\treturn %s\n", results)
		}
		e.out.WriteString("}\n\n")
	}
}
