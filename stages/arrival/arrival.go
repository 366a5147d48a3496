// Package arrival says when requests arrive: one after another, at a pace, or as
// they did elsewhere.
package arrival

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
)

// A Pattern is what a study says about arrivals. All but closed do not wait for the
// call before (rule 2 of stages/README.md). The whole schedule stands in
// calls.csv; a call that is sent late, since the one before took longer,
// is counted from when it was due (rule 1).
type Pattern struct {
	Arrivals string        `json:"arrivals" enum:"closed,constant,poisson,bursts,trace" doc:"when calls are due; closed: once the one before is complete"`
	Interval unit.Duration `json:"interval,omitempty" doc:"arrivals constant, poisson and bursts: mean time from one to the next"`
	Burst    int           `json:"burst,omitempty" min:"1" doc:"arrivals bursts: calls that are due at once"`
	Trace    string        `json:"trace,omitempty" doc:"arrivals trace: a file of the workspace with when each call is due, a line each, in whole nanoseconds from the first call on"`
}

// The arrivals there are. In a closed loop, the paper's, a call is due once the one
// before is complete.
var arrivals = []string{"closed", "constant", "poisson", "bursts", "trace"}

// Schedule returns when each of some calls is due, in nanoseconds from the start and
// ascending; nil in a closed loop. The same seed gives the same times.
func (p *Pattern) Schedule(root string, calls int, seed uint64) ([]int64, error) {
	paced := p.Arrivals == "constant" || p.Arrivals == "poisson" || p.Arrivals == "bursts"
	switch {
	case !paced && p.Arrivals != "closed" && p.Arrivals != "trace":
		return nil, cell.Hint(fmt.Errorf("unknown arrivals %q", p.Arrivals), "there are %s", strings.Join(arrivals, ", "))
	case !paced && p.Interval != 0:
		return nil, fmt.Errorf("arrivals %s with an interval of %v: they have no use for it", p.Arrivals, p.Interval)
	case p.Arrivals != "bursts" && p.Burst != 0:
		return nil, fmt.Errorf("arrivals %s with a burst of %d: they have no use for it", p.Arrivals, p.Burst)
	case p.Arrivals != "trace" && p.Trace != "":
		return nil, fmt.Errorf("arrivals %s with the trace %q: they have no use for it", p.Arrivals, p.Trace)
	case p.Arrivals == "closed":
		return nil, nil
	case p.Arrivals == "trace" && !filepath.IsLocal(p.Trace):
		return nil, cell.Hint(fmt.Errorf("trace %q is not inside the workspace", p.Trace), "give trace: a file, relative to the folder that holds configs/")
	case p.Arrivals == "trace":
		return readTrace(filepath.Join(root, p.Trace), calls)
	case p.Interval <= 0 || float64(p.Interval)*float64(calls) > float64(longestSchedule):
		return nil, cell.Hint(fmt.Errorf("arrivals %s of %d calls, %v apart: want more than 0 and no more than %v in all", p.Arrivals, calls, p.Interval, longestSchedule), "give interval: a time such as 20ms")
	case p.Arrivals == "bursts" && p.Burst < 1:
		return nil, cell.Hint(fmt.Errorf("arrivals bursts with a burst of %d", p.Burst), "give burst: the number of calls that are due at once")
	}
	due := make([]int64, calls)
	rng := rand.New(rand.NewPCG(seed, 0x617272697665))
	at := 0.0
	for i := range due {
		switch p.Arrivals {
		case "constant":
			at = float64(i) * float64(p.Interval)
		case "poisson": // gaps between arrivals at a constant rate are exponential
			at += rng.ExpFloat64() * float64(p.Interval)
		case "bursts":
			at = float64(i/p.Burst*p.Burst) * float64(p.Interval)
		}
		due[i] = int64(at)
	}
	return due, nil
}

const longestSchedule = 24 * time.Hour

// readTrace reads when the first n calls are due.
func readTrace(path string, n int) ([]int64, error) {
	if _, err := cell.Regular(path); err != nil {
		return nil, cell.Hint(fmt.Errorf("trace: %w", err), "give trace: a file, relative to the folder that holds configs/")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	due := make([]int64, 0, n)
	s := bufio.NewScanner(f)
	for line := 1; len(due) < n && s.Scan(); line++ {
		v, err := strconv.ParseInt(strings.TrimSpace(s.Text()), 10, 64)
		switch {
		case err != nil || v < 0 || v > int64(longestSchedule):
			return nil, fmt.Errorf("trace: %s:%d: want whole nanoseconds from 0 to those of %v, found %q", path, line, longestSchedule, s.Text())
		case len(due) > 0 && v < due[len(due)-1]:
			return nil, fmt.Errorf("trace: %s:%d: %d is before the line above", path, line, v)
		}
		due = append(due, v)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("trace: %s: %w", path, err)
	}
	if len(due) < n {
		return nil, cell.Hint(fmt.Errorf("trace: %s holds %d arrivals, fewer than %d calls", path, len(due), n), "lower calls:")
	}
	return due, nil
}
