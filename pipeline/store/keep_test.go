package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/store"
)

// damage changes a byte of an object, leaving its size.
func damage(t *testing.T, path string) {
	t.Helper()
	b := filetest.Read(t, path)
	b[0] ^= 1
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	filetest.Write(t, path, b)
}

// A damaged object is no result, also in the store that made it and at once; it
// is named, and made again in its place.
func TestDamagedObject(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := commit(t, s, "key", "s/x", "text")
	commit(t, s, "other", "s/y", "other")
	if s.Get("key", outTxt) == nil {
		t.Fatal("the record is not there")
	}
	path := s.Object(r.Files[0].Digest)
	damage(t, path)
	if s.Get("key", outTxt) != nil {
		t.Error("a damaged object counts, in the store that made it")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if s.Get("key", outTxt) != nil || s.Get("other", outTxt) == nil {
		t.Error("a damaged object counts, or a sound one does not")
	}
	sound, found, err := s.Verify()
	if err != nil || sound != 1 || len(found) != 1 || found[0].Cells[0] != "s/x" || !strings.HasSuffix(path, found[0].Path) {
		t.Errorf("verify: %d sound, %+v, %v", sound, found, err)
	}
	if commit(t, s, "key", "s/x", "text"); s.Get("key", outTxt) == nil {
		t.Error("the object was not made again")
	}
	if _, found, _ := s.Verify(); len(found) != 0 {
		t.Errorf("made again, it is still %+v", found)
	}
}

// Verify finds what no stat shows: the object's times and size are what they
// were.
func TestVerifyReadsEverything(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	commit(t, s, "key", "s/x", "text")
	log := filepath.Join(dir, "details.log")
	b := filetest.Read(t, log)
	b[len(b)/2] ^= 1
	filetest.Write(t, log, b)
	if _, found, err := s.Verify(); err != nil || len(found) != 1 || found[0].Path != "details.log" {
		t.Errorf("verify: %+v, %v", found, err)
	}
}

// The details are cut at every length: each is what was written or an error, and
// what is written afterwards can be read.
func TestTornDetails(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 3 {
		commit(t, s, fmt.Sprint("key", i), fmt.Sprint("s/", i), fmt.Sprint("text", i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "details.log")
	whole := filetest.Read(t, path)
	for cut := range len(whole) + 1 {
		filetest.Write(t, path, whole[:cut])
		s := open(t, dir)
		commit(t, s, "after", "s/after", "after")
		for i := range 3 {
			d, err := s.Detail(s.Get(fmt.Sprint("key", i), outTxt))
			if kept := i < strings.Count(string(whole[:cut]), "\n"); kept != (err == nil) {
				t.Fatalf("cut at %d: detail %d: %v", cut, i, err)
			} else if kept && d.Parts[0].Value != fmt.Sprint("text", i) {
				t.Fatalf("cut at %d: detail %d is %+v", cut, i, d)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		if d, err := s.Detail(s.Get("after", outTxt)); err != nil || d.Parts[0].Value != "after" {
			t.Fatalf("cut at %d: what was written afterwards: %+v, %v", cut, d, err)
		}
		s.Close()
	}
}

// The digests of files are cut at every length too, and every byte is flipped:
// the store only reads more.
func TestTornStats(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := commit(t, s, "key", "s/x", "text")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "stats")
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) == 0 {
		t.Fatalf("%v: no stats were kept", err)
	}
	check := func(b []byte, what string, at int) {
		t.Helper()
		filetest.Write(t, path, b)
		s, err := store.View(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Digest(s.Object(r.Files[0].Digest)); err != nil || got != r.Files[0].Digest {
			t.Fatalf("%s at %d: the object's digest is %q, %v", what, at, got, err)
		}
	}
	for at := range whole {
		check(whole[:at], "cut", at)
		b := append([]byte(nil), whole...)
		b[at] ^= 1
		check(b, "flipped", at)
	}
}

func TestGC(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i, text := range []string{"root", "older!", "newer!", "shared"} {
		r := commit(t, s, fmt.Sprint("key", i), fmt.Sprint("s/", i), text)
		r.Started = int64(i) // in the index; the log says 1 for all
	}
	commit(t, s, "key4", "s/4", "root") // the same object under another key
	roots := map[string]bool{"key0": true}
	swept, err := s.GC(roots, 10, true)
	if err != nil || swept.Removed != 2 || swept.Freed != 12 {
		t.Errorf("dry: %+v, %v", swept, err)
	}
	if s.Get("key1", outTxt) == nil {
		t.Error("a dry gc removed something")
	}
	// 4 bytes of root, 6 of the newest; key4 shares root's object and costs nothing.
	if swept, err = s.GC(roots, 10, false); err != nil || swept.Kept != 3 || swept.Removed != 2 || swept.Bytes != 10 || swept.Freed != 12 {
		t.Errorf("%+v, %v", swept, err)
	}
	commit(t, s, "key5", "s/5", "later")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	for key, want := range map[string]bool{"key0": true, "key1": false, "key2": false, "key3": true, "key4": true, "key5": true} {
		r := s.Get(key, outTxt)
		if (r != nil) != want {
			t.Errorf("%s is there: %v, want %v", key, r != nil, want)
		} else if want {
			if _, err := s.Detail(r); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
	if _, found, err := s.Verify(); err != nil || len(found) != 0 {
		t.Errorf("verify after gc: %+v, %v", found, err)
	}
	if swept, err = s.GC(nil, 0, false); err != nil || swept.Kept != 0 {
		t.Errorf("without roots and budget: %+v, %v", swept, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "objects/*/*")); len(left) != 0 {
		t.Errorf("objects left: %v", left)
	}
}

// A second workspace finds in the shared folder what the first one made, checks
// it, and refuses what is damaged there.
func TestShared(t *testing.T) {
	folder := t.TempDir()
	key := strings.Repeat("ab", 32)
	shared := func(dir string) (*store.Store, *[]error) {
		s := open(t, dir)
		var warned []error
		s.Share(folder, func(err error) { warned = append(warned, err) })
		return s, &warned
	}
	s, warned := shared(t.TempDir())
	made := commit(t, s, key, "s/x", "text")
	if err := s.Close(); err != nil || len(*warned) > 0 {
		t.Fatal(err, *warned)
	}
	s, warned = shared(t.TempDir())
	r := s.Get(key, outTxt)
	if r == nil || r.Files[0] != made.Files[0] || r.Wall != made.Wall || len(*warned) > 0 {
		t.Fatalf("the second workspace got %+v, %v", r, *warned)
	}
	if d, err := s.Detail(r); err != nil || d.Parts[0].Value != "text" {
		t.Errorf("its detail: %+v, %v", d, err)
	}
	if b, err := os.ReadFile(s.Object(r.Files[0].Digest)); err != nil || string(b) != "text" {
		t.Errorf("its object: %q, %v", b, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(folder, "objects", made.Files[0].Digest[:2], made.Files[0].Digest)
	damage(t, object)
	s, warned = shared(t.TempDir())
	if r := s.Get(key, outTxt); r != nil || len(*warned) != 1 || !strings.Contains((*warned)[0].Error(), "damaged") {
		t.Errorf("a damaged object came along: %+v, %v", r, *warned)
	}
	s.Close()
	// A folder that cannot be written costs a warning, not the run.
	s = open(t, t.TempDir())
	defer s.Close()
	var failed []error
	s.Share("/proc/nothing", func(err error) { failed = append(failed, err) })
	commit(t, s, key, "s/x", "text")
	if err := s.Close(); err != nil || len(failed) != 1 {
		t.Errorf("close: %v, warned %v", err, failed)
	}
}

// On a full disk gc removes what frees room before it writes the logs anew, and
// leaves a store that is whole. The kernel's /dev/full stands for the disk.
func TestGCOnAFullDisk(t *testing.T) {
	for _, log := range []string{"cells.log~", "details.log~"} {
		dir := t.TempDir()
		s := open(t, dir)
		commit(t, s, "keep", "s/keep", "what is kept")
		commit(t, s, "drop", "s/drop", "what is not")
		if err := os.Symlink("/dev/full", filepath.Join(dir, log)); err != nil {
			t.Fatal(err)
		}
		swept, err := s.GC(map[string]bool{"keep": true}, 0, false)
		if err != nil || swept.Kept != 1 || swept.Removed != 1 || swept.Freed != int64(len("what is not")) {
			t.Errorf("%s: %+v, %v", log, swept, err)
		}
		commit(t, s, "later", "s/later", "later")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		for key, want := range map[string]bool{"keep": true, "drop": false, "later": true} {
			if r := s.Get(key, outTxt); (r != nil) != want {
				t.Errorf("%s: %s is there: %v, want %v", log, key, r != nil, want)
			}
		}
		if _, found, err := s.Verify(); err != nil || len(found) != 0 {
			t.Errorf("%s: %+v, %v", log, found, err)
		}
		if objects, _ := filepath.Glob(filepath.Join(dir, "objects/*/*")); len(objects) != 2 {
			t.Errorf("%s: objects %v", log, objects)
		}
		s.Close()
	}
}
