package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A place is where a CPU sits: hardware threads of one core share its execution
// units and first caches, cores of one package its memory controllers.
type place struct{ cpu, pkg, core int }

// Split divides the CPUs the process may use between the inference and the
// stressor, so that they meet on the memory bus and not on a core. Each package
// gives its last half of cores to the stressor and the rest to the inference:
// both sides use every package's memory controllers, and the hardware threads
// of one core stay on one side. Where no package has two cores, hardware
// threads are divided instead, and a single CPU belongs to both.
//
// Split divides what the process was allowed before any [Pin], so the order of
// the two does not matter.
func Split() (infer, stress []int, err error) {
	cpus, err := started()
	if err != nil {
		return nil, nil, err
	}
	places := make([]place, len(cpus))
	for i, cpu := range cpus {
		// A kernel that hides its topology (some containers do) has every CPU
		// be a core of one package.
		places[i] = place{cpu, topology(cpu, "physical_package_id", 0), topology(cpu, "core_id", cpu)}
	}
	infer, stress = split(places)
	return infer, stress, nil
}

func split(places []place) (infer, stress []int) {
	type id struct{ pkg, core int }
	packages := map[int][]id{}
	members := map[id][]int{}
	for _, p := range places {
		c := id{p.pkg, p.core}
		if members[c] == nil {
			packages[p.pkg] = append(packages[p.pkg], c)
		}
		members[c] = append(members[c], p.cpu)
	}
	for _, cores := range packages {
		for i, c := range cores {
			if i < len(cores)-len(cores)/2 {
				infer = append(infer, members[c]...)
			} else {
				stress = append(stress, members[c]...)
			}
		}
	}
	slices.Sort(infer)
	slices.Sort(stress)
	if len(stress) > 0 {
		return infer, stress
	}
	if n := len(infer); n > 1 {
		return infer[:n-n/2], infer[n-n/2:]
	}
	return infer, slices.Clone(infer)
}

// Pin confines every thread of the calling process, and so every thread those
// start later, to the given CPUs.
func Pin(cpus []int) error {
	set, err := mask(cpus)
	if err != nil {
		return err
	}
	if _, err := started(); err != nil {
		return err
	}
	// A thread not yet visited may start another with the old mask, so go on
	// until a pass finds nobody new.
	pinned := map[int]bool{}
	for fresh := true; fresh; {
		fresh = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("pin process to CPUs %v: %w", cpus, err)
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || pinned[tid] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
				return fmt.Errorf("pin process to CPUs %v: %w", cpus, err)
			}
			pinned[tid], fresh = true, true
		}
	}
	return nil
}

// PinThread confines the calling thread, which the caller has locked to its
// goroutine, to the given CPUs.
func PinThread(cpus []int) error {
	set, err := mask(cpus)
	if err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(0, set); err != nil {
		return fmt.Errorf("pin thread to CPUs %v: %w", cpus, err)
	}
	return nil
}

func mask(cpus []int) (*unix.CPUSet, error) {
	var set unix.CPUSet
	for _, cpu := range cpus {
		if set.Set(cpu); cpu < 0 || !set.IsSet(cpu) {
			return nil, fmt.Errorf("pin to CPUs %v: no CPU %d", cpus, cpu)
		}
	}
	if set.Count() == 0 {
		return nil, fmt.Errorf("pin to CPUs %v: the list is empty", cpus)
	}
	return &set, nil
}

// started holds the mask from before the first Pin.
var started = sync.OnceValues(allowed)

// allowed returns the CPUs of the process's affinity mask, ascending.
func allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read the affinity mask: %w", err)
	}
	cpus := make([]int, 0, set.Count())
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// topology reads one number about a CPU, or returns otherwise.
func topology(cpu int, name string, otherwise int) int {
	b, err := os.ReadFile(filepath.Join("/sys/devices/system/cpu", "cpu"+strconv.Itoa(cpu), "topology", name))
	if err != nil {
		return otherwise
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return otherwise
	}
	return n
}
