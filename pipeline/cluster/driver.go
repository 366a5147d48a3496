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
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster/agent"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/cluster/node"
	"barograph/pipeline/engine"
	"barograph/pipeline/launch/slurm"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
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
//	N.json     a pack, which may come after its job; N.1.json and so on, what its job is given after that
//	over       once no job is given more
//	attempts/  what each attempt at a pack says of itself, by pack, job and restart
//	results/   what attempts sent, as files that the names below cells/ have in common
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
	placed  chan placed
	hurry   func()             // to the first result
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
	whole  bool // every node was there when it could not be submitted
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
	attempts map[agent.Token]*attempt
	leaving  bool // it is being submitted
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
	open    bool // its job may be there before what it is to do is written
	given   int  // packs after its own
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
		hurry: func() {}, orders: make(chan *order), gone: make(chan *order), over: make(chan struct{}),
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

// Expect has jobs queue while their tasks are still told: Slurm takes a second to look at
// what was submitted. It is that of [engine.Elsewhere].
func (d *Driver) Expect(p *plan.Plan, cells []*plan.Cell, key func(*plan.Cell) string) {
	place := map[*plan.Cell]int{}
	for i, c := range p.Order {
		place[c] = i + 1
	}
	cells = slices.DeleteFunc(cells, func(c *plan.Cell) bool {
		known := d.packs[key(c)]
		_, err := os.Stat(store.Parcel(d.dir, key(c)))
		return known != nil && !known.over || err == nil
	})
	slices.SortStableFunc(cells, func(a, b *plan.Cell) int { return cmp.Compare(place[a], place[b]) })
	var all []*array
	for c, cells := range classes(cells, func(c *plan.Cell) class { return d.class(c.Stage, p.Study.Machine, nil) }) {
		for chunk := range slices.Chunk(slices.Collect(slices.Chunk(cells, d.size(len(cells)))), d.most) {
			a, err := d.ask(c, keysOf(chunk, key))
			if err != nil {
				continue // it is asked again once they are ordered
			}
			a.leaving = true
			all = append(all, a)
		}
	}
	d.placed = make(chan placed, len(all))
	files := 0
	for _, c := range cells {
		files += len(c.Publish)
	}
	ready, hurry := d.store.Foresee(files, d.dir)
	d.hurry = hurry
	d.ended.Go(func() {
		for _, a := range all {
			d.placed <- d.submit(a)
		}
		if len(all) > 0 {
			ready() // while they queue
		}
	})
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
	d.hurry()
	close(d.over)
	d.ended.Wait()
	for len(d.placed) > 0 {
		d.learnPlace(<-d.placed)
	}
	for _, a := range d.arrays {
		d.withdraw(a)
		_ = os.WriteFile(filepath.Join(a.dir, agent.OverFile), nil, 0o666) // else agents wait longer
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

// withdraw cancels jobs that nothing came for.
func (d *Driver) withdraw(a *array) {
	for _, p := range a.packs {
		if p.open && a.Job != "" && !p.finished() && d.slurm.Cancel(fmt.Sprintf("%s_%d", a.Job, p.index)) == nil {
			d.Warn(fmt.Errorf("job %s_%d had nothing to do and was cancelled", a.Job, p.index))
			p.over = true
		}
	}
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
		if t.Index == p.index {
			if attempts++; a.end == nil && !p.over {
				return false
			}
		}
	}
	last := p.newest()
	return p.over || p.state.Ended() || p.absent >= 2 || last != nil && last.end != nil && last.end.Status != agent.StatusAgain
}

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
			}
			batch = time.After(gather)
		case p := <-d.placed:
			d.learnPlace(p)
		case o := <-d.gone:
			d.drop(o)
		case a := <-d.answers:
			d.asking = false
			d.learn(a.jobs, a.err)
		case <-batch:
			batch = nil
			d.fillAll()
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
		if p.open && len(p.orders) == len(p.Packs[p.index]) {
			d.fill(p)
		}
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

// class is what jobs are asked for that run a stage's cells on a machine, without some
// nodes.
func (d *Driver) class(st *study.Stage, m cell.Machine, without map[string]string) class {
	c := class{device: m.Device, cpus: max(d.CPUs, int(st.Resources["cpu"])), memory: max(int64(d.Memory), st.Resources["memory"]), time: time.Duration(d.Time)}
	if st.Kind.Measured && !m.Simulated() {
		c.planned, c.alone = true, !d.Shared
		if cell.Family(c.device) == "cuda" {
			c.devices = max(1+cell.Ordinal(c.device), int(st.Resources["device"]))
		}
	}
	const startUp = 5 * time.Minute
	if limit := time.Duration(st.Timeout); limit > 0 {
		c.time = max(c.time, limit+startUp)
	}
	c.without = strings.Join(slices.Sorted(maps.Keys(without)), ",")
	return c
}

func (d *Driver) classOf(o *order) class {
	spec := o.task.Foreground().Spec
	return d.class(&study.Stage{Kind: d.kinds[spec.Kind], Resources: o.task.Resources, Timeout: o.task.Timeout}, spec.Machine, o.unfit)
}

// classes puts together what is of one class, in the order in which each first comes.
func classes[T any](all []T, of func(T) class) iter.Seq2[class, []T] {
	by := map[class][]T{}
	var order []class
	for _, one := range all {
		c := of(one)
		if by[c] == nil {
			order = append(order, c)
		}
		by[c] = append(by[c], one)
	}
	return func(yield func(class, []T) bool) {
		for _, c := range order {
			if !yield(c, by[c]) {
				return
			}
		}
	}
}

// size is how many cells a pack has when so many are to run.
func (d *Driver) size(n int) int { return min(d.Pack, max(1, (n+d.Jobs-1)/d.Jobs)) }

// submitAll submits what waits, an array for each class.
func (d *Driver) submitAll() {
	waiting := d.waiting
	d.waiting = nil
	if d.halted {
		return
	}
	slices.SortStableFunc(waiting, func(a, b *order) int { return cmp.Compare(a.task.Place, b.task.Place) })
	for c, orders := range classes(waiting, d.classOf) {
		packs := slices.DeleteFunc(slices.Collect(slices.Chunk(orders, d.size(len(orders)))), func(p []*order) bool { return d.give(c, p) })
		for chunk := range slices.Chunk(packs, d.most) { // an index is below the limit
			d.submitArray(c, chunk)
		}
	}
}

// refuse answers orders that cannot be submitted, unless the controller is away or nodes
// are, or have been since the last try.
func (d *Driver) refuse(orders []*order, err error) {
	whole := slurm.Unmet(err) && d.slurm.Whole(d.Partition)
	for _, o := range orders {
		away := slurm.Unsure(err) || slurm.Unmet(err) && !(whole && o.whole)
		if o.whole = whole; away {
			d.waiting, d.later = append(d.waiting, o), time.Now().Add(retryAfter)
			continue
		}
		d.reject(o, err)
	}
}

// reject says why an order cannot be.
func (d *Driver) reject(o *order, err error) {
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
			if p.over || p.open || len(p.orders) > 0 || at == nil || at.end != nil || time.Since(at.heard) > agent.Linger*3/4 || time.Since(at.since) > c.within() {
				continue
			}
			p.given++
			todo, keys := d.pack(c, len(a.packs), p, orders)
			a.Packs[p.index] = append(a.Packs[p.index], keys...)
			err := agent.WriteWhole(filepath.Join(a.dir, "asked"), a.request)
			if err == nil {
				err = agent.WriteWhole(filepath.Join(a.dir, agent.PackFile(p.index, p.given)), todo)
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
func (d *Driver) pack(c class, of int, p *packed, orders []*order) (todo agent.Pack, keys []string) {
	todo = agent.Pack{Within: c.within(), Of: of, Beat: time.Duration(d.Beat), Jobs: c.cpus, Scratch: d.Scratch, Device: c.device, Alone: c.alone, Size: map[string]int64{"cpu": int64(c.cpus)}}
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

// submitArray has an array of jobs run packs.
func (d *Driver) submitArray(c class, packs [][]*order) {
	a, err := d.ask(c, keysOf(packs, (*order).key))
	if err != nil {
		d.refuse(slices.Concat(packs...), err)
		return
	}
	for i, p := range a.packs {
		for _, o := range packs[i] {
			p.orders[o.key()] = o
		}
		d.fill(p)
	}
	d.learnPlace(d.submit(a))
}

// keysOf returns the keys of what packs hold, by pack.
func keysOf[T any](packs [][]T, key func(T) string) [][]string {
	keys := make([][]string, len(packs))
	for i, pack := range packs {
		for _, one := range pack {
			keys[i] = append(keys[i], key(one))
		}
	}
	return keys
}

// ask writes down what is to be asked for, packs by their keys, before it is: so a driver
// that comes after can find the jobs by it. The packs themselves are written by fill.
func (d *Driver) ask(c class, keys [][]string) (*array, error) {
	a := &array{name: stamp(), class: c, attempts: map[agent.Token]*attempt{}}
	a.dir = filepath.Join(d.home, "arrays", a.name)
	a.request = request{At: time.Now(), Flags: d.flags(c), Packs: keys}
	if err := errors.Join(os.MkdirAll(filepath.Join(a.dir, "attempts"), 0o777), os.MkdirAll(filepath.Join(a.dir, "log"), 0o777), os.MkdirAll(filepath.Join(a.dir, "results"), 0o777), agent.WriteWhole(filepath.Join(a.dir, "asked"), a.request)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(a.dir))
	}
	for i := range keys {
		a.packs = append(a.packs, &packed{array: a, index: i, open: true, orders: map[string]*order{}})
	}
	d.keep(a)
	return a, nil
}

// fillAll writes what has come of the packs that are open.
func (d *Driver) fillAll() {
	for _, a := range d.arrays {
		for _, p := range a.packs {
			if p.open && !p.over {
				d.fill(p)
			}
		}
	}
}

// fill writes a pack: its cells that were ordered. The others are of no pack any more.
func (d *Driver) fill(p *packed) {
	p.open = false
	var orders []*order
	for _, key := range p.Packs[p.index] {
		if o := p.orders[key]; o != nil {
			orders = append(orders, o)
		} else if d.packs[key] == p {
			delete(d.packs, key)
		}
	}
	c := p.class
	if len(orders) > 0 {
		c = d.classOf(orders[0])
	}
	todo, _ := d.pack(c, len(p.packs), p, orders)
	if err := agent.WriteWhole(filepath.Join(p.dir, agent.PackFile(p.index, 0)), todo); err != nil {
		d.giveUp(p, err)
	}
}

// giveUp refuses what was ordered of a pack.
func (d *Driver) giveUp(p *packed, err error) {
	p.over = true
	orders := slices.Collect(maps.Values(p.orders))
	for key := range p.orders {
		delete(d.packs, key)
	}
	clear(p.orders)
	d.refuse(orders, err)
}

// placed is what Slurm said of an array.
type placed struct {
	*array
	job string
	err error
}

// submit submits an array of jobs, and changes nothing of it.
func (d *Driver) submit(a *array) placed {
	last := min(time.Minute, a.class.time/4)
	job, err := d.slurm.Submit(d.Env, slurm.Script(d.Setup, d.Program, "cell-agent", a.dir), slices.Concat(a.Flags, []string{
		"--job-name=" + d.job, "--comment=" + a.name, "--requeue", "--open-mode=append", "--output=" + slurm.Literal(filepath.Join(a.dir, "log")) + "/%a",
		"--chdir=" + d.Root, fmt.Sprintf("--array=0-%d%%%d", len(a.packs)-1, d.Jobs), fmt.Sprintf("--signal=B:USR2@%d", int(last.Seconds()))})...)
	return placed{a, job, err}
}

// learnPlace takes what Slurm said. Where its answer was lost, the queue is asked for a
// job with the array's comment.
func (d *Driver) learnPlace(p placed) {
	p.leaving = false
	d.pause, d.asked = firstAsk, time.Now()
	switch {
	case p.err == nil:
		p.Job = p.job
		if err := agent.WriteWhole(filepath.Join(p.dir, "asked"), p.request); err != nil {
			d.Warn(err) // its comment still says it
		}
		if d.halted { // the jobs were cancelled as this one came
			_ = d.slurm.Cancel(p.job)
		}
	case errors.Is(p.err, slurm.ErrNot) || slurm.Unsure(p.err):
	default:
		for _, pack := range p.packs {
			for _, key := range p.Packs[pack.index] {
				if d.packs[key] == pack {
					delete(d.packs, key)
				}
			}
			d.giveUp(pack, p.err)
		}
		delete(d.arrays, p.name)
		_ = os.RemoveAll(p.dir) // it is only in the way
	}
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
		a := &array{name: e.Name(), dir: filepath.Join(d.home, "arrays", e.Name()), attempts: map[agent.Token]*attempt{}}
		if cell.ReadJSON(filepath.Join(a.dir, "asked"), &a.request) != nil {
			if d.store != nil { // a driver's own, and no other's that is about to submit it
				_ = os.RemoveAll(a.dir) // nothing was submitted
			}
			continue
		}
		for i := range a.Packs {
			_, err := os.Stat(filepath.Join(a.dir, agent.PackFile(i, 0)))
			a.packs = append(a.packs, &packed{array: a, index: i, open: errors.Is(err, fs.ErrNotExist), orders: map[string]*order{}})
		}
		d.keep(a)
	}
	return nil
}
