package study

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		{"no file matches", []string{"NVIDIA T4"}, here, "host", "no machine file matches the GPU NVIDIA T4"},
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
