// Package machine reads what a workspace says of machines, a YAML file each, and
// chooses the one that this computer is.
package machine

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

// A File is a machine as it is written: a file under configs/machines/.
//
// Its params: override, in every study, the parameters of those names that the
// study has; its studies: override those of one study, and win. The command
// line wins over both.
type File struct {
	Name        source.Word        `json:"name"`
	Description string             `json:"description"`
	Device      source.Word        `json:"device" required:"true"`
	Devices     *source.Node       `json:"devices"` // a pool of GPUs, where the study names none
	Match       source.Word        `json:"match"`   // a regular expression for the GPU's name, for auto
	Link        linkFile           `json:"link"`
	Sim         map[string]float64 `json:"sim"`
	Params      *source.Node       `json:"params"`
	Studies     *source.Node       `json:"studies"`

	Path string       `json:"-"` // relative to the workspace
	Text []byte       `json:"-"`
	Doc  *source.Node `json:"-"`
}

type linkFile struct {
	Name  string  `json:"name"`
	Raw   float64 `json:"raw" min:"0"`
	Model float64 `json:"model" min:"0"`
}

const (
	// Folder is where machines lie in a workspace.
	Folder = "configs/machines"
	// Auto asks for the machine to be chosen by what this computer has.
	Auto = "auto"
	// Any is the machine of whatever GPU is here, for which there is no file.
	Any = "gpu"
)

var deviceForm = regexp.MustCompile(`^(host|(sim|cuda)(:[0-9]+)?)$`)

// Names lists the machines of a workspace, sorted.
func Names(root string) []string {
	return slices.DeleteFunc(source.Files(root, Folder), func(name string) bool { return name == Auto })
}

// Read reads the file of a machine.
func Read(root, name string) (*File, source.Errors) {
	m := &File{Path: filepath.Join(Folder, name+".yaml")}
	if !cell.NameForm.MatchString(name) {
		return m, source.Errors{{Pos: source.Pos{File: m.Path}, Msg: fmt.Sprintf("machine: %q is not a name", name), Hint: cell.NameHint}}
	}
	text, err := cell.Read(filepath.Join(root, m.Path))
	if err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		return m, source.Errors{{Pos: source.Pos{File: m.Path}, Msg: fmt.Sprintf("read the machine file: %v", err)}}
	}
	m.Text = text
	doc, bad := source.Parse(m.Path, text)
	if bad != nil {
		return m, source.Errors{bad}
	}
	m.Doc = doc
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

// Overrides returns the parameters that the machine changes in a study.
func (m *File) Overrides(study string, known []string, errs *source.Errors) map[string]*source.Node {
	out := map[string]*source.Node{}
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
				out[name] = p.Val
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

// Choose returns the machine whose match fits a GPU of this computer, that of any
// GPU where none does, or host where there is no GPU to use, and why.
func Choose(root string, names []string, gpus cell.GPUs) (name, why string) {
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
		m, errs := Read(root, file)
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
		return Any, "auto: no machine file matches the GPU " + model
	}
	return name, fmt.Sprintf("auto: this computer has a GPU (%s)", model)
}
