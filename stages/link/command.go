package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"barograph/pipeline/cell"
	models "barograph/stages/model/command"

	"github.com/spf13/cobra"
)

// study is the one that measures a card.
var study = filepath.Join("configs", "link.yaml")

// Command returns `link`.
func Command() *cobra.Command {
	var machine, sharing string
	var asJSON bool
	c := &cobra.Command{
		Use:   "link",
		Short: "Measure the link card of a machine: capacity, turns, the small path",
		Long: `Measure what the link of a machine does: the capacity each way and both ways, the
turn for which a copy engine serves one process before the next, how a wait grows
with the number of loading processes, the largest copy that takes the small path
past them, and what copies in flight do. It takes about a minute on a GPU, which
nobody else may use meanwhile.

The card is kept as results/data/link/MACHINE/MACHINE.json, its calls beside it, and its
figures below results/figures/link/MACHINE. Commands that take a machine's name find it
there first, and then among the cards in data/link. With --sharing mps, under which no copy
behind a kernel took the small path on the H100 that was measured, it is another,
MACHINE-mps.json. It is configs/link.yaml that is run.`,
		Example: `  barograph link
  barograph link --sharing mps
  barograph link --machine h100 --json | jq '.ways.d2h.turn.length_ns'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if w := (&With{Sharing: sharing}); w.check("") != nil {
				return cell.Usage(cell.Hint(fmt.Errorf("invalid argument %q for --sharing", sharing), "it is separate or mps"))
			}
			root, err := models.Workspace(c)
			if err != nil {
				return err
			}
			return measureStudy(c, root, machine, sharing, asJSON)
		},
	}
	c.Flags().StringVar(&machine, "machine", "auto", "`name` of a file below configs/machines/")
	c.Flags().StringVar(&sharing, "sharing", "separate", "`way` in which processes share the GPU: separate, or mps, through a daemon of NVIDIA's that is started for it")
	c.Flags().BoolVar(&asJSON, "json", false, "write the card as JSON")
	c.AddCommand(drawCommand())
	return c
}

// measureStudy has this program run the study afresh, and prints the card.
func measureStudy(c *cobra.Command, root, machine, sharing string, asJSON bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	run := exec.CommandContext(c.Context(), self, "run", filepath.Join(root, study), "--json", "--fresh", "card", "--machine", machine, "--set", "sharing="+sharing)
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	run.Stderr = c.ErrOrStderr()
	out, err := run.Output()
	if err != nil {
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			return cell.End(errors.New("the link was not measured"), max(1, ended.ExitCode()))
		}
		return fmt.Errorf("measure the link: %w", err)
	}
	var told struct {
		Machine  cell.Machine
		Warnings []struct{ Text string }
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return fmt.Errorf("measure the link: %w", err)
	}
	path := Find(root, told.Machine.Name, sharing == "mps")
	card, err := Read(path)
	if err != nil {
		return err
	}
	for _, w := range told.Warnings {
		if !strings.HasPrefix(w.Text, invalid) { // which the error at the end says
			fmt.Fprintln(c.ErrOrStderr(), "warning:", w.Text)
		}
	}
	if asJSON {
		err = cell.WriteJSON(c.OutOrStdout(), card)
	} else {
		err = card.Text(c.OutOrStdout())
	}
	if err == nil && len(card.Invalid) > 0 {
		err = cell.End(errors.New(invalid+strings.Join(card.Invalid, "; ")), cell.StatusInvalid)
	}
	return err
}

func drawCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "draw CARD.json",
		Short: "Draw a card's figures again, in a folder of the card's name below figures/link",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root, err := models.Workspace(c)
			if err != nil {
				return err
			}
			card, err := Read(args[0])
			if err != nil {
				return cell.Usage(err)
			}
			return card.draw(root, strings.TrimSuffix(filepath.Base(args[0]), ".json"))
		},
	}
}
