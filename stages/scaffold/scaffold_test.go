package scaffold

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/study"
	"barograph/stages/device/nvml"
)

// The file written for a GPU is one that a study loads, with the link that was
// read, and that auto finds by the GPU's name.
func TestMachineFile(t *testing.T) {
	m := cell.Machine{Name: "nvidia-rtx-a6000", Device: "cuda", Description: "NVIDIA RTX A6000 (48 GB), PCIe Gen4 x16", Link: nvml.Link(4, 16)}
	root := t.TempDir()
	for _, one := range []cell.Machine{m, {Name: "here", Device: "host", Description: "the memory bus", Link: cell.Link{Name: "memory bus"}}} {
		var text strings.Builder
		match := ""
		if one.Device == "cuda" {
			match = regexp.QuoteMeta("NVIDIA RTX A6000 (48 GB)")
		}
		if err := machineTemplate.Execute(&text, struct {
			cell.Machine
			Match string
		}{one, match}); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"configs/machines/" + one.Name + ".yaml": text.String(),
			"configs/s.yaml":                         "study: s\nstages: {x: {uses: command, run: 'true', outputs: [o]}}\n",
		} {
			path := filepath.Join(root, name)
			filetest.Write(t, path, text)
		}
		kinds := cell.NewKinds(&cell.Kind{Name: "command", Version: "1", Script: true, With: func() any { return &struct{}{} }})
		s, err := study.Load(filepath.Join(root, "configs/s.yaml"), study.Options{Kinds: kinds, Machine: one.Name})
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		if got := s.Machine; got.Description != one.Description || got.Device != one.Device || got.Link.Name != one.Link.Name || got.Link.Raw < 0.999*one.Link.Raw || got.Link.Raw > 1.001*one.Link.Raw {
			t.Errorf("%+v, want %+v\n%s", got, one, text.String())
		}
	}
}
