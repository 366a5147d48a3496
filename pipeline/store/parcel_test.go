package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

// made is an agent's store in which a trial with a background cell ends, whose results
// it sends.
type made struct {
	*Store
	dir, aside, by string
	standing       []*Record
}

func (m *made) send(d Detail, records []*Record) (err error) {
	for _, r := range records {
		r.By = m.by
	}
	m.standing, err = NewSender(m.dir, filepath.Join(m.dir, "bundle."+m.by)).Send(d, records, m.aside)
	return err
}

func end(t *testing.T, dir, aside, text, by string) (*made, []*Record) {
	t.Helper()
	here := t.TempDir()
	s, err := Open(here)
	if err != nil {
		t.Fatal(err)
	}
	m := &made{s, dir, aside, by, nil}
	s.Outbox(dir, m.send)
	var records []*Record
	for _, name := range []string{"load", "trial"} {
		path := filepath.Join(here, name)
		filetest.Write(t, path, name+text)
		f, err := s.Put(path, name)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &Record{Key: strings.Repeat(name[:1], 64), Cell: "s/" + name, Files: []File{f}})
	}
	if err := s.Commit(Detail{Warnings: []string{text}}, records...); err != nil {
		t.Fatal(err)
	}
	return m, records
}

// Of several attempts at a trial the first is what everybody receives, whole; one that
// says the same is no news, and one that does not is kept aside.
func TestParcel(t *testing.T) {
	dir, aside := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	key := strings.Repeat("t", 64)
	receiver, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	fail := func(err error) { t.Errorf("warned: %v", err) }
	if got := receiver.Receive(dir, key, fail); got != nil {
		t.Errorf("received %v from an empty folder", got)
	}
	first, records := end(t, dir, aside, "1", "a")
	if first.standing != nil {
		t.Fatal(first.standing)
	}
	if again, _ := end(t, dir, aside, "1", "b"); len(again.standing) != 2 || again.standing[1].By != "a" {
		t.Errorf("the same again: %v", again.standing)
	}
	if _, err := os.Stat(aside); err == nil {
		t.Error("a result that agrees was kept aside")
	}
	if other, _ := end(t, dir, aside, "2", "c"); len(other.standing) != 2 || other.standing[1].By != "a" {
		t.Errorf("another result: %v", other.standing)
	}
	if kept, _, err := (&depot{dir: dir}).parcel(aside, key); err != nil || len(kept) != 2 || kept[1].By != "c" {
		t.Errorf("kept aside: %v, %v", kept, err)
	}
	got := receiver.Receive(dir, key, fail)
	if len(got) != 2 || got[1].By != "a" || receiver.Get(key, []string{"trial"}) == nil || receiver.Get(records[0].Key, []string{"load"}) == nil {
		t.Errorf("received %v", got)
	}
	if d, err := receiver.Detail(got[1]); err != nil || d.Warnings[0] != "1" {
		t.Errorf("its detail: %v, %v", d, err)
	}
}

// What is damaged in the folder is neither believed nor in the way of a sound result.
func TestParcelDamaged(t *testing.T) {
	key := strings.Repeat("t", 64)
	for name, damage := range map[string]func(dir, digest string) string{
		"torn record": func(dir, _ string) string { return Parcel(dir, key) },
		"object":      func(dir, digest string) string { return filepath.Join(dir, "objects", digest[:2], digest) },
	} {
		dir := t.TempDir()
		_, records := end(t, dir, "", "1", "a")
		path := damage(dir, records[1].Files[0].Digest)
		b := filetest.Read(t, path)
		b[len(b)/2] ^= 1
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, path, b)
		receiver, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if got := receiver.Receive(dir, key, func(error) {}); got != nil {
			t.Errorf("%s damaged: received %v", name, got)
		}
		Spoiled(dir, key)
		if again, _ := end(t, dir, "", "1", "b"); again.standing != nil {
			t.Errorf("%s damaged, and sent again: %v", name, again.standing)
		}
		if got := receiver.Receive(dir, key, func(err error) { t.Error(err) }); len(got) != 2 {
			t.Errorf("%s damaged and sent again: received %v", name, got)
		}
		receiver.Close()
	}
}

// Objects of a parcel in the workspace are linked and not copied, but only what is a file
// of its own; an output of many names, which are somebody's, stays theirs.
func TestParcelLinked(t *testing.T) {
	dir := t.TempDir()
	_, records := end(t, dir, "", "1", "a")
	lies := func(dir string, r *Record) string {
		return filepath.Join(dir, "objects", r.Files[0].Digest[:2], r.Files[0].Digest)
	}
	linked, other := lies(dir, records[0]), lies(dir, records[1])
	elsewhere := filepath.Join(t.TempDir(), "other")
	if err := errors.Join(os.Rename(other, elsewhere), os.Symlink(elsewhere, other)); err != nil {
		t.Fatal(err)
	}
	receiver, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	if got := receiver.Receive(dir, records[1].Key, func(err error) { t.Error(err) }); len(got) != 2 {
		t.Fatalf("received %v", got)
	}
	a, e1 := os.Lstat(linked)
	b, e2 := os.Lstat(lies(receiver.dir, records[0]))
	if e1 != nil || e2 != nil || !os.SameFile(a, b) {
		t.Errorf("a file was copied: %v, %v", e1, e2)
	}
	if st, err := os.Lstat(lies(receiver.dir, records[1])); err != nil || !st.Mode().IsRegular() {
		t.Errorf("a link was taken for a file: %v", err)
	}

	sender, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sender.Outbox(dir, nil)
	mine, also := filepath.Join(t.TempDir(), "mine"), filepath.Join(t.TempDir(), "also")
	if err := errors.Join(os.WriteFile(mine, []byte("mine"), 0o666), os.Link(mine, also)); err != nil {
		t.Fatal(err)
	}
	f, err := sender.Put(mine, "out")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(also, []byte("edit"), 0o666); err != nil {
		t.Fatalf("a file with another name was taken: %v", err)
	}
	if b, err := os.ReadFile(sender.Object(f.Digest)); err != nil || string(b) != "mine" {
		t.Errorf("the object is %q, %v", b, err)
	}
}
