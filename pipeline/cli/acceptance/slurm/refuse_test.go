//go:build slurm

package slurm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
)

// study is one of a single shell line.
func study(line, more string) string {
	return fmt.Sprintf("study: one\nmachine: sim\nstages:\n  only: {uses: command, run: %q, outputs: [a.txt]%s}\n", line, more)
}

// What cannot be is said soon and clearly, and leaves no job behind.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	failed, _ := s.try("sbatch", "--parsable", "--output=/dev/null", "--wrap=exit 1")
	s.until(10*time.Second, "failed job", func() bool { return strings.Contains(s.do("squeue", "-h", "-t", "all", "-o", "%T"), "FAILED") })
	for _, c := range []struct {
		name, cluster, stage string
		status               int
		want                 []string
	}{
		{"account", "partition: closed\naccount: arts\n", "", 1, []string{`account "arts" may not use partition "closed"`, "it is for science", "nothing was submitted"}},
		{"time", "partition: short\n", "", 1, []string{`time: 10m0s is more than the 1m0s that partition "short" allows`}},
		{"gres", "extra: [--gres=gpu:absent:1]\n", "", 1, []string{"sbatch", "nothing was submitted"}},
		{"dependency", "extra: ['--dependency=afterok:" + strings.TrimSpace(failed) + "']\n", "", 1, []string{"can never run: it depends on a job that failed (DependencyNeverSatisfied)", "it was cancelled"}},
		{"partition", "partition: absent\n", "", 1, []string{`partition "absent": scontrol: Partition absent not found`}},
		{"setup", "setup: [exit 3]\n", "", 1, []string{"ended FAILED", "no cell was submitted"}},
		{"memory", "pack: 9\n", ", resources: {memory: 1000000000000}", 1, []string{"only failed: sbatch: ", "emory"}},
		{"limit", "partition: short\ntime: 1m\n", ", timeout: 5h", 1, []string{"can never run: it asks for more than the partition allows", "it was cancelled"}},
		{"misspelt", "partitoin: main\n", "", 2, []string{`lab.yaml:4:1: unknown key "partitoin"`, "did you mean"}},
		{"flag", "extra: [--array=0-3]\n", "", 2, []string{"lab.yaml:4:9: extra: --array is what a run sets itself"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := s.folder(c.cluster)
			f.write("configs/one.yaml", study("echo 1 > a.txt", c.stage))
			begun := time.Now()
			status, out := f.run("run", "one", "--on", "lab")
			if took := time.Since(begun); status != c.status || took > 30*time.Second {
				t.Errorf("status %d after %v, want %d within 30 s\n%s", status, took, c.status, out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
			s.until(10*time.Second, "empty queue", func() bool { return s.do("squeue", "-h") == "" })
		})
	}
	f := s.folder("pack: 9\n")
	f.write("configs/one.yaml", study("echo 1 > a.txt", ""))
	f.env = append(f.env, "PATH="+os.Getenv("PATH"))
	if status, out := f.run("run", "one", "--on", "lab"); status != 1 || !strings.Contains(out, "scontrol: there is none on PATH: this computer is no login node") {
		t.Errorf("without Slurm: status %d\n%s", status, out)
	}
}

// A folder that the nodes do not see is found before a cell is submitted.
func TestNotShared(t *testing.T) {
	t.Parallel()
	mounts(t)
	s := start(t)
	f := s.folder("pack: 9\n")
	f.write("configs/one.yaml", study("echo 1 > a.txt", ""))
	own := filepath.Join(t.TempDir(), "own") // on a disk that only the driver has
	if err := os.Mkdir(own, 0o777); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("unshare", "-m", "sh", "-ec", "mount -t tmpfs none "+own+"; cp -r configs "+own+"; cd "+own+"; barograph run one --on lab")
	c.Dir, c.Env = f.dir, f.env
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "must lie in a folder that login node and nodes share") || !strings.Contains(string(out), "no cell was submitted") {
		t.Errorf("status %d\n%s", c.ProcessState.ExitCode(), out)
	}
}

// A driver that is killed leaves its jobs; the next finds them. What is stopped is
// over, and what was finished stands.
func TestKilledAndStopped(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := s.folder("jobs: 2\n")
	f.write("configs/slow.yaml", `study: slow
machine: sim
stages:
  cells: {uses: command, matrix: {n: 8}, run: 'sleep 1; echo ${{ n }} > ${{ n }}.txt', outputs: ['${{ n }}.txt']}
`)
	f.must("doctor", "--on", "lab")
	c := f.command("run", "slow", "--on", "lab")
	first := &strings.Builder{}
	c.Stdout, c.Stderr = first, first
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the first driver said:\n%s", first)
		}
	})
	s.until(20*time.Second, "running job", func() bool { return strings.Contains(f.must("top", "--on", "lab"), "running: cells[n=") })
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	jobs := s.do("squeue", "-h", "--array", "-t", "all", "-o", "%F")
	f.must("run", "slow", "--on", "lab")
	if made, _ := filepath.Glob(filepath.Join(f.dir, "[1-8].txt")); len(made) != 8 {
		t.Errorf("after the driver was killed, there is %v", made)
	}
	if now := s.do("squeue", "-h", "--array", "-t", "all", "-o", "%F"); len(strings.Fields(now)) != len(strings.Fields(jobs)) {
		t.Errorf("jobs were %q, and after the driver came again %q", jobs, now)
	}
	f.write("configs/slow.yaml", strings.Replace(study("sleep 100; touch a.txt", ""), "study: one", "study: slow", 1))
	c = f.command("run", "slow", "--on", "lab")
	out := &strings.Builder{}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s.until(20*time.Second, "running cell", func() bool { return strings.Contains(f.must("top", "--on", "lab"), "running: only") })
	if said := f.must("stop", "--on", "lab"); !strings.Contains(said, "1 jobs cancelled") {
		t.Errorf("stop said %q", said)
	}
	_ = c.Wait() // the status is looked at below
	if c.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "ended CANCELLED") {
		t.Errorf("the driver of what was stopped: status %d\n%s", c.ProcessState.ExitCode(), out)
	}
}

// A node that is not what was planned for measures nothing, and is left out of the next
// try; in the end it is said why none would do.
func TestUnfit(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := s.folder("pack: 9\n")
	f.write("configs/measured.yaml", "study: measured\nmachine: host\nstages:\n  calibrate: {uses: stress, with: {mode: capacity, directions: [h2d]}}\n")
	f.must("doctor", "--on", "lab")
	if status, out := f.run("run", "measured", "--on", "lab", "--machine", "h100"); status != 2 || !strings.Contains(out, "machine h100 measures on device cuda, and node n1 of lab has none") {
		t.Errorf("on a GPU that is not there: status %d\n%s", status, out)
	}
	node := filepath.Join(f.dir, ".barograph/on/clusters/lab/node")
	b := filetest.Read(t, node)
	f.write(".barograph/on/clusters/lab/node", strings.Replace(string(b), `{"host":`, `{"gpus":[{"name":"NVIDIA Z9","pci":"0000:01:00.0"}],"host":`, 1))
	status, out := f.run("run", "measured", "--on", "lab", "--machine", "host")
	for _, want := range []string{"n1: its GPUs are none; planned for: NVIDIA Z9", "n2: its GPUs are none; planned for: NVIDIA Z9", "calibrate failed: no node of the cluster would do to measure on"} {
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("status %d, and it does not say %q:\n%s", status, want, out)
		}
	}
}

// An agent that is told of its time limit ends its pack as a kill would: what was
// finished stands, and the rest is submitted again.
func TestWarned(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := s.folder("jobs: 1\n")
	f.write("configs/slow.yaml", "study: slow\nmachine: sim\nstages:\n  cells: {uses: command, matrix: {n: 5}, run: 'sleep 1; echo ${{ n }} > ${{ n }}.txt', outputs: ['${{ n }}.txt']}\n")
	out := make(chan string)
	go func() { _, said := f.run("run", "slow", "--on", "lab"); out <- said }()
	s.until(30*time.Second, "finished cell", func() bool { done, _ := filepath.Glob(filepath.Join(f.dir, "?.txt")); return len(done) > 0 })
	s.do("scancel", "--batch", "--signal=USR2", "-u", "root")
	said := <-out
	for _, want := range []string{"told to end by signal 12", "what is missing is submitted again", "slow: cells: 5 ran"} {
		if !strings.Contains(said, want) {
			t.Errorf("does not say %q:\n%s", want, said)
		}
	}
	if n := strings.Count(said, " cells[n="); n != 5 {
		t.Errorf("%d cells ended, want 5:\n%s", n, said)
	}
}

// A lost node's job runs again while its first copy lives, and both end: the first
// result stands, and that the second differs is reported.
func TestTwoCopies(t *testing.T) {
	t.Parallel()
	s := start(t)
	f := s.folder("pack: 9\n")
	f.write("configs/one.yaml", study("w=$(cat /proc/sys/kernel/random/uuid); sleep 6; echo $w > a.txt", ""))
	f.must("doctor", "--on", "lab")
	out := make(chan string)
	go func() { _, said := f.run("run", "one", "--on", "lab"); out <- said }()
	s.until(30*time.Second, "running cell", func() bool { return strings.Contains(f.must("top", "--on", "lab"), "running: only") })
	node := strings.TrimSpace(s.do("squeue", "-h", "-t", "R", "-o", "%N"))
	s.down(node)
	s.do("scontrol", "update", "NodeName="+node, "State=DOWN", "Reason=lost")
	said := <-out
	made, err := os.ReadFile(filepath.Join(f.dir, "a.txt"))
	if err != nil || !strings.Contains(said, "one: cells: 1 ran") {
		t.Fatalf("%v\n%s", err, said)
	}
	kept := filepath.Join(f.dir, ".barograph/on/aside/*")
	s.until(40*time.Second, "second result", func() bool { all, _ := filepath.Glob(kept); return len(all) == 1 })
	said = f.must("run", "one", "--on", "lab")
	aside, _ := filepath.Glob(kept)
	if !strings.Contains(said, "one/only has two results that differ") || !strings.Contains(said, aside[0]) || !strings.Contains(said, "1 stood") {
		t.Errorf("what came twice is not reported:\n%s", said)
	}
	if again, err := os.ReadFile(filepath.Join(f.dir, "a.txt")); err != nil || string(again) != string(made) {
		t.Errorf("the result was %q and is %q: %v", made, again, err)
	}
}
