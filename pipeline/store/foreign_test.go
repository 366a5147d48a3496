package store_test

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/store"
)

// Whatever stands in a shared folder in the place of a record or an object, it is
// no result unless it is whole and what the cell declares; it is never waited for,
// and the next who has the result puts it right.
func TestSharedIsCheckedWhole(t *testing.T) {
	key := strings.Repeat("cd", 32)
	seal := func(text string) string {
		return fmt.Sprintf("%08x\t%s\n", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)), text)
	}
	for name, spoil := range map[string]func(t *testing.T, record, object string){
		"a record without its file": func(t *testing.T, record, _ string) {
			rewrite(t, record, func(first, rest string) string {
				text, _, _ := strings.Cut(strings.SplitN(first, "\t", 2)[1], `,"files"`)
				return seal(text+"}") + rest
			})
		},
		"a record of another file": func(t *testing.T, record, _ string) {
			rewrite(t, record, func(first, rest string) string {
				return seal(strings.Replace(strings.SplitN(first, "\t", 2)[1], "out.txt", "../out", 1)) + rest
			})
		},
		"a record with more": func(t *testing.T, record, _ string) {
			rewrite(t, record, func(first, rest string) string { return first + "\n" + rest + rest })
		},
		"a detail that is none": func(t *testing.T, record, _ string) {
			rewrite(t, record, func(first, _ string) string { return first + "\n" + seal(key+"\t[") })
		},
		"a pipe for a record": func(t *testing.T, record, _ string) {
			replace(t, record, func(p string) error { return syscall.Mkfifo(p, 0o666) })
		},
		"a folder for a record": func(t *testing.T, record, _ string) {
			replace(t, record, func(p string) error { return os.Mkdir(p, 0o777) })
		},
		"a device for a record": func(t *testing.T, record, _ string) {
			replace(t, record, func(p string) error { return os.Symlink("/dev/zero", p) })
		},
		"a pipe for an object": func(t *testing.T, _, object string) {
			replace(t, object, func(p string) error { return syscall.Mkfifo(p, 0o666) })
		},
		"an object that differs": func(t *testing.T, _, object string) { damage(t, object) },
		"an object that is gone": func(t *testing.T, _, object string) { replace(t, object, func(string) error { return nil }) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			within(t, func() {
				s := open(t, t.TempDir())
				s.Share(folder, func(error) {})
				made := commit(t, s, key, "s/x", "text")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				digest := made.Files[0].Digest
				spoil(t, filepath.Join(folder, "cells", key[:2], key), filepath.Join(folder, "objects", digest[:2], digest))
				look, err := store.View(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				look.Share(folder, func(error) {})
				if r := look.Get(key, outTxt); r != nil {
					t.Errorf("a look believes %+v", r)
				}
				s = open(t, t.TempDir())
				s.Share(folder, func(error) {})
				if r := s.Get(key, outTxt); r != nil {
					t.Errorf("a run believes %+v", r)
				}
				commit(t, s, key, "s/x", "text")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t, t.TempDir())
				defer s.Close()
				s.Share(folder, func(err error) { t.Error(err) })
				if name != "a folder for a record" && s.Get(key, outTxt) == nil {
					t.Error("it was not put right")
				}
			})
		})
	}
}

func rewrite(t *testing.T, path string, f func(first, rest string) string) {
	t.Helper()
	b := filetest.Read(t, path)
	first, rest, _ := strings.Cut(string(b), "\n")
	replace(t, path, func(path string) error { return os.WriteFile(path, []byte(f(first, rest)), 0o666) })
}

func replace(t *testing.T, path string, by func(path string) error) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := by(path); err != nil {
		t.Fatal(err)
	}
}

// within fails a test that hangs.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
	}
}

// A store's own files are read only where they are files.
func TestPipesInTheStore(t *testing.T) {
	for _, name := range []string{"cells.log", "details.log", "stats"} {
		dir := t.TempDir()
		s := open(t, dir)
		made := commit(t, s, "key", "s/x", "text")
		s.Close()
		path := filepath.Join(dir, name)
		os.Remove(path)
		if err := syscall.Mkfifo(path, 0o666); err != nil {
			t.Fatal(err)
		}
		within(t, func() {
			s, err := store.View(dir)
			if err == nil {
				_, err = s.Detail(made)
			}
			if name != "stats" && (err == nil || !strings.Contains(err.Error(), "is no regular file but a pipe")) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A record that lacks a declared output, or has one more, is none.
func TestRecordHeldAgainstOutputs(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	commit(t, s, "key", "s/x", "text")
	for _, outputs := range [][]string{nil, {"out"}, {"out.txt", "b"}, {"out.txt", "out.txt"}} {
		if s.Get("key", outputs) != nil {
			t.Errorf("a record of out.txt stands for %q", outputs)
		}
	}
	if s.Get("key", outTxt) == nil {
		t.Error("it does not stand for its own output")
	}
}

// A file with other names stays as it is, and is not the store's.
func TestPutCopiesLinkedFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"))
	defer s.Close()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	if err := os.WriteFile(theirs, []byte("mine"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(theirs, ours); err != nil {
		t.Fatal(err)
	}
	f, err := s.Put(ours, "out.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(theirs, []byte("edited"), 0o640); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(theirs)
	b, err2 := os.ReadFile(s.Object(f.Digest))
	if err != nil || st.Mode() != 0o640 || err2 != nil || string(b) != "mine" {
		t.Errorf("their file is %v, the object %q: %v, %v", st.Mode(), b, err, err2)
	}
	if _, err := os.Lstat(ours); err == nil {
		t.Error("the output is still there")
	}
}

// What is committed after the clock was set back is later all the same, and stays
// so when gc writes the log anew.
func TestOrderOutlivesTheClock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Now().UnixNano()
	var keys []string
	at := func(key string, started int64) {
		f := commit(t, s, "of "+key, "s/of "+key, key).Files // for an object
		r := &store.Record{Key: key, Cell: "s/" + key, Started: started, Wall: time.Second, Files: f}
		if err := s.Commit(store.Detail{}, r); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	at("a", now)
	at("b", now-int64(time.Hour))
	s.Close()
	s = open(t, dir)
	at("c", now-int64(time.Hour)/2)
	roots := map[string]bool{"a": true, "b": true, "c": true}
	if _, err := s.GC(roots, 0, false); err != nil {
		t.Fatal(err)
	}
	at("d", now-2*int64(time.Hour))
	s.Close()
	s = open(t, dir)
	defer s.Close()
	for i := 1; i < len(keys); i++ {
		earlier, later := s.Get(keys[i-1], outTxt), s.Get(keys[i], outTxt)
		if earlier == nil || later == nil || earlier.Started >= later.Started {
			t.Errorf("%+v was committed before %+v", earlier, later)
		}
	}
}
