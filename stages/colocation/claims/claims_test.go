package claims

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/manifest"
)

// What data/claims.yaml says of models that share a device is what the recordings give.
func TestRecordedClaims(t *testing.T) {
	t.Chdir("../../..")
	m, err := manifest.Load(manifest.Name)
	if err != nil {
		t.Fatal(err)
	}
	judgings, n := Judgings(), 0
	for _, e := range m.Claims {
		judge := judgings[e.Claim]
		if judge == nil {
			continue
		}
		n++
		if verdict, effect, err := judge(e); err != nil || verdict != e.Verdict || math.Abs(effect-e.Effect) > e.Tolerance {
			t.Errorf("%s of %s: %s, %v, %v; want %s, %v within %v", e.Claim, e.Recording, verdict, effect, err, e.Verdict, e.Effect, e.Tolerance)
		}
	}
	if n < len(judgings) {
		t.Errorf("%d claims in data/claims.yaml, of %d", n, len(judgings))
	}
}

// A recording that failed a gate is INVALID, and one that is garbled or not there an error.
func TestGates(t *testing.T) {
	for name, wants := range map[string]string{"../../../data/placement/h100": cell.Invalid, "nowhere": "", garbled(t): ""} {
		verdict, _, err := Judgings()["K2"](manifest.Expectation{Claim: "K2", Recording: name})
		if verdict != wants || (err == nil) == (wants == "") {
			t.Errorf("%s: %q, %v", name, verdict, err)
		}
	}
}

// garbled is a recording of which a byte was changed.
func garbled(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"run.json", "samples.csv.gz", "SHA256SUMS"} {
		b, err := os.ReadFile(filepath.Join("../../../data/placement/h100", name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "samples.csv.gz" {
			b[len(b)/2] ^= 1
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
