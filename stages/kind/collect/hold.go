package collect

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/record"
	"barograph/stages/recording"
	"barograph/stages/result"
)

// hold holds a recording's samples against its run.json, of which all but the calls'
// own numbers could be written again. Checksums, which anybody can make anew, do not say
// that the two belong together.
func hold(files map[string]string) (err error) {
	at := map[string]string{}
	for name, file := range files {
		at[strings.TrimSuffix(path.Base(name), record.Packed)] = file
	}
	r, err := recording.ReadRun(at[record.Run])
	if err != nil {
		return err
	}
	f, err := os.Open(at[record.Samples])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := recording.Unpack(f)
	if err == nil {
		err = against(r, text)
	}
	return recording.Named(at[record.Samples], err)
}

// against reports the first line of samples that is not what a run.json tells of.
func against(r *recording.Run, samples io.Reader) error {
	columns := make([]column, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = of(r, c)
	}
	header, err := line(names(columns))
	if err != nil {
		return err
	}
	s, at := bufio.NewScanner(samples), 0
	s.Buffer(make([]byte, 1<<16), 1<<20)
	next := func() bool { at++; return s.Scan() }
	wrong := func(format string, args ...any) error {
		err := s.Err()
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
		return &recording.RowError{Line: at, Column: 1, Err: err}
	}
	if !next() || !bytes.Equal(s.Bytes(), header) {
		return wrong("the columns are %q, and in run.json %q", s.Text(), header)
	}
	for _, t := range r.Trials {
		before, calls, after, err := around(t, columns)
		if err != nil {
			return err
		}
		before, after = append(before, ','), append([]byte{','}, after...)
		dropped, last := 0, int64(-1)
		for i := range t.Infer.Calls {
			if !next() {
				return wrong("the file ends, and run.json has %d calls of %s after %d", t.Infer.Calls-i, t.ID, i)
			}
			own, ok := bytes.CutPrefix(s.Bytes(), before)
			if ok {
				own, ok = bytes.CutSuffix(own, after)
			}
			if !ok {
				return wrong("this is not call %d of the %d that run.json has of %s: %s", i+1, t.Infer.Calls, t.ID, unlike(t, columns, s.Text()))
			}
			number, due, sent, took, answered := int64(0), int64(0), int64(-1), int64(0), true
			for _, c := range calls {
				var field []byte
				if field, own, _ = bytes.Cut(own, []byte(",")); len(field) == 0 {
					if always[c.Name] {
						return wrong("column %s is empty", c.Name)
					}
					continue
				}
				n, err := strconv.ParseInt(string(field), 10, 64)
				if err != nil {
					return wrong("column %s: %w", c.Name, err)
				}
				switch c.Name {
				case "call":
					number = n
				case "scheduled_ns":
					due = n
				case "start_ns":
					sent = n
				case "latency_ns":
					took = n
				case "answered_with":
					if answered = n > 0; !answered {
						dropped++
					}
				}
			}
			if last >= 0 && number != last+1 {
				return wrong("call %d follows call %d", number, last)
			}
			if w := t.Infer.Window; due < w[0] || due+took > w[1] {
				return wrong("a call from %d to %d, and run.json has those of %s from %d to %d", due, due+took, t.ID, w[0], w[1])
			}
			if due < 0 || sent < due || sent > due+took || took == 0 && answered {
				return wrong("a call due at %d, sent at %d and complete %d ns after it was due", due, sent, took)
			}
			last = number
		}
		if told := t.Infer.Traffic; told != nil && t.Infer.Tenancy == nil && told.Dropped != dropped {
			return wrong("of %s %d requests were dropped up to here, and in run.json %d", t.ID, dropped, told.Dropped)
		}
	}
	if next() {
		return wrong("run.json has no call after the %d before", at-2)
	}
	if rows := at - 2; s.Err() == nil && r.Rows != rows {
		return wrong("run.json has %d rows, and of its trials %d calls", r.Rows, rows)
	}
	return s.Err()
}

// always are the columns of which every call has a number.
var always = map[string]bool{"call": true, "scheduled_ns": true, "start_ns": true, "latency_ns": true}

// of returns a column of a recording with what it holds.
func of(r *recording.Run, c result.Column) column {
	if i := slices.IndexFunc(declared, func(d column) bool { return d.Name == c.Name }); i >= 0 {
		return declared[i]
	}
	axis := c.Name
	for prefixed := true; prefixed && !slices.ContainsFunc(r.Trials, func(t *recording.Trial) bool { _, ok := t.Point.Get(axis); return ok }); {
		axis, prefixed = strings.CutPrefix(axis, "axis_")
	}
	return column{c, onAxis(axis, "")}
}

// unlike says which column of a line is not what a trial has.
func unlike(t *recording.Trial, columns []column, row string) string {
	fields, err := csv.NewReader(strings.NewReader(row)).Read()
	if err != nil || len(fields) != len(columns) {
		return fmt.Sprintf("it has %d fields, and not %d", len(fields), len(columns))
	}
	for i, want := range values(t, columns) {
		if columns[i].value != nil && fields[i] != want {
			return fmt.Sprintf("column %s holds %q, and not %q", columns[i].Name, fields[i], want)
		}
	}
	return "it is written otherwise"
}
