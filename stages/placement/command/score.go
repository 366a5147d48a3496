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

// taught are the tenancies whose pairs are taken unless others are asked for: those of
// which every two models were recorded.
var taught = []string{"process", "mps"}

func scoreCommand() *cobra.Command {
	var samples, tenancies []string
	c := prediction.Scoring("Predict recorded pairs from one another, and keep what they teach",
		`Predict every pair of models that a machine's recordings of the studies matrix and colocation hold,
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
	c.Flags().StringSliceVar(&samples, "samples", nil, "`DIRS` of recordings, of which the first that holds a group of models counts; otherwise those of matrix, and then of colocation")
	c.Flags().StringSliceVar(&tenancies, "tenancy", taught, "`ways` to share a GPU whose pairs are taken")
	return c
}

// read reads a machine's recordings of pairs, of some tenancies: those in dirs, or those
// that are found. Models beside others are held against the same alone in that recording, or,
// where it lacks them, in another. A group that several hold counts as the first has it.
func read(root, machine string, dirs, tenancies []string) (*pair.Recording, error) {
	if len(dirs) == 0 {
		if dirs = pair.Beside(root, machine); len(dirs) == 0 {
			return nil, unrecorded(fmt.Sprintf("machine %q has no recording of models beside others", machine), machine)
		}
	}
	var of []*pair.Recording
	for _, dir := range dirs {
		r, err := pair.Find(root, machine, dir, 1)
		if err != nil {
			return nil, err
		}
		r.Dir = prediction.Within(root, r.Dir)
		of = append(of, r)
	}
	all := &pair.Recording{}
	from := map[string]*pair.Recording{} // by tenancy and group
	for i, r := range of {
		r.Hold(slices.Concat(of[:i], of[i+1:])...)
		all.Dir = strings.TrimPrefix(all.Dir+", "+r.Dir, ", ")
		for _, o := range r.Outcomes {
			if group := o.Tenancy + " " + o.Group(); slices.Contains(tenancies, o.Tenancy) && (from[group] == nil || from[group] == r) {
				from[group], all.Outcomes = r, append(all.Outcomes, o)
			}
		}
	}
	if len(all.Outcomes) == 0 {
		return nil, unrecorded(fmt.Sprintf("%s holds no models beside others, tenancy %s", all.Dir, strings.Join(tenancies, ", ")), machine)
	}
	return all, nil
}

func unrecorded(what, machine string) error {
	return cell.Hint(errors.New(what), "measure them: barograph run configs/colocation.yaml --machine %s; or name a recording with --samples", machine)
}

// score predicts and places what a machine's recordings hold of pairs; the summary is
// Markdown.
func score(root string, card *link.Card, samples, tenancies []string) (scores []*pair.Score, x *pair.Lesson, summary string, err error) {
	recorded, err := read(root, card.Machine, samples, tenancies)
	if err != nil {
		return nil, nil, "", err
	}
	machine := func(tenancy string) *prediction.Machine { return prediction.FromCard(card, tenancy == "mps") }
	scores, x, held, err := pair.ScoreAll(machine, recorded.Outcomes)
	if err != nil {
		return nil, nil, "", err
	}
	x.Machine, x.From = card.Machine, recorded.Dir
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
