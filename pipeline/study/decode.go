package study

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A decoder fills Go values from nodes. Struct fields are found by their json
// tags; the tags enum, min and max constrain a value, or the elements of a
// list, and required demands its key.
type decoder struct {
	env     map[string]any
	errs    Errors
	partial bool // something was left out, since its error stands elsewhere
}

// A word is a string that remembers its place.
type word struct {
	text string
	at   *node
}

var (
	nodeType = reflect.TypeFor[*node]()
	wordType = reflect.TypeFor[word]()
)

func (d *decoder) fail(n *node, hint, format string, args ...any) {
	d.errs = append(d.errs, n.errorf(hint, format, args...))
}

func (d *decoder) decode(dst reflect.Value, n *node, tag reflect.StructTag) {
	switch {
	case n.bad:
		d.partial = true
	case dst.Type() == nodeType:
		dst.Set(reflect.ValueOf(n))
	case n.kind == scalar:
		v, err := n.value(d.env)
		if err != nil {
			d.errs = append(d.errs, err)
			return
		}
		d.assign(dst, v, n, tag)
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		d.decode(dst.Elem(), n, tag)
	case dst.Kind() == reflect.Interface:
		dst.Set(reflect.ValueOf(d.plain(n)))
	case unmarshals(dst):
		d.unmarshal(dst, d.plain(n), n)
	case n.kind == list && dst.Kind() == reflect.Slice:
		s := reflect.MakeSlice(dst.Type(), len(n.items), len(n.items))
		for i, item := range n.items {
			d.decode(s.Index(i), item, tag)
		}
		dst.Set(s)
	case n.kind == mapping && dst.Kind() == reflect.Map:
		if dst.IsNil() {
			dst.Set(reflect.MakeMap(dst.Type()))
		}
		for _, p := range n.pairs {
			elem := reflect.New(dst.Type().Elem()).Elem()
			before := len(d.errs)
			if d.decode(elem, p.val, tag); len(d.errs) == before {
				dst.SetMapIndex(reflect.ValueOf(p.key.val), elem)
			}
		}
	case n.kind == mapping && dst.Kind() == reflect.Struct && dst.Type() != wordType:
		d.fields(dst, n)
	default:
		got := "a list"
		if n.kind == mapping {
			got = "a mapping"
		}
		d.fail(n, "", "%s: want %s, got %s", n.label(), wanted(dst.Type()), got)
	}
}

func (n *node) label() string {
	if n.name == "" {
		return "value"
	}
	return n.name
}

// plain evaluates a whole tree.
func (d *decoder) plain(n *node) any {
	switch {
	case n.bad:
		d.partial = true
		return nil
	case n.kind == list:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = d.plain(item)
		}
		return out
	case n.kind == mapping:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key.val.(string)] = d.plain(p.val)
		}
		return out
	}
	v, err := n.value(d.env)
	if err != nil {
		d.errs = append(d.errs, err)
	}
	return v
}

func (d *decoder) fields(dst reflect.Value, n *node) {
	known := fieldsOf(dst.Type())
	for _, p := range n.pairs {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == p.key.val })
		if i < 0 {
			d.fail(p.key, suggest(p.key.val.(string), names(known)), "unknown key %q", p.key.val)
			continue
		}
		d.decode(dst.FieldByIndex(known[i].Index), p.val, known[i].Tag)
	}
	for _, f := range known {
		if f.required() && n.get(f.name) == nil {
			of := ""
			if n.name != "" {
				of = " in " + n.name
			}
			d.fail(n, f.advice(), "missing key %q%s", f.name, of)
		}
	}
}

// assign stores an evaluated value; n is where it was written.
func (d *decoder) assign(dst reflect.Value, v any, n *node, tag reflect.StructTag) {
	want := func(hint string) {
		if v == nil {
			d.fail(n, hint, "%s has no value; want %s", n.label(), wanted(dst.Type()))
			return
		}
		d.fail(n, hint, "%s: want %s, got %s", n.label(), wanted(dst.Type()), describe(v))
	}
	switch {
	case dst.Kind() == reflect.Interface:
		if v != nil {
			dst.Set(reflect.ValueOf(v))
		}
		return
	case v == nil:
		want("")
		return
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		d.assign(dst.Elem(), v, n, tag)
		return
	case dst.Type() == wordType:
		s, ok := v.(string)
		if !ok {
			want("")
			return
		}
		dst.Set(reflect.ValueOf(word{s, n}))
		return
	case unmarshals(dst):
		if !d.unmarshal(dst, v, n) {
			return
		}
		d.constrain(dst, v, n, tag)
		return
	}
	switch dst.Kind() {
	case reflect.Bool:
		b, ok := v.(bool)
		if !ok {
			want("")
			return
		}
		dst.SetBool(b)
	case reflect.String:
		s, ok := v.(string)
		if !ok {
			hint := ""
			if n.parts == nil {
				hint = fmt.Sprintf("quote it: %q", fmt.Sprint(v))
			}
			want(hint)
			return
		}
		dst.SetString(s)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, ok := integer(v)
		if !ok {
			want(unquote(v))
			return
		}
		if dst.CanInt() && dst.OverflowInt(i) || dst.CanUint() && (i < 0 || dst.OverflowUint(uint64(i))) {
			d.fail(n, "", "%s: %d is out of range", n.label(), i)
			return
		}
		if dst.CanInt() {
			dst.SetInt(i)
		} else {
			dst.SetUint(uint64(i))
		}
	case reflect.Float32, reflect.Float64:
		switch v := v.(type) {
		case int64:
			dst.SetFloat(float64(v))
		case float64:
			dst.SetFloat(v)
		default:
			want(unquote(v))
			return
		}
	case reflect.Slice:
		items, ok := v.([]any)
		if !ok {
			want("write [...], even around one value")
			return
		}
		s := reflect.MakeSlice(dst.Type(), len(items), len(items))
		for i, item := range items {
			d.assign(s.Index(i), item, n, tag)
		}
		dst.Set(s)
		return
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			want("")
			return
		}
		if dst.IsNil() {
			dst.Set(reflect.MakeMapWithSize(dst.Type(), len(m)))
		}
		for k, x := range m {
			elem := reflect.New(dst.Type().Elem()).Elem()
			d.assign(elem, x, n, tag)
			dst.SetMapIndex(reflect.ValueOf(k), elem)
		}
		return
	default: // a struct
		want("write its keys out")
		return
	}
	d.constrain(dst, v, n, tag)
}

// integer accepts whole floats, since / and round always give floats.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	return 0, false
}

func unquote(v any) string {
	if s, ok := v.(string); ok {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return "remove the quotes"
		}
	}
	return ""
}

// unmarshals tells whether a type reads itself, as unit.Size does.
func unmarshals(v reflect.Value) bool {
	return reads(v.Type())
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func reads(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonReader) || p.Implements(textReader)
}

// unmarshal hands a value to a type that reads itself.
func (d *decoder) unmarshal(dst reflect.Value, v any, n *node) bool {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, dst.Addr().Interface())
	}
	if err != nil {
		msg := err.Error()
		if !strings.HasPrefix(msg, n.label()+" ") {
			msg = n.label() + ": " + msg
		}
		d.fail(n, "", "%s", msg)
		return false
	}
	return true
}

// constrain applies the enum, min and max tags.
func (d *decoder) constrain(dst reflect.Value, v any, n *node, tag reflect.StructTag) {
	if enum, ok := tag.Lookup("enum"); ok {
		allowed := strings.Split(enum, ",")
		if got := fmt.Sprint(dst.Interface()); !slices.Contains(allowed, got) {
			hint := suggest(got, allowed)
			if !strings.HasPrefix(hint, "did") {
				hint = ""
			}
			d.fail(n, hint, "%s: want one of %s, got %s", n.label(), strings.Join(allowed, ", "), describe(v))
		}
	}
	if least, ok := tag.Lookup("min"); ok && number(dst) < bound(dst.Type(), least) {
		d.fail(n, "", "%s: want at least %s, got %v", n.label(), least, v)
	}
	if most, ok := tag.Lookup("max"); ok && number(dst) > bound(dst.Type(), most) {
		d.fail(n, "", "%s: want at most %s, got %v", n.label(), most, v)
	}
}

func number(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	case v.CanFloat():
		return v.Float()
	}
	panic(fmt.Sprintf("study: min and max do not apply to %s", v.Type()))
}

// bound reads a min or max tag as a value of the field's type, such as 1MiB. A
// tag that is none is a mistake in the program.
func bound(t reflect.Type, tag string) float64 {
	if reads(t) {
		v := reflect.New(t)
		if err := json.Unmarshal([]byte(strconv.Quote(tag)), v.Interface()); err != nil {
			panic(fmt.Sprintf("study: tag %q of a %s: %v", tag, t, err))
		}
		return number(v.Elem())
	}
	f, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		panic(fmt.Sprintf("study: tag %q of a %s is no number", tag, t))
	}
	return f
}

// wanted names a type for messages.
func wanted(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer && t != nodeType:
		return wanted(t.Elem())
	case t == wordType:
		return "a string"
	case reads(t):
		return "a " + strings.ToLower(t.Name())
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a mapping"
	case reflect.Interface, reflect.Pointer:
		return "a value"
	}
	return "an integer"
}

// A field is a struct field under its key.
type field struct {
	name string
	reflect.StructField
}

// advice is the field's doc as a hint.
func (f field) advice() string {
	doc := strings.TrimSuffix(f.Tag.Get("doc"), ".")
	if doc == "" {
		return ""
	}
	return f.name + ": " + strings.ToLower(doc[:1]) + doc[1:]
}

func (f field) required() bool { return f.Tag.Get("required") == "true" }

var fieldCache sync.Map // reflect.Type -> []field

// fieldsOf lists a struct's fields as encoding/json sees them: exported, by tag
// or name, those of untagged embedded structs among them.
func fieldsOf(t reflect.Type) []field {
	if f, ok := fieldCache.Load(t); ok {
		return f.([]field)
	}
	var out []field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" || hidden(t, f.Index) {
			continue
		}
		if name == "" {
			name = f.Name
		}
		out = append(out, field{name, f})
	}
	fieldCache.Store(t, out)
	return out
}

// hidden tells whether a promoted field lies in an embedded struct that has a
// key of its own, or behind a pointer.
func hidden(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		f := t.Field(i)
		if f.Type.Kind() != reflect.Struct || f.Tag.Get("json") != "" {
			return true
		}
		t = f.Type
	}
	return false
}

func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}
