// Package trace reads when requests arrived elsewhere, and says what is known of how
// they did: how uneven their gaps are, whether a clock has binned them, and whether
// they repeat themselves.
//
// A trace is a column of times in a CSV or text file, a list in a JSON file, or an
// array of NumPy's. Times are nanoseconds from the first arrival on.
package trace

import (
	"bytes"
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
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) // the mark of UTF-8 that spreadsheets begin with
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
	if at, ok := plain(v.text, unit); ok {
		return at, nil
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

// plain reads digits with a point, down to whole nanoseconds, which nearly all times are.
func plain(text, unit string) (at int64, ok bool) {
	after, digits := -1, 0 // those after the point, and all
	most := len(strconv.Itoa(int(scales[unit]))) - 1
	for _, c := range []byte(text) {
		switch {
		case c == '.' && after < 0:
			after = 0
		case c < '0' || c > '9' || at > math.MaxInt64/10-9:
			return 0, false
		case after < most:
			at = 10*at + int64(c-'0')
			if after >= 0 {
				after++
			}
			digits++
		default:
			digits++
		}
	}
	for range most - max(0, after) {
		if at > math.MaxInt64/10 {
			return 0, false
		}
		at *= 10
	}
	return at, digits > 0
}

// gaps returns the times between arrivals.
func (t *Trace) gaps() []int64 {
	g := make([]int64, len(t.Times)-1)
	for i := range g {
		g[i] = t.Times[i+1] - t.Times[i]
	}
	return g
}

// Bin returns the step of a clock that has binned the times; 0 where none has. Many of
// them are then the same, and either the step is longer than most gaps, or gaps of one
// step are about as frequent as those of none, which arrivals that come at once by
// themselves do not have.
func (t *Trace) Bin() int64 {
	gaps := t.gaps()
	step, same, single := int64(0), 0, 0
	for _, g := range gaps {
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
	for _, g := range gaps {
		if g == step {
			single++
		}
	}
	mean := t.Times[len(gaps)] / int64(len(gaps))
	if 20*same < len(t.Times) || step < mean && (single < 5 || 4*single < same) {
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
// those that could differ nine in ten have to be the same, or, since clocks and floats
// round, be the same within a thousandth of the mean gap.
func (t *Trace) Repeats() (period int, times float64) {
	gaps := t.gaps()
	n := len(gaps)
	sorted := slices.Sorted(slices.Values(gaps))
	if sorted[0] == sorted[n-1] {
		return min(1, n/2), float64(n)
	}
	for _, within := range []int64{t.blur(), 0} {
		chance := alikeByChance(sorted, within)
		if within > 0 && chance > 0.9 { // as of a camera, whose gaps are all alike
			continue
		}
		for lag := 1; lag <= n/2; lag++ {
			// A few, from all of it, tell nearly all apart, which keeps this linear.
			if alike(gaps, lag, max(1, (n-lag)/64), 0.7, chance, within) && alike(gaps, lag, 1, 0.9, chance, within) {
				return lag, float64(n) / float64(lag)
			}
		}
	}
	return 0, 0
}

// blur is by how much gaps differ that count as the same.
func (t *Trace) blur() int64 { return t.Times[len(t.Times)-1] / int64(len(t.Times)-1) / 1000 }

// alikeByChance returns the share of pairs of gaps, ascending, that are the same within
// so much.
func alikeByChance(sorted []int64, within int64) (share float64) {
	n, from, to := float64(len(sorted)), 0, 0
	for _, g := range sorted {
		for sorted[from] < g-within {
			from++
		}
		for to < len(sorted) && sorted[to] <= g+within {
			to++
		}
		share += float64(to-from) / n / n
	}
	return share
}

// alike tells whether, of every so manieth gap, a share is the same as the one a lag
// later, beyond what is by chance.
func alike(gaps []int64, lag, every int, share, chance float64, within int64) bool {
	of := (len(gaps)-lag-1)/every + 1
	most := float64(of) * (1 - share) * (1 - chance) // that differ
	differ := 0
	for i := 0; i < len(gaps)-lag; i += every {
		if d := gaps[i] - gaps[i+lag]; d > within || -d > within {
			if differ++; float64(differ) > most {
				return false
			}
		}
	}
	return true
}

// Loop returns when arrivals come that a trace repeats after so many gaps, from 0, and
// when it begins again: its first that do come again, since it may have begun otherwise.
func (t *Trace) Loop(period int) []int64 {
	gaps, within, from, same := t.gaps(), t.blur(), 0, 0
	for i := 0; i+period < len(gaps) && same < period; i++ {
		if d := gaps[i] - gaps[i+period]; d > within || -d > within {
			same = 0
			continue
		}
		if same++; same == period {
			from = i + 1 - period
		}
	}
	times := slices.Clone(t.Times[from : from+period+1])
	for i := range times {
		times[i] -= t.Times[from]
	}
	return times
}

// Check refuses a trace that repeats itself.
func (t *Trace) Check(path string) error {
	if period, times := t.Repeats(); period > 0 {
		return cell.Hint(&RepeatError{path, period, times}, "set arrivals: loop, which runs it as what it is")
	}
	return nil
}

// Tick returns the usual time from one arrival to the next, in nanoseconds.
func (t *Trace) Tick() float64 {
	gaps := t.gaps()
	return float64(slices.Sorted(slices.Values(gaps))[len(gaps)/2])
}

// Jitter returns by how much each arrival is off a clock that ticks evenly, in
// nanoseconds: what is left of a straight line through all of them. Where a gap is of
// several ticks, frames are missing.
func (t *Trace) Jitter() []float64 {
	tick := t.Tick()
	ticks := make([]float64, len(t.Times))
	for i, g := range t.gaps() {
		ticks[i+1] = ticks[i] + max(1, math.Round(float64(g)/max(1, tick)))
	}
	n := float64(len(t.Times))
	middle, mean := 0.0, 0.0
	for i, at := range t.Times {
		middle += ticks[i] / n
		mean += float64(at) / n
	}
	across, square := 0.0, 0.0
	for i, at := range t.Times {
		d := ticks[i] - middle
		across += d * (float64(at) - mean)
		square += d * d
	}
	left := make([]float64, len(t.Times))
	for i, at := range t.Times {
		left[i] = float64(at) - mean - across/square*(ticks[i]-middle)
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
