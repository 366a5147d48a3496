// Package agent runs packs of tasks in a job of a cluster, and is what the jobs and their
// driver tell one another: packs, and notes of attempts at them.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster/node"
	"barograph/pipeline/engine"
	"barograph/pipeline/launch"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"

	"golang.org/x/sys/unix"
)

// A Pack is what one job is to do, or what it is given once it has done that.
type Pack struct {
	Tasks   []*engine.Task   `json:"tasks"`
	Within  time.Duration    `json:"within"` // how old a job may be that waits for more
	Of      int              `json:"of"`     // packs in the array
	Beat    time.Duration    `json:"beat"`
	Jobs    int              `json:"jobs"` // pure cells at a time
	Scratch string           `json:"scratch,omitempty"`
	Planned *node.Node       `json:"planned,omitempty"` // for cells that are measured
	Device  string           `json:"device,omitempty"`
	Alone   bool             `json:"exclusive,omitempty"`
	Size    map[string]int64 `json:"size,omitempty"` // of the job, by resource
}

// An Agent runs packs on the node that this process is on.
type Agent struct {
	Kinds   cell.Kinds
	GPUs    func() cell.GPUs
	Program func(device string) func(*plan.Cell) (string, error)
	// Hold takes a device for this process alone; others wait.
	Hold func(ctx context.Context, device string) (io.Closer, error)
	// Disturbed says what would spoil a measurement on a device now.
	Disturbed func(root, device string) string
	Log       io.Writer
}

// errAgain is why a pack is left unfinished that another attempt may finish.
var errAgain = errors.New("not for the cells' sake")

// Check describes the node in a file, for a driver that waits for it.
func (a *Agent) Check(dir string) error {
	said, err := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil {
		return err
	}
	n := node.Look(a.Kinds, a.GPUs())
	n.Said = string(said)
	return WriteWhole(filepath.Join(dir, "node"), n)
}

// Run runs the pack that is this job's in the array whose folder is dir. The status
// that the error carries says whether it is worth another try.
func (a *Agent) Run(ctx context.Context, dir string) error {
	t, err := ownToken()
	if err != nil {
		return err
	}
	os.Unsetenv("SLURM_EXPORT_ENV") // or nothing reaches what a cell starts by srun
	f, err := os.OpenFile(filepath.Join(dir, "attempts", t.File()), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o666)
	if err != nil {
		return cell.End(err, StatusAgain)
	}
	defer f.Close()
	w := &worker{Agent: a, Token: t, dir: dir, pen: &pen{f: f}, root: filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(dir))))}
	w.sender = store.NewSender(w.root, filepath.Join(dir, "results", t.File()))
	begun := time.Now()
	node := cmp.Or(os.Getenv("SLURMD_NODENAME"), os.Getenv("HOSTNAME"))
	more := w.next(ctx, 0, patience)
	if !more {
		w.Pack = &Pack{}
		if err = cell.End(fmt.Errorf("it was given nothing to do within %v", patience), statusIdle); ctx.Err() != nil {
			err = cell.End(context.Cause(ctx), StatusAgain)
		}
	}
	w.by = t.String() + " on " + node
	if w.Alone {
		w.by += ", which was asked for whole"
	}
	err = errors.Join(err, w.pen.write(Note{Type: Started, Node: node, PID: os.Getpid(), GPUs: os.Getenv("SLURM_JOB_GPUS"), Alone: w.Alone}))
	taken := 0
	for ; err == nil && more; taken++ {
		if err = w.work(ctx); err == nil {
			more = time.Since(begun) < w.Within && w.allBegun() && w.next(ctx, taken+1, Linger)
		}
	}
	end := Note{Type: Ended, Status: cell.StatusOf(err), Packs: taken}
	if err != nil {
		end.Error, end.Hint = err.Error(), cell.HintOf(err)
	}
	return errors.Join(err, w.pen.write(end))
}

// Linger is how long an agent that has done all it was given waits for more: a job that
// runs takes on what its results made ready sooner than a new one would start.
const Linger = 2 * time.Second

// patience is how long an agent waits for its first pack: its job queues while the driver
// still writes it.
const patience = 30 * time.Second

// allBegun tells whether no other pack of the array waits for this job to end.
func (w *worker) allBegun() bool {
	begun := map[int]bool{}
	for _, t := range w.attempts() {
		begun[t.Index] = true
	}
	return len(begun) == w.Of
}

// next waits for the nth pack that the driver gives this job, and tells whether there is
// one.
func (w *worker) next(ctx context.Context, n int, limit time.Duration) bool {
	file := filepath.Join(w.dir, PackFile(w.Index, n))
	for end := time.Now().Add(limit); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if dir, err := os.Open(w.dir); err == nil { // a network's file system looks anew
			dir.Close()
		}
		var p Pack
		if cell.ReadJSON(file, &p) == nil {
			w.Pack = &p
			return true
		}
		if _, err := os.Stat(filepath.Join(w.dir, OverFile)); err == nil {
			return false
		}
	}
	return false
}

// OverFile is there once no job of the array is given more.
const OverFile = "over"

// PackFile is the file of the nth pack that the job of a number is given.
func PackFile(index, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d.json", index)
	}
	return fmt.Sprintf("%d.%d.json", index, n)
}

// A worker is one attempt at a pack.
type worker struct {
	*Agent
	*Pack
	Token
	*pen
	sender    *store.Sender
	dir, root string          // of the array, and of all that is shared
	by, place string          // the attempt, and the folder on the node's disk
	ctx       context.Context // of its cells
	cancel    context.CancelCauseFunc
	failing   sync.WaitGroup
	tasks     map[string]*engine.Task // by the foreground cell's ID
	byKey     map[string]*engine.Task // by its key
	mu        sync.Mutex
	bad       int          // cells that failed
	wasFull   atomic.Int64 // when the scratch folder last was, in Unix time
}

// work runs what of the pack is not there yet.
func (w *worker) work(ctx context.Context) error {
	ctx, w.cancel = context.WithCancelCause(ctx)
	defer w.cancel(nil)
	w.ctx = ctx
	w.tasks, w.byKey = map[string]*engine.Task{}, map[string]*engine.Task{}
	var left []*engine.Task
	for _, t := range w.Tasks {
		if store.Sent(w.root, t.Foreground().Key) {
			_ = w.write(Note{Type: Done, Cell: t.ID, Key: t.Foreground().Key}) // an attempt before this one did it
			continue
		}
		w.tasks[t.ID], w.byKey[t.Foreground().Key] = t, t
		left = append(left, t)
	}
	if len(left) == 0 {
		return nil
	}
	if err := w.fit(); err != nil {
		return err
	}
	scratch, err := w.scratch()
	w.place = scratch
	if err != nil {
		return cell.End(err, StatusAgain)
	}
	defer os.RemoveAll(scratch)
	s, err := store.Open(filepath.Join(scratch, "store"))
	if err != nil {
		return cell.End(err, StatusAgain)
	}
	s.Outbox(w.root, w.send)
	go w.live(ctx)
	opt := engine.Options{Program: w.Program(w.Device), Jobs: max(1, w.Jobs), KeepGoing: true, Observer: w, Capacity: w.Size}
	if w.Planned != nil {
		// An older copy of this job may still have the device.
		opt.Hold = func(ctx context.Context) (io.Closer, error) { return w.Hold(ctx, w.Device) }
	}
	runtime.GOMAXPROCS(2) // it mostly waits for its children; one result is kept while the next cell starts
	_, err = engine.Perform(ctx, left, w.Kinds, s, scratch, opt)
	w.failing.Wait()
	err = errors.Join(err, s.Close())
	w.mu.Lock()
	bad := w.bad
	w.mu.Unlock()
	switch cause := context.Cause(ctx); {
	case cause != nil:
		return cell.End(cause, max(cell.StatusOf(cause), StatusAgain))
	case err != nil:
		return cell.End(err, StatusAgain)
	case bad > 0:
		return cell.End(fmt.Errorf("%d of its cells failed", bad), cell.StatusFailed)
	}
	return nil
}

// fit refuses to measure on a node that is not what was planned for, or not quiet.
func (w *worker) fit() error {
	if w.Planned == nil {
		return nil
	}
	here := node.Look(w.Kinds, w.GPUs())
	why := here.Unlike(w.Planned, w.Device)
	if why == "" {
		why = w.Disturbed(w.Tasks[0].Foreground().Spec.Root, w.Device)
	}
	if why == "" {
		return nil
	}
	return cell.End(errors.New(why), StatusUnfit)
}

// scratch makes a folder of this attempt on a disk of the node's own.
func (w *worker) scratch() (string, error) {
	dir := cmp.Or(os.ExpandEnv(w.Scratch), os.Getenv("SLURM_TMPDIR"), os.Getenv("TMPDIR"), "/tmp")
	made, err := os.MkdirTemp(dir, "barograph-"+w.File()+"-")
	if err != nil {
		return "", fmt.Errorf("scratch: %w", err)
	}
	return filepath.EvalSymlinks(made)
}

// live says that the attempt lives, and ends it once a later one is there.
func (w *worker) live(ctx context.Context) {
	tick, room := time.NewTicker(max(w.Beat, time.Second)), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	defer room.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-room.C:
			w.full()
			continue
		case <-tick.C:
		}
		if err := w.write(Note{Type: Beating}); err != nil {
			w.cancel(fmt.Errorf("write that it lives: %w", err))
		}
		if later := w.later(); later != "" {
			w.cancel(fmt.Errorf("attempt %s has begun since", later))
		}
	}
}

// later returns an attempt at this pack that Slurm started after this one.
func (w *worker) later() string {
	for _, t := range w.attempts() {
		if t.Index == w.Index && t.Job == w.Job && t.Restarts > w.Restarts {
			return t.String()
		}
	}
	return ""
}

// attempts are those at packs of the array that are known.
func (w *worker) attempts() (all []Token) {
	entries, _ := os.ReadDir(filepath.Join(w.dir, "attempts")) // unread, there is none
	for _, e := range entries {
		if t, ok := ParseToken(e.Name()); ok {
			all = append(all, t)
		}
	}
	return all
}

func (w *worker) Begin(*plan.Plan, []*plan.Cell) {}
func (w *worker) Event(*plan.Cell, cell.Event)   {}
func (w *worker) Publish(string)                 {}
func (w *worker) Retry(c *plan.Cell, err error, _ time.Duration) {
	fmt.Fprintf(w.Log, "%s failed and is tried again: %v\n", c.ID, err)
}

func (w *worker) Start(c *plan.Cell, _ string) {
	_ = w.write(Note{Type: Began, Cell: c.ID, Key: w.tasks[c.ID].Foreground().Key}) // the next beat fails, too
}

// End says that a cell failed; what one made was sent before.
func (w *worker) End(c *plan.Cell, o engine.Outcome) {
	if o.Status == engine.Failed {
		w.failing.Go(func() { w.failed(w.tasks[c.ID], o) })
	}
}

// failed says that a cell failed, unless that was not for its own sake.
func (w *worker) failed(t *engine.Task, o engine.Outcome) {
	var killed launch.Killed
	switch {
	case errors.As(o.Err, new(store.Unsent)):
		w.unsent(t, o.Err)
		return
	case w.noRoom(o.Err):
		w.cancel(fmt.Errorf("%w: the scratch folder was full: %w", errAgain, o.Err))
		return
	case errors.As(o.Err, &killed) && (syscall.Signal(killed) == syscall.SIGKILL || syscall.Signal(killed) == syscall.SIGTERM):
		w.cancel(fmt.Errorf("%w: %s was %w", errAgain, t.ID, o.Err))
		return
	}
	select {
	case <-w.ctx.Done(): // whoever ends a job tells its processes one after another
	case <-time.After(300 * time.Millisecond):
		w.fail(t, o)
	}
}

// noRoom tells whether a cell may have failed because the scratch folder was full, which
// it need not be any more.
func (w *worker) noRoom(err error) bool {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, no) || strings.Contains(strings.ToLower(err.Error()), no.Error()) {
			return true
		}
	}
	const recently = 5 * time.Second
	return w.full() || time.Since(time.Unix(0, w.wasFull.Load())) < recently
}

// full tells whether the scratch folder's disk is.
func (w *worker) full() bool {
	var st unix.Statfs_t
	full := unix.Statfs(w.place, &st) == nil && (st.Bavail*uint64(st.Bsize) < 1<<20 || st.Files > 0 && st.Ffree < 64)
	if full {
		w.wasFull.Store(time.Now().UnixNano())
	}
	return full
}

// fail says that a cell failed, with its log.
func (w *worker) fail(t *engine.Task, o engine.Outcome) {
	n := Note{Type: Failed, Cell: t.ID, Key: t.Foreground().Key, Error: o.Err.Error(), Hint: cell.HintOf(o.Err)}
	if b, err := os.ReadFile(o.Log); o.Log != "" && err == nil {
		n.Log = filepath.Join(w.dir, "log", n.Key[:16]+".log")
		if os.WriteFile(n.Log, b, 0o666) != nil {
			n.Log = ""
		}
	}
	w.mu.Lock()
	w.bad++
	w.mu.Unlock()
	_ = w.write(n)
}

// unsent ends the attempt, for which it was no cell's fault.
func (w *worker) unsent(t *engine.Task, err error) {
	w.cancel(fmt.Errorf("%w: send the results of %s: %w", errAgain, t.ID, err))
}

// send leaves a trial's records where all see them.
func (w *worker) send(d store.Detail, records []*store.Record) error {
	t := w.byKey[records[len(records)-1].Key]
	err := w.sendTask(t, d, records)
	if err != nil {
		w.unsent(t, err)
	}
	return err
}

func (w *worker) sendTask(t *engine.Task, d store.Detail, records []*store.Record) error {
	measured := slices.ContainsFunc(t.Members, func(m engine.Member) bool { return w.Kinds[m.Spec.Kind].Measured })
	if measured {
		if later := w.later(); later != "" {
			return fmt.Errorf("attempt %s has begun since", later) // one that was disturbed by another is no measurement
		}
	}
	for _, r := range records {
		r.By = w.by
	}
	key := t.Foreground().Key
	aside := filepath.Join(w.root, "aside", key+"."+w.Token.String())
	standing, err := w.sender.Send(d, records, aside)
	if err != nil {
		return err
	}
	if standing != nil {
		d := Duplicate{Cell: records[len(records)-1].Cell, Key: key, First: standing[len(standing)-1].By, Second: w.by}
		if _, err := os.Stat(aside); err == nil {
			d.Aside = aside
		}
		if err := d.keep(w.root); err != nil {
			return err
		}
	}
	return w.write(Note{Type: Done, Cell: t.ID, Key: key})
}

// A Duplicate is a result that came a second time.
type Duplicate struct {
	Cell   string `json:"cell"`
	Key    string `json:"key"`
	First  string `json:"first"` // the attempt whose result stands
	Second string `json:"second"`
	Aside  string `json:"aside,omitempty"` // where the second is kept, if it differs
}

func (d Duplicate) keep(root string) error {
	dir := filepath.Join(root, "duplicates")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	second, _, _ := strings.Cut(d.Second, " ")
	return WriteWhole(filepath.Join(dir, d.Key+"."+second), d)
}

// Duplicates lists those in a folder.
func Duplicates(root string) (all []Duplicate) {
	entries, _ := os.ReadDir(filepath.Join(root, "duplicates")) // none yet
	for _, e := range entries {
		var d Duplicate
		if !strings.HasPrefix(e.Name(), ".") && cell.ReadJSON(filepath.Join(root, "duplicates", e.Name()), &d) == nil {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b Duplicate) int {
		return cmp.Or(strings.Compare(a.Cell, b.Cell), strings.Compare(a.Second, b.Second))
	})
	return all
}
