package shared

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

type words struct{ mark, n atomic.Uint64 }

func marked(w *words) *atomic.Uint64 { return &w.mark }

func TestMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	a, leave, err := Map[words](path, 7, marked)
	if err != nil {
		t.Fatal(err)
	}
	b, leaveToo, err := Map[words](path, 7, marked)
	if err != nil {
		t.Fatal(err)
	}
	if a.n.Store(5); b.n.Load() != 5 || b.mark.Load() != 7 {
		t.Errorf("one stored 5 and another has %d, marked %d", b.n.Load(), b.mark.Load())
	}
	if _, _, err := Map[words](path, 8, marked); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("another mark: %v", err)
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
	if err := leaveToo(); err != nil {
		t.Error(err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign")
	text := []byte("somebody's")
	if err := os.WriteFile(foreign, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Map[words](foreign, 7, marked); err == nil {
		t.Error("a foreign file is mapped")
	}
	if is, _ := os.ReadFile(foreign); !bytes.Equal(is, text) {
		t.Errorf("a foreign file holds %q", is)
	}
}
