package lower

import (
	"barograph/stages/notebook/lower/form"
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// A writer writes one function.
type writer struct {
	*emitter
	f        *ssa.Function
	names    map[ssa.Value]string
	vars     strings.Builder // declarations
	body     strings.Builder
	zeros    map[string]string // type -> a variable that is never assigned
	temps    int
	last     token.Pos // what the position is known to be
	lost     bool      // its deferred calls are made nowhere
	frame    string    // the variable of the kernel's frame, if the function defers
	packed   map[ssa.Value][]ssa.Value
	folded   map[ssa.Value]bool
	skipped  map[ssa.Instruction]bool
	fused    map[ssa.Value]bool
	anchored string
}

func (w *writer) line(format string, args ...any) {
	w.body.WriteByte('\t')
	fmt.Fprintf(&w.body, format, args...)
	w.body.WriteByte('\n')
}

// declare declares a variable of a type, and returns its name.
func (w *writer) declare(typ string) string {
	w.temps++
	name := fmt.Sprintf("t%d", w.temps)
	fmt.Fprintf(&w.vars, "\tvar %s %s\n", name, typ)
	return name
}

// variable returns a variable that holds a constant number: the interpreter would
// refuse some where the compiler's program fails when it comes to them.
func (w *writer) variable(number string) string {
	name := w.declare("int")
	w.line("%s = %s", name, number)
	return name
}

// zero returns a variable that holds the zero value of a type.
func (w *writer) zero(t types.Type) string {
	typ := w.Type(t)
	if z := w.zeros[typ]; z != "" {
		return z
	}
	z := fmt.Sprintf("z%d", len(w.zeros))
	fmt.Fprintf(&w.vars, "\tvar %s %s\n", z, typ)
	w.zeros[typ] = z
	return z
}

// emit writes a function.
func (e *emitter) emit(f *ssa.Function) {
	w := &writer{
		emitter: e, f: f, names: map[ssa.Value]string{}, zeros: map[string]string{}, packed: map[ssa.Value][]ssa.Value{},
		folded: map[ssa.Value]bool{}, skipped: map[ssa.Instruction]bool{}, fused: map[ssa.Value]bool{},
	}
	e.Pos = f.Pos()
	if f.Blocks == nil {
		e.Refuse(f.Pos(), "", "function %s has no body", f.Name())
	}
	var params, bindings []string
	for i, p := range f.Params {
		w.names[p] = fmt.Sprintf("p%d", i)
		text := e.Type(p.Type())
		if i == len(f.Params)-1 {
			text = e.variadic(f, text)
		}
		params = append(params, w.names[p]+" "+text)
	}
	for i, v := range f.FreeVars {
		w.names[v] = fmt.Sprintf("v%d", i)
		bindings = append(bindings, w.names[v]+" "+e.Type(v.Type()))
	}
	w.plan()
	results := e.Results(f.Signature)
	begin, end := "", ""
	defers := f.Recover != nil || slices.ContainsFunc(f.Blocks, func(b *ssa.BasicBlock) bool {
		return slices.ContainsFunc(b.Instrs, func(i ssa.Instruction) bool {
			switch i := i.(type) {
			case *ssa.RunDefers:
				return true
			case *ssa.Defer:
				return i.DeferStack == nil
			case *ssa.Call:
				b, ok := i.Call.Value.(*ssa.Builtin)
				return ok && b.Name() == "ssa:deferstack"
			}
			return false
		})
	})
	var returned []string
	if defers {
		w.lost = !slices.ContainsFunc(f.Blocks, func(b *ssa.BasicBlock) bool {
			return slices.ContainsFunc(b.Instrs, func(i ssa.Instruction) bool { _, runs := i.(*ssa.RunDefers); return runs })
		})
		w.frame = w.declare("*" + kern + ".Frame")
		for i := range f.Signature.Results().Len() {
			returned = append(returned, w.declare(e.Type(f.Signature.Results().At(i).Type())))
		}
		begin = fmt.Sprintf("\t%s = %s.NewFrame()\n\t%s.Run(%s, func() {\n", w.frame, kern, kern, w.frame)
		end = "\t})\n"
	}
	entry := ""
	if e.recovers && f.Synthetic == "" {
		enter := w.declare("*" + kern + ".Frame")
		w.names[nil] = enter
		entry = fmt.Sprintf("\t%s = %s.Enter()\n", enter, kern)
	}
	for i, b := range f.Blocks {
		if b != f.Recover {
			w.block(b, i == 0, returned)
		}
	}
	body := w.body.String()
	after := ""
	if defers {
		if f.Recover != nil {
			w.body.Reset()
			frame := w.frame
			w.frame = ""
			w.block(f.Recover, true, nil)
			w.frame = frame
			after = fmt.Sprintf("\tif %s.Recovered(%s) {\n%s\t}\n", kern, frame, w.body.String())
		}
		after += "\treturn " + strings.Join(returned, ", ") + "\n"
	}
	name := e.functions[f]
	inner := fmt.Sprintf("(%s)%s {\n%s%s%s%s%s%s}", strings.Join(params, ", "), results, w.vars.String(), entry, begin, body, end, after)
	if len(bindings) > 0 {
		fmt.Fprintf(&e.out, "func %s(%s) func(%s)%s {\n\treturn func%s\n}\n\n", name, strings.Join(bindings, ", "), strings.Join(params, ", "), results, inner)
		return
	}
	fmt.Fprintf(&e.out, "func %s%s\n\n", name, inner)
	if form.TakesFloats(f) {
		fmt.Fprintf(&e.out, "func v%s() func(%s)%s {\n\treturn func%s\n}\n\n", name, strings.Join(params, ", "), results, inner)
	}
}

// plan finds what needs no variable: addresses that are only read and written
// through, slices that only hold a call's last arguments, conditions of branches.
func (w *writer) plan() {
	for _, b := range w.f.Blocks {
		for i, instr := range b.Instrs {
			switch v := instr.(type) {
			case *ssa.Slice:
				w.pack(v)
			case *ssa.FieldAddr:
				w.folded[v] = form.Direct(v)
			case *ssa.IndexAddr:
				w.folded[v] = form.Direct(v)
			case *ssa.BinOp:
				if refs := *v.Referrers(); len(refs) == 1 && i+1 < len(b.Instrs) && refs[0] == b.Instrs[i+1] && !form.MayFail(v) {
					if _, ok := refs[0].(*ssa.If); ok {
						w.fused[v] = true
					}
				}
			}
		}
	}
}

// pack finds the elements of a slice that is made for a call's last parameter.
func (w *writer) pack(s *ssa.Slice) {
	a, ok := s.X.(*ssa.Alloc)
	if !ok || a.Comment != "varargs" || s.Low != nil || s.High != nil || len(*s.Referrers()) != 1 {
		return
	}
	call, ok := (*s.Referrers())[0].(*ssa.Call)
	if !ok || call.Block() != s.Block() {
		return
	}
	if b, ok := call.Call.Value.(*ssa.Builtin); !ok || b.Name() != "append" || call.Call.Args[1] != ssa.Value(s) {
		return
	}
	elems := make([]ssa.Value, a.Type().Underlying().(*types.Pointer).Elem().Underlying().(*types.Array).Len())
	var instrs []ssa.Instruction
	for _, r := range *a.Referrers() {
		if r == ssa.Instruction(s) {
			continue
		}
		i, ok := r.(*ssa.IndexAddr)
		if !ok || len(*i.Referrers()) != 1 {
			return
		}
		store, ok := (*i.Referrers())[0].(*ssa.Store)
		c, isConst := i.Index.(*ssa.Const)
		if !ok || !isConst || store.Addr != ssa.Value(i) {
			return
		}
		elems[c.Int64()] = store.Val
		instrs = append(instrs, i, store)
	}
	if slices.Contains(elems, nil) {
		return
	}
	w.packed[s] = elems
	for _, i := range append(instrs, a, s) {
		w.skipped[i] = true
	}
}

// block writes a basic block. Returned are the variables that results go to in a
// function that defers.
func (w *writer) block(b *ssa.BasicBlock, first bool, returned []string) {
	w.last = token.NoPos
	if len(b.Preds) > 0 {
		fmt.Fprintf(&w.body, "b%d:\n", b.Index)
	} else if !first {
		return // it is never reached
	}
	for _, instr := range b.Instrs {
		if w.skipped[instr] {
			continue
		}
		if p := instr.Pos(); p.IsValid() {
			w.Pos = p
		}
		switch i := instr.(type) {
		case *ssa.Phi, *ssa.DebugRef:
			if v, ok := i.(*ssa.Phi); ok {
				w.name(v)
			}
		case *ssa.Jump:
			w.jump(b, b.Succs[0])
		case *ssa.If:
			fmt.Fprintf(&w.body, "\tif %s {\n", w.condition(i.Cond))
			w.jump(b, b.Succs[0])
			w.line("}")
			w.jump(b, b.Succs[1])
		case *ssa.Return:
			var list []string
			for _, r := range i.Results {
				list = append(list, w.value(r))
			}
			if len(list) == 0 || w.frame != "" && returned != nil {
				// The interpreter goes astray where it jumps to a bare return.
				w.line("%s = 0", w.anchor())
			}
			if w.frame == "" || returned == nil && len(list) > 0 {
				w.line("return %s", strings.Join(list, ", "))
				continue
			}
			for k, v := range list {
				w.line("%s = %s", returned[k], v)
			}
			if w.lost {
				w.runLost(returned)
			}
			w.line("return")
		case *ssa.Panic:
			w.mark(i.Pos())
			w.line("%s.Panic(%s)", kern, w.value(i.X))
			w.line("goto b%d", b.Index) // which is not reached
		default:
			w.instruction(instr)
		}
	}
}

// runLost makes the deferred calls of a function that returns where go/ssa has left
// them out: it does so where only loops over functions defer (x/tools v0.51.0). They
// may change the results, which the block for a recovered panic loads.
func (w *writer) runLost(returned []string) {
	w.line("%s.RunDefers(%s)", kern, w.frame)
	if w.f.Recover == nil {
		return
	}
	last, ok := w.f.Recover.Instrs[len(w.f.Recover.Instrs)-1].(*ssa.Return)
	if !ok {
		return
	}
	for k, r := range last.Results {
		if load, ok := r.(*ssa.UnOp); ok && load.Op == token.MUL {
			w.line("%s = %s", returned[k], w.place(load.X))
		}
	}
}

// anchor returns a variable that is assigned and never read.
func (w *writer) anchor() string {
	if w.anchored == "" {
		w.anchored = w.declare("int")
	}
	return w.anchored
}

// jump goes to a block, giving its phis their values.
func (w *writer) jump(from, to *ssa.BasicBlock) {
	edge := slices.Index(to.Preds, from)
	type copied struct {
		to, from string
		typ      types.Type
	}
	var list []copied
	for _, instr := range to.Instrs {
		phi, ok := instr.(*ssa.Phi)
		if !ok {
			break
		}
		if src := w.value(phi.Edges[edge]); src != w.name(phi) {
			list = append(list, copied{w.name(phi), src, phi.Type()})
		}
	}
	hazard := false
	for i, c := range list {
		for _, earlier := range list[:i] {
			hazard = hazard || earlier.to == c.from
		}
	}
	for i := range list {
		if hazard {
			t := w.declare(w.Type(list[i].typ))
			w.line("%s = %s", t, list[i].from)
			list[i].from = t
		}
	}
	for _, c := range list {
		w.line("%s = %s", c.to, c.from)
	}
	w.line("goto b%d", to.Index)
}

// mark sets the position of what comes next, which may fail.
func (w *writer) mark(pos token.Pos) {
	if !pos.IsValid() {
		pos = w.Pos
	}
	if pos.IsValid() && pos != w.last {
		w.line("%s = %d", Position, pos)
		w.last = pos
	}
}

// name returns the variable of a value, which it declares first.
func (w *writer) name(v ssa.Value) string {
	if n := w.names[v]; n != "" {
		return n
	}
	n := w.declare(w.Type(v.Type()))
	w.names[v] = n
	return n
}

// part returns the variable of a component of a tuple.
func (w *writer) parts(v ssa.Value) []string {
	t := v.Type().(*types.Tuple)
	if n := w.names[v]; n != "" {
		return strings.Split(n, ", ")
	}
	var list []string
	for i := range t.Len() {
		c := t.At(i).Type()
		if b, ok := c.(*types.Basic); ok && b.Kind() == types.Invalid {
			list = append(list, "_")
			continue
		}
		list = append(list, w.declare(w.Type(c)))
	}
	w.names[v] = strings.Join(list, ", ")
	return list
}

// value writes an operand.
func (w *writer) value(v ssa.Value) string {
	switch v := v.(type) {
	case *ssa.Const:
		return w.constant(v)
	case *ssa.Global:
		if v.Pkg != w.main {
			return "(&" + w.Package(v.Pkg.Pkg) + "." + v.Name() + ")"
		}
		return w.global(v)
	case *ssa.Function:
		if v.Blocks == nil && v.Pkg != w.main && v.Synthetic == "" || w.external(v) {
			return w.Package(v.Object().Pkg()) + "." + v.Name()
		}
		return w.functionValue(v)
	case *ssa.Builtin:
		w.Refuse(w.Pos, "", "%s has no value", v.Name())
	}
	if w.folded[v] {
		return "(&" + w.place(v) + ")"
	}
	if n := w.names[v]; n != "" {
		return n
	}
	return w.name(v)
}

// functionValue writes a function as a value: as a literal, since the interpreter
// puts no other functions into variables of all kinds.
func (w *writer) functionValue(f *ssa.Function) string {
	name := w.function(f)
	if len(f.FreeVars) > 0 {
		return name // called at once, for a closure
	}
	if !w.valued[name] && !form.TakesFloats(f) {
		w.valued[name] = true
		var params, args []string
		for i, p := range f.Params {
			text := w.Type(p.Type())
			arg := fmt.Sprintf("p%d", i)
			if i == len(f.Params)-1 {
				text = w.variadic(f, text)
				if strings.HasPrefix(text, "...") {
					args = append(args, arg+"...")
					params = append(params, arg+" "+text)
					break
				}
			}
			params = append(params, arg+" "+text)
			args = append(args, arg)
		}
		sig := fmt.Sprintf("(%s)%s", strings.Join(params, ", "), w.Results(f.Signature))
		ret := ""
		if f.Signature.Results().Len() > 0 {
			ret = "return "
		}
		fmt.Fprintf(&w.out, "func v%s() func%s {\n\treturn func%s {\n\t\t%s%s(%s)\n\t}\n}\n\n", name, sig, sig, ret, name, strings.Join(args, ", "))
	}
	return "v" + name + "()"
}

// variadic writes the type of a function's last parameter.
func (e *emitter) variadic(f *ssa.Function, text string) string {
	if f.Signature.Variadic() && !e.Own(f.Signature) && f.Signature.Recv() == nil {
		return "..." + strings.TrimPrefix(text, "[]")
	}
	return text
}

// external tells whether a function is a compiled package's.
func (w *writer) external(f *ssa.Function) bool {
	return f.Object() != nil && f.Object().Pkg() != nil && f.Object().Pkg() != w.main.Pkg && f.Blocks == nil && f.Synthetic != "instance wrapper"
}

func (e *emitter) global(g *ssa.Global) string {
	if n := e.globals[g]; n != "" {
		return n
	}
	n := fmt.Sprintf("g%d_%s", len(e.globals), strings.ReplaceAll(g.Name(), "$", "_"))
	e.globals[g] = n
	return n
}

// place writes the variable that an address leads to.
func (w *writer) place(v ssa.Value) string {
	switch v := v.(type) {
	case *ssa.Global:
		if v.Pkg != w.main {
			return w.Package(v.Pkg.Pkg) + "." + v.Name()
		}
	case *ssa.FieldAddr:
		if !w.folded[v] {
			break
		}
		s := v.X.Type().Underlying().(*types.Pointer).Elem()
		return w.base(v.X) + "." + w.field(s, v.Field)
	case *ssa.IndexAddr:
		if !w.folded[v] {
			break
		}
		if _, ok := v.X.Type().Underlying().(*types.Slice); ok {
			return w.value(v.X) + "[" + w.elem(v.X, v.Index) + "]"
		}
		return w.place(v.X) + "[" + w.elem(v.X, v.Index) + "]"
	}
	return "(*" + w.value(v) + ")"
}

// base writes a struct whose field is meant.
func (w *writer) base(v ssa.Value) string {
	switch x := v.(type) {
	case *ssa.FieldAddr, *ssa.IndexAddr:
		if w.folded[v] {
			return w.place(v)
		}
	case *ssa.Global:
		if x.Pkg != w.main {
			return w.place(v)
		}
	}
	return w.value(v)
}

// index writes an index, whose type need not be int.
func (w *writer) index(v ssa.Value) string {
	if c, ok := v.(*ssa.Const); ok {
		return constant.ToInt(c.Value).ExactString()
	}
	if b, ok := v.Type().Underlying().(*types.Basic); ok && b.Kind() != types.Int {
		return "int(" + w.value(v) + ")"
	}
	return w.value(v)
}

// elem writes the index of an element.
func (w *writer) elem(x, index ssa.Value) string {
	if outside(x, index) {
		return w.variable(w.index(index))
	}
	return w.index(index)
}

// outside tells whether an index always lies out of bounds, though a variable held it.
func outside(x, index ssa.Value) bool {
	c, ok := index.(*ssa.Const)
	if !ok {
		return false
	}
	t := x.Type().Underlying()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem().Underlying()
	}
	a, ok := t.(*types.Array)
	return c.Int64() < 0 || ok && c.Int64() >= a.Len()
}

// field names a struct's field.
func (w *writer) field(s types.Type, i int) string {
	if !w.Own(s) {
		return s.Underlying().(*types.Struct).Field(i).Name()
	}
	return form.Field(s.Underlying().(*types.Struct), i)
}

// condition writes the condition of a branch.
func (w *writer) condition(v ssa.Value) string {
	if b, ok := v.(*ssa.BinOp); ok && w.fused[v] {
		return w.binary(b)
	}
	return w.value(v)
}

// constant writes a constant with its type.
func (w *writer) constant(c *ssa.Const) string {
	if c.Value == nil {
		return w.zero(c.Type())
	}
	typ := w.Type(c.Type())
	b, ok := c.Type().Underlying().(*types.Basic)
	if !ok {
		return w.zero(c.Type())
	}
	text := ""
	switch info := b.Info(); {
	case info&types.IsBoolean != 0:
		text = strconv.FormatBool(constant.BoolVal(c.Value))
	case info&types.IsString != 0:
		text = strconv.Quote(constant.StringVal(c.Value))
	case info&types.IsInteger != 0:
		v := constant.ToInt(c.Value)
		text = v.ExactString()
		if i, exact := constant.Int64Val(v); exact && i == math.MinInt64 {
			text = "(-9223372036854775807-1)"
		}
		if typ == "int" {
			if strings.HasPrefix(text, "-") {
				return "(" + text + ")"
			}
			return text
		}
	case info&types.IsFloat != 0:
		text = form.Float(c.Value, b.Kind() == types.Float32)
	case info&types.IsComplex != 0:
		single := b.Kind() == types.Complex64
		text = "complex(" + form.Float(constant.Real(c.Value), single) + ", " + form.Float(constant.Imag(c.Value), single) + ")"
	}
	switch typ {
	case "bool", "string":
		return text
	}
	return typ + "(" + text + ")"
}

// operand writes the operand of an operation: a constant in a variable, since the
// interpreter computes with constants as if they had no type.
func (w *writer) operand(v ssa.Value) string {
	if c, ok := v.(*ssa.Const); ok && c.Value != nil {
		t := w.declare(w.Type(c.Type()))
		w.line("%s = %s", t, w.constant(c))
		return t
	}
	return w.value(v)
}

// size returns a type's size as the compiler has it.
func (w *writer) size(t types.Type) int64 { return types.SizesFor("gc", "amd64").Sizeof(t) }

// binary writes an operation of two operands.
func (w *writer) binary(b *ssa.BinOp) string {
	if b.Op == token.EQL || b.Op == token.NEQ {
		not := ""
		if b.Op == token.NEQ {
			not = "!"
		}
		if p, ok := b.X.Type().Underlying().(*types.Pointer); ok && !form.IsNil(b.X) && !form.IsNil(b.Y) && w.size(p.Elem()) == 0 {
			w.Refuse(b.Pos(), "compare what they stand for", "pointers to variables of no size are compared, which Go does not define")
		}
		if form.IsNil(b.X) && form.IsNil(b.Y) {
			return strconv.FormatBool(b.Op == token.EQL)
		}
		if form.IsNil(b.X) {
			return w.value(b.Y) + " " + b.Op.String() + " nil"
		}
		if form.IsNil(b.Y) {
			return w.value(b.X) + " " + b.Op.String() + " nil"
		}
		if form.Compares(b) {
			return fmt.Sprintf("%s%s.Equal(%s, %s)", not, kern, w.value(b.X), w.value(b.Y))
		}
	}
	y := w.value(b.Y)
	if b.Op == token.SHL || b.Op == token.SHR {
		if c, ok := b.Y.(*ssa.Const); ok {
			y = constant.ToInt(c.Value).ExactString()
			if v, exact := constant.Uint64Val(constant.ToInt(c.Value)); !exact || v > 1<<20 {
				y = "1000000"
			}
			y = "uint64(" + y + ")"
		}
	}
	if c, ok := b.Y.(*ssa.Const); ok && (b.Op == token.QUO || b.Op == token.REM) && constant.Sign(c.Value) == 0 {
		y = w.zero(b.Y.Type()) // or the interpreter would refuse the program
	}
	return w.operand(b.X) + " " + b.Op.String() + " " + y
}
