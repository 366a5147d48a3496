package nvml

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barograph/stages/device/gpu"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Setting returns how the GPU behind a device (cuda, cuda:1) is set and shared, by
// name, as far as a measurement depends on it and an administrator can change it:
// driver, compute mode, MIG, ECC, power limit, clocks that are fixed, and whether an
// MPS server shares the GPU; and which GPU the device is, where the environment says
// so. What cannot be asked is left out.
func Setting(device string) map[string]string {
	here := gpu.Here()
	pci := here.Physical(device)
	s := map[string]string{"MPS": "off"}
	p, err := Open(pci)
	if (err == nil || here.Driver != "") && serving("/proc") { // every plan asks, mostly where there is no GPU
		s["MPS"] = "on"
	}
	if os.Getenv("CUDA_VISIBLE_DEVICES") != "" {
		s["GPU"] = pci
	}
	if here.Driver != "" {
		s["driver"] = here.Driver
	}
	if err == nil {
		p.setting(s)
	}
	return s
}

func (p *Probe) setting(s map[string]string) {
	if p.driver != "" {
		s["driver"] = p.driver
	}
	if mode, r := p.device.GetComputeMode(); r == nvml.SUCCESS {
		names := map[nvml.ComputeMode]string{
			nvml.COMPUTEMODE_DEFAULT: "default", nvml.COMPUTEMODE_EXCLUSIVE_THREAD: "exclusive thread",
			nvml.COMPUTEMODE_PROHIBITED: "prohibited", nvml.COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive process",
		}
		if s["compute mode"] = names[mode]; names[mode] == "" {
			s["compute mode"] = strconv.Itoa(int(mode))
		}
	}
	if mode, _, r := p.device.GetMigMode(); r == nvml.SUCCESS { // older GPUs have none
		s["MIG"] = onOff(mode == nvml.DEVICE_MIG_ENABLE)
	}
	if mode, _, r := p.device.GetEccMode(); r == nvml.SUCCESS {
		s["ECC"] = onOff(mode == nvml.FEATURE_ENABLED)
	}
	if limit, r := p.device.GetPowerManagementLimit(); r == nvml.SUCCESS {
		s["power limit"] = fmt.Sprintf("%.0f W", float64(limit)/1000)
	}
	for name, clock := range map[string]nvml.ClockType{"SM clock": nvml.CLOCK_SM, "memory clock": nvml.CLOCK_MEM} {
		if mhz, r := p.device.GetApplicationsClock(clock); r == nvml.SUCCESS {
			s[name] = fmt.Sprintf("%d MHz", mhz)
		}
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// serving tells whether an MPS control daemon or server runs. Cells find it where it
// is by default, since CUDA_MPS_PIPE_DIRECTORY is not among the variables that they
// inherit.
func serving(proc string) bool {
	names, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	return slices.ContainsFunc(names, func(name string) bool {
		b, err := os.ReadFile(name)
		return err == nil && isMPS(strings.TrimSpace(string(b)))
	})
}

// isMPS recognises the names of MPS's processes, of which the kernel keeps fifteen
// letters.
func isMPS(comm string) bool { return strings.HasPrefix(comm, "nvidia-cuda-mps") }

// Disturbed says what of the moment would spoil a measurement on a device, or, where
// that is empty, on any GPU; nothing if it is quiet.
func Disturbed(device string) string {
	var probes []*Probe
	if device == "" {
		probes, _ = All() // without a library there is no GPU to disturb
	} else if p, err := Open(gpu.Here().Physical(device)); err == nil {
		probes = []*Probe{p}
	}
	var said []string
	for _, p := range probes {
		said = append(said, p.disturbed(func(pid int) string {
			b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
			return strings.TrimSpace(string(b))
		})...)
	}
	return strings.Join(said, "; ")
}

// What an idle GPU may still do: a display, or a monitor that asks it.
const (
	idleShare   = 10          // percent of the time in which a kernel ran
	idleTraffic = 500_000_000 // bytes per second on the link
)

func (p *Probe) disturbed(name func(pid int) string) (said []string) {
	s := p.Look(true)
	say := func(format string, args ...any) { said = append(said, s.Name+" "+fmt.Sprintf(format, args...)) }
	var users []string
	for _, pid := range s.Processes {
		if comm := name(pid); !isMPS(comm) {
			users = append(users, strings.TrimSpace(fmt.Sprintf("%d %s", pid, comm)))
		}
	}
	if len(users) > 0 {
		say("is used by processes %s", strings.Join(users, ", "))
	}
	if u, r := p.device.GetUtilizationRates(); r == nvml.SUCCESS && u.Gpu > idleShare {
		say("was busy for %d%% of the last moment", u.Gpu)
	}
	if s.Received > idleTraffic || s.Sent > idleTraffic {
		say("carries %.1f GB/s in and %.1f GB/s out", float64(s.Received)/1e9, float64(s.Sent)/1e9)
	}
	if len(s.Throttled) > 0 {
		say("is throttled: %s", strings.Join(s.Throttled, ", "))
	}
	return said
}
