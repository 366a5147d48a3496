// Package arrival says when requests arrive: one after another, at a pace, in bursts,
// as a camera's frames do, or as they did elsewhere.
package arrival

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival/trace"
	"barograph/stages/asset"
)

// A Pattern is what a study says about arrivals. All but closed do not wait for the
// call before (rule 2 of stages/README.md). The whole schedule stands in
// calls.csv; a call that is sent late, since the one before took longer,
// is counted from when it was due (rule 1).
type Pattern struct {
	Arrivals   string        `json:"arrivals" enum:"closed,constant,poisson,bursts,trace,loop,camera" doc:"when calls are due; closed: once the one before is complete; camera: evenly, but for a jitter; trace: as they came elsewhere; loop: as in a trace that repeats itself"`
	Interval   unit.Duration `json:"interval,omitempty" doc:"arrivals constant, poisson, bursts and camera: mean time from one to the next"`
	Rate       float64       `json:"rate,omitempty" min:"0" doc:"the same as calls a second, such as 300, in place of interval"`
	Burst      int           `json:"burst,omitempty" min:"1" doc:"arrivals bursts: calls that are due at once"`
	Dispersion float64       `json:"dispersion,omitempty" min:"0" doc:"arrivals bursts, in place of burst: variance of counts over their mean in long windows, such as 10. Arrivals are Poisson with a rate that changes between two (a Markov-modulated Poisson process)"`
	Peak       float64       `json:"peak,omitempty" min:"0" doc:"arrivals bursts with a dispersion: rate within bursts as a multiple of the mean (default 5); between them it is half the mean"`
	Jitter     unit.Duration `json:"jitter,omitempty" doc:"arrivals camera: standard deviation of a frame's time about its tick, normally distributed; or trace: names one whose jitter is drawn from"`
	Trace      string        `json:"trace,omitempty" doc:"arrivals trace, loop and camera: a name of barograph trace list, or a file of the workspace with times: CSV, text, JSON, JSON lines, .npy"`
	Column     string        `json:"column,omitempty" doc:"trace: name or number of its column of times; in JSON a path such as tasks.*.times; default the first"`
	Unit       string        `json:"unit,omitempty" enum:"ns,us,ms,s" doc:"trace: unit of its times; default ns where all are whole numbers, and s otherwise"`
	Speed      float64       `json:"speed,omitempty" min:"0" doc:"arrivals trace and loop: how many times faster than they came, such as 10; recorded"`
	Draw       uint64        `json:"draw,omitempty" min:"0" doc:"arrivals poisson, bursts and camera: number by which they are drawn, in place of the cell's own seed; trials with the same one are asked alike, so that they differ by less than chance"`
}

// The arrivals there are, and which keys each takes.
var arrivals = []struct {
	name  string
	takes []string
}{
	{"closed", nil},
	{"constant", []string{"interval", "rate"}},
	{"poisson", []string{"interval", "rate", "draw"}},
	{"bursts", []string{"interval", "rate", "burst", "dispersion", "peak", "draw"}},
	{"trace", []string{"trace", "column", "unit", "speed"}},
	{"loop", []string{"trace", "column", "unit", "speed"}},
	{"camera", []string{"interval", "rate", "jitter", "trace", "column", "unit", "draw"}},
}

// A Made says how a schedule was made, for the record; the times themselves stand
// beside it.
type Made struct {
	Arrivals   string  `json:"arrivals"`
	Seed       uint64  `json:"seed,omitempty"`       // where anything was drawn
	Rate       float64 `json:"rate_per_s,omitempty"` // that was asked for
	Dispersion float64 `json:"dispersion,omitempty"`
	Peak       float64 `json:"peak,omitempty"`
	BurstMean  float64 `json:"burst_mean_ns,omitempty"` // how long a burst lasts, on average
	Jitter     float64 `json:"jitter_ns,omitempty"`     // standard deviation
	Trace      string  `json:"trace,omitempty"`
	TraceSHA   string  `json:"trace_sha256,omitempty"`
	Unit       string  `json:"trace_unit,omitempty"`
	Column     string  `json:"trace_column,omitempty"`
	Licence    string  `json:"trace_licence,omitempty"`
	Speed      float64 `json:"trace_speed,omitempty"`
	Bin        int64   `json:"trace_bin_ns,omitempty"` // within which binned arrivals were spread
	Loop       int     `json:"loop_gaps,omitempty"`    // after which it repeats itself
}

const (
	longestSchedule = 24 * time.Hour
	usualPeak       = 5
	between         = 0.5 // rate between bursts, as a share of the mean
)

// interval returns the mean time between arrivals, in nanoseconds; 0 where it is not
// given.
func (p *Pattern) interval() float64 {
	if p.Rate > 0 {
		return 1e9 / p.Rate
	}
	return float64(p.Interval)
}

// check reports keys that arrivals have no use for, or lack.
func (p *Pattern) check(calls int) error {
	var names []string
	for _, a := range arrivals {
		if names = append(names, a.name); a.name != p.Arrivals {
			continue
		}
		for _, f := range []struct {
			key   string
			given bool
			value any
		}{
			{"interval", p.Interval != 0, p.Interval}, {"rate", p.Rate != 0, p.Rate}, {"burst", p.Burst != 0, p.Burst}, {"dispersion", p.Dispersion != 0, p.Dispersion},
			{"peak", p.Peak != 0, p.Peak}, {"jitter", p.Jitter != 0, p.Jitter}, {"trace", p.Trace != "", p.Trace}, {"column", p.Column != "", p.Column},
			{"unit", p.Unit != "", p.Unit}, {"speed", p.Speed != 0, p.Speed}, {"draw", p.Draw != 0, p.Draw},
		} {
			if f.given && !slices.Contains(a.takes, f.key) {
				return fmt.Errorf("arrivals %s with %s %v: they have no use for it", p.Arrivals, f.key, f.value)
			}
		}
		return p.paced(calls, slices.Contains(a.takes, "interval"))
	}
	return cell.Hint(fmt.Errorf("unknown arrivals %q", p.Arrivals), "there are %s", strings.Join(names, ", "))
}

// paced checks the values of keys; pace tells whether arrivals have one of their own.
func (p *Pattern) paced(calls int, pace bool) error {
	every := p.interval()
	switch {
	case p.Interval != 0 && p.Rate != 0:
		return fmt.Errorf("rate %g with an interval of %v: give one of them", p.Rate, p.Interval)
	case pace && (!(every > 0) || every*float64(calls) > float64(longestSchedule)):
		return cell.Hint(fmt.Errorf("arrivals %s of %d calls, %v apart: want more than 0 and no more than %v in all", p.Arrivals, calls, time.Duration(min(every, math.MaxInt64/2)), longestSchedule), "give interval: a time such as 20ms, or rate: calls a second")
	case pace && every < 1:
		return fmt.Errorf("arrivals %s at %g a second: want no more than one a nanosecond", p.Arrivals, 1e9/every)
	case p.Arrivals == "bursts" && (p.Burst > 0) == (p.Dispersion > 0):
		return cell.Hint(fmt.Errorf("arrivals bursts with a burst of %d and a dispersion of %g: want one of them", p.Burst, p.Dispersion), "give burst: the number of calls that are due at once, or dispersion: such as 10")
	case p.Arrivals == "bursts" && p.Dispersion > 0 && p.Dispersion <= 1:
		return cell.Hint(fmt.Errorf("dispersion is %g: bursts have more than 1, which Poisson arrivals have", p.Dispersion), "set arrivals: poisson, or a dispersion such as 10")
	case p.Peak != 0 && (p.Burst > 0 || p.Peak <= 1):
		return fmt.Errorf("peak is %g: want more than 1, beside a dispersion", p.Peak)
	case p.Arrivals == "bursts" && p.Dispersion > 0:
		if _, lasts, _ := p.states(); lasts[0]+lasts[1] < every/1000 || lasts[1] > float64(longestSchedule) {
			return cell.Hint(fmt.Errorf("dispersion is %g: bursts would last for %v on average, and arrivals are %v apart", p.Dispersion, time.Duration(min(lasts[1], math.MaxInt64/2)), time.Duration(every)), "give dispersion: such as 10")
		}
	case p.Arrivals == "camera" && (p.Jitter > 0) == (p.Trace != ""):
		return cell.Hint(fmt.Errorf("arrivals camera with a jitter of %v and the trace %q: want one of them", p.Jitter, p.Trace), "give jitter: a time such as 56us, or trace: one whose jitter is drawn from; without any, they are arrivals constant")
	case p.Jitter < 0 || float64(p.Jitter) > every/2:
		return fmt.Errorf("jitter is %v: want no more than half the interval of %v", p.Jitter, time.Duration(every))
	case p.Speed < 0 || math.IsInf(p.Speed, 0):
		return fmt.Errorf("speed is %g: want more than 0", p.Speed)
	case (p.Arrivals == "trace" || p.Arrivals == "loop") && p.Trace == "":
		return cell.Hint(fmt.Errorf("trace is not given, and arrivals %s need one", p.Arrivals), "give trace: a file, relative to the folder that holds configs/, or one of %s", trace.Names())
	}
	return nil
}

// Schedule returns when each of some calls is due, in nanoseconds from the start and
// ascending, and how that was made; nil and nil in a closed loop. The same seed gives the same
// times.
func (p *Pattern) Schedule(root string, calls int, seed uint64) ([]int64, *Made, error) {
	if err := p.check(calls); err != nil {
		return nil, nil, err
	}
	made := &Made{Arrivals: p.Arrivals}
	if every := p.interval(); every > 0 {
		made.Rate = 1e9 / every
	}
	rng := rand.New(rand.NewPCG(seed, 0x617272697665))
	due := make([]int64, calls)
	switch p.Arrivals {
	case "closed":
		return nil, nil, nil
	case "constant":
		for i := range due {
			due[i] = int64(float64(i) * p.interval())
		}
	case "poisson": // gaps between arrivals at a constant rate are exponential
		made.Seed = seed
		at := 0.0
		for i := range due {
			at += rng.ExpFloat64() * p.interval()
			due[i] = int64(at)
		}
	case "bursts":
		if p.Burst > 0 {
			for i := range due {
				due[i] = int64(float64(i/p.Burst*p.Burst) * p.interval())
			}
			break
		}
		made.Seed = seed
		p.modulated(due, rng, made)
	case "camera":
		made.Seed = seed
		if err := p.camera(root, due, rng, made); err != nil {
			return nil, nil, err
		}
	default:
		if err := p.replay(root, due, seed, made); err != nil {
			return nil, nil, err
		}
	}
	return due, made, nil
}

// modulated draws from a Markov-modulated Poisson process of two states. Its rate is
// half the mean between bursts and peak times the mean within; with the share of time
// in bursts that gives the mean, how long one lasts follows from the dispersion D in
// long windows (Heffes and Lucantoni, IEEE JSAC 4(6), 1986):
//
//	D = 1 + 2 r1 r2 (l1-l2)^2 / ((r1+r2)^2 (l1 r2 + l2 r1))
//
// for rates l1 and l2 in the states and r1 and r2 of leaving them.
func (p *Pattern) modulated(due []int64, rng *rand.Rand, made *Made) {
	rates, lasts, share := p.states()
	made.Dispersion, made.Peak, made.BurstMean = p.Dispersion, rates[1]*p.interval(), lasts[1]
	state := 0
	if rng.Float64() < share {
		state = 1
	}
	at := 0.0
	change := rng.ExpFloat64() * lasts[state]
	for i := range due {
		for {
			gap := rng.ExpFloat64() / rates[state]
			if at+gap < change {
				at += gap
				break
			}
			at = change // what was drawn for the old rate does not count: the process has no memory
			state = 1 - state
			change = at + rng.ExpFloat64()*lasts[state]
		}
		due[i] = int64(at)
	}
}

// states returns the rates between bursts and within, how long each lasts on average,
// and the share of time in bursts.
func (p *Pattern) states() (rates, lasts [2]float64, share float64) {
	peak := cmp.Or(p.Peak, usualPeak)
	mean := 1 / p.interval()
	share = (1 - between) / (peak - between)
	burst := (p.Dispersion - 1) / ((1 - share) * (1 - share) * (peak - between) * mean)
	return [2]float64{between * mean, peak * mean}, [2]float64{burst * (1 - share) / share, burst}, share
}

// camera puts calls on even ticks, each off its own by a jitter.
func (p *Pattern) camera(root string, due []int64, rng *rand.Rand, made *Made) error {
	off := func() float64 { return rng.NormFloat64() * float64(p.Jitter) }
	made.Jitter = float64(p.Jitter)
	if p.Trace != "" {
		t, err := p.read(root, made)
		if err != nil {
			return err
		}
		jitter := t.Jitter()
		square := 0.0
		for _, j := range jitter {
			square += j * j / float64(len(jitter))
		}
		switch made.Jitter = math.Sqrt(square); {
		case made.Jitter > t.Tick()/4: // evenly spread over all of a tick they would be 0.29 of it
			return fmt.Errorf("trace %s is no camera's: its arrivals are %v off a clock that ticks every %v", p.Trace, time.Duration(made.Jitter), time.Duration(t.Tick()))
		case made.Jitter > p.interval()/2:
			return fmt.Errorf("trace %s is no camera's: its arrivals are %v off an even clock, and calls are %v apart", p.Trace, time.Duration(made.Jitter), time.Duration(p.interval()))
		}
		off = func() float64 { return jitter[rng.IntN(len(jitter))] }
	}
	for i := range due {
		due[i] = int64(float64(i)*p.interval() + off())
	}
	slices.Sort(due) // a jitter may pass the next tick
	first := due[0]
	for i := range due {
		due[i] -= first
	}
	return nil
}

// replay takes the times of a trace.
func (p *Pattern) replay(root string, due []int64, seed uint64, made *Made) error {
	t, err := p.read(root, made)
	if err != nil {
		return err
	}
	period, _ := t.Repeats()
	switch {
	case p.Arrivals == "loop" && period == 0:
		return cell.Hint(fmt.Errorf("trace %s does not repeat itself", p.Trace), "set arrivals: trace")
	case p.Arrivals == "loop":
		made.Loop = period
	case period > 0:
		return t.Check(p.Trace)
	default:
		if made.Bin = t.Bin(); made.Bin > 0 {
			made.Seed = seed
			t = &trace.Trace{Times: slices.Clone(t.Times)}
			t.Spread(made.Bin, seed)
		}
		if len(t.Times) < len(due) {
			return cell.Hint(fmt.Errorf("trace %s holds %d arrivals, fewer than %d calls", p.Trace, len(t.Times), len(due)), "lower calls:")
		}
	}
	speed := cmp.Or(p.Speed, 1)
	made.Speed = speed
	var loop []int64
	if period > 0 {
		loop = t.Loop(period)
	}
	for i := range due {
		at := int64(0)
		if period > 0 {
			at = int64(i/period)*loop[period] + loop[i%period]
		} else {
			at = t.Times[i]
		}
		if due[i] = int64(float64(at) / speed); float64(at)/speed > float64(longestSchedule) {
			return cell.Hint(fmt.Errorf("trace %s takes longer than %v for %d calls", p.Trace, longestSchedule, len(due)), "lower calls:, or give speed: such as 10")
		}
	}
	if last := len(due) - 1; last > 0 && due[last] == 0 && speed > 1 {
		return fmt.Errorf("speed is %g: all %d calls would be due at once", speed, len(due))
	}
	return nil
}

// file returns where the trace lies, and how it is read.
func (p *Pattern) file(root string) (path string, k trace.Known, err error) {
	if k, ok := trace.Find(p.Trace); ok {
		if path, err = k.Path(); err != nil {
			return path, k, err
		}
		sum, err := asset.Digest(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, k, cell.Hint(fmt.Errorf("trace %s is not here", p.Trace), "fetch it first: barograph trace fetch %s", p.Trace)
		case err == nil && sum != k.SHA256:
			err = fmt.Errorf("trace %s: the SHA-256 of %s is %s, not %s", p.Trace, path, sum, k.SHA256)
		}
		return path, k, err
	}
	if !filepath.IsLocal(p.Trace) {
		return "", k, cell.Hint(fmt.Errorf("trace %q is not inside the workspace", p.Trace), "give trace: a file, relative to the folder that holds configs/, or one of %s", trace.Names())
	}
	return filepath.Join(root, p.Trace), k, nil
}

// Files are what the pattern reads of the workspace.
func (p *Pattern) Files(root string) []string {
	if _, known := trace.Find(p.Trace); known || !filepath.IsLocal(p.Trace) {
		return nil
	}
	return []string{filepath.Join(root, p.Trace)}
}

// Digest returns the SHA-256 of the trace's file; empty without one.
func (p *Pattern) Digest(root string) (string, error) {
	if p.Trace == "" {
		return "", nil
	}
	path, _, err := p.file(root)
	if err != nil {
		return "", err
	}
	return asset.Digest(path)
}

// known are the traces that were read, by all that decides what is read: a plan asks
// again for every cell.
var known sync.Map

func (p *Pattern) read(root string, made *Made) (*trace.Trace, error) {
	path, k, err := p.file(root)
	if err != nil {
		return nil, err
	}
	form := trace.Form{Column: p.Column, Unit: p.Unit}
	if form.Column == "" {
		form.Column = k.Column
	}
	if form.Unit == "" {
		form.Unit = k.Unit
	}
	if made.TraceSHA, err = asset.Digest(path); err != nil {
		return nil, cell.Hint(fmt.Errorf("trace: %w", err), "give trace: a file, relative to the folder that holds configs/, or one of %s", trace.Names())
	}
	type key struct {
		sha, path string
		form      trace.Form
	}
	t, ok := known.Load(key{made.TraceSHA, path, form})
	if !ok {
		read, err := trace.Read(path, form)
		if err != nil {
			return nil, fmt.Errorf("trace: %w", err)
		}
		known.Store(key{made.TraceSHA, path, form}, read)
		t = read
	}
	of := t.(*trace.Trace)
	made.Trace, made.Unit, made.Column, made.Licence = p.Trace, of.Unit, of.Column, k.Licence
	return of, nil
}
