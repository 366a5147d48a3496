package page_test

import (
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/page"
)

func TestInlineSVG(t *testing.T) {
	got := string(page.InlineSVG([]byte(`<?xml version="1.0"?>
<!-- made -->
<svg width="10pt" height="5pt" viewBox="0 0 10 5" aria-labelledby="title desc"><title id="title">T</title><desc id="desc">D</desc>
<style>@font-face{font-family:"Liberation Sans";}</style><clipPath id="c"/><g clip-path="url(#c)"><use href="#c"/></g>
<text style="font-family:'Liberation Sans',Arial">x</text></svg>`), "f1"))
	want := `<svg viewBox="0 0 10 5" aria-labelledby="f1-title f1-desc"><title id="f1-title">T</title><desc id="f1-desc">D</desc>
<style>@font-face{font-family:"Liberation Sans f1";}</style><clipPath id="f1-c"/><g clip-path="url(#f1-c)"><use href="#f1-c"/></g>
<text style="font-family:'Liberation Sans f1',Arial">x</text></svg>`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	if err := page.Write(&b, page.Page{Title: "<T>", Body: "<p>body</p>", Scripts: []string{`x = "</script>"`}}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), page.Begins) {
		t.Error("the page begins otherwise")
	}
	for _, want := range []string{"<title>&lt;T&gt;</title>", "<p>body</p>", `x = "<\/script>"`, "default-src &#39;none&#39;", "script-src &#39;sha256-"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(b.String(), "connect-src") {
		t.Error("a page that is not live may connect")
	}
}

func TestBlocks(t *testing.T) {
	got := page.Blocks("study\n\nlevel  n\n    0  9\n\n\na long sentence; another\nwarning: doubt\n")
	want := []page.Block{{"study", false}, {"level  n\n    0  9", true}, {"a long sentence; another\nwarning: doubt", false}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := page.Blocks("\n"); got != nil {
		t.Errorf("of nothing, %+v", got)
	}
}

func TestShell(t *testing.T) {
	for word, want := range map[string]string{"a/b-c=1.5": "a/b-c=1.5", "": "''", `x="a b"`: `'x="a b"'`, "it's": `'it'\''s'`} {
		if got := page.Shell(word); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 23 << 30: "23.0 GiB"} {
		if got := page.Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
