// Package command is the general extension point of a study: a stage that runs
// a shell line.
//
// The line runs in an empty folder of its own, in which the stage's inputs:
// stand under their workspace paths, to be read only, and in which it leaves
// the stage's outputs:. It is given to /bin/sh with -e, so that the first
// command that fails ends it; what it prints goes to the cell's log.
package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"barograph/pipeline/cell"
)

// With is the parameters of command: there are none, since run: may hold
// expressions.
type With struct{}

// Kind returns the stage kind command.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:    "command",
		Version: "1",
		Doc:     "runs a shell line on inputs: from the workspace, leaving outputs: there",
		With:    func() any { return &With{} },
		Script:  true,
		Run:     run,
	}
}

// run is for launchers that start every cell as a barograph; others run the
// shell line themselves, in the same way.
func run(ctx context.Context, c *cell.Cell) error {
	sh := exec.CommandContext(ctx, "/bin/sh", "-ec", c.Script)
	// Standard output is for events. The line shares this process's group, which
	// is how a launcher stops all that it started.
	sh.Stdout, sh.Stderr = os.Stderr, os.Stderr
	sh.Env = os.Environ()
	for name, value := range c.Env {
		sh.Env = append(sh.Env, name+"="+value)
	}
	sh.Cancel = func() error { return sh.Process.Signal(syscall.SIGTERM) }
	sh.WaitDelay = 3 * time.Second
	if err := sh.Run(); err != nil {
		return cell.Hint(fmt.Errorf("run %q: %w", c.Script, err), "its own messages are in the cell's log")
	}
	return nil
}
