package display

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// scratch makes a temporary folder that is this process's while it lives, and
// removes those of the same name that processes left which were killed: the
// kernel has given back their locks.
func scratch(name string) (dir string, drop func(), err error) {
	// The pattern is well formed, which is Glob's only error.
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), name+"*"))
	for _, dir := range old {
		if info, err := os.Lstat(dir); err != nil || time.Since(info.ModTime()) < unlocked {
			continue
		}
		if release, err := lock(dir); err == nil {
			os.RemoveAll(dir) // what stays is tried again
			release()
		}
	}
	if dir, err = os.MkdirTemp("", name); err != nil {
		return "", nil, err
	}
	release, err := lock(dir)
	if err != nil {
		return "", nil, errors.Join(err, os.Remove(dir))
	}
	return dir, func() {
		os.RemoveAll(dir)
		release()
	}, nil
}

// unlocked is longer than a new folder is without its lock.
const unlocked = time.Minute

// lock takes the lock of a folder that nobody has locked.
func lock(dir string) (release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}
