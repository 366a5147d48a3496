// Package record describes the machine that measured, and keeps recordings:
// folders of measurements that a checksum file seals.
//
// [Environment] is for readers: it goes into a recording's run.json.
// [Fingerprint] is for keys: it names the hardware that a measurement depends
// on, and nothing that a reboot, an upgrade or another user changes.
// [WriteSums] seals a folder, [Verify] names every file that has since been
// damaged, lost or added, and [Open] verifies a recording and reads its [Head].
package record

import (
	"bufio"
	"bytes"
	"debug/elf"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
)

// An Env is what can be said about a machine and a program without privileges.
// Empty fields could not be read. Sizes are bytes.
type Env struct {
	OS        string     `json:"os"`     // Debian GNU/Linux 12 (bookworm)
	Kernel    string     `json:"kernel"` // 6.1.0-13-amd64
	Arch      string     `json:"arch"`   // amd64
	Product   string     `json:"product,omitempty"`
	CPU       CPU        `json:"cpu"`
	Memory    Memory     `json:"memory"`
	NUMA      []Node     `json:"numa,omitempty"`
	GPUs      []cell.GPU `json:"gpus,omitempty"`
	GPUDriver string     `json:"gpu_driver,omitempty"` // 580.95.05
	Container []string   `json:"container,omitempty"`  // what hints at a container or a virtual machine
	Limits    Limits     `json:"limits"`
	Go        string     `json:"go"` // go1.26.0
	Program   Program    `json:"program"`
}

// A CPU is the processors of a machine, which are taken to be alike.
type CPU struct {
	Model    string  `json:"model"`
	Sockets  int     `json:"sockets,omitempty"`
	Cores    int     `json:"cores,omitempty"` // physical
	Threads  int     `json:"threads"`         // online
	SMT      *bool   `json:"smt,omitempty"`
	Governor string  `json:"governor,omitempty"` // distinct values, comma between them
	Boost    *bool   `json:"boost,omitempty"`
	Caches   []Cache `json:"caches,omitempty"` // those that CPU 0 uses
}

// A Cache is one cache and the processors that share it.
type Cache struct {
	Level  int    `json:"level"`
	Type   string `json:"type"` // Data, Instruction or Unified
	Size   int64  `json:"size_bytes"`
	Shared string `json:"shared_by"` // 0-7
}

// Memory is a machine's main memory.
type Memory struct {
	Total     int64  `json:"total_bytes"`
	HugePages string `json:"transparent_huge_pages,omitempty"` // always, madvise or never
}

// A Node is a NUMA node.
type Node struct {
	ID   int    `json:"id"`
	CPUs string `json:"cpus"`
}

// Limits are what this process was granted of the machine.
type Limits struct {
	CPUs   int    `json:"cpus"`                   // in its affinity mask
	Quota  string `json:"cpu_max,omitempty"`      // cgroup cpu.max: microseconds per period
	Memory int64  `json:"memory_bytes,omitempty"` // cgroup memory.max
}

// A Program identifies a build.
type Program struct {
	Version  string `json:"version"`            // the module's, (devel) between releases
	Revision string `json:"revision,omitempty"` // of the version control system
	Modified bool   `json:"modified,omitempty"` // the working tree differed from Revision
	BuildID  string `json:"build_id,omitempty"` // the linker's digest of the program, as in go tool buildid
}

// Environment describes this machine, with its GPUs, and this program.
func Environment(gpus cell.GPUs) Env {
	e := environment(os.DirFS("/"), gpus)
	e.Arch = runtime.GOARCH
	e.Go = runtime.Version()
	e.Limits.CPUs = runtime.NumCPU()
	e.Program = Build()
	return e
}

// Same tells whether two descriptions are of one environment. The size of memory
// is let differ: that of a virtual machine changes as it runs.
func (e Env) Same(other Env) bool {
	e.Memory.Total, other.Memory.Total = 0, 0
	return reflect.DeepEqual(e, other)
}

// Build identifies the running program.
func Build() Program {
	p := Program{Version: "(devel)", BuildID: buildID("/proc/self/exe")}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return p
	}
	if info.Main.Version != "" {
		p.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			p.Revision = s.Value
		case "vcs.modified":
			p.Modified = s.Value == "true"
		}
	}
	return p
}

// buildID reads the last part of the build ID that Go's linker notes in a
// program, a digest of its content, or returns nothing.
func buildID(program string) string {
	f, err := elf.Open(program)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := f.Section(".note.go.buildid")
	if s == nil {
		return ""
	}
	note, err := s.Data()
	const header = 16 // three lengths and the name "Go"
	if err != nil || len(note) <= header {
		return ""
	}
	id := string(bytes.TrimRight(note[header:], "\x00"))
	return id[strings.LastIndexByte(id, '/')+1:]
}

// environment reads what the kernel tells. Virtual machines, containers and
// other architectures each leave some of these files out, so that a missing one
// leaves its field empty.
func environment(root fs.FS, gpus cell.GPUs) Env {
	e := Env{
		OS:      field(root, "etc/os-release", "PRETTY_NAME"),
		Kernel:  text(root, "proc/sys/kernel/osrelease"),
		Product: product(root),
		CPU:     processors(root),
		Memory:  Memory{Total: total(root), HugePages: chosen(text(root, "sys/kernel/mm/transparent_hugepage/enabled"))},
		NUMA:    nodes(root),
		GPUs:    gpus.List, GPUDriver: gpus.Driver,
		Limits: Limits{Quota: text(root, "sys/fs/cgroup/cpu.max"), Memory: number(text(root, "sys/fs/cgroup/memory.max"))},
	}
	e.Container = containers(root)
	return e
}

// product names the machine as its maker, or its cloud, does.
func product(root fs.FS) string {
	const dir = "sys/class/dmi/id"
	return strings.TrimSpace(text(root, dir+"/sys_vendor") + " " + text(root, dir+"/product_name"))
}

// virtual tells whether the processor says that a hypervisor runs it.
func virtual(root fs.FS) bool {
	return slices.Contains(strings.Fields(field(root, "proc/cpuinfo", "flags")), "hypervisor")
}

func processors(root fs.FS) CPU {
	const dir = "sys/devices/system/cpu"
	c := CPU{Model: model(root), SMT: setting(text(root, dir+"/smt/active"), "1")}
	c.Boost = setting(text(root, dir+"/cpufreq/boost"), "1")
	if c.Boost == nil {
		c.Boost = setting(text(root, dir+"/intel_pstate/no_turbo"), "0")
	}
	ids := online(root)
	c.Threads = len(ids)
	sockets, cores := map[string]bool{}, map[string]bool{}
	var governors []string
	for _, id := range ids {
		cpu := dir + "/cpu" + strconv.Itoa(id)
		if socket := text(root, cpu+"/topology/physical_package_id"); socket != "" {
			sockets[socket] = true
			cores[socket+"/"+text(root, cpu+"/topology/core_id")] = true
		}
		if g := text(root, cpu+"/cpufreq/scaling_governor"); g != "" && !slices.Contains(governors, g) {
			governors = append(governors, g)
		}
	}
	c.Sockets, c.Cores, c.Governor = len(sockets), len(cores), strings.Join(governors, ",")
	indexes, _ := fs.Glob(root, dir+"/cpu0/cache/index*")
	for _, i := range indexes {
		c.Caches = append(c.Caches, Cache{
			Level:  int(number(text(root, i+"/level"))),
			Type:   text(root, i+"/type"),
			Size:   number(text(root, i+"/size")),
			Shared: text(root, i+"/shared_cpu_list"),
		})
	}
	return c
}

// online returns the numbers of the processors in use. Sandboxes that hide
// sysfs still list them in /proc/cpuinfo.
func online(root fs.FS) []int {
	if ids := list(text(root, "sys/devices/system/cpu/online")); len(ids) > 0 {
		return ids
	}
	var ids []int
	for line := range strings.Lines(text(root, "proc/cpuinfo")) {
		if k, _, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "processor" {
			ids = append(ids, len(ids))
		}
	}
	return ids
}

// model returns the processor's name. Reading all of /proc/cpuinfo interrupts
// every processor to ask for its frequency, tens of milliseconds on a large
// machine; the kernel writes it as it is read, so the first block is cheap and
// holds the first processor.
func model(root fs.FS) string {
	f, err := root.Open("proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	block := make([]byte, 4096)
	n, _ := io.ReadFull(f, block)
	values := map[string]string{}
	s := bufio.NewScanner(bytes.NewReader(block[:n]))
	for s.Scan() && s.Text() != "" {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok {
			values[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	if m := values["model name"]; m != "" {
		// Clouds sell different processors under one name.
		if f := values["cpu family"]; f != "" {
			m += " (family " + f + " model " + values["model"] + " stepping " + values["stepping"] + ")"
		}
		return m
	}
	if i := values["CPU implementer"]; i != "" { // arm64 has no names
		return "implementer " + i + " part " + values["CPU part"] + " variant " + values["CPU variant"]
	}
	return ""
}

// total returns the memory that the kernel manages, a little less than what is
// installed.
func total(root fs.FS) int64 { return number(field(root, "proc/meminfo", "MemTotal")) }

func nodes(root fs.FS) []Node {
	var all []Node
	for _, id := range list(text(root, "sys/devices/system/node/online")) {
		all = append(all, Node{ID: id, CPUs: text(root, "sys/devices/system/node/node"+strconv.Itoa(id)+"/cpulist")})
	}
	return all
}

func containers(root fs.FS) []string {
	var hints []string
	for _, name := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := fs.Stat(root, name); err == nil {
			hints = append(hints, "/"+name)
		}
	}
	groups := text(root, "proc/1/cgroup")
	for _, word := range []string{"docker", "kubepods", "lxc", "containerd"} {
		if strings.Contains(groups, word) {
			hints = append(hints, "cgroup "+word)
		}
	}
	if strings.Contains(text(root, "proc/version"), "microsoft") {
		hints = append(hints, "WSL")
	}
	if virtual(root) {
		hints = append(hints, "hypervisor")
	}
	return hints
}

// text returns a file's content without surrounding space, or nothing.
func text(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// field returns the value of the first line "key: value" or key="value", or
// nothing. It stops reading there, which matters for /proc/cpuinfo.
func field(root fs.FS, name, key string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if i := strings.IndexAny(s.Text(), ":="); i >= 0 && strings.TrimSpace(s.Text()[:i]) == key {
			return strings.Trim(strings.TrimSpace(s.Text()[i+1:]), `"`)
		}
	}
	return ""
}

// number reads the first word of "24683596 kB", "32768K" or "max" as bytes;
// anything that is no number is zero.
func number(s string) int64 {
	scale := int64(1)
	switch {
	case strings.HasSuffix(s, " kB"):
		s, scale = strings.TrimSuffix(s, " kB"), 1<<10
	case strings.HasSuffix(s, "K"):
		s, scale = strings.TrimSuffix(s, "K"), 1<<10
	case strings.HasSuffix(s, "M"):
		s, scale = strings.TrimSuffix(s, "M"), 1<<20
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > (1<<62)/scale {
		return 0
	}
	return n * scale
}

// list expands the kernel's "0-3,8" notation. A malformed list is empty, and
// so is one longer than any machine's.
func list(s string) []int {
	const most = 1 << 16
	var all []int
	for part := range strings.SplitSeq(s, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		a, err1 := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || a < 0 || b < a || b-a >= most || len(all)+b-a >= most {
			return nil
		}
		for ; a <= b; a++ {
			all = append(all, a)
		}
	}
	return all
}

// chosen returns the word in brackets of "always [madvise] never".
func chosen(s string) string {
	_, s, _ = strings.Cut(s, "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}

// setting tells whether a file's content is the value that means yes; nil when
// the file is not there.
func setting(s, yes string) *bool {
	if s == "" {
		return nil
	}
	b := s == yes
	return &b
}
