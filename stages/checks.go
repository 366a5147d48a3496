package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/record"
	"barograph/stages/asset"
	"barograph/stages/device/gpu"
	"barograph/stages/device/host"
	"barograph/stages/device/nvml"

	"github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Checks returns the lines of `barograph doctor`: first whether it is quiet, then
// what every study needs, then what only some do, whose absence is no failure.
func Checks() []cell.Check {
	return append(quiet(),
		asset.Check(),
		cell.Check{Name: "cache folder", Run: cache},
		cell.Check{Name: "workspace", Run: workspace},
		cell.Check{Name: "memory", Run: memory},
		cell.Check{Name: "processors", Run: processors},
		cell.Check{Name: "clock governor", Run: governor},
		cell.Check{Name: "notebook confinement", Run: confinement},
		cell.Check{Name: "C compiler", Run: compiler},
		cell.Check{Name: "GPU", Run: gpus},
		nvml.Check(),
		cell.Check{Name: "lockable memory", Run: lockable},
	)
}

// What a run of the paper's study takes, with room: the model's file and what
// may stand beside it while it is written; and the model in memory, the
// stressor's buffers and a notebook.
const (
	needDisk   = 2 << 30
	needMemory = 3 << 30
)

func cache(string) (found, hint string, err error) {
	dir, err := cell.CacheDir()
	if err != nil {
		return "", "set BAROGRAPH_CACHE to a folder that can be written", err
	}
	found, hint, err = writable(dir)
	if err != nil {
		hint = "set BAROGRAPH_CACHE to a folder that can be written and has room"
	}
	return found, hint, err
}

func workspace(root string) (found, hint string, err error) { return writable(root) }

// writable tries a folder, or the one that it would be made in, and the room
// there.
func writable(dir string) (found, hint string, err error) {
	at := dir
	for {
		if _, err = os.Stat(at); !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	defer cell.Hold()()
	f, err := os.CreateTemp(at, ".doctor-*")
	if err != nil {
		return "", "results cannot be kept here", err
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return "", "", err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		return "", "", fmt.Errorf("room in %s: %w", at, err)
	}
	free := int64(s.Bavail) * s.Bsize
	if free < needDisk {
		return "", "", cell.Hint(fmt.Errorf("%s has %s free", dir, gib(free)), "a study takes up to %s", gib(needDisk))
	}
	return fmt.Sprintf("%s, %s free", dir, gib(free)), "", nil
}

func memory(string) (found, hint string, err error) {
	m, err := host.Open()
	if err != nil {
		return "", "", err
	}
	if m.Available < needMemory {
		return "", "", cell.Hint(fmt.Errorf("%s available", gib(m.Available)), "the paper's study takes about %s; lower levels with --set", gib(needMemory))
	}
	return gib(m.Available) + " available", "", nil
}

func processors(string) (found, hint string, err error) {
	infer, stress, err := host.Split()
	if err != nil {
		return "", "", err
	}
	found = fmt.Sprintf("inference on %s, stressor on %s", list(infer), list(stress))
	if len(infer) == 1 && len(stress) == 1 && infer[0] == stress[0] {
		hint = "with one processor the two take turns on it, which measures the scheduler too"
	}
	return found, hint, nil
}

func list(cpus []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(cpus)), ","), "[]")
}

func governor(string) (found, hint string, err error) {
	switch g := record.Environment(cell.GPUs{}).CPU.Governor; g {
	case "":
		return "not shown by this kernel", "", nil
	case "performance":
		return g, "", nil
	default:
		return g, "clocks move with load; set the governor performance for steadier times", nil
	}
}

func confinement(string) (found, hint string, err error) {
	abi, err := syscall.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return "no Landlock in this kernel", "run only notebooks that you trust; Linux 5.13 and newer confine them", nil
	}
	return fmt.Sprintf("Landlock, version %d", abi), "", nil
}

func compiler(string) (found, hint string, err error) {
	if path, err := exec.LookPath("cc"); err == nil {
		return path, "", nil
	}
	return "none", "make build needs one", nil
}

func gpus(string) (found, hint string, err error) {
	here := gpu.Here()
	if len(here.List) == 0 {
		return "none that the NVIDIA driver shows", "device host and device sim need none", nil
	}
	var names []string
	for _, g := range here.List {
		names = append(names, g.Name+" at "+g.PCI)
	}
	if here.Missing != nil {
		hint = fmt.Sprintf("what uses it is missing: %v; studies run on device host", here.Missing)
	}
	return strings.Join(names, ", ") + "; driver " + here.Driver, hint, nil
}

func lockable(string) (found, hint string, err error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r); err != nil {
		return "", "", err
	}
	if r.Cur == unix.RLIM_INFINITY {
		return "no limit", "", nil
	}
	return unit.Size(r.Cur).String(), "page-locked buffers may need more: ulimit -l unlimited", nil
}
