package manifest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A manifest that is read has all that its claims are held against.
func FuzzManifest(f *testing.F) {
	b, err := os.ReadFile("../../data/claims.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("claims: [{claim: C1, effect: .nan}]\n"))
	f.Add([]byte("a: &a [*a, *a]\nclaims: *a\n"))
	file := filepath.Join(f.TempDir(), "claims.yaml")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o666); err != nil {
			t.Fatal(err)
		}
		m, err := Load(file)
		if err != nil {
			return
		}
		for _, e := range m.Claims {
			if _, err := time.ParseDuration(e.Time); err != nil || e.Claim == "" || e.Recording == "" || !(e.Tolerance >= 0) {
				t.Errorf("%+v: %v", e, err)
			}
		}
	})
}
