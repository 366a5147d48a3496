package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster/agent"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/engine"
	"barograph/pipeline/launch/slurm"
)

// look learns what has happened since the last look, and acts on it.
func (d *Driver) look() {
	for _, a := range d.arrays {
		d.listen(a)
	}
	open := 0
	for _, a := range d.arrays {
		for _, p := range a.packs {
			if len(p.orders) > 0 {
				open++
			}
		}
	}
	if open > 0 && !d.asking && time.Since(d.asked) >= d.pause {
		d.asking = true
		go func() { // a controller that is away takes long to say nothing
			var a queued
			a.jobs, a.err = d.slurm.Queue(d.job)
			d.answers <- a
		}()
	}
	for _, a := range d.arrays {
		for _, p := range a.packs {
			if !p.over && time.Since(p.sought) >= lastLook && p.ended(3*time.Duration(d.Beat)) {
				p.sought = time.Now()
				d.conclude(p)
			}
		}
	}
}

// listen reads what attempts at an array's packs say, and acts on it.
func (d *Driver) listen(a *array) { d.listenTo(a, d.hear) }

func (d *Driver) listenTo(a *array, hear func(*packed, *attempt, agent.Note)) {
	dir := filepath.Join(a.dir, "attempts")
	entries, _ := os.ReadDir(dir) // one that cannot be read now is later
	for _, e := range entries {
		t, ok := agent.ParseToken(e.Name())
		if !ok || t.Index < 0 || t.Index >= len(a.packs) {
			continue
		}
		at := a.attempts[t]
		if at == nil {
			at = &attempt{Token: t, since: time.Now(), heard: time.Now(), began: map[string]bool{}}
			a.attempts[t] = at
		}
		for _, n := range at.follow(dir) {
			hear(a.packs[t.Index], at, n)
		}
	}
}

// hear acts on a note.
func (d *Driver) hear(p *packed, a *attempt, n agent.Note) {
	o := p.orders[n.Key]
	switch n.Type {
	case agent.Began:
		d.hurry()
		if o != nil {
			o.tell(cell.Event{Type: "ready"})
		}
	case agent.Done:
		if o != nil && d.receive(o) {
			delete(p.orders, n.Key)
		}
	case agent.Failed:
		if o != nil && p.newest() == a {
			delete(p.orders, n.Key)
			o.answer <- answer{err: &cell.Error{Err: &engine.Remote{Err: errors.New(n.Error), Log: n.Log}, Hint: n.Hint}}
		}
	case agent.Ended:
		d.soon()
		if n.Status == 0 && p.newest() == a {
			d.regain(p, n.Packs)
		}
		if n.Status == agent.StatusUnfit && p.newest() == a {
			for _, o := range p.orders {
				o.unfit[a.node] = n.Error
			}
		}
	}
}

// regain has orders submitted that were given to a job which ended, and did not take them.
func (d *Driver) regain(p *packed, taken int) {
	for key, o := range p.orders {
		if o.pack >= taken {
			delete(p.orders, key)
			delete(d.packs, key)
			d.waiting = append(d.waiting, o)
		}
	}
}

// newest is the last attempt that is known.
func (p *packed) newest() (last *attempt) {
	for t, a := range p.attempts {
		if t.Index == p.index && (last == nil || t.Restarts > last.Restarts) {
			last = a
		}
	}
	return last
}

// ended tells whether no attempt at a pack lives or will, by what is positively known:
// the queue says so, or does not know the job any more while no agent beats.
func (p *packed) ended(silence time.Duration) bool {
	if p.state.Ended() {
		return true
	}
	a := p.newest()
	quiet := a == nil || a.end != nil || time.Since(a.heard) > silence
	return p.absent >= 2 && quiet
}

// soon has the queue asked soon.
func (d *Driver) soon() { d.pause = min(d.pause, firstAsk/2) }

// A queued is what the queue said, once for all jobs.
type queued struct {
	jobs []slurm.Job
	err  error
}

// learn takes what the queue said.
func (d *Driver) learn(jobs []slurm.Job, err error) {
	d.asked = time.Now()
	d.pause = min(lastAsk, d.pause*3/2)
	if err != nil {
		if !d.silent {
			d.announce("the queue does not answer, so nothing is known of the jobs: " + err.Error())
		}
		d.silent = true
		return
	}
	if d.silent {
		d.announce("the queue answers again")
		d.silent, d.pause = false, firstAsk
	}
	known := map[agent.Token]slurm.Job{}
	for _, j := range jobs {
		for _, a := range d.arrays {
			if a.Job == "" && j.Comment == a.name {
				a.Job = j.ID
				_ = agent.WriteWhole(filepath.Join(a.dir, "asked"), a.request) // else it is found so again
			}
		}
		known[agent.Token{Index: j.Index, Job: j.ID}] = j
	}
	for _, a := range d.arrays {
		for _, p := range a.packs {
			if p.over || a.leaving {
				continue
			}
			j, ok := known[agent.Token{Index: p.index, Job: a.Job}]
			if !ok {
				p.absent++
				continue
			}
			if j.State != p.state.State {
				d.pause = firstAsk
			}
			p.absent, p.state = 0, j
			d.heed(p)
		}
	}
}

// phantom is how long Slurm may take a job to run whose agent has ended.
const phantom = 10 * time.Second

// heed acts on what the queue says of a job that has not ended.
func (d *Driver) heed(p *packed) {
	j := p.state
	id := fmt.Sprintf("%s_%d", j.ID, j.Index)
	a := p.newest()
	switch why := j.Never(); {
	case j.State == "RUNNING" && a != nil && a.end != nil && time.Since(a.heard) > phantom:
		// The node's word that the job has ended was lost with a daemon.
		p.phantom = d.slurm.Cancel(id) == nil
	case j.State == "PENDING" && j.Reason == "BeginTime" && !d.Pause:
		_, _ = d.slurm.Ask("scontrol", "update", "JobId="+id, "StartTime=now") // else it waits for two minutes
	case j.State == "PENDING" && strings.HasPrefix(j.Reason, "launch failed"):
		_, _ = d.slurm.Ask("scontrol", "release", id) // its node was lost as it started
	case why != "":
		if err := d.slurm.Cancel(id); err != nil {
			d.Warn(err)
		}
		p.over = true
		err := cell.Hint(fmt.Errorf("job %s can never run: %s (%s); it was cancelled", id, why, j.Reason), "see partition:, time:, gres: and extra: of %s/%s.yaml, and \"barograph doctor --on %s\"", file.Folder, d.Name(), d.Name())
		for key, o := range p.orders {
			delete(p.orders, key)
			o.answer <- answer{err: err}
		}
	}
}

// Name is that of the cluster.
func (c *Cluster) Name() string { return filepath.Base(c.home) }

// late is how long a result may take to be seen once its job has ended.
const late = time.Second

// conclude ends a pack whose job has: results may be there that nobody told of, and
// what is not there is to be run again.
func (d *Driver) conclude(p *packed) {
	for key, o := range p.orders {
		if d.receive(o) {
			delete(p.orders, key)
		}
	}
	if len(p.orders) == 0 {
		p.over = true
		return
	}
	// A network's file system may show a result late. Nothing is wrong if it comes
	// only after the cell was run again: the first stands.
	if p.missing.IsZero() {
		p.missing = time.Now()
	}
	if time.Since(p.missing) < late {
		return
	}
	p.over = true
	a := p.newest()
	started := a != nil && slices.ContainsFunc(slices.Collect(maps.Keys(p.orders)), func(key string) bool { return a.began[key] })
	why := p.lost(a)
	unfit := a != nil && a.end != nil && a.end.Status == agent.StatusUnfit
	for key, o := range p.orders {
		delete(p.orders, key)
		delete(d.packs, key)
		switch {
		case p.state.State == "CANCELLED" && !p.phantom && (a == nil || a.end == nil || a.end.Status != agent.StatusUnfit):
			o.answer <- answer{err: cell.Hint(errors.New(why), "run again to submit the rest")}
			continue
		case unfit:
		case !started || a.began[key]:
			o.tries++
		}
		if o.tries >= d.Tries {
			o.answer <- answer{err: cell.Hint(fmt.Errorf("%s, the last of %d tries", why, o.tries), "the job's log is %s", filepath.Join(p.dir, "log"))}
			continue
		}
		d.waiting = append(d.waiting, o)
	}
	if len(d.waiting) > 0 {
		d.waiting[len(d.waiting)-1].tell(cell.Event{Type: "progress", Text: why + "; what is missing is submitted again"})
	}
}

// lost says how a job ended that did not do all.
func (p *packed) lost(a *attempt) string {
	text := fmt.Sprintf("job %s_%d", p.Job, p.index)
	if p.Job == "" {
		return "the array " + p.name + " never reached the queue"
	}
	if p.state.State != "" {
		text += " ended " + p.state.State
		if p.state.Node != "" {
			text += " on " + p.state.Node
		}
	} else {
		text += " is gone"
	}
	switch {
	case a == nil:
		text += " before its agent said a word"
	case a.end == nil:
		text += " and its agent did not say why"
	case a.end.Error != "":
		text += ": " + a.end.Error
	}
	return text
}

// announce tells whoever waits.
func (d *Driver) announce(text string) {
	for _, p := range d.packs {
		for _, o := range p.orders {
			o.tell(cell.Event{Type: "progress", Text: text})
			return
		}
	}
}

// An attempt is what the driver has read of one's file.
type attempt struct {
	agent.Token
	read  int64     // bytes
	since time.Time // by the driver's clock, as heard
	heard time.Time // when last anything was new, by the driver's clock
	node  string
	end   *agent.Note
	began map[string]bool // cells
}

// follow reads what is new in an attempt's file. It opens it anew: so a network's file
// system looks.
func (a *attempt) follow(dir string) (notes []agent.Note) {
	f, err := os.Open(filepath.Join(dir, a.File()))
	if err != nil {
		return nil
	}
	defer f.Close()
	if _, err := f.Seek(a.read, io.SeekStart); err != nil {
		return nil
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	a.read += int64(whole)
	for line := range bytes.Lines(b[:whole]) {
		var n agent.Note
		if json.Unmarshal(line, &n) != nil {
			continue // a torn line of a node that died
		}
		a.heard = time.Now()
		switch n.Type {
		case agent.Started:
			a.node = n.Node
		case agent.Began:
			a.began[n.Key] = true
		case agent.Ended:
			a.end = &n
		}
		notes = append(notes, n)
	}
	return notes
}
