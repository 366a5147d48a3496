package twin

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"barograph/stages/device"
)

const (
	ms  = int64(1e6)
	us  = int64(1e3)
	MiB = int64(1 << 20)
)

// hopper is a link with the figures of testdata/h100.json, less what varies.
func hopper() Link {
	return Link{
		Bandwidth: [device.NumDirections]float64{55e9, 55e9, 1e12, 50e9}, Both: 97e9, Overhead: 2700,
		Turn: [device.NumDirections]int64{1_051_500, 1_051_500}, Switch: 4000, SmallIdle: 24576, SmallBehind: 1024,
	}
}

// latencies runs a closed loop of so many requests beside loads, after ten that are
// left out, and returns what each took.
func latencies(t testing.TB, l Link, loads []Load, service Service, calls int) []int64 {
	t.Helper()
	var out []int64
	n := 0
	service.Start = 100 * ms
	service.Done = func(c Call) bool {
		if n++; n > 10 {
			out = append(out, c.Latency)
		}
		return n < calls+10
	}
	l.Run(loads, []*Service{&service}, 600e9, 1)
	if len(out) != calls {
		t.Fatalf("%d of %d requests were answered", len(out), calls)
	}
	return out
}

func median(v []int64) int64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func full(process int, d device.Direction) Load {
	return Load{Process: process, Threads: 2, Block: 64 * MiB, Outstanding: 1, Directions: []device.Direction{d}, Gap: 5 * us}
}

func constant(d int64) func(int64) int64 { return func(int64) int64 { return d } }

// The staircase: latency beside a full link is the own time rounded up to a turn,
// or, beside several loads, to as many turns as there are.
func TestStaircase(t *testing.T) {
	for loads := range 4 {
		for _, compute := range []int64{50 * us, 500 * us, 1000 * us, 1100 * us, 2000 * us, 2200 * us, 3500 * us, 6100 * us} {
			var others []Load
			for i := range loads {
				others = append(others, full(i+1, device.D2H))
			}
			got := median(latencies(t, hopper(), others, Service{Out: []int64{4096}, Compute: constant(compute)}, 50))
			own := int64(2700 + 4096/55)
			want := compute + own
			if step := int64(loads) * 1_051_500; loads > 0 {
				want = (compute+step-1)/step*step + own + int64(loads+1)*4000 + (compute/step)*int64(loads)*4000
			}
			if math.Abs(float64(got-want)) > 0.01*float64(want) {
				t.Errorf("%d loads, %.2f ms: %.3f ms, want %.3f", loads, float64(compute)/1e6, float64(got)/1e6, float64(want)/1e6)
			}
		}
	}
}

// A load's bandwidth is shared among processes, and its block does not matter to the turn.
func TestTurnsShareTheLink(t *testing.T) {
	for _, block := range []int64{1 * MiB, 16 * MiB, 256 * MiB} {
		var bytes [2]int64
		var loads []Load
		for i := range bytes {
			l := full(i+1, device.H2D)
			l.Block = block
			l.Done = func(_ int, c device.Copy) bool { bytes[i] += c.Bytes; return true }
			loads = append(loads, l)
		}
		link := hopper()
		link.Run(loads, nil, 1e9, 1)
		if r := float64(bytes[0]) / float64(bytes[1]); math.Abs(r-1) > 0.15 {
			t.Errorf("blocks of %d MiB: %d and %d bytes", block/MiB, bytes[0], bytes[1])
		}
		if sum := float64(bytes[0] + bytes[1]); sum < 0.8*55e9 || sum > 55e9 {
			t.Errorf("blocks of %d MiB: %.3g bytes/s", block/MiB, sum)
		}
		if got := median(latencies(t, link, loads[:1], Service{In: []int64{100_000}, Compute: constant(ms / 10)}, 50)); got < 1_051_500 || got > 1_070_000 {
			t.Errorf("blocks of %d MiB: a request takes %d ns", block/MiB, got)
		}
	}
}

// One copy in flight is no load: whoever comes waits for no more than that copy.
func TestOneInFlightHasNoTurn(t *testing.T) {
	for _, tt := range []struct {
		threads, outstanding int
		block                int64
		low, high            int64
	}{
		{1, 1, 4 * MiB, 1000 * us, 1110 * us},
		{1, 1, 64 * MiB, 1200 * us, 1300 * us},
		{1, 2, 4 * MiB, 1060 * us, 1075 * us},
		{2, 1, 4 * MiB, 1060 * us, 1075 * us},
	} {
		l := full(1, device.D2H)
		l.Threads, l.Outstanding, l.Block = tt.threads, tt.outstanding, tt.block
		got := median(latencies(t, hopper(), []Load{l}, Service{Out: []int64{396 << 10}, Compute: constant(ms)}, 200))
		if got < tt.low || got > tt.high {
			t.Errorf("%d threads, %d copies of %d MiB in flight: %.3f ms, want %.3f to %.3f", tt.threads, tt.outstanding, tt.block/MiB, float64(got)/1e6, float64(tt.low)/1e6, float64(tt.high)/1e6)
		}
	}
}

// The small path ends at its limit to the byte, sooner behind a kernel, and does
// not lead to the host.
func TestSmallPath(t *testing.T) {
	for _, tt := range []struct {
		direction device.Direction
		bytes     int64
		behind    bool
		delayed   bool
	}{
		{device.H2D, 24576, false, false}, {device.H2D, 24577, false, true},
		{device.H2D, 1024, true, false}, {device.H2D, 1025, true, true},
		{device.D2H, 64, false, true},
	} {
		s := Service{Behind: tt.behind, Compute: constant(100 * us)}
		if tt.direction == device.H2D {
			s.In = []int64{tt.bytes}
		} else {
			s.Out = []int64{tt.bytes}
		}
		got := median(latencies(t, hopper(), []Load{full(1, tt.direction)}, s, 20))
		if delayed := got > 500*us; delayed != tt.delayed {
			t.Errorf("%v %d bytes, behind a kernel %v: %.3f ms", tt.direction, tt.bytes, tt.behind, float64(got)/1e6)
		}
	}
	// A kernel alone is not delayed.
	if got := latencies(t, hopper(), []Load{full(1, device.D2H)}, Service{Compute: constant(ms)}, 20); slices.Max(got) != ms {
		t.Errorf("a kernel alone takes %d ns", slices.Max(got))
	}
}

// Within a process there are no turns: who became ready first is served first, and
// a stream that has more ready keeps the engine.
func TestWithinAProcess(t *testing.T) {
	run := func(threads, outstanding int, block int64) int64 {
		l := full(0, device.D2H)
		l.Threads, l.Outstanding, l.Block = threads, outstanding, block
		s := Service{Out: []int64{396 << 10}, Compute: constant(ms)}
		var out []int64
		s.Done = func(c Call) bool { out = append(out, c.Latency); return len(out) < 20 }
		link := hopper()
		link.Run([]Load{l}, []*Service{&s}, 1e9, 1)
		if len(out) < 20 {
			return math.MaxInt64
		}
		return median(out)
	}
	if got := run(2, 1, 2*MiB); got > 1120*us {
		t.Errorf("two streams, one copy of 2 MiB each in flight: %d ns", got)
	}
	if got := run(4, 1, 16*MiB); got < 1900*us || got > 2400*us {
		t.Errorf("four streams of 16 MiB: %d ns", got)
	}
	if got := run(1, 2, 1*MiB); got != math.MaxInt64 {
		t.Errorf("one stream with two copies in flight lets a request through after %d ns", got)
	}
}

// With open arrivals the wait is spread over a turn, and latency counts from when a
// request was due.
func TestOpenArrivals(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	due := make([]int64, 2000)
	at := 0.0
	for i := range due {
		at += rng.ExpFloat64() * 20e6
		due[i] = int64(at)
	}
	var waits []float64
	link := hopper()
	s := Service{Due: due, Out: []int64{4096}, Compute: constant(300 * us), Done: func(c Call) bool {
		if c.Start < c.Scheduled {
			t.Fatalf("sent before it was due: %+v", c)
		}
		waits = append(waits, float64(c.Latency-300*us)/1_051_500)
		return true
	}}
	link.Run([]Load{full(1, device.D2H)}, []*Service{&s}, 1e15, 1)
	if len(waits) != len(due) {
		t.Fatalf("%d of %d were answered", len(waits), len(due))
	}
	slices.Sort(waits)
	for _, q := range []float64{0.1, 0.5, 0.9} {
		if got := waits[int(q*float64(len(waits)))]; math.Abs(got-q) > 0.05 {
			t.Errorf("quantile %.1f of the wait is %.2f turns", q, got)
		}
	}
	// A request that takes longer than the gap delays the next, which counts it.
	var last Call
	s = Service{Due: []int64{0, 1000, 2000}, Compute: constant(ms), Done: func(c Call) bool { last = c; return true }}
	link.Run(nil, []*Service{&s}, 1e12, 1)
	if last != (Call{2000, 2 * ms, 3*ms - 2000}) {
		t.Errorf("the third of a burst: %+v", last)
	}
}

// Whatever the loads, nothing is lost, no engine serves more than it can, copies of
// one direction do not overlap beyond being broken off, and a second run is the same.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		link := hopper()
		if rapid.Bool().Draw(t, "plain") {
			link.Turn = [device.NumDirections]int64{}
		}
		var loads []Load
		for i := range rapid.IntRange(0, 3).Draw(t, "loads") {
			loads = append(loads, Load{
				Process: rapid.IntRange(0, 2).Draw(t, "process"), Threads: rapid.IntRange(1, 5).Draw(t, "threads"),
				Block: rapid.Int64Range(1<<16, 1<<26).Draw(t, "block"), Outstanding: rapid.IntRange(1, 3).Draw(t, "outstanding"),
				Directions: [][]device.Direction{{device.H2D}, {device.D2H}, {device.H2D, device.D2H}}[i%3],
				Rate:       rapid.SampledFrom([]float64{0, 10e9, 40e9}).Draw(t, "rate"),
				Jitter:     rapid.SampledFrom([]float64{0, 5000}).Draw(t, "jitter"), Late: 50e3,
				Calls: rapid.IntRange(0, 30).Draw(t, "calls"),
			})
		}
		service := Service{In: []int64{3072, 50_000}, Out: []int64{4096, 400_000}, Process: rapid.IntRange(0, 1).Draw(t, "own"), Start: ms, Compute: constant(700 * us)}
		const until = int64(200e6)
		run := func() (calls []Call, bytes [device.NumDirections]float64, count int) {
			mine := slices.Clone(loads)
			for i := range mine {
				mine[i].Done = func(_ int, c device.Copy) bool {
					if c.Start < 0 || c.Duration < 1 || c.Bytes != mine[i].Block {
						t.Fatalf("a copy %+v", c)
					}
					bytes[c.Direction] += float64(c.Bytes)
					count++
					return true
				}
			}
			s := service
			s.Done = func(c Call) bool { calls = append(calls, c); return len(calls) < 100 }
			link.Run(mine, []*Service{&s}, until, 7)
			return calls, bytes, count
		}
		calls, bytes, count := run()
		again, _, recount := run()
		if !slices.Equal(calls, again) || count != recount {
			t.Fatal("a second run differs")
		}
		for d, b := range bytes {
			if b > link.Bandwidth[d]*float64(until)/1e9 {
				t.Fatalf("%v carried %.3g bytes", device.Direction(d), b)
			}
		}
		for i, c := range calls {
			if i > 0 && c.Scheduled != calls[i-1].Scheduled+calls[i-1].Latency || c.Latency < 700*us {
				t.Fatalf("call %d: %+v", i, c)
			}
		}
	})
}

// A request with small inputs and a large one takes two turns at the computing, and so
// waits twice for one that takes one; alone it takes its own time.
func TestTwoTurns(t *testing.T) {
	l := hopper()
	l.Computing = Computing{Slice: 2 * ms, Switch: 100 * us}
	last := func(in []int64, beside bool) (latency int64) {
		n := 0
		services := []*Service{{Process: 1, In: in, Behind: true, Compute: constant(1 * ms), Done: func(c Call) bool { latency = c.Latency; n++; return n < 20 }}}
		if beside {
			services = append(services, &Service{Process: 2, Compute: constant(1500 * us), Done: func(Call) bool { return true }})
		}
		l.Run(nil, services, 1e9, 1)
		return latency
	}
	for _, tt := range []struct {
		name   string
		in     []int64
		beside bool
		want   int64
	}{
		{"alone", []int64{8, 10 * MiB}, false, 1193 * us},
		{"large", []int64{10 * MiB}, true, 2700 * us},
		{"small and large", []int64{8, 10 * MiB}, true, 4403 * us},
		{"small", []int64{8, 8}, true, 2700 * us},
	} {
		if got := last(tt.in, tt.beside); math.Abs(float64(got-tt.want)) > 0.02*float64(tt.want) {
			t.Errorf("%s: %d ns, want %d", tt.name, got, tt.want)
		}
	}
}

// The speed that this package promises: ten million requests beside
// a full link in ten seconds and 300 MiB on two processors.
func BenchmarkTenMillionRequests(b *testing.B) {
	const requests = 10_000_000
	for b.Loop() {
		workers := runtime.GOMAXPROCS(0)
		sums := make([]int64, workers)
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				link := hopper()
				rng := rand.New(rand.NewPCG(uint64(w), 1))
				n := 0
				s := Service{In: []int64{1024, 1024, 1024}, Out: []int64{396288}, Behind: true,
					Compute: func(int64) int64 { return 1_220_000 + int64(1e4*rng.NormFloat64()) },
					Done:    func(c Call) bool { sums[w] += c.Latency; n++; return n < requests/workers }}
				l := full(1, device.D2H)
				l.Threads, l.Jitter = 16, 2000
				link.Run([]Load{l}, []*Service{&s}, math.MaxInt64, uint64(w))
			})
		}
		all.Wait()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/(1<<20), "MiB")
	}
}

// A copy is slower only while there are copies the other way, and not for all of its
// time because one was on its way when it began.
func TestBothWaysOnlyMeanwhile(t *testing.T) {
	link := hopper()
	load := func(d device.Direction, block int64, calls int, took *[]int64) Load {
		return Load{Process: 1 + int(d), Threads: 1, Block: block, Outstanding: 1, Directions: []device.Direction{d}, Calls: calls, Done: func(_ int, c device.Copy) bool {
			*took = append(*took, c.Duration)
			return true
		}}
	}
	alone, beside := link.length(device.D2H, 32*MiB, 1, false), link.length(device.D2H, 32*MiB, 1, true)
	for _, calls := range []int{1, 10, 1000} { // of 1 MiB, each about 20 us
		var in, out []int64
		link.Run([]Load{load(device.H2D, MiB, calls, &in), load(device.D2H, 32*MiB, 1, &out)}, nil, 1e9, 1)
		if len(out) != 1 || len(in) != calls {
			t.Fatalf("%d copies in and %d out, want %d and 1", len(in), len(out), calls)
		}
		other := int64(0)
		for _, took := range in {
			other += took
		}
		want := min(beside, alone+int64(float64(other)*(1-float64(alone)/float64(beside))))
		if d := out[0] - want; d < -us || d > us {
			t.Errorf("beside %d copies in: %d ns, want %d (alone %d, beside others all the time %d)", calls, out[0], want, alone, beside)
		}
	}
}

// A slow time ends a copy when as much of its bytes is served as it has, at the pace of
// each moment: at half, and less and less below the whole.
func TestSlow(t *testing.T) {
	s := Slow{Every: 100e6, For: 20e6, Times: 2, Back: 40e6}
	for at, want := range map[int64]float64{0: 0, 39e6: 0, 41e6: 1, 59e6: 1, 60e6: 0.75, 80e6: 0.375, 99999999: 0, 141e6: 1} {
		if got := s.Depth(at); math.Abs(got-want) > 1e-6 {
			t.Errorf("at %d ns it is %g deep, want %g", at, got, want)
		}
	}
	for _, from := range []int64{0, 39e6, 45e6, 59.5e6, 60e6, 75e6, 99.9e6} {
		for _, takes := range []int64{1000, 1e6, 25e6, 260e6} {
			end, done := s.end(from, takes), 0.0
			const step = 1000
			for at := from; at < end; at += step {
				done += float64(min(step, end-at)) / (1 + s.Depth(at+step/2)*(s.Times-1))
			}
			if math.Abs(done-float64(takes)) > 2000 {
				t.Errorf("from %d on: %d ns are over at %d, and by then %.0f are served", from, takes, end, done)
			}
		}
	}
}

// Threads that make their calls one after the other submit no faster than the calls go,
// however many there are.
func TestSerial(t *testing.T) {
	link := hopper()
	for threads, want := range map[int]int64{1: 8*us + link.length(device.D2H, 4096, 1, false), 8: 8 * us} {
		copies, last := 0, int64(0)
		load := Load{Process: 1, Threads: threads, Block: 4096, Outstanding: 1, Directions: []device.Direction{device.D2H}, Gap: 8 * us, Serial: true, Done: func(_ int, c device.Copy) bool {
			copies++
			last = c.Start
			return copies < 1000
		}}
		link.Run([]Load{load}, nil, 1e9, 1)
		if each := last / int64(copies); math.Abs(float64(each)/float64(want)-1) > 0.02 {
			t.Errorf("%d threads: a copy each %d ns, want %d", threads, each, want)
		}
	}
}
