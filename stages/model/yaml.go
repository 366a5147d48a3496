package model

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/model/checkpoint"

	"gopkg.in/yaml.v3"
)

// An Error is a fault at a place in a model's configuration. Its message is
// file:line:column, what is wrong, the line, and a caret under the place.
type Error struct {
	File      string
	Line, Col int // from 1; Col is 0 where only the line is known
	Msg       string
	Text      string // the line
}

func (e *Error) Error() string {
	at := fmt.Sprintf("%s:%d", e.File, e.Line)
	if e.Col > 0 {
		at += fmt.Sprintf(":%d", e.Col)
	}
	s := at + ": " + e.Msg
	if e.Text == "" {
		return s
	}
	s += "\n  " + e.Text
	if e.Col > 0 {
		// Tabs stay tabs, so that the caret stands under its place.
		pad := []rune(e.Text)[:min(e.Col-1, len([]rune(e.Text)))]
		for i, r := range pad {
			if r != '\t' {
				pad[i] = ' '
			}
		}
		s += "\n  " + string(pad) + "^"
	}
	return s
}

// A document is a YAML file being read.
type document struct {
	file  string
	lines []string
	// at remembers where each key's value stands, by its path: "sizes.heads".
	at map[string]*yaml.Node
}

var nodeType = reflect.TypeFor[yaml.Node]()

// parse reads one YAML document.
func parse(file string, data []byte) (*document, *yaml.Node, error) {
	d := &document{file: file, lines: strings.Split(string(data), "\n"), at: map[string]*yaml.Node{}}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root, more yaml.Node
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		return nil, nil, &Error{File: file, Line: 1, Msg: "the file is empty"}
	case err != nil:
		return nil, nil, d.syntax(err)
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		return nil, nil, d.errorf(&more, "", "a second document begins")
	case !errors.Is(err, io.EOF):
		return nil, nil, d.syntax(err)
	}
	return d, root.Content[0], nil
}

// has tells whether a mapping holds a key.
func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Kind == yaml.MappingNode && n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// syntax gives the parser's own errors their place.
func (d *document) syntax(err error) error {
	e := &Error{File: d.file, Line: 1, Msg: strings.TrimPrefix(err.Error(), "yaml: ")}
	var line int
	if n, _ := fmt.Sscanf(e.Msg, "line %d:", &line); n == 1 && line > 0 {
		_, e.Msg, _ = strings.Cut(e.Msg, ": ")
		// Of yaml.v3's errors, those of its scanner count lines from 1, and those
		// of its parser, which speak of what was expected, from 0.
		if strings.HasPrefix(e.Msg, "did not find expected") {
			line++
		}
		e.Line = line
	}
	e.Text = d.line(e.Line)
	return e
}

func (d *document) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return strings.TrimRight(d.lines[n-1], "\r")
}

// errorf is an error at a node, with a hint unless that is empty.
func (d *document) errorf(n *yaml.Node, hint, format string, args ...any) error {
	var err error = &Error{d.file, max(n.Line, 1), n.Column, fmt.Sprintf(format, args...), d.line(n.Line)}
	if hint != "" {
		err = cell.Hint(err, "%s", hint)
	}
	return err
}

// errorAt is an error at the value of a key.
func (d *document) errorAt(path, hint, format string, args ...any) error {
	n := d.at[path]
	if n == nil {
		n = &yaml.Node{Line: 1}
	}
	return d.errorf(n, hint, format, args...)
}

// decode fills v. Of a mapping every key is known, and every field of its struct
// given unless the tag says omitempty.
func (d *document) decode(path string, n *yaml.Node, v reflect.Value) error {
	if path != "" {
		d.at[path] = n
	}
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(*n))
		return nil
	}
	if p, ok := v.Addr().Interface().(*checkpoint.Pattern); ok {
		if n.Kind != yaml.ScalarNode {
			return d.errorf(n, "", "%s is no regular expression", kind(n))
		}
		if err := p.UnmarshalText([]byte(n.Value)); err != nil {
			return d.errorf(n, "", "%v", err)
		}
		return nil
	}
	// An alias may stand for what holds it; the depth of v's type bounds us.
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.decode(path, n, v.Elem())
	case reflect.Struct:
		return d.mapping(path, n, v)
	case reflect.Slice:
		return d.sequence(path, n, v, -1)
	case reflect.Array:
		return d.sequence(path, n, v, v.Len())
	}
	return d.scalar(n, v)
}

func (d *document) mapping(path string, n *yaml.Node, v reflect.Value) error {
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, "", "%s is %s, not a mapping of keys to values", quote(path), kind(n))
	}
	if path != "" {
		path += "."
	}
	fields := map[string][]int{}
	var names, missing []string
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			continue // embedded, and its fields are among them; or not for YAML
		}
		fields[name] = f.Index
		names = append(names, name)
		if option != "omitempty" {
			missing = append(missing, name)
		}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field, ok := fields[key.Value]
		switch {
		case !ok:
			return d.errorf(key, suggest(key.Value, names), "unknown key %q", key.Value)
		case seen[key.Value]:
			return d.errorf(key, "", "key %q stands twice", key.Value)
		}
		seen[key.Value] = true
		if err := d.decode(path+key.Value, value, v.FieldByIndex(field)); err != nil {
			return err
		}
	}
	missing = slices.DeleteFunc(missing, func(name string) bool { return seen[name] })
	if len(missing) > 0 {
		return d.errorf(n, "", "missing %s", strings.Join(missing, ", "))
	}
	return nil
}

func (d *document) sequence(path string, n *yaml.Node, v reflect.Value, length int) error {
	switch {
	case n.Kind != yaml.SequenceNode:
		return d.errorf(n, "", "%s is %s, not a list", quote(path), kind(n))
	case length < 0:
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	case length != len(n.Content):
		return d.errorf(n, "", "%s lists %d values, not %d", quote(path), len(n.Content), length)
	}
	for i, e := range n.Content {
		if err := d.decode(fmt.Sprintf("%s[%d]", path, i), e, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) scalar(n *yaml.Node, v reflect.Value) error {
	// yaml.v3 alone would take 12.7 for the integer 12, and null for anything.
	var want string
	var tags []string
	switch v.Kind() {
	case reflect.String:
		want, tags = "text", []string{"!!str", "!!int"}
	case reflect.Bool:
		want, tags = "true or false", []string{"!!bool"}
	case reflect.Int64:
		want, tags = "a whole number", []string{"!!int"}
	case reflect.Uint64:
		want, tags = "a whole number from 0", []string{"!!int"}
	case reflect.Float64:
		want, tags = "a number", []string{"!!float", "!!int"}
	default:
		panic("model: no YAML for " + v.Type().String())
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(tags, n.ShortTag()) || n.Decode(v.Addr().Interface()) != nil {
		return d.errorf(n, "", "%s is not %s", kind(n), want)
	}
	return nil
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return quote(n.Value)
}

func quote(s string) string {
	if s == "" {
		return "the value"
	}
	return fmt.Sprintf("%q", s)
}

// suggest names the candidate nearest to a word, or, where none is near, lists
// them all.
func suggest(word string, from []string) string {
	best, distance := "", len(word)/2+2
	for _, c := range from {
		d := edits(word, c)
		if word != "" && strings.HasPrefix(c, word) {
			d = 0 // a beginning is nearer than any misspelling
		}
		if d < distance {
			best, distance = c, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(from) == 0 {
		return ""
	}
	return "known are " + strings.Join(from, ", ")
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
