package prediction

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"barograph/pipeline/cell/unit"
	"barograph/pipeline/record"
	"barograph/stages/link"
	"barograph/stages/prediction/forecast"
	"barograph/stages/stats"

	"golang.org/x/sync/errgroup"
)

// A Score is a case beside its prediction, which was made without having seen the
// case's model, or its load.
type Score struct {
	*Case
	HeldOut    string // model, load, recording or machine
	Measured   [3]float64
	Prediction *Prediction
	// Naive predictions: that nothing changes, and that a call waits for the bytes
	// which the load keeps in flight.
	NoChange, QueuedBytes [3]float64
	KS                    float64 // distance of Kolmogorov and Smirnov between both distributions
	// Steady is the same without what [stats.SlowTimes] finds in the calls that it rests
	// on, beside a load and without.
	Steady *Score
}

// Error is predicted over measured, less one.
func (s *Score) Error(i int) float64 { return s.Prediction.Estimates[i].Value/s.Measured[i] - 1 }

// Inside tells whether the interval holds what was measured.
func (s *Score) Inside(i int) bool {
	e := s.Prediction.Estimates[i]
	return e.Low <= s.Measured[i] && s.Measured[i] <= e.High
}

// Unseen is the study that is predicted without anything learned from it: it was
// recorded when the simulation's rules and what it learns stood. How far its predictions
// err counts for the intervals of others.
const Unseen = "turns"

// ScoreAll predicts every case of recordings, each from the others: a case of the study
// models without every case of its model, any other without every case beside the same
// load, and those of the study Unseen without that study. It returns what all but the
// last teach, slow times of the card included, and by how much all err.
func ScoreAll(card *link.Card, root string, dirs []string) ([]*Score, *Lesson, error) {
	var cases []*Case
	from := []string{}
	for _, dir := range dirs {
		_, of, err := Read(root, dir, "")
		if err != nil {
			return nil, nil, err
		}
		cases = append(cases, of...)
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			rel = dir
		}
		from = append(from, filepath.ToSlash(rel))
	}
	scores, x, err := scoreCases(card, cases)
	if err != nil {
		return nil, nil, err
	}
	x.From = from
	without, _, err := scoreCases(card, unslowed(cases))
	return join(scores, without), x, err
}

// scoreCases predicts each case from the others, and returns what all teach.
func scoreCases(card *link.Card, cases []*Case) ([]*Score, *Lesson, error) {
	m := FromCard(card, false)
	x := &Lesson{Machine: m.Name, Link: m, Errors: map[string]map[string][3][]float64{}}
	var seen []*Case
	for _, c := range cases {
		if c.Study != Unseen {
			seen = append(seen, c)
		}
	}
	f, err := newFitter(m, seen)
	if err != nil {
		return nil, nil, err
	}
	scores := make([]*Score, len(cases))
	like := make([]func(*Case) bool, len(cases)) // what each case leaves out
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, c := range cases {
		s := &Score{Case: c, HeldOut: "load"}
		like[i] = func(o *Case) bool { return o.load() == c.load() }
		if c.Study == "models" {
			s.HeldOut = "model"
			like[i] = func(o *Case) bool { return o.Own.Model == c.Own.Model }
		}
		of := m
		if c.Study == Unseen {
			s.HeldOut = "recording"
			like[i] = func(o *Case) bool { return o.Study == Unseen }
			if c.Condition.MPS {
				of = FromCard(card, true)
			}
		}
		scores[i] = s
		g.Go(func() error { return s.predict(of, &Lesson{Parameters: f.fit(like[i])}) })
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i, s := range scores { // intervals, from how far the others err
		others := &Lesson{}
		for _, o := range scores {
			if !like[i](o.Case) {
				add(others, o)
			}
		}
		sort(others)
		bounds, _ := others.Bounds(&s.Condition)
		s.Prediction.Widen(bounds)
		add(x, s)
	}
	sort(x)
	x.Parameters = f.fit(func(*Case) bool { return false })
	return scores, x, nil
}

// ScoreTransfer predicts every case of recordings by what another machine's recordings
// teach: of this machine it takes the card, and calls without load.
func ScoreTransfer(card *link.Card, root string, dirs []string, x *Lesson) ([]*Score, error) {
	var cases []*Case
	for _, dir := range dirs {
		_, of, err := Read(root, dir, "")
		if err != nil {
			return nil, err
		}
		cases = append(cases, of...)
	}
	scores, err := transfer(card, cases, x)
	if err != nil {
		return nil, err
	}
	without, err := transfer(card, unslowed(cases), x)
	return join(scores, without), err
}

func transfer(card *link.Card, cases []*Case, x *Lesson) (scores []*Score, err error) {
	m, mps := FromCard(card, false), FromCard(card, true)
	for _, c := range cases {
		scores = append(scores, &Score{Case: c, HeldOut: "machine"})
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range scores {
		g.Go(func() error {
			if s.Condition.MPS {
				return s.predict(mps, x)
			}
			return s.predict(m, x)
		})
	}
	return scores, g.Wait()
}

func (s *Score) predict(m *Machine, x *Lesson) (err error) {
	if s.Prediction, err = Predict(m, s.Own, &s.Condition, x); err != nil {
		return fmt.Errorf("%s, %s beside %s: %w", s.Study, s.Own.Model, s.load(), err)
	}
	measured := forecast.Pooled(s.Calls)
	c := &s.Condition
	queued := float64(c.Threads*c.Outstanding) * float64(c.Block) * c.Share
	for i, q := range Quantiles {
		s.Measured[i] = forecast.Quantile(measured, q)
		s.NoChange[i] = s.Own.Quantile(q)
		s.QueuedBytes[i] = s.NoChange[i] + queued/capacity(m, c)*1e9
	}
	s.KS = distance(measured, s.Prediction.Simulated)
	return nil
}

// capacity of a condition's direction.
func capacity(m *Machine, c *Condition) float64 {
	for i, d := range Ways {
		if d.String() == c.Direction {
			return m.Capacity[i]
		}
	}
	return m.Capacity[0] + m.Capacity[1]
}

func add(x *Lesson, s *Score) {
	class := s.Condition.Class()
	if x.Errors == nil {
		x.Errors = map[string]map[string][3][]float64{}
	}
	if x.Errors[class] == nil {
		x.Errors[class] = map[string][3][]float64{}
	}
	of := x.Errors[class][s.Study]
	for i := range of {
		of[i] = append(of[i], math.Round(1e5*math.Log(s.Measured[i]/s.Prediction.Estimates[i].Value))/1e5)
	}
	x.Errors[class][s.Study] = of
}

func sort(x *Lesson) {
	for _, class := range x.Errors {
		for _, of := range class {
			for _, e := range of {
				slices.Sort(e)
			}
		}
	}
}

// distance is the largest difference of two empirical distributions.
func distance(a, b []int64) float64 {
	far, i, j := 0.0, 0, 0
	for i < len(a) && j < len(b) {
		at := min(a[i], b[j])
		for i < len(a) && a[i] == at {
			i++
		}
		for j < len(b) && b[j] == at {
			j++
		}
		far = max(far, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return far
}

// WriteScores writes a row for each case and quantile.
func WriteScores(w io.Writer, scores []*Score) error {
	out := csv.NewWriter(w)
	header := []string{"study", "model", "batch", "sequence", "direction", "share", "loads", "threads", "outstanding", "block_bytes", "same_process", "mps", "held_out", "quantile",
		"measured_ns", "predicted_ns", "low_ns", "high_ns", "error", "inside", "error_no_change", "error_queued_bytes", "ks_distance",
		"steady_calls", "steady_measured_ns", "steady_predicted_ns", "steady_low_ns", "steady_high_ns", "steady_error", "steady_inside"}
	if err := out.Write(header); err != nil {
		return err
	}
	share := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	ns := func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	for _, s := range scores {
		c := &s.Condition
		for i, q := range Quantiles {
			e, w := s.Prediction.Estimates[i], s.Steady
			without := w.Prediction.Estimates[i]
			if err := out.Write([]string{s.Study, s.Own.Model, strconv.Itoa(s.Own.Batch), strconv.Itoa(s.Own.Sequence), c.Direction, share(c.Share), strconv.Itoa(c.Loads), strconv.Itoa(c.Threads), strconv.Itoa(c.Outstanding),
				strconv.FormatInt(c.Block, 10), strconv.FormatBool(c.Within), strconv.FormatBool(c.MPS), s.HeldOut, strconv.FormatFloat(q, 'f', 2, 64),
				ns(s.Measured[i]), ns(e.Value), ns(e.Low), ns(e.High), share(s.Error(i)), strconv.FormatBool(s.Inside(i)),
				share(s.NoChange[i]/s.Measured[i] - 1), share(s.QueuedBytes[i]/s.Measured[i] - 1), share(s.KS),
				strconv.Itoa(count(w.Calls)), ns(w.Measured[i]), ns(without.Value), ns(without.Low), ns(without.High), share(w.Error(i)), strconv.FormatBool(w.Inside(i))}); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// model names a case's model and what of it was called.
func (s *Score) model() string {
	name := "`" + s.Own.Model + "`"
	if s.Study == Unseen {
		name += fmt.Sprintf(", %d x %d", s.Own.Batch, s.Own.Sequence)
	}
	return name
}

// Load says in words what a case's load is.
func (s *Score) Load() string {
	c := &s.Condition
	words := fmt.Sprintf("%s, %d x %d x %v", c.Direction, c.Threads, c.Outstanding, unit.Size(c.Block))
	if c.Share < 1 {
		words += fmt.Sprintf(" at %.0f%%", 100*c.Share)
	}
	if c.Loads > 1 {
		words += fmt.Sprintf(", %d processes", c.Loads)
	}
	if c.Within {
		words += ", same process"
	}
	if c.MPS {
		words += ", MPS"
	}
	return words
}

// Recordings returns those of a machine that hold loads: all below data, less those in
// which calls move more than a model's inputs and outputs, or loads leave the link idle.
func Recordings(root, machine string) (dirs []string) {
	for _, name := range []string{"paper", "paper-d2h", "decoupled", "models", "sharing", Unseen} {
		dir := filepath.Join(root, "data", name, machine)
		if _, err := os.Stat(record.Path(filepath.Join(dir, record.Samples))); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Allowed are the errors that predictions are held to, by class: of the median, and
// of p99.
var Allowed = map[string][2]float64{"full link": {0.01, 0.05}, "below a full link": {0.05, 0.10}}

// Summarise writes how far predictions err, by class, beside naive ones; which
// miss what is allowed; and how far distributions lie apart. It is Markdown.
func Summarise(w io.Writer, scores []*Score) error {
	var b strings.Builder
	b.WriteString("| loads | predicted | quantile | median error | worst | within what is allowed | inside the 90% interval | no change errs | queued bytes err |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, g := range groups {
		for i, q := range Quantiles {
			var errs, idle, queued []float64
			inside, good := 0, 0
			for _, s := range scores {
				if !g.holds(s) {
					continue
				}
				errs = append(errs, math.Abs(s.Error(i)))
				idle = append(idle, math.Abs(s.NoChange[i]/s.Measured[i]-1))
				queued = append(queued, math.Abs(s.QueuedBytes[i]/s.Measured[i]-1))
				if s.Inside(i) {
					inside++
				}
				if s.good(i) {
					good++
				}
			}
			if len(errs) == 0 {
				continue
			}
			within := "none asked"
			if a, ok := allowed(g.class, i); ok {
				within = fmt.Sprintf("%d of %d (%g%%)", good, len(errs), 100*a)
			}
			fmt.Fprintf(&b, "| %s | %d | %s | %.2f%% | %.1f%% | %s | %d of %d | %.1f%% | %.0f%% |\n", g.name(), len(errs), stats.Name(q), 100*middle(errs), 100*slices.Max(errs), within, inside, len(errs), 100*middle(idle), 100*middle(queued))
		}
	}
	summariseSteady(&b, scores)
	b.WriteString("\nSimulated and recorded distributions, level by level (KS: the distance of Kolmogorov and Smirnov):\n\n| study | model | load | p50, ms: recorded, simulated | p90 | p99 | KS |\n|---|---|---|---|---|---|---|\n")
	for _, s := range scores {
		fmt.Fprintf(&b, "| `%s` | %s | %s |", s.Study, s.model(), s.Load())
		for i := range Quantiles {
			fmt.Fprintf(&b, " %.3f, %.3f |", s.Measured[i]/1e6, s.Prediction.Estimates[i].Value/1e6)
		}
		fmt.Fprintf(&b, " %.2f |\n", s.KS)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A group is scores of one class that stand together in a table.
type group struct {
	class  string
	unseen bool
}

var groups = []group{{"full link", false}, {"below a full link", false}, {"same process", false}, {"full link", true}, {"below a full link", true}}

func (g group) holds(s *Score) bool {
	return s.Condition.Class() == g.class && (s.Study == Unseen) == g.unseen
}

func (g group) name() string {
	if g.unseen {
		return g.class + ", `" + Unseen + "`"
	}
	return g.class
}

// good tells whether a prediction is held to an error, and keeps it.
func (s *Score) good(i int) bool {
	a, ok := s.allowed(i)
	return ok && math.Abs(s.Error(i)) <= a
}

// misses tells whether a prediction errs by more than it is held to, or its interval
// misses what was measured.
func (s *Score) misses(i int) bool {
	_, ok := s.allowed(i)
	return !s.Inside(i) || ok && !s.good(i)
}

// allowed is what a prediction's error is held to; p90 is held to nothing.
func (s *Score) allowed(i int) (float64, bool) { return allowed(s.Condition.Class(), i) }

func allowed(class string, i int) (float64, bool) {
	a, ok := Allowed[class]
	return a[i/2], ok && i != 1
}

func middle(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}
