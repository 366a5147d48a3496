// Package blank makes empty files and folders ahead: to fill a file takes a tenth of the
// time that it takes to make one.
package blank

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
)

// Files are empty files in a folder, for whoever needs one there. None has any.
type Files struct {
	dir   string
	ready chan string
	ended atomic.Bool
}

// New returns room for n files in a folder.
func New(dir string, n int) *Files { return &Files{dir: dir, ready: make(chan string, n)} }

// Make makes the files, and before them folders named 00 to ff in others, until End is
// called. What goes wrong is learnt by whoever makes one that is not there.
func (f *Files) Make(fans ...string) {
	for _, dir := range fans {
		_ = os.MkdirAll(dir, 0o777)
		for i := 0; i < 256 && !f.ended.Load(); i++ {
			_ = os.Mkdir(filepath.Join(dir, fmt.Sprintf("%02x", i)), 0o777)
		}
	}
	for i := 0; i < cap(f.ready) && !f.ended.Load(); i++ {
		path := filepath.Join(f.dir, ".blank."+strconv.Itoa(i)+"~")
		made, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return
		}
		made.Close()
		f.ready <- path
	}
}

// End has Make end.
func (f *Files) End() {
	if f != nil {
		f.ended.Store(true)
	}
}

// Take returns the path of a file in a folder that is nobody's yet, or nothing.
func (f *Files) Take(dir string) string {
	if f == nil || dir != f.dir {
		return ""
	}
	select {
	case path := <-f.ready:
		return path
	default:
		return ""
	}
}

// Remove removes what nobody took, once Make has returned.
func (f *Files) Remove() {
	for f != nil && len(f.ready) > 0 {
		_ = os.Remove(<-f.ready) // it is empty
	}
}
