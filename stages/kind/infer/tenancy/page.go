package tenancy

import (
	"os"
	"sync/atomic"

	"barograph/pipeline/cell/shared"
)

const magic = 0x746e616e6574_0001

// A layout is a page's memory: words that tenants change without a lock. Each tenant
// writes its own, and the first the round and its window.
type layout struct {
	magic      atomic.Uint64
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
	l, _, err := shared.Map(path, magic, func(l *layout) *atomic.Uint64 { return &l.magic })
	if err != nil {
		return nil, err
	}
	return &page{layout: l, path: path}, nil
}

// Leave removes the page's file, which those who have it open keep.
func (m *Member) Leave() {
	if m.page.path != "" {
		_ = os.Remove(m.page.path) // or another has
	}
}
