package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock takes the lock at path, which the kernel frees when this process ends,
// however it ends. While other processes hold it, waiting is called with what each
// said of itself. Closing the result gives the lock back.
func Lock(ctx context.Context, path string, waiting func(holder string)) (io.Closer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	for told := ""; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		// A holder may be between taking the lock and saying so.
		if b, _ := os.ReadFile(path); len(b) > 0 && string(b) != told {
			told = string(b)
			waiting(strings.TrimSpace(told))
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
	who := fmt.Sprintf("process %d (%s), since %s\n", os.Getpid(), strings.Join(os.Args, " "), time.Now().Format(time.DateTime))
	if f.Truncate(0) == nil { // on a full disk it is held all the same, without a name
		_, _ = f.WriteAt([]byte(who), 0)
	}
	return f, nil
}
