// Package artifact writes what those ask for who evaluate an artifact or keep it: an
// appendix in the terms of ACM's badging, version 1.1, metadata of the software in
// CodeMeta's words, and those of a draft for Zenodo. All of it comes from CITATION.cff,
// the manifest of claims, the studies and the recordings; nothing is sent anywhere.
package artifact

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"barograph/pipeline/cell"
	"barograph/pipeline/citation"
	"barograph/pipeline/manifest"
	pages "barograph/pipeline/page"
	"barograph/pipeline/record"

	"gopkg.in/yaml.v3"
)

// The files that are written.
const (
	Appendix = "APPENDIX.md"
	CodeMeta = "codemeta.json"
	Zenodo   = "zenodo.json"
)

//go:embed appendix.md
var appendix string

var page = template.Must(template.New("appendix").Funcs(template.FuncMap{
	"percent": func(share float64) string { return strconv.FormatFloat(100*share, 'f', -1, 64) + "%" },
	"code":    func(s string) string { return "`" + s + "`" },
	"join":    strings.Join,
}).Parse(appendix))

// A claim is an expectation with what a reader needs beside it.
type claim struct {
	manifest.Expectation
	Says string // the sentence, where a study has it
	Disk string // what the models and the recording take at least
}

// Files makes the files of a workspace, by name.
func Files(root string, kinds cell.Kinds) (map[string][]byte, error) {
	cited, err := citation.Read(root)
	if err != nil {
		return nil, err
	}
	if cited.Title == "" {
		return nil, cell.Hint(fmt.Errorf("no %s in %s", citation.Name, root), "it says what the artifact is called, and whose it is")
	}
	m, err := manifest.Load(filepath.Join(root, manifest.Name))
	if err != nil {
		return nil, err
	}
	claims, err := detailed(root, kinds, m)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	var b bytes.Buffer
	if err := page.Execute(&b, map[string]any{"Cited": cited, "Authors": names(cited.Authors), "Claims": claims, "Machines": machines(claims)}); err != nil {
		return nil, err
	}
	files[Appendix] = b.Bytes()
	if files[CodeMeta], err = encode(codeMeta(cited)); err != nil {
		return nil, err
	}
	files[Zenodo], err = encode(zenodo(cited))
	return files, err
}

func encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

func names(authors []citation.Author) (list []string) {
	for _, a := range authors {
		list = append(list, a.String())
	}
	return list
}

// machines lists on what there is to measure, each once.
func machines(claims []claim) (list []string) {
	seen := map[string]bool{}
	for _, c := range claims {
		if !seen[c.Hardware] {
			seen[c.Hardware] = true
			list = append(list, c.Hardware)
		}
	}
	return list
}

// detailed finds for each expectation the sentence and the size.
func detailed(root string, kinds cell.Kinds, m *manifest.Manifest) ([]claim, error) {
	sizes := map[string]int64{}
	var list []claim
	var err error
	for _, e := range m.Claims {
		c := claim{Expectation: e}
		dir := filepath.Join(root, filepath.FromSlash(e.Recording))
		if _, known := sizes[e.Recording]; !known {
			n, err := size(dir, kinds)
			if err != nil {
				return nil, fmt.Errorf("recording %s: %w", e.Recording, err)
			}
			sizes[e.Recording] = n
		}
		c.Disk = pages.Size(sizes[e.Recording])
		if c.Says, err = sentence(root, path.Base(path.Dir(e.Recording)), e.Claim); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// sentence finds what a claim says: in the study that was recorded or, where that has no
// such claim, in others, if all that have one of that name say the same.
func sentence(root, study, id string) (string, error) {
	others, err := filepath.Glob(filepath.Join(root, "configs", "*.yaml"))
	if err != nil {
		return "", err
	}
	own := filepath.Join(root, "configs", study+".yaml")
	said := ""
	for _, file := range append([]string{own}, others...) {
		b, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue
		}
		var doc struct {
			Claims []cell.Claim
		}
		if err == nil {
			err = yaml.Unmarshal(b, &doc)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		for _, c := range doc.Claims {
			switch {
			case c.ID == id && file == own:
				return c.Says, nil
			case c.ID == id && said != "" && said != c.Says:
				return "", nil
			case c.ID == id:
				said = c.Says
			}
		}
	}
	return said, nil
}

// size is what a recording takes, or a file, and the models that were called for it.
func size(dir string, kinds cell.Kinds) (total int64, err error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		if err == nil {
			total = info.Size()
		}
		return total, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	files := map[string]string{record.Run: filepath.Join(dir, record.Run)}
	models := map[string]int64{}
	for _, k := range kinds {
		if k.Recorded == nil {
			continue
		}
		all, err := k.Recorded(files)
		if err != nil {
			return 0, err
		}
		for _, c := range all {
			for _, f := range c.Facts {
				if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && f[0] == cell.Weights && len(c.Software) > 0 {
					models[c.Software[len(c.Software)-1].Digest] = n
				}
			}
		}
	}
	for _, n := range models {
		total += n
	}
	return total, nil
}

// codeMeta says in the words of CodeMeta 3.0 what CITATION.cff says.
func codeMeta(f *citation.File) any {
	var authors []map[string]any
	for _, a := range f.Authors {
		one := map[string]any{"type": "Organization", "name": a.String()}
		if a.Person() {
			one = map[string]any{"type": "Person", "givenName": a.Given, "familyName": a.Family}
			if a.ORCID != "" {
				one["id"] = a.ORCID
			}
			if a.Affiliation != "" {
				one["affiliation"] = map[string]any{"type": "Organization", "name": a.Affiliation}
			}
		}
		authors = append(authors, one)
	}
	c := map[string]any{
		"@context": "https://w3id.org/codemeta/3.0", "type": "SoftwareSourceCode", "name": f.Title, "description": strings.TrimSpace(f.Abstract),
		"author": authors, "keywords": f.Keywords, "programmingLanguage": "Go", "operatingSystem": "Linux", "developmentStatus": "active",
	}
	for property, value := range map[string]string{"version": f.Version, "datePublished": f.Date, "codeRepository": f.Repository, "url": f.URL, "identifier": f.DOI} {
		if value != "" {
			c[property] = value
		}
	}
	if f.Licence != "" {
		c["license"] = "https://spdx.org/licenses/" + f.Licence
	}
	var papers []map[string]any
	for _, r := range f.References {
		papers = append(papers, map[string]any{"type": "ScholarlyArticle", "name": r.Title})
	}
	if papers != nil {
		c["referencePublication"] = papers
	}
	return c
}

// zenodo is the metadata of a draft, as its interface for records takes them (POST
// /api/records). The date of publication is set by whoever publishes.
func zenodo(f *citation.File) any {
	var creators []map[string]any
	for _, a := range f.Authors {
		who := map[string]any{"type": "organizational", "name": a.String()}
		if a.Person() {
			who = map[string]any{"type": "personal", "given_name": a.Given, "family_name": a.Family}
			if a.ORCID != "" {
				who["identifiers"] = []map[string]string{{"scheme": "orcid", "identifier": path.Base(a.ORCID)}}
			}
		}
		one := map[string]any{"person_or_org": who}
		if a.Affiliation != "" {
			one["affiliations"] = []map[string]string{{"name": a.Affiliation}}
		}
		creators = append(creators, one)
	}
	var subjects []map[string]string
	for _, k := range f.Keywords {
		subjects = append(subjects, map[string]string{"subject": k})
	}
	meta := map[string]any{"title": f.Title, "description": strings.TrimSpace(f.Abstract), "creators": creators, "subjects": subjects,
		"resource_type": map[string]string{"id": "software"}, "publisher": "Zenodo"}
	if f.Licence != "" {
		meta["rights"] = []map[string]string{{"id": strings.ToLower(f.Licence)}}
	}
	if f.Version != "" {
		meta["version"] = f.Version
	}
	if f.Date != "" {
		meta["publication_date"] = f.Date
	}
	if url := cmp.Or(f.Repository, f.URL); url != "" {
		meta["related_identifiers"] = []map[string]any{{"identifier": url, "scheme": "url", "relation_type": map[string]string{"id": "issupplementto"}}}
	}
	return map[string]any{"access": map[string]string{"record": "public", "files": "public"}, "files": map[string]bool{"enabled": true}, "metadata": meta}
}
