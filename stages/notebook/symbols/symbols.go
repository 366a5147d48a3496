// Package symbols is what a notebook may import: the exported names of a short
// list of packages, as values for the interpreter and as types for the checker.
// Nothing else can be reached, so the list is also the first wall of the
// notebook's sandbox: no package on it opens files, starts programs or listens.
//
// Everything but this file is generated; a test compares it with a fresh
// generation.
package symbols

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"go/token"
	"go/types"
	"maps"
	"path"
	"reflect"
	"slices"
	"sync"

	"golang.org/x/tools/go/gcexportdata"
)

//go:generate go run barograph/stages/notebook/generate -o .

//go:embed types.bin
var exported []byte

//go:embed sources.txt
var sources []byte

// Digest changes with everything a notebook sees: the sources of nb and of what
// it calls in this module, comments aside, and the versions of other modules.
var Digest = fmt.Sprintf("sha256:%x", sha256.Sum256(sources))

// Names returns the import paths of the packages, sorted.
func Names() []string {
	return slices.Sorted(maps.Keys(packages))
}

// Of returns the exported names of a package but constants, in the interpreter's
// form, and nil for a package that is not on the list.
func Of(importPath string) map[string]reflect.Value {
	if load := packages[importPath]; load != nil {
		return load()
	}
	return nil
}

// Name returns the name of a package on the list.
func Name(importPath string) string { return path.Base(importPath) }

// Refused tells why a notebook may not use a name of a package, and returns ""
// where it may. Some variables are refused by their type.
func Refused(importPath, name string) string {
	names := refused[importPath]
	if why := names[name]; why != "" || names == nil {
		return why
	}
	all, err := Types()
	if err != nil {
		return err.Error()
	}
	if v, ok := all[importPath].Scope().Lookup(name).(*types.Var); ok {
		return names[v.Type().String()]
	}
	return ""
}

// Types returns the packages' types by import path. They are read once, and shared:
// not to be changed.
var Types = sync.OnceValues(func() (map[string]*types.Package, error) {
	all := map[string]*types.Package{}
	listed, err := gcexportdata.ReadBundle(bytes.NewReader(exported), token.NewFileSet(), all)
	if err != nil {
		return nil, fmt.Errorf("read the notebooks' types: %w", err)
	}
	list := make(map[string]*types.Package, len(listed))
	for _, p := range listed {
		list[p.Path()] = p
	}
	return list, nil
})
