package nvml

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"

	"barograph/pipeline/cell/filetest"
)

// shared answers as a driver does; what it is not told to answer, it does not support.
func shared() *mock.Device {
	return &mock.Device{
		GetNameFunc:                      func() (string, nvml.Return) { return "NVIDIA X", nvml.SUCCESS },
		GetUUIDFunc:                      func() (string, nvml.Return) { return "", nvml.ERROR_NOT_SUPPORTED },
		GetPciInfoFunc:                   func() (nvml.PciInfo, nvml.Return) { return nvml.PciInfo{}, nvml.ERROR_NOT_SUPPORTED },
		GetCurrPcieLinkGenerationFunc:    func() (int, nvml.Return) { return 1, nvml.SUCCESS },
		GetMaxPcieLinkGenerationFunc:     func() (int, nvml.Return) { return 4, nvml.SUCCESS },
		GetCurrPcieLinkWidthFunc:         func() (int, nvml.Return) { return 16, nvml.SUCCESS },
		GetMaxPcieLinkWidthFunc:          func() (int, nvml.Return) { return 16, nvml.SUCCESS },
		GetPcieReplayCounterFunc:         func() (int, nvml.Return) { return 0, nvml.SUCCESS },
		GetClockInfoFunc:                 func(nvml.ClockType) (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED },
		GetMaxClockInfoFunc:              func(nvml.ClockType) (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED },
		GetTemperatureFunc:               func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 30, nvml.SUCCESS },
		GetMemoryInfoFunc:                func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.SUCCESS },
		GetCurrentClocksEventReasonsFunc: func() (uint64, nvml.Return) { return 1, nvml.SUCCESS }, // idle
		GetViolationStatusFunc: func(nvml.PerfPolicyType) (nvml.ViolationTime, nvml.Return) {
			return nvml.ViolationTime{}, nvml.ERROR_NOT_SUPPORTED
		},
		GetComputeRunningProcessesFunc: func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS },
		GetPcieThroughputFunc:          func(nvml.PcieUtilCounter) (uint32, nvml.Return) { return 10, nvml.SUCCESS },
		GetUtilizationRatesFunc:        func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 2}, nvml.SUCCESS },
		GetComputeModeFunc:             func() (nvml.ComputeMode, nvml.Return) { return nvml.COMPUTEMODE_DEFAULT, nvml.SUCCESS },
		GetMigModeFunc:                 func() (int, int, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED },
		GetEccModeFunc: func() (nvml.EnableState, nvml.EnableState, nvml.Return) {
			return nvml.FEATURE_ENABLED, nvml.FEATURE_ENABLED, nvml.SUCCESS
		},
		GetPowerManagementLimitFunc: func() (uint32, nvml.Return) { return 250000, nvml.SUCCESS },
		GetApplicationsClockFunc:    func(nvml.ClockType) (uint32, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED },
	}
}

// Whatever an administrator sets shows in the key, and what a GPU lacks does not.
func TestSetting(t *testing.T) {
	plain := map[string]string{"driver": "580.1", "compute mode": "default", "ECC": "on", "power limit": "250 W"}
	read := func(d *mock.Device, driver string) map[string]string {
		s := map[string]string{}
		(&Probe{d, driver}).setting(s)
		return s
	}
	if got := read(shared(), "580.1"); !maps.Equal(got, plain) {
		t.Errorf("%v, want %v", got, plain)
	}
	seen := map[string]bool{}
	for name, change := range map[string]func(*mock.Device){
		"exclusive": func(d *mock.Device) {
			d.GetComputeModeFunc = func() (nvml.ComputeMode, nvml.Return) { return nvml.COMPUTEMODE_EXCLUSIVE_PROCESS, nvml.SUCCESS }
		},
		"of tomorrow": func(d *mock.Device) {
			d.GetComputeModeFunc = func() (nvml.ComputeMode, nvml.Return) { return 9, nvml.SUCCESS }
		},
		"MIG":    func(d *mock.Device) { d.GetMigModeFunc = func() (int, int, nvml.Return) { return 1, 1, nvml.SUCCESS } },
		"no MIG": func(d *mock.Device) { d.GetMigModeFunc = func() (int, int, nvml.Return) { return 0, 0, nvml.SUCCESS } },
		"ECC": func(d *mock.Device) {
			d.GetEccModeFunc = func() (nvml.EnableState, nvml.EnableState, nvml.Return) { return 0, 0, nvml.SUCCESS }
		},
		"power": func(d *mock.Device) {
			d.GetPowerManagementLimitFunc = func() (uint32, nvml.Return) { return 200000, nvml.SUCCESS }
		},
		"clocks": func(d *mock.Device) {
			d.GetApplicationsClockFunc = func(nvml.ClockType) (uint32, nvml.Return) { return 1200, nvml.SUCCESS }
		},
	} {
		d := shared()
		change(d)
		got := read(d, "580.1")
		text := strings.Join(flat(got), " ")
		if maps.Equal(got, plain) || seen[text] {
			t.Errorf("%s: %v is nothing new", name, got)
		}
		seen[text] = true
	}
	if got := read(shared(), "590.2"); got["driver"] != "590.2" {
		t.Errorf("another driver: %v", got)
	}
}

func flat(m map[string]string) (all []string) {
	for _, name := range []string{"driver", "compute mode", "MIG", "ECC", "power limit", "SM clock", "memory clock"} {
		all = append(all, name+"="+m[name])
	}
	return all
}

func TestServing(t *testing.T) {
	proc := t.TempDir()
	write := func(pid, comm string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o777); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(proc, pid, "comm"), comm+"\n")
	}
	write("12", "python3")
	if serving(proc) {
		t.Error("python3 is taken for an MPS server")
	}
	write("13", "nvidia-cuda-mps")
	if !serving(proc) {
		t.Error("an MPS server is not seen")
	}
}

func TestDisturbed(t *testing.T) {
	names := map[int]string{7: "python3", 8: "nvidia-cuda-mps"}
	look := func(change func(*mock.Device)) string {
		d := shared()
		change(d)
		return strings.Join((&Probe{d, ""}).disturbed(func(pid int) string { return names[pid] }), "; ")
	}
	processes := func(pids ...uint32) func(*mock.Device) {
		return func(d *mock.Device) {
			var all []nvml.ProcessInfo
			for _, pid := range pids {
				all = append(all, nvml.ProcessInfo{Pid: pid})
			}
			d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return all, nvml.SUCCESS }
		}
	}
	for want, change := range map[string]func(*mock.Device){
		"": func(*mock.Device) {},
		"NVIDIA X is used by processes 7 python3": processes(7, 8),
		"NVIDIA X was busy for 40% of the last moment": func(d *mock.Device) {
			d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 40}, nvml.SUCCESS }
		},
		"NVIDIA X carries 5.0 GB/s in and 5.0 GB/s out": func(d *mock.Device) {
			d.GetPcieThroughputFunc = func(nvml.PcieUtilCounter) (uint32, nvml.Return) { return 5_000_000, nvml.SUCCESS }
		},
		"NVIDIA X is throttled: hardware slowdown": func(d *mock.Device) {
			d.GetCurrentClocksEventReasonsFunc = func() (uint64, nvml.Return) { return nvml.ClocksThrottleReasonHwSlowdown, nvml.SUCCESS }
		},
	} {
		if got := look(change); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := look(processes(8)); got != "" {
		t.Errorf("an MPS server alone: %q", got)
	}
}
