// Package app is what the commands share: how a study is chosen, planned and carried out,
// here or on a cluster, and where results and messages go.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"barograph/pipeline/cell"
	"barograph/pipeline/plan"
	"barograph/pipeline/source"
	"barograph/pipeline/store/lock"
)

// An App is what commands share.
type App struct {
	Kinds   cell.Kinds
	GPUs    func() cell.GPUs
	Checks  []cell.Check
	Drawing cell.Drawing
	JSON    bool
	Out     io.Writer // results
	Msg     io.Writer // messages
}

// Complain prints an error, unless all has been said: files' errors as they are,
// others after the program's name, hints below.
func (a *App) Complain(err error) {
	if e := (*cell.Error)(nil); errors.As(err, &e) && e.Err == nil {
		return
	}
	var one *source.Error
	var many source.Errors
	if errors.As(err, &many) || errors.As(err, &one) {
		fmt.Fprintln(a.Msg, err)
		return
	}
	fmt.Fprintln(a.Msg, "barograph:", err)
	a.Advise(err)
}

func (a *App) Advise(err error) {
	if hint := cell.HintOf(err); hint != "" {
		fmt.Fprintln(a.Msg, "  hint:", hint)
	}
}

func (a *App) WriteJSON(v any) error { return cell.WriteJSON(a.Out, v) }

// Table writes columns that cells separated by tabs fill.
func (a *App) Table(fill func(w io.Writer)) error {
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fill(w)
	return w.Flush()
}

// Lock makes this process the only one that changes a workspace's store.
func (a *App) Lock(ctx context.Context, root string) (io.Closer, error) {
	held, err := lock.Take(ctx, filepath.Join(State(root), "lock"), func(holder string) {
		fmt.Fprintln(a.Msg, "waiting for another run in this folder:", holder)
	})
	if errors.As(err, new(*fs.PathError)) {
		err = cell.Hint(err, "results are kept below %s, which must be a folder that can be written", State(root))
	}
	return held, err
}

// Program chooses who runs a cell: this program, or, for cells that measure on a
// GPU, the build that can.
func (a *App) Program(device string) func(*plan.Cell) (string, error) {
	return func(c *plan.Cell) (string, error) {
		if !c.Stage.Kind.Measured || !strings.HasPrefix(device, "cuda") {
			return os.Executable()
		}
		gpus := a.GPUs()
		if err := gpus.Missing; err != nil {
			return "", cell.Hint(fmt.Errorf("cells on device %q need %w", device, err), "%s", cell.HintOf(err))
		}
		return gpus.Program, nil
	}
}
