package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/engine"
)

// A cell that asks for it is tried again, after longer and longer, and then its
// failure says how often it was.
func TestRetries(t *testing.T) {
	tries := filepath.Join(t.TempDir(), "tries")
	w := newWorkspace(t, fmt.Sprintf(`
stages:
  third: {uses: command, retries: 4, run: 'echo >> %[1]s; test $(wc -l < %[1]s) -ge 3; touch o', outputs: [o]}
  never: {uses: command, needs: [third], retries: 1, run: 'exit 9', outputs: [p]}
`, tries))
	start := time.Now()
	res, sight, err := w.run(engine.Options{Backoff: 20 * time.Millisecond})
	if err != nil || len(res.Failures) != 1 || res.Counts[engine.Ran] != 1 {
		t.Fatal(err, res.Failures, res.Counts)
	}
	if want := []string{"third", "third", "never"}; !slices.Equal(sight.retries, want) {
		t.Errorf("retried %v, want %v", sight.retries, want)
	}
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("took %v: want waits of 20, 40 and 20 ms", took)
	}
	if got := res.Failures[0].Err.Error(); !strings.Contains(got, "after 2 attempts: exit status 9") {
		t.Errorf("the failure says %q", got)
	}
}

// An interrupt does not wait for a retry's time to come.
func TestInterruptWhileWaitingToRetry(t *testing.T) {
	for _, uses := range []string{"{uses: command, retries: 3, run: 'false', outputs: [o]}", "{uses: measure, retries: 3, with: {do: die}}"} {
		w := newWorkspace(t, "stages: {x: "+uses+"}")
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, _, err := w.runIn(ctx, engine.Options{Backoff: time.Minute}, nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
			t.Errorf("%s: %v after %v", uses, err, time.Since(start))
		}
	}
}

// Cells that hold a resource run at the same time only as far as it goes, others
// pass them, and a cell that asks for more than there is stops the run at once.
func TestResources(t *testing.T) {
	dir := t.TempDir()
	w := newWorkspace(t, fmt.Sprintf(`
stages:
  big:   {uses: command, matrix: {n: 4}, resources: {lane: 2}, run: 'mkdir %[1]s/lock; sleep 0.02; rmdir %[1]s/lock; touch b${{ n }}', outputs: ['b${{ n }}']}
  small: {uses: command, matrix: {n: 4}, resources: {lane: 0}, run: 'touch s${{ n }}', outputs: ['s${{ n }}']}
`, dir))
	res, _, err := w.run(engine.Options{Jobs: 8, Capacity: map[string]int64{"lane": 3}})
	if err != nil || res.Counts[engine.Ran] != 8 {
		t.Errorf("%v, %v: two cells held 2 of 3 lanes at once", err, res.Failures)
	}
	_, sight, err := w.run(engine.Options{})
	if err == nil || !strings.Contains(err.Error(), `asks for 2 of resource "lane", of which there is 0`) || len(sight.starts) > 0 {
		t.Errorf("without lanes: %v, started %v", err, sight.starts)
	}
}

// What a long chain waits for starts first, though the study names it last.
func TestCriticalPath(t *testing.T) {
	w := newWorkspace(t, `
stages:
  short: {uses: command, matrix: {n: 3}, run: 'touch s${{ n }}', outputs: ['s${{ n }}']}
  head:  {uses: command, run: 'touch h', outputs: [h]}
  mid:   {uses: command, needs: [head], run: 'touch m', outputs: [m]}
  tail:  {uses: command, needs: [mid], run: 'touch t', outputs: [t]}
`)
	_, sight, err := w.run(engine.Options{Jobs: 1})
	if err != nil || sight.starts[0] != "head" {
		t.Errorf("%v: started %v", err, sight.starts)
	}
}
