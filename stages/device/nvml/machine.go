package nvml

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/device/gpu"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Machine describes the machine of a device (cuda, cuda:1) for which there is no
// file: the GPU's name, and what its link can carry at the generation and width that
// it and this computer have in common, as the driver says.
func Machine(device string) (cell.Machine, error) {
	p, err := Open(gpu.Here().Physical(device))
	if err != nil {
		return cell.Machine{}, fmt.Errorf("ask the driver about device %s: %w", device, err)
	}
	return p.machine(device)
}

// Lost says why the GPU of a device cannot be used any more, as when it has fallen off
// the bus; nil where the driver still knows it, or device is no GPU.
func Lost(device string) error {
	if cell.Family(device) != "cuda" {
		return nil
	}
	p, err := Open(gpu.Here().Physical(device))
	if err != nil {
		return err
	}
	if _, r := p.device.GetName(); r != nvml.SUCCESS {
		return r
	}
	if _, r := p.device.GetTemperature(nvml.TEMPERATURE_GPU); r == nvml.ERROR_GPU_IS_LOST {
		return r
	}
	return nil
}

func (p *Probe) machine(device string) (m cell.Machine, err error) {
	name, r := p.device.GetName()
	if r != nvml.SUCCESS {
		return m, fmt.Errorf("ask the driver for the name of device %s: %w", device, r)
	}
	m = cell.Machine{Name: cmp.Or(slug(name), "gpu"), Device: device}
	generation, r1 := p.device.GetMaxPcieLinkGeneration()
	width, r2 := p.device.GetMaxPcieLinkWidth()
	if r1 == nvml.SUCCESS && r2 == nvml.SUCCESS { // else nothing is known of the link, and it is calibrated all the same
		m.Link = Link(generation, width)
	}
	m.Description = strings.TrimSuffix(fmt.Sprintf("%s, %s", name, m.Link.Name), ", ")
	return m, nil
}

// slug makes a GPU's name fit for a folder: nvidia-rtx-a6000.
func slug(name string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-")
}

// lane is what a lane of each generation carries in one direction, in bytes per
// second after encoding: 8b/10b for the first two, 128b/130b from the third on, and
// 242 of 256 bytes of a FLIT from the sixth.
var lane = []float64{
	1: 2.5e9 / 10, 2: 5e9 / 10, 3: 8e9 / 8 * 128 / 130, 4: 16e9 / 8 * 128 / 130, 5: 32e9 / 8 * 128 / 130, 6: 64e9 / 8 * 242 / 256,
}

// ofPayload is the share of a link that is left for data: of each packet of at most
// 256 bytes, a header and what guards and acknowledges it are taken, as for the
// machines that have a file.
const ofPayload = 0.8249

// Link names a PCIe link and says what it carries; a generation that is not known
// has a name only.
func Link(generation, width int) cell.Link {
	if generation < 1 || width < 1 {
		return cell.Link{}
	}
	l := cell.Link{Name: fmt.Sprintf("PCIe Gen%d x%d", generation, width)}
	if generation < len(lane) {
		l.Raw = lane[generation] * float64(width)
		l.Model = l.Raw * ofPayload
	}
	return l
}
