package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device"
)

// Memory is the memory bus as a [device.Device].
type Memory struct {
	Cache     int64 // bytes of one last-level cache
	Available int64 // bytes of memory that can be had without swapping
}

// Open looks at the machine's last-level cache and available memory.
func Open() (*Memory, error) {
	available, err := available("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	return &Memory{Cache: lastLevelCache("/sys/devices/system/cpu/cpu0/cache"), Available: available}, nil
}

// arena returns the bytes of each of a thread's two buffers: whole blocks, and
// at least twice the cache.
func (m *Memory) arena(block int64) int64 {
	blocks := max(1, (2*m.Cache+block-1)/block)
	return blocks * block
}

// Fit reports whether the buffers of all threads fit into available memory with
// an eighth of it to spare.
func (m *Memory) Fit(l device.Load) error {
	if l.Block < 1 {
		return fmt.Errorf("copy blocks of %d bytes: want at least 1", l.Block)
	}
	// In floating point, since threads times a block may be more than an int64.
	need, have := float64(l.Threads)*2*float64(m.arena(l.Block)), float64(m.Available)*7/8
	if need > have {
		return cell.Hint(fmt.Errorf("%d threads with two buffers of %s each need %s of memory, and %s can be spared",
			l.Threads, unit.Size(m.arena(l.Block)), gib(need), gib(have)),
			"lower threads or block; a machine file under configs/machines/ can override the study's levels")
	}
	return nil
}

func gib(bytes float64) string { return fmt.Sprintf("%.1f GiB", bytes/(1<<30)) }

// OnePath reports that there is one bus.
func (m *Memory) OnePath() bool { return true }

// Notes states what differs from a link between host and device.
func (m *Memory) Notes(l device.Load) []string {
	notes := []string{"the memory bus is one path: directions and page-locking make no difference, and a copy's bytes count once"}
	if l.Outstanding > 1 {
		notes = append(notes, fmt.Sprintf("a thread on the host has one copy in flight, not %d: its CPU makes the copy", l.Outstanding))
	}
	return notes
}

// Lane allocates and touches a thread's two buffers.
func (m *Memory) Lane(l device.Load, thread int) (device.Lane, error) {
	n := m.arena(l.Block)
	b, err := unix.Mmap(-1, 0, int(2*n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("allocate %s for stressor thread %d: %w", unit.Size(2*n), thread, err),
			"lower threads or block, or raise the limit on memory (ulimit -v)")
	}
	// Advice only: a kernel without huge pages copies through small ones.
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	// Every page is written, or all of the source would be the one page of
	// zeros, which fits any cache.
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	return &lane{memory: b, from: b[:n], to: b[n:], block: l.Block}, nil
}

// A lane copies as soon as it is asked to, and hands out what it has done.
type lane struct {
	memory, from, to []byte
	block, next      int64 // next: offset of the next copy
	done             []device.Copy
}

func (l *lane) Submit(d device.Direction, bytes int64) error {
	from, to := l.from[l.next:l.next+bytes], l.to[l.next:l.next+bytes]
	if l.next += bytes; l.next+l.block > int64(len(l.from)) {
		l.next = 0
	}
	start := cell.Now()
	copy(to, from)
	l.done = append(l.done, device.Copy{Start: start, Duration: cell.Now() - start, Bytes: bytes, Direction: d})
	return nil
}

func (l *lane) Wait(done func(device.Direction) error) (device.Copy, error) {
	if len(l.done) == 0 {
		return device.Copy{}, fmt.Errorf("wait for a copy on the host: none was submitted")
	}
	c := l.done[0]
	l.done = l.done[:copy(l.done, l.done[1:])]
	if done != nil {
		return c, done(c.Direction)
	}
	return c, nil
}

func (l *lane) Close() error {
	l.from, l.to = nil, nil
	return unix.Munmap(l.memory)
}

// available reads MemAvailable from a file like /proc/meminfo.
func available(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read available memory: %w", err)
	}
	kib, ok := memAvailable(string(b))
	if !ok {
		return 0, fmt.Errorf("read available memory: no MemAvailable in %s", path)
	}
	return kib << 10, nil
}

// memAvailable finds the number of KiB in the text of /proc/meminfo.
func memAvailable(meminfo string) (kib int64, ok bool) {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" && f[2] == "kB" {
			n, err := strconv.ParseUint(f[1], 10, 52)
			return int64(n), err == nil
		}
	}
	return 0, false
}

// lastLevelCache returns the size of the highest cache listed below dir, or,
// where none is (some virtual machines hide them), 64 MiB: more than most have,
// and the only cost of too much is memory.
func lastLevelCache(dir string) int64 {
	size, level := int64(64<<20), 0
	folders, _ := filepath.Glob(filepath.Join(dir, "index*"))
	for _, f := range folders {
		l, err1 := os.ReadFile(filepath.Join(f, "level"))
		s, err2 := os.ReadFile(filepath.Join(f, "size"))
		if err1 != nil || err2 != nil {
			continue
		}
		n, err1 := strconv.Atoi(strings.TrimSpace(string(l)))
		kib, err2 := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(s)), "K"), 10, 64)
		if err1 == nil && err2 == nil && kib > 0 && n > level {
			size, level = kib<<10, n
		}
	}
	return size
}
