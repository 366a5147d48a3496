// Package setting tells how a device is set, as far as a measurement depends on it
// and it can be changed without other hardware: it is part of the key of whatever is
// measured.
package setting

import (
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/device/nvml"
)

// Of returns the settings of a device (host, sim, cuda, cuda:1) by name; none for
// the simulated one. What cannot be asked is left out.
func Of(device string) map[string]string {
	switch {
	case device == "host":
		return processors(record.Environment(cell.GPUs{}).CPU)
	case strings.HasPrefix(device, "cuda"):
		return nvml.Setting(device)
	}
	return nil
}

func processors(cpu record.CPU) map[string]string {
	s := map[string]string{}
	if cpu.Governor != "" {
		s["clock governor"] = cpu.Governor
	}
	if cpu.Boost != nil {
		s["boost"] = map[bool]string{true: "on", false: "off"}[*cpu.Boost]
	}
	return s
}
