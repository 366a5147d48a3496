// Package nvml asks NVIDIA's management library what state a GPU and its link
// are in, and judges from two such states whether what was measured between them
// can be trusted. The library is opened at run time; no program needs it to
// start.
package nvml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/device"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// A Probe asks about one GPU. The zero Probe is not valid.
type Probe struct {
	device nvml.Device
	driver string
}

// start opens the library, once; a process that needs it keeps it.
func start() error {
	switch r := nvml.Init(); r {
	case nvml.SUCCESS:
		return nil
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return cell.Hint(errors.New("open NVML: there is no libnvidia-ml.so.1"), "install the NVIDIA driver, of which it is a part")
	default:
		return cell.Hint(fmt.Errorf("open NVML: %w", r), "look at nvidia-smi")
	}
}

// Open returns a probe of the GPU at a PCI address, such as 0000:4e:00.0.
func Open(pci string) (*Probe, error) {
	if err := start(); err != nil {
		return nil, err
	}
	d, r := nvml.DeviceGetHandleByPciBusId(pci)
	if r != nvml.SUCCESS {
		return nil, fmt.Errorf("find the GPU at %s through NVML: %w", pci, r)
	}
	driver, _ := nvml.SystemGetDriverVersion() // empty where it is not told
	return &Probe{d, driver}, nil
}

// All returns probes of every GPU of the machine.
func All() ([]*Probe, error) {
	if err := start(); err != nil {
		return nil, err
	}
	n, r := nvml.DeviceGetCount()
	if r != nvml.SUCCESS {
		return nil, fmt.Errorf("count GPUs through NVML: %w", r)
	}
	driver, _ := nvml.SystemGetDriverVersion()
	var all []*Probe
	for i := range n {
		d, r := nvml.DeviceGetHandleByIndex(i)
		if r != nvml.SUCCESS {
			return nil, fmt.Errorf("find GPU %d through NVML: %w", i, r)
		}
		all = append(all, &Probe{d, driver})
	}
	return all, nil
}

// policies are what may hold a GPU's clocks down, by the name that a reader
// knows them by.
var policies = []struct {
	name   string
	policy nvml.PerfPolicyType
}{
	{"power", nvml.PERF_POLICY_POWER}, {"thermal", nvml.PERF_POLICY_THERMAL}, {"reliability", nvml.PERF_POLICY_RELIABILITY},
	{"board limit", nvml.PERF_POLICY_BOARD_LIMIT}, {"low utilisation", nvml.PERF_POLICY_LOW_UTILIZATION},
}

// reasons name the bits that say why clocks are below their maximum; those that
// are no throttling are left out.
var reasons = []struct {
	name string
	bit  uint64
}{
	{"software power cap", nvml.ClocksEventReasonSwPowerCap},
	{"hardware slowdown", nvml.ClocksThrottleReasonHwSlowdown},
	{"software thermal slowdown", nvml.ClocksEventReasonSwThermalSlowdown},
	{"hardware thermal slowdown", nvml.ClocksThrottleReasonHwThermalSlowdown},
	{"hardware power brake", nvml.ClocksThrottleReasonHwPowerBrakeSlowdown},
}

// Look reads the GPU's state. What the GPU or its driver does not tell is zero
// or empty. With traffic, it also watches the link for 20 ms in each direction.
func (p *Probe) Look(traffic bool) device.State {
	d := p.device
	s := device.State{Driver: p.driver, Held: map[string]int64{}}
	s.Name, _ = d.GetName()
	s.UUID, _ = d.GetUUID()
	if pci, r := d.GetPciInfo(); r == nvml.SUCCESS {
		s.PCI = strings.ToLower(strings.TrimRight(string(pci.BusId[:]), "\x00"))
	}
	s.Generation, _ = d.GetCurrPcieLinkGeneration()
	s.MaxGeneration, _ = d.GetMaxPcieLinkGeneration()
	s.Width, _ = d.GetCurrPcieLinkWidth()
	s.MaxWidth, _ = d.GetMaxPcieLinkWidth()
	s.Replays, _ = d.GetPcieReplayCounter()
	s.SMClock = number(d.GetClockInfo(nvml.CLOCK_SM))
	s.MaxSMClock = number(d.GetMaxClockInfo(nvml.CLOCK_SM))
	s.MemoryClock = number(d.GetClockInfo(nvml.CLOCK_MEM))
	s.Temperature = number(d.GetTemperature(nvml.TEMPERATURE_GPU))
	if m, r := d.GetMemoryInfo(); r == nvml.SUCCESS {
		s.MemoryUsed, s.Memory = int64(m.Used), int64(m.Total)
	}
	if bits, r := d.GetCurrentClocksEventReasons(); r == nvml.SUCCESS {
		for _, reason := range reasons {
			if bits&reason.bit != 0 {
				s.Throttled = append(s.Throttled, reason.name)
			}
		}
	}
	for _, policy := range policies {
		if v, r := d.GetViolationStatus(policy.policy); r == nvml.SUCCESS {
			s.Held[policy.name] = int64(v.ViolationTime)
		}
	}
	if list, r := d.GetComputeRunningProcesses(); r == nvml.SUCCESS {
		for _, process := range list {
			s.Processes = append(s.Processes, int(process.Pid))
		}
		slices.Sort(s.Processes)
	}
	if traffic {
		s.Received = 1000 * number(d.GetPcieThroughput(nvml.PCIE_UTIL_RX_BYTES))
		s.Sent = 1000 * number(d.GetPcieThroughput(nvml.PCIE_UTIL_TX_BYTES))
	}
	return s
}

// Used returns how many bytes of the GPU's memory are in use, by whomever; 0 if
// the GPU does not tell.
func (p *Probe) Used() int64 {
	m, r := p.device.GetMemoryInfo()
	if r != nvml.SUCCESS {
		return 0
	}
	return int64(m.Used)
}

func number(v uint32, r nvml.Return) int64 {
	if r != nvml.SUCCESS {
		return 0
	}
	return int64(v)
}

// clockTolerance is how far the SM clock may move over a trial.
const clockTolerance = 0.05

// Judge says why what was measured between two states is INVALID; nothing means
// that it is not. Loaded says that the link was under load in both, and busy
// tells which processes belong to the trial.
func Judge(before, after device.State, loaded bool, own func(pid int) bool) []string {
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if loaded {
		for _, s := range []device.State{before, after} {
			if s.Generation < s.MaxGeneration || s.Width < s.MaxWidth {
				say("under load the link is Gen%d x%d, not Gen%d x%d", s.Generation, s.Width, s.MaxGeneration, s.MaxWidth)
				break
			}
		}
	}
	if n := after.Replays - before.Replays; n != 0 {
		say("the link replayed %d packets", n)
	}
	if all := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(before.Throttled), after.Throttled...)))); len(all) > 0 {
		say("the GPU was throttled: %s", strings.Join(all, ", "))
	}
	for _, name := range []string{"power", "thermal", "reliability", "board limit"} {
		if held := after.Held[name] - before.Held[name]; held > 0 {
			say("for %.1f ms its %s held the GPU's clocks down", float64(held)/1e6, name)
		}
	}
	if most := max(before.SMClock, after.SMClock); most > 0 && float64(most-min(before.SMClock, after.SMClock)) > clockTolerance*float64(most) {
		say("the SM clock moved from %d to %d MHz", before.SMClock, after.SMClock)
	}
	var others []string
	for _, pid := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(before.Processes), after.Processes...)))) {
		if !own(pid) {
			others = append(others, strconv.Itoa(pid))
		}
	}
	if len(others) > 0 {
		say("other processes used the GPU: %s", strings.Join(others, ", "))
	}
	return why
}

// Own tells this process and what its parent has started, such as the stressor of the
// same trial with its processes and its MPS server, from others. Where the GPU lists processes by the numbers of another
// name space, and so not this process either, it cannot tell, and takes all of
// them for its own.
func Own(s device.State) func(pid int) bool {
	self, parent := os.Getpid(), os.Getppid()
	known := slices.Contains(s.Processes, self)
	return func(pid int) bool {
		for pid > 1 && known {
			if pid = parentOf(pid); pid == parent {
				return true
			}
		}
		return !known
	}
}

// parentOf reads a process's parent, 0 if there is no such process.
func parentOf(pid int) int {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold spaces and brackets.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	if f := strings.Fields(rest); len(f) > 1 {
		n, _ := strconv.Atoi(f[1])
		return n
	}
	return 0
}

// Check is doctor's line on each GPU and its link.
func Check() cell.Check {
	return cell.Check{Name: "GPU link", Run: func(string) (found, hint string, err error) {
		all, err := All()
		if err != nil {
			return "none: " + err.Error(), "device host and device sim need none", nil
		}
		var lines []string
		for i, p := range all {
			s := p.Look(true)
			line := fmt.Sprintf("%d: %s, Gen%d x%d of Gen%d x%d, %d replays, SM %d of %d MHz, %.1f GB/s in, %.1f GB/s out",
				i, s.Name, s.Generation, s.Width, s.MaxGeneration, s.MaxWidth, s.Replays, s.SMClock, s.MaxSMClock,
				float64(s.Received)/1e9, float64(s.Sent)/1e9)
			if len(s.Throttled) > 0 {
				line += ", throttled: " + strings.Join(s.Throttled, ", ")
			}
			if len(s.Processes) > 0 {
				line += fmt.Sprintf(", used by processes %v", s.Processes)
				hint = "a study on a GPU that others use is INVALID: wait for them"
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "; "), hint, nil
	}}
}
