// Package citation reads CITATION.cff: what a project is called, whose it is, and what
// else to cite.
package citation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// Name is the file that a project's root may hold.
const Name = "CITATION.cff"

// A Work is one thing to cite: the software, or a reference of it.
type Work struct {
	Type        string   `yaml:"type"`
	Title       string   `yaml:"title"`
	Abstract    string   `yaml:"abstract"`
	Version     string   `yaml:"version"`
	Date        string   `yaml:"date-released"`
	Year        string   `yaml:"year"`
	DOI         string   `yaml:"doi"`
	Notes       string   `yaml:"notes"`
	Licence     string   `yaml:"license"` // an SPDX identifier
	Repository  string   `yaml:"repository-code"`
	URL         string   `yaml:"url"`
	Keywords    []string `yaml:"keywords"`
	Authors     []Author `yaml:"authors"`
	Institution struct {
		Name string `yaml:"name"`
	} `yaml:"institution"`
}

// An Author is a person, who has a given or a family name, or an organisation.
type Author struct {
	Name        string `yaml:"name"`
	Given       string `yaml:"given-names"`
	Family      string `yaml:"family-names"`
	Affiliation string `yaml:"affiliation"`
	ORCID       string `yaml:"orcid"`
}

// Person tells whether the author is one.
func (a Author) Person() bool { return a.Name == "" }

// String is the author's whole name.
func (a Author) String() string {
	return strings.TrimSpace(strings.TrimSpace(a.Given+" "+a.Family) + " " + a.Name)
}

// A File is a CITATION.cff.
type File struct {
	Work       `yaml:",inline"`
	References []Work `yaml:"references"`
}

// Read reads the file in a folder; a folder without one has nothing to cite, and gives
// an empty one.
func Read(root string) (*File, error) {
	name := filepath.Join(root, Name)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{}, nil
	}
	if err != nil {
		return nil, err
	}
	f := &File{}
	if err := yaml.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return f, nil
}
