package nvml

import (
	"math"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// A GPU without a file is described by what its driver says.
func TestMachine(t *testing.T) {
	for _, c := range []struct {
		model             string
		generation, width int
		name, link        string
		raw               float64
	}{
		{"NVIDIA H100 80GB HBM3", 5, 16, "nvidia-h100-80gb-hbm3", "PCIe Gen5 x16", 63.015e9},
		{"Tesla P100-PCIE-16GB", 3, 16, "tesla-p100-pcie-16gb", "PCIe Gen3 x16", 15.754e9},
		{"NVIDIA GeForce GTX 1050 (Mobile)", 3, 4, "nvidia-geforce-gtx-1050-mobile", "PCIe Gen3 x4", 3.938e9},
		{"NVIDIA RTX A6000", 4, 16, "nvidia-rtx-a6000", "PCIe Gen4 x16", 31.508e9},
		{"Quadro P400", 1, 8, "quadro-p400", "PCIe Gen1 x8", 2e9},
		{"NVIDIA B200", 6, 16, "nvidia-b200", "PCIe Gen6 x16", 121e9},
		{"(?) \u975e", 3, 16, "gpu", "PCIe Gen3 x16", 15.754e9},
		{"../NVIDIA/A10-24Q\n", 4, 16, "nvidia-a10-24q", "PCIe Gen4 x16", 31.508e9},
		{"NVIDIA X", 9, 16, "nvidia-x", "PCIe Gen9 x16", 0},
		{"NVIDIA X", 0, 0, "nvidia-x", "", 0},
	} {
		d := shared()
		d.GetNameFunc = func() (string, nvml.Return) { return c.model, nvml.SUCCESS }
		d.GetMaxPcieLinkGenerationFunc = func() (int, nvml.Return) { return c.generation, nvml.SUCCESS }
		d.GetMaxPcieLinkWidthFunc = func() (int, nvml.Return) { return c.width, nvml.SUCCESS }
		m, err := (&Probe{d, ""}).machine("cuda:1")
		if err != nil || m.Name != c.name || m.Device != "cuda:1" || m.Link.Name != c.link || math.Abs(m.Link.Raw-c.raw) > 0.001*c.raw {
			t.Errorf("%s: %+v, %v", c.model, m, err)
		}
		if m.Link.Raw > 0 && (m.Link.Model < 0.82*m.Link.Raw || m.Link.Model > 0.83*m.Link.Raw) {
			t.Errorf("%s: %v of %v is left for data", c.model, m.Link.Model, m.Link.Raw)
		}
	}
	d := shared()
	d.GetMaxPcieLinkWidthFunc = func() (int, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
	if m, err := (&Probe{d, ""}).machine("cuda"); err != nil || m.Link.Name != "" || m.Description != "NVIDIA X" {
		t.Errorf("a driver that does not tell the width: %+v, %v", m, err)
	}
}
