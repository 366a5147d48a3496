package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/engine/folder"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"

	"github.com/spf13/cobra"
)

func (a *program) gcCommand() *cobra.Command {
	var keep string
	var dry bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove stored results that no study here needs",
		Long: `Remove stored results. Kept are those that the studies under configs/ would use
or last made, on this machine and on those of the recordings here; and of
the others the newest, while the store takes no more than --keep.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			budget, err := unit.ParseSize(keep)
			if err != nil {
				return cell.Usage(fmt.Errorf("--keep: %w", err))
			}
			files, err := filepath.Glob(filepath.Join("configs", "*.yaml"))
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return cell.Usage(cell.Hint(errors.New("no study under configs/ here"), "run this in the workspace"))
			}
			lock, err := a.Lock(cmd.Context(), ".")
			if err != nil {
				return err
			}
			defer lock.Close()
			s, err := store.Open(app.StoreDir("."))
			if err != nil {
				return err
			}
			roots, err := a.roots(s, files)
			if err != nil {
				return errors.Join(err, s.Close())
			}
			swept, err := s.GC(roots, int64(budget), dry)
			if err == nil && !dry {
				err = errors.Join(os.RemoveAll(app.Proofs(".")), os.RemoveAll(folder.LinksBelow(app.State(".")).Dir)) // they may be of studies that are gone
			}
			if err = errors.Join(err, s.Close()); err != nil {
				return err
			}
			if a.JSON {
				return a.WriteJSON(swept)
			}
			verb := "removed"
			if dry {
				verb = "would remove"
			}
			fmt.Fprintf(a.Out, "%s %d results, %v; kept %d, %v\n", verb, swept.Removed, unit.Size(swept.Freed), swept.Kept, unit.Size(swept.Bytes))
			return nil
		},
	}
	c.Flags().StringVar(&keep, "keep", "0", "keep unneeded results too while the store takes at most this `size`, such as 10GiB")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed")
	return c
}

// roots are the keys of what the studies in files name.
func (a *program) roots(s *store.Store, files []string) (map[string]bool, error) {
	recs, err := record.All(".")
	if err != nil {
		return nil, err
	}
	roots := map[string]bool{}
	for _, file := range files {
		machines := map[string]bool{"": true}
		for _, dir := range recs {
			machines[filepath.Base(dir)] = true
		}
		for machine := range machines {
			p, err := a.Plan([]string{file}, &app.Selection{Machine: machine})
			if err != nil {
				if machine != "" {
					continue // that machine's file is gone: only its recording is left
				}
				return nil, cell.Hint(err, "what it needs is not known: mend it or move it away")
			}
			d := plan.NewDecider(p, s, nil)
			d.Idle = true
			for _, c := range p.Cells {
				if c.Trial == nil {
					if _, err := d.Decide(c); err != nil {
						return nil, err
					}
				}
				if last := s.Latest(p.Name(c)); last != nil {
					roots[last.Key] = true
				}
			}
			for _, c := range p.Cells {
				if dec := d.Of(c); dec.Record != nil {
					roots[dec.Record.Key] = true
				}
			}
		}
	}
	return roots, nil
}
