//go:build slurm

package slurm

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/store"
)

// faulty is a study whose cells last long enough to be hit: steady ones, whose results
// are the same wherever they run, and drawn ones, each of which writes one random word
// into two files, so that a result of two attempts would show.
const faulty = `study: faulty
machine: sim
params: {round: 1}
stages:
  steady: {uses: command, matrix: {n: 24}, run: 'sleep 0.${{ n % 7 }}; echo ${{ round }} ${{ n }} > s${{ n }}.txt', outputs: ['s${{ n }}.txt']}
  drawn:  {uses: command, matrix: {n: 24}, run: 'w=$(cat /proc/sys/kernel/random/uuid); echo ${{ round }} $w > a${{ n }}.txt; sleep 0.${{ (n * 3) % 10 }}; echo ${{ round }} $w > b${{ n }}.txt', outputs: ['a${{ n }}.txt', 'b${{ n }}.txt']}
  pairs:  {uses: command, needs: [steady], matrix: {n: 24}, run: 'cat s${{ n }}.txt s${{ n }}.txt > p${{ n }}.txt', outputs: ['p${{ n }}.txt']}
  sum:    {uses: command, needs: [pairs], run: 'cat p*.txt | sort > sum.txt', outputs: [sum.txt]}
`

// A storm is a run into which faults are thrown.
type storm struct {
	*folder
	rng     *rand.Rand
	driver  *exec.Cmd
	said    *strings.Builder // by the driver that runs
	all     string           // by those before
	scratch string
	count   map[string]int
}

// faults are what is thrown, each a name and what it does; it says whether there was
// anything to hit.
var faults = []struct {
	name  string
	throw func(*storm) bool
}{
	{"driver killed", func(f *storm) bool {
		_ = f.driver.Process.Kill() // it may have ended
		_ = f.driver.Wait()
		f.all += f.said.String()
		return true
	}},
	{"agent killed", func(f *storm) bool {
		agents := f.agents()
		if len(agents) == 0 {
			return false
		}
		return syscall.Kill(agents[f.rng.IntN(len(agents))], syscall.SIGKILL) == nil
	}},
	{"slurmd killed", func(f *storm) bool {
		n := f.node()
		f.down(n)
		f.wait(500)
		f.up(n, "slurmd", "-N", n)
		return true
	}},
	{"controller killed", func(f *storm) bool {
		f.down("slurmctld")
		f.wait(500)
		f.up("slurmctld", "slurmctld")
		return true
	}},
	{"job requeued", func(f *storm) bool {
		id := f.running()
		if id == "" {
			return false
		}
		_, err := f.try("scontrol", "requeue", id)
		return err == nil
	}},
	{"agent warned of the time limit", func(f *storm) bool {
		id := f.running()
		if id == "" {
			return false
		}
		_, err := f.try("scancel", "--batch", "--signal=USR2", id)
		return err == nil
	}},
	{"node lost, its job's first copy alive", func(f *storm) bool {
		if len(f.agents()) == 0 {
			return false
		}
		n := f.node()
		f.down(n)
		_, err := f.try("scontrol", "update", "NodeName="+n, "State=DOWN", "Reason=lost")
		f.wait(1500)
		f.up(n, "slurmd", "-N", n)
		return err == nil
	}},
	{"scratch full", func(f *storm) bool {
		filler := filepath.Join(f.scratch, "filler")
		w, err := os.Create(filler)
		if err != nil {
			return false
		}
		for b := make([]byte, 1<<16); err == nil; {
			_, err = w.Write(b)
		}
		w.Close()
		time.Sleep(300 * time.Millisecond)
		f.wait(1000)
		return os.Remove(filler) == nil
	}},
	{"log folder missing", func(f *storm) bool {
		logs, _ := filepath.Glob(filepath.Join(f.dir, ".barograph/on/clusters/lab/arrays/*/log"))
		for _, dir := range logs {
			os.RemoveAll(dir)
		}
		return len(logs) > 0
	}},
	{"stale reads", func(f *storm) bool {
		// For a while the driver sees the results as they were.
		seen, cells := filepath.Join(f.scratch, "..", "seen"), filepath.Join(f.dir, ".barograph/on/cells")
		os.RemoveAll(seen)
		if os.MkdirAll(cells, 0o777) != nil || os.CopyFS(seen, os.DirFS(cells)) != nil {
			return false // one was just being written
		}
		pid := strconv.Itoa(f.driver.Process.Pid)
		if exec.Command("nsenter", "-t", pid, "-m", "mount", "--bind", seen, cells).Run() != nil {
			return false // it has just ended
		}
		f.wait(1500)
		_ = exec.Command("nsenter", "-t", pid, "-m", "umount", "-l", cells).Run() // unless it has ended
		return true
	}},
}

func (f *storm) wait(most int) { time.Sleep(time.Duration(f.rng.IntN(most)) * time.Millisecond) }

func (f *storm) node() string { return []string{"n1", "n2"}[f.rng.IntN(2)] }

// agents are the numbers of the processes of those that run.
func (f *storm) agents() []int {
	return f.processes(func(pid int) bool {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		words := strings.Split(string(line), "\x00")
		return len(words) > 2 && words[1] == "cell-agent" && strings.HasPrefix(words[2], f.dir)
	})
}

// running is a job that runs, or nothing.
func (f *storm) running() string {
	out, _ := f.try("squeue", "-h", "--array", "-t", "R", "-o", "%i")
	ids := strings.Fields(out)
	if len(ids) == 0 {
		return ""
	}
	return ids[f.rng.IntN(len(ids))]
}

// drive starts a driver, with a view of the disk of its own.
func (f *storm) drive(round int) {
	f.Helper()
	f.said = &strings.Builder{}
	f.driver = exec.Command("unshare", "-m", "barograph", "run", "faulty", "--on", "lab", "--set", fmt.Sprint("round=", round))
	f.driver.Dir, f.driver.Env = f.dir, f.env
	f.driver.Stdout, f.driver.Stderr = f.said, f.said
	if err := f.driver.Start(); err != nil {
		f.Fatal(err)
	}
}

func (f *storm) lives() bool { return syscall.Kill(f.driver.Process.Pid, 0) == nil && !f.zombie() }

func (f *storm) zombie() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.driver.Process.Pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// Whatever is killed, lost, full, missing or late: the run ends well by itself, no
// result is of two attempts, each that came twice is reported, and what does not
// depend on the draw is what a run here makes. BAROGRAPH_FAULTS says how many to throw.
func TestFaults(t *testing.T) {
	t.Parallel()
	mounts(t)
	want := 12
	if n, err := strconv.Atoi(os.Getenv("BAROGRAPH_FAULTS")); err == nil {
		want = n
	}
	s := start(t)
	scratch := filepath.Join(s.dir, "scratch")
	if err := os.Mkdir(scratch, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := command(".", "mount", "-t", "tmpfs", "-o", "size=24m", "none", scratch); err != nil {
		t.Fatalf("a disk that can be filled: %v", err)
	}
	t.Cleanup(func() { _ = command(".", "umount", "-l", scratch) })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	f := &storm{folder: s.folder("jobs: 6\npack: 6\ntries: 1000\nscratch: " + scratch + "\n"), rng: rand.New(rand.NewPCG(seed, 0)), scratch: scratch, count: map[string]int{}}
	f.write("configs/faulty.yaml", faulty)
	f.must("doctor", "--on", "lab")
	rounds, thrown := 1, 0
	f.drive(rounds)
	for next := f.rng.Perm(len(faults)); thrown < want; {
		f.wait(700)
		f.resume()
		if !f.lives() {
			f.ended()
			rounds++
			f.drive(rounds)
			continue
		}
		if len(next) == 0 {
			next = f.rng.Perm(len(faults))
		}
		fault := faults[next[0]]
		if !fault.throw(f) {
			continue
		}
		next = next[1:]
		thrown++
		f.count[fault.name]++
		if fault.name == "driver killed" {
			f.drive(rounds)
		}
	}
	for end := time.Now().Add(4 * time.Minute); f.lives() && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		f.resume()
	}
	if f.lives() {
		t.Fatalf("the run does not end:\n%s\n%s", f.said, s.do("squeue", "--array", "-t", "all"))
	}
	f.ended()
	s.until(time.Minute, "end of all agents", func() bool { return len(f.agents()) == 0 })
	f.drive(rounds) // which reports what came late
	f.ended()
	for _, name := range slices.Sorted(maps.Keys(f.count)) {
		t.Logf("%3d %s", f.count[name], name)
	}
	f.judge(rounds)
}

// resume does what a site does with nodes that Slurm does not trust after they were
// lost: it takes them back.
func (f *storm) resume() {
	out, _ := f.try("sinfo", "-h", "-N", "-p", "main", "-t", "down,drain", "-o", "%N")
	for _, n := range strings.Fields(out) {
		_, _ = f.try("scontrol", "update", "NodeName="+n, "State=RESUME") // or at the next look
	}
}

// ended waits for the driver's end, which must be a good one.
func (f *storm) ended() {
	f.Helper()
	late := time.AfterFunc(5*time.Minute, func() { _ = f.driver.Process.Kill() })
	defer late.Stop()
	if err := f.driver.Wait(); err != nil {
		f.Fatalf("a run did not end well by itself: %v\n%s", err, f.said)
	}
	f.all += f.said.String()
}

// judge holds the store to a clean run's.
func (f *storm) judge(rounds int) {
	f.Helper()
	clean := f.slurm.folder("")
	clean.write("configs/faulty.yaml", faulty)
	for round := range rounds {
		clean.must("run", "faulty", "--set", fmt.Sprint("round=", round+1), "--jobs", "8")
	}
	drawn := regexp.MustCompile(`(?m)^.* faulty/drawn.*\n`)
	if a, b := drawn.ReplaceAllString(clean.results(), ""), drawn.ReplaceAllString(f.results(), ""); a != b {
		f.Errorf("the results differ:\nclean\n%s\nafter faults\n%s", a, b)
	}
	st, err := store.View(filepath.Join(f.dir, ".barograph/store"))
	if err != nil {
		f.Fatal(err)
	}
	n := 0
	for _, r := range st.Records() {
		if !strings.HasPrefix(r.Cell, "faulty/drawn") {
			continue
		}
		n++
		if len(r.Files) != 2 || r.Files[0].Digest != r.Files[1].Digest {
			f.Errorf("%s is of two attempts: %v", r.Cell, r.Files)
		}
	}
	if n != 24*rounds {
		f.Errorf("%d results of drawn cells, want %d", n, 24*rounds)
	}
	kept, _ := filepath.Glob(filepath.Join(f.dir, ".barograph/on/aside/*"))
	twice, _ := filepath.Glob(filepath.Join(f.dir, ".barograph/on/duplicates/*"))
	for _, aside := range kept {
		if !strings.Contains(f.said.String(), aside) {
			f.Errorf("%s is not reported:\n%s", aside, f.said)
		}
	}
	f.Logf("%d rounds; %d results came twice, of which %d differ; %d submitted again", rounds, len(twice), len(kept), strings.Count(f.all, "is submitted again"))
}
