package study

import (
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/machine"
	"barograph/pipeline/source"
)

// All stands for every GPU that there is to use, in devices:.
const All = "all"

// pool reads which GPUs cells are measured on at once: by the command line, or the
// study, or the machine's file.
func (l *loader) pool(m *machine.File) {
	if l.opt.Recorded != nil {
		return // nothing is measured
	}
	at := l.doc.Get("devices")
	if at == nil {
		at = m.Devices
	}
	var names []*source.Node
	switch {
	case l.opt.Devices != "":
		at = source.Argument("--devices", l.opt.Devices)
		for _, name := range strings.Split(l.opt.Devices, ",") {
			names = append(names, at.Stand(strings.TrimSpace(name)))
		}
	case at == nil:
		return
	case at.Kind == source.List && len(at.Items) > 0:
		names = at.Items
	default:
		names = []*source.Node{at}
	}
	if name, _ := scalarText(names[0]); name == All && len(names) == 1 {
		for i := range l.study.GPUs { // none on a machine without
			l.study.Pool = append(l.study.Pool, i)
		}
		return
	}
	device := l.study.Machine.Device
	for _, n := range names {
		name, _ := scalarText(n)
		family, number, _ := strings.Cut(name, ":")
		gpu, err := strconv.Atoi(number)
		switch {
		case n.Kind != source.Scalar || family != "cuda" && family != "sim" || number != "" && (err != nil || gpu < 0) || strings.HasSuffix(name, ":"):
			l.fail(n, "write devices: [cuda:0, cuda:1], or all", "devices: %s is no GPU", described(n))
		case family != cell.Family(device):
			l.fail(n, "leave devices out, or choose another machine", "devices: %s on machine %q, whose device is %s", name, l.study.Machine.Name, device)
		case len(l.study.GPUs) > 0 && gpu >= len(l.study.GPUs):
			l.fail(n, "they are counted from 0, by PCI address", "devices: %s, and there are %d GPUs to use", name, len(l.study.GPUs))
		case slices.Contains(l.study.Pool, gpu):
			l.fail(n, "", "devices: %s is named twice", name)
		default:
			l.study.Pool = append(l.study.Pool, gpu)
		}
	}
	slices.Sort(l.study.Pool)
}

// described says what a node is that is no name of a GPU.
func described(n *source.Node) string {
	if name, ok := scalarText(n); ok {
		return strconv.Quote(name)
	}
	switch n.Kind {
	case source.List:
		return "a list"
	case source.Mapping:
		return "a mapping"
	}
	return source.Describe(n.Val)
}

// Cards names the cards of a pool, each name once, sorted: what a result that was
// measured on any of them rests on.
func (s *Study) Cards() string {
	var names []string
	for _, gpu := range s.Pool {
		if gpu < len(s.GPUs) {
			names = append(names, s.GPUs[gpu].Name)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " and ")
}
