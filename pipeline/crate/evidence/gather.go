// Package evidence gathers from a plan and its store what a crate says of a study, and
// the files that it holds.
package evidence

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/crate"
	"barograph/pipeline/machine"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
	"barograph/pipeline/study"

	"gopkg.in/yaml.v3"
)

// How much of what cells left a crate holds.
const (
	WithNone    = "none"    // the recording alone
	WithFigures = "figures" // and what was published
	WithObjects = "objects" // and every output in the store
)

// Options are what a crate says besides what the plan does.
type Options struct {
	Profile string
	With    string
	Agent   crate.Agent
	Licence string
	Site    string
}

// A gathering collects the files of a crate.
type gathering struct {
	plan    *plan.Plan
	decider *plan.Decider
	store   *store.Store
	with    string
	state   crate.State
	docs    map[string]crate.Document // by path in the crate
	named   map[string]bool           // cells that stand in the state

	failures map[string]store.Failure // by key
}

// Gather says what stands of a plan, with the files that a crate of it holds.
func Gather(p *plan.Plan, d *plan.Decider, s *store.Store, opt Options) (*crate.State, []crate.Document, error) {
	g := &gathering{plan: p, decider: d, store: s, with: opt.With, docs: map[string]crate.Document{}, named: map[string]bool{}}
	g.state = crate.State{Format: crate.Format, Profile: opt.Profile, Machine: p.Study.Machine, Program: record.Build(), Agent: opt.Agent, Licence: opt.Licence, Site: opt.Site}
	var err error
	if g.failures, err = s.Failures(); err != nil {
		return nil, nil, fmt.Errorf("gather the crate: %w", err)
	}
	for _, step := range []func() error{g.study, g.workspace, g.cells, g.claims, g.files} {
		if err := step(); err != nil {
			return nil, nil, fmt.Errorf("gather the crate: %w", err)
		}
	}
	docs := slices.SortedFunc(maps.Values(g.docs), func(a, b crate.Document) int { return strings.Compare(a.Path, b.Path) })
	return &g.state, docs, nil
}

// keep adds a file. Two of one path must be one.
func (g *gathering) keep(to string, doc crate.Document) error {
	to = filepath.ToSlash(filepath.Clean(to))
	if !filepath.IsLocal(to) || slices.Contains([]string{crate.Metadata, crate.Provenance, record.Sums, crate.Readme}, to) || strings.HasPrefix(to, crate.Assessments+"/") {
		return fmt.Errorf("%s cannot lie in a crate under that name", to)
	}
	doc.Path = to
	if doc.Digest == "" {
		digest, err := g.store.Digest(doc.From)
		if err != nil {
			return err
		}
		doc.Digest = digest
	}
	if have, ok := g.docs[to]; ok && have.Digest != doc.Digest {
		return fmt.Errorf("%s is two files: %s and %s", to, have.From, doc.From)
	}
	g.docs[to] = doc
	return nil
}

// local returns a path below the workspace as the crate has it.
func (g *gathering) local(file string) string {
	if rel, err := filepath.Rel(g.plan.Study.Root, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return "configs/" + filepath.Base(file)
}

func (g *gathering) study() error {
	st := g.plan.Study
	file, err := filepath.Abs(st.File)
	if err != nil {
		return err
	}
	root := g.plan.Study.Root
	g.state.Study = crate.Study{Name: st.Name, Doc: st.Doc, File: g.local(file), Digest: st.Digest, Seed: st.Seed}
	if err := g.keep(g.state.Study.File, crate.Document{From: file}); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	used := uses(text)
	for name, v := range crate.Sorted(st.Params) {
		j, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
		p := crate.Parameter{Name: name, Value: j, Used: used[name]}
		g.state.Study.Params = append(g.state.Study.Params, p)
	}
	for _, s := range st.Stages {
		g.state.Stages = append(g.state.Stages, crate.Stage{Name: s.Name, Kind: s.Kind.Name, Version: s.Kind.Version, Doc: s.Kind.Doc, Background: s.Background, Measured: s.Kind.Measured, Needs: s.Needs, During: s.During})
		if s.Notebook != "" {
			if err := g.folder(filepath.Join(root, s.Notebook)); err != nil {
				return err
			}
		}
		if s.Kind.Files != nil && g.with != WithNone {
			if err := g.parameters(s); err != nil {
				return fmt.Errorf("files of stage %s: %w", s.Name, err)
			}
		}
	}
	return nil
}

// parameters keeps the files that a stage's parameters name, at any point of its matrix.
func (g *gathering) parameters(s *study.Stage) error {
	st := g.plan.Study
	seen := map[*study.Binding]bool{}
	for pt := range study.Points(s.Matrix) {
		bound, err := st.Bind(s, pt)
		if err != nil {
			return err
		}
		if seen[bound] {
			continue
		}
		seen[bound] = true
		files, err := s.Kind.Files(st.Root, bound.With)
		if err != nil {
			return err
		}
		for _, file := range files {
			rel, err := filepath.Rel(st.Root, file)
			if err != nil || !filepath.IsLocal(rel) {
				if !slices.Contains(g.state.LeftOut, file) {
					g.state.LeftOut = append(g.state.LeftOut, file)
				}
				continue
			}
			if err := g.keep(rel, crate.Document{From: file}); err != nil {
				return err
			}
		}
	}
	return nil
}

// uses finds, for each parameter of a study, the parameters of stages whose value
// names it, straight or through an axis of the stage's matrix.
func uses(text []byte) map[string][]string {
	var doc struct {
		Params map[string]yaml.Node
		Stages map[string]struct {
			Matrix map[string]yaml.Node
			With   map[string]yaml.Node
		}
	}
	used := map[string][]string{}
	if yaml.Unmarshal(text, &doc) != nil {
		return used // a study that was read otherwise than as plain YAML: nothing is claimed
	}
	for stage, body := range crate.Sorted(doc.Stages) {
		through := map[string][]string{}
		for axis, node := range body.Matrix {
			through[axis] = words(&node)
		}
		for name, node := range crate.Sorted(body.With) {
			for _, word := range words(&node) {
				for _, param := range append(slices.Clone(through[word]), word) {
					if _, ok := doc.Params[param]; ok && !slices.Contains(used[param], stage+"."+name) {
						used[param] = append(used[param], stage+"."+name)
					}
				}
			}
		}
	}
	return used
}

var (
	formula = regexp.MustCompile(`\$\{\{(.*?)\}\}`)
	word    = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
)

// words are the names in the expressions of a value.
func words(n *yaml.Node) (all []string) {
	for _, m := range formula.FindAllStringSubmatch(n.Value, -1) {
		all = append(all, word.FindAllString(m[1], -1)...)
	}
	for _, below := range n.Content {
		all = append(all, words(below)...)
	}
	return all
}

// folder keeps the files of a folder of the workspace, if it is there.
func (g *gathering) folder(dir string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		return g.keep(g.local(file), crate.Document{From: file})
	})
}

// workspace keeps what the study is read with: machines, models, what is cited, and
// what is expected of claims.
func (g *gathering) workspace() error {
	root := g.plan.Study.Root
	for _, dir := range []string{machine.Folder, "configs/models"} {
		if err := g.folder(filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	for _, name := range []string{"CITATION.cff", "LICENSE", "data/claims.yaml"} {
		if info, err := os.Stat(filepath.Join(root, name)); err == nil && info.Mode().IsRegular() {
			if err := g.keep(name, crate.Document{From: filepath.Join(root, name)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *gathering) cells() error {
	for _, c := range g.plan.Cells {
		dec := g.decider.Of(c)
		switch {
		case c.Given != nil:
			if err := g.recorded(c); err != nil {
				return err
			}
		case dec != nil && dec.State == plan.Stands:
			if err := g.stands(c, dec); err != nil {
				return err
			}
		default:
			g.missing(c, dec)
		}
	}
	g.state.Cells = slices.DeleteFunc(g.state.Cells, func(c crate.Cell) bool { return c.ID == "" })
	return nil
}

// missing notes a cell without a result; one that failed ran all the same.
func (g *gathering) missing(c *plan.Cell, dec *plan.Decision) {
	reason := "not decided"
	if dec != nil {
		reason = dec.State.String()
		if dec.Reason != "" {
			reason += ": " + dec.Reason
		}
		if f, ok := g.failures[dec.Key]; ok && dec.Key != "" {
			made := g.base(c)
			made.Key, made.Error = dec.Key, f.Error
			made.Started = time.Unix(0, f.Started).UTC()
			made.Ended = made.Started.Add(f.Wall)
			g.add(made)
			reason = "failed: " + f.Error
		}
	}
	g.state.NotRun = append(g.state.NotRun, crate.NotRun{ID: c.ID, Reason: reason})
}

func (g *gathering) add(c crate.Cell) {
	g.named[c.ID] = true
	g.state.Cells = append(g.state.Cells, c)
	if c.Ended.After(g.state.Published) {
		g.state.Published = c.Ended
	}
}

// base is what a plan says of a cell.
func (g *gathering) base(c *plan.Cell) crate.Cell {
	made := crate.Cell{ID: c.ID, Stage: c.Stage.Name, With: c.With, Env: c.Stage.Env}
	if c.Script != "" {
		made.Script, _ = json.Marshal(c.Script) // a string always can be
	}
	for _, need := range c.Needs {
		if g.named[need.ID] {
			made.Needs = append(made.Needs, need.ID)
		}
	}
	for _, file := range c.Files {
		to := filepath.ToSlash(file)
		if g.keep(to, crate.Document{From: filepath.Join(g.plan.Study.Root, file)}) == nil {
			made.Inputs = append(made.Inputs, to)
		}
	}
	if nb := c.Stage.Notebook; nb != "" {
		if main := path.Join(filepath.ToSlash(nb), "main.go"); !slices.Contains(made.Inputs, main) {
			made.Inputs = append(made.Inputs, main)
		}
	}
	return made
}

// stands adds a cell with a stored result.
func (g *gathering) stands(c *plan.Cell, dec *plan.Decision) error {
	r := dec.Record
	made := g.base(c)
	made.Key = dec.Key
	made.Started = time.Unix(0, r.Started).UTC()
	made.Ended = made.Started.Add(r.Wall)
	detail, err := g.store.Detail(r)
	if err != nil { // it says nothing against the result
		made.Warnings = append(made.Warnings, err.Error())
	}
	made.Warnings = append(made.Warnings, detail.Warnings...)
	for _, part := range detail.Parts {
		if own := partOf(part.Name); own != "" {
			made.Parts = append(made.Parts, store.Part{Name: own, Value: part.Value})
		}
	}
	for _, f := range r.Files {
		out := crate.Output{Name: f.Name, Digest: f.Digest, Size: f.Size}
		switch to := g.place(c, f.Name); {
		case to != "":
			out.Path = to
		case g.with == WithObjects:
			out.Path = crate.Objects + f.Digest[:2] + "/" + f.Digest
		}
		if out.Path != "" {
			if err := g.keep(out.Path, crate.Document{From: g.store.Object(f.Digest), Digest: f.Digest}); err != nil {
				return err
			}
			out.Path = filepath.ToSlash(filepath.Clean(out.Path))
		}
		made.Outputs = append(made.Outputs, out)
	}
	g.add(made)
	if c.Stage.Kind.Publishes != nil {
		files := map[string]string{}
		for _, f := range r.Files {
			files[f.Name] = g.store.Object(f.Digest)
		}
		return g.recording(c, files)
	}
	return nil
}

// partOf names a part of a key that no other property of a cell tells; empty for the
// others.
func partOf(name string) string {
	for _, told := range []string{"with", "run", "env ", "output", "file ", "kind", "during ", "graph"} {
		if strings.HasPrefix(name, told) {
			return ""
		}
	}
	return name
}

// place returns where in the crate a published output goes; empty for one that the
// crate leaves out.
func (g *gathering) place(c *plan.Cell, name string) string {
	to := c.Place(name)
	if to == "" || g.with == WithNone && c.Stage.Kind.Publishes == nil {
		return ""
	}
	return strings.TrimPrefix(filepath.ToSlash(to), record.Results+"/")
}

// recorded adds the cells that a recording tells of, and keeps its files.
func (g *gathering) recorded(c *plan.Cell) error {
	st := g.plan.Study
	ended, by := dated(filepath.Join(g.plan.Replayed, record.Run))
	made := crate.Cell{ID: c.ID, Stage: c.Stage.Name, With: c.With, Recorded: true, Ended: ended, By: by}
	at := len(g.state.Cells)
	g.state.Cells = append(g.state.Cells, crate.Cell{})
	for _, name := range c.Outputs {
		from := c.Given[name]
		to := path.Join(filepath.ToSlash(record.Dir(st.Name, st.Machine.Name)), filepath.Base(from))
		if err := g.keep(to, crate.Document{From: from}); err != nil {
			return err
		}
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		made.Outputs = append(made.Outputs, crate.Output{Name: name, Path: to, Digest: g.docs[to].Digest, Size: info.Size()})
	}
	if err := g.recording(c, c.Given); err != nil {
		return err
	}
	for i := at + 1; i < len(g.state.Cells); i++ {
		one := &g.state.Cells[i]
		one.Ended, one.By = ended, by
		made.Needs = append(made.Needs, one.ID)
	}
	g.add(made)
	return nil
}

// recording takes from a recording what it says of cells: all, where they are known
// from nothing else.
func (g *gathering) recording(c *plan.Cell, files map[string]string) error {
	st := g.plan.Study
	g.state.Recording = filepath.ToSlash(record.Dir(st.Name, st.Machine.Name))
	for name, file := range files {
		if filepath.Base(name) != record.Run {
			continue
		}
		var head record.Head
		if err := cell.ReadJSON(file, &head); err != nil {
			return err
		}
		g.state.Environment = &head.Environment
	}
	if c.Stage.Kind.Recorded == nil {
		return nil
	}
	all, err := c.Stage.Kind.Recorded(files)
	if err != nil {
		return err
	}
	for _, one := range all {
		i := slices.IndexFunc(g.state.Cells, func(c crate.Cell) bool { return c.ID == one.ID })
		if i < 0 {
			g.add(crate.Cell{ID: one.ID, Stage: one.Stage, With: one.With, Recorded: true, Timed: one.Timed})
			i = len(g.state.Cells) - 1
		}
		g.state.Cells[i].Software, g.state.Cells[i].Facts = one.Software, one.Facts
	}
	return nil
}

// claims takes the verdicts of what stands.
func (g *gathering) claims() error {
	said := map[string]cell.Verdict{}
	figures := []string{}
	for _, c := range g.plan.Cells {
		dec := g.decider.Of(c)
		if c.Given != nil || dec == nil || dec.State != plan.Stands {
			continue
		}
		for _, f := range dec.Record.Files {
			if to := g.place(c, f.Name); path.Ext(to) == ".svg" {
				figures = append(figures, to)
			}
			if f.Name != c.Stage.Kind.Verdicts || f.Name == "" {
				continue
			}
			var verdicts []cell.Verdict
			if err := cell.ReadJSON(g.store.Object(f.Digest), &verdicts); err != nil {
				return fmt.Errorf("verdicts of %s: %w", c.ID, err)
			}
			for _, v := range verdicts {
				said[v.ID] = v
			}
		}
	}
	for _, c := range g.plan.Study.Claims {
		v := said[c.ID]
		g.state.Claims = append(g.state.Claims, crate.Claim{Claim: c, Verdict: v.Verdict, Because: v.Because, Figures: figures})
	}
	return nil
}

// files writes the page to read first, and lists all.
func (g *gathering) files() error {
	s := &g.state
	if s.Published.IsZero() {
		return cell.Hint(errors.New("no cell of the study has run"), "run the study first")
	}
	page := crate.Document{Path: crate.Readme, Bytes: readme(s)}
	page.Digest = crate.Digest(page.Bytes)
	g.docs[crate.Readme] = page
	for name, doc := range crate.Sorted(g.docs) {
		size := int64(len(doc.Bytes))
		if doc.Bytes == nil {
			info, err := os.Stat(doc.From)
			if err != nil {
				return err
			}
			size = info.Size()
		}
		s.Files = append(s.Files, crate.File{Path: name, Digest: doc.Digest, Size: size})
	}
	return nil
}

// readme is the page to read first.
func readme(s *crate.State) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Study %s on %s\n\n%s\n\n", s.Study.Name, s.Machine.Name, cmp.Or(strings.TrimSpace(s.Study.Doc), "Results, and what made them."))
	if s.Machine.Device == "sim" {
		b.WriteString("Every number here is simulated, none is measured.\n\n")
	}
	b.WriteString("| claim | verdict | because |\n|---|---|---|\n")
	for _, c := range s.Claims {
		fmt.Fprintf(&b, "| %s: %s | %s | %s |\n", c.ID, c.Says, cmp.Or(c.Verdict, "not judged"), c.Because)
	}
	fmt.Fprintf(&b, `
This is a Workflow Run RO-Crate, and a workspace of Barograph. With the program
on the path, where the file or folder is:

    barograph verify CRATE              # every file is as it was written
    barograph verify CRATE --claim C1   # judge a claim again, by the recording here
    barograph verify CRATE --measure    # measure on this computer, and compare

Within the folder, `+"`barograph run %s", s.Study.File)
	if s.Recording != "" {
		fmt.Fprintf(&b, " --replay %s", s.Recording)
	}
	b.WriteString("`" + ` draws the figures again.
`)
	if len(s.NotRun) > 0 {
		fmt.Fprintf(&b, "\n%d cells have no result; the first is %s (%s).\n", len(s.NotRun), s.NotRun[0].ID, s.NotRun[0].Reason)
	}
	for _, file := range s.LeftOut {
		fmt.Fprintf(&b, "\n%s, which the study names, lay outside of the workspace and is not here.\n", file)
	}
	return []byte(b.String())
}

// committed asks version control when a file last changed.
func committed(file string) (time.Time, error) {
	git := exec.Command("git", "-C", filepath.Dir(file), "log", "-1", "--format=%cI", "--", filepath.Base(file))
	out, err := git.Output()
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, strings.TrimSpace(string(out)))
}

// dated says when a file that came with the workspace was there at the latest: when it
// was last committed or, without version control, last written.
func dated(file string) (at time.Time, by string) {
	if at, err := committed(file); err == nil {
		return at.UTC(), "the commit that brought the recording"
	}
	if info, err := os.Stat(file); err == nil {
		return info.ModTime().UTC().Truncate(time.Millisecond), "the time of its file"
	}
	return time.Time{}, "nothing"
}
