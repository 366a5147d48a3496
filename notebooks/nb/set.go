package nb

import (
	"slices"

	"barograph/stages/recording"
)

// A Set is samples, column by column: what [Samples] reads and [Set.By] splits.
type Set struct {
	Label string // of a group, as in level=4; empty for a whole table
	Value string // of a group, as in 4
	table *recording.Table
}

func setOf(t *recording.Table) *Set { return &Set{t.Label, t.Value, t} }

// Len returns the number of samples.
func (s *Set) Len() int { return s.table.Len() }

// Columns returns the columns' names, in the file's order.
func (s *Set) Columns() []string { return s.table.Columns() }

// Ints returns a column of whole numbers, such as latency_ns, one value for
// each sample. The caller may change it.
func (s *Set) Ints(name string) []int64 {
	return slices.Clone(try(s.table.Ints(name)).or("Set.Ints", name))
}

// Floats returns a column of numbers, one value for each sample. The caller may
// change it.
func (s *Set) Floats(name string) []float64 {
	return slices.Clone(try(s.table.Floats(name)).or("Set.Floats", name))
}

// Texts returns a column as it would be written, one value for each sample.
func (s *Set) Texts(name string) []string {
	return try(s.table.Texts(name)).or("Set.Texts", name)
}

// Only returns the one value that a column has in every sample, as text; it is
// an error if the values differ or there is no sample.
func (s *Set) Only(name string) string { return try(s.table.Only(name)).or("Set.Only", name) }

// Mean returns the mean of a column of numbers: for one that is constant within
// a trial, such as utilisation, the mean over trials weighted by their samples.
// Of no sample it is NaN.
func (s *Set) Mean(name string) float64 { return try(s.table.Mean(name)).or("Set.Mean", name) }

// By splits samples by a column's value, in ascending order of numbers or
// alphabetical order of text. Samples keep their order.
func (s *Set) By(name string) []*Set {
	groups := try(s.table.By(name)).or("Set.By", name)
	sets := make([]*Set, len(groups))
	for i, g := range groups {
		sets[i] = setOf(g)
	}
	return sets
}

// Where returns the samples whose column, as text, has a value.
func (s *Set) Where(name, value string) *Set {
	return setOf(try(s.table.Where(name, value)).or("Set.Where", name, value))
}
