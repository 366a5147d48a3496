package acceptance

import (
	"encoding/json"
	"strings"
	"testing"

	"barograph/pipeline/artifact"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/citation"
	"barograph/pipeline/manifest"
	"barograph/stages"
)

// TestArtifact: the appendix has every expectation of data/claims.yaml with all that an
// evaluator needs, and the metadata say what CITATION.cff does.
func TestArtifact(t *testing.T) {
	files, err := artifact.Files(".", stages.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Load(manifest.Name)
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(files[artifact.Appendix]), "\n### ")[1:]
	if len(sections) != len(m.Claims) {
		t.Fatalf("%d sections for %d claims", len(sections), len(m.Claims))
	}
	for i, e := range m.Claims {
		for _, want := range []string{e.Claim + " on " + e.Recording, "| expected | " + e.Verdict + ", effect ", "| tolerance | ", "`" + e.Command + "`", "| machine | " + e.Hardware, "| takes | " + e.Time, "| disk, at least | ", e.Figure} {
			if !strings.Contains(sections[i], want) {
				t.Errorf("claim %d has no %q:\n%s", i+1, want, sections[i])
			}
		}
		if strings.HasPrefix(e.Claim, "C") && !strings.Contains(sections[i], "\n> ") {
			t.Errorf("claim %d has no sentence", i+1)
		}
	}
	cited, err := citation.Read(".")
	if err != nil {
		t.Fatal(err)
	}
	var meta struct {
		Context string `json:"@context"`
		Name    string
		Licence string `json:"license"`
		Author  []struct{ Name string }
	}
	if err := json.Unmarshal(files[artifact.CodeMeta], &meta); err != nil || meta.Context != "https://w3id.org/codemeta/3.0" || meta.Name != cited.Title ||
		meta.Licence != "https://spdx.org/licenses/"+cited.Licence || len(meta.Author) != len(cited.Authors) || meta.Author[0].Name != cited.Authors[0].String() {
		t.Errorf("%+v, %v", meta, err)
	}
	var draft struct {
		Metadata struct {
			Title    string
			Rights   []struct{ ID string }
			Creators []struct {
				Who struct{ Name, Type string } `json:"person_or_org"`
			}
		}
	}
	if err := json.Unmarshal(files[artifact.Zenodo], &draft); err != nil || draft.Metadata.Title != cited.Title || draft.Metadata.Rights[0].ID != "apache-2.0" || draft.Metadata.Creators[0].Who.Type != "organizational" {
		t.Errorf("%+v, %v", draft, err)
	}
	dir := t.TempDir()
	if _, err := artifact.Files(dir, stages.Kinds()); err == nil || !strings.Contains(err.Error(), "no CITATION.cff") {
		t.Errorf("without CITATION.cff: %v", err)
	}
	filetest.Write(t, dir+"/CITATION.cff", "title: x\nauthors: [{given-names: A, family-names: B, orcid: https://orcid.org/1}]\n")
	if _, err := artifact.Files(dir, stages.Kinds()); err == nil || !strings.Contains(err.Error(), "claims.yaml") {
		t.Errorf("without a manifest: %v", err)
	}
}
