package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// Figures returns the folder of the figures that are drawn from a recording: below
// figures/ by its folder's name where it came with the workspace, and otherwise where
// [Place] says. dir is absolute, the folder relative to the workspace.
func Figures(root, dir, study, machine string) string {
	if filepath.Dir(dir) == filepath.Join(root, "data", study) {
		return filepath.Join("figures", study, filepath.Base(dir))
	}
	return Place(study, machine, "figures/")
}

// Below lists the recordings one and two folders below a folder that is none itself. One
// that several links lead to is listed once; one that is not sealed is an error.
func Below(dir string) (dirs []string, err error) {
	top, err := filepath.EvalSymlinks(dir)
	if err != nil || dir == "" || holds(dir) {
		return nil, nil // what is wrong with it, [Open] says
	}
	known := map[string]bool{}
	err = below(dir, 2, func(path string) error {
		real, err := filepath.EvalSymlinks(path)
		if err != nil || known[real] {
			return err
		}
		known[real] = true
		if name, err := filepath.Rel(top, real); err == nil && filepath.IsLocal(name) {
			path = filepath.Join(dir, name) // without links, whichever came first
		}
		dirs = append(dirs, path)
		return Sealed(path)
	})
	slices.Sort(dirs)
	return dirs, err
}

// below calls found with every folder, down to a depth, that [holds] a recording's files.
func below(dir string, depth int, found func(path string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil && e.Type() != fs.ModeSymlink { // which may lead nowhere
			return err
		}
		if err != nil || !info.IsDir() {
			continue
		}
		if holds(path) {
			err = found(path)
		} else if depth > 1 {
			err = below(path, depth-1, found)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holds tells whether a folder holds any file of a recording.
func holds(dir string) bool {
	for _, name := range []string{Sums, Run, Samples, Samples + Packed} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// Names reads of which study and machine a recording says to be, and no more of it: what
// [Open] verifies may be long.
func Names(dir string) (study, machine string, err error) {
	path := filepath.Join(dir, Run)
	f, _, err := cell.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	d := json.NewDecoder(f)
	_, err = d.Token() // the brace
	for err == nil && d.More() && (study == "" || machine == "") {
		var key json.Token
		if key, err = d.Token(); err != nil {
			break
		}
		switch name, _ := key.(string); strings.ToLower(name) { // as all of it is read
		case "study":
			err = d.Decode(&study)
		case "machine":
			var m cell.Machine
			err = d.Decode(&m)
			machine = m.Name
		default:
			err = d.Decode(new(json.RawMessage))
		}
	}
	if err == nil && (study == "" || machine == "") {
		err = fmt.Errorf("%s names no study or no machine", path)
	}
	return study, machine, err
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
