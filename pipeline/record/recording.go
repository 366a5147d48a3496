package record

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"barograph/pipeline/cell"
)

// The files of a recording, beside [Sums].
const (
	Samples = "samples.csv"
	Run     = "run.json"
)

// Packed ends the name of a file that lies compressed by gzip.
const Packed = ".gz"

// Path returns where a file of a recording lies: as it is called or, where only that
// is there, compressed, or not, in place of what its name says.
func Path(name string) string {
	other, packed := strings.CutSuffix(name, Packed)
	if !packed {
		other = name + Packed
	}
	if _, err := os.Stat(name); err == nil {
		return name
	}
	if _, err := os.Stat(other); err == nil {
		return other
	}
	return name
}

// Schema is the version of run.json that this program writes and reads.
const Schema = 1

// A Head is what every run.json begins with.
type Head struct {
	Schema  int          `json:"schema"`
	Study   string       `json:"study"`
	Digest  string       `json:"study_digest"` // of what the recording rests on
	Seed    uint64       `json:"seed"`
	Machine cell.Machine `json:"machine"`
	Order   []string     `json:"order"` // of the measured cells, as they ran
	// Environment is that of the cells, or of collect where cells keep none.
	Environment Env `json:"environment"`
}

// A Recording is a verified folder of measurements.
type Recording struct {
	Dir string
	Head
}

// Results is the folder for what runs make below data/ and figures/, so that it
// lies apart from the recordings and figures that came with the workspace.
const Results = "results"

// Dir returns the folder of a study's recording on a machine, relative to the
// workspace where it came with it, and to [Results] where a run made it.
func Dir(study, machine string) string { return filepath.Join("data", study, machine) }

// Place returns where in the workspace an output goes that a stage calls name:
// what it calls data/... or figures/... to results/data/<study>/<machine>/... or
// results/figures/<study>/<machine>/..., so that no machine's results take the
// place of another's, and anything else where it says.
func Place(study, machine, name string) string {
	top, rest, below := strings.Cut(name, "/")
	if !below || top != "data" && top != "figures" {
		return name
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, study+"/"), machine+"/")
	return filepath.Join(Results, top, study, machine, rest)
}

// All lists the recordings of a workspace, those that came with it first.
func All(root string) (dirs []string, err error) {
	for _, top := range []string{"", Results} {
		sums, err := filepath.Glob(filepath.Join(root, top, "data", "*", "*", Sums))
		if err != nil {
			return nil, err
		}
		for _, s := range sums {
			dirs = append(dirs, filepath.Dir(s))
		}
	}
	return dirs, nil
}

// Below lists the recordings below a folder that is none itself.
func Below(dir string) (dirs []string) {
	if _, err := os.Stat(filepath.Join(dir, Sums)); dir == "" || err == nil {
		return nil
	}
	for _, depth := range []string{"*", "*/*"} {
		sums, _ := filepath.Glob(filepath.Join(dir, depth, Sums)) // a folder's own stars find nothing
		for _, s := range sums {
			dirs = append(dirs, filepath.Dir(s))
		}
	}
	return dirs
}

// Open verifies a recording and reads its head.
func Open(dir string) (*Recording, error) {
	r := &Recording{Dir: dir}
	if err := Read(dir, &r.Head, &r.Head); err != nil {
		return nil, err
	}
	return r, nil
}

// Read verifies a recording and fills run, of which head is a part, from its [Run].
func Read(dir string, run any, head *Head) error {
	if err := Verify(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, Run)
	if err := cell.ReadJSON(path, run); err != nil {
		return cell.Hint(fmt.Errorf("open recording: %w", err), "a recording holds %s, %s and %s", Samples, Run, Sums)
	}
	switch {
	case head.Schema != Schema:
		return fmt.Errorf("open recording %q: its schema is %d, this program reads %d", dir, head.Schema, Schema)
	case head.Study == "" || head.Machine.Name == "":
		return fmt.Errorf("open recording %q: %s names no study or no machine", dir, Run)
	}
	if err := cmp.Or(cell.CheckName("study", head.Study), cell.CheckName("machine", head.Machine.Name)); err != nil {
		return fmt.Errorf("open recording: %s: %w", path, err)
	}
	if _, err := os.Stat(Path(filepath.Join(dir, Samples))); err != nil {
		return fmt.Errorf("open recording: %w", err)
	}
	return nil
}
