package recording

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"

	"barograph/stages/result"
)

// A Field is a column of samples.csv, and what it holds for every call of a trial; nil
// where each call has its own.
type Field struct {
	result.Column
	Of func(*Trial) any
}

// Fields are all that are declared, in the order of samples.csv.
var Fields = func() (all []Field) {
	infer := func(measures []result.Measure[result.Infer]) {
		for _, m := range measures {
			all = append(all, Field{m.Column, func(t *Trial) any { return m.Of(&t.Infer) }})
		}
	}
	for i, otherwise := range []string{"0", "1"} {
		all = append(all, OnAxis(Axes[i], Axes[i].Name, otherwise))
	}
	for _, c := range result.CallColumns {
		all = append(all, Field{c, nil})
	}
	infer(result.InferColumns)
	for _, m := range result.StressColumns {
		all = append(all, Field{m.Column, func(t *Trial) any {
			if t.Stress == nil {
				return m.Of(&result.Stress{})
			}
			return m.Of(t.Stress)
		}})
	}
	for _, m := range TrialColumns {
		all = append(all, Field{m.Column, m.Of})
	}
	infer(result.CardColumns)
	infer(result.TenancyColumns)
	return all
}()

// Declared returns what a stage declares of a column.
func Declared(name string) (c result.Column, ok bool) {
	f, ok := declared(name)
	return f.Column, ok
}

func declared(name string) (f Field, ok bool) {
	if i := slices.IndexFunc(Fields, func(f Field) bool { return f.Name == name }); i >= 0 {
		return Fields[i], true
	}
	return f, false
}

// On returns where a trial lies on an axis, as samples.csv has it; otherwise if it is not
// on it.
func (t *Trial) On(axis, otherwise string) string {
	if v, ok := t.Point.Get(axis); ok {
		return literal(v)
	}
	return otherwise
}

// OnAxis is a field that holds where trials lie on an axis.
func OnAxis(c result.Column, axis, otherwise string) Field {
	return Field{c, func(t *Trial) any { return t.On(axis, otherwise) }}
}

// Header returns the line that names fields, without its end.
func Header(fields []Field) ([]byte, error) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return line(names)
}

// values are what fields hold for every call of a trial; nothing where each has its own.
func values(t *Trial, fields []Field) []string {
	v := make([]string, len(fields))
	for i, f := range fields {
		if f.Of != nil {
			v[i] = literal(f.Of(t))
		}
	}
	return v
}

// literal writes a value as a study would, 4194304 and not 4.194304e+06: a number
// in the shortest digits that read back as it is.
func literal(v any) string {
	if v, ok := v.(float64); ok {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// Around returns what stands in a line before a call's own fields, these, and what stands
// behind them.
func Around(t *Trial, fields []Field) (before []byte, calls []Field, after []byte, err error) {
	own := func(f Field) bool { return f.Of == nil }
	first, last := slices.IndexFunc(fields, own), len(fields)
	if first < 0 {
		return nil, nil, nil, fmt.Errorf("there is no column %s", result.CallColumns[0].Name)
	}
	if n := slices.IndexFunc(fields[first:], func(f Field) bool { return !own(f) }); n >= 0 {
		last = first + n
	}
	before, err = line(values(t, fields[:first]))
	if err == nil {
		after, err = line(values(t, fields[last:]))
	}
	return before, fields[first:last], after, err
}

// line joins fields into a line of CSV, without its end.
func line(fields []string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(fields); err != nil {
		return nil, err
	}
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), w.Error()
}
