package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Watch tells how much of some CPUs' time went to other processes, or to
// other virtual machines, since it began.
type Watch struct {
	cpus  []int
	begun time.Time
	busy  time.Duration // of the CPUs, as the kernel counts it
	self  time.Duration // of this process
}

// NewWatch begins to watch CPUs that the whole process is pinned to.
func NewWatch(cpus []int) (*Watch, error) {
	w := &Watch{cpus: cpus, begun: time.Now()}
	var err error
	w.busy, w.self, err = spent(cpus)
	return w, err
}

// Others returns the share, from 0 to 1, that others had of the CPUs' time.
// The kernel counts in hundredths of a second, so a watch of less than a second
// is a rough one.
func (w *Watch) Others() (float64, error) {
	busy, self, err := spent(w.cpus)
	if err != nil {
		return 0, err
	}
	total := time.Since(w.begun) * time.Duration(len(w.cpus))
	others := (busy - w.busy) - (self - w.self)
	return min(1, max(0, others.Seconds()/total.Seconds())), nil
}

// spent returns how long the CPUs have been busy, and this process with them.
func spent(cpus []int) (busy, self time.Duration, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("read the CPUs' time: %w", err)
	}
	if busy, err = busyTime(string(b), cpus); err != nil {
		return 0, 0, err
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, 0, fmt.Errorf("read the process's time: %w", err)
	}
	return busy, time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

const tick = time.Second / 100 // USER_HZ, the same on every Linux of Go

// busyTime sums, from the text of /proc/stat, the CPUs' time that was not idle.
func busyTime(stat string, cpus []int) (busy time.Duration, err error) {
	left := map[string]bool{}
	for _, cpu := range cpus {
		left["cpu"+strconv.Itoa(cpu)] = true
	}
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) == 0 || !left[f[0]] {
			continue
		}
		delete(left, f[0])
		// user nice system idle iowait irq softirq steal; guests are in user.
		for i, s := range f[1:min(len(f), 9)] {
			n, err := strconv.ParseUint(s, 10, 36)
			if err != nil {
				return 0, fmt.Errorf("read the CPUs' time: /proc/stat says %q", strings.TrimSpace(line))
			}
			if i != 3 && i != 4 {
				busy += time.Duration(n) * tick
			}
		}
	}
	if len(left) > 0 {
		return 0, fmt.Errorf("read the CPUs' time: /proc/stat has %d of CPUs %v", len(cpus)-len(left), cpus)
	}
	return busy, nil
}
