package token

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"barograph/pipeline/cell"

	"github.com/dlclark/regexp2/v2"
	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
)

// A part is a step of a tokenizer as tokenizer.json writes it: an object with a type
// and what belongs to that type.
type part struct {
	Type string `json:"type"`

	// Of sequences.
	Normalizers   []*part `json:"normalizers"`
	Pretokenizers []*part `json:"pretokenizers"`

	// Of normalizers.
	Clean    bool    `json:"clean_text"`
	Chinese  bool    `json:"handle_chinese_chars"`
	Accents  *bool   `json:"strip_accents"` // nil: where case is lowered
	Lower    bool    `json:"lowercase"`
	Left     bool    `json:"strip_left"`
	Right    bool    `json:"strip_right"`
	Prepend  string  `json:"prepend"`
	Content  string  `json:"content"`
	Charsmap *string `json:"precompiled_charsmap"`

	// Of pre-tokenizers.
	Pattern     *pattern `json:"pattern"` // of Replace too
	Behaviour   string   `json:"behavior"`
	Invert      bool     `json:"invert"`
	Individual  bool     `json:"individual_digits"`
	Prefix      *bool    `json:"add_prefix_space"`
	Regex       *bool    `json:"use_regex"`
	Replacement string   `json:"replacement"`
	Scheme      string   `json:"prepend_scheme"`
	Split       *bool    `json:"split"`
	Delimiter   string   `json:"delimiter"`
}

func unknown(what, kind string) error {
	return cell.Hint(fmt.Errorf("its %s is %q, which is not known here", what, kind), "draw tokens at random for this model: values: {uniform: [0, SIZE]}")
}

// A pattern finds what to replace or where to split.
type pattern struct {
	text  string // as it is, unless
	regex *regexp2.Regexp
}

func (p *pattern) UnmarshalJSON(b []byte) error {
	var y struct{ String, Regex *string }
	if err := json.Unmarshal(b, &y); err != nil {
		return err
	}
	switch {
	case y.String != nil && *y.String != "":
		p.text = *y.String
	case y.Regex != nil:
		flat, err := flatten(*y.Regex)
		if err != nil {
			return err
		}
		regex, err := regexp2.Compile(flat)
		if err != nil {
			return fmt.Errorf("its pattern is not known here: %w", err)
		}
		p.regex = regex
	default:
		return fmt.Errorf("its pattern %s is not known here", b)
	}
	return nil
}

// flatten writes the classes within a class, which Oniguruma's patterns may have, as
// one: BLOOM's [^(\s|[.,!?])] is [^(\s|.,!?)]. What they may have besides, and would
// be read as something else, is refused.
func flatten(text string) (string, error) {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case rest[0] == '\\' && len(rest) > 1:
			b.WriteString(rest[:2])
			i++
			continue
		case depth > 0 && (strings.HasPrefix(rest, "[:") || strings.HasPrefix(rest, "[^") || strings.HasPrefix(rest, "&&")):
			return "", fmt.Errorf("its pattern is not known here: %q within a class of %q", rest[:2], text)
		case rest[0] == '[':
			if depth++; depth > 1 {
				continue
			}
		case rest[0] == ']' && depth > 0:
			if depth--; depth > 0 {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String(), nil
}

// find returns where the pattern matches, from and to which byte.
func (p *pattern) find(text string) [][2]int {
	var found [][2]int
	if p.regex == nil {
		for at := 0; ; {
			i := strings.Index(text[at:], p.text)
			if i < 0 {
				return found
			}
			found = append(found, [2]int{at + i, at + i + len(p.text)})
			at += i + len(p.text)
		}
	}
	var runes []rune
	var offsets []int
	for i, r := range text {
		runes, offsets = append(runes, standIn(r)), append(offsets, i)
	}
	offsets = append(offsets, len(text))
	matches, _ := p.regex.FindAllRunesIndex(runes, -1) // it fails only where a time limit was set
	for _, m := range matches {
		if m[0] < m[1] {
			found = append(found, [2]int{offsets[m[0]], offsets[m[1]]})
		}
	}
	return found
}

// where finds single characters.
func where(is func(rune) bool) func(string) [][2]int {
	return func(text string) (found [][2]int) {
		for i, r := range text {
			if is(r) {
				found = append(found, [2]int{i, i + utf8.RuneLen(r)})
			}
		}
		return found
	}
}

// filter keeps the characters for which is is false.
func filter(text string, is func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if is(r) {
			return -1
		}
		return r
	}, text)
}

// normaliser returns what a normalizer does to a text.
func (p *part) normaliser() (func(string) string, error) {
	if p == nil {
		return func(text string) string { return text }, nil
	}
	switch p.Type {
	case "Sequence":
		var steps []func(string) string
		for _, n := range p.Normalizers {
			step, err := n.normaliser()
			if err != nil {
				return nil, err
			}
			steps = append(steps, step)
		}
		return func(text string) string {
			for _, step := range steps {
				text = step(text)
			}
			return text
		}, nil
	case "BertNormalizer":
		return p.bert, nil
	case "Lowercase":
		return lower, nil
	case "NFC":
		return form(norm.NFC), nil
	case "NFD":
		return form(norm.NFD), nil
	case "NFKC":
		return form(norm.NFKC), nil
	case "NFKD":
		return form(norm.NFKD), nil
	case "StripAccents":
		return func(text string) string { return filter(text, isMark) }, nil
	case "Strip":
		return func(text string) string {
			if p.Left {
				text = strings.TrimLeftFunc(text, unicode.IsSpace)
			}
			if p.Right {
				text = strings.TrimRightFunc(text, unicode.IsSpace)
			}
			return text
		}, nil
	case "Prepend":
		return func(text string) string {
			if text == "" {
				return ""
			}
			return p.Prepend + text
		}, nil
	case "Replace":
		if p.Pattern == nil {
			return nil, errors.New("its normalizer Replace has no pattern")
		}
		return func(text string) string {
			var b strings.Builder
			at := 0
			for _, m := range p.Pattern.find(text) {
				b.WriteString(text[at:m[0]])
				b.WriteString(p.Content)
				at = m[1]
			}
			return b.String() + text[at:]
		}, nil
	case "Precompiled":
		if p.Charsmap == nil {
			return func(text string) string { return text }, nil
		}
		m, err := newCharsmap(*p.Charsmap)
		if err != nil {
			return nil, err
		}
		return m.normalise, nil
	}
	return nil, unknown("normalizer", p.Type)
}

// bert is what BERT does to a text first, as
// https://github.com/google-research/bert/blob/master/tokenization.py.
func (p *part) bert(text string) string {
	if p.Clean {
		text = filter(text, func(r rune) bool {
			return r == 0 || r == utf8.RuneError || r != '\t' && r != '\n' && r != '\r' && isControl(r)
		})
		text = strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return ' '
			}
			return r
		}, text)
	}
	if p.Chinese {
		var b strings.Builder
		for _, r := range text {
			if isIdeograph(r) {
				b.WriteString(" " + string(r) + " ")
			} else {
				b.WriteRune(r)
			}
		}
		text = b.String()
	}
	if p.Accents == nil && p.Lower || p.Accents != nil && *p.Accents {
		text = filter(form(norm.NFD)(text), isAccent)
	}
	if p.Lower {
		text = lower(text)
	}
	return text
}

// A charsmap is SentencePiece's table of replacements, in a double array (Aoe, "An
// Efficient Digital Search Algorithm by Using a Double-Array Structure", 1989) as
// https://github.com/s-yata/darts-clone writes it.
type charsmap struct {
	units []uint32
	texts string // each ends with a zero byte
}

func newCharsmap(encoded string) (*charsmap, error) {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("its precompiled_charsmap: %w", err)
	}
	if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
		return nil, errors.New("its precompiled_charsmap is cut short")
	}
	n := binary.LittleEndian.Uint32(b)
	m := &charsmap{texts: string(b[4+n:])}
	for b = b[4 : 4+n]; len(b) >= 4; b = b[4:] {
		m.units = append(m.units, binary.LittleEndian.Uint32(b))
	}
	return m, nil
}

// replacement is that of the shortest beginning of a text that has one.
func (m *charsmap) replacement(text string) (string, bool) {
	unit := func(at uint32) uint32 {
		if int64(at) < int64(len(m.units)) {
			return m.units[at]
		}
		return 0
	}
	next := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	at := next(unit(0))
	for i := range len(text) {
		at ^= uint32(text[i])
		u := unit(at)
		if text[i] == 0 || u&(1<<31|0xff) != uint32(text[i]) {
			return "", false
		}
		at ^= next(u)
		if u>>8&1 == 1 {
			begin := min(int(unit(at)&(1<<31-1)), len(m.texts))
			t, _, _ := strings.Cut(m.texts[begin:], "\x00")
			return t, true
		}
	}
	return "", false
}

// normalise replaces short clusters of characters as a whole, if there is something
// for them, and otherwise each character.
func (m *charsmap) normalise(text string) string {
	var b strings.Builder
	clusters := uniseg.NewGraphemes(text)
	for clusters.Next() {
		cluster := clusters.Str()
		if len(cluster) < 6 {
			if t, ok := m.replacement(cluster); ok {
				b.WriteString(t)
				continue
			}
		}
		for _, r := range cluster {
			if t, ok := m.replacement(string(r)); ok {
				b.WriteString(t)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// A piece of a text is split further, and then looked up.
type piece struct {
	text  string
	first bool // it begins the text
}

// splitter returns how a pre-tokenizer splits a piece. Empty pieces do not count.
func (p *part) splitter() (func(piece) []piece, error) {
	if p == nil {
		return func(x piece) []piece { return []piece{x} }, nil
	}
	space, punctuation := where(unicode.IsSpace), where(isPunctuation)
	switch p.Type {
	case "Sequence":
		var steps []func(piece) []piece
		for _, q := range p.Pretokenizers {
			step, err := q.splitter()
			if err != nil {
				return nil, err
			}
			steps = append(steps, step)
		}
		return func(x piece) []piece {
			pieces := []piece{x}
			for _, step := range steps {
				var finer []piece
				for _, x := range pieces {
					finer = append(finer, step(x)...)
				}
				pieces = finer
			}
			return pieces
		}, nil
	case "BertPreTokenizer":
		return func(x piece) (pieces []piece) {
			for _, word := range split(x, space, "Removed", false) {
				pieces = append(pieces, split(word, punctuation, "Isolated", false)...)
			}
			return pieces
		}, nil
	case "WhitespaceSplit":
		return func(x piece) []piece { return split(x, space, "Removed", false) }, nil
	case "Whitespace":
		gap := where(func(r rune) bool { return !unicode.IsSpace(r) && !isWord(r) })
		return func(x piece) (pieces []piece) {
			for _, word := range split(x, space, "Removed", false) {
				pieces = append(pieces, split(word, gap, "Contiguous", false)...)
			}
			return pieces
		}, nil
	case "Punctuation":
		return p.finder(punctuation, "Isolated")
	case "Digits":
		if p.Individual {
			return p.finder(where(isNumeric), "Isolated")
		}
		return p.finder(where(isNumeric), "Contiguous")
	case "CharDelimiterSplit":
		return p.finder(where(func(r rune) bool { return string(r) == p.Delimiter }), "Removed")
	case "Split":
		if p.Pattern == nil {
			return nil, errors.New("its pre_tokenizer Split has no pattern")
		}
		return p.finder(p.Pattern.find, "")
	case "ByteLevel":
		return func(x piece) []piece {
			if (p.Prefix == nil || *p.Prefix) && !strings.HasPrefix(x.text, " ") {
				x.text = " " + x.text
			}
			pieces := []piece{x}
			if p.Regex == nil || *p.Regex {
				pieces = split(x, words.find, "Isolated", false)
			}
			for i := range pieces {
				pieces[i].text = visible(pieces[i].text)
			}
			return pieces
		}, nil
	case "Metaspace":
		return p.metaspace()
	}
	return nil, unknown("pre_tokenizer", p.Type)
}

// finder splits at what find finds.
func (p *part) finder(find func(string) [][2]int, otherwise string) (func(piece) []piece, error) {
	how := p.Behaviour
	if how == "" {
		how = otherwise
	}
	if !slices.Contains([]string{"Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"}, how) {
		return nil, unknown("pre_tokenizer's behavior", how)
	}
	return func(x piece) []piece { return split(x, find, how, p.Invert) }, nil
}

// split splits a piece into what find finds and what lies between, and treats the
// first as a behaviour says, or with invert the second.
func split(x piece, find func(string) [][2]int, how string, invert bool) []piece {
	type section struct {
		from, to int
		match    bool
	}
	var all []section
	add := func(from, to int, match bool) {
		if from < to {
			all = append(all, section{from, to, match != invert})
		}
	}
	at := 0
	for _, m := range find(x.text) {
		add(at, m[0], false)
		add(m[0], m[1], true)
		at = m[1]
	}
	add(at, len(x.text), false)

	var kept []section
	for i, s := range all {
		last := len(kept) - 1
		before := i > 0 && all[i-1].match
		switch {
		case how == "Removed" && s.match:
		case how == "Contiguous" && i > 0 && s.match == before,
			how == "MergedWithPrevious" && i > 0 && s.match && !before,
			how == "MergedWithNext" && i > 0 && !s.match && before:
			kept[last].to = s.to
		default:
			kept = append(kept, s)
		}
	}
	var pieces []piece
	for _, s := range kept {
		pieces = append(pieces, piece{x.text[s.from:s.to], x.first && s.from == 0})
	}
	return pieces
}

// metaspace marks words by a character in place of the space before them.
func (p *part) metaspace() (func(piece) []piece, error) {
	mark := p.Replacement
	if utf8.RuneCountInString(mark) != 1 {
		return nil, fmt.Errorf("its pre_tokenizer Metaspace has the replacement %q, and takes one character", mark)
	}
	scheme := p.Scheme
	if scheme == "" {
		scheme = "always"
	}
	if p.Prefix != nil && !*p.Prefix {
		scheme = "never"
	}
	if scheme != "always" && scheme != "first" && scheme != "never" {
		return nil, unknown("pre_tokenizer's prepend_scheme", scheme)
	}
	find := where(func(r rune) bool { return string(r) == mark })
	return func(x piece) []piece {
		x.text = strings.ReplaceAll(x.text, " ", mark)
		if !strings.HasPrefix(x.text, mark) && (scheme == "always" || scheme == "first" && x.first) {
			x.text = mark + x.text
		}
		if p.Split != nil && !*p.Split {
			return []piece{x}
		}
		return split(x, find, "MergedWithNext", false)
	}, nil
}

// words is how GPT-2 splits a text.
var words = &pattern{regex: regexp2.MustCompile(`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`)}

// visible gives each byte a character that can be seen, as GPT-2's vocabulary has them
// (bytes_to_unicode in https://github.com/openai/gpt-2/blob/master/src/encoder.py).
func visible(text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.WriteRune(visibleBytes[text[i]])
	}
	return b.String()
}

var visibleBytes = func() (all [256]rune) {
	hidden := rune(256)
	for i := range rune(256) {
		if '!' <= i && i <= '~' || '¡' <= i && i <= '¬' || '®' <= i && i <= 'ÿ' {
			all[i] = i
		} else {
			all[i] = hidden
			hidden++
		}
	}
	return all
}()
