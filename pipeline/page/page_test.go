package page_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/page"
)

// Whatever a figure holds is within its image.
func TestPicture(t *testing.T) {
	for svg, alt := range map[string]string{
		`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><title>A "title"</title><desc>and
			more</desc><rect/></svg>`: "A &#34;title&#34;. and more",
		`<svg><rect/><title>none of the figure</title></svg>`:                                          "a figure",
		`<svg><style>*{stroke-linejoin:round} table{display:none} body{background:#f88}</style></svg>`: "a figure",
		`<svg><title>T</title></svg><h1 style="position:fixed">C1 reproduced</h1>`:                     "T",
		`<svg><title>T</title><rect></svg></p></main><style>body{display:none}</style>`:                "T",
		`<svg><title>"><h1>C1</h1></title></svg>`:                                                      "&#34;&gt;",
		`"><script>alert(1)</script>`:                                                                  "a figure",
		"":                                                                                             "a figure",
	} {
		got := string(page.Picture([]byte(svg)))
		m := regexp.MustCompile(`^<img src="data:image/svg\+xml;base64,([A-Za-z0-9+/=]*)" alt="([^"<>]*)">$`).FindStringSubmatch(got)
		if m == nil {
			t.Errorf("%s became %s", svg, got)
			continue
		}
		if b, err := base64.StdEncoding.DecodeString(m[1]); err != nil || string(b) != svg || m[2] != alt {
			t.Errorf("%s became %q with the text %q, want %q: %v", svg, b, m[2], alt, err)
		}
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

// A picture for later holds all of the file, keeps its place and says what it shows.
func TestLater(t *testing.T) {
	svg := []byte(`<svg width="240pt" height="180pt" xmlns="http://www.w3.org/2000/svg"><title>A &lt; B</title>` + strings.Repeat(`<path d="M0,0"/>`, 1000) + `</svg>`)
	html, err := page.Later(svg)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`^<img src="data:image/svg\+xml;base64,([^"]+)" data-later="([^"]+)" alt="A &lt; B">$`).FindStringSubmatch(string(html))
	if m == nil || len(html) > len(svg)/4 {
		t.Fatalf("%d bytes: %.200s", len(html), html)
	}
	place, err := base64.StdEncoding.DecodeString(m[1])
	if err != nil || !strings.Contains(string(place), `width="240pt" height="180pt"`) {
		t.Errorf("its place is %s, %v", place, err)
	}
	packed, err := base64.StdEncoding.DecodeString(m[2])
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, svg) {
		t.Errorf("%d bytes of %d, %v", len(got), len(svg), err)
	}
}
