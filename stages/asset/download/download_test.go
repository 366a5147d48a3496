package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
)

// A download that is cut off leaves no file, and the next goes on where it ended.
func TestFetchResumes(t *testing.T) {
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	content, want := content()
	var ranges []string
	cut := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if cut {
			cut = false
			w.Header().Set("Content-Length", "1048576")
			_, _ = w.Write(content[:300_000])
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "models", "m.onnx")
	var lines []string
	try := func(sum string) error {
		return File(t.Context(), server.Client(), server.URL, path, sum, func(l string) { lines = append(lines, l) })
	}
	err := try(want)
	if err == nil || !strings.Contains(err.Error(), "after 300000 bytes: unexpected EOF") || !strings.Contains(cell.HintOf(err), "goes on from there") {
		t.Fatalf("cut off: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the half file has the model's name")
	}
	if err := try(want); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if !slices.Equal(ranges, []string{"", "bytes=300000-"}) || !slices.Contains(lines, "going on at byte 300000") {
		t.Errorf("asked for %q, said %q", ranges, lines)
	}
	if err := try(want); err != nil || len(ranges) != 2 {
		t.Errorf("a file that is there is fetched again: %v, %q", err, ranges)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left beside it: %v", entries)
	}

	// Complete but unconfirmed, as after a kill before the rename.
	if err := errors.Join(os.Rename(path, path+".part"), try(want)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}

	// What is of another file is no beginning of this one; the next try is anew.
	if err := errors.Join(os.Remove(path), os.WriteFile(path+".part", []byte("other"), 0o666)); err != nil {
		t.Fatal(err)
	}
	if err := try(want); err == nil || !strings.Contains(err.Error(), "the SHA-256 of what came is") {
		t.Errorf("error %v", err)
	}
	if err := try(want); err != nil {
		t.Error(err)
	}
}

// content is what a test's server has, and its SHA-256.
func content() ([]byte, string) {
	b := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	return b, fmt.Sprintf("%x", sha256.Sum256(b))
}

// Of several at once one downloads, and all have the file.
func TestFetchOnce(t *testing.T) {
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	content, sum := content()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "m.onnx")
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			errs <- File(t.Context(), server.Client(), server.URL, path, sum, func(string) {})
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A server that knows no ranges sends all again, also by way of another address;
// what was there of it before the interruption stays until then.
func TestFetchWithoutRanges(t *testing.T) {
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	content, sum := content()
	ctx, interrupt := context.WithCancel(t.Context())
	sent := make(chan bool)
	mux := http.NewServeMux()
	mux.Handle("/old", http.RedirectHandler("/new", http.StatusFound))
	mux.HandleFunc("/new", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(content[:300_000])
		if ctx.Err() == nil {
			w.(http.Flusher).Flush()
			close(sent)
			<-r.Context().Done() // until the one who asked is gone
			return
		}
		_, _ = w.Write(content[300_000:])
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "m.onnx")
	go func() {
		<-sent
		for fi, err := os.Stat(path + ".part"); err != nil || fi.Size() == 0; fi, err = os.Stat(path + ".part") {
			time.Sleep(time.Millisecond)
		}
		interrupt()
	}()
	err := File(ctx, server.Client(), server.URL+"/old", path, sum, func(string) {})
	if !errors.Is(err, context.Canceled) || !strings.Contains(cell.HintOf(err), "goes on from there") {
		t.Errorf("interrupted: %v, hint %q", err, cell.HintOf(err))
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the half file has the model's name")
	}
	if fi, err := os.Stat(path + ".part"); err != nil || fi.Size() == 0 {
		t.Errorf("nothing is kept of the first try: %v", err)
	}
	if err := File(t.Context(), server.Client(), server.URL+"/old", path, sum, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestFetchErrors(t *testing.T) {
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	path := filepath.Join(t.TempDir(), "m.onnx")
	sum := strings.Repeat("0", 64)
	try := func() (hint string, err error) {
		err = File(t.Context(), server.Client(), url, path, sum, func(string) {})
		var h *cell.Error
		if errors.As(err, &h) {
			return h.Hint, err
		}
		return "", err
	}
	if hint, err := try(); err == nil || !strings.Contains(err.Error(), "404 Not Found") || !strings.Contains(hint, "address") {
		t.Errorf("404: %v, hint %q", err, hint)
	}
	filetest.Write(t, path, "mine")
	if hint, err := try(); err == nil || !strings.Contains(err.Error(), "exists, and its SHA-256 is another") || !strings.Contains(hint, "remove it") {
		t.Errorf("another file: %v, hint %q", err, hint)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if hint, err := try(); err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(hint, "copy it here as "+path) {
		t.Errorf("no network: %v, hint %q", err, hint)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}
