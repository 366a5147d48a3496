// Package plan turns a study into cells with edges, draws the order in which
// measured cells run, and says of each cell whether a stored result stands and,
// where it does not, why.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan/graph"
	"barograph/pipeline/plan/pattern"
	"barograph/pipeline/record"
	"barograph/pipeline/source"
	"barograph/pipeline/store"
	"barograph/pipeline/study"

	"github.com/bmatcuk/doublestar/v4"
)

// A Plan is the cells of a study.
type Plan struct {
	Study *study.Study
	// Cells holds every cell in an order that runs: a cell stands after those it
	// needs, and a trial's background cells stand right before its foreground.
	Cells []*Cell
	// Order holds the foreground cells of measured kinds in the drawn order.
	Order []*Cell
	// Replayed is the folder of the recording that stands in for measuring.
	Replayed string
	// Graph is of all stages, also of those that a recording stands in for.
	Graph *cell.Graph

	// Rest is how many cells more the study has, of which each stands.
	Rest int

	byID  map[string]*Cell
	globs map[string][]string // patterns of inputs, with the files they matched
	known *Known              // of which the plan is a part; nil: it is whole
}

// A Cell is one stage at one point of its matrix.
type Cell struct {
	ID      string // infer[level=4,replicate=2]
	Stage   *study.Stage
	Point   cell.Point
	With    json.RawMessage
	Script  string
	GPU     *int     // that it is measured on; nil: any
	Files   []string // workspace files it reads, relative to the workspace
	Needs   []*Cell
	Gang    []*Cell // of a foreground cell: its background cells
	Trial   *Cell   // of a background cell: its foreground cell
	Outputs []string
	Publish []Place // where outputs go in the workspace, none of them twice
	Seed    uint64
	Design  string      // digest of all that a cell that records rests on
	Graph   *cell.Graph // of the other stages, for a kind that draws it
	// Given maps outputs to files of a recording; such a cell never runs.
	Given map[string]string

	basis *basis
	known *knownCell // of a plan that is a part
}

// A basis is what cells of one stage with the same parameters have in common.
type basis struct {
	with   json.RawMessage
	claims []cell.Claim
	parts  []store.Part // of their keys
}

// identity returns the parts of a cell's key that no other cell's result decides.
func (c *Cell) identity() []store.Part {
	parts := append(make([]store.Part, 0, len(c.basis.parts)+4), c.basis.parts...)
	outputs, _ := json.Marshal(c.Outputs) // strings always can be
	parts = append(parts, store.Part{Name: "outputs", Value: string(outputs)})
	if c.Stage.Kind.Script {
		parts = append(parts, store.Part{Name: "run", Value: c.Script})
	} else {
		parts = append(parts, store.Part{Name: "seed", Value: strconv.FormatUint(c.Seed, 10)})
	}
	slices.SortFunc(parts, func(x, y store.Part) int { return strings.Compare(x.Name, y.Name) })
	if c.Graph != nil {
		j, _ := json.Marshal(c.Graph)
		parts = append(parts, store.Part{Name: "graph", Value: string(j)})
	}
	if c.Design != "" {
		parts = append(parts, store.Part{Name: "design", Value: c.Design})
	}
	return parts
}

// Claims are those that the cell's stage judges.
func (c *Cell) Claims() []cell.Claim { return c.basis.claims }

// A Place is where an output goes in the workspace, see [record.Place].
type Place struct{ Output, To string }

// Place returns where an output goes; empty if it stays in the store.
func (c *Cell) Place(output string) string {
	for _, p := range c.Publish {
		if p.Output == output {
			return p.To
		}
	}
	return ""
}

// Input describes the cell to one that reads what it leaves; the files are not
// there yet.
func (c *Cell) Input() cell.Input {
	in := cell.Input{Stage: c.Stage.Name, Kind: c.Stage.Kind.Name, ID: c.ID, Point: c.Point, With: c.With, Seed: c.Seed, Files: map[string]string{}}
	if c.Trial != nil {
		in.During = c.Trial.ID
	}
	return in
}

// Foreground returns the cell of whose trial this one is.
func (c *Cell) Foreground() *Cell {
	if c.Trial != nil {
		return c.Trial
	}
	return c
}

// Name returns the cell's name within all studies.
func (p *Plan) Name(c *Cell) string { return p.Study.Name + "/" + c.ID }

// Cell returns a cell by its ID, or nil.
func (p *Plan) Cell(id string) *Cell { return p.byID[id] }

// Same tells whether two cells are decided by the same, their inputs apart.
func (c *Cell) Same(other *Cell) bool {
	return other != nil && slices.Equal(c.identity(), other.identity()) && slices.Equal(c.Files, other.Files)
}

// Build expands a study. Its errors are source.Errors: all there are, positioned.
func Build(s *study.Study) (*Plan, error) {
	b := newBuilder(s)
	p := &Plan{Study: s, byID: map[string]*Cell{}, globs: b.globs}
	for _, st := range s.Sorted {
		if st.Background {
			continue // made with the foreground cells they run during
		}
		for pt := range study.Points(st.Matrix) {
			c := b.make(st, pt, st.Name+pt.String())
			for _, name := range st.During {
				c.Gang = append(c.Gang, b.background(c, name)...)
			}
			if err := together(s, c); err != nil {
				b.fail(st, cell.HintOf(err), "stage %q: %v", st.Name, err)
			}
			p.Cells = append(append(p.Cells, c.Gang...), c)
		}
	}
	s.Unbind()
	count := map[*study.Stage]int{}
	for _, c := range p.Cells {
		count[c.Stage]++
	}
	p.Graph = graph.Of(s, count)
	b.published(p.Cells)
	if len(b.errs) > 0 {
		return nil, b.errs
	}
	for _, c := range p.Cells {
		p.byID[c.ID] = c
		if c.Stage.Kind.Graph {
			c.Graph = p.Graph.Without(c.Stage.Name)
		}
		if c.Stage.Kind.Publishes != nil {
			c.Design = design(c)
		}
	}
	p.Order = draw(s, p.Cells)
	return p, nil
}

// together asks the first kind that can tell whether a trial can be.
func together(s *study.Study, c *Cell) error {
	var gang []cell.Input
	var ask func(string, cell.Machine, []cell.Input) error
	for _, g := range append([]*Cell{c}, c.Gang...) {
		if gang = append(gang, g.Input()); ask == nil {
			ask = g.Stage.Kind.Together
		}
	}
	if ask == nil {
		return nil
	}
	m := s.Machine
	if c.GPU != nil {
		m = m.On(*c.GPU)
	}
	return ask(s.Root, m, gang)
}

type builder struct {
	study *study.Study
	cells map[string][]*Cell // by stage; of a background stage, all its trials'
	index map[indexKey]map[string][]*Cell
	alike map[parameters]*basis
	globs map[string][]string
	errs  source.Errors

	missing map[*Cell][]string // patterns of inputs that match nothing

	settings map[setOn]map[string]string
}

func newBuilder(s *study.Study) *builder {
	return &builder{study: s, cells: map[string][]*Cell{}, alike: map[parameters]*basis{}, globs: map[string][]string{}, settings: map[setOn]map[string]string{}, missing: map[*Cell][]string{}}
}

// A setOn is how a device is set, and the kind that asked.
type setOn struct {
	kind   *cell.Kind
	device string
}

// devices are those that a cell may be measured on.
func (c *Cell) devices(s *study.Study) (devices []string) {
	switch {
	case c.GPU != nil:
		return []string{s.Machine.On(*c.GPU).Device}
	case len(s.Pool) == 0:
		return []string{s.Machine.Device}
	}
	for _, gpu := range s.Pool {
		devices = append(devices, s.Machine.On(gpu).Device)
	}
	return devices
}

// set returns how the devices of a cell are set, by name. Of a pool, which of its GPUs
// measures does not matter, and where they are set unlike each setting counts.
func (b *builder) set(c *Cell) map[string]string {
	found := map[string][]string{}
	devices := c.devices(b.study)
	for _, device := range devices {
		on := setOn{c.Stage.Kind, device}
		if _, asked := b.settings[on]; !asked {
			b.settings[on] = c.Stage.Kind.Setting(device)
		}
		for name, v := range b.settings[on] {
			if !slices.Contains(found[name], v) {
				found[name] = append(found[name], v)
			}
		}
	}
	if c.GPU == nil && len(b.study.Pool) > 0 {
		delete(found, "GPU")
	}
	set := map[string]string{}
	for name, values := range found {
		slices.Sort(values)
		set[name] = strings.Join(values, " and ")
	}
	return set
}

func (b *builder) fail(st *study.Stage, hint, format string, args ...any) {
	e := st.Errorf(hint, format, args...)
	for _, have := range b.errs {
		if have.Pos == e.Pos && have.Msg == e.Msg {
			return // the same for every cell of the stage
		}
	}
	b.errs = append(b.errs, e)
}

func (b *builder) make(st *study.Stage, pt cell.Point, id string) *Cell {
	c := &Cell{ID: id, Stage: st, Point: pt, Seed: seed(b.study.Seed, id)}
	b.cells[st.Name] = append(b.cells[st.Name], c)
	bound, err := b.study.Bind(st, pt)
	if err != nil {
		b.add(st, err)
		return c
	}
	c.Script, c.GPU = bound.Script, bound.GPU
	for _, need := range st.Needs {
		c.Needs = append(c.Needs, b.matching(c, need)...)
	}
	if f := st.Kind.Outputs; f != nil {
		c.Outputs = append(c.Outputs, f(bound.With)...)
	}
	publish := bound.Outputs // shared: not to be changed
	if f := st.Kind.Publishes; f != nil {
		publish = slices.Concat(publish, f(b.study.Name, b.study.Machine.Name, bound.With))
	}
	c.Outputs = slices.Grow(c.Outputs, len(publish))
	c.Publish = make([]Place, 0, len(publish))
	for _, path := range publish {
		path = filepath.Clean(path)
		c.Outputs = append(c.Outputs, path)
		if c.Place(path) == "" {
			c.Publish = append(c.Publish, Place{path, record.Place(b.study.Name, b.study.Machine.Name, path)})
		}
	}
	with, err := json.Marshal(bound.With)
	if err != nil {
		b.fail(c.Stage, "", "parameters of %s: %v", c.ID, err)
	}
	these := parameters{st, string(with), -1}
	if c.GPU != nil {
		these.gpu = *c.GPU
	}
	if c.basis = b.alike[these]; c.basis == nil {
		c.basis = b.share(c, bound, with)
		b.alike[these] = c.basis
	}
	c.With = c.basis.with
	b.files(c, bound.Inputs)
	b.spare(c)
	return c
}

// spare refuses a shell line that sends output into one of its inputs: that is the
// workspace's own file, and a shell has emptied it before the line can read it.
func (b *builder) spare(c *Cell) {
	for _, rest, more := strings.Cut(c.Script, ">"); more; _, rest, more = strings.Cut(rest, ">") {
		word := strings.TrimLeft(rest, ">| \t\"'")
		if i := strings.IndexAny(word, " \t\n\"';|&<>()"); i >= 0 {
			word = word[:i]
		}
		word = filepath.Clean(word)
		given := slices.Contains(c.Files, word)
		for _, n := range c.Needs {
			given = given || slices.ContainsFunc(n.Publish, func(p Place) bool { return p.Output == word })
		}
		if given {
			b.fail(c.Stage, "write to a file of another name, and name that under outputs:", "the line of %s writes to %s, which it is given to read", c.ID, word)
			return
		}
	}
}

// Parameters are those of cells of a stage, and the GPU that these are measured on.
type parameters struct {
	stage *study.Stage
	with  string // JSON
	gpu   int    // -1 for any
}

// share collects what decides the results of cells besides what is a cell's own.
func (b *builder) share(c *Cell, bound *study.Binding, with json.RawMessage) *basis {
	kind := c.Stage.Kind
	sh := &basis{with: with, claims: b.claims(c.Stage)}
	add := func(name, value string) { sh.parts = append(sh.parts, store.Part{Name: name, Value: value}) }
	add("kind", kind.Name+" "+kind.Version)
	var fields map[string]json.RawMessage
	if json.Unmarshal(sh.with, &fields) == nil {
		for name, v := range fields {
			add("with."+name, string(v))
		}
	} else {
		add("with", string(sh.with))
	}
	if !kind.Script {
		m, _ := json.Marshal(b.study.Machine)
		add("machine", string(m))
	}
	switch {
	case c.GPU != nil:
		add("gpu", strconv.Itoa(*c.GPU))
	case kind.Measured && len(b.study.Pool) > 0:
		add("pool", "any of "+b.study.Cards())
	}
	if n := b.study.Sharing; kind.Measured && n > 0 { // of one with more, it was measured on fewer processors
		add("processors", fmt.Sprintf("shared by %d GPUs", n))
	}
	for name, v := range c.Stage.Env {
		add("env "+name, v)
	}
	if kind.Measured && kind.Setting != nil {
		for name, v := range b.set(c) {
			add("device: "+name, v)
		}
	}
	if kind.Identify != nil {
		more, err := kind.Identify(b.study.Root, bound.With)
		if err != nil {
			b.add(c.Stage, err)
		}
		for name, v := range more {
			add(name, v)
		}
	}
	if len(sh.claims) > 0 {
		j, _ := json.Marshal(sh.claims)
		add("claims", string(j))
	}
	return sh
}

// design digests what decided the cells that c rests on, and c itself: the part
// of the study that a recording depends on.
func design(c *Cell) string {
	h := sha256.New()
	seen := map[*Cell]bool{}
	var visit func(*Cell)
	visit = func(c *Cell) {
		if seen[c] {
			return
		}
		seen[c] = true
		for _, n := range slices.Concat(c.Needs, c.Gang) {
			visit(n)
		}
		fmt.Fprintf(h, "%q %s\n", c.ID, keyOf(c.identity()))
	}
	visit(c)
	return hex.EncodeToString(h.Sum(nil))
}

func (b *builder) claims(st *study.Stage) []cell.Claim {
	var judged []cell.Claim
	for _, cl := range b.study.Claims {
		if cl.JudgedBy == st.Name {
			judged = append(judged, cl)
		}
	}
	return judged
}

// files finds the workspace files a cell reads: those its globs match, and
// those of its notebook. What its needs publish is added when it is keyed.
func (b *builder) files(c *Cell, globs []string) {
	if nb := c.Stage.Notebook; nb != "" {
		globs = slices.Concat(globs, []string{filepath.Join(nb, "**")})
	}
	made := map[string]bool{}
	for _, n := range c.Needs {
		for _, p := range n.Publish {
			made[p.Output] = true
		}
	}
	for _, glob := range globs {
		glob = filepath.ToSlash(filepath.Clean(glob))
		matches, err := b.glob(glob)
		if err != nil {
			b.fail(c.Stage, "", "input %q of %s: %v", glob, c.ID, err)
			continue
		}
		fromNeeds := false
		for path := range made {
			if ok, _ := doublestar.Match(glob, filepath.ToSlash(path)); ok {
				fromNeeds = true
			}
		}
		if len(matches) == 0 && !fromNeeds {
			b.missing[c] = append(b.missing[c], glob)
		}
		for _, m := range matches {
			if !made[m] {
				c.Files = append(c.Files, m)
			}
		}
	}
	slices.Sort(c.Files)
}

// glob returns the workspace's files that a pattern matches.
func (b *builder) glob(text string) ([]string, error) {
	if matches, ok := b.globs[text]; ok {
		return matches, nil
	}
	matches, err := pattern.Files(b.study.Root, text)
	if err == nil && pattern.Is(text) {
		b.globs[text] = matches
	}
	return matches, err
}

// published checks that no two cells publish one path, that no cell reads what
// another publishes without needing it, and that every input exists.
func (b *builder) published(cells []*Cell) {
	by, called := map[string]*Cell{}, map[string]*Cell{} // by place, and by the output's name
	for _, c := range cells {
		for _, p := range c.Publish {
			if other := by[p.To]; other != nil {
				b.fail(c.Stage, "give each cell its own path, for example with ${{ level }} in it", "%s and %s both write %s", other.ID, c.ID, p.To)
			}
			by[p.To], called[p.Output] = c, c
		}
	}
	for path, c := range by {
		for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
			if other := by[dir]; other != nil {
				b.fail(c.Stage, "rename one of them", "%s writes %s, where %s would write a file %s", c.ID, path, other.ID, dir)
			}
		}
	}
	for _, c := range cells {
		for i := 0; i < len(c.Files); i++ {
			maker := by[c.Files[i]]
			if maker == nil {
				maker = called[c.Files[i]]
			}
			if maker == c {
				c.Files = append(c.Files[:i], c.Files[i+1:]...) // its own output of an earlier run
				i--
			} else if maker != nil {
				b.fail(c.Stage, "add needs: ["+maker.Stage.Name+"]", "%s reads %s, which %s writes, but does not need it", c.ID, c.Files[i], maker.ID)
			}
		}
		for _, glob := range b.missing[c] {
			hint := "make the file, or add the stage that writes it to needs:"
			for path, maker := range called {
				if ok, _ := doublestar.Match(glob, filepath.ToSlash(path)); ok {
					hint = "add needs: [" + maker.Stage.Name + "]"
				}
			}
			b.fail(c.Stage, hint, "input %q of %s matches no file", glob, c.ID)
		}
	}
}

func (b *builder) add(st *study.Stage, err error) {
	switch e := err.(type) {
	case *source.Error:
		b.errs = append(b.errs, e)
	case source.Errors:
		b.errs = append(b.errs, e...)
	default:
		b.fail(st, cell.HintOf(err), "stage %q: %v", st.Name, err)
	}
}

type indexKey struct{ stage, axes string }

// matching returns the cells of a stage that agree with c on every axis both
// have.
func (b *builder) matching(c *Cell, stage string) []*Cell {
	all := b.cells[stage]
	if len(all) == 0 || len(c.Point) == 0 || len(all[0].Point) == 0 {
		return all
	}
	var shared []string
	for _, co := range c.Point {
		if _, ok := all[0].Point.Get(co.Axis); ok {
			shared = append(shared, co.Axis)
		}
	}
	if len(shared) == 0 {
		return all
	}
	project := func(p cell.Point) string {
		var s strings.Builder
		for _, axis := range shared {
			v, _ := p.Get(axis)
			fmt.Fprintf(&s, "%v\x00", v)
		}
		return s.String()
	}
	key := indexKey{stage, strings.Join(shared, "\x00")}
	if b.index[key] == nil {
		if b.index == nil {
			b.index = map[indexKey]map[string][]*Cell{}
		}
		by := map[string][]*Cell{}
		for _, x := range all {
			by[project(x.Point)] = append(by[project(x.Point)], x)
		}
		b.index[key] = by
	}
	return b.index[key][project(c.Point)]
}

// background makes the cells of a background stage for one trial: those of the
// stage's points that agree with the foreground cell on the axes both have.
func (b *builder) background(fg *Cell, stage string) []*Cell {
	st := b.study.Stage(stage)
	var made []*Cell
	for pt := range study.Points(st.Matrix) {
		if !slices.ContainsFunc(pt, func(co cell.Coordinate) bool {
			v, ok := fg.Point.Get(co.Axis)
			return ok && v != co.Value
		}) {
			g := b.make(st, pt, st.Name+pt.String()+"@"+fg.ID)
			g.Trial = fg
			made = append(made, g)
		}
	}
	return made
}

// Replay lets a recording stand in for measuring: cells that write into the
// recording's folder are given its files, and what only they need is dropped.
// Figures of a recording that came with the workspace, data/<study>/<name>, go to
// figures/<study>/<name>/ beside it; those of any other, where a run's go.
func (p *Plan) Replay(dir string) error {
	p.Replayed = dir
	drawn := record.Place(p.Study.Name, p.Study.Machine.Name, "figures/") + string(filepath.Separator)
	figures := record.Figures(p.Study.Root, dir, p.Study.Name, p.Study.Machine.Name)
	needed := map[*Cell]bool{}
	for i := len(p.Cells) - 1; i >= 0; i-- {
		c := p.Cells[i]
		if c.Stage.Kind.Publishes != nil {
			c.Given = map[string]string{}
			for _, name := range c.Outputs {
				c.Given[name] = record.Path(filepath.Join(dir, filepath.Base(name)))
			}
			c.Needs, needed[c] = nil, true
			if agree := c.Stage.Kind.Agree; agree != nil {
				if err := agree(c.Given); err != nil {
					return fmt.Errorf("replay %s: %w", dir, err)
				}
			}
			continue
		}
		if c.Stage.Kind.Measured {
			if needed[c] {
				return fmt.Errorf("replay %s: %s is read directly, and a recording holds collected results only", dir, c.ID)
			}
			continue
		}
		needed[c] = true
		for _, n := range c.Needs {
			if n.Stage.Kind.Publishes == nil {
				needed[n] = true
			}
		}
		for i, place := range c.Publish {
			if rest, ok := strings.CutPrefix(place.To, drawn); ok {
				c.Publish[i].To = filepath.Join(figures, rest)
			}
		}
	}
	p.Cells = slices.DeleteFunc(p.Cells, func(c *Cell) bool { return !needed[c] })
	p.Order = nil
	return nil
}

// Only drops the cells that no cell of these stages needs.
func (p *Plan) Only(stages map[string]bool) {
	needed := map[*Cell]bool{}
	for _, c := range slices.Backward(p.Cells) {
		if !needed[c] && !stages[c.Stage.Name] {
			continue
		}
		needed[c] = true
		for _, n := range slices.Concat(c.Needs, c.Gang) {
			needed[n] = true
		}
	}
	dropped := func(c *Cell) bool { return !needed[c] }
	p.Cells, p.Order = slices.DeleteFunc(p.Cells, dropped), slices.DeleteFunc(p.Order, dropped)
}

// draw puts the measured foreground cells in the order they run: stage after
// stage as the edges demand; within a stage block by block, each block's cells
// shuffled; the baseline first in the first block, in the middle of the middle
// one and last in the last.
func draw(s *study.Study, cells []*Cell) []*Cell {
	var order []*Cell
	byStage := map[*study.Stage][]*Cell{}
	var stages []*study.Stage
	for _, c := range cells {
		if c.Trial == nil && c.Stage.Kind.Measured {
			if byStage[c.Stage] == nil {
				stages = append(stages, c.Stage)
			}
			byStage[c.Stage] = append(byStage[c.Stage], c)
		}
	}
	for _, st := range stages {
		rng := rand.New(rand.NewPCG(s.Seed, seed(s.Seed, "order of "+st.Name)))
		var blocks [][]*Cell
		at := map[any]int{}
		for _, c := range byStage[st] {
			v, _ := c.Point.Get(s.Order.Block)
			i, ok := at[v]
			if !ok {
				i = len(blocks)
				at[v] = i
				blocks = append(blocks, nil)
			}
			blocks[i] = append(blocks[i], c)
		}
		for i, block := range blocks {
			rng.Shuffle(len(block), func(i, j int) { block[i], block[j] = block[j], block[i] })
			for j, c := range block {
				if !isBaseline(s, c) {
					continue
				}
				to := -1
				switch i {
				case 0:
					to = 0
				case len(blocks) - 1:
					to = len(block) - 1
				case len(blocks) / 2:
					to = len(block) / 2
				}
				if to >= 0 {
					copy(block[j:], block[j+1:])
					copy(block[to+1:], block[to:len(block)-1])
					block[to] = c
				}
				break
			}
		}
		for _, block := range blocks {
			order = append(order, block...)
		}
	}
	return order
}

// Baseline tells whether a cell is what others of its study are compared with.
func (p *Plan) Baseline(c *Cell) bool { return isBaseline(p.Study, c) }

func isBaseline(s *study.Study, c *Cell) bool {
	at := s.Order.Baseline
	return len(at) > 0 && !slices.ContainsFunc(at, func(co cell.Coordinate) bool {
		v, ok := c.Point.Get(co.Axis)
		return !ok || v != co.Value
	})
}

// seed derives a cell's seed from the study's and the cell's name.
func seed(study uint64, name string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", study, name)
	return h.Sum64()
}
