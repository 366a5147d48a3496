package machine_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/machine"
)

func TestChoose(t *testing.T) {
	missing := errors.New("barograph-cuda, which is nowhere")
	tests := []struct {
		name    string
		models  []string
		missing error
		want    string
		why     string
	}{
		{"no GPU", nil, nil, "host", "no NVIDIA GPU"},
		{"a GPU that is known", []string{"Tesla P100-PCIE-16GB"}, nil, "p100", "Tesla P100-PCIE-16GB"},
		{"the second one is known", []string{"NVIDIA T4", "NVIDIA H100 80GB HBM3"}, nil, "h100", "NVIDIA H100 80GB HBM3"},
		{"no file matches", []string{"NVIDIA T4"}, nil, "gpu", "no machine file matches the GPU NVIDIA T4"},
		{"nothing matches, and no program", []string{"NVIDIA T4"}, missing, "host", "not the program to use it: barograph-cuda"},
		{"no program for it", []string{"Tesla P100-PCIE-16GB"}, missing, "host", "not the program to use it: barograph-cuda"},
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"broken": "match: P100\n", "h100": "device: cuda\nmatch: H100\n", "host": "device: host\n", "p100": "device: cuda\nmatch: P100\n",
	} {
		filetest.Write(t, filepath.Join(root, machine.Folder, name+".yaml"), text)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gpus := cell.GPUs{Make: "NVIDIA GPU", Missing: tt.missing}
			for _, model := range tt.models {
				gpus.List = append(gpus.List, cell.GPU{Name: model})
			}
			got, why := machine.Choose(root, machine.Names(root), gpus)
			if got != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("choose: %s, %q; want %s, ...%q...", got, why, tt.want, tt.why)
			}
		})
	}
}

// Results lie in folders that are called after their machine.
func TestReadRefusesWhatIsNoName(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"my\nhost", "-host", "my host"} {
		filetest.Write(t, filepath.Join(root, machine.Folder, name+".yaml"), "device: host\n")
		if _, errs := machine.Read(root, name); len(errs) != 1 || !strings.Contains(errs.Error(), "is not a name") {
			t.Errorf("read machine %q: %v", name, errs)
		}
	}
}
