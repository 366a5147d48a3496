package cell

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Regular looks at a file that is to be read. What is no regular file is an error:
// a pipe would be waited for, and a device may have no end.
func Regular(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = Irregular(path, info.Mode())
	}
	return info, err
}

// Open opens a regular file to read. It never waits: a pipe that was put in the
// file's place is refused, and so is whatever else is no regular file.
func Open(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		if info, e := os.Stat(path); e == nil && !info.Mode().IsRegular() { // a socket cannot be opened
			err = Irregular(path, info.Mode())
		}
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = Irregular(path, info.Mode())
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// Read reads a regular file, as [Open] opens it.
func Read(path string) ([]byte, error) {
	f, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// ReadJSON fills v from a regular file.
func ReadJSON(path string, v any) error {
	b, err := Read(path)
	if err != nil {
		return err
	}
	return ParseJSON(path, b, v)
}

// ParseJSON fills v from what a file holds. What is not JSON, or of another type, has its
// place: file:line:column.
func ParseJSON(path string, text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read %s%s: %w", path, place(text, err), err)
	}
	return nil
}

// place says at which line and column of a text it was that decoding failed.
func place(text []byte, err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	at := 0
	switch {
	case errors.As(err, &syntax):
		at = int(syntax.Offset)
	case errors.As(err, &kind):
		at = int(kind.Offset)
	default:
		return ""
	}
	before := text[:min(at, len(text))]
	return fmt.Sprintf(":%d:%d", 1+bytes.Count(before, []byte("\n")), max(1, len(before)-bytes.LastIndexByte(before, '\n')-1))
}

// Text reads a regular file, in memory for which there is no second copy.
func Text(path string) (string, error) {
	f, info, err := Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, info.Size())
	n, err := io.ReadFull(f, b)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = nil // it has become shorter
	}
	return unsafe.String(unsafe.SliceData(b), n), err
}

// Bytes is a text's bytes without a copy, which are not to be changed.
func Bytes(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// Sum returns the SHA-256 of a regular file in hexadecimal. Runs ask for it of
// thousands of small files, so that it does without what the runtime does for files
// that can be waited for.
func Sum(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	var st unix.Stat_t
	if err == nil {
		defer unix.Close(fd)
		err = unix.Fstat(fd, &st)
	}
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		if _, is := Regular(path); is != nil { // which says what it is
			return "", is
		}
		return "", &fs.PathError{Op: "open", Path: path, Err: cmp.Or(err, errors.New("it was replaced meanwhile"))}
	}
	b := buffers.Get().(*[1 << 17]byte)
	defer buffers.Put(b)
	h := sha256.New()
	for {
		n, err := unix.Read(fd, b[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return "", &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		h.Write(b[:n])
	}
}

// buffers are for reading files, thousands of which are small.
var buffers = sync.Pool{New: func() any { return new([1 << 17]byte) }}

// Irregular says what a file is that is no regular one; nil if it is one.
func Irregular(path string, m fs.FileMode) error {
	if m.IsRegular() {
		return nil
	}
	kind := m.Type().String()
	switch {
	case m&fs.ModeSymlink != 0:
		kind = "a link"
	case m.IsDir():
		kind = "a folder"
	case m&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case m&fs.ModeDevice != 0:
		kind = "a device"
	case m&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return fmt.Errorf("%s is no regular file but %s", path, kind)
}
