package nb

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"

	"barograph/stages/rows"
)

// blockSize is how much of a file is parsed at a time, in bytes; no line may be
// longer.
const blockSize = 1 << 20

// readSet reads CSV with a header, of size bytes if that is known and not 0. It
// is cut into blocks of lines, which are parsed side by side and joined in order,
// so that the result does not depend on where the cuts are.
func readSet(r io.Reader, want []string, size int64, block int) (*Set, error) {
	file := &blocks{from: r, size: block}
	first, err := file.next()
	if err == io.EOF {
		return nil, fmt.Errorf("the file is empty, want a header line")
	}
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	header, body := cutLine(first)
	data := &columns{byName: map[string]*column{}}
	if err := data.choose(header, want); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	var parts []chan part // being parsed, in order
	begin := func(block, lines []byte) {
		done, texts := make(chan part, 1), data.texts()
		parts = append(parts, done)
		go func() {
			p := data.parse(lines, texts)
			p.block = block
			done <- p
		}()
	}
	begin(first, body) // and no other until it has told texts from numbers
	for len(parts) > 0 {
		p := <-parts[0]
		parts = parts[1:]
		if err := data.join(p); err != nil {
			return nil, err
		}
		if data.n == p.rows && len(body) > 0 { // that was the first
			data.expect(float64(size) / float64(len(body)))
		}
		file.spent = append(file.spent, p.block)
		for err == nil && len(parts) < runtime.GOMAXPROCS(0) {
			var text []byte
			if text, err = file.next(); err == nil {
				begin(text, text)
			}
		}
	}
	if err != io.EOF {
		return nil, fmt.Errorf("line %d: %w", 2+data.n, err)
	}
	return &Set{data: data}, nil
}

// blocks cuts a file into pieces that end with a line.
type blocks struct {
	from  io.Reader
	size  int
	rest  []byte   // read, and behind the last piece
	spent [][]byte // to be used again
	ended bool
}

// next returns the next piece, and io.EOF if there is none.
func (b *blocks) next() ([]byte, error) {
	if b.ended {
		return nil, io.EOF
	}
	var text []byte
	if n := len(b.spent); n > 0 {
		text, b.spent = b.spent[n-1][:b.size], b.spent[:n-1]
	} else {
		text = make([]byte, b.size)
	}
	n := copy(text, b.rest)
	m, err := io.ReadFull(b.from, text[n:])
	text = text[:n+m]
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		b.ended = true
		if len(text) == 0 {
			return nil, io.EOF
		}
		return text, nil
	case err != nil:
		return nil, err
	}
	end := bytes.LastIndexByte(text, '\n') + 1
	if end == 0 {
		return nil, fmt.Errorf("the line is longer than %d bytes", b.size)
	}
	b.rest = append(b.rest[:0], text[end:]...)
	return text[:end], nil
}

// cutLine returns the first line of a text, without its end, and the rest.
func cutLine(text []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// choose makes the columns that are wanted, all of them if none is named.
func (d *columns) choose(header []byte, want []string) error {
	fields, err := rows.Split(header, nil)
	if err != nil {
		return err
	}
	var all []string
	d.keep = make([]*column, len(fields))
	for i, field := range fields {
		name := string(field)
		if slices.Contains(all, name) {
			return fmt.Errorf("two columns are named %q", name)
		}
		all = append(all, name)
		if len(want) == 0 || slices.Contains(want, name) {
			d.keep[i] = &column{name: name}
			d.byName[name] = d.keep[i]
			d.names = append(d.names, name)
		}
	}
	for _, name := range want {
		if d.byName[name] == nil {
			return among("no column is named", name, all)
		}
	}
	return nil
}

// texts tells which of the file's columns are known to hold text.
func (d *columns) texts() []bool {
	texts := make([]bool, len(d.keep))
	for i, c := range d.keep {
		texts[i] = c != nil && c.codes != nil
	}
	return texts
}

// A part is the columns of some lines, parsed on their own.
type part struct {
	block, lines []byte
	texts        []bool // which columns were parsed as text
	keep         []*column
	rows         int // before the error, if there is one
	err          error
}

// parse parses lines.
func (d *columns) parse(lines []byte, texts []bool) part {
	p := part{lines: lines, texts: texts, keep: make([]*column, len(d.keep))}
	room := bytes.Count(lines, []byte("\n")) + 1
	for i, c := range d.keep {
		switch {
		case c == nil:
		case texts[i]:
			p.keep[i] = &column{c.name, values{codes: make([]int32, 0, room), index: map[string]int32{}}}
		default:
			p.keep[i] = &column{c.name, values{ints: make([]int64, 0, room)}}
		}
	}
	var line []byte
	fields := make([][]byte, 0, len(d.keep))
	for len(lines) > 0 {
		line, lines = cutLine(lines)
		if fields, p.err = rows.Split(line, fields[:0]); p.err != nil {
			return p
		}
		if len(fields) != len(p.keep) {
			p.err = fmt.Errorf("%d fields, want %d", len(fields), len(p.keep))
			return p
		}
		for i, c := range p.keep {
			if c == nil {
				continue
			}
			if err := c.add(fields[i], p.rows); err != nil {
				p.err = fmt.Errorf("column %s: %w", c.name, err)
				return p
			}
		}
		p.rows++
	}
	return p
}

// join appends a part.
func (d *columns) join(p part) error {
	if texts := d.texts(); !slices.Equal(texts, p.texts) && d.n > 0 {
		p = d.parse(p.lines, texts) // a column was found to hold text since
	}
	for i, c := range d.keep {
		if c == nil {
			continue
		}
		if row, err := c.extend(p.keep[i], d.n); err != nil && (p.err == nil || row < p.rows) {
			p.rows, p.err = row, fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	if p.err != nil {
		return fmt.Errorf("line %d: %w", 2+d.n+p.rows, p.err)
	}
	if d.n += p.rows; d.n > math.MaxInt32 {
		return fmt.Errorf("more than %d samples", math.MaxInt32)
	}
	return nil
}

// expect makes room for so many times the rows there are.
func (d *columns) expect(times float64) {
	more := int(float64(d.n) * (1.02*times - 1))
	if more <= 0 {
		return
	}
	for _, c := range d.keep {
		switch {
		case c == nil:
		case c.codes != nil:
			c.codes = slices.Grow(c.codes, more)
		case c.floats != nil:
			c.floats = slices.Grow(c.floats, more)
		default:
			c.ints = slices.Grow(c.ints, more)
		}
	}
}

// extend appends a part of a column, which holds n values so far. The error tells
// in which row of the part there is text where numbers are wanted.
func (c *column) extend(p *column, n int) (row int, err error) {
	switch {
	case n == 0:
		c.values = p.values
		return 0, nil
	case c.codes != nil:
		c.addCodes(p)
	case p.codes != nil && n > c.empty:
		row = slices.IndexFunc(p.codes, func(code int32) bool { return p.words[code] != "" })
		return row, fmt.Errorf("%q is no number, as in the lines before", p.words[p.codes[row]])
	case p.codes != nil:
		c.toWords(n)
		c.addCodes(p)
	case c.floats != nil || p.floats != nil:
		c.toFloats(n)
		p.toFloats(len(p.ints))
		c.floats = append(c.floats, p.floats...)
	default:
		c.ints = append(c.ints, p.ints...)
	}
	c.empty += p.empty
	return 0, nil
}

// toWords makes a column that is empty so far one of text.
func (c *column) toWords(n int) {
	c.ints, c.floats, c.index, c.codes = nil, nil, map[string]int32{}, make([]int32, 0, n+1)
	for range n {
		c.addWord(nil)
	}
}

// toFloats makes a column of whole numbers one of fractions.
func (c *column) toFloats(n int) {
	if c.floats != nil {
		return
	}
	c.floats = make([]float64, n, max(cap(c.ints), n+1))
	for i, v := range c.ints {
		c.floats[i] = float64(v)
	}
	c.ints = nil
}

// add appends a value, the n-th from 0, widening the column where it must.
func (c *column) add(field []byte, n int) error {
	if c.codes != nil {
		c.addWord(field)
		return nil
	}
	if c.floats == nil {
		if v, ok := parseInt(field); ok {
			c.ints = append(c.ints, v)
			return nil
		}
	} else if len(field) > 0 && bytes.Equal(field, c.seen) {
		c.floats = append(c.floats, c.floats[n-1])
		return nil
	}
	v := math.NaN()
	if len(field) > 0 {
		var err error
		if v, err = strconv.ParseFloat(string(field), 64); err != nil {
			if n > c.empty {
				return fmt.Errorf("%q is no number, as in the lines before", field)
			}
			c.toWords(n)
			c.addWord(field)
			return nil
		}
	} else {
		c.empty++
	}
	c.toFloats(n)
	c.floats = append(c.floats, v)
	c.seen = append(c.seen[:0], field...)
	return nil
}

func (c *column) addWord(field []byte) {
	if n := len(c.codes); n > 0 {
		if last := c.codes[n-1]; string(field) == c.words[last] {
			c.codes = append(c.codes, last)
			return
		}
	}
	c.codes = append(c.codes, c.code(string(field)))
}

// addCodes appends a part's words.
func (c *column) addCodes(p *column) {
	codes := make([]int32, len(p.words))
	for i, word := range p.words {
		codes[i] = c.code(word)
	}
	for _, code := range p.codes {
		c.codes = append(c.codes, codes[code])
	}
}

// code returns a word's code, a new one if it has none.
func (c *column) code(word string) int32 {
	code, ok := c.index[word]
	if !ok {
		code = int32(len(c.words))
		c.words, c.index[word] = append(c.words, word), code
	}
	return code
}

// parseInt reads a decimal integer of up to 18 digits.
func parseInt(b []byte) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	var v int64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		v = v*10 + int64(d-'0')
	}
	if len(digits) < len(b) {
		v = -v
	}
	return v, true
}
