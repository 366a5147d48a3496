package token

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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
		{put("late", "\n \r\n\na\n\xe9\n"), good, "line 5 of late is no UTF-8"},
		{put("blank", " \n\n"), good, "has no line"},
		{dir, good, "no regular file"},
		{"none", good, "no such file"},
		{text, put("bigram.json", `{"model": {"type": "Bigram"}}`), `read tokenizer bigram.json: its model is "Bigram", which is not known here`},
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
	for part, want := range map[string][]int64{"mask": {1, 1, 0, 0, 0, 0, 1, 1, 1}, "types": make([]int64, 9)} {
		x.Part = part
		if got, _, err := x.Draw(3, 3); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s %v, %v, want %v", part, got, err, want)
		}
	}
	// Lines count as they stand in the file.
	unknown := put("unknown.json", strings.Replace(wordpiece, `"[UNK]": 1, `, "", 1))
	x = Text{File: put("below", "\n\na\nc\n"), Tokenizer: unknown, Part: "ids"}
	if err := x.Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Draw(2, 3); err == nil || !strings.Contains(err.Error(), `tokenise line 4 of below: its vocabulary lacks its unk_token "[UNK]"`) {
		t.Errorf("a word without token: %v", err)
	}
}
