package acceptance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/study"
	"barograph/stages"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The study that the README shows is one that a reader can paste and plan.
func TestReadmeStudy(t *testing.T) {
	found := regexp.MustCompile("(?s)```yaml\n(# yaml-language-server.*?)```").FindStringSubmatch(readme(t))
	if found == nil {
		t.Fatal("no YAML in README.md")
	}
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "configs"), os.DirFS("configs")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "configs", "blocks.yaml")
	if err := os.WriteFile(file, []byte(found[1]), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, machine := range []string{"host", "sim"} {
		s, err := study.Load(file, study.Options{Kinds: stages.Kinds(), Machine: machine, Fingerprint: record.Fingerprint})
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Build(s)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(p.Cells); n != 1+9+9+1+1 {
			t.Errorf("%d cells on %s", n, machine)
		}
	}
}

// What the README links to and calls is there.
func TestReadmeNames(t *testing.T) {
	text := readme(t)
	for _, m := range regexp.MustCompile(`\]\(([^):]+)\)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("README.md links to %s: %v", m[1], err)
		}
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`make ([a-z]+)`").FindAllStringSubmatch(text, -1) {
		if !strings.Contains("\n"+string(makefile), "\n"+m[1]+":") {
			t.Errorf("README.md says make %s, which the Makefile does not have", m[1])
		}
	}
}
