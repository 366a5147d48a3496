// Package clusters is the commands about jobs on a cluster, and the agent that is one.
package clusters

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/cluster"
	"barograph/pipeline/cluster/agent"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/store/lock"

	"github.com/spf13/cobra"
)

// Commands are those about jobs.
func Commands(a *app.App) []*cobra.Command {
	c := &commands{a}
	return []*cobra.Command{c.topCommand(), c.stopCommand()}
}

type commands struct{ *app.App }

func (a *commands) onCommand(c *cobra.Command, run func(*cluster.Cluster) error) *cobra.Command {
	on := ""
	c.Flags().StringVar(&on, "on", os.Getenv(app.OnVariable), "the `cluster`, a file below configs/clusters/")
	c.Args = cobra.NoArgs
	c.RunE = func(*cobra.Command, []string) error {
		root, err := os.Getwd()
		if err != nil {
			return err
		}
		if on == "" {
			return cell.Usage(cell.Hint(errors.New("no cluster named"), "say --on NAME; known here: %s", strings.Join(file.Names(root), ", ")))
		}
		there, err := cluster.Open(root, on)
		if err != nil {
			return err
		}
		return run(there)
	}
	return c
}

func (a *commands) topCommand() *cobra.Command {
	return a.onCommand(&cobra.Command{
		Use:   "top",
		Short: "Say how this folder's jobs on a cluster stand, and when they will be done",
	}, func(c *cluster.Cluster) error {
		top, err := c.Top()
		if err != nil {
			return err
		}
		if a.JSON {
			return a.WriteJSON(top)
		}
		fmt.Fprint(a.Out, top)
		return nil
	})
}

func (a *commands) stopCommand() *cobra.Command {
	return a.onCommand(&cobra.Command{
		Use:   "stop",
		Short: "Cancel this folder's jobs on a cluster; what they finished stands",
	}, func(c *cluster.Cluster) error {
		n, err := c.Stop()
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Msg, "%d jobs cancelled\n", n)
		return nil
	})
}

// Agent runs the pack of this job, which a signal ends as a kill would: what is
// finished stands.
func Agent(a *app.App, args []string) int {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		s := <-signals
		stop(fmt.Errorf("told to end by signal %d (%v)", s, s))
	}()
	here := &agent.Agent{
		Kinds: a.Kinds, GPUs: a.GPUs, Program: a.Program, Log: a.Msg,
		Hold: func(ctx context.Context, device string) (io.Closer, error) {
			return lock.Take(ctx, app.DeviceLock(a.GPUs().Physical(device)), func(holder string) { fmt.Fprintln(a.Msg, "waiting for", holder) })
		},
		Disturbed: func(root, device string) string {
			var said []string
			for _, d := range a.Disturbances(root, device) {
				said = append(said, d.What)
			}
			return strings.Join(said, "; ")
		},
	}
	var err error
	if args[0] == "--check" && len(args) == 2 {
		err = here.Check(args[1])
	} else {
		err = here.Run(ctx, args[0])
	}
	if err != nil {
		a.Complain(err)
	}
	return cell.StatusOf(err)
}
