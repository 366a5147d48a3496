package cell_test

import (
	"testing"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// Processes compare their times: the clock of each is the kernel's.
func TestNow(t *testing.T) {
	kernel := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano()
	}
	for range 100 {
		before, now, after := kernel(), cell.Now(), kernel()
		if off := max(before-now, now-after); off > 10_000 {
			t.Fatalf("it is %d ns off", off)
		}
	}
}
