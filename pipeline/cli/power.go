package cli

import (
	"fmt"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"
)

// power prints what the cells that conclude something could conclude from the
// trials that are planned.
func (a *program) power(p *plan.Plan) error {
	spec := cell.Spec{Study: p.Study.Name, Machine: p.Study.Machine, Seed: p.Study.Seed}
	for _, c := range p.Cells {
		if c.Stage.Kind.Measured {
			spec.Inputs = append(spec.Inputs, c.Input())
		}
	}
	seen := 0
	for _, c := range p.Cells {
		kind := c.Stage.Kind
		if kind.Foresee == nil {
			continue
		}
		seen++
		spec.Stage, spec.Kind, spec.ID, spec.With = c.Stage.Name, kind.Name, c.ID, c.With
		text, err := kind.Foresee(&spec)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "\n%s: %s", c.ID, text)
	}
	if seen == 0 {
		fmt.Fprintln(a.Msg, "no stage of this study concludes anything that could be foreseen")
	}
	return nil
}
