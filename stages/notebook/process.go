package notebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/stages/figure"
	"barograph/stages/notebook/heap"
	"barograph/stages/notebook/script"
	"barograph/stages/notebook/symbols"
	"barograph/stages/recording"

	"github.com/spf13/cobra"
)

// A Process is this program again, as `notebook cell`: it runs one notebook, is
// confined for good, and ends. What every notebook needs it loads at once, and
// so before it is told which one to run.
type Process struct {
	child  *exec.Cmd
	Dir    string // that its run works in
	spec   io.WriteCloser
	events io.ReadCloser
	end    context.CancelFunc
}

// Start starts a process in an empty folder, whose log goes to a writer. It ends
// with the context.
func Start(ctx context.Context, dir string, log io.Writer) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	p := &Process{child: exec.CommandContext(ctx, self, "notebook", "cell"), Dir: dir, end: end}
	p.child.Dir, p.child.Stderr = dir, log
	// The runtime's last words, such as "stack overflow", are for the user; what
	// the interpreter's stack looks like is not.
	p.child.Env = append(os.Environ(), "GOTRACEBACK=none")
	endWith(p.child)
	if p.spec, err = p.child.StdinPipe(); err == nil {
		if p.events, err = p.child.StdoutPipe(); err == nil {
			err = p.child.Start()
		}
	}
	if err != nil {
		end()
		return nil, fmt.Errorf("start the notebook's process: %w", err)
	}
	return p, nil
}

// Drop ends a process that will not be needed.
func (p *Process) Drop() {
	p.end()
	_ = p.child.Wait() // it was killed
}

// Run runs a notebook in the process, handing on its events, and ends it with
// the context.
func (p *Process) Run(ctx context.Context, spec *cell.Spec, event func(cell.Event)) error {
	stop := context.AfterFunc(ctx, p.end)
	defer stop()
	line, err := json.Marshal(spec)
	if err != nil {
		p.Drop()
		return err
	}
	// A process that has ended says why below.
	_, _ = p.spec.Write(append(line, '\n'))
	var said error
	d := json.NewDecoder(p.events)
	for {
		var e cell.Event
		if err = d.Decode(&e); err != nil {
			break
		}
		switch {
		case e.Type == "error" && e.Hint != "":
			said = cell.Hint(errors.New(e.Text), "%s", e.Hint)
		case e.Type == "error":
			said = errors.New(e.Text)
		default:
			event(e)
		}
	}
	garbled := err != io.EOF && err != io.ErrUnexpectedEOF
	if garbled {
		p.end()
	}
	ended := p.child.Wait()
	p.end()
	switch {
	case said != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", said, context.Cause(ctx))
	case said != nil:
		return said
	case ctx.Err() != nil:
		return fmt.Errorf("run %s: %w", SourceName(spec), context.Cause(ctx))
	case garbled:
		return fmt.Errorf("read the events of %s: %w", SourceName(spec), err)
	case ended != nil:
		return fmt.Errorf("the process of %s ended with %w", SourceName(spec), ended)
	}
	return nil
}

// Events returns what the notebook has said, of a run that failed.
func (p *Process) Events() ([]nb.Event, error) {
	return readEvents(filepath.Join(p.Dir, private, nb.EventsFile))
}

// endWith lets a child be interrupted with its context, and not outlive us.
func endWith(c *exec.Cmd) {
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 2 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// Children returns the hidden commands by which this program serves itself.
func Children() []*cobra.Command { return []*cobra.Command{cellCommand(), confinedCommand()} }

// ByHand names the stage, the kind and the cell of a notebook that runs in no study.
const ByHand = "notebook"

// ahead is for how long a process waits until it takes itself to be one that was
// started before there was a notebook for it.
const ahead = 100 * time.Millisecond

// warm readies what a notebook takes a while for at first: how it is lowered, how a
// recording is read, and the fonts of its figure. What fails here fails where it is
// needed.
func warm() {
	_ = script.Warm()
	_ = json.Unmarshal([]byte(`{"trials": [{}], "calibrations": [{}]}`), &recording.Run{})
	f, err := figure.ECDF(figure.ECDFSpec{Title: "warm", Series: []figure.Series{{Label: "warm", Latencies: []int64{1, 2}}}})
	if err != nil {
		return
	}
	for _, format := range []string{"pdf", "png"} {
		_ = f.Write(io.Discard, format)
	}
}

// cellCommand is the child's side.
func cellCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "cell",
		Hidden: true,
		Args:   cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			heap.Spare()
			go symbols.Types() // while the specification is on its way
			warmed := make(chan struct{})
			idle := time.AfterFunc(ahead, func() { warm(); close(warmed) })
			kind := &cell.Kind{Name: ByHand, With: NewWith, Run: func(ctx context.Context, c *cell.Cell) error {
				if !idle.Stop() {
					<-warmed // it makes files where the notebook must not
				}
				return interpret(ctx, c)
			}}
			if cell.Serve(cell.NewKinds(kind), os.Stdin, os.Stdout) != nil {
				os.Exit(1) // the error was told as an event, and is not to be printed twice
			}
		},
	}
}

// confinedCommand runs a compiled notebook with what its specification allows.
func confinedCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "confined PROGRAM",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var s cell.Spec
			if err := cell.ReadJSON(os.Getenv(nb.Env), &s); err != nil {
				return err
			}
			if err := confine(&s, args[0]); err != nil {
				return err
			}
			return syscall.Exec(args[0], args[:1], os.Environ())
		},
	}
}
