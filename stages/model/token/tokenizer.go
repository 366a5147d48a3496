package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Tokenizer makes tokens of texts as tokenizer.json says, a file of Hugging Face's
// library: what it adds is found, the rest normalised, split, looked up, and put into
// a template.
type Tokenizer struct {
	verbatim, normalised []addedToken // tokens to find before and after normalisation
	normalise            func(string) string
	split                func(piece) []piece
	vocabulary           vocabulary
	templates            []template
	truncation           *truncation
	padding              padding
}

// An addedToken is found in a text whatever the vocabulary does.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	Word       bool   `json:"single_word"`
	Left       bool   `json:"lstrip"`
	Right      bool   `json:"rstrip"`
	Normalised bool   `json:"normalized"`
}

// A template says what stands around a text's tokens, which it has once.
type template struct {
	before, after []slot
	kind          int // of the text's tokens
}

// A slot is a token with its type.
type slot struct{ id, kind int }

// A truncation says how a text that is too long is cut.
type truncation struct {
	Direction string `json:"direction"`
	Most      int    `json:"max_length"`
	Strategy  string `json:"strategy"`
}

// A padding says what fills up a text that is too short.
type padding struct {
	Direction string `json:"direction"`
	ID        int    `json:"pad_id"`
	Kind      int    `json:"pad_type_id"`
}

// Parse reads a tokenizer.json. What is not known here is an error that names it.
func Parse(data []byte) (*Tokenizer, error) {
	var y struct {
		Truncation *truncation     `json:"truncation"`
		Padding    *padding        `json:"padding"`
		Added      []addedToken    `json:"added_tokens"`
		Normalizer *part           `json:"normalizer"`
		Splitter   *part           `json:"pre_tokenizer"`
		Processor  *processor      `json:"post_processor"`
		Model      json.RawMessage `json:"model"`
	}
	if err := json.Unmarshal(data, &y); err != nil {
		return nil, err
	}
	if len(y.Model) == 0 {
		return nil, errors.New("it has no model")
	}
	t := &Tokenizer{truncation: y.Truncation}
	var err error
	if t.vocabulary, err = readVocabulary(y.Model); err != nil {
		return nil, err
	}
	if t.normalise, err = y.Normalizer.normaliser(); err != nil {
		return nil, err
	}
	if t.split, err = y.Splitter.splitter(); err != nil {
		return nil, err
	}
	if t.templates, err = y.Processor.templates(); err != nil {
		return nil, err
	}
	for _, a := range y.Added {
		if a.Normalised {
			a.Content = t.normalise(a.Content)
			t.normalised = append(t.normalised, a)
		} else {
			t.verbatim = append(t.verbatim, a)
		}
	}
	switch {
	case y.Padding != nil:
		t.padding = *y.Padding
	default: // the file leaves it to the program
		t.padding.ID = t.filler(y.Added)
	}
	for _, direction := range []string{t.padding.Direction, t.truncated().Direction} {
		if direction != "" && direction != "Left" && direction != "Right" {
			return nil, unknown("direction", direction)
		}
	}
	return t, nil
}

// filler returns the token that fills up where the file names none: the one for it by
// its name, or the one that ends a text, and else 0.
func (t *Tokenizer) filler(all []addedToken) int {
	for _, name := range []string{"[PAD]", "<pad>", "<|endoftext|>", "</s>"} {
		if i := slices.IndexFunc(all, func(a addedToken) bool { return a.Content == name }); i >= 0 {
			return all[i].ID
		}
		if id, ok := t.vocabulary.id(name); ok {
			return id
		}
	}
	return 0
}

func (t *Tokenizer) truncated() truncation {
	if t.truncation == nil {
		return truncation{}
	}
	return *t.truncation
}

// A processor is the post_processor of a tokenizer.json.
type processor struct {
	Type       string       `json:"type"`
	Processors []*processor `json:"processors"`
	CLS        *special     `json:"cls"`
	SEP        *special     `json:"sep"`
	Single     []struct {
		Sequence *struct {
			Kind int `json:"type_id"`
		} `json:"Sequence"`
		Special *struct {
			ID   string `json:"id"`
			Kind int    `json:"type_id"`
		} `json:"SpecialToken"`
	} `json:"single"`
	Special map[string]struct {
		IDs []int `json:"ids"`
	} `json:"special_tokens"`
}

// A special token is ["text", number].
type special struct {
	text string
	id   int
}

func (n *special) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &[]any{&n.text, &n.id}) }

func (p *processor) templates() ([]template, error) {
	if p == nil || p.Type == "ByteLevel" { // which is about places in the text
		return nil, nil
	}
	switch p.Type {
	case "Sequence":
		var all []template
		for _, q := range p.Processors {
			some, err := q.templates()
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case "BertProcessing", "RobertaProcessing":
		if p.CLS == nil || p.SEP == nil {
			return nil, fmt.Errorf("its post_processor %s lacks cls or sep", p.Type)
		}
		return []template{{before: []slot{{id: p.CLS.id}}, after: []slot{{id: p.SEP.id}}}}, nil
	case "TemplateProcessing":
		var t template
		texts := 0
		for _, piece := range p.Single {
			switch {
			case piece.Sequence != nil:
				t.kind = piece.Sequence.Kind
				texts++
			case piece.Special != nil:
				special, ok := p.Special[piece.Special.ID]
				if !ok {
					return nil, fmt.Errorf("its post_processor has no special token %q", piece.Special.ID)
				}
				for _, id := range special.IDs {
					if k := (slot{id, piece.Special.Kind}); texts == 0 {
						t.before = append(t.before, k)
					} else {
						t.after = append(t.after, k)
					}
				}
			}
		}
		if texts != 1 {
			return nil, fmt.Errorf("its post_processor has the text %d times, and once is known here", texts)
		}
		return []template{t}, nil
	}
	return nil, unknown("post_processor", p.Type)
}

// An Encoding is a text's tokens, of the length that was asked for.
type Encoding struct {
	IDs, Mask, Types []int64
	Cut              bool // the text was longer
}

// Encode returns length tokens of a text. It is cut and filled up as the
// tokenizer.json says, and if that has a length too, cut to the shorter.
func (t *Tokenizer) Encode(text string, length int) (e Encoding, err error) {
	ids, err := t.tokens(text)
	if err != nil {
		return e, err
	}
	own := 0
	for _, p := range t.templates {
		own += len(p.before) + len(p.after)
	}
	cut := t.truncated()
	most := length
	if cut.Most > 0 {
		most = min(length, cut.Most)
	}
	if most < own {
		return e, fmt.Errorf("a text of %d tokens is too short for the %d that its tokenizer adds", most, own)
	}
	if most -= own; len(ids) > most {
		e.Cut = true
		switch {
		case cut.Strategy == "OnlySecond":
			return e, errors.New("its tokenizer cuts only the second of two texts, and it is too long")
		case cut.Direction == "Left":
			ids = ids[len(ids)-most:]
		default:
			ids = ids[:most]
		}
	}
	line := make([]slot, len(ids))
	for i, id := range ids {
		line[i].id = id
	}
	for _, p := range t.templates {
		for i := range line {
			line[i].kind = p.kind
		}
		line = slices.Concat(p.before, line, p.after)
	}
	fill := length - len(line)
	before, after := 0, fill
	if t.padding.Direction == "Left" {
		before, after = fill, 0
	}
	filler := slot{t.padding.ID, t.padding.Kind}
	line = slices.Concat(slices.Repeat([]slot{filler}, before), line, slices.Repeat([]slot{filler}, after))
	for i, k := range line {
		mask := int64(0)
		if before <= i && i < length-after {
			mask = 1
		}
		e.IDs, e.Types, e.Mask = append(e.IDs, int64(k.id)), append(e.Types, int64(k.kind)), append(e.Mask, mask)
	}
	return e, nil
}

// tokens returns those of a text, without a template's.
func (t *Tokenizer) tokens(text string) (ids []int, err error) {
	for _, outer := range find(t.verbatim, piece{text, true}) {
		if outer.id >= 0 {
			ids = append(ids, outer.id)
			continue
		}
		outer.text = t.normalise(outer.text)
		for _, inner := range find(t.normalised, outer.piece) {
			if inner.id >= 0 {
				ids = append(ids, inner.id)
				continue
			}
			for _, p := range t.split(inner.piece) {
				some, err := t.vocabulary.tokens(p.text)
				if err != nil {
					return nil, err
				}
				ids = append(ids, some...)
			}
		}
	}
	return ids, nil
}

// A section is an added token, or with -1 what stands between two.
type section struct {
	piece
	id int
}

// find finds added tokens: the first, and of those that begin at one place the longest.
func find(tokens []addedToken, x piece) (all []section) {
	text := x.text
	done := 0 // of the text
	between := func(to int) {
		if done < to {
			all = append(all, section{piece{text[done:to], x.first && done == 0}, -1})
		}
	}
	for at := 0; at < len(text); {
		var best *addedToken
		for i, a := range tokens {
			if a.Content != "" && strings.HasPrefix(text[at:], a.Content) && (best == nil || len(a.Content) > len(best.Content)) {
				best = &tokens[i]
			}
		}
		if best == nil {
			_, width := utf8.DecodeRuneInString(text[at:])
			at += width
			continue
		}
		from, to := at, at+len(best.Content)
		at = to
		before, _ := utf8.DecodeLastRuneInString(text[:from])
		behind, _ := utf8.DecodeRuneInString(text[to:])
		if best.Word && (from > 0 && isWord(before) || to < len(text) && isWord(behind)) {
			continue
		}
		if best.Left {
			from = max(done, len(strings.TrimRightFunc(text[:from], unicode.IsSpace)))
		}
		if best.Right {
			to = len(text) - len(strings.TrimLeftFunc(text[to:], unicode.IsSpace))
		}
		between(from)
		all = append(all, section{piece{text[from:to], false}, best.ID})
		done = to
	}
	between(len(text))
	return all
}
