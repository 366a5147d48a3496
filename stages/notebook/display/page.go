package display

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/pipeline/page"
	"barograph/stages/notebook"
	"barograph/stages/notebook/script"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

//go:embed page.html
var templates string

var layout = template.Must(template.New("").Parse(templates))

// markdown has no raw HTML: a notebook's prose cannot put a script on a page.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table))

// Limits of what a page shows; the whole is a link away.
const (
	maxRows     = 60
	maxEmbedded = 4 << 20 // bytes of a file that is written into a page
)

// A view is how a record is shown.
type view struct {
	id     string // of the article, unique on its page
	nested bool   // it stands below other headings, with its code folded
	// above is what the page shows elsewhere, which is said once: the id of the section,
	// by an output's name or a claim's id.
	above map[string]string
	// read returns an output's content, and link where the page's reader finds it:
	// nil for within the page.
	read   func(name string) ([]byte, error)
	link   func(name string) template.URL
	marks  []string // of parts, by index; nil for none
	faults []fault  // what a run that did not end well says
	last   *history // what a run that did not end well is shown before
}

// A fault is an error where it belongs.
type fault struct {
	part int
	text string
}

// A history is what a run of a watched notebook has left.
type history struct {
	run    string // its number, in links
	record *notebook.Record
	read   func(name string) ([]byte, error)
}

// view shows the run on the watcher's page.
func (p history) view(id string) view {
	return view{id: id, read: p.read, link: func(name string) template.URL {
		return template.URL((&url.URL{Path: "files/" + p.run + "/" + name}).String())
	}}
}

// render writes a record as an article.
func render(w io.Writer, r *notebook.Record, v view) error {
	cells := script.Parts([]byte(r.Source))
	source := &script.Source{Name: r.Notebook, Text: []byte(r.Source), Cells: cells}
	type part struct {
		Index       int
		Title, Mark string
		Prose, Code template.HTML
		Lines       string
		Open        bool
		Errors      []string
		Said, Stale []template.HTML
	}
	shown := make([]part, len(cells))
	for i, c := range cells {
		prose, code := source.Split(i)
		p := part{Index: i, Title: c.Title, Open: !v.nested && i > 0}
		var b strings.Builder
		if err := markdown.Convert([]byte(prose), &b); err != nil {
			return err
		}
		p.Prose = template.HTML(b.String())
		if n := strings.Count(code, "\n"); n > 0 {
			p.Lines = fmt.Sprintf("%d lines", n)
			if n == 1 {
				p.Lines = "1 line"
			}
			var err error
			if p.Code, err = page.Highlight("go", code); err != nil {
				return err
			}
		}
		if i < len(v.marks) {
			p.Mark = v.marks[i]
		}
		shown[i] = p
	}
	said, err := v.cells(r, v.id)
	if err != nil {
		return err
	}
	for i := range shown {
		shown[i].Said = said[i]
	}
	for _, f := range v.faults {
		shown[f.part].Errors = append(shown[f.part].Errors, f.text)
	}
	if v.last != nil {
		before := v.last.view(v.id + "-last")
		stale, err := before.cells(v.last.record, before.id)
		if err != nil {
			return err
		}
		for j, c := range script.Parts([]byte(v.last.record.Source)) {
			i := slices.IndexFunc(cells, func(now script.Part) bool { return now.Title == c.Title })
			if i >= v.faults[0].part {
				shown[i].Stale = append(shown[i].Stale, stale[j]...)
			}
		}
	}
	compared := "" // else it stands below, with the rest of what is known of the run
	if v.nested {
		compared = r.Compared
	}
	return layout.ExecuteTemplate(w, "notebook", map[string]any{"ID": v.id, "Nested": v.nested, "Parts": shown, "Compared": compared})
}

// cells shows what a record says, by cell.
func (v view) cells(r *notebook.Record, id string) ([][]template.HTML, error) {
	shown := make([][]template.HTML, len(script.Parts([]byte(r.Source))))
	at, figures := 0, 0
	for i := 0; i < len(r.Said); i++ {
		e := r.Said[i]
		if e.Type == "part" {
			n, err := strconv.Atoi(e.Text)
			if err != nil || n < 0 || n >= len(shown) {
				return nil, fmt.Errorf("render %s: the record names a part %q, and there are %d", r.Notebook, e.Text, len(shown))
			}
			at = n
			continue
		}
		for e.Type == "print" && i+1 < len(r.Said) && r.Said[i+1].Type == "print" {
			i++
			e.Text += r.Said[i].Text
		}
		if e.Type == "figure" {
			figures++
		}
		text, err := v.said(e, fmt.Sprintf("%s-f%d", id, figures))
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", r.Notebook, err)
		}
		if n := len(shown[at]); text != "" && (n == 0 || shown[at][n-1] != text) {
			shown[at] = append(shown[at], text)
		}
	}
	return shown, nil
}

// said shows one thing that a notebook did; nothing for what only counts.
func (v view) said(e nb.Event, id string) (template.HTML, error) {
	var b strings.Builder
	var err error
	names := slices.Clone(e.Files)
	switch e.Type {
	case "summary":
		names = append(names, nb.SummaryFile)
	case "verdict":
		names = append(names, e.Verdict.ID)
	}
	for _, name := range names {
		if section := v.above[name]; section != "" {
			err = layout.ExecuteTemplate(&b, "above", section)
			return template.HTML(b.String()), err
		}
	}
	switch e.Type {
	case "print":
		err = layout.ExecuteTemplate(&b, "print", strings.TrimRight(e.Text, "\n"))
	case "summary":
		err = layout.ExecuteTemplate(&b, "summary", page.Blocks(e.Text))
	case "note", "warning":
		err = layout.ExecuteTemplate(&b, "remark", e)
	case "verdict":
		err = layout.ExecuteTemplate(&b, "verdict", map[string]any{
			"Class": strings.ReplaceAll(e.Verdict.Verdict, " ", "-"), "ID": e.Verdict.ID,
			"Verdict": e.Verdict, "Says": e.Verdict.Says, "Because": e.Verdict.Because,
		})
	case "text":
		err = v.files(&b, "files", e, map[string]any{})
	case "table":
		err = v.table(&b, e)
	case "figure":
		err = v.figure(&b, e)
	}
	return template.HTML(b.String()), err
}

// A link is an output that a page offers.
type link struct {
	Name, Base, Size string
	Link             template.URL // empty for what is too large, and lies beside
}

// files shows a template with links to the outputs of an event.
func (v view) files(w io.Writer, name string, e nb.Event, data map[string]any) error {
	var links []link
	for _, f := range e.Files {
		if ext := path.Ext(f); ext == ".svg" || ext == ".png" {
			continue // the page shows it
		}
		content, err := v.read(f)
		if err != nil {
			return err
		}
		l := link{Name: f, Base: path.Base(f), Size: page.Size(int64(len(content)))}
		switch {
		case v.link != nil:
			l.Link = v.link(f)
		case len(content) <= maxEmbedded:
			l.Link = page.Data(f, content)
		}
		links = append(links, l)
	}
	for _, name := range []string{"More", "Rows", "SVG", "Image"} {
		if data[name] == nil {
			data[name] = nil
		}
	}
	data["Files"] = links
	return layout.ExecuteTemplate(w, name, data)
}

func (v view) table(w io.Writer, e nb.Event) error {
	content, err := v.read(e.Files[0])
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(rows) == 0 {
		return errors.Join(err, v.files(w, "files", e, map[string]any{}))
	}
	numeric := make([]bool, len(rows[0]))
	for j := range numeric {
		numeric[j] = len(rows) > 1
		for _, row := range rows[1:] {
			_, err := strconv.ParseFloat(row[j], 64)
			numeric[j] = numeric[j] && (err == nil || row[j] == "")
		}
	}
	data := map[string]any{"Name": "Table " + e.Files[0], "Head": rows[0], "Numeric": numeric, "Rows": rows[1:min(len(rows), 1+maxRows)]}
	if len(rows) > 1+maxRows {
		data["More"] = len(rows) - 1
	}
	return v.files(w, "table", e, data)
}

func (v view) figure(w io.Writer, e nb.Event) error {
	data := map[string]any{"Alt": "The figure as an image; its numbers are in the CSV"}
	for _, f := range e.Files {
		ext := path.Ext(f)
		if ext != ".svg" && ext != ".png" {
			continue
		}
		content, err := v.read(f)
		if err != nil {
			return err
		}
		if ext == ".svg" {
			data["SVG"] = page.Picture(content)
			break
		}
		data["Image"] = page.Data(f, content)
	}
	return v.files(w, "figure", e, data)
}

// provenance writes where the outputs of a record come from.
func provenance(w io.Writer, r *notebook.Record) error {
	type param struct {
		Name, Value string
		Default     bool
	}
	var params []param
	for _, e := range r.Said {
		if e.Type != "param" || slices.ContainsFunc(params, func(p param) bool { return p.Name == e.Text }) {
			continue
		}
		value, err := json.Marshal(e.Value)
		if err != nil {
			return err
		}
		_, given := r.With[e.Text]
		params = append(params, param{e.Text, string(value), !given})
	}
	type file struct{ Name, Size, SHA string }
	list := func(contents []notebook.Content) (files []file) {
		for _, c := range contents {
			files = append(files, file{c.Name, page.Size(c.Size), c.SHA})
		}
		return files
	}
	return layout.ExecuteTemplate(w, "provenance", map[string]any{
		"Notebook": r.Notebook, "SHA": r.SHA, "Study": r.Study, "Machine": r.Machine, "Params": params,
		"Inputs": list(r.Inputs), "Outputs": list(r.Outputs), "Functions": r.Functions, "Go": r.Go, "Compared": r.Compared, "Language": script.Language, "Again": r.Again,
	})
}

// WritePage writes a record as a page of its own. read returns outputs' contents.
func WritePage(w io.Writer, r *notebook.Record, read func(name string) ([]byte, error)) error {
	var b bytes.Buffer
	name := path.Base(path.Dir(r.Notebook))
	fmt.Fprintf(&b, "<h1>%s</h1>\n", template.HTMLEscapeString(title(name)))
	if err := render(&b, r, view{id: "notebook", read: read}); err != nil {
		return err
	}
	if err := provenance(&b, r); err != nil {
		return err
	}
	return page.Write(w, page.Page{Title: title(name) + " · Barograph", Body: template.HTML(b.String())})
}

func title(name string) string {
	if name == "" {
		return "Notebook"
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// Fragment is what a cell of kind analyse or plot did, for a page that holds
// several: cell.Kind's Page.
func Fragment(c cell.Exhibit) (*cell.Page, error) {
	r, err := notebook.ReadRecord(c.Files[notebook.RecordFile])
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = render(&b, r, view{id: c.ID, nested: true, above: c.Above, read: func(name string) ([]byte, error) {
		return os.ReadFile(c.Files[name])
	}})
	return &cell.Page{Sections: map[string]string{"notebooks": b.String()}}, err
}

// readFrom returns a reader of the files below a folder.
func readFrom(dir string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%q is not below the outputs", name)
		}
		return os.ReadFile(filepath.Join(dir, name))
	}
}
