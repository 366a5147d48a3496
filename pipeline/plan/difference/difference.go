// Package difference says what differs between the parts of two keys, and between two
// texts.
package difference

import (
	"crypto/sha256"
	"strings"

	"barograph/pipeline/store"
)

// A Change is one part that differs between two keys; an absent side is empty.
type Change struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
	// Lines are those of a notebook's file that differ.
	Lines []Line `json:"lines,omitempty"`
}

// String writes a change in one phrase, digests cut to their first digits.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return c.Name + " is new (" + brief(c.New) + ")"
	case c.New == "":
		return c.Name + " is gone (was " + brief(c.Old) + ")"
	}
	return c.Name + " changed: " + brief(c.Old) + " -> " + brief(c.New)
}

func brief(s string) string {
	if len(s) == sha256.Size*2 && strings.Trim(s, "0123456789abcdef") == "" {
		return s[:8]
	}
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

// Of returns what differs between the parts of two keys, in the new one's
// order, what is gone last.
func Of(old, new []store.Part) []Change {
	was := make(map[string]string, len(old))
	for _, p := range old {
		was[p.Name] = p.Value
	}
	var changes []Change
	for _, p := range new {
		if v, ok := was[p.Name]; !ok || v != p.Value {
			changes = append(changes, Change{Name: p.Name, Old: v, New: p.Value})
		}
		delete(was, p.Name)
	}
	for _, p := range old {
		if v, gone := was[p.Name]; gone {
			changes = append(changes, Change{Name: p.Name, Old: v})
		}
	}
	return changes
}

// A Line is one line of a notebook that changed; an absent side is empty. Number
// counts in the new text, from 1.
type Line struct {
	Number int    `json:"line"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
}

// mostLines bounds how many lines an explanation shows.
const mostLines = 10

// Lines returns the lines between what two texts begin and end with alike.
func Lines(old, new string) []Line {
	a, b := strings.Split(old, "\n"), strings.Split(new, "\n")
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	a, b = a[at:], b[at:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var changed []Line
	for i := range min(max(len(a), len(b)), mostLines) {
		l := Line{Number: at + i + 1}
		if i < len(a) {
			l.Old = a[i]
		}
		if i < len(b) {
			l.New = b[i]
		}
		changed = append(changed, l)
	}
	return changed
}
