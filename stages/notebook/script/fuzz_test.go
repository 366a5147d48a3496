package script_test

import (
	"barograph/pipeline/cell/filetest"
	"barograph/stages/notebook/script"
	"errors"
	"path/filepath"
	"testing"
)

// Whatever stands in a notebook, it is one or each fault has a place in it.
func FuzzParse(f *testing.F) {
	f.Add([]byte("package main\n\nimport \"barograph/notebooks/nb\"\n\nfunc main() {\n\tx := nb.Float(\"a\", 1)\n\tnb.Note(\"%v\", x)\n}\n"))
	f.Add([]byte("//go:build go1.21\n\npackage main\n\n// %% [markdown]\n// # Title\n\n// %%\nfunc main() {}\n"))
	f.Add([]byte("package main\n// %%\n// %% \nimport \"os\"\nfunc main() { for i := range 3 { os.Exit(i) } }"))
	f.Add([]byte("package main\nfunc main() {\n\t/*"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		filetest.Write(t, filepath.Join(dir, script.File), text)
		_, err := script.Parse(dir, "n")
		var errs script.Errors
		if err == nil {
			return
		}
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("an error that is none of the notebook: %v", err)
		}
		for _, e := range errs {
			if e.Line < 0 || e.Message == "" || e.Error() == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}
