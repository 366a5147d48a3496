package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device/sim"
	"barograph/stages/kind/stress"
	"barograph/stages/recording"
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
	trials := []*recording.Trial{{ID: "infer[a=1]", Infer: result.Infer{Calls: 5, Window: [2]int64{1000 * ms, 10_000 * ms}}}}
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
	text := filetest.Read(t, filepath.Join("testdata", "copy.csv"))
	recorded, err := readCopies(text)
	if err != nil || len(recorded) != 10 || !(recorded[point{"d2h", 16 << 20, queued}][0] > 1e9) {
		t.Errorf("%v, %v", recorded, err)
	}
	const head = "direction,block_bytes,bytes_per_s\n"
	got, err := readCopies([]byte(head + "d2h,16777216,2\nd2h,16777216,1\n"))
	if err != nil || !reflect.DeepEqual(got, bandwidths{{"d2h", 16 << 20, queued}: {2, 1}}) {
		t.Errorf("%v, %v", got, err)
	}
	got, err = readCopies([]byte("direction,block_bytes,in_flight,bytes_per_s\nh2d,65536,2,3\n"))
	if err != nil || !reflect.DeepEqual(got, bandwidths{{"h2d", 64 << 10, 2}: {3}}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{head + "h2d,many,1\n", "direction,block_bytes,in_flight,bytes_per_s\nh2d,1,some,1\n", head + "up,1,1\n", "a\nh2d\n"} {
		if _, err := readCopies([]byte(bad)); err == nil || !strings.Contains(err.Error(), "no line of it") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A rate is judged by the windows that the link could carry, whatever they show.
func TestJudgeRate(t *testing.T) {
	const capacity, asked = 100, 90
	for name, test := range map[string]struct {
		windows []window
		got     float64
		verdict string
	}{
		"held":                         {[]window{{90, 99, 98}, {89, 98, 97}, {91, 97, 99}}, 90, holds},
		"the link sags":                {[]window{{90, 99, 98}, {83, 98, 85}, {70, 85, 70}, {91, 95, 99}}, 90.5, holds},
		"the limiter gives too little": {[]window{{87, 99, 98}, {83, 85, 84}, {87, 97, 99}, {87, 97, 99}}, 87, fails},
		"the limiter gives too much":   {[]window{{93, 99, 98}, {93, 99, 98}, {93, 99, 98}}, 93, fails},
		"too much of a slow link":      {[]window{{93, 80, 80}, {93, 80, 80}, {90, 80, 80}}, 93, fails},
		"one window of three":          {[]window{{90, 99, 98}, {83, 85, 84}, {84, 84, 84}, {84, 84, 84}}, 84, notCarried},
		"none":                         {[]window{{90, 99, 84}, {91, 84, 99}}, 90.5, notCarried},
	} {
		if got, verdict := judgeRate(asked, capacity, test.windows, 3); got != test.got || verdict != test.verdict {
			t.Errorf("%s: %v, %q; want %v, %q", name, got, verdict, test.got, test.verdict)
		}
	}
}

// The whole comparison, on simulated links.
func TestLink(t *testing.T) {
	wander := func(with func(l *loader, press int)) (*csv.Reader, error) {
		l := &loader{machine: cell.Machine{Name: "sim", Device: "sim", Sim: map[string]float64{}}, each: 100 * time.Millisecond, rounds: 2}
		l.plain = func() (bandwidths, error) {
			found := bandwidths{}
			for block := int64(leastBlock); block <= 64<<20; block *= 2 {
				found[point{"h2d", block, queued}] = []float64{11.69e9}
				found[point{"d2h", block, queued}] = []float64{12.89e9}
			}
			return found, nil
		}
		presses, capacity := 0, map[string]float64{}
		l.press = func(ctx context.Context, w *stress.With) (*result.Stress, error) {
			// To a simulated link a share is one of what it carries now.
			w.Rate = unit.Rate{PerSecond: w.Rate.Of(capacity[w.Direction])}
			with(l, presses)
			presses++
			r, err := l.serve(ctx, w)
			if err == nil && w.Mode == "capacity" {
				capacity = r.Capacity
			}
			return r, err
		}
		var printed bytes.Buffer
		err := l.link(t.Context(), &printed)
		return csv.NewReader(&printed), err
	}
	verdicts := func(r *csv.Reader) map[string]int {
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		for _, row := range rows[1:] {
			found[row[7]]++
		}
		return found
	}
	steady, err := wander(func(*loader, int) {})
	if found := verdicts(steady); err != nil || found[holds] != 26 || len(found) != 1 {
		t.Errorf("a steady link: %v, %v", found, err)
	}
	// Calibration and bandwidths, 17 loads, and the first of the rates are over.
	sagging, err := wander(func(l *loader, press int) {
		if press > 17 {
			l.machine.Sim["bandwidth_h2d"] = 0.85 * sim.Defaults["bandwidth_h2d"]
		}
	})
	if found := verdicts(sagging); cell.StatusOf(err) != cell.StatusInvalid || found[notCarried] != 1 || found[holds] != 25 {
		t.Errorf("a link that sags to 85%%: %v, %v", found, err)
	}
	// It sags for a while, and is measured again when that is over.
	recovered, err := wander(func(l *loader, press int) {
		l.machine.Sim["bandwidth_h2d"] = sim.Defaults["bandwidth_h2d"]
		if press > 30 && press < 45 {
			l.machine.Sim["bandwidth_h2d"] *= 0.7
		}
	})
	if found := verdicts(recovered); err != nil || found[holds] != 26 {
		t.Errorf("a link that sags for a while: %v, %v", found, err)
	}
	// Ours is slower than copy.cu.
	slow, err := wander(func(l *loader, press int) { l.machine.Sim["bandwidth_d2h"] = 0.96 * sim.Defaults["bandwidth_d2h"] })
	if found := verdicts(slow); cell.StatusOf(err) != cell.StatusFailed || found[fails] != 4 || found[holds] != 22 {
		t.Errorf("bandwidths of 96%%: %v, %v", found, err)
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
