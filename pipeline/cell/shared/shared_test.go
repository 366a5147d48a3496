package shared

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell/filetest"
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
	filetest.Write(t, foreign, text)
	if _, _, err := Map[words](foreign, 7, marked); err == nil {
		t.Error("a foreign file is mapped")
	}
	if is, _ := os.ReadFile(foreign); !bytes.Equal(is, text) {
		t.Errorf("a foreign file holds %q", is)
	}
}

// A file without a name is one for each use within a context, in no folder, and cannot be
// opened once that has ended.
func TestNameless(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	at := func(ctx context.Context, use string) string {
		path, err := Nameless(ctx, use)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	mine := at(ctx, "a")
	if at(ctx, "a") != mine || at(ctx, "b") == mine || at(t.Context(), "a") == mine {
		t.Errorf("another use, or another context, has %s", mine)
	}
	if file, err := os.Readlink(mine); file != "/memfd:a (deleted)" {
		t.Errorf("it lies at %s, %v", file, err)
	}
	w, leave, err := Map[words](mine, 7, marked)
	if err != nil {
		t.Fatal(err)
	}
	end()
	is := func() string { file, _ := os.Readlink(mine); return file }
	for end := time.Now().Add(time.Minute); is() == "/memfd:a (deleted)" && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if file := is(); file == "/memfd:a (deleted)" {
		t.Error("it is still there")
	}
	w.n.Store(5) // is still mapped
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// No page of the memory waits for whoever comes to it first: that took a tenth of a
// millisecond on a virtual machine, in the middle of a timed call.
func TestMapIsThere(t *testing.T) {
	type large struct {
		mark  atomic.Uint64
		words [64 << 10]atomic.Uint64
	}
	v, leave, err := Map[large](filepath.Join(t.TempDir(), "page"), 7, func(l *large) *atomic.Uint64 { return &l.mark })
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	faults := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return u.Minflt + u.Majflt
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := faults()
	for i := range v.words {
		v.words[i].Add(1)
	}
	if n := faults() - before; n > 4 { // the thread's own stack, at most
		t.Errorf("%d page faults over %d words", n, len(v.words))
	}
}
