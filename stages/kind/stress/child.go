package stress

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/stages/result"
)

// A Child is a stressor's cell in a process of its own, a child of this one and in
// its group, with which the engine would end it.
type Child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	events *bufio.Scanner
	ended  bool
}

// Begin starts a stressor's cell in a folder, which it makes. It inherits the
// environment, to which more variables are added, and the CPUs of the calling thread.
func Begin(ctx context.Context, dir string, w *With, spec cell.Spec, environ ...string) (*Child, error) {
	with, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &Child{cmd: exec.CommandContext(ctx, self, "cell")}
	c.cmd.Dir, c.cmd.Stderr, c.cmd.Env = dir, os.Stderr, append(os.Environ(), environ...)
	if err := os.Mkdir(dir, 0o777); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.in, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start a load: %w", err)
	}
	c.events = bufio.NewScanner(out)
	c.events.Buffer(nil, 1<<20)
	spec.Kind, spec.With = "stress", with
	c.send(spec)
	return c, nil
}

// send writes a line; a child that is gone says why at its end.
func (c *Child) send(v any) {
	if b, err := json.Marshal(v); err == nil {
		_, _ = c.in.Write(append(b, '\n'))
	}
}

// next hears of the child's next event of a type, or of its end: io.EOF, or the
// error that it tells.
func (c *Child) next(kind string) error {
	for c.events.Scan() {
		var e cell.Event
		if err := json.Unmarshal(c.events.Bytes(), &e); err != nil {
			return fmt.Errorf("hear a load: it wrote %.80q", c.events.Text())
		}
		switch e.Type {
		case kind:
			return nil
		case "error":
			return cell.Hint(fmt.Errorf("load the link: %s", e.Text), "%s", e.Hint)
		}
	}
	return io.EOF
}

// Ready waits until the load is.
func (c *Child) Ready() error {
	err := c.next("ready")
	if errors.Is(err, io.EOF) {
		return errors.New("load the link: a load ended before it was ready")
	}
	return err
}

// Stop tells the load the window of its trial, and to end.
func (c *Child) Stop(window [2]int64) {
	if window != [2]int64{} {
		c.send(cell.Control{Type: "window", Start: window[0], End: window[1]})
	}
	c.send(cell.Control{Type: "stop"})
}

// Wait sees the load to its end and reads its result. Its warnings are in there.
func (c *Child) Wait() (*result.Stress, error) {
	if err := c.next(""); !errors.Is(err, io.EOF) {
		return nil, err
	}
	c.ended = true
	if err := c.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("load the link: %w", err)
	}
	r := &result.Stress{}
	return r, result.Read(c.file(result.StressFile), r)
}

func (c *Child) file(name string) string { return filepath.Join(c.cmd.Dir, name) }

// Close ends a load that has not ended.
func (c *Child) Close() error {
	if c.ended {
		return nil
	}
	err := c.cmd.Process.Kill()
	_ = c.cmd.Wait() // it was killed
	return err
}
