package twin

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"barograph/stages/device"
	"barograph/stages/guard"
)

const never = math.MaxInt64

// Run simulates loads and services, until a time, or until one of them has had enough,
// or nothing more happens. The seed is of what varies in the loads.
func (l *Link) Run(loads []Load, services []*Service, until int64, seed uint64) {
	s := &simulation{link: l, asks: map[int64]bool{}, rng: rand.New(rand.NewPCG(seed, 0x7477696e))}
	s.processor = processor{Computing: l.Computing, process: none, deadline: never, next: never}
	processes := 1
	for _, load := range loads {
		processes = max(processes, load.Process+1)
	}
	for _, service := range services {
		processes = max(processes, service.Process+1)
	}
	for d := range s.engines {
		e := &s.engines[d]
		e.turn, e.process, e.finish, e.deadline = l.Turn[d], none, never, never
		e.waiting = make([]ring, processes)
		if e.turn == 0 {
			e.waiting = e.waiting[:1]
		}
	}
	for i := range loads {
		s.add(&loads[i])
	}
	for _, service := range services {
		if service.Due != nil && len(service.Due) == 0 {
			continue
		}
		for worker := range max(1, service.Workers) {
			s.services = append(s.services, newServing(s, service, worker))
		}
	}
	s.run(until)
}

// A simulation is engines and a queue of what else happens.
type simulation struct {
	link      *Link
	rng       *rand.Rand
	now       int64
	engines   [device.NumDirections]engine
	processor processor
	streams   []stream
	loads     []loadProgress
	services  []*serviceProgress // of each worker
	queue     events
	order     uint64
	over      bool
	held      []int32        // streams whose guard lets nothing go until a copy is over
	asks      map[int64]bool // times at which those ask again
	batches   [][]int32      // of streams that were held and are to ask again
	idle      []int32        // batches that are over
}

// A stream is a queue of copies in one direction.
type stream struct {
	direction device.Direction
	process   int
	load      int32   // whose it is; none: the service's
	thread    int32   // of the load, or the place in services
	ready     int     // copies, with one in service
	copies    []int64 // the service's: bytes of each
	at        int     // of copies: the one that is served next
	left      int64   // of a copy that was broken off; 0: none was
	beside    float64 // of its engine, and both, as it was
	both      bool
	begun     int64    // when the copy in service or broken off began
	flights   []flight // of copies that a guard let go, the oldest first
}

// A flight is a copy that a guard let go.
type flight struct {
	pass  guard.Pass
	since int64
}

const none = -1

// What comes next, where it is no engine.
const (
	happens  = -1 - iota // an event of the queue
	computes             // the processor
)

// An engine serves the copies of one direction.
type engine struct {
	turn     int64
	process  int // that is served; none: nobody is
	stream   int32
	finish   int64   // of the copy in service
	beside   float64 // by how much longer it takes while there are copies the other way
	both     bool    // as there are
	turned   int64   // when the process's turn began
	deadline int64   // when it ends, if another process waits
	waiting  []ring  // of each process: streams with copies ready, less the one in service
}

func (s *simulation) run(until int64) {
	for !s.over {
		at, which := int64(never), happens
		for d := range s.engines {
			if e := &s.engines[d]; min(e.finish, e.deadline) < at {
				at, which = min(e.finish, e.deadline), d
			}
		}
		if len(s.queue) > 0 && s.queue[0].time < at {
			at, which = s.queue[0].time, happens
		}
		if s.processor.next < at {
			at, which = s.processor.next, computes
		}
		if at >= until {
			return
		}
		s.now = at
		switch {
		case which == computes:
			for _, id := range s.processor.end(at) {
				s.services[id].computed(s)
			}
		case which == happens:
			s.happen(s.queue.pop())
		case s.engines[which].finish <= at:
			s.finish(device.Direction(which))
		default:
			s.expire(device.Direction(which))
		}
		s.balance()
	}
}

// balance has a copy in service go on faster or slower where copies the other way have
// ended or begun. What is left of it is stretched evenly, times of a slow link too.
func (s *simulation) balance() {
	for d := device.H2D; d <= device.D2H; d++ {
		e := &s.engines[d]
		both := s.engines[d^1].process != none
		if e.process == none || both == e.both || e.finish <= s.now {
			continue
		}
		times := e.beside
		if !both {
			times = 1 / times
		}
		e.both = both
		from := max(s.now, e.turned)
		e.finish = from + int64(math.Round(float64(e.finish-from)*times))
	}
}

// submit makes a stream's next copy ready.
func (s *simulation) submit(id int32) {
	st := &s.streams[id]
	st.ready++
	e := &s.engines[st.direction]
	if e.turn == 0 {
		e.waiting[0].push(id)
		if e.process == none {
			s.serve(st.direction, 0)
		}
		return
	}
	if st.ready == 1 {
		e.waiting[st.process].push(id)
	}
	switch {
	case e.process == none:
		e.turned = s.now
		s.serve(st.direction, st.process)
	case st.process != e.process && e.deadline == never:
		turns := (s.now - e.turned) / e.turn
		e.deadline = e.turned + (turns+1)*e.turn
	}
}

// serve begins or goes on with a copy of a process.
func (s *simulation) serve(d device.Direction, process int) {
	e := &s.engines[d]
	e.process, e.stream = process, e.waiting[process].pop()
	s.begin(d)
}

func (s *simulation) begin(d device.Direction) {
	e := &s.engines[d]
	st := &s.streams[e.stream]
	from := max(s.now, e.turned)
	if st.left > 0 { // of one that was broken off, at the pace at which it was
		e.finish, e.beside, e.both, st.left = from+st.left, st.beside, st.both, 0
		return
	}
	st.begun = from
	length := func(both bool) int64 {
		if st.load == none {
			return s.link.length(d, st.copies[st.at], 1, both)
		}
		return s.loads[st.load].length(s.link, d, st.bytes(s), both)
	}
	takes := length(false)
	e.beside, e.both = 1, false
	if d <= device.D2H { // copies off the link have no other way
		e.beside, e.both = float64(length(true))/float64(max(1, takes)), s.engines[d^1].process != none
	}
	if e.both {
		takes = length(true)
	}
	fixed := min(int64(s.link.Overhead), takes)
	if st.load != none {
		fixed = min(fixed+s.loads[st.load].Overhead, takes)
	}
	e.finish = s.link.Slow.end(from+fixed, takes-fixed)
}

// expire ends a turn.
func (s *simulation) expire(d device.Direction) {
	e := &s.engines[d]
	st := &s.streams[e.stream]
	st.left, st.beside, st.both = max(1, e.finish-s.now), e.beside, e.both
	e.waiting[e.process].front(e.stream)
	s.pass(d)
}

// pass gives the turn to the next process with copies ready.
func (s *simulation) pass(d device.Direction) {
	e := &s.engines[d]
	e.deadline = never
	was, next, others := e.process, none, 0
	for i := 1; i <= len(e.waiting); i++ {
		p := (was + i) % len(e.waiting)
		if e.waiting[p].len() == 0 {
			continue
		}
		if others++; next == none {
			next = p
		}
	}
	if next == none {
		e.process, e.finish = none, never
		return
	}
	e.turned = s.now
	if next != was {
		e.turned += s.link.Switch
	}
	if others > 1 {
		e.deadline = e.turned + e.turn
	}
	s.serve(d, next)
}

// finish ends a copy.
func (s *simulation) finish(d device.Direction) {
	e := &s.engines[d]
	id := e.stream
	st := &s.streams[id]
	c := device.Copy{Start: st.begun, Duration: s.now - st.begun, Direction: d}
	st.ready--
	stay := st.ready > 0 && e.turn > 0
	var over flight
	if st.load == none {
		c.Bytes = st.copies[st.at]
		st.at++
	} else {
		c.Bytes, over = st.bytes(s), st.land()
	}
	// The engine goes on before those who waited for the copy learn of its end.
	switch {
	case e.turn == 0:
		e.process, e.finish = none, never
		if e.waiting[0].len() > 0 {
			s.serve(d, 0)
		}
	case stay:
		s.begin(d)
	case e.waiting[e.process].len() > 0:
		s.serve(d, e.process)
	default:
		s.pass(d)
	}
	if st.load == none {
		s.services[st.thread].copied(s)
	} else {
		s.copied(id, c, over)
	}
}

// bytes returns those of the stream's copy in service or next.
func (st *stream) bytes(s *simulation) int64 {
	if len(st.flights) > 0 {
		return st.flights[0].pass.Bytes
	}
	return s.loads[st.load].Block
}

// land takes the oldest copy that a guard let go off a stream, where there is one.
func (st *stream) land() (f flight) {
	if len(st.flights) > 0 {
		f = st.flights[0]
		st.flights = st.flights[:copy(st.flights, st.flights[1:])]
	}
	return f
}

// A loadProgress is a load with what it has done.
type loadProgress struct {
	*Load
	pace    guard.Bucket
	made    []int // copies, of each stream from first on
	driver  int64 // when its threads have made the calls that they are at, one after the other
	first   int32
	refused uint64 // the batch of streams in which its guard let nothing go last
	share   float64
	lengths [device.NumDirections][2]int64 // of a block, alone and with copies the other way
}

// length returns how long a copy of the load's holds its engine.
func (l *loadProgress) length(link *Link, d device.Direction, bytes int64, both bool) int64 {
	switch {
	case bytes != l.Block:
		return link.length(d, bytes, l.share, both) + l.Overhead
	case both:
		return l.lengths[d][1]
	}
	return l.lengths[d][0]
}

func (s *simulation) add(load *Load) {
	share := load.Share
	if share == 0 {
		share = 1
	}
	l := loadProgress{Load: load, share: share, pace: guard.NewBucket(load.Rate, load.Block), first: int32(len(s.streams))}
	for _, d := range load.Directions {
		for i, both := range []bool{false, true} {
			l.lengths[d][i] = s.link.length(d, load.Block, share, both) + load.Overhead
		}
	}
	if load.Owed > 0 { // a first copy then, of which nothing is seen
		l.pace.Reserve(-load.Owed, 0)
	}
	n := int32(len(s.loads))
	for thread := range load.Threads {
		for _, d := range load.Directions {
			process := load.Process
			if s.engines[d].turn == 0 {
				process = 0
			}
			s.streams = append(s.streams, stream{direction: d, process: process, load: n, thread: int32(thread)})
		}
	}
	l.made = make([]int, len(s.streams)-int(l.first))
	s.loads = append(s.loads, l)
	for thread := range load.Threads {
		for range load.Outstanding {
			for i := range load.Directions {
				s.next(l.first + int32(thread*len(load.Directions)+i))
			}
		}
	}
}

// next has a stream's next copy submitted when the load's rate allows it.
func (s *simulation) next(id int32) {
	l := &s.loads[s.streams[id].load]
	made := &l.made[id-l.first]
	if l.Calls > 0 && *made == l.Calls {
		return
	}
	at, pass := s.now, guard.Pass{}
	if l.Guard != nil {
		ok := false
		if pass, at, ok = l.Guard.Try(s.now, l.Block); !ok {
			s.held = append(s.held, id)
			if at > s.now && !s.asks[at] { // of many streams one asks for all
				s.asks[at] = true
				s.at(at, asking, none)
			}
			return
		}
	}
	*made++
	at = max(at, l.pace.Reserve(at, l.Block))
	if at > s.now {
		if l.Late > 0 {
			at += int64(l.Late * s.rng.ExpFloat64())
		}
		if l.Stalls > 0 && s.rng.Float64() < l.Stalls*float64(at-s.now)/1e9 {
			at += int64(float64(l.Stall) * s.rng.ExpFloat64())
		}
	}
	if l.Guard != nil {
		s.streams[id].flights = append(s.streams[id].flights, flight{pass, at})
	}
	if at == s.now {
		s.submit(id)
		return
	}
	s.at(at, submitting, id)
}

// copied has a load's stream go on after a copy, which was in flight.
func (s *simulation) copied(id int32, c device.Copy, over flight) {
	l := &s.loads[s.streams[id].load]
	if l.Guard != nil {
		l.Guard.Leave(over.pass, over.since, s.now)
	}
	if l.Done != nil && !l.Done(int(s.streams[id].thread), c) {
		s.over = true
		return
	}
	gap := l.Gap
	if l.Jitter > 0 {
		gap += int64(l.Jitter * s.rng.ExpFloat64())
	}
	if l.Serial {
		l.driver = max(s.now, l.driver) + gap
		gap = l.driver - s.now
	}
	s.ask(gap) // before the stream whose copy it was
	s.at(s.now+gap, going, id)
}

// ask has the streams that are held ask their guards again after a gap.
func (s *simulation) ask(gap int64) {
	if len(s.held) == 0 {
		return
	}
	if len(s.idle) == 0 {
		s.idle, s.batches = append(s.idle, int32(len(s.batches))), append(s.batches, nil)
	}
	last := len(s.idle) - 1
	batch := s.idle[last]
	s.idle = s.idle[:last]
	s.batches[batch], s.held = s.held, s.batches[batch][:0]
	s.at(s.now+gap, retrying, batch)
}

// retry has a batch of streams ask. What a guard refuses to one it refuses to all the
// load's that ask at once after it.
func (s *simulation) retry(e event) {
	for _, id := range s.batches[e.who] {
		l := &s.loads[s.streams[id].load]
		if l.refused == e.order {
			s.held = append(s.held, id)
			continue
		}
		held := len(s.held)
		s.next(id)
		if len(s.held) > held {
			l.refused = e.order
		}
		s.balance()
	}
	s.idle = append(s.idle, e.who)
}

// A serviceProgress is a worker of a service with the request that it is at, or the
// batch of them.
type serviceProgress struct {
	*Service
	id        int32    // its place in services
	worker    int      // of its service
	streams   [2]int32 // of inputs and outputs
	n         int      // requests answered
	scheduled int64
	begun     int64
	flying    int // copies that the request waits for
	phase     phase
	victim    *guard.Victim // of Page, where it tells of calls
	batch     int           // requests that are answered together
	large     []int64       // bytes of inputs that an engine copies
	small     int64         // how long the others take
	out       []int64       // bytes of outputs
}

// A phase is what the request waits for.
type phase uint8

const (
	inputs    phase = iota
	beginning       // with small inputs, which come with commands, before large ones
	computing
	outputs
)

func newServing(s *simulation, service *Service, worker int) *serviceProgress {
	v := &serviceProgress{Service: service, id: int32(len(s.services)), worker: worker}
	for i, d := range []device.Direction{device.H2D, device.D2H} {
		process := service.Process
		if s.engines[d].turn == 0 {
			process = 0
		}
		v.streams[i] = int32(len(s.streams))
		s.streams = append(s.streams, stream{direction: d, process: process, load: none, thread: v.id})
	}
	if service.Page != nil {
		v.victim = service.Page.Victim()
		v.victim.Moves(total(service.In), total(service.Out))
	}
	v.gather(s, 1)
	v.scheduled = service.Start
	if service.Due != nil {
		v.scheduled += service.Due[0]
	}
	s.at(v.scheduled, requesting, v.id)
	return v
}

func total(bytes []int64) (sum int64) {
	for _, b := range bytes {
		sum += b
	}
	return sum
}

// gather sizes the copies of a batch of n.
func (v *serviceProgress) gather(s *simulation, n int) {
	if n == v.batch {
		return
	}
	v.batch, v.large, v.small, v.out = n, nil, 0, slices.Clone(v.Out)
	for _, bytes := range v.In {
		if bytes *= int64(n); s.link.small(bytes, v.Behind) {
			v.small = max(v.small, s.link.length(device.H2D, bytes, 1, false))
		} else {
			v.large = append(v.large, bytes)
		}
	}
	for i := range v.out {
		v.out[i] *= int64(n)
	}
}

// ask takes the next batch from the queue.
func (v *serviceProgress) ask(s *simulation) {
	n, wake := v.Queue.Take(v.worker, s.now)
	switch {
	case n > 0:
		v.gather(s, n)
		v.request(s)
	case wake < s.now:
		s.over = true
	case wake < never:
		s.at(wake, requesting, v.id)
	}
}

// request sends the request's commands and inputs.
func (v *serviceProgress) request(s *simulation) {
	v.begun, v.phase = s.now, inputs
	if v.victim != nil {
		v.victim.Begin(s.now)
		s.ask(0)
	}
	later := int64(0)
	if v.Lag != nil {
		later = v.Lag()
	}
	if s.engines[device.H2D].process != none {
		later += s.link.Fetch
		if v.Held != nil {
			later += v.Held()
		}
	}
	if later > 0 {
		s.at(s.now+later, fetched, v.id)
		return
	}
	v.send(s)
}

// send sends the inputs. Small ones come with the commands, and so take a turn at the
// computing: one of its own where large ones have to come before the rest.
func (v *serviceProgress) send(s *simulation) {
	if v.small > 0 && len(v.large) > 0 && s.processor.shared() {
		v.phase = beginning
		s.processor.add(s.now, job{v.id, v.Process, v.Occupancy, float64(v.small)})
		return
	}
	v.copyIn(s)
}

func (v *serviceProgress) copyIn(s *simulation) {
	v.flying = len(v.large)
	if v.flying == 0 {
		v.flying = 1
		s.at(s.now+v.small, landed, v.id)
		return
	}
	id := v.streams[0]
	s.streams[id].copies, s.streams[id].at = v.large, 0
	for range v.large {
		s.submit(id)
	}
}

// copied goes on after one of the request's copies.
func (v *serviceProgress) copied(s *simulation) {
	if v.flying--; v.flying > 0 {
		return
	}
	if v.phase == inputs {
		v.phase = computing
		compute := v.Compute(s.now)
		if v.batch > 1 {
			compute += int64(float64(compute) * v.Further * float64(v.batch-1))
		}
		if s.processor.shared() {
			s.processor.add(s.now, job{v.id, v.Process, v.Occupancy, float64(compute)})
		} else {
			s.at(s.now+compute, computed, v.id)
		}
		return
	}
	v.arrive(s)
}

// arrive has the process learn of the last output.
func (v *serviceProgress) arrive(s *simulation) {
	if v.Notice != nil && len(s.loads) > 0 {
		s.at(s.now+v.Notice(), noticed, v.id)
		return
	}
	v.answer(s)
}

// computed goes on after a turn at the computing.
func (v *serviceProgress) computed(s *simulation) {
	if v.phase == beginning {
		v.phase = inputs
		v.copyIn(s)
		return
	}
	v.deliver(s)
}

// deliver sends the outputs.
func (v *serviceProgress) deliver(s *simulation) {
	v.phase, v.flying = outputs, len(v.out)
	if len(v.out) == 0 {
		v.arrive(s)
		return
	}
	id := v.streams[1]
	s.streams[id].copies, s.streams[id].at = v.out, 0
	for range v.out {
		s.submit(id)
	}
}

func (v *serviceProgress) answer(s *simulation) {
	if v.Queue != nil {
		v.rest(s)
		if s.over = !v.Queue.Answer(v.worker, v.begun, s.now); !s.over {
			v.ask(s)
		}
		return
	}
	if v.Page != nil {
		v.Page.Tell(s.now - v.scheduled)
	}
	more := v.Done(Call{Scheduled: v.scheduled, Start: v.begun, Latency: s.now - v.scheduled})
	v.n++
	if !more || v.Due != nil && v.n == len(v.Due) {
		s.over = true
		return
	}
	v.scheduled = s.now
	if v.Due != nil {
		if v.scheduled = v.Start + v.Due[v.n]; v.scheduled > s.now {
			v.rest(s)
			s.at(v.scheduled, requesting, v.id)
			return
		}
	}
	v.request(s)
}

// rest tells that no request is being answered.
func (v *serviceProgress) rest(s *simulation) {
	if v.victim != nil {
		v.victim.End(s.now)
		s.ask(0)
	}
}

// What happens beside engines.
type kind uint8

const (
	submitting kind = iota // a stream's next copy
	going                  // on with a load's stream after a gap
	retrying               // of streams that were held, a batch
	asking                 // of guards that let nothing go before
	requesting             // the next request
	fetched                // its commands are
	landed                 // its small inputs have
	computed
	noticed // the request's last output
)

func (s *simulation) happen(e event) {
	switch e.kind {
	case submitting:
		s.submit(e.who)
	case going:
		s.next(e.who)
	case retrying:
		s.retry(e)
	case asking:
		delete(s.asks, s.now)
		s.ask(0)
	case requesting:
		if v := s.services[e.who]; v.Queue != nil {
			v.ask(s)
		} else {
			v.request(s)
		}
	case fetched:
		s.services[e.who].send(s)
	case landed:
		s.services[e.who].copied(s)
	case computed:
		s.services[e.who].deliver(s)
	case noticed:
		s.services[e.who].answer(s)
	}
}

func (s *simulation) at(time int64, k kind, who int32) {
	s.order++
	s.queue.push(event{time, s.order, who, k})
}

// An event is ordered by its time, and then by when it was foreseen.
type event struct {
	time  int64
	order uint64
	who   int32
	kind  kind
}

func (e event) compare(o event) int {
	return cmp.Or(cmp.Compare(e.time, o.time), cmp.Compare(e.order, o.order))
}

// events is a heap. It is written out, since container/heap would put each event
// on Go's heap as well, and a simulation does little else.
type events []event

func (q *events) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h[up].compare(e) <= 0 {
			break
		}
		h[i], i = h[up], up
	}
	h[i] = e
	*q = h
}

func (q *events) pop() event {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; len(h) > 0; {
		down := 2*i + 1
		if down+1 < len(h) && h[down+1].compare(h[down]) < 0 {
			down++
		}
		if down >= len(h) || last.compare(h[down]) <= 0 {
			h[i] = last
			break
		}
		h[i], i = h[down], down
	}
	*q = h
	return top
}

// A ring is a queue of streams.
type ring struct {
	ids  []int32 // a power of two of them, or none
	head int
	n    int
}

func (r *ring) len() int { return r.n }

func (r *ring) grow() {
	if r.n < len(r.ids) {
		return
	}
	r.ids = slices.Concat(r.ids[r.head:], r.ids[:r.head], make([]int32, max(8, len(r.ids))))
	r.head = 0
}

func (r *ring) push(id int32) {
	r.grow()
	r.ids[(r.head+r.n)&(len(r.ids)-1)] = id
	r.n++
}

func (r *ring) front(id int32) {
	r.grow()
	r.head = (r.head - 1) & (len(r.ids) - 1)
	r.ids[r.head] = id
	r.n++
}

func (r *ring) pop() int32 {
	id := r.ids[r.head]
	r.head = (r.head + 1) & (len(r.ids) - 1)
	r.n--
	return id
}
