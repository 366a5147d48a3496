// Package tenancy has several inferences share a device, each measured over the same
// windows.
//
// An inference in the background of another is its tenant, and so is that one itself.
// They meet on a page of shared memory, in rounds: all begin to call, and once each has
// made some calls the window opens; it closes when each has made as many within as were
// asked for. What a tenant did before and after the window is cut, and counted. Between
// rounds all pause, so that closed loops do not stay in one phase to one another.
//
// Tenants are processes, or threads of one process with a session each, or processes
// that share the GPU through NVIDIA's MPS.
package tenancy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/shared"
	"barograph/pipeline/cell/unit"
)

// Params is what a study says about an inference that shares its device.
type Params struct {
	Tenancy  string `json:"tenancy,omitempty" enum:"process,thread,mps" doc:"how inferences of one trial share the device: each in a process of its own (default); as threads of one process, with a session each; or as processes through NVIDIA's MPS, whose daemon a stress stage with sharing: mps keeps. An inference without another beside it says it too, to be compared with"`
	Rounds   int    `json:"rounds,omitempty" min:"0" max:"1000" doc:"windows of so many calls that a trial with tenants measures, one after the other with a pause between; 0: one. The column round tells them apart"`
	Groups   []int  `json:"groups,omitempty" min:"1" max:"32" doc:"how many of a trial's tenants call at once: such as [1, 2], with which it measures each alone and each pair, one after the other in an order that is drawn, while the others pause. So processes are started once for many groups; none: all at once"`
	Percent  int    `json:"mps_threads,omitempty" min:"0" max:"100" doc:"tenancy mps: percent of the GPU's threads that this tenant may use at once (CUDA_MPS_ACTIVE_THREAD_PERCENTAGE); 0: all"`
	SMs      int    `json:"sm_percent,omitempty" min:"0" max:"100" doc:"tenancy thread: percent of the GPU's multiprocessors (SMs) on which this tenant's kernels run, and no other tenant's (a green context); rounded to groups of as many as the GPU is divided by, such as 8; 0: all"`
	Priority string `json:"mps_priority,omitempty" enum:"normal,low" doc:"tenancy mps: of this tenant's kernels among those of all (CUDA_MPS_CLIENT_PRIORITY)"`
}

// Most is how many tenants a trial may have.
const Most = 32

// Set tells whether an inference's calls are measured in rounds even without a tenant
// beside it.
func (p *Params) Set() bool { return p.Tenancy != "" || p.Rounds > 0 || len(p.Groups) > 0 }

// Sharing is how the device is shared.
func (p *Params) Sharing() string { return cmp.Or(p.Tenancy, "process") }

// Check reports what is wrong with the parameters on a device.
func (p *Params) Check(device string) error {
	switch {
	case !slices.Contains([]string{"", "process", "thread", "mps"}, p.Tenancy):
		return fmt.Errorf("tenancy %q is not one of process, thread, mps", p.Tenancy)
	case !slices.Contains([]string{"", "normal", "low"}, p.Priority):
		return fmt.Errorf("mps_priority %q is not one of normal, low", p.Priority)
	case p.Tenancy == "mps" && device == "host":
		return cell.Hint(fmt.Errorf("tenancy mps on device %s: MPS is a service of NVIDIA's GPUs", device), "choose a machine whose device is cuda, or tenancy: process")
	case p.Tenancy != "mps" && p.Percent != 0:
		return cell.Hint(fmt.Errorf("mps_threads is %d with tenancy: %s", p.Percent, p.Sharing()), "only MPS divides a GPU's threads: set tenancy: mps")
	case p.Tenancy != "mps" && p.Priority == "low":
		return cell.Hint(fmt.Errorf("mps_priority is %s with tenancy: %s", p.Priority, p.Sharing()), "only MPS knows priorities of processes: set tenancy: mps")
	case p.SMs != 0 && device == "host":
		return cell.Hint(fmt.Errorf("sm_percent is %d on device %s: only a GPU's multiprocessors are divided", p.SMs, device), "choose a machine whose device is cuda or sim, or leave sm_percent out")
	case p.Tenancy != "thread" && p.SMs != 0:
		return cell.Hint(fmt.Errorf("sm_percent is %d with tenancy: %s", p.SMs, p.Sharing()), "green contexts divide the GPU among threads of one process: set tenancy: thread; among processes under MPS mps_threads does")
	case p.SMs < 0 || p.SMs > 100:
		return fmt.Errorf("sm_percent is %d: want a percentage from 1 to 100, or 0", p.SMs)
	case p.Percent < 0 || p.Percent > 100:
		return fmt.Errorf("mps_threads is %d: want a percentage from 1 to 100, or 0", p.Percent)
	case len(p.Groups) > 0 && (p.Rounds > 1 || p.SMs > 0 || p.Percent > 0 || p.Priority == "low"):
		return fmt.Errorf("groups with rounds, sm_percent, mps_threads or mps_priority: a trial has one window for each of its groups, whose tenants are alike")
	case slices.ContainsFunc(p.Groups, func(n int) bool { return n < 1 || n > Most }):
		return fmt.Errorf("groups are %v: want how many tenants call at once, from 1 to %d", p.Groups, Most)
	case p.Rounds < 0:
		return fmt.Errorf("rounds is %d: want at least 0", p.Rounds)
	}
	return nil
}

// told is what another tenant's cell says of itself.
type told struct {
	Model  json.RawMessage `json:"model"`
	Warmup int             `json:"warmup"`
	Calls  int             `json:"calls"`
	Limit  unit.Duration   `json:"limit"`
	Params
}

// name of a model, which a study may give as a name or as {file: F}.
func (t *told) name() string {
	var text string
	var file struct{ File string }
	if json.Unmarshal(t.Model, &text) == nil {
		return text
	}
	_ = json.Unmarshal(t.Model, &file) // checked when the study was read
	return filepath.Base(file.File)
}

// others returns the tenants among the cells of a trial.
func others(gang []cell.Input) (ins []cell.Input, all []told, err error) {
	for _, in := range gang {
		if in.Kind != "infer" {
			continue
		}
		var t told
		if err := json.Unmarshal(in.With, &t); err != nil {
			return nil, nil, fmt.Errorf("read the parameters of %s: %w", in.ID, err)
		}
		ins, all = append(ins, in), append(all, t)
	}
	return ins, all, nil
}

// Together reports why the cells of a trial cannot run together, on a device whose memory
// has so many bytes to spare; 0: nobody knows. need is how many a tenant takes of them, at
// least.
func Together(device string, gang []cell.Input, spare int64, need func(cell.Input) (int64, error)) error {
	ins, all, err := others(gang)
	if err != nil || len(all) == 0 {
		return err
	}
	if gang[0].Kind != "infer" {
		return cell.Hint(fmt.Errorf("%s is an inference in the background of %s, which is none", ins[0].ID, gang[0].ID), "its calls are timed while another inference's are; leave background: out to time them alone")
	}
	if len(all) > Most {
		return fmt.Errorf("%d inferences in one trial: want at most %d", len(all), Most)
	}
	daemon := false
	for _, in := range gang {
		var w struct{ Sharing string }
		daemon = daemon || in.Kind == "stress" && json.Unmarshal(in.With, &w) == nil && w.Sharing == "mps"
	}
	first := all[0]
	for i, t := range all {
		for _, f := range []struct {
			name string
			a, b any
		}{{"tenancy", first.Sharing(), t.Sharing()}, {"rounds", max(1, first.Rounds), max(1, t.Rounds)}, {"groups", fmt.Sprint(first.Groups), fmt.Sprint(t.Groups)}} {
			if f.a != f.b {
				return cell.Hint(fmt.Errorf("%s of %s is %v, and of %s %v", f.name, ins[0].ID, f.a, ins[i].ID, f.b), "tenants of one trial share a device in one way, and are measured over the same windows")
			}
		}
	}
	if n := len(all); len(first.Groups) > 0 && slices.Max(first.Groups) > n {
		return cell.Hint(fmt.Errorf("groups of %d tenants in the trial of %s, which has %d", slices.Max(first.Groups), ins[0].ID, n), "name the stages of the others in during:")
	}
	if err := divided(ins, all); err != nil {
		return err
	}
	switch {
	case cell.Family(device) == "sim": // and nothing needs a daemon
	case first.Tenancy == "mps" && !daemon:
		return cell.Hint(errors.New("tenancy mps, and no cell of the trial keeps MPS's daemon"), "name a stress stage with sharing: mps in during:; with threads: 0 it puts no load on the link")
	case first.Tenancy == "process" && daemon || len(all) > 1 && first.Tenancy == "" && daemon:
		return cell.Hint(errors.New("tenancy process beside a stress stage with sharing: mps, whose daemon would serve all"), "set tenancy: mps, or sharing: separate")
	}
	if spare == 0 || len(ins) == 1 {
		return nil // or the model alone says that it does not fit
	}
	sum := int64(0)
	for _, in := range ins {
		n, err := need(in)
		if err != nil {
			return err
		}
		sum += n
	}
	if sum > spare {
		return cell.Hint(fmt.Errorf("%d tenants need at least %.1f GiB of device %s's memory, and %.1f GiB can be spared", len(ins), float64(sum)/(1<<30), device, float64(spare)/(1<<30)),
			"let fewer models share it, or smaller ones")
	}
	return nil
}

// divided reports why tenants cannot have the parts of a GPU's multiprocessors that they
// want.
func divided(ins []cell.Input, all []told) error {
	sum := 0
	for i, t := range all {
		if sum += t.SMs; (t.SMs == 0) != (all[0].SMs == 0) {
			return cell.Hint(fmt.Errorf("sm_percent of %s is %d, and of %s %d", ins[0].ID, all[0].SMs, ins[i].ID, t.SMs), "give each tenant of a trial its part, or none")
		}
	}
	if sum > 100 {
		return cell.Hint(fmt.Errorf("sm_percent of the tenants of %s is %d%% together", ins[0].ID, sum), "their parts do not overlap: let them add up to 100 at most")
	}
	return nil
}

// variable tells the tenants of a trial their page.
const variable = "BAROGRAPH_TENANTS"

// Environ returns the variables that a cell of a trial with tenants is started with:
// none in any other.
func Environ(trial context.Context, s *cell.Spec) (by map[string]string, err error) {
	by = map[string]string{}
	if s.Kind != "infer" {
		return by, nil
	}
	_, all, err := others(append(slices.Clone(s.Gang), cell.Input{Kind: s.Kind, ID: s.ID, With: s.With}))
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		if by[variable], err = shared.Nameless(trial, variable); err != nil {
			return nil, err
		}
	}
	own := all[len(all)-1]
	if own.Percent > 0 {
		by["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = strconv.Itoa(own.Percent)
	}
	if own.Priority == "low" {
		by["CUDA_MPS_CLIENT_PRIORITY"] = "1"
	}
	return by, nil
}

// Shared tells whether a cell belongs to a trial of several inferences.
func Shared(s *cell.Spec) bool {
	return slices.ContainsFunc(s.Gang, func(in cell.Input) bool { return in.Kind == "infer" })
}

// A Member is one tenant of a trial.
type Member struct {
	Number int      // from 1, the foreground's, on; the others in order of their ids
	Models []string // of all tenants, by number
	ID     string   // of its cell
	Terms  string   // of each tenant, by number, where any has less of the GPU than all of it
	SMs    []int    // percent of the GPU's multiprocessors that each tenant has, by number; 0: all

	groups [][]int // of tenants that call at once, by round, each from 0; nil: all in each

	page  *layout
	need  []int // calls that each tenant has to make within a window
	limit time.Duration
	round int64
	step  step
	cut   [2]int
	spans [][2]int64
}

// usual is how long a round may take where the study does not say.
const usual = time.Minute

// Join makes a cell's tenant: alone, it is the only one.
func Join(s *cell.Spec) (*Member, error) {
	all, err := members(s)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.ID != s.ID {
			continue
		}
		if path := os.Getenv(variable); path != "" && len(all) > 1 {
			if m.page, err = open(path); err != nil {
				return nil, err
			}
		} else {
			m.page = new(layout)
		}
		return m, nil
	}
	return nil, fmt.Errorf("%s is no tenant of its own trial", s.ID)
}

// Guests makes tenants of the other cells of a trial, for threads of this process, in
// order of their numbers.
func (m *Member) Guests(s *cell.Spec) ([]*Member, []cell.Input, error) {
	all, err := members(s)
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(g *Member) bool { return g.ID == m.ID })
	ins := make([]cell.Input, len(all))
	for i, g := range all {
		g.page = m.page
		ins[i] = s.Gang[slices.IndexFunc(s.Gang, func(in cell.Input) bool { return in.ID == g.ID })]
	}
	return all, ins, nil
}

// ordered returns the cells of a cell's trial, in the same order in each: the foreground,
// and the others by their ids.
func ordered(s *cell.Spec) []cell.Input {
	all := append(slices.Clone(s.Gang), cell.Input{Stage: s.Stage, Kind: s.Kind, ID: s.ID, Point: s.Point, With: s.With, Seed: s.Seed})
	fg := cmp.Or(s.During, s.ID)
	slices.SortFunc(all, func(a, b cell.Input) int {
		if (a.ID == fg) != (b.ID == fg) {
			return map[bool]int{true: -1, false: 1}[a.ID == fg]
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

// An Asked is what tenants of a simulated trial are asked, each as much as any of them.
type Asked struct{ Warmup, Calls int }

// Members returns all cells of a cell's trial, its tenants in order of their numbers.
func Members(s *cell.Spec) (all []cell.Input, a Asked, err error) {
	all = ordered(s)
	_, says, err := others(all)
	for _, t := range says {
		a = Asked{max(a.Warmup, t.Warmup), max(a.Calls, t.Calls)}
	}
	return all, a, err
}

// members are the tenants of a cell's trial, by number.
func members(s *cell.Spec) ([]*Member, error) {
	ins, all, err := others(ordered(s))
	if err != nil {
		return nil, err
	}
	var made []*Member
	var models []string
	var need, sms []int
	limit := time.Duration(0)
	for _, t := range all {
		models, need, sms, limit = append(models, t.name()), append(need, t.Calls), append(sms, t.SMs), max(limit, time.Duration(t.Limit))
	}
	var groups [][]int
	if len(all) > 0 {
		groups = drawn(len(all), all[0].Groups, ins[0].Seed)
	}
	for i, in := range ins {
		made = append(made, &Member{Number: i + 1, ID: in.ID, Models: models, SMs: sms, Terms: terms(all), groups: groups, need: need, limit: cmp.Or(limit, usual)})
	}
	return made, nil
}

// drawn returns all groups of tenants of some sizes in an order that a seed decides, the
// same in each of their processes.
func drawn(tenants int, sizes []int, seed uint64) (groups [][]int) {
	var grow func(group []int, from, size int)
	grow = func(group []int, from, size int) {
		if len(group) == size {
			groups = append(groups, slices.Clone(group))
			return
		}
		for i := from; i < tenants; i++ {
			grow(append(group, i), i+1, size)
		}
	}
	for _, size := range slices.Compact(slices.Sorted(slices.Values(sizes))) {
		grow(nil, 0, size)
	}
	rng := rand.New(rand.NewPCG(seed, 0x67726f7570))
	rng.Shuffle(len(groups), func(i, k int) { groups[i], groups[k] = groups[k], groups[i] })
	return groups
}

// terms says of which part of the GPU each tenant has the use, and which gives way; empty:
// each has all of it, and none does.
func terms(all []told) string {
	var each []string
	some := false
	for _, t := range all {
		text := fmt.Sprintf("%d%%", cmp.Or(t.SMs, t.Percent, 100))
		if t.Priority == "low" {
			text += " low"
		}
		some = some || text != "100%" || t.SMs > 0
		each = append(each, text)
	}
	if !some {
		return ""
	}
	return strings.Join(each, "+")
}

// Beside are the models of the others.
func (m *Member) Beside() []string {
	return append(slices.Clone(m.Models[:m.Number-1]), m.Models[m.Number:]...)
}

// Lodge tells the process of a trial's threads which process's folder is to have what this
// tenant measured: the calling one's.
func (m *Member) Lodge() { m.page.tenants[m.Number-1].lodge.Store(int64(os.Getpid())) }

// Folder is where the process of a trial's threads leaves what this tenant measured.
func (m *Member) Folder() string {
	return fmt.Sprintf("/proc/%d/cwd", m.page.tenants[m.Number-1].lodge.Load())
}

// Place returns the tenant's part of the processors of a trial's inferences, which are
// divided while there is one for each.
func (m *Member) Place(cpus []int) []int {
	n := len(m.Models)
	if len(cpus) < n {
		return cpus
	}
	return cpus[(m.Number-1)*len(cpus)/n : m.Number*len(cpus)/n]
}
