package record

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the goldens")

// machine reads the files that a kernel shows from an archive.
func machine(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root := fstest.MapFS{}
	for _, f := range a.Files {
		root[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return root
}

// gpusOf returns the GPUs of a machine.
func gpusOf(name string) cell.GPUs {
	if name != "gpuserver" {
		return cell.GPUs{}
	}
	node := 0
	return cell.GPUs{Driver: "580.95.05", List: []cell.GPU{
		{Name: "NVIDIA H100 80GB HBM3", PCI: "0000:19:00.0", UUID: "GPU-0", NUMA: &node, MaxSpeed: "32.0 GT/s PCIe", MaxWidth: "16"},
		{Name: "Tesla P100-PCIE-16GB", PCI: "0000:9b:00.0"},
	}}
}

func TestEnvironment(t *testing.T) {
	for _, name := range []string{"microvm", "gpuserver", "arm", "sandbox", "bare"} {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(environment(machine(t, name), gpusOf(name)), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			filetest.Golden(t, *update, filepath.Join("testdata", name+".json"), append(got, '\n'))
		})
	}
}

func TestEnvironmentOfThisMachine(t *testing.T) {
	e := Environment(cell.GPUs{})
	if e.Kernel == "" || e.OS == "" || e.CPU.Model == "" || e.Memory.Total < 1<<27 {
		t.Errorf("not described: %+v", e)
	}
	if e.CPU.Threads < 1 || e.Limits.CPUs < 1 || e.Limits.CPUs > e.CPU.Threads {
		t.Errorf("%d processors online and %d granted", e.CPU.Threads, e.Limits.CPUs)
	}
	if e.Go != runtime.Version() || e.Arch != runtime.GOARCH || e.Program.Version == "" {
		t.Errorf("program not described: %+v", e)
	}
}

func TestSame(t *testing.T) {
	a, b := environment(machine(t, "gpuserver"), gpusOf("gpuserver")), environment(machine(t, "gpuserver"), gpusOf("gpuserver"))
	b.Memory.Total *= 2
	if !a.Same(b) {
		t.Error("memory that grew makes another environment")
	}
	b.Kernel += "x"
	if a.Same(b) {
		t.Error("another kernel makes no other environment")
	}
}

func TestBuildID(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "buildid", self).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(out))
	if got := buildID(self); len(got) < 20 || !strings.HasSuffix(want, "/"+got) {
		t.Errorf("buildID = %q, and go tool buildid says %q", got, want)
	}
	for _, other := range []string{"/bin/sh", "environment_test.go", "none"} {
		if got := buildID(other); got != "" {
			t.Errorf("buildID(%q) = %q", other, got)
		}
	}
}

func TestFingerprintChangesWithHardwareOnly(t *testing.T) {
	const cpuinfo, meminfo, online = "proc/cpuinfo", "proc/meminfo", "sys/devices/system/cpu/online"
	replace := func(name, from, to string) func(fstest.MapFS, *cell.GPUs) {
		return func(root fstest.MapFS, _ *cell.GPUs) {
			old := string(root[name].Data)
			if !strings.Contains(old, from) {
				panic(name + " holds no " + from)
			}
			root[name] = &fstest.MapFile{Data: []byte(strings.Replace(old, from, to, 1))}
		}
	}
	tests := []struct {
		name       string
		edit       func(fstest.MapFS, *cell.GPUs)
		host, cuda bool // whether the fingerprint changes
	}{
		{"kernel", replace("proc/sys/kernel/osrelease", "6.8.0-45", "6.8.0-47"), false, false},
		{"driver", func(_ fstest.MapFS, g *cell.GPUs) { g.Driver = "580.97.01" }, false, false},
		{"memory kept by the kernel", replace(meminfo, "527942792", "527101048"), false, false},
		{"governor", replace("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave", "performance"), false, false},
		{"memory taken out", replace(meminfo, "527942792", "395957094"), true, true},
		{"processor model", replace(cpuinfo, "8480+", "8490H"), true, true},
		{"stepping", replace(cpuinfo, "stepping	: 8", "stepping	: 6"), true, true},
		{"processor offline", replace(online, "0-6", "0-5"), true, true},
		{"product", replace("sys/class/dmi/id/product_name", "GX-8", "GX-9"), true, true},
		{"another GPU", func(_ fstest.MapFS, g *cell.GPUs) { g.List[1].Name = "Tesla V100-PCIE-16GB" }, false, true},
		{"GPU in another slot", func(_ fstest.MapFS, g *cell.GPUs) { g.List[1].PCI = "0000:9c:00.0" }, false, true},
	}
	before, gpus := machine(t, "gpuserver"), gpusOf("gpuserver")
	for _, test := range tests {
		after, changed := machine(t, "gpuserver"), gpusOf("gpuserver")
		test.edit(after, &changed)
		for device, want := range map[string]bool{"host": test.host, "sim": test.host, "cuda": test.cuda, "cuda:1": test.cuda} {
			if got := fingerprint(before, device, gpus) != fingerprint(after, device, changed); got != want {
				t.Errorf("%s: fingerprint of %s changed: %v, want %v", test.name, device, got, want)
			}
		}
	}
	if fingerprint(before, "cuda", gpus) != fingerprint(before, "cuda:0", gpus) || fingerprint(before, "cuda:0", gpus) == fingerprint(before, "cuda:1", gpus) {
		t.Error("cuda is not cuda:0, or cuda:1 is")
	}
}

// The memory that a virtual machine was given can grow and shrink as it runs.
func TestFingerprintOfVirtualMachine(t *testing.T) {
	before, after := machine(t, "microvm"), machine(t, "microvm")
	after["proc/meminfo"] = &fstest.MapFile{Data: []byte("MemTotal: 99684084 kB\n")}
	if fingerprint(before, "host", cell.GPUs{}) != fingerprint(after, "host", cell.GPUs{}) {
		t.Error("depends on the memory of a virtual machine")
	}
	after["sys/devices/system/cpu/online"] = &fstest.MapFile{Data: []byte("0-2\n")}
	if fingerprint(before, "host", cell.GPUs{}) == fingerprint(after, "host", cell.GPUs{}) {
		t.Error("does not depend on its processors")
	}
}

func TestInstalled(t *testing.T) {
	const GiB = 1 << 30
	for _, test := range []struct{ managed, want int64 }{
		{24684084 << 10, 24 * GiB}, {527942792 << 10, 512 * GiB}, {8000000 << 10, 8 * GiB},
		{16 * GiB, 16 * GiB}, {0, 0}, {7, 7}, {9, 9},
	} {
		if got := installed(test.managed); got != test.want {
			t.Errorf("installed(%d) = %d, want %d", test.managed, got, test.want)
		}
	}
}

// Every plan takes the fingerprint, so that it may not cost what a no-op run is
// allowed.
func TestFingerprintIsCheap(t *testing.T) {
	best := time.Hour
	for range 20 {
		start := time.Now()
		Fingerprint("cuda", gpusOf("gpuserver"))
		best = min(best, time.Since(start))
	}
	if best > 2*time.Millisecond {
		t.Errorf("the fastest of 20 took %v, want at most 2ms", best)
	}
}

func BenchmarkFingerprint(b *testing.B) {
	for b.Loop() {
		Fingerprint("cuda", gpusOf("gpuserver"))
	}
}

func TestList(t *testing.T) {
	for in, want := range map[string]int{"0": 1, "0-3,8": 5, "": 0, "3-1": 0, "0-99999999": 0, "x": 0, "-1": 0, "0,": 0} {
		if got := list(in); len(got) != want {
			t.Errorf("list(%q) has %d elements, want %d", in, len(got), want)
		}
	}
}

// FuzzEnvironment feeds one text as every file: whatever a kernel writes,
// describing it must not fail.
func FuzzEnvironment(f *testing.F) {
	f.Add("processor\t: 0\nmodel name\t: x\n")
	f.Add("0-3,5")
	f.Add("MemTotal: 99999999999999999999 kB")
	f.Add("always [madvise] never")
	f.Fuzz(func(t *testing.T, s string) {
		root := fstest.MapFS{}
		for name := range machine(t, "gpuserver") {
			root[name] = &fstest.MapFile{Data: []byte(s), Mode: fs.ModePerm}
		}
		e := environment(root, gpusOf("gpuserver"))
		if e.Memory.Total < 0 || len(fingerprint(root, "cuda", gpusOf("gpuserver"))) != len("sha256:")+64 {
			t.Errorf("memory %d", e.Memory.Total)
		}
	})
}
