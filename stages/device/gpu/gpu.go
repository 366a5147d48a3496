// Package gpu says which GPUs this computer has, and which build of the program
// can measure on them. It asks the files of NVIDIA's driver and links against
// nothing, so that it works in every build.
package gpu

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// Program is the build that is linked against the driver, and that ends where
// there is none.
const Program = "barograph-cuda"

// Here returns the GPUs of this computer and what serves them.
func Here() cell.GPUs {
	g := cell.GPUs{Make: "NVIDIA GPU"}
	g.List, g.Driver = find(os.DirFS("/"))
	g.Physical = func(device string) string {
		names, set := visible()
		return physical(g.List, device, names, set)
	}
	g.Program, g.Missing = program()
	return g
}

// find returns the devices of the driver by PCI address, and its version.
func find(root fs.FS) (list []cell.GPU, driver string) {
	dirs, _ := fs.Glob(root, "proc/driver/nvidia/gpus/*") // the pattern is well formed
	for _, dir := range dirs {
		information := text(root, dir+"/information")
		g := cell.GPU{Name: value(information, "Model"), PCI: path.Base(dir), UUID: value(information, "GPU UUID")}
		device := "sys/bus/pci/devices/" + g.PCI
		g.MaxSpeed = text(root, device+"/max_link_speed")
		g.MaxWidth = text(root, device+"/max_link_width")
		if n, err := strconv.Atoi(text(root, device+"/numa_node")); err == nil && n >= 0 {
			g.NUMA = &n
		}
		list = append(list, g)
	}
	// NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build ...
	version, _, _ := strings.Cut(text(root, "proc/driver/nvidia/version"), "\n")
	for _, word := range strings.Fields(version) {
		if strings.Count(word, ".") >= 1 && strings.Trim(word, "0123456789.") == "" {
			return list, word
		}
	}
	return list, ""
}

// value returns what stands after a key and a colon, or nothing.
func value(information, key string) string {
	for line := range strings.Lines(information) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func text(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return "" // what cannot be read is not known
	}
	return strings.TrimSpace(string(b))
}

// Environ returns the variables with which a cell on a device is started: GPUs are
// counted by PCI address, and not the fastest first.
func Environ(device string) map[string]string {
	if cell.Family(device) != "cuda" {
		return map[string]string{}
	}
	return map[string]string{"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
}

// The variables that leave a process some GPUs, and that say which ones its devices are
// counted among where those are more.
const left, counted = "CUDA_VISIBLE_DEVICES", "BAROGRAPH_VISIBLE_DEVICES"

// Only returns the variables by which a process, and those that it starts, see no GPUs
// but those of some devices, whose numbers stay. They are none where there is one GPU at
// most, or where a device is no whole GPU of which the driver tells the UUID: a server
// of MPS numbers its GPUs anew, and so its clients name theirs by that.
func Only(list []cell.GPU, devices []string) map[string]string {
	visible := Visible(list)
	var addresses, uuids []string
	for _, g := range visible {
		addresses = append(addresses, g.PCI)
	}
	for _, device := range devices {
		n := cell.Ordinal(device)
		if len(list) < 2 || n >= len(visible) || visible[n].UUID == "" {
			return nil
		}
		uuids = append(uuids, visible[n].UUID)
	}
	return map[string]string{left: strings.Join(uuids, ","), counted: strings.Join(addresses, ",")}
}

// Renumbered returns the PCI address of a device where this process sees fewer GPUs than
// its devices are counted among, see [Only].
func Renumbered(device string) (pci string, is bool) {
	if _, is = os.LookupEnv(counted); is {
		pci = Here().Physical(device)
	}
	return pci, is
}

// visible names the GPUs that devices are counted among, if not all are.
func visible() (names string, set bool) {
	if names, set = os.LookupEnv(counted); set {
		return names, set
	}
	return os.LookupEnv(left)
}

// Visible returns those GPUs of a list that CUDA_VISIBLE_DEVICES leaves, if it is set, in
// its order: CUDA passes over what follows one that there is not.
func Visible(list []cell.GPU) (left []cell.GPU) {
	visible, set := visible()
	if !set {
		return list
	}
	for n := range strings.Split(visible, ",") {
		pci := physical(list, "cuda:"+strconv.Itoa(n), visible, true)
		i := slices.IndexFunc(list, func(g cell.GPU) bool { return g.PCI == pci })
		if i < 0 {
			break
		}
		left = append(left, list[i])
	}
	return left
}

// physical counts a GPU among those that visible leaves, if it is set, in the order
// of their addresses.
func physical(list []cell.GPU, device, visible string, set bool) string {
	number, gpu := strings.CutPrefix(device, "cuda")
	if !gpu {
		return device
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(number, ":")) // none is 0
	name := strconv.Itoa(n)
	if set {
		all := strings.Split(visible, ",")
		if n >= len(all) {
			return device // there is none
		}
		name = strings.TrimSpace(all[n])
	}
	for i, g := range list {
		if name == strconv.Itoa(i) || name == g.PCI || g.UUID != "" && strings.HasPrefix(name, "GPU-") && strings.HasPrefix(g.UUID, name) {
			return g.PCI
		}
	}
	return "cuda:" + name // also a part of one, MIG-...
}

// program finds the build beside this program, which may be it, or on PATH.
func program() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if filepath.Base(self) == Program {
		return self, nil
	}
	beside := filepath.Join(filepath.Dir(self), Program)
	switch err := unix.Access(beside, unix.X_OK); err {
	case nil:
		return beside, nil
	case unix.ENOENT:
	default:
		return "", cell.Hint(fmt.Errorf("%s, which cannot be run: %w", beside, err), "chmod +x, or remove it and build it again with \"make cuda\"")
	}
	found, err := exec.LookPath(Program)
	if err != nil {
		return "", cell.Hint(fmt.Errorf("%s, which is neither beside %s nor on PATH", Program, self), `"make cuda" builds it; --machine host and --machine sim need no GPU`)
	}
	return found, nil
}
