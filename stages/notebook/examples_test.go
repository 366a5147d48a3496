package notebook_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/stages/notebook/symbols"
)

var (
	// A block of Go in notebooks/README.md, and within it a print with what it prints.
	goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
	// The recording that a block is for, in the line before it.
	forData = regexp.MustCompile("`--data ([a-z0-9/]+)`[^\n]*:\n\n$")
	printed = regexp.MustCompile(`(?m)^(\s*fmt\.Print.*?\)) *//.*$`)
)

// TestExamples runs each example of notebooks/README.md as a notebook, and holds its
// prints to the comments behind them. Every function of nb has an example.
func TestExamples(t *testing.T) {
	top := root(t)
	document, data := filepath.Join(top, "notebooks", "README.md"), filepath.Join(top, "data", "paper", "host")
	b := filetest.Read(t, document)
	text := string(b)
	missing := functions(t)
	t.Chdir(t.TempDir())
	blocks := goBlock.FindAllStringSubmatchIndex(text, -1)
	for i, at := range slices.Backward(blocks) {
		body := text[at[2]:at[3]]
		name := fmt.Sprintf("example-%d", i+1)
		write(t, "notebooks/"+name+"/main.go", notebookOf(body))
		of := data
		if m := forData.FindStringSubmatch(text[:at[0]]); m != nil {
			of = filepath.Join(top, filepath.FromSlash(m[1]))
		}
		_, log, err := run(t, name, "--data", of, "-o", name)
		if err != nil {
			t.Errorf("%v\n%s", err, log)
			continue
		}
		said, _, _ := strings.Cut(log, "wrote "+name)
		commented := explain(t, name, body, strings.Split(strings.TrimSuffix(said, "\n"), "\n"))
		if commented != body && !*update {
			t.Errorf("%s prints otherwise than its comments say; with -update they would be\n%s", name, commented)
		}
		text = text[:at[2]] + commented + text[at[3]:]
		for call := range missing {
			if strings.Contains(body, call+"(") {
				delete(missing, call)
			}
		}
	}
	for call := range missing {
		t.Errorf("notebooks/README.md has no example of %s", call)
	}
	if *update && !t.Failed() {
		write(t, document, text)
	}
}

// explain puts behind each print of an example the line that it printed.
func explain(t *testing.T, name, body string, prints []string) string {
	t.Helper()
	prints = slices.DeleteFunc(prints, func(line string) bool {
		kind, _, _ := strings.Cut(line, ": ")
		return kind == "note" || kind == "warning" || kind == name // the last is of the run
	})
	lines := strings.Split(body, "\n")
	for i, line := range lines {
		if m := printed.FindStringSubmatch(line); m != nil {
			if len(prints) == 0 {
				t.Fatalf("%s printed nothing for %s", name, line)
			}
			lines[i] = m[1] + " // " + prints[0]
			prints = prints[1:]
		}
	}
	if len(prints) > 0 {
		t.Errorf("%s printed without a comment behind it: %q", name, prints)
	}
	return strings.Join(lines, "\n")
}

// notebookOf returns a notebook with a body, and the imports that it needs.
func notebookOf(body string) string {
	var imports strings.Builder
	for _, path := range symbols.Names() {
		if regexp.MustCompile(`\b` + symbols.Name(path) + `\.[A-Z]`).MatchString(body) {
			fmt.Fprintf(&imports, "\t%q\n", path)
		}
	}
	return "//go:build go1.21\n\npackage main\n\nimport (\n" + imports.String() + ")\n\nfunc main() {\n" + body + "}\n"
}

// functions returns what a notebook can call of nb: nb.Samples, and .By of a Set.
func functions(t *testing.T) map[string]bool {
	t.Helper()
	fset := token.NewFileSet()
	found, err := filepath.Glob(filepath.Join(root(t), "notebooks", "nb", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, path := range found {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "barograph/notebooks/nb")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]bool{}
	for _, f := range p.Funcs {
		calls["nb."+f.Name] = true
	}
	for _, typ := range p.Types {
		for _, f := range typ.Funcs {
			calls["nb."+f.Name] = true
		}
		for _, m := range typ.Methods {
			if typ.Name != "Error" { // which ends a notebook, and is not called
				calls["."+m.Name] = true
			}
		}
	}
	if len(calls) < 60 {
		t.Fatalf("nb has %d functions", len(calls))
	}
	return calls
}
