package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/pipeline/store"

	"golang.org/x/sys/unix"
)

// Claims tell files that runs made from everybody else's. For each workspace path
// that runs write they hold what was written there last, and while a run may
// write it, that it may: a file that is neither is somebody's, and stays.
//
// They are kept in a file, a path a line, noted before anything runs and again at
// the run's end, and once more outside of the workspace, so that whoever removes
// stored results need not remove outputs as well. A line is
//
//	digest or -, boot in which a run began that may write it or -, path
//
// with tabs between. A path alone is a line of an older version.
type claims struct {
	file, beside string // beside is empty where there is none
	boot         string
	mu           sync.Mutex
	held         map[string]claim
	told         map[string]claim // as the file beside has them
	dirty        bool
}

type claim struct {
	digest string // of what a run wrote last; empty if none did yet
	boot   string // in which a run began that may write it; empty if none runs
}

const before = "before" // the boot of a run that is not known any more

func readClaims(file, beside string) (*claims, error) {
	c := &claims{file: file, beside: beside, boot: before}
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		c.boot = strings.TrimSpace(string(b))
	}
	b, err := cell.Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c.held = parseClaims(string(b))
	if beside != "" {
		b, _ := cell.Read(beside) // a help where it is there
		c.told = parseClaims(string(b))
	}
	return c, nil
}

func parseClaims(text string) map[string]claim {
	held := map[string]claim{}
	for line := range strings.Lines(text) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole || line == "" {
			continue
		}
		fields := strings.SplitN(line, "\t", 3)
		if len(fields) < 3 {
			held[line] = claim{boot: before}
			continue
		}
		held[fields[2]] = claim{undash(fields[0]), undash(fields[1])}
	}
	return held
}

// What is said of a file that is not a run's.
var (
	errForeign = errors.New("it is there, and no run made it")
	errEdited  = errors.New("it was changed since a run wrote it")
)

// own tells whether runs may write a path, where a cell's output of that name
// goes, or says whose file stands there. What a run that did not end well may
// have left half written is not known for a run's: aside then says that it is to
// be kept aside.
func (c *claims) own(s *store.Store, path, to, name string) (aside bool, err error) {
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
	c.mu.Lock()
	had, known := c.held[to]
	told := c.told[to].digest
	c.mu.Unlock()
	switch {
	case digest == had.digest || digest == told || s.Made(name, digest):
		return false, nil
	case had.boot != "" && had.boot != c.boot:
		return true, nil
	case had.digest != "" || told != "":
		return false, errEdited
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

// open notes that a run may write a path from now on.
func (c *claims) open(to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := c.held[to]
	if cl.boot != c.boot {
		cl.boot, c.dirty = c.boot, true
		c.held[to] = cl
	}
}

// wrote notes what a path holds, as a run wrote it.
func (c *claims) wrote(to, digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[to].digest != digest {
		c.held[to], c.dirty = claim{digest, c.boot}, true
	}
}

// close notes that no run is under way: what none wrote is claimed no longer.
func (c *claims) close() error {
	for to, cl := range c.held {
		if cl.boot == "" {
			continue
		}
		c.dirty = true
		if cl.boot = ""; cl.digest == "" {
			delete(c.held, to)
		} else {
			c.held[to] = cl
		}
	}
	if !c.dirty {
		return nil
	}
	if err := c.keep(); err != nil {
		return err
	}
	if c.beside != "" {
		maps.Copy(c.told, c.held)
		if os.MkdirAll(filepath.Dir(c.beside), 0o777) == nil { // or it is known here alone
			_ = cell.Leave(c.beside, []byte(lines(c.told)))
		}
	}
	return nil
}

// lines writes a line for each path, sorted.
func lines(held map[string]claim) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(held)) {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", cmp.Or(held[path].digest, "-"), cmp.Or(held[path].boot, "-"), path)
	}
	return b.String()
}

// keep makes claims durable. The file is written aside and renamed: a torn one
// would forget claims.
func (c *claims) keep() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	f, err := os.Create(c.file + "~")
	if err != nil {
		return err
	}
	_, err = f.WriteString(lines(c.held))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(c.file+"~", c.file)
	}
	c.dirty = err != nil
	return err
}

func undash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}
