//go:build slurm

package slurm

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cli"
	"barograph/pipeline/store"
	"barograph/stages"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test's own binary is the program, here and on the nodes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"barograph": func() {
		os.Exit(cli.Main(os.Args[1:], stages.Kinds(), stages.GPUs, stages.Commands(), stages.Checks(), stages.Drawing()))
	}})
}

// A folder is a workspace, from which a user runs.
type folder struct {
	*slurm
	dir string
	env []string
}

// folder makes a workspace with the project's configs and notebooks, and a cluster.
func (s *slurm) folder(cluster string) *folder {
	s.Helper()
	f := &folder{slurm: s, dir: s.TempDir(), env: s.env}
	for _, dir := range []string{"configs", "notebooks"} {
		if err := os.CopyFS(filepath.Join(f.dir, dir), os.DirFS(filepath.Join("../../../..", dir))); err != nil {
			s.Fatal(err)
		}
	}
	if cluster != "" {
		if !strings.Contains(cluster, "time:") {
			cluster = "time: 10m\n" + cluster
		}
		f.write("configs/clusters/lab.yaml", "name: lab\nengine: slurm\n"+cluster)
	}
	return f
}

func (f *folder) write(name, text string) {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		f.Fatal(err)
	}
}

func (f *folder) command(args ...string) *exec.Cmd {
	c := exec.Command("barograph", args...)
	c.Dir, c.Env = f.dir, f.env
	return c
}

// run runs the program to its end, which may take a minute, and returns its status and
// all it said.
func (f *folder) run(args ...string) (int, string) {
	f.Helper()
	c := f.command(args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		f.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	_ = c.Wait() // its status is returned
	return c.ProcessState.ExitCode(), out.String()
}

func (f *folder) must(args ...string) string {
	f.Helper()
	status, out := f.run(args...)
	if status != 0 {
		f.Fatalf("barograph %s: status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

// results is what a run left, without its times: the records by key, and the digests of
// the files that it published.
func (f *folder) results(published ...string) string {
	f.Helper()
	var all strings.Builder
	s, err := store.View(filepath.Join(f.dir, ".barograph/store"))
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range s.Records() {
		fmt.Fprintf(&all, "%s %s %v\n", r.Key, r.Cell, r.Files)
		if s.Get(r.Key, names(r)) == nil {
			f.Errorf("the store holds no sound result of %s", r.Cell)
		}
	}
	for _, dir := range published {
		err := filepath.WalkDir(filepath.Join(f.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			rel, _ := filepath.Rel(f.dir, path)
			fmt.Fprintf(&all, "%s %x\n", rel, sha256.Sum256(b))
			return err
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	return all.String()
}

func names(r *store.Record) (all []string) {
	for _, f := range r.Files {
		all = append(all, f.Name)
	}
	return all
}

// small is a study of so many short cells, and one that needs all of them.
func small(n int) string {
	return fmt.Sprintf(`study: small
machine: sim
stages:
  cells: {uses: command, matrix: {n: %d}, run: 'mkdir -p out; echo ${{ n }} > out/${{ n }}.txt', outputs: ['out/${{ n }}.txt']}
  sum:   {uses: command, needs: [cells], run: 'cat out/*.txt | sort -n > sum.txt', outputs: [sum.txt]}
`, n)
}

// A thousand small cells end as they do here, and take not much longer.
func TestSmall(t *testing.T) {
	s := start(t)
	here, there := s.folder(""), s.folder("jobs: 2\npack: 500\n")
	here.write("configs/small.yaml", small(1000))
	there.write("configs/small.yaml", small(1000))
	there.must("doctor", "--on", "lab")
	begun := time.Now()
	here.must("run", "small", "--jobs", "2")
	local := time.Since(begun)
	begun = time.Now()
	out := make(chan string)
	go func() { _, said := there.run("run", "small", "--on", "lab"); out <- said }()
	s.until(20*time.Second, "job in the queue", func() bool { return s.do("squeue", "-h") != "" })
	submitted := time.Since(begun)
	said := <-out
	onNodes := time.Since(begun)
	t.Logf("1,001 cells: here with --jobs 2 in %v; on two nodes submitted in %v, done in %v, %.2f times as long", local, submitted, onNodes, onNodes.Seconds()/local.Seconds())
	if submitted > 10*time.Second || onNodes > 5*local { // five times what is promised: others use this computer
		t.Error("that is too slow")
	}
	if a, b := here.results("sum.txt", "out"), there.results("sum.txt", "out"); a != b || !strings.Contains(a, "small/sum") {
		t.Errorf("the results differ:\nhere\n%s\non the cluster\n%s\n%s", a, b, said)
	}
	if out := there.must("run", "small", "--on", "lab"); !strings.Contains(out, "1001 stood") {
		t.Errorf("again: %s", out)
	}
}

// Forty simulated trials give the figures' bytes that they give here, and are packed
// as gangs.
func TestTrials(t *testing.T) {
	t.Parallel()
	s := start(t)
	here, there := s.folder(""), s.folder("jobs: 4\n")
	args := []string{"run", "quick", "--machine", "sim", "--set", "levels=[0,1,2,4]", "--set", "replicates=10"}
	begun := time.Now()
	here.must(args...)
	local := time.Since(begun)
	begun = time.Now()
	out := there.must(append(args, "--on", "lab")...)
	t.Logf("here in %v, on two nodes in %v", local, time.Since(begun))
	// A recording says when it was made and in which order: so it differs between two
	// runs here, too, and with it the keys of what reads it.
	timed := regexp.MustCompile(`(?m)^[0-9a-f]+ quick/(collect|analyse|plot) .*\n`)
	a, b := timed.ReplaceAllString(here.results("results/figures"), ""), timed.ReplaceAllString(there.results("results/figures"), "")
	if a != b || strings.Count(a, "quick/infer") != 40 || !strings.Contains(a, "figure2.svg") {
		t.Errorf("the results differ:\nhere\n%s\non the cluster\n%s\n%s", a, b, out)
	}
}
