package collect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/recording"
	"barograph/stages/result"
)

// header sets the columns: those that stages declare and that some trial has, then the
// inputs' axes in the order in which they first appear.
func (r *run) header(inputs []cell.Input) error {
	calls, err := r.callColumns()
	if err != nil {
		return err
	}
	none := func(has func(*result.Infer) bool) bool {
		return !slices.ContainsFunc(r.Trials, func(t *recording.Trial) bool { return has(&t.Infer) })
	}
	left := map[string]bool{}
	if none(func(i *result.Infer) bool { return i.Card != nil }) {
		omit(left, result.CardColumns)
	}
	if none(func(i *result.Infer) bool { return i.Tenancy != nil }) {
		omit(left, result.TenancyColumns)
	}
	for _, f := range recording.Fields {
		if f.Of == nil && slices.Contains(calls, f.Column) || f.Of != nil && !left[f.Name] {
			r.fields = append(r.fields, f)
		}
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(r.fields, func(f recording.Field) bool { return f.Name == name })
	}
	seen := map[string]bool{"level": true, "replicate": true}
	for _, in := range inputs {
		for _, c := range in.Point {
			if seen[c.Axis] {
				continue
			}
			seen[c.Axis] = true
			name := c.Axis
			for taken(name) {
				name = "axis_" + name
			}
			r.fields = append(r.fields, recording.OnAxis(result.Column{Name: name, Doc: "the study's matrix axis " + c.Axis, Role: result.Place}, c.Axis, ""))
		}
	}
	for _, f := range r.fields {
		r.Columns = append(r.Columns, f.Column)
	}
	return nil
}

func omit(columns map[string]bool, measures []result.Measure[result.Infer]) {
	for _, m := range measures {
		columns[m.Name] = true
	}
}

// callColumns returns the declared columns that any trial's calls have.
func (r *run) callColumns() ([]result.Column, error) {
	there := map[string]bool{}
	for i, t := range r.Trials {
		f, err := os.Open(r.files[i].calls)
		if err != nil {
			return nil, err
		}
		names, err := callNames(bufio.NewScanner(f))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %s:1: %w", t.ID, result.CallsFile, err)
		}
		for _, name := range names {
			there[name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(result.CallColumns), func(c result.Column) bool { return !there[c.Name] }), nil
}

// callNames reads the header of a trial's calls: call, and others that are declared.
func callNames(s *bufio.Scanner) ([]string, error) {
	s.Scan()
	names := strings.Split(s.Text(), ",")
	for i, name := range names {
		declared := slices.ContainsFunc(result.CallColumns, func(c result.Column) bool { return c.Name == name })
		if !declared || (i == 0) != (name == result.CallColumns[0].Name) || slices.Contains(names[:i], name) {
			var want []string
			for _, c := range result.CallColumns {
				want = append(want, c.Name)
			}
			return nil, fmt.Errorf("want the header %q, or a part of it, found %q", strings.Join(want, ","), s.Text())
		}
	}
	return names, s.Err()
}

// samples writes samples.csv and tells when each trial is done.
func (r *run) samples(ctx context.Context, w *bufio.Writer, done func(int)) error {
	header, err := recording.Header(r.fields)
	if err != nil {
		return err
	}
	w.Write(header)
	w.WriteByte('\n')
	for i, t := range r.Trials {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, calls, after, err := recording.Around(t, r.fields)
		if err != nil {
			return err
		}
		names := make([]string, len(calls))
		for i, f := range calls {
			names[i] = f.Name
		}
		n, err := write(w, r.files[i], names, before, after)
		if err != nil {
			return fmt.Errorf("%s: %w", t.ID, err)
		}
		if n != t.Infer.Calls {
			return cell.Hint(fmt.Errorf("%s: %d calls timed, and its record says %d", t.ID, n, t.Infer.Calls),
				"its files do not belong together; measure it again with --fresh %s", t.Stage)
		}
		done(i + 1)
	}
	return nil
}

// write copies a trial's calls and returns how many there were.
func write(w *bufio.Writer, from files, names []string, before, after []byte) (int, error) {
	f, err := os.Open(from.calls)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := splice(w, f, from.round, names, before, after)
	if err != nil {
		return n, fmt.Errorf("%s:%d: %w", result.CallsFile, n+2, err)
	}
	return n, nil
}

// splice writes each of a trial's calls between the same two pieces of line, with
// an empty field for each of names that its file does not have. Numbers are
// checked and left as they are written; calls count up by one. Those of other rounds than
// the one that is asked for, if any is, are passed over. It returns how many
// were written, or, with an error, how many lines before were good. Raw samples are kept, whatever they are, in whole nanoseconds
// (rule 3 of stages/README.md).
func splice(w *bufio.Writer, r io.Reader, round int, names []string, before, after []byte) (n int, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 1<<16), 1<<16)
	there, err := callNames(s)
	if err != nil {
		return -1, err
	}
	place := make([]int, len(names)) // of each name among the fields
	for i, name := range names {
		place[i] = slices.Index(there, name)
	}
	fields, in := make([][]byte, len(there)), slices.Index(there, "round")
	if round > 0 && in < 0 {
		return -1, errors.New("its calls do not tell their rounds")
	}
	var next int64
	for lines := 0; s.Scan(); lines++ {
		rest, number := s.Bytes(), int64(0)
		for i := range fields {
			field, tail, more := bytes.Cut(rest, []byte(","))
			v, err := strconv.ParseInt(string(field), 10, 64)
			if err != nil || v < 0 || more != (i < len(fields)-1) {
				return lines, fmt.Errorf("want %d whole numbers from 0, found %q", len(fields), s.Text())
			}
			if i == 0 {
				number = v
			}
			fields[i], rest = field, tail
		}
		if lines > 0 && number != next {
			return lines, fmt.Errorf("call %d follows call %d", number, next-1)
		}
		next = number + 1
		if round > 0 && string(fields[in]) != strconv.Itoa(round) {
			continue
		}
		n++
		w.Write(before)
		for _, i := range place {
			w.WriteByte(',')
			if i >= 0 {
				w.Write(fields[i])
			}
		}
		w.WriteByte(',')
		w.Write(after)
		if err := w.WriteByte('\n'); err != nil { // the first error sticks
			return lines, err
		}
	}
	return n, s.Err()
}
