// Package cli is the command line: it turns arguments into a study, a plan and
// a run, and what happens into lines, bars, JSON and an exit status.
//
// Standard output is for results, standard error for messages.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/cli/clusters"
	"barograph/pipeline/cli/crates"
	"barograph/pipeline/cli/doctor"
	"barograph/pipeline/launch"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type program struct{ *app.App }

// Main runs the command line and returns the exit status. What the program can do
// and what this computer has is handed in.
func Main(args []string, kinds cell.Kinds, gpus func() cell.GPUs, commands []*cobra.Command, checks []cell.Check, drawing cell.Drawing) int {
	a := &program{&app.App{Kinds: kinds, GPUs: gpus, Checks: checks, Drawing: drawing, Out: os.Stdout, Msg: os.Stderr}}
	if len(args) == 1 && args[0] == "cell" { // most processes are this one: no time for a command tree
		if cell.Serve(kinds, os.Stdin, os.Stdout) != nil {
			return cell.StatusFailed
		}
		return cell.StatusDone
	}
	if len(args) == 2 && args[0] == "guard" {
		launch.Stand(args[1], os.Stdin)
		return cell.StatusDone
	}
	if len(args) > 1 && args[0] == "cell-agent" {
		return clusters.Agent(a.App, args[1:])
	}
	ctx, stop := a.interruptible()
	defer stop()
	root := a.tree(commands)
	root.SetArgs(args)
	begun := false
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return cell.StatusDone
	case !begun: // what cobra refuses before a command begins is wrong usage
		err = cell.Usage(err)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = cell.End(err, cell.StatusInterrupted)
	}
	a.Complain(err)
	return cell.StatusOf(err)
}

// tree returns the root of all commands.
func (a *program) tree(more []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "barograph",
		Short: "Measure what PCIe pressure does to model serving, and judge the claims",
		Long: `Barograph runs a study, one YAML file: it measures inference under pressure,
collects, analyses and plots, and judges the claims that the study names.

A study that is not named is configs/paper.yaml.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.PersistentFlags().BoolVar(&a.JSON, "json", false, "write results as JSON, for machines")
	root.AddCommand(a.runCommand(), a.planCommand(), a.whyCommand(), a.statusCommand(), a.graphCommand(),
		a.schemaCommand(), a.gcCommand(), a.versionCommand(), a.reportCommand(), doctor.Command(a.App))
	root.AddCommand(crates.Commands(a.App)...)
	root.AddCommand(clusters.Commands(a.App)...)
	root.AddCommand(more...)
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = func(_ *cobra.Command, topic []string) error { // which cobra lets end well
			at, rest, err := root.Find(topic)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("unknown command %q for %q", rest[0], at.CommandPath())
			}
			return err
		}
	}
	root.SetOut(a.Out)
	root.SetErr(a.Msg)
	decimals(root)
	return root
}

// decimals makes the integers of all flags decimal, as those of studies are; pflag
// takes 010 for 8.
func decimals(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if kind := strings.TrimPrefix(f.Value.Type(), "u"); strings.HasPrefix(kind, "int") {
			f.Value = decimal{f.Value}
		}
	})
	for _, sub := range c.Commands() {
		decimals(sub)
	}
}

// A decimal is an integer flag that has no leading zero.
type decimal struct{ pflag.Value }

func (d decimal) Set(text string) error {
	if digits := strings.TrimLeft(text, "+-"); len(digits) > 1 && digits[0] == '0' && (digits[1] >= '0' && digits[1] <= '9' || digits[1] == '_') {
		return errors.New("a number that begins with a zero, which some take for octal")
	}
	return d.Value.Set(text)
}

// interruptible returns a context that a signal cancels. The process then ends as
// soon as nothing holds it, and at a second signal whatever does.
func (a *program) interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	forget := context.AfterFunc(ctx, func() {
		stop()
		cell.Interrupt()
		time.Sleep(patience)
		fmt.Fprintf(a.Msg, "interrupted: waiting for what runs to end; a cell is killed after %v, and everything at another Ctrl-C\n", launch.Grace)
	})
	return ctx, func() {
		forget()
		stop()
	}
}

// patience is how long what was interrupted may take before something is said of it.
const patience = 500 * time.Millisecond
