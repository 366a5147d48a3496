package pair

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"barograph/stages/prediction"
	"barograph/stages/stats"

	"golang.org/x/sync/errgroup"
)

// A Score is an outcome beside what was predicted of it without its pair, and without
// any pair of its models.
type Score struct {
	*Outcome
	Predicted [2]prediction.Estimate
	Unseen    [2]float64 // predicted without any pair that holds either model
	// Naive predictions: that nothing changes, and that a call takes the times of both.
	NoChange, Sum [2]float64
	bands, unseen [2]band
}

// Error is predicted over measured, less one.
func (s *Score) Error(q int) float64 { return s.Predicted[q].Value/s.Measured[q] - 1 }

// Inside tells whether the interval holds what was measured.
func (s *Score) Inside(q int) bool {
	return s.Predicted[q].Low <= s.Measured[q] && s.Measured[q] <= s.Predicted[q].High
}

// beside names the others.
func (s *Score) beside() string { return key(s.Beside) }

// Allowed are the errors that predictions are held to at the median of the pairs, by
// quantile.
var Allowed = [2]float64{0.10, 0.20}

// ScoreAll predicts every outcome from the others, and returns what all teach, and of each
// tenancy what predicts with other pairs left out.
func ScoreAll(m func(tenancy string) *prediction.Machine, outcomes []*Outcome) (scores []*Score, x *Lesson, held map[string]*Held, err error) {
	x, held = &Lesson{Tenancies: map[string]*Learned{}}, map[string]*Held{}
	for _, tenancy := range Tenancies {
		var of []*Outcome
		for _, o := range outcomes {
			if o.Tenancy == tenancy {
				of = append(of, o)
			}
		}
		if len(of) == 0 {
			continue
		}
		more, learned, f, err := score(m(tenancy), tenancy, of)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("learn from pairs, tenancy %s: %w", tenancy, err)
		}
		if scores = append(scores, more...); learned != nil {
			x.Tenancies[tenancy], held[tenancy] = learned, &Held{f}
		}
	}
	return scores, x, held, nil
}

// score predicts pairs, each without itself, and larger groups from all pairs. Where
// pairs are too few nothing is learned from them, and they are predicted as on a machine
// of which none was recorded.
func score(m *prediction.Machine, tenancy string, outcomes []*Outcome) ([]*Score, *Learned, *fitter, error) {
	var larger []*Outcome
	pairs := slices.DeleteFunc(slices.Clone(outcomes), func(o *Outcome) bool {
		if len(o.Beside) > 1 {
			larger = append(larger, o)
		}
		return len(o.Beside) > 1
	})
	f, err := newFitter(m, tenancy, pairs)
	if err != nil {
		return nil, nil, nil, err
	}
	scores, learned, err := f.scorePairs(m, tenancy)
	by := learned
	if errors.Is(err, ErrFew) {
		larger, by, err = outcomes, Unlearned.Tenancies[tenancy], nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	for _, o := range larger {
		s := &Score{Outcome: o}
		if err := s.predict(m, by, by); err != nil {
			return nil, nil, nil, err
		}
		scores = append(scores, s)
	}
	return scores, learned, f, nil
}

func (f *fitter) scorePairs(m *prediction.Machine, tenancy string) ([]*Score, *Learned, error) {
	learned, _, err := f.fit(func(*Outcome) bool { return false })
	if err != nil {
		return nil, nil, err
	}
	byPair := map[string][]*Score{}
	scores := make([]*Score, len(f.outcomes))
	for i, o := range f.outcomes {
		scores[i] = &Score{Outcome: o}
		byPair[key(o.group())] = append(byPair[key(o.group())], scores[i])
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for name, of := range byPair {
		two := strings.Split(name, "+")
		g.Go(func() error {
			held, _, err := f.fit(func(o *Outcome) bool { return key(o.group()) == name })
			if err != nil {
				return err
			}
			unseen, _, err := f.fit(func(o *Outcome) bool {
				return slices.ContainsFunc(o.group(), func(own *prediction.Baseline) bool { return slices.Contains(two, own.Model) })
			})
			if err != nil { // too few models to leave two out
				unseen = Unlearned.Tenancies[tenancy]
			}
			for _, s := range of {
				if err := s.predict(m, held, unseen); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for q := range Quantiles {
		for _, s := range scores {
			var others Errors // an interval from how far predictions of other pairs err
			for _, o := range scores {
				if key(o.group()) != key(s.group()) {
					others.add(o.Measured[q], o.Predicted[q].Value, o.bands[q])
				}
			}
			others.sort()
			s.Predicted[q] = others.about(s.Predicted[q].Value, s.bands[q])
			learned.Errors[q].add(s.Measured[q], s.Predicted[q].Value, s.bands[q])
			learned.Unseen[q].add(s.Measured[q], s.Unseen[q], s.unseen[q])
		}
		learned.Errors[q].sort()
		learned.Unseen[q].sort()
	}
	return scores, learned, nil
}

func (s *Score) predict(m *prediction.Machine, held, unseen *Learned) error {
	group := s.group()
	of := func(l *Learned) ([]Prediction, error) {
		p, _, err := Predict(m, group, s.Tenancy, &Lesson{Tenancies: map[string]*Learned{s.Tenancy: l}})
		return p, err
	}
	ours, err := of(held)
	if err != nil {
		return err
	}
	without, err := of(unseen)
	if err != nil {
		return err
	}
	s.bands, s.unseen = ours[0].bands, without[0].bands
	for q, at := range Quantiles {
		s.Predicted[q], s.Unseen[q] = ours[0].Estimates[q], without[0].Estimates[q].Value
		s.NoChange[q] = s.Own.Quantile(at)
		s.Sum[q] = inTurn(group, at)
	}
	return nil
}

// WriteScores writes a row for each outcome and quantile.
func WriteScores(w io.Writer, scores []*Score) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"tenancy", "model", "beside", "quantile", "measured_ns", "predicted_ns", "low_ns", "high_ns", "error", "inside", "error_unseen_models", "error_no_change", "error_sum_of_times"}); err != nil {
		return err
	}
	share := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	ns := func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	for _, s := range scores {
		for q, at := range Quantiles {
			e := s.Predicted[q]
			if err := out.Write([]string{s.Tenancy, s.Own.Model, s.beside(), strconv.FormatFloat(at, 'f', 2, 64), ns(s.Measured[q]), ns(e.Value), ns(e.Low), ns(e.High),
				share(s.Error(q)), strconv.FormatBool(s.Inside(q)), share(s.Unseen[q]/s.Measured[q] - 1), share(s.NoChange[q]/s.Measured[q] - 1), share(s.Sum[q]/s.Measured[q] - 1)}); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// A Summary is how far predictions of one tenancy and quantile err. Errors are medians
// of absolute ones.
type Summary struct {
	Tenancy                      string
	Models                       int // on the GPU
	Quantile                     int // of Quantiles
	Outcomes, Within, Inside     int
	Error, Unseen, NoChange, Sum float64
	Worst                        *Score
}

// Summaries returns one for each tenancy, size of group and quantile that there is.
func Summaries(scores []*Score) (all []Summary) {
	for _, tenancy := range Tenancies {
		for models := 2; ; models++ {
			var of []*Score
			more := false
			for _, s := range scores {
				if s.Tenancy == tenancy && len(s.Beside)+1 == models {
					of = append(of, s)
				}
				more = more || s.Tenancy == tenancy && len(s.Beside)+1 > models
			}
			for q := range Quantiles {
				if len(of) > 0 {
					all = append(all, summary(of, q))
				}
			}
			if !more {
				break
			}
		}
	}
	return all
}

// summary is of scores of one tenancy and size.
func summary(scores []*Score, q int) Summary {
	v := Summary{Tenancy: scores[0].Tenancy, Models: len(scores[0].Beside) + 1, Quantile: q, Outcomes: len(scores), Worst: scores[0]}
	var ours, unseen, idle, sum []float64
	for _, s := range scores {
		far := func(v float64) float64 { return math.Abs(v/s.Measured[q] - 1) }
		e := far(s.Predicted[q].Value)
		ours, unseen, idle, sum = append(ours, e), append(unseen, far(s.Unseen[q])), append(idle, far(s.NoChange[q])), append(sum, far(s.Sum[q]))
		if e > math.Abs(v.Worst.Error(q)) {
			v.Worst = s
		}
		if e <= Allowed[q] {
			v.Within++
		}
		if s.Inside(q) {
			v.Inside++
		}
	}
	v.Error, v.Unseen, v.NoChange, v.Sum = middle(ours), middle(unseen), middle(idle), middle(sum)
	return v
}

// Summarise writes how far predictions err beside naive ones, and the worst. It is
// Markdown.
func Summarise(w io.Writer, scores []*Score) error {
	var b strings.Builder
	b.WriteString("| tenancy | models on the GPU | predicted | quantile | median error | within what is allowed | inside the 90% interval | error without any pair of the models | no change errs | sum of times errs | worst |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, v := range Summaries(scores) {
		e := v.Worst.Predicted[v.Quantile]
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %.1f%% | %d of %d (%g%%) | %d of %d | %.1f%% | %.1f%% | %.1f%% | `%s` beside `%s`: %.3f ms, predicted %.3f, %+.1f%% |\n",
			v.Tenancy, v.Models, v.Outcomes, stats.Name(Quantiles[v.Quantile]), 100*v.Error, v.Within, v.Outcomes, 100*Allowed[v.Quantile], v.Inside, v.Outcomes, 100*v.Unseen, 100*v.NoChange, 100*v.Sum,
			v.Worst.Own.Model, v.Worst.beside(), v.Worst.Measured[v.Quantile]/1e6, e.Value/1e6, 100*v.Worst.Error(v.Quantile))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func middle(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
