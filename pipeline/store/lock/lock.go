// Package lock has one process at a time do something, and says who that is.
package lock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// Take takes the lock at path, which the kernel frees when this process ends,
// however it ends. While other processes hold it, waiting is called with what each
// said of itself. Closing the result gives the lock back.
func Take(ctx context.Context, path string, waiting func(holder string)) (io.Closer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_NB); err == unix.EWOULDBLOCK {
		if err := await(ctx, f, waiting); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	who := fmt.Sprintf("process %d (%s)", os.Getpid(), strings.Join(os.Args, " "))
	who += " of " + cmp.Or(os.Getenv("USER"), fmt.Sprint("user ", os.Getuid()))
	if dir, err := os.Getwd(); err == nil {
		who += " in " + dir
	}
	if f.Truncate(0) == nil { // on a full disk it is held all the same, without a name
		_, _ = f.WriteAt([]byte(who+", since "+time.Now().Format(time.DateTime)+"\n"), 0)
	}
	return f, nil
}

// flock locks a file for this process alone.
func flock(f *os.File, how int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|how)
	}
	return err
}

// await locks a file once others give it back, and says who they are.
func await(ctx context.Context, f *os.File, waiting func(holder string)) error {
	locked := make(chan error, 1)
	go func() { locked <- flock(f, 0) }()
	for told := ""; ; {
		// A holder may be between taking the lock and saying so.
		if who := said(f); who != "" && who != told {
			told = who
			waiting(told)
		}
		select {
		case err := <-locked:
			if err != nil {
				err = errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
			}
			return err
		case <-ctx.Done():
			go func() { // no sooner: its number could become another file's
				<-locked
				f.Close()
			}()
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Held returns what the holder of a lock said of itself; nothing if nobody holds
// it.
func Held(path string) string {
	f, _, err := cell.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil { // given back by Close
		return ""
	}
	return said(f)
}

func said(f *os.File) string {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 1<<16))
	return strings.TrimSpace(string(b))
}

// open opens a file to lock. It may be in a folder that all share, and made by
// another user: then it is opened as it is, for the kernel lets nobody create a
// file there under a name that another's has.
func open(path string) (*os.File, error) {
	for {
		for _, how := range []int{os.O_RDWR, os.O_RDONLY} {
			f, err := os.OpenFile(path, how|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
			if err == nil {
				info, err := f.Stat()
				if err == nil {
					err = cell.Irregular(path, info.Mode())
				}
				if err != nil {
					return nil, errors.Join(err, f.Close())
				}
				return f, nil
			}
			if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) || how == os.O_RDONLY && errors.Is(err, fs.ErrPermission) {
				return nil, err
			}
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			_ = f.Chmod(0o666) // whatever the mask says, for others' sake
			return f, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
}
