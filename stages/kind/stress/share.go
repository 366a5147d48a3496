package stress

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/device"
	"barograph/stages/device/host"
	"barograph/stages/guard"
	"barograph/stages/kind/stress/drive"
	"barograph/stages/kind/stress/tape"
	"barograph/stages/result"
)

// With sharing: process the load's cell is the host of its result and the
// inference's process the guest that makes the copies. They meet on a socket
// that the kernel removes with them. The host sends what it knows of the load, a
// result.Stress; the guest sends the result filled in, and then the copies as
// result.CopiesFile has them.

// socket names the meeting place of a trial. Both cells are children of one
// engine.
func socket(load string) *net.UnixAddr {
	sum := sha256.Sum256([]byte(load))
	return &net.UnixAddr{Name: fmt.Sprintf("@barograph.%d.%x", os.Getppid(), sum[:8]), Net: "unix"}
}

// host waits for a guest to carry the load, and keeps what it leaves.
func (t *task) host(ctx context.Context) error {
	rate, err := t.rate()
	if err != nil {
		return err
	}
	t.result.Rate = rate
	listener, err := net.ListenUnix("unix", socket(t.ID))
	if err != nil {
		return fmt.Errorf("wait for the inference's process: %w", err)
	}
	defer listener.Close()
	type received struct {
		result result.Stress
		err    error
	}
	guest := make(chan received, 1)
	told := t.result // the controls change the other
	go func() {
		r, err := t.receive(listener, told)
		guest <- received{r, err}
	}()
	if err := t.trial(ctx, nil, nil); err != nil {
		return err
	}
	select {
	case r := <-guest:
		if r.err != nil {
			return r.err
		}
		t.result = r.result
	case <-time.After(10 * time.Second):
		return cell.Hint(errors.New("the inference left no result of the load in its process"),
			"sharing: process needs an inference on the same device during the load")
	case <-ctx.Done():
		return ctx.Err()
	}
	t.Metric(map[string]float64{"achieved_bytes_per_s": t.result.Achieved})
	return nil
}

// receive speaks the host's side with one guest, and keeps the copies.
func (t *task) receive(listener *net.UnixListener, told result.Stress) (r result.Stress, err error) {
	conn, err := listener.Accept()
	if err != nil {
		return r, fmt.Errorf("wait for the inference's process: %w", err)
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(told); err != nil {
		return r, fmt.Errorf("tell the inference's process of the load: %w", err)
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		return r, fmt.Errorf("hear of the load from the inference's process: %w", err)
	}
	f, err := t.Create(result.CopiesFile)
	if err != nil {
		return r, err
	}
	_, err = io.Copy(f, in)
	return r, errors.Join(err, f.Close())
}

// A Guest is a load in the process of an inference.
type Guest struct {
	task    *task
	drive   *drive.Drive
	guard   *guard.Guard
	closing func() error // of the guard's page
	conn    net.Conn
}

// Join looks for a load in the cell's trial that is to share its process, and
// starts it on the cell's device: nil if there is none. It returns once the load
// is steady, or has had its time to become so.
func Join(ctx context.Context, c *cell.Cell) (*Guest, error) {
	for _, in := range c.Gang {
		if in.Kind != "stress" {
			continue
		}
		w := Kind().With().(*With)
		if err := json.Unmarshal(in.With, w); err != nil {
			return nil, fmt.Errorf("read the parameters of %s: %w", in.ID, err)
		}
		if w.Sharing == "process" {
			return join(ctx, c, in.ID, w)
		}
	}
	return nil, nil
}

func join(ctx context.Context, c *cell.Cell, load string, w *With) (_ *Guest, err error) {
	conn, err := net.DialUnix("unix", nil, socket(load))
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", load, err)
	}
	g := &Guest{task: &task{Cell: c, with: w}, conn: conn}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	r := &g.task.result
	if err := json.NewDecoder(conn).Decode(r); err != nil {
		return nil, fmt.Errorf("hear of the load from %s: %w", load, err)
	}
	l, err := w.load(w.Direction)
	if err != nil {
		return nil, err
	}
	var dev device.Device
	if dev, err = open(c.Machine.Device); err != nil {
		return nil, err
	}
	if _, r.CPUs, err = host.Split(); err != nil {
		return nil, err
	}
	r.Notes = append(dev.Notes(l), "the threads are the inference's process's own")
	if g.guard, g.closing, err = g.task.guarded(); err != nil {
		return nil, err
	}
	if g.drive, err = drive.Start(ctx, dev, l, g.guard, r.Rate, 0, r.CPUs); err != nil {
		return nil, err
	}
	if l.Threads > 0 && l.Calls == 0 {
		if err := g.task.settle(ctx, g.drive, nil); err != nil {
			return nil, errors.Join(err, g.drive.Stop())
		}
	}
	return g, nil
}

// Halt has the load begin no other copy.
func (g *Guest) Halt() { g.drive.Halt() }

// Leave ends the load and hands over what it copied, and how much of it within
// a window.
func (g *Guest) Leave(window [2]int64) (err error) {
	defer func() { err = errors.Join(err, g.conn.Close()) }()
	if err := g.drive.Stop(); err != nil {
		return err
	}
	g.task.result.Window = window
	if err := g.task.account(g.drive.Tapes); err != nil {
		return err
	}
	if g.task.guarding(g.guard.Report()); g.closing() != nil {
		return errors.New("unmap the load's page")
	}
	if err := json.NewEncoder(g.conn).Encode(&g.task.result); err != nil {
		return fmt.Errorf("hand the load's result over: %w", err)
	}
	return tape.Write(g.conn, g.drive.Tapes)
}
