package judge

import (
	"fmt"
	"strings"

	"barograph/pipeline/cell"
)

// A Run is what collect's run.json says of a whole recording.
type Run struct {
	Study     string         `json:"study"`
	Params    map[string]any `json:"params"` // of the study; numbers are float64
	Seed      uint64         `json:"seed"`
	Machine   cell.Machine   `json:"machine"`
	Rows      int            `json:"rows"`
	Simulated bool           `json:"simulated"` // whether any sample is
	// Utilisation says what share of what the column utilisation is.
	Utilisation struct {
		Numerator   string `json:"numerator"`
		Denominator string `json:"denominator"`
	} `json:"utilisation"`
	Trials   []RunTrial `json:"trials"`
	Warnings []string   `json:"warnings"`
}

// A RunTrial is what run.json says of one infer cell and its load that bears on
// whether to believe it.
type RunTrial struct {
	Infer struct {
		Window [2]int64         `json:"window_ns"`
		Delay  int64            `json:"run_delay_ns"`
		Jitter map[string]int64 `json:"jitter_ns"` // of the harness timing an empty call, by quantile
		// GPU is there for a trial on one.
		GPU *struct {
			Invalid []string `json:"invalid"` // why the trial is
		} `json:"gpu"`
	} `json:"infer"`
	Stress *struct {
		Threads int  `json:"threads"`
		Steady  bool `json:"steady"`
	} `json:"stress"`
}

// Of names what utilisation is a share of, without the columns that hold it.
func (r *Run) Of() string {
	name, _, _ := strings.Cut(r.Utilisation.Denominator, " (")
	return name
}

// Lost returns the share of all timed windows in which the inference was ready
// to run and its processor was another's.
func (r *Run) Lost() float64 {
	var delay, window int64
	for _, t := range r.Trials {
		delay += t.Infer.Delay
		window += t.Infer.Window[1] - t.Infer.Window[0]
	}
	if window == 0 {
		return 0
	}
	return float64(delay) / float64(window)
}

// Gates returns why trials are INVALID (rule 10) by what the GPU's driver said before and
// after them, with how many; empty if none is.
func (r *Run) Gates() string {
	failed, first := 0, ""
	for _, t := range r.Trials {
		if t.Infer.GPU != nil && len(t.Infer.GPU.Invalid) > 0 {
			if failed++; first == "" {
				first = strings.Join(t.Infer.GPU.Invalid, "; ")
			}
		}
	}
	if failed == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d trials failed a gate of the GPU, the first because %s", failed, len(r.Trials), first)
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
