package token

import (
	"os"
	"path/filepath"
	"testing"
)

const wordpiece = `{"version": "1.0", "normalizer": {"type": "BertNormalizer", "clean_text": true, "lowercase": true},
"pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
"vocab": {"[PAD]": 0, "[UNK]": 1, "a": 2, "##b": 3}}}`

// Whatever a tokenizer and a text hold, there are as many tokens as were asked
// for, or an error.
func FuzzText(f *testing.F) {
	f.Add(wordpiece, "ab a b\n\u00e4\n")
	f.Add(`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}`, "a")
	f.Add(`{"model": {}}`, "")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, config, text string) {
		for name, b := range map[string]string{"t.json": config, "text": text} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		tokenizers.Clear()
		for _, part := range []string{"ids", "mask", "types"} {
			x := Text{File: "text", Tokenizer: "t.json", Part: part, root: dir}
			if tokens, _, err := x.Draw(3, 5); err == nil && len(tokens) != 15 {
				t.Errorf("%d %s", len(tokens), part)
			}
		}
	})
}
