//go:build cuda

package cuda

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"barograph/stages/device"
)

// Where there is a GPU, copies arrive in order and take the time that the link
// needs; where there is none, the program has started all the same, and says why
// it cannot go on.
func TestLane(t *testing.T) {
	g, err := Open("cuda")
	if err != nil {
		if _, there := os.Stat("/dev/nvidia0"); there == nil {
			t.Fatal(err)
		}
		if !strings.Contains(err.Error(), "driver") {
			t.Errorf("without a GPU: %v", err)
		}
		return
	}
	runtime.LockOSThread() // as a stressor's threads are
	defer runtime.UnlockOSThread()
	var asked sync.WaitGroup
	for range 200 { // from whatever threads there are
		asked.Go(func() {
			if free, total, err := g.Memory(); err != nil || free <= 0 || free > total {
				t.Errorf("%d of %d bytes are free: %v", free, total, err)
			}
		})
	}
	asked.Wait()
	const block = 8 << 20
	for _, l := range []device.Load{{}, {Pageable: true}, {Ahead: 2}} {
		l.Threads, l.Block, l.Outstanding, l.Directions = 1, block, 3, []device.Direction{device.H2D, device.D2H}
		lane, err := g.Lane(l, 0)
		if err != nil {
			t.Fatal(err)
		}
		var last [2]device.Copy
		for range 3 {
			for _, d := range l.Directions {
				if err := lane.Submit(d, block); err != nil {
					t.Fatal(err)
				}
			}
		}
		left := 6 // that are submitted as others are done
		next := func(d device.Direction) error {
			if left == 0 {
				return nil
			}
			left--
			return lane.Submit(d, block)
		}
		var lengths []int64
		for range 12 {
			c, err := lane.Wait(next)
			if err != nil {
				t.Fatal(err)
			}
			if c.Bytes != block || c.End() < last[c.Direction].End() {
				t.Errorf("copy %+v after %+v", c, last[c.Direction])
			}
			last[c.Direction] = c
			lengths = append(lengths, c.Duration)
		}
		// Not of each: ends seem late until the host has learnt of one in time.
		if slices.Sort(lengths); lengths[len(lengths)/2] < 50_000 {
			t.Errorf("copies take %v ns", lengths)
		}
		if err := lane.Close(); err != nil {
			t.Error(err)
		}
	}
	// Copies that follow one another by themselves, one batch and the rest.
	for _, l := range []device.Load{{Outstanding: 1}, {Outstanding: 2}, {Outstanding: 3, Ahead: 2}} {
		l.Threads, l.Block, l.Calls, l.Directions = 1, 64<<10, 600, []device.Direction{device.H2D, device.D2H}
		lane, err := g.Lane(l, 0)
		if err != nil {
			t.Fatal(err)
		}
		var halt atomic.Bool
		var made [2]int
		var last [2]device.Copy
		for more := true; more; {
			if more, err = lane.(device.Runner).KeepUp(&halt, func(f device.Flight) error {
				made[f.Direction]++
				if f.Bytes != l.Block || f.End() < last[f.Direction].End() || f.Start < last[f.Direction].End() || f.Sent <= 0 || l.Outstanding == 1 && !f.Alone {
					t.Errorf("copy %+v after %+v", f, last[f.Direction])
				}
				last[f.Direction] = f.Copy
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if made != [2]int{l.Calls, l.Calls} {
			t.Errorf("%v copies of %d each way", made, l.Calls)
		}
		halt.Store(true)
		if more, err := lane.(device.Runner).KeepUp(&halt, nil); more || err != nil {
			t.Errorf("of a lane that halted: %v, %v", more, err)
		}
		if err := lane.Close(); err != nil {
			t.Error(err)
		}
	}
	// Copies off the link: within the device's memory, and within the host's.
	for _, d := range []device.Direction{device.D2D, device.H2H} {
		l := device.Load{Threads: 1, Block: block, Outstanding: 2, Directions: []device.Direction{d}}
		if err := g.Fit(l); err != nil {
			t.Error(err)
		}
		lane, err := g.Lane(l, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := lane.Submit(d, block); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if c, err := lane.Wait(nil); err != nil || c.Bytes != block || c.Direction != d || c.Duration <= 0 {
				t.Errorf("%v: copy %+v, %v", d, c, err)
			}
		}
		if err := lane.Close(); err != nil {
			t.Error(err)
		}
		l.Threads = 1 << 20
		if g.Fit(l) == nil {
			t.Errorf("%v: a terabyte fits", d)
		}
	}
	if _, err := g.Pinned(1 << 50); err == nil {
		t.Error("a petabyte was locked")
	}
	if err := g.Fit(device.Load{Threads: 1 << 20, Block: 1 << 30, Directions: []device.Direction{device.H2D}}); err == nil {
		t.Error("a petabyte fits")
	}
}

// The same with a driver of a test, which counts what it is asked for: each copy is one
// call and each end one event, and each is timed once, by the cheaper call where the
// driver has it.
func TestLaneAnywhere(t *testing.T) {
	for _, old := range []bool{false, true} {
		dir := t.TempDir()
		args := []string{"-O2", "-shared", "-fPIC", "-o", filepath.Join(dir, "libcuda.so.1"), "testdata/driver.c"}
		if old {
			args = append(args, "-DOLD")
		}
		if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		counts := filepath.Join(dir, "counts")
		var asked struct{ Copies, Records, Times, Old int64 }
		if err := os.WriteFile(counts, make([]byte, unsafe.Sizeof(asked)), 0o666); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestLane$", "-test.count=1")
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir, "COUNTS="+counts)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(counts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := binary.Decode(b, binary.NativeEndian, &asked); err != nil {
			t.Fatal(err)
		}
		const copies, ways = 3638, 13 // of all its lanes; each way reads the GPU's clock once
		if asked.Copies != copies || asked.Records != copies+ways || asked.Times != copies {
			t.Errorf("%+v, want %d copies and as many readings, and an event more for each of %d ways", asked, copies, ways)
		}
		if old != (asked.Old > 0) {
			t.Errorf("old: %v, asked the old way %d times", old, asked.Old)
		}
		fails := exec.Command(os.Args[0], "-test.run=^TestLaneFails$", "-test.count=1", "-test.timeout=20s")
		fails.Env = cmd.Env
		if out, err := fails.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// A copy that fails ends the wait for it, also where the call that is asked for its time
// does not tell.
func TestLaneFails(t *testing.T) {
	if os.Getenv("COUNTS") == "" {
		t.Skip("no copy fails but of TestLaneAnywhere's driver")
	}
	g, err := Open("cuda")
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, directions := range [][]device.Direction{{device.H2D}, {device.H2D, device.D2H}} {
		l := device.Load{Threads: 1, Block: 13, Outstanding: 2, Directions: directions}
		lane, err := g.Lane(l, 0)
		if err != nil {
			t.Fatal(err)
		}
		var halt atomic.Bool
		if _, err := lane.(device.Runner).KeepUp(&halt, nil); err == nil || !strings.Contains(err.Error(), "error 700") {
			t.Errorf("%v: %v", directions, err)
		}
		if err := lane.Close(); err == nil {
			t.Errorf("%v: a lane that failed closes without an error", directions)
		}
	}
}

// What a kernel carries is the same at both ends, of any length.
func TestCarrier(t *testing.T) {
	g, err := Open("cuda")
	if err != nil {
		t.Skip(err) // TestLane looks at why
	}
	for _, bytes := range []int64{1, 15, 16, 4000, 4100, 3<<20 + 7} {
		c, err := g.Carrier()
		if err != nil {
			t.Fatal(err)
		}
		there, err := g.Pinned(bytes)
		if err != nil {
			t.Fatal(err)
		}
		back, err := g.Pinned(bytes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range there {
			there[i], back[i] = byte(i*7+i>>8), 0
		}
		x := c.(*carrier)
		if _, err := x.In(unsafe.Pointer(&there[0]), bytes); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Out(unsafe.Pointer(&back[0]), bytes); err != nil {
			t.Fatal(err)
		}
		x.out[0].from = x.ins[0].to // what was sent is fetched
		if err := errors.Join(c.Send(), c.Fetch()); err != nil || string(back) != string(there) {
			t.Errorf("%d bytes came back as others: %v", bytes, err)
		}
	}
}

// set gives an address of C's type a value.
func set[T ~uint64](p *T, v uintptr) { *p = T(v) }

// What calls leave on the device comes to the host at once after the last of them, and
// the view is of that one.
func TestCollect(t *testing.T) {
	g, err := Open("cuda")
	if err != nil {
		t.Skip(err) // TestLane looks at why
	}
	const bytes, calls = 4096 + 256, 3
	at, last, keep, err := g.Collect(bytes, calls)
	if err != nil {
		t.Fatal(err)
	}
	from, err := g.Pinned(bytes)
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.Carrier()
	if err != nil {
		t.Fatal(err)
	}
	x := c.(*carrier)
	if _, err := x.In(unsafe.Pointer(&from[0]), bytes); err != nil {
		t.Fatal(err)
	}
	set(&x.ins[0].to, at)
	for i := range 2 * calls {
		for j := range from {
			from[j] = byte(i + j)
		}
		if err := errors.Join(c.Send(), keep()); err != nil {
			t.Fatal(err)
		}
		if there := string(last) == string(from); there != (i%calls == calls-1) && i >= calls-1 {
			t.Errorf("after call %d its result is at the host: %v", i+1, there)
		}
	}
}

// Beside pageable copies that never pause, others of the process can still make
// what they need; the driver alone would let them wait for as long as the copies go on.
func TestPageableTurns(t *testing.T) {
	g, err := Open("cuda")
	if err != nil {
		t.Skip(err) // TestLane looks at why
	}
	var stop atomic.Bool
	var copying, ready sync.WaitGroup
	const threads = 4
	ready.Add(threads)
	l := device.Load{Threads: threads, Block: 8 << 20, Outstanding: 1, Directions: []device.Direction{device.H2D}, Pageable: true}
	for i := range threads {
		copying.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			lane, err := g.Lane(l, i)
			ready.Done()
			if err != nil {
				t.Error(err)
				return
			}
			ready.Wait()
			for !stop.Load() && err == nil {
				if err = lane.Submit(device.H2D, l.Block); err == nil {
					_, err = lane.Wait(nil)
				}
			}
			if err = errors.Join(err, lane.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	time.Sleep(200 * time.Millisecond) // until copies overlap, of which each takes about 1 ms
	made := make(chan error, 1)
	go func() {
		var err error
		for range 20 {
			err = errors.Join(err, g.Occupy(1<<20))
		}
		made <- err
	}()
	select {
	case err := <-made:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("20 allocations took longer than 10 s")
	}
	stop.Store(true)
	copying.Wait()
}
