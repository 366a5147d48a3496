package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan/pattern"
	"barograph/pipeline/store"
	"barograph/pipeline/store/stat"
	"barograph/pipeline/study"

	"golang.org/x/sync/errgroup"
)

// A proof says that everything of a study stands, and what was looked at to know
// it: as long as looking again gives the same, there is nothing to plan, decide
// or run. It asks each question whose answer a plan and its keys rest on, and
// keeps the answers. Where any but those about files is another now, the study is
// planned as if there were no proof; where some files are not as they were, so are
// the cells that they touch. So a proof is never stale, only useless.
//
// Its file is
//
//	SHA-256 of the rest, head, files, cells
//
// and the head is JSON that ends with a newline.
type proof struct {
	Program stat.Observation
	Sources study.Sources
	Globs   map[string][]string
	Asked   []inquiry
	Set     map[string]map[string]map[string]string // by Setting, by the kind and the device that were asked
	Result  json.RawMessage                         // what the caller wants to know again
	Stages  []rank
	Files   int // looks, and as many paths, each of which ends with a zero
	Paths   int // bytes of them
	Cells   int
}

// A rank is a stage whose cells stand next to one another in the plan, one for each
// point; Cells is 0 for other stages.
type rank struct {
	Name, Kind   string
	First, Cells int
}

// A look is what a file was seen to be: byStat and an observation, or, where it had
// changed too recently for that to prove anything, byContent and the SHA-256.
type look [1 + 32]byte

const (
	byStat    = 's'
	byContent = 'c'
)

func seen(o stat.Observation) (l look) {
	l[0] = byStat
	for i, n := range o {
		binary.LittleEndian.PutUint64(l[1+8*i:], uint64(n))
	}
	return l
}

func contains(digest string) (l look, err error) {
	l[0] = byContent
	if n, err := hex.Decode(l[1:], []byte(digest)); err != nil || n != sha256.Size {
		return l, errors.New("no SHA-256: " + digest)
	}
	return l, nil
}

// An inquiry is what a kind is asked, and what it said.
type inquiry struct {
	Kind string
	With json.RawMessage
	Said map[string]string // by Identify
}

// program is the running one: another may plan otherwise.
const program = "/proc/self/exe"

// Prove writes a proof that every cell stands, with result in it, to a file. It
// returns an error where that cannot be proven, for example because an input
// was edited meanwhile.
func (d *Decider) Prove(file string, result any) error {
	p := d.plan
	if p.known != nil {
		return p.known.renew(d, file)
	}
	pr := proof{Sources: p.Study.Sources, Globs: p.globs, Cells: len(p.Cells)}
	var err error
	if pr.Program, err = stat.Observe(program); err != nil {
		return err
	}
	if pr.Result, err = json.Marshal(result); err != nil {
		return err
	}
	n := 0 // files, as far as cells share none: lists that grow would take twice as much
	for _, c := range p.Cells {
		n += min(len(c.Files)+len(c.Outputs), 3)
	}
	files := fileList{root: p.Study.Root, at: make(map[string]uint32, n), paths: make([]string, 0, n), digests: make([]string, 0, n)}
	cells := make([]byte, 0, 64*len(p.Cells))
	place := make(map[*Cell]uint32, len(p.Cells))
	asked := map[string]bool{}
	for i, c := range p.Cells {
		place[c] = uint32(i)
		dec := d.made[c]
		if dec == nil || dec.State != Stands || c.Given != nil {
			return fmt.Errorf("prove %s: it does not stand", c.ID)
		}
		k := c.Stage.Kind
		if k.Measured && k.Setting != nil {
			pr.settings(k, c.devices(p.Study))
		}
		if k.Identify != nil || k.Check != nil {
			if question := k.Name + string(c.With); !asked[question] {
				asked[question] = true
				a := inquiry{Kind: k.Name, With: c.With}
				if a.Said, err = a.ask(k, p.Study.Root, p.Study.Machine.Device); err != nil {
					return err
				}
				pr.Asked = append(pr.Asked, a)
			}
		}
		pr.rank(c, i)
		if cells, err = files.cell(cells, d, c, dec, place); err != nil {
			return err
		}
	}
	files.at = nil // all are known, and there may be many
	pr.Files = len(files.paths)
	looks := make([]byte, pr.Files*len(look{}))
	err = inChunks(pr.Files, func(i int) error {
		l, err := files.look(d.store, i)
		copy(looks[i*len(l):], l[:])
		return err
	})
	if err != nil {
		return err
	}
	names := make([]byte, 0, 16*pr.Files)
	for _, path := range files.paths {
		names = append(append(names, path...), 0)
	}
	return pr.write(file, looks, names, cells)
}

// rank notes where the cells of a stage stand, of which c is the next.
func (pr *proof) rank(c *Cell, i int) {
	st := c.Stage
	simple := !st.Background && len(st.During) == 0 && c.Trial == nil
	if n := len(pr.Stages); n == 0 || pr.Stages[n-1].Name != st.Name {
		if slices.ContainsFunc(pr.Stages, func(r rank) bool { return r.Name == st.Name }) {
			return // as trials and their background cells do, it stands in between
		}
		pr.Stages = append(pr.Stages, rank{Name: st.Name, Kind: st.Kind.Name, First: i})
	}
	if simple {
		pr.Stages[len(pr.Stages)-1].Cells++
	}
}

// write writes a proof.
func (pr *proof) write(file string, looks, names, cells []byte) error {
	pr.Paths = len(names)
	head, err := json.Marshal(pr)
	if err != nil {
		return err
	}
	h := sha256.New()
	parts := [][]byte{nil, append(head, '\n'), looks, names, cells}
	for _, part := range parts {
		h.Write(part)
	}
	parts[0] = h.Sum(nil)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	return cell.Leave(file, parts...)
}

// A fileList is the files that a proof looks at.
type fileList struct {
	root           string
	at             map[string]uint32
	paths, digests []string
	objects        map[uint32]store.File
}

func (f *fileList) add(path, digest string) uint32 {
	path = strings.TrimPrefix(path, f.root+"/")
	i, known := f.at[path]
	if !known {
		i = uint32(len(f.paths))
		f.at[path], f.paths, f.digests = i, append(f.paths, path), append(f.digests, digest)
	}
	return i
}

// cell adds a cell's files, and writes the cell:
//
//	length of ID, ID, key, number of inputs, inputs, number of outputs, outputs, number of needs, needs
//
// with numbers as in [binary.AppendUvarint], and all but the first two of them places.
func (f *fileList) cell(b []byte, d *Decider, c *Cell, dec *Decision, place map[*Cell]uint32) ([]byte, error) {
	key, err := hex.DecodeString(dec.Key)
	if err != nil || len(key) != sha256.Size {
		return nil, fmt.Errorf("prove %s: its key is %q", c.ID, dec.Key)
	}
	b = append(binary.AppendUvarint(b, uint64(len(c.ID))), c.ID...)
	b = binary.AppendUvarint(append(b, key...), uint64(len(c.Files)))
	for _, path := range c.Files {
		b = binary.AppendUvarint(b, uint64(f.add(path, d.files[path])))
	}
	b = binary.AppendUvarint(b, uint64(len(dec.Record.Files)))
	for _, name := range c.Outputs {
		i := slices.IndexFunc(dec.Record.Files, func(f store.File) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("prove %s: its record has no %s", c.ID, name)
		}
		// What is in the workspace as it should be is not needed from the store;
		// when it is, the store looks for itself.
		made := dec.Record.Files[i]
		if to := c.Place(name); to != "" {
			b = binary.AppendUvarint(b, uint64(f.add(to, made.Digest)))
			continue
		}
		at := f.add(d.store.Object(made.Digest), made.Digest)
		if f.objects == nil {
			f.objects = map[uint32]store.File{}
		}
		f.objects[at] = made
		b = binary.AppendUvarint(b, uint64(at))
	}
	b = binary.AppendUvarint(b, uint64(len(c.Needs)))
	for _, n := range c.Needs {
		b = binary.AppendUvarint(b, uint64(place[n]))
	}
	return b, nil
}

// look looks at a file, which must hold what it should.
func (f *fileList) look(s *store.Store, i int) (look, error) {
	if made, ok := f.objects[uint32(i)]; ok {
		o, err := s.ObjectProof(made)
		return seen(o), err
	}
	return lookAt(s, absolute(f.root, f.paths[i]), f.digests[i])
}

func lookAt(s *store.Store, path, digest string) (look, error) {
	o, proves, err := s.Proof(path, digest)
	if err != nil || proves {
		return seen(o), err
	}
	return contains(digest)
}

func absolute(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return root + "/" + path
}

// settings notes how devices are set for a kind.
func (pr *proof) settings(k *cell.Kind, devices []string) {
	if pr.Set == nil {
		pr.Set = map[string]map[string]map[string]string{}
	}
	if pr.Set[k.Name] == nil {
		pr.Set[k.Name] = map[string]map[string]string{}
	}
	for _, device := range devices {
		if pr.Set[k.Name][device] == nil {
			pr.Set[k.Name][device] = k.Setting(device)
		}
	}
}

// A Known is a study of which everything stood when it was last run, and that is
// the same now, files apart.
type Known struct {
	proof
	names   string   // paths, each of which ends with a zero
	ends    []uint32 // of the paths, after a first 0
	looks   string   // of each path
	cells   string
	Changed []int // places of the files that are not as they were
}

// Recall returns what a file proves of a study; nil where that is nothing any more.
func Recall(file string, opt study.Options) *Known {
	text, err := cell.Text(file)
	if err != nil || len(text) < sha256.Size {
		return nil
	}
	sum, text := text[:sha256.Size], text[sha256.Size:]
	if got := sha256.Sum256(cell.Bytes(text)); string(got[:]) != sum {
		return nil
	}
	head, rest, _ := strings.Cut(text, "\n")
	var k Known
	if json.Unmarshal([]byte(head), &k.proof) != nil || !k.current(opt) {
		return nil
	}
	size := k.Files * len(look{})
	if k.Files < 0 || k.Paths < 0 || size+k.Paths > len(rest) {
		return nil
	}
	k.looks, k.cells = rest[:size], rest[size+k.Paths:]
	k.names, k.ends = rest[size:size+k.Paths], make([]uint32, 1, k.Files+1)
	for i := range len(k.names) {
		if k.names[i] == 0 {
			k.ends = append(k.ends, uint32(i)+1)
		}
	}
	if len(k.ends) != k.Files+1 || k.compare() != nil {
		return nil
	}
	return &k
}

// current asks again all that a proof asks, files apart.
func (pr *proof) current(opt study.Options) bool {
	if now, err := stat.Observe(program); err != nil || now != pr.Program || !pr.Sources.Current(opt) || pattern.Moved(pr.Sources.Root, pr.Globs) {
		return false
	}
	for name, devices := range pr.Set {
		k := opt.Kinds[name]
		for device, was := range devices {
			if k == nil || k.Setting == nil || !maps.Equal(k.Setting(device), was) {
				return false
			}
		}
	}
	for _, a := range pr.Asked {
		k := opt.Kinds[a.Kind]
		if k == nil {
			return false
		}
		if said, err := a.ask(k, pr.Sources.Root, pr.Sources.Device); err != nil || !maps.Equal(said, a.Said) {
			return false
		}
	}
	return true
}

// compare looks at all files again.
func (k *Known) compare() error {
	root, err := os.Open(k.Sources.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	as := make([]bool, k.Files)
	err = inChunks(k.Files, func(i int) error {
		was := k.look(i)
		var now look
		switch was[0] {
		case byContent:
			if digest, err := cell.Sum(absolute(k.Sources.Root, k.path(uint32(i)))); err == nil {
				now, _ = contains(digest) // which a sum always is
			}
		case byStat:
			if o, _, err := stat.ObserveAt(int(root.Fd()), k.name(i), 0); err == nil {
				now = seen(o)
			}
		}
		as[i] = now == was
		return nil
	})
	for i, same := range as {
		if !same {
			k.Changed = append(k.Changed, i)
		}
	}
	return err
}

// name is a path with the zero that ends it.
func (k *Known) name(i int) string {
	return k.names[k.ends[i]:k.ends[i+1]]
}

func (k *Known) path(i uint32) string {
	name := k.name(int(i))
	return name[:len(name)-1]
}

func (k *Known) look(i int) (l look) {
	copy(l[:], k.looks[i*len(l):])
	return l
}

// Stands tells whether everything stands, and fills in the result that the proof was
// written with.
func (k *Known) Stands(result any) bool {
	return len(k.Changed) == 0 && json.Unmarshal(k.Result, result) == nil
}

func (a *inquiry) ask(k *cell.Kind, root, device string) (map[string]string, error) {
	with := k.With()
	err := json.Unmarshal(a.With, with)
	if err == nil && k.Check != nil {
		err = k.Check(root, device, with)
	}
	if err != nil || k.Identify == nil {
		return nil, err
	}
	return k.Identify(root, with)
}

// inChunks calls f with the numbers below n, several at a time.
func inChunks(n int, f func(i int) error) error {
	const chunk = 512
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < n; from += chunk {
		work.Go(func() error {
			for i := from; i < min(n, from+chunk); i++ {
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return work.Wait()
}
