package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Links are those to inputs, from private folders, that wait in a folder. One that is not
// needed any more waits in a folder for the next cell that reads the file, in this
// run or a later one: ext4 without a journal passes over what was removed of late,
// file by file, so that a link removed after each cell makes every later file cost
// more than its process.
type Links struct{ Dir string }

// LinksBelow are those that wait below state.
func LinksBelow(state string) Links { return Links{filepath.Join(state, "links")} }

// Put links a path to a file.
func (l Links) Put(file, path string) error {
	if unix.Rename(l.place(file), path) == nil {
		if to, err := os.Readlink(path); err == nil && to == file {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return os.Symlink(file, path)
}

// Take keeps a link for later, and tells whether it could.
func (l Links) Take(path string) bool {
	file, err := os.Readlink(path)
	if err != nil || !filepath.IsAbs(file) {
		return false
	}
	return unix.Rename(path, l.place(file)) == nil
}

// place is where the link to a file waits.
func (l Links) place(file string) string {
	sum := sha256.Sum256([]byte(file))
	return filepath.Join(l.Dir, hex.EncodeToString(sum[:16]))
}
