package study

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
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
	filetest.Write(t, filepath.Join(root, "configs/machines/bare.yaml"), "device: cuda:1\n")
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

// A stage says which GPU its cells are measured on, at each of its points; expressions
// know how many there are.
func TestGPU(t *testing.T) {
	four := func() cell.GPUs {
		return cell.GPUs{Of: func(m cell.Machine) []cell.GPU {
			if cell.Family(m.Device) != "sim" {
				return nil
			}
			return make([]cell.GPU, 4)
		}}
	}
	load := func(device, gpu, more string) (*Study, error) {
		root := workspace(t, map[string]string{
			"configs/machines/m.yaml": "device: " + device + "\n",
			"configs/s.yaml":          "study: s\nmachine: m\nstages:\n  a: {uses: load, background: true, " + more + "}\n  b: {uses: measure, during: [a], gpu: " + gpu + ", matrix: {replicate: 6}, with: {model: x}}\n",
		})
		return Load(filepath.Join(root, "configs/s.yaml"), Options{Kinds: kinds(), GPUs: four})
	}
	s, err := load("sim", `"${{ (replicate + 1) % machine.gpus }}"`, "with: {threads: 2}")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 3, 0, 1, 2, 3} {
		b, err := s.Bind(s.Stage("b"), cell.Point{{Axis: "replicate", Value: int64(i + 1)}})
		if err != nil || b.GPU == nil || *b.GPU != want {
			t.Errorf("replicate %d: %+v, %v; want GPU %d", i+1, b, err, want)
		}
	}
	if b, err := s.Bind(s.Stage("a"), nil); err != nil || b.GPU != nil {
		t.Errorf("a stage without gpu: %+v, %v", b, err)
	}
	if _, err := load("cuda", "7", "with: {threads: 2}"); err != nil { // which is said where it is to be measured
		t.Error(err)
	}
	for _, tt := range []struct{ device, gpu, more, want string }{
		{"sim", "-1", "with: {threads: 2}", `gpu: want at least 0, got -1`},
		{"sim", "first", "with: {threads: 2}", `gpu: want`},
		{"sim", "0", "gpu: 1", `s.yaml:4:42: stage "a": a background stage runs on the GPU of its trial`},
	} {
		if _, err := load(tt.device, tt.gpu, tt.more); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("gpu: %s on %s: %v", tt.gpu, tt.device, err)
		}
	}
}
