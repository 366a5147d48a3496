// Package order finds where the value of a statement depends on an order that Go
// leaves open: a variable is read in the same statement as a call that may write
// it. The specification orders calls among themselves and not reads against calls
// ("Order of evaluation"), and the compiler and the interpreter take different
// orders: in `s.n + s.next()` the compiler calls first and the interpreter reads
// first.
//
// What a call may write is told by types: all that the functions which it can reach
// assign to, where memory behind pointers, slices and maps is one place for each
// field and each type of element. So a report may be one too many, and only where
// the function does write such a place; none is missing but for memory that a
// compiled function writes through an argument that it keeps.
package order

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// A Doubt is a read and a call whose order Go leaves open.
type Doubt struct {
	Read, Call ast.Expr
	// Panics tells that the read may panic, and that this is what the order decides.
	Panics bool
}

// Find returns the doubts of a file, in its order.
func Find(file *ast.File, info *types.Info) []Doubt {
	f := &finder{program: newProgram(file, info)}
	for _, d := range file.Decls {
		if _, function := d.(*ast.FuncDecl); !function {
			shallow(d, f.node)
		}
	}
	for key, body := range f.bodies {
		f.recovers = f.guarded[key]
		shallow(body, f.node)
	}
	slices.SortFunc(f.doubts, func(a, b Doubt) int { return cmp.Compare(a.Call.Pos(), b.Call.Pos()) })
	return f.doubts
}

// A finder goes through statements.
type finder struct {
	*program
	recovers bool   // what panics here may be recovered
	waiting  []read // by the parts of a statement that are evaluated, and not yet used
	doubts   []Doubt
}

// A read is a part of a statement that has been evaluated when a later part is
// called, in the interpreter, or only afterwards, in compiled code.
type read struct {
	at   ast.Expr
	from place // nothing for what may only panic
	// panics tells that it may.
	panics bool
}

// node evaluates the statements among nodes.
func (f *finder) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		f.assign(n)
	case *ast.ValueSpec:
		f.list(n.Values...)
	case *ast.ReturnStmt:
		f.list(n.Results...)
	case *ast.ExprStmt:
		f.value(n.X)
	case *ast.SendStmt:
		f.list(n.Chan, n.Value)
	case *ast.IncDecStmt:
		f.address(n.X)
	case *ast.GoStmt:
		f.value(n.Call)
	case *ast.DeferStmt:
		f.value(n.Call)
	case *ast.IfStmt:
		f.value(n.Cond)
	case *ast.ForStmt:
		f.value(n.Cond)
	case *ast.SwitchStmt:
		f.value(n.Tag)
	case *ast.RangeStmt:
		f.value(n.X)
	case *ast.CaseClause:
		for _, e := range n.List {
			if !f.info.Types[e].IsType() {
				f.value(e)
			}
		}
	}
}

func (f *finder) assign(n *ast.AssignStmt) {
	var parts [][]read
	sequence := func(next func() []read) { parts = f.after(parts, next) }
	for _, l := range n.Lhs {
		sequence(func() []read {
			if n.Tok == token.DEFINE {
				return nil
			}
			pending := f.address(l)
			// The compiler reads m[k] before the other operand in m[k] /= f().
			if at := f.located(l); n.Tok != token.ASSIGN && at.kind == table {
				pending = append(pending, read{at: l, from: at})
			}
			return pending
		})
	}
	for _, r := range n.Rhs {
		sequence(func() []read { return f.value(r) })
	}
}

// list evaluates expressions one after the other, and returns what is read and
// not yet used.
func (f *finder) list(list ...ast.Expr) []read {
	var parts [][]read
	for _, e := range list {
		parts = f.after(parts, func() []read { return f.value(e) })
	}
	return slices.Concat(parts...)
}

// after evaluates the next part of a statement: what earlier parts have read is
// held against the calls in it.
func (f *finder) after(parts [][]read, next func() []read) [][]read {
	outer := f.waiting
	f.waiting = append(f.waiting, slices.Concat(parts...)...)
	pending := next()
	f.waiting = outer
	return append(parts, pending)
}

// value evaluates an expression, and returns what is read and not yet used: what
// no call has taken.
func (f *finder) value(e ast.Expr) []read {
	switch e := e.(type) {
	case nil, *ast.FuncLit, *ast.BasicLit, *ast.ArrayType, *ast.MapType, *ast.FuncType, *ast.StructType, *ast.InterfaceType, *ast.ChanType, *ast.Ellipsis:
		return nil
	case *ast.ParenExpr:
		return f.value(e.X)
	case *ast.Ident:
		return f.load(e, nil)
	case *ast.SelectorExpr:
		return f.selector(e)
	case *ast.StarExpr:
		return f.load(e, f.value(e.X))
	case *ast.IndexExpr:
		if f.info.Types[e.Index].IsType() || f.isGeneric(e.X) {
			return f.value(e.X)
		}
		return f.load(e, f.address(e))
	case *ast.IndexListExpr:
		return f.value(e.X)
	case *ast.SliceExpr:
		x := func() []read { return f.value(e.X) }
		if _, array := f.typeOf(e.X).Underlying().(*types.Array); array {
			x = func() []read { return f.address(e.X) }
		}
		return f.risk(e, f.sequence(x, f.later(e.Low), f.later(e.High), f.later(e.Max)))
	case *ast.UnaryExpr:
		if e.Op == token.AND {
			return f.address(e.X)
		}
		return f.value(e.X)
	case *ast.BinaryExpr:
		if e.Op == token.LAND || e.Op == token.LOR {
			f.value(e.X) // which is settled before the other
			f.value(e.Y)
			return nil
		}
		pending := f.list(e.X, e.Y)
		if divides := e.Op == token.QUO || e.Op == token.REM; divides && isInteger(f.typeOf(e)) || (e.Op == token.SHL || e.Op == token.SHR) && isSigned(f.typeOf(e.Y)) {
			if f.info.Types[e.Y].Value == nil {
				pending = f.risk(e, pending)
			}
		}
		return pending
	case *ast.TypeAssertExpr:
		return f.risk(e, f.value(e.X))
	case *ast.CompositeLit:
		return f.composite(e)
	case *ast.CallExpr:
		return f.call(e)
	}
	return nil
}

func isInteger(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsInteger != 0
}

func isSigned(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return !ok || b.Info()&types.IsUnsigned == 0
}

func (f *finder) later(e ast.Expr) func() []read { return func() []read { return f.value(e) } }

// sequence evaluates parts one after the other.
func (f *finder) sequence(list ...func() []read) []read {
	var parts [][]read
	for _, next := range list {
		parts = f.after(parts, next)
	}
	return slices.Concat(parts...)
}

// load adds the read of what an expression stands for.
func (f *finder) load(e ast.Expr, pending []read) []read {
	if at := f.located(e); at.kind != nowhere {
		return append(pending, read{at: e, from: at})
	}
	return pending
}

// risk adds that an expression may panic.
func (f *finder) risk(e ast.Expr, pending []read) []read {
	return append(pending, read{at: e, panics: true})
}

func (f *finder) selector(e *ast.SelectorExpr) []read {
	s := f.info.Selections[e]
	if s == nil { // of a package
		return f.load(e, nil)
	}
	if s.Kind() == types.FieldVal {
		return f.load(e, f.address(e))
	}
	return f.receiver(e, s) // a method value holds its receiver
}

// receiver evaluates what a method is called on.
func (f *finder) receiver(e *ast.SelectorExpr, s *types.Selection) []read {
	if s.Kind() == types.MethodExpr {
		return nil
	}
	byPointer := isPointer(s.Obj().(*types.Func).Signature().Recv().Type())
	x := f.typeOf(e.X)
	switch {
	case byPointer && !isPointer(x) && !s.Indirect():
		return f.address(e.X)
	case !byPointer && isPointer(x):
		at := place{kind: memory, typ: x.Underlying().(*types.Pointer).Elem()}
		return f.risk(e, append(f.value(e.X), read{at: e.X, from: at}))
	}
	return f.value(e.X)
}

// address evaluates what the place of an expression depends on, without what it
// holds.
func (f *finder) address(e ast.Expr) []read {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return f.address(e.X)
	case *ast.SelectorExpr:
		s := f.info.Selections[e]
		if s == nil {
			return nil
		}
		if s.Indirect() {
			if isPointer(f.typeOf(e.X)) {
				return f.risk(e, f.value(e.X))
			}
			return f.risk(e, f.load(e.X, f.address(e.X)))
		}
		return f.address(e.X)
	case *ast.IndexExpr:
		x := f.later(e.X)
		switch f.typeOf(e.X).Underlying().(type) {
		case *types.Array:
			x = func() []read { return f.address(e.X) }
		case *types.Map:
			return f.sequence(x, f.later(e.Index))
		}
		pending := f.sequence(x, f.later(e.Index))
		if tv := f.info.Types[e.Index]; tv.Value == nil || !isArray(f.typeOf(e.X)) {
			pending = f.risk(e, pending)
		}
		return pending
	case *ast.StarExpr:
		return f.risk(e, f.value(e.X))
	case *ast.Ident:
		return nil
	}
	return f.value(e) // of a call's result, or a literal
}

func (f *finder) composite(e *ast.CompositeLit) []read {
	_, isMap := f.typeOf(e).Underlying().(*types.Map)
	var list []ast.Expr
	for _, element := range e.Elts {
		if kv, ok := element.(*ast.KeyValueExpr); ok {
			if isMap {
				list = append(list, kv.Key)
			}
			element = kv.Value
		}
		list = append(list, element)
	}
	return f.list(list...)
}

// call evaluates a call: its operands are read before it, and what has been read
// and not used is held against what it writes.
func (f *finder) call(e *ast.CallExpr) []read {
	if f.info.Types[e.Fun].IsType() { // a conversion
		return f.list(e.Args...)
	}
	if name := f.builtin(e); name != "" {
		args := e.Args
		if name == "make" || name == "new" {
			args = args[1:]
		}
		pending := f.list(args...)
		if acting[name] {
			f.hold(e, f.callEffect(e))
			return nil
		}
		return pending
	}
	list := []func() []read{func() []read { return f.operand(e.Fun) }}
	for _, a := range e.Args {
		list = append(list, f.later(a))
	}
	f.sequence(list...)
	f.hold(e, f.callEffect(e))
	return nil
}

// operand evaluates the function of a call.
func (f *finder) operand(e ast.Expr) []read {
	if s, ok := ast.Unparen(e).(*ast.SelectorExpr); ok {
		return f.selector(s)
	}
	return f.value(e)
}

// hold notes the reads that wait while a call is made which may write what they
// read.
func (f *finder) hold(call *ast.CallExpr, effect *effect) {
	if effect == nil {
		return
	}
	for _, r := range f.waiting {
		if r.panics {
			if f.recovers && effect.acts {
				f.doubts = append(f.doubts, Doubt{r.at, call, true})
				return
			}
			continue
		}
		for w := range effect.writes {
			if f.overlap(r.from, w) {
				f.doubts = append(f.doubts, Doubt{r.at, call, false})
				return
			}
		}
	}
}
