package app

import (
	"os"
	"slices"

	"barograph/pipeline/plan"
	"barograph/pipeline/store"
)

// against holds a plan against the store.
func (a *App) against(p *plan.Plan, fresh []string) (*plan.Decider, error) {
	st, err := store.View(StoreDir(p.Study.Root))
	if err == nil {
		err = a.share(st)
	}
	if err != nil {
		return nil, err
	}
	d := plan.NewDecider(p, st, fresh)
	return d, d.All()
}

// DecidePart returns what a proof says of a study, with the part of it that changed or
// that is asked for, held against the store; none of it where the whole has to be. The
// plan is nil where nothing is in that part.
func (a *App) DecidePart(args []string, s *Selection, asked ...string) (*plan.Known, *plan.Plan, *plan.Decider) {
	file := s.Proof(args)
	if file == "" {
		return nil, nil, nil
	}
	Thrift(0, true) // until it is known how many cells there are
	known := plan.Recall(file, a.Options(s))
	if known != nil {
		Thrift(known.Cells, false)
	}
	if known == nil || len(known.Changed)+len(asked) == 0 {
		return known, nil, nil
	}
	p := known.Plan(a.Options(s), asked...)
	if p == nil {
		return nil, nil, nil
	}
	d, err := a.against(p, nil)
	if err != nil { // planning the whole says so too, or needs no cell of a part
		return nil, nil, nil
	}
	if len(asked) > 0 {
		a.doubt(s, args, p, d)
	}
	return known, p, d
}

// doubt takes away a proof by which nothing of what would run by a decision is to run: a
// result was lost without a trace in the workspace, and a run is to say so too.
func (a *App) doubt(s *Selection, args []string, p *plan.Plan, d *plan.Decider) {
	runs := func(c *plan.Cell) bool { return d.Of(c) != nil && d.Of(c).State != plan.Stands }
	file := s.Proof(args)
	if file == "" || !slices.ContainsFunc(p.Cells, runs) {
		return
	}
	known := plan.Recall(file, a.Options(s))
	if known == nil {
		return
	}
	var part *plan.Plan
	if len(known.Changed) > 0 {
		if part = known.Plan(a.Options(s)); part == nil {
			return // a run plans the whole, too
		}
	}
	for _, c := range p.Cells {
		if runs(c) && (part == nil || part.Cell(c.ID) == nil) {
			_ = os.Remove(file) // or a run goes on believing it
			return
		}
	}
}
