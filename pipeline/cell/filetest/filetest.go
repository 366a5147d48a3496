// Package filetest writes and reads files in tests, which end where that fails.
package filetest

import (
	"errors"
	"os"
	"path/filepath"
)

// A T is a test, a benchmark or one case of a property.
type T interface {
	Helper()
	Fatal(args ...any)
	Errorf(format string, args ...any)
}

// Write writes a file, and makes the folders that it is in.
func Write[C string | []byte](t T, path string, content C) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// Read returns what a file holds.
func Read(t T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Golden checks that a file holds what a test got, or writes that to it.
func Golden[C string | []byte](t T, update bool, path string, got C) {
	t.Helper()
	if update {
		Write(t, path, got)
	}
	if want := Read(t, path); string(got) != string(want) {
		t.Errorf("%s differs (-update writes it anew)\n got:\n%s\nwant:\n%s", path, got, want)
	}
}
