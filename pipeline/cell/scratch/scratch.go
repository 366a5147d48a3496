// Package scratch makes temporary folders that a killed process does not leave for good:
// each is locked while its process lives, and the kernel gives the locks back.
package scratch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// prefix begins the name of every such folder of this computer: others may share a disk, and
// not the locks on it.
var prefix = sync.OnceValue(func() string {
	name, _ := os.Hostname()
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("barograph-scratch-%x-", sum[:3])
})

var flock = unix.Flock

// New makes a folder with a name of its own, which drop removes.
func New() (dir string, drop func() error, err error) {
	Sweep()
	for {
		if dir, err = os.MkdirTemp("", prefix()); err != nil {
			return "", nil, err
		}
		if drop, err = own(dir); drop != nil || err != nil {
			return dir, drop, err
		}
	}
}

// Path returns where [At] makes the folder of a name.
func Path(name string) string { return filepath.Join(os.TempDir(), prefix()+name) }

// At makes the folder at a path, which drop removes. Where a process has it, that is an
// error.
func At(dir string) (drop func() error, err error) {
	Sweep()
	for {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		if drop, err = own(dir); drop != nil || err != nil {
			return drop, err
		}
	}
}

// own locks a folder that was just made; drop is nil where [Sweep] came first.
func own(dir string) (drop func() error, err error) {
	f, err := lock(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	if err != nil { // a disk without locks, on which Sweep leaves what there is
		return func() error { return os.RemoveAll(dir) }, nil
	}
	locked, err := f.Stat()
	if is, gone := os.Lstat(dir); err != nil || gone != nil || !os.SameFile(locked, is) {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(os.RemoveAll(dir), f.Close()) }, nil
}

// Sweep removes this user's folders whose processes are gone.
func Sweep() {
	all, err := os.Open(os.TempDir())
	if err != nil {
		return
	}
	defer all.Close()
	names, _ := all.Readdirnames(-1) // what stays is tried again
	for _, name := range names {
		if !strings.HasPrefix(name, prefix()) {
			continue
		}
		dir := filepath.Join(os.TempDir(), name)
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
			continue
		}
		if f, err := lock(dir); err == nil {
			_ = errors.Join(os.RemoveAll(dir), f.Close())
		}
	}
}

// lock takes the lock of a folder that nobody has locked.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
