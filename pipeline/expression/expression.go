// Package expression compiles and computes what YAML values hold between ${{ and
// }}, in expr-lang.
//
// A [Scope] has the names that expressions may use; [Scope.Compile] gives the nodes
// of a tree a formula, which [source.Decoder] computes. One that is the whole string
// keeps its type; beside other text its value is written in. $${{ stands for the
// text ${{.
//
// Integers have 64 bits. A sum, product or conversion that does not fit is an
// error, and so is a value that there is not, such as 1 / 0 or mean([]). There are
// no comments, which begin with // and hide what was meant for a whole division.
package expression

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"barograph/pipeline/cell/unit"
	"barograph/pipeline/source"
)

// A part of a string is text, or an expression between ${{ and }}.
type part struct {
	text string
	expr bool
	off  int // of an expression in the string, in bytes

	program *vm.Program
	axes    []string // that the expression uses
}

// A scanError is a mistake at a byte offset of the scanned string.
type scanError struct {
	off       int
	msg, hint string
}

// scan splits a string at its expressions. "}}" within quotes or braces does
// not end one, and "$${{" stands for the text "${{".
func scan(s string) ([]part, *scanError) {
	var parts []part
	text := ""
	add := func(p ...part) {
		if text != "" {
			parts = append(parts, part{text: text})
		}
		parts, text = append(parts, p...), ""
	}
	for at := 0; ; {
		i := strings.Index(s[at:], "${{")
		if i < 0 {
			text += s[at:]
			add()
			return parts, nil
		}
		i += at
		if i > at && s[i-1] == '$' {
			text += s[at:i-1] + "${{"
			at = i + len("${{")
			continue
		}
		text += s[at:i]
		start := i + len("${{")
		end := closing(s, start)
		switch {
		case end < 0:
			return nil, &scanError{i, "an expression without its closing }}", "write $${{ for the text ${{"}
		case strings.TrimSpace(s[start:end]) == "":
			return nil, &scanError{i, "an empty expression", ""}
		}
		add(part{text: s[start:end], expr: true, off: start})
		at = end + len("}}")
	}
}

// closing returns the index of the "}}" that ends the expression at i, or -1.
func closing(s string, i int) int {
	depth, quote := 0, byte(0)
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return i
		}
	}
	return -1
}

// A Scope holds the names that expressions may use.
type Scope struct {
	// Values has every name's value but those of axes, which differ from point to
	// point: what an expression is computed in.
	Values map[string]any
	Failed map[string]bool // names whose definition failed: what uses them is silent
	Later  map[string]bool // names that are defined further down; scopes inside share them

	types types.Map
	axes  map[string]bool // names whose values a point gives
}

// NewScope holds the multiples of a byte, which every expression sees.
func NewScope() *Scope {
	s := &Scope{types: types.Map{}, Values: map[string]any{}, axes: map[string]bool{}, Failed: map[string]bool{}, Later: map[string]bool{}}
	for name, v := range unit.Multiples {
		s.Set(name, int64(v))
	}
	return s
}

// Inner returns a scope to which names can be added without changing s.
func (s *Scope) Inner() *Scope {
	return &Scope{maps.Clone(s.Values), maps.Clone(s.Failed), s.Later, maps.Clone(s.types), maps.Clone(s.axes)}
}

// Set gives a name a value: bool, int64, float64, string, or a list or mapping of
// them.
func (s *Scope) Set(name string, v any) {
	s.Values[name] = Native(v)
	s.types[name] = typeOf(v)
}

// Axis adds a name that takes any of the values.
func (s *Scope) Axis(name string, values []any) {
	s.axes[name] = true
	s.types[name] = typeOf(values).(listType).of
}

// Has tells whether a name is taken.
func (s *Scope) Has(name string) bool { return s.types[name] != nil || s.Failed[name] }

// Native returns a value as expr-lang computes with it: int for int64.
func Native(v any) any {
	switch v := v.(type) {
	case int64:
		return int(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Native(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = Native(v[name])
		}
		return out
	}
	return v
}

// A listType is the type of a list whose elements have one type.
type listType struct {
	types.Type
	of types.Type
}

func typeOf(v any) types.Type {
	switch v := v.(type) {
	case bool:
		return types.Bool
	case int64:
		return types.Int
	case float64:
		return types.Float64
	case string:
		return types.String
	case []any:
		of := types.Type(types.Any)
		for i, x := range v {
			if t := typeOf(x); i == 0 {
				of = t
			} else if !of.Equal(t) {
				of = types.Any
				break
			}
		}
		return listType{types.Array(of), of}
	case map[string]any:
		fields := types.Map{}
		for name, x := range v {
			fields[name] = typeOf(x)
		}
		return fields
	}
	return types.Any
}

// fields names what lies below the mappings in a type, such as link.name.
func fields(t types.Type, above string) []string {
	var all []string
	if m, ok := t.(types.Map); ok {
		for name, of := range m {
			all = append(append(all, above+name), fields(of, above+name+".")...)
		}
	}
	return all
}

// A formula is a string with expressions, compiled.
type formula struct {
	at     *source.Node
	parts  []part
	fields []string // of the scope's mappings
}

// Compile prepares every expression below n.
func (s *Scope) Compile(n *source.Node, errs *source.Errors) {
	if n == nil {
		return
	}
	for _, item := range n.Items {
		s.Compile(item, errs)
	}
	for _, p := range n.Pairs {
		s.Compile(p.Val, errs)
	}
	text, ok := n.Val.(string)
	if !ok || !strings.Contains(text, "${{") {
		return
	}
	parts, scanErr := scan(text)
	if scanErr != nil {
		n.Bad = true
		*errs = append(*errs, n.ErrorAt(scanErr.off, scanErr.hint, "%s", scanErr.msg))
		return
	}
	f := &formula{at: n, parts: parts}
	for _, t := range s.types {
		f.fields = append(f.fields, fields(t, "")...)
	}
	for i := range parts {
		if p := &parts[i]; p.expr {
			if err := s.compilePart(f, p); err != nil {
				*errs = append(*errs, err)
			}
			n.Bad = n.Bad || p.program == nil
		}
	}
	n.Formula = f
}

// compilePart leaves p.program nil, without an error, where a name's own
// definition has failed already.
func (s *Scope) compilePart(f *formula, p *part) *source.Error {
	if err := f.literals(p); err != nil {
		return err
	}
	tree, err := parser.Parse(p.text)
	if err != nil {
		return f.failed(p, err)
	}
	names := &identifiers{local: map[string]bool{}}
	ast.Walk(&tree.Node, names)
	for _, id := range names.used {
		switch name := id.Value; {
		case names.local[name]:
		case s.Failed[name]:
			return nil
		case s.types[name] == nil:
			return f.at.ErrorAt(p.off+byteOffset(p.text, id.Location().From), s.hint(name), "unknown name %q", name)
		}
	}
	// What an expression gives may depend on the study alone.
	options := []expr.Option{expr.Env(s.types), expr.DisableBuiltin("now"), expr.DisableBuiltin("date"), expr.DisableBuiltin("timezone")}
	program, err := expr.Compile(p.text, options...)
	if err == nil {
		program, err = expr.Compile(p.text, append(options, exact)...)
	}
	if err != nil {
		return f.failed(p, err)
	}
	for _, id := range names.used {
		if s.axes[id.Value] && !names.local[id.Value] {
			p.axes = append(p.axes, id.Value)
		}
	}
	p.program = program
	return nil
}

func (s *Scope) hint(name string) string {
	switch known := slices.Concat(slices.Collect(maps.Keys(s.types)), slices.Collect(maps.Keys(s.Failed)), builtin.Names); {
	case s.Later[name]:
		return "it stands further down; a parameter may use those above it"
	case slices.Contains(builtin.Names, name):
		return fmt.Sprintf("%s is a function: write %s(...)", name, name)
	default:
		if near := source.Nearest(name, known); near != "" {
			return fmt.Sprintf("did you mean %q?", near)
		}
	}
	var mine []string
	for name := range s.types {
		if _, constant := unit.Multiples[name]; !constant {
			mine = append(mine, name)
		}
	}
	return "known here: " + strings.Join(slices.Sorted(slices.Values(mine)), ", ")
}

// identifiers collects the names in an expression.
type identifiers struct {
	used  []*ast.IdentifierNode
	local map[string]bool // declared with let
}

func (v *identifiers) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		v.used = append(v.used, n)
	case *ast.VariableDeclaratorNode:
		v.local[n.Name] = true
	}
}

// Identifier tells whether an expression can use name as a variable.
func Identifier(name string) bool {
	tree, err := parser.Parse(name)
	if err != nil {
		return false
	}
	id, ok := tree.Node.(*ast.IdentifierNode)
	return ok && id.Value == name && !strings.HasPrefix(name, "$")
}

// failed places an error of expr-lang in the file.
func (f *formula) failed(p *part, err error) *source.Error {
	var e *file.Error
	if !errors.As(err, &e) {
		return f.at.Errorf("", "expression %q: %v", strings.TrimSpace(p.text), err)
	}
	msg, _, _ := strings.Cut(e.Message, "\n")
	hint := ""
	if errors.As(e.Prev, new(*limitError)) {
		hint = pointed
	}
	if field, ok := strings.CutPrefix(msg, "unknown field "); ok {
		hint = source.Suggest(field, f.fields)
	}
	return f.at.ErrorAt(p.off+byteOffset(p.text, e.From), hint, "expression: %s", msg)
}

func byteOffset(s string, runes int) int {
	off := 0
	for ; runes > 0 && off < len(s); runes-- {
		_, size := utf8.DecodeRuneInString(s[off:])
		off += size
	}
	return off
}

// Axes adds the axes that the expressions below n use.
func Axes(n *source.Node, to map[string]bool) {
	if n == nil {
		return
	}
	if f, ok := n.Formula.(*formula); ok {
		for _, p := range f.parts {
			for _, a := range p.axes {
				to[a] = true
			}
		}
	}
	for _, item := range n.Items {
		Axes(item, to)
	}
	for _, p := range n.Pairs {
		Axes(p.Val, to)
	}
}

// Value returns what the one expression gives, or the text with each expression's
// value written in.
func (f *formula) Value(env map[string]any) (any, *source.Error) {
	if len(f.parts) == 1 && f.parts[0].expr {
		return f.run(&f.parts[0], env)
	}
	var b strings.Builder
	for i := range f.parts {
		p := &f.parts[i]
		if !p.expr {
			b.WriteString(p.text)
			continue
		}
		v, err := f.run(p, env)
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case bool, int64, string:
			fmt.Fprint(&b, v)
		case float64:
			b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
		default:
			return nil, f.at.ErrorAt(p.off, "for a list, write join(map(list, string(#)), \" \")",
				"%s cannot be written into a string", source.Describe(v))
		}
	}
	return b.String(), nil
}

func (f *formula) run(p *part, env map[string]any) (any, *source.Error) {
	v, err := expr.Run(p.program, env)
	if err != nil {
		return nil, f.failed(p, err)
	}
	v, err = plain(v)
	if err != nil {
		return nil, f.at.ErrorAt(p.off, "", "expression %q: %v", strings.TrimSpace(p.text), err)
	}
	return v, nil
}

const (
	// MaxValues is how many values a list has that an expression gives.
	MaxValues = 1_000_000
	// maxText is how many bytes a text has that an expression gives.
	maxText = 1 << 20
)

// plain reduces what expr-lang gives to nil, bool, int64, float64, string, and
// []any and map[string]any of them.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if len(v) > maxText {
			return nil, fmt.Errorf("gives a text of %d bytes, more than %d", len(v), maxText)
		}
		return v, nil
	case nil, bool, int64:
		return v, nil
	case int:
		return int64(v), nil
	case time.Duration:
		return v.String(), nil
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Float32, reflect.Float64:
		if f := r.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, nil
		}
		return nil, fmt.Errorf("%v is not a finite number", v)
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return r.Int(), nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return int64(r.Uint()), nil
	case reflect.Slice:
		if r.Len() > MaxValues {
			return nil, fmt.Errorf("gives a list of %d values, more than %d", r.Len(), MaxValues)
		}
		out := make([]any, r.Len())
		for i := range out {
			x, err := plain(r.Index(i).Interface())
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case reflect.Map:
		out := make(map[string]any, r.Len())
		for _, k := range r.MapKeys() {
			x, err := plain(r.MapIndex(k).Interface())
			if err != nil {
				return nil, err
			}
			out[fmt.Sprint(k.Interface())] = x
		}
		return out, nil
	}
	return nil, fmt.Errorf("gives a %T, which a study cannot hold", v)
}
