package host

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Look is what a computer does that is not ours, seen for a moment.
type Look struct {
	CPUs      int     // that this process may use
	Busy      float64 // processors' worth of work that others do on them
	Stolen    float64 // processors' worth that other virtual machines take
	Users     []User  // who is busy, the busiest first
	Load      float64 // the load average of the last minute
	Throttled int64   // how often heat held a processor back meanwhile
	// Pressure is the share of the last ten seconds in which some process waited
	// for cpu, memory or io; nothing where the kernel does not tell.
	Pressure map[string]float64
}

// A User is a process that uses the processors.
type User struct {
	Name string
	PID  int
	Busy float64 // processors' worth
}

// See looks at the computer for a while. What a kernel does not tell is zero.
func See(while time.Duration) (Look, error) { return see(while, "/") }

func see(while time.Duration, root string) (Look, error) {
	cpus, err := started()
	if err != nil {
		return Look{}, err
	}
	before, err := glance(root, cpus)
	if err != nil {
		return Look{}, err
	}
	time.Sleep(while)
	after, err := glance(root, cpus)
	if err != nil {
		return Look{}, err
	}
	l := before.until(after)
	l.CPUs = len(cpus)
	if b, err := os.ReadFile(filepath.Join(root, "proc/loadavg")); err == nil {
		fmt.Sscan(string(b), &l.Load)
	}
	for _, of := range []string{"cpu", "memory", "io"} {
		if share, ok := pressure(filepath.Join(root, "proc/pressure", of)); ok {
			l.Pressure[of] = share
		}
	}
	return l, nil
}

// until tells what was done between two moments by others than this process.
func (before moment) until(after moment) Look {
	took := float64(after.at.Sub(before.at))
	l := Look{Stolen: float64(after.stolen-before.stolen) / took, Throttled: after.throttled - before.throttled, Pressure: map[string]float64{}}
	l.Busy = float64(after.busy-before.busy) / took
	for pid, now := range after.spent {
		was, known := before.spent[pid]
		if !known || was.name != now.name {
			was.time = now.time // it began meanwhile: what it used is in the sum
		}
		if busy := float64(now.time-was.time) / took; pid == os.Getpid() {
			l.Busy -= busy
		} else if busy >= 0.05 {
			l.Users = append(l.Users, User{now.name, pid, busy})
		}
	}
	l.Busy = max(0, l.Busy-l.Stolen)
	slices.SortFunc(l.Users, func(a, b User) int { return cmp.Or(cmp.Compare(b.Busy, a.Busy), cmp.Compare(a.PID, b.PID)) })
	return l
}

// A moment is what the kernel has counted until then.
type moment struct {
	at           time.Time
	busy, stolen time.Duration
	throttled    int64
	spent        map[int]use
}

type use struct {
	name string
	time time.Duration
}

func glance(root string, cpus []int) (m moment, err error) {
	m.at = time.Now()
	b, err := os.ReadFile(filepath.Join(root, "proc/stat"))
	if err != nil {
		return m, fmt.Errorf("read the CPUs' time: %w", err)
	}
	if m.busy, err = busyTime(string(b), cpus); err != nil {
		return m, err
	}
	m.stolen = stolenTime(string(b), cpus)
	counts, _ := filepath.Glob(filepath.Join(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"))
	for _, path := range counts {
		if b, err := os.ReadFile(path); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			m.throttled += n
		}
	}
	m.spent = map[int]use{}
	entries, err := os.ReadDir(filepath.Join(root, "proc"))
	for _, e := range entries {
		pid, notOne := strconv.Atoi(e.Name())
		if notOne != nil {
			continue
		}
		if b, err := os.ReadFile(filepath.Join(root, "proc", e.Name(), "stat")); err == nil { // or it has ended
			if u, ok := spentBy(string(b)); ok {
				m.spent[pid] = u
			}
		}
	}
	return m, err
}

// stolenTime sums what /proc/stat says that other virtual machines had of CPUs.
func stolenTime(stat string, cpus []int) (stolen time.Duration) {
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) < 9 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(f[0], "cpu"))
		if err != nil || !slices.Contains(cpus, n) {
			continue
		}
		ticks, _ := strconv.ParseUint(f[8], 10, 36)
		stolen += time.Duration(ticks) * tick
	}
	return stolen
}

// spentBy reads a process's name and the time it has used from its stat, whose
// second field is the name in brackets, and may hold brackets and blanks.
func spentBy(stat string) (u use, ok bool) {
	open, shut := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || shut < open {
		return u, false
	}
	f := strings.Fields(stat[shut+1:])
	if len(f) < 13 {
		return u, false
	}
	user, err1 := strconv.ParseUint(f[11], 10, 36)
	system, err2 := strconv.ParseUint(f[12], 10, 36)
	return use{stat[open+1 : shut], time.Duration(user+system) * tick}, err1 == nil && err2 == nil
}

// pressure reads from a file such as
//
//	some avg10=1.23 avg60=0.50 avg300=0.10 total=12345
//
// for which share of the last ten seconds something waited.
func pressure(path string) (share float64, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	_, text, ok := strings.Cut(string(b), "some avg10=")
	text, _, _ = strings.Cut(text, " ")
	percent, err := strconv.ParseFloat(text, 64)
	return percent / 100, ok && err == nil
}
