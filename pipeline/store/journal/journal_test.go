package journal_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/store/journal"
)

func open(t *testing.T, path string, write bool) *journal.Log {
	t.Helper()
	l, err := journal.Open(path, write)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The newest line of a key counts, however long lines are, and a damaged one takes
// nothing else away.
func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path, true)
	long := strings.Repeat("long ", 1<<17)
	for i, text := range []string{"old", long, "new", "torn"} {
		if err := l.Append(journal.Line([]string{"a", "b", "a", "c"}[i], text), journal.Nobody); err != nil {
			t.Fatal(err)
		}
	}
	b := filetest.Read(t, path)
	b[len(b)-3]++ // of the last line
	filetest.Write(t, path, append(b, "cut short"...))
	for _, write := range []bool{false, true} {
		l := open(t, path, write)
		var told []string
		damaged, err := l.Index(func(at int64, key, value []byte) {
			told = append(told, fmt.Sprint(at, " ", string(key), " ", len(value)))
		})
		if want := []string{"0 a 5", fmt.Sprintf("17 b %d", len(long)+2), fmt.Sprintf("%d a 5", 17+14+len(long))}; err != nil || !slices.Equal(told, want) || !slices.Equal(damaged, []int{4}) {
			t.Errorf("told %q, want %q; damaged %v, %v", told, want, damaged, err)
		}
		for key, want := range map[string]string{"a": `"new"`, "b": `"` + long + `"`, "c": "", "d": ""} {
			if got, ok, err := l.Get(key); got != want || ok != (want != "") || err != nil {
				t.Errorf("%s is %.20q, %v, %v", key, got, ok, err)
			}
		}
		var keys []string
		for key := range l.All() {
			keys = append(keys, key)
		}
		if !slices.Equal(keys, []string{"b", "a"}) {
			t.Errorf("all are %q", keys)
		}
	}
	l = open(t, path, true)
	if err := l.Append(journal.Line("e", 1), journal.Nobody); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := l.Get("e"); got != "1" || !ok || err != nil {
		t.Errorf("what follows a cut is %q, %v, %v", got, ok, err)
	}
}

// A journal that is not there holds nothing, to those that read.
func TestNone(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"), false)
	if damaged, err := l.Index(journal.Nobody); err != nil || damaged != nil {
		t.Errorf("damaged %v, %v", damaged, err)
	}
	for key := range l.All() {
		t.Errorf("it holds %s", key)
	}
	if _, ok, err := l.Get("a"); ok || err != nil {
		t.Errorf("a is there: %v, %v", ok, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
