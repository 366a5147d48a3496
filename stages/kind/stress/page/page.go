// Package page is where the loads and the inference of one trial meet: a page of shared
// memory whose path the trial's processes are told by a variable.
package page

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"barograph/pipeline/cell"
	"barograph/stages/guard"
)

// Variable tells the processes of a trial their page.
const Variable = "BAROGRAPH_GUARD_PAGE"

// Of returns the path of a trial's page, where it has a policy. The calling
// process is the one that starts all of the trial's.
func Of(s *cell.Spec) string {
	for _, in := range append(slices.Clone(s.Gang), cell.Input{Kind: s.Kind, With: s.With}) {
		var w struct{ Policy guard.Policy }
		if in.Kind == "stress" && json.Unmarshal(in.With, &w) == nil && !w.Policy.None() {
			sum := sha256.Sum256([]byte(cmp.Or(s.During, s.ID)))
			return filepath.Join(folder(), fmt.Sprintf("barograph-guard-%d-%x", os.Getpid(), sum[:4]))
		}
	}
	return ""
}

// folder is in memory where there is one: a page of a disk's file is written back now and
// then, and whoever changes it then waits.
func folder() string {
	const memory = "/dev/shm"
	if unix.Access(memory, unix.W_OK) == nil {
		return memory
	}
	return os.TempDir()
}

// Remove removes the trial's page, which those who have it open keep.
func Remove() {
	if path := os.Getenv(Variable); path != "" {
		_ = os.Remove(path) // or nobody made it
	}
}

// Open opens the trial's page, on which an inference tells of its calls to the loads
// that follow them; nil where there is none.
func Open() (*guard.Page, error) {
	path := os.Getenv(Variable)
	if path == "" {
		return nil, nil
	}
	return guard.OpenPage(path)
}
