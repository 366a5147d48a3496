// Package rows splits lines of comma-separated values where they stand, without
// a text for each field.
package rows

import (
	"bytes"
	"encoding/csv"
)

// Split appends the fields of a line, given without its end, to a list that may
// be used again. Unless the line holds quotes, which csv.Reader then splits by
// its rules, fields are parts of it, and valid as long as it is.
func Split(line []byte, fields [][]byte) ([][]byte, error) {
	if bytes.IndexByte(line, '"') >= 0 {
		texts, err := csv.NewReader(bytes.NewReader(line)).Read()
		if err != nil {
			return nil, err
		}
		for _, t := range texts {
			fields = append(fields, []byte(t))
		}
		return fields, nil
	}
	for {
		i := bytes.IndexByte(line, ',')
		if i < 0 {
			return append(fields, line), nil
		}
		fields, line = append(fields, line[:i]), line[i+1:]
	}
}
