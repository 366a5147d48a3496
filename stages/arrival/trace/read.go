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

	"barograph/pipeline/cell"
)

// readCSV reads a column of a file that may have a header, or one time a line.
func readCSV(b []byte, column string) ([][]value, string, error) {
	r := csv.NewReader(bytes.NewReader(b))
	r.TrimLeadingSpace, r.ReuseRecord = true, true
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

// header matches what an array of one dimension says of itself.
var header = regexp.MustCompile(`'descr': *'([<>|=])([fiu])([48])'.*'fortran_order': *(?:True|False).*'shape': *\((\d+), *1?\)`)

// readNPY reads an array of one dimension, of integers or floats of 4 or 8 bytes: the
// format of NumPy's NEP 1, versions 1 to 3.
func readNPY(b []byte, column string) ([][]value, string, error) {
	if column != "" {
		return nil, "", fmt.Errorf(": it is one array, and has no column %q", column)
	}
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
	m := header.FindSubmatch(b[from : from+size])
	if m == nil {
		return nil, "", fmt.Errorf(": want an array of one dimension, of whole numbers or floats of 4 or 8 bytes, found %s", bytes.TrimSpace(b[from:from+size]))
	}
	var order binary.ByteOrder = binary.LittleEndian
	if m[1][0] == '>' {
		order = binary.BigEndian
	}
	width := int(m[3][0] - '0')
	n, err := strconv.Atoi(string(m[4]))
	data := b[from+size:]
	if err != nil || n > Most || n*width != len(data) {
		return nil, "", fmt.Errorf(": it says that it holds %s times of %d bytes, and has %d bytes of them", m[4], width, len(data))
	}
	values := make([]value, n)
	for i := range values {
		values[i] = value{number(order, data[i*width:(i+1)*width], m[2][0]), func() string { return fmt.Sprintf(": element %d", i) }}
	}
	return [][]value{values}, "", nil
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
