package trace

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
)

// readCSV reads a column of a file that may have a header, or one time a line. Fields
// are separated by commas or, where the first line has none, by tabs or semicolons.
func readCSV(b []byte, column string) ([][]value, string, error) {
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, "", cell.Hint(errors.New(": it is no text in UTF-8"), "its name says what a file is: .json, .jsonl, .npy, and CSV or a time a line for all others")
	}
	r := csv.NewReader(bytes.NewReader(b))
	r.TrimLeadingSpace, r.ReuseRecord = true, true
	first, _, _ := bytes.Cut(b, []byte("\n"))
	if i := bytes.IndexAny(first, ",\t;"); i >= 0 && !bytes.ContainsRune(first, ',') {
		r.Comma = rune(first[i])
		r.TrimLeadingSpace = first[i] != '\t' // an empty field is no space
	}
	var values []value
	at, name := 0, ""
	for row := 0; ; row++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return [][]value{values}, name, nil
		}
		if err != nil {
			return nil, "", fmt.Errorf(": %w", err)
		}
		if row == 0 {
			header := !slices.ContainsFunc(record, isTime)
			if at, err = columnOf(record, column, header); err != nil {
				return nil, "", err
			}
			if header {
				name = strings.TrimSpace(record[at])
				continue
			}
			if len(record) > 1 {
				name = strconv.Itoa(at + 1)
			}
		}
		line, place := r.FieldPos(at)
		where := func() string { return fmt.Sprintf(":%d:%d", line, place) }
		if len(record) == 1 {
			where = func() string { return fmt.Sprintf(":%d", line) }
		}
		values = append(values, value{strings.TrimSpace(record[at]), where})
	}
}

func isTime(text string) bool {
	text = strings.TrimSpace(text)
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return true
	}
	_, ok := date(text)
	return ok
}

// columnOf finds a column by name, or by number from 1; the first for "".
func columnOf(record []string, column string, header bool) (int, error) {
	if column == "" {
		return 0, nil
	}
	var names []string
	for i, name := range record {
		if name = strings.TrimSpace(name); header && name == column {
			return i, nil
		}
		names = append(names, name)
	}
	if n, err := strconv.Atoi(column); err == nil && n >= 1 && n <= len(record) {
		return n - 1, nil
	}
	there := fmt.Sprintf("numbers from 1 to %d: it has no header", len(record))
	if header {
		there = strings.Join(names, ", ")
	}
	return 0, cell.Hint(fmt.Errorf(": no column is named %q", column), "there are %s", there)
}

// readLines reads a file that has a JSON value on each line.
func readLines(b []byte, column string) ([][]value, string, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	all := []any{}
	for {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return walk(all, column)
		}
		if err != nil {
			return nil, "", fmt.Errorf(":%d: %w", line(b, d.InputOffset()), err)
		}
		all = append(all, v)
	}
}

// readJSON reads a list of a file.
func readJSON(b []byte, column string) ([][]value, string, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, "", fmt.Errorf(":%d: %w", line(b, d.InputOffset()), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, "", cell.Hint(fmt.Errorf(":%d: something follows the first value", line(b, d.InputOffset())), "a file of many values ends in .jsonl")
	}
	return walk(v, column)
}

// line returns the line of what follows an offset and any space after it.
func line(b []byte, offset int64) int {
	rest := bytes.TrimLeft(b[offset:], " \t\r\n")
	return 1 + bytes.Count(b[:len(b)-len(rest)], []byte("\n"))
}

// walk finds lists of times by a path, in which * stands for each of a list: of
// numbers it ends at, or of objects of which its last word is a member.
func walk(root any, path string) ([][]value, string, error) {
	var streams [][]value
	var words []string
	if path != "" {
		words = strings.Split(path, ".")
	}
	var down func(v any, words []string, at string) error
	down = func(v any, words []string, at string) error {
		list, isList := v.([]any)
		if len(words) == 0 {
			if !isList {
				return cell.Hint(fmt.Errorf(": %s holds no list of times", at), "%s", offer(root))
			}
			return take(&streams, list, "", at)
		}
		word, rest := words[0], words[1:]
		switch v := v.(type) {
		case map[string]any:
			if next, ok := v[word]; ok {
				return down(next, rest, at+"."+word)
			}
		case []any:
			if i, err := strconv.Atoi(word); err == nil && i >= 0 && i < len(v) {
				return down(v[i], rest, fmt.Sprintf("%s[%d]", at, i))
			}
			if word == "*" {
				// Those that have no such member are passed over, unless none has.
				var lacks error
				found := len(streams)
				for i, next := range v {
					err := down(next, rest, fmt.Sprintf("%s[%d]", at, i))
					var absent *absentError
					switch {
					case errors.As(err, &absent):
						lacks = cmp.Or(lacks, err)
					case err != nil:
						return err
					}
				}
				if len(streams) > found {
					return nil
				}
				if lacks != nil {
					return lacks
				}
			}
			if len(rest) == 0 {
				return take(&streams, list, word, at)
			}
		}
		return cell.Hint(&absentError{at, word}, "%s", offer(root))
	}
	err := down(root, words, "$")
	return streams, path, err
}

// An absentError says that a value has no such member.
type absentError struct{ at, word string }

func (e *absentError) Error() string { return fmt.Sprintf(": %s has no %q", e.at, e.word) }

// take adds a list of times, or of objects with such a member.
func take(streams *[][]value, list []any, member, at string) error {
	values := make([]value, len(list))
	for i, v := range list {
		where := func() string { return fmt.Sprintf(": %s[%d]", at, i) }
		if object, ok := v.(map[string]any); ok && member != "" {
			v = object[member]
		}
		switch v := v.(type) {
		case json.Number:
			values[i] = value{v.String(), where}
		case string:
			values[i] = value{v, where}
		default:
			return cell.Hint(fmt.Errorf("%s: want a time, found %s", where(), kind(v)), "give column: the path of a list of times, or of a member of its objects, such as tasks.*.times")
		}
	}
	*streams = append(*streams, values)
	return nil
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return fmt.Sprint(v)
}

// offer names a path to a list of numbers, where there is one.
func offer(root any) string {
	var find func(v any, path []string) []string
	find = func(v any, path []string) []string {
		switch v := v.(type) {
		case map[string]any:
			var names []string
			for name := range v {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				if p := find(v[name], append(path[:len(path):len(path)], name)); p != nil {
					return p
				}
			}
		case []any:
			if len(v) == 0 || len(path) > 8 {
				return nil
			}
			if _, ok := v[0].(json.Number); ok {
				return path
			}
			return find(v[0], append(path[:len(path):len(path)], "*"))
		}
		return nil
	}
	if p := find(root, nil); p != nil {
		return "give column: such as " + strings.Join(p, ".")
	}
	return "give column: the path of a list of times"
}

// What an array says of itself: its elements, or the columns of each, and its shape.
var (
	header  = regexp.MustCompile(`'descr': *(?:('[^']*')|\[(.*)\]), *'fortran_order': *(True|False), *'shape': *\((\d+),(?: *(\d+))?\)`)
	element = regexp.MustCompile(`^'([<>|=])([fiuM])([48])(?:\[(ns|us|ms|s)\])?'$`)
	field   = regexp.MustCompile(`^\('([^']*)', *'([<>|=])(\w)(\d+)(\[\w+\])?'\),? *`)
)

// An array is a column of times among an array's bytes.
type array struct {
	order        binary.ByteOrder
	kind         byte // f, i, u, or M, which is a date
	unit         string
	width        int // of an element
	from, stride int // of the first, and from one to the next
}

// readNPY reads an array of one dimension, or a column of one that has two or whose
// elements have members, of integers or floats of 4 or 8 bytes, or of dates: the format
// of NumPy's NEP 1, versions 1 to 3.
func readNPY(b []byte, column string) ([][]value, string, error) {
	if len(b) < 12 || string(b[:6]) != "\x93NUMPY" {
		return nil, "", errors.New(": it does not begin as an array of NumPy's does")
	}
	from, size := 10, int(binary.LittleEndian.Uint16(b[8:]))
	if b[6] > 1 {
		from, size = 12, int(binary.LittleEndian.Uint32(b[8:]))
	}
	if b[6] < 1 || b[6] > 3 || size > len(b)-from {
		return nil, "", errors.New(": its header is damaged")
	}
	says, data := b[from:from+size], b[from+size:]
	unreadable := fmt.Errorf(": want an array of one dimension, or a column of one, of whole numbers or floats of 4 or 8 bytes, or of dates, found %s", bytes.TrimSpace(says))
	m := header.FindSubmatch(says)
	if m == nil {
		return nil, "", unreadable
	}
	n, err := strconv.Atoi(string(m[4]))
	switch {
	case err != nil || n > Most:
		return nil, "", fmt.Errorf(": it holds %s times: want at most %d", m[4], Most)
	case len(m[5]) > 0 && len(m[2]) > 0:
		return nil, "", unreadable
	}
	text, wide := string(m[1]), 0 // of the column's elements, and how wide all columns are
	var a array
	switch {
	case len(m[2]) > 0:
		if text, column, a.from, wide, err = member(string(m[2]), column); err != nil {
			return nil, "", err
		}
	case len(m[5]) > 0:
		columns, err := strconv.Atoi(string(m[5]))
		if err != nil || columns < 1 || columns > len(data) {
			return nil, "", unreadable
		}
		at, err := columnOf(make([]string, columns), column, false)
		if err != nil {
			return nil, "", err
		}
		column, a.from, wide = strconv.Itoa(at+1), at, -columns
	case column != "":
		return nil, "", fmt.Errorf(": it is one array, and has no column %q", column)
	}
	e := element.FindStringSubmatch(text)
	if e == nil || e[2] == "M" && (e[3] != "8" || e[4] == "") {
		return nil, "", unreadable
	}
	a.order, a.kind, a.unit, a.width = binary.LittleEndian, e[2][0], e[4], int(e[3][0]-'0')
	if e[1] == ">" {
		a.order = binary.BigEndian
	}
	switch {
	case wide < 0 && string(m[3]) == "True": // one column after the other
		a.from, a.stride, wide = a.from*n*a.width, a.width, -wide*a.width
	case wide < 0:
		a.from, a.stride, wide = a.from*a.width, -wide*a.width, -wide*a.width
	case wide == 0:
		a.stride, wide = a.width, a.width
	default:
		a.stride = wide
	}
	if len(data)%wide != 0 || len(data)/wide != n {
		return nil, "", fmt.Errorf(": it says that it holds %d times of %d bytes, and has %d bytes of them", n, wide, len(data))
	}
	values := make([]value, n)
	for i := range values {
		values[i] = value{a.text(data[a.from+i*a.stride:][:a.width]), func() string { return fmt.Sprintf(": element %d", i) }}
	}
	return [][]value{values}, column, nil
}

// member finds a column among an array's members: how its elements are written, its
// name, where in an element it begins, and how wide an element is.
func member(text, column string) (of, name string, from, wide int, err error) {
	var names, kinds []string
	var starts []int
	for text != "" {
		m := field.FindStringSubmatch(text)
		if m == nil {
			return "", "", 0, 0, fmt.Errorf(": want members that are numbers, dates or text, found %s", text)
		}
		width, err := strconv.Atoi(m[4])
		if err != nil || width < 1 || width > 1<<20 {
			return "", "", 0, 0, fmt.Errorf(": its member %q is of %s bytes", m[1], m[4])
		}
		if m[3] == "U" { // characters of 4 bytes
			width *= 4
		}
		names, kinds, starts = append(names, m[1]), append(kinds, "'"+m[2]+m[3]+m[4]+m[5]+"'"), append(starts, wide)
		wide, text = wide+width, text[len(m[0]):]
	}
	at, err := columnOf(names, column, true)
	if err != nil {
		return "", "", 0, 0, err
	}
	return kinds[at], names[at], starts[at], wide, nil
}

// text writes an element as a file of text would have it.
func (a *array) text(b []byte) string {
	if a.kind != 'M' {
		return number(a.order, b, a.kind)
	}
	v := int64(a.order.Uint64(b))
	each := int64(scales[a.unit])
	if v == math.MinInt64 {
		return "NaT"
	}
	second := int64(time.Second) / each
	return time.Unix(v/second, v%second*each).UTC().Format("2006-01-02 15:04:05.999999999")
}

// number writes an element of an array.
func number(order binary.ByteOrder, b []byte, kind byte) string {
	if len(b) == 4 {
		v := order.Uint32(b)
		switch kind {
		case 'f':
			return strconv.FormatFloat(float64(math.Float32frombits(v)), 'f', -1, 32)
		case 'i':
			return strconv.FormatInt(int64(int32(v)), 10)
		}
		return strconv.FormatUint(uint64(v), 10)
	}
	v := order.Uint64(b)
	switch kind {
	case 'f':
		return strconv.FormatFloat(math.Float64frombits(v), 'f', -1, 64)
	case 'i':
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatUint(v, 10)
}
