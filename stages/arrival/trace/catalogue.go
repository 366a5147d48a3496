package trace

import (
	"bytes"
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"barograph/pipeline/cell"

	"gopkg.in/yaml.v3"
)

//go:embed traces.yaml
var catalogue []byte

// A Known is a trace whose owner publishes it.
type Known struct {
	Name    string `yaml:"name" json:"name"`
	About   string `yaml:"about" json:"about"`
	File    string `yaml:"file" json:"file"`
	URL     string `yaml:"url" json:"url"`
	SHA256  string `yaml:"sha256" json:"sha256"`
	Licence string `yaml:"licence" json:"licence"`
	Owner   string `yaml:"owner" json:"owner"`
	Column  string `yaml:"column" json:"column,omitempty"`
	Unit    string `yaml:"unit" json:"unit,omitempty"`
}

// Catalogue lists the traces that are known.
var Catalogue = sync.OnceValue(func() []Known {
	var all []Known
	d := yaml.NewDecoder(bytes.NewReader(catalogue))
	d.KnownFields(true)
	if err := d.Decode(&all); err != nil {
		panic(fmt.Sprintf("traces.yaml: %v", err)) // it is part of the program, and a test reads it
	}
	return all
})

// Find returns the trace of a name.
func Find(name string) (Known, bool) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(k Known) bool { return k.Name == name })
	if i < 0 {
		return Known{}, false
	}
	return all[i], true
}

// Names lists the names of the traces that are known.
func Names() string {
	var names []string
	for _, k := range Catalogue() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// Path is where a trace is, once fetched.
func (k Known) Path() (string, error) {
	cache, err := cell.CacheDir()
	return filepath.Join(cache, "traces", k.File), err
}
