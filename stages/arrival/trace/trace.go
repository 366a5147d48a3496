// Package trace reads when requests arrived elsewhere, and says what is known of how
// they did: how uneven their gaps are, whether a clock has binned them, and whether
// they repeat themselves.
//
// A trace is a column of times in a CSV or text file, a list in a JSON file, or an
// array of NumPy's. Times are nanoseconds from the first arrival on.
package trace

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
)

// A Form says how a file is read.
type Form struct {
	Column string // CSV: its name, or its number from 1; JSON: a path such as tasks.*.times; "": the first
	Unit   string // of a number: ns, us, ms or s; "": ns where all are whole, and s otherwise
}

// A Trace is when requests arrived.
type Trace struct {
	Times  []int64 // nanoseconds from the first on, ascending
	Unit   string  // that numbers were read in; date where they were dates
	Column string  // that was read; empty where there is one only
}

// Most is how many times a file may hold.
const Most = 10_000_000

// longest is how long a trace may span.
const longest = 366 * 24 * time.Hour

// A RepeatError says that a file's gaps repeat themselves.
type RepeatError struct {
	Path   string
	Period int // gaps
	Times  float64
}

func (e *RepeatError) Error() string {
	gaps := fmt.Sprintf("its %d gaps", e.Period)
	if e.Period == 1 {
		gaps = "one gap"
	}
	return fmt.Sprintf("%s is no trace: it repeats %s %.4g times, and a tail of it rests on those", e.Path, gaps, e.Times)
}

// Read reads a file. The error tells where in it something is wrong: no times, one
// alone, or one that is before the one above.
func Read(path string, form Form) (*Trace, error) {
	b, err := cell.Read(path)
	if err != nil {
		return nil, err
	}
	if form.Unit != "" && scales[form.Unit] == 0 {
		return nil, fmt.Errorf("unit %q of times: there are ns, us, ms, s", form.Unit)
	}
	read := readCSV
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		read = readJSON
	case ".jsonl", ".ndjson":
		read = readLines
	case ".npy":
		read = readNPY
	}
	streams, column, err := read(b, form.Column)
	if err != nil {
		return nil, fmt.Errorf("%s%w", path, err)
	}
	t := &Trace{Column: column}
	if t.Times, t.Unit, err = join(streams, form.Unit); err != nil {
		return nil, fmt.Errorf("%s%w", path, err)
	}
	return t, nil
}

// A value is a time as a file has it, and where.
type value struct {
	text string
	at   func() string // such as :5:1
}

func (v value) wrong(format string, args ...any) error {
	return fmt.Errorf("%s: %s", v.at(), fmt.Sprintf(format, args...))
}

var scales = map[string]float64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}

// join reads the values of several streams, each ascending, into one.
func join(streams [][]value, unit string) (times []int64, of string, err error) {
	n := 0
	whole, dates := true, false
	for _, s := range streams {
		n += len(s)
		for _, v := range s {
			if _, err := strconv.ParseInt(v.text, 10, 64); err != nil {
				whole = false
			}
		}
		if len(s) > 0 {
			_, dates = date(s[0].text)
		}
	}
	switch {
	case n == 0:
		return nil, "", errors.New(": it holds no times")
	case n == 1:
		return nil, "", errors.New(": it holds one time alone, and so no gap")
	case n > Most:
		return nil, "", fmt.Errorf(": it holds %d times: want at most %d", n, Most)
	case dates:
		unit = "date"
	case unit == "" && whole:
		unit = "ns"
	case unit == "":
		unit = "s"
	}
	times = make([]int64, 0, n)
	for _, s := range streams {
		var before int64
		for i, v := range s {
			at, err := v.time(unit)
			switch {
			case err != nil:
				return nil, "", err
			case i > 0 && at < before:
				above := "the line above"
				if strings.HasPrefix(v.at(), ": ") { // no line, but an element
					above = "the one above"
				}
				return nil, "", v.wrong("%s is before %s, %s: a trace does not go backwards", v.text, above, s[i-1].text)
			}
			before, times = at, append(times, at)
		}
	}
	slices.Sort(times)
	first, last := times[0], times[n-1]
	if span := float64(last) - float64(first); span > float64(longest) {
		return nil, "", fmt.Errorf(": its times span %.3g days, read in %s: want no more than a year", span/float64(24*time.Hour), unit)
	}
	if first == last {
		return nil, "", errors.New(": all its times are the same")
	}
	for i := range times {
		times[i] -= first
	}
	return times, unit, nil
}

// date reads a time of day with its date.
func date(text string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02 15:04:05", time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil { // any of them with fractions of a second
			return t, true
		}
	}
	return time.Time{}, false
}

// time reads a value in nanoseconds.
func (v value) time(unit string) (int64, error) {
	if unit == "date" {
		t, ok := date(v.text)
		if y := t.Year(); !ok || y < 1700 || y > 2200 { // what nanoseconds of 64 bits hold
			return 0, v.wrong("want a date and time such as 2023-11-16 18:17:03.97996, found %q", v.text)
		}
		return t.UnixNano(), nil
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || !(math.Abs(f*scales[unit]) < math.MaxInt64/2) {
		return 0, v.wrong("want a time in %s, found %q", unit, v.text)
	}
	if strings.ContainsAny(v.text, "eExXpP_") {
		return int64(math.Round(f * scales[unit])), nil
	}
	exact, ok := new(big.Rat).SetString(v.text) // a float has too few digits for the nanoseconds of an epoch
	if !ok {
		return 0, v.wrong("want a time in %s, found %q", unit, v.text)
	}
	exact.Mul(exact, new(big.Rat).SetInt64(int64(scales[unit])))
	return new(big.Int).Div(exact.Num(), exact.Denom()).Int64(), nil
}

// gaps returns the times between arrivals.
func (t *Trace) gaps() []int64 {
	g := make([]int64, len(t.Times)-1)
	for i := range g {
		g[i] = t.Times[i+1] - t.Times[i]
	}
	return g
}

// Bin returns the step of a clock that has binned the times, of which many are then
// the same; 0 where none has.
func (t *Trace) Bin() int64 {
	step, same := int64(0), 0
	for _, g := range t.gaps() {
		if g == 0 {
			same++
		}
		for a, b := g, step; ; a, b = b, a%b {
			if b == 0 {
				step = a
				break
			}
		}
	}
	mean := t.Times[len(t.Times)-1] / int64(len(t.Times)-1)
	if 10*same < len(t.Times) || step < mean {
		return 0
	}
	return step
}

// Spread puts arrivals that share a bin at times drawn evenly within it, by a seed.
func (t *Trace) Spread(bin int64, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x737072656164))
	for i := range t.Times {
		t.Times[i] += rng.Int64N(bin)
	}
	slices.Sort(t.Times)
	first := t.Times[0]
	for i := range t.Times {
		t.Times[i] -= first
	}
}

// Repeats returns after how many gaps the trace repeats itself, and how many there
// are of them; 0 where it does not. Gaps that are alike by chance do not count: of
// those that could differ nine in ten have to be the same.
func (t *Trace) Repeats() (period int, times float64) {
	gaps := t.gaps()
	n := len(gaps)
	counts := map[int64]int{}
	for _, g := range gaps {
		counts[g]++
	}
	chance := 0.0
	for _, c := range counts {
		chance += float64(c) / float64(n) * float64(c) / float64(n)
	}
	if len(counts) == 1 {
		return min(1, n/2), float64(n)
	}
	alike := func(lag, stop int) bool {
		same := 0
		for i := 0; i < stop; i++ {
			if gaps[i] == gaps[i+lag] {
				same++
			}
		}
		return (float64(same)/float64(stop)-chance)/(1-chance) >= 0.9
	}
	for lag := 1; lag <= n/2; lag++ {
		// The first few tell nearly all apart, which keeps this linear.
		if alike(lag, min(n-lag, 64)) && alike(lag, n-lag) {
			return lag, float64(n) / float64(lag)
		}
	}
	return 0, 0
}

// Check refuses a trace that repeats itself.
func (t *Trace) Check(path string) error {
	if period, times := t.Repeats(); period > 0 {
		return cell.Hint(&RepeatError{path, period, times}, "set arrivals: loop, which runs it as what it is")
	}
	return nil
}

// Jitter returns by how much each arrival is off a clock that ticks evenly, in
// nanoseconds: what is left of a straight line through all of them.
func (t *Trace) Jitter() []float64 {
	n := float64(len(t.Times))
	middle, mean := (n-1)/2, 0.0
	for _, at := range t.Times {
		mean += float64(at) / n
	}
	across, square := 0.0, 0.0
	for i, at := range t.Times {
		d := float64(i) - middle
		across += d * (float64(at) - mean)
		square += d * d
	}
	left := make([]float64, len(t.Times))
	for i, at := range t.Times {
		left[i] = float64(at) - mean - across/square*(float64(i)-middle)
	}
	return left
}

// A Description is what a trace is like.
type Description struct {
	Arrivals int     `json:"arrivals"`
	Span     int64   `json:"span_ns"`
	Rate     float64 `json:"rate_per_s"`
	Gap      Gap     `json:"gap"`
	// Dispersion is the variance of counts in windows over their mean, which is 1 for
	// Poisson arrivals, by the windows' length.
	Dispersion []Dispersion `json:"dispersion,omitempty"`
	Peak       int          `json:"most_in_one_second"`
	Bin        int64        `json:"bin_ns,omitempty"`
	Period     int          `json:"repeats_after_gaps,omitempty"`
	Unit       string       `json:"unit"`
	Column     string       `json:"column,omitempty"`
}

// A Gap describes the times between arrivals, in nanoseconds.
type Gap struct {
	Mean float64 `json:"mean_ns"`
	SD   float64 `json:"sd_ns"`
	CV   float64 `json:"cv"`
	Min  int64   `json:"min_ns"`
	Max  int64   `json:"max_ns"`
	Same float64 `json:"share_of_zero"`
}

// A Dispersion is that of counts in windows of one length.
type Dispersion struct {
	Window int64   `json:"window_ns"`
	Index  float64 `json:"index"`
	Of     int     `json:"windows"`
}

// Describe says what a trace is like.
func (t *Trace) Describe() Description {
	gaps := t.gaps()
	last := t.Times[len(t.Times)-1]
	d := Description{
		Arrivals: len(t.Times), Span: last, Rate: float64(len(gaps)) / float64(last) * 1e9,
		Bin: t.Bin(), Unit: t.Unit, Column: t.Column,
		Gap: Gap{Mean: float64(last) / float64(len(gaps)), Min: slices.Min(gaps), Max: slices.Max(gaps)},
	}
	d.Period, _ = t.Repeats()
	for _, g := range gaps {
		if g == 0 {
			d.Gap.Same += 1 / float64(len(gaps))
		}
		d.Gap.SD += (float64(g) - d.Gap.Mean) * (float64(g) - d.Gap.Mean) / float64(max(1, len(gaps)-1))
	}
	d.Gap.SD = math.Sqrt(d.Gap.SD)
	d.Gap.CV = d.Gap.SD / d.Gap.Mean
	for _, window := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		if index, of := Index(t.Times, int64(window)); of >= 3 {
			d.Dispersion = append(d.Dispersion, Dispersion{int64(window), index, of})
		}
	}
	from := 0
	for i, at := range t.Times {
		for at-t.Times[from] >= int64(time.Second) {
			from++
		}
		d.Peak = max(d.Peak, i-from+1)
	}
	return d
}

// Index returns the index of dispersion of counts in whole windows of a length, and
// in how many: their variance over their mean. Times ascend from 0.
func Index(times []int64, window int64) (index float64, of int) {
	of = int(times[len(times)-1] / window)
	if of < 2 {
		return math.NaN(), of
	}
	counts := make([]float64, of)
	for _, at := range times {
		if i := at / window; i < int64(of) {
			counts[i]++
		}
	}
	mean, square := 0.0, 0.0
	for _, c := range counts {
		mean += c / float64(of)
	}
	for _, c := range counts {
		square += (c - mean) * (c - mean)
	}
	return square / float64(of-1) / cmp.Or(mean, math.NaN()), of
}
