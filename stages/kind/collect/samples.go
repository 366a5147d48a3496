package collect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"barograph/pipeline/cell"
	"barograph/stages/result"
)

// A Column is one column of samples.csv.
type Column struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
	// value returns what is the same for every call of a trial; nil for the
	// columns that are copied from the trial's own calls.
	value func(*Trial) string
}

// calls is the header of [result.CallsFile]; its fields stand in samples.csv as
// they are.
const calls = "call,scheduled_ns,start_ns,latency_ns"

// header sets the columns: the fixed ones, then the inputs' axes in the order
// in which they first appear.
func (r *Run) header(inputs []cell.Input) {
	r.Columns = []Column{
		{"level", "pressure level; 0 in a study without levels", axis("level", "0")},
		{"replicate", "repetition of the same point; 1 in a study without replicates", axis("replicate", "1")},
		{"call", "number of the timed call within its trial", nil},
		{"scheduled_ns", "scheduled arrival, on CLOCK_MONOTONIC; in a closed loop the previous completion", nil},
		{"start_ns", "when the call was sent, on the same clock", nil},
		{"latency_ns", "from the scheduled arrival to completion", nil},
		{"model", "model that was called", func(t *Trial) string { return t.Infer.Model }},
		{"batch", "sequences in a call", func(t *Trial) string { return strconv.Itoa(t.Infer.Batch) }},
		{"sequence", "tokens in a sequence", func(t *Trial) string { return strconv.Itoa(t.Infer.Sequence) }},
		{"device", "device of the model", func(t *Trial) string { return t.Infer.Device }},
		{"direction", "direction of the stressor's copies: h2d, d2h, both, or off the link d2d, h2h; empty without a stressor", ofStress(func(s *result.Stress) string { return s.Direction }, "")},
		{"threads", "threads of the stressor", ofStress(func(s *result.Stress) string { return strconv.Itoa(s.Threads) }, "0")},
		{"block_bytes", "bytes of one copy", ofStress(func(s *result.Stress) string { return strconv.FormatInt(s.Block, 10) }, "0")},
		{"achieved_bytes_per_s", "bandwidth that the stressor achieved while the trial measured", ofStress(func(s *result.Stress) string { return decimal(s.Achieved) }, "0")},
		{"utilisation", "achieved_bytes_per_s over the calibrated capacity of the direction; 0 for copies off the link, empty if the capacity is unknown", func(t *Trial) string {
			switch {
			case t.Stress == nil:
				return "0"
			case t.Utilisation == nil:
				return ""
			}
			return decimal(*t.Utilisation)
		}},
		{"outstanding", "copies that each stressor thread keeps in flight", ofStress(func(s *result.Stress) string { return strconv.Itoa(s.Outstanding) }, "0")},
		{"rate_bytes_per_s", "bandwidth that the stressor was limited to; 0 for no limit", ofStress(func(s *result.Stress) string { return decimal(s.Rate) }, "0")},
		{"simulated", "whether the device was simulated", func(t *Trial) string { return strconv.FormatBool(t.simulated()) }},
		{"seq", "place of the trial in the drawn order", func(t *Trial) string { return strconv.Itoa(t.Seq) }},
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(r.Columns, func(c Column) bool { return c.Name == name })
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
			r.Columns = append(r.Columns, Column{name, fmt.Sprintf("the study's matrix axis %s", c.Axis), axis(c.Axis, "")})
		}
	}
}

func axis(name, otherwise string) func(*Trial) string {
	return func(t *Trial) string {
		v, ok := t.Point.Get(name)
		if !ok {
			return otherwise
		}
		return literal(v)
	}
}

func ofStress(value func(*result.Stress) string, otherwise string) func(*Trial) string {
	return func(t *Trial) string {
		if t.Stress == nil {
			return otherwise
		}
		return value(t.Stress)
	}
}

// literal writes an axis value as a study would, 4194304 and not 4.194304e+06.
func literal(v any) string {
	switch v := v.(type) {
	case float64:
		return decimal(v)
	case bool:
		return strconv.FormatBool(v)
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// decimal writes the shortest digits that read back as v, without an exponent.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// samples writes samples.csv and tells when each trial is done.
func (r *Run) samples(ctx context.Context, w *bufio.Writer, done func(int)) error {
	first := slices.IndexFunc(r.Columns, func(c Column) bool { return c.value == nil })
	last := first + bytes.Count([]byte(calls), []byte(",")) + 1
	names := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = c.Name
	}
	header, err := line(names)
	if err != nil {
		return err
	}
	w.Write(header)
	w.WriteByte('\n')
	for i, t := range r.Trials {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, err := line(values(t, r.Columns[:first]))
		if err != nil {
			return err
		}
		after, err := line(values(t, r.Columns[last:]))
		if err != nil {
			return err
		}
		n, err := t.write(w, before, after)
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

func values(t *Trial, columns []Column) []string {
	v := make([]string, len(columns))
	for i, c := range columns {
		v[i] = c.value(t)
	}
	return v
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
func (t *Trial) write(w *bufio.Writer, before, after []byte) (int, error) {
	f, err := os.Open(t.calls)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := splice(w, f, before, after)
	if err != nil {
		return n, fmt.Errorf("%s:%d: %w", result.CallsFile, n+2, err)
	}
	return n, nil
}

// splice writes each call, a line of [calls], between the same two pieces of
// line. Numbers are checked and left as they are written; calls count up by
// one. It returns how many lines were good. Raw samples are kept, whatever they
// are, in whole nanoseconds (rule 3 of stages/README.md).
func splice(w *bufio.Writer, r io.Reader, before, after []byte) (n int, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 1<<16), 1<<16)
	if !s.Scan() || s.Text() != calls {
		return -1, fmt.Errorf("want the header %q, found %q", calls, s.Text())
	}
	var next int64
	for ; s.Scan(); n++ {
		var v [4]int64
		rest := s.Bytes()
		for i := range v {
			field, tail, more := bytes.Cut(rest, []byte(","))
			if v[i], err = strconv.ParseInt(string(field), 10, 64); err != nil || v[i] < 0 || more != (i < len(v)-1) {
				return n, fmt.Errorf("want four whole numbers from 0, found %q", s.Text())
			}
			rest = tail
		}
		if n > 0 && v[0] != next {
			return n, fmt.Errorf("call %d follows call %d", v[0], next-1)
		}
		next = v[0] + 1
		w.Write(before)
		w.WriteByte(',')
		w.Write(s.Bytes())
		w.WriteByte(',')
		w.Write(after)
		if err := w.WriteByte('\n'); err != nil { // the first error sticks
			return n, err
		}
	}
	return n, s.Err()
}
