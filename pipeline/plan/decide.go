package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan/difference"
	"barograph/pipeline/store"
)

// A State is what a plan says of a cell.
type State int

const (
	Stands State = iota // a stored result has the cell's key
	Runs                // it would run
	Waits               // a cell it needs would run, so its key is not known yet
)

// String returns the word that plan and status print.
func (s State) String() string { return [...]string{"stands", "runs", "waits"}[s] }

// A Decision is what holds for one cell.
type Decision struct {
	State  State
	Key    string // unknown while it waits
	Record *store.Record
	Reason string // why it runs or waits
	// Unsteady is the result that it has but that is not good; nil if there is none.
	// It stands as long as nothing is to be measured that rests on it.
	Unsteady *store.Record
}

// A Decider decides cell after cell against a store. A cell can be decided once
// all it needs have been.
type Decider struct {
	// Idle says that no cell is run, so that what this computer lacks for one does not matter.
	Idle bool

	plan  *Plan
	store *store.Store
	fresh map[string]bool // stages that run whatever is stored
	made  map[*Cell]*Decision
	// refused are cells whose result is not good, and on which something would rest
	// that is measured now.
	refused map[*Cell]bool
	files   map[string]string // digests of the inputs that keys were made of
	told    map[*Cell][]string
	// failures are those that the store knows of; nil: it has not been asked.
	failures map[string]store.Failure
}

// NewDecider returns a decider. Stages named in fresh run once, whatever is
// stored.
func NewDecider(p *Plan, s *store.Store, fresh []string) *Decider {
	d := &Decider{plan: p, store: s, fresh: map[string]bool{}, made: make(map[*Cell]*Decision, len(p.Cells)), files: map[string]string{}, refused: map[*Cell]bool{}}
	for _, name := range fresh {
		d.fresh[name] = true
	}
	return d
}

// Told has a cell run whatever is stored, since another decider said so: with the
// keys of its gang, and its own last.
func (d *Decider) Told(c *Cell, keys []string) {
	if d.told == nil {
		d.told = map[*Cell][]string{}
	}
	d.told[c] = keys
}

// All decides every cell.
func (d *Decider) All() error {
	for again := true; again; {
		again = false
		for _, c := range d.plan.Cells {
			if c.Trial != nil {
				continue
			}
			dec, err := d.Decide(c)
			if err != nil {
				return err
			}
			if !c.Stage.Kind.Measured || dec.State == Stands {
				continue
			}
			for _, x := range append(slices.Clone(c.Gang), c) {
				for _, n := range x.Needs {
					if on := d.made[n]; on != nil && on.State == Stands && on.Unsteady != nil {
						d.refused[n], again = true, true
					}
				}
			}
		}
	}
	return nil
}

// Of returns the decision on a cell, or nil.
func (d *Decider) Of(c *Cell) *Decision { return d.made[c] }

// Decide decides a cell: a cell that needs one that is to run waits. Background
// cells are decided with their foreground.
func (d *Decider) Decide(c *Cell) (*Decision, error) {
	if keys := d.told[c]; keys != nil {
		for i, g := range append(slices.Clone(c.Gang), c) {
			d.set(g, &Decision{State: Runs, Key: keys[i], Reason: "decided elsewhere"})
		}
		return d.made[c], nil
	}
	if c.Given != nil {
		r := &store.Record{Cell: d.plan.Name(c)}
		for _, name := range c.Outputs {
			digest, err := d.store.Digest(c.Given[name])
			if err != nil {
				return nil, err
			}
			r.Files = append(r.Files, store.File{Name: name, Digest: digest})
		}
		return d.set(c, &Decision{State: Stands, Record: r}), nil
	}
	if c.known != nil && c.known.key != "" {
		return d.knownDecision(c)
	}
	if waits := d.waits(c); waits != nil {
		if err := d.lacks(c); err != nil {
			return nil, err
		}
		dec := &Decision{State: Waits, Reason: "needs " + waits.ID + ", which runs"}
		for _, g := range c.Gang {
			d.set(g, &Decision{State: Waits, Reason: "runs with " + c.ID})
		}
		return d.set(c, dec), nil
	}
	for _, x := range append([]*Cell{c}, c.Gang...) {
		for _, path := range x.Files {
			digest, err := d.store.Digest(filepath.Join(d.plan.Study.Root, path))
			if err != nil {
				return nil, cell.Usage(x.Stage.Errorf("", "read an input of %s: %v", x.ID, err))
			}
			d.files[path] = digest
		}
	}
	parts := d.parts(c)
	dec := &Decision{Key: keyOf(parts)}
	dec.Record = d.store.Get(dec.Key, c.Outputs)
	whole := dec.Record != nil
	for _, g := range c.Gang {
		key := gangKey(dec.Key, g)
		r := d.store.Get(key, g.Outputs)
		whole = whole && r != nil
		d.set(g, &Decision{Key: key, Record: r, Reason: "runs with " + c.ID})
	}
	unsteady := ""
	if whole {
		if unsteady = d.unsteady(c, dec.Record); unsteady != "" {
			dec.Unsteady = dec.Record
			dec.Reason = "but its result is not good: " + unsteady
		}
	}
	fresh := d.fresh[c.Stage.Name]
	for _, g := range c.Gang {
		fresh = fresh || d.fresh[g.Stage.Name]
	}
	if fresh || !whole || d.refused[c] {
		if err := d.lacks(c); err != nil {
			return nil, err
		}
		dec.State, dec.Record = Runs, nil
		for _, g := range c.Gang {
			d.made[g].State, d.made[g].Record = Runs, nil
		}
		switch {
		case fresh:
			dec.Reason, dec.Unsteady = "asked for by --fresh", nil
		case d.refused[c] && unsteady != "":
			dec.Reason = "its last result is not good: " + unsteady
		default:
			dec.Reason = d.reason(c, parts)
		}
	}
	return d.set(c, dec), nil
}

// Inputs returns the digests of the workspace files that a cell which runs reads, and its
// gang, by path.
func (d *Decider) Inputs(c *Cell) map[string]string {
	inputs := map[string]string{}
	for _, x := range append(slices.Clone(c.Gang), c) {
		for _, path := range x.Files {
			inputs[path] = d.files[path]
		}
		if !x.Stage.Kind.Script {
			continue // it reads results where they are stored
		}
		for _, n := range x.Needs {
			for _, f := range d.made[n].Record.Files {
				if path := n.Place(f.Name); path != "" {
					inputs[path] = f.Digest
				}
			}
		}
	}
	return inputs
}

// lacks says what this computer misses for a cell and its gang to run.
func (d *Decider) lacks(c *Cell) error {
	if d.Idle {
		return nil
	}
	if pool := d.plan.Study.Pool; c.GPU != nil && len(pool) > 0 && !slices.Contains(pool, *c.GPU) {
		return cell.Usage(c.Stage.Errorf("name it in devices, or leave gpu: out", "stage %q: gpu is %d, and the pool has %v", c.Stage.Name, *c.GPU, pool))
	}
	if have, device := len(d.plan.Study.GPUs), d.plan.Study.Machine.Device; c.GPU != nil && (have > 0 && *c.GPU >= have || device == "host") {
		return cell.Usage(c.Stage.Errorf("they are counted from 0; --machine sim-gpus simulates several", "stage %q: gpu is %d, and there are %d to use on device %s", c.Stage.Name, *c.GPU, have, device))
	}
	for _, x := range append(slices.Clone(c.Gang), c) {
		k := x.Stage.Kind
		with := k.With()
		err := json.Unmarshal(x.With, with)
		if have := len(d.plan.Study.GPUs); err == nil && k.Others != nil && have > 0 {
			if gpus, _ := k.Others(with); len(gpus) > 0 && slices.Max(gpus) >= have {
				err = cell.Hint(fmt.Errorf("gpus %v, and there are %d to use", gpus, have), "they are counted from 0; --machine sim-gpus simulates several")
			}
		}
		if err == nil && k.Lacks != nil {
			err = k.Lacks(d.plan.Study.Machine.Device, with)
		}
		if err != nil {
			return cell.Usage(x.Stage.Errorf(cell.HintOf(err), "stage %q: %v", x.Stage.Name, err))
		}
	}
	return nil
}

// unsteady says why the result of a measured cell is not good; nothing if it is.
func (d *Decider) unsteady(c *Cell, r *store.Record) string {
	if !c.Stage.Kind.Measured || r.Warned == 0 {
		return ""
	}
	detail, _ := d.store.Detail(r) // lost, it says nothing against the result
	return detail.Unsteady
}

// Strayed returns the outputs of a cell with a result that the workspace does
// not hold as they were made: missing, edited, or of another run.
func (d *Decider) Strayed(c *Cell) []store.File {
	if c.Given != nil || d.made[c].Record == nil {
		return nil
	}
	return d.plan.Strayed(d.store, c, d.made[c].Record)
}

// Strayed is [Decider.Strayed] for a record that may not be decided on yet.
func (p *Plan) Strayed(s *store.Store, c *Cell, r *store.Record) []store.File {
	var files []store.File
	for _, f := range r.Files {
		to := c.Place(f.Name)
		if to == "" {
			continue
		}
		if have, err := s.Digest(filepath.Join(p.Study.Root, to)); err != nil || have != f.Digest {
			files = append(files, f)
		}
	}
	return files
}

// Finish replaces a cell's decision after it ran.
func (d *Decider) Finish(c *Cell, r *store.Record) {
	dec := d.made[c]
	dec.State, dec.Record, dec.Unsteady = Stands, r, nil
}

func (d *Decider) set(c *Cell, dec *Decision) *Decision {
	d.made[c] = dec
	return dec
}

// waits returns a needed cell that has no result yet.
func (d *Decider) waits(c *Cell) *Cell {
	for _, n := range c.Needs {
		if d.made[n] == nil || d.made[n].State != Stands {
			return n
		}
	}
	for _, g := range c.Gang {
		if w := d.waits(g); w != nil {
			return w
		}
	}
	return nil
}

// Parts returns what the key of a decided cell is made of; nil where it is not made of
// that any more, for an input that others read too was found to be another since.
func (d *Decider) Parts(c *Cell) []store.Part {
	if c.Given != nil || c.known != nil && c.known.key != "" || d.waits(c) != nil {
		return nil
	}
	if parts := d.parts(c); keyOf(parts) == d.made[c].Key {
		return parts
	}
	return nil
}

// parts are what the key of a cell is made of, and of its gang: they are made again when they
// are asked for, since those of all cells would take more memory than all else of a plan.
func (d *Decider) parts(c *Cell) (parts []store.Part) {
	for _, x := range append([]*Cell{c}, c.Gang...) {
		prefix := ""
		if x != c {
			prefix = "during " + x.Stage.Name + ": "
		}
		for _, p := range x.identity() {
			parts = append(parts, store.Part{Name: prefix + p.Name, Value: p.Value})
		}
		for _, path := range x.Files {
			parts = append(parts, store.Part{Name: prefix + "file " + path, Value: d.files[path]})
		}
		for _, n := range x.Needs {
			for _, f := range d.made[n].Record.Files {
				parts = append(parts, store.Part{Name: prefix + "output " + word(f.Name) + " of " + n.ID, Value: f.Digest})
			}
		}
	}
	return parts
}

// word writes a name so that it ends where it seems to.
func word(name string) string {
	if strings.ContainsAny(name, " \"") {
		return strconv.Quote(name)
	}
	return name
}

func keyOf(parts []store.Part) string {
	h, b := sha256.New(), make([]byte, 0, 256)
	for _, p := range parts {
		for _, text := range []string{p.Name, p.Value} {
			b = append(append(strconv.AppendInt(b[:0], int64(len(text)), 10), ':'), text...)
			h.Write(b)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func gangKey(key string, g *Cell) string {
	return keyOf([]store.Part{{Name: "trial", Value: key}, {Name: "cell", Value: g.ID}})
}

// reason says what changed since the cell's newest result.
func (d *Decider) reason(c *Cell, parts []store.Part) string {
	last := d.store.Latest(d.plan.Name(c))
	if n := d.store.Unread(); last == nil && n > 0 {
		return fmt.Sprintf("has no result that can be read (%d of all are damaged, or another version kept them)", n)
	}
	if last == nil {
		if d.failures == nil {
			d.failures, _ = d.store.Failures() // what cannot be read is not told
		}
		if len(d.failures) > 0 { // else keys need not be made
			if _, failed := d.failures[keyOf(parts)]; failed {
				return "failed when it last ran"
			}
		}
		return "has no result yet"
	}
	if last.Key == keyOf(parts) {
		return "its stored result is missing or damaged"
	}
	detail, err := d.store.Detail(last)
	if err != nil {
		return "what its last result was made of cannot be read"
	}
	changes := difference.Of(detail.Parts, parts)
	if len(changes) == 0 {
		return "its stored result is damaged"
	}
	said := make([]string, 0, 3)
	for i, ch := range changes {
		if i == 2 && len(changes) > 3 {
			said = append(said, fmt.Sprintf("and %d more", len(changes)-2))
			break
		}
		said = append(said, ch.String())
	}
	return strings.Join(said, ", ")
}
