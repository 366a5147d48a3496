package token

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Tokenizers of the shapes that models ship with give the tokens that Hugging Face's
// library gives, and fit them to a length as it does; shapes.py beside the results says
// how they were made.
func TestShapes(t *testing.T) {
	var want struct {
		Lines  []string
		Length int
		Shapes []struct {
			Name      string
			Tokenizer json.RawMessage
			IDs       [][]int
			Fitted    [][3][]int64 // tokens, mask, types
		}
	}
	f, err := os.Open("testdata/shapes.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err == nil {
		err = json.NewDecoder(z).Decode(&want)
	}
	if err != nil || len(want.Lines) < 150 || len(want.Shapes) < 16 {
		t.Fatalf("%d lines, %d shapes: %v", len(want.Lines), len(want.Shapes), err)
	}
	for _, shape := range want.Shapes {
		t.Run(shape.Name, func(t *testing.T) {
			tokenizer, err := Parse(shape.Tokenizer)
			if err != nil {
				t.Fatal(err)
			}
			whole := *tokenizer
			whole.truncation, whole.padding = nil, padding{}
			for i, line := range want.Lines {
				ids := shape.IDs[i]
				got, err := whole.Encode(line, len(ids))
				if err != nil || got.Cut || !slices.EqualFunc(got.IDs, ids, func(a int64, b int) bool { return a == int64(b) }) {
					t.Errorf("%+q gives %v, %v, want %v", line, got, err, ids)
				}
				fit, err := tokenizer.Encode(line, want.Length)
				long := len(ids) > want.Length || tokenizer.truncation != nil && len(ids) > tokenizer.truncation.Most
				if w := shape.Fitted[i]; err != nil || !slices.Equal(fit.IDs, w[0]) || !slices.Equal(fit.Mask, w[1]) || !slices.Equal(fit.Types, w[2]) || fit.Cut != long {
					t.Errorf("%+q of %d tokens gives %v, %v, want %v", line, want.Length, fit, err, w)
				}
			}
		})
	}
}

// Every character belongs to the classes to which the library assigns it, and becomes
// what it becomes there.
func TestCharacters(t *testing.T) {
	var want struct {
		Classes map[string][][2]rune
		Changes map[string]string
	}
	data, err := os.ReadFile("testdata/characters.json")
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	all := func(each func(r rune)) {
		for r := range rune(unicode.MaxRune + 1) {
			if r < 0xd800 || r >= 0xe000 {
				each(r)
			}
		}
	}
	for name, is := range map[string]func(rune) bool{
		"punctuation": isPunctuation, "mark": isMark, "numeric": isNumeric, "space": unicode.IsSpace,
		"word":   func(r rune) bool { return isWord(r) || unicode.IsSpace(r) },
		"letter": func(r rune) bool { return unicode.IsLetter(standIn(r)) },
		"number": func(r rune) bool { return unicode.IsNumber(standIn(r)) },
	} {
		var got [][2]rune
		all(func(r rune) {
			switch last := len(got) - 1; {
			case !is(r):
			case last >= 0 && got[last][1] == r-1:
				got[last][1] = r
			default:
				got = append(got, [2]rune{r, r})
			}
		})
		if !slices.Equal(got, want.Classes[name]) {
			for _, r := range got {
				if !slices.Contains(want.Classes[name], r) {
					t.Errorf("%s: %x to %x is not so in the library", name, r[0], r[1])
				}
			}
			t.Errorf("%s: %d ranges, want %d", name, len(got), len(want.Classes[name]))
		}
	}
	yes := true
	for name, change := range map[string]func(string) string{
		"clean": (&part{Clean: true}).bert, "chinese": (&part{Chinese: true}).bert, "accents": (&part{Accents: &yes}).bert, "lower": lower,
		"NFC": form(norm.NFC), "NFD": form(norm.NFD), "NFKC": form(norm.NFKC), "NFKD": form(norm.NFKD),
	} {
		h := sha256.New()
		all(func(r rune) {
			// Behind a letter, with which some marks join.
			if after := []rune(change("a" + string(r)))[1:]; string(after) != string(r) {
				var hex []string
				for _, c := range after {
					hex = append(hex, fmt.Sprintf("%x", c))
				}
				fmt.Fprintf(h, "%x %s\n", r, strings.Join(hex, " "))
			}
		})
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != want.Changes[name] {
			t.Errorf("%s: other characters become something else than in the library", name)
		}
	}
}

// What is not known is refused by its name.
func TestRefused(t *testing.T) {
	model := `"model": {"type": "WordLevel", "vocab": {"a": 0, "<unk>": 1}, "unk_token": "<unk>"}`
	for file, want := range map[string]string{
		`{}`: "it has no model",
		`{"model": {"type": "Bigram", "vocab": {}}}`:                                                       `its model is "Bigram", which is not known here`,
		`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}`:                      "dropout",
		`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}`:                                 `lacks what it merges, "a" and "b"`,
		`{"model": {"type": "Unigram", "unk_id": 1, "vocab": [["a", 0]]}}`:                                 "its unk_id 1 is beyond its vocabulary of 1",
		`{"normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}]}, ` + model + `}`:            `its normalizer is "Nmt"`,
		`{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, ` + model + `}`:           "cut short",
		`{"pre_tokenizer": {"type": "UnicodeScripts"}, ` + model + `}`:                                     `its pre_tokenizer is "UnicodeScripts"`,
		`{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "X"}, ` + model + `}`: "its pattern is not known here",
		`{"pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "X"}, ` + model + `}`: `its pre_tokenizer's behavior is "X"`,
		`{"pre_tokenizer": {"type": "Metaspace", "replacement": "__"}, ` + model + `}`:                     "takes one character",
		`{"post_processor": {"type": "Pair"}, ` + model + `}`:                                              `its post_processor is "Pair"`,
		`{"post_processor": {"type": "TemplateProcessing", "single": []}, ` + model + `}`:                  "has the text 0 times",
		`{"padding": {"direction": "Up"}, ` + model + `}`:                                                  `its direction is "Up"`,
	} {
		if _, err := Parse([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

// Classes within a class are one, and what else Oniguruma knows there is refused.
func TestFlatten(t *testing.T) {
	for text, want := range map[string]string{
		` ?[^(\s|[.,!?…])]+`: ` ?[^(\s|.,!?…)]+`,
		`[a[b[c]]d]e]`:       `[abcd]e]`,
		`[\[a]\[[\]b]`:       `[\[a]\[[\]b]`,
		`[^\r\n\p{L}]?\p{L}`: `[^\r\n\p{L}]?\p{L}`,
	} {
		if got, err := flatten(text); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{`[a[^b]]`, `[[:alpha:]_]`, `[a-z&&[aeiou]]`} {
		if got, err := flatten(text); err == nil || !strings.Contains(err.Error(), "within a class") {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}
