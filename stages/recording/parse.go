package recording

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"barograph/pipeline/cell"
	"barograph/stages/result"
)

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
		if bytes.IndexByte(text, 0) >= 0 {
			return nil, errBinary
		}
		return nil, fmt.Errorf("longer than %d bytes: this is no table", b.size)
	}
	b.rest = append(b.rest[:0], text[end:]...)
	return text[:end], nil
}

// cutLine returns the first line of a text, without its end, and the rest.
func cutLine(text []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// split appends the fields of a line to a list that may be used again. Unless the
// line holds quotes, which csv.Reader then splits by its rules, fields are parts of
// it less the spaces around them, and valid as long as it is.
func split(line []byte, fields [][]byte) ([][]byte, *RowError) {
	if bytes.IndexByte(line, '"') >= 0 {
		texts, err := csv.NewReader(bytes.NewReader(line)).Read()
		if quotes := (*csv.ParseError)(nil); errors.As(err, &quotes) {
			return nil, &RowError{0, quotes.Column, quotes.Err}
		}
		if err != nil {
			return nil, &RowError{0, 1, err}
		}
		for _, t := range texts {
			fields = append(fields, []byte(t))
		}
		return fields, nil
	}
	spaces := bytes.IndexByte(line, ' ') >= 0
	for more := true; more; {
		field, rest := line, []byte(nil)
		if i := bytes.IndexByte(line, ','); i >= 0 {
			field, rest = line[:i], line[i+1:]
		} else {
			more = false
		}
		if spaces {
			field = bytes.TrimSpace(field)
		}
		fields, line = append(fields, field), rest
	}
	return fields, nil
}

// place returns where in a line a field begins, from 1.
func place(line []byte, field int) int {
	quoted := false
	for i, c := range line {
		switch {
		case field == 0:
			return i + 1
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			field--
		}
	}
	return len(line) + 1
}

func printable(line []byte) bool {
	return utf8.Valid(line) && !bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' })
}

var errBinary = cell.Hint(errors.New("holds bytes that are no text"), "want CSV in UTF-8, as it is or compressed by gzip")

// possible refuses what cannot have been measured in a column of a declared type:
// checksums say that a recording is the one that was made, and not that it was
// measured.
func possible(declared result.Type, field []byte) error {
	if declared == result.Anything {
		return nil
	}
	v, err := parseFloat(field)
	switch {
	case bytes.IndexByte(field, 0) >= 0:
		return errBinary
	case declared == result.Time && len(field) == 0:
		return errors.New("is empty")
	case declared == result.Time && err == nil && (v <= 0 || math.IsInf(v, 0)):
		return fmt.Errorf("%q is not a positive time", clip(field))
	case declared == result.Time && err == nil && v == v:
		if _, ok := Whole(field); !ok {
			hint := "round to whole nanoseconds; or are these milliseconds or seconds? then convert them"
			if v >= math.MaxInt64 {
				hint = "want less than 9.2e18, 292 years"
			}
			return cell.Hint(fmt.Errorf("%q is no whole number of nanoseconds", clip(field)), "%s", hint)
		}
	case declared == result.Time:
		return fmt.Errorf("%q is no whole number of nanoseconds", clip(field))
	case len(field) == 0:
	case err != nil || math.IsInf(v, 0) || math.IsNaN(v):
		return fmt.Errorf("%q is no number", clip(field))
	case v < 0:
		return fmt.Errorf("%q is negative", clip(field))
	case declared == result.Share && v > result.Percent:
		return cell.Hint(fmt.Errorf("%q is more than %d00%%", clip(field), result.Percent), "want the share of the link that was used, from 0 to 1; is this percent?")
	}
	return nil
}

func notANumber(field []byte) error {
	return fmt.Errorf("%q is no number, as in the lines before", clip(field))
}

// clip shortens what an error quotes.
func clip(b []byte) []byte { return b[:min(len(b), 40)] }

// parseInt reads a decimal integer, every int64: Unix nanoseconds have 19 digits.
func parseInt(b []byte) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var v int64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		v = v*10 + int64(d-'0')
	}
	if len(digits) == 19 { // which may have been too much
		v, err := strconv.ParseInt(string(b), 10, 64)
		return v, err == nil
	}
	if len(digits) < len(b) {
		v = -v
	}
	return v, true
}

// Whole reads a whole number, with or without zeros behind a point, or with a power
// of ten: pandas writes whole numbers as 10000000.0 where their column had a gap, and
// R writes 1e+07.
func Whole(b []byte) (int64, bool) {
	if bytes.ContainsAny(b, "eE") {
		v, err := parseFloat(b)
		return int64(v), err == nil && v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	number, zeros, point := bytes.Cut(b, []byte("."))
	if point && (len(zeros) == 0 || len(bytes.Trim(zeros, "0")) > 0) {
		return 0, false
	}
	return parseInt(number)
}

func parseFloat(b []byte) (float64, error) { return strconv.ParseFloat(string(b), 64) }
