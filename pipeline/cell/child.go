package cell

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Cell is a running cell as its stage sees it.
type Cell struct {
	Spec
	With any // the pointer that Kind.With returned, filled in

	control chan Control
	mu      sync.Mutex
	enc     *json.Encoder
	last    time.Time
}

// Path returns the absolute path of an output, making its folder.
func (c *Cell) Path(name string) (string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return path, os.MkdirAll(filepath.Dir(path), 0o777)
}

// Create makes an output file.
func (c *Cell) Create(name string) (*os.File, error) {
	path, err := c.Path(name)
	if err != nil {
		return nil, err
	}
	return os.Create(path)
}

// Ready tells the engine that a background cell has reached its steady state.
func (c *Cell) Ready() { c.emit(Event{Type: "ready"}) }

// Progress reports done of total units of work, at most ten times a second
// except for the last.
func (c *Cell) Progress(done, total int, note string) {
	c.mu.Lock()
	quiet := done != total && time.Since(c.last) < 100*time.Millisecond
	if !quiet {
		c.last = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		c.emit(Event{Type: "progress", Done: done, Total: total, Text: note})
	}
}

// Say reports what is being done where there is no count of work.
func (c *Cell) Say(text string) { c.emit(Event{Type: "progress", Text: text}) }

// Measured reports the interval a foreground cell measured, on [Now]'s clock.
// The engine passes it on to the trial's background cells.
func (c *Cell) Measured(start, end int64) { c.emit(Event{Type: "window", Start: start, End: end}) }

// Metric reports numbers worth a line in the run's table.
func (c *Cell) Metric(values map[string]float64) { c.emit(Event{Type: "metric", Values: values}) }

// Warn reports doubt about a result; it does not fail the cell.
func (c *Cell) Warn(format string, args ...any) {
	c.emit(Event{Type: "warning", Text: fmt.Sprintf(format, args...)})
}

// Unsteady reports that what was measured did not come to rest: it is warned of, tried
// again, and not taken for good by later runs.
func (c *Cell) Unsteady(format string, args ...any) {
	c.emit(Event{Type: "unsteady", Text: fmt.Sprintf(format, args...)})
}

// Controls returns the engine's messages. The channel is closed after "stop",
// or when the engine is gone.
func (c *Cell) Controls() <-chan Control { return c.control }

// Await returns once the background cells of this foreground cell's trial are ready.
func (c *Cell) Await(ctx context.Context) error {
	if !c.Beside {
		return nil
	}
	select {
	case m, ok := <-c.control:
		if !ok || m.Type != "begin" {
			return errors.New("the engine went away before the trial began")
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Cell) emit(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A lost engine shows as a closed control channel and a signal; there is
	// nobody left to tell that an event could not be written.
	_ = c.enc.Encode(e)
}

// Now returns nanoseconds on CLOCK_MONOTONIC, which every process of a machine
// shares, at the cost of one vDSO call.
func Now() int64 { return origin.mono + int64(time.Since(origin.at)) }

// origin is one moment on both clocks. A process that loses its processor between two
// looks would be off by as long ever after, and so the closest of several counts.
var origin = func() (o struct {
	at   time.Time
	mono int64
}) {
	closest := int64(math.MaxInt64)
	for range 16 {
		before, at := monotonic(), time.Now()
		if apart := monotonic() - before; apart < closest {
			closest, o.at, o.mono = apart, at, before+apart/2
		}
	}
	return o
}()

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the kernel is older than any that runs Go
	}
	return ts.Nano()
}

// Serve is the child's side of the contract: it reads a specification from in,
// runs the cell in the current folder, and writes events to out. The returned
// error has already been reported as an event.
func Serve(kinds Kinds, in io.Reader, out io.Writer) error {
	c := &Cell{control: make(chan Control, 16), enc: json.NewEncoder(out)}
	err := c.serve(kinds, in)
	if err != nil {
		c.emit(Event{Type: "error", Text: err.Error(), Hint: HintOf(err)})
	}
	return err
}

func (c *Cell) serve(kinds Kinds, in io.Reader) error {
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the specification: %w", err)
	}
	if err := json.Unmarshal(line, &c.Spec); err != nil {
		return fmt.Errorf("read the specification: %w", err)
	}
	kind := kinds[c.Kind]
	if kind == nil {
		return fmt.Errorf("unknown kind %q", c.Kind)
	}
	c.With = kind.With()
	if err := json.Unmarshal(c.Spec.With, c.With); err != nil {
		return fmt.Errorf("read the parameters of %s: %w", c.ID, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		defer close(c.control)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return // the engine is gone; Pdeathsig or its closing pipe ends us
			}
			var m Control
			if json.Unmarshal(line, &m) != nil {
				return
			}
			c.control <- m
			if m.Type == "stop" {
				return
			}
		}
	}()
	if c.Prepare {
		if kind.Prepare == nil {
			return fmt.Errorf("kind %q has nothing to prepare", c.Kind)
		}
		return kind.Prepare(ctx, c)
	}
	if kind.Run == nil {
		return fmt.Errorf("kind %q is a shell line, which its launcher runs", c.Kind)
	}
	return kind.Run(ctx, c)
}
