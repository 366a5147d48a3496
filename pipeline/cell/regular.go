package cell

import (
	"fmt"
	"io/fs"
	"os"
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

// Irregular says what a file is that is no regular one; nil if it is one.
func Irregular(path string, m fs.FileMode) error {
	if m.IsRegular() {
		return nil
	}
	kind := m.Type().String()
	switch {
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
