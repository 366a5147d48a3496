package source

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Decoder fills Go values from nodes. Struct fields are found by their json
// tags; the tags enum, min and max constrain a value, or the elements of a
// list; required demands its key; and also:"number" lets a number as it is written
// be a string.
type Decoder struct {
	Env     map[string]any // for formulas
	Errs    Errors
	Partial bool // something was left out, since its error stands elsewhere
}

// A Word is a string that remembers its place.
type Word struct {
	Text string
	At   *Node // nil where there is none
}

var (
	NodeType = reflect.TypeFor[*Node]()
	WordType = reflect.TypeFor[Word]()
)

// Fail adds an error at a node.
func (d *Decoder) Fail(n *Node, hint, format string, args ...any) {
	d.Errs = append(d.Errs, n.Errorf(hint, format, args...))
}

// Files lists the YAML files in a folder of a workspace by name, sorted.
func Files(root, folder string) []string {
	// The pattern is well formed, which is Glob's only error.
	found, _ := filepath.Glob(filepath.Join(root, folder, "*.yaml"))
	for i, f := range found {
		found[i] = strings.TrimSuffix(filepath.Base(f), ".yaml")
	}
	return found
}

// Unmarshal reads a YAML document into what v points to. Errors call it name.
func Unmarshal(name string, text []byte, v any) (*Node, error) {
	n, err := Parse(name, text)
	if err != nil {
		return nil, err
	}
	return n, n.Unmarshal(v)
}

// Unmarshal reads a node without formulas into what v points to.
func (n *Node) Unmarshal(v any) error {
	var d Decoder
	d.Decode(reflect.ValueOf(v).Elem(), n, "")
	return d.Errs.Err()
}

// Decode fills dst from a node; the tag constrains its value.
func (d *Decoder) Decode(dst reflect.Value, n *Node, tag reflect.StructTag) {
	v, err := any(nil), (*Error)(nil)
	switch {
	case n.Bad:
		d.Partial = true
		return
	case dst.Type() == NodeType:
		dst.Set(reflect.ValueOf(n))
		return
	case n.number != "" && dst.Kind() == reflect.String && tag.Get("also") == "number":
		dst.SetString(n.number)
		return
	case n.Kind == Scalar:
		if v, err = n.Value(d.Env); err != nil {
			d.Errs = append(d.Errs, err)
			return
		}
		if n.Formula != nil {
			n = n.Stand(v)
		}
	}
	switch {
	case dst.Kind() == reflect.Interface:
		if v := exponents(d.Plain(n)); v != nil {
			dst.Set(reflect.ValueOf(v))
		}
	case n.Kind == Scalar && v == nil:
		d.Fail(n, "", "%s has no value; want %s", n.Label(), wanted(dst.Type()))
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		d.Decode(dst.Elem(), n, tag)
	case Reads(dst.Type()):
		if d.unmarshal(dst, d.Plain(n), n) && n.Kind == Scalar {
			d.constrain(dst, v, n, tag)
		}
	case n.Kind == List && (dst.Kind() == reflect.Slice || dst.Kind() == reflect.Array):
		if dst.Kind() == reflect.Slice {
			dst.Set(reflect.MakeSlice(dst.Type(), len(n.Items), len(n.Items)))
		} else if dst.Len() != len(n.Items) {
			d.Fail(n, "", "%s: want %d values, got %d", n.Label(), dst.Len(), len(n.Items))
			return
		}
		for i, item := range n.Items {
			d.Decode(dst.Index(i), item, tag)
		}
	case n.Kind == Mapping && dst.Kind() == reflect.Map:
		if dst.IsNil() {
			dst.Set(reflect.MakeMap(dst.Type()))
		}
		for _, p := range n.Pairs {
			elem := reflect.New(dst.Type().Elem()).Elem()
			before := len(d.Errs)
			if d.Decode(elem, p.Val, tag); len(d.Errs) == before {
				dst.SetMapIndex(reflect.ValueOf(p.Key.Val), elem)
			}
		}
	case n.Kind == Mapping && dst.Kind() == reflect.Struct && dst.Type() != WordType && !n.computed:
		d.fields(dst, n)
	case n.Kind == Scalar:
		if d.scalar(dst, v, n) {
			d.constrain(dst, v, n, tag)
		}
	default:
		d.Fail(n, "", "%s: want %s, got %s", n.Label(), wanted(dst.Type()), map[Kind]string{List: "a list", Mapping: "a mapping"}[n.Kind])
	}
}

// Label names a node for messages.
func (n *Node) Label() string {
	if n.Name == "" {
		return "value"
	}
	return n.Name
}

// Plain evaluates a whole tree.
func (d *Decoder) Plain(n *Node) any {
	switch {
	case n.Bad:
		d.Partial = true
		return nil
	case n.Kind == List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = d.Plain(item)
		}
		return out
	case n.Kind == Mapping:
		out := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			out[p.Key.Val.(string)] = d.Plain(p.Val)
		}
		return out
	}
	v, err := n.Value(d.Env)
	if err != nil {
		d.Errs = append(d.Errs, err)
	}
	return v
}

func (d *Decoder) fields(dst reflect.Value, n *Node) {
	known := Fields(dst.Type())
	var meant []string // keys that are there, misspelt
	for _, p := range n.Pairs {
		i := slices.IndexFunc(known, func(f Field) bool { return f.Key == p.Key.Val })
		if i < 0 {
			word := p.Key.Val.(string)
			d.Fail(p.Key, Suggest(word, names(known)), "unknown key %q", word)
			meant = append(meant, Nearest(word, names(known)))
			continue
		}
		d.Decode(dst.FieldByIndex(known[i].Index), p.Val, known[i].Tag)
	}
	for _, f := range known {
		if f.Required() && n.Get(f.Key) == nil && !slices.Contains(meant, f.Key) {
			of := ""
			if n.Name != "" {
				of = " in " + n.Name
			}
			d.Fail(n, f.advice(), "missing key %q%s", f.Key, of)
		}
	}
}

// scalar stores a scalar in a type that does not read itself; false after an error.
func (d *Decoder) scalar(dst reflect.Value, v any, n *Node) bool {
	text, isText := v.(string)
	hint := ""
	switch {
	case dst.Type() == WordType:
		if isText {
			dst.Set(reflect.ValueOf(Word{text, n}))
			return true
		}
	case dst.Kind() == reflect.Bool:
		if b, ok := v.(bool); ok {
			dst.SetBool(b)
			return true
		}
	case dst.Kind() == reflect.String:
		if isText {
			dst.SetString(text)
			return true
		}
		if !n.computed {
			hint = fmt.Sprintf("quote it: %q", fmt.Sprint(v))
		}
	case dst.CanInt() || dst.CanUint():
		if i, ok := Integer(v); ok {
			return d.storeInteger(dst, i, n)
		}
		hint = unquote(v)
	case dst.CanFloat():
		switch v := v.(type) {
		case int64:
			dst.SetFloat(float64(v))
			return true
		case float64:
			dst.SetFloat(v)
			return true
		}
		hint = unquote(v)
	case dst.Kind() == reflect.Slice || dst.Kind() == reflect.Array:
		hint = "write [...], even around one value"
	case dst.Kind() == reflect.Struct:
		hint = "write its keys out"
	}
	d.Fail(n, hint, "%s: want %s, got %s", n.Label(), wanted(dst.Type()), Describe(v))
	return false
}

func (d *Decoder) storeInteger(dst reflect.Value, i int64, n *Node) bool {
	if dst.CanInt() && dst.OverflowInt(i) || dst.CanUint() && (i < 0 || dst.OverflowUint(uint64(i))) {
		d.Fail(n, "", "%s: %d is out of range", n.Label(), i)
		return false
	}
	if dst.CanInt() {
		dst.SetInt(i)
	} else {
		dst.SetUint(uint64(i))
	}
	return true
}

// Describe names a value with its type, for messages.
func Describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("the string %q", v)
	case bool:
		return fmt.Sprint(v)
	case int64:
		return fmt.Sprintf("the integer %d", v)
	case float64:
		return fmt.Sprintf("the number %v", v)
	case []any:
		return "a list"
	}
	return "a mapping"
}

// Integer accepts whole floats, since / and round always give floats.
func Integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	return 0, false
}

// exponents has floats that may be rounded whole numbers written with an exponent in
// JSON, where they would look like the integers that they are not.
func exponents(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) >= 1<<53 && !math.IsInf(v, 0) {
			return json.Number(strconv.FormatFloat(v, 'e', -1, 64))
		}
	case []any:
		for i := range v {
			v[i] = exponents(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exponents(v[k])
		}
	}
	return v
}

func unquote(v any) string {
	if s, ok := v.(string); ok {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return "remove the quotes"
		}
	}
	return ""
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Reads tells whether a type reads itself, as unit.Size does.
func Reads(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonReader) || p.Implements(textReader)
}

// unmarshal hands a value to a type that reads itself.
func (d *Decoder) unmarshal(dst reflect.Value, v any, n *Node) bool {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, dst.Addr().Interface())
	}
	if err != nil {
		msg := err.Error()
		if !strings.HasPrefix(msg, n.Label()+" ") {
			msg = n.Label() + ": " + msg
		}
		d.Fail(n, "", "%s", msg)
		return false
	}
	return true
}

// constrain applies the enum, min and max tags.
func (d *Decoder) constrain(dst reflect.Value, v any, n *Node, tag reflect.StructTag) {
	if enum, ok := tag.Lookup("enum"); ok {
		allowed := strings.Split(enum, ",")
		if got := fmt.Sprint(dst.Interface()); !slices.Contains(allowed, got) {
			hint := Suggest(got, allowed)
			if !strings.HasPrefix(hint, "did") {
				hint = ""
			}
			d.Fail(n, hint, "%s: want one of %s, got %s", n.Label(), strings.Join(allowed, ", "), Describe(v))
		}
	}
	if least, ok := tag.Lookup("min"); ok && number(dst) < Bound(dst.Type(), least) {
		d.Fail(n, "", "%s: want at least %s, got %v", n.Label(), least, v)
	}
	if most, ok := tag.Lookup("max"); ok && number(dst) > Bound(dst.Type(), most) {
		d.Fail(n, "", "%s: want at most %s, got %v", n.Label(), most, v)
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
	panic(fmt.Sprintf("source: min and max do not apply to %s", v.Type()))
}

// Bound reads a min or max tag as a value of the field's type, such as 1MiB. A
// tag that is none is a mistake in the program.
func Bound(t reflect.Type, tag string) float64 {
	if Reads(t) {
		v := reflect.New(t)
		if err := json.Unmarshal([]byte(strconv.Quote(tag)), v.Interface()); err != nil {
			panic(fmt.Sprintf("source: tag %q of a %s: %v", tag, t, err))
		}
		return number(v.Elem())
	}
	f, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		panic(fmt.Sprintf("source: tag %q of a %s is no number", tag, t))
	}
	return f
}

// wanted names a type for messages.
func wanted(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer && t != NodeType:
		return wanted(t.Elem())
	case t == WordType:
		return "a string"
	case Reads(t):
		return "a " + strings.ToLower(t.Name())
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a mapping"
	case reflect.Interface, reflect.Pointer:
		return "a value"
	}
	return "an integer"
}

// A Field is a struct field under its key.
type Field struct {
	Key string
	reflect.StructField
}

// advice is the field's doc as a hint.
func (f Field) advice() string {
	doc := strings.TrimSuffix(f.Tag.Get("doc"), ".")
	if doc == "" {
		return ""
	}
	return f.Key + ": " + strings.ToLower(doc[:1]) + doc[1:]
}

// Required tells whether the key must be given.
func (f Field) Required() bool { return f.Tag.Get("required") == "true" }

var fieldCache sync.Map // reflect.Type -> []Field

// Fields lists a struct's fields as encoding/json sees them: exported, by tag
// or name, those of untagged embedded structs among them.
func Fields(t reflect.Type) []Field {
	if f, ok := fieldCache.Load(t); ok {
		return f.([]Field)
	}
	var out []Field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" || hidden(t, f.Index) {
			continue
		}
		if name == "" {
			name = f.Name
		}
		out = append(out, Field{name, f})
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

func names(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Key
	}
	return out
}
