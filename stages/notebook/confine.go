package notebook

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"barograph/pipeline/cell"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Limits of a notebook's process.
const (
	maxHeap     = 2 << 30         // bytes in use by the notebook
	maxMemory   = maxHeap + 1<<30 // bytes of private memory, which the kernel enforces
	maxStack    = 64 << 20        // bytes, some 50,000 calls deep
	maxFileSize = 1 << 30         // bytes of one output
)

// confine takes from this process, for good, what a notebook does not need: it
// can read its inputs and its own folder and write below the working folder, and
// it can use neither the network nor other programs' files. Where the kernel has
// no Landlock, the list of symbols is the only wall. Programs may still be
// started.
func confine(s *cell.Spec, programs ...string) error {
	const (
		read  = landlock.AccessFSSet(ll.AccessFSReadFile)
		list  = read | landlock.AccessFSSet(ll.AccessFSReadDir)
		write = list | landlock.AccessFSSet(ll.AccessFSWriteFile|ll.AccessFSTruncate|ll.AccessFSMakeReg|ll.AccessFSMakeDir|ll.AccessFSRemoveFile|ll.AccessFSRemoveDir)
	)
	rules := []landlock.Rule{landlock.PathAccess(write, "."), landlock.PathAccess(list, s.Notebook)}
	if len(programs) > 0 {
		rules = append(rules, landlock.PathAccess(read|landlock.AccessFSSet(ll.AccessFSExecute), programs...))
	}
	var files []string
	for _, in := range s.Inputs {
		files = slices.AppendSeq(files, maps.Values(in.Files))
	}
	for _, name := range s.Files {
		path, err := filepath.EvalSymlinks(name)
		if err != nil {
			return fmt.Errorf("confine the notebook: %w", err)
		}
		files = append(files, path)
	}
	if len(files) > 0 {
		rules = append(rules, landlock.PathAccess(read, files...))
	}
	if err := landlock.V6.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("confine the notebook: %w", err)
	}
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: maxFileSize}
	if !raceDetector {
		limits[unix.RLIMIT_DATA] = maxMemory
	}
	for what, most := range limits {
		if err := restrict(what, most); err != nil {
			return fmt.Errorf("confine the notebook: %w", err)
		}
	}
	return nil
}

// restrict sets a limit of this process, unless a smaller one is set.
func restrict(what int, most uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(what, &l); err != nil {
		return err
	}
	l.Cur, l.Max = min(l.Cur, most), min(l.Max, most)
	return unix.Setrlimit(what, &l)
}
