package nb

import (
	"maps"
	"os"

	"barograph/stages/judge"
)

// Judge judges the paper's claims on a CSV input, such as collect's samples.csv,
// read as sel says, with what run.json says of the measurement where that is an
// input too. A parameter "where" of the study's selects rows besides, as for
// [Samples]. Resampling is seeded by the cell.
func Judge(name string, run *Run, sel judge.Selection, o judge.Options) *judge.Report {
	c := called("Judge", name)
	f, err := os.Open(c.input(name))
	c.check(err)
	defer f.Close()
	chosen := c.where()
	maps.Copy(chosen, sel.Where)
	sel.Where, sel.Recorded = chosen, run != nil
	s, err := judge.Read(f, sel)
	c.check(err)
	o.Seed = c.seed()
	o.Cost = func(cost string) { c.say("note", "%s", []any{cost}) }
	return try(judge.Judge(s, run, o)).or("Judge", name)
}

// Slow compares the levels of each model, batch and direction of samples with level
// 0 of the same: see [judge.Slow]. Resampling is seeded by the cell.
func (s *Set) Slow(run *Run) *judge.Fingerprint {
	return try(judge.Slow(s.table, run, called("Set.Slow").seed())).or("Set.Slow")
}
