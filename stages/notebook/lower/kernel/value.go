// Package kernel is what a lowered notebook calls for the parts of Go in which
// the interpreter and the compiler disagree: values in interfaces, methods chosen
// at run time, deferred calls and panics, iteration, and printing of own types.
//
// A lowered notebook has none of the notebook's own types: a value of one is held
// as its underlying type. What is put into an interface is put into a [Box], with
// its type, unless the compiled world knows the type as well.
package kernel

import (
	"errors"
	"fmt"
	"go/types"
	"reflect"

	"golang.org/x/tools/go/types/typeutil"
)

// A Type is a type of the notebook that values in interfaces have.
type Type struct {
	Go      types.Type
	Reflect reflect.Type // nil unless the compiled world knows the type
	id      int
	isError bool
	joined  bool // its Unwrap returns several errors
}

func (t *Type) String() string { return TypeName(t.Go) }

// A Box is a value of one of the notebook's own types in an interface. Boxes
// compare as the interfaces that they stand for.
type Box struct {
	T *Type
	V any
}

// An Error is a Box whose type has the method Error. It is what compiled code is
// given in its place.
type Error struct{ Box }

// A joinedError is an Error that unwraps to several.
type joinedError struct{ Box }

// A Machine is what one lowered notebook needs while it runs.
type Machine struct {
	Types []*Type
	// Methods are the notebook's methods, by name, of any of its types: a function
	// of the value in its interface and of the method's parameters.
	Methods  map[string]reflect.Value
	Where    func() int // the position of what is being done
	Failed   int        // the position at which a panic began that deferred calls ran after
	Roots    []string   // the packages that the notebook imports
	reached  map[[2]string]reflect.Type
	packages map[string]*types.Package
	exports  func(path string) map[string]reflect.Value

	byType   typeutil.Map // types.Type -> *Type
	natural  typeutil.Map // types.Type -> reflect.Type
	sets     typeutil.MethodSetCache
	verdicts map[[2]any]bool
	panics   []*panicState
	called   *Frame // of which a deferred call is just being made
}

// current is the machine whose values are printed: there is one in a process.
var current *Machine

// Box puts a value of an own type into an interface.
func (m *Machine) Box(id int, v any) any { return Box{m.Types[id], v} }

// Unbox returns the value in a box.
func Unbox(e any) any { return e.(Box).V }

// In gives a value that comes from compiled code the form that it has in a
// notebook.
func In(e any) any {
	switch e := e.(type) {
	case nil:
		return nil
	case Box:
		return e
	case Error:
		return e.Box
	case joinedError:
		return e.Box
	case interface{ notebookValue() any }:
		return e.notebookValue()
	}
	if v := reflect.ValueOf(e); v.Kind() == reflect.Struct && v.NumField() > 0 && v.Type().Field(0).Name == "IValue" {
		if b, ok := v.Field(0).Interface().(Box); ok {
			return b
		}
	}
	return e
}

// Out gives a value the form in which compiled code prints it or takes it for an
// error.
func Out(e any) any {
	b, ok := e.(Box)
	switch {
	case !ok || !b.T.isError:
		return e
	case b.T.joined:
		return joinedError{b}
	}
	return Error{b}
}

// Plain gives a value the form in which compiled code works on it: without its
// own type.
func Plain(e any) any {
	if b, ok := e.(Box); ok {
		return b.V
	}
	return e
}

// Outs are several values of [Out], for a variadic function.
func Outs(list []any) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = Out(e)
	}
	return out
}

// AsError gives a value the form of an error for compiled code.
func AsError(e any) error {
	if e == nil {
		return nil
	}
	return Out(e).(error)
}

// ErrorString calls Error of an error, as fmt does in compiled code.
func (e Error) Error() string       { return current.text(e.Box, "Error") }
func (e joinedError) Error() string { return current.text(e.Box, "Error") }

// Unwrap calls the error's own Unwrap, if it has one.
func (e Error) Unwrap() error {
	if !current.has(e.T.Go, "Unwrap") {
		return nil
	}
	return AsError(current.method(e.Box, "Unwrap")[0])
}

func (e joinedError) Unwrap() []error {
	list, _ := current.method(e.Box, "Unwrap")[0].([]error)
	return list
}

// Is calls the error's own Is, if it has one.
func (e Error) Is(target error) bool {
	if !current.has(e.T.Go, "Is") {
		return false
	}
	return current.method(e.Box, "Is", target)[0].(bool)
}

// text calls a method that returns a string.
func (m *Machine) text(b Box, name string) string { return m.method(b, name)[0].(string) }

// method calls a method of the notebook on a value.
func (m *Machine) method(b Box, name string, args ...any) []any {
	return call(m.Methods[name], append([]any{b}, args...))
}

// has tells whether a type has a method that the notebook declares.
func (m *Machine) has(t types.Type, name string) bool {
	return m.Methods[name].IsValid() && m.sets.MethodSet(t).Lookup(nil, name) != nil
}

// errorType is the interface error.
var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

// Equal compares two values in interfaces.
func Equal(a, b any) bool {
	x, boxed := a.(Box)
	y, both := b.(Box)
	if boxed && both && x.T == y.T && !types.Comparable(x.T.Go) {
		panic(Failure("comparing uncomparable type " + x.T.String()))
	}
	if boxed && both {
		return x.T == y.T && x.V == y.V
	}
	return In(a) == In(b)
}

// A Failure is an error of the runtime that the lowered notebook finds itself.
type Failure string

func (f Failure) Error() string { return "runtime error: " + string(f) }

// RuntimeError makes Failure a runtime.Error.
func (Failure) RuntimeError() {}

// A refusal is a failed type assertion.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RuntimeError()   {}

// dynamic returns the type of a value in an interface: a *Type, or for what the
// compiled world knows its reflect.Type.
func dynamic(e any) (own *Type, natural reflect.Type) {
	if b, ok := e.(Box); ok {
		return b.T, nil
	}
	return nil, reflect.TypeOf(e)
}

// Is tells whether a value has a type.
func (m *Machine) Is(id int, e any) bool {
	t := m.Types[id]
	own, natural := dynamic(e)
	if t.Reflect != nil {
		return natural == t.Reflect
	}
	return own == t
}

// Implements tells whether a value's type has an interface's methods.
func (m *Machine) Implements(id int, e any) bool {
	if e == nil {
		return false
	}
	want := m.Types[id].Go.Underlying().(*types.Interface)
	own, natural := dynamic(e)
	key := [2]any{id, own}
	if own == nil {
		key[1] = natural
	}
	verdict, known := m.verdicts[key]
	if known {
		return verdict
	}
	if own != nil {
		verdict = types.Implements(own.Go, want)
	} else {
		verdict = m.reflectImplements(natural, want)
	}
	m.verdicts[key] = verdict
	return verdict
}

// reflectImplements tells whether a compiled type has an interface's methods.
func (m *Machine) reflectImplements(t reflect.Type, want *types.Interface) bool {
	for i := range want.NumMethods() {
		f := want.Method(i)
		have, ok := t.MethodByName(f.Name())
		if !ok || !f.Exported() {
			return false
		}
		sig, err := m.Natural(f.Signature())
		if err != nil {
			return false
		}
		// The method's first parameter is its receiver.
		if have.Type.NumIn() != sig.NumIn()+1 || have.Type.NumOut() != sig.NumOut() || have.Type.IsVariadic() != sig.IsVariadic() {
			return false
		}
		for i := range sig.NumIn() {
			if have.Type.In(i+1) != sig.In(i) {
				return false
			}
		}
		for i := range sig.NumOut() {
			if have.Type.Out(i) != sig.Out(i) {
				return false
			}
		}
	}
	return true
}

// name is how messages call a value's type.
func name(e any) string {
	own, natural := dynamic(e)
	switch {
	case own != nil:
		return own.String()
	case natural == nil:
		return "nil"
	}
	return natural.String()
}

// Refuse is the panic of a type assertion that does not hold; from is the type of
// the expression.
func (m *Machine) Refuse(from, id int, e any) {
	static, want := m.Types[from].String(), m.Types[id]
	i, is := want.Go.Underlying().(*types.Interface)
	switch {
	case e == nil && is:
		panic(refusal("interface conversion: interface is nil, not " + want.String()))
	case e == nil:
		panic(refusal(fmt.Sprintf("interface conversion: %s is nil, not %s", static, want)))
	case is:
		missing := ""
		if own, _ := dynamic(e); own != nil {
			if f, _ := types.MissingMethod(own.Go, i, true); f != nil {
				missing = f.Name()
			}
		} else {
			for k := range i.NumMethods() {
				if _, ok := reflect.TypeOf(e).MethodByName(i.Method(k).Name()); !ok {
					missing = i.Method(k).Name()
					break
				}
			}
		}
		panic(refusal(fmt.Sprintf("interface conversion: %s is not %s: missing method %s", name(e), want, missing)))
	}
	note := ""
	if name(e) == want.String() {
		note = " (types from different scopes)"
	}
	panic(refusal(fmt.Sprintf("interface conversion: %s is %s, not %s%s", static, name(e), want, note)))
}

// Open returns the number of a value's own type and the value, -1 if it has none.
func Open(e any) (id int, v any) {
	if b, ok := e.(Box); ok {
		return b.T.id, b.V
	}
	return -1, nil
}

// Method calls a compiled method of a value in an interface.
func Method(e any, name string, args ...any) []any {
	if e == nil {
		panic(Failure("invalid memory address or nil pointer dereference"))
	}
	return call(reflect.ValueOf(Out(e)).MethodByName(name), args)
}

// call calls a function with values in interfaces.
func call(f reflect.Value, args []any) []any {
	in := make([]reflect.Value, len(args))
	for i, a := range args {
		in[i] = reflect.New(f.Type().In(i)).Elem()
		if a != nil {
			in[i].Set(reflect.ValueOf(a))
		}
	}
	made := f.Call
	if f.Type().IsVariadic() {
		made = f.CallSlice
	}
	var out []any
	for _, v := range made(in) {
		out = append(out, In(v.Interface()))
	}
	return out
}

// Wrapper returns the struct through which a notebook's type implements a compiled
// interface (see stages/notebook/generate), and nil where there is none.
func (m *Machine) Wrapper(t types.Type) reflect.Type {
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || named.Obj().Pkg() == nil {
		return nil
	}
	if w := m.exports(named.Obj().Pkg().Path())["_"+named.Obj().Name()]; w.IsValid() {
		return w.Type().Elem()
	}
	return nil
}

// Wrap makes a value one that implements a compiled interface, by the notebook's
// methods.
func (m *Machine) Wrap(id int, e any) any {
	if _, own := e.(Box); !own {
		return e
	}
	to := types.Unalias(m.Types[id].Go).(*types.Named)
	if to.Obj().Pkg() == nil {
		return Out(e)
	}
	wrapper := m.Wrapper(to)
	if wrapper == nil {
		panic(refusal("a notebook's own type cannot stand in for " + to.String()))
	}
	w := reflect.New(wrapper).Elem()
	w.Field(0).Set(reflect.ValueOf(e))
	for i := 1; i < w.NumField(); i++ {
		method := m.Methods[w.Type().Field(i).Name[1:]] // after its W
		w.Field(i).Set(reflect.MakeFunc(w.Field(i).Type(), func(args []reflect.Value) []reflect.Value {
			boxed := reflect.New(method.Type().In(0)).Elem()
			boxed.Set(reflect.ValueOf(e))
			if method.Type().IsVariadic() {
				return method.CallSlice(append([]reflect.Value{boxed}, args...))
			}
			return method.Call(append([]reflect.Value{boxed}, args...))
		}))
	}
	return w.Interface()
}

// As is errors.As: it knows the notebook's types.
func (m *Machine) As(err error, target any) bool {
	b, own := target.(Box)
	if !own {
		return errors.As(err, target)
	}
	if b.V == nil || reflect.ValueOf(b.V).IsNil() {
		panic("errors: target must be a non-nil pointer")
	}
	p, ok := b.T.Go.Underlying().(*types.Pointer)
	if !ok {
		panic("errors: target must be a non-nil pointer")
	}
	want := p.Elem()
	i, isInterface := want.Underlying().(*types.Interface)
	if !isInterface && !types.Implements(want, errorType) {
		panic("errors: *target must be interface or implement error")
	}
	set := func(e any) bool {
		own, ok := e.(Box)
		switch {
		case ok && isInterface && types.Implements(own.T.Go, i):
			reflect.ValueOf(b.V).Elem().Set(reflect.ValueOf(e))
		case ok && !isInterface && types.Identical(own.T.Go, want):
			reflect.ValueOf(b.V).Elem().Set(reflect.ValueOf(own.V))
		case !ok && isInterface && m.reflectImplements(reflect.TypeOf(e), i):
			reflect.ValueOf(b.V).Elem().Set(reflect.ValueOf(e))
		default:
			return false
		}
		return true
	}
	var walk func(err error) bool
	walk = func(err error) bool {
		if err == nil {
			return false
		}
		if set(In(err)) {
			return true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			return walk(x.Unwrap())
		case interface{ Unwrap() []error }:
			for _, e := range x.Unwrap() {
				if walk(e) {
					return true
				}
			}
		}
		return false
	}
	return walk(err)
}
