// Package table writes the CSV behind a figure (RFC 4180).
package table

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// A Writer writes rows. What goes wrong is told by Flush.
type Writer struct{ *bufio.Writer }

// New begins a table with the names of its columns.
func New(w io.Writer, columns ...any) Writer {
	t := Writer{bufio.NewWriterSize(w, 1<<16)}
	t.Row(columns...)
	return t
}

// Row writes a row: texts quoted where they must be, numbers in full, and nothing for
// those that are not finite.
func (t Writer) Row(fields ...any) {
	for i, f := range fields {
		if i > 0 {
			t.WriteByte(',')
		}
		switch f := f.(type) {
		case string:
			t.WriteString(Field(f))
		case float64:
			if !math.IsNaN(f) && !math.IsInf(f, 0) {
				t.Write(strconv.AppendFloat(t.AvailableBuffer(), f, 'g', -1, 64))
			}
		default:
			fmt.Fprint(t, f)
		}
	}
	t.WriteByte('\n')
}

// At is a number of a column that may not be there.
func At(column []float64, i int) float64 {
	if column == nil {
		return math.NaN()
	}
	return column[i]
}

// Field quotes a text that must be.
func Field(s string) string {
	if strings.ContainsAny(s, "\",\n\r") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// AppendShare appends a number to eight digits, as strconv.AppendFloat does and, of
// those between a tenth and one, faster.
func AppendShare(row []byte, v float64) []byte {
	const scale, tie = 1e8, 1e-6 // v*scale is off by less than 1e-8
	whole, part := math.Modf(v * scale)
	if !(v >= 0.1 && whole < scale-1) || math.Abs(part-0.5) < tie {
		return strconv.AppendFloat(row, v, 'g', 8, 64)
	}
	digits := uint32(whole)
	if part > 0.5 {
		digits++
	}
	n := 8
	for ; digits%10 == 0; digits /= 10 {
		n--
	}
	row = append(row, "0.00000000"[:2+n]...)
	for i := len(row) - 1; n > 0; i, n = i-1, n-1 {
		row[i] = byte('0' + digits%10)
		digits /= 10
	}
	return row
}
