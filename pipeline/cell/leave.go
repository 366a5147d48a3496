package cell

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Place refuses a file that a flag asks for and that cannot be written, before
// any work is done for it. So is one that does not begin as what is written there:
// a study, say, whose name was completed where that of a new file was meant.
func Place(flag, path, begins string) error {
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
		return Usage(Hint(fmt.Errorf("%s %s: cannot write there: %w", flag, path, err), "name a file in a folder that is there and can be written"))
	}
	if info != nil && info.Mode().IsRegular() && info.Size() > 0 && !startsWith(path, begins) {
		return Usage(Hint(fmt.Errorf("%s %s: the file holds something else", flag, path), "remove it first, or name another file"))
	}
	return nil
}

// startsWith tells whether a file can be read and begins so.
func startsWith(path, text string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(text))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == text
}

// Leave writes a file whole or not at all; what is no regular file, such as a
// pipe, is written as it is.
func Leave(path string, b []byte) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, b, 0o666)
	}
	defer Hold()()
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
