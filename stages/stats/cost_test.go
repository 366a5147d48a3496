package stats

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// announcement returns what a bootstrap says beforehand, and stops it there.
func announcement(t *testing.T, replicates [][]int64, b Bootstrap, run func([][]int64, Bootstrap) error) (said string) {
	t.Helper()
	type stop struct{}
	defer func() {
		if r := recover(); r != nil && r != (any)(stop{}) {
			panic(r)
		}
	}()
	b.Before = func(cost string) {
		said = cost
		panic(stop{})
	}
	if err := run(replicates, b); err != nil {
		t.Fatal(err)
	}
	return said
}

// Every kind of bootstrap says before its first draw what it will cost, if that is
// more than a second.
func TestBootstrapSaysItsCost(t *testing.T) {
	replicate := autoregressive(rand.New(rand.NewPCG(41, 42)), 1, 200_000, 0.5)
	for name, run := range map[string]func([][]int64, Bootstrap) error{
		"quantile":  func(r [][]int64, b Bootstrap) error { _, err := BootstrapQuantile(r, 0.5, b); return err },
		"ratio":     func(r [][]int64, b Bootstrap) error { _, err := BootstrapRatio(r, r, 0.5, b); return err },
		"shift":     func(r [][]int64, b Bootstrap) error { _, err := ShiftFunction(r, r, 0, b); return err },
		"estimates": func(r [][]int64, b Bootstrap) error { _, err := Estimates(r, []float64{0.5}, b); return err },
	} {
		said := announcement(t, replicate, Bootstrap{Draws: 100_000}, run)
		if !strings.HasPrefix(said, "bootstrap of 200000 samples in blocks of ") || !strings.HasSuffix(said, ", 100000 draws: about 2m0s") {
			t.Errorf("%s: said %q", name, said)
		}
	}
	quick := func(r [][]int64, b Bootstrap) error { _, err := BootstrapQuantile(r, 0.5, b); return err }
	if said := announcement(t, [][]int64{replicate[0][:1000]}, Bootstrap{Draws: 200}, quick); said != "" {
		t.Errorf("a bootstrap of a moment said %q", said)
	}
	whole := [][]int64{replicate[0][:100_000], replicate[0][100_000:]}
	if said := announcement(t, whole, Bootstrap{Draws: 10_000}, quick); said != "" {
		t.Errorf("replicates drawn whole cost little, and yet: %q", said)
	}
}

// What is said is about right, in processor time, and comes early.
func TestBootstrapCostIsSensible(t *testing.T) {
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	replicate := autoregressive(rand.New(rand.NewPCG(43, 44)), 1, 400_000, 0.5)
	var said, at time.Duration
	start := used()
	if _, err := BootstrapQuantile(replicate, 0.5, Bootstrap{Draws: 500, Before: func(cost string) {
		at = used() - start
		var err error
		if said, err = time.ParseDuration(cost[strings.LastIndex(cost, " ")+1:]); err != nil {
			t.Error(err)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	took := used() - start
	t.Logf("said %v after %v of processor time, took %v", said, at, took)
	if said < took/(8*slower) || said > 8*took || at > took/2 {
		t.Errorf("said %v after %v of processor time, took %v", said, at, took)
	}
}
