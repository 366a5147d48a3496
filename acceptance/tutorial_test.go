package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTutorial does what the README's section "Your own model" says, letter by
// letter, with a file that PyTorch's exporter wrote.
func TestTutorial(t *testing.T) {
	_, section, ok := strings.Cut(readme(t), "\n## Your own model\n")
	section, _, _ = strings.Cut(section, "\n## ")
	yaml := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(section)
	shell := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(section)
	if !ok || yaml == nil || shell == nil {
		t.Fatal("README.md has no tutorial of a study and a command")
	}
	if n := strings.Count(yaml[1], "\n"); n > 10 {
		t.Errorf("the study has %d lines", n)
	}
	if n := strings.Count(shell[1], "\n"); n != 1 {
		t.Errorf("%d commands", n)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for from, to := range map[string]string{"configs": "configs", "notebooks": "notebooks", "acceptance/testdata/tutorial": "."} {
		if err := os.CopyFS(filepath.Join(root, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "configs", "mine.yaml"), []byte(yaml[1]), 0o666); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(shell[1], "bin/barograph", "barograph"))
	run.Dir = root
	run.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
	out, err := run.CombinedOutput()
	if exit, _ := err.(*exec.ExitError); err != nil && (exit == nil || exit.ExitCode() != 3) { // measured, on a busy machine
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "p50") {
		t.Errorf("no table:\n%s", out)
	}
	figure, err := os.ReadFile(filepath.Join(root, "results", "figures", "mine", "host", "mine.svg"))
	if err != nil || !strings.Contains(string(figure), "<svg") {
		t.Errorf("the figure: %v, %d bytes", err, len(figure))
	}
	samples, err := os.ReadFile(filepath.Join(root, "results", "data", "mine", "host", "samples.csv"))
	if err != nil || strings.Count(string(samples), "resnet.onnx") != 2*2*50 {
		t.Errorf("the samples: %v, %d rows", err, strings.Count(string(samples), "\n"))
	}
}
