package asset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// Lock takes an exclusive lock on a file, made if need be, that the kernel
// releases when the process ends, however it ends. If another process holds it,
// Lock calls wait, unless nil, once and waits until ctx is done.
func Lock(ctx context.Context, file string, wait func()) (unlock func(), err error) {
	err = os.MkdirAll(filepath.Dir(file), 0o777)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o666)
	}
	if err != nil {
		return nil, cell.Hint(err, "set BAROGRAPH_CACHE to a folder that can be written")
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing releases the lock
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", file, err), f.Close())
		}
		if wait != nil {
			wait()
			wait = nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: %w", file, ctx.Err()), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A memo is a digest together with all that shows that it still holds.
type memo struct {
	Path  string `json:"path"`
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime_ns"`
	Ctime int64  `json:"ctime_ns"`
	SHA   string `json:"sha256"`
}

func stat(path string) (memo, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return memo{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return memo{Path: path, Dev: uint64(st.Dev), Inode: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}, nil
}

// settled is how long a file must have rested before its digest is remembered:
// a change within one tick of the file system's clock leaves no trace in stat.
const settled = 100 * time.Millisecond

// Digest returns a file's SHA-256 in hexadecimal. The digest of a file whose
// inode, size and times have not changed since it was last asked for is taken
// from [CacheDir], so that planning does not read gigabytes.
func Digest(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	now, err := stat(path)
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(path))
	file := ""
	if cache, err := cell.CacheDir(); err == nil {
		file = filepath.Join(cache, "digests", hex.EncodeToString(key[:8])+".json")
		var known memo
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &known) == nil {
			now.SHA = known.SHA
			if len(known.SHA) == 2*sha256.Size && now == known {
				return known.SHA, nil
			}
		}
	}
	if now.SHA, err = cell.Sum(path); err != nil {
		return "", err
	}
	after, err := stat(path)
	if err != nil {
		return "", err
	}
	after.SHA = now.SHA
	if now != after {
		return "", fmt.Errorf("hash %s: it changed meanwhile", path)
	}
	if file != "" && time.Since(time.Unix(0, max(now.Mtime, now.Ctime))) > settled {
		remember(file, now)
	}
	return now.SHA, nil
}

// remember stores a memo. A cache that cannot be written costs time, no more.
func remember(file string, m memo) {
	b, err := json.Marshal(m)
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o777) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "*.tmp")
	if err != nil {
		return
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
}
