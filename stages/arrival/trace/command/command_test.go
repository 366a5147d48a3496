package command

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/stages/arrival/trace"
)

func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	c := Command()
	var out, log bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&log)
	err = c.ExecuteContext(t.Context())
	return out.String(), log.String(), err
}

// A trace comes from where its owner has it, and is there only with the right
// checksum; until then info and list say that it is not.
func TestFetch(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("BAROGRAPH_CACHE", cache)
	k, _ := trace.Find("comma2k19")
	content := []byte("something else")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }))
	defer server.Close()
	if _, _, err := run(t, "info", k.Name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("info before it is here: %v", err)
	}
	if _, _, err := run(t, "fetch", k.Name, "--from", server.URL); err == nil || !strings.Contains(err.Error(), "the SHA-256 of what came is") {
		t.Errorf("another file came: %v", err)
	}
	path := filepath.Join(cache, "traces", k.File)
	if _, err := os.Stat(path); err == nil {
		t.Error("another file took the trace's place")
	}
	if out, _, err := run(t, "list"); err != nil || !strings.Contains(out, "CC-BY-4.0") || strings.Contains(out, "yes") {
		t.Errorf("%v:\n%s", err, out)
	}
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if content, err := os.ReadFile(filepath.Join(dir, "shared", "traces", k.File)); err == nil {
			fetched(t, k, path, content)
			return
		}
	}
	t.Skipf("%s is not here to be served", k.File)
}

func fetched(t *testing.T, k trace.Known, path string, content []byte) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }))
	defer server.Close()
	out, log, err := run(t, "fetch", k.Name, "--from", server.URL)
	if err != nil || out != path+"\n" || !strings.Contains(log, "licence MIT") {
		t.Fatalf("%v, %q, %q", err, out, log)
	}
	if out, _, err := run(t, "info", k.Name); err != nil || !strings.Contains(out, "1200 in 59.949s") || !strings.Contains(out, "CV 0.00112") {
		t.Errorf("%v:\n%s", err, out)
	}
	if out, _, err := run(t, "list"); err != nil || strings.Count(out, "yes") != 1 {
		t.Errorf("%v:\n%s", err, out)
	}
	filetest.Write(t, path, "torn")
	if out, _, err := run(t, "list"); err != nil || strings.Count(out, "damaged") != 1 {
		t.Errorf("%v:\n%s", err, out)
	}
}
