package cell

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
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

// Leave writes a file, in parts, whole or not at all; what is no regular file, such as a
// pipe, is written as it is, and a link leads to what is written.
func Leave(path string, parts ...[]byte) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, bytes.Join(parts, nil), 0o666) // links to pipes, such as /dev/stdout, lead to no name
	}
	if path, err = led(path); err != nil {
		return err
	}
	// Under a name that nothing has, such as an editor's copy of what was there.
	aside := fmt.Sprintf("%s.%d.%x~", path, os.Getpid(), rand.Uint64())
	f, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	for _, b := range parts {
		_, _ = w.Write(b) // Flush says what went wrong
	}
	err = w.Flush()
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(aside, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	return nil
}

// led returns where a path leads, also where nothing is there yet.
func led(path string) (string, error) {
	for range 40 { // as many as the kernel follows
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
}

// WriteJSON writes a command's result for machines.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Whole removes what follows a log's last whole line, which a crash cut short, and
// goes to the end.
func Whole(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for b := make([]byte, 1); end > 0; end-- {
		if _, err := f.ReadAt(b, end-1); err != nil {
			return err
		}
		if b[0] == '\n' {
			break
		}
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err = f.Seek(end, io.SeekStart)
	return err
}
