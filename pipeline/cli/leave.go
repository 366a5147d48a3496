package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// place refuses a file that a flag asks for and that cannot be written, before
// any work is done for it.
func place(flag, path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		err = errors.New("it is a folder")
	case err == nil && !info.Mode().IsRegular():
		err = unix.Access(path, unix.W_OK)
	case err == nil || errors.Is(err, fs.ErrNotExist):
		err = unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return &status{statusUsage, cell.Hint(fmt.Errorf("%s %s: cannot write there: %w", flag, path, err), "name a file in a folder that is there and can be written")}
	}
	return nil
}

// leave writes a file whole or not at all; what is no regular file, such as a
// pipe, is written as it is.
func leave(path string, b []byte) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, b, 0o666)
	}
	aside := path + "~"
	err := os.WriteFile(aside, b, 0o666)
	if err == nil {
		err = os.Rename(aside, path)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(aside))
	}
	return nil
}
