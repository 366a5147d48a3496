package result

import (
	"fmt"
	"strings"
	"time"

	"barograph/stages/traffic"
)

// A Traffic is how requests were answered that did not wait for one another. Times are
// nanoseconds.
type Traffic struct {
	Deadline int64  `json:"deadline_ns,omitempty"` // after a request was due; 0: none
	Queue    int    `json:"queue,omitempty"`       // requests that might wait; 0: any number
	Drop     string `json:"drop,omitempty"`
	Workers  int    `json:"workers"`
	Gather   int    `json:"batch_max,omitempty"` // requests that might be answered together
	Wait     int64  `json:"batch_wait_ns,omitempty"`
	Answered int    `json:"answered"`
	Dropped  int    `json:"dropped"`
	Late     int    `json:"late"` // answered after their deadline
	// Lag holds quantiles of how long requests were due, a worker was free for them, and
	// they were not taken; Share is what it makes of the time that workers were not idle.
	Lag   map[string]int64 `json:"lag_ns"`
	Share float64          `json:"lag_share"`
	// Latency is the p99 of those that were answered, and Behind how long the last of
	// them had waited.
	Latency int64 `json:"p99_ns"`
	Behind  int64 `json:"behind_ns"`
	Every   int64 `json:"mean_interval_ns"`
	// Pace holds quantiles of the lag of requests that ask for nothing, 10,000 a second.
	Pace map[string]int64 `json:"pace_ns,omitempty"`
	// Carried is the rate that was sought; nil where none was.
	Carried *traffic.Carried `json:"carried,omitempty"`
}

// Invalid returns why the harness, and not the model, did not keep the schedule, or why
// a rate that was sought cannot be trusted; empty where nothing is wrong.
func (t *Traffic) Invalid() string {
	late := t.Lag["p99"]
	switch {
	case late > int64(time.Millisecond) && 10*late > t.Latency:
		return fmt.Sprintf("the harness did not keep the schedule: one request in a hundred was sent %v late or more while a worker was free for it", time.Duration(late).Round(time.Microsecond))
	case t.Carried != nil && t.Carried.Drift != "":
		return "what is carried drifted while it was sought: " + t.Carried.Drift
	case t.Behind > 10*t.Every && t.Share > 0.1:
		return fmt.Sprintf("the harness did not keep the schedule: requests come faster than it hands them over, which takes %.0f%% of the workers' time", 100*t.Share)
	}
	return ""
}

// Doubts are what a reader has to know.
func (t *Traffic) Doubts() (doubts []string) {
	if why := t.Invalid(); why != "" {
		return []string{"INVALID: " + why}
	}
	if t.Behind > 10*t.Every {
		doubts = append(doubts, fmt.Sprintf("the last call was sent %v after it was due: calls arrive faster than they are answered", time.Duration(t.Behind).Round(time.Millisecond)))
	}
	var why []string
	if t.Queue > 0 {
		why = append(why, fmt.Sprintf("their queue of %d was full", t.Queue))
	}
	if t.Drop == "late" {
		why = append(why, "their deadline had passed when their turn came")
	}
	switch {
	case t.Answered == 0:
		doubts = append(doubts, "no request was answered: all were dropped")
	case t.Dropped > 0 && len(why) > 0 && t.Carried == nil: // of a search some probes are meant to be too fast
		doubts = append(doubts, fmt.Sprintf("%d of %d requests were dropped: %s", t.Dropped, t.Dropped+t.Answered, strings.Join(why, ", or ")))
	}
	return doubts
}
