package study

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
)

// machineFile is a file under configs/machines/.
//
// Its params: override, in every study, the parameters of those names that the
// study has; its studies: override those of one study, and win. The command
// line wins over both.
type machineFile struct {
	Name        source.Word        `json:"name"`
	Description string             `json:"description"`
	Device      source.Word        `json:"device" required:"true"`
	Match       source.Word        `json:"match"` // a regular expression for the GPU's name, for auto
	Link        linkFile           `json:"link"`
	Sim         map[string]float64 `json:"sim"`
	Params      *source.Node       `json:"params"`
	Studies     *source.Node       `json:"studies"`

	file string // relative to the workspace
	text []byte
	doc  *source.Node
}

type linkFile struct {
	Name  string  `json:"name"`
	Raw   float64 `json:"raw" min:"0"`
	Model float64 `json:"model" min:"0"`
}

const (
	machineFolder = "configs/machines"
	auto          = "auto"
	anyGPU        = "gpu" // the machine of whatever GPU is here
)

var deviceForm = regexp.MustCompile(`^(host|sim|cuda(:[0-9]+)?)$`)

// machine finds the study's machine and reads its file.
func (l *loader) machine() *machineFile {
	names := machineNames(l.study.Root)
	at := l.doc.Get("machine")
	name, by := auto, auto
	if n, ok := scalarText(at); ok {
		name, by = n, l.study.File
	}
	if l.opt.Machine != "" {
		name, by = l.opt.Machine, "--machine"
		at = source.Argument("--machine", name)
	}
	sources := &l.study.Sources
	sources.Names = names
	if name == auto {
		name, by = choose(l.study.Root, names, l.opt.gpus())
		sources.Auto = by
	}
	l.study.MachineBy = by
	m, known := &machineFile{}, slices.Contains(names, name)
	if rec := l.opt.Recorded; rec != nil && rec.Name == name && !known {
		l.study.Machine = *rec
		return m
	}
	asked := name == anyGPU && !known
	if asked && !l.anyGPU(at, by) {
		name, asked, known = "host", false, slices.Contains(names, "host")
	}
	switch {
	case asked:
	case known:
		sources.Machine = name
		var errs source.Errors
		m, errs = readMachine(l.study.Root, name)
		l.errs = append(l.errs, errs...)
		l.checkSim(m)
		l.study.Machine = cell.Machine{
			Name: name, Device: m.Device.Text, Description: m.Description,
			Link: cell.Link(m.Link), Sim: m.Sim,
		}
	default:
		if at != nil && name != "host" {
			l.fail(at, source.Suggest(name, append(names, auto)), "machine: no file %s", filepath.Join(machineFolder, name+".yaml"))
		}
		// Any folder can measure this computer, with nothing known of its bus.
		l.study.Machine = cell.Machine{Name: "host", Device: "host"}
	}
	if l.opt.Fingerprint != nil {
		l.study.Machine.Fingerprint = l.opt.Fingerprint(l.study.Machine.Device)
	}
	return m
}

// anyGPU takes the machine of whatever GPU is here, for which there is no file. It
// returns false where the driver does not say what that is, which is an error if
// the machine was asked for.
func (l *loader) anyGPU(at *source.Node, by string) bool {
	err := errors.New("this program cannot ask")
	if ask := l.opt.gpus().Machine; ask != nil {
		if l.study.Machine, err = ask("cuda"); err == nil {
			l.study.MachineBy = fmt.Sprintf("%s: the driver says %s", by, l.study.Machine.Description)
			return true
		}
	}
	if l.study.Sources.Auto == "" {
		l.fail(at, "device host needs no GPU", "machine: %v", err)
	}
	l.study.MachineBy = fmt.Sprintf("%s, and it cannot be asked: %v", by, err)
	return false
}

// checkSim holds what a machine says of device sim against what the kinds know.
func (l *loader) checkSim(m *machineFile) {
	for _, name := range l.opt.Kinds.Names() {
		check := l.opt.Kinds[name].CheckSim
		if check == nil || m.Sim == nil {
			continue
		}
		for _, p := range m.doc.Get("sim").Pairs {
			parameter := p.Key.Val.(string)
			value, ok := m.Sim[parameter]
			if err := check(parameter, value); ok && err != nil {
				l.fail(p.Key, cell.HintOf(err), "sim: %v", err)
			}
		}
	}
}

// machineNames lists the machine files of a workspace, sorted.
func machineNames(root string) []string {
	return slices.DeleteFunc(files(root, machineFolder), func(name string) bool { return name == auto })
}

func readMachine(root, name string) (*machineFile, source.Errors) {
	m := &machineFile{file: filepath.Join(machineFolder, name+".yaml")}
	text, err := cell.Read(filepath.Join(root, m.file))
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return m, source.Errors{{Pos: source.Pos{File: m.file}, Msg: fmt.Sprintf("read the machine file: %v", err)}}
	}
	m.text = text
	doc, bad := source.Parse(m.file, text)
	if bad != nil {
		return m, source.Errors{bad}
	}
	m.doc = doc
	d := source.Decoder{}
	d.Decode(reflect.ValueOf(m).Elem(), doc, "")
	if w := m.Name; w.At != nil && w.Text != name {
		d.Fail(w.At, "name the file and the machine alike", "machine %q in the file %s.yaml", w.Text, name)
	}
	if w := m.Device; w.At != nil && !deviceForm.MatchString(w.Text) {
		d.Fail(w.At, "known are host, sim, cuda, cuda:1", "unknown device %q", w.Text)
	}
	if w := m.Match; w.At != nil {
		if _, err := regexp.Compile(w.Text); err != nil {
			d.Fail(w.At, "", "match: %v", err)
		}
	}
	return m, d.Errs
}

// overrides returns the parameters that the machine changes in a study.
func (m *machineFile) overrides(study string, known []string, errs *source.Errors) map[string]override {
	out := map[string]override{}
	add := func(n *source.Node, strict bool) {
		if n == nil {
			return
		}
		if n.Kind != source.Mapping {
			*errs = append(*errs, n.Errorf("", "%s: want a mapping of parameters to values", n.Label()))
			return
		}
		for _, p := range n.Pairs {
			name := p.Key.Val.(string)
			if slices.Contains(known, name) {
				out[name] = override{p.Val, m.file}
			} else if strict {
				*errs = append(*errs, p.Key.Errorf(source.Suggest(name, known), "study %q has no parameter %q", study, name))
			}
		}
	}
	add(m.Params, false)
	if m.Studies != nil && m.Studies.Kind != source.Mapping {
		*errs = append(*errs, m.Studies.Errorf("", "studies: want a mapping of studies to their parameters"))
	}
	add(m.Studies.Get(study), true)
	return out
}

// choose returns the machine whose match fits a GPU of this computer, that of any
// GPU where none does, or host where there is no GPU to use, and why.
func choose(root string, names []string, gpus cell.GPUs) (name, why string) {
	if len(gpus.List) == 0 {
		return "host", fmt.Sprintf("auto: no %s here", cmp.Or(gpus.Make, "GPU"))
	}
	var models []string
	for _, g := range gpus.List {
		if g.Name != "" { // a GPU that cannot be asked cannot be used either
			models = append(models, g.Name)
		}
	}
	name, model := "", strings.Join(models, ", ")
	for _, file := range names {
		m, errs := readMachine(root, file)
		if len(errs) > 0 || m.Match.Text == "" {
			continue // its errors show when it is asked for
		}
		if i := slices.IndexFunc(models, regexp.MustCompile(m.Match.Text).MatchString); i >= 0 {
			name, model = file, models[i]
			break
		}
	}
	switch {
	case gpus.Missing != nil || len(models) == 0:
		return "host", fmt.Sprintf("auto: this computer has a GPU (%s), but not the program to use it: %v", model, gpus.Missing)
	case name == "":
		return anyGPU, "auto: no machine file matches the GPU " + model
	}
	return name, fmt.Sprintf("auto: this computer has a GPU (%s)", model)
}

// gpus returns those of this computer, if anybody looks.
func (o Options) gpus() cell.GPUs {
	if o.GPUs == nil {
		return cell.GPUs{}
	}
	return o.GPUs()
}
