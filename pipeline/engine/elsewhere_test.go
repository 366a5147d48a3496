package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
)

// An other is a computer beside this one, with a store of its own: what it is told
// goes through JSON, and what it made through a shared folder.
type other struct {
	w      *workspace
	shared string
	mu     sync.Mutex
	n      int
	took   []string
	soon   []string // that were expected, and did not come yet
	// expected is how many were in the last run.
	expected int
}

func (o *other) Expect(_ *plan.Plan, cells []*plan.Cell, key func(*plan.Cell) string) {
	for _, c := range cells {
		o.soon = append(o.soon, c.ID+" "+key(c))
	}
	o.expected = len(o.soon)
}

func (o *other) Takes(c *plan.Cell) bool { return !strings.HasPrefix(c.Stage.Name, "here") }

func (o *other) Run(ctx context.Context, t *engine.Task, tell func(cell.Event)) ([]*store.Record, error) {
	o.mu.Lock() // one at a time
	defer o.mu.Unlock()
	o.n++
	o.took = append(o.took, t.ID)
	o.soon = slices.DeleteFunc(o.soon, func(s string) bool { return s == t.ID+" "+t.Foreground().Key })
	tell(cell.Event{Type: "ready"})
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var task engine.Task
	if err := json.Unmarshal(text, &task); err != nil {
		return nil, err
	}
	state := filepath.Join(o.shared, fmt.Sprint("node", o.n))
	s, err := store.Open(filepath.Join(state, "store"))
	if err != nil {
		return nil, err
	}
	s.Outbox(o.shared, func(d store.Detail, records []*store.Record) error {
		_, err := store.NewSender(o.shared, filepath.Join(state, "bundle")).Send(d, records, filepath.Join(o.shared, "aside"))
		return err
	})
	opt := engine.Options{Jobs: 1, Observer: &seen{ends: map[string]engine.Outcome{}}, Program: func(*plan.Cell) (string, error) { return os.Executable() }}
	res, err := engine.Perform(ctx, []*engine.Task{&task}, kinds, s, state, opt)
	if err != nil {
		return nil, err
	}
	if len(res.Failures) > 0 {
		return nil, res.Failures[0].Err
	}
	records := o.w.store.Receive(o.shared, task.Foreground().Key, func(err error) { o.w.t.Errorf("receive: %v", err) })
	if records == nil {
		return nil, errors.New("not received")
	}
	return records, s.Close()
}

// What runs on another computer leaves the results and the files that it would here,
// trials with their gang too; what is not taken runs here.
func TestElsewhere(t *testing.T) {
	yaml := strings.NewReplacer("all: ", "here-all: ", "all.txt", "here.txt").Replace(pressed) + strings.TrimPrefix(strings.Replace(chain, "> a.txt", "> out/a.txt", 1), "\nparams: {word: one}\nstages:\n")
	yaml = strings.Replace(yaml, "params: {", "params: {word: one, ", 1)
	w := newWorkspace(t, yaml)
	o := &other{w: w, shared: t.TempDir()}
	res, sight, err := w.run(engine.Options{Elsewhere: o})
	if err != nil || len(res.Failures) > 0 {
		t.Fatal(err, res.Failures)
	}
	if o.expected == 0 || o.expected == len(o.took) || len(o.soon) > 0 {
		t.Errorf("%d of %d were expected, and %v did not come", o.expected, len(o.took), o.soon)
	}
	if got := w.read("all.txt") + w.read("3.txt"); got != "one\n1\none\n2\none\n3\n3\n" {
		t.Errorf("published %q", got)
	}
	if len(o.took) != 19 || slices.Contains(o.took, "here-all") || len(sight.starts) != 20 || res.Counts[engine.Ran] != 29 {
		t.Errorf("elsewhere ran %v, started %v, counts %v", o.took, sight.starts, res.Counts)
	}
	took := len(o.took)
	if res, _, err = w.run(engine.Options{}); err != nil || res.Counts[engine.Stood] != 29 {
		t.Errorf("here again: %v, %v", err, res.Counts)
	}
	if res, _, err = w.run(engine.Options{Elsewhere: o}, "word=two"); err != nil || len(o.took) != took+5 {
		t.Errorf("after a change: %v, %v, took %v", err, res.Counts, o.took[took:])
	}
}

// A cell that fails there has the others given up, and says what it said there.
func TestElsewhereFails(t *testing.T) {
	w := newWorkspace(t, "stages:\n  bad: {uses: command, run: 'echo it broke >&2; exit 4', outputs: [a.txt]}\n  next: {uses: command, needs: [bad], run: 'touch b.txt', outputs: [b.txt]}\n")
	res, _, err := w.run(engine.Options{Elsewhere: &other{w: w, shared: t.TempDir()}})
	if err != nil || len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), "it broke") || res.Counts[engine.Skipped] != 1 {
		t.Errorf("%v, %v, %v", err, res.Failures, res.Counts)
	}
}
