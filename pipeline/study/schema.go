package study

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
)

type object = map[string]any

// Schema returns the JSON Schema (draft-07) of a study whose stages are of the
// given kinds, indented, the same bytes for the same kinds. It accepts every
// file that [Load] accepts; what only Load can know, such as the value of an
// expression or whether a stage exists, it leaves to Load.
func Schema(kinds cell.Kinds) ([]byte, error) {
	definitions := object{
		"expression": object{
			"type": "string", "pattern": `\$\{\{`,
			"description": "An expression between ${{ and }}, or a text with expressions in it.",
		},
		"name":   object{"type": "string", "pattern": nameForm.String()},
		"scalar": object{"type": []string{"boolean", "number", "string"}},
	}
	stage := structSchema(reflect.TypeFor[stageFile](), reflect.Value{})
	var choices []object
	for _, name := range kinds.Names() {
		k := kinds[name]
		with := reflect.ValueOf(k.With())
		if with.Kind() != reflect.Pointer || with.IsNil() {
			return nil, fmt.Errorf("schema of kind %q: With returns a %T, no pointer to parameters", name, k.With())
		}
		definitions["with-"+name] = bareSchema(with.Elem().Type(), with.Elem(), "")
		choices = append(choices, object{
			"if":   object{"properties": object{"uses": object{"const": name}}},
			"then": kindSchema(k, with.Elem().Type()),
		})
	}
	stage["allOf"] = choices
	stage["properties"].(object)["uses"] = object{"enum": kinds.Names(), "description": usesDoc(kinds)}
	definitions["stage"] = stage
	definitions["order"] = structSchema(reflect.TypeFor[orderFile](), reflect.Value{})

	root := structSchema(reflect.TypeFor[studyFile](), reflect.Value{})
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "A study of Barograph"
	root["definitions"] = definitions

	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return b.Bytes(), nil
}

func usesDoc(kinds cell.Kinds) string {
	var b strings.Builder
	b.WriteString("The stage's kind.")
	for _, name := range kinds.Names() {
		if doc := kinds[name].Doc; doc != "" {
			fmt.Fprintf(&b, "\n%s: %s", name, doc)
		}
	}
	return b.String()
}

// kindSchema says what a stage of one kind must and must not have.
func kindSchema(k *cell.Kind, with reflect.Type) object {
	properties := object{"with": ref("with-" + k.Name)}
	required := []string{}
	for _, key := range []struct {
		name string
		has  bool
	}{{"notebook", k.Notebook}, {"run", k.Script}} {
		if key.has {
			required = append(required, key.name)
		} else {
			properties[key.name] = false
		}
	}
	if with.Kind() == reflect.Struct {
		for _, f := range source.Fields(with) {
			if f.Required() {
				required = append(required, "with")
				break
			}
		}
	}
	if !k.Background {
		properties["background"] = anyOf(object{"const": false}, ref("expression"))
	}
	return object{"properties": properties, "required": required}
}

func ref(name string) object { return object{"$ref": "#/definitions/" + name} }

func anyOf(choices ...object) object { return object{"anyOf": choices} }

// rawSchemas describe the parts that Load evaluates itself.
var rawSchemas = map[string]object{
	"params": {
		"type":                 "object",
		"propertyNames":        object{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
		"additionalProperties": anyOf(ref("scalar"), object{"type": "array", "items": ref("scalar")}),
	},
	"order":    {"allOf": []object{ref("order")}}, // beside a bare $ref, draft-07 ignores the description
	"baseline": {"type": "object", "additionalProperties": ref("scalar")},
	"stages": {
		"type":                 "object",
		"minProperties":        1,
		"propertyNames":        ref("name"),
		"additionalProperties": ref("stage"),
	},
	"matrix": {
		"type": "object",
		"additionalProperties": anyOf(
			object{"type": "integer", "minimum": 1, "maximum": MaxCells},
			object{"type": "array", "items": ref("scalar"), "minItems": 1},
			ref("expression")),
	},
	"with":    {"type": "object"},
	"devices": anyOf(object{"enum": []string{All}}, object{"type": "array", "items": object{"type": "string"}, "minItems": 1}),
	"gpu":     anyOf(object{"type": "integer", "minimum": 0}, ref("expression")),
	"run":     {"type": "string"},
	"inputs":  anyOf(object{"type": "array", "items": object{"type": "string"}}, ref("expression")),
	"outputs": anyOf(object{"type": "array", "items": object{"type": "string"}}, ref("expression")),
}

// structSchema describes a struct; value holds its defaults, if it is valid.
func structSchema(t reflect.Type, value reflect.Value) object {
	properties := object{}
	required := []string{}
	for _, f := range source.Fields(t) {
		var def reflect.Value
		if value.IsValid() {
			def = value.FieldByIndex(f.Index)
		}
		var s object
		switch {
		case f.Type == source.NodeType:
			s = maps.Clone(rawSchemas[f.Key])
		case f.Key == "study":
			s = object{"allOf": []object{ref("name")}}
		default:
			s = typeSchema(f.Type, def, f.Tag)
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
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// typeSchema describes a type's values, or an expression in their place.
func typeSchema(t reflect.Type, def reflect.Value, tag reflect.StructTag) object {
	s := bareSchema(t, def, tag)
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Struct && !source.Reads(t) && t != source.WordType {
		return s
	}
	if _, enum := s["enum"]; s["type"] == "string" && !enum {
		return s // any text may be an expression
	}
	return anyOf(s, ref("expression"))
}

func bareSchema(t reflect.Type, def reflect.Value, tag reflect.StructTag) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return bareSchema(t.Elem(), reflect.Value{}, tag)
	case t == source.WordType:
		return object{"type": "string"}
	case source.Reads(t):
		if d, ok := reflect.Zero(t).Interface().(interface{ JSONSchema() map[string]any }); ok {
			return d.JSONSchema()
		}
		types := []string{"number", "string"}
		if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			types = types[1:]
		}
		return object{"type": types}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		if enum, ok := tag.Lookup("enum"); ok {
			return object{"type": "string", "enum": strings.Split(enum, ",")}
		}
		return object{"type": "string"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": typeSchema(t.Elem(), reflect.Value{}, tag)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": typeSchema(t.Elem(), reflect.Value{}, tag)}
	case reflect.Struct:
		return structSchema(t, def)
	case reflect.Interface:
		return object{}
	}
	s := object{"type": "integer"}
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
