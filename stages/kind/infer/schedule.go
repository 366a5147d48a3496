package infer

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
)

// Open is what a study says about arrivals that do not wait for the call before
// (rule 2 of stages/README.md). The whole schedule stands in [result.CallsFile];
// a call that is sent late, since the one before took longer, is counted from when
// it was due (rule 1).
type Open struct {
	Interval unit.Duration `json:"interval,omitempty" doc:"arrivals constant, poisson and bursts: mean time from one to the next"`
	Burst    int           `json:"burst,omitempty" min:"1" doc:"arrivals bursts: calls that are due at once"`
	Trace    string        `json:"trace,omitempty" doc:"arrivals trace: a file of the workspace with when each call is due, a line each, in whole nanoseconds from the first call on"`
}

// The arrivals there are. In a closed loop, the paper's, a call is due once the one
// before is complete.
var arrivals = []string{"closed", "constant", "poisson", "bursts", "trace"}

// checkArrivals refuses arrivals that do not say when calls are due.
func (w *With) checkArrivals(root string) error {
	_, err := w.Schedule(root, 0)
	return err
}

// Schedule returns when each timed call is due, in nanoseconds from the start of
// timing and ascending; nil in a closed loop. The same seed gives the same times.
func (w *With) Schedule(root string, seed uint64) ([]int64, error) {
	paced := w.Arrivals == "constant" || w.Arrivals == "poisson" || w.Arrivals == "bursts"
	switch {
	case !paced && w.Arrivals != "closed" && w.Arrivals != "trace":
		return nil, cell.Hint(fmt.Errorf("unknown arrivals %q", w.Arrivals), "there are %s", strings.Join(arrivals, ", "))
	case !paced && w.Interval != 0:
		return nil, fmt.Errorf("arrivals %s with an interval of %v: they have no use for it", w.Arrivals, w.Interval)
	case w.Arrivals != "bursts" && w.Burst != 0:
		return nil, fmt.Errorf("arrivals %s with a burst of %d: they have no use for it", w.Arrivals, w.Burst)
	case w.Arrivals != "trace" && w.Trace != "":
		return nil, fmt.Errorf("arrivals %s with the trace %q: they have no use for it", w.Arrivals, w.Trace)
	case w.Arrivals == "closed":
		return nil, nil
	case w.Arrivals == "trace" && !filepath.IsLocal(w.Trace):
		return nil, cell.Hint(fmt.Errorf("trace %q is not inside the workspace", w.Trace), "give trace: a file, relative to the folder that holds configs/")
	case w.Arrivals == "trace":
		return readTrace(filepath.Join(root, w.Trace), w.Calls)
	case w.Interval <= 0 || float64(w.Interval)*float64(w.Calls) > float64(longestSchedule):
		return nil, cell.Hint(fmt.Errorf("arrivals %s of %d calls, %v apart: want more than 0 and no more than %v in all", w.Arrivals, w.Calls, w.Interval, longestSchedule), "give interval: a time such as 20ms")
	case w.Arrivals == "bursts" && w.Burst < 1:
		return nil, cell.Hint(fmt.Errorf("arrivals bursts with a burst of %d", w.Burst), "give burst: the number of calls that are due at once")
	}
	due := make([]int64, w.Calls)
	rng := rand.New(rand.NewPCG(seed, 0x617272697665))
	at := 0.0
	for i := range due {
		switch w.Arrivals {
		case "constant":
			at = float64(i) * float64(w.Interval)
		case "poisson": // gaps between arrivals at a constant rate are exponential
			at += rng.ExpFloat64() * float64(w.Interval)
		case "bursts":
			at = float64(i/w.Burst*w.Burst) * float64(w.Interval)
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

// An arrival says when call i is scheduled, given when the loop began and when
// the call before was complete.
type arrival func(i int, begin, previous int64) int64

// closed is the closed loop: a call is due once the one before is complete.
func closed(_ int, _, previous int64) int64 { return previous }

// at returns arrivals at fixed times after the beginning; a closed loop for nil.
func at(due []int64) arrival {
	if due == nil {
		return closed
	}
	return func(i int, begin, _ int64) int64 { return begin + due[i] }
}

// await returns the time once a call is due: asleep while that is far off, in
// slices, to notice that ctx ends, and watching the clock at the end, since a
// sleeper wakes late.
func await(ctx context.Context, due int64) int64 {
	const awake = int64(200 * time.Microsecond)
	for {
		now := cell.Now()
		left := due - now
		if left <= 0 || ctx.Err() != nil {
			return now
		}
		if left > awake {
			ts := unix.NsecToTimespec(min(left-awake, int64(20*time.Millisecond)))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // EINTR only wakes early
		}
	}
}
