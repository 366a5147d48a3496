// Package form writes the types of a lowered notebook: an own type as its underlying
// one, structs by names of their own, interfaces as any.
package form

import (
	"fmt"
	"go/token"
	"go/types"
	"reflect"
	"slices"
	"strings"

	"barograph/stages/notebook/lower/kernel"

	"golang.org/x/tools/go/types/typeutil"
)

// Kernel names the kernel's package in a lowered notebook.
const Kernel = "h"

// A Refusal is what cannot be lowered.
type Refusal struct {
	Pos           token.Pos
	Message, Hint string
}

func (r *Refusal) Error() string { return r.Message }

// Forms are the types of one notebook.
type Forms struct {
	Machine  *kernel.Machine
	Declared strings.Builder          // struct types
	Imports  map[string]string        // of compiled packages: path -> name
	Foreign  map[string]reflect.Value // types of compiled packages that are not listed
	Pos      token.Pos                // of what is being written

	ids      *typeutil.Map   // types.Type -> number of a kernel.Type
	structs  *typeutil.Map   // *types.Struct -> name
	names    *typeutil.Map   // types.Type -> its form
	building []types.Type    // named types whose form is being made
	erasures map[[2]any]bool // by struct and field
}

// New returns the forms of a notebook that runs on a machine.
func New(m *kernel.Machine) *Forms {
	return &Forms{
		Machine: m, Imports: map[string]string{}, Foreign: map[string]reflect.Value{},
		ids: &typeutil.Map{}, structs: &typeutil.Map{}, names: &typeutil.Map{}, erasures: map[[2]any]bool{},
	}
}

// Refuse ends the lowering.
func (e *Forms) Refuse(pos token.Pos, hint, format string, args ...any) {
	if !pos.IsValid() {
		pos = e.Pos
	}
	panic(&Refusal{pos, fmt.Sprintf(format, args...), hint})
}

// ID returns the number of a type that matters at run time.
func (e *Forms) ID(t types.Type) int {
	if n := e.ids.At(t); n != nil {
		return n.(int)
	}
	n := e.Machine.Add(t)
	e.ids.Set(t, n)
	return n
}

// Own tells whether values of a type are boxed in interfaces.
func (e *Forms) Own(t types.Type) bool {
	_, err := e.Machine.Natural(t)
	return err != nil
}

// Type writes the form of a type.
func (e *Forms) Type(t types.Type) string {
	if s := e.names.At(t); s != nil {
		return s.(string)
	}
	s := e.form(t)
	e.names.Set(t, s)
	return s
}

func (e *Forms) form(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		switch t.Kind() {
		case types.UnsafePointer:
			e.Refuse(token.NoPos, "", "a notebook may not use package unsafe")
		case types.Byte, types.Rune: // in the names that reflection has
			return types.Typ[t.Kind()].Name()
		case types.UntypedNil:
			return "interface{}"
		}
		return types.Default(t).(*types.Basic).Name()
	case *types.Named:
		if t.Underlying() == types.Typ[types.UnsafePointer] { // no notebook's type: what deferred calls are kept in
			return "*" + Kernel + ".Frame"
		}
		if !e.Own(t) {
			if t.Obj().Pkg() == nil {
				return t.Obj().Name() // error
			}
			if r, _ := e.Machine.Natural(t); e.Machine.Unlisted(t) {
				name := fmt.Sprintf("X%d_%s", e.ID(t), t.Obj().Name())
				e.Foreign[name] = reflect.Zero(reflect.PointerTo(r))
				return Kernel + "." + name
			}
			return e.Package(t.Obj().Pkg()) + "." + t.Obj().Name()
		}
		if _, is := t.Underlying().(*types.Struct); is {
			return e.structure(t.Underlying().(*types.Struct))
		}
		if types.IsInterface(t) {
			return "interface{}"
		}
		for _, b := range e.building {
			if types.Identical(b, t) {
				e.Refuse(t.Obj().Pos(), "put it into a struct", "type %s contains itself, and the interpreter has no such types but structs", t.Obj().Name())
			}
		}
		e.building = append(e.building, t)
		defer func() { e.building = e.building[:len(e.building)-1] }()
		return e.Type(t.Underlying())
	case *types.Struct:
		return e.structure(t)
	case *types.Interface:
		return "interface{}"
	case *types.Pointer:
		return "*" + e.Type(t.Elem())
	case *types.Slice:
		return "[]" + e.Type(t.Elem())
	case *types.Array:
		if t.Len() > 1<<31 {
			e.Refuse(token.NoPos, "", "an array of %d elements", t.Len())
		}
		return fmt.Sprintf("[%d]%s", t.Len(), e.Type(t.Elem()))
	case *types.Map:
		return "map[" + e.Type(t.Key()) + "]" + e.Type(t.Elem())
	case *types.Chan:
		if !e.Own(t) && t.Dir() != types.SendRecv {
			return map[types.ChanDir]string{types.SendOnly: "chan<- ", types.RecvOnly: "<-chan "}[t.Dir()] + e.Type(t.Elem())
		}
		return "chan " + e.Type(t.Elem())
	case *types.Signature:
		return "func" + e.Signature(t, nil)
	case *types.TypeParam:
		e.Refuse(t.Obj().Pos(), "write it for the types you use", "type parameter %s has no type here", t)
	case *types.Tuple:
		return "tuple"
	}
	e.Refuse(token.NoPos, "", "type %s cannot be interpreted", t)
	return ""
}

// Signature writes parameters and results. A receiver comes first.
func (e *Forms) Signature(t *types.Signature, names []string) string {
	var b strings.Builder
	b.WriteString("(")
	for i := range t.Params().Len() {
		if i > 0 {
			b.WriteString(", ")
		}
		if names != nil {
			b.WriteString(names[i] + " ")
		}
		text := e.Type(t.Params().At(i).Type())
		if t.Variadic() && i == t.Params().Len()-1 && !e.Own(t) {
			text = "..." + strings.TrimPrefix(text, "[]")
		}
		b.WriteString(text)
	}
	b.WriteString(")" + e.Results(t))
	return b.String()
}

func (e *Forms) Results(t *types.Signature) string {
	var list []string
	for i := range t.Results().Len() {
		list = append(list, e.Type(t.Results().At(i).Type()))
	}
	switch len(list) {
	case 0:
		return ""
	case 1:
		return " " + list[0]
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// structure declares a struct type, and returns its name.
func (e *Forms) structure(t *types.Struct) string {
	if s := e.structs.At(t); s != nil {
		return s.(string)
	}
	name := fmt.Sprintf("S%d", e.structs.Len())
	e.structs.Set(t, name)
	building := e.building
	e.building = nil // a struct may contain itself
	var b strings.Builder
	fmt.Fprintf(&b, "type %s struct {\n", name)
	for i := range t.NumFields() {
		form := "interface{}"
		if !e.Erased(t, i) {
			form = e.Type(t.Field(i).Type())
		}
		fmt.Fprintf(&b, "\t%s %s", Field(t, i), form)
		if tag := t.Tag(i); tag != "" {
			fmt.Fprintf(&b, " %q", tag)
		}
		b.WriteString("\n")
	}
	if t.NumFields() == 0 {
		b.WriteString("\tNothing bool\n") // the interpreter has no values of no size
	}
	b.WriteString("}\n\n")
	e.building = building
	e.Declared.WriteString(b.String())
	return name
}

// Erased tells whether a field of a struct is held as any: the interpreter has
// structs that contain themselves, but none that do so by way of another.
func (e *Forms) Erased(t types.Type, i int) bool {
	if !e.Own(t) {
		return false
	}
	s := t.Underlying().(*types.Struct)
	array := false
	switch s.Field(i).Type().Underlying().(type) {
	case *types.Pointer, *types.Slice, *types.Map, *types.Signature, *types.Chan:
	case *types.Array:
		array = true
	default:
		return false
	}
	key := [2]any{s, i}
	if known, ok := e.erasures[key]; ok {
		return known
	}
	seen := &typeutil.Map{}
	var leads func(t types.Type, other bool) bool
	leads = func(t types.Type, other bool) bool {
		u := t.Underlying()
		if types.Identical(u, s) {
			return other
		}
		if types.IsInterface(u) || !e.Own(t) || seen.At(t) != nil {
			return false
		}
		seen.Set(t, true)
		switch u := u.(type) {
		case *types.Pointer:
			return leads(u.Elem(), other)
		case *types.Slice:
			return leads(u.Elem(), other)
		case *types.Array:
			return leads(u.Elem(), other)
		case *types.Chan:
			return leads(u.Elem(), other)
		case *types.Map: // nor with themselves as keys
			return leads(u.Key(), true) || leads(u.Elem(), other)
		case *types.Signature: // nor as parameters of functions in something else
			other = other || u != s.Field(i).Type().Underlying()
			for _, list := range []*types.Tuple{u.Params(), u.Results()} {
				for i := range list.Len() {
					if leads(list.At(i).Type(), other) {
						return true
					}
				}
			}
		case *types.Struct:
			for i := range u.NumFields() {
				if leads(u.Field(i).Type(), true) {
					return true
				}
			}
		}
		return false
	}
	e.erasures[key] = leads(s.Field(i).Type(), false)
	if array && e.erasures[key] {
		e.Refuse(s.Field(i).Pos(), "make it a slice", "an array of what leads back to its own struct cannot be interpreted")
	}
	return e.erasures[key]
}

// Field is how a field of an own struct is called.
func Field(t *types.Struct, i int) string {
	if f := t.Field(i); f.Exported() {
		return f.Name()
	}
	return fmt.Sprintf("F%d_%s", i, t.Field(i).Name())
}

// Package imports a compiled package, and returns its name.
func (e *Forms) Package(p *types.Package) string {
	if name := e.Imports[p.Path()]; name != "" {
		return name
	}
	name := "q" + p.Name()
	for i := 2; slices.Contains(valuesOf(e.Imports), name); i++ {
		name = fmt.Sprintf("q%s%d", p.Name(), i)
	}
	e.Imports[p.Path()] = name
	return name
}

func valuesOf(m map[string]string) (list []string) {
	for _, v := range m {
		list = append(list, v)
	}
	return list
}
