package crate

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
)

// A Crate is an open crate, of which nothing is believed before [Crate.Check].
type Crate struct {
	Path  string
	State *State
	Found []Found // assessments added since, by path

	files fs.FS
	close func() error
}

// Is tells whether a path looks like a crate: a zip, or a folder with metadata.
func Is(name string) bool {
	if info, err := os.Stat(filepath.Join(name, Metadata)); err == nil && info.Mode().IsRegular() {
		return true
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(Zipped))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == Zipped
}

// Open opens a crate, a zip or a folder.
func Open(name string) (c *Crate, err error) {
	c = &Crate{Path: name, close: func() error { return nil }}
	if info, e := os.Stat(name); e == nil && info.IsDir() {
		c.files = os.DirFS(name)
	} else {
		z, err := zip.OpenReader(name)
		if err != nil {
			return nil, fmt.Errorf("open crate %q: %w", name, err)
		}
		c.files, c.close = z, z.Close
		if err := sane(&z.Reader); err != nil {
			return nil, errors.Join(fmt.Errorf("open crate %q: %w", name, err), z.Close())
		}
	}
	if err := c.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("open crate %q: %w", name, err), c.close())
	}
	return c, nil
}

// Close closes what Open opened.
func (c *Crate) Close() error { return c.close() }

// sane refuses a zip whose names lead out of it, stand twice, or are of no files.
func sane(z *zip.Reader) error {
	seen := map[string]bool{}
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, "/")
		switch {
		case !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00"):
			return fmt.Errorf("%q is no name below the crate", f.Name)
		case seen[name]:
			return fmt.Errorf("%q stands twice", f.Name)
		case !f.Mode().IsRegular() && !f.Mode().IsDir():
			return fmt.Errorf("%q is no regular file but %s", f.Name, f.Mode().Type())
		}
		seen[name] = true
	}
	return nil
}

// most bounds a file that is read whole, in bytes.
const most = 256 << 20

func (c *Crate) file(name string) ([]byte, error) {
	f, err := c.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return b, err
}

func (c *Crate) read() error {
	b, err := c.file(Provenance)
	if errors.Is(err, fs.ErrNotExist) {
		return cell.Hint(fmt.Errorf("no %s in it", Provenance), "a crate that another program wrote is for roc-validator")
	}
	if err != nil {
		return err
	}
	c.State = &State{}
	if err := json.Unmarshal(b, c.State); err != nil {
		return fmt.Errorf("%s: %w", Provenance, err)
	}
	if c.State.Format != Format {
		return fmt.Errorf("%s is of format %d, and this program reads %d", Provenance, c.State.Format, Format)
	}
	for _, name := range c.State.paths() {
		if !fs.ValidPath(name) || name == "." {
			return fmt.Errorf("%s names %q, which is not below the crate", Provenance, name)
		}
	}
	names, err := fs.Glob(c.files, Assessments+"/*.json")
	if err != nil {
		return err
	}
	for _, name := range names {
		f := Found{Path: name}
		b, err := c.file(name)
		if err == nil {
			err = json.Unmarshal(b, &f.Assessment)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.Found = append(c.Found, f)
	}
	return nil
}

// paths are all that a state says of the crate's files.
func (s *State) paths() []string {
	all := []string{s.Study.File}
	if s.Recording != "" {
		all = append(all, s.Recording)
	}
	for _, f := range s.Files {
		all = append(all, f.Path)
	}
	for _, c := range s.Cells {
		all = append(all, c.Inputs...)
		for _, out := range c.Outputs {
			if out.Path != "" {
				all = append(all, out.Path)
			}
		}
	}
	return all
}

// A Difference is something in a crate that is not as it was written.
type Difference struct {
	Path string `json:"path"` // in the crate
	What string `json:"what"`
}

func (d Difference) String() string { return d.Path + ": " + d.What }

// Check reads every file and names what is missing, changed or added, and every
// property of the metadata that is not what the provenance says. It returns how many
// files are sound.
func (c *Crate) Check() (sound int, wrong []Difference, err error) {
	say := func(name, format string, args ...any) {
		wrong = append(wrong, Difference{name, fmt.Sprintf(format, args...)})
	}
	want := map[string]string{}
	sums, err := c.sealed()
	if err != nil {
		say(record.Sums, "%v", err)
	}
	for _, s := range sums {
		want[s.Name] = s.SHA
	}
	listed := map[string]string{}
	for _, f := range c.State.Files {
		listed[f.Path] = f.Digest
	}
	have := map[string]bool{record.Sums: true}
	err = fs.WalkDir(c.files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == record.Sums {
			return err
		}
		have[name] = true
		if !d.Type().IsRegular() {
			say(name, "added: no regular file but %s", d.Type())
			return nil
		}
		sum, err := c.sum(name)
		switch {
		case err != nil:
			say(name, "cannot be read: %v", err)
		case want[name] == "" && sums != nil:
			say(name, "added: %s does not list it", record.Sums)
		case sums != nil && sum != want[name]:
			say(name, "changed: its SHA-256 is %s, and %s says %s", sum, record.Sums, want[name])
		case listed[name] != "" && sum != listed[name]:
			say(name, "changed: its SHA-256 is %s, and %s says %s", sum, Provenance, listed[name])
		case listed[name] == "" && name != Metadata && name != Provenance && !c.assessed(name):
			say(name, "added: %s does not list it", Provenance)
		default:
			sound++
		}
		return nil
	})
	if err != nil {
		return sound, wrong, err
	}
	for _, name := range slices.Sorted(maps.Keys(both(want, listed))) {
		if !have[name] {
			say(name, "missing")
		}
	}
	told, err := c.metadata()
	if err != nil {
		say(Metadata, "%v", err)
	}
	return sound, append(wrong, told...), nil
}

// sealed reads the checksums.
func (c *Crate) sealed() ([]record.Sum, error) {
	b, err := c.file(record.Sums)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("missing")
	}
	if err != nil {
		return nil, err
	}
	return record.ParseSums(b)
}

func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// assessed tells whether a file is an assessment that was read.
func (c *Crate) assessed(name string) bool {
	return slices.ContainsFunc(c.Found, func(f Found) bool { return f.Path == name })
}

func (c *Crate) sum(name string) (string, error) {
	f, err := c.files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// metadata holds the metadata against what the provenance makes of it.
func (c *Crate) metadata() ([]Difference, error) {
	b, err := c.file(Metadata)
	if err != nil {
		return nil, err
	}
	computed, err := Graph(c.State, c.Found)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(b, computed) {
		return nil, nil
	}
	have, err := entities(b)
	if err != nil {
		return nil, err
	}
	want, err := entities(computed)
	if err != nil {
		return nil, err
	}
	var wrong []Difference
	say := func(format string, args ...any) {
		wrong = append(wrong, Difference{Metadata, fmt.Sprintf(format, args...)})
	}
	for id, w := range Sorted(want) {
		h, ok := have[id]
		if !ok {
			say("entity %s is missing", id)
			continue
		}
		for property := range Sorted(union(w, h)) {
			if was, is := string(w[property]), string(h[property]); was != is {
				say("%s of %s is %s, and %s says %s", property, id, brief(is), Provenance, brief(was))
			}
		}
	}
	for id := range Sorted(have) {
		if want[id] == nil {
			say("entity %s was added", id)
		}
	}
	if len(wrong) == 0 {
		say("changed: it says the same in other bytes")
	}
	return wrong, nil
}

func union(a, b map[string]json.RawMessage) map[string]json.RawMessage {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// entities reads a graph by id, properties in one spelling.
func entities(b []byte) (map[string]map[string]json.RawMessage, error) {
	var doc struct {
		Graph []map[string]json.RawMessage `json:"@graph"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	all := map[string]map[string]json.RawMessage{}
	for _, e := range doc.Graph {
		var id string
		if err := json.Unmarshal(e["@id"], &id); err != nil {
			return nil, fmt.Errorf("an entity has no @id: %w", err)
		}
		if all[id] != nil {
			return nil, fmt.Errorf("entity %s stands twice", id)
		}
		for k, v := range e {
			var compact bytes.Buffer
			if err := json.Compact(&compact, v); err != nil {
				return nil, err
			}
			e[k] = compact.Bytes()
		}
		all[id] = e
	}
	return all, nil
}

// brief shortens a value for a message.
func brief(value string) string {
	if value == "" {
		return "absent"
	}
	if r := []rune(value); len(r) > 120 {
		return string(r[:117]) + "..."
	}
	return value
}

// Unpack copies the crate's files below a folder that is there, as a workspace.
func (c *Crate) Unpack(dir string) error {
	if err := os.CopyFS(dir, c.files); err != nil {
		return fmt.Errorf("unpack %q: %w", c.Path, err)
	}
	return nil
}

// Add writes the crate anew with one more assessment. No other file changes but the
// metadata, in which its action stands, and the checksums.
func (c *Crate) Add(a Assessment) (string, error) {
	b, err := c.file(Provenance)
	if err != nil {
		return "", err
	}
	a.Of = Digest(b)
	text, err := encode(a)
	if err != nil {
		return "", err
	}
	f := Found{Path: fmt.Sprintf("%s/%s-%s.json", Assessments, a.Ended.UTC().Format("20060102T150405.000Z"), Digest(text)[:8]), Assessment: a}
	found := append(slices.Clone(c.Found), f)
	slices.SortFunc(found, func(a, b Found) int { return strings.Compare(a.Path, b.Path) })
	graph, err := Graph(c.State, found)
	if err != nil {
		return "", err
	}
	sums, err := c.sealed()
	if err != nil {
		return "", err
	}
	sums = slices.DeleteFunc(sums, func(s record.Sum) bool { return s.Name == Metadata })
	sums = append(sums, record.Sum{Name: Metadata, SHA: Digest(graph)}, record.Sum{Name: f.Path, SHA: Digest(text)})
	slices.SortFunc(sums, func(a, b record.Sum) int { return order(a.Name, b.Name) })
	more := map[string][]byte{Metadata: graph, f.Path: text, record.Sums: record.FormatSums(sums)}
	if z, ok := c.files.(*zip.ReadCloser); ok {
		return f.Path, c.addToZip(z, more)
	}
	for _, name := range []string{f.Path, Metadata, record.Sums} { // a death between two is named by the next Check
		file := filepath.Join(c.Path, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), cell.Leave(file, more[name])); err != nil {
			return "", err
		}
	}
	return f.Path, nil
}

// addToZip writes the zip anew, what does not change as it is.
func (c *Crate) addToZip(z *zip.ReadCloser, more map[string][]byte) error {
	return write(c.Path, func(w writer) error {
		a := w.(archive)
		var names []string
		old := map[string]*zip.File{}
		for _, f := range z.File {
			if more[f.Name] == nil {
				old[f.Name] = f
				names = append(names, f.Name)
			}
		}
		names = append(names, slices.Collect(maps.Keys(more))...)
		slices.SortFunc(names, func(x, y string) int {
			if (x == record.Sums) != (y == record.Sums) { // as Write has it
				if x == record.Sums {
					return 1
				}
				return -1
			}
			return order(x, y)
		})
		for _, name := range names {
			if f := old[name]; f != nil {
				if err := a.Copy(f); err != nil {
					return err
				}
				continue
			}
			out, err := a.create(name)
			if err == nil {
				_, err = out.Write(more[name])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Path of the study's file in an unpacked crate.
func (s *State) StudyFile(dir string) string {
	return filepath.Join(dir, filepath.FromSlash(path.Clean(s.Study.File)))
}
