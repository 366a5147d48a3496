// Package folder makes what a cell works in: a private folder, used again where an
// earlier cell left it empty, with links to inputs, and a log.
package folder

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Shape are the folders that files lie in, each after the one it lies in itself.
func Shape(files ...[]string) []string {
	all := map[string]bool{}
	for _, name := range slices.Concat(files...) {
		for dir := filepath.Dir(name); dir != "." && !all[dir]; dir = filepath.Dir(dir) {
			all[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Clear empties a private folder but for the folders of its shape, keeping links to
// files for later, or returns an error where it is not what it was. Nobody is left who could
// put a link in a folder's place meanwhile.
func Clear(private string, shape, files []string, l Links) error {
	for _, dir := range append([]string{"."}, shape...) {
		names, err := list(filepath.Join(private, dir))
		if err != nil {
			return err
		}
		for _, name := range names {
			name = filepath.Join(dir, name)
			path := filepath.Join(private, name)
			if slices.Contains(shape, name) || slices.Contains(files, name) && l.Take(path) {
				continue
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// list returns what is in a folder that this process may use as it likes.
func list(dir string) (names []string, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&0o700 != 0o700 {
		return nil, cmp.Or(err, errors.New("its mode was changed"))
	}
	b := buffers.Get().(*[4096]byte) // which would be most of a goroutine's stack
	defer buffers.Put(b)
	for {
		n, err := unix.ReadDirent(fd, b[:])
		if err != nil || n <= 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(b[:n], -1, names)
	}
}

var buffers = sync.Pool{New: func() any { return new([4096]byte) }}

// Writable looks, before anything is measured, whether a file could be written.
func Writable(path string) error {
	dir := filepath.Dir(path)
	for {
		st, err := os.Stat(dir)
		switch {
		case err == nil && !st.IsDir():
			return fmt.Errorf("%s is no folder", dir)
		case err == nil:
			if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
				return &fs.PathError{Op: "write into", Path: dir, Err: err}
			}
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		dir = filepath.Dir(dir)
	}
}
