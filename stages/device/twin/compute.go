package twin

import (
	"math"
	"slices"
)

// A Computing says how the device behind a link computes for several services. The
// zero value has it compute for each as if it were alone.
type Computing struct {
	// Slice is for how long it computes for one process while another has work too, and
	// Switch how long it takes from one to another. 0: for all processes at once, as
	// under MPS.
	Slice  int64 `json:"slice_ns,omitempty"`
	Switch int64 `json:"switch_ns,omitempty"`
	// Requests that are computed at once slow one another: each takes
	//
	//	1 + (Weight * sum of the others' Occupancy)^Power
	//
	// times as long.
	Weight float64 `json:"crowding,omitempty"`
	Power  float64 `json:"crowding_power,omitempty"`
}

func (c *Computing) shared() bool { return c.Slice > 0 || c.Weight > 0 }

// A job is what is left of a request's computing.
type job struct {
	service   int32
	process   int
	occupancy float64
	left      float64 // nanoseconds, alone
}

// A processor computes jobs.
type processor struct {
	Computing
	jobs     []job // in the order in which they came
	process  int   // that it computes for, or did last
	since    int64 // what is left of jobs was left then; later than now within a switch
	turned   int64 // when the process's slice began
	deadline int64 // when it ends, if another process waits
	next     int64 // when a job ends, or the slice
}

// runs tells whether a job is computed now.
func (p *processor) runs(j *job) bool { return p.Slice == 0 || j.process == p.process }

// slower is by what factor a job that is computed takes longer than alone.
func (p *processor) slower(i int) float64 {
	others := 0.0
	for k := range p.jobs {
		if k != i && p.runs(&p.jobs[k]) {
			others += p.jobs[k].occupancy
		}
	}
	if others*p.Weight <= 0 {
		return 1
	}
	return 1 + math.Pow(others*p.Weight, p.Power)
}

// advance computes until now.
func (p *processor) advance(now int64) {
	if now <= p.since {
		return
	}
	rates := make([]float64, len(p.jobs))
	for i := range p.jobs {
		if p.runs(&p.jobs[i]) {
			rates[i] = 1 / p.slower(i)
		}
	}
	for i, rate := range rates {
		p.jobs[i].left -= rate * float64(now-p.since)
	}
	p.since = now
}

// foresee sets when something ends next.
func (p *processor) foresee() {
	p.next = p.deadline
	for i := range p.jobs {
		if j := &p.jobs[i]; p.runs(j) {
			p.next = min(p.next, p.since+int64(math.Ceil(max(0, j.left)*p.slower(i))))
		}
	}
}

// add begins a job.
func (p *processor) add(now int64, j job) {
	p.advance(now)
	switch idle := len(p.jobs) == 0; {
	case p.Slice == 0:
	case idle:
		p.take(now, j.process)
	case j.process != p.process && p.deadline == never:
		slices := max(0, now-p.turned) / p.Slice
		p.deadline = p.turned + (slices+1)*p.Slice
	}
	p.jobs = append(p.jobs, j)
	p.foresee()
}

// take turns to a process.
func (p *processor) take(now int64, process int) {
	p.since, p.deadline = now, never
	if process != p.process {
		p.since += p.Switch
	}
	p.process, p.turned = process, p.since
}

// pass turns to the process with work that comes next, after one has none or its slice
// is over.
func (p *processor) pass(now int64) {
	if p.Slice == 0 || len(p.jobs) == 0 {
		return
	}
	// Processes take turns in the order of their numbers.
	next, first, others := math.MaxInt, math.MaxInt, false
	for _, j := range p.jobs {
		first = min(first, j.process)
		if j.process > p.process {
			next = min(next, j.process)
		}
		others = others || j.process != p.jobs[0].process
	}
	if next == math.MaxInt {
		next = first
	}
	p.take(now, next)
	if others {
		p.deadline = p.since + p.Slice
	}
}

// end ends what is due: a slice, or jobs, whose services it returns in order.
func (p *processor) end(now int64) (services []int32) {
	p.advance(now)
	left := p.jobs[:0]
	for _, j := range p.jobs {
		if p.runs(&j) && j.left < 0.5 {
			services = append(services, j.service)
		} else {
			left = append(left, j)
		}
	}
	p.jobs = left
	alone := !slices.ContainsFunc(p.jobs, func(j job) bool { return p.runs(&j) })
	if alone || now >= p.deadline {
		p.pass(now)
	}
	p.foresee()
	return services
}
