package nvml

import (
	"os"
	"strings"
	"testing"

	"barograph/stages/device"
)

func TestJudge(t *testing.T) {
	good := device.State{
		Generation: 3, MaxGeneration: 3, Width: 16, MaxWidth: 16, Replays: 7, SMClock: 1300, MaxSMClock: 1480,
		Held: map[string]int64{"power": 5e9, "low utilisation": 1}, Processes: []int{10, 11},
	}
	own := func(pid int) bool { return pid < 20 }
	for name, tt := range map[string]struct {
		change func(*device.State) // to the state after
		idle   bool
		want   string // "": valid
	}{
		"nothing":    {change: func(*device.State) {}},
		"generation": {change: func(s *device.State) { s.Generation = 1 }, want: "Gen1 x16, not Gen3 x16"},
		"width":      {change: func(s *device.State) { s.Width = 8 }, want: "Gen3 x8, not Gen3 x16"},
		"idle link":  {change: func(s *device.State) { s.Generation = 1 }, idle: true},
		"replays":    {change: func(s *device.State) { s.Replays = 9 }, want: "replayed 2 packets"},
		"throttled":  {change: func(s *device.State) { s.Throttled = []string{"hardware slowdown"} }, want: "throttled: hardware slowdown"},
		"held":       {change: func(s *device.State) { s.Held = map[string]int64{"power": 5e9 + 2e6} }, want: "for 2.0 ms its power held"},
		"low use":    {change: func(s *device.State) { s.Held = map[string]int64{"power": 5e9, "low utilisation": 9e9} }},
		"clock":      {change: func(s *device.State) { s.SMClock = 1200 }, want: "from 1300 to 1200 MHz"},
		"small step": {change: func(s *device.State) { s.SMClock = 1280 }},
		"process":    {change: func(s *device.State) { s.Processes = []int{10, 40, 41} }, want: "other processes used the GPU: 40, 41"},
	} {
		after := good
		tt.change(&after)
		why := strings.Join(Judge(good, after, !tt.idle, own), "; ")
		if tt.want == "" && why != "" || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %q, want %q", name, why, tt.want)
		}
	}
}

func TestOwn(t *testing.T) {
	self, parent := os.Getpid(), os.Getppid()
	own := Own(device.State{Processes: []int{1, self, parent}})
	if !own(self) || own(1<<22+1) || own(parent) && parentOf(parent) != parent {
		t.Errorf("self %v, nobody %v, parent %v", own(self), own(1<<22+1), own(parent))
	}
	if hidden := Own(device.State{Processes: []int{4000}}); !hidden(4000) {
		t.Error("a number of another name space was taken for another's process")
	}
	if parentOf(self) != parent {
		t.Errorf("parent of %d is %d, not %d", self, parentOf(self), parent)
	}
}
