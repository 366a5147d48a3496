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
// which is a measurement too, and no other; below a field with the tag whole:"false" it
// wants none and takes any. A tree that comes with an error is of a file that was parsed.
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
		return n, e
	}
	return n, nil
}

func (n *Node) whole(t reflect.Type) *Error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	of := cmp.Or(n.Name, "the "+strings.ToLower(cmp.Or(t.Name(), "file")))
	if n.Kind == Scalar && n.Val == nil {
		return n.Errorf("", "%s is null", of)
	}
	switch t.Kind() {
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
		var known []string
		for _, f := range Fields(t) {
			known = append(known, f.Key)
		}
		for _, p := range n.Pairs { // Go's reader takes other letters too
			if key := p.Key.Val.(string); !slices.Contains(known, key) {
				return p.Key.Errorf(Suggest(key, known), "unknown key %q in %s", key, of)
			}
		}
		for _, f := range Fields(t) {
			v, tag := n.Get(f.Key), f.Tag.Get("json")
			if v == nil && (strings.HasSuffix(tag, ",omitempty") || strings.HasSuffix(tag, ",omitzero")) {
				continue
			}
			if v == nil {
				return n.Errorf("", "missing key %q in %s", f.Key, of)
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
