package acceptance

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"

	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/study"
	"barograph/stages"
	"barograph/stages/device/gpu"
)

// A document is one of the project's README files, parsed.
type document struct {
	path   string
	source []byte
	root   ast.Node
}

// parse reads Markdown as the documents are written.
func parse(source string) ast.Node {
	markdown := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	return markdown.Parser().Parse(text.NewReader([]byte(source)))
}

func readDocument(t *testing.T, path string) document {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return document{path, source, parse(string(source))}
}

// documents returns every README of the project.
func documents(t *testing.T) (all []document) {
	t.Helper()
	for _, pattern := range []string{"README.md", "*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			all = append(all, readDocument(t, path))
		}
	}
	if len(all) < 5 {
		t.Fatalf("%d documents", len(all))
	}
	return all
}

// each calls f for every node of a kind.
func each[N ast.Node](d document, f func(N)) {
	_ = ast.Walk(d.root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if n, ok := n.(N); ok && entering {
			f(n)
		}
		return ast.WalkContinue, nil
	})
}

func (d document) lines(n ast.Node) string {
	return string(n.Lines().Value(d.source))
}

// prose is the text of a paragraph or a table's cell as it is read: a piece of
// code counts as one word, and a picture as none.
func (d document) prose(n ast.Node) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Image:
			return ast.WalkSkipChildren, nil
		case *ast.CodeSpan:
			if entering {
				b.WriteString("CODE")
			}
			return ast.WalkSkipChildren, nil
		case *ast.Text:
			if entering {
				b.Write(n.Value(d.source))
				if n.SoftLineBreak() || n.HardLineBreak() {
					b.WriteByte(' ')
				}
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// anchors are the names that a link can give after "#".
func (d document) anchors() map[string]bool {
	all := map[string]bool{}
	each(d, func(h *ast.Heading) {
		if id, ok := h.AttributeString("id"); ok {
			all[string(id.([]byte))] = true
		}
	})
	return all
}

// sentences splits prose where a sentence ends.
func sentences(prose string) []string {
	return regexp.MustCompile(`[.!?]["')]?\s+`).Split(strings.TrimSpace(prose), -1)
}

// A quantity is a number that was measured or counted: with a unit or a fraction.
var quantity = regexp.MustCompile(`[-+]?\d[\d,]*(\.\d+)?(e-?\d+)?(%| ?(ns|µs|ms|s|min|minutes?|hours?|[KMGT]i?B(/s)?|bytes?|times|calls?|samples?|replicates?|points?)\b)|\b\d+\.\d+(e-?\d+)?`)

func TestDocumentsAreShort(t *testing.T) {
	for _, d := range documents(t) {
		limit := 500
		if d.path == "README.md" {
			limit = 150
		}
		// Tables that are made are looked up and not read.
		if n := bytes.Count(madeTable.ReplaceAll(d.source, nil), []byte("\n")); n > limit {
			t.Errorf("%s has %d lines without tables that are made, want %d at most", d.path, n, limit)
		}
		check := func(n ast.Node) {
			for _, sentence := range sentences(d.prose(n)) {
				if n := len(strings.Fields(sentence)); n > 40 {
					t.Errorf("%s: a sentence of %d words: %s", d.path, n, sentence)
				}
				found := quantity.FindAllString(sentence, -1)
				if _, cell := n.(*east.TableCell); len(found) > 1 && !cell {
					t.Errorf("%s: a sentence with the numbers %q, of which all but one belong into a table: %s", d.path, found, sentence)
				}
			}
		}
		each(d, func(n *ast.Paragraph) { check(n) })
		each(d, func(n *ast.TextBlock) { check(n) })
		each(d, func(n *east.TableCell) { check(n) })
		var fenced bool
		for i, line := range strings.Split(string(d.source), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			if !fenced && !strings.HasPrefix(line, "|") && len([]rune(line)) > 120 {
				t.Errorf("%s:%d: a line of %d characters, want 120 at most", d.path, i+1, len([]rune(line)))
			}
		}
	}
}

// What the documents link to is there, headings too; and the README leads to every
// study and every other document.
func TestDocumentsLink(t *testing.T) {
	linked := map[string]bool{"README.md": true}
	each(readDocument(t, "README.md"), func(n *ast.Link) {
		file, _, _ := strings.Cut(string(n.Destination), "#")
		linked[file] = true
	})
	for _, pattern := range []string{"README.md", "*/README.md", "configs/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			if !linked[file] {
				t.Errorf("README.md has no link to %s", file)
			}
		}
	}
	for _, room := range []string{"pipeline", "stages", "notebooks"} {
		listed := map[string]bool{}
		each(readDocument(t, room+"/README.md"), func(n *ast.Link) {
			first, _, _ := strings.Cut(string(n.Destination), "/")
			listed[first] = true
		})
		entries, err := os.ReadDir(room)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && !listed[e.Name()] {
				t.Errorf("%s/README.md has no link to %s", room, e.Name())
			}
		}
	}
	sources := regexp.MustCompile("`([a-z]+(?:/[a-z]+)*/[a-z0-9_]+\\.go)`")
	for _, d := range documents(t) {
		for _, m := range sources.FindAllStringSubmatch(string(d.source), -1) {
			if _, err := os.Stat(m[1]); err == nil || d.path == "README.md" { // which tells what to write
				continue
			}
			if _, err := os.Stat(path.Join(path.Dir(d.path), m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", d.path, m[1])
			}
		}
	}
	follow := func(d document, destination string) {
		if strings.Contains(destination, "://") {
			return
		}
		file, anchor, _ := strings.Cut(destination, "#")
		target := d
		if file != "" {
			where := path.Join(path.Dir(d.path), file)
			if _, err := os.Stat(where); err != nil {
				t.Errorf("%s links to %s: %v", d.path, destination, err)
				return
			}
			if anchor == "" {
				return
			}
			target = readDocument(t, where)
		}
		if !target.anchors()[anchor] {
			t.Errorf("%s links to %s: no such heading", d.path, destination)
		}
	}
	for _, d := range documents(t) {
		each(d, func(n *ast.Link) { follow(d, string(n.Destination)) })
		each(d, func(n *ast.Image) { follow(d, string(n.Destination)) })
	}
}

// Files of a reader's own, which the documents speak of.
var readers = map[string]bool{"configs/mine.yaml": true, "configs/blocks.yaml": true}

var (
	call   = regexp.MustCompile(`(?m)(?:^|[\s(;&|$])(?:\./|bin/|bin/p100/)?barograph((?: +(?:'[^']*'|"[^"]*"|[^\s;&|)#'"]+))*)`)
	target = regexp.MustCompile(`(?m)(?:^|[\s(;&|])make((?: +[a-z0-9=_/-]+)*)`)
	goTool = regexp.MustCompile(`(?m)(?:^|[\s(;&|])go (?:run|test)((?: +(?:'[^']*'|[^\s;&|)#']+))+)`)
	word   = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)
)

func words(line string) (all []string) {
	for _, w := range word.FindAllString(line, -1) {
		all = append(all, strings.Trim(w, `'"`))
	}
	return all
}

// Every command that the documents name is one that the program, the Makefile or
// the tree has, with those flags and files.
func TestDocumentsCommand(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	exists := func(d document, file string) {
		file = strings.TrimPrefix(file, "./")
		top, _, below := strings.Cut(file, "/")
		if _, err := os.Stat(top); !below || err != nil || readers[file] || strings.ContainsAny(file, "*<{$") || file != strings.ToLower(file) && strings.ToUpper(file) == file {
			return
		}
		if top == "bin" || top == "results" || top == "figures" && !strings.Contains(file, "/h100/") && !strings.Contains(file, "/host/") {
			return // made
		}
		if _, err := os.Stat(file); err != nil && !strings.HasPrefix(file, "data/blocks") {
			t.Errorf("%s names %s, which is not there", d.path, file)
		}
	}
	commands := func(d document, code string) {
		code = strings.ReplaceAll(code, "\\\n", " ")
		for _, m := range call.FindAllStringSubmatch(code, -1) {
			args := words(m[1])
			if len(args) == 0 || seen[m[1]] {
				continue
			}
			seen[m[1]] = true
			for _, arg := range args {
				exists(d, arg)
			}
			if out, err := exec.Command("barograph", append(args, "--help")...).CombinedOutput(); err != nil {
				t.Errorf("%s: barograph%s: %v\n%s", d.path, m[1], err, out)
			}
		}
		for _, m := range target.FindAllStringSubmatch(code, -1) {
			for _, arg := range words(m[1]) {
				if !strings.Contains(arg, "=") && !strings.HasPrefix(arg, "-") && !strings.Contains("\n"+string(makefile), "\n"+arg+":") {
					t.Errorf("%s: make %s: the Makefile has no such target", d.path, arg)
				}
			}
		}
		for _, m := range goTool.FindAllStringSubmatch(code, -1) {
			goCommand(t, d.path, words(m[1]))
		}
	}
	for _, d := range documents(t) {
		each(d, func(n *ast.FencedCodeBlock) {
			if language := string(n.Language(d.source)); language == "sh" {
				commands(d, d.lines(n))
			}
		})
		each(d, func(n *ast.CodeSpan) {
			var code strings.Builder
			for c := n.FirstChild(); c != nil; c = c.NextSibling() {
				if text, ok := c.(*ast.Text); ok {
					code.Write(text.Value(d.source))
				}
			}
			commands(d, strings.ReplaceAll(code.String(), "\n", " "))
		})
	}
	if len(seen) < 20 {
		t.Errorf("only %d commands were found", len(seen))
	}
}

// goCommand holds a go command to the packages and tests that it names.
func goCommand(t *testing.T, where string, args []string) {
	t.Helper()
	var patterns, packages []string
	for i, arg := range args {
		switch {
		case strings.HasPrefix(arg, "./"):
			packages = append(packages, arg)
		case i > 0 && (args[i-1] == "-run" || args[i-1] == "-bench"):
			patterns = append(patterns, strings.Trim(arg, "^$"))
		}
	}
	var tests strings.Builder
	for _, p := range packages {
		dir := strings.TrimSuffix(p, "/...")
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("%s: go run or test of %s: no such package", where, p)
			continue
		}
		_ = filepath.WalkDir(dir, func(file string, _ os.DirEntry, err error) error {
			if strings.HasSuffix(file, "_test.go") {
				b, _ := os.ReadFile(file)
				tests.Write(b)
			}
			return err
		})
	}
	for _, p := range patterns {
		if p == "" || p == "NAME" {
			continue
		}
		pattern, err := regexp.Compile(`func (Test|Benchmark|Example)?\w*` + p)
		if err != nil || !pattern.MatchString(tests.String()) {
			t.Errorf("%s: no test matches %s in %v", where, p, packages)
		}
	}
}

// A study that a document shows is one that a reader can paste and plan.
func TestDocumentsStudies(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"configs", "notebooks"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	model, err := os.ReadFile("pipeline/cli/acceptance/testdata/tutorial/resnet.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "resnet.onnx"), model, 0o666); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range documents(t) {
		each(d, func(code *ast.FencedCodeBlock) {
			yaml := d.lines(code)
			name := regexp.MustCompile(`(?m)^study: (\w+)$`).FindStringSubmatch(yaml)
			if name == nil {
				return
			}
			n++
			file := filepath.Join(root, "configs", name[1]+".yaml")
			if err := os.WriteFile(file, []byte(yaml), 0o666); err != nil {
				t.Fatal(err)
			}
			for _, machine := range []string{"host", "sim"} {
				s, err := study.Load(file, study.Options{Kinds: stages.Kinds(), Machine: machine, Fingerprint: func(device string) string { return record.Fingerprint(device, gpu.Here()) }})
				if err != nil {
					t.Errorf("%s: %v", d.path, err)
					continue
				}
				if _, err := plan.Build(s); err != nil {
					t.Errorf("%s: %v", d.path, err)
				}
			}
		})
	}
	if n < 2 {
		t.Errorf("%d studies in the documents", n)
	}
}
