package link

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/host"
	"barograph/stages/kind/stress"
)

// What was put into a simulated link comes out of its card.
func TestSimulatedCard(t *testing.T) {
	for name, put := range map[string]map[string]float64{
		"turns": {
			"bandwidth_h2d": 55e9, "bandwidth_d2h": 54e9, "overhead_ns": 3e3, "gap_ns": 8e3,
			"turn_h2d_ns": 1.05e6, "turn_d2h_ns": 1.2e6, "small_idle": 24576, "small_behind": 1024,
		},
		"turns through MPS": {
			"bandwidth_h2d": 55e9, "bandwidth_d2h": 54e9, "overhead_ns": 3e3, "gap_ns": 8e3,
			"turn_h2d_ns": 1.05e6, "turn_d2h_ns": 1.2e6, "small_idle": 24576, "small_behind": 1024,
		},
		"a plain queue": {"bandwidth_h2d": 11.69e9, "bandwidth_d2h": 12.89e9, "small_idle": 0, "small_behind": 0},
	} {
		c := &Card{Schema: Schema, Machine: "sim", Device: "sim", Day: "2026-11-28"}
		r := &simulation{settings: cell.Machine{Device: "sim", Sim: put}, sharing: "separate"}
		through := name == "turns through MPS"
		if through {
			r.sharing = "mps"
		}
		if _, err := measure(t.Context(), r, []device.Direction{device.H2D, device.D2H}, c, func(string) {}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := filepath.Join(t.TempDir(), "sim.json")
		if err := c.Write(path); err != nil {
			t.Fatal(err)
		}
		if again, err := Read(path); err != nil || !reflect.DeepEqual(again.Ways, c.Ways) {
			t.Errorf("%s: %v, or another card", name, err)
		}
		for direction, w := range c.Ways {
			turn := put["turn_"+direction+"_ns"]
			if w.Turn.Seen != (turn > 0) || turn > 0 && math.Abs(w.Turn.Length.Value-turn) > 0.01*turn {
				t.Errorf("%s, %s: turn %+v of %v, line %v", name, direction, w.Turn.Length, turn, w.Turn.Line)
			}
			if v := c.Capacity[direction].Value; math.Abs(v-put["bandwidth_"+direction]) > 0.01*v {
				t.Errorf("%s, %s: capacity %v", name, direction, v)
			}
			idle, behind := int64(put["small_idle"]), int64(put["small_behind"])
			if direction == "d2h" { // where there is no small path
				idle = 0
			}
			if direction == "d2h" || through {
				behind = 0
			}
			if w.Small.Idle != idle || w.Small.Behind != behind {
				t.Errorf("%s, %s: small path %d, %d; want %d, %d", name, direction, w.Small.Idle, w.Small.Behind, idle, behind)
			}
			for _, l := range w.Turn.Loads {
				if n := float64(l.Processes); turn > 0 && math.Abs(l.Wait.Value-n*turn) > 0.05*n*turn {
					t.Errorf("%s, %s: beside %+v a wait of %v", name, direction, l.Load, l.Wait)
				}
			}
			if k := w.Turn.Kernel; turn > 0 && math.Abs(float64(k.P50-k.Alone)) > 0.02*float64(k.Alone) {
				t.Errorf("%s, %s: a kernel alone takes %v, and %v beside a load", name, direction, k.Alone, k.P50)
			}
		}
	}
}

// stopped is a rig whose process goes on once while capacity is measured, as one does that
// a signal had stopped.
type stopped struct{ *simulation }

func (s stopped) capacity(ctx context.Context) (map[string]Estimate, error) {
	return nil, errors.Join(syscall.Kill(os.Getpid(), syscall.SIGCONT), ctx.Err())
}

// A card that was measured through a stop of what measures says so, unless it is simulated.
func TestStops(t *testing.T) {
	for simulated, want := range map[bool][]string{false: {"a signal (such as SIGSTOP) stopped what measures once"}, true: nil} {
		c := &Card{Simulated: simulated}
		r := stopped{&simulation{settings: cell.Machine{Device: "sim"}, sharing: "separate"}}
		if _, err := measure(t.Context(), r, []device.Direction{device.H2D}, c, func(string) {}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Warnings, want) {
			t.Errorf("simulated %v: warnings %q", simulated, c.Warnings)
		}
	}
}

// So does one during which a load was stopped; one that nothing continues ends the card.
func TestLoadStops(t *testing.T) {
	m := &machine{settings: cell.Machine{Device: "host"}, folder: t.TempDir(), card: &Card{}}
	var err error
	if m.infer, m.stress, err = host.Split(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // whose processors loads inherit
	load := func(wait time.Duration, signals ...syscall.Signal) error {
		l, err := m.start(t.Context(), stress.Kind().With().(*stress.With), 1)
		if err != nil {
			return err
		}
		defer l.Close()
		if err := l.Ready(); err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(children(t)))
		if err != nil {
			return err
		}
		for _, s := range signals {
			if err := syscall.Kill(pid, s); err != nil {
				return err
			}
		}
		time.Sleep(wait)
		l.Stop([2]int64{1, 2})
		_, err = m.wait(l, "a load of none")
		return err
	}
	for wait := 10 * time.Millisecond; len(m.card.Warnings) == 0 && wait < 3*time.Second; wait *= 4 { // until the load hears of it
		if err := load(wait, syscall.SIGSTOP, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"a load of none: a signal (such as SIGSTOP) stopped the load once"}; !slices.Equal(m.card.Warnings, want) {
		t.Errorf("warnings %q", m.card.Warnings)
	}
	if err := load(0, syscall.SIGSTOP); err == nil || !strings.Contains(err.Error(), "load the link: a signal had stopped it") {
		t.Errorf("a load that stands still: %v", err)
	}
}

// children lists the numbers of this process's children.
func children(t *testing.T) (all string) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		b, _ := os.ReadFile(list) // of a thread that may have ended
		all += string(b)
	}
	return all
}
