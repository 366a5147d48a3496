package traffic

import (
	"math/rand/v2"

	"barograph/stages/arrival"
)

// A Course is what a trial asks of a server: queue after queue, each once all requests
// of the one before are settled.
type Course interface {
	// Next returns the queue that begins at a time; nil: the trial is over.
	Next(now int64) *Queue
	// Carried returns the rate that is carried, where one was sought, and nil otherwise.
	Carried() (*Carried, error)
}

// Params are what a study says about the traffic of an inference. An inference's own
// parameters hold them all, so that a load beside it can tell what it is asked.
type Params struct {
	arrival.Pattern
	Rule
	Batch   Batch   `json:"batch"`
	Calls   int     `json:"calls"` // of each probe, where a rate is sought
	Warmup  int     `json:"warmup"`
	Carries *Search `json:"carries,omitempty"`
}

// Check reports what is wrong with them.
func (p *Params) Check(root string) error {
	if err := p.Rule.Check(p.Arrivals, p.Batch); err != nil {
		return err
	}
	if p.Carries != nil {
		return p.Carries.check(root, p)
	}
	_, _, err := p.Schedule(root, p.Calls, 0)
	return err
}

// Course returns what is asked by a seed, and how its schedule was made; nil and nil in
// a closed loop.
func (p *Params) Course(root string, seed uint64) (Course, *arrival.Made, error) {
	if p.Arrivals == "" { // of an inference that says nothing of them
		return nil, nil, nil
	}
	if p.Draw > 0 { // far from that of the next number: a search takes seeds in a row
		seed = rand.New(rand.NewPCG(p.Draw, 0x64726177)).Uint64()
	}
	if p.Carries != nil {
		s := &searching{Search: p.Carries, params: p, root: root, seed: seed}
		return s, s.made(), nil
	}
	due, made, err := p.Schedule(root, p.Calls, seed)
	if err != nil || due == nil {
		return nil, nil, err
	}
	return &once{due: due, params: p}, made, nil
}

// once is a course of one queue.
type once struct {
	due    []int64
	params *Params
}

func (o *once) Next(now int64) *Queue {
	if o.due == nil {
		return nil
	}
	q := NewQueue(o.due, now, o.params.Rule, o.params.Batch)
	o.due = nil
	return q
}

func (o *once) Carried() (*Carried, error) { return nil, nil }
