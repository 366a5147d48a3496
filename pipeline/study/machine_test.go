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

// A GPU that no file matches is one to measure on, by what its driver says; only
// where that cannot be asked is the memory bus measured, and it is said why. A
// recording's machine needs no file.
func TestAnyGPU(t *testing.T) {
	root := workspace(t, wholeFiles)
	z9 := cell.Machine{Name: "nvidia-z9", Device: "cuda", Description: "NVIDIA Z9, PCIe Gen5 x8", Link: cell.Link{Name: "PCIe Gen5 x8", Raw: 31.5e9}}
	load := func(machine string, opt Options) (*Study, error) {
		opt.Kinds, opt.Machine = kinds(), machine
		return Load(filepath.Join(root, "configs/whole.yaml"), opt)
	}
	gpus := func(m cell.Machine, err error) func() cell.GPUs {
		return func() cell.GPUs {
			return cell.GPUs{List: []cell.GPU{{Name: "NVIDIA Z9"}}, Machine: func(string) (cell.Machine, error) { return m, err }}
		}
	}
	asks, fails := gpus(z9, nil), gpus(cell.Machine{}, errors.New("the driver is silent"))
	for _, name := range []string{"auto", "gpu"} {
		s, err := load(name, Options{GPUs: asks})
		if err != nil || !reflect.DeepEqual(s.Machine, z9) || !strings.Contains(s.MachineBy, "the driver says NVIDIA Z9, PCIe Gen5 x8") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if s, err := load("auto", Options{GPUs: fails}); err != nil || s.Machine.Device != "host" || !strings.Contains(s.MachineBy, "the driver is silent") {
		t.Errorf("a silent driver: %+v, %v", s, err)
	}
	if _, err := load("gpu", Options{GPUs: fails}); err == nil || !strings.Contains(err.Error(), "the driver is silent") {
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
