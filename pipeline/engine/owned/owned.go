// Package owned tells files that runs made from everybody else's. For each workspace
// path that runs write it holds what was written there last, and while a run may
// write it, that it may: a file that is neither is somebody's, and stays.
//
// That is kept in a file, noted before anything runs and again at the run's end, and
// once more outside of the workspace, so that whoever removes stored results need not
// remove outputs as well.
package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"barograph/pipeline/record"
	"barograph/pipeline/store"

	"golang.org/x/sys/unix"
)

// Files are those that runs made, or may. Its methods may be called concurrently.
type Files struct {
	beside string // the file outside of the workspace; empty where there is none
	boot   string
	mu     sync.Mutex
	held   *list
	told   *list // as the file beside has them; nil until they are asked for
}

// Read reads what a file holds, and what another outside of the workspace does, if
// one is named.
func Read(file, beside string) (*Files, error) {
	f := &Files{beside: beside, boot: before}
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		f.boot = strings.TrimSpace(string(b))
	}
	var err error
	f.held, err = readList(file)
	return f, err
}

// tell returns what the file beside has, which is a help where it is there.
func (f *Files) tell() *list {
	if f.told == nil && f.beside != "" {
		f.told, _ = readList(f.beside)
	}
	if f.told == nil {
		f.told = &list{file: f.beside, later: map[string]claim{}, fresh: map[string]bool{}}
	}
	return f.told
}

// What is said of a file that is not a run's.
var (
	errForeign = errors.New("it is there, and no run made it")
	// ErrEdited is of a file that a run wrote, and somebody changed.
	ErrEdited = errors.New("it was changed since a run wrote it")
)

// May tells whether runs may write a path, where a cell's output of that name
// goes, or says whose file stands there. What a run that did not end well may
// have left half written is not known for a run's: aside then says that it is to
// be kept aside.
func (f *Files) May(s *store.Store, path, to, name string) (aside bool, err error) {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return false, nil
	case err != nil:
		return false, err
	case st.IsDir():
		return false, errors.New("a folder is there")
	case !st.Mode().IsRegular():
		return false, fmt.Errorf("%w: it is %s", errForeign, kindOf(st))
	}
	digest, err := s.Digest(path)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	had, known := f.held.get(to)
	if digest == had.digest {
		return false, nil
	}
	told, _ := f.tell().get(to)
	switch {
	case digest == told.digest || s.Made(name, digest):
		return false, nil
	case had.boot != "" && had.boot != f.boot:
		return true, nil
	case had.digest != "" || told.digest != "":
		return false, ErrEdited
	case !known && forOutputs(to):
		return false, nil
	}
	return false, errForeign
}

// kindOf says what a file is that is no regular one.
func kindOf(st fs.FileInfo) string {
	if st.Mode()&fs.ModeSymlink != 0 {
		return "a link"
	}
	return st.Mode().Type().String()
}

// forOutputs tells whether a path is in a folder that is for outputs alone, where
// files may have been made by runs of which nothing is left here.
func forOutputs(to string) bool {
	return strings.HasPrefix(to, record.Results+"/")
}

// Open notes that a run may write a path from now on.
func (f *Files) Open(to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, _ := f.held.get(to); c.boot != f.boot {
		c.boot = f.boot
		f.held.set(to, c)
	}
}

// Wrote notes what a path holds, as a run wrote it.
func (f *Files) Wrote(to, digest string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, _ := f.held.get(to); c.digest != digest {
		f.held.set(to, claim{digest, f.boot})
	}
}

// Keep makes durable what was noted.
func (f *Files) Keep() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held.keep(true)
}

// Close notes that no run is under way: what none wrote is claimed no longer. Should
// the machine die now, the paths are claimed by a run that is no more.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for to, c := range f.held.later {
		if c.boot != "" {
			if c.boot = ""; c.digest == "" {
				c = claim{}
			}
			f.held.set(to, c)
		}
	}
	ended := f.held.fresh
	if len(ended) == 0 {
		return nil
	}
	if err := f.held.keep(false); err != nil || f.beside == "" {
		return err
	}
	if os.MkdirAll(filepath.Dir(f.beside), 0o777) == nil { // or it is known here alone
		told := f.tell()
		for to, c := range f.held.each() {
			if len(told.text) == 0 || ended[to] {
				told.set(to, c)
			}
		}
		_ = told.keep(false)
	}
	return nil
}
