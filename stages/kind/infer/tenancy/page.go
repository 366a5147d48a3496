package tenancy

import (
	"sync/atomic"

	"barograph/pipeline/cell/shared"
)

const magic = 0x746e616e6574_0002

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
		lodge   atomic.Int64 // the process of its cell, where that is not the one that calls
		_       [4]int64     // to a cache line of its own
	}
}

// open maps the page at a path. It stays mapped.
func open(path string) (*layout, error) {
	l, _, err := shared.Map(path, magic, func(l *layout) *atomic.Uint64 { return &l.magic })
	return l, err
}
