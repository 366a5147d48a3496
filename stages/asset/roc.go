package asset

import (
	"context"
	_ "embed"
	"path/filepath"
)

//go:embed roc.txt
var rocPackages string

// The contexts of RO-Crate ship with ro-crate-py, each with another of its versions.
const rocContext = "rocrate/data/ro-crate.jsonld"

// Validator returns a folder for PYTHONPATH that gives any python3 the package
// rocrate_validator, pinned, and where the JSON-LD contexts of RO-Crate lie, by version:
// it takes them from the web otherwise. It fetches what is not in the cache.
func Validator(ctx context.Context, log func(string)) (path string, contexts map[string]string, err error) {
	path, err = Fetch(ctx, Asset{Name: "roc-validator", Requirements: rocPackages, Python: pythons[0], Platforms: []string{"any"}}, log)
	contexts = map[string]string{}
	for crate, wheel := range map[string]string{
		"1.1": "rocrate==0.13.0 --hash=sha256:268e00d2ffe589507fbb65c75458a09834b563fad295cbf6e53b6f3d031f3443",
		"1.3": "rocrate==0.16.0 --hash=sha256:1f5b4563833a166640f9e09596f8f88c9a5d8ea733bc96345e73466beae85eea",
	} {
		if err != nil {
			return "", nil, err
		}
		var dir string
		dir, err = Fetch(ctx, Asset{Name: "ro-crate-" + crate, Requirements: wheel, Python: pythons[0], Platforms: []string{"any"}, Members: []string{rocContext}}, log)
		contexts[crate] = filepath.Join(dir, rocContext)
	}
	return path, contexts, err
}
