package scratch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What a killed process left is removed; what another still has, what is another user's and
// what has another name is not.
func TestSweep(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	own, drop, err := New()
	if err != nil {
		t.Fatal(err)
	}
	at := Path("mine")
	dropAt, err := At(at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := At(at); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder that is in use: %v", err)
	}
	left, other, foreign, link := Path("left"), filepath.Join(os.TempDir(), "other"), Path("foreign"), Path("link")
	for _, dir := range []string{filepath.Join(left, "pipe"), other, foreign} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	stay := map[string]bool{own: true, at: true, other: true, link: true, left: false, foreign: os.Getuid() == 0}
	if os.Getuid() == 0 {
		if err := os.Chown(foreign, 12345, -1); err != nil {
			t.Fatal(err)
		}
	}
	Sweep()
	for dir, stays := range stay {
		if _, err := os.Lstat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", dir, err)
		}
	}
	for _, err := range []error{drop(), dropAt()} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{own, at} {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was dropped: %v", dir, err)
		}
	}
}

// Who makes a folder, with a name of its own or a given one, removes what a killed process left.
func TestSweepFirst(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for name, another := range map[string]func() (func() error, error){
		"New": func() (func() error, error) { _, drop, err := New(); return drop, err },
		"At":  func() (func() error, error) { return At(Path("given")) },
	} {
		left := Path("left")
		if err := os.Mkdir(left, 0o700); err != nil {
			t.Fatal(err)
		}
		drop, err := another()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s is there: %v", name, left, err)
			_ = os.Remove(left)
		}
		if err := drop(); err != nil {
			t.Error(err)
		}
	}
}

// A folder is its maker's however many sweep meanwhile.
func TestSweepBeside(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				Sweep()
			}
		})
	}
	for range 200 {
		dir, drop, err := New()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
			t.Error(err)
		}
		if err := drop(); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}

// On a disk without locks, or with those of another kind of open file, there are folders too,
// and they are left.
func TestNoLocks(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	defer func(was func(int, int) error) { flock = was }(flock)
	flock = func(int, int) error { return unix.EBADF }
	dir, drop, err := New()
	if err != nil {
		t.Fatal(err)
	}
	Sweep()
	if _, err := os.Lstat(dir); err != nil {
		t.Error(err)
	}
	if err := drop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was dropped: %v", dir, err)
	}
}
