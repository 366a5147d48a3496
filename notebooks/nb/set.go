package nb

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"

	"barograph/stages/rows"
)

// A Set is samples, column by column: what [Samples] reads and [Set.By] splits.
type Set struct {
	Label string // of a group, as in level=4; empty for a whole table
	Value string // of a group, as in 4
	data  *columns
	rows  []int32 // nil: every row
}

// columns is a table; groups share it.
type columns struct {
	names  []string
	byName map[string]*column
	n      int
}

// A column holds whole numbers, fractions once a value is none (an empty field
// is NaN), or text if the first value that is not empty is no number.
type column struct {
	name   string
	empty  int // fields seen that were empty
	ints   []int64
	floats []float64
	codes  []int32 // into words
	words  []string
	index  map[string]int32
}

// Len returns the number of samples.
func (s *Set) Len() int {
	if s.rows == nil {
		return s.data.n
	}
	return len(s.rows)
}

// Columns returns the columns' names, in the file's order.
func (s *Set) Columns() []string { return append([]string(nil), s.data.names...) }

// Ints returns a column of whole numbers, such as latency_ns, one value for
// each sample. The caller may change it.
func (s *Set) Ints(name string) []int64 {
	c := s.column("Ints", name)
	if c.ints == nil && s.data.n > 0 {
		raise(fmt.Errorf("the column holds %s", c.holds()), "Set.Ints(%q)", name)
	}
	return gather(s, c.ints)
}

// Floats returns a column of numbers, one value for each sample. The caller may
// change it.
func (s *Set) Floats(name string) []float64 {
	c := s.column("Floats", name)
	switch {
	case c.codes != nil:
		raise(fmt.Errorf("the column holds %s", c.holds()), "Set.Floats(%q)", name)
	case c.floats != nil:
		return gather(s, c.floats)
	}
	ints := gather(s, c.ints)
	floats := make([]float64, len(ints))
	for i, v := range ints {
		floats[i] = float64(v)
	}
	return floats
}

// Texts returns a column as it would be written, one value for each sample.
func (s *Set) Texts(name string) []string {
	c := s.column("Texts", name)
	texts := make([]string, s.Len())
	for i := range texts {
		texts[i] = c.text(s.row(i))
	}
	return texts
}

// Only returns the one value that a column has in every sample, as text; it is
// an error if the values differ or there is no sample.
func (s *Set) Only(name string) string {
	c := s.column("Only", name)
	if s.Len() == 0 {
		raise(fmt.Errorf("there is no sample"), "Set.Only(%q)", name)
	}
	first := s.row(0)
	for i := 1; i < s.Len(); i++ {
		if !c.same(first, s.row(i)) {
			raise(fmt.Errorf("the column holds several values, among them %s and %s", c.text(first), c.text(s.row(i))), "Set.Only(%q)", name)
		}
	}
	return c.text(first)
}

// Mean returns the mean of a column of numbers: for one that is constant within
// a trial, such as utilisation, the mean over trials weighted by their samples.
// Of no sample it is NaN.
func (s *Set) Mean(name string) float64 {
	sum := 0.0
	values := s.Floats(name)
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// By splits samples by a column's value, in ascending order of numbers or
// alphabetical order of text. Samples keep their order.
func (s *Set) By(name string) []*Set {
	c := s.column("By", name)
	groups, order := map[string]*Set{}, []*Set{}
	byInt := map[int64]*Set{}
	for i := range s.Len() {
		r := s.row(i)
		var g *Set
		if c.ints != nil {
			g = byInt[c.ints[r]]
		} else {
			g = groups[c.text(r)]
		}
		if g == nil {
			g = s.group(name, c.text(r))
			if c.ints != nil {
				byInt[c.ints[r]] = g
			} else {
				groups[c.text(r)] = g
			}
			order = append(order, g)
		}
		g.rows = append(g.rows, r)
	}
	sort.SliceStable(order, func(i, j int) bool { return c.less(order[i].rows[0], order[j].rows[0]) })
	return order
}

// Where returns the samples whose column, as text, has a value.
func (s *Set) Where(name, value string) *Set {
	for _, g := range s.By(name) {
		if g.Value == value {
			return g
		}
	}
	return s.group(name, value)
}

// group returns an empty group.
func (s *Set) group(name, value string) *Set {
	return &Set{Label: name + "=" + value, Value: value, data: s.data, rows: []int32{}}
}

func (s *Set) row(i int) int32 {
	if s.rows == nil {
		return int32(i)
	}
	return s.rows[i]
}

func (s *Set) column(method, name string) *column {
	c := s.data.byName[name]
	if c == nil {
		raise(among("no column is named", name, s.data.names), "Set.%s(%q)", method, name)
	}
	return c
}

func gather[T any](s *Set, values []T) []T {
	out := make([]T, s.Len())
	if s.rows == nil {
		copy(out, values)
		return out
	}
	for i, r := range s.rows {
		out[i] = values[r]
	}
	return out
}

func (c *column) holds() string {
	switch {
	case c.codes != nil:
		return fmt.Sprintf("text, such as %q", c.words[0])
	case c.floats != nil:
		return "fractions"
	}
	return "whole numbers"
}

func (c *column) text(row int32) string {
	switch {
	case c.codes != nil:
		return c.words[c.codes[row]]
	case c.floats != nil:
		return strconv.FormatFloat(c.floats[row], 'g', -1, 64)
	}
	return strconv.FormatInt(c.ints[row], 10)
}

func (c *column) same(a, b int32) bool {
	switch {
	case c.codes != nil:
		return c.codes[a] == c.codes[b]
	case c.floats != nil:
		return c.floats[a] == c.floats[b] || c.floats[a] != c.floats[a] && c.floats[b] != c.floats[b]
	}
	return c.ints[a] == c.ints[b]
}

func (c *column) less(a, b int32) bool {
	switch {
	case c.codes != nil:
		return c.words[c.codes[a]] < c.words[c.codes[b]]
	case c.floats != nil:
		return c.floats[a] < c.floats[b]
	}
	return c.ints[a] < c.ints[b]
}

// readSet reads CSV with a header. Lines without quotes, which is all that
// collect writes, are split in place.
func readSet(r io.Reader, want []string) (*Set, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	header, err := record(in, nil)
	if err == io.EOF {
		return nil, fmt.Errorf("the file is empty, want a header line")
	}
	if err != nil {
		return nil, err
	}
	data := &columns{byName: map[string]*column{}}
	keep := make([]*column, len(header))
	for i, field := range header {
		name := string(field)
		if data.byName[name] != nil {
			return nil, fmt.Errorf("line 1: two columns are named %q", name)
		}
		if len(want) == 0 || slices.Contains(want, name) {
			keep[i] = &column{name: name}
			data.byName[name] = keep[i]
			data.names = append(data.names, name)
		}
	}
	for _, name := range want {
		if data.byName[name] == nil {
			var names []string
			for _, f := range header {
				names = append(names, string(f))
			}
			return nil, among("no column is named", name, names)
		}
	}
	fields := header
	for line := 2; ; line++ {
		fields, err = record(in, fields[:0])
		if err == io.EOF {
			return &Set{data: data}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(fields) != len(keep) {
			return nil, fmt.Errorf("line %d has %d fields, want %d", line, len(fields), len(keep))
		}
		if data.n == math.MaxInt32 {
			return nil, fmt.Errorf("more than %d samples", math.MaxInt32)
		}
		for i, c := range keep {
			if c != nil {
				if err := c.add(fields[i], data.n); err != nil {
					return nil, fmt.Errorf("line %d, column %s: %w", line, c.name, err)
				}
			}
		}
		data.n++
	}
}

// record returns the fields of the next line, valid until the one after.
func record(in *bufio.Reader, fields [][]byte) ([][]byte, error) {
	line, err := in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return nil, fmt.Errorf("the line is longer than %d bytes", in.Size())
	}
	if err != nil && (err != io.EOF || len(line) == 0) {
		return nil, err
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	return rows.Split(line, fields)
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
	}
	v := math.NaN()
	if len(field) > 0 {
		var err error
		if v, err = strconv.ParseFloat(string(field), 64); err != nil {
			if n > c.empty {
				return fmt.Errorf("%q is no number, as in the lines before", field)
			}
			c.floats, c.index, c.codes = nil, map[string]int32{}, []int32{}
			for range n {
				c.addWord(nil)
			}
			c.addWord(field)
			return nil
		}
	} else {
		c.empty++
	}
	if c.floats == nil {
		c.floats = make([]float64, n, max(2*n, 1024))
		for i, old := range c.ints {
			c.floats[i] = float64(old)
		}
		c.ints = nil
	}
	c.floats = append(c.floats, v)
	return nil
}

func (c *column) addWord(field []byte) {
	code, ok := c.index[string(field)]
	if !ok {
		code = int32(len(c.words))
		word := string(field)
		c.words, c.index[word] = append(c.words, word), code
	}
	c.codes = append(c.codes, code)
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
