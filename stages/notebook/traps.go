package notebook

import (
	"go/ast"
	"go/types"

	"barograph/stages/notebook/symbols"
)

// A reporter notes something wrong at a node, with advice.
type reporter func(n ast.Node, hint, format string, args ...any)

// traps reports what compiles and must not be interpreted: what a notebook may
// not use, and what the interpreter would do otherwise than the compiler, most
// of it in silence.
func traps(file *ast.File, pkg *types.Package, info *types.Info, report reporter) {
	t := trapper{pkg: pkg, info: info, report: report}
	ast.Inspect(file, t.node)
}

type trapper struct {
	pkg    *types.Package
	info   *types.Info
	report reporter
}

func (t *trapper) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		t.report(n, "loops over samples belong in the functions of nb, which are compiled", "a notebook runs in one goroutine")
	case *ast.FuncType:
		if n.TypeParams != nil {
			t.report(n.TypeParams, "write it for the types you use", "the interpreter has no generic functions")
		}
	case *ast.TypeSpec:
		if n.TypeParams != nil {
			t.report(n, "write it for the types you use", "the interpreter has no generic types")
			return true
		}
		t.implements(n)
	case *ast.RangeStmt:
		t.captured(n.Body, n.Key, n.Value)
	case *ast.Ident:
		t.use(n)
	}
	return true
}

// missing lists the functions that Go builds in and a notebook has to do without.
var missing = map[string][2]string{
	"min":     {"the interpreter has no min", "write math.Min, or an if"},
	"max":     {"the interpreter has no max", "write math.Max, or an if"},
	"clear":   {"the interpreter has no clear", "make a new one"},
	"recover": {"a notebook may not recover", "what fails must be seen to fail"},
}

func (t *trapper) use(id *ast.Ident) {
	switch o := t.info.Uses[id].(type) {
	case *types.Builtin:
		if m := missing[o.Name()]; m[0] != "" {
			t.report(id, m[1], "%s", m[0])
		}
	case *types.Func, *types.TypeName, *types.Var, *types.Const:
		if o.Pkg() != nil && o.Parent() == o.Pkg().Scope() {
			if why := symbols.Refused(o.Pkg().Path(), o.Name()); why != "" {
				t.report(id, why, "a notebook may not use %s.%s", o.Pkg().Name(), o.Name())
			}
		}
	}
}

// carried lists the interfaces that a notebook's types keep when they are handed
// to a compiled function. Through any other they lose their methods: fmt would
// not call String, and a plot not ask for DataRange.
var carried = map[string]bool{
	"sort.Interface":                 true,
	"gonum.org/v1/plot/plotter.XYer": true,
}

// implements reports a type of the notebook that implements an interface of a
// package which the interpreter cannot carry.
func (t *trapper) implements(spec *ast.TypeSpec) {
	name, ok := t.info.Defs[spec.Name].(*types.TypeName)
	if !ok || name.IsAlias() || types.IsInterface(name.Type()) {
		return
	}
	check := func(as string, i *types.Interface) bool {
		if i.NumMethods() == 0 || carried[as] || !types.Implements(types.NewPointer(name.Type()), i) {
			return false
		}
		t.report(spec, "write functions in place of the methods", "the interpreter cannot hand %s to a package as %s", name.Name(), as)
		return true
	}
	if check("error", types.Universe.Lookup("error").Type().Underlying().(*types.Interface)) {
		return
	}
	if check("fmt.Stringer", stringer) {
		return
	}
	for _, p := range t.pkg.Imports() {
		for _, n := range p.Scope().Names() {
			o, ok := p.Scope().Lookup(n).(*types.TypeName)
			if !ok || !o.Exported() {
				continue
			}
			if i, ok := o.Type().Underlying().(*types.Interface); ok && i.IsMethodSet() && check(p.Path()+"."+n, i) {
				return
			}
		}
	}
}

// stringer is fmt.Stringer, which matters whether or not a notebook imports fmt.
var stringer = types.NewInterfaceType([]*types.Func{
	types.NewFunc(0, nil, "String", types.NewSignatureType(nil, nil, nil, nil,
		types.NewTuple(types.NewVar(0, nil, "", types.Typ[types.String])), false)),
}, nil).Complete()

// captured reports a function literal that uses the variables of a range loop
// and may run after the turn that made it: by then the interpreter's index is
// one further than the compiler's.
func (t *trapper) captured(body *ast.BlockStmt, vars ...ast.Expr) {
	loop := map[types.Object]bool{}
	for _, v := range vars {
		if id, ok := v.(*ast.Ident); ok && t.info.Defs[id] != nil {
			loop[t.info.Defs[id]] = true
		}
	}
	if len(loop) == 0 {
		return
	}
	atOnce := map[ast.Node]bool{}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.DeferStmt: // its call is not made now
			for _, arg := range append([]ast.Expr{n.Call.Fun}, n.Call.Args...) {
				delete(atOnce, arg)
				t.uses(arg, loop)
			}
			return false
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "append" {
				return true
			}
			atOnce[n.Fun] = true
			for _, arg := range n.Args {
				atOnce[arg] = true // as in sort.Slice(x, func...)
			}
		case *ast.FuncLit:
			if !atOnce[n] {
				t.uses(n, loop)
				return false
			}
		}
		return true
	})
}

// uses reports the first use of a loop's variable within a function literal.
func (t *trapper) uses(n ast.Node, loop map[types.Object]bool) {
	lit, ok := n.(*ast.FuncLit)
	if !ok {
		return
	}
	done := false
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !done && loop[t.info.Uses[id]] {
			done = true
			t.report(id, "copy it first: "+id.Name+" := "+id.Name, "the function keeps the loop's variable %s, which goes on changing", id.Name)
		}
		return !done
	})
}
