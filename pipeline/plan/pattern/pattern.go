// Package pattern finds the workspace's files that patterns of inputs match.
package pattern

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

const meta = `*?[{\` // what makes a path a pattern

// Is tells whether a path is a pattern.
func Is(path string) bool { return strings.ContainsAny(path, meta) }

// Files returns the files below root that a path names or a pattern matches, from there.
func Files(root, pattern string) ([]string, error) {
	if !Is(pattern) {
		if st, err := os.Stat(filepath.Join(root, pattern)); err != nil || st.IsDir() {
			return nil, nil // as in a glob, what cannot be seen is not there
		}
		return []string{pattern}, nil
	}
	return doublestar.Glob(os.DirFS(root), pattern, doublestar.WithFilesOnly())
}

// Moved tells whether any of patterns matches other files than it did.
func Moved(root string, matched map[string][]string) bool {
	for pattern, was := range matched {
		if now, err := Files(root, pattern); err != nil || !slices.Equal(now, was) {
			return true
		}
	}
	return false
}
