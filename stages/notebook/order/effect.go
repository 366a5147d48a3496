package order

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// An effect is what a call may do besides returning its results.
type effect struct {
	writes map[place]bool
	acts   bool // it may be seen to have been made, as by what it prints
}

func (e *effect) add(other *effect, but func(place) bool) (grown bool) {
	if other == nil {
		return false
	}
	for w := range other.writes {
		if !e.writes[w] && !but(w) {
			e.writes[w] = true
			grown = true
		}
	}
	if other.acts && !e.acts {
		e.acts, grown = true, true
	}
	return grown
}

// A program is the functions of a notebook and what each may write.
type program struct {
	info *types.Info
	// addressed are the variables and fields that something may point to.
	addressed map[*types.Var]bool
	// effects of functions, by *ast.FuncLit or *types.Func.
	effects map[any]*effect
	bodies  map[any]ast.Node
	guarded map[any]bool // a panic in them may come to one that recovers
	methods map[string][]*types.Func
	// valued are the functions that are values, by which a call of a value may go.
	valued []functionValue
	// closures are the variables that hold one function literal and nothing else.
	closures map[*types.Var]*ast.FuncLit
}

// A functionValue is a function that is a value of a type.
type functionValue struct {
	sig *types.Signature
	key any
}

// acting are the built-in functions that write, or end the statement.
var acting = map[string]bool{"append": true, "copy": true, "delete": true, "clear": true, "panic": true, "print": true, "println": true, "recover": true, "close": true}

func newProgram(file *ast.File, info *types.Info) *program {
	p := &program{
		info: info, addressed: map[*types.Var]bool{}, effects: map[any]*effect{}, bodies: map[any]ast.Node{},
		methods: map[string][]*types.Func{}, closures: map[*types.Var]*ast.FuncLit{},
	}
	called := map[ast.Expr]bool{} // functions that are called where they stand
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			called[ast.Unparen(n.Fun)] = true
		case *ast.FuncDecl:
			if f, ok := info.Defs[n.Name].(*types.Func); ok && n.Body != nil {
				p.bodies[f] = n
				if n.Recv != nil {
					p.methods[f.Name()] = append(p.methods[f.Name()], f)
				}
			}
		case *ast.FuncLit:
			p.bodies[n] = n
		}
		return true
	})
	assigned := map[*types.Var][]ast.Expr{}
	ast.Inspect(file, func(n ast.Node) bool {
		p.point(n)
		p.note(n, called)
		assignments(info, n, assigned)
		return true
	})
	for v, list := range assigned {
		if lit, ok := list[0].(*ast.FuncLit); ok && len(list) == 1 && !p.addressed[v] {
			p.closures[v] = lit
		}
	}
	for key, body := range p.bodies {
		p.effects[key] = p.own(body)
	}
	for grown := true; grown; {
		grown = false
		for key, body := range p.bodies {
			into := p.effects[key]
			inside := func(w place) bool { return w.kind == variable && within(body, w.object.Pos()) }
			shallow(body, func(n ast.Node) {
				if c, ok := n.(*ast.CallExpr); ok {
					grown = into.add(p.callEffect(c), inside) || grown
				}
			})
		}
	}
	p.guard()
	return p
}

// within tells whether a position lies in a node.
func within(n ast.Node, pos token.Pos) bool { return n.Pos() <= pos && pos < n.End() }

// shallow visits the nodes of a function but not those of function literals in it.
func shallow(body ast.Node, visit func(ast.Node)) {
	ast.Inspect(body, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok && n != body {
			return false
		}
		if n != nil {
			visit(n)
		}
		return true
	})
}

// assignments notes what variables get: nil for what is no expression of its own.
func assignments(info *types.Info, n ast.Node, assigned map[*types.Var][]ast.Expr) {
	add := func(l ast.Expr, r ast.Expr) {
		id, ok := ast.Unparen(l).(*ast.Ident)
		if !ok {
			return
		}
		if v, ok := info.ObjectOf(id).(*types.Var); ok {
			assigned[v] = append(assigned[v], r)
		}
	}
	switch n := n.(type) {
	case *ast.AssignStmt:
		for i, l := range n.Lhs {
			if len(n.Lhs) == len(n.Rhs) {
				add(l, ast.Unparen(n.Rhs[i]))
			} else {
				add(l, nil)
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			switch {
			case len(n.Values) == len(n.Names):
				add(name, ast.Unparen(n.Values[i]))
			case len(n.Values) > 0:
				add(name, nil)
			}
		}
	case *ast.RangeStmt:
		add(n.Key, nil)
		add(n.Value, nil)
	case *ast.Field: // parameters and results
		for _, name := range n.Names {
			add(name, nil)
		}
	}
}

// point notes what a node makes something point to.
func (p *program) point(n ast.Node) {
	mark := func(e ast.Expr) {
		switch at := p.located(e); at.kind {
		case variable, field:
			p.addressed[at.object] = true
			if at.part != nil {
				p.addressed[at.part] = true
			}
		}
	}
	switch n := n.(type) {
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			mark(n.X)
		}
	case *ast.SliceExpr:
		if isArray(p.typeOf(n.X)) {
			mark(n.X)
		}
	case *ast.SelectorExpr:
		s := p.info.Selections[n]
		if s == nil || s.Kind() != types.MethodVal {
			return
		}
		if recv := s.Obj().(*types.Func).Signature().Recv(); recv != nil && isPointer(recv.Type()) && !isPointer(p.typeOf(n.X)) {
			mark(n.X)
		}
	}
}

// note lists the functions that are values.
func (p *program) note(n ast.Node, called map[ast.Expr]bool) {
	switch n := n.(type) {
	case *ast.FuncLit:
		if sig, ok := p.typeOf(n).(*types.Signature); ok {
			p.valued = append(p.valued, functionValue{sig, n})
		}
	case *ast.Ident:
		if f, ok := p.info.Uses[n].(*types.Func); ok && f.Signature().Recv() == nil && !called[n] {
			p.value(p.typeOf(n), f)
		}
	case *ast.SelectorExpr:
		s := p.info.Selections[n]
		if s == nil || called[n] && s.Kind() != types.MethodExpr {
			return
		}
		if f, ok := s.Obj().(*types.Func); ok {
			for _, m := range p.implementations(f) {
				p.value(p.typeOf(n), m)
			}
		}
	}
}

func (p *program) value(t types.Type, f *types.Func) {
	if sig, ok := t.(*types.Signature); ok {
		p.valued = append(p.valued, functionValue{sig, f.Origin()})
	}
}

// implementations returns the methods of the notebook that a method may be.
func (p *program) implementations(f *types.Func) []*types.Func {
	f = f.Origin()
	recv := f.Signature().Recv()
	if recv == nil || !types.IsInterface(recv.Type()) && !isTypeParam(recv.Type()) {
		return []*types.Func{f}
	}
	return p.methods[f.Name()]
}

func isTypeParam(t types.Type) bool {
	_, ok := types.Unalias(t).(*types.TypeParam)
	return ok
}

// own returns what a function itself writes, but for its own variables.
func (p *program) own(body ast.Node) *effect {
	e := &effect{writes: map[place]bool{}}
	write := func(l ast.Expr) {
		if l == nil {
			return
		}
		at := p.located(l)
		if at.kind == nowhere || at.kind == variable && within(body, at.object.Pos()) {
			return
		}
		e.writes[at], e.acts = true, true
	}
	shallow(body, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, l := range n.Lhs {
					write(l)
				}
			}
		case *ast.IncDecStmt:
			write(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				write(n.Key)
				write(n.Value)
			}
		case *ast.SendStmt:
			e.acts = true
		case *ast.UnaryExpr:
			e.acts = e.acts || n.Op == token.ARROW
		}
	})
	return e
}

// callEffect returns what a call may do, from what is known so far; nil for
// nothing.
func (p *program) callEffect(c *ast.CallExpr) *effect {
	if p.info.Types[c.Fun].IsType() {
		return nil
	}
	if name := p.builtin(c); name != "" {
		return p.builtinEffect(name, c)
	}
	all := &effect{writes: map[place]bool{}}
	for _, key := range p.callees(c) {
		all.add(p.effects[key], func(place) bool { return false })
	}
	if f := p.function(c); f != nil && p.bodies[f.Origin()] == nil {
		p.compiled(f, c, all)
	}
	return all
}

// function returns the function or method that a call names, nil if it calls a value.
func (p *program) function(c *ast.CallExpr) *types.Func {
	fun := ast.Unparen(c.Fun)
	switch i := fun.(type) { // with types written out
	case *ast.IndexExpr:
		if p.isGeneric(i.X) {
			fun = i.X
		}
	case *ast.IndexListExpr:
		fun = i.X
	}
	var object types.Object
	switch fun := fun.(type) {
	case *ast.Ident:
		object = p.info.Uses[fun]
	case *ast.SelectorExpr:
		object = p.info.Uses[fun.Sel]
	}
	f, _ := object.(*types.Func)
	return f
}

// callees returns the notebook's functions that a call may come to, through
// compiled ones too.
func (p *program) callees(c *ast.CallExpr) (keys []any) {
	if p.info.Types[c.Fun].IsType() || p.builtin(c) != "" {
		return nil
	}
	f := p.function(c)
	if f == nil {
		return p.values(c.Fun)
	}
	for _, m := range p.implementations(f) {
		keys = append(keys, m)
	}
	if p.bodies[f.Origin()] != nil {
		return keys
	}
	for i, a := range c.Args {
		if _, ok := p.typeOf(a).Underlying().(*types.Signature); ok {
			keys = append(keys, p.values(a)...)
		}
		want := parameter(f.Signature(), i)
		if want == nil || !types.IsInterface(want) {
			continue
		}
		for name, methods := range p.methods {
			if i, ok := want.Underlying().(*types.Interface); slices.Contains(asked, name) || ok && hasMethod(i, name) {
				for _, m := range methods {
					keys = append(keys, m)
				}
			}
		}
	}
	return keys
}

// values returns the functions that a value may be.
func (p *program) values(fun ast.Expr) (keys []any) {
	switch fun := ast.Unparen(fun).(type) {
	case *ast.FuncLit:
		return []any{fun}
	case *ast.Ident:
		if v, ok := p.info.Uses[fun].(*types.Var); ok && p.closures[v] != nil {
			return []any{p.closures[v]}
		}
	}
	sig, ok := p.typeOf(fun).Underlying().(*types.Signature)
	for _, v := range p.valued {
		if !ok || types.Identical(v.sig, sig) || parameterised(v.sig) || parameterised(sig) {
			keys = append(keys, v.key)
		}
	}
	return keys
}

// guard finds the functions in which a panic may come to one that recovers.
func (p *program) guard() {
	guarded := map[any]bool{}
	var reach func(key any)
	reach = func(key any) {
		if body := p.bodies[key]; body != nil && !guarded[key] {
			guarded[key] = true
			shallow(body, func(n ast.Node) {
				if c, ok := n.(*ast.CallExpr); ok {
					for _, callee := range p.callees(c) {
						reach(callee)
					}
				}
			})
		}
	}
	for key, body := range p.bodies {
		shallow(body, func(n ast.Node) {
			if d, ok := n.(*ast.DeferStmt); ok && (p.builtin(d.Call) == "recover" || slices.ContainsFunc(p.callees(d.Call), p.recovering)) {
				reach(key)
			}
		})
	}
	p.guarded = guarded
}

// recovering tells whether a function itself calls recover.
func (p *program) recovering(key any) (found bool) {
	if body := p.bodies[key]; body != nil {
		shallow(body, func(n ast.Node) {
			c, ok := n.(*ast.CallExpr)
			found = found || ok && p.builtin(c) == "recover"
		})
	}
	return found
}

func (p *program) builtinEffect(name string, c *ast.CallExpr) *effect {
	if !acting[name] {
		return nil
	}
	e := &effect{writes: map[place]bool{}, acts: true}
	if name == "recover" || name == "append" {
		e.acts = false
	}
	if len(c.Args) == 0 || name == "panic" || strings.HasPrefix(name, "print") {
		return e
	}
	switch u := p.typeOf(c.Args[0]).Underlying().(type) {
	case *types.Slice:
		e.writes[place{kind: memory, typ: u.Elem()}] = true
	case *types.Map:
		e.writes[place{kind: table, typ: u}] = true
	}
	return e
}

// compiled adds what a function of a compiled package may do itself.
func (p *program) compiled(f *types.Func, c *ast.CallExpr, all *effect) {
	path := ""
	if f.Pkg() != nil {
		path = f.Pkg().Path()
	}
	recv := f.Signature().Recv()
	all.acts = all.acts || !pure[path] || path == "fmt" && strings.Contains(f.Name(), "rint") && f.Name()[0] != 'S'
	if recv != nil && isPointer(recv.Type()) && !strings.HasPrefix(path, "barograph/") {
		all.writes[place{kind: memory, typ: recv.Type().Underlying().(*types.Pointer).Elem()}] = true
	}
	for _, a := range c.Args {
		switch u := p.typeOf(a).Underlying().(type) {
		case *types.Slice:
			if writing(path, f.Name()) {
				all.writes[place{kind: memory, typ: u.Elem()}] = true
			}
		case *types.Pointer:
			all.writes[place{kind: memory, typ: u.Elem()}] = true
		}
	}
}

// pure are the packages whose functions do nothing that is seen, nor panic.
var pure = map[string]bool{"fmt": true, "math": true, "strings": true, "strconv": true, "errors": true, "unicode": true, "unicode/utf8": true}

// asked are the methods that fmt and errors ask any value for.
var asked = []string{"Error", "String", "GoString", "Format", "Unwrap", "Is", "As"}

func hasMethod(i *types.Interface, name string) bool {
	for m := range i.Methods() {
		if m.Name() == name {
			return true
		}
	}
	return false
}

// parameter returns the type of the i-th argument's parameter.
func parameter(sig *types.Signature, i int) types.Type {
	n := sig.Params().Len()
	switch {
	case n == 0:
		return nil
	case sig.Variadic() && i >= n-1:
		if s, ok := sig.Params().At(n - 1).Type().(*types.Slice); ok {
			return s.Elem()
		}
		return nil
	case i < n:
		return sig.Params().At(i).Type()
	}
	return nil
}

// writing tells whether a compiled function that returns something may write the
// elements of slices that it is given: the others only read them.
func writing(path, name string) bool {
	switch path {
	case "gonum.org/v1/gonum/floats":
		return true
	case "strconv", "fmt", "unicode/utf8":
		return strings.HasPrefix(name, "Append")
	}
	return false
}
