package source

import (
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

type written struct {
	One   int                `json:"one"`
	Parts []map[string]int   `json:"parts"`
	Maybe *int               `json:"maybe,omitempty"`
	Apart struct{ A, B int } `json:"apart" whole:"false"`
	Pair  [2]struct {
		X float64 `json:"x"`
	} `json:"pair"`
}

// What a program wrote is read with its places, and refused where a part is not there.
func TestReadJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	const all = `{"one": 1, "parts": [{"a": 2}], "apart": {},
 "pair": [{"x": 1}, {"x": 2}]}`
	for text, want := range map[string]string{
		all:                                   "",
		"{\n} more":                           ":2:3: invalid character 'm'",
		strings.Replace(all, "1,", "1.5,", 1): ":1:11: json: cannot unmarshal number 1.5",
		strings.Replace(all, `{"x": 2}`, "{}", 1):           `:2:21: missing key "x" in pair`,
		strings.Replace(all, `{"x": 2}`, "null", 1):         ":2:21: pair is null",
		strings.Replace(all, `"a": 2`, `"a": null`, 1):      ":1:28: a is null",
		strings.Replace(all, `"one"`, `"One"`, 1):           `:1:2: unknown key "One" in the written`,
		strings.Replace(all, `"x": 2`, `"x": 2, "y": 3`, 1): `:2:30: unknown key "y" in pair`,
		strings.Replace(all, `{},`, `{"C": 1},`, 1):         "",
		strings.Replace(all, `"a": 2`, `"a": 2, "a": 3`, 1): `:1:31: key "a" appears twice`,
		`{"parts": []}`: `:1:1: missing key "one" in the written`,
		`null`:          ":1:1: the written is null",
	} {
		filetest.Write(t, path, text)
		var v written
		n, err := ReadJSON(path, &v)
		switch {
		case want != "":
			if err == nil || !strings.Contains(err.Error(), path+want) {
				t.Errorf("%s: %v, want %s", text, err, want)
			}
		case err != nil || v.One != 1 || v.Parts[0]["a"] != 2 || v.Pair[1].X != 2 || n.At("parts", 0, "a").Pos() != (Pos{path, 1, 28}):
			t.Errorf("%s: %+v, %v", text, v, err)
		}
	}
	if _, err := ReadJSON(filepath.Dir(path), &written{}); err == nil || !strings.Contains(err.Error(), "no regular file but a folder") {
		t.Error(err)
	}
}
