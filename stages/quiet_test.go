package stages

import (
	"strings"
	"testing"

	"barograph/stages/device/host"
)

// What would spoil a measurement is said, with who does it; what would not is not.
func TestLoaded(t *testing.T) {
	for want, l := range map[string]host.Look{
		"": {CPUs: 2, Busy: 0.1, Load: 9, Pressure: map[string]float64{"cpu": 0.5, "memory": 0.01}},
		"others keep 1.9 of 2 processors busy (python3, process 7, 99%; yes, process 8, 91%); the load average is 0.4, and for 35% of the last 10 s a process waited for a processor": {
			CPUs: 2, Busy: 1.9, Load: 0.4, Users: []host.User{{Name: "python3", PID: 7, Busy: 0.99}, {Name: "yes", PID: 8, Busy: 0.91}}, Pressure: map[string]float64{"cpu": 0.35}},
		"other virtual machines take 1.0 of 4 processors":      {CPUs: 4, Stolen: 1},
		"the processors are throttled":                         {CPUs: 4, Throttled: 1},
		"for 20% of the last 10 s a process waited for memory": {CPUs: 4, Pressure: map[string]float64{"memory": 0.2}},
	} {
		if got := loaded(l); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
}
