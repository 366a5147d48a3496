package recording

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"barograph/stages/result"
)

// A Table is samples, column by column: all that [Read] reads, or a group of them,
// which shares its memory. A column takes 8 bytes a row where it differs from row
// to row, and next to nothing where trials lie in one piece and their calls share
// a value.
type Table struct {
	Label string // of a group, as in level=4; empty for a whole table
	Value string // of a group, as in 4
	data  *data
	rows  []span
	n     int
}

// data is what a table and its groups share.
type data struct {
	columns []*column // by the file's; nil for one that is not kept
	byName  map[string]*column
	names   []string // of those kept
	n       int
	lines   int // read
	skipped int // rows that were not selected
	others  []map[string]bool
	watch   []watch
	file    io.Reader
	head    *header
}

// A column holds whole numbers, fractions once one is none, or texts if the first that
// is not empty is no number. An empty field among fractions is NaN, and among whole
// numbers gap, unless that is a value too: then they are fractions.
type column struct {
	name      string
	declared  result.Type
	holds     content
	n         int // rows
	empty     int // fields that were, of numbers
	wholes    vector[int64]
	fractions vector[float64]
	codes     vector[int32] // into words
	words     []string
	index     map[string]int32
	seen      []byte // the last field, which most rows repeat
	lowest    bool   // gap is a value
	rounded   string // a whole number that fractions cannot hold; empty if there is none
}

const gap = math.MinInt64

// Len returns the number of samples.
func (t *Table) Len() int { return t.n }

// Columns returns the columns' names, in the file's order.
func (t *Table) Columns() []string { return slices.Clone(t.data.names) }

// Has tells whether there is a column.
func (t *Table) Has(name string) bool { return t.data.byName[name] != nil }

// Varying returns the columns that were not kept, that no stage declares, and that
// have several values. One without a name is an index, as pandas and R write it.
func (t *Table) Varying() (names []string) {
	for i, w := range t.data.watch {
		if name := t.data.head.names[t.data.head.watched[i]]; w.varies && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Ints returns a column of whole numbers, such as latency_ns, a value for each
// sample. They are the table's own memory where the samples lie in one piece.
func (t *Table) Ints(name string) ([]int64, error) {
	c, err := t.column(name)
	if err != nil {
		return nil, err
	}
	if c.holds != whole && t.data.n > 0 {
		return nil, fmt.Errorf("the column holds %s", c.content())
	}
	values := c.wholes.gather(t.rows, t.n)
	if c.empty > 0 && slices.Contains(values, gap) {
		return nil, errors.New("the column has empty fields: Floats reads them as NaN")
	}
	return values, nil
}

// Floats returns a column of numbers, a value for each sample, NaN for an empty
// field. They are the table's own memory where the samples lie in one piece.
func (t *Table) Floats(name string) ([]float64, error) {
	c, err := t.numbers(name)
	if err != nil {
		return nil, err
	}
	if c.holds == fraction {
		return c.fractions.gather(t.rows, t.n), nil
	}
	out := make([]float64, 0, t.n)
	for s, v := range c.over(t.rows) {
		for range s.to - s.from {
			out = append(out, v.float())
		}
	}
	return out, nil
}

// Texts returns a column as it would be written, a value for each sample.
func (t *Table) Texts(name string) ([]string, error) {
	c, err := t.exact(name)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, t.n)
	for s, v := range c.over(t.rows) {
		text := v.String()
		for range s.to - s.from {
			out = append(out, text)
		}
	}
	return out, nil
}

// Only returns the one value that a column has in every sample, as text; it is an
// error if values differ or there is no sample.
func (t *Table) Only(name string) (string, error) {
	c, err := t.exact(name)
	if err != nil {
		return "", err
	}
	if t.n == 0 {
		return "", errors.New("there is no sample")
	}
	var first *value
	for _, v := range c.over(t.rows) {
		if first == nil {
			first = &v
		} else if v != *first {
			return "", fmt.Errorf("the column holds several values, among them %s and %s", first, v)
		}
	}
	return first.String(), nil
}

// Mean returns the mean of a column of numbers: for one that is constant within a
// trial, such as utilisation, the mean over trials weighted by their samples. Of
// no sample it is NaN.
func (t *Table) Mean(name string) (float64, error) {
	c, err := t.numbers(name)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for s, v := range c.over(t.rows) {
		x := v.float()
		for range s.to - s.from {
			sum += x
		}
	}
	return sum / float64(t.n), nil
}

// By splits samples by a column's value, in ascending order of numbers or
// alphabetical order of texts. Samples keep their order.
func (t *Table) By(name string) ([]*Table, error) {
	c, err := t.exact(name)
	if err != nil {
		return nil, err
	}
	groups, values := map[value]*Table{}, []value{}
	for s, v := range c.over(t.rows) {
		g := groups[v]
		if g == nil {
			g = t.group(name, v.String())
			groups[v], values = g, append(values, v)
		}
		g.append(s)
	}
	slices.SortFunc(values, value.compare)
	order := make([]*Table, len(values))
	for i, v := range values {
		order[i] = groups[v]
	}
	return order, nil
}

// Groups splits samples by one column after the other, and hands on each group with
// its values of them.
func (t *Table) Groups(names []string, use func(g *Table, values []string) error) error {
	return t.nest(names, nil, use)
}

func (t *Table) nest(names, values []string, use func(*Table, []string) error) error {
	if len(names) == 0 {
		return use(t, values)
	}
	groups, err := t.By(names[0])
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := g.nest(names[1:], append(values[:len(values):len(values)], g.Value), use); err != nil {
			return err
		}
	}
	return nil
}

// Split returns a column of whole numbers apart for each value of another, such as
// latency_ns by replicate. The caller may change them.
func (t *Table) Split(by, name string) ([][]int64, error) {
	groups, err := t.By(by)
	if err != nil {
		return nil, err
	}
	split := make([][]int64, len(groups))
	for i, g := range groups {
		values, err := g.Ints(name)
		if err != nil {
			return nil, err
		}
		split[i] = slices.Clone(values)
	}
	return split, nil
}

// Where returns the samples whose column, as text, has a value.
func (t *Table) Where(name, text string) (*Table, error) {
	c, err := t.exact(name)
	if err != nil {
		return nil, err
	}
	g := t.group(name, text)
	for s, v := range c.over(t.rows) {
		if v.String() == text {
			g.append(s)
		}
	}
	return g, nil
}

// group returns an empty group.
func (t *Table) group(name, text string) *Table {
	return &Table{Label: name + "=" + text, Value: text, data: t.data}
}

// append adds rows behind those of a group.
func (t *Table) append(s span) {
	t.n += int(s.to - s.from)
	if last := len(t.rows) - 1; last >= 0 && t.rows[last].to == s.from {
		t.rows[last].to = s.to
		return
	}
	t.rows = append(t.rows, s)
}

// None returns no sample of the table.
func (t *Table) None() *Table { return &Table{data: t.data} }

// Add adds another group's samples behind those of a group of the same table.
func (t *Table) Add(g *Table) {
	for _, s := range g.rows {
		t.append(s)
	}
}

// A Piece is samples that follow one another and share the values of some columns.
type Piece struct {
	*Table
	values []value
}

// Text returns the piece's value of one of the columns, by its place among them.
func (p *Piece) Text(i int) string { return p.values[i].String() }

// Float returns the piece's value of a column of numbers; NaN for an empty field.
func (p *Piece) Float(i int) float64 { return p.values[i].float() }

// Pieces cuts the samples wherever one of the columns, which must be there,
// changes. A piece is good until the next.
func (t *Table) Pieces(names []string) iter.Seq[*Piece] {
	return func(yield func(*Piece) bool) {
		p := &Piece{&Table{data: t.data, rows: []span{{}}}, make([]value, len(names))}
		columns, ends, places := make([]*column, len(names)), make([]int32, len(names)), make([]int, len(names))
		for i, name := range names {
			columns[i] = t.data.byName[name]
		}
		for _, s := range t.rows {
			for i := range ends {
				ends[i] = s.from
			}
			for from := s.from; from < s.to; {
				to := s.to
				for i, c := range columns {
					if ends[i] == from {
						p.values[i], ends[i] = c.at(from, &places[i])
					}
					to = min(to, ends[i])
				}
				p.rows[0], p.n = span{from, to}, int(to-from)
				if !yield(p) {
					return
				}
				from = to
			}
		}
	}
}

// At says that something is wrong with a column, in the first of the samples.
func (t *Table) At(name string, err error) error {
	return t.data.locate(int(t.rows[0].from), name, fmt.Errorf("column %s: %w", name, err))
}

// In says that something is wrong with the first of the samples.
func (t *Table) In(err error) error { return t.data.locate(int(t.rows[0].from), "", err) }

// InHeader says that something is wrong with a whole column.
func (t *Table) InHeader(name string, err error) error {
	return &RowError{1, t.data.head.places[slices.Index(t.data.head.names, name)], fmt.Errorf("column %s: %w", name, err)}
}

func (t *Table) column(name string) (*column, error) {
	c := t.data.byName[name]
	if c == nil {
		return nil, &NoColumnError{name, t.data.names}
	}
	return c, nil
}

// exact returns a column whose values are all what the file says.
func (t *Table) exact(name string) (*column, error) {
	c, err := t.column(name)
	if err == nil && c.rounded != "" {
		err = fmt.Errorf("the column holds fractions, and %s, which has more digits than they hold", c.rounded)
	}
	return c, err
}

func (t *Table) numbers(name string) (*column, error) {
	c, err := t.column(name)
	if err == nil && c.holds == text {
		err = fmt.Errorf("the column holds %s", c.content())
	}
	return c, err
}

// A NoColumnError says that a column is wanted and not there.
type NoColumnError struct {
	Name  string
	There []string
}

func (e *NoColumnError) Error() string {
	if len(e.There) == 0 {
		return fmt.Sprintf("no column is named %q; there is none", e.Name)
	}
	return fmt.Sprintf("no column is named %q; there is %s", e.Name, strings.Join(e.There, ", "))
}

// at returns a row's value, and the row after those that share it.
func (c *column) at(row int32, i *int) (value, int32) {
	switch c.holds {
	case text:
		code, end := c.codes.at(row, i)
		return value{holds: text, text: c.words[code]}, end
	case fraction:
		x, end := c.fractions.at(row, i)
		return fractionOf(x), end
	}
	x, end := c.wholes.at(row, i)
	if x == gap && !c.lowest {
		return value{}, end
	}
	return value{holds: whole, whole: x}, end
}

// over returns the column's values in rows, each with the rows that share it.
func (c *column) over(rows []span) iter.Seq2[span, value] {
	return func(yield func(span, value) bool) {
		i := 0
		for _, s := range rows {
			for from := s.from; from < s.to; {
				v, to := c.at(from, &i)
				to = min(to, s.to)
				if !yield(span{from, to}, v) {
					return
				}
				from = to
			}
		}
	}
}

func (c *column) content() string {
	switch c.holds {
	case text:
		return fmt.Sprintf("text, such as %q", c.words[0])
	case fraction:
		return "fractions"
	}
	return "whole numbers"
}

// add appends a field for the row n, widening the column where it must.
func (c *column) add(field []byte) error {
	end := c.n + 1
	if c.n > 0 && string(field) == string(c.seen) {
		c.repeat(end)
		return nil
	}
	if c.declared == result.Time {
		if v, ok := parseInt(field); ok && v > 0 {
			c.wholes.add(v, end)
			c.n, c.seen = end, field
			return nil
		}
	}
	if err := possible(c.declared, field); err != nil {
		return err
	}
	switch {
	case c.holds == text:
		c.codes.add(c.code(string(field)), end)
	case len(field) == 0:
		c.empty++
		if c.lowest {
			c.toFractions()
		}
		if c.holds == whole {
			c.wholes.add(gap, end)
		} else {
			c.fractions.add(math.NaN(), end)
		}
	default:
		if err := c.number(field, end); err != nil {
			return err
		}
	}
	c.n, c.seen = end, field
	return nil
}

// repeat gives the last value to the rows up to an end.
func (c *column) repeat(end int) {
	if c.n >= end {
		return
	}
	if len(c.seen) == 0 && c.holds != text {
		c.empty += end - c.n
	}
	switch c.holds {
	case text:
		c.codes.add(c.codes.values[len(c.codes.values)-1], end)
	case fraction:
		c.fractions.add(c.fractions.values[len(c.fractions.values)-1], end)
	default:
		c.wholes.add(c.wholes.values[len(c.wholes.values)-1], end)
	}
	c.n = end
}

// number appends a field of a column of numbers.
func (c *column) number(field []byte, end int) error {
	if c.holds == whole {
		parse := parseInt
		if c.declared == result.Time {
			parse = Whole // as possible has it
		}
		if v, ok := parse(field); ok && (v != gap || c.empty == 0) {
			c.lowest = c.lowest || v == gap
			c.wholes.add(v, end)
			return nil
		}
	}
	if v, ok := parseInt(field); ok {
		c.round(v)
	}
	v, err := parseFloat(field)
	switch {
	case err == nil:
		c.toFractions()
		c.fractions.add(v, end)
	case c.n > c.empty:
		return notANumber(field)
	default:
		c.toTexts()
		c.codes.add(c.code(string(field)), end)
	}
	return nil
}

// toTexts makes a column that is empty so far one of text.
func (c *column) toTexts() {
	c.holds, c.fractions, c.wholes, c.index = text, vector[float64]{}, vector[int64]{}, map[string]int32{}
	if c.n > 0 {
		c.codes.add(c.code(""), c.n)
	}
}

// toFractions makes a column of whole numbers one of fractions.
func (c *column) toFractions() {
	if c.holds == fraction {
		return
	}
	c.holds = fraction
	c.fractions = vector[float64]{dense: c.wholes.dense, ends: c.wholes.ends, values: make([]float64, len(c.wholes.values), max(cap(c.wholes.values), 1))}
	for i, v := range c.wholes.values {
		if v == gap && !c.lowest {
			c.fractions.values[i] = math.NaN()
			continue
		}
		c.fractions.values[i] = c.round(v)
	}
	c.wholes = vector[int64]{}
}

// round returns a whole number as a fraction, and notes where that reads otherwise.
func (c *column) round(v int64) float64 {
	f := float64(v)
	if c.rounded == "" && math.Abs(f) > 1<<53 {
		if text := strconv.FormatInt(v, 10); text != fractionOf(f).String() {
			c.rounded = text
		}
	}
	return f
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

// join appends a part of the column. The error tells in which row of the part there
// is text where numbers are wanted.
func (c *column) join(p *column) (row int, err error) {
	switch {
	case p.n == 0:
		return 0, nil
	case c.n == 0:
		c.holds, c.wholes, c.fractions, c.codes, c.words, c.index = p.holds, p.wholes, p.fractions, p.codes, p.words, p.index
	case c.holds != text && p.holds == text && c.n > c.empty:
		for s, v := range p.over([]span{{0, int32(p.n)}}) {
			if v.text != "" {
				return int(s.from), notANumber([]byte(v.text))
			}
		}
	case c.holds == text || p.holds == text:
		if c.holds != text {
			c.toTexts()
		}
		codes := make([]int32, len(p.words))
		for i, word := range p.words {
			codes[i] = c.code(word)
		}
		for i, code := range p.codes.values {
			p.codes.values[i] = codes[code]
		}
		c.codes.join(p.codes, c.n)
	case c.holds == fraction || p.holds == fraction || (c.lowest || p.lowest) && c.empty+p.empty > 0:
		c.toFractions()
		p.toFractions()
		c.fractions.join(p.fractions, c.n)
	default:
		c.wholes.join(p.wholes, c.n)
	}
	c.n += p.n
	c.empty += p.empty
	c.lowest = c.lowest || p.lowest
	c.rounded = cmp.Or(c.rounded, p.rounded)
	return 0, nil
}

// expect makes room for so many rows.
func (c *column) expect(rows int) {
	c.wholes.expect(rows)
	c.fractions.expect(rows)
	c.codes.expect(rows)
}
