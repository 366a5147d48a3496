package stress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/pipeline/launch"
	"barograph/stages/result"
)

// A Child is a stressor's cell in a process of its own, which ends with this one.
type Child struct {
	process *launch.Process
	dir     string
	ready   chan struct{}
	end     context.CancelFunc
}

// Begin starts a stressor's cell in a folder, which it makes: one below this cell's, by
// which processes are known as the cell's. It inherits the environment, to which more
// variables are added, and the CPUs of the calling thread.
func Begin(ctx context.Context, dir string, w *With, spec cell.Spec, environ ...string) (*Child, error) {
	with, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		return nil, err
	}
	spec.Kind, spec.With = "stress", with
	c := &Child{dir: dir, ready: make(chan struct{})}
	ctx, c.end = context.WithCancel(ctx)
	c.process = launch.Start(ctx, launch.Command{
		Argv: []string{self, "cell"}, Dir: dir, Env: append(os.Environ(), environ...), Spec: &spec, Log: os.Stderr, Timed: true,
		Event: func(e cell.Event) {
			if e.Type == "ready" {
				close(c.ready)
			}
		},
	})
	return c, nil
}

// Ready waits until the load is.
func (c *Child) Ready() error {
	select {
	case <-c.ready:
		return nil
	case <-c.process.Done():
		_, err := c.Wait()
		return errors.Join(err, errors.New("load the link: a load ended before it was ready"))
	}
}

// Stop tells the load the window of its trial, and to end. One that is gone says why at
// its end.
func (c *Child) Stop(window [2]int64) {
	if window != [2]int64{} {
		_ = c.process.Send(cell.Control{Type: "window", Start: window[0], End: window[1]})
	}
	_ = c.process.Send(cell.Control{Type: "stop"})
}

// Wait sees the load to its end and reads its result. Its warnings are in there.
func (c *Child) Wait() (*result.Stress, error) {
	if err := c.process.Wait(); err != nil {
		return nil, fmt.Errorf("load the link: %w", err)
	}
	r := &result.Stress{}
	return r, cell.ReadJSON(c.file(result.StressFile), r)
}

func (c *Child) file(name string) string { return filepath.Join(c.dir, name) }

// Close ends a load that has not ended.
func (c *Child) Close() {
	c.end()
	_ = c.process.Wait() // it was told to end
}
