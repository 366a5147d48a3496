package judge

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"barograph/pipeline/cell"
	"barograph/stages/rows"
)

// A Trial is the calls of one replicate of one level, in the order of the file.
type Trial struct {
	Level     string  // as in level=4
	Value     float64 // of the level; NaN where it is no number
	Replicate string
	Seq       int64 // the trial's number in the order measured, by the column seq or else the file
	// What the load was and achieved; NaN where the file does not say.
	Threads, Block, Outstanding, Achieved, Utilisation float64
	Latencies                                          []int64 // nanoseconds
}

// Samples is a tidy file: one row a timed call.
type Samples struct {
	Trials    []*Trial // by level, then in order of measurement
	Rows      int
	About     []string // what is the same in every row, as in model=bert
	Simulated bool
	Doubts    []string
}

// A Selection says which rows of a file to read, and by which column to compare.
type Selection struct {
	Level string            // the column of levels; level where empty
	Where map[string]string // rows whose column has this value, as text
}

// Where is the field of a Selection from a parameter of a notebook: texts, numbers
// and truth values by column, as a study has them.
func Where(columns map[string]any) (map[string]string, error) {
	where := map[string]string{}
	for name, value := range columns {
		switch value := value.(type) {
		case string, bool:
			where[name] = fmt.Sprint(value)
		case float64:
			where[name] = strconv.FormatFloat(value, 'f', -1, 64)
		case nil:
			return nil, fmt.Errorf("column %s: the study gives nothing, want a text or a number", name)
		default:
			b, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("column %s: the study gives %s, want a text or a number", name, b)
		}
	}
	return where, nil
}

// MostShare is the utilisation beyond which a column holds something else, such
// as percent.
const MostShare = 2

const (
	longest    = 1 << 20 // bytes of a line
	mostLevels = 200     // beyond, a column holds what was measured and not what was set
	mostTrials = 10_000  // replicates of all levels together
	unitGap    = 30      // ratio of neighbouring latencies taken for a gap between units
	unitSlack  = 1.6     // factor by which groups in two units may miss a thousand
)

// conditions are the columns that must not vary, or calls that have nothing to do
// with one another would be compared.
var conditions = []string{"model", "batch", "sequence", "device", "simulated"}

// ofLoad are the columns that describe a level's load, and must not vary within
// one.
var ofLoad = []string{"direction", "memory"}

// numeric are the columns that describe a trial.
var numeric = []string{"threads", "block_bytes", "outstanding", "achieved_bytes_per_s", "utilisation"}

// known are columns that are no condition either.
var known = []string{"latency_ns", "replicate", "seq", "call", "scheduled_ns", "start_ns", "rate_bytes_per_s"}

// Read reads samples in CSV with a header: latency_ns in whole nanoseconds and a
// column of levels, and where there are any replicate, seq, threads,
// block_bytes, outstanding, achieved_bytes_per_s and utilisation. What is wrong in
// a line is a [RowError].
//
// It holds 8 bytes a call and no more: ten million take seconds.
func Read(r io.Reader, sel Selection) (*Samples, error) {
	p := &reader{sel: sel, in: bufio.NewReaderSize(r, longest), index: map[string]*Trial{}, levels: map[string]string{}, spelled: map[float64]string{}, line: 1}
	if p.sel.Level == "" {
		p.sel.Level = "level"
	}
	if err := p.header(); err != nil {
		return nil, err
	}
	for {
		p.line++
		line, err := p.next()
		if err == io.EOF {
			return p.finish()
		}
		if err == nil {
			err = p.row(line)
		}
		if err != nil {
			return nil, p.place(line, err)
		}
	}
}

// A RowError says what is wrong at a place in a table. It begins as line:column,
// so that with the file's name before it editors know the place.
type RowError struct {
	Line, Column int // from 1, the column in bytes
	Err          error
}

func (e *RowError) Error() string { return fmt.Sprintf("%d:%d: %v", e.Line, e.Column, e.Err) }

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// A fieldError is what is wrong with one field, from 0, of a line.
type fieldError struct {
	field int
	error
}

func (e fieldError) Unwrap() error { return e.error }

// at says that something is wrong with a field.
func (p *reader) at(field int, err error) error {
	return fieldError{field, fmt.Errorf("column %s: %w", p.names[field], err)}
}

// place finds where in the current line an error is.
func (p *reader) place(line []byte, err error) error {
	e := &RowError{Line: p.line, Column: 1, Err: err}
	var quotes *csv.ParseError
	var f fieldError
	switch {
	case errors.As(err, &quotes): // which knows its line as the first
		e.Column, e.Err = quotes.Column, quotes.Err
	case errors.As(err, &f):
		e.Column = column(line, f.field)
	}
	return e
}

// column returns where in a line a field begins, from 1.
func column(line []byte, field int) int {
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

type reader struct {
	sel    Selection
	in     *bufio.Reader
	line   int
	names  []string
	fields [][]byte

	latency, level, replicate, seq int // columns; -1 for none
	numbers                        []int
	load                           []int               // columns of ofLoad
	loads                          map[string][][]byte // by level, its values of them
	now                            [][]byte            // those of the last trial
	where                          []int
	wanted                         []string

	index   map[string]*Trial
	levels  map[string]string  // by level as written, as it is written first
	spelled map[float64]string // the first way that a number is written as a level
	trials  []*Trial
	last    *Trial
	lastKey []byte
	key     []byte
	rows    int
	seqAt   int            // where the header has seq
	groups  map[string]int // number of trials, by level and replicate
	steps   int            // from a row to the next of one level and replicate, with the next seq
	skipped int
	first   [][]byte // of each column, the first value; nil once it varies
	ignored map[string]bool
	differs []string // columns of ofLoad that do between levels
	means   map[*Trial][]mean
	seen    []reading // by numeric column
}

// A mean of values; n counts those that were numbers. A value that does not vary
// is its own mean to the last digit.
type mean struct{ value, n float64 }

func (m *mean) add(v float64) {
	m.n++
	m.value += (v - m.value) / m.n
}

// A reading is the last value of a column, which most rows repeat.
type reading struct {
	text  []byte
	value float64
}

// next returns a line without its end, valid until the one after.
func (p *reader) next() ([]byte, error) {
	line, err := p.in.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		if bytes.IndexByte(line, 0) >= 0 {
			return nil, errBinary
		}
		return nil, fmt.Errorf("longer than %d bytes: this is no table", longest)
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case err != nil && err != io.EOF:
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}

var errBinary = cell.Hint(errors.New("holds bytes that are no text"), "want CSV in UTF-8, not a binary file, nor one that is compressed (gunzip it first)")

const wanted = "want a header with at least level and latency_ns, the latencies in whole nanoseconds"

func (p *reader) header() error {
	line, err := p.next()
	if err == io.EOF {
		return cell.Hint(errors.New("the file is empty"), wanted)
	}
	if err != nil {
		return p.place(line, err)
	}
	line = bytes.TrimPrefix(line, []byte("\ufeff"))
	if !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' }) {
		return p.place(line, errBinary)
	}
	fields, err := rows.Split(line, nil)
	if err != nil {
		return p.place(line, err)
	}
	numbers := 0
	for i, f := range fields {
		name := strings.TrimSpace(string(f))
		if slices.Contains(p.names, name) {
			return p.place(line, fieldError{i, fmt.Errorf("two columns are named %q", name)})
		}
		if _, err := strconv.ParseFloat(name, 64); err == nil {
			numbers++
		}
		p.names = append(p.names, name)
	}
	if numbers == len(fields) {
		return p.place(line, cell.Hint(errors.New("no header: this line holds only numbers"), wanted))
	}
	if len(fields) == 1 && strings.ContainsAny(p.names[0], ";\t") {
		return p.place(line, cell.Hint(errors.New("fields are not separated by commas"), wanted))
	}
	p.level, p.latency = slices.Index(p.names, p.sel.Level), slices.Index(p.names, "latency_ns")
	p.replicate, p.seq = slices.Index(p.names, "replicate"), slices.Index(p.names, "seq")
	for _, c := range []struct {
		at   int
		name string
	}{{p.latency, "latency_ns"}, {p.level, p.sel.Level}} {
		if c.at < 0 {
			hint := wanted
			for _, n := range p.names {
				if c.name == "latency_ns" && strings.Contains(strings.ToLower(n), "latency") {
					hint = fmt.Sprintf("column %s: convert it to whole nanoseconds and name it latency_ns", n)
				}
			}
			return p.place(line, cell.Hint(fmt.Errorf("no column is named %q; there is %s", c.name, strings.Join(p.names, ", ")), "%s", hint))
		}
	}
	for _, n := range ofLoad {
		p.load = append(p.load, slices.Index(p.names, n))
	}
	p.loads = map[string][][]byte{}
	for _, n := range numeric {
		p.numbers = append(p.numbers, slices.Index(p.names, n))
	}
	for name, value := range p.sel.Where {
		at := slices.Index(p.names, name)
		if at < 0 {
			return fmt.Errorf("no column is named %q; there is %s", name, strings.Join(p.names, ", "))
		}
		p.where, p.wanted = append(p.where, at), append(p.wanted, value)
	}
	p.groups = map[string]int{}
	p.seqAt = column(line, max(p.seq, 0))
	p.first = make([][]byte, len(p.names))
	p.ignored, p.means, p.seen = map[string]bool{}, map[*Trial][]mean{}, make([]reading, len(numeric))
	return nil
}

func (p *reader) row(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	var err error
	if p.fields, err = rows.Split(line, p.fields[:0]); err != nil {
		return err
	}
	f := p.fields
	if bytes.IndexByte(line, ' ') >= 0 {
		for i := range f {
			f[i] = bytes.TrimSpace(f[i])
		}
	}
	if len(f) != len(p.names) {
		if bytes.IndexByte(line, 0) >= 0 {
			return errBinary
		}
		return fmt.Errorf("has %d fields, want %d", len(f), len(p.names))
	}
	for i, at := range p.where {
		if string(f[at]) != p.wanted[i] {
			p.skipped++
			return nil
		}
	}
	ns, err := nanoseconds(f[p.latency])
	if err != nil {
		return p.at(p.latency, err)
	}
	p.key = append(append(p.key[:0], f[p.level]...), 0)
	for _, at := range []int{p.replicate, p.seq} {
		if at >= 0 {
			p.key = append(p.key, f[at]...)
		}
		p.key = append(p.key, 0)
	}
	if p.last == nil || !bytes.Equal(p.key, p.lastKey) {
		if err := p.enter(f); err != nil {
			return err
		}
	}
	if err := p.vary(f); err != nil {
		return err
	}
	p.last.Latencies = append(p.last.Latencies, ns)
	p.rows++
	return nil
}

// enter finds or makes the trial of a row.
func (p *reader) enter(f [][]byte) error {
	before, sameGroup := p.last, p.last != nil && bytes.Equal(p.group(p.key), p.group(p.lastKey))
	defer func() {
		if sameGroup && p.last.Seq == before.Seq+1 {
			p.steps++
		}
	}()
	p.lastKey = append(p.lastKey[:0], p.key...)
	level := p.spell(string(f[p.level]))
	key := level + string(p.key[len(f[p.level]):])
	if p.now = p.loads[level]; p.now == nil {
		if len(p.loads) == mostLevels {
			return p.at(p.level, cell.Hint(fmt.Errorf("more than %d levels: this looks like something measured, not set", mostLevels), "another column may hold the levels: --level COLUMN"))
		}
		p.now = make([][]byte, len(ofLoad))
		p.loads[level] = p.now
	}
	if t := p.index[key]; t != nil {
		p.last = t
		return nil
	}
	if level == "" {
		return p.at(p.level, errors.New("is empty"))
	}
	if len(p.trials) == mostTrials {
		if err := p.countsCalls(); err != nil {
			return err
		}
		return fmt.Errorf("more than %d replicates: replicate and seq say which calls were made in one go", mostTrials)
	}
	t := &Trial{Level: p.sel.Level + "=" + level, Value: math.NaN(), Seq: int64(len(p.trials) + 1)}
	if v, err := strconv.ParseFloat(level, 64); err == nil && !math.IsInf(v, 0) {
		t.Value = v
	}
	if p.replicate >= 0 {
		t.Replicate = string(f[p.replicate])
	}
	if p.seq >= 0 {
		seq, err := strconv.ParseInt(string(f[p.seq]), 10, 64)
		if err != nil {
			return p.at(p.seq, fmt.Errorf("%q is no whole number", clip(f[p.seq])))
		}
		t.Seq = seq
	}
	p.index[key] = t
	p.groups[string(p.group([]byte(key)))]++
	p.trials = append(p.trials, t)
	p.means[t] = make([]mean, len(numeric))
	p.last = t
	return nil
}

// spell returns a level as it was first written: 0 and 0.0 are one.
func (p *reader) spell(text string) string {
	level, ok := p.levels[text]
	if ok {
		return level
	}
	level = text
	if v, err := strconv.ParseFloat(text, 64); err == nil && v == v {
		if first, ok := p.spelled[v]; ok {
			level = first
		} else {
			p.spelled[v] = text
		}
	}
	p.levels[text] = level
	return level
}

// group returns the part of a key that says the level and the replicate.
func (p *reader) group(key []byte) []byte {
	key = key[:len(key)-1] // the end of seq
	return key[:bytes.LastIndexByte(key, 0)]
}

// countsCalls refuses a column seq that numbers calls, or every call would pass
// for a replicate of its own: it splits replicates, most of them into single
// calls, or goes up by one from row to row.
func (p *reader) countsCalls() error {
	if p.seq < 0 || len(p.groups) == len(p.trials) {
		return nil
	}
	single := 0
	for _, t := range p.trials {
		if len(t.Latencies) == 1 {
			single++
		}
	}
	if 2*single <= len(p.trials) && 2*p.steps <= p.rows {
		return nil
	}
	return p.at(p.seq, cell.Hint(errors.New("is the number of a trial in the order measured, the same for all its calls, and here differs from call to call"),
		"leave the column out, or name it call; the column replicate says which calls were made in one go"))
}

// vary notes the values of columns other than the latency.
func (p *reader) vary(f [][]byte) error {
	if p.rows == 0 {
		for i := range f {
			p.first[i] = bytes.Clone(f[i])
		}
	} else {
		for i := range f {
			if p.first[i] != nil && !bytes.Equal(p.first[i], f[i]) {
				if err := p.differ(i, f[i]); err != nil {
					return err
				}
			}
		}
	}
	for i, at := range p.load {
		switch {
		case at < 0 || bytes.Equal(p.now[i], f[at]) || len(f[at]) == 0:
		case len(p.now[i]) == 0: // unknown so far, such as the direction of no load
			p.now[i] = bytes.Clone(f[at])
		default:
			return p.other(at, f[at], p.now[i])
		}
	}
	means := p.means[p.last]
	for i, at := range p.numbers {
		if at < 0 || len(f[at]) == 0 {
			continue
		}
		seen := &p.seen[i]
		if !bytes.Equal(f[at], seen.text) {
			v, err := number(f[at])
			if err == nil && numeric[i] == "utilisation" && v > MostShare {
				err = cell.Hint(fmt.Errorf("%q is more than %d00%%", clip(f[at]), MostShare), "want the share of the link that was used, from 0 to 1; is this percent?")
			}
			if err != nil {
				return p.at(at, err)
			}
			seen.text, seen.value = append(seen.text[:0], f[at]...), v
		}
		means[i].add(seen.value)
	}
	return nil
}

// differ decides what it means that a column has a second value.
func (p *reader) differ(i int, value []byte) error {
	name := p.names[i]
	load, condition := slices.Contains(ofLoad, name), slices.Contains(conditions, name)
	switch {
	case name == p.sel.Level || !load && !condition:
		p.first[i] = nil
		if !slices.Contains(known, name) && !slices.Contains(numeric, name) && name != p.sel.Level {
			p.ignored[name] = true
		}
		return nil
	case len(p.first[i]) == 0:
		p.first[i] = bytes.Clone(value)
		return nil
	case len(value) == 0:
		return nil
	case load:
		p.first[i] = nil
		p.differs = append(p.differs, name)
		return nil
	}
	return p.other(i, value, p.first[i])
}

// other refuses a value beside an earlier one.
func (p *reader) other(column int, value, first []byte) error {
	name := p.names[column]
	return p.at(column, cell.Hint(fmt.Errorf("%q, where lines before have %q; these calls cannot be compared", clip(value), clip(first)),
		"choose with judge --where %[1]s=%[2]s, in a study with where: {%[1]s: %[2]s} for its notebook", name, clip(first)))
}

// nanoseconds reads a latency.
func nanoseconds(b []byte) (int64, error) {
	v := int64(0)
	for _, d := range b {
		if d < '0' || d > '9' || v > math.MaxInt64/10-1 {
			return 0, badLatency(b)
		}
		v = v*10 + int64(d-'0')
	}
	if v == 0 {
		return 0, badLatency(b)
	}
	return v, nil
}

func badLatency(b []byte) error {
	switch v, err := strconv.ParseFloat(string(b), 64); {
	case len(b) == 0:
		return errors.New("is empty")
	case err == nil && (v <= 0 || math.IsInf(v, 0)):
		return fmt.Errorf("%q is not a positive time", clip(b))
	case err == nil && v == v:
		return cell.Hint(fmt.Errorf("%q is no whole number of nanoseconds", clip(b)), "are these milliseconds or seconds? convert them to whole nanoseconds")
	case bytes.IndexByte(b, 0) >= 0:
		return errBinary
	}
	return fmt.Errorf("%q is no whole number of nanoseconds", clip(b))
}

// clip shortens what an error quotes.
func clip(b []byte) []byte { return b[:min(len(b), 40)] }

func number(b []byte) (float64, error) {
	v, err := strconv.ParseFloat(string(b), 64)
	switch {
	case err != nil && bytes.IndexByte(b, 0) >= 0:
		return 0, errBinary
	case err != nil || math.IsInf(v, 0) || math.IsNaN(v):
		return 0, fmt.Errorf("%q is no number", clip(b))
	case v < 0:
		return 0, fmt.Errorf("%q is negative", clip(b))
	}
	return v, nil
}

// finish puts trials in order and describes them.
func (p *reader) finish() (*Samples, error) {
	s := &Samples{Trials: p.trials, Rows: p.rows}
	if p.rows == 0 {
		if p.skipped > 0 {
			var wanted []string
			for _, name := range slices.Sorted(maps.Keys(p.sel.Where)) {
				wanted = append(wanted, name+"="+p.sel.Where[name])
			}
			return nil, fmt.Errorf("none of %d rows has %s", p.skipped, strings.Join(wanted, " and "))
		}
		return nil, errors.New("the file holds a header and no samples")
	}
	if err := p.countsCalls(); err != nil {
		return nil, &RowError{1, p.seqAt, errors.Unwrap(err)} // no one line's fault
	}
	texts := false
	for _, t := range s.Trials {
		for i, to := range []*float64{&t.Threads, &t.Block, &t.Outstanding, &t.Achieved, &t.Utilisation} {
			*to = math.NaN()
			if m := p.means[t][i]; m.n > 0 {
				*to = m.value
			}
		}
		texts = texts || math.IsNaN(t.Value)
	}
	if texts {
		place := map[string]float64{}
		for _, t := range s.Trials {
			if _, ok := place[t.Level]; !ok {
				place[t.Level] = float64(len(place))
			}
		}
		for _, t := range s.Trials {
			t.Value = place[t.Level]
		}
		s.Doubts = append(s.Doubts, "levels are no numbers: they are taken to grow in the order of the file")
	}
	slices.SortStableFunc(s.Trials, func(a, b *Trial) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Seq, b.Seq))
	})
	for i, name := range p.names {
		if v := p.first[i]; (slices.Contains(conditions, name) || slices.Contains(ofLoad, name)) && len(v) > 0 {
			if name == "simulated" {
				s.Simulated = string(v) == "true"
				continue
			}
			s.About = append(s.About, name+" "+string(v))
		}
	}
	for _, name := range p.differs {
		s.Doubts = append(s.Doubts, fmt.Sprintf("levels differ in %s too, so a difference between two may be due to that", name))
	}
	if len(p.ignored) > 0 {
		var names []string
		for name := range p.ignored {
			names = append(names, name)
		}
		slices.Sort(names)
		s.Doubts = append(s.Doubts, fmt.Sprintf("columns that vary and were not looked at: %s (choose with --where or --level)", strings.Join(names, ", ")))
	}
	return s, s.units()
}

// units refuses latencies that fall into two groups a thousand times apart, which
// is what two units in one column look like.
func (s *Samples) units() error {
	type group struct {
		of     string
		median float64
	}
	var groups []group
	for _, t := range s.Trials {
		of := t.Level
		if t.Replicate != "" {
			of += ", replicate " + t.Replicate
		}
		for _, part := range apart(t.Latencies) {
			groups = append(groups, group{of, float64(part[len(part)/2])})
		}
	}
	for _, g := range groups[1:] {
		ratio := math.Max(g.median/groups[0].median, groups[0].median/g.median)
		for _, unit := range []float64{1e3, 1e6, 1e9} {
			if ratio > unit/unitSlack && ratio < unit*unitSlack {
				return cell.Hint(fmt.Errorf("mixed units: latencies of %s lie about %.0f times from those of %s", g.of, unit, groups[0].of),
					"convert all to whole nanoseconds, or judge the rows apart")
			}
		}
	}
	return nil
}

// apart splits latencies at their widest gap, if it is as wide as between two
// units and neither side is a few outliers.
func apart(latencies []int64) [][]int64 {
	if slices.Max(latencies)/slices.Min(latencies) < unitGap {
		return [][]int64{latencies}
	}
	sorted := slices.Sorted(slices.Values(latencies))
	at, widest := 0, 1.0
	for i := 1; i < len(sorted); i++ {
		if gap := float64(sorted[i]) / float64(sorted[i-1]); gap > widest {
			at, widest = i, gap
		}
	}
	if few := len(sorted) / 20; widest < unitGap || at <= few || len(sorted)-at <= few {
		return [][]int64{sorted}
	}
	return [][]int64{sorted[:at], sorted[at:]}
}
