// Package cluster runs cells on other computers, through the scheduler that they
// have: Slurm. A cluster is a file under configs/clusters/.
//
// The driver, which is `run --on`, writes packs of tasks into a folder that all
// computers see and submits an array of jobs for them. In each job an agent runs its
// pack and leaves each trial's records there, first come. That a record is there is
// the only truth; an agent's own file of what it did explains why one is not yet, and
// the scheduler's word why there is no agent. What nobody knows of has not failed.
//
//	.barograph/on/cells, objects   records and outputs, as agents left them
//	.barograph/on/aside            results that came second and differ
//	.barograph/on/programs         the program, as it was when it was submitted
//	.barograph/on/clusters/NAME    what was asked of one cluster; see [Driver]
package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/cluster/node"
	"barograph/pipeline/engine"
	"barograph/pipeline/launch/slurm"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
)

// A Cluster is one that is asked from a workspace.
type Cluster struct {
	*file.File
	slurm slurm.Slurm
	Root  string            // the workspace
	dir   string            // all that is shared, .barograph/on
	home  string            // of this cluster in it
	job   string            // the name of the workspace's jobs there
	set   map[string]string // its settings, once they were asked for
}

// Open reads the file of a cluster, and sees that its scheduler answers.
func Open(root, name string) (*Cluster, error) {
	f, err := file.Read(root, name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, ".barograph", "on")
	sum := sha256.Sum256([]byte(root))
	return &Cluster{File: f, Root: root, dir: dir, home: filepath.Join(dir, "clusters", name), job: fmt.Sprintf("barograph-%x-%s", sum[:4], name)}, nil
}

func (c *Cluster) settings() (set map[string]string, err error) {
	if c.set == nil {
		c.set, err = c.slurm.Settings()
	}
	return c.set, err
}

// A Driver has tasks run on a cluster. It is the engine's [engine.Elsewhere].
//
// What it asked for lies below arrays/, a folder for each array of jobs:
//
//	asked      the keys of each pack, before it is submitted; with the job, after
//	N.json     a pack; N.1.json and so on, what its job is given after that
//	over       once no job is given more
//	attempts/  what each attempt at a pack says of itself, by pack, job and restart
//	log/       what jobs and failed cells wrote
type Driver struct {
	*Cluster
	Node    *node.Node // whose hardware the plan is made for
	Warn    func(error)
	Env     []string // that jobs begin with
	Program string   // on the nodes

	store  *store.Store
	kinds  cell.Kinds
	most   int // index of an array
	orders chan *order
	gone   chan *order // whose run was ended
	over   chan struct{}
	ended  sync.WaitGroup
	begin  sync.Once

	arrays  map[string]*array
	packs   map[string]*packed // by the key of a task in it that is wanted or may be
	waiting []*order
	later   time.Time // when what waits may be submitted again
	asked   time.Time // when the queue last answered
	asking  bool
	answers chan queued
	pause   time.Duration
	silent  bool // the queue did not answer
	halted  bool
}

// An order is a task that the engine waits for.
type order struct {
	task   *engine.Task
	tell   func(cell.Event)
	answer chan answer
	halted bool
	tries  int
	pack   int               // of those that its job was given
	unfit  map[string]string // nodes that are not to be tried, and why
}

func (o *order) key() string { return o.task.Foreground().Key }

type answer struct {
	records []*store.Record
	err     error
}

// An array is jobs that were submitted as one.
type array struct {
	name, dir string
	class     class // none where an earlier driver submitted it
	request
	packs    []*packed
	attempts map[token]*attempt
}

// A request is what is written of an array before it is submitted, and again after.
type request struct {
	Job   string     `json:"job,omitempty"`
	At    time.Time  `json:"at"`
	Flags []string   `json:"flags"`
	Packs [][]string `json:"packs"` // keys
}

// packed is a pack that was submitted.
type packed struct {
	*array
	index   int
	given   int // packs after its own
	orders  map[string]*order
	state   slurm.Job
	absent  int       // answers in a row that do not know it
	sought  time.Time // when results were last looked for of which nobody had told
	missing time.Time // since when results are not there that should be
	over    bool
	phantom bool // it was cancelled since it had ended
}

// Start readies a driver. Most is how many jobs an array may have.
func (c *Cluster) Start(s *store.Store, kinds cell.Kinds, node *node.Node) (*Driver, error) {
	set, err := c.settings()
	if err != nil {
		return nil, err
	}
	most, err := strconv.Atoi(set["MaxArraySize"])
	if err != nil || most < 1 {
		return nil, fmt.Errorf("the cluster's MaxArraySize is %q", set["MaxArraySize"])
	}
	d := &Driver{
		Cluster: c, Node: node, store: s, kinds: kinds, most: most,
		orders: make(chan *order), gone: make(chan *order), over: make(chan struct{}),
		arrays: map[string]*array{}, packs: map[string]*packed{}, pause: firstAsk, answers: make(chan queued, 1),
	}
	return d, d.find()
}

// Takes has shell lines, measured cells and those that ask for resources run on the
// cluster: what collects, analyses and draws is quick, and begins where its files are.
func (d *Driver) Takes(c *plan.Cell) bool {
	k := c.Stage.Kind
	return k.Script || k.Measured || len(c.Stage.Resources) > 0
}

// Run is that of [engine.Elsewhere].
func (d *Driver) Run(ctx context.Context, t *engine.Task, tell func(cell.Event)) ([]*store.Record, error) {
	d.begin.Do(func() { d.ended.Go(d.loop) })
	o := &order{task: t, tell: tell, answer: make(chan answer, 1), unfit: map[string]string{}}
	d.orders <- o
	select {
	case a := <-o.answer:
		return a.records, a.err
	case <-ctx.Done():
		o.halted = errors.Is(context.Cause(ctx), engine.ErrHalted)
		d.gone <- o
		return nil, context.Cause(ctx)
	}
}

// Close ends the driver, leaves what is submitted and lives, and removes the rest. It
// returns how many jobs live.
func (d *Driver) Close() (live int) {
	close(d.over)
	d.ended.Wait()
	for _, a := range d.arrays {
		_ = os.WriteFile(filepath.Join(a.dir, overFile), nil, 0o666) // else agents wait longer
	}
	for range 25 { // agents that sent all may be about to say so
		if live = d.sweep(); live == 0 {
			return 0
		}
		time.Sleep(nextLook)
	}
	d.learn(d.slurm.Queue(d.job))
	return d.sweep()
}

// sweep removes the arrays of which no job lives, and counts the jobs of others.
func (d *Driver) sweep() (live int) {
	for name, a := range d.arrays {
		d.listen(a)
		n := 0
		for _, p := range a.packs {
			if !p.finished() {
				n++
			}
		}
		if n == 0 {
			_ = os.RemoveAll(a.dir) // it is only in the way
			delete(d.arrays, name)
		}
		live += n
	}
	return live
}

// finished tells whether no attempt at a pack lives, or will.
func (p *packed) finished() bool {
	attempts := 0
	for t, a := range p.attempts {
		if t.index == p.index {
			if attempts++; a.end == nil && !p.over {
				return false
			}
		}
	}
	last := p.newest()
	return p.over || p.state.Ended() || p.absent >= 2 || last != nil && last.end != nil && last.end.Status != statusAgain
}

const overFile = "over"

// How long a batch of orders is waited for, and how often is looked.
const (
	gather   = 50 * time.Millisecond
	nextLook = 20 * time.Millisecond // while agents say something, for each 8 of them
	lastLook = 200 * time.Millisecond
	firstAsk = time.Second
	lastAsk  = 20 * time.Second

	retryAfter = 2 * time.Second
)

func (d *Driver) loop() {
	look := time.NewTimer(nextLook)
	defer look.Stop()
	var batch <-chan time.Time
	for {
		select {
		case <-d.over:
			return
		case o := <-d.orders:
			if d.take(o) {
				d.waiting = append(d.waiting, o)
				batch = time.After(gather)
			}
		case o := <-d.gone:
			d.drop(o)
		case a := <-d.answers:
			d.asking = false
			d.learn(a.jobs, a.err)
		case <-batch:
			batch = nil
			d.submitAll()
		case <-look.C:
			d.look()
			if len(d.waiting) > 0 && batch == nil && time.Now().After(d.later) {
				d.submitAll()
			}
			look.Reset(d.patience())
		}
	}
}

// patience is how long not to look: the more there is to read, and the longer nothing
// was heard, the longer.
func (d *Driver) patience() time.Duration {
	attempts, heard := 0, false
	for _, a := range d.arrays {
		attempts += len(a.attempts)
		for _, at := range a.attempts {
			heard = heard || time.Since(at.heard) < time.Second
		}
	}
	if !heard {
		return lastLook
	}
	return min(lastLook, nextLook*time.Duration(1+attempts/8))
}

// take answers an order at once where its result is there, and waits where a job has
// it; else it is to be submitted.
func (d *Driver) take(o *order) bool {
	if p := d.packs[o.key()]; p != nil && !p.over {
		p.orders[o.key()] = o
		return false
	}
	if d.store.Get(o.key(), o.task.Foreground().Spec.Outputs) != nil {
		// It has the result and wants another: what is there is not it.
		if err := store.Reject(d.dir, o.key(), filepath.Join(d.dir, "superseded", o.key()+"."+stamp())); err != nil {
			o.answer <- answer{err: err}
			return false
		}
		return true
	}
	return !d.receive(o)
}

func stamp() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// receive answers an order whose result is there.
func (d *Driver) receive(o *order) bool {
	records := d.store.Receive(d.dir, o.key(), d.Warn)
	if records == nil || len(records) != len(o.task.Members) {
		_ = store.Spoiled(d.dir, o.key()) // it is made again
		return false
	}
	o.answer <- answer{records: records}
	return true
}

// drop forgets an order that nobody waits for. Where a cell failed, nobody waits for any.
func (d *Driver) drop(o *order) {
	d.waiting = slices.DeleteFunc(d.waiting, func(w *order) bool { return w == o })
	if p := d.packs[o.key()]; p != nil {
		delete(p.orders, o.key())
	}
	if o.halted && !d.halted {
		d.halted = true
		if err := d.slurm.Cancel("-n", d.job, "--me"); err != nil {
			d.Warn(fmt.Errorf("jobs go on: %w", err))
		}
	}
}

// A class is what jobs are asked for that may be one array.
type class struct {
	device        string
	devices, cpus int
	memory        int64
	time          time.Duration
	alone         bool
	planned       bool // measured, on hardware
	without       string
}

func (d *Driver) class(o *order) class {
	t := o.task
	spec := t.Foreground().Spec
	c := class{device: spec.Machine.Device, cpus: max(d.CPUs, int(t.Resources["cpu"])), memory: max(int64(d.Memory), t.Resources["memory"]), time: time.Duration(d.Time)}
	if d.kinds[spec.Kind].Measured && !spec.Machine.Simulated() {
		c.planned, c.alone = true, !d.Shared
		if cell.Family(c.device) == "cuda" {
			c.devices = max(1+cell.Ordinal(c.device), int(t.Resources["device"]))
		}
	}
	const startUp = 5 * time.Minute
	if limit := time.Duration(t.Timeout); limit > 0 {
		c.time = max(c.time, limit+startUp)
	}
	c.without = strings.Join(slices.Sorted(maps.Keys(o.unfit)), ",")
	return c
}

// submitAll submits what waits, an array for each class.
func (d *Driver) submitAll() {
	waiting := d.waiting
	d.waiting = nil
	if d.halted {
		return
	}
	slices.SortStableFunc(waiting, func(a, b *order) int { return cmp.Compare(a.task.Place, b.task.Place) })
	by := map[class][]*order{}
	var classes []class
	for _, o := range waiting {
		c := d.class(o)
		if by[c] == nil {
			classes = append(classes, c)
		}
		by[c] = append(by[c], o)
	}
	for _, c := range classes {
		orders := by[c]
		size := min(d.Pack, max(1, (len(orders)+d.Jobs-1)/d.Jobs))
		packs := slices.DeleteFunc(slices.Collect(slices.Chunk(orders, size)), func(p []*order) bool { return d.give(c, p) })
		for chunk := range slices.Chunk(packs, d.most) { // an index is below the limit
			if err := d.submitArray(c, chunk); err != nil {
				for _, p := range chunk {
					for _, o := range p {
						d.refuse(o, err)
					}
				}
			}
		}
	}
}

// refuse answers an order that cannot be submitted.
func (d *Driver) refuse(o *order, err error) {
	if slurm.Unsure(err) || slurm.Unmet(err) && !d.slurm.Whole(d.Partition) { // the controller is away, or nodes are
		d.waiting, d.later = append(d.waiting, o), time.Now().Add(retryAfter)
		return
	}
	if len(o.unfit) > 0 && slurm.Unmet(err) {
		err = errors.New("no node of the cluster would do to measure on")
	}
	for _, node := range slices.Sorted(maps.Keys(o.unfit)) {
		err = fmt.Errorf("%w; %s: %s", err, node, o.unfit[node])
	}
	o.answer <- answer{err: err}
}

func (d *Driver) flags(c class) []string {
	flags := []string{"--time=" + slurm.Minutes(c.time), "--cpus-per-task=" + strconv.Itoa(c.cpus), "--ntasks=1"}
	if c.memory > 0 {
		flags = append(flags, fmt.Sprintf("--mem=%dK", (c.memory+1023)/1024))
	}
	if c.devices > 0 {
		flags = append(flags, fmt.Sprintf("--gres=%s:%d", cmp.Or(d.Gres, "gpu"), c.devices))
	}
	if c.alone {
		flags = append(flags, "--exclusive")
	}
	if c.without != "" {
		flags = append(flags, "--exclude="+c.without)
	}
	return append(flags, d.File.Flags()...)
}

// within is the age up to which a job is given more: then most of the time that it asked
// for is left.
func (c class) within() time.Duration { return c.time / 10 }

// give gives orders to a job that has done all it had, if there is one. Should it have
// ended meanwhile, it says so, and they are submitted.
func (d *Driver) give(c class, orders []*order) bool {
	for _, a := range d.arrays {
		if a.class != c {
			continue
		}
		for _, p := range a.packs {
			at := p.newest()
			if p.over || len(p.orders) > 0 || at == nil || at.end != nil || time.Since(at.heard) > linger*3/4 || time.Since(at.since) > c.within() {
				continue
			}
			p.given++
			todo, keys := d.pack(c, len(a.packs), p, orders)
			a.Packs[p.index] = append(a.Packs[p.index], keys...)
			err := writeWhole(filepath.Join(a.dir, "asked"), a.request)
			if err == nil {
				err = writeWhole(filepath.Join(a.dir, follow(p.index, p.given)), todo)
			}
			if err == nil {
				d.keep(a)
				return true
			}
			p.orders, p.over = map[string]*order{}, true // they are submitted
		}
	}
	return false
}

// pack writes down what a job is given.
func (d *Driver) pack(c class, of int, p *packed, orders []*order) (todo pack, keys []string) {
	todo = pack{Within: c.within(), Of: of, Beat: time.Duration(d.Beat), Jobs: c.cpus, Scratch: d.Scratch, Device: c.device, Alone: c.alone, Size: map[string]int64{"cpu": int64(c.cpus)}}
	if c.planned {
		todo.Planned = d.Node
	}
	for _, o := range orders {
		o.pack = p.given
		p.orders[o.key()] = o
		todo.Tasks, keys = append(todo.Tasks, o.task), append(keys, o.key())
		for name, n := range o.task.Resources {
			todo.Size[name] = max(todo.Size[name], n)
		}
	}
	return todo, keys
}

// submitArray writes packs and submits an array of jobs for them. The intention is
// written before, so that a driver that comes after can find the jobs by it.
func (d *Driver) submitArray(c class, packs [][]*order) error {
	a := &array{name: stamp(), class: c, attempts: map[token]*attempt{}}
	a.dir = filepath.Join(d.home, "arrays", a.name)
	a.At, a.Flags = time.Now(), d.flags(c)
	if err := errors.Join(os.MkdirAll(filepath.Join(a.dir, "attempts"), 0o777), os.MkdirAll(filepath.Join(a.dir, "log"), 0o777)); err != nil {
		return err
	}
	for i, orders := range packs {
		p := &packed{array: a, index: i, orders: map[string]*order{}}
		todo, keys := d.pack(c, len(packs), p, orders)
		a.packs, a.Packs = append(a.packs, p), append(a.Packs, keys)
		if err := writeWhole(filepath.Join(a.dir, follow(i, 0)), todo); err != nil {
			return err
		}
	}
	if err := writeWhole(filepath.Join(a.dir, "asked"), a.request); err != nil {
		return err
	}
	last := min(time.Minute, c.time/4)
	job, err := d.slurm.Submit(d.Env, slurm.Script(d.Setup, d.Program, "cell-agent", a.dir), append(a.Flags,
		"--job-name="+d.job, "--comment="+a.name, "--requeue", "--open-mode=append", "--output="+slurm.Literal(filepath.Join(a.dir, "log"))+"/%a",
		"--chdir="+d.Root, fmt.Sprintf("--array=0-%d%%%d", len(packs)-1, d.Jobs), fmt.Sprintf("--signal=B:USR2@%d", int(last.Seconds())))...)
	if err != nil && !errors.Is(err, slurm.ErrNot) && !slurm.Unsure(err) {
		return errors.Join(err, os.RemoveAll(a.dir))
	}
	// Where the answer was lost, the queue is asked for a job with this comment.
	d.keep(a)
	d.pause, d.asked = firstAsk, time.Now()
	if err == nil {
		a.Job = job
		return writeWhole(filepath.Join(a.dir, "asked"), a.request)
	}
	return nil
}

func (d *Driver) keep(a *array) {
	d.arrays[a.name] = a
	for i, keys := range a.Packs {
		for _, key := range keys {
			d.packs[key] = a.packs[i]
		}
	}
}

// find reads what earlier drivers asked for and that may live still.
func (d *Driver) find() error {
	entries, err := os.ReadDir(filepath.Join(d.home, "arrays"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		a := &array{name: e.Name(), dir: filepath.Join(d.home, "arrays", e.Name()), attempts: map[token]*attempt{}}
		if readJSON(filepath.Join(a.dir, "asked"), &a.request) != nil {
			if d.store != nil { // a driver's own, and no other's that is about to submit it
				_ = os.RemoveAll(a.dir) // nothing was submitted
			}
			continue
		}
		for i := range a.Packs {
			a.packs = append(a.packs, &packed{array: a, index: i, orders: map[string]*order{}})
		}
		d.keep(a)
	}
	return nil
}
