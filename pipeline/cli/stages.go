package cli

import (
	"slices"

	"barograph/pipeline/cli/app"
	"barograph/pipeline/plan"
)

// A stage is what of one is done.
type stage struct {
	Stage  string   `json:"stage"`
	Kind   string   `json:"kind"`
	Cells  int      `json:"cells"`
	Stands int      `json:"stands"`
	Runs   int      `json:"runs"`
	Waits  int      `json:"waits"`
	Files  []string `json:"files,omitempty"`
	// Strayed are those files that are missing, or not as they were made.
	Strayed []string `json:"strayed,omitempty"`
}

// stages says of each stage what is done.
func (a *program) stages(args []string, sel *app.Selection) ([]*stage, error) {
	by := map[string]*stage{}
	var stages []*stage
	known, p, d := a.DecidePart(args, sel)
	parts, ok := []plan.Stage(nil), false
	if known != nil {
		parts, ok = known.Summary()
	}
	if !ok {
		var err error
		if p, d, err = a.Decide(args, sel, nil); err != nil {
			return nil, err
		}
	}
	for _, s := range parts {
		by[s.Name] = &stage{Stage: s.Name, Kind: s.Kind, Cells: s.Cells, Stands: s.Cells, Files: s.Files}
		stages = append(stages, by[s.Name])
	}
	if p == nil {
		return stages, nil
	}
	for _, c := range p.Cells {
		s := by[c.Stage.Name]
		if s == nil {
			s = &stage{Stage: c.Stage.Name, Kind: c.Stage.Kind.Name}
			by[c.Stage.Name] = s
			stages = append(stages, s)
		}
		if ok { // it is counted as one that stands
			s.Stands--
		} else {
			s.Cells++
			for _, p := range c.Publish {
				s.Files = append(s.Files, p.To)
			}
		}
		switch d.Of(c).State {
		case plan.Stands:
			s.Stands++
		case plan.Runs:
			s.Runs++
		case plan.Waits:
			s.Waits++
		}
		for _, f := range d.Strayed(c) {
			s.Strayed = append(s.Strayed, c.Place(f.Name))
		}
	}
	for _, s := range stages {
		slices.Sort(s.Files)
	}
	return stages, nil
}
