package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"barograph/pipeline/cell"
)

// A layout is where parts of a run.json stand, in bytes, which is all that holding it
// against itself takes: a reader that knows every place takes seconds where there are
// hundreds of trials.
type layout struct {
	simulated int // the key at the top level
	trials    []int
	null      int // the first value of a list that is none; -1: there is no such
	twice     int // the first key that its object had before; -1: there is no such
}

// given are keys below which others are names that somebody gave. They may differ in case
// alone, in which Go's reader takes all other keys for the same.
var given = func() map[string]bool {
	names, seen := map[string]bool{}, map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		if seen[t] || t.Kind() != reflect.Struct {
			return
		}
		seen[t] = true
		for _, f := range reflect.VisibleFields(t) {
			of := f.Type
			for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
				if of.Kind() == reflect.Map || of == reflect.TypeFor[json.RawMessage]() {
					name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
					names[name] = true
				}
				of = of.Elem()
			}
			walk(of)
		}
	}
	walk(reflect.TypeFor[Run]())
	return names
}()

// layoutOf finds the parts of a text that is JSON, or was when it was read before.
func layoutOf(text []byte) *layout {
	l := &layout{null: -1, twice: -1}
	type bracket struct {
		byte
		given bool
		keys  int // before it
	}
	open := []bracket{{}}
	var keys [][]byte // of open objects
	var last []byte   // key
	next := false     // whether a key is
	for i := 0; i < len(text); i++ {
		within := open[len(open)-1]
		switch c := text[i]; c {
		case '"':
			from := i
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if !next {
				continue
			}
			next, last = false, text[from+1:min(i, len(text))]
			if bytes.IndexByte(last, '\\') >= 0 {
				var name string
				_ = json.Unmarshal(text[from:min(i+1, len(text))], &name) // which it is
				last = []byte(name)
			}
			same := bytes.EqualFold
			if within.given {
				same = bytes.Equal
			}
			if l.twice < 0 && slices.ContainsFunc(keys[within.keys:], func(k []byte) bool { return same(k, last) }) {
				l.twice = from
			}
			if keys = append(keys, last); len(open) == 2 && bytes.EqualFold(last, []byte("simulated")) {
				l.simulated = from
			}
		case '{', '[':
			if c == '{' && len(open) == 3 && within.byte == '[' && bytes.EqualFold(keys[within.keys-1], []byte("trials")) {
				l.trials = append(l.trials, i)
			}
			open = append(open, bracket{c, within.given || within.byte == '{' && given[string(last)], len(keys)})
			next = c == '{'
		case '}', ']':
			if len(open) > 1 {
				open, keys = open[:len(open)-1], keys[:within.keys]
			}
			next = false
		case ',':
			next = within.byte == '{'
		case 'n':
			if within.byte == '[' && l.null < 0 {
				l.null = i
			}
		}
	}
	return l
}

// check holds what every reader rests on: a value in each place of a list, each key once,
// and what is said to be simulated, which the device and the head tell too. An error
// begins with its place, file:line:column.
func (r *Run) check(path string, text []byte) error {
	l := layoutOf(text)
	wrong := func(at int, format string, args ...any) error {
		before := text[:at]
		err := fmt.Errorf("%s:%d:%d: %w", path, 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n'), fmt.Errorf(format, args...))
		return cell.Usage(fmt.Errorf("read %w", err))
	}
	if l.twice >= 0 {
		var key string
		_ = json.NewDecoder(bytes.NewReader(text[l.twice:])).Decode(&key) // which it is
		return wrong(l.twice, "key %q appears twice", key)
	}
	if l.null >= 0 {
		return wrong(l.null, "a list holds null, which is no value")
	}
	if len(l.trials) != len(r.Trials) {
		return wrong(0, "it has changed while it was read")
	}
	for i, t := range r.Trials {
		if err := told(t.Infer.Device, t.Infer.Simulated); err != nil {
			return wrong(l.trials[i], "trial %s: infer: %w", t.ID, err)
		}
		if t.Infer.In < 0 || t.Infer.Out < 0 {
			return wrong(l.trials[i], "trial %s: infer: a call moves %d bytes in and %d out: want 0 at least", t.ID, t.Infer.In, t.Infer.Out)
		}
		if len(t.With) > 0 {
			if err := json.Unmarshal(t.With, &t.Call); err != nil {
				return wrong(l.trials[i], "trial %s: with: %w", t.ID, err)
			}
		}
		if t.Stress == nil {
			continue
		}
		if len(t.StressWith) > 0 {
			if err := json.Unmarshal(t.StressWith, &t.Load); err != nil {
				return wrong(l.trials[i], "trial %s: stress_with: %w", t.ID, err)
			}
		}
		if t.Load.Threads < 0 || t.Load.Processes < 0 {
			return wrong(l.trials[i], "trial %s: stress_with: %d processes of %d threads: want 0 at least", t.ID, t.Load.Processes, t.Load.Threads)
		}
		if err := told(t.Stress.Device, t.Stress.Simulated); err != nil {
			return wrong(l.trials[i], "trial %s: stress: %w", t.ID, err)
		}
	}
	first := slices.IndexFunc(r.Trials, (*Trial).Simulated)
	switch {
	case first >= 0 && !r.Simulated:
		return wrong(l.simulated, "simulated is not true, and it was of trial %s on line %d", r.Trials[first].ID, 1+bytes.Count(text[:l.trials[first]], []byte("\n")))
	case first < 0 && r.Simulated:
		return wrong(l.simulated, "simulated is true, and it was of no trial")
	case first < 0 && len(r.Trials) > 0 && r.Machine.Simulated():
		return wrong(l.simulated, "the machine's device is %s, and no trial was simulated", r.Machine.Device)
	}
	return nil
}

// told reports where a device is not simulated as it is said.
func told(device string, simulated bool) error {
	if is := cell.Family(device) == "sim"; is != simulated && device != "" {
		return fmt.Errorf("its device is %s, and simulated %t", device, simulated)
	}
	return nil
}
