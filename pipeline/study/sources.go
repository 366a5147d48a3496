package study

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/machine"
)

// Sources are what [Load] read, besides its options. A study loaded from the
// same sources, with the same options, is the same.
type Sources struct {
	Root    string // the workspace, absolute
	File    string // as given
	Digest  string // Study.Digest
	Machine string // its name; empty where it has no file
	Names   []string
	// Auto is why the machine was chosen, where that was left to the program.
	Auto        string `json:",omitempty"`
	Device      string
	Fingerprint string
	GPUs        int // of the machine
}

// Current tells whether the sources are what they were.
func (s Sources) Current(opt Options) bool {
	root, err := Workspace(s.File)
	if err != nil || root != s.Root {
		return false
	}
	names := machine.Names(root)
	if !slices.Equal(names, s.Names) {
		return false
	}
	if s.Auto != "" {
		if name, why := machine.Choose(root, names, opt.gpus()); why != s.Auto || s.Machine != "" && name != s.Machine {
			return false
		}
	}
	text, err := cell.Read(s.File)
	if err != nil {
		return false
	}
	var own []byte
	if s.Machine != "" {
		if own, err = cell.Read(filepath.Join(root, machine.Folder, s.Machine+".yaml")); err != nil {
			return false
		}
	}
	if digest(text, own) != s.Digest {
		return false
	}
	if cell.Family(s.Device) == "cuda" { // of others the machine's file says it
		if of := opt.gpus().Of; of != nil && len(of(cell.Machine{Device: s.Device})) != s.GPUs {
			return false
		}
	}
	return opt.Fingerprint == nil || opt.Fingerprint(s.Device) == s.Fingerprint
}

// digest is of a study's bytes and its machine file's.
func digest(study, machine []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s%s", len(study), study, machine)
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
