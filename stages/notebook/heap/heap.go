// Package heap has a process's garbage collected seldom: most notebooks end before
// theirs is worth collecting.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// light is how many bytes may be allocated between two collections in any case, and
// heavy how many more of a large heap, in percent of it: memory is scarcer than time
// where there is much to draw.
const (
	light = 40 << 20
	heavy = 25
)

// first is the heap in bytes at which the runtime would collect first at 100 percent.
const first = 4 << 20

// Spare has collections come seldom in this process from now on.
var Spare = sync.OnceFunc(func() {
	debug.SetGCPercent(100 * light / first)
	runtime.AddCleanup(new(mark), collected, struct{}{})
})

// A mark is garbage: its cleanup tells that there was a collection.
type mark struct{ _ *mark }

func collected(struct{}) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(max(heavy, int(100*light/max(first, live[0].Value.Uint64()))))
	runtime.AddCleanup(new(mark), collected, struct{}{})
}
