package crates

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/attest"
	"barograph/pipeline/cell"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/crate"
	"barograph/pipeline/record"
	"barograph/pipeline/store"

	"github.com/spf13/cobra"
)

// Commands are those of crates, statements and recordings.
func Commands(a *app.App) []*cobra.Command {
	c := &commands{a}
	return []*cobra.Command{c.exportCommand(), c.verifyCommand()}
}

type commands struct{ *app.App }

func (a *commands) verifyCommand() *cobra.Command {
	var again judging
	var key string
	c := &cobra.Command{
		Use:   "verify [RECORDING|CRATE|STATEMENT...]",
		Short: "Read recordings, stored results and crates again, and name what is damaged",
		Long: `Check recordings against their checksums, and their samples against their run.json; if
none is named, all below data/ and results/, and then every object in the store. Damaged objects are removed: they would never
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
			if _, err := os.Stat(app.StoreDir(".")); all && err == nil {
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
			if a.JSON {
				if err := a.WriteJSON(out); err != nil {
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
func (a *commands) verifyRecordings(dirs []string, all bool, out *soundness) error {
	for _, dir := range dirs {
		if err := record.Sealed(dir); err != nil && !all { // no recording at all
			return cell.Usage(err)
		}
	}
	for _, dir := range dirs {
		if err := a.verifyRecording(dir); err != nil {
			out.Damage = append(out.Damage, store.Damage{Path: dir, What: err.Error()})
			a.Complain(fmt.Errorf("recording %s: %w", dir, err))
			continue
		}
		out.Recordings = append(out.Recordings, dir)
		if !a.JSON {
			fmt.Fprintln(a.Out, "ok", dir)
		}
	}
	return nil
}

// verifyRecording reports where a recording is not as its checksums say, or where its files,
// whose checksums anybody can make anew, say different things.
func (a *commands) verifyRecording(dir string) error {
	if _, err := record.Open(dir); err != nil {
		return err
	}
	files := map[string]string{}
	for _, name := range []string{record.Samples, record.Run} {
		files[name] = record.Path(filepath.Join(dir, name))
	}
	for _, kind := range a.Kinds {
		if kind.Agree != nil {
			if err := kind.Agree(files); err != nil {
				return err
			}
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

func (a *commands) verifyStore(out *soundness) error {
	dir := app.StoreDir(".")
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
		if err := os.RemoveAll(app.Proofs(".")); err != nil {
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
		fmt.Fprintln(a.Msg, text)
	}
	if !a.JSON {
		fmt.Fprintf(a.Out, "ok %s: %d objects\n", dir, sound)
	}
	return nil
}
