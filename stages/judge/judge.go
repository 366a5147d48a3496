// Package judge says whether a paper's claims hold on samples of latency under
// load, with stated error: the code behind `barograph judge` and the analyse
// stage.
//
// [Read] reads any tidy file and [Judge] turns it into a [Report]: verdicts,
// effect sizes with intervals, the growth law with its rivals, what the design
// could have told, and every doubt. The same samples and options give the same
// report.
package judge

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"barograph/pipeline/cell"
	"barograph/stages/recording"
	"barograph/stages/result"
	"barograph/stages/stats"
	"barograph/stages/stats/law"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/combin"
)

// Options are what a judgement rests on besides the samples. The zero value
// means [Defaults].
type Options struct {
	Alpha       float64 // of the trend test
	Negligible  float64 // change of the median that is taken for none, as a share
	DriftMargin float64 // drift of the baseline, beyond twice the scatter of replicates, from which all is INVALID, as a share
	Extreme     float64 // share of lost time, or of unsteady loads, beyond which a verdict is INVALID
	Draws       int     // of a bootstrap
	Sets        int     // simulated for each law; -1: none
	Seed        uint64
	// Cost is told what a bootstrap will cost, before it starts, where that is
	// more than a second.
	Cost func(string)
}

// Defaults are the options that the studies use.
var Defaults = Options{
	Alpha: 0.05, Negligible: 0.05, DriftMargin: stats.DriftMargin, Extreme: 0.5, Draws: 500, Sets: 100,
}

func (o Options) orDefault() Options {
	for _, f := range []struct {
		value *float64
		or    float64
	}{{&o.Alpha, Defaults.Alpha}, {&o.Negligible, Defaults.Negligible}, {&o.DriftMargin, Defaults.DriftMargin}, {&o.Extreme, Defaults.Extreme}} {
		if *f.value == 0 {
			*f.value = f.or
		}
	}
	if o.Draws == 0 {
		o.Draws = Defaults.Draws
	}
	if o.Sets == 0 {
		o.Sets = Defaults.Sets
	}
	return o
}

func (o Options) bootstrap() stats.Bootstrap {
	return stats.Bootstrap{Draws: o.Draws, Seed: o.Seed, Before: o.Cost}
}

// A Report is what was concluded from samples.
type Report struct {
	About     []string `json:"about,omitempty"`
	Simulated bool     `json:"simulated"`
	Calls     int      `json:"samples"`
	Levels    []*Level `json:"levels"`
	// Counts lists the quantiles of levels with as many calls as MLPerf asks for.
	Counts []string     `json:"mlperf_counts,omitempty"`
	Drift  *stats.Drift `json:"drift,omitempty"` // nil without a baseline
	GPUs   *Between     `json:"gpus,omitempty"`  // nil where not several GPUs are told of
	Trend  *stats.Trend `json:"trend,omitempty"`
	Effect *Effect      `json:"effect,omitempty"` // nil where there are too few samples or levels
	// Loaded is the change from the lightest load to the heaviest; nil where there
	// are not two loads and a baseline.
	Loaded *Effect `json:"effect_among_loads,omitempty"`
	// Fall is the largest by which the median falls from a level to a higher one, with
	// an interval that holds for all pairs of levels; nil where it falls nowhere.
	Fall      *Effect        `json:"fall,omitempty"`
	Shifts    []stats.Shift  `json:"shifts,omitempty"` // of each level against the lowest
	Tests     []Test         `json:"tests,omitempty"`  // of each level against the lowest, as Shifts
	Growth    *law.Growth    `json:"growth,omitempty"` // nil where utilisation is unknown
	Confusion *law.Confusion `json:"confusion,omitempty"`
	// WholeConfusion is Confusion for the laws over every level; nil where they were not
	// compared.
	WholeConfusion *law.Confusion `json:"whole_confusion,omitempty"`
	Advice         string         `json:"advice,omitempty"`
	// Invalid is why no number here can be trusted; empty where they can.
	Invalid  string         `json:"invalid,omitempty"`
	Verdicts []cell.Verdict `json:"verdicts"`
	Doubts   []string       `json:"doubts,omitempty"`

	options Options
	jitter  float64 // what the harness adds to a call, nanoseconds
}

// A Level is what one level's calls say. Quantities that the file does not hold
// are nil.
type Level struct {
	Label       string           `json:"level"`
	Replicates  int              `json:"replicates"`
	N           int              `json:"n"`
	EffectiveN  float64          `json:"effective_n"`
	Lag1        float64          `json:"lag1"`
	Outliers    float64          `json:"outliers"` // share of calls beyond three interquartile ranges from the quartiles
	Achieved    *float64         `json:"achieved_bytes_per_s"`
	Utilisation *float64         `json:"utilisation"`
	Quantiles   []stats.Estimate `json:"quantiles"` // p50, p90, p99

	value   float64
	trials  []*Trial
	samples [][]int64 // by replicate
}

// An Effect is the change of the median between the lowest and the highest level.
type Effect struct {
	From  string         `json:"from"`
	To    string         `json:"to"`
	Base  float64        `json:"base_ns"` // the median it starts from
	Ratio stats.Interval `json:"ratio"`   // the median it ends at, as a multiple of that
}

// Share returns the change and its interval as shares of the base.
func (e Effect) Share() (value, low, high float64) {
	return e.Ratio.Value - 1, e.Ratio.Low - 1, e.Ratio.High - 1
}

// A Test says whether one level's latency differs from the lowest level's, in
// either way: the test of Mann and Whitney on medians of replicates. There is one
// for each level, so each p-value also stands adjusted for all of them.
type Test struct {
	Level  string  `json:"level"`
	P      float64 `json:"p"`
	Holm   float64 `json:"p_holm"`
	BH     float64 `json:"p_benjamini_hochberg"`
	Method string  `json:"method"` // exact, permutation or normal
	// Least is the smallest that P can be with so many replicates.
	Least float64 `json:"p_least"`
}

var shown = []float64{0.5, 0.9, 0.99}

// Judge judges samples, and may leave them in another order; run is what the recording says of how they were taken,
// nil where there is none.
func Judge(s *Samples, run *recording.Run, o Options) (*Report, error) {
	if s == nil || len(s.Trials) == 0 {
		return nil, errors.New("judge: no samples")
	}
	if run == nil {
		run = &recording.Run{}
	}
	r := &Report{About: s.About, Simulated: s.Simulated, Calls: s.Rows, options: o.orDefault()}
	r.jitter = run.Jitter()
	r.Levels = levels(s.Trials)
	r.Doubts = append(r.Doubts, s.Doubts...)
	for _, step := range []func() error{r.estimate, func() error { return r.validity(run) }, r.sort, r.compare, r.grow} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("judge: %w", err)
		}
	}
	r.Verdicts = []cell.Verdict{r.c1(), r.c2(run)}
	r.Doubts = append(r.Doubts, run.Warnings...)
	return r, nil
}

// levels groups trials, which are in order.
func levels(trials []*Trial) (out []*Level) {
	for _, t := range trials {
		if len(out) == 0 || out[len(out)-1].Label != t.Level {
			out = append(out, &Level{Label: t.Level, value: t.Value})
		}
		l := out[len(out)-1]
		l.trials = append(l.trials, t)
		l.samples = append(l.samples, t.Latencies)
		l.N += len(t.Latencies)
		l.Replicates++
	}
	for _, l := range out {
		l.Achieved = l.mean(func(t *Trial) float64 { return t.Achieved })
		l.Utilisation = l.mean(func(t *Trial) float64 { return t.Utilisation })
	}
	return out
}

// mean weights a trial's value by its calls; nil where one is unknown.
func (l *Level) mean(of func(*Trial) float64) *float64 {
	mean, n := 0.0, 0.0
	for _, t := range l.trials {
		calls := float64(len(t.Latencies))
		n += calls
		mean += (of(t) - mean) * calls / n
	}
	if math.IsNaN(mean) {
		return nil
	}
	return &mean
}

// each runs f for every level at once, as far as there are processors.
func (r *Report) each(f func(*Level) error) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, l := range r.Levels {
		g.Go(func() error { return f(l) })
	}
	return g.Wait()
}

// estimate fills in what each level says by itself, and doubts about it.
func (r *Report) estimate() error {
	err := r.each(func(l *Level) (err error) {
		l.Lag1 = stats.Lag1(l.samples)
		l.EffectiveN = stats.EffectiveN(l.N, l.Lag1)
		if l.Quantiles, err = stats.Estimates(l.samples, shown, r.options.bootstrap()); err != nil {
			return err
		}
		l.Outliers, err = outliers(l.samples)
		return err
	})
	if err != nil {
		return err
	}
	for _, l := range r.Levels {
		for _, q := range l.Quantiles {
			if q.Doubt != "" {
				r.doubt("%s, %s: %s", l.Label, stats.Name(q.Q), q.Doubt)
			}
			if q.Q > 0.5 && l.N >= stats.MLPerf(q.Q) {
				r.Counts = append(r.Counts, l.Label+" "+stats.Name(q.Q))
			}
		}
		if l.EffectiveN < stats.Dependent*float64(l.N) {
			r.doubt("%s: samples depend on one another (lag-1 %.2f): %d are worth %.0f, and intervals come from a bootstrap", l.Label, l.Lag1, l.N, l.EffectiveN)
		}
		if l.Outliers > stats.FarOut {
			r.doubt("%s: %.1f%% of calls are outliers, more than 3 interquartile ranges beyond the quartiles", l.Label, 100*l.Outliers)
		}
	}
	return nil
}

func outliers(samples [][]int64) (float64, error) {
	e, err := stats.Pool(samples...)
	if err != nil {
		return 0, err
	}
	return e.Outliers(), nil
}

func (r *Report) doubt(format string, args ...any) {
	r.Doubts = append(r.Doubts, fmt.Sprintf(format, args...))
}

// validity looks for what makes every verdict INVALID (rules 9 and 10).
func (r *Report) validity(run *recording.Run) error {
	base := r.Levels[0]
	if base.value != 0 {
		r.doubt("no baseline (level 0) was measured, so drift cannot be seen")
	} else {
		trials := slices.Clone(base.trials)
		slices.SortStableFunc(trials, func(a, b *Trial) int { return int(a.Seq - b.Seq) })
		var samples [][]int64
		for _, t := range trials {
			samples = append(samples, t.Latencies)
		}
		scatter, err := r.scatter()
		if err != nil {
			return err
		}
		d, err := stats.BaselineDrift(samples, stats.Confidence, r.options.DriftMargin+2*scatter)
		if err != nil {
			return err
		}
		r.Drift = &d
		if r.GPUs, err = between(trials, scatter, d.Margin); err != nil {
			return err
		}
		switch {
		case r.GPUs == nil:
		case r.GPUs.Drift.Drifted():
			r.Invalid = r.GPUs.String()
		case r.GPUs.Drift.Doubt != "" || r.GPUs.Drift.Seen() > 0:
			r.doubt("%s", r.GPUs)
		default:
			r.About = append(slices.Clone(r.About), r.GPUs.String())
		}
		switch {
		case r.Invalid != "": // where GPUs differ, what runs on them seems to drift
		case d.Drifted():
			r.Invalid = d.String()
		case d.Doubt != "" || d.Seen() > 0:
			r.doubt("%s", d)
		}
	}
	for _, l := range r.Levels {
		if l.Utilisation != nil && *l.Utilisation > result.MostShare {
			r.Invalid = fmt.Sprintf("%s used %.0f%% of the calibrated capacity: the calibration measured a fraction of what the link carries", l.Label, 100**l.Utilisation)
		}
	}
	if why := untrusted(run, r.options.Extreme); why != "" {
		r.Invalid = why
	}
	return nil
}

// Untrusted returns why no number of a measurement can be trusted, as far as it does not
// take samples to tell: it failed a gate, or the inference waited for its processor for
// most of the time. Empty where nothing is known against it.
func Untrusted(run *recording.Run) string { return untrusted(run, Defaults.Extreme) }

func untrusted(run *recording.Run, extreme float64) string {
	if why := run.Gates(); why != "" {
		return why
	}
	if lost := run.Lost(); lost > extreme {
		return fmt.Sprintf("for %.0f%% of the time that was timed, the inference waited for its processor, which ran something else", 100*lost)
	}
	return ""
}

// sort puts the calls of each replicate in ascending order, which what follows
// does many times over. Only single replicates are resampled in the order taken.
func (r *Report) sort() error {
	for _, l := range r.Levels {
		if l.Replicates < 2 {
			return nil
		}
	}
	return r.each(func(l *Level) error {
		for _, samples := range l.samples {
			stats.Sort(samples)
		}
		return nil
	})
}

// scatter returns how far replicates of one load on one GPU lie apart, as the standard
// deviation of ln median, at the middle of the loaded levels. What replicates do
// anyway is no drift, and every interval accounts for it.
func (r *Report) scatter() (float64, error) {
	var deviations []float64
	for _, l := range r.Levels[1:] {
		logs := map[string][]float64{} // by GPU, since what differs between them is no scatter
		for i, samples := range l.samples {
			e, err := stats.NewECDF(samples)
			if err != nil {
				return 0, err
			}
			gpu := l.trials[i].GPU
			logs[gpu] = append(logs[gpu], math.Log(float64(e.Quantile(0.5))))
		}
		for _, of := range logs {
			if len(of) > 1 {
				deviations = append(deviations, stat.StdDev(of, nil))
			}
		}
	}
	if len(deviations) == 0 {
		return 0, nil
	}
	slices.Sort(deviations)
	return deviations[len(deviations)/2], nil
}

// compare sets every level beside the lowest (rule 8).
func (r *Report) compare() error {
	if len(r.Levels) < 2 {
		return nil
	}
	lowest, highest := r.Levels[0], r.Levels[len(r.Levels)-1]
	medians := make([][]float64, len(r.Levels))
	for i, l := range r.Levels {
		for _, samples := range l.samples {
			e, err := stats.NewECDF(samples)
			if err != nil {
				return err
			}
			medians[i] = append(medians[i], float64(e.Quantile(0.5)))
		}
	}
	trend, err := stats.JonckheereTerpstra(medians, permutations, r.options.Seed)
	if err != nil {
		return err
	}
	r.Trend = &trend
	if r.Tests, err = r.tests(medians); err != nil {
		return err
	}
	if r.Effect, err = r.effect(lowest, highest); err != nil || r.Effect == nil {
		return err
	}
	if lowest.value == 0 && len(r.Levels) > 2 {
		if r.Loaded, err = r.effect(r.Levels[1], highest); err != nil {
			return err
		}
	}
	if err := r.fall(); err != nil {
		return err
	}
	r.Shifts = make([]stats.Shift, len(r.Levels)-1)
	return r.each(func(l *Level) error {
		i := slices.Index(r.Levels, l) - 1
		if i < 0 {
			return nil
		}
		shift, err := stats.ShiftFunction(lowest.samples, l.samples, 10*len(r.Shifts), r.options.bootstrap())
		shift.Before, shift.After = lowest.Label, l.Label
		r.Shifts[i] = shift
		return err
	})
}

// permutations of medians where some are tied.
const permutations = 10_000

// tests compares the medians of each level's replicates with the lowest level's,
// which come first.
func (r *Report) tests(medians [][]float64) ([]Test, error) {
	tests := make([]Test, len(medians)-1)
	ps := make([]float64, len(tests))
	permutations, pairs := permutations, 0
	for _, m := range medians[1:] {
		pairs += len(medians[0]) * len(m)
	}
	if pairs*permutations > 1e8 { // seconds, and so many medians hardly need it
		permutations = 0
	}
	for i := range tests {
		pair := [][]float64{medians[0], medians[i+1]}
		longer, err := stats.JonckheereTerpstra(pair, permutations, r.options.Seed)
		if err != nil {
			return nil, err
		}
		slices.Reverse(pair)
		shorter, err := stats.JonckheereTerpstra(pair, permutations, r.options.Seed)
		if err != nil {
			return nil, err
		}
		ps[i] = math.Min(1, 2*math.Min(longer.P, shorter.P))
		n, m := len(medians[0]), len(medians[i+1])
		least := math.Min(1, 2*math.Exp(-combin.LogGeneralizedBinomial(float64(n+m), float64(n))))
		tests[i] = Test{Level: r.Levels[i+1].Label, P: ps[i], Method: longer.Method, Least: least}
	}
	holm, err := stats.Holm(ps)
	if err != nil {
		return nil, err
	}
	bh, err := stats.BenjaminiHochberg(ps)
	if err != nil {
		return nil, err
	}
	for i := range tests {
		tests[i].Holm, tests[i].BH = holm[i], bh[i]
	}
	return tests, nil
}

// effect compares the medians of two levels; nil where there are too few samples.
func (r *Report) effect(from, to *Level) (*Effect, error) {
	ratio, err := stats.BootstrapRatio(from.samples, to.samples, 0.5, r.options.bootstrap())
	if err != nil {
		return nil, err
	}
	if ratio.Doubt != "" {
		r.doubt("%s against %s: %s", to.Label, from.Label, ratio.Doubt)
		return nil, nil
	}
	return &Effect{From: from.Label, To: to.Label, Base: from.Quantiles[0].Value, Ratio: ratio}, nil
}

// fall finds the pair of levels between which the median falls the most.
func (r *Report) fall() error {
	var from, to *Level
	least := 1.0
	for i, a := range r.Levels {
		for _, b := range r.Levels[i+1:] {
			if ratio := b.Quantiles[0].Value / a.Quantiles[0].Value; ratio < least {
				from, to, least = a, b, ratio
			}
		}
	}
	if from == nil {
		return nil
	}
	b := r.options.bootstrap()
	pairs := len(r.Levels) * (len(r.Levels) - 1) / 2
	b.Confidence = 1 - (1-stats.Confidence)/float64(pairs)
	ratio, err := stats.BootstrapRatio(from.samples, to.samples, 0.5, b)
	if err == nil && ratio.Doubt == "" {
		r.Fall = &Effect{From: from.Label, To: to.Label, Base: from.Quantiles[0].Value, Ratio: ratio}
	}
	return err
}

// most is the utilisation above which the calibration must have been wrong.
const most = 1.05

// reach is the utilisation up to which loads must have been measured for a latency
// that does not grow to refute a law of growth: the laws rise above it.
const reach = 0.5

// mostConfused is the number of levels up to which the confusion matrix is
// simulated: its cost grows with their square.
const mostConfused = 30

// grow asks for the law, and what the design could tell (rules 12 and 13).
func (r *Report) grow() error {
	if len(r.Levels) < 2 {
		return nil
	}
	var points []law.Point
	for _, l := range r.Levels {
		if l.Utilisation == nil {
			return nil
		}
		if *l.Utilisation > most {
			r.doubt("%s: utilisation of %.0f%%: the link's capacity was calibrated too low", l.Label, 100**l.Utilisation)
		}
		for _, t := range l.trials {
			p, err := point(t)
			if err != nil {
				return err
			}
			points = append(points, p)
		}
	}
	g, err := law.Grow(points)
	if err != nil {
		return err
	}
	r.Growth = &g
	if len(g.Saturated) > 0 {
		r.doubt("saturated levels are left out of laws in utilisation: %s", list(g.Saturated))
	}
	if whole := g.Whole; whole != nil && r.options.Sets > 0 && r.Invalid == "" && whole.Levels <= mostConfused {
		if design, ok := whole.Design(); ok {
			c := design.Confuse(r.options.Sets, r.options.Seed)
			r.WholeConfusion = &c
		}
	}
	design, ok := g.Design()
	if !ok || r.options.Sets < 0 || r.Invalid != "" {
		return nil
	}
	if g.Levels > mostConfused {
		r.doubt("what this design could tell is not simulated: it has %d levels, and %d would take minutes", g.Levels, mostConfused+1)
		return nil
	}
	c := design.Confuse(r.options.Sets, r.options.Seed)
	r.Confusion = &c
	if g.Law == "" {
		r.Advice = design.Advice(g.Median[0].Law, r.options.Sets, r.options.Seed)
	}
	return nil
}

// ready is how many loads keep more than one copy ready, which a process that
// shares the link has to wait for: one, unless the load has one copy in flight, or
// none. What a load with a limited rate does is not known.
func (t *Trial) ready() float64 {
	outstanding := t.Outstanding
	if math.IsNaN(outstanding) {
		outstanding = 1
	}
	switch copies := t.Threads * outstanding; {
	case math.IsNaN(copies) || t.Rate > 0 && copies > 0:
		return math.NaN()
	case copies > 1:
		return 1
	}
	return 0
}

// point is what one replicate says of growth.
func point(t *Trial) (law.Point, error) {
	p := law.Point{Level: t.Level, Utilisation: t.Utilisation, Loads: t.ready()}
	if t.Utilisation > 0 && t.Block > 0 && t.Achieved > 0 {
		p.Service = t.Block * t.Utilisation / t.Achieved * 1e9 // block over capacity
		outstanding := t.Outstanding
		if math.IsNaN(outstanding) {
			outstanding = 1
		}
		if t.Threads > 0 {
			p.Queued = t.Threads * outstanding * p.Service
		}
	}
	e, err := stats.NewECDF(t.Latencies)
	if err != nil {
		return p, err
	}
	p.Median = float64(e.Quantile(0.5))
	p99, err := e.Interval(0.99, stats.Confidence)
	p.P99 = p99.Value
	return p, err
}
