package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"barograph/pipeline/cell"
)

// A layout is where parts of a run.json stand, in bytes, which is all that holding it
// against itself takes: a reader that knows every place takes seconds where there are
// hundreds of trials.
type layout struct {
	keys   []string // at the top level
	at     []int    // of each key
	trials []int
	null   int // the first value of a list that is none; -1: there is no such
}

// layoutOf finds the parts of a text that is JSON, or was when it was read before.
func layoutOf(text []byte) *layout {
	l := &layout{null: -1}
	var open []byte // brackets
	key := false    // whether the next text at the top level is one
	for i := 0; i < len(text); i++ {
		c, within := text[i], byte(0)
		if len(open) > 0 {
			within = open[len(open)-1]
		}
		switch c {
		case '"':
			from := i
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if key && len(open) == 1 {
				var name string
				_ = json.Unmarshal(text[from:min(i+1, len(text))], &name) // which it is
				l.keys, l.at, key = append(l.keys, name), append(l.at, from), false
			}
		case '{', '[':
			if c == '{' && len(open) == 2 && within == '[' && len(l.keys) > 0 && strings.EqualFold(l.keys[len(l.keys)-1], "trials") {
				l.trials = append(l.trials, i)
			}
			open, key = append(open, c), len(open) == 0
		case '}', ']':
			open = open[:max(0, len(open)-1)]
		case ',':
			key = len(open) == 1
		case 'n':
			if within == '[' && l.null < 0 {
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
	head := 0
	for i, key := range l.keys {
		for _, before := range l.keys[:i] {
			if strings.EqualFold(before, key) { // which Go's reader takes for the same
				return wrong(l.at[i], "key %q appears twice", key)
			}
		}
		if strings.EqualFold(key, "simulated") {
			head = l.at[i]
		}
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
		if t.Stress == nil {
			continue
		}
		if err := told(t.Stress.Device, t.Stress.Simulated); err != nil {
			return wrong(l.trials[i], "trial %s: stress: %w", t.ID, err)
		}
	}
	first := slices.IndexFunc(r.Trials, (*Trial).Simulated)
	switch {
	case first >= 0 && !r.Simulated:
		return wrong(head, "simulated is not true, and it was of trial %s on line %d", r.Trials[first].ID, 1+bytes.Count(text[:l.trials[first]], []byte("\n")))
	case first < 0 && r.Simulated:
		return wrong(head, "simulated is true, and it was of no trial")
	case first < 0 && len(r.Trials) > 0 && r.Machine.Simulated():
		return wrong(head, "the machine's device is %s, and no trial was simulated", r.Machine.Device)
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
