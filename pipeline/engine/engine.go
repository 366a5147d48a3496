// Package engine runs a plan: what has no standing result is run in child
// processes, trials as gangs, measured cells alone and in the drawn order, pure
// cells side by side; what ended well is committed and published.
//
// The engine knows nothing of what a stage does. It relies on pipeline/cell's
// contract, and on the store for everything that must outlive it.
package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine/folder"
	"barograph/pipeline/engine/owned"
	"barograph/pipeline/engine/queue"
	"barograph/pipeline/engine/shell"
	"barograph/pipeline/launch"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"

	"golang.org/x/sync/errgroup"
)

// Options say how a plan is run.
type Options struct {
	// Program returns the program that a cell is started with.
	Program func(*plan.Cell) (string, error)
	Jobs    int // pure cells at a time, at least 1
	// Capacity is how much there is of resources that cells hold while they run;
	// one device, the machine's memory in bytes and its processors (cpu) are known.
	Capacity  map[string]int64
	Fresh     []string
	KeepGoing bool // run what a failed cell does not stand before
	Overwrite bool // write outputs also over files that no run made
	// Cache is a folder outside of the workspace in which the engine may remember
	// what runs wrote; empty for none.
	Cache   string
	Backoff time.Duration // before the first retry of a cell; 0: a second
	// Hold, if any, takes the device before anything is measured; what it returns is
	// closed once all is.
	Hold     func(context.Context) (io.Closer, error)
	Pool     Pool
	Observer Observer
	// Elsewhere, if any, runs the cells that it takes on other computers.
	Elsewhere Elsewhere

	// Ground, if any, is what runs share that are under way at once.
	Ground *Ground

	told map[*plan.Cell]*Task // of cells that another run decided
}

// A Ground is what runs in one workspace share, while its lock is held.
type Ground struct {
	owned *owned.Files
	tmp   string // the folder for private ones
}

// Enter prepares for runs in the workspace at root. State and cache are as in [Run].
func Enter(root, state, cache string) (*Ground, error) {
	beside := ""
	if cache != "" {
		beside = filepath.Join(cache, "outputs", fmt.Sprintf("%x", sha256.Sum256([]byte(root))))
	}
	files, err := owned.Read(filepath.Join(state, "outputs"), beside)
	if err != nil {
		return nil, err
	}
	// An earlier run left this behind. It is dead, for we hold the lock; the cells
	// that it left running are killed here.
	tmp := filepath.Join(state, "tmp")
	if _, err := os.Stat(tmp); err == nil {
		launch.Sweep(tmp)
	}
	return &Ground{files, tmp}, os.RemoveAll(tmp)
}

// Leave ends what [Enter] began, once no run is under way.
func (g *Ground) Leave() error {
	os.RemoveAll(g.tmp)
	return g.owned.Close()
}

// An Observer is told what happens, from one goroutine.
type Observer interface {
	// Begin comes once, with the cells that may run, in the order they are
	// expected to, and without background cells.
	Begin(p *plan.Plan, cells []*plan.Cell)
	Start(c *plan.Cell, reason string)
	Event(c *plan.Cell, e cell.Event)
	// Retry comes when an attempt failed and another follows after a while.
	Retry(c *plan.Cell, err error, after time.Duration)
	// End comes after Start, and alone for a cell whose stored result stands or
	// that never started.
	End(c *plan.Cell, o Outcome)
	// Publish comes for each file written into the workspace.
	Publish(path string)
}

// An Outcome is how a cell ended.
type Outcome struct {
	Status Status
	Err    error  // of a failed cell
	Log    string // where its log is kept, if anything is in it
	Far    string // how far a cell that was interrupted had come, if it told
	Wall   time.Duration
}

// A Status is the short form of an outcome.
type Status string

const (
	Ran     Status = "ran"
	Stood   Status = "stood" // a stored result was used
	Failed  Status = "failed"
	Skipped Status = "skipped" // a cell it needs failed, or the run was stopped
)

// A Result is how a run ended.
type Result struct {
	Counts    map[Status]int
	Failures  []Failure
	Warnings  []Warning
	Verdicts  []cell.Verdict
	Summaries []string // the text of each summary output, in plan order

	Decider *plan.Decider `json:"-"` // what was decided of each cell in the end
}

// Whole tells whether every cell has its result now.
func (r *Result) Whole() bool { return r.Counts[Failed]+r.Counts[Skipped] == 0 }

// Again returns the result that the same run would have with nothing to do.
func (r *Result) Again() *Result {
	again := *r
	again.Counts = map[Status]int{Stood: r.Counts[Ran] + r.Counts[Stood]}
	return &again
}

// A Failure is a cell that failed.
type Failure struct {
	Cell *plan.Cell
	Err  error
	Log  string
}

// A Warning is doubt that a cell has about its result.
type Warning struct {
	Cell string `json:"cell"`
	Text string `json:"text"`
}

// readyTimeout bounds how long a background cell may take to become steady.
const readyTimeout = 2 * time.Minute

// Run runs a plan against an open store in state, the folder that also holds
// private folders and logs. It returns an error when the run as a whole could
// not be carried out, such as when ctx was cancelled; failed cells are in the
// result.
func Run(ctx context.Context, p *plan.Plan, s *store.Store, state string, opt Options) (*Result, error) {
	r := &run{
		plan: p, store: s, opt: opt, decider: plan.NewDecider(p, s, opt.Fresh),
		// A folder of its own for each run: the guard of a killed run, which may come
		// late, sweeps that run's folder and finds no cell of ours in it.
		tmp:  filepath.Join(state, "tmp", strconv.FormatInt(time.Now().UnixNano(), 36)),
		logs: filepath.Join(state, "logs", p.Study.Name), links: folder.LinksBelow(state),
		env:  Environment(p),
		left: map[*plan.Cell]int{}, users: map[*plan.Cell][]*plan.Cell{},
		status: map[*plan.Cell]Status{}, failed: map[*plan.Cell]int{}, spare: map[string][]string{},
		free: capacity(opt.Capacity), slots: slots(opt.Pool.GPUs),
		done: make(chan func()), over: make(chan struct{}),
		result: &Result{Counts: map[Status]int{}},
	}
	var err error
	ground := opt.Ground
	if ground == nil {
		if ground, err = Enter(p.Study.Root, state, opt.Cache); err != nil {
			return nil, err
		}
		defer os.RemoveAll(ground.tmp)
	}
	r.owned = ground.owned
	r.found = filepath.Join(state, "found")
	if err := errors.Join(os.MkdirAll(r.tmp, 0o777), os.MkdirAll(r.links.Dir, 0o777)); err != nil {
		return nil, err
	}
	defer r.clear()
	defer func() {
		close(r.over)
		r.letGo()
	}()
	for c, t := range opt.told {
		r.decider.Told(c, t.keys())
	}
	if err := r.fits(); err != nil {
		return r.result, err
	}
	err = r.prepare(ctx)
	if err == nil {
		err = r.loop(ctx)
	}
	synced := make(chan error, 1)
	go func() { synced <- s.Sync() }()
	r.clear() // while the disk is at work
	if err = errors.Join(err, <-synced); err == nil {
		err = r.conclude()
	}
	r.result.Warnings = append(r.result.Warnings, r.moved...)
	if opt.Ground == nil {
		err = errors.Join(err, ground.Leave())
	}
	return r.result, err
}

// A run is the state of Run; only its loop's goroutine touches it.
type run struct {
	telling sync.Mutex // held to tell the observer while cells are prepared
	plan    *plan.Plan
	store   *store.Store
	opt     Options
	decider *plan.Decider
	owned   *owned.Files
	found   string     // the folder for files that are kept aside
	mu      sync.Mutex // guards moved
	moved   []Warning
	tmp     string
	logs    string
	env     []string // that every cell is given
	folders int
	spare   map[string][]string // private folders that are empty, by the folders in them
	links   folder.Links
	guard   *launch.Guard // nil where nothing may run

	left    map[*plan.Cell]int          // needs not finished yet
	users   map[*plan.Cell][]*plan.Cell // who needs a cell
	status  map[*plan.Cell]Status       // of finished cells
	failed  map[*plan.Cell]int          // attempts that failed
	ready   *queue.Queue                // pure cells to start
	order   []*plan.Cell                // measured cells not started yet, in order
	running int                         // cells that run here, or whose outputs are being kept
	sent    int                         // cells that are elsewhere
	there   context.Context             // of those
	recall  context.CancelCauseFunc     // ends it
	pure    int                         // pure cells that run
	slots   []*slot                     // where measured cells run
	paused  int                         // failed cells that wait to be tried again
	free    map[string]int64            // what is left of each resource
	halt    bool                        // start nothing more
	done    chan func()                 // completions, run by the loop
	over    chan struct{}               // closed when nobody receives from done any more
	result  *Result
	measure map[*plan.Cell]bool // those that may still be measured
	held    io.Closer           // the device, while any may
}

// clear removes what cells worked in, once none runs any more.
func (r *run) clear() {
	if r.guard != nil {
		r.guard.Dismiss()
		r.guard = nil
	}
	os.RemoveAll(r.tmp)
}

// prepare lets the kinds of cells that will or may run make what they share.
func (r *run) prepare(ctx context.Context) error {
	if err := r.decider.All(); err != nil {
		return err
	}
	var may []*plan.Cell
	for _, c := range r.plan.Cells {
		if c.Trial == nil && r.decider.Of(c).State != plan.Stands {
			may = append(may, c)
		}
	}
	if err := r.claim(); err != nil {
		return err
	}
	if len(may) > 0 {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if r.guard, err = launch.Watch(self, r.tmp); err != nil {
			return err
		}
	}
	if err := r.hold(ctx, may); err != nil {
		return err
	}
	r.result.Decider = r.decider
	r.opt.Observer.Begin(r.plan, may)
	prepared := map[string]bool{}
	var all errgroup.Group
	all.SetLimit(max(1, r.opt.Jobs))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for _, c := range may {
		if r.away(c) {
			continue
		}
		for _, m := range append(slices.Clone(c.Gang), c) {
			key := m.Stage.Kind.Name + string(m.With) + m.Stage.Notebook
			if m.Stage.Kind.Prepare == nil || prepared[key] {
				continue
			}
			if m.Stage.Kind.Notebook && r.decider.Of(m).State == plan.Runs {
				continue // nothing runs before it: it may as well say itself what is wrong
			}
			prepared[key] = true
			all.Go(func() error {
				err := r.prepareCell(ctx, m)
				if err != nil {
					err = fmt.Errorf("prepare stage %q: %w", m.Stage.Name, err)
					stop(err) // the others' too
				}
				return err
			})
		}
	}
	if err := all.Wait(); err != nil {
		return err
	}
	if err := r.survey(ctx); err != nil {
		return err
	}
	r.expect(may)
	return nil
}

// claim looks, before anything runs, whether all can be written that may be, and
// notes that it may.
func (r *run) claim() error {
	var all []string
	writable := map[string]bool{} // by folder
	for _, c := range r.plan.Cells {
		places := c.Publish
		if r.decider.Of(c).State == plan.Stands {
			places = nil
			for _, f := range r.decider.Strayed(c) {
				places = append(places, plan.Place{Output: f.Name, To: c.Place(f.Name)})
			}
		}
		for _, p := range places {
			to := p.To
			path := filepath.Join(r.plan.Study.Root, to)
			if _, err := r.mine(path, to, p.Output); err != nil {
				return cell.Hint(cell.Usage(fmt.Errorf("%s is to write %s: %w", c.ID, to, err)), "move it away, name another output, or say --overwrite; nothing was run")
			}
			if dir := filepath.Dir(path); !writable[dir] {
				if err := folder.Writable(path); err != nil {
					return cell.Hint(fmt.Errorf("%s is to write %s: %w", c.ID, to, err), "make the folder writable; nothing was run")
				}
				writable[dir] = true
			}
			all = append(all, to)
		}
	}
	for _, to := range all {
		r.owned.Open(to)
	}
	return r.owned.Keep()
}

// mine is [owned.Files.May], as far as this run asks.
func (r *run) mine(path, to, name string) (aside bool, err error) {
	if r.opt.Overwrite || r.plan.Replayed != "" && strings.HasPrefix(to, "figures/") { // drawn again where a clone brought them
		if st, err := os.Lstat(path); err != nil || !st.IsDir() {
			return false, nil
		}
	}
	return r.owned.May(r.store, path, to, name)
}

func (r *run) prepareCell(ctx context.Context, c *plan.Cell) error {
	m := &member{cell: c, Member: Member{Spec: r.spec(c)}, dir: r.tmp, log: folder.LogOf(r.logs, "prepare-"+c.Stage.Name)}
	prepare := *m.Spec
	prepare.Prepare = true
	m.Spec = &prepare
	defer m.log.Close()
	proc, err := r.process(ctx, m, func(e cell.Event) {
		r.telling.Lock() // others are prepared meanwhile
		defer r.telling.Unlock()
		r.opt.Observer.Event(c, e)
	})
	if err != nil {
		return err
	}
	return proc.Wait()
}

// loop starts what can be started and waits for what was, until all is done.
func (r *run) loop(ctx context.Context) error {
	r.order = slices.DeleteFunc(slices.Clone(r.plan.Order), r.away)
	there, recall := context.WithCancelCause(ctx)
	defer recall(nil)
	r.recall, r.there = recall, there
	r.ready = queue.Of(r.plan, r.store)
	var settled []*plan.Cell
	for _, c := range r.plan.Cells {
		if c.Trial != nil {
			continue
		}
		needs := map[*plan.Cell]bool{}
		for _, m := range append(slices.Clone(c.Gang), c) {
			for _, n := range m.Needs {
				needs[n.Foreground()] = true
			}
		}
		for n := range needs {
			r.users[n] = append(r.users[n], c)
		}
		if len(needs) == 0 {
			settled = append(settled, c)
		} else {
			r.left[c] = len(needs)
		}
	}
	for _, c := range settled {
		if err := r.settle(ctx, c); err != nil {
			return err
		}
	}
	for cancelled := ctx.Done(); ; {
		if !r.halt {
			r.startMeasured(ctx)
			r.startPure(ctx)
		}
		if r.running+r.sent == 0 && (r.halt || r.paused == 0) {
			break
		}
		select {
		case f := <-r.done:
			f()
		case <-cancelled:
			r.halt, cancelled = true, nil
		}
	}
	for _, c := range r.plan.Cells {
		if c.Trial == nil && r.status[c] == "" {
			r.finish(ctx, c, Outcome{Status: Skipped})
		}
	}
	return context.Cause(ctx)
}

// settle decides a cell whose needs are all finished: its result stands, or it
// is to run.
func (r *run) settle(ctx context.Context, c *plan.Cell) error {
	for _, m := range append(slices.Clone(c.Gang), c) {
		for _, n := range m.Needs {
			if st := r.status[n.Foreground()]; st == Failed || st == Skipped {
				r.finish(ctx, c, Outcome{Status: Skipped})
				return nil
			}
		}
	}
	dec := r.decider.Of(c)
	if dec.State == plan.Waits { // what it needs is known only now
		var err error
		if dec, err = r.decider.Decide(c); err != nil {
			return err
		}
	}
	if dec.State == plan.Stands {
		if err := r.publish(c); err != nil {
			r.fail(ctx, c, err, "", 0)
			return nil
		}
		r.finish(ctx, c, Outcome{Status: Stood})
		return nil
	}
	switch {
	case r.away(c):
		r.send(ctx, c)
	case !c.Stage.Kind.Measured:
		r.ready.Add(c)
	}
	return nil
}

// startPure starts pure cells, the most urgent first, unless a measured one runs
// or waits for the machine to fall silent. A cell that lacks a resource lets
// others pass. What has ended is kept beside what runs, but no more cells at a
// time than may run.
func (r *run) startPure(ctx context.Context) {
	if r.measuring() > 0 || len(r.order) > 0 && r.left[r.order[0]] == 0 {
		return
	}
	var lacking []*plan.Cell
	for r.pure < r.opt.Jobs && r.running < 2*r.opt.Jobs && r.ready.Len() > 0 {
		c := r.ready.Next()
		if !r.take(c) {
			lacking = append(lacking, c)
			continue
		}
		r.pure++
		r.launch(ctx, c, nil, func() {
			r.pure--
			r.give(c)
		})
	}
	for _, c := range lacking {
		r.ready.Add(c)
	}
}

// deliver hands the loop something to do, until the run is over.
func (r *run) deliver(f func()) {
	select {
	case r.done <- f:
	case <-r.over:
	}
}

// launch runs a cell, with its gang, and keeps its outputs in the background; the
// loop learns of its end. A measured cell runs in a slot. free frees what it holds
// while it runs.
func (r *run) launch(ctx context.Context, c *plan.Cell, in *slot, free func()) {
	r.opt.Observer.Start(c, r.decider.Of(c).Reason)
	began := time.Now()
	t, err := r.trial(c)
	if err != nil {
		free()
		t.discard()
		r.fail(ctx, c, err, "", 0)
		return
	}
	r.place(t, in)
	r.running++
	last, unsteady := r.failed[c] >= max(c.Stage.Retries, steadyAgain), r.decider.Of(c).Unsteady
	go func() {
		err := t.run(ctx)
		if err == nil && !c.Stage.Kind.Measured { // nothing runs beside a measured one before all is done
			r.done <- free
			free = func() {}
			runtime.Gosched() // the next cell starts first, and what this one left is kept meanwhile
		}
		if err == nil {
			err = t.unchanged()
		}
		if err == nil && t.detail.Unsteady != "" {
			switch {
			case !last:
				err = unsteadiness{errors.New("not steady: " + t.detail.Unsteady)}
			case unsteady != nil: // other results rest on the last one, which was as good
				t.records = []*store.Record{unsteady}
			}
		}
		if err == nil && t.records == nil {
			err = t.keep(began)
		}
		t.discard()
		lost := error(nil)
		if err != nil && ctx.Err() == nil {
			lost = r.lost(in)
		}
		r.done <- func() {
			r.running--
			free()
			r.reuse(t)
			for i, record := range t.records {
				r.decider.Finish(t.members[i].cell, record)
			}
			for _, path := range t.published {
				r.opt.Observer.Publish(path)
			}
			switch wall := time.Since(began); {
			case ctx.Err() != nil && err != nil:
				r.finish(ctx, c, Outcome{Status: Skipped, Far: t.far(), Wall: wall})
			case lost != nil && r.goOn(c, in, lost):
			case err != nil && r.retry(c, in, err):
			case err != nil:
				r.fail(ctx, c, err, t.log(), wall)
			default:
				r.finish(ctx, c, Outcome{Status: Ran, Log: t.log(), Wall: wall})
			}
		}
	}()
}

// The first retry follows after firstWait unless the options say otherwise, each
// further one after twice as long as the last, and none after more than
// longestWait.
const (
	firstWait   = time.Second
	longestWait = time.Minute
)

// Unsteadiness is why a measurement that did not come to rest is tried again; the last of
// so many further tries is a result, but not one for later runs.
type unsteadiness struct{ error }

const steadyAgain = 2

// retry tells whether a failed cell is tried again, and sees to it. A measured
// cell keeps its place in the order.
func (r *run) retry(c *plan.Cell, in *slot, err error) bool {
	n, most := r.failed[c], c.Stage.Retries
	if errors.As(err, new(unsteadiness)) {
		most = max(most, steadyAgain)
	}
	if n >= most || r.halt {
		return false
	}
	r.failed[c]++
	wait := min(cmp.Or(r.opt.Backoff, firstWait)<<min(n, 16), longestWait)
	r.opt.Observer.Retry(c, err, wait)
	r.paused++
	if in != nil {
		in.busy = c // nothing else is to run there in between
	}
	time.AfterFunc(wait, func() {
		r.deliver(func() {
			r.paused--
			if in != nil {
				in.busy = nil
				r.order = append([]*plan.Cell{c}, r.order...)
				return
			}
			r.ready.Add(c)
		})
	})
	return true
}

// publish makes the workspace hold what the record of a cell with a result says.
func (r *run) publish(c *plan.Cell) error {
	if c.Given != nil {
		return nil
	}
	written, err := r.write(c, r.decider.Of(c).Record)
	for _, path := range written {
		r.opt.Observer.Publish(path)
	}
	return err
}

// write makes the workspace hold what a record of a cell says, and returns the
// paths that it wrote. It may be called from any goroutine.
func (r *run) write(c *plan.Cell, record *store.Record) (written []string, err error) {
	strayed := r.plan.Strayed(r.store, c, record)
	for _, f := range record.Files {
		if to := c.Place(f.Name); to != "" && !slices.Contains(strayed, f) {
			r.owned.Wrote(to, f.Digest)
		}
	}
	for _, f := range strayed {
		to := c.Place(f.Name)
		path := filepath.Join(r.plan.Study.Root, to)
		aside, err := r.mine(path, to, f.Name)
		switch {
		case err == nil && aside:
			err = r.setAside(c, path, to, "was not as a run left it when the machine died")
		case errors.Is(err, owned.ErrEdited): // while this run went on: there was none before
			err = r.setAside(c, path, to, "was changed while the run went on")
		}
		if err != nil {
			return written, cell.Hint(fmt.Errorf("write %s: %w", to, err), "the result is kept; move the file away and run again")
		}
		if err := r.store.Copy(f, path); err != nil {
			return written, cell.Hint(fmt.Errorf("write %s: %w", to, err), "the result is kept; run again once a file can be written there")
		}
		r.owned.Wrote(to, f.Digest)
		written = append(written, to)
	}
	return written, nil
}

// setAside keeps a file that stands where an output goes, and that may or may not
// be a run's.
func (r *run) setAside(c *plan.Cell, path, to, why string) error {
	kept := filepath.Join(r.found, strconv.FormatInt(time.Now().UnixNano(), 36), to)
	if err := os.MkdirAll(filepath.Dir(kept), 0o777); err != nil {
		return err
	}
	if err := os.Rename(path, kept); err != nil {
		return err
	}
	r.warn(c, fmt.Sprintf("%s %s; what was there is kept as %s", to, why, kept))
	return nil
}

// warn adds what the engine itself has to say of a cell.
func (r *run) warn(c *plan.Cell, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved = append(r.moved, Warning{c.ID, text})
}

func (r *run) fail(ctx context.Context, c *plan.Cell, err error, log string, wall time.Duration) {
	err = shell.Undeclared(c, r.plan.Study.Root, r.tmp, err)
	if n := r.failed[c]; n > 0 {
		err = fmt.Errorf("after %d attempts: %w", n+1, err)
	}
	r.result.Failures = append(r.result.Failures, Failure{c, err, log})
	if dec := r.decider.Of(c); dec != nil && dec.Key != "" {
		f := store.Failure{Cell: r.plan.Name(c), Started: time.Now().Add(-wall).UnixNano(), Wall: wall, Error: err.Error()}
		if err := r.store.Fail(dec.Key, f); err != nil {
			r.warn(c, fmt.Sprintf("that it failed could not be noted: %v", err))
		}
	}
	if !r.opt.KeepGoing {
		r.halt = true
		r.recall(ErrHalted)
	}
	r.finish(ctx, c, Outcome{Status: Failed, Err: err, Log: log, Wall: wall})
}

// finish notes how a cell ended and settles those that waited for it alone.
func (r *run) finish(ctx context.Context, c *plan.Cell, o Outcome) {
	r.status[c] = o.Status
	if delete(r.measure, c); len(r.measure) == 0 {
		r.letGo()
	}
	r.result.Counts[o.Status] += 1 + len(c.Gang)
	r.opt.Observer.End(c, o)
	for _, u := range r.users[c] {
		if r.left[u]--; r.left[u] == 0 && r.status[u] == "" {
			if err := r.settle(ctx, u); err != nil {
				r.fail(ctx, u, err, "", 0)
			}
		}
	}
}

// hold takes the device, if anything may be measured.
func (r *run) hold(ctx context.Context, may []*plan.Cell) (err error) {
	r.measure = map[*plan.Cell]bool{}
	for _, c := range may {
		if c.Stage.Kind.Measured && !r.away(c) {
			r.measure[c] = true
		}
	}
	if r.opt.Hold != nil && len(r.measure) > 0 {
		r.held, err = r.opt.Hold(ctx)
	}
	return err
}

// letGo lets others have the device.
func (r *run) letGo() {
	if r.held != nil {
		_ = r.held.Close() // it was a lock, which is free however this ends
		r.held = nil
	}
}

// conclude gathers what the standing results say: warnings, verdicts, summaries.
func (r *run) conclude() error {
	for _, c := range r.plan.Cells {
		dec := r.decider.Of(c)
		if dec == nil || dec.State != plan.Stands || c.Given != nil {
			continue
		}
		if c.Trial == nil && dec.Record.Warned > 0 {
			d, err := r.store.Detail(dec.Record)
			if err != nil {
				d.Warnings = []string{fmt.Sprintf("it had %d warnings that are lost: %v", dec.Record.Warned, err)}
			}
			for _, w := range d.Warnings {
				r.result.Warnings = append(r.result.Warnings, Warning{c.ID, w})
			}
		}
		for _, f := range dec.Record.Files {
			switch f.Name {
			case c.Stage.Kind.Summary:
				b, err := os.ReadFile(r.store.Object(f.Digest))
				if err != nil {
					return err
				}
				r.result.Summaries = append(r.result.Summaries, string(b))
			case c.Stage.Kind.Verdicts:
				var v []cell.Verdict
				if err := cell.ReadJSON(r.store.Object(f.Digest), &v); err != nil {
					return fmt.Errorf("read the verdicts of %s: %w", c.ID, err)
				}
				r.result.Verdicts = append(r.result.Verdicts, v...)
			}
		}
	}
	return nil
}
