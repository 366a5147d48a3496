package agent

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/engine"
)

// A job that is done takes the next pack as soon as it is there, and waits no longer than
// anybody may give it one.
func TestNext(t *testing.T) {
	w := &worker{dir: t.TempDir(), Token: Token{Index: 3}, Pack: &Pack{}}
	time.AfterFunc(50*time.Millisecond, func() {
		if err := WriteWhole(filepath.Join(w.dir, "3.1.json"), Pack{Tasks: []*engine.Task{{ID: "more"}}}); err != nil {
			t.Error(err)
		}
	})
	if !w.next(t.Context(), 1, Linger) || len(w.Tasks) != 1 || w.Tasks[0].ID != "more" {
		t.Errorf("took %v", w.Tasks)
	}
	begun := time.Now()
	ended, end := context.WithCancel(t.Context())
	end()
	if w.next(ended, 2, Linger) {
		t.Error("a job that is to end took a pack")
	}
	filetest.Write(t, filepath.Join(w.dir, OverFile), "")
	if w.next(t.Context(), 2, Linger) || time.Since(begun) > Linger/2 {
		t.Errorf("waited %v for a run that is over", time.Since(begun))
	}
}

// While a pack of the array has not begun, a job makes room for it.
func TestAllBegun(t *testing.T) {
	w := &worker{dir: t.TempDir(), Pack: &Pack{Of: 2}}
	for _, tt := range []struct {
		attempt Token
		all     bool
	}{{Token{0, "7", 0}, false}, {Token{0, "7", 1}, false}, {Token{1, "7", 0}, true}} {
		filetest.Write(t, filepath.Join(w.dir, "attempts", tt.attempt.File()), "")
		if got := w.allBegun(); got != tt.all {
			t.Errorf("after attempt %s: %v", tt.attempt, got)
		}
	}
}
