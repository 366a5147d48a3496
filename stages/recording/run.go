// Package recording is the one home of a recording: the type of run.json, and the
// table of samples.csv with its reader.
//
// A recording is what a study's measured cells found on one machine:
// samples.csv has a row for every timed call, and may lie compressed by gzip;
// run.json says everything that is true of more than one call. Stage collect
// writes both; judge, notebooks, report and figures read them through here.
//
// A column of samples.csv is declared where it is measured, in package result,
// or here where it takes a whole trial to tell; [Declared] finds it.
package recording

import (
	"encoding/json"
	"fmt"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/result"
)

// A Run is run.json.
type Run struct {
	record.Head
	Rows         int             `json:"rows"`      // in samples.csv
	Columns      []result.Column `json:"columns"`   // of samples.csv
	Simulated    bool            `json:"simulated"` // whether any row is
	Utilisation  Utilisation     `json:"utilisation"`
	Calibrations []Calibration   `json:"calibrations,omitempty"`
	// Neighbours is what several GPUs leave of one another, where that was measured.
	Neighbours *result.Neighbours `json:"neighbours,omitempty"`
	Trials     []*Trial           `json:"trials"`             // in the order of samples.csv
	Warnings   []string           `json:"warnings,omitempty"` // the cells' and collect's own
}

// Utilisation says what a share of the link is a share of.
type Utilisation struct {
	Numerator   string `json:"numerator"`
	Denominator string `json:"denominator"`
	// Link holds the other denominators in use, for one direction.
	Link cell.Link `json:"link"`
}

// A Calibration is a stress cell that measured what the link can carry.
type Calibration struct {
	ID     string          `json:"id"`
	Seq    int             `json:"seq,omitempty"`
	Point  cell.Point      `json:"point,omitempty"`
	With   json.RawMessage `json:"with"`
	Result result.Stress   `json:"result"`
}

// A Trial is an infer cell and what ran in its background.
type Trial struct {
	ID         string          `json:"id"`               // of the infer cell
	During     string          `json:"during,omitempty"` // of a tenant in the background: the foreground's id
	Stage      string          `json:"stage"`
	Seq        int             `json:"seq,omitempty"`
	Point      cell.Point      `json:"point,omitempty"`
	With       json.RawMessage `json:"with"` // parameters of the infer cell
	Call       Call            `json:"-"`    // of With, in what was read
	Infer      result.Infer    `json:"infer"`
	Background string          `json:"background,omitempty"` // id of the stress cell
	StressWith json.RawMessage `json:"stress_with,omitempty"`
	Load       Load            `json:"-"` // of StressWith, in what was read
	Stress     *result.Stress  `json:"stress,omitempty"`
	// Capacity is the calibrated bandwidth of the trial's direction.
	Capacity     float64  `json:"capacity_bytes_per_s,omitempty"`
	CapacityFrom string   `json:"capacity_from,omitempty"`
	Utilisation  *float64 `json:"utilisation,omitempty"`          // of Capacity
	OfRaw        *float64 `json:"utilisation_of_raw,omitempty"`   // of the link's line rate
	OfModel      *float64 `json:"utilisation_of_model,omitempty"` // of the link after packet overhead
	// Timeline is there for the first trial of each point under load.
	Timeline *Timeline `json:"timeline,omitempty"`
}

// A Call is how a trial's calls were asked to move data, as far as readers ask; what With
// does not say is empty.
type Call struct {
	Inputs, Results, Weights string
	Collect                  int // calls whose results are copied at once
}

// A Load is what a load was asked to be, as far as every reader asks.
type Load struct {
	Sharing   string
	Threads   int // of each process
	Processes int
}

// A Timeline is what a load copied in equal slices of time while the first timed
// calls of its trial ran: enough to draw them beside one another, and a few
// kilobytes where the copies may be gigabytes. Its calls stand in samples.csv.
type Timeline struct {
	Calls int   `json:"calls"`    // that it spans, from the first's start to the last's end
	Start int64 `json:"start_ns"` // on the clock of samples.csv
	Slice int64 `json:"slice_ns"`
	// Bytes of each slice; a copy counts in each by the share of its duration there.
	Bytes []int64 `json:"bytes"`
}

// Simulated tells whether any part of the trial was.
func (t *Trial) Simulated() bool {
	return t.Infer.Simulated || t.Stress != nil && t.Stress.Simulated
}

// Axes are the columns of a study's axes that every recording has, whether or not
// the study has the axis.
var Axes = []result.Column{
	{Name: "level", Doc: "pressure level; 0 in a study without levels", Role: result.Place},
	{Name: "replicate", Doc: "repetition of the same point; 1 in a study without replicates", Role: result.Place},
}

// TrialColumns are what only a whole trial says of its calls.
var TrialColumns = []result.Measure[Trial]{
	{Column: result.Column{Name: "utilisation", Doc: "achieved_bytes_per_s over the calibrated capacity of the direction; 0 for copies off the link, empty if the capacity is unknown", Role: result.Outcome, Stage: "stress", Type: result.Share}, Of: func(t *Trial) any {
		switch {
		case t.Stress == nil:
			return 0
		case t.Utilisation == nil:
			return ""
		}
		return *t.Utilisation
	}},
	{Column: result.Column{Name: "simulated", Doc: "whether the device was simulated", Role: result.Condition, Stage: "infer"}, Of: func(t *Trial) any { return t.Simulated() }},
	{Column: result.Column{Name: "seq", Doc: "place of the trial in the drawn order", Role: result.Place}, Of: func(t *Trial) any { return t.Seq }},
}

// ReadRun reads a run.json. One that is malformed or contradicts itself is an error, of
// status 2.
func ReadRun(path string) (*Run, error) {
	r := &Run{}
	text, err := cell.Read(path)
	if err == nil {
		err = cell.Usage(cell.ParseJSON(path, text, r))
	}
	if err == nil {
		err = r.check(path, text)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Of names what utilisation is a share of, without the columns that hold it.
func (r *Run) Of() string {
	name, _, _ := strings.Cut(r.Utilisation.Denominator, " (")
	return name
}

// Lost returns the share of all timed windows in which the inference was ready
// to run and its processor was another's. Tenants of the processors themselves wait for
// one another, which is what was measured.
func (r *Run) Lost() float64 {
	var delay, window int64
	for _, t := range r.Trials {
		if in := t.Infer.Tenancy; in != nil && in.Of > 1 && t.Infer.Device == "host" {
			continue
		}
		timed := t.Infer.Window[1] - t.Infer.Window[0]
		delay += min(t.Infer.Delay, timed) // some recordings count what came before the window too
		window += timed
	}
	if window == 0 {
		return 0
	}
	return float64(delay) / float64(window)
}

// Gates returns why trials are INVALID (rule 10 of stages/README.md) by what the GPU's
// driver said before and after them, or since the harness did not keep their schedule,
// with how many; empty if none is.
func (r *Run) Gates() string {
	gpu, harness := []string{}, []string{}
	for _, t := range r.Trials {
		if t.Infer.GPU != nil && len(t.Infer.GPU.Invalid) > 0 {
			gpu = append(gpu, strings.Join(t.Infer.GPU.Invalid, "; "))
		}
		if t.Infer.Traffic != nil && t.Infer.Traffic.Invalid() != "" {
			harness = append(harness, t.Infer.Traffic.Invalid())
		}
	}
	switch {
	case len(gpu) > 0:
		return fmt.Sprintf("%d of %d trials failed a gate of the GPU, the first because %s", len(gpu), len(r.Trials), gpu[0])
	case len(harness) > 0:
		return fmt.Sprintf("in %d of %d trials %s", len(harness), len(r.Trials), harness[0])
	}
	return ""
}

// Unsteady returns the share of trials under load whose bandwidth had not
// settled when they began.
func (r *Run) Unsteady() float64 {
	loaded, unsteady := 0.0, 0.0
	for _, t := range r.Trials {
		if t.Stress != nil && t.Stress.Threads > 0 {
			loaded++
			if !t.Stress.Steady {
				unsteady++
			}
		}
	}
	return unsteady / max(loaded, 1)
}

// Jitter returns the largest median of what the harness itself adds to a call, in
// nanoseconds.
func (r *Run) Jitter() float64 {
	jitter := int64(0)
	for _, t := range r.Trials {
		jitter = max(jitter, t.Infer.Jitter["p50"])
	}
	return float64(jitter)
}
