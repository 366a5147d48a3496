//go:build slurm

package slurm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cli"
	"barograph/pipeline/store"
	"barograph/stages"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// The test's own binary is the program, here and on the nodes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"barograph": func() {
		status := cli.Main(os.Args[1:], stages.Kinds(), stages.GPUs, stages.Commands(), stages.Checks(), stages.Drawing())
		if err := spent(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		os.Exit(status)
	}})
}

// spent adds the processor time of this process and its children to the file cpu of its
// folder, where a test has put one.
func spent() error {
	f, err := os.OpenFile("cpu", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	total := int64(0)
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			return err
		}
		total += r.Utime.Nano() + r.Stime.Nano()
	}
	_, err = fmt.Fprintln(f, total)
	return err
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
	filetest.Write(f, filepath.Join(f.dir, name), text)
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

// A thousand small cells end as they do here, and take not much longer. BAROGRAPH_TURNS
// says how often each way is taken, in turns.
func TestSmall(t *testing.T) {
	s := start(t)
	turns := 1
	if n, err := strconv.Atoi(os.Getenv("BAROGRAPH_TURNS")); err == nil {
		turns = n
	}
	var cells, all, cpu []float64
	for turn := range turns {
		here, there := s.folder(""), s.folder("jobs: 2\npack: 500\n")
		here.write("configs/small.yaml", small(1000))
		there.write("configs/small.yaml", small(1000))
		there.must("doctor", "--on", "lab")
		var local, nodes timing
		var submitted time.Duration
		ways := []func(){
			func() { local = here.timed("run", "small", "--jobs", "2") },
			func() { nodes, submitted = s.onNodes(there) },
		}
		if turn%2 == 1 { // a run is slower after one that left and removed many files
			slices.Reverse(ways)
		}
		for _, run := range ways {
			run()
		}
		local.cpu, nodes.cpu = here.spent(), there.spent()
		t.Logf("here with --jobs 2: %v\non two nodes, submitted in %v: %v", local, submitted.Round(time.Millisecond), nodes)
		cells = append(cells, nodes.cells.Seconds()/local.cells.Seconds())
		all = append(all, nodes.all.Seconds()/local.all.Seconds())
		cpu = append(cpu, nodes.cpu.Seconds()/local.cpu.Seconds())
		if submitted > 10*time.Second || nodes.all > 5*local.all { // five times what is promised: others use this computer
			t.Error("that is too slow")
		}
		if a, b := here.results("sum.txt", "out"), there.results("sum.txt", "out"); a != b || !strings.Contains(a, "small/sum") {
			t.Errorf("the results differ:\nhere\n%s\non the cluster\n%s\n%s", a, b, nodes.said)
		}
		if out := there.must("run", "small", "--on", "lab"); !strings.Contains(out, "1001 stood") {
			t.Errorf("again: %s", out)
		}
	}
	for _, ratios := range [][]float64{cells, all, cpu} {
		slices.Sort(ratios)
	}
	t.Logf("on two nodes to here, median of %d: 1,000 cells %.2f times as long %.2f, with the one that needs all %.2f %.2f, processor time %.2f %.2f",
		turns, cells[turns/2], cells, all[turns/2], all, cpu[turns/2], cpu)
}

// onNodes times the small study on the nodes, and how long its jobs took to be there.
func (s *slurm) onNodes(f *folder) (nodes timing, submitted time.Duration) {
	out, begun := make(chan timing), time.Now()
	go func() { out <- f.timed("run", "small", "--on", "lab") }()
	s.until(20*time.Second, "answer to what was submitted", func() bool { // asking Slurm itself would take a processor
		asked, _ := filepath.Glob(filepath.Join(f.dir, ".barograph/on/clusters/lab/arrays/*/asked"))
		return slices.ContainsFunc(asked, func(path string) bool { b, _ := os.ReadFile(path); return strings.Contains(string(b), `"job":`) })
	})
	submitted = time.Since(begun)
	nodes = <-out
	s.until(20*time.Second, "end of all jobs", func() bool { return s.do("squeue", "-h", "-t", "pending,running,completing") == "" })
	return nodes, submitted
}

// A timing is how long a run of the small study took.
type timing struct {
	cells, all time.Duration // until the thousand had ended, and the run
	cpu        time.Duration // of the program and its cells, not of Slurm
	said       string
}

func (t timing) String() string {
	return fmt.Sprintf("1,000 cells in %v, the run %v, processors %v", t.cells.Round(time.Millisecond), t.all.Round(time.Millisecond), t.cpu.Round(time.Millisecond))
}

// timed runs the small study.
func (f *folder) timed(args ...string) (t timing) {
	f.write("cpu", "")
	c := f.command(args...)
	read, write, err := os.Pipe()
	if err != nil {
		f.Error(err)
		return t
	}
	defer read.Close()
	c.Stdout, c.Stderr = write, write
	begun := time.Now()
	err = c.Start()
	write.Close()
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		if t.said += lines.Text() + "\n"; strings.HasPrefix(lines.Text(), "[1000/1001]") {
			t.cells = time.Since(begun)
		}
	}
	if err = errors.Join(err, c.Wait()); err != nil || t.cells == 0 {
		f.Errorf("barograph %s: %v\n%s", strings.Join(args, " "), err, t.said)
	}
	t.all = time.Since(begun)
	return t
}

// spent is the processor time of a timed run.
func (f *folder) spent() (total time.Duration) {
	f.Helper()
	b := filetest.Read(f, filepath.Join(f.dir, "cpu"))
	for _, text := range strings.Fields(string(b)) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			f.Fatal(err)
		}
		total += time.Duration(n)
	}
	return total
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
