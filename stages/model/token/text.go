// Package token makes tokens of texts, as Hugging Face's tokenizers do.
package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"barograph/pipeline/cell"
	"barograph/stages/asset"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/pretrained"
	"golang.org/x/text/unicode/norm"
)

// A Text draws tokens from a text: each sample of a call is one of its lines, in
// turn, tokenised, cut or padded to the length of the call. It is for inputs of
// two dimensions, batch and length.
type Text struct {
	File      string `json:"file" yaml:"file"`           // a line for each sample
	Tokenizer string `json:"tokenizer" yaml:"tokenizer"` // a Hugging Face tokenizer.json
	Part      string `json:"part" yaml:"part"`           // ids, mask or types
	// Digests of the two files: they decide what is drawn.
	FileSHA      string `json:"file_sha256"`
	TokenizerSHA string `json:"tokenizer_sha256"`

	root string
}

// Open finds the files of a text, relative to root.
func (x *Text) Open(root string) (err error) {
	x.root = root
	if x.FileSHA, err = digest(under(root, x.File)); err != nil {
		return err
	}
	if x.TokenizerSHA, err = digest(under(root, x.Tokenizer)); err != nil {
		return err
	}
	if _, err := x.tokenizer(); err != nil {
		return err
	}
	_, err = x.lines()
	return err
}

// under resolves a path, absolute or relative to root.
func under(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

// lines returns those of the text, without empty ones before and after.
func (x *Text) lines() ([]string, error) {
	text, err := os.ReadFile(under(x.root, x.File))
	if err != nil {
		return nil, err
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if lines[0] == "" {
		return nil, fmt.Errorf("text %s has no line", x.File)
	}
	for i, line := range lines {
		if !utf8.ValidString(line) {
			return nil, cell.Hint(fmt.Errorf("line %d of %s is no UTF-8", i+1, x.File), "convert it, for example with iconv -f latin1 -t utf8")
		}
		lines[i] = strings.TrimSuffix(line, "\r")
	}
	return lines, nil
}

// digest is the SHA-256 of a regular file.
func digest(path string) (string, error) {
	if _, err := cell.Regular(path); err != nil {
		return "", err
	}
	return asset.Digest(path)
}

// tokenizers holds those that were read, by digest: a vocabulary takes a while.
var tokenizers sync.Map

// A wordPiece is a tokenizer, and what happens to a text before it.
type wordPiece struct {
	*tokenizer.Tokenizer
	normalise func(string) string // nil: nothing
	own       []string            // tokens that the model has for itself, such as [CLS]
}

func (x *Text) tokenizer() (w *wordPiece, err error) {
	if w, ok := tokenizers.Load(x.TokenizerSHA); ok {
		return w.(*wordPiece), nil
	}
	defer func() {
		if err != nil {
			w, err = nil, fmt.Errorf("read tokenizer %s: %w", x.Tokenizer, err)
		}
	}()
	defer recovered(&err)
	data, err := os.ReadFile(under(x.root, x.Tokenizer))
	if err != nil {
		return nil, err
	}
	var config struct {
		Model struct {
			Type string `json:"type"`
		} `json:"model"`
		Normalizer *struct {
			Type string `json:"type"`
			bertNormaliser
		} `json:"normalizer"`
		Added []struct {
			Content string `json:"content"`
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, err
	}
	if kind := config.Model.Type; kind != "WordPiece" {
		return nil, cell.Hint(fmt.Errorf("its model is %q, and only WordPiece, BERT's, is known here", kind), "draw tokens at random for this model: values: {uniform: [0, SIZE]}")
	}
	n := config.Normalizer
	if n != nil && n.Type != "BertNormalizer" {
		return nil, fmt.Errorf("its normalizer is %q, and only BertNormalizer is known here", n.Type)
	}
	t, err := pretrained.FromReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	w = &wordPiece{Tokenizer: t}
	if n != nil {
		w.normalise = n.apply
		t.WithNormalizer(nil)
	}
	for _, a := range config.Added {
		w.own = append(w.own, a.Content)
	}
	t.WithPadding(nil) // padding and cutting are done here, to the length of the call
	t.WithTruncation(nil)
	tokenizers.Store(x.TokenizerSHA, w)
	return w, nil
}

// A bertNormaliser does to a text what BERT's tokenizer does first, as
// https://github.com/google-research/bert/blob/master/tokenization.py; the
// library's own loses its way where that makes a text longer or shorter.
type bertNormaliser struct {
	Clean   bool  `json:"clean_text"`
	Chinese bool  `json:"handle_chinese_chars"`
	Strip   *bool `json:"strip_accents"` // nil: where case is lowered
	Lower   bool  `json:"lowercase"`
}

func (n *bertNormaliser) apply(text string) string {
	strip := n.Lower
	if n.Strip != nil {
		strip = *n.Strip
	}
	if strip {
		text = norm.NFD.String(text)
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case n.Clean && (r == '\t' || r == '\n' || r == '\r'):
			b.WriteByte(' ')
		case n.Clean && (r == utf8.RuneError || unicode.In(r, unicode.C)): // other controls, though they be space
		case n.Clean && unicode.IsSpace(r):
			b.WriteByte(' ')
		case strip && unicode.Is(unicode.Mn, r):
		case n.Chinese && unicode.Is(ideographs, r):
			b.WriteString(" " + string(r) + " ")
		case n.Lower:
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ideographs are the blocks of characters that each are a word of their own.
var ideographs = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x3400, Hi: 0x4dbf, Stride: 1}, {Lo: 0x4e00, Hi: 0x9fff, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1}},
	R32: []unicode.Range32{
		{Lo: 0x20000, Hi: 0x2a6df, Stride: 1}, {Lo: 0x2a700, Hi: 0x2b73f, Stride: 1}, {Lo: 0x2b740, Hi: 0x2b81f, Stride: 1},
		{Lo: 0x2b820, Hi: 0x2ceaf, Stride: 1}, {Lo: 0x2f800, Hi: 0x2fa1f, Stride: 1},
	},
}

// recovered turns a panic into an error: the library panics at what it has not
// implemented, and at what no tokenizer should hold.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%v", r)
	}
}

func (w *wordPiece) encode(line string) (e *tokenizer.Encoding, err error) {
	defer recovered(&err)
	for _, token := range w.own {
		if token != "" && strings.Contains(line, token) { // the library finds some of them, and takes others for text
			return nil, fmt.Errorf("it holds %q, which is a token of the model's own", token)
		}
	}
	if w.normalise != nil {
		line = w.normalise(line)
	}
	return w.EncodeSingle(line, true)
}

// Draw returns one part of the tokens of batch lines, each length long, and how
// many of them were cut to that.
func (x *Text) Draw(batch, length int64) (tokens []int64, cut int, err error) {
	lines, err := x.lines()
	if err != nil {
		return nil, 0, err
	}
	t, err := x.tokenizer()
	if err != nil {
		return nil, 0, err
	}
	tokens = make([]int64, batch*length)
	for b := range batch {
		e, err := t.encode(lines[int(b)%len(lines)])
		if err != nil {
			return nil, 0, fmt.Errorf("tokenise line %d of %s: %w", int(b)%len(lines)+1, x.File, err)
		}
		var part []int
		switch x.Part {
		case "ids":
			part = e.GetIds()
		case "mask":
			part = e.GetAttentionMask()
		case "types":
			part = e.GetTypeIds()
		}
		row := tokens[b*length:][:length]
		if x.Part == "ids" {
			if id, ok := t.TokenToId("[PAD]"); ok {
				for i := range row {
					row[i] = int64(id)
				}
			}
		}
		for i, v := range part[:min(len(part), int(length))] {
			row[i] = int64(v)
		}
		if last := len(part); last > int(length) { // the token that ends a text stays
			row[length-1] = int64(part[last-1])
			cut++
		}
	}
	return tokens, cut, nil
}

// Check tells what is wrong with a text for an input of a type and dimensions.
func (x *Text) Check(kind string, dims []string) error {
	switch {
	case kind != "int64" || len(dims) != 2:
		return errors.New("text is for int64 with two dimensions, batch and length")
	case x.Part != "ids" && x.Part != "mask" && x.Part != "types":
		return cell.Hint(fmt.Errorf("unknown part %q of a text", x.Part), "parts are ids, mask and types")
	}
	return nil
}
