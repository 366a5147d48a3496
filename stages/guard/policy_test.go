package guard

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A policy's two forms are one policy, which writes itself in one way.
func TestForms(t *testing.T) {
	for _, tt := range []struct{ mapping, text string }{
		{`{"none": {}}`, "none"},
		{`{"chunks": {"chunk": "256KiB"}}`, "chunks/256KiB"},
		{`{"window": {"chunk": "2MiB", "streams": 2}}`, "window/2MiB/streams:2"},
		{`{"window": {"chunk": 4194304, "credit": 1}}`, "window/4MiB/credit:1"},
		{`{"rate": {"rate": "50%"}}`, "rate/50%"},
		{`{"rate": {"rate": "10GB/s"}}`, "rate/1e+10B"},
		{`{"duty": {"on": "200us", "off": "50us", "chunk": "1MiB"}}`, "duty/200µs/50µs/1MiB"},
		{`{"duty": {"on": 200000, "off": "50us", "chunk": "1MiB"}}`, "duty/200µs/50µs/1MiB"}, // nanoseconds, as recordings may have them
		{`{"loop": {"target": "1.4ms", "chunk": "2MiB"}}`, "loop/1.4ms/2MiB"},
		{`{"aside": {"chunk": "8MiB", "lead": "25us", "in_flight": 3}}`, "aside/8MiB/in_flight:3"},
		{`{"aside": {"chunk": "8MiB", "grow": 2}}`, "aside/8MiB/grow:2"},
		{`"aside/8MiB/inputs:24us/sent:12us"`, "aside/8MiB/inputs:24µs/sent:12µs"},
		{`{"aside": {"chunk": "8MiB", "lead": "40us", "most": "1ms", "small": "512KiB"}}`, "aside/8MiB/lead:40µs/most:1ms/small:512KiB"},
	} {
		var p Policy
		if err := json.Unmarshal([]byte(tt.mapping), &p); err != nil || p.String() != tt.text {
			t.Errorf("%s reads as %q, %v, want %q", tt.mapping, p, err, tt.text)
		}
		again, err := Parse(tt.text)
		if err != nil || again.String() != tt.text {
			t.Errorf("%q reads as %q, %v", tt.text, again, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`"windw/1MiB"`, `did you mean "window"?`},
		{`{"windw": {"chunk": "1MiB"}}`, `did you mean "window"?`},
		{`{"window": {"chunks": "1MiB"}}`, `no "chunks": did you mean "chunk"?`},
		{`"window"`, "window has no chunk"},
		{`"window/0"`, "chunk is 0B: want more than 0"},
		{`"window/1MiB/streams:-1"`, "streams is -1"},
		{`"window/1MiB/in_flight:2/credit:2"`, "in_flight 2 with credit or ahead"},
		{`"window/1MiB/ahead:2/credit:2"`, "credit with ahead"},
		{`"window/1MiB/credit:65"`, "at most 64"},
		{`"window/1XB"`, `unknown unit "XB"`},
		{`"rate/0"`, "a rate of 0 lets nothing through"},
		{`"rate/max"`, "a rate of 0 lets nothing through"},
		{`{"loop": {"chunk": "1MiB"}}`, "loop has no target"},
		{`"aside/4MiB/most:0s"`, "most is 0s: want more than 0"},
		{`"aside/4MiB/grow:0"`, "grow is 0: want more than 0"},
		{`"aside/4MiB/sent:0us"`, "sent is 0s: want more than 0"},
		{`"aside/4MiB/sent:5us/early:5us"`, "early 5µs"},
		{`"aside/4MiB/sent:50us/inputs:40us"`, "inputs 40µs"},
		{`"aside/4MiB/sent:2m"`, "want at most 1m0s"},
		{`"aside/4MiB/grow:2000"`, "grow is 2000: want at most 1024"},
		{`"aside/4MiB/lead:-1us"`, "lead is -1µs: want more than 0"},
		{`"aside/4MiB/sent:-5us"`, "sent is -5µs: want more than 0"},
		{`"aside/4MiB/grow:1.5"`, "grow is 1.5: want a whole number"},
		{`{"aside": {"chunk": "4MiB", "grow": 1.5}}`, "grow is 1.5: want a whole number"},
		{`"aside/4MiB/sent:10"`, "sent is 10 without a unit: want a time such as 10us"},
		{`"duty/200/50us/4MiB"`, "on is 200 without a unit: want a time such as 200us"},
		{`"aside/4MiB/credit:1"`, `no "credit"`},
		{`"aside/4MiB/small:8MiB"`, "small is 8 MiB: want at least 4 KiB, and at most the chunk of 4 MiB"},
		{`"aside/4MiB/inputs:2m"`, "a time of 2m0s: want at most 1m0s"},
		{`"none/chunk:1MiB"`, `none takes no "chunk"`},
		{`"chunks/1B"`, "chunk is 1 B: want at least 4 KiB"},
		{`"duty/9000h/1ms/4MiB"`, "a time of 9000h0m0s: want at most 1m0s"},
		{`"window/1MiB/2"`, `"2" has no key`},
		{`"window/1MiB/chunk:2MiB"`, "two values for chunk"},
		{`{"none": {}, "chunks": {"chunk": "1MiB"}}`, "2 names"},
		{`3`, "policy is 3"},
		{`""`, `policy "" is not one of none, chunks, window`},
	} {
		var p Policy
		if err := json.Unmarshal([]byte(tt.text), &p); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// A policy that is none can be told of, and guards nothing.
func TestUnknownPolicy(t *testing.T) {
	p, err := Parse("windows/4MiB")
	if err == nil || p.String() != "windows" {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := New(p, Shape{}, Link{Capacity: 1e9}, nil); err == nil || !strings.Contains(err.Error(), `policy "windows" is not one of none`) {
		t.Errorf("a guard of it: %v", err)
	}
}

// A policy that was made by hand lacks nothing that one from a text must have.
func TestPolicyByHand(t *testing.T) {
	for name, want := range map[string]string{"window": "chunk", "rate": "rate", "duty": "", "loop": "", "none": ""} {
		g, err := New(Policy{Name: name}, Shape{Streams: 1, Chunk: 1 << 20, InFlight: 1}, Link{Capacity: 1e9}, nil)
		_, parsed := Parse(name)
		if (err == nil) != (parsed == nil) || (g == nil) != (err != nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, and from a text %v", name, err, parsed)
		}
	}
}

func TestBound(t *testing.T) {
	paper := Shape{Streams: 16, Chunk: 64 << 20, InFlight: 1}
	gen5 := Link{Capacity: 55e9, Queue: Turns, Constant: 50 * time.Microsecond}
	other, outputs := gen5, gen5
	other.Processes, outputs.Outputs = 1, true
	fifo := gen5
	fifo.Queue = FIFO
	for _, tt := range []struct {
		policy string
		link   Link
		want   time.Duration // 0: none, and why
		why    string
	}{
		{"none", gen5, 0, "beside 16 streams"},
		{"none", other, 0, "16 copies ready in other processes"},
		{"none", fifo, 19572579, ""}, // 16 x 64 MiB / 55 GB/s, and 50 us
		{"chunks/1MiB", gen5, 0, "stays with a stream that has more ready, and each has 64 copies"},
		{"window/2MiB/streams:2", gen5, 126261, ""}, // 4 MiB / 55 GB/s, and 50 us
		{"window/2MiB/streams:2", other, 0, "2 copies ready in other processes"},
		{"window/4MiB", other, 126261, ""},
		{"window/4MiB/ahead:3", gen5, 126261, ""},
		{"window/4MiB/ahead:3", other, 0, "queued ahead in another process"},
		{"window/2MiB/streams:2/credit:1", other, 88131, ""},
		{"window/1MiB/in_flight:2", gen5, 0, "stays with a stream"},
		{"window/1MiB/streams:3", gen5, 0, "beside 3 streams"},
		{"duty/200us/50us/4MiB", other, 326261, ""},
		{"aside/4MiB", gen5, 0, "inputs that are sent later than a call begins wait until the engine has served all 2"},
		{"aside/4MiB", outputs, 202521, ""}, // 8 MiB / 55 GB/s, and 50 us
		{"aside/4MiB/in_flight:1/streams:2", gen5, 202521, ""},
		{"aside/4MiB", other, 202521, ""},
		{"window/4MiB", Link{Capacity: 9e9, Queue: Shared}, 0, "all become slower"},
		{"window/4MiB", Link{}, 0, "capacity is not known"},
		{"window/7EiB", fifo, 0, "unknown unit"},
	} {
		p, err := Parse(tt.policy)
		if err == nil {
			var got time.Duration
			if got, err = p.Bound(paper, tt.link); err == nil && got != tt.want || err != nil && !errors.Is(err, ErrNoBound) {
				t.Errorf("%s: %v, %v, want %v", tt.policy, got, err, tt.want)
			}
		}
		if tt.want == 0 && (err == nil || !strings.Contains(err.Error(), tt.why)) {
			t.Errorf("%s: %v, want %q", tt.policy, err, tt.why)
		}
	}
}

// A control goes down at once, and up only after its cool-down.
func TestControl(t *testing.T) {
	p, err := Parse("loop/1ms/1MiB/streams:3/dwell:100ms/cool_down:1s")
	if err != nil {
		t.Fatal(err)
	}
	c, page := newControl(p), NewPage()
	now := int64(0)
	dwell := func(latency int64, calls int) {
		for range calls {
			page.Tell(latency)
		}
		now += 100e6
		c.look(now, page)
	}
	c.look(now, page)
	dwell(2e6, 60)
	dwell(2e6, 60)
	if flying, share := c.limit(3); flying != 1 || share != 1 {
		t.Fatalf("after two dwells above the target: %d copies, share %g", flying, share)
	}
	dwell(2e6, 60)
	if flying, share := c.limit(3); flying != 1 || share != 0.5 {
		t.Fatalf("after three: %d copies, share %g", flying, share)
	}
	dwell(0.9e6, 10) // too few to say
	if c.step != 3 {
		t.Fatalf("ten calls brought a step: %d", c.step)
	}
	for range 8 {
		dwell(0.9e6, 60)
	}
	if c.step != 3 {
		t.Fatalf("stepped up within the cool-down: %d", c.step)
	}
	dwell(0.9e6, 60)
	if c.step != 2 {
		t.Fatalf("did not step up after it: %d", c.step)
	}
	for range 20 {
		dwell(5e6, 60)
	}
	if _, share := c.limit(3); share != leastShare {
		t.Errorf("the last step leaves a share of %g", share)
	}
}

// A process that has ended holds no credit.
func TestRecover(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	p := NewPage()
	p.holders[0].Store(int64(gone.Process.Pid))
	if _, ok := p.take(1); ok {
		t.Fatal("took a credit that was out")
	}
	p.recover()
	slot, ok := p.take(1)
	if !ok {
		t.Fatal("the credit of a process that has ended is still out")
	}
	p.recover()
	if _, ok := p.take(1); ok {
		t.Error("the credit of a process that goes on was taken back")
	}
	p.give(slot)
}
