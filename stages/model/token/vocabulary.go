package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// A vocabulary makes tokens of a piece of a text.
type vocabulary interface {
	// id returns the number of a token.
	id(token string) (int, bool)
	tokens(piece string) ([]int, error)
}

// A table numbers tokens by their text.
type table map[string]int

func (t table) id(token string) (int, bool) {
	id, ok := t[token]
	return id, ok
}

// need returns the number of a token that must be there.
func (t table) need(token string) (int, error) {
	id, ok := t[token]
	if !ok {
		return 0, fmt.Errorf("its vocabulary lacks its unk_token %q", token)
	}
	return id, nil
}

// readVocabulary reads the model of a tokenizer.json.
func readVocabulary(data json.RawMessage) (vocabulary, error) {
	var y struct {
		Type       string          `json:"type"`
		Vocabulary json.RawMessage `json:"vocab"`
		Unknown    *string         `json:"unk_token"`
		Prefix     *string         `json:"continuing_subword_prefix"`
		Suffix     *string         `json:"end_of_word_suffix"`
		Most       *int            `json:"max_input_chars_per_word"`
		Merges     []merge         `json:"merges"`
		Dropout    float64         `json:"dropout"`
		Fuse       bool            `json:"fuse_unk"`
		Bytes      bool            `json:"byte_fallback"`
		Whole      bool            `json:"ignore_merges"`
		UnknownID  *int            `json:"unk_id"`
	}
	if err := json.Unmarshal(data, &y); err != nil {
		return nil, fmt.Errorf("its model: %w", err)
	}
	kind := y.Type
	if kind == "" { // as older files have it
		switch {
		case y.Merges != nil:
			kind = "BPE"
		case bytes.HasPrefix(y.Vocabulary, []byte("[")):
			kind = "Unigram"
		case y.Most != nil:
			kind = "WordPiece"
		}
	}
	if kind == "Unigram" {
		var pairs []entry
		if err := json.Unmarshal(y.Vocabulary, &pairs); err != nil {
			return nil, fmt.Errorf("its vocabulary: %w", err)
		}
		return newUnigram(pairs, y.UnknownID, y.Bytes)
	}
	if !slices.Contains([]string{"BPE", "WordPiece", "WordLevel"}, kind) {
		return nil, unknown("model", kind)
	}
	var ids table
	if err := json.Unmarshal(y.Vocabulary, &ids); err != nil {
		return nil, fmt.Errorf("its vocabulary: %w", err)
	}
	text := func(s *string, otherwise string) string {
		if s == nil {
			return otherwise
		}
		return *s
	}
	switch kind {
	case "WordPiece":
		most := 100
		if y.Most != nil {
			most = *y.Most
		}
		return &wordPiece{ids, text(y.Unknown, "[UNK]"), text(y.Prefix, "##"), most}, nil
	case "WordLevel":
		return &wordLevel{ids, text(y.Unknown, "<unk>")}, nil
	}
	if y.Dropout != 0 {
		return nil, errors.New("its model drops merges at random (dropout), which is not known here")
	}
	v := &bytePairs{table: ids, prefix: text(y.Prefix, ""), suffix: text(y.Suffix, ""), unknown: y.Unknown, fuse: y.Fuse, bytes: y.Bytes, whole: y.Whole}
	return v, v.rank(y.Merges)
}

// A wordLevel has a token for each word.
type wordLevel struct {
	table
	unknown string
}

func (v *wordLevel) tokens(word string) ([]int, error) {
	id, ok := v.table[word]
	if !ok {
		var err error
		if id, err = v.need(v.unknown); err != nil {
			return nil, err
		}
	}
	return []int{id}, nil
}

// A wordPiece takes the longest token that a word begins with, and so on (Wu et al.,
// "Google's Neural Machine Translation System", 2016).
type wordPiece struct {
	table
	unknown, prefix string
	most            int // characters of a word
}

func (v *wordPiece) tokens(word string) ([]int, error) {
	var ids []int
	if utf8.RuneCountInString(word) > v.most {
		word, ids = "", nil
	}
	for at := 0; at < len(word); {
		prefix := ""
		if at > 0 {
			prefix = v.prefix
		}
		end := len(word)
		for ; end > at; end-- {
			if end < len(word) && !utf8.RuneStart(word[end]) {
				continue
			}
			if id, ok := v.table[prefix+word[at:end]]; ok {
				ids = append(ids, id)
				break
			}
		}
		if end == at {
			ids = nil
			break
		}
		at = end
	}
	if ids == nil {
		id, err := v.need(v.unknown)
		return []int{id}, err
	}
	return ids, nil
}

// A merge is two tokens that become one: "a b", or ["a", "b"].
type merge [2]string

func (m *merge) UnmarshalJSON(b []byte) error {
	var text string
	var both []string
	if json.Unmarshal(b, &text) == nil {
		both = strings.Split(text, " ")
	} else if err := json.Unmarshal(b, &both); err != nil {
		return err
	}
	if len(both) != 2 {
		return fmt.Errorf("%s are not two tokens", b)
	}
	*m = merge(both)
	return nil
}

// bytePairs merges neighbours, of all that are there those first that come first in a
// list: byte-pair encoding (Sennrich et al., "Neural Machine Translation of Rare Words
// with Subword Units", 2016).
type bytePairs struct {
	table
	ranks              map[[2]int]rule
	prefix, suffix     string
	unknown            *string // nil: what is unknown is left out
	fuse, bytes, whole bool
}

// A rule is what a merge gives; those of low ranks come first.
type rule struct{ rank, id int }

func (v *bytePairs) rank(merges []merge) error {
	v.ranks = map[[2]int]rule{}
	for rank, m := range merges {
		a, hasA := v.table[m[0]]
		b, hasB := v.table[m[1]]
		both, ok := v.table[m[0]+strings.TrimPrefix(m[1], v.prefix)]
		if !hasA || !hasB || !ok {
			return fmt.Errorf("its vocabulary lacks what it merges, %q and %q", m[0], m[1])
		}
		v.ranks[[2]int{a, b}] = rule{rank, both}
	}
	return nil
}

func (v *bytePairs) tokens(word string) ([]int, error) {
	if id, ok := v.table[word]; ok && v.whole {
		return []int{id}, nil
	}
	ids, err := v.characters(word)
	for {
		best, at := rule{rank: math.MaxInt}, 0
		for i := range max(1, len(ids)) - 1 {
			if r, ok := v.ranks[[2]int{ids[i], ids[i+1]}]; ok && r.rank < best.rank {
				best, at = r, i
			}
		}
		if best.rank == math.MaxInt {
			return ids, err
		}
		ids[at] = best.id
		ids = slices.Delete(ids, at+1, at+2)
	}
}

// characters returns a token for each character, or several.
func (v *bytePairs) characters(word string) (ids []int, err error) {
	pending := -1 // the token of what is unknown, to be added
	flush := func() {
		if pending >= 0 {
			ids, pending = append(ids, pending), -1
		}
	}
	for at, r := range word {
		text := string(r)
		if at > 0 {
			text = v.prefix + text
		}
		if at+len(string(r)) == len(word) {
			text += v.suffix
		}
		if id, ok := v.table[text]; ok {
			flush()
			ids = append(ids, id)
			continue
		}
		if some, ok := byteTokens(v.table, text); v.bytes && ok {
			ids = append(ids, some...)
			continue
		}
		if v.unknown == nil {
			continue
		}
		if !v.fuse {
			flush()
		}
		if pending, err = v.need(*v.unknown); err != nil {
			return nil, err
		}
	}
	flush()
	return ids, nil
}

// byteTokens returns the tokens of the bytes of a text, <0x00> to <0xFF>, if all are
// there.
func byteTokens(t table, text string) (ids []int, ok bool) {
	for i := range len(text) {
		id, ok := t[fmt.Sprintf("<0x%02X>", text[i])]
		if !ok {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// An entry of a unigram vocabulary is ["text", logarithm of its probability].
type entry struct {
	text  string
	score float64
}

func (s *entry) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&s.text, &s.score})
}

// A unigram takes the most probable of all ways to split a piece (Kudo, "Subword
// Regularization", 2018).
type unigram struct {
	table
	scores  []float64
	longest int // bytes of a token
	unknown *int
	low     float64 // score of a character without token
	bytes   bool
}

// penalty is by how much what is unknown scores less than the least token.
const penalty = 10

func newUnigram(vocabulary []entry, unknown *int, bytes bool) (*unigram, error) {
	v := &unigram{table: table{}, unknown: unknown, low: math.Inf(1), bytes: bytes}
	for id, s := range vocabulary {
		v.table[s.text] = id
		v.scores = append(v.scores, s.score)
		v.low = min(v.low, s.score)
		v.longest = max(v.longest, len(s.text))
	}
	v.low -= penalty
	if unknown != nil && (*unknown < 0 || *unknown >= len(vocabulary)) {
		return nil, fmt.Errorf("its unk_id %d is beyond its vocabulary of %d", *unknown, len(vocabulary))
	}
	return v, nil
}

func (v *unigram) tokens(text string) ([]int, error) {
	type node struct {
		from, id int // id is -1 of what is unknown
		score    float64
	}
	best := make([]node, len(text)+1) // of the ways that end here
	reached := make([]bool, len(text)+1)
	offer := func(from, to, id int, score float64) {
		if score += best[from].score; !reached[to] || score > best[to].score {
			best[to], reached[to] = node{from, id, score}, true
		}
	}
	for at, r := range text {
		width, single := utf8.RuneLen(r), false
		for end := at + 1; end <= min(len(text), at+v.longest); end++ {
			if id, ok := v.table[text[at:end]]; ok {
				offer(at, end, id, v.scores[id])
				single = single || end == at+width
			}
		}
		if !single {
			offer(at, at+width, -1, v.low)
		}
	}
	var ids []int
	for end := len(text); end > 0; {
		n := best[end]
		from := n.from
		if n.id >= 0 && (v.unknown == nil || n.id != *v.unknown) {
			ids, end = append(ids, n.id), from
			continue
		}
		for from > 0 && (best[from].id < 0 || v.unknown != nil && best[from].id == *v.unknown) {
			from = best[from].from
		}
		some, ok := byteTokens(v.table, text[from:end])
		switch {
		case v.bytes && ok:
			slices.Reverse(some)
			ids = append(ids, some...)
		case v.unknown == nil:
			return nil, fmt.Errorf("it has no token for %q", text[from:end])
		default:
			ids = append(ids, *v.unknown)
		}
		end = from
	}
	slices.Reverse(ids)
	return ids, nil
}
