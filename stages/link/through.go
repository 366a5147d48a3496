package link

import (
	"context"
	"errors"
	"os"

	"barograph/pipeline/cell"
	"barograph/pipeline/launch"
	"barograph/stages/device/mps"
)

// through keeps a daemon of MPS while a child of this process measures the card as one
// of its clients: a program looks for the daemon when it starts, and never again.
func through(ctx context.Context, c *cell.Cell) (err error) {
	daemon, err := mps.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.Stop()) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	spec := c.Spec
	spec.During = c.ID
	return launch.Start(ctx, launch.Command{
		Argv: []string{self, "cell"}, Dir: dir, Env: os.Environ(), Spec: &spec, Log: os.Stderr, Timed: true,
		Event: func(e cell.Event) {
			switch e.Type {
			case "progress":
				c.Say(e.Text)
			case "warning":
				c.Warn("%s", e.Text)
			}
		},
	}).Wait()
}

// served checks that this process, whose device is open, is a client of MPS where it is
// to be one.
func served(w *With) error {
	if !w.mps() {
		return nil
	}
	serves, err := mps.Serves()
	if err == nil && !serves {
		err = errors.New("the process that measures the link is no client of MPS")
	}
	return err
}
