// Package script is the text of a notebook: it is parsed, checked as the compiler
// would and for what a notebook may not do, and lowered; then it can be
// interpreted. Every fault has the file, the line, the column and the line's text.
package script

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
	"barograph/stages/notebook/lower"
	"barograph/stages/notebook/symbols"
)

// File is the name of a notebook's source in its folder.
const File = "main.go"

// Language is the version of Go that a notebook is written in, unless its build
// line names an earlier one.
const Language = "go1.26"

// A Source is a parsed notebook.
type Source struct {
	Name    string // as errors show it, such as notebooks/figure2/main.go
	Text    []byte
	Cells   []Part
	file    *ast.File
	info    *types.Info
	fset    *token.FileSet
	program *lower.Program
}

// A Part is a stretch of a notebook that a line `// %%` begins.
type Part struct {
	Title    string
	Markdown bool // begun by `// %% [markdown]`: its comment is prose
	Line     int  // of the marker, from 1; the first part may have none and begins at 1
}

// An Error is something wrong at a place in a notebook.
type Error struct {
	File      string
	Line, Col int // from 1; the column counts bytes; 0 where the place is unknown
	Part      string
	Message   string
	Hint      string
	Text      string // the line
	cause     error
}

// Unwrap returns the error that the notebook ended with, if it was one.
func (e *Error) Unwrap() error { return e.cause }

// Error is file:line:column: message, the line and a caret.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	b.WriteString(": " + e.Message)
	if e.Part != "" {
		fmt.Fprintf(&b, " (in %q)", e.Part)
	}
	before := e.Text[:min(max(e.Col-1, 0), len(e.Text))]
	return b.String() + source.Excerpt(source.Pos{Line: e.Line, Col: utf8.RuneCountInString(before) + 1}, e.Text)
}

// Errors are the things wrong with one notebook, in the order of its lines.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, 0, len(e))
	for i, err := range e {
		if i == maxErrors {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		lines = append(lines, err.Error())
	}
	return strings.Join(lines, "\n")
}

const maxErrors = 10

// Parse reads and checks the notebook in a folder. Name is how errors call its
// file. The error holds [Errors] where the notebook is at fault.
func Parse(dir, name string) (*Source, error) {
	text, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		return nil, fmt.Errorf("read the notebook: %w", err)
	}
	return parse(text, name)
}

// parse checks and lowers the text of a notebook.
func parse(text []byte, name string) (_ *Source, err error) {
	s := &Source{Name: name, Text: text, Cells: Parts(text), fset: token.NewFileSet()}
	s.file, err = parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if list, ok := err.(scanner.ErrorList); ok {
		var errs Errors
		for _, e := range list {
			errs = append(errs, s.at(e.Pos, "%s", e.Msg))
		}
		return nil, cell.Usage(errs)
	}
	if err != nil {
		return nil, err
	}
	if errs := s.check(); len(errs) > 0 {
		sort.SliceStable(errs, func(i, j int) bool {
			return errs[i].Line < errs[j].Line || errs[i].Line == errs[j].Line && errs[i].Col < errs[j].Col
		})
		return nil, cell.Usage(errs)
	}
	return s, nil
}

// Parts finds the cells' markers.
func Parts(text []byte) []Part {
	var list []Part
	for i, line := range bytes.Split(text, []byte("\n")) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "// %%")
		if !ok || rest != "" && rest[0] != ' ' {
			continue
		}
		if len(list) == 0 && i > 0 {
			list = append(list, Part{Line: 1})
		}
		title, markdown := strings.CutPrefix(strings.TrimSpace(rest), "[markdown]")
		list = append(list, Part{Title: strings.TrimSpace(title), Markdown: markdown, Line: i + 1})
	}
	if len(list) == 0 {
		list = []Part{{Line: 1}}
	}
	return list
}

// Part returns the index of the cell that holds a line.
func (s *Source) Part(line int) int {
	return sort.Search(len(s.Cells), func(i int) bool { return s.Cells[i].Line > line }) - 1
}

func (s *Source) position(p token.Pos) token.Position { return s.fset.Position(p) }

// at makes an error at a position.
func (s *Source) at(pos token.Position, format string, args ...any) *Error {
	e := &Error{File: s.Name, Line: pos.Line, Col: pos.Column, Message: fmt.Sprintf(format, args...)}
	if lines := bytes.Split(s.Text, []byte("\n")); pos.Line > 0 && pos.Line <= len(lines) {
		e.Text = strings.TrimRight(string(lines[pos.Line-1]), "\r \t")
		if !utf8.ValidString(e.Text) {
			e.Text = strings.ToValidUTF8(e.Text, "?")
		}
		e.Part = s.Cells[s.Part(pos.Line)].Title
	}
	return e
}

// check finds what the compiler would refuse, what the interpreter would
// silently do otherwise than the compiler, and what a notebook may not use.
func (s *Source) check() Errors {
	var errs Errors
	var report reporter = func(n ast.Node, hint, format string, args ...any) {
		e := s.at(s.position(n.Pos()), format, args...)
		e.Hint = hint
		errs = append(errs, e)
	}
	if s.file.Name.Name != "main" {
		report(s.file.Name, "write: package main", "the package is %q, want main", s.file.Name.Name)
	}
	all, err := symbols.Types()
	if err != nil {
		report(s.file, "", "%v", err)
		return errs
	}
	for _, spec := range s.file.Imports {
		path := strings.Trim(spec.Path.Value, "`\"")
		switch {
		case all[path] == nil:
			report(spec.Path, "a notebook may import "+strings.Join(symbols.Names(), ", "), "a notebook may not import %q", path)
		case spec.Name != nil && spec.Name.Name == ".":
			report(spec, "name the package where you use it", "a notebook may not import with a dot")
		}
	}
	if len(errs) > 0 {
		return errs
	}

	s.mark()
	packages := maps.Clone(all)
	packages[marker] = markerPackage
	info := &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Implicits: map[ast.Node]types.Object{}, Instances: map[*ast.Ident]types.Instance{}, Scopes: map[ast.Node]*types.Scope{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}, FileVersions: map[*ast.File]string{},
	}
	config := types.Config{
		GoVersion: Language,
		Importer:  importer(packages),
		Error: func(err error) {
			e, ok := err.(types.Error)
			switch {
			case !ok:
				report(s.file, "", "%v", err)
			case strings.HasPrefix(e.Msg, "\t") && len(errs) > 0: // more about the error before
				errs[len(errs)-1].Message += "; " + strings.TrimSpace(e.Msg)
			default:
				errs = append(errs, s.at(s.position(e.Pos), "%s", e.Msg))
			}
		},
	}
	s.info = info
	pkg, _ := config.Check("main", s.fset, []*ast.File{s.file}, info) // errors went to Error
	if len(errs) > 0 {
		return errs
	}
	if f, ok := pkg.Scope().Lookup("main").(*types.Func); !ok || f == nil {
		report(s.file.Name, "", "the notebook has no func main")
	}
	traps(s.file, pkg, info, report)
	if len(errs) > 0 {
		return errs
	}
	s.program, err = lower.File(s.fset, s.file, pkg, info, packages, exported)
	var refusal *lower.Refusal
	switch {
	case errors.As(err, &refusal):
		e := s.at(s.position(refusal.Pos), "%s", refusal.Message)
		e.Hint = refusal.Hint
		errs = append(errs, e)
	case err != nil:
		report(s.file, "", "%v", err)
	}
	return errs
}

// An importer imports the packages of the list.
type importer map[string]*types.Package

func (l importer) Import(path string) (*types.Package, error) {
	if p := l[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %q is not on the list", path)
}

// lineStart is the position of the first character of a line that is no space.
func (s *Source) lineStart(line int) token.Position {
	text := string(LineOf(s.Text, line))
	return token.Position{Line: line, Column: 1 + len(text) - len(strings.TrimLeft(text, " \t"))}
}

// mainLines returns the lines of main's opening and closing brace, or zeros.
func mainLines(text string) (first, last int) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", text, parser.SkipObjectResolution)
	if file == nil || err != nil {
		return 0, 0
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "main" && f.Body != nil {
			return fset.Position(f.Body.Lbrace).Line, fset.Position(f.Body.Rbrace).Line
		}
	}
	return 0, 0
}

// Split returns a cell's prose, the comment that it begins with, and its code,
// without main's closing brace and the indentation that lines have within main.
func (s *Source) Split(part int) (prose, code string) {
	lines := strings.Split(string(s.Text), "\n")
	first, last := mainLines(string(s.Text))
	from, end := s.Cells[part].Line-1, len(lines)
	if part+1 < len(s.Cells) {
		end = s.Cells[part+1].Line - 1
	}
	if strings.HasPrefix(strings.TrimSpace(lines[from]), "// %%") {
		from++
	}
	var text, rest []string
	for i := from; i < end; i++ {
		line := lines[i]
		comment, is := strings.CutPrefix(strings.TrimSpace(line), "//")
		begun := slices.ContainsFunc(rest, func(l string) bool { return strings.TrimSpace(l) != "" && !strings.HasPrefix(l, "//go:") })
		switch {
		case is && !begun && !strings.HasPrefix(comment, "go:"):
			text = append(text, strings.TrimPrefix(comment, " "))
		case i+1 == last:
		case first < i+1 && i+1 < last:
			rest = append(rest, strings.TrimPrefix(line, "\t"))
		default:
			rest = append(rest, line)
		}
	}
	if code = strings.Trim(strings.Join(rest, "\n"), "\n"); code != "" {
		code += "\n"
	}
	return strings.Join(text, "\n"), code
}

// Formatted refuses what gofmt would change.
func (s *Source) Formatted() error {
	want, err := format.Source(s.Text)
	if err != nil {
		return fmt.Errorf("format %s: %w", s.Name, err)
	}
	if line := FirstDifference(s.Text, want); line > 0 {
		e := s.at(s.lineStart(line), "gofmt would write this otherwise")
		return cell.Hint(e, "gofmt -w %s", s.Name)
	}
	return nil
}

// FirstDifference returns the number of the first line in which two texts
// differ, from 1, and 0 if there is none.
func FirstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return i + 1
		}
	}
	return min(len(x), len(y))
}

// LineOf returns a line of a text, from 1; for what comes after the last, the last.
func LineOf(text []byte, line int) []byte {
	lines := bytes.Split(text, []byte("\n"))
	return lines[min(line, len(lines))-1]
}

// Traced finds in a compiled notebook's last words what it panicked with, and
// where; nil if it did not.
func (s *Source) Traced(text string) *Error {
	at := strings.LastIndex("\n"+text, "\npanic: ")
	if at < 0 {
		return nil
	}
	text = text[at:]
	message, _, _ := strings.Cut(text, "\n\ngoroutine ")
	m := regexp.MustCompile(`(?m)^\t\S*/` + regexp.QuoteMeta(filepath.Base(filepath.Dir(s.Name))+"/"+File) + `:(\d+)`).FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	line, err := strconv.Atoi(m[1])
	if err != nil {
		return nil
	}
	e := s.at(s.lineStart(line), "%s", strings.TrimSpace(message))
	return e
}

// Hinted makes the advice within an error that of the whole.
func Hinted(err error) error {
	hint := cell.HintOf(err)
	if list := (Errors)(nil); hint == "" && errors.As(err, &list) {
		for _, e := range list {
			hint = cmp.Or(hint, e.Hint)
		}
	}
	if hint == "" {
		return err
	}
	return cell.Hint(err, "%s", hint)
}
