package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/stages/link"
	models "barograph/stages/model/command"
	"barograph/stages/prediction"
	"barograph/stages/prediction/pair"
	"barograph/stages/result"

	"github.com/spf13/cobra"
)

func scoreCommand() *cobra.Command {
	var card, samples string
	c := &cobra.Command{
		Use:   "score",
		Short: "Predict recorded pairs from one another, and keep what they teach",
		Long: `Predict every pair of models that a machine's recording of the study colocation holds,
each without having seen it; place every four models on two GPUs, without having seen two
of them on one, beside first-fit, random placements and the best there is; write
data/twin/MACHINE-pairs.csv with each prediction beside what was measured and beside two
naive ones, and data/twin/MACHINE-pairs.json with what all pairs teach; and print a summary.`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(c *cobra.Command, _ []string) error {
			root, err := models.Workspace(c)
			if err != nil {
				return err
			}
			read, err := link.Read(card)
			if err != nil {
				return cell.Usage(err)
			}
			recorded, err := pair.Find(root, read.Machine, samples, 1)
			if err != nil {
				return err
			}
			if len(recorded.Outcomes) == 0 {
				return cell.Hint(fmt.Errorf("%s holds no models beside others", recorded.Dir), "measure them: barograph run configs/colocation.yaml --machine %s; or name a recording with --samples", read.Machine)
			}
			machine := func(tenancy string) *prediction.Machine { return prediction.FromCard(read, tenancy == "mps") }
			scores, x, held, err := pair.ScoreAll(machine, recorded.Outcomes)
			if err != nil {
				return err
			}
			x.Machine, x.From, x.Card = read.Machine, prediction.Within(root, recorded.Dir), prediction.Within(root, card)
			if err := keep(root, scores, x); err != nil {
				return err
			}
			out := c.OutOrStdout()
			if err := pair.Summarise(out, scores); err != nil {
				return err
			}
			for _, tenancy := range pair.Tenancies {
				if held[tenancy] == nil {
					continue
				}
				all, err := trials(held[tenancy], tenancy, recorded.Outcomes)
				if err != nil {
					return err
				}
				if err := compare(out, tenancy, all); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&card, "link", "", "the machine's link card")
	c.Flags().StringVar(&samples, "samples", "", "`DIR` of the recording; otherwise looked for")
	_ = c.MarkFlagRequired("link")
	return c
}

// keep writes scores and what pairs teach below data/twin.
func keep(root string, scores []*pair.Score, x *pair.Lesson) error {
	path := filepath.Join(root, pair.File(x.Machine))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.Create(path[:len(path)-len(filepath.Ext(path))] + ".csv")
	if err != nil {
		return err
	}
	if err := errors.Join(pair.WriteScores(f, scores), f.Close()); err != nil {
		return err
	}
	return result.Write(path, x)
}
