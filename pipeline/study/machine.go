package study

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/machine"
	"barograph/pipeline/source"
)

// machine finds the study's machine and reads its file.
func (l *loader) machine() *machine.File {
	names := machine.Names(l.study.Root)
	at := l.doc.Get("machine")
	name, by := machine.Auto, machine.Auto
	if n, ok := scalarText(at); ok {
		name, by = n, l.study.File
	}
	if l.opt.Machine != "" {
		name, by = l.opt.Machine, "--machine"
		at = source.Argument("--machine", name)
	}
	sources := &l.study.Sources
	sources.Names = names
	if name == machine.Auto {
		name, by = machine.Choose(l.study.Root, names, l.opt.gpus())
		sources.Auto = by
	}
	l.study.MachineBy = by
	m, known := &machine.File{}, slices.Contains(names, name)
	if rec := l.opt.Recorded; rec != nil && rec.Name == name && !known {
		l.study.Machine = *rec
		return m
	}
	asked := name == machine.Any && !known
	if asked && !l.anyGPU(at, by) {
		name, asked, known = "host", false, slices.Contains(names, "host")
	}
	switch {
	case asked:
	case known:
		sources.Machine = name
		var errs source.Errors
		m, errs = machine.Read(l.study.Root, name)
		l.errs = append(l.errs, errs...)
		l.checkSim(m)
		l.study.Machine = cell.Machine{
			Name: name, Device: m.Device.Text, Description: m.Description,
			Link: cell.Link(m.Link), Sim: m.Sim,
		}
	default:
		if at != nil && name != "host" {
			l.fail(at, source.Suggest(name, append(names, machine.Auto)), "machine: no file %s", filepath.Join(machine.Folder, name+".yaml"))
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
func (l *loader) checkSim(m *machine.File) {
	for _, name := range l.opt.Kinds.Names() {
		check := l.opt.Kinds[name].CheckSim
		if check == nil || m.Sim == nil {
			continue
		}
		for _, p := range m.Doc.Get("sim").Pairs {
			parameter := p.Key.Val.(string)
			value, ok := m.Sim[parameter]
			if err := check(parameter, value); ok && err != nil {
				l.fail(p.Key, cell.HintOf(err), "sim: %v", err)
			}
		}
	}
}

// gpus returns those of this computer, if anybody looks.
func (o Options) gpus() cell.GPUs {
	if o.GPUs == nil {
		return cell.GPUs{}
	}
	return o.GPUs()
}
