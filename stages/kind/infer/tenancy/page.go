package tenancy

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const magic = 0x746e616e6574_0001

// A layout is a page's memory: words that tenants change without a lock. Each tenant
// writes its own, and the first the round and its window.
type layout struct {
	magic      atomic.Int64
	round      atomic.Int64 // that all are to call in, from 1
	start, end atomic.Int64 // of its window; 0: not yet
	tenants    [Most]struct {
		running atomic.Int64 // the round in which it has made some calls
		idle    atomic.Int64 // the round after which it pauses
		within  atomic.Int64 // calls in this round's window
		_       [5]int64     // to a cache line of its own
	}
}

// A page is memory that the tenants of a trial share.
type page struct {
	*layout
	path string // empty: this process's alone
}

// open maps the page at a path, which it makes where there is none. It stays mapped.
func open(path string) (*page, error) {
	fail := func(err error) (*page, error) { return nil, fmt.Errorf("share a page at %s: %w", path, err) }
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	size := int64(unsafe.Sizeof(layout{}))
	if err := f.Truncate(size); err != nil {
		return fail(err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fail(err)
	}
	p := &page{layout: (*layout)(unsafe.Pointer(&memory[0])), path: path}
	if !p.magic.CompareAndSwap(0, magic) && p.magic.Load() != magic {
		return fail(errors.New("the file holds something else"))
	}
	return p, nil
}

// Leave removes the page's file, which those who have it open keep.
func (m *Member) Leave() {
	if m.page.path != "" {
		_ = os.Remove(m.page.path) // or another has
	}
}
