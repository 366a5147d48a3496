package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"barograph/pipeline/plan/pattern"
	"barograph/pipeline/store/stat"
)

// Look digests what a look at the workspace shows of a study, without reading
// any file: the study itself, everything under configs/, and, where p is not
// nil, what its cells read, with the files that patterns match now. While it
// stays the same, nobody has edited anything that a run would see.
func Look(root, file string, p *Plan) string {
	paths := map[string]bool{file: true}
	patterns := []string{"configs/**"}
	if p != nil {
		for _, c := range p.Cells {
			for _, f := range c.Files {
				paths[filepath.Join(root, f)] = true
			}
		}
		patterns = slices.AppendSeq(patterns, maps.Keys(p.globs))
	}
	for _, text := range patterns {
		found, _ := pattern.Files(root, text) // a folder that cannot be read shows nothing
		for _, f := range found {
			paths[filepath.Join(root, f)] = true
		}
	}
	return observed(paths)
}

// Moved tells whether patterns of inputs match other files than when the plan was made.
func (p *Plan) Moved() bool { return pattern.Moved(p.Study.Root, p.globs) }

// Made digests what a look shows of the files that a plan's cells publish, empty
// without a plan. While it stays the same, nobody has taken one away.
func Made(root string, p *Plan) string {
	if p == nil {
		return ""
	}
	paths := map[string]bool{}
	for _, c := range p.Cells {
		for _, p := range c.Publish {
			paths[filepath.Join(root, p.To)] = true
		}
	}
	return observed(paths)
}

func observed(paths map[string]bool) string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		o, err := stat.Observe(path)
		fmt.Fprintf(h, "%q %v %v\n", path, o, err == nil)
	}
	return hex.EncodeToString(h.Sum(nil))
}
