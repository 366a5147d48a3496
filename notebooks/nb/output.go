package nb

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"barograph/pipeline/cell"
	"barograph/stages/figure"
	"barograph/stages/judge/remark"

	"github.com/go-gota/gota/dataframe"
)

// The outputs that Summary and Verdict write.
const (
	SummaryFile  = "summary.txt"
	VerdictsFile = "verdicts.json"
)

// Table writes a table as CSV to a declared output. A table is a
// dataframe.DataFrame or rows of text, the header first. Numbers are written so
// that they read back exactly.
func Table(name string, table any) {
	c := called("Table", name)
	rows, err := cells(table)
	c.check(err)
	var b bytes.Buffer
	c.check(csv.NewWriter(&b).WriteAll(rows))
	c.write(b.Bytes(), name)
	c.tell(Event{Type: "table", Files: []string{name}})
}

// Text writes a text to a declared output.
func Text(name, text string) {
	c := called("Text", name)
	c.write([]byte(text), name)
	c.tell(Event{Type: "text", Files: []string{name}})
}

// tell records what the notebook did.
func (c call) tell(e Event) { c.check(c.open().emit(e)) }

// Summary appends a paragraph to summary.txt, which the run prints at its end.
func Summary(text string) { called("Summary").summary(text) }

func (c call) summary(text string) {
	b := c.open()
	c.declared(SummaryFile)
	text = strings.TrimRight(text, "\n") + "\n"
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if b.begun[SummaryFile] {
		flags, text = os.O_WRONLY|os.O_APPEND, "\n"+text
	}
	f, err := os.OpenFile(SummaryFile, flags, 0o666)
	if err == nil {
		_, err = io.WriteString(f, text)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	c.check(err)
	b.begun[SummaryFile] = true
	c.tell(Event{Type: "summary", Text: strings.Trim(text, "\n")})
}

// Title says which study a summary is of and what on, and that it is SIMULATED where
// it is.
func Title(run *Run, about string) string {
	title := "study " + run.Study + " on " + run.Machine.Name + ": " + about
	if run.Simulated {
		title = "SIMULATED: " + title
	}
	return title
}

// Concluded appends a paragraph to the summary: a line for each verdict so far.
func Concluded() {
	c := called("Concluded")
	lines := []string{}
	for _, v := range c.open().verdicts {
		lines = append(lines, v.ID+" "+v.Verdict+": "+v.Because)
	}
	if len(lines) > 0 {
		c.summary(strings.Join(lines, "\n"))
	}
}

// Doubted appends a paragraph to the summary: a line for each doubt.
func Doubted(doubts []string) {
	if len(doubts) > 0 {
		called("Doubted").summary("warning: " + strings.Join(doubts, "\nwarning: "))
	}
}

// Align lays a table out for reading: columns two spaces apart, the first to
// the left, columns of numbers to the right.
func Align(table any) string {
	rows := try(cells(table)).or("Align")
	var width []int
	var numeric []bool
	for i, row := range rows {
		for j, c := range row {
			if j == len(width) {
				width, numeric = append(width, 0), append(numeric, true)
			}
			width[j] = max(width[j], utf8.RuneCountInString(c))
			if i > 0 && c != "" && !strings.ContainsAny(c[:1], "+-0123456789") {
				numeric[j] = false
			}
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for j, c := range row {
			if j > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[j]-utf8.RuneCountInString(c))
			if numeric[j] {
				c = pad + c
			} else {
				c += pad
			}
			line.WriteString(c)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// Fold says each kind of remark once: remarks of one kind differ in nothing but
// numbers and what stands before their first ": ". The one that stays has the
// largest first number, as in "level=2, the worst of 5: for 43% of the time", or
// if all are alike "level=1 and 4 more: n too small".
func Fold(remarks []string) []string { return remark.Fold(remarks) }

// What Verdict can conclude about a claim.
const (
	Reproduced    = cell.Reproduced
	Refuted       = cell.Refuted
	NotIdentified = cell.NotIdentified
	Invalid       = cell.Invalid
)

// Verdict records what was concluded about a claim of the study: Reproduced,
// Refuted, NotIdentified or Invalid, and one sentence with the numbers. A claim
// that this stage is not asked to judge is left out, so that a notebook can serve
// studies that make fewer claims; judging one twice is an error.
func Verdict(id, verdict, because string) {
	c := called("Verdict", id)
	b := c.open()
	if !slices.Contains([]string{Reproduced, Refuted, NotIdentified, Invalid}, verdict) {
		c.check(fmt.Errorf("unknown verdict %q", verdict))
	}
	for _, v := range b.verdicts {
		if v.ID == id {
			c.check(fmt.Errorf("the claim has a verdict already: %s", v.Verdict))
		}
	}
	v := cell.Verdict{ID: id, Verdict: verdict, Because: because}
	asked := len(b.Spec.Claims) == 0
	for _, claim := range b.Spec.Claims {
		if claim.ID == id && claim.JudgedBy == b.Stage {
			v.Says, asked = claim.Says, true
		}
	}
	if asked {
		b.verdicts = append(b.verdicts, v)
		c.tell(Event{Type: "verdict", Verdict: &v})
	}
	text, err := json.MarshalIndent(b.verdicts, "", "  ")
	c.check(err)
	c.write(append(text, '\n'), VerdictsFile)
}

// Verdicts returns what was judged so far, in that order.
func Verdicts() []cell.Verdict { return slices.Clone(called("Verdicts").open().verdicts) }

// cells returns a table as text, the header first.
func cells(table any) ([][]string, error) {
	switch t := table.(type) {
	case [][]string:
		for i, row := range t {
			if len(row) != len(t[0]) {
				return nil, fmt.Errorf("row %d of the table has %d columns, want %d", i, len(row), len(t[0]))
			}
		}
		return t, nil
	case dataframe.DataFrame:
		if t.Err != nil {
			return nil, t.Err
		}
		rows := make([][]string, t.Nrow()+1)
		rows[0] = t.Names()
		for _, name := range t.Names() {
			col := t.Col(name)
			for i := range t.Nrow() {
				rows[i+1] = append(rows[i+1], text(col, i))
			}
		}
		return rows, nil
	}
	return nil, fmt.Errorf("a table is a dataframe.DataFrame or a [][]string, not a %T", table)
}

// figures returns the declared outputs that a figure's name stands for: itself
// with an extension, every format of that stem without, and every figure for "".
func (c call) figures(name string) []string {
	b := c.open()
	formats := []string{".svg", ".pdf", ".png", ".csv"}
	free := len(b.Outputs) == 1 && b.Outputs[0] == Any
	switch {
	case slices.Contains(formats, path.Ext(name)):
		c.declared(name)
		return []string{name}
	case free && name == "":
		name = filepath.Base(b.Notebook)
		fallthrough
	case free:
		var all []string
		for _, f := range formats {
			all = append(all, name+f)
		}
		return all
	}
	var found []string
	for _, out := range b.Outputs {
		ext := path.Ext(out)
		stem := strings.TrimSuffix(out, ext)
		if slices.Contains(formats, ext) && (name == "" || stem == name || path.Base(stem) == name) {
			found = append(found, out)
		}
	}
	if len(found) == 0 {
		c.check(cell.Hint(among("the study declares no figure", name, b.Outputs), "add it to the stage's outputs:, once for each format"))
	}
	return found
}

// declared ends the notebook unless the study declares an output.
func (c call) declared(name string) {
	b := c.open()
	if slices.Contains(b.Outputs, name) || len(b.Outputs) == 1 && b.Outputs[0] == Any {
		return
	}
	hint := "add it to the stage's outputs:"
	if name == SummaryFile || name == VerdictsFile {
		hint = "a stage with uses: analyse leaves it; another lists it in its outputs:"
	}
	if i := slices.IndexFunc(b.Outputs, func(o string) bool { return path.Base(o) == path.Base(name) }); i >= 0 {
		hint = fmt.Sprintf("write the path that the study declares: %q", b.Outputs[i])
	}
	c.check(cell.Hint(among("the study does not declare the output", name, b.Outputs), "%s", hint))
}

// create opens a declared output for writing, making its folder.
func (c call) create(name string) *os.File {
	c.declared(name)
	if !filepath.IsLocal(name) {
		c.check(fmt.Errorf("%q is not below the output folder", name))
	}
	c.check(os.MkdirAll(filepath.Dir(name), 0o777))
	f, err := os.Create(name)
	c.check(err)
	return f
}

// write writes a declared output.
func (c call) write(content []byte, name string) {
	f := c.create(name)
	_, err := f.Write(content)
	c.check(errors.Join(err, f.Close()))
}

// A Figure writes itself in a format: svg, pdf, png or csv, the numbers behind
// it. Save asks for several at once. Those of package figure do.
type Figure interface {
	Write(w io.Writer, format string) error
}

// Save writes a figure. A name with an extension is one declared output; a name
// without stands for the declared outputs of that name in all formats, and no
// name for all declared figures. Where the study gives the parameter captions as
// false, figures have no text below them; stamps stay.
func Save(f Figure, names ...string) {
	c := called("Save", names)
	if drawn, is := f.(*figure.Figure); is && !c.truth("captions", true) {
		f = drawn.WithoutCaption()
	}
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		files := c.figures(name)
		open := make([]*os.File, len(files))
		for i, file := range files {
			open[i] = c.create(file)
		}
		c.check(draw(f, open))
		c.tell(Event{Type: "figure", Files: files})
	}
}

// draw writes a figure to files in their formats, side by side, and closes them.
func draw(f Figure, files []*os.File) error {
	errs := make([]error, len(files))
	var all sync.WaitGroup
	for i, file := range files {
		all.Go(func() {
			// Nobody else can: a panic in a goroutine ends the process.
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("%s: panic: %v", file.Name(), p)
				}
			}()
			to := bufio.NewWriterSize(file, 1<<16)
			errs[i] = f.Write(to, strings.TrimPrefix(path.Ext(file.Name()), "."))
			errs[i] = errors.Join(errs[i], to.Flush(), file.Close())
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
