package gpu

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"barograph/pipeline/cell"
)

// A driver shows its GPUs by PCI address; what the kernel does not tell of their
// links stays empty.
func TestFind(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	root := fstest.MapFS{
		"proc/driver/nvidia/version":                       file("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\nGCC version: 12.2.0\n"),
		"proc/driver/nvidia/gpus/0000:9b:00.0/information": file("Model: \t\t Tesla P100-PCIE-16GB\nIRQ:   \t\t 24\n"),
		"proc/driver/nvidia/gpus/0000:4e:00.0/information": file("IRQ: 7\nModel: \t\t NVIDIA H100 80GB HBM3\n"),
		"sys/bus/pci/devices/0000:4e:00.0/max_link_speed":  file("32.0 GT/s PCIe\n"),
		"sys/bus/pci/devices/0000:4e:00.0/max_link_width":  file("16\n"),
		"sys/bus/pci/devices/0000:4e:00.0/numa_node":       file("1\n"),
		"sys/bus/pci/devices/0000:9b:00.0/numa_node":       file("-1\n"),
	}
	one := 1
	want := []cell.GPU{
		{Name: "NVIDIA H100 80GB HBM3", PCI: "0000:4e:00.0", NUMA: &one, MaxSpeed: "32.0 GT/s PCIe", MaxWidth: "16"},
		{Name: "Tesla P100-PCIE-16GB", PCI: "0000:9b:00.0"},
	}
	if list, driver := find(root); !reflect.DeepEqual(list, want) || driver != "580.95.05" {
		t.Errorf("found %+v of driver %q", list, driver)
	}
	if list, driver := find(fstest.MapFS{}); list != nil || driver != "" {
		t.Errorf("without a driver: %+v, %q", list, driver)
	}
}

// Two names for one GPU are one, whoever gave it which number.
func TestPhysical(t *testing.T) {
	root := fstest.MapFS{}
	for pci, uuid := range map[string]string{"0000:19:00.0": "GPU-aaaa-1", "0000:9b:00.0": "GPU-bbbb-2"} {
		root["proc/driver/nvidia/gpus/"+pci+"/information"] = &fstest.MapFile{Data: []byte("Model: X\nGPU UUID: \t " + uuid + "\n")}
	}
	list, _ := find(root)
	for _, c := range []struct {
		device, visible string
		set             bool
		want            string
	}{
		{"host", "", false, "host"}, {"sim", "1", true, "sim"},
		{"cuda", "", false, "0000:19:00.0"}, {"cuda:1", "", false, "0000:9b:00.0"},
		{"cuda", "1", true, "0000:9b:00.0"}, {"cuda:1", "1,0", true, "0000:19:00.0"},
		{"cuda", "GPU-bbbb", true, "0000:9b:00.0"}, {"cuda", "MIG-1", true, "cuda:MIG-1"},
		{"cuda:1", "0", true, "cuda:1"}, {"cuda:7", "", false, "cuda:7"},
	} {
		if got := physical(list, c.device, c.visible, c.set); got != c.want {
			t.Errorf("%s of %q (%v) is %s, want %s", c.device, c.visible, c.set, got, c.want)
		}
	}
}

// Whatever a driver writes, asking it does not fail.
func FuzzFind(f *testing.F) {
	f.Add("Model: x\n")
	f.Add("580.95.05 32.0 GT/s")
	f.Fuzz(func(t *testing.T, text string) {
		file := &fstest.MapFile{Data: []byte(text)}
		list, _ := find(fstest.MapFS{
			"proc/driver/nvidia/version": file, "proc/driver/nvidia/gpus/0/information": file, "sys/bus/pci/devices/0/numa_node": file,
		})
		if len(list) != 1 || list[0].NUMA != nil && *list[0].NUMA < 0 {
			t.Errorf("%+v", list)
		}
	})
}

// Every plan asks, so that it may not cost what a no-op run is allowed.
func TestHereIsCheap(t *testing.T) {
	best := time.Hour
	for range 20 {
		start := time.Now()
		Here()
		best = min(best, time.Since(start))
	}
	if best > time.Millisecond {
		t.Errorf("the fastest of 20 took %v, want at most 1ms", best)
	}
}

func TestVisible(t *testing.T) {
	all := []cell.GPU{{PCI: "0000:01:00.0", UUID: "GPU-aa11"}, {PCI: "0000:02:00.0", UUID: "GPU-bb22"}, {PCI: "0000:03:00.0", UUID: "GPU-cc33"}}
	for visible, want := range map[string]string{
		"0,1,2": "0000:01:00.0 0000:02:00.0 0000:03:00.0", "2,0": "0000:03:00.0 0000:01:00.0", "GPU-bb": "0000:02:00.0",
		"1,7,0": "0000:02:00.0", "": "", "-1": "", "MIG-aa": "",
	} {
		t.Setenv("CUDA_VISIBLE_DEVICES", visible)
		var got []string
		for _, g := range Visible(all) {
			got = append(got, g.PCI)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("CUDA_VISIBLE_DEVICES=%q leaves %v, want %s", visible, got, want)
		}
	}
	os.Unsetenv("CUDA_VISIBLE_DEVICES")
	if got := Visible(all); len(got) != 3 {
		t.Errorf("without the variable: %v", got)
	}
}

// A process that is left one GPU of several counts it as its parent does, whatever the
// driver's number of it.
func TestOnly(t *testing.T) {
	all := []cell.GPU{{PCI: "0000:01:00.0", UUID: "GPU-aa11"}, {PCI: "0000:02:00.0", UUID: "GPU-bb22"}, {PCI: "0000:03:00.0"}}
	for _, c := range []struct {
		visible string // of the parent; none: all
		list    []cell.GPU
		devices []string
		sees    string
		at      string // of the last device
	}{
		{"", all[:2], []string{"cuda:1"}, "GPU-bb22", "0000:02:00.0"},
		{"", all[:2], []string{"cuda"}, "GPU-aa11", "0000:01:00.0"},
		{"1,0", all[:2], []string{"cuda:1"}, "GPU-aa11", "0000:01:00.0"},
		{"GPU-bb", all[:2], []string{"cuda"}, "GPU-bb22", "0000:02:00.0"},
		{"", all[:2], []string{"cuda", "cuda:1"}, "GPU-aa11,GPU-bb22", "0000:02:00.0"},
		{"", all[:1], []string{"cuda"}, "", ""},
		{"", all, []string{"cuda:2"}, "", ""}, // has no UUID
		{"", all, []string{"cuda:3"}, "", ""},
		{"MIG-aa", all, []string{"cuda"}, "", ""},
	} {
		os.Unsetenv(left)
		os.Unsetenv(counted)
		if c.visible != "" {
			t.Setenv(left, c.visible)
		}
		by := Only(c.list, c.devices)
		if by[left] != c.sees || len(by) != 0 && len(by) != 2 {
			t.Errorf("%+v: %v", c, by)
		}
		if _, is := Renumbered("cuda"); is {
			t.Errorf("%+v: renumbered before", c)
		}
		if by == nil {
			continue
		}
		for name, v := range by {
			t.Setenv(name, v)
		}
		names, set := visible()
		if at := physical(c.list, c.devices[len(c.devices)-1], names, set); at != c.at {
			t.Errorf("%+v: the device is %s", c, at)
		}
		if _, is := Renumbered("cuda"); !is {
			t.Errorf("%+v: its numbers are taken for the driver's", c)
		}
	}
}
