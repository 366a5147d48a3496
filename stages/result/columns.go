package result

import (
	"strings"

	"barograph/pipeline/cell"
)

// A Column declares one column of a recording's samples: once, by the stage that
// measures it. Reader, judge, notebooks, report and run.json's description take
// it from there.
type Column struct {
	Name  string `json:"name"`
	Doc   string `json:"doc"`
	Unit  string `json:"unit,omitempty"`  // ns, bytes or bytes/s; empty for a count, a share and a text
	Role  Role   `json:"role,omitempty"`  // what the column is for
	Stage string `json:"stage,omitempty"` // kind of the stage that sets or measures it
	Type  Type   `json:"-"`
}

// A Role says whether a column places a call in the design, says what was set, or
// holds what was found.
type Role string

const (
	Place     Role = "place"
	Condition Role = "condition"
	Outcome   Role = "result"
)

// A Type says which values of a column can have been measured.
type Type int

const (
	Anything Type = iota
	Time          // a positive whole number of nanoseconds, in every row
	Amount        // a number from 0; empty where it is unknown
	Share         // an Amount of at most Percent
)

// MostShare is the share of the link beyond which its calibration is taken for bad,
// and Percent that beyond which a column is taken for one of percent.
const (
	MostShare = 2
	Percent   = 10
)

// A Measure is a column whose value is the same for all calls of a trial, and is
// read off what a stage left of it.
type Measure[T any] struct {
	Column
	Of func(*T) any // a text, a truth value or a number
}

// CallColumns are the columns of [CallsFile], whole numbers from 0. Those after
// latency_ns are there where requests do not wait for one another.
var CallColumns = []Column{
	{Name: "call", Doc: "number of the timed call within its trial", Role: Place, Stage: "infer"},
	{Name: "scheduled_ns", Doc: "scheduled arrival, on CLOCK_MONOTONIC; in a closed loop the previous completion", Unit: "ns", Role: Outcome, Stage: "infer"},
	{Name: "start_ns", Doc: "when the call was sent, on the same clock", Unit: "ns", Role: Outcome, Stage: "infer"},
	{Name: "latency_ns", Doc: "from the scheduled arrival to completion; of a request that was dropped to the end of its trial, by when it had not been answered", Unit: "ns", Role: Outcome, Stage: "infer", Type: Time},
	{Name: "sent_ns", Doc: "scheduled_ns and the harness's lag: for how long a request was due, a worker was free for it, and it was not taken", Unit: "ns", Role: Outcome, Stage: "infer"},
	{Name: "deadline_ns", Doc: "by when the request had to be answered, on the same clock; 0: it had no deadline", Unit: "ns", Role: Condition, Stage: "infer"},
	{Name: "answered_with", Doc: "requests in the batch that answered it; 0: it was dropped", Role: Outcome, Stage: "infer"},
	{Name: "probe", Doc: "which probe of a rate the request belongs to, in the order made; run.json has their rates", Role: Place, Stage: "infer"},
	{Name: "round", Doc: "which of its trial's windows the request belongs to, in which all tenants ran", Role: Place, Stage: "infer"},
}

// CallNames are the names of the columns of a closed loop's calls; of requests that do
// not wait for one another; or of those of a search for a rate; and, of several
// tenants' calls, of their rounds.
func CallNames(open, sought, rounds bool) (names []string) {
	for i, c := range CallColumns {
		if i < 4 || open && i < 7 || sought && i == 7 || rounds && i == 8 {
			names = append(names, c.Name)
		}
	}
	return names
}

// InferColumns are what an [Infer] says of every call of its trial.
var InferColumns = []Measure[Infer]{
	{Column{Name: "model", Doc: "model that was called", Role: Condition, Stage: "infer"}, func(i *Infer) any { return i.Model }},
	{Column{Name: "batch", Doc: "sequences in a call", Role: Condition, Stage: "infer"}, func(i *Infer) any { return i.Batch }},
	{Column{Name: "sequence", Doc: "tokens in a sequence", Role: Condition, Stage: "infer"}, func(i *Infer) any { return i.Sequence }},
	{Column{Name: "device", Doc: "device of the model", Role: Condition, Stage: "infer"}, func(i *Infer) any { return i.Device }},
}

// TenancyColumns say how a device was shared. Recordings without tenants have none.
var TenancyColumns = []Measure[Infer]{
	{Column{Name: "tenancy", Doc: "how inferences shared the device: process, thread or mps, and behind a space the terms of each, by tenant, such as 50%+50% of the GPU or 100%+100% low; empty: there was no other, nor was one meant", Role: Condition, Stage: "infer"}, func(i *Infer) any { return strings.TrimSpace(i.tenancy().Sharing + " " + i.tenancy().Terms) }},
	{Column{Name: "tenant", Doc: "number of the inference among those of its trial", Role: Place, Stage: "infer"}, func(i *Infer) any { return max(1, i.tenancy().Tenant) }},
	{Column{Name: "beside", Doc: "models of the others, joined by +; empty: alone", Role: Condition, Stage: "infer"}, func(i *Infer) any { return strings.Join(i.tenancy().Beside, "+") }},
}

// A Tenancy is how an inference shared its device, and the windows that its calls were
// measured in.
type Tenancy struct {
	Sharing  string   `json:"sharing"` // process, thread or mps
	Tenant   int      `json:"tenant"`  // from 1
	Of       int      `json:"of"`
	Loaded   int      `json:"loaded,omitempty"`      // of the trial's tenants, that paused too; 0: none did
	Beside   []string `json:"beside,omitempty"`      // models of the others, by tenant
	Percent  int      `json:"mps_threads,omitempty"` // 0: all
	Priority string   `json:"mps_priority,omitempty"`
	Terms    string   `json:"terms,omitempty"` // of each tenant, where some had less of the GPU than others or than all
	// Of the GPU's multiprocessors: those that alone ran the tenant's kernels, of so many.
	SMPercent int        `json:"sm_percent,omitempty"` // that were asked for; 0: all
	SMs       int        `json:"sms,omitempty"`        // that the driver gave
	AllSMs    int        `json:"all_sms,omitempty"`
	Windows   [][2]int64 `json:"windows_ns"` // one a round
	// Groups of the tenants that called at once, those that this one was in; nil: all did.
	Groups []Together `json:"groups,omitempty"`
	// Calls that were due before a window, and those that were not complete by its end.
	CutBefore int `json:"cut_before"`
	CutAfter  int `json:"cut_after"`
}

// Timed is how long the windows took in which the inference called, together.
func (t *Tenancy) Timed() (sum int64) {
	windows := t.Windows
	if t.Groups != nil {
		windows = nil
		for _, g := range t.Groups {
			windows = append(windows, g.Window)
		}
	}
	for _, w := range windows {
		sum += w[1] - w[0]
	}
	return sum
}

// A Together is a round in which some of a trial's tenants called.
type Together struct {
	Round   int      `json:"round"`        // from 1
	Tenants []int    `json:"tenants"`      // their numbers
	Calls   int      `json:"calls"`        // that the one who tells it made
	Delay   int64    `json:"run_delay_ns"` // for which it waited for its processor
	Window  [2]int64 `json:"window_ns"`
}

// Apart returns what an inference says of its calls in each group, as if each were a trial
// by itself; nil: it had but one.
func (i *Infer) Apart() (parts []*Infer) {
	for _, g := range i.tenancy().Groups {
		own, shared := *i, *i.Tenancy
		shared.Groups, shared.Of, shared.Loaded, shared.Beside, shared.Windows = nil, len(g.Tenants), i.Tenancy.Of, nil, [][2]int64{g.Window}
		for _, n := range g.Tenants {
			switch {
			case n < shared.Tenant:
				shared.Beside = append(shared.Beside, i.Tenancy.Beside[n-1])
			case n > shared.Tenant:
				shared.Beside = append(shared.Beside, i.Tenancy.Beside[n-2])
			}
		}
		own.Tenancy, own.Calls, own.Delay, own.Window = &shared, g.Calls, g.Delay, g.Window
		parts = append(parts, &own)
	}
	return parts
}

func (i *Infer) tenancy() Tenancy {
	if i.Tenancy == nil {
		return Tenancy{}
	}
	return *i.Tenancy
}

// CardColumns say on which GPU a trial ran. Recordings of other devices have none.
var CardColumns = []Measure[Infer]{
	{Column{Name: "gpu_uuid", Doc: "UUID of the GPU", Role: Place, Stage: "infer"}, func(i *Infer) any { return i.card().UUID }},
	{Column{Name: "gpu_pci", Doc: "PCI address of the GPU", Role: Place, Stage: "infer"}, func(i *Infer) any { return i.card().PCI }},
}

func (i *Infer) card() cell.GPU {
	if i.Card == nil {
		return cell.GPU{}
	}
	return *i.Card
}

// StressColumns are what a [Stress] says of every call of its trial. Without a
// load numbers are 0 and texts empty.
var StressColumns = []Measure[Stress]{
	{Column{Name: "direction", Doc: "direction of the stressor's copies: h2d, d2h, both, or off the link d2d, h2h; empty without a stressor", Role: Condition, Stage: "stress"}, func(s *Stress) any { return s.Direction }},
	{Column{Name: "threads", Doc: "threads of the stressor", Role: Condition, Stage: "stress", Type: Amount}, func(s *Stress) any { return s.Threads }},
	{Column{Name: "block_bytes", Doc: "bytes of one copy", Unit: "bytes", Role: Condition, Stage: "stress", Type: Amount}, func(s *Stress) any { return s.Block }},
	{Column{Name: "outstanding", Doc: "copies that each stressor thread keeps in flight", Role: Condition, Stage: "stress", Type: Amount}, func(s *Stress) any { return s.Outstanding }},
	{Column{Name: "memory", Doc: "host memory of the copies, pinned or pageable; empty without a stressor", Role: Condition, Stage: "stress"}, func(s *Stress) any { return s.Memory }},
	{Column{Name: "rate_bytes_per_s", Doc: "bandwidth that the stressor was limited to; 0 for no limit", Unit: "bytes/s", Role: Condition, Stage: "stress", Type: Amount}, func(s *Stress) any { return s.Rate }},
	{Column{Name: "achieved_bytes_per_s", Doc: "bandwidth that the stressor achieved while the trial measured", Unit: "bytes/s", Role: Outcome, Stage: "stress", Type: Amount}, func(s *Stress) any { return s.Achieved }},
}
