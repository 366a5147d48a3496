package lower

import (
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/ssa"

	"barograph/stages/notebook/lower/form"
)

// set writes that a value's variable gets an expression.
func (w *writer) set(v ssa.Value, format string, args ...any) {
	w.line("%s = %s", w.name(v), fmt.Sprintf(format, args...))
}

// instruction writes an instruction that is no jump.
func (w *writer) instruction(instr ssa.Instruction) {
	switch i := instr.(type) {
	case *ssa.Alloc:
		w.set(i, "new(%s)", w.Type(i.Type().Underlying().(*types.Pointer).Elem()))
	case *ssa.BinOp:
		if w.fused[i] {
			return
		}
		if form.MayFail(i) {
			w.mark(i.Pos())
		}
		if i.Op == token.SHL || i.Op == token.SHR {
			if b := i.Y.Type().Underlying().(*types.Basic); b.Info()&types.IsUnsigned == 0 {
				if c, ok := i.Y.(*ssa.Const); !ok {
					w.line("if %s < 0 {\n\t\t%s.Shift(-1)\n\t}", w.value(i.Y), kern)
				} else if constant.Sign(c.Value) < 0 { // of a variable that always holds it
					w.line("%s.Shift(-1)", kern)
				}
			}
		}
		w.set(i, "%s", w.binary(i))
	case *ssa.UnOp:
		w.unary(i)
	case *ssa.ChangeType:
		w.changeType(i)
	case *ssa.Convert:
		w.convert(i)
	case *ssa.MultiConvert:
		w.Refuse(i.Pos(), "write it for the types you use", "a conversion of a type parameter")
	case *ssa.ChangeInterface:
		w.set(i, "%s", w.changeInterface(w.value(i.X), i.X.Type(), i.Type()))
	case *ssa.MakeInterface:
		w.set(i, "%s", w.makeInterface(w.value(i.X), i))
	case *ssa.SliceToArrayPointer:
		w.mark(i.Pos())
		w.set(i, "%s.Array(%s, %s).(%s)", kern, w.value(i.X), w.zero(i.Type()), w.Type(i.Type()))
	case *ssa.MakeClosure:
		var list []string
		for _, b := range i.Bindings {
			list = append(list, w.value(b))
		}
		w.set(i, "%s(%s)", w.value(i.Fn), strings.Join(list, ", "))
	case *ssa.MakeMap:
		w.set(i, "make(%s)", w.Type(i.Type()))
	case *ssa.MakeChan:
		w.mark(i.Pos())
		n := w.index(i.Size)
		if c, ok := i.Size.(*ssa.Const); !ok || c.Int64() < 0 {
			n = w.variable(n)
			w.line("if %s < 0 {\n\t\t%s.Room(%[1]s)\n\t}", n, kern)
		}
		w.set(i, "make(chan %s, %s)", w.Type(i.Type().Underlying().(*types.Chan).Elem()), n)
	case *ssa.MakeSlice:
		w.mark(i.Pos())
		n, c := w.index(i.Len), w.index(i.Cap)
		length, fixed := i.Len.(*ssa.Const)
		if most, ok := i.Cap.(*ssa.Const); !fixed || !ok {
			w.line("%s.Size(%s, %s)", kern, n, c)
		} else if length.Int64() < 0 || length.Int64() > most.Int64() { // of variables that always hold it
			n, c = w.variable(n), w.variable(c)
			w.line("%s.Size(%s, %s)", kern, n, c)
		}
		w.set(i, "make(%s, %s, %s)", w.Type(i.Type()), n, c)
	case *ssa.Slice:
		w.slice(i)
	case *ssa.FieldAddr:
		if !w.folded[i] {
			if w.erasedAddress(i) {
				w.Refuse(i.Pos(), "copy the field into a variable and back", "the address of a field that leads back to its own struct cannot be interpreted")
			}
			w.mark(i.Pos())
			w.set(i, "&%s.%s", w.base(i.X), w.field(i.X.Type().Underlying().(*types.Pointer).Elem(), i.Field))
		}
	case *ssa.Field:
		if w.Erased(i.X.Type(), i.Field) {
			e := w.declare("interface{}")
			w.line("%s = %s.%s", e, w.value(i.X), w.field(i.X.Type(), i.Field))
			w.unpackErased(w.name(i), e, i.Type())
			return
		}
		w.set(i, "%s.%s", w.value(i.X), w.field(i.X.Type(), i.Field))
	case *ssa.IndexAddr:
		if w.folded[i] {
			if w.recovers {
				w.mark(i.Pos())
				w.bounds(i.X, i.Index)
			}
			return
		}
		w.mark(i.Pos())
		w.bounds(i.X, i.Index)
		if _, ok := i.X.Type().Underlying().(*types.Slice); ok {
			w.set(i, "&%s[%s]", w.value(i.X), w.elem(i.X, i.Index))
			return
		}
		w.set(i, "&%s[%s]", w.place(i.X), w.elem(i.X, i.Index))
	case *ssa.Index:
		w.mark(i.Pos())
		w.bounds(i.X, i.Index)
		w.set(i, "%s[%s]", w.operand(i.X), w.elem(i.X, i.Index))
	case *ssa.Lookup:
		w.mark(i.Pos())
		w.hashable(i.Index)
		if i.CommaOk {
			// Of a key that is not there the interpreter would leave what the variable held.
			parts := w.parts(i)
			if parts[0] != "_" {
				w.line("%s = %s[%s]", parts[0], w.value(i.X), w.value(i.Index))
			}
			if parts[1] != "_" {
				w.line("_, %s = %s[%s]", parts[1], w.value(i.X), w.value(i.Index))
			}
			return
		}
		w.set(i, "%s[%s]", w.value(i.X), w.value(i.Index))
	case *ssa.MapUpdate:
		w.mark(i.Pos())
		w.hashable(i.Key)
		w.line("%s[%s] = %s", w.value(i.Map), w.value(i.Key), w.value(i.Value))
	case *ssa.Store:
		if a, ok := i.Addr.(*ssa.Alloc); !ok || w.names[a] == "" {
			w.mark(i.Pos())
		}
		if w.folded[i.Addr] && w.erasedAddress(i.Addr) {
			v := w.value(i.Val)
			w.line("%s = nil\n\tif %s != nil {\n\t\t%[1]s = %[2]s\n\t}", w.place(i.Addr), v)
			return
		}
		w.line("%s = %s", w.place(i.Addr), w.value(i.Val))
	case *ssa.Range:
		if _, ok := i.X.Type().Underlying().(*types.Map); !ok {
			at := w.declare("int")
			w.line("%s = 0", at)
			w.names[i] = w.value(i.X) + ", " + at
			return
		}
		it := w.declare("*" + kern + ".Iterator")
		w.names[i] = it
		w.line("%s = %s.Range(%s)", it, kern, w.value(i.X))
	case *ssa.Next:
		w.next(i)
	case *ssa.Extract:
		w.names[i] = w.parts(i.Tuple)[i.Index]
	case *ssa.TypeAssert:
		w.assert(i)
	case *ssa.Call:
		w.call(i)
	case *ssa.Defer:
		w.deferred(i)
	case *ssa.RunDefers:
		w.mark(w.Pos)
		w.line("%s.RunDefers(%s)", kern, w.frame)
		w.last = token.NoPos
	case *ssa.Go:
		w.Refuse(i.Pos(), "loops over samples belong in the functions of nb, which are compiled", "a notebook runs in one goroutine")
	case *ssa.Send:
		w.mark(i.Pos())
		w.line("%s.Send(%s, %s)", kern, w.value(i.Chan), w.value(i.X))
	case *ssa.Select:
		w.selection(i)
	default:
		w.Refuse(instr.Pos(), "", "%T cannot be interpreted", instr)
	}
}

func (w *writer) unary(i *ssa.UnOp) {
	switch i.Op {
	case token.MUL:
		if w.onlyMeasured(i) {
			return
		}
		if _, ok := i.X.(*ssa.Alloc); !ok {
			w.mark(i.Pos())
		}
		if w.folded[i.X] && w.erasedAddress(i.X) {
			e := w.declare("interface{}")
			w.line("%s = %s", e, w.place(i.X))
			w.unpackErased(w.name(i), e, i.Type())
			return
		}
		w.set(i, "%s", w.place(i.X))
	case token.ARROW:
		w.mark(i.Pos())
		elem := i.X.Type().Underlying().(*types.Chan).Elem()
		e, ok := w.declare("interface{}"), w.declare("bool")
		w.line("%s, %s = %s.Receive(%s)", e, ok, kern, w.value(i.X))
		if !i.CommaOk {
			w.unpack(w.name(i), e, elem)
			return
		}
		parts := w.parts(i)
		w.unpack(parts[0], e, elem)
		w.line("%s = %s", parts[1], ok)
	case token.SUB:
		if b := i.X.Type().Underlying().(*types.Basic); b.Info()&types.IsComplex != 0 {
			w.set(i, "%s(%s.Negative(complex128(%s)))", w.Type(i.Type()), kern, w.operand(i.X))
			return
		} else if b.Info()&types.IsFloat != 0 {
			w.set(i, "%s * %s(-1.0)", w.operand(i.X), w.Type(i.Type())) // of zero as well
			return
		}
		w.set(i, "-%s", w.operand(i.X))
	default:
		w.set(i, "%s%s", i.Op, w.operand(i.X))
	}
}

// onlyMeasured tells whether a value is an array of which only the length is asked,
// for which it is not read.
func (e *emitter) onlyMeasured(i *ssa.UnOp) bool {
	if _, ok := i.Type().Underlying().(*types.Array); !ok || len(*i.Referrers()) == 0 && !e.measured[i.Pos()] {
		return false
	}
	for _, r := range *i.Referrers() {
		c, ok := r.(*ssa.Call)
		if !ok {
			return false
		}
		if b, ok := c.Call.Value.(*ssa.Builtin); !ok || b.Name() != "len" && b.Name() != "cap" {
			return false
		}
	}
	return true
}

// unpack gives a variable of a type the value that the kernel has returned as any.
func (w *writer) unpack(to, from string, t types.Type) {
	if to == "_" {
		return
	}
	typ := w.Type(t)
	switch {
	case typ == "interface{}":
		w.line("%s = %s", to, from)
	case types.IsInterface(t):
		w.line("if %s == nil {\n\t\t%s = %s\n\t} else {\n\t\t%s = %s.(%s)\n\t}", from, to, w.zero(t), to, from, typ)
	default:
		w.line("%s = %s.(%s)", to, from, typ)
	}
}

// unpackErased gives a variable the value of a field that is held as any.
func (w *writer) unpackErased(to, from string, t types.Type) {
	w.line("if %s == nil {\n\t\t%s = %s\n\t} else {\n\t\t%s = %s.(%s)\n\t}", from, to, w.zero(t), to, from, w.Type(t))
}

// erasedAddress tells whether an address is that of a field that is held as any.
func (w *writer) erasedAddress(v ssa.Value) bool {
	f, ok := v.(*ssa.FieldAddr)
	return ok && w.Erased(f.X.Type().Underlying().(*types.Pointer).Elem(), f.Field)
}

func (w *writer) changeType(i *ssa.ChangeType) {
	from, to := w.Type(i.X.Type()), w.Type(i.Type())
	_, structs := i.Type().Underlying().(*types.Struct)
	switch {
	case from == to:
		if w.folded[i.X] {
			w.set(i, "%s", w.value(i.X))
			return
		}
		w.names[i] = w.value(i.X)
	case structs, strings.HasPrefix(to, "func"), form.IsChan(i.Type()), !w.Own(i.Type()) || !w.Own(i.X.Type()):
		w.set(i, "(%s)(%s)", to, w.value(i.X))
	default:
		w.Refuse(i.Pos(), "give both the same type", "a conversion of %s to %s cannot be interpreted", i.X.Type(), i.Type())
	}
}

func (w *writer) convert(i *ssa.Convert) {
	if b, ok := i.Type().Underlying().(*types.Basic); ok && b.Kind() == types.UnsafePointer {
		w.Refuse(i.Pos(), "", "a notebook may not use package unsafe")
	}
	from, ok := i.X.Type().Underlying().(*types.Basic)
	typ := w.Type(i.Type())
	x := w.operand(i.X)
	if ok && from.Info()&types.IsInteger != 0 && form.IsText(i.Type()) && from.Kind() != types.Int32 {
		// Of any integer: what is no rune is the replacement character.
		r := w.declare("rune")
		w.line("%s = 0xFFFD", r)
		low := " && " + x + " >= 0"
		if from.Info()&types.IsUnsigned != 0 {
			low = ""
		}
		if from.Kind() == types.Int8 || from.Kind() == types.Uint8 {
			w.line("%s = rune(%s)", r, x)
		} else if from.Kind() == types.Int16 || from.Kind() == types.Uint16 {
			w.line("%s = rune(%s)", r, x)
		} else {
			w.line("if %s <= 0x10FFFF%s {\n\t\t%s = rune(%s)\n\t}", x, low, r, x)
		}
		x = r
	}
	if to, is := i.Type().Underlying().(*types.Basic); ok && is && to.Kind() == types.Float32 && from.Info()&types.IsInteger != 0 && w.size(from) == 8 {
		// The interpreter would round twice.
		name, wide := "Single", "int64"
		if from.Info()&types.IsUnsigned != 0 {
			name, wide = "SingleUnsigned", "uint64"
		}
		x = fmt.Sprintf("%s.%s(%s(%s))", kern, name, wide, x)
	}
	w.set(i, "%s(%s)", form.Parenthesised(typ), x)
}

// changeInterface writes a value of one interface type as one of another.
func (w *writer) changeInterface(x string, from, to types.Type) string {
	a, b := w.Type(from), w.Type(to)
	switch {
	case a == b:
		return x
	case b == "interface{}":
		return kern + ".In(" + x + ")"
	case a != "interface{}":
		x = kern + ".In(" + x + ")"
	}
	return w.wrap(x, to)
}

// wrap writes a value as one of a compiled interface type.
func (w *writer) wrap(x string, to types.Type) string {
	w.implement(to)
	if w.Type(to) == "error" {
		return kern + ".AsError(" + x + ")"
	}
	e := w.declare("interface{}")
	out := w.declare(w.Type(to))
	w.line("%s = %s.Wrap(%d, %s)", e, kern, w.ID(to), x)
	w.unpack(out, e, to)
	return out
}

// implement makes the methods of a compiled interface ones that the kernel can
// call on the notebook's values.
func (e *emitter) implement(t types.Type) {
	i := t.Underlying().(*types.Interface)
	for k := range i.NumMethods() {
		e.invoke(i.Method(k))
	}
}

// makeInterface writes a value as one in an interface.
func (w *writer) makeInterface(x string, i *ssa.MakeInterface) string {
	t, to := i.X.Type(), i.Type()
	if !w.Own(t) {
		return x
	}
	n := w.box(t)
	boxed := fmt.Sprintf("%s.Box(%d, %s)", kern, n, x)
	if w.Type(to) == "interface{}" {
		return boxed
	}
	if w.Type(to) != "error" && w.Machine.Wrapper(to) == nil {
		w.Refuse(i.Pos(), "hand over a type of a package that has the methods", "a notebook's own type, %s, cannot stand in for %s", types.TypeString(t, types.RelativeTo(w.main.Pkg)), to)
	}
	return w.wrap(boxed, to)
}

// hashable checks a key where the panic might be recovered.
func (w *writer) hashable(key ssa.Value) {
	if w.recovers && w.Type(key.Type()) == "interface{}" {
		w.line("%s.Hashable(%s)", kern, w.value(key))
	}
}

// bounds checks an index where the panic might be recovered, and so its text be
// seen: the interpreter's has no numbers.
func (w *writer) bounds(x, index ssa.Value) {
	if !w.recovers {
		return
	}
	n := ""
	switch t := x.Type().Underlying().(type) {
	case *types.Pointer:
		if _, ok := index.(*ssa.Const); ok && !outside(x, index) {
			return
		}
		n = fmt.Sprint(t.Elem().Underlying().(*types.Array).Len())
	case *types.Array:
		if _, ok := index.(*ssa.Const); ok && !outside(x, index) {
			return
		}
		n = fmt.Sprint(t.Len())
	default:
		n = "len(" + w.operand(x) + ")"
	}
	i := w.declare("int")
	w.line("%s = %s", i, w.index(index))
	w.line("if %s < 0 || %s >= %s {\n\t\t%s.Index(%s, %s)\n\t}", i, i, n, kern, i, n)
}

func (w *writer) slice(i *ssa.Slice) {
	w.mark(i.Pos())
	if a, ok := i.X.(*ssa.Alloc); ok && a.Comment == "makeslice" {
		length := a.Type().Underlying().(*types.Pointer).Elem().Underlying().(*types.Array).Len()
		if c, ok := i.High.(*ssa.Const); ok && (c.Int64() > length || c.Int64() < 0) {
			w.line("%s.Size(%d, %d)", kern, c.Int64(), length)
		}
	}
	x := ""
	if _, ok := i.X.Type().Underlying().(*types.Pointer); ok {
		x = w.place(i.X)
	} else {
		x = w.operand(i.X)
	}
	bound := func(v ssa.Value) string {
		if v == nil {
			return ""
		}
		if c, ok := v.(*ssa.Const); ok && c.Int64() > 0 {
			return w.variable(w.index(v)) // or the interpreter would refuse what is out of bounds
		}
		return w.index(v)
	}
	if w.recovers && (i.Low != nil || i.High != nil || i.Max != nil) {
		var list []string
		for _, v := range []ssa.Value{i.Low, i.High, i.Max} {
			if v == nil {
				list = append(list, "-9223372036854775808") // none
				continue
			}
			list = append(list, w.index(v))
		}
		if i.Low == nil {
			list[0] = "0"
		}
		length := "len(" + x + ")"
		capacity := "cap(" + x + ")"
		if form.IsText(i.X.Type()) {
			capacity = length
		}
		w.line("%s.Bounds(%s, %s, %s, %v)", kern, strings.Join(list, ", "), length, capacity, form.IsText(i.X.Type()))
	}
	text := bound(i.Low) + ":" + bound(i.High)
	if i.Max != nil {
		text += ":" + bound(i.Max)
	}
	w.set(i, "%s[%s]", x, text)
}

func (w *writer) next(i *ssa.Next) {
	parts := w.parts(i)
	t := i.Type().(*types.Tuple)
	if i.IsString {
		k := strings.LastIndex(w.names[i.Iter], ", ") // the text may be a constant that holds one
		text, at := w.names[i.Iter][:k], w.names[i.Iter][k+2:]
		r := parts[2]
		if r == "_" {
			r = w.declare("rune")
		}
		key := parts[1]
		if key == "_" {
			key = w.declare("int")
		}
		w.line("%s = %s < len(%s)", parts[0], at, text)
		w.line("if %s {\n\t\t%s = %s\n\t\t%s, %s = %s.Rune(%s, %s)\n\t}", parts[0], key, at, r, at, kern, text, at)
		return
	}
	it := w.names[i.Iter]
	w.line("%s = %s.Next(%s)", parts[0], kern, it)
	w.line("if %s {", parts[0])
	for k, call := range []string{"", "At", "Held"} {
		if k > 0 && parts[k] != "_" {
			e := w.declare("interface{}")
			w.line("%s = %s.%s(%s)", e, kern, call, it)
			w.unpack(parts[k], e, t.At(k).Type())
		}
	}
	w.line("}")
}

func (w *writer) assert(i *ssa.TypeAssert) {
	x := w.value(i.X)
	if w.Type(i.X.Type()) != "interface{}" {
		x = kern + ".In(" + x + ")"
	}
	e := w.declare("interface{}")
	w.line("%s = %s", e, x)
	n := w.ID(i.AssertedType)
	ok, to := "", ""
	if i.CommaOk {
		parts := w.parts(i)
		to, ok = parts[0], parts[1]
	} else {
		to, ok = w.name(i), w.declare("bool")
	}
	isInterface := types.IsInterface(i.AssertedType)
	if isInterface {
		w.line("%s = %s.Implements(%d, %s)", ok, kern, n, e)
	} else {
		w.line("%s = %s.Is(%d, %s)", ok, kern, n, e)
	}
	if i.CommaOk {
		if to == "_" {
			return
		}
		w.line("%s = %s", to, w.zero(i.AssertedType))
		w.line("if %s {", ok)
	} else {
		w.mark(i.Pos())
		w.line("if !%s {\n\t\t%s.Refuse(%d, %d, %s)\n\t}", ok, kern, w.ID(i.X.Type()), n, e)
	}
	typ := w.Type(i.AssertedType)
	switch {
	case isInterface && typ == "interface{}":
		w.line("%s = %s", to, e)
	case isInterface:
		w.line("%s = %s", to, w.wrap(e, i.AssertedType))
	case w.Own(i.AssertedType):
		w.line("%s = %s.Unbox(%s).(%s)", to, kern, e, typ)
	default:
		w.line("%s = %s.(%s)", to, e, typ)
	}
	if i.CommaOk {
		w.line("}")
	}
}

func (w *writer) selection(i *ssa.Select) {
	w.mark(i.Pos())
	var channels, values, sends []string
	for _, s := range i.States {
		channels = append(channels, w.value(s.Chan))
		sends = append(sends, fmt.Sprint(s.Dir == types.SendOnly))
		if s.Send == nil {
			values = append(values, "nil")
		} else {
			values = append(values, w.value(s.Send))
		}
	}
	parts := w.parts(i)
	e := w.declare("interface{}")
	w.line("%s, %s, %s = %s.Select(%v, []interface{}{%s}, []interface{}{%s}, []bool{%s})", parts[0], parts[1], e, kern, i.Blocking,
		strings.Join(channels, ", "), strings.Join(values, ", "), strings.Join(sends, ", "))
	k := 2
	for n, s := range i.States {
		if s.Dir == types.SendOnly {
			continue
		}
		elem := s.Chan.Type().Underlying().(*types.Chan).Elem()
		w.line("%s = %s", parts[k], w.zero(elem))
		w.line("if %s == %d {", parts[0], n)
		w.unpack(parts[k], e, elem)
		w.line("}")
		k++
	}
}

// call writes a call and what becomes of its results.
func (w *writer) call(i *ssa.Call) {
	if b, ok := i.Call.Value.(*ssa.Builtin); ok {
		w.builtin(i, b)
		return
	}
	var args []string
	for _, a := range i.Call.Args {
		args = append(args, w.value(a))
	}
	w.mark(i.Pos())
	target := ""
	if i.Call.IsInvoke() || i.Call.StaticCallee() == nil || w.plainClosure(i.Call.Value) {
		target = w.value(i.Call.Value)
	}
	text, results := w.callText(&i.Call, target, args)
	w.last = token.NoPos
	if slow := w.negativeZeros(&i.Call, args); slow != "" {
		f, ok := i.Call.Value.(*ssa.Function)
		if ok {
			target = w.functionValue(f)
		}
		all := w.declare("[]interface{}")
		w.line("if %s {", slow)
		w.line("%s = %s.Call(%s, %s)", all, kern, target, strings.Join(args, ", "))
		var parts []string
		switch results.Len() {
		case 0:
		case 1:
			parts = []string{w.name(i)}
		default:
			parts = w.parts(i)
		}
		for k, p := range parts {
			e := w.declare("interface{}")
			w.line("%s = %s[%d]", e, all, k)
			w.unpack(p, e, results.At(k).Type())
		}
		w.line("} else {")
		defer w.line("}")
	}
	switch results.Len() {
	case 0:
		w.line("%s", text)
	case 1:
		if out := w.Type(results.At(0).Type()); out == "interface{}" && w.compiled(&i.Call) {
			text = kern + ".In(" + text + ")"
		}
		w.set(i, "%s", text)
	default:
		parts := w.parts(i)
		w.line("%s = %s", strings.Join(parts, ", "), text)
		for k, p := range parts {
			if w.Type(results.At(k).Type()) == "interface{}" && w.compiled(&i.Call) {
				w.line("%s = %s.In(%s)", p, kern, p)
			}
		}
	}
}

// negativeZeros writes a test whether an argument of a call of the notebook's own is
// a negative zero, or holds one, which the interpreter would make positive; it
// returns the test's variable, "" if none can.
func (w *writer) negativeZeros(c *ssa.CallCommon, args []string) (slow string) {
	if c.IsInvoke() || w.compiled(c) && c.StaticCallee() != nil {
		return ""
	}
	for k, a := range c.Args {
		if _, ok := a.(*ssa.Const); ok || !form.HoldsFloat(a.Type()) {
			continue
		}
		if slow == "" {
			slow = w.declare("bool")
			w.line("%s = false", slow)
		}
		if b, ok := a.Type().Underlying().(*types.Basic); ok && b.Info()&types.IsFloat != 0 {
			w.line("if %s == 0 {\n\t\t%s = %[2]s || %s.HoldsNegativeZero(%[1]s)\n\t}", args[k], slow, kern)
			continue
		}
		w.line("%s = %[1]s || %s.HoldsNegativeZero(%s)", slow, kern, args[k])
	}
	return slow
}

func (w *writer) plainClosure(v ssa.Value) bool {
	_, ok := v.(*ssa.MakeClosure)
	return ok
}

// compiled tells whether a call leaves the notebook.
func (w *writer) compiled(c *ssa.CallCommon) bool {
	if c.IsInvoke() {
		return w.Type(c.Value.Type()) != "interface{}"
	}
	f, ok := c.Value.(*ssa.Function)
	if !ok {
		return !w.Own(c.Value.Type())
	}
	return w.external(f)
}

// callText writes a call of a target with arguments.
func (w *writer) callText(c *ssa.CallCommon, target string, args []string) (string, *types.Tuple) {
	sig := c.Signature()
	spread := func(list []string) string {
		text := strings.Join(list, ", ")
		if sig.Variadic() && (w.compiled(c) || !w.Own(sig)) {
			text += "..."
		}
		return text
	}
	if c.IsInvoke() {
		if w.Type(c.Value.Type()) != "interface{}" {
			return target + "." + c.Method.Name() + "(" + spread(w.outward(c, args)) + ")", sig.Results()
		}
		i := w.invoke(c.Method)
		list := append([]string{target}, args...)
		text := strings.Join(list, ", ")
		if sig.Variadic() && !w.Own(sig) {
			text += "..."
		}
		return i + "(" + text + ")", sig.Results()
	}
	f, ok := c.Value.(*ssa.Function)
	if !ok {
		return target + "(" + spread(args) + ")", sig.Results()
	}
	if !w.external(f) {
		text := strings.Join(args, ", ")
		if sig.Variadic() && !w.Own(f.Signature) && f.Signature.Recv() == nil {
			text += "..."
		}
		return w.function(f) + "(" + text + ")", sig.Results()
	}
	if f.TypeArgs() != nil || f.TypeParams().Len() > 0 {
		w.Refuse(c.Pos(), "write the loop", "the generic function %s.%s cannot be interpreted", f.Pkg.Pkg.Name(), f.Name())
	}
	if sig.Recv() != nil {
		return args[0] + "." + f.Name() + "(" + spread(w.outward(c, args[1:])) + ")", sig.Results()
	}
	path := f.Object().Pkg().Path()
	switch {
	case path == "errors" && f.Name() == "As":
		return kern + ".As(" + strings.Join(args, ", ") + ")", sig.Results()
	case strings.HasSuffix(path, "/nb") && sig.Variadic() && sig.Params().Len() == 2 && form.IsText(sig.Params().At(0).Type()):
		if s, ok := sig.Params().At(1).Type().(*types.Slice); ok && types.IsInterface(s.Elem()) {
			return fmt.Sprintf("%s.%s(\"%%s\", %s.Sprintf(%s...))", w.Package(f.Object().Pkg()), f.Name(), kern, strings.Join(args, ", ")), sig.Results()
		}
	case path == "fmt":
		return w.Package(f.Object().Pkg()) + "." + f.Name() + "(" + spread(args) + ")", sig.Results()
	}
	return w.Package(f.Object().Pkg()) + "." + f.Name() + "(" + spread(w.outward(c, args)) + ")", sig.Results()
}

// outward gives arguments of type any the form that compiled code works on.
func (w *writer) outward(c *ssa.CallCommon, args []string) []string {
	sig := c.Signature()
	out := slices.Clone(args)
	for i := range sig.Params().Len() {
		switch t := sig.Params().At(i).Type(); {
		case w.Type(t) == "interface{}":
			out[i] = kern + ".Plain(" + args[i] + ")"
		case w.Type(t) == "[]interface{}" && sig.Variadic() && i == sig.Params().Len()-1:
			out[i] = kern + ".Outs(" + args[i] + ")"
		}
	}
	return out
}

// deferred writes a defer statement: what is called, and with what, is settled now.
func (w *writer) deferred(i *ssa.Defer) {
	frame := w.frame
	if i.DeferStack != nil {
		frame = w.value(i.DeferStack)
	}
	var params, names, values []string
	take := func(v ssa.Value) string {
		name := fmt.Sprintf("a%d", len(params))
		params = append(params, name+" "+w.Type(v.Type()))
		values = append(values, w.value(v))
		return name
	}
	target := ""
	_, builtin := i.Call.Value.(*ssa.Builtin)
	if !builtin && (i.Call.IsInvoke() || i.Call.StaticCallee() == nil || w.plainClosure(i.Call.Value)) {
		target = take(i.Call.Value)
	}
	for _, a := range i.Call.Args {
		names = append(names, take(a))
	}
	if b, ok := i.Call.Value.(*ssa.Builtin); ok && b.Name() == "recover" && w.names[nil] != "" {
		params, values, names = []string{"a0 *" + kern + ".Frame"}, []string{w.names[nil]}, []string{"a0"}
	}
	w.mark(i.Pos())
	if i.Call.IsInvoke() {
		w.line("if %s == nil {\n\t\t%s.Panic(%s.Missing())\n\t}", values[0], kern, kern)
	}
	var text string
	if b, ok := i.Call.Value.(*ssa.Builtin); ok {
		text = w.deferredBuiltin(i, b, names)
	} else {
		text, _ = w.callText(&i.Call, target, names)
	}
	w.counter++
	maker := fmt.Sprintf("d%d", w.counter)
	fmt.Fprintf(&w.out, "func %s(%s) func() {\n\treturn func() {\n\t\t%s\n\t}\n}\n\n", maker, strings.Join(params, ", "), text)
	w.line("%s.Defer(%s, %s(%s))", kern, frame, maker, strings.Join(values, ", "))
}

func (w *writer) deferredBuiltin(i *ssa.Defer, b *ssa.Builtin, names []string) string {
	switch b.Name() {
	case "panic":
		return kern + ".Panic(" + names[0] + ")"
	case "recover":
		if len(names) == 0 {
			return kern + ".Recover(nil)"
		}
		return kern + ".Recover(" + names[0] + ")" // as if the function that defers it called it
	case "delete":
		return "delete(" + strings.Join(names, ", ") + ")"
	case "print", "println":
		return w.print(b.Name(), i.Call.Args, names)
	case "close", "copy":
		return b.Name() + "(" + strings.Join(names, ", ") + ")"
	case "clear":
		return kern + ".Clear(" + names[0] + ")"
	}
	w.Refuse(i.Pos(), "call it in a function literal", "a deferred %s cannot be interpreted", b.Name())
	return ""
}

// print writes a call of print or println.
func (w *writer) print(name string, args []ssa.Value, values []string) string {
	kinds := ""
	for _, a := range args {
		kind := "d"
		switch u := a.Type().Underlying().(type) {
		case *types.Basic:
			switch info := u.Info(); {
			case info&types.IsFloat != 0:
				kind = "f"
			case info&types.IsComplex != 0:
				kind = "c"
			}
		case *types.Slice:
			kind = "s"
		case *types.Interface:
			kind = "i"
		default:
			kind = "p"
		}
		kinds += kind
	}
	return fmt.Sprintf("%s.Print([]interface{}{%s}, %q, %v)", kern, strings.Join(values, ", "), kinds, name == "println")
}

func (w *writer) builtin(i *ssa.Call, b *ssa.Builtin) {
	var args []string
	for _, a := range i.Call.Args {
		if w.packed[a] != nil {
			args = append(args, "")
			continue
		}
		args = append(args, w.value(a))
	}
	switch b.Name() {
	case "append":
		if list := w.packed[i.Call.Args[1]]; list != nil {
			text := args[0]
			for _, v := range list {
				text += ", " + w.value(v)
			}
			w.set(i, "append(%s)", text)
			return
		}
		w.set(i, "append(%s, %s...)", args[0], args[1])
	case "len", "cap":
		switch t := i.Call.Args[0].Type().Underlying().(type) {
		case *types.Pointer:
			w.set(i, "%d", t.Elem().Underlying().(*types.Array).Len())
		case *types.Array:
			w.set(i, "%d", t.Len())
		default:
			w.set(i, "%s(%s)", b.Name(), w.operand(i.Call.Args[0]))
		}
	case "copy":
		w.mark(i.Pos())
		w.set(i, "copy(%s, %s)", args[0], args[1])
	case "delete":
		w.mark(i.Pos())
		w.line("delete(%s)", strings.Join(args, ", "))
	case "close":
		w.mark(i.Pos())
		w.line("close(%s)", args[0])
	case "clear":
		w.line("%s.Clear(%s)", kern, args[0])
	case "complex":
		w.set(i, "complex(%s)", strings.Join(args, ", "))
	case "real", "imag":
		w.set(i, "%s(%s)", b.Name(), args[0])
	case "min", "max":
		w.extreme(i, b.Name(), args)
	case "print", "println":
		w.line("%s", w.print(b.Name(), i.Call.Args, args))
	case "panic":
		w.mark(i.Pos())
		w.line("%s.Panic(%s)", kern, args[0])
	case "recover":
		w.set(i, "%s.Recover(%s)", kern, w.names[nil])
	case "ssa:wrapnilchk":
		w.mark(i.Pos())
		w.line("if %s == nil {\n\t\t%s.Wrapped(%s, %s)\n\t}", args[0], kern, args[1], args[2])
		w.set(i, "%s", args[0])
	case "ssa:deferstack":
		w.set(i, "%s", w.frame)
	default:
		w.Refuse(i.Pos(), "", "%s cannot be interpreted", b.Name())
	}
}

// extreme writes min and max.
func (w *writer) extreme(i *ssa.Call, name string, args []string) {
	typ := w.Type(i.Type())
	to := w.name(i)
	t := w.declare(typ)
	w.line("%s = %s", t, args[0])
	basic := i.Type().Underlying().(*types.Basic)
	for _, a := range args[1:] {
		switch {
		case basic.Info()&types.IsFloat != 0:
			w.line("%s = %s(%s.%s(float64(%s), float64(%s)))", t, typ, kern, map[string]string{"min": "Min", "max": "Max"}[name], t, a)
		case name == "min":
			w.line("if %s < %s {\n\t\t%s = %s\n\t}", a, t, t, a)
		default:
			w.line("if %s > %s {\n\t\t%s = %s\n\t}", a, t, t, a)
		}
	}
	w.line("%s = %s", to, t)
}
