package source

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"barograph/pipeline/cell"
)

// ReadJSON fills v from a regular file of JSON, as a program wrote it, and returns its
// tree: the places of what else is wrong with v. It wants each key that encoding/json
// writes of v's type, once and with a value, since what is not there would be read as 0,
// which is a measurement too; below a field with the tag whole:"false" it wants none.
func ReadJSON(path string, v any) (*Node, error) {
	text, err := cell.Read(path)
	if err != nil {
		return nil, err
	}
	if err := cell.ParseJSON(path, text, v); err != nil {
		return nil, err
	}
	n, e := Parse(path, text) // JSON is YAML, whose reader knows places and doubled keys
	if e == nil {
		e = n.whole(reflect.TypeOf(v))
	}
	if e != nil {
		return nil, e
	}
	return n, nil
}

func (n *Node) whole(t reflect.Type) *Error {
	if n.Kind == Scalar && n.Val == nil {
		return n.Errorf("", "%s has no value", n.Label())
	}
	switch t.Kind() {
	case reflect.Pointer:
		return n.whole(t.Elem())
	case reflect.Map, reflect.Slice, reflect.Array:
		all := slices.Clone(n.Items)
		for _, p := range n.Pairs {
			all = append(all, p.Val)
		}
		for _, v := range all {
			if err := v.whole(t.Elem()); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for _, f := range Fields(t) {
			for _, p := range n.Pairs { // Go's reader takes other letters too
				if key := p.Key.Val.(string); key != f.Key && strings.EqualFold(key, f.Key) {
					return p.Key.Errorf("write it as "+f.Key, "unknown key %q", key)
				}
			}
			v, tag := n.Get(f.Key), f.Tag.Get("json")
			if v == nil && (strings.HasSuffix(tag, ",omitempty") || strings.HasSuffix(tag, ",omitzero")) {
				continue
			}
			if v == nil {
				return n.Errorf("", "missing key %q in %s", f.Key, cmp.Or(n.Name, "the "+strings.ToLower(t.Name())))
			}
			if f.Tag.Get("whole") == "false" {
				continue
			}
			if err := v.whole(f.Type); err != nil {
				return err
			}
		}
	}
	return nil
}
