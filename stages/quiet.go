package stages

import (
	"fmt"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device/host"
	"barograph/stages/device/nvml"

	"golang.org/x/sys/unix"
)

// How long the processors are looked at, and what others may do there beside a
// measurement: a quarter of a processor is what a desktop or a monitor takes.
const (
	lookFor      = 700 * time.Millisecond
	othersMay    = 0.25
	pressureMay  = 0.05    // of the time, for memory
	leastMemory  = 1 << 30 // bytes; less, and the kernel begins to write pages out
	leastDisk    = 1 << 30
	mostOfUsers  = 3 // that are named
	stolenMay    = 0.05
	quietAgainIn = "stop it, wait, or say run --wait"
)

// load says what others do on the processors.
func load(string, string) (what, hint string) {
	l, err := host.See(lookFor)
	if err != nil {
		return "", ""
	}
	return loaded(l), quietAgainIn
}

func loaded(l host.Look) string {
	var said []string
	if l.Busy > othersMay {
		text := fmt.Sprintf("others keep %.1f of %d processors busy", l.Busy, l.CPUs)
		var users []string
		for _, u := range l.Users[:min(len(l.Users), mostOfUsers)] {
			users = append(users, fmt.Sprintf("%s, process %d, %.0f%%", u.Name, u.PID, 100*u.Busy))
		}
		if len(users) > 0 {
			text += " (" + strings.Join(users, "; ") + ")"
		}
		text += fmt.Sprintf("; the load average is %.1f", l.Load)
		if share := l.Pressure["cpu"]; share > 0 {
			text += fmt.Sprintf(", and for %.0f%% of the last 10 s a process waited for a processor", 100*share)
		}
		said = append(said, text)
	}
	if l.Stolen > stolenMay*float64(l.CPUs) {
		said = append(said, fmt.Sprintf("other virtual machines take %.1f of %d processors", l.Stolen, l.CPUs))
	}
	if l.Throttled > 0 {
		said = append(said, "the processors are throttled: they are too hot for their clock")
	}
	if share := l.Pressure["memory"]; share > pressureMay {
		said = append(said, fmt.Sprintf("for %.0f%% of the last 10 s a process waited for memory", 100*share))
	}
	return strings.Join(said, "; ")
}

func shortMemory(string, string) (what, hint string) {
	if m, err := host.Open(); err == nil && m.Available < leastMemory {
		return gib(m.Available) + " of memory is available", "close what uses it, or lower the levels with --set"
	}
	return "", ""
}

func shortDisk(root, _ string) (what, hint string) {
	var s unix.Statfs_t
	if unix.Statfs(root, &s) == nil && int64(s.Bavail)*s.Bsize < leastDisk {
		return fmt.Sprintf("%s has %s free", root, gib(int64(s.Bavail)*s.Bsize)), `make room; "barograph gc" removes results that no study needs`
	}
	return "", ""
}

func busyGPU(_, device string) (what, hint string) {
	if device == "" || strings.HasPrefix(device, "cuda") {
		return nvml.Disturbed(device), quietAgainIn
	}
	return "", ""
}

// quiet are the checks of the moment.
func quiet() []cell.Check {
	return []cell.Check{
		{Name: "quiet processors", Disturbed: load},
		{Name: "room in memory", Disturbed: shortMemory},
		{Name: "room on disk", Disturbed: shortDisk},
		{Name: "quiet GPU", Disturbed: busyGPU},
	}
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }
