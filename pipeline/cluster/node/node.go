// Package node tells what a job finds of the computer that it runs on.
package node

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
)

// A Node is what a job found of the computer that it ran on: keys of measured cells
// are made of it, and not of the login node's.
type Node struct {
	Host         string                                  `json:"host"`
	Said         string                                  `json:"said"` // what the driver had written for it to read
	Clock        time.Time                               `json:"clock"`
	CPUs         int                                     `json:"cpus"`
	GPUs         []cell.GPU                              `json:"gpus,omitempty"`
	Driver       string                                  `json:"driver,omitempty"`
	Machine      *cell.Machine                           `json:"machine,omitempty"` // of a GPU that no file is of
	Fingerprints map[string]string                       `json:"fingerprints"`      // by device
	Settings     map[string]map[string]map[string]string `json:"settings"`          // by device, kind and name
	Program      record.Program                          `json:"program"`
	Job          string                                  `json:"job,omitempty"`
}

// Look describes this computer.
func Look(kinds cell.Kinds, gpus cell.GPUs) Node {
	host, _ := os.Hostname() // it is for people
	n := Node{
		Host: cmp.Or(os.Getenv("SLURMD_NODENAME"), host), Clock: time.Now(), CPUs: runtime.NumCPU(), GPUs: gpus.List, Driver: gpus.Driver,
		Fingerprints: map[string]string{}, Settings: map[string]map[string]map[string]string{}, Program: record.Build(), Job: os.Getenv("SLURM_JOB_ID"),
	}
	devices := []string{"host", "sim"}
	if len(gpus.List) > 0 {
		devices = append(devices, "cuda")
		for i := range gpus.List {
			devices = append(devices, fmt.Sprint("cuda:", i))
		}
		if gpus.Machine != nil {
			if m, err := gpus.Machine("cuda"); err == nil {
				n.Machine = &m
			}
		}
	}
	for _, device := range devices {
		n.Fingerprints[device] = record.Fingerprint(device, gpus)
		n.Settings[device] = map[string]map[string]string{}
		for _, name := range kinds.Names() {
			if k := kinds[name]; k.Measured && k.Setting != nil {
				s := maps.Clone(k.Setting(device))
				delete(s, "GPU") // which one of those that are alike is the scheduler's to say
				n.Settings[device][name] = s
			}
		}
	}
	return n
}

// Names are those of the GPUs.
func (n *Node) Names() string {
	var names []string
	for _, g := range n.GPUs {
		names = append(names, g.Name)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// Unlike says why what is planned for one node must not be measured on another.
func (n *Node) Unlike(planned *Node, device string) string {
	if n.Names() != planned.Names() {
		return fmt.Sprintf("its GPUs are %s; planned for: %s", n.Names(), planned.Names())
	}
	for _, kind := range slices.Sorted(maps.Keys(planned.Settings[device])) {
		want, have := planned.Settings[device][kind], n.Settings[device][kind]
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if have[name] != want[name] {
				return fmt.Sprintf("%s is %s; planned for: %s", name, cmp.Or(have[name], "unknown"), want[name])
			}
		}
	}
	if n.Fingerprints[device] != planned.Fingerprints[device] {
		return fmt.Sprintf("its hardware is another than that of %s, which was planned for", planned.Host)
	}
	return ""
}

// AsGPUs are those of a cluster's nodes, for whoever chooses a machine by them.
func (n *Node) AsGPUs(here cell.GPUs) cell.GPUs {
	return cell.GPUs{
		Make: here.Make, List: n.GPUs, Driver: n.Driver, Physical: here.Physical,
		Machine: func(string) (cell.Machine, error) {
			if n.Machine == nil {
				return cell.Machine{}, fmt.Errorf("node %s cannot say what its GPU is", n.Host)
			}
			return *n.Machine, nil
		},
	}
}

// Kinds are kinds that take settings from a node and lack nothing here.
func (n *Node) Kinds(kinds cell.Kinds) cell.Kinds {
	there := cell.Kinds{}
	for name, k := range kinds {
		c := *k
		if k.Measured {
			c.Lacks = nil
			if k.Setting != nil {
				c.Setting = func(device string) map[string]string { return n.Settings[device][name] }
			}
		}
		there[name] = &c
	}
	return there
}
