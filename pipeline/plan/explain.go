package plan

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"barograph/pipeline/store"
)

// An Explanation says why a cell would run or need not.
type Explanation struct {
	Cell   string   `json:"cell"`
	State  string   `json:"state"`
	Reason string   `json:"reason,omitempty"`
	Key    string   `json:"key,omitempty"`
	Last   string   `json:"last,omitempty"` // the key of its newest result
	Change []Change `json:"changes,omitempty"`
	// Compared is what a standing cell's key was made of.
	Compared []store.Part `json:"compared,omitempty"`
}

// Explain explains the decision on a cell. Background cells are explained by
// their trial.
func (d *Decider) Explain(c *Cell) (*Explanation, error) {
	e := &Explanation{Cell: c.ID}
	if c.Trial != nil {
		e.Reason = "runs and stands with " + c.Trial.ID
		c = c.Trial
	}
	dec := d.made[c]
	e.State, e.Key = dec.State.String(), dec.Key
	if e.Reason == "" {
		e.Reason = dec.Reason
	}
	last := d.store.Latest(d.plan.Name(c))
	if last == nil {
		return e, nil
	}
	e.Last = last.Key
	switch dec.State {
	case Stands:
		e.Compared = dec.Parts
	case Runs:
		detail, err := d.store.Detail(last)
		if err != nil {
			return nil, err
		}
		e.Change = Compare(detail.Parts, dec.Parts)
	}
	return e, nil
}

// String writes the explanation for a person.
func (e *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Cell, e.State)
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	b.WriteByte('\n')
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, ch := range e.Change {
		fmt.Fprintf(w, "  %s\t%s\t->\t%s\n", ch.Name, orNone(ch.Old), orNone(ch.New))
	}
	if len(e.Compared) > 0 {
		fmt.Fprintf(w, "its key %.12s is that of a stored result, made of:\n", e.Key)
	}
	for _, p := range e.Compared {
		fmt.Fprintf(w, "  %s\t%s\n", p.Name, p.Value)
	}
	w.Flush()
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
