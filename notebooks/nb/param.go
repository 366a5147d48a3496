package nb

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"barograph/pipeline/cell/unit"
	"barograph/stages/judge"
)

// Float returns a parameter of the study's `with:`, or its default. A parameter
// that the study gives and the notebook never asks for is an error.
func Float(name string, value float64) float64 {
	c := called("Float", name)
	if v, ok := c.param(name, value); ok {
		n, is := v.(json.Number)
		f, err := n.Float64()
		if !is || err != nil {
			c.check(fmt.Errorf("the study gives %v, want a number", quote(v)))
		}
		return f
	}
	return value
}

// Int returns a whole-number parameter, or its default: every int64, exactly.
func Int(name string, value int) int {
	c := called("Int", name)
	if v, ok := c.param(name, value); ok {
		whole, is := wholeNumber(v)
		if !is {
			c.check(fmt.Errorf("the study gives %v, want a whole number", quote(v)))
		}
		return int(whole)
	}
	return value
}

// wholeNumber returns a number that an int64 holds. One that is written as a
// fraction, such as 1.5e3, is taken only where a float64 knows it to be whole.
func wholeNumber(v any) (int64, bool) {
	n, is := v.(json.Number)
	if whole, err := n.Int64(); err == nil && is {
		return whole, true
	}
	f, err := n.Float64()
	return int64(f), is && err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53 && strings.ContainsAny(n.String(), ".eE")
}

// Size returns a parameter in bytes, which the study may write as "4MiB", or
// its default.
func Size(name string, value int64) int64 {
	if v, ok := called("Size", name).param(name, value); ok {
		return int64(try(unit.ParseSize(fmt.Sprint(v))).or("Size", name))
	}
	return value
}

// String returns a text parameter, or its default. Where choices are given, the
// value must be one of them.
func String(name, value string, choices ...string) string {
	return called("String", name).text(name, value, choices...)
}

func (c call) text(name, value string, choices ...string) string {
	v, ok := c.param(name, value)
	if !ok {
		return value
	}
	s, is := v.(string)
	if !is {
		c.check(fmt.Errorf("the study gives %v, want a text", quote(v)))
	}
	if len(choices) > 0 && !slices.Contains(choices, s) {
		c.check(meant(fmt.Errorf("the study gives %q, want one of %s", s, strings.Join(choices, ", ")), s, choices))
	}
	return s
}

// Bool returns a true-or-false parameter, or its default.
func Bool(name string, value bool) bool { return called("Bool", name).truth(name, value) }

func (c call) truth(name string, value bool) bool {
	if v, ok := c.param(name, value); ok {
		b, is := v.(bool)
		if !is {
			c.check(fmt.Errorf("the study gives %v, want true or false", quote(v)))
		}
		return b
	}
	return value
}

// Caption returns the lines of a figure's caption: those given and, last, the
// parameter "note", in which a study says what its levels are.
func Caption(lines ...string) []string {
	if note := called("Caption").text("note", ""); note != "" {
		lines = append(lines, note)
	}
	return lines
}

// where returns the parameter "where", which every notebook that reads samples
// takes: the columns, with the value of each as text, that a sample must have.
func (c call) where() map[string]string {
	v, ok := c.param("where", map[string]any{})
	if !ok {
		return map[string]string{}
	}
	columns, is := v.(map[string]any)
	if !is {
		c.check(fmt.Errorf("the study gives %v, want columns and their values, such as {direction: d2h}", quote(v)))
	}
	values := maps.Clone(columns)
	for column, value := range columns {
		n, is := value.(json.Number)
		if _, err := n.Int64(); is && err == nil {
			values[column] = n.String()
		} else if f, err := n.Float64(); is && err == nil {
			values[column] = f
		}
	}
	chosen, err := judge.Where(values)
	c.check(err)
	return chosen
}

// param looks a parameter up, and records that the notebook knows it, and what
// it takes it to be.
func (c call) param(name string, value any) (any, bool) {
	b := c.open()
	v, ok := b.params[name]
	if ok {
		value = v
	}
	if f, is := value.(float64); is && (math.IsNaN(f) || math.IsInf(f, 0)) {
		value = fmt.Sprint(f) // which JSON has no number for
	}
	c.check(b.emit(Event{Type: "param", Text: name, Value: value}))
	return v, ok
}

func quote(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("%q", v)
	}
	if b, err := json.Marshal(v); err == nil {
		return string(b)
	}
	return fmt.Sprint(v)
}

// among says that a name is not on a list.
func among(what, name string, list []string) error {
	if len(list) == 0 {
		return fmt.Errorf("%s %q; there is none", what, name)
	}
	return meant(fmt.Errorf("%s %q; there is %s", what, name, strings.Join(list, ", ")), name, list)
}

func keys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
