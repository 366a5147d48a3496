// Package command is the general extension point of a study: a stage that runs
// a shell line.
//
// The line runs in an empty folder of its own, in which the stage's inputs:
// stand under their workspace paths, to be read only, and in which it leaves
// the stage's outputs:. It is given to /bin/sh with -e, so that the first
// command that fails ends it; where commands are piped, any of them does, for
// which bash must be there. What it prints goes to the cell's log.
//
// In the background of a trial a line runs until the signal SIGTERM ends it, beside what
// is measured: a load of one's own. It is ready once it has made the file ready in its
// folder.
package command

import "barograph/pipeline/cell"

// With is the parameters of command: there are none, since run: may hold
// expressions.
type With struct{}

// Kind returns the stage kind command. It has no Run: the engine gives the
// shell line to a shell itself.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:       "command",
		Version:    "2",
		Doc:        "runs a shell line on inputs: from the workspace, leaving outputs: there; in the background, a load of one's own, ready once the line has made the file ready",
		With:       func() any { return &With{} },
		Script:     true,
		Background: true,
	}
}
