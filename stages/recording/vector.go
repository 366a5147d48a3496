package recording

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// A span is a range of rows that follow one another.
type span struct{ from, to int32 }

// A vector is values by row: one for each run of rows that share it, for as long
// as runs are long, and then one for each row.
type vector[T comparable] struct {
	values []T
	ends   []int32 // the row after each run; nil if there is a value for each row
	dense  bool
	room   int // rows that there will be, if that is known
}

// add appends a value for the rows up to an end.
func (v *vector[T]) add(x T, end int) {
	n := len(v.values)
	switch {
	case v.dense:
		for ; n < end; n++ {
			v.values = append(v.values, x)
		}
	case n > 0 && (v.values[n-1] == x || v.values[n-1] != v.values[n-1] && x != x): // NaN is NaN
		v.ends[n-1] = int32(end)
	default:
		v.values, v.ends = append(v.values, x), append(v.ends, int32(end))
		if n >= 64 && 2*n > end { // which takes less memory by row
			v.spread(end)
		}
	}
}

// expect makes room for so many rows, once there is a value for each.
func (v *vector[T]) expect(rows int) {
	if v.room = rows; v.dense && rows > len(v.values) {
		v.values = slices.Grow(v.values, rows-len(v.values))
	}
}

// spread gives each of n rows its value.
func (v *vector[T]) spread(n int) {
	all := make([]T, 0, max(n, v.room))
	for i, x := range v.values {
		for len(all) < int(v.ends[i]) {
			all = append(all, x)
		}
	}
	v.values, v.ends, v.dense = all, nil, true
}

// join appends a vector to one of n rows.
func (v *vector[T]) join(w vector[T], n int) {
	switch {
	case n == 0:
		*v = w
	case w.dense:
		if !v.dense {
			v.spread(n)
		}
		v.values = append(v.values, w.values...)
	default:
		for i, x := range w.values {
			v.add(x, n+int(w.ends[i]))
		}
	}
}

// at returns a row's value, and the row after those that follow and share it. The
// index, from 0, is kept between calls, which are quick for rows in order.
func (v *vector[T]) at(row int32, i *int) (T, int32) {
	if v.dense {
		return v.values[row], row + 1
	}
	if *i > 0 && v.ends[*i-1] > row {
		*i = 0
	}
	for v.ends[*i] <= row {
		*i++
	}
	return v.values[*i], v.ends[*i]
}

// gather returns the value of each of n rows: the vector's own memory, where they
// lie in one piece.
func (v *vector[T]) gather(rows []span, n int) []T {
	if v.dense && len(rows) == 1 {
		return v.values[rows[0].from:rows[0].to:rows[0].to]
	}
	out := make([]T, 0, n)
	i := 0
	for _, s := range rows {
		for row := s.from; row < s.to; {
			x, end := v.at(row, &i)
			for ; row < min(end, s.to); row++ {
				out = append(out, x)
			}
		}
	}
	return out
}

// A value is one field of a column, and may be a key.
type value struct {
	holds  content
	whole  int64
	number float64
	text   string
}

// content is what a column, or a value, holds.
type content int

const (
	nothing content = iota // an empty field among numbers
	whole
	fraction
	text
)

func fractionOf(x float64) value {
	if math.IsNaN(x) {
		return value{}
	}
	return value{holds: fraction, number: x}
}

// String returns a value as it would be written.
func (v value) String() string {
	switch v.holds {
	case text:
		return v.text
	case whole:
		return strconv.FormatInt(v.whole, 10)
	case fraction:
		return strconv.FormatFloat(v.number, 'f', -1, 64)
	}
	return ""
}

// float returns a number; NaN for nothing.
func (v value) float() float64 {
	switch v.holds {
	case whole:
		return float64(v.whole)
	case fraction:
		return v.number
	}
	return math.NaN()
}

// compare orders values of one column: numbers by size, texts by letter.
func (v value) compare(w value) int {
	return cmp.Or(cmp.Compare(v.holds, w.holds), cmp.Compare(v.whole, w.whole), cmp.Compare(v.number, w.number), cmp.Compare(v.text, w.text))
}
