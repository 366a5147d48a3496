package script

import (
	"go/ast"
	"go/types"
	"strings"

	"barograph/stages/notebook/order"
	"barograph/stages/notebook/symbols"
)

// A reporter notes something wrong at a node, with advice.
type reporter func(n ast.Node, hint, format string, args ...any)

// traps reports what compiles and must not be interpreted: what a notebook may
// not use, and what the interpreter would do otherwise than the compiler, most
// of it in silence.
func traps(file *ast.File, pkg *types.Package, info *types.Info, report reporter) {
	t := trapper{pkg: pkg, info: info, report: report, fine: map[*ast.Ident]bool{}}
	ast.Inspect(file, t.node)
	for _, d := range order.Find(file, info) {
		call, read := short(d.Call), short(d.Read)
		what := "%s may be read before or after the call %s, which may change it: Go leaves that open"
		if d.Panics {
			what = "%s may fail before or after the call %s, and something recovers: Go leaves the order open"
		}
		report(d.Call, "put the call into a variable first: v := "+call, what, read, call)
	}
}

// short is an expression as messages show it.
func short(e ast.Expr) string {
	text := types.ExprString(e)
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

type trapper struct {
	pkg    *types.Package
	info   *types.Info
	report reporter
	fine   map[*ast.Ident]bool // of functions that surprise, where they do not
}

func (t *trapper) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		t.report(n, "loops over samples belong in the functions of nb, which are compiled", "a notebook runs in one goroutine")
	case *ast.TypeSpec:
		t.implements(n)
	case *ast.CallExpr:
		t.call(n)
	case *ast.InterfaceType:
		t.interfaces(n)
	case *ast.Ident:
		t.use(n)
	}
	return true
}

func (t *trapper) use(id *ast.Ident) {
	if f, ok := t.info.Uses[id].(*types.Func); ok {
		t.surprised(id, f)
	}
	switch o := t.info.Uses[id].(type) {
	case *types.Func, *types.TypeName, *types.Var, *types.Const:
		if o.Pkg() != nil && o.Parent() == o.Pkg().Scope() {
			if why := symbols.Refused(o.Pkg().Path(), o.Name()); why != "" {
				t.report(id, why, "a notebook may not use %s.%s", o.Pkg().Name(), o.Name())
			}
		}
	}
}

// known lists the packages that ask for a type's methods in ways which a notebook's
// types answer.
var known = map[string]bool{"fmt": true, "errors": true, "sort": true}

// implements reports a type of the notebook that implements several interfaces of
// a package: handed over as one of them, it would not have the others' methods.
func (t *trapper) implements(spec *ast.TypeSpec) {
	name, ok := t.info.Defs[spec.Name].(*types.TypeName)
	if !ok || name.IsAlias() || types.IsInterface(name.Type()) || spec.TypeParams != nil {
		return
	}
	for _, p := range t.pkg.Imports() {
		if known[p.Path()] {
			continue
		}
		var as []string
		for _, n := range p.Scope().Names() {
			o, ok := p.Scope().Lookup(n).(*types.TypeName)
			if !ok || !o.Exported() || o.IsAlias() {
				continue
			}
			if i, ok := o.Type().Underlying().(*types.Interface); ok && i.IsMethodSet() && i.NumMethods() > 0 && types.Implements(types.NewPointer(name.Type()), i) {
				as = append(as, p.Path()+"."+n)
			}
		}
		if len(as) > 1 {
			t.report(spec, "give each a type of its own, or write functions in place of the methods",
				"the interpreter hands %s to a package as one of %s, not as all", name.Name(), strings.Join(as, ", "))
		}
	}
}
