package display_test

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

// TestRender wants a page that is one file, holds what the run left, is the same
// when it is written again, and shows a later run where something has changed.
func TestRender(t *testing.T) {
	workspace := t.TempDir()
	t.Chdir(workspace)
	write(t, "data/x.csv", "a,b\n1,x\n2,<script>alert(1)</script>\n")
	source := strings.Replace(program(`	// %% [markdown] First & foremost
	//
	// Some *prose*, with <script>alert(2)</script> and $x < y$.
	x := nb.Samples("x.csv")
	fmt.Println("seen", x.Len())

	// %% Table
	nb.Table("t.csv", [][]string{{"name", "n"}, {"</td><b>", "2"}})
	nb.Warn("doubt %d", nb.Int("level", 3))
	nb.Note("note")
	nb.Summary("in short")`), "package main", "// Sum adds up.\npackage main", 1)
	write(t, "notebooks/sum/main.go", source)
	render := func() string {
		t.Helper()
		if _, log, err := command(t, "render", "sum", "--data", "data", "-o", "page.html", "--param", "level=2"); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		return string(filetest.Read(t, "page.html"))
	}
	page := render()
	for _, want := range []string{
		"<p>Sum adds up.</p>", "First &amp; foremost</h2>", "Some <em>prose</em>", "seen 2", "doubt 2", "in short", "&lt;/td&gt;&lt;b&gt;",
		"barograph notebook run sum --data data --param level=2", "Parameter level", "data:text/csv;base64," + base64.StdEncoding.EncodeToString([]byte("name,n\n</td><b>,2\n")),
	} {
		if !strings.Contains(strings.ReplaceAll(page, "&#43;", "+"), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, never := range []string{"<script", "http:", "https:", "src=\"/", workspace} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q: %.300s", never, page[strings.Index(page, never):])
		}
	}
	if tables := strings.Count(page, "<table>"); tables != 2 {
		t.Errorf("%d tables", tables)
	}
	wellFormed(t, page)

	kept, err := filepath.Glob(".barograph/notebooks/sum-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	before, err := os.Stat(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	if render() != page {
		t.Error("a second page differs")
	}
	again, err := os.Stat(kept[0])
	if err != nil || !os.SameFile(before, again) {
		t.Errorf("the notebook was run again, %v", err)
	}
	write(t, kept[0]+"/t.csv", "damaged")
	if render() != page {
		t.Error("a damaged output was shown")
	}
	write(t, "data/x.csv", "a,b\n1,x\n")
	if changed := render(); !strings.Contains(changed, "seen 1") {
		t.Error("data changed, and the page shows the old")
	}
}

// TestRenderFigure wants the figure in the page, as an image with its title.
func TestRenderFigure(t *testing.T) {
	to := filepath.Join(t.TempDir(), "page.html")
	t.Chdir("../../..")
	if _, log, err := command(t, "render", "figure2", "--data", "data/paper/host", "-o", to); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	page := string(filetest.Read(t, to))
	m := regexp.MustCompile(`<figure>\s*<img src="data:image/svg\+xml;base64,[^"]+" alt="([^"]+)">`).FindStringSubmatch(page)
	if m == nil || m[1] == "a figure" {
		t.Fatalf("no figure with a title: %.200q", m)
	}
	if !strings.Contains(page, `download="figure2.csv"`) {
		t.Error("the CSV behind the figure is not linked")
	}
}

// wellFormed parses markup as strictly as XML, void elements aside.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	text = regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(text, "")
	d := xml.NewDecoder(strings.NewReader(strings.Replace(text, "<!doctype html>", "", 1)))
	d.AutoClose, d.Entity, d.Strict = xml.HTMLAutoClose, xml.HTMLEntity, false
	ids := map[string]bool{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Errorf("the page is not well formed: %v", err)
			return
		}
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				if a.Name.Local == "id" && ids[a.Value] {
					t.Errorf("two elements have the id %q", a.Value)
				}
				ids[a.Value] = ids[a.Value] || a.Name.Local == "id"
			}
		}
	}
}
