package study

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

func TestChooseMachine(t *testing.T) {
	here := func() (string, error) { return "/usr/bin/barograph-cuda", nil }
	missing := func() (string, error) { return "", errors.New("not found") }
	tests := []struct {
		name    string
		models  []string
		program func() (string, error)
		want    string
		why     string
	}{
		{"no GPU", nil, here, "host", "no NVIDIA GPU"},
		{"a GPU that is known", []string{"Tesla P100-PCIE-16GB"}, here, "p100", "Tesla P100-PCIE-16GB"},
		{"the second one is known", []string{"NVIDIA T4", "NVIDIA H100 80GB HBM3"}, here, "h100", "NVIDIA H100 80GB HBM3"},
		{"no file matches", []string{"NVIDIA T4"}, here, "gpu", "no machine file matches the GPU NVIDIA T4"},
		{"nothing matches, and no program", []string{"NVIDIA T4"}, missing, "host", "no program barograph-cuda"},
		{"no program for it", []string{"Tesla P100-PCIE-16GB"}, missing, "host", "no program barograph-cuda"},
	}
	root := workspace(t, map[string]string{
		"configs/machines/broken.yaml": "match: P100\n",
		"configs/machines/h100.yaml":   "device: cuda\nmatch: H100\n",
		"configs/machines/host.yaml":   "device: host\n",
		"configs/machines/p100.yaml":   "device: cuda\nmatch: P100\n",
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proc := t.TempDir()
			for i, model := range tt.models {
				dir := filepath.Join(proc, string(rune('a'+i)))
				if err := os.Mkdir(dir, 0o777); err != nil {
					t.Fatal(err)
				}
				text := "Model: \t\t " + model + "\nIRQ:   \t\t 24\n"
				if err := os.WriteFile(filepath.Join(dir, "information"), []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			h := hardware{filepath.Join(proc, "*", "information"), tt.program}
			got, why := h.choose(root, machineNames(root))
			if got != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("choose: %s, %q; want %s, ...%q...", got, why, tt.want, tt.why)
			}
		})
	}
}

// A GPU that no file matches is one to measure on, by what its driver says; only
// where that cannot be asked is the memory bus measured, and it is said why. A
// recording's machine needs no file.
func TestAnyGPU(t *testing.T) {
	proc := t.TempDir()
	if err := os.Mkdir(filepath.Join(proc, "a"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "a", "information"), []byte("Model: NVIDIA Z9\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	defer func(h hardware) { thisHardware = h }(thisHardware)
	thisHardware = hardware{filepath.Join(proc, "*", "information"), func() (string, error) { return "/barograph-cuda", nil }}
	root := workspace(t, wholeFiles)
	z9 := cell.Machine{Name: "nvidia-z9", Device: "cuda", Description: "NVIDIA Z9, PCIe Gen5 x8", Link: cell.Link{Name: "PCIe Gen5 x8", Raw: 31.5e9}}
	load := func(machine string, opt Options) (*Study, error) {
		opt.Kinds, opt.Machine = kinds(), machine
		return Load(filepath.Join(root, "configs/whole.yaml"), opt)
	}
	asks := func(string) (cell.Machine, error) { return z9, nil }
	fails := func(string) (cell.Machine, error) { return cell.Machine{}, errors.New("the driver is silent") }
	for _, name := range []string{"auto", "gpu"} {
		s, err := load(name, Options{Generic: asks})
		if err != nil || !reflect.DeepEqual(s.Machine, z9) || !strings.Contains(s.MachineBy, "the driver says NVIDIA Z9, PCIe Gen5 x8") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if s, err := load("auto", Options{Generic: fails}); err != nil || s.Machine.Device != "host" || !strings.Contains(s.MachineBy, "the driver is silent") {
		t.Errorf("a silent driver: %+v, %v", s, err)
	}
	if _, err := load("gpu", Options{Generic: fails}); err == nil || !strings.Contains(err.Error(), "the driver is silent") {
		t.Errorf("asked for a GPU of a silent driver: %v", err)
	}
	if s, err := load("nvidia-z9", Options{Recorded: &z9}); err != nil || !reflect.DeepEqual(s.Machine, z9) {
		t.Errorf("recorded: %+v, %v", s, err)
	}
	if _, err := load("nvidia-z9", Options{}); err == nil {
		t.Error("a machine without a file and a recording loads")
	}
}

func TestMachineOption(t *testing.T) {
	root := workspace(t, wholeFiles)
	if err := os.WriteFile(filepath.Join(root, "configs/machines/bare.yaml"), []byte("device: cuda:1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := Load(filepath.Join(root, "configs/whole.yaml"), Options{Kinds: kinds(), Machine: "bare"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Machine.Name != "bare" || s.Machine.Device != "cuda:1" || s.MachineBy != "--machine" || len(s.Lowered) != 0 {
		t.Errorf("machine %+v by %s, lowered %v", s.Machine, s.MachineBy, s.Lowered)
	}
}

// A folder without machine files can measure the computer it is on.
func TestHostNeedsNoFile(t *testing.T) {
	root := workspace(t, map[string]string{"x.yaml": "study: x\nmachine: host\nstages: {a: {uses: load}}\n"})
	s, err := Load(filepath.Join(root, "x.yaml"), Options{Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	if s.Machine.Name != "host" || s.Machine.Device != "host" {
		t.Errorf("machine %+v", s.Machine)
	}
	if s.Root != root {
		t.Errorf("root %s, want %s", s.Root, root)
	}
}
