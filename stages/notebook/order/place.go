package order

import (
	"go/ast"
	"go/types"
)

// A kind says how a place is told from others.
type kind int

const (
	nowhere  kind = iota // no memory, or such as nothing else can reach
	variable             // a variable by its name, or the part of it that a field names
	field                // a field of a struct behind a pointer
	memory               // what a type of pointer points to, or elements of a type of slice
	table                // the entries of a type of map
)

// A place is memory as far as it is told apart.
type place struct {
	kind   kind
	object *types.Var // of a variable or a field
	part   *types.Var // the variable's field, if one is meant
	typ    types.Type // of memory, and of a table the map's
}

// typeOf returns the type of an expression, an invalid one if there is none.
func (p *program) typeOf(e ast.Expr) types.Type {
	if e != nil {
		if t := p.info.TypeOf(e); t != nil {
			return t
		}
	}
	return types.Typ[types.Invalid]
}

func isPointer(t types.Type) bool {
	_, ok := t.Underlying().(*types.Pointer)
	return ok
}

func isArray(t types.Type) bool {
	_, ok := t.Underlying().(*types.Array)
	return ok
}

// builtin returns the name of the built-in function that is called, if one is.
func (p *program) builtin(c *ast.CallExpr) string {
	fun := ast.Unparen(c.Fun)
	if s, ok := fun.(*ast.SelectorExpr); ok {
		fun = s.Sel
	}
	if id, ok := fun.(*ast.Ident); ok {
		if b, ok := p.info.Uses[id].(*types.Builtin); ok {
			return b.Name()
		}
	}
	return ""
}

// isGeneric tells whether an expression is a generic function.
func (p *program) isGeneric(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		f, ok := p.info.Uses[e].(*types.Func)
		return ok && f.Signature().TypeParams().Len() > 0
	case *ast.SelectorExpr:
		return p.isGeneric(e.Sel)
	}
	return false
}

// located returns the place that an expression stands for.
func (p *program) located(e ast.Expr) place {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		if v, ok := p.info.ObjectOf(e).(*types.Var); ok && !v.IsField() {
			return place{kind: variable, object: v}
		}
	case *ast.SelectorExpr:
		s := p.info.Selections[e]
		if s == nil {
			return p.located(e.Sel)
		}
		f, ok := s.Obj().(*types.Var)
		if !ok {
			return place{}
		}
		if s.Indirect() {
			return place{kind: field, object: f.Origin()}
		}
		switch base := p.located(e.X); {
		case base.kind == variable && base.part == nil:
			if t, ok := p.typeOf(e.X).Underlying().(*types.Struct); ok {
				base.part = t.Field(s.Index()[0]).Origin()
			}
			return base
		case base.kind == variable:
			return base
		case base.kind != nowhere:
			return place{kind: field, object: f.Origin()}
		}
	case *ast.IndexExpr:
		switch t := p.typeOf(e.X).Underlying().(type) {
		case *types.Array:
			return p.located(e.X)
		case *types.Slice:
			return place{kind: memory, typ: t.Elem()}
		case *types.Pointer:
			if a, ok := t.Elem().Underlying().(*types.Array); ok {
				return place{kind: memory, typ: a.Elem()}
			}
		case *types.Map:
			return place{kind: table, typ: t}
		case *types.Interface: // of a type parameter
			return place{kind: memory, typ: p.typeOf(e)}
		}
	case *ast.StarExpr:
		if t, ok := p.typeOf(e.X).Underlying().(*types.Pointer); ok {
			return place{kind: memory, typ: t.Elem()}
		}
	}
	return place{}
}

// overlap tells whether one place may be, or hold, another.
func (p *program) overlap(a, b place) bool {
	if a.kind > b.kind {
		a, b = b, a
	}
	switch a.kind {
	case variable:
		if b.kind == variable {
			return a.object == b.object && (a.part == nil || b.part == nil || a.part == b.part)
		}
		if !p.addressed[a.object] {
			return false
		}
		t := a.object.Type()
		if b.kind == field {
			return declares(t, b.object)
		}
		return b.kind == memory && (holds(t, b.typ) || holds(b.typ, t))
	case field:
		if b.kind == field {
			return a.object == b.object || declares(a.object.Type(), b.object) || declares(b.object.Type(), a.object)
		}
		t := a.object.Type()
		return b.kind == memory && (declares(b.typ, a.object) || holds(t, b.typ) && (p.addressed[a.object] || isArray(t)))
	case memory:
		return b.kind == memory && (holds(a.typ, b.typ) || holds(b.typ, a.typ))
	case table:
		return b.kind == table && (types.Identical(a.typ, b.typ) || parameterised(a.typ) || parameterised(b.typ))
	}
	return false
}

// holds tells whether a value of a type has one of another in it.
func holds(t, inner types.Type) bool {
	if types.Identical(t, inner) || isTypeParam(t) || isTypeParam(inner) {
		return true
	}
	found := false
	parts(t, func(_ *types.Var, u types.Type) { found = found || types.Identical(u, inner) || isTypeParam(u) })
	return found
}

// declares tells whether a value of a type has a field in it.
func declares(t types.Type, f *types.Var) bool {
	found := isTypeParam(t)
	parts(t, func(v *types.Var, _ types.Type) { found = found || v != nil && v.Origin() == f })
	return found
}

// parts visits the fields and elements that a value of a type consists of.
func parts(t types.Type, visit func(f *types.Var, t types.Type)) {
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for i := range u.NumFields() {
			visit(u.Field(i), u.Field(i).Type())
			parts(u.Field(i).Type(), visit)
		}
	case *types.Array:
		visit(nil, u.Elem())
		parts(u.Elem(), visit)
	}
}

// parameterised tells whether a type is made of type parameters.
func parameterised(t types.Type) bool {
	found := false
	seen := map[types.Type]bool{}
	var walk func(t types.Type)
	tuple := func(list *types.Tuple) {
		for i := range list.Len() {
			walk(list.At(i).Type())
		}
	}
	walk = func(t types.Type) {
		if found || seen[t] {
			return
		}
		seen[t] = true
		switch t := types.Unalias(t).(type) {
		case *types.TypeParam:
			found = true
		case *types.Named:
			for i := range t.TypeArgs().Len() {
				walk(t.TypeArgs().At(i))
			}
		case interface{ Elem() types.Type }:
			walk(t.Elem())
			if m, ok := t.(*types.Map); ok {
				walk(m.Key())
			}
		case *types.Signature:
			tuple(t.Params())
			tuple(t.Results())
		}
	}
	walk(t)
	return found
}
