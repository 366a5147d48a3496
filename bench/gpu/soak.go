package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/record"
	"barograph/stages/device/nvml"
	"barograph/stages/recording"
)

// A sample is what one process of a run held at a moment, and the GPU beside it;
// 0 where there is none.
type sample struct {
	at               int64 // on the clock of cell.Now
	pid              int
	resident, device int64 // bytes
}

const (
	watchEvery = 100 * time.Millisecond
	// mayGrow leaves room for the copies that a stressor records, 32 bytes each,
	// and is far below what ten thousand calls would leak at a few KiB each.
	mayGrow = 16 << 20
)

// soak runs a command that runs a study, watches the memory of its cells and of
// the GPU meanwhile, and fails if the command does, or if memory grew over the
// timed calls of a trial.
func soak(ctx context.Context, args []string) error {
	f := flags("soak")
	to := f.String("o", "memory.csv", "write the samples to this `file`")
	folder := f.String("recording", "", "the `folder` below data/ that the study leaves")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 || *folder == "" {
		return errors.New("soak: want -recording DIR and a command")
	}
	cmd := exec.CommandContext(ctx, f.Arg(0), f.Args()[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return err
	}
	probes, err := nvml.All()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak: no GPU is watched:", err)
	}
	stop, done := make(chan bool), make(chan []sample)
	go func() {
		var samples []sample
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				done <- samples
				return
			case <-tick.C:
				samples = append(samples, look(cmd.Process.Pid, probes)...)
			}
		}
	}()
	ended := cmd.Wait()
	close(stop)
	samples := <-done
	if err := writeSamples(*to, samples); err != nil {
		return err
	}
	if exit := (*exec.ExitError)(nil); ended != nil && (!errors.As(ended, &exit) || exit.ExitCode() != 3) { // measured, and INVALID for its times
		return fmt.Errorf("%s: %w", strings.Join(f.Args(), " "), ended)
	}
	run, err := recording.ReadRun(filepath.Join(*folder, record.Run))
	if err != nil {
		return err
	}
	return judge(samples, run.Trials)
}

// judge prints a line for each process of each trial, and fails where memory grew
// by more than mayGrow, or where too little was seen of a trial to tell.
func judge(samples []sample, trials []*recording.Trial) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "trial\tcalls\tprocess\tresident\tgrew\tGPU\tgrew")
	var wrong []string
	for _, trial := range trials {
		seen := false
		for pid, g := range growths(samples, trial.Infer.Window) {
			seen = true
			fmt.Fprintf(t, "%s\t%d\t%d\t%.1f MiB\t%+.2f MiB\t%.1f MiB\t%+.2f MiB\n", trial.ID, trial.Infer.Calls, pid,
				mib(g.first.resident), mib(g.last.resident-g.first.resident), mib(g.first.device), mib(g.last.device-g.first.device))
			for _, grew := range []int64{g.last.resident - g.first.resident, g.last.device - g.first.device} {
				if grew > mayGrow {
					wrong = append(wrong, fmt.Sprintf("%s: process %d or the GPU beside it grew by %v", trial.ID, pid, unit.Size(grew)))
				}
			}
		}
		if !seen {
			wrong = append(wrong, trial.ID+": too short to be watched")
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// A growth is the median of a process's samples in the first and in the last
// tenth of a window.
type growth struct{ first, last sample }

// growths compares both ends of a window, for each process seen at both.
func growths(samples []sample, window [2]int64) map[int]growth {
	tenth := (window[1] - window[0]) / 10
	ends := [2]map[int][]sample{{}, {}}
	for _, s := range samples {
		switch {
		case s.at >= window[0] && s.at < window[0]+tenth:
			ends[0][s.pid] = append(ends[0][s.pid], s)
		case s.at >= window[1]-tenth && s.at < window[1]:
			ends[1][s.pid] = append(ends[1][s.pid], s)
		}
	}
	found := map[int]growth{}
	for pid, first := range ends[0] {
		if last := ends[1][pid]; last != nil {
			found[pid] = growth{median(first), median(last)}
		}
	}
	return found
}

// median takes each quantity's.
func median(all []sample) (m sample) {
	of := func(get func(sample) int64) int64 {
		v := make([]int64, len(all))
		for i, s := range all {
			v[i] = get(s)
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	m.resident, m.device = of(func(s sample) int64 { return s.resident }), of(func(s sample) int64 { return s.device })
	return m
}

// look samples the cells below a process.
func look(root int, probes []*nvml.Probe) (samples []sample) {
	var device int64
	for _, p := range probes {
		device += p.Used()
	}
	at := cell.Now()
	for _, pid := range below(root) {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || !strings.Contains(string(b), "\x00cell\x00") {
			continue // it has ended, or is no cell
		}
		var size, pages int64
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err == nil {
			_, err = fmt.Sscan(string(b), &size, &pages)
		}
		if err == nil {
			samples = append(samples, sample{at, pid, pages * int64(os.Getpagesize()), device})
		}
	}
	return samples
}

// below lists a process's children, and theirs.
func below(root int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", root)) // the pattern is well formed
	for _, list := range lists {
		b, _ := os.ReadFile(list) // of a thread that has ended: nothing
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(append(pids, pid), below(pid)...)
			}
		}
	}
	return pids
}

func writeSamples(path string, samples []sample) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	_ = w.Write([]string{"at_ns", "process", "resident_bytes", "gpu_bytes"}) // a writer keeps its error until Flush
	for _, s := range samples {
		_ = w.Write([]string{strconv.FormatInt(s.at, 10), strconv.Itoa(s.pid), strconv.FormatInt(s.resident, 10), strconv.FormatInt(s.device, 10)})
	}
	w.Flush()
	return errors.Join(w.Error(), f.Close())
}
