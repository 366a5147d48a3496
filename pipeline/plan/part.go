package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

// A part is the cells of a study that a change of files touches: those that read or
// wrote them, and all that rest on these. Nothing else is planned, keyed or looked at,
// but for the cells that they need, whose keys the proof has.

// ErrPart says that a part cannot be decided by itself, and the whole has to be.
var ErrPart = errors.New("a cell that is needed has lost its result")

// mostPart is the share of all cells, as one in so many, above which planning all of
// them takes no longer.
const mostPart = 4

// A known cell is one of a proof.
type knownCell struct {
	id, key             string // the key is 32 bytes
	at                  int    // where the key stands
	reads, makes, needs []uint32
}

// table takes the cells of a proof apart.
func (k *Known) table() ([]knownCell, error) {
	all := make([]knownCell, k.Cells)
	at := 0
	damaged := false
	number := func() int {
		n, size := binary.Uvarint(cell.Bytes(k.cells[at:]))
		if size <= 0 || n > uint64(len(k.cells)) {
			damaged = true
			return 0
		}
		at += size
		return int(n)
	}
	text := func(n int) string {
		if damaged = damaged || at+n > len(k.cells); damaged {
			return ""
		}
		at += n
		return k.cells[at-n : at]
	}
	var flat []uint32
	list := func(below int) []uint32 {
		from := len(flat)
		for range number() {
			n := number()
			if damaged = damaged || n >= below; damaged {
				return nil
			}
			flat = append(flat, uint32(n))
		}
		return flat[from:len(flat):len(flat)]
	}
	for i := range all {
		c := &all[i]
		c.id = text(number())
		c.at = at
		c.key = text(sha256.Size)
		c.reads, c.makes, c.needs = list(k.Files), list(k.Files), list(i)
		if damaged {
			return nil, errors.New("the cells of the proof are damaged")
		}
	}
	return all, nil
}

// Plan returns the plan of the part of a study that its changed files touch, with the
// cells that are asked for by name; nil where there is none: where most cells are
// touched, or some that cannot be planned without the others.
func (k *Known) Plan(opt study.Options, asked ...string) *Plan {
	all, err := k.table()
	if err != nil {
		return nil
	}
	changed := make(map[uint32]bool, len(k.Changed))
	for _, i := range k.Changed {
		changed[uint32(i)] = true
	}
	touches := func(files []uint32) bool {
		return slices.ContainsFunc(files, func(i uint32) bool { return changed[i] })
	}
	touched, needed := map[uint32]bool{}, map[uint32]bool{}
	for i, c := range all {
		if slices.ContainsFunc(c.needs, func(n uint32) bool { return touched[n] }) || touches(c.reads) || touches(c.makes) || slices.Contains(asked, c.id) {
			touched[uint32(i)] = true
			for _, n := range c.needs {
				needed[n] = true
			}
		}
	}
	if len(touched) > len(all)/mostPart || len(touched) == 0 {
		return nil
	}
	opt.Bound = true
	st, err := study.Load(k.Sources.File, opt)
	if err != nil || !reflect.DeepEqual(st.Sources, k.Sources) {
		return nil
	}
	b := newBuilder(st)
	p := &Plan{Study: st, byID: map[string]*Cell{}, globs: b.globs, known: k, Rest: len(all)}
	maps.Copy(needed, touched)
	for _, i := range slices.Sorted(maps.Keys(needed)) {
		c := k.cell(b, i, all[i].id)
		if c == nil || len(b.errs) > 0 {
			return nil
		}
		was := all[i] // the others are not needed any more
		if c.known = &was; touched[i] {
			if !c.partial(k, was) || len(b.missing) > 0 {
				return nil
			}
			was.key = "" // which is to be found out
		}
		p.Cells, p.byID[c.ID] = append(p.Cells, c), c
	}
	for pattern, matches := range b.globs {
		if !slices.Equal(matches, k.Globs[pattern]) {
			return nil
		}
	}
	p.Rest -= len(p.Cells)
	return p
}

// cell makes the cell in a place of the whole plan; nil where that cannot be told.
func (k *Known) cell(b *builder, place uint32, id string) *Cell {
	at, _ := slices.BinarySearchFunc(k.Stages, int(place)+1, func(r rank, i int) int { return cmp.Compare(r.First, i) })
	if at == 0 {
		return nil
	}
	r := k.Stages[at-1]
	st := b.study.Stage(r.Name)
	if st == nil || int(place) >= r.First+r.Cells || study.Count(st.Matrix) != r.Cells {
		return nil
	}
	pt := study.Point(st.Matrix, int(place)-r.First)
	if st.Name+pt.String() != id {
		return nil
	}
	return b.make(st, pt, id)
}

// partial tells whether a cell can be planned and run without those that it does not
// need, and is as the proof has it.
func (c *Cell) partial(k *Known, was knownCell) bool {
	kind := c.Stage.Kind
	if kind.Measured || kind.Publishes != nil || kind.Graph || kind.Summary != "" || kind.Verdicts != "" ||
		len(c.Needs) != len(was.needs) || len(c.Files) != len(was.reads) || len(c.Outputs) != len(was.makes) {
		return false
	}
	for i, path := range c.Files {
		if k.path(was.reads[i]) != path {
			return false
		}
	}
	for i, name := range c.Outputs {
		if c.Place(name) != k.path(was.makes[i]) { // or it is an object, whose name changes with it
			return false
		}
	}
	return true
}

// renew writes the proof again, with what has become of the part.
func (k *Known) renew(d *Decider, file string) error {
	looks, cells := []byte(k.looks), []byte(k.cells)
	set := func(i uint32, digest string) error {
		l, err := lookAt(d.store, absolute(k.Sources.Root, k.path(i)), digest)
		copy(looks[int(i)*len(l):], l[:])
		return err
	}
	for _, c := range d.plan.Cells {
		dec := d.made[c]
		if c.known.key != "" {
			continue
		}
		if dec == nil || dec.State != Stands {
			return errors.New("prove " + c.ID + ": it does not stand")
		}
		key, err := hex.DecodeString(dec.Key)
		if err != nil {
			return err
		}
		copy(cells[c.known.at:], key)
		for i, path := range c.Files {
			if err := set(c.known.reads[i], d.files[path]); err != nil {
				return err
			}
		}
		for i, name := range c.Outputs {
			j := slices.IndexFunc(dec.Record.Files, func(f store.File) bool { return f.Name == name })
			if j < 0 {
				return errors.New("prove " + c.ID + ": its record has no " + name)
			}
			if err := set(c.known.makes[i], dec.Record.Files[j].Digest); err != nil {
				return err
			}
		}
	}
	return k.write(file, looks, cell.Bytes(k.names), cells)
}

// A Stage says how many cells of a stage a proof has, and what they publish.
type Stage struct {
	Name, Kind string

	Cells int
	Files []string // sorted
}

// Summary tells of a known study, stage by stage; not ok where a stage's cells do not
// stand next to one another.
func (k *Known) Summary() (stages []Stage, ok bool) {
	all, err := k.table()
	if err != nil {
		return nil, false
	}
	for _, r := range k.Stages {
		if r.Cells == 0 || r.First+r.Cells > len(all) {
			return nil, false
		}
		s := Stage{Name: r.Name, Kind: r.Kind, Cells: r.Cells}
		for _, c := range all[r.First : r.First+r.Cells] {
			for _, i := range c.makes {
				if path := k.path(i); !strings.HasPrefix(path, ".barograph/") {
					s.Files = append(s.Files, path)
				}
			}
		}
		slices.Sort(s.Files)
		stages = append(stages, s)
	}
	return stages, true
}

// knownDecision is that on a cell whose key a proof has.
func (d *Decider) knownDecision(c *Cell) (*Decision, error) {
	key := hex.EncodeToString([]byte(c.known.key))
	r := d.store.Get(key, c.Outputs)
	if r == nil {
		return nil, ErrPart
	}
	return d.set(c, &Decision{State: Stands, Key: key, Record: r}), nil
}
