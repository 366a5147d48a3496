package recording

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/result"
)

// ahead is how many bytes of samples are unpacked while a run.json is read.
const ahead = 8 << 20

// ReadSealed reads a recording whose files are what its checksums say, and whose samples
// are those that its run.json tells of: that, and by trial, in its order, the latencies of
// calls that were answered, in nanoseconds. What the files are not is an error, of status 2.
func ReadSealed(dir string) (r *Run, latencies [][]int64, err error) {
	samples := record.Path(filepath.Join(dir, record.Samples))
	text := unpacked(samples)
	defer text.Close()
	r = &Run{}
	if err := record.Read(dir, r, &r.Head); err != nil {
		return nil, nil, cell.Usage(err)
	}
	at := filepath.Join(dir, record.Run)
	run, err := cell.Read(at)
	if err == nil {
		err = r.check(at, run)
	}
	if err == nil {
		latencies, err = r.hold(text)
		err = Named(samples, err)
	}
	if err != nil {
		return nil, nil, err
	}
	return r, latencies, nil
}

// unpacked returns the text of a file, which is unpacked as it is read and some bytes
// ahead of that.
func unpacked(path string) io.ReadCloser {
	from, to := io.Pipe()
	go func() {
		b := bufio.NewWriterSize(to, ahead)
		f, err := os.Open(path)
		if err == nil {
			defer f.Close()
			var text io.Reader
			if text, err = Unpack(f); err == nil {
				_, err = io.Copy(b, text)
			}
		}
		to.CloseWithError(cmp.Or(err, b.Flush()))
	}()
	return from
}

// Agree holds the samples among a recording's files against its run.json, of which all but
// the calls' own numbers could be written again. Checksums, which anybody can make anew, do
// not say that the two belong together.
func Agree(files map[string]string) error {
	at := map[string]string{}
	for name, file := range files {
		at[strings.TrimSuffix(path.Base(name), record.Packed)] = file
	}
	r, err := ReadRun(at[record.Run])
	if err != nil {
		return err
	}
	text := unpacked(at[record.Samples])
	defer text.Close()
	_, err = r.hold(text)
	return Named(at[record.Samples], err)
}

// hold reports the first line of samples that is not what a run.json tells of. It returns
// the latencies of calls that were answered, by trial.
func (r *Run) hold(samples io.Reader) (latencies [][]int64, err error) {
	fields := make([]Field, len(r.Columns))
	for i, c := range r.Columns {
		fields[i] = r.field(c)
	}
	header, err := Header(fields)
	if err != nil {
		return nil, err
	}
	s, at := bufio.NewScanner(samples), 0
	s.Buffer(make([]byte, 1<<16), 1<<20)
	next := func() bool { at++; return s.Scan() }
	wrong := func(column int, format string, args ...any) ([][]int64, error) {
		err := s.Err()
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
		return nil, &RowError{at, column, err}
	}
	if !next() || !bytes.Equal(s.Bytes(), header) {
		return wrong(1, "the columns are %q, and in run.json %q", s.Text(), header)
	}
	latencies = make([][]int64, len(r.Trials))
	for k, t := range r.Trials {
		lead, calls, after, err := Around(t, fields)
		if err != nil {
			return nil, err
		}
		lead, after = append(lead, ','), append([]byte{','}, after...)
		dropped, last, before := 0, int64(-1), turn{}
		in := t.loop()
		for i := range t.Infer.Calls {
			if !next() {
				return wrong(1, "the file ends, and run.json has %d calls of %s after %d", t.Infer.Calls-i, t.ID, i)
			}
			own, ok := bytes.CutPrefix(s.Bytes(), lead)
			if ok {
				own, ok = bytes.CutSuffix(own, after)
			}
			if !ok {
				column, why := unlike(t, fields, s.Bytes())
				return wrong(column, "this is not call %d of the %d that run.json has of %s: %s", i+1, t.Infer.Calls, t.ID, why)
			}
			number, due, sent, took, round, answered := int64(0), int64(0), int64(-1), int64(0), int64(0), true
			for _, c := range calls {
				column := 1 + len(s.Bytes()) - len(after) - len(own)
				var field []byte
				if field, own, _ = bytes.Cut(own, []byte(",")); len(field) == 0 {
					if always[c.Name] {
						return wrong(column, "column %s is empty", c.Name)
					}
					continue
				}
				n, ok := parseInt(field)
				if !ok {
					return wrong(column, "column %s: %q is no whole number", c.Name, clip(field))
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
				case "round":
					round = n
				case "answered_with":
					if answered = n > 0; !answered {
						dropped++
					}
				}
			}
			if last >= 0 && number != last+1 {
				return wrong(1, "call %d follows call %d", number, last)
			}
			if w := t.Infer.Window; due < w[0] || due+took > w[1] {
				return wrong(1, "a call from %d to %d, and run.json has those of %s from %d to %d", due, due+took, t.ID, w[0], w[1])
			}
			if due < 0 || sent < due || sent > due+took || took == 0 && answered {
				return wrong(1, "a call due at %d, sent at %d and complete %d ns after it was due", due, sent, took)
			}
			now := turn{due, due + took, round}
			if last >= 0 && !in.follows(before, now) {
				return wrong(1, "a call due at %d in a closed loop, in which the call before was complete at %d", due, before.done)
			}
			if w := t.Infer.Window[0]; in.spans && i == 0 && due != w {
				return wrong(1, "the first call of %s is due at %d, and in run.json at %d", t.ID, due, w)
			}
			if w := t.Infer.Window[1]; in.spans && i == t.Infer.Calls-1 && now.done != w {
				return wrong(1, "the last call of %s is complete at %d, and in run.json at %d", t.ID, now.done, w)
			}
			if last, before = number, now; answered {
				latencies[k] = append(latencies[k], took)
			}
		}
		if told := t.Infer.Traffic; told != nil && t.Infer.Tenancy == nil && told.Dropped != dropped {
			return wrong(1, "of %s %d requests were dropped up to here, and in run.json %d", t.ID, dropped, told.Dropped)
		}
	}
	if next() {
		return wrong(1, "run.json has no call after the %d before", at-2)
	}
	if rows := at - 2; s.Err() == nil && r.Rows != rows {
		return wrong(1, "run.json has %d rows, and of its trials %d calls", r.Rows, rows)
	}
	if s.Err() != nil {
		return wrong(1, "")
	}
	return latencies, nil
}

// A turn is when a call was due and complete, in nanoseconds, and its round of a trial's.
type turn struct{ due, done, round int64 }

// A loop is what a trial's arrivals make of the times of its calls.
type loop struct {
	closed    bool // a call is due once the one before is complete
	collected bool // or complete together with it
	yields    bool // or due later: the caller gave its processor up in between
	spans     bool // the window begins with the first call and ends with the last
}

// loop returns that of a trial.
func (t *Trial) loop() loop {
	closed := t.Infer.Arrivals == "closed" && t.Infer.Traffic == nil
	return loop{closed: closed, collected: t.Call.Collect > 1, yields: t.Load.Sharing == "process", spans: closed && t.Infer.Tenancy == nil}
}

// follows tells whether a call can be the next after another.
func (l loop) follows(before, now turn) bool {
	switch {
	case !l.closed || now.due == before.done || l.collected && now.done == before.done:
		return true
	case now.due < before.done:
		return false
	}
	return l.yields || now.round != before.round
}

// always are the columns of which every call has a number.
var always = map[string]bool{"call": true, "scheduled_ns": true, "start_ns": true, "latency_ns": true}

// field returns a column of a recording with what it holds.
func (r *Run) field(c result.Column) Field {
	if f, ok := declared(c.Name); ok {
		return f
	}
	axis := c.Name
	for prefixed := true; prefixed && !slices.ContainsFunc(r.Trials, func(t *Trial) bool { _, ok := t.Point.Get(axis); return ok }); {
		axis, prefixed = strings.CutPrefix(axis, "axis_")
	}
	return OnAxis(c, axis, "")
}

// unlike says which field of a row is not what a trial has, and where it begins.
func unlike(t *Trial, fields []Field, row []byte) (column int, why string) {
	found, err := csv.NewReader(bytes.NewReader(row)).Read()
	if err != nil || len(found) != len(fields) {
		return 1, fmt.Sprintf("it has %d fields, and not %d", len(found), len(fields))
	}
	for i, want := range values(t, fields) {
		if fields[i].Of != nil && found[i] != want {
			return place(row, i), fmt.Sprintf("column %s holds %q, and not %q", fields[i].Name, found[i], want)
		}
	}
	return 1, "it is written otherwise"
}
