package host

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/device"
)

func TestLaneCopiesEveryBlock(t *testing.T) {
	m := &Memory{Cache: 10 << 10, Available: 1 << 30}
	const block = 6 << 10
	l := device.Load{Threads: 1, Block: block, Outstanding: 2, Directions: []device.Direction{device.H2D, device.D2H}}
	opened, err := m.Lane(l, 0)
	if err != nil {
		t.Fatal(err)
	}
	ln := opened.(*lane)
	if want := 4 * block; len(ln.from) != want || len(ln.to) != want {
		t.Fatalf("buffers of %d and %d bytes, want %d: whole blocks, twice the cache", len(ln.from), len(ln.to), want)
	}
	for i := range ln.from {
		ln.from[i] = byte(i*7 + i>>8)
	}
	if _, err := ln.Wait(nil); err == nil {
		t.Error("waited for a copy that nobody submitted")
	}
	for i := range 4 {
		before := cell.Now()
		d := device.Direction(i % 2)
		if err := ln.Submit(d, block); err != nil {
			t.Fatal(err)
		}
		if i < 3 && string(ln.to[(i+1)*block:]) == string(ln.from[(i+1)*block:]) {
			t.Errorf("after copy %d the blocks after it are there already", i)
		}
		c, err := ln.Wait(nil)
		if err != nil || c.Start < before || c.End() > cell.Now() || c.Duration <= 0 || c.Bytes != block || c.Direction != d {
			t.Errorf("copy %d: %+v, %v", i, c, err)
		}
	}
	for range 2 { // parts of blocks
		if err := ln.Submit(device.H2D, block/2); err != nil {
			t.Fatal(err)
		}
		if c, err := ln.Wait(nil); err != nil || c.Bytes != block/2 {
			t.Errorf("half a block: %+v, %v", c, err)
		}
	}
	ln.next = 0
	if string(ln.to) != string(ln.from) {
		t.Error("after a round the destination differs from the source")
	}
	if ln.next != 0 {
		t.Errorf("after a round the next copy is at %d, want 0", ln.next)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}

func TestLaneAllocatesNothing(t *testing.T) {
	m := &Memory{Cache: 1 << 10, Available: 1 << 30}
	l, err := m.Lane(device.Load{Threads: 1, Block: 4 << 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n := testing.AllocsPerRun(100, func() { _ = l.Submit(device.H2D, 4<<10); _, _ = l.Wait(nil) }); n != 0 {
		t.Errorf("%g allocations a copy", n)
	}
}

func TestFit(t *testing.T) {
	m := &Memory{Cache: 32 << 20, Available: 8 << 30}
	for _, tt := range []struct {
		threads int
		block   int64
		want    string
	}{
		{16, 64 << 20, ""},
		{56, 64 << 20, ""},
		{57, 64 << 20, "57 threads with two buffers of 64 MiB each need 7.1 GiB of memory, and 7.0 GiB can be spared"},
		{56, 4096, ""}, // small blocks walk through the same 64 MiB
		{57, 4096, "need 7.1 GiB"},
		{1, math.MaxInt64, "GiB of memory"},
		{1, 0, "want at least 1"},
	} {
		err := m.Fit(device.Load{Threads: tt.threads, Block: tt.block})
		if fmt.Sprint(err) == "<nil>" && tt.want == "" {
			continue
		}
		var hint *cell.Error
		if err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d threads of %d bytes: %v, want %q", tt.threads, tt.block, err, tt.want)
		} else if tt.block > 0 && !errors.As(err, &hint) {
			t.Errorf("%d threads of %d bytes: no hint", tt.threads, tt.block)
		}
	}
}

func TestOpenHere(t *testing.T) {
	m, err := Open()
	if err != nil || m.Cache < 256<<10 || m.Available < 1<<20 {
		t.Errorf("Open() = %+v, %v", m, err)
	}
}

func TestMachineFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		filetest.Write(t, path, text)
		return path
	}
	if n, err := available(write("meminfo", "MemTotal: 10 kB\nMemAvailable:    3 kB\n")); n != 3072 || err != nil {
		t.Errorf("available = %d, %v", n, err)
	}
	if _, err := available(write("meminfo", "MemTotal: 10 kB\n")); err == nil {
		t.Error("available without MemAvailable succeeded")
	}
	if got := lastLevelCache(filepath.Join(dir, "cache")); got != 64<<20 {
		t.Errorf("without a listing the cache has %d bytes, want 64 MiB", got)
	}
	for name, level := range map[string]string{"index0": "1", "index1": "3", "index2": "2"} {
		write("cache/"+name+"/level", level+"\n")
		write("cache/"+name+"/size", level+"024K\n")
	}
	write("cache/index3/level", "4\n")
	write("cache/index3/size", "what\n")
	if got := lastLevelCache(filepath.Join(dir, "cache")); got != 3024<<10 {
		t.Errorf("the last level has %d bytes, want 3024 KiB", got)
	}
}
