package study

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/source"
)

// FuzzLoad: whatever the file holds, Load ends with a study that binds at every
// point, or with errors that lie inside the file.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(len(files), err)
	}
	for _, file := range files {
		if strings.Contains(file, "huge") {
			continue // slow under instrumentation, and covered by its golden
		}
		text := filetest.Read(f, file)
		f.Add(text)
	}
	f.Add([]byte(whole))
	root := workspace(f, wholeFiles)
	path := filepath.Join(root, "configs", "fuzz.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		filetest.Write(t, path, text)
		s, err := Load(path, Options{Kinds: kinds(), Machine: "host"})
		if err != nil {
			checkErrors(t, err, path, text)
			return
		}
		for _, st := range s.Stages {
			n := 0
			for p := range Points(st.Matrix) {
				if _, err := s.Bind(st, p); err != nil {
					t.Fatalf("stage %s at %s: %v", st.Name, p, err)
				}
				if n++; n > 1000 {
					break
				}
			}
		}
	})
}

func checkErrors(t *testing.T, err error, path string, text []byte) {
	var list source.Errors
	if !errors.As(err, &list) {
		var one *source.Error
		if !errors.As(err, &one) {
			t.Fatalf("%T: %v", err, err)
		}
		list = source.Errors{one}
	}
	lines := source.Lines(strings.TrimPrefix(string(text), "\uFEFF"))
	last := source.Pos{}
	for _, e := range list {
		if e.Msg == "" || e.Error() == "" {
			t.Errorf("an error without a message at %v", e.Pos)
		}
		if e.Pos.File != path {
			continue
		}
		if e.Pos.Line < 1 || e.Pos.Line > len(lines) || e.Pos.Col < 1 || e.Pos.Col > utf8.RuneCountInString(lines[e.Pos.Line-1])+1 {
			t.Errorf("%v lies outside the file: %s", e.Pos, e.Msg)
		}
		if e.Pos.Line < last.Line || e.Pos.Line == last.Line && e.Pos.Col < last.Col {
			t.Errorf("%v stands after %v", e.Pos, last)
		}
		last = e.Pos
	}
}
