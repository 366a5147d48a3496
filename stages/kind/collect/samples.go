package collect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
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

// A column of samples.csv, and what it holds for every call of a trial; nil where
// it is copied from the trial's own calls.
type column struct {
	result.Column
	value func(*recording.Trial) any
}

// declared are all columns that stages declare.
var declared = func() (all []column) {
	infer := func(measures []result.Measure[result.Infer]) {
		for _, m := range measures {
			all = append(all, column{m.Column, func(t *recording.Trial) any { return m.Of(&t.Infer) }})
		}
	}
	for i, otherwise := range []string{"0", "1"} {
		all = append(all, column{recording.Axes[i], onAxis(recording.Axes[i].Name, otherwise)})
	}
	for _, c := range result.CallColumns {
		all = append(all, column{c, nil})
	}
	infer(result.InferColumns)
	for _, m := range result.StressColumns {
		all = append(all, column{m.Column, func(t *recording.Trial) any { return ofStress(m, t.Stress) }})
	}
	for _, m := range recording.TrialColumns {
		all = append(all, column{m.Column, m.Of})
	}
	infer(result.CardColumns)
	infer(result.TenancyColumns)
	return all
}()

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
	for _, c := range declared {
		if c.value == nil && slices.Contains(calls, c.Column) || c.value != nil && !left[c.Name] {
			r.columns = append(r.columns, c)
		}
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(r.columns, func(c column) bool { return c.Name == name })
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
			r.columns = append(r.columns, column{result.Column{Name: name, Doc: "the study's matrix axis " + c.Axis, Role: result.Place}, onAxis(c.Axis, "")})
		}
	}
	for _, c := range r.columns {
		r.Columns = append(r.Columns, c.Column)
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

func onAxis(name, otherwise string) func(*recording.Trial) any {
	return func(t *recording.Trial) any {
		if v, ok := t.Point.Get(name); ok {
			return v
		}
		return otherwise
	}
}

// ofStress is a measure of a load: without one the zero of its kind.
func ofStress(m result.Measure[result.Stress], s *result.Stress) any {
	if s == nil {
		s = &result.Stress{}
	}
	return m.Of(s)
}

// literal writes a value as a study would, 4194304 and not 4.194304e+06: a number
// in the shortest digits that read back as it is.
func literal(v any) string {
	if v, ok := v.(float64); ok {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// samples writes samples.csv and tells when each trial is done.
func (r *run) samples(ctx context.Context, w *bufio.Writer, done func(int)) error {
	header, err := line(names(r.columns))
	if err != nil {
		return err
	}
	w.Write(header)
	w.WriteByte('\n')
	for i, t := range r.Trials {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, calls, after, err := around(t, r.columns)
		if err != nil {
			return err
		}
		n, err := write(w, r.files[i], names(calls), before, after)
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

func names(columns []column) []string {
	n := make([]string, len(columns))
	for i, c := range columns {
		n[i] = c.Name
	}
	return n
}

// values are what columns hold for every call of a trial; nothing where each has its own.
func values(t *recording.Trial, columns []column) []string {
	v := make([]string, len(columns))
	for i, c := range columns {
		if c.value != nil {
			v[i] = literal(c.value(t))
		}
	}
	return v
}

// around returns what stands in a line before a call's own columns, these, and what stands
// behind them.
func around(t *recording.Trial, columns []column) (before []byte, calls []column, after []byte, err error) {
	own := func(c column) bool { return c.value == nil }
	first, last := slices.IndexFunc(columns, own), len(columns)
	if first < 0 {
		return nil, nil, nil, fmt.Errorf("there is no column %s", result.CallColumns[0].Name)
	}
	if n := slices.IndexFunc(columns[first:], func(c column) bool { return !own(c) }); n >= 0 {
		last = first + n
	}
	before, err = line(values(t, columns[:first]))
	if err == nil {
		after, err = line(values(t, columns[last:]))
	}
	return before, columns[first:last], after, err
}

// line joins fields into a line of CSV, without its end.
func line(fields []string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(fields); err != nil {
		return nil, err
	}
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), w.Error()
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
