package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/store"
)

func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var outTxt = []string{"out.txt"} // what commit's cells declare

// commit stores text as the one output of a cell.
func commit(t testing.TB, s *store.Store, key, cellName, text string) *store.Record {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out")
	filetest.Write(t, path, text)
	f, err := s.Put(path, "out.txt")
	if err != nil {
		t.Fatal(err)
	}
	r := &store.Record{Key: key, Cell: cellName, Started: 1, Wall: time.Second, Files: []store.File{f}}
	if err := s.Commit(store.Detail{Parts: []store.Part{{Name: "text", Value: text}}}, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordsOutliveTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	names := []string{"s/plain", "s/x[level=4,replicate=2]", "s/odd \"quoted\"\tand\nbroken\\", "s/é"}
	for i, name := range names {
		commit(t, s, fmt.Sprint("key", i), name, name)
	}
	commit(t, s, "key-new", names[0], "newer")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	for i, name := range names {
		r := s.Get(fmt.Sprint("key", i), outTxt)
		if r == nil || r.Cell != name || r.Wall != time.Second || r.Files[0].Name != "out.txt" {
			t.Fatalf("record of %q came back as %+v", name, r)
		}
		b, err := os.ReadFile(s.Object(r.Files[0].Digest))
		if err != nil || string(b) != name {
			t.Errorf("object of %q: %q, %v", name, b, err)
		}
		if d, err := s.Detail(r); err != nil || d.Parts[0].Value != name {
			t.Errorf("detail of %q: %v, %v", name, d, err)
		}
	}
	if r := s.Latest(names[0]); r == nil || r.Key != "key-new" {
		t.Errorf("latest of %q is %+v", names[0], r)
	}
}

// The log is cut at every length: what loads is a prefix of what was written,
// and the store goes on from there.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const n = 5
	for i := range n {
		commit(t, s, fmt.Sprint("key", i), fmt.Sprint("s/", i), fmt.Sprint("text", i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cells.log")
	whole := filetest.Read(t, path)
	for cut := range len(whole) + 1 {
		filetest.Write(t, path, whole[:cut])
		s := open(t, dir)
		want := strings.Count(string(whole[:cut]), "\n")
		for i := range n {
			if got := s.Get(fmt.Sprint("key", i), outTxt) != nil; got != (i < want) {
				t.Fatalf("cut at %d of %d: record %d there: %v, want the first %d", cut, len(whole), i, got, want)
			}
		}
		if cut%17 == 0 {
			commit(t, s, "again", "s/again", "again")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if cut%17 == 0 {
			s = open(t, dir)
			if s.Get("again", outTxt) == nil || (want > 0) != (s.Get("key0", outTxt) != nil) {
				t.Fatalf("cut at %d: what was committed afterwards is lost", cut)
			}
			s.Close()
		}
	}
}

// Every byte of the log is flipped: the damaged record is refused, with the next
// where the byte stood between them; no other is lost, and none is wrong.
func TestDamagedLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var want []*store.Record
	for i := range 3 {
		want = append(want, commit(t, s, fmt.Sprint("key", i), fmt.Sprint("s/", i), fmt.Sprint("text", i)))
	}
	s.Close()
	path := filepath.Join(dir, "cells.log")
	whole, _ := os.ReadFile(path)
	for at := range whole {
		b := append([]byte(nil), whole...)
		b[at] ^= 0x15
		filetest.Write(t, path, b)
		s, err := store.View(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			r := s.Get(w.Key, outTxt)
			if r != nil && (r.Cell != w.Cell || r.Files[0] != w.Files[0]) {
				t.Fatalf("byte %d flipped: record %d came back as %+v", at, i, r)
			}
			damaged := strings.Count(string(whole[:at]), "\n")
			hit := i == damaged || whole[at] == '\n' && i == damaged+1
			if (r == nil) != hit {
				t.Fatalf("byte %d flipped: record %d there: %v", at, i, r != nil)
			}
		}
	}
}

func TestLostObjectIsNoResult(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	r := commit(t, s, "key", "s/x", "text")
	if s.Get("key", outTxt) == nil {
		t.Fatal("the record is not there")
	}
	if err := os.Remove(s.Object(r.Files[0].Digest)); err != nil {
		t.Fatal(err)
	}
	if s.Get("key", outTxt) != nil {
		t.Error("a record without its object counts as a result")
	}
}

func TestPutRefusesWhatIsNoFile(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, link, filepath.Join(dir, "none")} {
		if _, err := s.Put(path, "x"); err == nil {
			t.Errorf("Put(%s) was accepted", path)
		}
	}
}

// An edit that keeps size and mtime is seen, however soon it comes.
func TestDigestSeesSameSizeEdits(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	path := filepath.Join(t.TempDir(), "f")
	var last string
	for i := range 50 {
		filetest.Write(t, path, fmt.Appendf(nil, "%04d", i))
		if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		d, err := s.Digest(path)
		if err != nil || d == last {
			t.Fatalf("edit %d: digest %s, %v; before %s", i, d, err, last)
		}
		last = d
	}
}

func TestCopyIsSafeToEdit(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	r := commit(t, s, "key", "s/x", "text")
	path := filepath.Join(t.TempDir(), "new/out.txt")
	if err := s.Copy(r.Files[0], path); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("EDIT")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(s.Object(r.Files[0].Digest)); string(b) != "text" {
		t.Errorf("editing the copy changed the object to %q", b)
	}
}

func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				commit(t, s, fmt.Sprint("key", i, "-", j), "s/x", fmt.Sprint(j))
				s.Get(fmt.Sprint("key", i, "-", j), outTxt)
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	for i := range 8 {
		for j := range 10 {
			if s.Get(fmt.Sprint("key", i, "-", j), outTxt) == nil {
				t.Errorf("record %d-%d is lost", i, j)
			}
		}
	}
}

// An edit that leaves a file's size as it was is seen however soon it comes: after
// the file was read, and after the store itself wrote it.
func TestQuickEdits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"))
	defer s.Close()
	made := commit(t, s, "key", "s/x", "0000").Files[0]
	path := filepath.Join(dir, "file")
	for i := range 100 {
		if err := s.Copy(made, path); err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			text := fmt.Sprintf("%03d%d", i, j+1)
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteString(text)
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
			if got, err := s.Digest(path); err != nil || got != want {
				t.Fatalf("edit %d of %d is not seen: %s, %v", j, i, got, err)
			}
			if _, _, err := s.Proof(path, made.Digest); err == nil {
				t.Fatalf("edit %d of %d is taken for what was there before", j, i)
			}
		}
	}
}

// Whatever a damaged disk makes of the logs, opening them loses results and makes
// none up. Lines come as they are and with a checksum that fits, or hardly any
// would get past it.
func FuzzLog(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir)
	commit(f, s, "key", "s/x[level=1]", "text")
	s.Close()
	for _, name := range []string{"cells.log", "details.log", "stats"} {
		b := filetest.Read(f, filepath.Join(dir, name))
		f.Add(b, false)
		var unsealed []byte
		for line := range bytes.Lines(b) {
			_, text, _ := bytes.Cut(line, []byte("\t"))
			unsealed = append(unsealed, text...)
		}
		f.Add(unsealed, true)
	}
	f.Add([]byte("00000000\t\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal {
			b = sealed(b)
		}
		for _, name := range []string{"cells.log", "details.log", "stats"} {
			filetest.Write(t, filepath.Join(dir, name), b)
		}
		s, err := store.View(dir)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.SplitN(line, "\t", 3)
			if len(fields) < 3 {
				continue
			}
			if r := s.Get(fields[1], outTxt); r != nil && r.Key != fields[1] {
				t.Errorf("the record of %q says that it is of %q", fields[1], r.Key)
			}
			var said store.Record
			if json.Unmarshal([]byte(fields[2]), &said) != nil {
				continue
			}
			if r := s.Latest(said.Cell); r != nil {
				_, _ = s.Detail(r)
			}
		}
	})
}

func sealed(text []byte) []byte {
	var b []byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		b = fmt.Appendf(b, "%08x\t%s\n", crc32.Checksum(line, crc32.MakeTable(crc32.Castagnoli)), line)
	}
	return b
}

// A file in a shared folder is a record of the key that it is named by, or
// nothing.
func FuzzShared(f *testing.F) {
	dir, group := f.TempDir(), f.TempDir()
	s := open(f, dir)
	s.Share(group, func(err error) { f.Fatal(err) })
	commit(f, s, "key", "s/x[level=1]", "text")
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	cell := filepath.Join(group, "cells", "ke", "key")
	b := filetest.Read(f, cell)
	f.Add(b, false)
	f.Add([]byte(`key	{"cell":"s/x","started":1,"wall":2}
key	{}
`), true)
	empty := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal {
			b = sealed(b)
		}
		if err := errors.Join(os.RemoveAll(cell), os.WriteFile(cell, b, 0o666)); err != nil {
			t.Fatal(err)
		}
		s, err := store.View(empty)
		if err != nil {
			t.Fatal(err)
		}
		s.Share(group, func(error) {})
		if r := s.Get("key", outTxt); r != nil && r.Key != "key" {
			t.Errorf("the record of another key: %+v", r)
		}
	})
}
