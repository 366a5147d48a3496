package configs_test

import (
	"math"
	"regexp"
	"testing"

	"gopkg.in/yaml.v3"

	"barograph/pipeline/cell/filetest"
	"barograph/stages/device/nvml"
)

// Each GPU is matched by one machine file, and a link that a file names is what
// such a link carries.
func TestMachinesMatchTheirGPUs(t *testing.T) {
	type machine struct {
		Name, Match string
		Link        struct {
			Name       string
			Raw, Model float64
		}
	}
	all := map[string]machine{}
	for _, file := range files(t, "machines/*.yaml") {
		text := filetest.Read(t, file)
		var m machine
		if err := yaml.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		if m.Match != "" {
			all[m.Name] = m
		}
	}
	for gpu, want := range map[string]string{
		"NVIDIA H100 80GB HBM3": "h100", "NVIDIA H100 PCIe": "h100", "NVIDIA H200": "h200", "NVIDIA A100-SXM4-40GB": "a100", "NVIDIA A100 80GB PCIe": "a100",
		"NVIDIA L4": "l4", "NVIDIA L40S": "", "Tesla T4": "t4", "NVIDIA T400": "", "Tesla V100-SXM2-16GB": "v100", "Tesla P100-PCIE-16GB": "p100",
		"NVIDIA GeForce RTX 4090": "rtx4090", "NVIDIA GeForce RTX 4080": "", "NVIDIA GH200 480GB": "", "NVIDIA A10": "",
	} {
		found := ""
		for name, m := range all {
			if regexp.MustCompile(m.Match).MatchString(gpu) {
				if found != "" {
					t.Errorf("%s is matched by %s and %s", gpu, found, name)
				}
				found = name
			}
		}
		if found != want {
			t.Errorf("%s is matched by %q, want %q", gpu, found, want)
		}
	}
	generation := map[string]int{"p100": 3, "v100": 3, "t4": 3, "a100": 4, "l4": 4, "rtx4090": 4, "h100": 5, "h200": 5}
	for name, g := range generation {
		l, m := nvml.Link(g, 16), all[name]
		if m.Link.Name != l.Name || math.Abs(m.Link.Raw/l.Raw-1) > 0.001 || math.Abs(m.Link.Model/l.Model-1) > 0.001 {
			t.Errorf("%s: %+v, want %+v", name, m.Link, l)
		}
	}
}
