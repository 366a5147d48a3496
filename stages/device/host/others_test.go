package host

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestBusyTime(t *testing.T) {
	const stat = "cpu  99 99 99 99 99 99 99 99 0 0\ncpu0 1 2 4 8 16 32 64 128 7 7\ncpu1 100 0 0 5 5 0 0\nintr 7\n"
	for _, tt := range []struct {
		cpus []int
		want time.Duration
		ok   bool
	}{
		{[]int{0}, 2310 * time.Millisecond, true},
		{[]int{1}, time.Second, true},
		{[]int{0, 1}, 3310 * time.Millisecond, true},
		{[]int{0, 2}, 0, false},
	} {
		if got, err := busyTime(stat, tt.cpus); got != tt.want || err == nil != tt.ok {
			t.Errorf("CPUs %v: %v, %v; want %v", tt.cpus, got, err, tt.want)
		}
	}
	if _, err := busyTime("cpu0 1 x\n", []int{0}); err == nil {
		t.Error("a line that is no number passed")
	}
}

// Whatever the kernel prints, neither parser panics or counts backwards.
func FuzzProc(f *testing.F) {
	f.Add("cpu0 1 2 4 8 16 32 64 128 7 7\ncpu1\n")
	f.Add("MemTotal: 10 kB\nMemAvailable: 4503599627370495 kB\n")
	f.Add("cpu0 4294967295 -1\nMemAvailable: -3 kB")
	f.Fuzz(func(t *testing.T, text string) {
		if busy, err := busyTime(text, []int{0}); busy < 0 {
			t.Errorf("busy for %v, %v", busy, err)
		}
		if kib, _ := memAvailable(text); kib < 0 || kib<<10 < 0 {
			t.Errorf("%d KiB available", kib)
		}
	})
}

// Beside a process that spins on the same CPU, this one has half of it at most.
// It runs in a process of its own, pinned for good.
func TestWatch(t *testing.T) {
	switch os.Getenv("BAROGRAPH_WATCH") {
	case "":
		cmd := exec.Command(os.Args[0], "-test.run=^TestWatch$", "-test.v")
		cmd.Env = append(os.Environ(), "BAROGRAPH_WATCH=watch")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	case "spin":
		spin(10 * time.Second)
	case "watch":
		_, cpus, err := Split()
		if err != nil {
			t.Fatal(err)
		}
		if err := Pin(cpus[:1]); err != nil {
			t.Fatal(err)
		}
		other := exec.Command(os.Args[0], "-test.run=^TestWatch$")
		other.Env = append(os.Environ(), "BAROGRAPH_WATCH=spin")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		w, err := NewWatch(cpus[:1])
		if err != nil {
			t.Fatal(err)
		}
		spin(600 * time.Millisecond)
		share, err := w.Others()
		_ = other.Process.Kill()
		_ = other.Wait()
		if err != nil || share < 0.25 {
			t.Errorf("others had %.2f of the CPU, %v; want about a half or more", share, err)
		}
	}
}

func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}
