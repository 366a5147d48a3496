package acceptance

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"
)

// tutorial returns the one block of a language in a section of the README, which
// has no more lines than said, blank ones aside.
func tutorial(t *testing.T, section, language string, lines int) string {
	t.Helper()
	_, text, ok := strings.Cut(string(readDocument(t, "README.md").source), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var found []string
	each(document{source: []byte(text), root: parse(text)}, func(n *ast.FencedCodeBlock) {
		if string(n.Language([]byte(text))) == language {
			found = append(found, string(n.Lines().Value([]byte(text))))
		}
	})
	if !ok || len(found) != 1 {
		t.Fatalf("README.md, %s: %d blocks of %s, want one", section, len(found), language)
	}
	if n := len(regexp.MustCompile(`(?m)^.*\S`).FindAllString(found[0], -1)); n > lines {
		t.Errorf("README.md, %s: %d lines of %s, want %d at most", section, n, language, lines)
	}
	return found[0]
}

// tutorialRun runs the commands of a tutorial in a copy of what they need, and
// returns the folder.
func tutorialRun(t *testing.T, commands, file, content string) (root, out string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for from, to := range map[string]string{"configs": "configs", "notebooks": "notebooks", "data/models/h100": "data/models/h100", "pipeline/cli/acceptance/testdata/tutorial": "."} {
		if err := os.CopyFS(filepath.Join(root, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(commands, "bin/barograph", "barograph"))
	run.Dir = root
	run.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
	b, err := run.CombinedOutput()
	if exit, _ := err.(*exec.ExitError); err != nil && (exit == nil || exit.ExitCode() != 3) { // measured, on a busy machine
		t.Fatalf("%v\n%s", err, b)
	}
	return root, string(b)
}

// TestTutorialModel does what the README's section "Your own model" says, letter by
// letter, with a file that PyTorch's exporter wrote.
func TestTutorialModel(t *testing.T) {
	t.Parallel()
	yaml := tutorial(t, "Your own model", "yaml", 10)
	root, out := tutorialRun(t, tutorial(t, "Your own model", "sh", 1), "configs/mine.yaml", yaml)
	if n := len(regexp.MustCompile(`(?m)^ +[04] .* 100 `).FindAllString(out, -1)); n != 2 {
		t.Errorf("%d levels of 100 calls, want 2:\n%s", n, out)
	}
	figure, err := os.ReadFile(filepath.Join(root, "results", "figures", "mine", "host", "mine.svg"))
	if err != nil || !strings.Contains(string(figure), "<svg") {
		t.Errorf("the figure: %v, %d bytes", err, len(figure))
	}
}

// TestTutorialNotebook does what the README's section "Your own notebook" says, and
// holds the figure that it shows to the one that is drawn.
func TestTutorialNotebook(t *testing.T) {
	t.Parallel()
	source := tutorial(t, "Your own notebook", "go", 15)
	root, out := tutorialRun(t, tutorial(t, "Your own notebook", "sh", 2), "notebooks/steps/main.go", source)
	drawn, err := os.ReadFile(filepath.Join(root, "steps.png"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const shown = "figures/readme/steps.png"
	if *update {
		if err := os.WriteFile(shown, drawn, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(shown); err != nil || !bytes.Equal(drawn, want) {
		t.Errorf("%s is not what the notebook draws (%v); hint: -update", shown, err)
	}
}
