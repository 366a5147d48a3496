package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/result"
)

// Memory that a process holds more of at the end of its trial fails the soak;
// what comes and goes in between, or before, does not.
func TestJudge(t *testing.T) {
	const ms = 1_000_000
	watched := func(pid int, resident func(i int64) int64) (samples []sample) {
		for i := range int64(100) {
			samples = append(samples, sample{at: i * 100 * ms, pid: pid, resident: resident(i), device: 3 << 30})
		}
		return samples
	}
	flat := watched(7, func(i int64) int64 {
		switch {
		case i < 10: // before the trial
			return 1 << 20
		case i == 50 || i == 99: // for a moment
			return 2 << 30
		}
		return 1<<30 + i<<10
	})
	leak := watched(8, func(i int64) int64 { return 1<<30 + i<<20 })
	trials := []trial{{"infer[a=1]", result.Infer{Calls: 5, Window: [2]int64{1000 * ms, 10_000 * ms}}}}
	if err := judge(flat, trials); err != nil {
		t.Errorf("flat: %v", err)
	}
	if err := judge(append(flat, leak...), trials); err == nil || !strings.Contains(err.Error(), "process 8") || strings.Contains(err.Error(), "process 7") {
		t.Errorf("a leak of 80 MiB: %v", err)
	}
	full := watched(9, func(int64) int64 { return 1 << 30 })
	for i := range full {
		full[i].device += int64(i) << 20
	}
	if err := judge(full, trials); err == nil || !strings.Contains(err.Error(), "GPU") {
		t.Errorf("a leak on the GPU: %v", err)
	}
	trials[0].Infer.Window = [2]int64{1000 * ms, 1001 * ms}
	if err := judge(flat, trials); err == nil || !strings.Contains(err.Error(), "too short") {
		t.Errorf("a trial between two samples: %v", err)
	}
}

func TestLook(t *testing.T) {
	if got := look(os.Getpid(), nil); got != nil {
		t.Errorf("a process without cells: %v", got)
	}
}

func TestReadCopies(t *testing.T) {
	recorded, err := readCopies(filepath.Join("results", "h100", "copy.csv"))
	if err != nil || !(recorded["d2h"][16<<20] > 1e9) {
		t.Errorf("%v, %v", recorded, err)
	}
	path := filepath.Join(t.TempDir(), "copy.csv")
	if err := os.WriteFile(path, []byte("direction,block_bytes,bytes_per_s\nd2h,16777216,54987545476\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := readCopies(path); err != nil || got["d2h"][16<<20] != 54987545476 {
		t.Errorf("%v, %v", got, err)
	}
	bad := filepath.Join(t.TempDir(), "copy.csv")
	if err := os.WriteFile(bad, []byte("direction,block_bytes,bytes_per_s\nh2d,many,1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readCopies(bad); err == nil || !strings.Contains(err.Error(), "no line of copy.cu") {
		t.Errorf("nonsense: %v", err)
	}
}

func TestSaid(t *testing.T) {
	var h *cell.Error
	err := said([]byte(`{"type":"progress"}` + "\n" + `{"type":"error","text":"no","hint":"do"}` + "\n"))
	if err == nil || err.Error() != "no" || !errors.As(err, &h) || h.Hint != "do" {
		t.Errorf("%v", err)
	}
	if err := said([]byte(`{"type":"ready"}`)); err != nil {
		t.Error(err)
	}
}
