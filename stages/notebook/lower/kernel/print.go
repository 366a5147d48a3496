package kernel

import (
	"cmp"
	"fmt"
	"go/types"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Format prints a value of an own type as fmt prints it in compiled code: with
// the names of the notebook's types and fields, and by their methods.
func (b Box) Format(s fmt.State, verb rune) {
	p := printer{s, verb}
	p.value(reflect.ValueOf(b.V), b.T.Go, 0, true)
}

type printer struct {
	fmt.State
	verb rune
}

func (p printer) sharpV() bool { return p.verb == 'v' && p.Flag('#') }

func (p printer) text(s string) { io.WriteString(p.State, s) }

// leaf prints a value of a basic type as asked for.
func (p printer) leaf(v any) { fmt.Fprintf(p.State, fmt.FormatString(p.State, p.verb), v) }

// methods prints a value by a method of its type, if it has one for the verb.
func (p printer) methods(v reflect.Value, t types.Type) bool {
	m := current
	own, _ := m.byType.At(t).(*Type)
	if own == nil {
		return false
	}
	b := Box{own, v.Interface()}
	if m.has(t, "Format") {
		if m.sets.MethodSet(t).Lookup(nil, "Format").Obj().Type().(*types.Signature).Params().Len() == 2 {
			p.guarded(b, "Format", func() { m.method(b, "Format", p.State, p.verb) })
			return true
		}
	}
	if p.sharpV() {
		if !m.has(t, "GoString") {
			return false
		}
		p.guarded(b, "GoString", func() { p.text(m.text(b, "GoString")) })
		return true
	}
	if !strings.ContainsRune("vsxXq", p.verb) {
		return false
	}
	for _, name := range []string{"Error", "String"} {
		if m.has(t, name) {
			p.guarded(b, name, func() { p.leaf(m.text(b, name)) })
			return true
		}
	}
	return false
}

// guarded calls a method for printing, and prints a panic of it as fmt does.
func (p printer) guarded(b Box, name string, call func()) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if v := reflect.ValueOf(b.V); v.Kind() == reflect.Pointer && v.IsNil() {
			p.text("<nil>")
			return
		}
		p.text("%!" + string(p.verb) + "(PANIC=" + name + " method: " + fmt.Sprint(Recovered(r)) + ")")
	}()
	call()
}

// value prints a value of a type; nil stands for the type that reflection tells.
// Where methods is false, it lies below a field that is not exported, and no
// method of it is called.
func (p printer) value(v reflect.Value, t types.Type, depth int, methods bool) {
	if !v.IsValid() {
		p.text("<nil>")
		return
	}
	if t != nil && v.Kind() == reflect.Interface && !types.IsInterface(t) { // a field that leads back to its struct
		if v = v.Elem(); !v.IsValid() {
			p.none(t)
			return
		}
	}
	if t == nil {
		if b, ok := v.Interface().(Box); ok {
			v, t = reflect.ValueOf(b.V), b.T.Go
		} else if e, ok := In(v.Interface()).(Box); ok {
			v, t = reflect.ValueOf(e.V), e.T.Go
		}
	}
	if t == nil {
		t = current.reflected(v.Type())
		if t == nil {
			p.leaf(v.Interface())
			return
		}
	}
	if methods {
		if _, err := current.Natural(t); err == nil && (depth == 0 || v.Kind() != reflect.Pointer || v.Type().NumMethod() > 0) {
			p.leaf(v.Interface())
			return
		}
		if v.Kind() != reflect.Interface && p.methods(v, t) {
			return
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		p.basic(v, t)
	case *types.Map:
		p.table(v, t, u, depth, methods)
	case *types.Struct:
		if p.sharpV() {
			p.text(TypeName(t))
		}
		p.text("{")
		for i := range u.NumFields() {
			f := u.Field(i)
			if i > 0 {
				p.separate()
			}
			if p.verb == 'v' && (p.Flag('+') || p.Flag('#')) {
				p.text(f.Name() + ":")
			}
			p.value(v.Field(i), f.Type(), depth+1, methods && f.Exported())
		}
		p.text("}")
	case *types.Interface:
		switch {
		case !v.IsNil():
			p.value(v.Elem(), nil, depth+1, methods)
		case p.sharpV():
			p.text(TypeName(t) + "(nil)")
		default:
			p.text("<nil>")
		}
	case *types.Slice:
		p.elements(v, t, u.Elem(), depth, methods)
	case *types.Array:
		p.elements(v, t, u.Elem(), depth, methods)
	case *types.Pointer:
		if depth == 0 && !v.IsNil() {
			switch u.Elem().Underlying().(type) {
			case *types.Array, *types.Slice, *types.Struct, *types.Map:
				p.text("&")
				p.value(v.Elem(), u.Elem(), depth+1, methods)
				return
			}
		}
		p.pointer(v, t)
	default:
		p.pointer(v, t)
	}
}

// none prints the zero value of a type that has nil.
func (p printer) none(t types.Type) {
	_, table := t.Underlying().(*types.Map)
	_, list := t.Underlying().(*types.Slice)
	switch {
	case p.sharpV() && (table || list):
		p.text(TypeName(t) + "(nil)")
	case p.sharpV():
		p.text("(" + TypeName(t) + ")(nil)")
	case table:
		p.text("map[]")
	case list:
		p.text("[]")
	default:
		p.text("<nil>")
	}
}

func (p printer) separate() {
	if p.sharpV() {
		p.text(",")
	}
	p.text(" ")
}

// verbs lists the verbs that fit a kind of basic type.
var verbs = map[types.BasicInfo]string{
	types.IsBoolean: "vt", types.IsInteger: "vbcdoOqxXU", types.IsUnsigned: "vbcdoOqxXU",
	types.IsFloat: "vbeEfFgGxX", types.IsComplex: "vbeEfFgGxX", types.IsString: "vsqxX",
}

func (p printer) basic(v reflect.Value, t types.Type) {
	b := t.Underlying().(*types.Basic)
	for info, fits := range verbs {
		if b.Info()&info != 0 && strings.ContainsRune(fits, p.verb) {
			p.leaf(v.Convert(basics[b.Kind()]).Interface())
			return
		}
	}
	p.bad(v, t)
}

// bad prints a value that the verb does not fit.
func (p printer) bad(v reflect.Value, t types.Type) {
	p.text("%!" + string(p.verb) + "(" + TypeName(t) + "=")
	printer{plainState{p.State}, 'v'}.value(v, t, 0, false)
	p.text(")")
}

// A plainState is a state without flags.
type plainState struct{ fmt.State }

func (plainState) Flag(int) bool          { return false }
func (plainState) Width() (int, bool)     { return 0, false }
func (plainState) Precision() (int, bool) { return 0, false }

func (p printer) table(v reflect.Value, t types.Type, u *types.Map, depth int, methods bool) {
	end := "]"
	if p.sharpV() {
		p.text(TypeName(t))
		if v.IsNil() {
			p.text("(nil)")
			return
		}
		p.text("{")
		end = "}"
	} else {
		p.text("map[")
	}
	keys := v.MapKeys()
	slices.SortStableFunc(keys, compare)
	for i, k := range keys {
		if i > 0 {
			p.separate()
		}
		p.value(k, u.Key(), depth+1, methods)
		p.text(":")
		p.value(v.MapIndex(k), u.Elem(), depth+1, methods)
	}
	p.text(end)
}

// compare orders a map's keys as fmt does.
func compare(a, b reflect.Value) int {
	if a.Type() != b.Type() {
		return -1
	}
	switch a.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return cmp.Compare(a.Int(), b.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return cmp.Compare(a.Uint(), b.Uint())
	case reflect.String:
		return cmp.Compare(a.String(), b.String())
	case reflect.Float32, reflect.Float64:
		return cmp.Compare(a.Float(), b.Float())
	case reflect.Complex64, reflect.Complex128:
		return cmp.Or(cmp.Compare(real(a.Complex()), real(b.Complex())), cmp.Compare(imag(a.Complex()), imag(b.Complex())))
	case reflect.Bool:
		switch {
		case a.Bool() == b.Bool():
			return 0
		case a.Bool():
			return 1
		}
		return -1
	case reflect.Pointer, reflect.Chan:
		return cmp.Compare(a.Pointer(), b.Pointer())
	case reflect.Struct:
		for i := range a.NumField() {
			if c := compare(a.Field(i), b.Field(i)); c != 0 {
				return c
			}
		}
		return 0
	case reflect.Array:
		for i := range a.Len() {
			if c := compare(a.Index(i), b.Index(i)); c != 0 {
				return c
			}
		}
		return 0
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return cmp.Compare(depthOf(a), depthOf(b))
		}
		x, boxed := a.Interface().(Box)
		y, both := b.Interface().(Box)
		if boxed && both && x.T == y.T {
			return compare(reflect.ValueOf(x.V), reflect.ValueOf(y.V))
		}
		return cmp.Or(cmp.Compare(kindOf(a), kindOf(b)), compare(a.Elem(), b.Elem()))
	}
	return 0
}

// depthOf is 0 for a nil interface, which comes first.
func depthOf(v reflect.Value) int {
	if v.IsNil() {
		return 0
	}
	return 1
}

func kindOf(v reflect.Value) reflect.Kind { return reflect.TypeOf(Plain(v.Interface())).Kind() }

func (p printer) elements(v reflect.Value, t, elem types.Type, depth int, methods bool) {
	if b, ok := elem.Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 && strings.ContainsRune("sqxX", p.verb) {
		bytes := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(bytes), v)
		p.leaf(bytes)
		return
	}
	begin, end := "[", "]"
	if p.sharpV() {
		p.text(TypeName(t))
		if v.Kind() == reflect.Slice && v.IsNil() {
			p.text("(nil)")
			return
		}
		begin, end = "{", "}"
	}
	p.text(begin)
	for i := range v.Len() {
		if i > 0 {
			p.separate()
		}
		p.value(v.Index(i), elem, depth+1, methods)
	}
	p.text(end)
}

// pointer prints an address.
func (p printer) pointer(v reflect.Value, t types.Type) {
	switch p.verb {
	case 'v':
		switch {
		case p.sharpV() && v.IsNil():
			p.text("(" + TypeName(t) + ")(nil)")
		case p.sharpV():
			p.text(fmt.Sprintf("(%s)(%#x)", TypeName(t), v.Pointer()))
		case v.IsNil():
			width, _ := p.Width()
			fmt.Fprintf(p.State, "%*s", width, "<nil>")
		default:
			fmt.Fprintf(p.State, "%#x", v.Pointer())
		}
	case 'b', 'o', 'd', 'x', 'X':
		p.leaf(v.Pointer())
	default:
		p.bad(v, t)
	}
}

// prepared gives fmt's operands the form that its functions print right: %T and
// %p are answered by fmt before a value is asked.
func prepared(format string, args []any) (string, []any) {
	out := Outs(args)
	if !strings.Contains(format, "T") && !strings.Contains(format, "p") || !slices.ContainsFunc(args, func(a any) bool { _, own := a.(Box); return own }) {
		return format, out
	}
	var b strings.Builder
	at := 0            // the next operand
	moved := false     // fmt would take another for the next
	number := func() { // names the next operand, where that is needed
		if moved {
			fmt.Fprintf(&b, "[%d]", at+1)
			moved = false
		}
	}
	for i := 0; i < len(format); i++ {
		b.WriteByte(format[i])
		if format[i] != '%' {
			continue
		}
		for i++; i < len(format); i++ {
			c := format[i]
			if c == '[' {
				end := strings.IndexByte(format[i:], ']')
				if end < 0 {
					break
				}
				n, _ := strconv.Atoi(format[i+1 : i+end]) // 0 where fmt complains
				at, moved = n-1, true
				i += end
				continue
			}
			if strings.IndexByte("+-# 0123456789.*", c) >= 0 {
				if c == '*' {
					number()
					at++
				}
				b.WriteByte(c)
				continue
			}
			if c == '%' {
				b.WriteByte(c)
				break
			}
			if at >= 0 && at < len(args) {
				own, _ := args[at].(Box)
				switch {
				case c == 'T' && own.T != nil:
					out = append(out, own.T.String())
					fmt.Fprintf(&b, "[%d]s", len(out))
					at, moved = at+1, true
					goto next
				case c == 'p' && own.T != nil:
					out = append(out, own.V)
					fmt.Fprintf(&b, "[%d]p", len(out))
					at, moved = at+1, true
					goto next
				}
			}
			number()
			at++
			b.WriteByte(c)
			break
		}
	next:
	}
	return b.String(), out
}

// sprint is fmt.Sprint: between operands of which neither is a text is a space.
func sprint(args []any) string {
	var b strings.Builder
	text := false
	for i, a := range args {
		is := a != nil && reflect.ValueOf(Plain(a)).Kind() == reflect.String
		if i > 0 && !is && !text {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, Out(a))
		text = is
	}
	return b.String()
}

func sprintf(format string, args []any) string {
	format, args = prepared(format, args)
	return fmt.Sprintf(format, args...)
}

// Sprintf is fmt.Sprintf for a notebook's values.
func Sprintf(format string, args ...any) string { return sprintf(format, args) }

// Fmt returns the functions of fmt that print, for a notebook whose prints go to
// a writer.
func Fmt(out io.Writer) map[string]reflect.Value {
	plains := func(args []any) []any {
		list := make([]any, len(args))
		for i, a := range args {
			list[i] = Plain(a)
		}
		return list
	}
	functions := map[string]any{
		"Print":    func(a ...any) (int, error) { return io.WriteString(out, sprint(a)) },
		"Printf":   func(f string, a ...any) (int, error) { return io.WriteString(out, sprintf(f, a)) },
		"Println":  func(a ...any) (int, error) { return fmt.Fprintln(out, Outs(a)...) },
		"Sprint":   func(a ...any) string { return sprint(a) },
		"Sprintf":  Sprintf,
		"Sprintln": func(a ...any) string { return fmt.Sprintln(Outs(a)...) },
		"Fprint":   func(w io.Writer, a ...any) (int, error) { return io.WriteString(w, sprint(a)) },
		"Fprintf":  func(w io.Writer, f string, a ...any) (int, error) { return io.WriteString(w, sprintf(f, a)) },
		"Fprintln": func(w io.Writer, a ...any) (int, error) { return fmt.Fprintln(w, Outs(a)...) },
		"Append":   func(b []byte, a ...any) []byte { return append(b, sprint(a)...) },
		"Appendf":  func(b []byte, f string, a ...any) []byte { return append(b, sprintf(f, a)...) },
		"Appendln": func(b []byte, a ...any) []byte { return fmt.Appendln(b, Outs(a)...) },
		"Errorf": func(f string, a ...any) error {
			f, a = prepared(f, a)
			return fmt.Errorf(f, a...)
		},
		"Sscan":   func(s string, a ...any) (int, error) { return fmt.Sscan(s, plains(a)...) },
		"Sscanf":  func(s, f string, a ...any) (int, error) { return fmt.Sscanf(s, f, plains(a)...) },
		"Sscanln": func(s string, a ...any) (int, error) { return fmt.Sscanln(s, plains(a)...) },
		"Fscan":   func(r io.Reader, a ...any) (int, error) { return fmt.Fscan(r, plains(a)...) },
		"Fscanf":  func(r io.Reader, f string, a ...any) (int, error) { return fmt.Fscanf(r, f, plains(a)...) },
		"Fscanln": func(r io.Reader, a ...any) (int, error) { return fmt.Fscanln(r, plains(a)...) },
	}
	values := make(map[string]reflect.Value, len(functions))
	for name, f := range functions {
		values[name] = reflect.ValueOf(f)
	}
	return values
}
