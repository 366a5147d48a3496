package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"barograph/pipeline/cell"
	"barograph/stages/asset"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/normalizer"
	"github.com/sugarme/tokenizer/pretrained"
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

// open finds the files of a text, relative to root.
func (x *Text) open(root string) (err error) {
	x.root = root
	if x.FileSHA, err = digest(under(root, x.File)); err != nil {
		return err
	}
	x.TokenizerSHA, err = digest(under(root, x.Tokenizer))
	return err
}

// digest is the SHA-256 of a regular file.
func digest(path string) (string, error) {
	if _, err := regular(path); err != nil {
		return "", err
	}
	return asset.Digest(path)
}

// regular looks at a file. What is none is an error, such as a pipe, which cannot
// be opened before someone writes to it.
func regular(path string) (os.FileInfo, error) {
	fi, err := os.Stat(path)
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	return fi, err
}

// tokenizers holds those that were read, by digest: a vocabulary takes a while.
var tokenizers sync.Map

func (x *Text) tokenizer() (t *tokenizer.Tokenizer, err error) {
	if t, ok := tokenizers.Load(x.TokenizerSHA); ok {
		return t.(*tokenizer.Tokenizer), nil
	}
	defer func() {
		if err != nil {
			t, err = nil, fmt.Errorf("read tokenizer %s: %w", x.Tokenizer, err)
		}
	}()
	defer recovered(&err)
	data, err := os.ReadFile(under(x.root, x.Tokenizer))
	if err != nil {
		return nil, err
	}
	if t, err = pretrained.FromReader(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	// BERT strips accents where it lowers case, unless it is told otherwise. The
	// library takes its being told nothing for a no, and strips only those that
	// are characters of their own, which NFD makes of them.
	var config struct {
		Normalizer struct {
			StripAccents *bool `json:"strip_accents"`
		} `json:"normalizer"`
	}
	if n, ok := t.GetNormalizer().(*normalizer.BertNormalizer); ok {
		if err := json.Unmarshal(data, &config); err != nil {
			return nil, err
		}
		if config.Normalizer.StripAccents == nil {
			n.StripAccents = n.Lowercase
		}
		if n.StripAccents {
			t.WithNormalizer(normalizer.NewSequence([]normalizer.Normalizer{normalizer.NewNFD(), n}))
		}
	}
	t.WithPadding(nil) // padding and cutting are done here, to the length of the call
	t.WithTruncation(nil)
	tokenizers.Store(x.TokenizerSHA, t)
	return t, nil
}

// recovered turns a panic into an error: the library panics at what it has not
// implemented, and at what no tokenizer should hold.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%v", r)
	}
}

func encode(t *tokenizer.Tokenizer, line string) (e *tokenizer.Encoding, err error) {
	defer recovered(&err)
	if !utf8.ValidString(line) {
		return nil, cell.Hint(errors.New("it is no UTF-8"), "convert it, for example with iconv -f latin1 -t utf8")
	}
	return t.EncodeSingle(line, true)
}

// draw returns one part of the tokens of batch lines, each length long.
func (x *Text) draw(batch, length int64) ([]int64, error) {
	text, err := os.ReadFile(under(x.root, x.File))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if lines[0] == "" {
		return nil, fmt.Errorf("text %s has no line", x.File)
	}
	t, err := x.tokenizer()
	if err != nil {
		return nil, err
	}
	tokens := make([]int64, batch*length)
	for b := range batch {
		e, err := encode(t, strings.TrimSuffix(lines[int(b)%len(lines)], "\r"))
		if err != nil {
			return nil, fmt.Errorf("tokenise line %d of %s: %w", int(b)%len(lines)+1, x.File, err)
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
		}
	}
	return tokens, nil
}

// check tells what is wrong with a text for an input.
func (x *Text) check(in *Input) error {
	switch {
	case in.Type != "int64" || len(in.Dims) != 2:
		return errors.New("text is for int64 with two dimensions, batch and length")
	case x.Part != "ids" && x.Part != "mask" && x.Part != "types":
		return cell.Hint(fmt.Errorf("unknown part %q of a text", x.Part), "parts are ids, mask and types")
	}
	return nil
}
