package source

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
	maxFile  = 8 << 20 // bytes of a file; the shipped ones have under 3,000
	maxAlias = 10_000  // nodes that aliases may add, against alias bombs
)

// A Text is what errors show lines of.
type Text struct {
	name  string
	lines []string
	bare  bool // no file, such as an argument: positions have no line
}

// A Node is a YAML value with aliases and merge keys resolved.
type Node struct {
	Name  string // the key it stands under, for messages
	Kind  Kind
	Val   any // of a scalar: nil, bool, int64, float64 or string
	Items []*Node
	Pairs []Pair

	// Formula computes the value of a string that only stands for one; nil for all
	// others.
	Formula Formula
	// Bad says that an error was reported here: what follows from it is not.
	Bad bool

	text      *Text
	line, col int // from 1; columns count characters
	style     yaml.Style
	number    string // a plain number as it was written
	misread   *Error // of a number that is taken for another
	computed  bool   // by a formula, in whose place the node stands
}

// A Formula computes a value in an environment of names.
type Formula interface {
	Value(env map[string]any) (any, *Error)
}

// A Pair is a key with its value.
type Pair struct {
	Key *Node
	Val *Node
}

// A Kind is what a node is.
type Kind int

// The kinds of nodes.
const (
	Scalar Kind = iota
	List
	Mapping
)

// Argument returns the node of an argument of the command line, which has a name
// such as --set and no lines.
func Argument(name, text string) *Node {
	return &Node{text: &Text{name: name, lines: []string{text}, bare: true}, line: 1, col: 1, Val: text}
}

// Empty returns an empty mapping called name, where n stands.
func (n *Node) Empty(name string) *Node {
	return &Node{text: n.text, line: n.line, col: n.col, Name: name, Kind: Mapping}
}

// Stand returns what has a computed value, where n stands.
func (n *Node) Stand(v any) *Node {
	at := &Node{Name: n.Name, text: n.text, line: n.line, col: n.col, style: n.style, computed: true}
	switch v := v.(type) {
	case []any:
		at.Kind = List
		for _, x := range v {
			at.Items = append(at.Items, at.Stand(x))
		}
	case map[string]any:
		at.Kind = Mapping
		for name, x := range v {
			at.Pairs = append(at.Pairs, Pair{at.Stand(name), at.Stand(x)})
		}
	default:
		at.Val = v
	}
	return at
}

// At returns the node that keys and indices lead to, or the last one on the way.
func (n *Node) At(path ...any) *Node {
	for _, step := range path {
		next := (*Node)(nil)
		switch step := step.(type) {
		case string:
			next = n.Get(step)
		case int:
			if step < len(n.Items) {
				next = n.Items[step]
			}
		}
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// Get returns the value under a key, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Val == key {
			return p.Val
		}
	}
	return nil
}

// Value returns a scalar's value, computed in env where it has to be.
func (n *Node) Value(env map[string]any) (any, *Error) {
	switch {
	case n.Formula != nil:
		return n.Formula.Value(env)
	case n.misread != nil:
		return nil, n.misread
	}
	return n.Val, nil
}

// Pos returns the place of the node's first character.
func (n *Node) Pos() Pos { return n.text.pos(n.line, n.col) }

// Errorf returns an error at the node.
func (n *Node) Errorf(hint, format string, args ...any) *Error {
	return n.text.errorf(n.Pos(), hint, format, args...)
}

// pos returns a place of the text; the parser puts what is missing at its end
// one line beyond.
func (t *Text) pos(line, col int) Pos {
	if line > len(t.lines) {
		line = len(t.lines)
		col = utf8.RuneCountInString(t.lines[line-1]) + 1
	}
	if t.bare {
		line = 0
	}
	return Pos{t.name, line, col}
}

func (t *Text) errorf(at Pos, hint, format string, args ...any) *Error {
	e := &Error{Pos: at, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if i := max(at.Line, 1) - 1; i < len(t.lines) {
		e.Source = t.lines[i]
	}
	return e
}

// Lines splits a text where YAML does, so that line numbers agree with the
// parser's.
func Lines(text string) []string { return breaks.Split(text, -1) }

var breaks = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// ErrorAt returns an error at the byte at off in a string scalar's value.
func (n *Node) ErrorAt(off int, hint, format string, args ...any) *Error {
	return n.text.errorf(n.Offset(off), hint, format, args...)
}

// ParseArgument reads what an argument of the command line, such as name=value,
// holds from a byte on: one YAML value.
func ParseArgument(name, arg string, from int) (*Node, *Error) {
	// Blanks in place of what stands before keep the columns.
	n, err := Parse(name, []byte(strings.Repeat(" ", from)+arg[from:]))
	if err != nil {
		err.Pos.Line, err.Source = 0, arg
		return nil, err
	}
	// The tree's nodes share one text, now the argument itself.
	*n.text = *Argument(name, arg).text
	return n, nil
}

// Parse reads one YAML document into a tree. Errors call it name.
func Parse(name string, text []byte) (*Node, *Error) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	s := &Text{name: name, lines: Lines(string(text))}
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
	b := builder{text: s, open: map[*yaml.Node]bool{}}
	return b.build(doc, "")
}

func (t *Text) notUTF8() *Error {
	for i, l := range t.lines {
		for j, col := 0, 1; j < len(l); col++ {
			r, size := utf8.DecodeRuneInString(l[j:])
			if r == utf8.RuneError && size == 1 {
				e := t.errorf(t.pos(i+1, col), "save the file as UTF-8", "byte 0x%02x is not UTF-8", l[j])
				e.Source = strings.ToValidUTF8(l, "\uFFFD")
				return e
			}
			j += size
		}
	}
	return t.errorf(t.pos(1, 1), "save the file as UTF-8", "the file is not UTF-8")
}

// decode runs the YAML parser and places its complaints.
func (t *Text) decode(text []byte) (_ *yaml.Node, e *Error) {
	defer func() {
		// yaml.v3 panics on a few malformed documents that it did not foresee.
		if r := recover(); r != nil {
			e = t.errorf(t.pos(1, 1), "", "not YAML: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return nil, t.errorf(t.pos(1, 1), "", "the file is empty")
	} else if err != nil {
		return nil, t.syntax(err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, t.errorf(t.pos(second.Line, second.Column), "put it in a file of its own", "a second document begins here")
	case !errors.Is(err, io.EOF):
		return nil, t.syntax(err)
	}
	return doc.Content[0], nil
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
)

// syntax turns an error of the YAML parser, which knows a line at best, into
// one with a position.
func (t *Text) syntax(err error) *Error {
	msg := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		msg = msg[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = min(max(n, 1), len(t.lines))
		}
	}
	if m := yamlAnchor.FindStringSubmatch(msg); m != nil {
		for i, l := range t.lines {
			if before, _, ok := strings.Cut(l, "*"+m[1]); ok {
				return t.errorf(t.pos(i+1, utf8.RuneCountInString(before)+1), "", "unknown anchor %q", m[1])
			}
		}
	}
	line = t.failing(line)
	if l := t.lines[line-1]; strings.Contains(l[:len(l)-len(strings.TrimLeft(l, " \t"))], "\t") {
		return t.errorf(t.pos(line, strings.IndexByte(l, '\t')+1), "indent with spaces", "a tab in the indentation, which YAML does not allow")
	}
	l := t.lines[line-1]
	hint := ""
	switch {
	case strings.Contains(l, "${{"):
		hint = `within { } and [ ], and where it holds ": " or " #", quote an expression: "${{ ... }}"`
	case strings.HasPrefix(msg, "mapping values"):
		hint = `quote a text that holds ": "`
	}
	col := utf8.RuneCountInString(l) - utf8.RuneCountInString(strings.TrimLeft(l, " \t")) + 1
	return t.errorf(t.pos(line, col), hint, "not YAML: %s", msg)
}

// failing returns the line that a syntax error lies in. The parser names one
// before it or that one: where the mapping or list it was reading begins. The
// first line after the longest beginning of the text that parses is nearer.
func (t *Text) failing(line int) int {
	const far, large = 200, 64 << 10 // the search is for files that people write
	text, good := "", line-1
	for i, l := range t.lines[:min(line+far, len(t.lines))] {
		if text += l + "\n"; len(text) > large {
			return line
		}
		if i+1 >= line && yaml.Unmarshal([]byte(text), new(yaml.Node)) == nil {
			good = i + 1
		}
	}
	for good < len(t.lines)-1 && strings.TrimSpace(t.lines[good]) == "" {
		good++
	}
	return min(good+1, len(t.lines))
}

// A builder makes nodes of what the YAML parser returned.
type builder struct {
	text  *Text
	open  map[*yaml.Node]bool // aliases being followed
	depth int                 // of aliases
	added int                 // nodes that came through aliases
}

func (b *builder) build(y *yaml.Node, name string) (*Node, *Error) {
	n := &Node{text: b.text, line: y.Line, col: y.Column, Name: name, style: y.Style}
	if b.depth > 0 {
		if b.added++; b.added > maxAlias {
			return nil, n.Errorf("", "the aliases (*name) expand to more than %d values", maxAlias)
		}
	}
	switch y.Kind {
	case yaml.AliasNode:
		if b.open[y.Alias] {
			return nil, n.Errorf("", "anchor %q contains itself", y.Value)
		}
		b.open[y.Alias] = true
		b.depth++
		defer func() { delete(b.open, y.Alias); b.depth-- }()
		return b.build(y.Alias, name)
	case yaml.SequenceNode:
		n.Kind = List
		for _, c := range y.Content {
			item, err := b.build(c, name)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, item)
		}
		return n, nil
	case yaml.MappingNode:
		n.Kind = Mapping
		return n, b.fill(n, y)
	}
	return n, b.scalar(n, y)
}

// fill adds a mapping's pairs: its own first, then those of merge keys that it
// does not have itself.
func (b *builder) fill(n *Node, y *yaml.Node) *Error {
	var merges []*yaml.Node
	lines := make(map[string]int, len(y.Content)/2) // of the keys
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		key := &Node{text: b.text, line: k.Line, col: k.Column, style: k.Style, Val: k.Value}
		if k.Kind != yaml.ScalarNode {
			return key.Errorf("", "a key must be a word")
		}
		if line, twice := lines[k.Value]; twice {
			return key.Errorf(fmt.Sprintf("it stands on line %d already", line), "key %q appears twice", k.Value)
		}
		lines[k.Value] = k.Line
		val, err := b.build(v, k.Value)
		if err != nil {
			return err
		}
		n.Pairs = append(n.Pairs, Pair{key, val})
	}
	for _, m := range merges {
		from, err := b.build(m, n.Name)
		if err != nil {
			return err
		}
		sources := []*Node{from}
		if from.Kind == List {
			sources = from.Items
		}
		for _, s := range sources {
			if s.Kind != Mapping {
				return s.Errorf("", "a merge key (<<) takes a mapping or a list of mappings")
			}
			for _, p := range s.Pairs {
				if n.Get(p.Key.Val.(string)) == nil {
					n.Pairs = append(n.Pairs, p)
				}
			}
		}
	}
	return nil
}

var (
	decimal  = regexp.MustCompile(`^[-+]?[0-9][0-9_]*$`)
	prefixed = regexp.MustCompile(`^[-+]?0([xX][0-9a-fA-F_]+|[oO][0-7_]+|[bB][01_]+)$`)
	zero     = regexp.MustCompile(`^[-+]?0[0-9_]`)
)

// integer refuses what looks like an integer and is read as something else: 0100,
// which YAML 1.1 takes for 64, and 99999999999999999999, for a float.
func (n *Node) integer(y *yaml.Node) *Error {
	const marked = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle | yaml.TaggedStyle
	switch tag := y.ShortTag(); {
	case tag == "!!str" && y.Style&marked != 0 || !decimal.MatchString(y.Value) && !prefixed.MatchString(y.Value):
	case zero.MatchString(y.Value):
		return n.Errorf(fmt.Sprintf("leave the zero out, begin with 0o what is octal, or quote a text: %q", y.Value),
			"%s begins with a zero, which some take for octal", y.Value)
	case tag == "!!float" || tag == "!!str":
		return n.beyond(y.Value)
	}
	return nil
}

func (n *Node) beyond(text string) *Error {
	return n.Errorf(fmt.Sprintf("in quotes it is a text: %q", text), "%s is beyond the integers that fit in 64 bits", text)
}

func (b *builder) scalar(n *Node, y *yaml.Node) *Error {
	n.misread = n.integer(y)
	switch tag := y.ShortTag(); tag {
	case "!!str", "!!timestamp", "!!merge":
		n.Val = y.Value
	case "!!null":
	case "!!bool", "!!int", "!!float":
		if tag != "!!bool" {
			n.number = y.Value
		}
		var v any
		if err := y.Decode(&v); err != nil {
			return n.Errorf("", "%q is not of type %s", y.Value, tag)
		}
		switch v := v.(type) {
		case bool:
			n.Val = v
		case int:
			n.Val = int64(v)
		case int64:
			n.Val = v
		case float64:
			if n.Val = v; math.IsNaN(v) || math.IsInf(v, 0) {
				n.misread = n.Errorf("", "%s is not a finite number", y.Value)
			}
		default:
			n.misread = n.beyond(y.Value)
		}
	default:
		return n.Errorf("", "unknown tag %s", tag)
	}
	return nil
}

// Offset returns the place of the byte at off in a string scalar's value. It
// walks the source beside the value, so that quotes, escapes, folded lines and
// block indentation do not shift the column.
func (n *Node) Offset(off int) Pos {
	value, ok := n.Val.(string)
	c := cursor{lines: n.text.lines, line: n.line - 1, col: n.col - 1}
	if !ok || c.line >= len(c.lines) {
		return n.Pos()
	}
	c.row = []rune(c.lines[c.line])
	c.enter(n.style, value)
	for i, v := range value {
		if i >= off {
			break
		}
		if !c.match(v, n.style) {
			return n.Pos()
		}
	}
	if v, _ := utf8.DecodeRuneInString(value[min(off, len(value)):]); v != c.rune() {
		c.space()
	}
	return n.text.pos(c.line+1, c.col+1)
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
