package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/attest"
	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/crate"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	var again judging
	var key string
	c := &cobra.Command{
		Use:   "verify [RECORDING|CRATE|STATEMENT...]",
		Short: "Read recordings, stored results and crates again, and name what is damaged",
		Long: `Check recordings against their checksums; if none is named, all below data/ and results/, and
then every object in the store. Damaged objects are removed: they would never
have been used, and the next run that needs one makes it again.

A crate, which "barograph export" wrote, is read whole: what is missing, changed or
added is named, and what its metadata says and its provenance does not. --claim
judges a claim again, by the recording in the crate and nothing else; --figures
draws all figures again, and compares; --measure measures on this computer, and sets
the verdicts beside the crate's. --add keeps what came of it in the crate.

A statement, which "barograph export --intoto" wrote, is held against --key, and the
files that it names against its digests: in the crate that is named with it, or else
here and below results/.`,
		Example: `  barograph verify paper.zip --claim C1
  barograph verify paper.zip --measure --add --agent "Ada Lovelace <https://orcid.org/0000-0001-2345-6789>"`,
		RunE: func(c *cobra.Command, names []string) error {
			all := len(names) == 0
			out := soundness{Recordings: []string{}}
			var dirs, crates, statements []string
			for _, name := range names {
				switch {
				case crate.Is(name) || crate.IsZip(name):
					crates = append(crates, name)
				case attest.Is(name):
					statements = append(statements, name)
				default:
					dirs = append(dirs, name)
				}
			}
			if err := a.verifyStatements(statements, key, crates, &out); err != nil {
				return err
			}
			if err := again.check(crates, dirs); err != nil {
				return err
			}
			if all {
				var err error
				if dirs, err = record.All("."); err != nil {
					return err
				}
			}
			if err := a.verifyRecordings(dirs, all, &out); err != nil {
				return err
			}
			if _, err := os.Stat(storeDir(".")); all && err == nil {
				if err := a.verifyStore(&out); err != nil {
					return err
				}
			} else if all && len(dirs) == 0 {
				return cell.Usage(errors.New("no recording below data/ or results/ here, and no stored results"))
			}
			status, err := 0, error(nil)
			for _, name := range crates {
				if status, err = a.verifyCrate(c.Context(), name, again, &out); err != nil {
					return err
				}
			}
			if a.json {
				if err := a.writeJSON(out); err != nil {
					return err
				}
			}
			if len(out.Damage) > 0 {
				return cell.Exit(cell.StatusFailed)
			}
			if status != 0 {
				return cell.Exit(status)
			}
			return nil
		},
	}
	again.flags(c)
	c.Flags().StringVar(&key, "key", "", "the public key, in PEM as `file`, of who signed a statement")
	return c
}

// verifyRecordings checks recordings; one that was named must be one.
func (a *app) verifyRecordings(dirs []string, all bool, out *soundness) error {
	for _, dir := range dirs {
		if err := record.Sealed(dir); err != nil && !all { // no recording at all
			return cell.Usage(err)
		}
	}
	for _, dir := range dirs {
		if err := record.Verify(dir); err != nil {
			out.Damage = append(out.Damage, store.Damage{Path: dir, What: err.Error()})
			a.complain(fmt.Errorf("recording %s: %w", dir, err))
			continue
		}
		out.Recordings = append(out.Recordings, dir)
		if !a.json {
			fmt.Fprintln(a.out, "ok", dir)
		}
	}
	return nil
}

// A soundness is what verify found.
type soundness struct {
	Recordings []string       `json:"recordings"`           // sound
	Crates     []string       `json:"crates,omitempty"`     // sound
	Statements []string       `json:"statements,omitempty"` // signed, and true of what is here
	Objects    int            `json:"objects"`              // sound
	Damage     []store.Damage `json:"damage,omitempty"`     // of all
	// Assessments are of crates whose claims were judged again.
	Assessments []crate.Assessment `json:"assessments,omitempty"`
}

func (a *app) verifyStore(out *soundness) error {
	dir := storeDir(".")
	s, err := store.View(dir)
	if err != nil {
		return err
	}
	sound, damage, err := s.Verify()
	if err != nil {
		return fmt.Errorf("verify the store: %w", err)
	}
	out.Objects, out.Damage = sound, append(out.Damage, damage...)
	if len(damage) > 0 { // so that the next run looks at what it lacks
		if err := os.RemoveAll(proofs(".")); err != nil {
			return err
		}
	}
	for _, d := range damage {
		text := fmt.Sprintf("damaged: %s: %s", filepath.Join(dir, d.Path), d.What)
		if len(d.Cells) > 0 {
			text += "; of " + d.Cells[0]
		}
		if len(d.Cells) > 1 {
			text += fmt.Sprintf(" and %d more", len(d.Cells)-1)
		}
		fmt.Fprintln(a.msg, text)
	}
	if !a.json {
		fmt.Fprintf(a.out, "ok %s: %d objects\n", dir, sound)
	}
	return nil
}

func (a *app) gcCommand() *cobra.Command {
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
			lock, err := a.lock(cmd.Context(), ".")
			if err != nil {
				return err
			}
			defer lock.Close()
			s, err := store.Open(storeDir("."))
			if err != nil {
				return err
			}
			roots, err := a.roots(s, files)
			if err != nil {
				return errors.Join(err, s.Close())
			}
			swept, err := s.GC(roots, int64(budget), dry)
			if err == nil && !dry {
				err = errors.Join(os.RemoveAll(proofs(".")), os.RemoveAll(engine.Links(state(".")))) // they may be of studies that are gone
			}
			if err = errors.Join(err, s.Close()); err != nil {
				return err
			}
			if a.json {
				return a.writeJSON(swept)
			}
			verb := "removed"
			if dry {
				verb = "would remove"
			}
			fmt.Fprintf(a.out, "%s %d results, %v; kept %d, %v\n", verb, swept.Removed, unit.Size(swept.Freed), swept.Kept, unit.Size(swept.Bytes))
			return nil
		},
	}
	c.Flags().StringVar(&keep, "keep", "0", "keep unneeded results too while the store takes at most this `size`, such as 10GiB")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed")
	return c
}

// roots are the keys of what the studies in files name.
func (a *app) roots(s *store.Store, files []string) (map[string]bool, error) {
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
			p, err := a.plan([]string{file}, &selection{machine: machine})
			if err != nil {
				if machine != "" {
					continue // that machine's file is gone: only its recording is left
				}
				return nil, cell.Hint(err, "what it needs is not known: mend it or move it away")
			}
			d := plan.NewDecider(p, s, nil)
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
