// Package crates is the commands that write results for others, and check what was written.
package crates

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"barograph/pipeline/artifact"
	"barograph/pipeline/attest"
	"barograph/pipeline/cell"
	"barograph/pipeline/citation"
	"barograph/pipeline/cli/app"
	"barograph/pipeline/crate"
	"barograph/pipeline/crate/evidence"

	"github.com/spf13/cobra"
)

func (a *commands) exportCommand() *cobra.Command {
	var sel app.Selection
	var to, folder, statement, key, agent, licence string
	opt := evidence.Options{}
	c := &cobra.Command{
		Use:   "export [STUDY]",
		Short: "Write what stands of a study, and what made it, for others to check",
		Long: `Write the results that stand, and what made them, as a Workflow Run RO-Crate: a
folder, or one file if the name ends in .zip. It holds the study, its machine
files, models' descriptions, notebooks and recording, and what was published;
"barograph verify" checks it, and judges its claims again. Nothing is run, and one
state gives the same bytes. For a machine that this is not, the results of its
recording are taken.

--artifact writes the appendix that evaluations of artifacts ask for, with what
data/claims.yaml expects, and metadata for CodeMeta and a draft on Zenodo. --intoto
signs for the outputs with a key of yours, and verify reads that too.`,
		Example: `  barograph run --replay data/paper/h100 && barograph export --replay data/paper/h100 --crate paper.zip
  barograph verify paper.zip --claim C1`,
		RunE: func(_ *cobra.Command, args []string) error {
			if folder != "" && (to != "" || len(args) > 0) {
				return cell.Usage(errors.New("--artifact is about all claims in data/claims.yaml: neither a study nor --crate goes with it"))
			}
			if folder != "" {
				return a.artifact(folder)
			}
			if err := check(opt); err != nil {
				return err
			}
			signer, err := signer(statement, key)
			switch {
			case err != nil:
				return err
			case to == "" && statement == "":
				return cell.Usage(errors.New("what to write is not said: give --crate, --intoto or --artifact a name"))
			case to != "":
				if err := room("--crate", to); err != nil {
					return err
				}
			}
			state, docs, err := a.gather(args, sel, agent, licence, opt)
			if err == nil && to != "" {
				err = a.export(to, state, docs)
			}
			if err == nil && statement != "" {
				err = a.sign(statement, state, signer)
			}
			return err
		},
	}
	sel.Flags(c)
	c.Flags().StringVar(&to, "crate", "", "write a crate as `name`, a new folder or a .zip")
	c.Flags().StringVar(&statement, "intoto", "", "write an in-toto statement on the outputs, with SLSA provenance, as `file`, signed by --key")
	c.Flags().StringVar(&key, "key", "", "the private key that signs: an Ed25519 key in PEM, as `file`")
	c.Flags().StringVar(&folder, "artifact", "", "write an artifact's appendix and metadata into `dir`, a new folder")
	c.Flags().StringVar(&opt.Profile, "profile", crate.Profiles()[0], "`version` of the Workflow Run RO-Crate profiles: "+strings.Join(crate.Profiles(), " or "))
	c.Flags().StringVar(&opt.With, "with", evidence.WithFigures, "what it holds beside the recording: `objects` (every output), figures (what was published) or none, which leaves models out too")
	c.Flags().StringVar(&agent, "agent", "", "who made the results, as `\"Name\"` of an organisation or \"Name <URL>\" of a person; as CITATION.cff says, if it is not given")
	c.Flags().StringVar(&licence, "license", "", "the `SPDX` identifier of their licence; that of CITATION.cff, if it is not given")
	return c
}

// check refuses options that mean nothing.
func check(opt evidence.Options) error {
	if !slices.Contains(crate.Profiles(), opt.Profile) {
		return cell.Usage(fmt.Errorf("--profile %s: there is %s", opt.Profile, strings.Join(crate.Profiles(), " and ")))
	}
	if with := []string{evidence.WithNone, evidence.WithFigures, evidence.WithObjects}; !slices.Contains(with, opt.With) {
		return cell.Usage(fmt.Errorf("--with %s: there is %s", opt.With, strings.Join(with, ", ")))
	}
	return nil
}

// room refuses a name that is taken by what is no crate, before any work is done for
// it. A folder is never written over.
func room(flag, name string) error {
	name = filepath.Clean(name)
	if crate.IsZip(name) {
		return cell.Place(flag, name, crate.Zipped)
	}
	entries, err := os.ReadDir(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return cell.Place(flag, name, "")
	case err != nil:
		return cell.Usage(fmt.Errorf("%s %s: %w", flag, name, err))
	case len(entries) > 0:
		return cell.Usage(cell.Hint(fmt.Errorf("%s %s: the folder holds something", flag, name), "remove it first, or name another; a name that ends in .zip makes one file"))
	}
	return nil
}

// signer reads the key that signs a statement, before any work is done for it.
func signer(statement, file string) (*attest.Key, error) {
	switch {
	case statement == "" && file == "":
		return nil, nil
	case statement == "":
		return nil, cell.Usage(errors.New("--key is for --intoto"))
	case file == "":
		return nil, cell.Usage(cell.Hint(errors.New("--intoto is signed: give --key a private key"), "%s", attest.Make))
	}
	key, err := attest.ReadKey(file)
	if err == nil && !key.Private() {
		err = fmt.Errorf("--key %s: a public key cannot sign", file)
	}
	if err == nil {
		err = cell.Place("--intoto", statement, "{\n \"payloadType\"")
	}
	return key, cell.Usage(err)
}

// sign writes a statement on what stands.
func (a *commands) sign(to string, s *crate.State, key *attest.Key) error {
	st := attest.Of(s)
	b, err := attest.Sign(st, key)
	if err != nil {
		return err
	}
	if err := cell.Leave(to, b); err != nil {
		return err
	}
	fmt.Fprintf(a.Msg, "wrote %s: signed for %d files\n", to, len(st.Subject))
	return nil
}

// gather reads what stands of a study, with the files of a crate of it.
func (a *commands) gather(args []string, sel app.Selection, agent, licence string, opt evidence.Options) (*crate.State, []crate.Document, error) {
	p, d, s, err := a.Standing(args, sel)
	if err != nil {
		return nil, nil, err
	}
	failed, err := s.Failures()
	if err == nil {
		err = app.Stands(args, p, d, failed)
	}
	if err != nil {
		return nil, nil, err
	}
	cited, err := citation.Read(p.Study.Root)
	if err != nil {
		return nil, nil, err
	}
	if opt.Agent, err = named(agent, cited); err != nil {
		return nil, nil, err
	}
	opt.Licence = cmp.Or(licence, cited.Licence, "NOASSERTION")
	opt.Site = strings.TrimSuffix(cmp.Or(cited.Repository, cited.URL, crate.Site), "/")
	state, docs, err := evidence.Gather(p, d, s, opt)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range state.NotRun {
		fmt.Fprintf(a.Msg, "%s has no result: %s\n", one.ID, one.Reason)
	}
	for _, file := range state.LeftOut {
		fmt.Fprintf(a.Msg, "warning: %s lies outside of the workspace, and is left out: without it the study cannot be read elsewhere\n", file)
	}
	return state, docs, nil
}

// export writes a crate.
func (a *commands) export(to string, state *crate.State, docs []crate.Document) error {
	if err := crate.Write(filepath.Clean(to), state, docs); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	fmt.Fprintf(a.Msg, "wrote %s: %d files of %d cells\n", to, len(state.Files), len(state.Cells))
	return nil
}

// artifact writes what those ask for who evaluate the workspace here.
func (a *commands) artifact(dir string) error {
	if err := room("--artifact", dir); err != nil {
		return err
	}
	files, err := artifact.Files(".", a.Kinds)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, b := range files {
		if err := cell.Leave(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.Msg, "wrote %s in %s; nothing was uploaded\n", strings.Join(slices.Sorted(maps.Keys(files)), ", "), dir)
	return nil
}

var person = regexp.MustCompile(`^([^<>]*[^<> ]) *<(https?://[^<> ]+)>$`)

// named reads who is meant by --agent, or whoever the project cites first.
func named(agent string, cited *citation.File) (crate.Agent, error) {
	if m := person.FindStringSubmatch(agent); m != nil {
		return crate.Agent{Name: m[1], ID: m[2], Person: true}, nil
	}
	if strings.ContainsAny(agent, "<>") {
		return crate.Agent{}, cell.Usage(fmt.Errorf("--agent %q: want a name, or a name and a URL in angle brackets", agent))
	}
	if agent != "" {
		return crate.Agent{Name: agent}, nil
	}
	if len(cited.Authors) > 0 {
		first := cited.Authors[0]
		return crate.Agent{Name: first.String(), ID: first.ORCID, Person: first.Person()}, nil
	}
	return crate.Agent{Name: "not named"}, nil
}
