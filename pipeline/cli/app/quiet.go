package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/store/lock"
)

// deviceLocks is where the locks of this computer's devices lie, for all users and
// folders alike: so it is not what TMPDIR says.
const deviceLocks = "/tmp"

// DeviceLock is the file that whoever measures on a device has locked.
func DeviceLock(physical string) string {
	return filepath.Join(deviceLocks, ".barograph-"+strings.ReplaceAll(physical, "/", "_")+".lock")
}

// hold takes the devices that a plan's cells may be measured on, or load, and says
// whether it is quiet enough to measure; with wait, only once it is.
func (a *App) hold(p *plan.Plan, wait bool) func(context.Context) (io.Closer, error) {
	if p.Study.Machine.Simulated() {
		return nil
	}
	return func(ctx context.Context) (io.Closer, error) {
		var all locks
		for _, d := range a.devices(p) {
			held, err := lock.Take(ctx, DeviceLock(d.physical), func(holder string) {
				fmt.Fprintf(a.Msg, "waiting for another run that measures on %s: %s\n", d.name, holder)
			})
			if err != nil {
				return nil, errors.Join(fmt.Errorf("have %s for this run alone: %w", d.name, err), all.Close())
			}
			all = append(all, held)
		}
		if err := a.quiet(ctx, p.Study.Root, p.Study.Machine.Device, wait); err != nil {
			return nil, errors.Join(err, all.Close())
		}
		return all, nil
	}
}

// A lockable is a device that other runs wait for.
type lockable struct{ name, physical string }

// devices are those of a plan in the order in which every run takes them, so that no two
// wait for each other.
func (a *App) devices(p *plan.Plan) (devices []lockable) {
	here, st := a.GPUs(), p.Study
	numbers, all, free := engine.GPUs(p.Cells)
	if all {
		for i := range st.GPUs {
			numbers = append(numbers, i)
		}
	}
	var names []string
	switch {
	case free && len(st.Pool) == 0:
		names = []string{st.Machine.Device}
	case free:
		numbers = append(numbers, st.Pool...)
	}
	for _, n := range numbers {
		names = append(names, st.Machine.On(n).Device)
	}
	for _, name := range names {
		devices = append(devices, lockable{name, here.Physical(name)})
	}
	slices.SortStableFunc(devices, func(a, b lockable) int { return strings.Compare(a.physical, b.physical) })
	return slices.CompactFunc(devices, func(a, b lockable) bool { return a.physical == b.physical })
}

// locks are closed together.
type locks []io.Closer

func (l locks) Close() (err error) {
	for _, lock := range l {
		err = errors.Join(err, lock.Close())
	}
	return err
}

// pool says which GPUs a plan's cells are measured on at once.
func (a *App) pool(p *plan.Plan) (engine.Pool, error) {
	st, here := p.Study, a.GPUs()
	pool := engine.Pool{GPUs: st.Pool}
	for _, name := range a.Kinds.Names() {
		if k := a.Kinds[name]; k.Survey != nil {
			pool.Survey = k
		}
	}
	if here.Lost != nil {
		pool.Lost = func(gpu int) error { return here.Lost(st.Machine.On(gpu).Device) }
	}
	if st.Sharing == 0 {
		return pool, nil
	}
	shares, err := here.Processors(st.GPUs)
	if err != nil {
		return pool, fmt.Errorf("measure on %d GPUs at once: %w", len(st.Pool), err)
	}
	pool.CPUs = map[int][]int{}
	for i, cpus := range shares {
		pool.CPUs[i] = cpus
	}
	return pool, nil
}

// A Disturbance is what would spoil a measurement now.
type Disturbance struct{ Check, What, Hint string }

// Disturbances asks every check at once.
func (a *App) Disturbances(root, device string) []Disturbance {
	all := make([]Disturbance, len(a.Checks))
	var asking sync.WaitGroup
	for i, c := range a.Checks {
		if c.Disturbed != nil {
			asking.Go(func() {
				what, hint := c.Disturbed(root, device)
				all[i] = Disturbance{c.Name, what, hint}
			})
		}
	}
	asking.Wait()
	return slices.DeleteFunc(all, func(d Disturbance) bool { return d.What == "" })
}

const (
	lookAgain  = 2 * time.Second
	sayAgain   = time.Minute
	quietLooks = 2 // in a row, before a run that waits goes on
)

// quiet says what disturbs, and with wait returns once nothing does.
func (a *App) quiet(ctx context.Context, root, device string, wait bool) error {
	var said time.Time
	for looks := 0; ; {
		found := a.Disturbances(root, device)
		if len(found) == 0 {
			if looks++; !wait || looks == quietLooks || said.IsZero() {
				if !said.IsZero() {
					fmt.Fprintln(a.Msg, "it is quiet now")
				}
				return nil
			}
		} else {
			looks = 0
		}
		if len(found) > 0 && time.Since(said) > sayAgain {
			said = time.Now()
			for _, d := range found {
				fmt.Fprintf(a.Msg, "this will not do for measuring: %s\n", d.What)
				if !wait && d.Hint != "" {
					fmt.Fprintln(a.Msg, "  hint:", d.Hint)
				}
			}
			if wait {
				fmt.Fprintln(a.Msg, "waiting until it is quiet")
			} else {
				fmt.Fprintln(a.Msg, "measured all the same: intervals will be wide, and verdicts may be INVALID")
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

// Measuring says which other run measures on this computer now.
func Measuring() []Disturbance {
	locks, _ := filepath.Glob(DeviceLock("*")) // the pattern is well formed
	for _, path := range locks {
		if holder := lock.Held(path); holder != "" {
			return []Disturbance{{"other runs", "another run measures: " + holder, "a run on the same device waits for it"}}
		}
	}
	return nil
}
