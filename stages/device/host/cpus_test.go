package host

import (
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	cores := func(n, threads, packages int) (p []place) {
		// As Linux numbers them: first threads of all cores, then the siblings.
		for s := range threads {
			for c := range n * packages {
				p = append(p, place{cpu: s*n*packages + c, pkg: c / n, core: c % n})
			}
		}
		return p
	}
	for _, tt := range []struct {
		name          string
		places        []place
		infer, stress []int
	}{
		{"one CPU", cores(1, 1, 1), []int{0}, []int{0}},
		{"two cores", cores(2, 1, 1), []int{0}, []int{1}},
		{"one core, two threads", cores(1, 2, 1), []int{0}, []int{1}},
		{"three cores", cores(3, 1, 1), []int{0, 1}, []int{2}},
		{"siblings stay together", cores(2, 2, 1), []int{0, 2}, []int{1, 3}},
		{"both sides on both packages", cores(2, 1, 2), []int{0, 2}, []int{1, 3}},
		{"two packages of one core", cores(1, 1, 2), []int{0}, []int{1}},
		{"a mask with holes", []place{{5, 0, 5}, {9, 0, 9}}, []int{5}, []int{9}},
	} {
		infer, stress := split(tt.places)
		if !reflect.DeepEqual(infer, tt.infer) || !reflect.DeepEqual(stress, tt.stress) {
			t.Errorf("%s: infer %v, stress %v; want %v and %v", tt.name, infer, stress, tt.infer, tt.stress)
		}
	}
}

func TestSplitIsAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := make([]place, rapid.IntRange(1, 40).Draw(t, "cpus"))
		for i := range places {
			places[i] = place{i, rapid.IntRange(0, 2).Draw(t, "package"), rapid.IntRange(0, 7).Draw(t, "core")}
		}
		infer, stress := split(places)
		if len(infer) == 0 || len(stress) == 0 {
			t.Fatalf("a side has no CPU: %v and %v", infer, stress)
		}
		all := append(slices.Clone(infer), stress...)
		slices.Sort(all)
		if n := len(slices.Compact(all)); n != len(places) || len(places) > 1 && len(infer)+len(stress) != n {
			t.Fatalf("%d CPUs became %v and %v", len(places), infer, stress)
		}
	})
}

func TestSplitHere(t *testing.T) {
	infer, stress, err := Split()
	if err != nil || len(infer) == 0 || len(stress) == 0 {
		t.Fatalf("Split() = %v, %v, %v", infer, stress, err)
	}
}

// TestPin runs in a process of its own: pinning cannot be undone for the rest.
func TestPin(t *testing.T) {
	if os.Getenv("BAROGRAPH_PIN") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPin$", "-test.v")
		cmd.Env = append(os.Environ(), "BAROGRAPH_PIN=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	// More threads, each held by its goroutine, before and after pinning.
	hold := make(chan bool)
	defer close(hold)
	start := func() {
		up := make(chan bool)
		for range 4 {
			go func() { runtime.LockOSThread(); up <- true; <-hold }()
			<-up
		}
	}
	cpus, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	last := cpus[len(cpus)-1]
	start()
	if err := Pin([]int{last}); err != nil {
		t.Fatal(err)
	}
	start()
	infer, stress, err := Split()
	if got := append(infer, stress...); err != nil || len(got) < len(cpus) {
		t.Errorf("after Pin, Split() divides %v of CPUs %v, %v", got, cpus, err)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) < 8 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &set); err != nil || set.Count() != 1 || !set.IsSet(last) {
			t.Errorf("thread %d may run on %d CPUs, %v", tid, set.Count(), err)
		}
	}
}

func TestPinErrors(t *testing.T) {
	for _, tt := range []struct {
		cpus []int
		want string
	}{
		{nil, "the list is empty"},
		{[]int{-1}, "no CPU -1"},
		{[]int{1 << 20}, "no CPU 1048576"},
		{[]int{1023}, "pin process to CPUs [1023]"},
	} {
		if err := Pin(tt.cpus); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Pin(%v) = %v, want %q", tt.cpus, err, tt.want)
		}
	}
}
