package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine/folder"
	"barograph/pipeline/launch"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
	"barograph/pipeline/store/stat"
)

// A trial is a foreground cell with its background cells, run as one gang; a
// cell without any is a trial of one.
type trial struct {
	engine    *run
	cell      *plan.Cell
	members   []*member                   // background cells first, the foreground last
	inputs    map[string]string           // digests by path, of which the key is made
	seen      map[string]stat.Observation // of the inputs, before it starts
	detail    store.Detail
	unkept    int // number of warnings that detail has no room for
	window    cell.Control
	reached   string          // how far it has come, as far as it told
	mu        sync.Mutex      // guards detail's warnings, window and reached
	records   []*store.Record // of the members, once they are committed
	published []string        // workspace paths
}

// A member is one process of a trial.
type member struct {
	Member
	cell  *plan.Cell
	cpus  []int // none: those of this process
	dir   string
	spare bool     // its folder can be used again
	shape []string // the folders in dir
	log   *folder.Log
	ready chan struct{}
	proc  *launch.Process
}

// trial makes the folders of a trial.
func (r *run) trial(c *plan.Cell) (t *trial, err error) {
	t = &trial{engine: r, cell: c}
	task, err := r.task(c)
	if err != nil {
		return t, err
	}
	t.inputs, t.detail = task.Inputs, task.Detail
	if t.seen, err = t.look(); err != nil {
		return t, err
	}
	for i, pc := range append(slices.Clone(c.Gang), c) {
		m := &member{cell: pc, Member: task.Members[i], ready: make(chan struct{})}
		m.log = folder.LogOf(r.logs, pc.ID)
		t.members = append(t.members, m)
		if err := r.furnish(m); err != nil {
			return t, fmt.Errorf("prepare the folder of %s: %w", pc.ID, err)
		}
	}
	return t, nil
}

// furnish makes a private folder: the folders of outputs and inputs, and the
// inputs under their workspace paths. A folder that an earlier cell left empty
// serves as well as a new one.
func (r *run) furnish(m *member) error {
	m.shape = folder.Shape(m.cell.Outputs, m.Spec.Files)
	alike := strings.Join(m.shape, "\x00")
	if spare := r.spare[alike]; len(spare) > 0 {
		m.dir, r.spare[alike] = spare[len(spare)-1], spare[:len(spare)-1]
	} else {
		r.folders++
		m.dir = filepath.Join(r.tmp, strconv.Itoa(r.folders))
		for _, dir := range append([]string{"."}, m.shape...) {
			if err := os.Mkdir(filepath.Join(m.dir, dir), 0o777); err != nil {
				return err
			}
		}
	}
	for _, name := range m.Spec.Files {
		if err := r.links.Put(filepath.Join(r.plan.Study.Root, cmp.Or(m.Links[name], name)), filepath.Join(m.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// look observes the inputs of a trial, which must hold what its key says. A cell
// reads them where they lie, so that one that is edited between the decision and
// the end would make a result of another key.
func (t *trial) look() (map[string]stat.Observation, error) {
	seen := map[string]stat.Observation{}
	for path, digest := range t.inputs {
		file := filepath.Join(t.engine.plan.Study.Root, path)
		got, o, err := t.engine.store.Look(file)
		if err != nil {
			return nil, err
		}
		if got != digest {
			return nil, changed(path)
		}
		seen[path] = o
	}
	return seen, nil
}

// unchanged looks again when the trial has ended.
func (t *trial) unchanged() error {
	now, err := t.look()
	if err != nil {
		return err
	}
	for path, o := range t.seen {
		if now[path] != o {
			return changed(path)
		}
	}
	return nil
}

func changed(path string) error {
	return cell.Hint(fmt.Errorf("%s changed while it was in use as an input, so that what was made of it is not kept", path), "run again; a line that writes to its own inputs cannot be run: have it write to an output")
}

// run runs the trial to its end. On any failure every member is stopped, and
// the error is the one that came first.
func (t *trial) run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	limit := time.Duration(t.cell.Stage.Timeout)
	if limit > 0 || t.cell.Stage.Kind.Measured {
		go t.await(ctx, limit, t.cell.Stage.Kind.Measured, func() {
			err := fmt.Errorf("no end after %v, its timeout", limit)
			if far := t.far(); far != "" {
				err = fmt.Errorf("%w: %s", err, far)
			}
			cancel(cell.Hint(err, "raise timeout: of stage %q if it needs longer", t.cell.Stage.Name))
		})
	}
	overdue := func(limit time.Duration) <-chan struct{} {
		late := make(chan struct{})
		go t.await(ctx, limit, false, func() { close(late) })
		return late
	}
	last := len(t.members) - 1
	background, fg := t.members[:last], t.members[last]
	defer func() { // nobody outlives the trial
		cancel(nil)
		for _, m := range t.members {
			if m.proc != nil {
				<-m.proc.Done()
			}
			m.log.Close()
		}
	}()
	var early <-chan struct{} // closed once a foreground cell beside them has ended
	ready := func(m *member) error {
		t.reach("background cell " + m.cell.ID + " was not ready")
		limit := cmp.Or(time.Duration(m.cell.Stage.Timeout), readyTimeout)
		select {
		case <-m.ready:
			return nil
		case <-m.proc.Done():
			return died(m, "before it was ready")
		case <-early:
			if err := fg.proc.Wait(); err != nil {
				return err
			}
			return fmt.Errorf("%s ended before its background cell %s was ready", t.cell.ID, m.cell.ID)
		case <-overdue(limit):
			return unready(m, limit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for _, m := range background {
		if first := m.cell.Stage.Kind.First; first != nil && first(m.Spec) {
			if err := t.start(ctx, m); err != nil {
				return err
			}
			if err := ready(m); err != nil {
				return err
			}
		}
	}
	for _, m := range background {
		if m.proc != nil {
			continue
		}
		if err := t.start(ctx, m); err != nil {
			return err
		}
	}
	if beside := t.cell.Stage.Kind.Beside; len(background) > 0 && beside != nil && beside(fg.Spec) {
		fg.Spec.Beside = true
		if err := t.start(ctx, fg); err != nil {
			return err
		}
		early = fg.proc.Done()
	}
	for _, m := range background {
		if err := ready(m); err != nil {
			return err
		}
	}
	for _, m := range background {
		go func() {
			<-m.proc.Done()
			select {
			case <-fg.ready: // told to stop: its own status is read below
			default:
				cancel(died(m, "while "+t.cell.ID+" ran"))
			}
		}()
	}
	t.reach("")
	if fg.Spec.Beside {
		_ = fg.proc.Send(cell.Control{Type: "begin"}) // a lost cell shows in Wait
	} else if err := t.start(ctx, fg); err != nil {
		return err
	}
	<-fg.proc.Done()
	close(fg.ready) // from here on background cells may end
	if err := fg.proc.Wait(); err != nil {
		return err
	}
	for _, m := range background {
		if m.cell.Stage.Kind.Script {
			m.proc.Stop()
			continue
		}
		if t.window.Type != "" {
			_ = m.proc.Send(t.window) // a lost cell shows in Wait
		}
		_ = m.proc.Send(cell.Control{Type: "stop"})
	}
	for _, m := range background {
		t.reach("background cell " + m.cell.ID + " had not ended")
		select {
		case <-m.proc.Done():
		case <-overdue(readyTimeout):
			return fmt.Errorf("background cell %s went on for %v after it was told to stop", m.cell.ID, readyTimeout)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := m.proc.Wait(); err != nil {
			return fmt.Errorf("background cell %s: %w", m.cell.ID, err)
		}
	}
	for _, m := range t.members {
		if err := check(m); err != nil {
			return err
		}
	}
	return nil
}

// await calls late once the run has been awake for so long, never if that is 0. A
// run that is stopped (Ctrl-Z, or a computer that sleeps) sees no cell end, so
// that time does not count; with warn, it is a warning of what was measured meanwhile.
func (t *trial) await(ctx context.Context, limit time.Duration, warn bool, late func()) {
	const glance, nap = 100 * time.Millisecond, time.Second
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for last, left := time.Now(), limit; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		gap := time.Since(last)
		last = time.Now()
		if gap < nap {
			left -= gap
		} else {
			left = max(left, nap) // for those that have ended to be heard of
			if warn {
				t.mu.Lock()
				t.warn(fmt.Sprintf("the run stood still for %v, stopped or without a processor, while this was measured", gap.Round(time.Second/10)))
				t.mu.Unlock()
			}
		}
		if limit > 0 && left <= 0 {
			late()
			return
		}
	}
}

// unready says that a background cell took too long to be ready.
func unready(m *member, limit time.Duration) error {
	hint := fmt.Sprintf("raise timeout: of stage %q if it needs longer", m.cell.Stage.Name)
	if m.cell.Stage.Kind.Script {
		hint = fmt.Sprintf("a shell line in the background makes the file %s in its folder once it is: touch %[1]s", readyFile)
	}
	return cell.Hint(fmt.Errorf("background cell %s was not ready after %v", m.cell.ID, limit), "%s", hint)
}

// readyFile is what a shell line in the background makes once it is ready.
const readyFile = "ready"

// watch waits for a shell line's readyFile.
func (m *member) watch() {
	for tick := time.Tick(20 * time.Millisecond); ; {
		select {
		case <-m.proc.Done():
			return
		case <-tick:
			if _, err := os.Lstat(filepath.Join(m.dir, readyFile)); err == nil {
				close(m.ready)
				return
			}
		}
	}
}

func died(m *member, when string) error {
	err := m.proc.Wait()
	if err == nil {
		err = errors.New("it ended with status 0")
	}
	return fmt.Errorf("background cell %s died %s: %w", m.cell.ID, when, err)
}

func (t *trial) start(ctx context.Context, m *member) (err error) {
	event := func(e cell.Event) {
		switch e.Type {
		case "ready":
			if m != t.members[len(t.members)-1] {
				select {
				case <-m.ready:
				default:
					close(m.ready)
				}
			}
			return
		case "window":
			t.mu.Lock()
			t.window = cell.Control{Type: "window", Start: e.Start, End: e.End}
			t.mu.Unlock()
			return
		case "warning", "unsteady":
			t.mu.Lock()
			if t.warn(e.Text); e.Type == "unsteady" {
				t.detail.Unsteady = e.Text
			}
			t.mu.Unlock()
		case "progress":
			if m == t.members[len(t.members)-1] {
				t.reach(progress(e))
			}
		}
		t.engine.done <- func() { t.engine.opt.Observer.Event(m.cell, e) }
	}
	m.proc, err = t.engine.process(ctx, m, event)
	if err == nil && m.cell.Trial != nil && m.cell.Stage.Kind.Script {
		go m.watch()
	}
	return err
}

// What is kept of a trial's warnings: all of them would slow down every later run.
const (
	mostWarnings = 100
	longestWarns = 2000 // bytes of one
)

// warn notes a warning; t.mu is held.
func (t *trial) warn(text string) {
	if len(t.detail.Warnings) == mostWarnings {
		t.unkept++
		return
	}
	if len(text) > longestWarns {
		text = strings.ToValidUTF8(text[:longestWarns], "") + "..."
	}
	t.detail.Warnings = append(t.detail.Warnings, text)
}

// progress is an event of that type in words.
func progress(e cell.Event) string {
	switch {
	case e.Total == 0:
		return e.Text
	case e.Text == "":
		return fmt.Sprintf("%d of %d", e.Done, e.Total)
	}
	return fmt.Sprintf("%d of %d (%s)", e.Done, e.Total, e.Text)
}

// reach notes how far the trial has come.
func (t *trial) reach(what string) {
	t.mu.Lock()
	t.reached = what
	t.mu.Unlock()
}

// far says how far the trial has come.
func (t *trial) far() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reached
}

// check holds a member's folder against what it declared.
func check(m *member) error {
	declared := map[string]bool{}
	for _, name := range m.Spec.Files {
		declared[name] = true // a link that furnish made
	}
	for _, name := range m.cell.Outputs {
		declared[name] = true
		st, err := os.Lstat(filepath.Join(m.dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return cell.Hint(fmt.Errorf("%s ended well but left no %s", m.cell.ID, name), "it is declared as an output")
		case err != nil:
			return err
		case !st.Mode().IsRegular():
			return fmt.Errorf("what %s left: %w", m.cell.ID, cell.Irregular(name, st.Mode()))
		}
	}
	if m.cell.Stage.Kind.Script {
		return nil // a shell line may leave scratch files
	}
	return filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name, _ := filepath.Rel(m.dir, path); !declared[name] {
			return cell.Hint(fmt.Errorf("%s wrote %s, which it does not declare", m.cell.ID, name), "add it to outputs: of stage %q", m.cell.Stage.Name)
		}
		return nil
	})
}

// keep moves what the trial left into the store, where a record makes it a
// result, and publishes it.
func (t *trial) keep(began time.Time) error {
	var records []*store.Record
	for _, m := range t.members {
		record := &store.Record{Key: m.Key, Cell: t.engine.plan.Name(m.cell), Started: began.UnixNano()}
		for _, name := range m.cell.Outputs {
			f, err := t.engine.store.Put(filepath.Join(m.dir, name), name)
			if err != nil {
				return fmt.Errorf("keep output %s: %w", name, err)
			}
			record.Files = append(record.Files, f)
		}
		records = append(records, record)
	}
	if t.unkept > 0 {
		t.detail.Warnings = append(t.detail.Warnings, fmt.Sprintf("%d more warnings are not kept", t.unkept))
	}
	wall := time.Since(began)
	for _, record := range records {
		record.Wall = wall
	}
	if err := t.engine.store.Commit(t.detail, records...); err != nil {
		return err
	}
	t.records = records
	for i, m := range t.members {
		written, err := t.engine.write(m.cell, records[i])
		t.published = append(t.published, written...)
		if err != nil {
			return err
		}
	}
	return nil
}

// discard clears up after a trial. A folder is left for the next cell that needs
// one like it, if nobody lives who could write into it: folders are most of what
// a small cell costs.
func (t *trial) discard() {
	for _, m := range t.members {
		if m.spare = m.proc != nil && m.proc.Alone() && folder.Clear(m.dir, m.shape, m.Spec.Files, t.engine.links) == nil; !m.spare {
			os.RemoveAll(m.dir)
		}
	}
}

// reuse takes the folders that discard left.
func (r *run) reuse(t *trial) {
	for _, m := range t.members {
		if m.spare {
			alike := strings.Join(m.shape, "\x00")
			r.spare[alike] = append(r.spare[alike], m.dir)
		}
	}
}

// log returns where the foreground's log is, or a background's that has one.
func (t *trial) log() string {
	for i := len(t.members) - 1; i >= 0; i-- {
		if m := t.members[i]; m.log.Written > 0 {
			return m.log.Path
		}
	}
	return ""
}
