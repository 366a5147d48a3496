package link

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// ran is what `run` prints where this program is asked to run the study.
const ran = "LINK_TEST_RAN"

// What the study warned of is said beside the card, once, and a card that cannot be
// trusted at the end.
func TestCommandWarns(t *testing.T) {
	root := t.TempDir()
	card, err := Read("../../data/link/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	const stopped, foreign = "what measures was stopped", "another process"
	card.Warnings, card.Invalid = []string{stopped}, []string{foreign}
	if err := os.MkdirAll(filepath.Join(root, "data", "link"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := card.Write(filepath.Join(root, File("h100"))); err != nil {
		t.Fatal(err)
	}
	t.Setenv(ran, `{"machine": {"name": "h100"}, "warnings": [{"cell": "card", "text": "`+stopped+`"}, {"cell": "card", "text": "INVALID: `+foreign+`"}]}`)
	for _, asJSON := range []bool{false, true} {
		var out, said bytes.Buffer
		c := &cobra.Command{}
		c.SetOut(&out)
		c.SetErr(&said)
		c.SetContext(t.Context())
		err := measureStudy(c, root, "h100", "separate", asJSON)
		if want := "warning: " + stopped + "\n"; said.String() != want {
			t.Errorf("JSON %v: said %q, want %q", asJSON, said.String(), want)
		}
		if err == nil || err.Error() != "INVALID: "+foreign {
			t.Errorf("JSON %v: %v", asJSON, err)
		}
		if strings.Contains(out.String(), stopped) != asJSON {
			t.Errorf("JSON %v: printed\n%s", asJSON, out.String())
		}
	}
}
