package plan_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

// A proof proves what it was written for, and nothing that a file could be
// changed into proves anything but that.
func FuzzProof(f *testing.F) {
	root := workspace(f, "stages: {x: {uses: command, inputs: [in], run: cat in > out, outputs: [out]}}\n", "in")
	p, err := build(f, root)
	if err != nil {
		f.Fatal(err)
	}
	s, err := store.Open(filepath.Join(root, ".barograph", "store"))
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	d := plan.NewDecider(p, s, nil)
	dec, err := d.Decide(p.Cells[0])
	if err != nil {
		f.Fatal(err)
	}
	made := filepath.Join(f.TempDir(), "out")
	filetest.Write(f, made, "in")
	file, err := s.Put(made, "out")
	if err != nil {
		f.Fatal(err)
	}
	rec := &store.Record{Key: dec.Key, Cell: "s/x", Files: []store.File{file}}
	if err := s.Commit(store.Detail{Parts: d.Parts(p.Cells[0])}, rec); err != nil {
		f.Fatal(err)
	}
	d.Finish(p.Cells[0], rec)
	out := filepath.Join(root, "out")
	if err := s.Copy(file, out); err != nil {
		f.Fatal(err)
	}
	proof := filepath.Join(root, ".barograph", "proof")
	if err := d.Prove(proof, "whole"); err != nil {
		f.Fatal(err)
	}
	opt := study.Options{Kinds: kinds}
	var said string
	proves := func(said *string) bool {
		k := plan.Recall(proof, opt)
		return k != nil && k.Stands(said)
	}
	if !proves(&said) || said != "whole" {
		f.Fatalf("the proof as it was written proves %q", said)
	}
	b := filetest.Read(f, proof)
	head := b[sha256.Size:]
	f.Add(head)
	f.Add([]byte("{}"))
	f.Add([]byte("{\"Globs\":{\"[\":null}}\x00s\x00c\x00"))
	if err := os.Remove(out); err != nil { // from now on nothing stands
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b)
		filetest.Write(t, proof, append(sum[:], b...))
		var said string
		if proves(&said) {
			t.Errorf("it proves %q", said)
		}
	})
}
