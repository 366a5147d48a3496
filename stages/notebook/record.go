package notebook

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/pipeline/page"
	"barograph/pipeline/record"
	"barograph/stages/notebook/script"
	"barograph/stages/notebook/symbols"
)

// RecordFile is the output in which every run of a notebook leaves its [Record].
const RecordFile = "notebook.json"

// A Record is what a run of a notebook was given, what it did, cell by cell, and
// what it left: all that a page about it shows but the contents of the outputs.
// The same notebook on the same inputs leaves the same record.
type Record struct {
	Schema    int    `json:"schema"`
	Notebook  string `json:"notebook"` // as messages call it
	Source    string `json:"source"`
	SHA       string `json:"source_sha256"`
	Functions string `json:"functions"` // digest of what it can call
	Go        string `json:"go"`
	// Compared says how the compiled notebook's outputs compare with these, or why
	// it was not compiled; empty while that is not known.
	Compared string     `json:"compared,omitempty"`
	Study    string     `json:"study,omitempty"`
	Stage    string     `json:"stage"`
	Machine  string     `json:"machine,omitempty"`
	With     With       `json:"with,omitempty"`
	Inputs   []Content  `json:"inputs"`
	Outputs  []Content  `json:"outputs"`
	Said     []nb.Event `json:"said"` // in order; a part begins with one of type part
	// Again is the command that makes the outputs again, from the workspace.
	Again string `json:"again"`
}

// recordSchema is the version of RecordFile that this program writes and reads.
const recordSchema = 1

// A Content is an input or an output by its content.
type Content struct {
	Name string `json:"name"`
	SHA  string `json:"sha256"`
	Size int64  `json:"size"`
}

func newRecord(s *cell.Spec, source *script.Source, said []nb.Event) *Record {
	r := &Record{
		Schema: recordSchema, Notebook: source.Name, Source: string(source.Text),
		SHA: fmt.Sprintf("%x", sha256.Sum256(source.Text)), Functions: symbols.Digest, Go: runtime.Version(),
		Study: s.Study, Stage: s.Stage, Machine: s.Machine.Name, Said: said, Again: again(s),
	}
	if len(s.With) > 0 {
		_ = unmarshal(s.With, &r.With) // finish has read it
	}
	return r
}

// unmarshal reads JSON, and numbers of no stated type without rounding.
func unmarshal(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// again is the command that runs the notebook of a specification again.
func again(s *cell.Spec) string {
	if s.Stage != ByHand {
		dir := record.Dir(s.Study, s.Machine.Name)
		if !slices.ContainsFunc(s.Inputs, func(in cell.Input) bool {
			return strings.HasPrefix(in.Files[filepath.Join(dir, record.Run)], filepath.Join(s.Root, dir))
		}) {
			dir = filepath.Join(record.Results, dir)
		}
		return fmt.Sprintf("barograph run --replay %s configs/%s.yaml", dir, s.Study)
	}
	line := []string{"barograph notebook run", page.Shell(strings.TrimSuffix(strings.TrimPrefix(SourceName(s), "notebooks/"), "/"+script.File))}
	if len(s.Inputs) > 0 {
		line = append(line, "--data "+page.Shell(s.Inputs[0].ID))
	}
	var with With
	_ = unmarshal(s.With, &with) // what parameters made
	for _, name := range slices.Sorted(maps.Keys(with)) {
		value, _ := json.Marshal(with[name])
		line = append(line, "--param "+page.Shell(name+"="+string(value)))
	}
	if s.Seed != 0 {
		line = append(line, fmt.Sprintf("--seed %d", s.Seed))
	}
	return strings.Join(line, " ")
}

// write lists the outputs in a folder and writes the record there.
func (r *Record) write(dir string) error {
	names, err := FilesBelow(dir)
	if err != nil {
		return err
	}
	r.Outputs = []Content{}
	for _, name := range names {
		if name == RecordFile || slices.ContainsFunc(r.Inputs, func(in Content) bool { return in.Name == name }) {
			continue
		}
		f, err := Digest(filepath.Join(dir, name), name)
		if err != nil {
			return err
		}
		r.Outputs = append(r.Outputs, f)
	}
	return r.Keep(dir)
}

// Keep writes the record.
func (r *Record) Keep(dir string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", RecordFile, err)
	}
	return os.WriteFile(filepath.Join(dir, RecordFile), append(b, '\n'), 0o666)
}

// ReadRecord reads a record.
func ReadRecord(path string) (*Record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Record{}
	if err := unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if r.Schema != recordSchema {
		return nil, fmt.Errorf("read %s: its schema is %d, this program reads %d", path, r.Schema, recordSchema)
	}
	return r, nil
}

// digestInputs digests a notebook's inputs while it runs, and returns a function
// that waits for the result, sorted by name.
func digestInputs(s *cell.Spec) func() ([]Content, error) {
	type result struct {
		files []Content
		err   error
	}
	done := make(chan result, 1)
	go func() {
		files, err := Inputs(s)
		done <- result{files, err}
	}()
	return func() ([]Content, error) {
		r := <-done
		return r.files, r.err
	}
}

func Inputs(s *cell.Spec) ([]Content, error) {
	files := []Content{}
	add := func(path, name string) error {
		f, err := Digest(path, name)
		files = append(files, f)
		return err
	}
	for _, in := range s.Inputs {
		for name, path := range in.Files {
			if err := add(path, name); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range s.Files {
		if err := add(name, name); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b Content) int { return strings.Compare(a.Name+a.SHA, b.Name+b.SHA) })
	return files, nil
}

// Digest returns a file by its content.
func Digest(path, name string) (f Content, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	sum, err := cell.Sum(path)
	return Content{Name: name, SHA: sum, Size: info.Size()}, err
}

// prints is what the notebook printed, of which a part is kept.
func (r *Record) prints() []byte {
	text := []byte{}
	for _, e := range r.Said {
		if e.Type == "print" {
			text = append(text, e.Text...)
		}
	}
	return text
}

// A diary adds to a notebook's events what it prints and which cell it is in.
type diary struct {
	file    *os.File
	printed limited
	err     error
}

// maxPrinted bounds the prints that a diary keeps, in bytes.
const maxPrinted = 1 << 20

func keepDiary(events string) (*diary, error) {
	f, err := os.OpenFile(events, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("prepare the notebook: %w", err)
	}
	return &diary{file: f, printed: limited{most: maxPrinted}}, nil
}

// Write notes a print. It never fails: a print must not end the notebook.
func (d *diary) Write(text []byte) (int, error) {
	d.printed.kept.Reset()
	if d.printed.Write(text); d.printed.kept.Len() > 0 {
		d.add(nb.Event{Type: "print", Text: d.printed.kept.String()})
	}
	return len(text), nil
}

// limited keeps the beginning of what is written to it, and says where it was too
// much.
type limited struct {
	kept  bytes.Buffer
	most  int
	total int
}

func (l *limited) Write(text []byte) (int, error) {
	if l.total < l.most {
		n := min(len(text), l.most-l.total)
		l.kept.Write(text[:n])
		if n < len(text) {
			l.kept.WriteString("\n[more was printed]\n")
		}
	}
	l.total += len(text)
	return len(text), nil
}

// text is what was kept, as an event in JSON keeps it: with the replacement
// character for what is no rune. It is not nil.
func (l *limited) text() []byte { return []byte(string([]rune(l.kept.String()))) }

func (d *diary) enter(part int) { d.add(nb.Event{Type: "part", Text: strconv.Itoa(part)}) }

func (d *diary) add(e nb.Event) {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = d.file.Write(append(line, '\n'))
	}
	d.err = errors.Join(d.err, err)
}

func (d *diary) close() error { return errors.Join(d.err, d.file.Close()) }
