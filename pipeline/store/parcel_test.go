package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// made is a store with one result, of a trial with a background cell.
func made(t *testing.T, text, by string) (*Store, []*Record) {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Fleeting()
	var records []*Record
	for _, name := range []string{"load", "trial"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name+text), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := s.Put(path, name)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &Record{Key: strings.Repeat(name[:1], 64), Cell: "s/" + name, Files: []File{f}, By: by})
	}
	if err := s.Commit(Detail{Warnings: []string{text}}, records...); err != nil {
		t.Fatal(err)
	}
	return s, records
}

// Of several attempts at a trial the first is what everybody receives, whole; one that
// says the same is no news, and one that does not is kept aside.
func TestParcel(t *testing.T) {
	dir, aside := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	first, records := made(t, "1", "a")
	key := records[1].Key
	receiver, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	fail := func(err error) { t.Errorf("warned: %v", err) }
	if got := receiver.Receive(dir, key, fail); got != nil {
		t.Errorf("received %v from an empty folder", got)
	}
	if standing, err := first.Send(dir, records, aside); err != nil || standing != nil {
		t.Fatal(standing, err)
	}
	again, same := made(t, "1", "b")
	if standing, err := again.Send(dir, same, aside); err != nil || len(standing) != 2 || standing[1].By != "a" {
		t.Errorf("the same again: %v, %v", standing, err)
	}
	if _, err := os.Stat(aside); err == nil {
		t.Error("a result that agrees was kept aside")
	}
	other, differs := made(t, "2", "c")
	if standing, err := other.Send(dir, differs, aside); err != nil || len(standing) != 2 || standing[1].By != "a" {
		t.Errorf("another result: %v, %v", standing, err)
	}
	if kept, err := Peek(dir, aside); err != nil || len(kept) != 2 || kept[1].By != "c" {
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
	s, records := made(t, "1", "a")
	key := records[1].Key
	for name, damage := range map[string]func(dir string) string{
		"torn record": func(dir string) string { return Parcel(dir, key) },
		"object": func(dir string) string {
			return filepath.Join(dir, "objects", records[1].Files[0].Digest[:2], records[1].Files[0].Digest)
		},
	} {
		dir := t.TempDir()
		if _, err := s.Send(dir, records, filepath.Join(dir, "aside")); err != nil {
			t.Fatal(err)
		}
		path := damage(dir)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		receiver, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if got := receiver.Receive(dir, key, func(error) {}); got != nil {
			t.Errorf("%s damaged: received %v", name, got)
		}
		Spoiled(dir, key)
		if standing, err := s.Send(dir, records, filepath.Join(dir, "aside")); err != nil || standing != nil {
			t.Errorf("%s damaged, and sent again: %v, %v", name, standing, err)
		}
		if got := receiver.Receive(dir, key, func(err error) { t.Error(err) }); len(got) != 2 {
			t.Errorf("%s damaged and sent again: received %v", name, got)
		}
		receiver.Close()
	}
}
