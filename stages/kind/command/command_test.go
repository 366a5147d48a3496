package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell"
)

// The test program is a cell when it is asked to be one.
func TestMain(m *testing.M) {
	if os.Getenv("BE_A_CELL") == "" {
		os.Exit(m.Run())
	}
	if cell.Serve(cell.NewKinds(Kind()), os.Stdin, os.Stdout) != nil {
		os.Exit(1)
	}
}

// start starts a cell that runs a shell line in dir.
func start(t *testing.T, dir, line string) (p *exec.Cmd, events, log *bytes.Buffer) {
	t.Helper()
	spec, err := json.Marshal(cell.Spec{
		ID: "make", Kind: "command", With: json.RawMessage("{}"), Script: line, Env: map[string]string{"LEVEL": "four words of text"},
	})
	if err != nil {
		t.Fatal(err)
	}
	events, log = &bytes.Buffer{}, &bytes.Buffer{}
	p = exec.Command(os.Args[0])
	p.Dir, p.Stdin, p.Stdout, p.Stderr = dir, bytes.NewReader(append(spec, '\n')), events, log
	p.Env = append(os.Environ(), "BE_A_CELL=1")
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p, events, log
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name, line string
		fails      string // part of the error event
		log        string
		left       map[string]string
	}{
		{name: "reads and writes", line: "tr a-z A-Z < in.txt > out.txt; echo done", log: "done\n", left: map[string]string{"out.txt": "HELLO\n"}},
		{name: "environment", line: `printf %s "$LEVEL" > out.txt`, left: map[string]string{"out.txt": "four words of text"}},
		{name: "no input", line: "cat > out.txt", left: map[string]string{"out.txt": ""}},
		{name: "status", line: "echo why >&2; exit 3", fails: "exit status 3", log: "why\n"},
		{name: "first failure ends it", line: "false; touch out.txt", fails: "exit status 1"},
		{name: "syntax", line: "if", fails: "exit status 2"},
		{name: "killed", line: "kill -9 $$", fails: "signal: killed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/in.txt", []byte("hello\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			p, events, log := start(t, dir, test.line)
			err := p.Wait()
			if (err != nil) != (test.fails != "") {
				t.Fatalf("%v\n%s%s", err, events, log)
			}
			if test.fails != "" {
				var e cell.Event
				if err := json.Unmarshal(events.Bytes(), &e); err != nil || e.Type != "error" || !strings.Contains(e.Text, test.fails) || e.Hint == "" {
					t.Errorf("event %s", events)
				}
			} else if events.Len() > 0 {
				t.Errorf("printed on standard output, which is for events: %s", events)
			}
			if test.log != "" && log.String() != test.log {
				t.Errorf("log %q, want %q", log, test.log)
			}
			if _, err := os.Stat(dir + "/out.txt"); (err == nil) != (test.left != nil) {
				t.Errorf("out.txt: %v", err)
			}
			for name, want := range test.left {
				if got, err := os.ReadFile(dir + "/" + name); err != nil || string(got) != want {
					t.Errorf("%s is %q (%v), want %q", name, got, err, want)
				}
			}
		})
	}
}

// A launcher stops a cell by its group; nothing of the shell line is left.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	p, events, _ := start(t, dir, "sleep 60 & echo $! > pid; wait")
	var pid []byte
	for deadline := time.Now().Add(5 * time.Second); len(pid) == 0; time.Sleep(5 * time.Millisecond) {
		if pid, _ = os.ReadFile(dir + "/pid"); time.Now().After(deadline) {
			t.Fatal("the line did not start")
		}
	}
	if err := syscall.Kill(-p.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err == nil {
		t.Error("a stopped line ended well")
	}
	if !strings.Contains(events.String(), "signal: terminated") {
		t.Errorf("events %s", events)
	}
	deadline := time.Now().Add(5 * time.Second)
	for alive(strings.TrimSpace(string(pid))) {
		if time.Now().After(deadline) {
			t.Fatalf("sleep, process %s, outlived its cell", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// alive tells whether a process runs; one that only waits to be reaped does not.
func alive(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	_, state, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(state, "Z")
}
