// Package schema describes in JSON Schema (draft-07) what package source reads into a
// type: fields with their defaults, bounds, words to choose from, and the expressions that
// may stand for values.
package schema

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"barograph/pipeline/source"
)

// An Object is a part of a schema.
type Object = map[string]any

// Parts describe, by key, the fields that whoever decodes a file evaluates itself.
type Parts map[string]Object

// Ref is the definition of a name. That of an expression must be there.
func Ref(name string) Object { return Object{"$ref": "#/definitions/" + name} }

// AnyOf is one of several.
func AnyOf(choices ...Object) Object { return Object{"anyOf": choices} }

// Struct describes a struct; value holds its defaults, if it is valid.
func (d Parts) Struct(t reflect.Type, value reflect.Value) Object {
	properties := Object{}
	required := []string{}
	for _, f := range source.Fields(t) {
		var def reflect.Value
		if value.IsValid() {
			def = value.FieldByIndex(f.Index)
		}
		var s Object
		switch {
		case f.Type == source.NodeType:
			s = maps.Clone(d[f.Key])
		case f.Tag.Get("definition") != "":
			s = Object{"allOf": []Object{Ref(f.Tag.Get("definition"))}} // beside a bare $ref, draft-07 ignores the description
		default:
			s = d.formula(f.Type, def, f.Tag)
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			s["description"] = doc
		}
		if def.IsValid() && !def.IsZero() && f.Type.Kind() != reflect.Struct {
			s["default"] = def.Interface()
		}
		if f.Required() {
			required = append(required, f.Key)
		}
		properties[f.Key] = s
	}
	return Object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// formula describes a type's values, or an expression in their place.
func (d Parts) formula(t reflect.Type, def reflect.Value, tag reflect.StructTag) Object {
	s := d.Type(t, def, tag)
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Struct && !source.Reads(t) && t != source.WordType {
		return s
	}
	if _, enum := s["enum"]; s["type"] == "string" && !enum {
		return s // any text may be an expression
	}
	return AnyOf(s, Ref("expression"))
}

// Type describes the values of a type; def holds the default, if it is valid.
func (d Parts) Type(t reflect.Type, def reflect.Value, tag reflect.StructTag) Object {
	switch {
	case t.Kind() == reflect.Pointer:
		return d.Type(t.Elem(), reflect.Value{}, tag)
	case t == source.WordType:
		return Object{"type": "string"}
	case source.Reads(t):
		if own, ok := reflect.Zero(t).Interface().(interface{ JSONSchema() map[string]any }); ok {
			return own.JSONSchema()
		}
		types := []string{"number", "string"}
		if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			types = types[1:]
		}
		return Object{"type": types}
	}
	switch t.Kind() {
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.String:
		if enum, ok := tag.Lookup("enum"); ok {
			return Object{"type": "string", "enum": strings.Split(enum, ",")}
		}
		return Object{"type": "string"}
	case reflect.Slice, reflect.Array:
		return Object{"type": "array", "items": d.formula(t.Elem(), reflect.Value{}, tag)}
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": d.formula(t.Elem(), reflect.Value{}, tag)}
	case reflect.Struct:
		return d.Struct(t, def)
	case reflect.Interface:
		return Object{}
	}
	s := Object{"type": "integer"}
	if t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32 {
		s["type"] = "number"
	}
	for key, name := range map[string]string{"min": "minimum", "max": "maximum"} {
		if text, ok := tag.Lookup(key); ok {
			s[name] = json.Number(strconv.FormatFloat(source.Bound(t, text), 'f', -1, 64))
		}
	}
	return s
}
