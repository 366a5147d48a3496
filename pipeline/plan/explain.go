package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"barograph/pipeline/plan/difference"
	"barograph/pipeline/store"
)

// An Explanation says why a cell would run or need not.
type Explanation struct {
	Cell   string              `json:"cell"`
	At     string              `json:"at"` // where its stage stands in the study
	State  string              `json:"state"`
	Reason string              `json:"reason,omitempty"`
	Key    string              `json:"key,omitempty"`
	Last   string              `json:"last,omitempty"` // the key of its newest result
	Change []difference.Change `json:"changes,omitempty"`
	// Compared is what a standing cell's key was made of.
	Compared []store.Part `json:"compared,omitempty"`
}

// Explain explains the decision on a cell. Background cells are explained by
// their trial.
func (d *Decider) Explain(c *Cell) (*Explanation, error) {
	e := &Explanation{Cell: c.ID, At: c.Stage.Pos.String()}
	if c.Trial != nil {
		e.Reason = "runs and stands with " + c.Trial.ID
		c = c.Trial
	}
	dec := d.made[c]
	if dec == nil { // of a replay, whose recording is decided in place of what it holds
		e.State, e.Reason = Stands.String(), "a recording stands in for measuring it"
		return e, nil
	}
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
		e.Compared = d.Parts(c)
	case Runs:
		detail, err := d.store.Detail(last)
		if err != nil {
			return nil, err
		}
		e.Change = difference.Of(detail.Parts, d.Parts(c))
		now := d.Texts(c)
		for i, ch := range e.Change {
			path, _ := strings.CutPrefix(ch.Name, "file ")
			if was, ok := detail.Texts[path]; ok {
				if text, ok := now[path]; ok {
					e.Change[i].Lines = difference.Lines(was, text)
				}
			}
		}
	}
	return e, nil
}

// String writes the explanation for a person.
func (e *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s) %s", e.Cell, e.At, e.State)
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	b.WriteByte('\n')
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, ch := range e.Change {
		fmt.Fprintf(w, "  %s\t%s\t->\t%s\n", ch.Name, orNone(ch.Old), orNone(ch.New))
		for _, l := range ch.Lines {
			fmt.Fprintf(w, "    line %d\t%s\t->\t%s\n", l.Number, orNone(strings.TrimSpace(l.Old)), orNone(strings.TrimSpace(l.New)))
		}
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

// mostText bounds the bytes of a notebook's file that are kept to compare with.
const mostText = 64 << 10

// Texts returns the files of a cell's notebook by path, those that still are what
// its key was made of.
func (d *Decider) Texts(c *Cell) map[string]string {
	if c.Stage.Notebook == "" {
		return nil
	}
	texts := map[string]string{}
	for _, path := range c.Files {
		if !strings.HasPrefix(path, c.Stage.Notebook+"/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(d.plan.Study.Root, path))
		if sum := sha256.Sum256(b); err == nil && len(b) <= mostText && hex.EncodeToString(sum[:]) == d.files[path] {
			texts[path] = string(b)
		}
	}
	return texts
}
