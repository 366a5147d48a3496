package study

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"barograph/pipeline/cell"
)

// machineFile is a file under configs/machines/.
//
// Its params: override, in every study, the parameters of those names that the
// study has; its studies: override those of one study, and win. The command
// line wins over both.
type machineFile struct {
	Name        word               `json:"name"`
	Description string             `json:"description"`
	Device      word               `json:"device" required:"true"`
	Match       word               `json:"match"` // a regular expression for the GPU's name, for auto
	Link        linkFile           `json:"link"`
	Sim         map[string]float64 `json:"sim"`
	Params      *node              `json:"params"`
	Studies     *node              `json:"studies"`

	file string // relative to the workspace
	text []byte
	doc  *node
}

type linkFile struct {
	Name  string  `json:"name"`
	Raw   float64 `json:"raw" min:"0"`
	Model float64 `json:"model" min:"0"`
}

const (
	machineFolder = "configs/machines"
	auto          = "auto"
)

var deviceForm = regexp.MustCompile(`^(host|sim|cuda(:[0-9]+)?)$`)

// machine finds the study's machine and reads its file.
func (l *loader) machine() *machineFile {
	names := machineNames(l.study.Root)
	at := l.doc.get("machine")
	name, by := auto, auto
	if n, ok := scalarText(at); ok {
		name, by = n, l.study.File
	}
	if l.opt.Machine != "" {
		name, by = l.opt.Machine, "--machine"
		src := &source{name: "--machine", lines: []string{name}, bare: true}
		at = &node{src: src, line: 1, col: 1, val: name}
	}
	sources := &l.study.Sources
	sources.Names = names
	if name == auto {
		name, by = thisHardware.choose(l.study.Root, names)
		sources.Auto = by
	}
	l.study.MachineBy = by
	if !slices.Contains(names, name) {
		if at != nil && name != "host" {
			l.fail(at, suggest(name, append(names, auto)), "machine: no file %s", filepath.Join(machineFolder, name+".yaml"))
		}
		// Any folder can measure this computer, with nothing known of its bus.
		l.study.Machine = cell.Machine{Name: "host", Device: "host"}
		l.fingerprint()
		return &machineFile{}
	}
	sources.Machine = name
	m, errs := readMachine(l.study.Root, name)
	l.errs = append(l.errs, errs...)
	l.checkSim(m)
	l.study.Machine = cell.Machine{
		Name: name, Device: m.Device.text, Description: m.Description,
		Link: cell.Link(m.Link), Sim: m.Sim,
	}
	l.fingerprint()
	return m
}

// checkSim holds what a machine says of device sim against what the kinds know.
func (l *loader) checkSim(m *machineFile) {
	for _, name := range l.opt.Kinds.Names() {
		check := l.opt.Kinds[name].CheckSim
		if check == nil || m.Sim == nil {
			continue
		}
		for _, p := range m.doc.get("sim").pairs {
			parameter := p.key.val.(string)
			value, ok := m.Sim[parameter]
			if err := check(parameter, value); ok && err != nil {
				l.fail(p.key, cell.HintOf(err), "sim: %v", err)
			}
		}
	}
}

func (l *loader) fingerprint() {
	if l.opt.Fingerprint != nil {
		l.study.Machine.Fingerprint = l.opt.Fingerprint(l.study.Machine.Device)
	}
}

// machineNames lists the machine files of a workspace, sorted.
func machineNames(root string) []string {
	// The pattern is well formed, which is Glob's only error.
	files, _ := filepath.Glob(filepath.Join(root, machineFolder, "*.yaml"))
	var names []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".yaml"); name != auto {
			names = append(names, name)
		}
	}
	return names
}

func readMachine(root, name string) (*machineFile, Errors) {
	m := &machineFile{file: filepath.Join(machineFolder, name+".yaml")}
	text, err := read(filepath.Join(root, m.file))
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return m, Errors{{Pos: Pos{File: m.file}, Msg: fmt.Sprintf("read the machine file: %v", err)}}
	}
	m.text = text
	doc, bad := parse(m.file, text)
	if bad != nil {
		return m, Errors{bad}
	}
	m.doc = doc
	d := decoder{}
	d.decode(reflect.ValueOf(m).Elem(), doc, "")
	if w := m.Name; w.at != nil && w.text != name {
		d.fail(w.at, "name the file and the machine alike", "machine %q in the file %s.yaml", w.text, name)
	}
	if w := m.Device; w.at != nil && !deviceForm.MatchString(w.text) {
		d.fail(w.at, "known: host, sim, cuda, cuda:1", "unknown device %q", w.text)
	}
	if w := m.Match; w.at != nil {
		if _, err := regexp.Compile(w.text); err != nil {
			d.fail(w.at, "", "match: %v", err)
		}
	}
	return m, d.errs
}

// overrides returns the parameters that the machine changes in a study.
func (m *machineFile) overrides(study string, known []string, errs *Errors) map[string]override {
	out := map[string]override{}
	add := func(n *node, strict bool) {
		if n == nil {
			return
		}
		if n.kind != mapping {
			*errs = append(*errs, n.errorf("", "%s: want a mapping of parameters to values", n.label()))
			return
		}
		for _, p := range n.pairs {
			name := p.key.val.(string)
			if slices.Contains(known, name) {
				out[name] = override{p.val, m.file}
			} else if strict {
				*errs = append(*errs, p.key.errorf(suggest(name, known), "study %q has no parameter %q", study, name))
			}
		}
	}
	add(m.Params, false)
	if m.Studies != nil && m.Studies.kind != mapping {
		*errs = append(*errs, m.Studies.errorf("", "studies: want a mapping of studies to their parameters"))
		return out
	}
	add(m.Studies.get(study), true)
	return out
}

// hardware is what auto looks at.
type hardware struct {
	gpus    string // a glob of the driver's files, one for each GPU
	program func() (string, error)
}

var thisHardware = hardware{"/proc/driver/nvidia/gpus/*/information", gpuProgram}

// gpuProgram finds the build of this program that can use a GPU.
func gpuProgram() (string, error) {
	const name = "barograph-cuda"
	if self, err := os.Executable(); err == nil {
		if beside, err := exec.LookPath(filepath.Join(filepath.Dir(self), name)); err == nil {
			return beside, nil
		}
	}
	return exec.LookPath(name)
}

// choose returns the machine whose match fits a GPU of this computer, or host,
// and why.
func (h hardware) choose(root string, names []string) (name, why string) {
	// The pattern is well formed, which is Glob's only error.
	files, _ := filepath.Glob(h.gpus)
	if len(files) == 0 {
		return "host", "auto: no NVIDIA GPU here"
	}
	var models []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // a GPU that cannot be asked cannot be used either
		}
		for line := range strings.Lines(string(text)) {
			if model, ok := strings.CutPrefix(line, "Model:"); ok {
				models = append(models, strings.TrimSpace(model))
			}
		}
	}
	for _, name := range names {
		m, errs := readMachine(root, name)
		if len(errs) > 0 || m.Match.text == "" {
			continue // its errors show when it is asked for
		}
		match := regexp.MustCompile(m.Match.text)
		for _, model := range models {
			if !match.MatchString(model) {
				continue
			}
			if _, err := h.program(); err != nil {
				return "host", fmt.Sprintf("auto: this computer has a GPU (%s), but no program barograph-cuda to use it", model)
			}
			return name, fmt.Sprintf("auto: this computer has a GPU (%s)", model)
		}
	}
	return "host", fmt.Sprintf("auto: no machine file matches the GPU %s", strings.Join(models, ", "))
}
