package crates

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"barograph/pipeline/attest"
	"barograph/pipeline/cell"
	"barograph/pipeline/crate"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
)

// verifyStatements checks the signature of each statement, and the files that it is
// about against its digests.
func (a *commands) verifyStatements(names []string, file string, crates []string, out *soundness) error {
	switch {
	case len(names) == 0 && file == "":
		return nil
	case len(names) == 0:
		return cell.Usage(errors.New("--key is for a statement that barograph export --intoto wrote"))
	case file == "":
		return cell.Usage(errors.New("a statement is worth what its signature is: give --key the public key of who signed"))
	}
	key, err := attest.ReadKey(file)
	if err != nil {
		return cell.Usage(err)
	}
	held := map[string]string{} // digests, by path
	for _, name := range crates {
		c, err := crate.Open(name)
		if err != nil {
			return cell.Usage(err)
		}
		for _, f := range c.State.Files { // which the crate's own check holds against its bytes
			held[f.Path] = f.Digest
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	for _, name := range names {
		st, err := attest.Open(name, key)
		if err != nil {
			out.Damage = append(out.Damage, store.Damage{Path: name, What: err.Error()})
			a.Complain(err)
			continue
		}
		a.verifySubjects(name, st, held, len(crates) > 0, out)
	}
	return nil
}

// verifySubjects holds files against a statement: those of crates or, if none is named,
// those here.
func (a *commands) verifySubjects(name string, st *attest.Statement, held map[string]string, within bool, out *soundness) {
	sound, lost, before := 0, 0, len(out.Damage)
	for _, r := range st.Subject {
		have := held[r.Name]
		if !within {
			have = here(r.Name)
		}
		switch {
		case have == "":
			lost++
		case have == r.Digest["sha256"]:
			sound++
		default:
			what := fmt.Sprintf("its SHA-256 is %s, and %s is signed for %s", have, name, r.Digest["sha256"])
			out.Damage = append(out.Damage, store.Damage{Path: r.Name, What: what})
			fmt.Fprintf(a.Msg, "%s: %s: %s\n", name, r.Name, what)
		}
	}
	if sound == 0 && len(out.Damage) == before {
		what := "none of the files that it is about is here"
		out.Damage = append(out.Damage, store.Damage{Path: name, What: what})
		fmt.Fprintf(a.Msg, "%s: %s\n", name, what)
	}
	if len(out.Damage) > before {
		return
	}
	out.Statements = append(out.Statements, name)
	if !a.JSON {
		fmt.Fprintf(a.Out, "ok %s: signed; %d files are as it says, %d are not here; built by %s from %v\n", name, sound, lost, st.Predicate.Run.Builder.ID, st.Predicate.Build.External["study"])
	}
}

// here returns the digest of a file below the current folder, or of what a run made
// below results/; empty for one that is neither.
func here(name string) string {
	if !filepath.IsLocal(name) {
		return ""
	}
	for _, file := range []string{filepath.Join(record.Results, name), name} {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		sum, err := cell.Sum(file)
		if err != nil {
			return err.Error()
		}
		return sum
	}
	return ""
}
