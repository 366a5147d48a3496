package study

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

func TestDevices(t *testing.T) {
	gpus := func() cell.GPUs {
		return cell.GPUs{Of: func(m cell.Machine) []cell.GPU {
			if cell.Family(m.Device) != "sim" {
				return nil
			}
			return []cell.GPU{{Name: "Z9"}, {Name: "Z9"}, {Name: "A1"}}
		}}
	}
	load := func(device, machine, devices, flag string) (*Study, error) {
		root := workspace(t, map[string]string{
			"configs/machines/m.yaml": "device: " + device + "\n" + machine,
			"configs/s.yaml":          "study: s\nmachine: m\n" + devices + "stages:\n  b: {uses: measure, with: {model: x}}\n",
		})
		return Load(filepath.Join(root, "configs/s.yaml"), Options{Kinds: kinds(), GPUs: gpus, Devices: flag})
	}
	for _, tt := range []struct {
		device, machine, study, flag string
		want                         []int
		cards                        string
	}{
		{"sim", "", "", "", nil, ""},
		{"sim", "", "devices: [sim:1, sim:0]\n", "", []int{0, 1}, "Z9"},
		{"sim", "", "devices: [sim]\n", "", []int{0}, "Z9"},
		{"sim", "devices: [sim:0, sim:2]\n", "", "", []int{0, 2}, "A1 and Z9"},
		{"sim", "devices: [sim:0]\n", "devices: [sim:1]\n", "", []int{1}, "Z9"},
		{"sim", "devices: all\n", "devices: [sim:1]\n", "sim:2, sim:0", []int{0, 2}, "A1 and Z9"},
		{"sim", "", "devices: all\n", "", []int{0, 1, 2}, "A1 and Z9"},
		{"host", "", "devices: all\n", "", nil, ""},
		{"cuda", "", "", "cuda:3,cuda:1", []int{1, 3}, ""}, // there are none to count
	} {
		s, err := load(tt.device, tt.machine, tt.study, tt.flag)
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		if !slices.Equal(s.Pool, tt.want) || s.Cards() != tt.cards {
			t.Errorf("%+v: pool %v of %s", tt, s.Pool, s.Cards())
		}
	}
	for _, tt := range []struct{ device, study, flag, want string }{
		{"sim", "devices: [sim:3]\n", "", `s.yaml:3:11: devices: sim:3, and there are 3 GPUs to use`},
		{"sim", "devices: [sim:0, sim]\n", "", `s.yaml:3:18: devices: sim is named twice`},
		{"sim", "devices: [cuda:0]\n", "", `devices: cuda:0 on machine "m", whose device is sim`},
		{"sim", "devices: []\n", "", `devices: a list is no GPU`},
		{"sim", "devices: {a: 1}\n", "", `devices: a mapping is no GPU`},
		{"sim", "devices: [[sim:0]]\n", "", `devices: a list is no GPU`},
		{"sim", "devices: [1]\n", "", `devices: the integer 1 is no GPU`},
		{"host", "", "host", `devices: "host" is no GPU`},
		{"sim", "", "sim:-1", `devices: "sim:-1" is no GPU`},
		{"sim", "", "sim:", `devices: "sim:" is no GPU`},
		{"sim", "", "sim:0,", `devices: "" is no GPU`},
		{"sim", "", "sim:0,all", `devices: "all" is no GPU`},
		{"sim", "", "sim:99999999999999999999", `devices: "sim:99999999999999999999" is no GPU`},
	} {
		if _, err := load(tt.device, "", tt.study, tt.flag); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
