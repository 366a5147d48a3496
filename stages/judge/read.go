package judge

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/recording"
	"barograph/stages/result"
)

// A Trial is the calls of one replicate of one level, in the order of the file.
type Trial struct {
	Level     string  // as in level=4
	Value     float64 // of the level; NaN where it is no number
	Replicate string
	GPU       string // its UUID, by the column gpu_uuid; empty where the file does not say
	Seq       int64  // the trial's number in the order measured, by the column seq or else the file
	// What the load was and achieved; NaN where the file does not say.
	Threads, Block, Outstanding, Achieved, Utilisation, Rate float64
	Latencies                                                []int64 // nanoseconds
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
	// Recorded says that the program measured the samples, as a run.json beside them
	// shows: times are nanoseconds then and shares no percent, however they lie.
	Recorded bool
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

const (
	mostLevels = 200    // beyond, with few calls each, a column holds what was measured and not what was set
	fewCalls   = 10     // on average
	mostTrials = 10_000 // replicates of all levels together
	unitGap    = 30     // ratio of neighbouring latencies taken for a gap between units
	unitSlack  = 1.6    // factor by which groups in two units may miss a thousand
	unitShare  = 1. / 3 // of a level's calls; fewer may be cold starts or answers from a cache
)

// What calls ran under is what stages declare as conditions. Those of inference
// must not vary, or calls that have nothing to do with one another would be
// compared; texts about a load must not vary within a level.
var (
	conditions = declared(func(c result.Column) bool { return c.Role == result.Condition && c.Stage == "infer" })
	ofLoad     = declared(func(c result.Column) bool {
		return c.Role == result.Condition && c.Stage == "stress" && c.Type == result.Anything
	})
)

func declared(which func(result.Column) bool) (names []string) {
	for _, f := range recording.Fields {
		if which(f.Column) {
			names = append(names, f.Name)
		}
	}
	return names
}

// numeric are the columns that describe a trial.
var numeric = []string{"threads", "block_bytes", "outstanding", "achieved_bytes_per_s", "utilisation", "rate_bytes_per_s"}

const wanted = "want a header with at least level and latency_ns, the latencies in whole nanoseconds"

// Read reads samples as [recording.Read] does: latency_ns in whole nanoseconds and
// a column of levels, and where there are any replicate, seq, threads,
// block_bytes, outstanding, achieved_bytes_per_s and utilisation. What is wrong in
// a line is a [recording.RowError].
//
// It holds 8 bytes a call and no more: ten million take seconds.
func Read(r io.Reader, sel Selection) (*Samples, error) {
	if sel.Level == "" {
		sel.Level = "level"
	}
	texts := slices.Concat([]string{sel.Level, "replicate", "seq", "gpu_uuid"}, conditions, ofLoad)
	table, err := recording.Read(r, recording.Options{
		Columns: []string{"latency_ns", sel.Level}, Also: slices.Concat(texts, numeric), Texts: texts, Where: sel.Where, Recorded: sel.Recorded,
	})
	if none := (*recording.NoColumnError)(nil); errors.As(err, &none) {
		hint := wanted
		for _, n := range none.There {
			if none.Name == "latency_ns" && strings.Contains(strings.ToLower(n), "latency") {
				hint = fmt.Sprintf("column %s: convert it to whole nanoseconds and name it latency_ns", n)
			}
		}
		err = cell.Hint(err, "%s", hint)
	}
	if err != nil {
		return nil, err
	}
	if table.Len() == 0 {
		return nil, errors.New("the file holds a header and no samples")
	}
	g := &grouping{sel: sel, table: table, index: map[string]*Trial{}, levels: map[string]string{}, spelled: map[float64]string{},
		loads: map[string][]string{}, groups: map[string]int{}, parts: map[*Trial]*part{}, first: map[string]*string{}}
	watched := slices.DeleteFunc(slices.Concat(texts, numeric), func(name string) bool { return !table.Has(name) })
	g.at = func(name string) int { return slices.Index(watched, name) }
	for p := range table.Pieces(watched) {
		if err := g.add(p); err != nil {
			return nil, err
		}
	}
	return g.finish()
}

// A grouping sorts pieces of a table into trials.
type grouping struct {
	sel   Selection
	table *recording.Table
	at    func(name string) int // of a column among a piece's; -1 for one that is not there
	now   *recording.Piece

	index   map[string]*Trial
	levels  map[string]string   // by level as written, as it is written first
	spelled map[float64]string  // the first way that a number is written as a level
	loads   map[string][]string // by level, its values of ofLoad
	trials  []*Trial
	parts   map[*Trial]*part
	last    *Trial
	group   string         // level and replicate of the last
	groups  map[string]int // number of trials of each
	steps   int            // from a row to the next of one level and replicate, with the next seq
	rows    int
	first   map[string]*string // of each condition, the first value; nil once it varies
	differs []string           // columns of ofLoad that do between levels
}

// A part is what a trial's pieces say.
type part struct {
	rows  *recording.Table
	means []mean // of the columns numeric
}

// A mean of values; n counts those that were numbers. A value that does not vary
// is its own mean to the last digit.
type mean struct{ value, n float64 }

func (m *mean) add(v, times float64) {
	if m.n += times; m.n == times {
		m.value = v
	}
	m.value += (v - m.value) * times / m.n
}

func (g *grouping) text(name string) string {
	if i := g.at(name); i >= 0 {
		return g.now.Text(i)
	}
	return ""
}

// add adds a piece of the table to its trial.
func (g *grouping) add(p *recording.Piece) error {
	g.now = p
	if err := g.enter(); err != nil {
		return err
	}
	if err := g.vary(); err != nil {
		return err
	}
	part := g.parts[g.last]
	for i, name := range numeric {
		if at := g.at(name); at >= 0 {
			if v := p.Float(at); !math.IsNaN(v) {
				part.means[i].add(v, float64(p.Len()))
			}
		}
	}
	part.rows.Add(p.Table)
	g.rows += p.Len()
	return nil
}

// enter finds or makes the trial of a piece.
func (g *grouping) enter() error {
	written, seq := g.text(g.sel.Level), g.text("seq")
	level, before, group := g.spell(written), g.last, g.group
	g.group = level + "\x00" + g.text("replicate")
	defer func() {
		if before != nil && group == g.group && g.last.Seq == before.Seq+1 {
			g.steps++
		}
	}()
	if g.loads[level] == nil {
		if len(g.loads) >= mostLevels && g.rows < fewCalls*len(g.loads) {
			return g.now.At(g.sel.Level, cell.Hint(fmt.Errorf("more than %d levels: this looks like something measured, not set", mostLevels), "another column may hold the levels: --level COLUMN"))
		}
		g.loads[level] = make([]string, len(ofLoad))
	}
	key := g.group + "\x00" + seq
	if t := g.index[key]; t != nil {
		g.last = t
		return nil
	}
	if level == "" {
		return g.now.At(g.sel.Level, errors.New("is empty"))
	}
	if len(g.trials) == mostTrials {
		if g.countsCalls() {
			return g.now.At("seq", errSeq)
		}
		return g.now.In(fmt.Errorf("more than %d replicates: replicate and seq say which calls were made in one go", mostTrials))
	}
	t := &Trial{Level: g.sel.Level + "=" + level, Value: math.NaN(), Replicate: g.text("replicate"), GPU: g.text("gpu_uuid"), Seq: int64(len(g.trials) + 1)}
	if v, err := strconv.ParseFloat(level, 64); err == nil && !math.IsInf(v, 0) {
		t.Value = v
	}
	if g.at("seq") >= 0 {
		var ok bool
		if t.Seq, ok = recording.Whole([]byte(seq)); !ok {
			return g.now.At("seq", fmt.Errorf("%q is no whole number", clip(seq)))
		}
	}
	g.index[key], g.last = t, t
	g.groups[g.group]++
	g.trials = append(g.trials, t)
	g.parts[t] = &part{rows: g.table.None(), means: make([]mean, len(numeric))}
	return nil
}

// spell returns a level as it was first written: 0 and 0.0 are one.
func (g *grouping) spell(written string) string {
	level, ok := g.levels[written]
	if ok {
		return level
	}
	level = written
	if v, err := strconv.ParseFloat(written, 64); err == nil && v == v {
		if first, ok := g.spelled[v]; ok {
			level = first
		} else {
			g.spelled[v] = written
		}
	}
	g.levels[written] = level
	return level
}

// countsCalls tells whether the column seq numbers calls, so that each would pass
// for a replicate of its own: it splits replicates, most of them into single calls,
// or goes up by one from row to row.
func (g *grouping) countsCalls() bool {
	if g.at("seq") < 0 || len(g.groups) == len(g.trials) {
		return false
	}
	single := 0
	for _, p := range g.parts {
		if p.rows.Len() == 1 {
			single++
		}
	}
	return 2*single > len(g.trials) || 2*g.steps > g.rows
}

var errSeq = cell.Hint(errors.New("is the number of a trial in the order measured, the same for all its calls, and here differs from call to call"),
	"leave the column out, or name it call; the column replicate says which calls were made in one go")

// vary notes the values of conditions.
func (g *grouping) vary() error {
	for _, name := range slices.Concat(conditions, ofLoad) {
		if g.at(name) < 0 {
			continue
		}
		value := g.text(name)
		first, seen := g.first[name]
		switch load := slices.Contains(ofLoad, name); {
		case !seen || first != nil && *first == "":
			g.first[name] = &value
		case value == "" || first == nil || *first == value:
		case name == g.sel.Level:
			g.first[name] = nil
		case load:
			g.first[name] = nil
			g.differs = append(g.differs, name)
		default:
			return g.other(name, value, *first)
		}
	}
	level, _, _ := strings.Cut(g.group, "\x00")
	for i, name := range ofLoad {
		of := g.loads[level]
		switch value := g.text(name); {
		case value == "" || value == of[i]:
		case of[i] == "": // unknown so far, such as the direction of no load
			of[i] = value
		default:
			return g.other(name, value, of[i])
		}
	}
	return nil
}

// other refuses a value beside an earlier one.
func (g *grouping) other(name, value, first string) error {
	return g.now.At(name, cell.Hint(fmt.Errorf("%q, where lines before have %q; these calls cannot be compared", clip(value), clip(first)),
		"choose with judge --where %[1]s=%[2]s, in a study with where: {%[1]s: %[2]s} for its notebook", name, clip(first)))
}

// clip shortens what an error quotes.
func clip(s string) string { return s[:min(len(s), 40)] }

// finish puts trials in order and describes them.
func (g *grouping) finish() (*Samples, error) {
	s := &Samples{Trials: g.trials, Rows: g.rows}
	if g.countsCalls() {
		return nil, g.table.InHeader("seq", errSeq) // no one line's fault
	}
	texts := false
	for _, t := range s.Trials {
		p := g.parts[t]
		for i, to := range []*float64{&t.Threads, &t.Block, &t.Outstanding, &t.Achieved, &t.Utilisation, &t.Rate} {
			*to = math.NaN()
			if m := p.means[i]; m.n > 0 {
				*to = m.value
			}
		}
		var err error
		if t.Latencies, err = p.rows.Ints("latency_ns"); err != nil {
			return nil, err
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
	for _, name := range g.table.Columns() {
		switch v := g.first[name]; {
		case v == nil || *v == "":
		case name == "simulated":
			s.Simulated = *v == "true"
		default:
			s.About = append(s.About, name+" "+*v)
		}
	}
	for _, name := range g.differs {
		s.Doubts = append(s.Doubts, fmt.Sprintf("levels differ in %s too, so a difference between two may be due to that", name))
	}
	if ignored := g.table.Varying(); len(ignored) > 0 {
		slices.Sort(ignored)
		s.Doubts = append(s.Doubts, fmt.Sprintf("columns that vary and were not looked at: %s (choose with --where or --level)", strings.Join(ignored, ", ")))
	}
	return s, s.units(g.sel.Recorded)
}

// units looks for calls that lie a thousand times apart, as two units in one column
// do. Loads that saturate a link and cold starts are as far apart, so that it
// refuses only what neither explains: many calls of a loaded level that are so much
// faster than the lowest level's, or two groups of many calls within the lowest. All
// else, and whatever the program recorded, is doubted and judged.
func (s *Samples) units(recorded bool) error {
	type group struct {
		level  string
		median float64
		calls  int
	}
	var groups []group
	calls := map[string]int{}
	for _, t := range s.Trials {
		calls[t.Level] += len(t.Latencies)
		for _, part := range apart(t.Latencies) {
			groups = append(groups, group{t.Level, float64(part[len(part)/2]), len(part)})
		}
	}
	lowest, base := groups[0].level, groups[0].median
	for _, g := range groups {
		if g.level == lowest {
			base = min(base, g.median)
		}
	}
	type side struct {
		level  string
		faster bool
	}
	far, unit, order := map[side]int{}, map[side]float64{}, []side(nil) // calls, and what lies between
	for _, g := range groups {
		for _, u := range []float64{1e3, 1e6, 1e9} {
			if ratio := max(g.median/base, base/g.median); ratio > u/unitSlack && ratio < u*unitSlack {
				at := side{g.level, g.median < base}
				if far[at] == 0 {
					order = append(order, at)
				}
				far[at], unit[at] = far[at]+g.calls, u
			}
		}
	}
	for _, at := range order {
		share := float64(far[at]) / float64(calls[at.level])
		many := share >= unitShare && (at.faster || at.level == lowest && 1-share >= unitShare)
		switch {
		case !many || recorded:
			s.Doubts = append(s.Doubts, fmt.Sprintf("%s: %.0f%% of calls lie about %.0f times from the fastest of %s: saturation or cold starts, if not another unit", at.level, 100*share, unit[at], lowest))
		default:
			return cell.Hint(fmt.Errorf("mixed units: latencies of %s lie about %.0f times from those of %s", at.level, unit[at], lowest),
				"convert all to whole nanoseconds, or judge the rows apart")
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
