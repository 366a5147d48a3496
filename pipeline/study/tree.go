package study

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	maxFile  = 8 << 20 // bytes of a study; the shipped ones have under 3,000
	maxAlias = 10_000  // nodes that aliases may add, against alias bombs
)

// A source is a text with errors to show.
type source struct {
	name  string
	lines []string
	bare  bool // not a file: positions have no line
}

// A node is a YAML value with aliases and merge keys resolved.
type node struct {
	src       *source
	line, col int    // from 1; columns count characters
	name      string // the key it stands under, for messages
	style     yaml.Style

	kind  kind
	val   any // of a scalar: nil, bool, int64, float64 or string
	items []*node
	pairs []pair

	parts []part // of a string with expressions, once compiled
	bad   bool   // an error was reported here; do not report what follows from it
}

type pair struct {
	key *node
	val *node
}

type kind int

const (
	scalar kind = iota
	list
	mapping
)

// get returns the value under a key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, p := range n.pairs {
		if p.key.val == key {
			return p.val
		}
	}
	return nil
}

// pos returns the place of the node's first character.
func (n *node) pos() Pos { return n.src.pos(n.line, n.col) }

// errorf returns an error at the node.
func (n *node) errorf(hint, format string, args ...any) *Error {
	return n.src.errorf(n.pos(), hint, format, args...)
}

// pos returns a place of the text; the parser puts what is missing at its end
// one line beyond.
func (s *source) pos(line, col int) Pos {
	if line > len(s.lines) {
		line = len(s.lines)
		col = utf8.RuneCountInString(s.lines[line-1]) + 1
	}
	if s.bare {
		line = 0
	}
	return Pos{s.name, line, col}
}

func (s *source) errorf(at Pos, hint, format string, args ...any) *Error {
	e := &Error{Pos: at, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if i := max(at.Line, 1) - 1; i < len(s.lines) {
		e.Source = s.lines[i]
	}
	return e
}

// newSource splits a text into lines where YAML does, so that line numbers
// agree with the parser's.
func newSource(name, text string) *source {
	s := &source{name: name}
	start := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		end := i
		i += size
		switch r {
		case '\r':
			if strings.HasPrefix(text[i:], "\n") {
				i++
			}
		case '\n', '\u0085', '\u2028', '\u2029':
		default:
			continue
		}
		s.lines = append(s.lines, text[start:end])
		start = i
	}
	s.lines = append(s.lines, text[start:])
	return s
}

// parse reads one YAML document into a tree.
func parse(name string, text []byte) (*node, *Error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	s := newSource(name, string(text))
	if len(text) > maxFile {
		return nil, &Error{Pos: Pos{name, 1, 1}, Msg: fmt.Sprintf("the file has %d bytes, more than the %d that are read", len(text), maxFile)}
	}
	if !utf8.Valid(text) {
		return nil, s.notUTF8()
	}
	doc, err := s.decode(text)
	if err != nil {
		return nil, err
	}
	b := builder{src: s, open: map[*yaml.Node]bool{}}
	return b.build(doc, "")
}

func (s *source) notUTF8() *Error {
	for i, l := range s.lines {
		for j, col := 0, 1; j < len(l); col++ {
			r, size := utf8.DecodeRuneInString(l[j:])
			if r == utf8.RuneError && size == 1 {
				e := s.errorf(s.pos(i+1, col), "save the file as UTF-8", "byte 0x%02x is not UTF-8", l[j])
				e.Source = strings.ToValidUTF8(l, "\uFFFD")
				return e
			}
			j += size
		}
	}
	return s.errorf(s.pos(1, 1), "save the file as UTF-8", "the file is not UTF-8")
}

// decode runs the YAML parser and places its complaints.
func (s *source) decode(text []byte) (_ *yaml.Node, e *Error) {
	defer func() {
		// yaml.v3 panics on a few malformed documents that it did not foresee.
		if r := recover(); r != nil {
			e = s.errorf(s.pos(1, 1), "", "not YAML: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return nil, s.errorf(s.pos(1, 1), "", "the file is empty")
	} else if err != nil {
		return nil, s.syntax(err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, s.errorf(s.pos(second.Line, second.Column), "put each study in a file of its own", "a second document begins here")
	case !errors.Is(err, io.EOF):
		return nil, s.syntax(err)
	}
	return doc.Content[0], nil
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
)

// syntax turns an error of the YAML parser, which knows a line at best, into
// one with a position.
func (s *source) syntax(err error) *Error {
	msg := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		msg = msg[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = min(max(n, 1), len(s.lines))
		}
	}
	if m := yamlAnchor.FindStringSubmatch(msg); m != nil {
		for i, l := range s.lines {
			if before, _, ok := strings.Cut(l, "*"+m[1]); ok {
				return s.errorf(s.pos(i+1, utf8.RuneCountInString(before)+1), "", "unknown anchor %q", m[1])
			}
		}
	}
	line = s.failing(line)
	if l := s.lines[line-1]; strings.Contains(l[:len(l)-len(strings.TrimLeft(l, " \t"))], "\t") {
		return s.errorf(s.pos(line, strings.IndexByte(l, '\t')+1), "indent with spaces", "a tab in the indentation, which YAML does not allow")
	}
	l := s.lines[line-1]
	hint := ""
	switch {
	case strings.Contains(l, "${{"):
		hint = `within { } and [ ], and where it holds ": " or " #", quote an expression: "${{ ... }}"`
	case strings.HasPrefix(msg, "mapping values"):
		hint = `quote a text that holds ": "`
	}
	col := utf8.RuneCountInString(l) - utf8.RuneCountInString(strings.TrimLeft(l, " \t")) + 1
	return s.errorf(s.pos(line, col), hint, "not YAML: %s", msg)
}

// failing returns the line that a syntax error lies in. The parser names one
// before it or that one: where the mapping or list it was reading begins. The
// first line after the longest beginning of the text that parses is nearer.
func (s *source) failing(line int) int {
	const far, large = 200, 64 << 10 // the search is for files that people write
	text, good := "", line-1
	for i, l := range s.lines[:min(line+far, len(s.lines))] {
		if text += l + "\n"; len(text) > large {
			return line
		}
		if i+1 >= line && yaml.Unmarshal([]byte(text), new(yaml.Node)) == nil {
			good = i + 1
		}
	}
	for good < len(s.lines)-1 && strings.TrimSpace(s.lines[good]) == "" {
		good++
	}
	return min(good+1, len(s.lines))
}

// A builder makes nodes of what the YAML parser returned.
type builder struct {
	src   *source
	open  map[*yaml.Node]bool // aliases being followed
	depth int                 // of aliases
	added int                 // nodes that came through aliases
}

func (b *builder) build(y *yaml.Node, name string) (*node, *Error) {
	n := &node{src: b.src, line: y.Line, col: y.Column, name: name, style: y.Style}
	if b.depth > 0 {
		if b.added++; b.added > maxAlias {
			return nil, n.errorf("", "the aliases (*name) expand to more than %d values", maxAlias)
		}
	}
	switch y.Kind {
	case yaml.AliasNode:
		if b.open[y.Alias] {
			return nil, n.errorf("", "anchor %q contains itself", y.Value)
		}
		b.open[y.Alias] = true
		b.depth++
		defer func() { delete(b.open, y.Alias); b.depth-- }()
		return b.build(y.Alias, name)
	case yaml.SequenceNode:
		n.kind = list
		for _, c := range y.Content {
			item, err := b.build(c, name)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		return n, nil
	case yaml.MappingNode:
		n.kind = mapping
		return n, b.fill(n, y)
	}
	return n, b.scalar(n, y)
}

// fill adds a mapping's pairs: its own first, then those of merge keys that it
// does not have itself.
func (b *builder) fill(n *node, y *yaml.Node) *Error {
	var merges []*yaml.Node
	lines := make(map[string]int, len(y.Content)/2) // of the keys
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		key := &node{src: b.src, line: k.Line, col: k.Column, style: k.Style, val: k.Value}
		if k.Kind != yaml.ScalarNode {
			return key.errorf("", "a key must be a word")
		}
		if line, twice := lines[k.Value]; twice {
			return key.errorf(fmt.Sprintf("it stands on line %d already", line), "key %q appears twice", k.Value)
		}
		lines[k.Value] = k.Line
		val, err := b.build(v, k.Value)
		if err != nil {
			return err
		}
		n.pairs = append(n.pairs, pair{key, val})
	}
	for _, m := range merges {
		from, err := b.build(m, n.name)
		if err != nil {
			return err
		}
		sources := []*node{from}
		if from.kind == list {
			sources = from.items
		}
		for _, s := range sources {
			if s.kind != mapping {
				return s.errorf("", "a merge key (<<) takes a mapping or a list of mappings")
			}
			for _, p := range s.pairs {
				if n.get(p.key.val.(string)) == nil {
					n.pairs = append(n.pairs, p)
				}
			}
		}
	}
	return nil
}

func (b *builder) scalar(n *node, y *yaml.Node) *Error {
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp", "!!merge":
		n.val = y.Value
	case "!!null":
	case "!!bool", "!!int", "!!float":
		var v any
		if err := y.Decode(&v); err != nil {
			return n.errorf("", "%q is not of type %s", y.Value, tag)
		}
		switch v := v.(type) {
		case bool:
			n.val = v
		case int:
			n.val = int64(v)
		case int64:
			n.val = v
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return n.errorf("", "%s is not a finite number", y.Value)
			}
			n.val = v
		default:
			return n.errorf("", "%s is beyond the integers that fit in 64 bits", y.Value)
		}
	default:
		return n.errorf("", "unknown tag %s", tag)
	}
	return nil
}

// offset returns the place of the byte at off in a string scalar's value. It
// walks the source beside the value, so that quotes, escapes, folded lines and
// block indentation do not shift the column.
func (n *node) offset(off int) Pos {
	value, ok := n.val.(string)
	c := cursor{lines: n.src.lines, line: n.line - 1, col: n.col - 1}
	if !ok || c.line >= len(c.lines) {
		return n.pos()
	}
	c.row = []rune(c.lines[c.line])
	c.enter(n.style, value)
	for i, v := range value {
		if i >= off {
			break
		}
		if !c.match(v, n.style) {
			return n.pos()
		}
	}
	if v, _ := utf8.DecodeRuneInString(value[min(off, len(value)):]); v != c.rune() {
		c.space()
	}
	return n.src.pos(c.line+1, c.col+1)
}

// A cursor is a place in the source.
type cursor struct {
	lines     []string
	row       []rune
	line, col int
	indent    int // of a block scalar's lines
}

// rune returns the character at the cursor, '\n' at the end of a line.
func (c *cursor) rune() rune {
	if c.col < len(c.row) {
		return c.row[c.col]
	}
	return '\n'
}

// next moves on by one character, over the indentation of a new line.
func (c *cursor) next() bool {
	if c.col++; c.col <= len(c.row) {
		return true
	}
	if c.line++; c.line >= len(c.lines) {
		c.line, c.col = c.line-1, len(c.row)
		return false
	}
	c.row, c.col = []rune(c.lines[c.line]), 0
	for c.col < c.indent && c.rune() == ' ' {
		c.col++
	}
	return true
}

// space moves over white space that the value does not have.
func (c *cursor) space() {
	for (c.rune() == ' ' || c.rune() == '\t' || c.rune() == '\n') && c.next() {
	}
}

// enter moves from the scalar's first character to its content's.
func (c *cursor) enter(style yaml.Style, value string) {
	for c.rune() == '&' || c.rune() == '!' { // an anchor or a tag
		for c.rune() != ' ' && c.rune() != '\n' {
			c.next()
		}
		c.space()
	}
	switch {
	case style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		c.next()
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.col = len(c.row)
		first := strings.TrimLeft(value, "\n")
		for i := c.line + 1; i < len(c.lines); i++ {
			if l := strings.TrimLeft(c.lines[i], " "); l != "" {
				c.indent = len(c.lines[i]) - len(l) - (len(first) - len(strings.TrimLeft(first, " ")))
				break
			}
		}
		c.next()
	}
}

// match moves over what stands for one character of the value.
func (c *cursor) match(v rune, style yaml.Style) bool {
	for {
		r := c.rune()
		switch {
		case r == '\\' && style&yaml.DoubleQuotedStyle != 0:
			c.next()
			kind := c.rune()
			c.next()
			if kind == '\n' { // an escaped line break
				c.space()
				continue
			}
			for range map[rune]int{'x': 2, 'u': 4, 'U': 8}[kind] {
				c.next()
			}
			return true
		case r == '\'' && v == r && style&yaml.SingleQuotedStyle != 0:
			c.next()
			return c.next()
		case r == v, r == '\n' && v == ' ': // the same, or a folded line
			c.next()
			return true
		case r != ' ' && r != '\t' && r != '\n' || !c.next():
			return false
		}
	}
}
