// Package report writes a study's page: the question, the stages, the machine,
// when each trial ran, every claim with its verdict, every figure, the
// distributions to read values off, the notebooks, and how to make it all again.
//
// A report runs nothing. It shows what the store and a recording hold, says what
// is missing, and is the same, byte for byte, for as long as they are. The page
// is one file and needs no network. Given several machines it puts them side by
// side.
package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/citation"
	"barograph/pipeline/page"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

var (
	//go:embed report.html
	document string
	//go:embed report.css
	style string
)

var layout = template.Must(template.New("report").Funcs(template.FuncMap{
	"class":  func(verdict string) string { return strings.ReplaceAll(verdict, " ", "-") },
	"size":   page.Size,
	"blocks": page.Blocks,
	"rows":   rows,
}).Parse(document))

// A Side is a study on one machine.
type Side struct {
	Machine   cell.Machine
	Head      *record.Head // nil where nothing was measured yet
	Replayed  string       // the recording's folder, where it stood in for measuring
	Verdicts  []cell.Verdict
	Summaries []string
	Figures   []Figure
	Notebooks []Notebook
	Missing   []string // cells without a standing result
	Notices   [][2]string
	Doubts    []string
	Measuring time.Duration // all that the stored results took
	Drawing   time.Duration // of it, what did not measure
	Span      [2]int64      // when what was measured here began and ended, Unix time in nanoseconds; 0 where that is not known

	plan     *plan.Plan
	pages    []*cell.Page
	embedded int // bytes of files
}

// Later tells whether some figures are drawn only when they are looked at.
func (s *Side) Later() bool { return len(s.Figures) > drawnFirst }

// Measured says where, when and from what what the side shows was measured.
func (s *Side) Measured() string {
	verb, on := "Measured", strings.TrimSuffix(s.Machine.Name+": "+s.Machine.Description, ": ")
	if s.Simulated() {
		verb = "SIMULATED, not measured,"
	}
	text := fmt.Sprintf("%s on %s", verb, on)
	if s.Span[0] > 0 {
		at := func(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05") }
		text += fmt.Sprintf(", from %s to %s UTC", at(s.Span[0]), at(s.Span[1]))
	}
	if s.Replayed != "" {
		text += fmt.Sprintf(", as the recording %s holds it, which does not say when", s.folder())
	}
	return text + "."
}

// Simulated tells whether the side's numbers come from a model.
func (s *Side) Simulated() bool {
	return slices.ContainsFunc(s.Notices, func(n [2]string) bool { return n[0] == "SIMULATED" })
}

var gap = regexp.MustCompile(`  +`)

// rows cuts a table laid out with spaces into cells, which a narrow page can wrap.
func rows(table string) (cells [][]string) {
	for _, line := range strings.Split(table, "\n") {
		cells = append(cells, gap.Split(strings.TrimSpace(line), -1))
	}
	return cells
}

// Section returns what cells say in a section.
func (s *Side) Section(name string) (all template.HTML) {
	for _, p := range s.pages {
		all += template.HTML(p.Sections[name])
	}
	return all
}

// A Figure is an output that can be looked at.
type Figure struct {
	ID     string // of its element, unique on the page
	Name   string // its path without the extension
	SVG    template.HTML
	Files  []File
	Took   time.Duration
	Cell   string       // that drew it
	Key    string       // of that cell's result
	Digest string       // SHA-256 of the SVG
	Inputs []store.Part // what the cell read, each with its SHA-256

	cell *plan.Cell
}

// A File is an output that the page hands out.
type File struct {
	Name string
	Size int64
	Link template.URL
}

// A Notebook is what a cell says of itself.
type Notebook struct {
	Stage, Source string
	Body          template.HTML
}

// What is written into the page.
const (
	maxEmbedded = 4 << 20  // bytes of a file
	maxTogether = 16 << 20 // bytes of all files of a side, pictures aside
	drawnFirst  = 12       // figures of a side; the others are drawn when they are looked at
)

// Collect reads what a plan's standing results hold. name is unique among the
// sides of a page.
func Collect(name string, p *plan.Plan, d *plan.Decider, s *store.Store) (*Side, error) {
	side := &Side{Machine: p.Study.Machine, Replayed: p.Replayed, plan: p}
	for _, c := range p.Cells {
		dec := d.Of(c)
		if dec == nil || dec.State != plan.Stands {
			if c.Trial == nil {
				side.Missing = append(side.Missing, c.ID)
			}
			continue
		}
		files := map[string]string{}
		for _, f := range dec.Record.Files {
			files[f.Name] = s.Object(f.Digest)
			if c.Given != nil {
				files[f.Name] = c.Given[f.Name]
			}
			if path.Base(f.Name) == record.Run {
				side.Head = &record.Head{}
				if err := cell.ReadJSON(files[f.Name], side.Head); err != nil {
					return nil, err
				}
			}
		}
		if c.Trial == nil {
			side.Measuring += dec.Record.Wall
			if !c.Stage.Kind.Measured {
				side.Drawing += dec.Record.Wall
			} else if began := dec.Record.Started; side.Replayed == "" && began > 0 {
				if side.Span[0] == 0 || began < side.Span[0] {
					side.Span[0] = began
				}
				side.Span[1] = max(side.Span[1], began+int64(dec.Record.Wall))
			}
		}
		if err := side.add(name, c, d, files); err != nil {
			return nil, fmt.Errorf("report %s: %w", c.ID, err)
		}
	}
	return side, nil
}

// add takes from a cell's outputs what a reader wants to see.
func (s *Side) add(name string, c *plan.Cell, d *plan.Decider, files map[string]string) error {
	dec := d.Of(c)
	kind := c.Stage.Kind
	above := map[string]string{}
	if path := files[kind.Verdicts]; path != "" {
		for _, claim := range s.plan.Study.Claims {
			above[claim.ID] = "claims"
		}
		var v []cell.Verdict
		if err := cell.ReadJSON(path, &v); err != nil {
			return err
		}
		s.Verdicts = append(s.Verdicts, v...)
	}
	if path := files[kind.Summary]; path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(b)
		for _, v := range s.Verdicts { // which the table of claims says
			text = strings.ReplaceAll(text, fmt.Sprintf("%s %s: %s\n", v.ID, v.Verdict, v.Because), "")
		}
		s.Summaries, above[kind.Summary] = append(s.Summaries, text), "claims"
	}
	for _, out := range c.Outputs {
		if path.Ext(out) != ".svg" || files[out] == "" {
			continue
		}
		svg, err := os.ReadFile(files[out])
		if err != nil {
			return err
		}
		stem := strings.TrimSuffix(out, ".svg")
		picture := page.Picture(svg)
		if len(s.Figures) >= drawnFirst {
			if picture, err = page.Later(svg); err != nil {
				return err
			}
		}
		fig := Figure{ID: name + "-" + identifier(stem), Name: stem, cell: c, Took: dec.Record.Wall, SVG: picture, Cell: c.ID, Key: dec.Key, Inputs: inputs(d.Parts(c))}
		for _, f := range dec.Record.Files {
			if f.Name == out {
				fig.Digest = f.Digest
			}
		}
		for _, ext := range []string{".csv", ".pdf"} {
			if files[stem+ext] == "" {
				continue
			}
			b, err := os.ReadFile(files[stem+ext])
			if err != nil {
				return err
			}
			f := File{Name: stem + ext, Size: int64(len(b))}
			if len(b) <= maxEmbedded && s.embedded+len(b) <= maxTogether {
				s.embedded += len(b)
				f.Link = page.Data(f.Name, b)
			}
			fig.Files = append(fig.Files, f)
		}
		s.Figures, above[out] = append(s.Figures, fig), "figures"
	}
	if kind.Page == nil {
		return nil
	}
	p, err := kind.Page(cell.Exhibit{ID: fmt.Sprintf("%s-%s", name, identifier(c.ID)), Files: files, Block: s.plan.Study.Order.Block, Above: above})
	if err != nil {
		return err
	}
	if body := p.Sections["notebooks"]; body != "" {
		s.Notebooks = append(s.Notebooks, Notebook{Stage: c.ID, Source: c.Stage.Notebook, Body: template.HTML(body)})
	}
	s.pages, s.Notices, s.Doubts = append(s.pages, p), append(s.Notices, p.Notices...), append(s.Doubts, p.Doubts...)
	return nil
}

// inputs are the parts of a cell's key that are files: those of the workspace, its
// notebook, and what other cells left.
func inputs(parts []store.Part) (list []store.Part) {
	for _, part := range parts {
		for _, kind := range []string{"file ", "output ", "notebook "} {
			if strings.HasPrefix(part.Name, kind) {
				list = append(list, store.Part{Name: part.Name, Value: strings.TrimPrefix(part.Value, "sha256:")})
			}
		}
	}
	return list
}

var unusual = regexp.MustCompile(`[^A-Za-z0-9]+`)

// identifier makes a name one that may stand in an id.
func identifier(name string) string { return strings.Trim(unusual.ReplaceAllString(name, "-"), "-") }

// Write writes the page of a study, one side a machine. graph is the study's
// stages as SVG.
func Write(w io.Writer, sides []*Side, graph []byte) error {
	if len(sides) == 0 {
		return errors.New("write the report: no machine")
	}
	st := sides[0].plan.Study
	text, err := os.ReadFile(st.File)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	source, err := page.Highlight("yaml", string(text))
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	cited, err := works(st.Root)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	styles, scripts, licences := []string{style}, []string(nil), [][2]string(nil)
	for _, s := range sides {
		for _, p := range s.pages {
			styles, scripts, licences = once(styles, p.Styles), once(scripts, p.Scripts), once(licences, p.Licences)
		}
	}
	if slices.ContainsFunc(sides, (*Side).Later) {
		scripts = append(scripts, page.LaterScript)
	}
	var b bytes.Buffer
	if err := layout.Execute(&b, map[string]any{
		"Study": st, "File": nameOf(st), "Source": source, "Graph": page.Picture(graph), "Sides": sides,
		"Claims": claims(st.Claims, sides), "Facts": facts(sides), "Works": cited, "Licences": licences, "Wide": len(sides) > 1,
	}); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return page.Write(w, page.Page{
		Title: fmt.Sprintf("%s · Barograph", st.Name), Body: template.HTML(b.String()),
		Style: strings.Join(styles, ""), Scripts: scripts,
	})
}

// once appends what is not there yet.
func once[T comparable](all, more []T) []T {
	for _, m := range more {
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return all
}

// A sideVerdict is shown as one of a simulation where the side is.
type sideVerdict struct {
	cell.Verdict
	Simulated bool
}

// A claimRow holds a verdict for each side, zero where there is none.
type claimRow struct {
	cell.Claim
	Verdicts []sideVerdict
}

func claims(all []cell.Claim, sides []*Side) (list []claimRow) {
	for _, c := range all {
		j := claimRow{Claim: c}
		for _, s := range sides {
			i := slices.IndexFunc(s.Verdicts, func(v cell.Verdict) bool { return v.ID == c.ID })
			v := cell.Verdict{Verdict: "not judged", Because: "stage " + c.JudgedBy + " has no standing result here"}
			if i >= 0 {
				v = s.Verdicts[i]
			}
			j.Verdicts = append(j.Verdicts, sideVerdict{v, s.Simulated()})
		}
		list = append(list, j)
	}
	return list
}

// A fact is a line about machines: a value for each side.
type fact struct {
	Name   string
	Values []string
}

// facts says what was measured on, leaving out lines that no machine fills.
func facts(sides []*Side) (list []fact) {
	values := make([][][2]string, len(sides))
	for i, s := range sides {
		values[i] = s.facts()
	}
	most := slices.MaxFunc(values, func(a, b [][2]string) int { return len(a) - len(b) })
	for _, line := range most {
		f, known := fact{Name: line[0]}, false
		for _, v := range values {
			value := ""
			if i := slices.IndexFunc(v, func(l [2]string) bool { return l[0] == line[0] }); i >= 0 {
				value = v[i][1]
			}
			f.Values = append(f.Values, value)
			known = known || value != ""
		}
		if known {
			list = append(list, f)
		}
	}
	return list
}

func (s *Side) facts() [][2]string {
	m := s.Machine
	var e record.Env
	if s.Head != nil {
		e = s.Head.Environment
	}
	var gpus, params []string
	for _, g := range e.GPUs {
		gpus = append(gpus, strings.TrimSuffix(g.Name+", "+g.MaxSpeed+" x"+g.MaxWidth, ",  x"))
	}
	if e.GPUDriver != "" {
		gpus = append(gpus, "driver "+e.GPUDriver)
	}
	for _, o := range s.plan.Study.Lowered {
		params = append(params, fmt.Sprintf("%s = %v in place of %v", o.Param, o.To, o.From))
	}
	cpu := e.CPU.Model
	if cpu != "" {
		cpu = fmt.Sprintf("%s, %d threads", cpu, e.CPU.Threads)
	}
	memory, program := "", ""
	if e.Memory.Total > 0 {
		memory = page.Size(e.Memory.Total)
	}
	if e.Program.Version != "" {
		program = strings.TrimSpace("barograph "+e.Program.Version+" "+e.Program.Revision) + ", " + e.Go
	}
	list := [][2]string{{"Device", strings.TrimSuffix(m.Device+": "+m.Description, ": ")}, {"Link", m.Link.Name}}
	for _, p := range s.pages {
		list = append(list, p.Facts...)
	}
	return append(list, [][2]string{
		{"Parameters changed here", strings.Join(params, "; ")}, {"GPU", strings.Join(gpus, "; ")}, {"Processor", cpu},
		{"Clock governor", e.CPU.Governor}, {"Memory", memory}, {"System", strings.TrimSuffix(e.OS+", Linux "+e.Kernel, ", Linux ")},
		{"Runs within", strings.Join(e.Container, ", ")}, {"Program", program}, {"Fingerprint", m.Fingerprint},
	}...)
}

// Rounded writes a time for reading.
func Rounded(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// Redraw is how long everything but measuring took, and Whole all of it.
func (s *Side) Redraw() string { return Rounded(s.Drawing) }

// Whole is how long all that stands took; empty where a recording stood in.
func (s *Side) Whole() string {
	if s.Replayed != "" || s.Measuring == s.Drawing {
		return ""
	}
	return Rounded(s.Measuring)
}

// Duration is how long the figure's cell took.
func (f Figure) Duration() string { return Rounded(f.Took) }

// Replay is the command that analyses and draws everything again.
func (s *Side) Replay() string {
	st := s.plan.Study
	return fmt.Sprintf("barograph run %s --replay %s", page.Shell(nameOf(st)), page.Shell(s.folder()))
}

// folder is that of the recording shown.
func (s *Side) folder() string {
	st := s.plan.Study
	if rel, err := filepath.Rel(st.Root, s.plan.Replayed); s.plan.Replayed != "" && err == nil {
		return rel
	}
	return filepath.Join(record.Results, record.Dir(st.Name, s.Machine.Name))
}

// Again is the command that draws a figure again: by its notebook alone, unless
// the figure shows more than the recording, such as that it is INVALID.
func (s *Side) Again(f Figure) (string, error) {
	c := f.cell
	invalid := slices.ContainsFunc(s.Verdicts, func(v cell.Verdict) bool { return v.Verdict == cell.Invalid })
	if c.Stage.Notebook == "" || invalid {
		return s.Replay(), nil
	}
	line := fmt.Sprintf("barograph notebook run %s --data %s", page.Shell(path.Base(filepath.ToSlash(c.Stage.Notebook))), page.Shell(s.folder()))
	var with map[string]json.RawMessage
	if err := json.Unmarshal(c.With, &with); len(c.With) > 0 && err != nil {
		return "", err
	}
	for _, param := range slices.Sorted(maps.Keys(with)) {
		line += " --param " + page.Shell(param+"="+string(with[param]))
	}
	line += fmt.Sprintf(" --seed %d", c.Seed)
	for _, out := range c.Outputs {
		if strings.TrimSuffix(out, path.Ext(out)) == f.Name {
			line += " --declare " + page.Shell(out)
		}
	}
	return line, nil
}

// nameOf is how commands call a study's file.
func nameOf(st *study.Study) string {
	rel, err := filepath.Rel(st.Root, st.File)
	if err != nil || !filepath.IsLocal(rel) {
		return st.File
	}
	return filepath.ToSlash(rel)
}

// A Work is something to cite.
type Work struct{ Text, Note string }

// works lists what there is to cite: the software first, then its references. A
// project without a CITATION.cff has nothing.
func works(root string) (list []Work, err error) {
	f, err := citation.Read(root)
	if err != nil || f.Title == "" {
		return nil, err
	}
	for _, e := range append([]citation.Work{f.Work}, f.References...) {
		var names []string
		for _, a := range e.Authors {
			names = append(names, a.String())
		}
		var text []string
		for _, part := range []string{strings.Join(names, ", "), e.Title, e.Version, e.Institution.Name, e.Date, e.Year, e.DOI} {
			if part != "" {
				text = append(text, part)
			}
		}
		list = append(list, Work{strings.Join(text, ". ") + ".", e.Notes})
	}
	return list, nil
}
