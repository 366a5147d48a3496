package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/link"
	"barograph/stages/prediction"
	"barograph/stages/prediction/pair"
	"barograph/stages/result"

	"github.com/spf13/cobra"
)

func scoreCommand() *cobra.Command {
	var samples string
	var tenancies []string
	c := prediction.Scoring("Predict recorded pairs from one another, and keep what they teach",
		`Predict every pair of models that a machine's recording of the study colocation holds,
each without having seen it; place every four models on two GPUs, without having seen two
of them on one, beside first-fit, random placements and the best there is; write
data/twin/MACHINE-pairs.csv with each prediction beside what was measured and beside two
naive ones, and data/twin/MACHINE-pairs.json with what all pairs teach; and print a summary.`,
		func(out io.Writer, root, file string, card *link.Card) error {
			for _, tenancy := range tenancies {
				if err := pair.Check(tenancy); err != nil {
					return cell.Usage(fmt.Errorf("invalid argument for --tenancy: %w", err))
				}
			}
			scores, x, summary, err := score(root, card, samples, tenancies)
			if err != nil {
				return err
			}
			x.Card = prediction.Within(root, file)
			if err := keep(root, scores, x); err != nil {
				return err
			}
			_, err = io.WriteString(out, summary)
			return err
		})
	c.Flags().StringVar(&samples, "samples", "", "`DIR` of the recording; otherwise looked for")
	c.Flags().StringSliceVar(&tenancies, "tenancy", pair.Tenancies, "`ways` to share a GPU whose pairs are taken")
	return c
}

// score predicts and places what a machine's recording holds of pairs; the summary is
// Markdown.
func score(root string, card *link.Card, samples string, tenancies []string) (scores []*pair.Score, x *pair.Lesson, summary string, err error) {
	recorded, err := pair.Find(root, card.Machine, samples, 1)
	if err != nil {
		return nil, nil, "", err
	}
	recorded.Outcomes = slices.DeleteFunc(recorded.Outcomes, func(o *pair.Outcome) bool { return !slices.Contains(tenancies, o.Tenancy) })
	if len(recorded.Outcomes) == 0 {
		return nil, nil, "", cell.Hint(fmt.Errorf("%s holds no models beside others, tenancy %s", recorded.Dir, strings.Join(tenancies, ", ")), "measure them: barograph run configs/colocation.yaml --machine %s; or name a recording with --samples", card.Machine)
	}
	machine := func(tenancy string) *prediction.Machine { return prediction.FromCard(card, tenancy == "mps") }
	scores, x, held, err := pair.ScoreAll(machine, recorded.Outcomes)
	if err != nil {
		return nil, nil, "", err
	}
	x.Machine, x.From = card.Machine, prediction.Within(root, recorded.Dir)
	var b strings.Builder
	if err := pair.Summarise(&b, scores); err != nil {
		return nil, nil, "", err
	}
	for _, tenancy := range pair.Tenancies {
		if held[tenancy] == nil {
			continue
		}
		if tenancy == "mps" && x.Tenancies[tenancy].Computing.Slice > 0 {
			b.WriteString("\nnote: what was recorded as under MPS shares the GPU in turns, as processes without it do: were all of them its clients?\n")
		}
		all, err := trials(held[tenancy], tenancy, recorded.Outcomes)
		if err != nil {
			return nil, nil, "", err
		}
		if err := compare(&b, tenancy, all); err != nil {
			return nil, nil, "", err
		}
	}
	return scores, x, b.String(), nil
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
