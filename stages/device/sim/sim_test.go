package sim

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"barograph/pipeline/cell"
	"barograph/stages/device"
)

func stress(id, with string) cell.Input {
	return cell.Input{Kind: "stress", ID: id, With: []byte(with)}
}

// level is the paper's design: L threads, blocks of 4L MiB.
func level(l int) []cell.Input {
	return []cell.Input{stress("stress", fmt.Sprintf(`{"threads": %d, "block": %d}`, l, l*4<<20))}
}

func median(calls []Call) float64 {
	ns := make([]int64, len(calls))
	for i, c := range calls {
		ns[i] = c.Latency
	}
	slices.Sort(ns)
	return float64(ns[len(ns)/2])
}

func bytesWithin(copies []Copy, start, end int64) float64 {
	sum := 0.0
	for _, c := range copies {
		sum += c.Within(start, end)
	}
	return sum
}

// What reference/gpu-facts.md calls confounded: with the paper's levels the
// link of a P100 is 99% busy at L=3, and from there median latency still grows
// fourteen times to L=16, because the bytes queued on it grow as L squared.
func TestPaperIsConfounded(t *testing.T) {
	var m cell.Machine
	req := Request{Warmup: 30, Calls: 300, Seed: 1}
	medians, busy := map[int]float64{}, map[int]float64{}
	for _, l := range []int{0, 1, 3, 16} {
		calls, err := Run(m, level(l), req)
		if err != nil {
			t.Fatal(err)
		}
		start, end := calls[0].Scheduled, calls[299].Scheduled+calls[299].Latency
		copies, _, err := Copies(m, level(l), View{Cell: "stress", Until: end, Serve: true, Seed: req.Seed, Limit: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		medians[l] = median(calls)
		busy[l] = bytesWithin(copies, start, end) / float64(end-start) * 1e9 / Defaults["bandwidth_h2d"]
		t.Logf("L=%-2d busy %.3f, median %.2f ms", l, busy[l], medians[l]/1e6)
	}
	if busy[0] != 0 || busy[3] < 0.985 || busy[3] > 0.995 || busy[16] < 0.995 || busy[16] > 1 {
		t.Errorf("the link is busy %v of the time, want 0, 0.99 at L=3 and 1 at L=16", busy)
	}
	if growth := medians[16] / medians[3]; growth < 12.5 || growth > 15.5 {
		t.Errorf("from L=3 to L=16 the median grows %.1f times, want 14", growth)
	}
	if alone := 4e6 + 10e3 + 3072/11.69 + 10e3 + 129*768*4/12.89; math.Abs(medians[0]/alone-1) > 0.01 {
		t.Errorf("alone, the median is %.0f ns, want %.0f", medians[0], alone)
	}
}

// The same bytes the other way leave a request's small input alone and delay
// its larger output.
func TestDirectionsAreServedApart(t *testing.T) {
	m := cell.Machine{Sim: map[string]float64{"bytes_in": 0, "overhead_ns": 0, "noise": 0, "compute_ns": 1e6, "bytes_out": 12.89e6 / 10}}
	for direction, want := range map[string]func(Call) bool{
		"h2d":  func(c Call) bool { return c.Latency > 1_100_000 },
		"d2h":  func(c Call) bool { return c.Latency > 1_100_000 },
		"none": func(c Call) bool { return c.Latency == 1_100_000 },
	} {
		var gang []cell.Input
		if direction != "none" {
			gang = []cell.Input{stress("s", `{"threads": 2, "block": "4MiB", "direction": "`+direction+`"}`)}
		}
		calls, err := Run(m, gang, Request{Calls: 20})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range calls {
			if !want(c) {
				t.Errorf("%s: call %d took %d ns", direction, i, c.Latency)
			}
		}
	}
	// An inlined input does not wait for the queue.
	m.Sim["inline"] = 24 << 10
	calls, err := Run(m, []cell.Input{stress("s", `{"threads": 2, "block": "4MiB"}`)}, Request{Calls: 20})
	if err != nil || calls[19].Latency != 1_100_000 {
		t.Errorf("inlined: %+v, %v", calls, err)
	}
}

func TestDeterminism(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gang := []cell.Input{
			stress("a", fmt.Sprintf(`{"threads": %d, "block": %d, "outstanding": %d, "direction": %q}`,
				rapid.IntRange(0, 4).Draw(t, "threads"), rapid.Int64Range(1<<18, 1<<24).Draw(t, "block"),
				rapid.IntRange(1, 3).Draw(t, "outstanding"), rapid.SampledFrom([]string{"h2d", "d2h", "both"}).Draw(t, "direction"))),
			{Kind: "infer", ID: "i", With: []byte(`{}`)},
			stress("b", `{"threads": 1, "block": "1MiB", "rate": "20%"}`),
		}
		m := cell.Machine{Sim: map[string]float64{"lead_ns": 1e7, "compute_ns": 1e6}}
		req := Request{Calls: rapid.IntRange(1, 30).Draw(t, "calls"), Seed: rapid.Uint64().Draw(t, "seed")}
		calls, err := Run(m, gang, req)
		if err != nil || len(calls) != req.Calls {
			t.Fatalf("%d calls, %v", len(calls), err)
		}
		slices.Reverse(gang)
		again, err := Run(m, gang, req)
		if err != nil || !slices.Equal(calls, again) {
			t.Fatalf("a second run differs, %v", err)
		}
		for i := 1; i < len(calls); i++ {
			if c := calls[i-1]; calls[i].Scheduled != c.Scheduled+c.Latency || c.Start != c.Scheduled || c.Latency < 1 {
				t.Fatalf("not a closed loop: %+v then %+v", c, calls[i])
			}
		}
		// A stressor that looks further sees the same past.
		until := calls[len(calls)-1].Scheduled
		short, _, err := Copies(m, gang, View{Cell: "a", Until: until, Serve: true, Seed: req.Seed, Limit: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		long, _, err := Copies(m, gang, View{Cell: "a", Until: until * 2, Serve: true, Seed: req.Seed, Limit: 1e6})
		if err != nil || len(long) < len(short) || !slices.Equal(short, long[:len(short)]) {
			t.Fatalf("%d copies are not the beginning of %d, %v", len(short), len(long), err)
		}
	})
}

// No direction carries more than its bandwidth, and a link that never idles
// carries its capacity.
func TestBandwidth(t *testing.T) {
	var m cell.Machine
	for _, tt := range []struct {
		with string
		want float64 // bytes per second
		tol  float64
	}{
		{`{"threads": 1, "block": "64KiB"}`, 65536 / (10e-6 + 65536/11.69e9), 1e-3},
		{`{"threads": 4, "block": "64MiB", "outstanding": 2}`, 11.69e9, 3e-3},
		{`{"threads": 4, "block": "16MiB", "direction": "both"}`, 11.69e9 + 12.89e9, 1.5e-2},
		{`{"threads": 4, "block": "16MiB", "memory": "pageable"}`, 11.69e9 * 0.2, 1e-2},
		{`{"threads": 3, "block": "8MiB", "rate": "50%"}`, 11.67e9 / 2, 2e-2},
		{`{"threads": 16, "block": "1MiB", "rate": "2GB/s"}`, 2e9, 2e-2},
		{`{"threads": 0, "block": 0}`, 0, 0},
	} {
		copies, _, err := Copies(m, []cell.Input{stress("s", tt.with)}, View{Cell: "s", Until: 2e9, Limit: 1e6})
		if err != nil {
			t.Fatal(err)
		}
		got := bytesWithin(copies, 1e9, 2e9)
		if math.Abs(got-tt.want) > tt.tol*tt.want {
			t.Errorf("%s: %.4g bytes/s, want %.4g", tt.with, got, tt.want)
		}
		if !slices.IsSortedFunc(copies, func(a, b Copy) int { return int(a.Start - b.Start) }) {
			t.Errorf("%s: copies are out of order", tt.with)
		}
	}
	for direction, want := range map[string]float64{"h2d": 11.67e9, "d2h": 12.87e9, "both": 24.54e9} {
		if got, err := Capacity(m, direction, CapacityBlock); err != nil || math.Abs(got/want-1) > 1e-3 {
			t.Errorf("capacity %s is %.4g, %v; want %.4g", direction, got, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		sim  map[string]float64
		with string
		req  Request
		want string
	}{
		{map[string]float64{"bandwith": 1}, `{}`, Request{Calls: 1}, `unknown parameter "bandwith"`},
		{map[string]float64{"bandwidth_h2d": 0}, `{}`, Request{Calls: 1}, "bandwidth_h2d of device sim is 0"},
		{map[string]float64{"noise": math.NaN()}, `{}`, Request{Calls: 1}, "noise of device sim is NaN"},
		{nil, `{"threads": "x"}`, Request{Calls: 1}, "simulate s: read its parameters"},
		{nil, `{"threads": 1}`, Request{Calls: 1}, "1 threads with 1 outstanding copies of 0 bytes"},
		{nil, `{"direction": "up"}`, Request{Calls: 1}, `direction "up"`},
		{nil, `{}`, Request{}, "simulate 0 calls"},
		{nil, `{}`, Request{Calls: 1, Warmup: -1}, "-1 of warm-up"},
	} {
		_, err := Run(cell.Machine{Name: "m", Sim: tt.sim}, []cell.Input{stress("s", tt.with)}, tt.req)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v %s: %v, want %q", tt.sim, tt.with, err, tt.want)
		}
		var hint *cell.Error
		if strings.Contains(tt.want, "unknown") && (!errors.As(err, &hint) || !strings.Contains(hint.Hint, "bandwidth_h2d")) {
			t.Errorf("%v: hint %v", tt.sim, hint)
		}
	}
}

func TestCopiesAreLimited(t *testing.T) {
	gang := []cell.Input{stress("s", `{"threads": 1, "block": "64KiB"}`)}
	all, _, err := Copies(cell.Machine{}, gang, View{Cell: "s", Until: 1e8, Limit: 1e6})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := Copies(cell.Machine{}, gang, View{Cell: "s", Until: 1e8, Limit: len(all)}); err != nil || len(got) != len(all) {
		t.Errorf("at the limit of %d: %d copies, %v", len(all), len(got), err)
	}
	if _, _, err := Copies(cell.Machine{}, gang, View{Cell: "s", Until: 1e8, Limit: len(all) - 1}); err == nil || !strings.Contains(err.Error(), "simulate s: more than") {
		t.Errorf("below it: %v", err)
	}
}

func ExampleRun() {
	m := cell.Machine{Sim: map[string]float64{"noise": 0}}
	for _, with := range []string{`{"threads": 0}`, `{"threads": 3, "block": "12MiB"}`} {
		calls, err := Run(m, []cell.Input{{Kind: "stress", ID: "stress", With: []byte(with)}}, Request{Warmup: 10, Calls: 1})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%.1f ms\n", float64(calls[0].Latency)/1e6)
	}
	// Output:
	// 4.1 ms
	// 6.5 ms
}

// A load that is larger than the simulated memory is refused, as a real one is.
func TestFit(t *testing.T) {
	h2d, both, within := []device.Direction{device.H2D}, []device.Direction{device.H2D, device.D2H}, []device.Direction{device.D2D}
	small := cell.Machine{Sim: map[string]float64{"device_bytes": 2 << 30}}
	for _, c := range []struct {
		m    cell.Machine
		l    device.Load
		fits bool
	}{
		{cell.Machine{}, device.Load{Threads: 15, Block: 1 << 30, Directions: h2d}, true},
		{cell.Machine{}, device.Load{Threads: 16, Block: 1 << 30, Directions: h2d}, false},
		{cell.Machine{}, device.Load{Threads: 8, Block: 1 << 30, Directions: both}, false},
		{cell.Machine{}, device.Load{Threads: 8, Block: 1 << 30, Directions: within}, false},
		{cell.Machine{}, device.Load{Threads: 1 << 20, Block: 1 << 62, Directions: h2d}, false},
		{cell.Machine{}, device.Load{Threads: 0, Directions: h2d}, true},
		{small, device.Load{Threads: 1, Block: 1 << 30, Directions: h2d}, true},
		{small, device.Load{Threads: 2, Block: 1 << 30, Directions: h2d}, false},
	} {
		if err := Fit(c.m, c.l); (err == nil) != c.fits {
			t.Errorf("%d threads of %d bytes, %v: %v", c.l.Threads, c.l.Block, c.l.Directions, err)
		}
	}
	if _, err := Run(cell.Machine{}, []cell.Input{stress("s", `{"threads": 2, "block": "1000GiB"}`)}, Request{Calls: 1}); err == nil || !strings.Contains(err.Error(), "device memory") {
		t.Errorf("a trial with it: %v", err)
	}
}

// Of many streams that wait for one another only those that may go cost time: each asking
// for itself at every copy, four times as many took twenty times as long.
func BenchmarkStreamsWait(b *testing.B) {
	for _, streams := range []int{64, 256} {
		b.Run(strconv.Itoa(streams), func(b *testing.B) {
			with := fmt.Sprintf(`{"threads": 16, "block": 67108864, "sharing": "separate", "direction": "d2h", "policy": "aside/4MiB/in_flight:1/streams:%d/grow:1"}`, streams)
			for b.Loop() {
				calls, err := Run(cell.Machine{}, []cell.Input{stress("stress", with)}, Request{Warmup: 30, Calls: 300, Seed: 1})
				if err != nil || len(calls) != 300 {
					b.Fatalf("%d calls, %v", len(calls), err)
				}
			}
		})
	}
}
