package nb

import (
	"fmt"
	"math"
	"sort"
	"strconv"
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
	keep   []*column // by the file's columns; nil for one that is not kept
	n      int
}

type column struct {
	name string
	values
}

// values are whole numbers, fractions once one is none (an empty field is NaN),
// or text if the first that is not empty is no number.
type values struct {
	empty  int // fields seen that were empty
	ints   []int64
	floats []float64
	codes  []int32 // into words
	words  []string
	index  map[string]int32
	seen   []byte // the last fraction, which most rows repeat
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
	case c.floats != nil && math.IsNaN(c.floats[row]):
		return "" // as it was written
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
