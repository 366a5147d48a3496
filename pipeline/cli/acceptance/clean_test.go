package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"barograph/pipeline/cell/filetest"
)

// What runs make lies apart from what came with the repository, whatever is run:
// version control has nothing to say afterwards.
func TestRunsLeaveTheRepositoryClean(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	in := func(name string, args ...string) string {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir = root
		if dir, err := os.UserCacheDir(); err == nil && os.Getenv("BAROGRAPH_CACHE") == "" {
			c.Env = append(os.Environ(), "BAROGRAPH_CACHE="+filepath.Join(dir, "barograph"))
		}
		out, err := c.CombinedOutput()
		if exit, _ := err.(*exec.ExitError); err != nil && (exit == nil || exit.ExitCode() != 3) {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	for _, what := range []string{"configs", "notebooks", "data/paper", "data/swap", "figures/paper", "figures/swap"} {
		if err := os.CopyFS(filepath.Join(root, what), os.DirFS(what)); err != nil {
			t.Fatal(err)
		}
	}
	ignore, err := os.ReadFile(".gitignore")
	if err == nil {
		err = os.WriteFile(filepath.Join(root, ".gitignore"), ignore, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	in("git", "init", "-q")
	in("git", "add", "-A")
	in("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "as it came")
	in("barograph", "run", "--machine", "sim", "--set", "calls=20", "--set", "replicates=2")
	in("barograph", "run", "configs/quick.yaml", "--machine", "sim")
	in("barograph", "run", "configs/quick.yaml", "--machine", "host", "--set", "calls=20")
	if said := in("barograph", "run", "--replay", "data"); strings.Count(said, " ran") < 5 || strings.Count(said, "replay data/") != 5 { // what make figures does
		t.Errorf("five recordings were replayed:\n%s", said)
	}
	in("barograph", "run", "--replay", "results/data/paper/sim")
	if said := strings.TrimSpace(in("git", "status", "--porcelain")); said != "" {
		t.Errorf("after runs:\n%s", said)
	}
	for _, made := range []string{"data/paper/sim/samples.csv", "figures/paper/sim/figure2.svg", "figures/quick/sim/figure2.svg", "figures/quick/host/figure2.svg"} {
		if _, err := os.Stat(filepath.Join(root, "results", made)); err != nil {
			t.Error(err)
		}
	}
	// A recording that is not what it was is named, and the others are drawn.
	filetest.Write(t, filepath.Join(root, "data", "swap", "h100", "run.json"), "{}")
	c := exec.Command("barograph", "run", "--replay", "data")
	c.Dir = root
	out, err := c.CombinedOutput()
	if exit, _ := err.(*exec.ExitError); exit == nil || exit.ExitCode() != 2 || strings.Count(string(out), "paper: cells:") != 4 || !strings.Contains(string(out), "replay data/swap/h100\nbarograph: ") {
		t.Errorf("a damaged recording among others: %v\n%s", err, out)
	}
}

// Beside each SVG there is a PNG, for who cannot use the other: among the figures that
// are committed, and among the outputs that studies, also new ones, list.
func TestPNGBesideSVG(t *testing.T) {
	drawn, err := filepath.Glob("figures/*/*/*.svg")
	if err != nil || len(drawn) < 40 {
		t.Fatalf("%d figures, %v", len(drawn), err)
	}
	for _, svg := range drawn {
		if _, err := os.Stat(strings.TrimSuffix(svg, ".svg") + ".png"); err != nil {
			t.Error(err)
		}
	}
	studies, err := filepath.Glob("configs/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lists := 0
	listed := regexp.MustCompile(`figures/[^\s,]*?(\$\{\{.*?\}\})?[^\s,]*\.svg`)
	for _, file := range append(studies, "stages/scaffold/study.yaml.tmpl", "stages/scaffold/notebook.go.tmpl") {
		text := filetest.Read(t, file)
		found := listed.FindAllString(string(text), -1)
		lists += len(found)
		for _, svg := range found {
			if png := strings.TrimSuffix(svg, ".svg") + ".png"; !strings.Contains(string(text), png) {
				t.Errorf("%s lists %s and not %s", file, svg, png)
			}
		}
	}
	if lists < 20 {
		t.Errorf("%d outputs were found", lists)
	}
}
