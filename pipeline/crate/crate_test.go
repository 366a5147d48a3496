package crate

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
)

// sample is a state of some cells of two stages, with its files.
func sample(cells int) (*State, []Document) {
	s := &State{Format: Format, Profile: "0.5", Published: time.Unix(2e9, 0).UTC(), Licence: "Apache-2.0", Site: Site, Agent: Agent{Name: "Someone"},
		Study:  Study{Name: "s", File: "configs/s.yaml", Params: []Parameter{{Name: "n", Value: json.RawMessage("[1, 2]"), Used: []string{"make.n"}}}},
		Stages: []Stage{{Name: "make", Kind: "command", Version: "1"}, {Name: "join", Kind: "command", Version: "1", Needs: []string{"make"}}}}
	docs := []Document{{Path: "README.md", Bytes: []byte("# s\n")}, {Path: "configs/s.yaml", Bytes: []byte("study: s\n")}}
	join := Cell{ID: "join", Stage: "join", Key: "k", Started: s.Published, Ended: s.Published.Add(time.Second)}
	for i := range cells {
		name := fmt.Sprintf("out %d.txt", i)
		doc := Document{Path: name, Bytes: fmt.Appendf(nil, "result %d\n", i)}
		docs = append(docs, doc)
		c := Cell{ID: fmt.Sprintf("make[n=%d]", i), Stage: "make", Key: Digest(doc.Bytes), Started: s.Published, Ended: s.Published.Add(time.Second), With: json.RawMessage(fmt.Sprintf(`{"n": %d}`, i)),
			Outputs: []Output{{Name: name, Path: name, Digest: Digest(doc.Bytes), Size: int64(len(doc.Bytes))}}}
		join.Needs = append(join.Needs, c.ID)
		s.Cells = append(s.Cells, c)
	}
	s.Cells = append(s.Cells, join)
	for i := range docs {
		docs[i].Digest = Digest(docs[i].Bytes)
		s.Files = append(s.Files, File{docs[i].Path, docs[i].Digest, int64(len(docs[i].Bytes))})
	}
	return s, docs
}

// written is a crate of some cells.
func written(t testing.TB, name string, cells int) string {
	s, docs := sample(cells)
	to := filepath.Join(t.TempDir(), name)
	if err := Write(to, s, docs); err != nil {
		t.Fatal(err)
	}
	return to
}

func opened(t testing.TB, name string) *Crate {
	c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestReferences: every reference of the metadata leads to an entity, no id stands
// twice or holds what an IRI may not.
func TestReferences(t *testing.T) {
	s, _ := sample(3)
	s.Cells[0].Error, s.NotRun = "exit status 1", []NotRun{{"x", "waits"}}
	s.Cells[1].Env, s.Cells[1].Recorded, s.Cells[1].Timed = map[string]string{"A": "b c#"}, true, time.Second
	s.Cells[1].Software = []cell.Software{{Name: "a lib", Version: "1"}}
	s.Claims = []Claim{{Claim: cell.Claim{ID: "C 1", JudgedBy: "join"}, Verdict: "reproduced", Figures: []string{"README.md"}}}
	found := []Found{{Path: "assessments/x.json", Assessment: Assessment{Agent: Agent{Name: "Ada", Person: true}, Claims: []Outcome{{ID: "C 1"}}}}}
	for _, profile := range Profiles() {
		s.Profile = profile
		b, err := Graph(s, found)
		if err != nil {
			t.Fatal(err)
		}
		all, err := entities(b)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := []string{"https://w3id.org/ro/crate/"}
		for id, e := range all {
			if strings.ContainsAny(id, " []<>\"{}|\\^`") || strings.Count(id, "#") > 1 {
				t.Errorf("%s is no IRI", id)
			}
			for property, v := range e {
				for _, to := range refs(v) {
					if property != "@id" && all[to] == nil && !strings.HasPrefix(to, elsewhere[0]) {
						t.Errorf("%s of %s leads nowhere: %s", property, id, to)
					}
				}
			}
		}
	}
}

// refs are the ids that a value refers to.
func refs(v json.RawMessage) (ids []string) {
	var one struct {
		ID string `json:"@id"`
	}
	var many []json.RawMessage
	if json.Unmarshal(v, &many) == nil {
		for _, m := range many {
			ids = append(ids, refs(m)...)
		}
	} else if json.Unmarshal(v, &one) == nil && one.ID != "" {
		ids = append(ids, one.ID)
	}
	return ids
}

func TestCheck(t *testing.T) {
	for _, name := range []string{"c.zip", "c"} {
		to := written(t, name, 2)
		sound, wrong, err := opened(t, to).Check()
		if err != nil || len(wrong) > 0 || sound != 6 {
			t.Errorf("%s: %d sound, %v, %v", name, sound, wrong, err)
		}
	}
}

// TestTampering edits one thing at a time, and wants it named.
func TestTampering(t *testing.T) {
	edit := func(file, old, new string) func(string) error {
		return func(dir string) error {
			file := filepath.Join(dir, file)
			b, err := os.ReadFile(file)
			if err == nil && !bytes.Contains(b, []byte(old)) {
				err = fmt.Errorf("no %q in %s", old, file)
			}
			if err != nil {
				return err
			}
			return os.WriteFile(file, bytes.Replace(b, []byte(old), []byte(new), 1), 0o666)
		}
	}
	for what, c := range map[string]struct {
		do   func(dir string) error
		says string
	}{
		"a byte":           {edit("out 1.txt", "1", "2"), "out 1.txt: changed: its SHA-256"},
		"a lost file":      {func(d string) error { return os.Remove(filepath.Join(d, "out 0.txt")) }, "out 0.txt: missing"},
		"an added file":    {func(d string) error { return os.WriteFile(filepath.Join(d, "new"), nil, 0o666) }, "new: added"},
		"a link":           {func(d string) error { return os.Symlink("/etc/hostname", filepath.Join(d, "link")) }, "link: added: no regular file"},
		"metadata's time":  {edit(Metadata, `"endTime": "2033-05-18T03:33:21`, `"endTime": "2033-05-18T03:33:29`), "endTime of"},
		"metadata's space": {edit(Metadata, "{\n", "{\n\n"), "it says the same in other bytes"},
		"an entity":        {edit(Metadata, `"@id": "#engine-run"`, `"@id": "#other-run"`), "entity #other-run was added"},
		"provenance":       {edit(Provenance, `"started": "2033`, `"started": "2030`), Provenance + ": changed"},
		"a checksum":       {edit("SHA256SUMS", "  README.md", "  README.mx"), "README.mx: missing"},
		"no checksums":     {func(d string) error { return os.Remove(filepath.Join(d, "SHA256SUMS")) }, "SHA256SUMS: missing"},
	} {
		to := written(t, "c", 2)
		if err := c.do(to); err != nil {
			t.Fatal(err)
		}
		_, wrong, err := opened(t, to).Check()
		if err != nil || !slices.ContainsFunc(wrong, func(d Difference) bool { return strings.Contains(d.String(), c.says) }) {
			t.Errorf("%s: %v, %v", what, wrong, err)
		}
	}
}

// TestAdd: an assessment is one more file and one more action, twice as well as once,
// and all that was there keeps its bytes.
func TestAdd(t *testing.T) {
	for _, name := range []string{"c.zip", "c"} {
		to := written(t, name, 2)
		for i := range 2 {
			c := opened(t, to)
			a := Assessment{Agent: Agent{Name: "Ada"}, Ended: time.Unix(int64(i), 0).UTC(), Claims: []Outcome{}}
			before, err := c.file(Provenance)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Add(a); err != nil {
				t.Fatal(err)
			}
			c = opened(t, to)
			if after, err := c.file(Provenance); err != nil || !bytes.Equal(before, after) {
				t.Errorf("%s: the provenance changed: %v", name, err)
			}
			if sound, wrong, err := c.Check(); err != nil || len(wrong) > 0 || sound != 7+i || len(c.Found) != i+1 || c.Found[i].Of != Digest(before) {
				t.Errorf("%s: %d sound, %v, %v, %+v", name, sound, wrong, err, c.Found)
			}
		}
	}
}

// TestOutside: a crate whose provenance leads out of it is not opened.
func TestOutside(t *testing.T) {
	for name, edit := range map[string]func(*State){
		"study":     func(s *State) { s.Study.File = "../configs/s.yaml" },
		"recording": func(s *State) { s.Recording = "/data/s/host" },
		"file":      func(s *State) { s.Files[0].Path = "a/../../b" },
		"output":    func(s *State) { s.Cells[0].Outputs[0].Path = ".." },
	} {
		to := written(t, "c", 1)
		s, _ := sample(1)
		edit(s)
		b, err := encode(s)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, Provenance), b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(to); err == nil || !strings.Contains(err.Error(), "which is not below the crate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDamagedSource: an object that is not what its name says becomes no crate.
func TestDamagedSource(t *testing.T) {
	s, docs := sample(1)
	docs[2].Digest = Digest(nil)
	to := filepath.Join(t.TempDir(), "c.zip")
	if err := Write(to, s, docs); err == nil || !strings.Contains(err.Error(), "is damaged or changed meanwhile") {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(to)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// FuzzOpen: no zip breaks the reader, and none that differs from what was written
// passes.
func FuzzOpen(f *testing.F) {
	b := filetest.Read(f, written(f, "c.zip", 1))
	f.Add(b)
	f.Add(b[:len(b)/2])
	var empty bytes.Buffer
	if err := zip.NewWriter(&empty).Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(empty.Bytes())
	want := contents(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "x.zip")
		filetest.Write(t, name, b)
		c, err := Open(name)
		if err != nil {
			return
		}
		defer c.Close()
		if _, wrong, err := c.Check(); err == nil && len(wrong) == 0 && contents(b) != want {
			t.Error("other content passed")
		}
	})
}

// contents is what a zip's files hold, by name.
func contents(b []byte) string {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err.Error()
	}
	all := map[string]string{}
	for _, f := range z.File {
		if r, err := f.Open(); err == nil {
			text, _ := io.ReadAll(r)
			all[f.Name] = Digest(text)
		}
	}
	return fmt.Sprint(all)
}

// BenchmarkThousandCells writes and checks a crate of a thousand cells.
func BenchmarkThousandCells(b *testing.B) {
	s, docs := sample(1000)
	to := filepath.Join(b.TempDir(), "c.zip")
	for b.Loop() {
		if err := Write(to, s, docs); err != nil {
			b.Fatal(err)
		}
		c, err := Open(to)
		if err != nil {
			b.Fatal(err)
		}
		if _, wrong, err := c.Check(); err != nil || len(wrong) > 0 {
			b.Fatal(wrong, err)
		}
		c.Close()
	}
	if info, err := os.Stat(to); err == nil {
		b.ReportMetric(float64(info.Size()), "bytes")
	}
}
