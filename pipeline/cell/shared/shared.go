// Package shared maps memory that processes share.
package shared

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nameless returns the path of an empty file for [Map] that lies in memory, in no folder: it
// is this process's, and gone with it however it ends. One use within one context has one
// file. Once that has ended nobody can open it, and who has mapped it keeps it.
func Nameless(ctx context.Context, use string) (path string, err error) {
	nameless.Lock()
	defer nameless.Unlock()
	key := within{ctx, use}
	if path, ok := nameless.at[key]; ok {
		return path, nil
	}
	fd, err := unix.MemfdCreate(use, unix.MFD_CLOEXEC)
	if err != nil {
		return "", os.NewSyscallError("memfd_create", err)
	}
	path = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	nameless.at[key] = path
	context.AfterFunc(ctx, func() {
		nameless.Lock()
		defer nameless.Unlock()
		delete(nameless.at, key)
		_ = unix.Close(fd)
	})
	return path, nil
}

type within struct {
	context.Context
	use string
}

var nameless = struct {
	sync.Mutex
	at map[within]string
}{at: map[within]string{}}

// Map maps the file at a path, which it makes where there is none, as a T that all see
// who map it, and returns what unmaps it. A T is words to be changed without a lock; the
// one that marked points at holds a mark. A file that holds something else is an error,
// and one of another size is left as it is.
func Map[T any](path string, mark uint64, marked func(*T) *atomic.Uint64) (v *T, unmap func() error, err error) {
	fail := func(err error) (*T, func() error, error) {
		return nil, nil, fmt.Errorf("share a page at %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	size := int64(unsafe.Sizeof(*v))
	info, err := f.Stat()
	if err == nil && info.Size() != 0 && info.Size() != size {
		err = errors.New("the file holds something else")
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		return fail(err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fail(err)
	}
	unmap = func() error { return unix.Munmap(memory) }
	for i := 0; i+4 <= len(memory); i += os.Getpagesize() { // lest whoever comes to a page first wait for it
		(*atomic.Uint32)(unsafe.Pointer(&memory[i])).Add(0)
	}
	v = (*T)(unsafe.Pointer(&memory[0]))
	if word := marked(v); !word.CompareAndSwap(0, mark) && word.Load() != mark {
		return fail(errors.Join(errors.New("the file holds something else"), unmap()))
	}
	return v, unmap, nil
}
