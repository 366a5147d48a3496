package cli_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cli"
)

// The test binary is the program, with shell lines as its only kind.
func TestMain(m *testing.M) {
	if os.Getenv("CLI_TEST_PROGRAM") != "" {
		os.Exit(cli.Main(os.Args[1:], kinds, func() cell.GPUs { return cell.GPUs{Physical: func(device string) string { return device }} }, nil, nil, cell.Drawing{}))
	}
	os.Exit(m.Run())
}

var kinds = cell.NewKinds(&cell.Kind{Name: "command", Version: "1", Script: true, With: func() any { return &struct{}{} }})

// A folder is a workspace, driven as a user does.
type folder struct {
	testing.TB
	dir string
}

func (f folder) write(name, text string) {
	f.Helper()
	filetest.Write(f, filepath.Join(f.dir, name), text)
}

func (f folder) read(name string) string {
	f.Helper()
	return string(filetest.Read(f, filepath.Join(f.dir, name)))
}

func (f folder) command(args ...string) *exec.Cmd {
	f.Helper()
	self, err := os.Executable()
	if err != nil {
		f.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "CLI_TEST_PROGRAM=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// run runs the program to its end and returns its status and all it said.
func (f folder) run(args ...string) (int, string) {
	f.Helper()
	out, err := f.command(args...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode(), string(out)
	} else if err != nil {
		f.Fatal(err)
	}
	return 0, string(out)
}

// A study of 50 cells in four layers. Each appends its name to a journal as it
// begins, which no honest cell may do and which shows what was started. Those of twice
// are started without a shell.
const fifty = `
study: fifty
params: {epoch: 0}
stages:
  seed:  {uses: command, matrix: {n: 20}, run: 'echo "seed[n=${{ n }}]" >> JOURNAL; sleep 0.00${{ n % 10 }}; echo ${{ epoch }} ${{ n }} > s${{ n }}', outputs: ['s${{ n }}']}
  twice: {uses: command, matrix: {n: 20}, needs: [seed], inputs: [twice], run: 'sh twice ${{ n }} > t${{ n }}', outputs: ['t${{ n }}']}
  sum:   {uses: command, matrix: {m: 9}, needs: [twice], run: 'echo "sum[m=${{ m }}]" >> JOURNAL; cat t${{ m }} t${{ m + 9 }} t20 > u${{ m }}', outputs: ['u${{ m }}']}
  all:   {uses: command, needs: [sum], run: 'echo all >> JOURNAL; cat u1 u2 u3 u4 u5 u6 u7 u8 u9 > all.txt', outputs: [all.txt]}
`

const twice = `echo "twice[n=$1]" >> JOURNAL; cat s$1 s$1; sleep 0.00$((9 - $1 % 10))
`

func wantFifty(epoch int) string {
	var b strings.Builder
	for m := 1; m <= 9; m++ {
		for _, n := range []int{m, m, m + 9, m + 9, 20, 20} {
			fmt.Fprintf(&b, "%d %d\n", epoch, n)
		}
	}
	return b.String()
}

var ran = regexp.MustCompile(`(?m)^\[\d+/\d+\] (\S+) ran in`)

// Runs are killed with SIGKILL at random moments. Nobody helps: the next run
// goes on. What a run reported done is never run again, what it calls up to date
// is right, and no process outlives it. "make soak" kills 200 runs.
func TestKills(t *testing.T) {
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("BAROGRAPH_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	f := folder{t, t.TempDir()}
	journal := filepath.Join(t.TempDir(), "journal")
	f.write("configs/fifty.yaml", strings.ReplaceAll(fifty, "JOURNAL", journal))
	f.write("twice", strings.ReplaceAll(twice, "JOURNAL", journal))
	started := func() []string {
		b, _ := os.ReadFile(journal)
		filetest.Write(t, journal, "")
		return strings.Fields(string(b))
	}
	var whole time.Duration // that an undisturbed run takes
	done := map[string]bool{}
	interventions, wrong, needless, began := 0, 0, 0, 0
	defer func() {
		t.Logf("%d kills, %d cells started: %d interventions, %d false up to date, %d needless repeats", kills, began, interventions, wrong, needless)
	}()
	for epoch, killed := 0, 0; killed < kills; epoch++ {
		clear(done)
		for {
			cmd := f.command("run", "--jobs", "3", "--set", fmt.Sprint("epoch=", epoch), "configs/fifty.yaml")
			var said bytes.Buffer
			cmd.Stderr = &said
			start := time.Now()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if whole > 0 && killed < kills {
				timer := time.AfterFunc(time.Duration(rng.Int64N(int64(whole))), func() { _ = cmd.Process.Kill() })
				defer timer.Stop()
			}
			err := cmd.Wait()
			for _, id := range started() {
				began++
				if done[id] {
					needless++
					t.Errorf("epoch %d: %s was started again after a run had said that it ran", epoch, id)
				}
			}
			for _, m := range ran.FindAllStringSubmatch(said.String(), -1) {
				done[m[1]] = true
			}
			if err == nil {
				whole = max(whole, time.Since(start))
				break
			}
			if state := cmd.ProcessState.Sys().(syscall.WaitStatus); !state.Signaled() {
				interventions++
				t.Fatalf("epoch %d, after %d kills: the run ended by itself: %v\n%s", epoch, killed, err, said.String())
			}
			killed++
			alive(t, f.dir)
		}
		if f.read("all.txt") != wantFifty(epoch) {
			wrong++
			t.Errorf("epoch %d: a run said that all is done, but all.txt holds\n%s", epoch, f.read("all.txt"))
		}
		if code, out := f.run("verify"); code != 0 {
			wrong++
			t.Errorf("epoch %d: verify: %s", epoch, out)
		}
		if code, out := f.run("run", "--set", fmt.Sprint("epoch=", epoch), "configs/fifty.yaml"); code != 0 || !strings.Contains(out, "50 stood") {
			t.Errorf("epoch %d: the run after: %d\n%s", epoch, code, out)
		}
		if again := started(); len(again) > 0 {
			needless += len(again)
			t.Errorf("epoch %d: a second run started %v", epoch, again)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(f.dir, ".*~")); len(left) > 0 {
		t.Errorf("half copies left in the workspace: %v", left)
	}
}

// alive waits until no process works below a folder any more: the kernel kills
// the children of a killed run, but not at the same instant.
func alive(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for range 3000 {
		left = left[:0]
		links, _ := filepath.Glob("/proc/[0-9]*/cwd")
		for _, l := range links {
			if cwd, err := os.Readlink(l); err == nil && strings.HasPrefix(cwd, dir+"/.barograph/tmp") {
				cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(l), "cmdline"))
				left = append(left, strings.ReplaceAll(string(cmdline), "\x00", " "))
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("processes outlive a killed run: %q", left)
}

// What a cell has started dies with a killed run, in whatever session it is, and
// without another run.
func TestGuard(t *testing.T) {
	f := folder{t, t.TempDir()}
	fled := filepath.Join(t.TempDir(), "fled")
	f.write("configs/s.yaml", "study: s\nstages: {x: {uses: command, run: 'setsid sh -c \"sleep 300 & echo \\$! > "+fled+"; wait\" & sleep 300', outputs: [o]}}\n")
	cmd := f.command("run", "configs/s.yaml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := ""
	waitFor(t, "the cell to start something", func() bool {
		b, _ := os.ReadFile(fled)
		pid = strings.TrimSpace(string(b))
		return pid != ""
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says that it was killed
	waitFor(t, "process "+pid+" to die with the killed run", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// The guard of a killed run may come late, when the next one has begun: that is
// none of its business.
func TestLateGuard(t *testing.T) {
	f := folder{t, t.TempDir()}
	out := t.TempDir()
	f.write("configs/s.yaml", "study: s\nparams: {turn: 1}\nstages: {x: {uses: command, run: 'touch "+out+"/begun${{ turn }}; until test -e "+out+"/go; do sleep 0.01; done; touch o', outputs: [o]}}\n")
	begun := func(turn string) func() bool {
		return func() bool {
			_, err := os.Stat(filepath.Join(out, "begun"+turn))
			return err == nil
		}
	}
	first, second := f.command("run", "configs/s.yaml"), f.command("run", "--set", "turn=2", "configs/s.yaml")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first run's cell to begin", begun("1"))
	guard := 0
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		if b, _ := os.ReadFile(l); strings.Contains(string(b), "\x00guard\x00"+f.dir) {
			guard, _ = strconv.Atoi(filepath.Base(filepath.Dir(l)))
		}
	}
	if guard == 0 {
		t.Fatal("the run has no guard")
	}
	if err := errors.Join(syscall.Kill(guard, syscall.SIGSTOP), first.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it says that it was killed
	var said bytes.Buffer
	second.Stderr = &said
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the second run's cell to begin", begun("2"))
	if err := syscall.Kill(guard, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the guard to end", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", guard))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	filetest.Write(t, filepath.Join(out, "go"), "")
	if err := second.Wait(); err != nil {
		t.Errorf("the second run: %v\n%s", err, said.String())
	}
}

func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for range 3000 {
		if happened() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}

// The time for which a run was stopped counts for no cell's timeout.
func TestStoppedAndContinued(t *testing.T) {
	f := folder{t, t.TempDir()}
	begun := filepath.Join(t.TempDir(), "begun")
	f.write("configs/s.yaml", "study: s\nstages: {x: {uses: command, matrix: {n: 4}, timeout: 3s, run: 'touch "+begun+"; sleep 2; touch o${{ n }}', outputs: ['o${{ n }}']}}\n")
	cmd := f.command("run", "--jobs", "4", "configs/s.yaml")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a cell to begin", func() bool {
		_, err := os.Stat(begun)
		return err == nil
	})
	time.Sleep(300 * time.Millisecond) // the others
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
}

// Two runs at once in one folder do the work once, and the one that waits says
// for whom.
func TestTwoRunsAtOnce(t *testing.T) {
	f := folder{t, t.TempDir()}
	journal := filepath.Join(t.TempDir(), "journal")
	f.write("configs/s.yaml", "study: s\nstages: {x: {uses: command, run: 'echo x >> "+journal+"; sleep 0.5; touch o', outputs: [o]}}\n")
	first, second := f.command("run", "configs/s.yaml"), f.command("run", "configs/s.yaml")
	var said bytes.Buffer
	second.Stderr = &said
	pipe, err := first.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err := os.Stat(journal); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := second.Run(); err != nil {
		t.Errorf("the second run: %v\n%s", err, said.String())
	}
	for s := bufio.NewScanner(pipe); s.Scan(); {
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first run: %v", err)
	}
	if want := fmt.Sprintf("waiting for another run in this folder: process %d ", first.Process.Pid); !strings.Contains(said.String(), want) {
		t.Errorf("the second run said %q, want %q", said.String(), want)
	}
	if b, _ := os.ReadFile(journal); string(b) != "x\n" {
		t.Errorf("the cell was started %d times", bytes.Count(b, []byte("\n")))
	}
}
