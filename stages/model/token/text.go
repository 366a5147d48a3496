// Package token makes tokens of texts, as Hugging Face's tokenizers do.
package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
)

// A Text draws tokens from a text: each sample of a call is one of its lines, in
// turn, tokenised, cut or padded to the length of the call. It is for inputs of
// two dimensions, batch and length.
type Text struct {
	File      string `json:"file" required:"true"`      // a line for each sample
	Tokenizer string `json:"tokenizer" required:"true"` // a Hugging Face tokenizer.json
	Part      string `json:"part" required:"true"`      // ids, mask or types
	// Digests of the two files: they decide what is drawn.
	FileSHA      string `json:"file_sha256"`
	TokenizerSHA string `json:"tokenizer_sha256"`
	Version      int    `json:"version"` // of this package, likewise: it changes when the same files give other tokens

	root string
}

// Open finds the files of a text, relative to root.
func (x *Text) Open(root string) (err error) {
	x.root, x.Version = root, 2
	if x.FileSHA, err = digest(under(root, x.File)); err != nil {
		return err
	}
	if x.TokenizerSHA, err = digest(under(root, x.Tokenizer)); err != nil {
		return err
	}
	if _, err := x.tokenizer(); err != nil {
		return err
	}
	_, _, err = x.lines()
	return err
}

// under resolves a path, absolute or relative to root.
func under(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

// lines returns those of the text, without blank ones before and after, and the number
// of the first in the file.
func (x *Text) lines() (lines []string, first int, err error) {
	text, err := os.ReadFile(under(x.root, x.File))
	if err != nil {
		return nil, 0, err
	}
	lines = strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n")
	for i, line := range lines {
		if !utf8.ValidString(line) {
			return nil, 0, cell.Hint(fmt.Errorf("line %d of %s is no UTF-8", i+1, x.File), "convert it, for example with iconv -f latin1 -t utf8")
		}
		lines[i] = strings.TrimSuffix(line, "\r")
	}
	blank := func(line string) bool { return strings.TrimSpace(line) == "" }
	begin := slices.IndexFunc(lines, func(line string) bool { return !blank(line) })
	if begin < 0 {
		return nil, 0, fmt.Errorf("text %s has no line", x.File)
	}
	end := len(lines)
	for blank(lines[end-1]) {
		end--
	}
	return lines[begin:end], begin + 1, nil
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

func (x *Text) tokenizer() (*Tokenizer, error) {
	if t, ok := tokenizers.Load(x.TokenizerSHA); ok {
		return t.(*Tokenizer), nil
	}
	data, err := os.ReadFile(under(x.root, x.Tokenizer))
	if err != nil {
		return nil, err
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read tokenizer %s: %w", x.Tokenizer, err)
	}
	tokenizers.Store(x.TokenizerSHA, t)
	return t, nil
}

// Draw returns one part of the tokens of batch lines, each length long, and how
// many of them were cut to that.
func (x *Text) Draw(batch, length int64) (tokens []int64, cut int, err error) {
	lines, first, err := x.lines()
	if err != nil {
		return nil, 0, err
	}
	t, err := x.tokenizer()
	if err != nil {
		return nil, 0, err
	}
	for b := range int(batch) {
		e, err := t.Encode(lines[b%len(lines)], int(length))
		if err != nil {
			return nil, 0, fmt.Errorf("tokenise line %d of %s: %w", first+b%len(lines), x.File, err)
		}
		if e.Cut {
			cut++
		}
		tokens = append(tokens, map[string][]int64{"ids": e.IDs, "mask": e.Mask, "types": e.Types}[x.Part]...)
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
