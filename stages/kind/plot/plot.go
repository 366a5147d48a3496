// Package plot is the kind of stage that draws, by a notebook: the figures that
// the stage's outputs: list, each in the format its extension names, and the CSV
// behind a figure where that is listed too.
package plot

import (
	"barograph/pipeline/cell"
	"barograph/stages/notebook"
	"barograph/stages/notebook/display"
)

// Kind returns the stage kind plot.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:     "plot",
		Version:  "2",
		Doc:      "runs a notebook that draws the figures its outputs list",
		With:     notebook.NewWith,
		Notebook: true,
		Inherits: notebook.Inherits,
		Outputs:  func(any) []string { return []string{notebook.RecordFile} },
		Identify: notebook.Identify,
		Prepare:  notebook.Prepare,
		Run:      notebook.Run,
		Page:     display.Fragment,
	}
}
