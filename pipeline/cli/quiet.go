package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/plan"
	"barograph/pipeline/store"
)

// deviceLocks is where the locks of this computer's devices lie, for all users and
// folders alike: so it is not what TMPDIR says.
const deviceLocks = "/tmp"

// deviceLock is the file that whoever measures on a device has locked.
func deviceLock(physical string) string {
	return filepath.Join(deviceLocks, ".barograph-"+strings.ReplaceAll(physical, "/", "_")+".lock")
}

// hold takes a plan's device, of which a computer has one, and says whether it is
// quiet enough to measure; with wait, only once it is.
func (a *app) hold(p *plan.Plan, wait bool) func(context.Context) (io.Closer, error) {
	device := p.Study.Machine.Device
	if p.Study.Machine.Simulated() {
		return nil
	}
	return func(ctx context.Context) (io.Closer, error) {
		lock, err := store.Lock(ctx, deviceLock(a.gpus().Physical(device)), func(holder string) {
			fmt.Fprintf(a.msg, "waiting for another run that measures on %s: %s\n", device, holder)
		})
		if err != nil {
			return nil, fmt.Errorf("have %s for this run alone: %w", device, err)
		}
		if err := a.quiet(ctx, p.Study.Root, device, wait); err != nil {
			lock.Close()
			return nil, err
		}
		return lock, nil
	}
}

// A disturbance is what would spoil a measurement now.
type disturbance struct{ check, what, hint string }

// disturbances asks every check at once.
func (a *app) disturbances(root, device string) []disturbance {
	all := make([]disturbance, len(a.checks))
	var asking sync.WaitGroup
	for i, c := range a.checks {
		if c.Disturbed != nil {
			asking.Go(func() {
				what, hint := c.Disturbed(root, device)
				all[i] = disturbance{c.Name, what, hint}
			})
		}
	}
	asking.Wait()
	var found []disturbance
	for _, d := range all {
		if d.what != "" {
			found = append(found, d)
		}
	}
	return found
}

const (
	lookAgain  = 2 * time.Second
	sayAgain   = time.Minute
	quietLooks = 2 // in a row, before a run that waits goes on
)

// quiet says what disturbs, and with wait returns once nothing does.
func (a *app) quiet(ctx context.Context, root, device string, wait bool) error {
	var said time.Time
	for looks := 0; ; {
		found := a.disturbances(root, device)
		if len(found) == 0 {
			if looks++; !wait || looks == quietLooks || said.IsZero() {
				if !said.IsZero() {
					fmt.Fprintln(a.msg, "it is quiet now")
				}
				return nil
			}
		} else {
			looks = 0
		}
		if len(found) > 0 && time.Since(said) > sayAgain {
			said = time.Now()
			for _, d := range found {
				fmt.Fprintf(a.msg, "this will not do for measuring: %s\n", d.what)
				if !wait && d.hint != "" {
					fmt.Fprintln(a.msg, "  hint:", d.hint)
				}
			}
			if wait {
				fmt.Fprintln(a.msg, "waiting until it is quiet")
			} else {
				fmt.Fprintln(a.msg, "measured all the same: intervals will be wide, and verdicts may be INVALID")
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lookAgain):
		}
	}
}

// measuring says which other run measures on this computer now.
func measuring() []disturbance {
	locks, _ := filepath.Glob(deviceLock("*")) // the pattern is well formed
	for _, path := range locks {
		if holder := store.Held(path); holder != "" {
			return []disturbance{{"other runs", "another run measures: " + holder, "a run on the same device waits for it"}}
		}
	}
	return nil
}
