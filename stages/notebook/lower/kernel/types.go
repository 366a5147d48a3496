package kernel

import (
	"fmt"
	"go/types"
	"reflect"
	"strings"
	"sync"
)

// New returns a machine for a notebook that sees packages. Of returns their
// exported values, in the interpreter's form.
func New(packages map[string]*types.Package, of func(path string) map[string]reflect.Value) *Machine {
	m := &Machine{
		Methods: map[string]reflect.Value{}, packages: packages,
		verdicts: map[[2]any]bool{},
	}
	m.exports = of
	current = m
	return m
}

// Add adds a type, and returns its number.
func (m *Machine) Add(t types.Type) int {
	own := &Type{Go: t, id: len(m.Types)}
	if r, err := m.Natural(t); err == nil {
		own.Reflect = r
	}
	if !types.IsInterface(t) && types.Implements(t, errorType) {
		own.isError = true
		if s := m.sets.MethodSet(t).Lookup(nil, "Unwrap"); s != nil {
			results := s.Obj().Type().(*types.Signature).Results()
			own.joined = results.Len() == 1 && types.Identical(results.At(0).Type(), types.NewSlice(types.Universe.Lookup("error").Type()))
		}
	}
	m.Types = append(m.Types, own)
	m.byType.Set(t, own)
	return len(m.Types) - 1
}

// basics are the predeclared types.
var basics = map[types.BasicKind]reflect.Type{
	types.Bool: reflect.TypeFor[bool](), types.String: reflect.TypeFor[string](),
	types.Int: reflect.TypeFor[int](), types.Int8: reflect.TypeFor[int8](), types.Int16: reflect.TypeFor[int16](),
	types.Int32: reflect.TypeFor[int32](), types.Int64: reflect.TypeFor[int64](),
	types.Uint: reflect.TypeFor[uint](), types.Uint8: reflect.TypeFor[uint8](), types.Uint16: reflect.TypeFor[uint16](),
	types.Uint32: reflect.TypeFor[uint32](), types.Uint64: reflect.TypeFor[uint64](), types.Uintptr: reflect.TypeFor[uintptr](),
	types.Float32: reflect.TypeFor[float32](), types.Float64: reflect.TypeFor[float64](),
	types.Complex64: reflect.TypeFor[complex64](), types.Complex128: reflect.TypeFor[complex128](),
}

var errOwn = fmt.Errorf("it is the notebook's own")

// Natural returns the type that a type has in the compiled world; an error if it
// is the notebook's own, or made of what is.
func (m *Machine) Natural(t types.Type) (reflect.Type, error) {
	if r := m.natural.At(t); r != nil {
		if r, ok := r.(reflect.Type); ok {
			return r, nil
		}
		return nil, errOwn
	}
	r, err := m.makeNatural(t)
	if err != nil {
		m.natural.Set(t, err)
		return nil, err
	}
	m.natural.Set(t, r)
	return r, nil
}

func (m *Machine) makeNatural(t types.Type) (reflect.Type, error) {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		if r := basics[t.Kind()]; r != nil {
			return r, nil
		}
	case *types.Named:
		if t.Obj().Pkg() == nil && t.Obj().Name() == "error" {
			return reflect.TypeFor[error](), nil
		}
		if t.Obj().Pkg() == nil || t.Obj().Pkg().Path() == "main" || t.TypeArgs().Len() > 0 || t.Obj().Parent() != t.Obj().Pkg().Scope() {
			return nil, errOwn
		}
		if m.Unlisted(t) {
			if r := m.find(t.Obj().Pkg().Path(), t.Obj().Name()); r != nil {
				return r, nil
			}
			return nil, errOwn
		}
		v := m.exports(t.Obj().Pkg().Path())[t.Obj().Name()]
		if !v.IsValid() || v.Kind() != reflect.Pointer {
			return nil, errOwn
		}
		return v.Type().Elem(), nil
	case *types.Pointer:
		e, err := m.Natural(t.Elem())
		if err != nil {
			return nil, err
		}
		return reflect.PointerTo(e), nil
	case *types.Slice:
		e, err := m.Natural(t.Elem())
		if err != nil {
			return nil, err
		}
		return reflect.SliceOf(e), nil
	case *types.Array:
		e, err := m.Natural(t.Elem())
		if err != nil || t.Len() > 1<<30 {
			return nil, errOwn
		}
		return reflect.ArrayOf(int(t.Len()), e), nil
	case *types.Map:
		k, err := m.Natural(t.Key())
		if err != nil {
			return nil, err
		}
		e, err := m.Natural(t.Elem())
		if err != nil {
			return nil, err
		}
		return reflect.MapOf(k, e), nil
	case *types.Chan:
		e, err := m.Natural(t.Elem())
		if err != nil {
			return nil, err
		}
		return reflect.ChanOf(map[types.ChanDir]reflect.ChanDir{types.SendRecv: reflect.BothDir, types.SendOnly: reflect.SendDir, types.RecvOnly: reflect.RecvDir}[t.Dir()], e), nil
	case *types.Signature:
		in, err := m.tuple(t.Params())
		if err != nil {
			return nil, err
		}
		out, err := m.tuple(t.Results())
		if err != nil {
			return nil, err
		}
		return reflect.FuncOf(in, out, t.Variadic()), nil
	case *types.Interface:
		if t.NumMethods() == 0 && t.IsMethodSet() {
			return reflect.TypeFor[any](), nil
		}
	}
	return nil, errOwn
}

// Unlisted tells whether a type is one of a compiled package that no notebook may
// import, or that it may not name.
func (m *Machine) Unlisted(t *types.Named) bool {
	p := t.Obj().Pkg()
	return p != nil && p.Path() != "main" && (m.packages[p.Path()] == nil || !m.exports(p.Path())[t.Obj().Name()].IsValid())
}

// reached holds what [Machine.reachable] found, by the packages imported.
var reached sync.Map

// find looks for a type among all that the imported packages' names lead to.
func (m *Machine) find(path, name string) reflect.Type {
	if m.reached == nil {
		from := strings.Join(m.Roots, " ")
		known, ok := reached.Load(from)
		if !ok {
			known, _ = reached.LoadOrStore(from, m.reachable())
		}
		m.reached = known.(map[[2]string]reflect.Type)
	}
	return m.reached[[2]string{path, name}]
}

// reachable are the named types that the imported packages' names lead to, by package
// and name: a walk over thousands, and the same for every notebook that imports these.
func (m *Machine) reachable() map[[2]string]reflect.Type {
	found := map[[2]string]reflect.Type{}
	seen := map[reflect.Type]bool{}
	var reach func(t reflect.Type)
	reach = func(t reflect.Type) {
		if seen[t] {
			return
		}
		seen[t] = true
		if t.PkgPath() != "" {
			found[[2]string{t.PkgPath(), t.Name()}] = t
		}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
			reach(t.Elem())
		case reflect.Map:
			reach(t.Key())
			reach(t.Elem())
		case reflect.Func:
			for i := range t.NumIn() {
				reach(t.In(i))
			}
			for i := range t.NumOut() {
				reach(t.Out(i))
			}
		case reflect.Struct:
			for i := range t.NumField() {
				reach(t.Field(i).Type)
			}
		}
		if t.PkgPath() == "" {
			return
		}
		for _, t := range []reflect.Type{t, reflect.PointerTo(t)} {
			for i := range t.NumMethod() {
				reach(t.Method(i).Type)
			}
		}
	}
	for _, root := range m.Roots {
		for _, v := range m.exports(root) {
			reach(v.Type())
		}
	}
	return found
}

func (m *Machine) tuple(t *types.Tuple) ([]reflect.Type, error) {
	list := make([]reflect.Type, t.Len())
	for i := range list {
		r, err := m.Natural(t.At(i).Type())
		if err != nil {
			return nil, err
		}
		list[i] = r
	}
	return list, nil
}

// reflected returns the type that a compiled type is for the type checker; nil
// if it is none of the listed packages'.
func (m *Machine) reflected(r reflect.Type) types.Type {
	if r.PkgPath() != "" {
		if p := m.packages[r.PkgPath()]; p != nil {
			if o, ok := p.Scope().Lookup(r.Name()).(*types.TypeName); ok {
				return o.Type()
			}
		}
		return nil
	}
	for kind, b := range basics {
		if b == r {
			return types.Typ[kind]
		}
	}
	elem := func() types.Type { return m.reflected(r.Elem()) }
	switch r.Kind() {
	case reflect.Slice:
		if e := elem(); e != nil {
			return types.NewSlice(e)
		}
	case reflect.Array:
		if e := elem(); e != nil {
			return types.NewArray(e, int64(r.Len()))
		}
	case reflect.Pointer:
		if e := elem(); e != nil {
			return types.NewPointer(e)
		}
	case reflect.Map:
		if k, e := m.reflected(r.Key()), elem(); k != nil && e != nil {
			return types.NewMap(k, e)
		}
	case reflect.Interface:
		if r.NumMethod() == 0 {
			return types.NewInterfaceType(nil, nil)
		}
		if r == reflect.TypeFor[error]() {
			return types.Universe.Lookup("error").Type()
		}
	}
	return nil
}

// TypeName writes a type as reflection names it.
func TypeName(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		return types.Typ[t.Kind()].Name() // not byte or rune
	case *types.Interface:
		if t.NumMethods() == 0 {
			return "interface {}"
		}
		var methods []string
		for i := range t.NumMethods() {
			methods = append(methods, t.Method(i).Name()+strings.TrimPrefix(TypeName(t.Method(i).Type()), "func"))
		}
		return "interface { " + strings.Join(methods, "; ") + " }"
	case *types.Struct:
		if t.NumFields() == 0 {
			return "struct {}"
		}
		var fields []string
		for i := range t.NumFields() {
			f := t.Field(i)
			text := TypeName(f.Type())
			if !f.Embedded() {
				text = f.Name() + " " + text
			}
			if tag := t.Tag(i); tag != "" {
				text += fmt.Sprintf(" %q", tag)
			}
			fields = append(fields, text)
		}
		return "struct { " + strings.Join(fields, "; ") + " }"
	case *types.Pointer:
		return "*" + TypeName(t.Elem())
	case *types.Slice:
		return "[]" + TypeName(t.Elem())
	case *types.Array:
		return fmt.Sprintf("[%d]%s", t.Len(), TypeName(t.Elem()))
	case *types.Map:
		return "map[" + TypeName(t.Key()) + "]" + TypeName(t.Elem())
	case *types.Chan:
		return map[types.ChanDir]string{types.SendRecv: "chan ", types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[t.Dir()] + TypeName(t.Elem())
	case *types.Signature:
		list := func(tuple *types.Tuple, variadic bool) string {
			var names []string
			for i := range tuple.Len() {
				one := TypeName(tuple.At(i).Type())
				if variadic && i == tuple.Len()-1 {
					one = "..." + strings.TrimPrefix(one, "[]")
				}
				names = append(names, one)
			}
			return strings.Join(names, ", ")
		}
		text := "func(" + list(t.Params(), t.Variadic()) + ")"
		switch results := list(t.Results(), false); {
		case t.Results().Len() == 1:
			text += " " + results
		case t.Results().Len() > 1:
			text += " (" + results + ")"
		}
		return text
	case *types.Named:
		text := t.Obj().Name()
		if t.Obj().Pkg() != nil {
			text = t.Obj().Pkg().Name() + "." + text
		}
		if n := t.TypeArgs().Len(); n > 0 {
			var args []string
			for i := range n {
				args = append(args, TypeName(t.TypeArgs().At(i)))
			}
			text += "[" + strings.Join(args, ",") + "]"
		}
		return text
	}
	return t.String()
}
