package link

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"barograph/pipeline/cell"
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
	spec := c.Spec
	spec.During = c.ID
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, "cell")
	child.Stdin, child.Stderr = bytes.NewReader(append(text, '\n')), os.Stderr
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) } // so that it ends its loads
	child.WaitDelay = 5 * time.Second
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("measure through MPS: %w", err)
	}
	var fault error
	for events := bufio.NewScanner(out); events.Scan(); {
		var e cell.Event
		if err := json.Unmarshal(events.Bytes(), &e); err != nil {
			fault = fmt.Errorf("measure through MPS: it wrote %.80q", events.Text())
		}
		switch e.Type {
		case "progress":
			c.Say(e.Text)
		case "warning":
			c.Warn("%s", e.Text)
		case "error":
			fault = cell.Hint(errors.New(e.Text), "%s", e.Hint)
		}
	}
	if err := child.Wait(); err != nil && fault == nil {
		fault = fmt.Errorf("measure through MPS: %w", err)
	}
	return fault
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
