package study

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
	"barograph/pipeline/source/schema"
)

type object = schema.Object

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
		"name":   object{"type": "string", "pattern": cell.NameForm.String()},
		"scalar": object{"type": []string{"boolean", "number", "string"}},
	}
	stage := parts.Struct(reflect.TypeFor[stageFile](), reflect.Value{})
	var choices []object
	for _, name := range kinds.Names() {
		k := kinds[name]
		with := reflect.ValueOf(k.With())
		if with.Kind() != reflect.Pointer || with.IsNil() {
			return nil, fmt.Errorf("schema of kind %q: With returns a %T, no pointer to parameters", name, k.With())
		}
		definitions["with-"+name] = parts.Type(with.Elem().Type(), with.Elem(), "")
		choices = append(choices, object{
			"if":   object{"properties": object{"uses": object{"const": name}}},
			"then": kindSchema(k, with.Elem().Type()),
		})
	}
	stage["allOf"] = choices
	stage["properties"].(object)["uses"] = object{"enum": kinds.Names(), "description": usesDoc(kinds)}
	definitions["stage"] = stage
	definitions["order"] = parts.Struct(reflect.TypeFor[orderFile](), reflect.Value{})

	root := parts.Struct(reflect.TypeFor[studyFile](), reflect.Value{})
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
	properties := object{"with": schema.Ref("with-" + k.Name)}
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
		properties["background"] = schema.AnyOf(object{"const": false}, schema.Ref("expression"))
	}
	return object{"properties": properties, "required": required}
}

// parts are those that Load evaluates itself.
var parts = schema.Parts{
	"params": {
		"type":                 "object",
		"propertyNames":        object{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
		"additionalProperties": schema.AnyOf(schema.Ref("scalar"), object{"type": "array", "items": schema.Ref("scalar")}),
	},
	"order":    {"allOf": []object{schema.Ref("order")}}, // beside a bare $ref, draft-07 ignores the description
	"baseline": {"type": "object", "additionalProperties": schema.Ref("scalar")},
	"stages": {
		"type":                 "object",
		"minProperties":        1,
		"propertyNames":        schema.Ref("name"),
		"additionalProperties": schema.Ref("stage"),
	},
	"matrix": {
		"type": "object",
		"additionalProperties": schema.AnyOf(
			object{"type": "integer", "minimum": 1, "maximum": MaxCells},
			object{"type": "array", "items": schema.Ref("scalar"), "minItems": 1},
			schema.Ref("expression")),
	},
	"with":    {"type": "object"},
	"devices": schema.AnyOf(object{"enum": []string{All}}, object{"type": "array", "items": object{"type": "string"}, "minItems": 1}),
	"gpu":     schema.AnyOf(object{"type": "integer", "minimum": 0}, schema.Ref("expression")),
	"run":     {"type": "string"},
	"inputs":  schema.AnyOf(object{"type": "array", "items": object{"type": "string"}}, schema.Ref("expression")),
	"outputs": schema.AnyOf(object{"type": "array", "items": object{"type": "string"}}, schema.Ref("expression")),
}
