// Package analyse is the kind of stage that turns a recording into numbers and
// verdicts, by a notebook.
//
// The notebook leaves summary.txt, which the run prints at its end, summary.csv,
// the numbers behind it, verdicts.json, with a verdict on every claim that the
// stage judges, and the files that the stage's outputs: list.
package analyse

import (
	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/stages/judge/power"
	"barograph/stages/notebook"
	"barograph/stages/notebook/display"
)

// SummaryTable names the numbers behind the summary.
const SummaryTable = "summary.csv"

// Kind returns the stage kind analyse.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:     "analyse",
		Version:  "2",
		Doc:      "runs a notebook that turns measurements into a summary, tables and verdicts on the claims",
		With:     notebook.NewWith,
		Notebook: true,
		Inherits: notebook.Inherits,
		Outputs: func(any) []string {
			return []string{nb.SummaryFile, SummaryTable, nb.VerdictsFile, notebook.RecordFile}
		},
		Summary:  nb.SummaryFile,
		Verdicts: nb.VerdictsFile,
		Foresee:  power.Foresee,
		Identify: notebook.Identify,
		Prepare:  notebook.Prepare,
		Run:      notebook.Run,
		Page:     display.Fragment,
	}
}
