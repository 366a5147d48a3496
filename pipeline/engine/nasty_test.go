package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/engine"
	"barograph/pipeline/store"
)

// A child that floods its log fills neither memory nor disk, and ends well.
func TestFloodedLog(t *testing.T) {
	w := newWorkspace(t, `stages: {x: {uses: command, run: 'head -c 50000000 /dev/zero | tr "\0" x; echo; echo the end; touch o', outputs: [o]}}`)
	res, _, err := w.run(engine.Options{})
	if err != nil || res.Counts[engine.Ran] != 1 {
		t.Fatal(err, res.Failures)
	}
	log := w.read(".barograph/logs/s/x.log")
	if len(log) > 17<<20 || !strings.Contains(log, "the log is cut here") {
		t.Errorf("the log has %d bytes, and ends in %.60q", len(log), log[len(log)-60:])
	}
}

// What a child leaves running is killed with it, also where it fled into a session
// of its own, and holds nothing up. The folder that it could still have written
// into is no other cell's.
func TestDaemons(t *testing.T) {
	dir := t.TempDir()
	w := newWorkspace(t, fmt.Sprintf(`
stages:
  stays: {uses: command, run: 'sleep 100 & echo $! > %[1]s/stays; touch a', outputs: [a]}
  flees: {uses: command, needs: [stays], run: 'pwd > %[1]s/folder; setsid sh -c "echo \$\$ > %[1]s/flees; sleep 100" & while ! test -s %[1]s/flees; do sleep 0.01; done; touch b', outputs: [b]}
  after: {uses: command, needs: [flees], run: 'pwd > c', outputs: [c]}
`, dir))
	start := time.Now()
	res, _, err := w.run(engine.Options{})
	if err != nil || res.Counts[engine.Ran] != 3 {
		t.Fatal(err, res.Failures)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a daemon held the run up for %v", took)
	}
	for _, name := range []string{"stays", "flees"} {
		pid := strings.TrimSpace(string(filetest.Read(t, filepath.Join(dir, name))))
		for patience := 3000; ; patience-- { // it was killed, but dies in its own time
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			if patience == 0 {
				t.Fatalf("%s: a background process of a cell that ended goes on: %s", name, stat)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if was := string(filetest.Read(t, filepath.Join(dir, "folder"))); was == w.read("c") {
		t.Errorf("a cell was given the folder %s, in which a daemon was", was)
	}
}

// Cells of one shape take turns in a folder, and find in it what they declare and
// nothing else: neither what the last one left, nor what a link in it leads to.
func TestFoldersAgain(t *testing.T) {
	outside := t.TempDir()
	filetest.Write(t, filepath.Join(outside, "kept"), "")
	w := newWorkspace(t, `
stages:
  x: {uses: command, matrix: {n: 6}, inputs: ['in/${{ n }}'], run: 'found=$(pwd; find . -mindepth 1); echo "$found" > out/${{ n }}; LEAVE; true', outputs: ['out/${{ n }}']}
`)
	leave := []string{"", "echo > scratch", "mkdir -p out/deep/er; touch out/deep/er/file", "rm -r in; ln -s " + outside + " in", "mkfifo in/pipe", ""}
	cases := ""
	for i, l := range leave {
		if l != "" {
			cases += fmt.Sprintf("if [ ${{ n }} = %d ]; then %s; fi; ", i+1, l)
		}
	}
	w.write("configs/s.yaml", strings.ReplaceAll(w.read("configs/s.yaml"), "LEAVE; ", cases))
	for i := range leave {
		w.write(fmt.Sprint("in/", i+1), "")
	}
	res, _, err := w.run(engine.Options{Jobs: 1})
	if err != nil || res.Counts[engine.Ran] != len(leave) {
		t.Fatal(err, res.Failures)
	}
	used := map[string]bool{}
	for i := range leave {
		dir, found, _ := strings.Cut(w.read(fmt.Sprint("out/", i+1)), "\n")
		used[dir] = true
		got := strings.Fields(found)
		slices.Sort(got)
		if want := []string{"./in", fmt.Sprint("./in/", i+1), "./out"}; !slices.Equal(got, want) {
			t.Errorf("cell %d found %q, want %q", i+1, got, want)
		}
	}
	if len(used) == len(leave) {
		t.Error("no folder served twice")
	}
	if _, err := os.Stat(filepath.Join(outside, "kept")); err != nil {
		t.Errorf("clearing a folder followed a link out of it: %v", err)
	}
}

// A child that ignores SIGTERM is killed after its grace.
func TestDeafChild(t *testing.T) {
	w := newWorkspace(t, `stages: {x: {uses: command, timeout: 200ms, run: "trap '' TERM; while :; do sleep 0.05; done", outputs: [o]}}`)
	start := time.Now()
	res, _, err := w.run(engine.Options{})
	if err != nil || len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), "no end after 200ms") {
		t.Fatal(err, res.Failures)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

// What a child writes outside its folder is no result: another cell's output
// that it tramples on is put right, and the store's objects are read-only files
// under other names.
func TestWritesOutside(t *testing.T) {
	w := newWorkspace(t, `
stages:
  good: {uses: command, run: 'echo good > good.txt', outputs: [good.txt]}
  then: {uses: command, needs: [good], run: 'touch t', outputs: [t]}
  evil: {uses: command, needs: [then], run: 'echo evil > ROOT/good.txt; echo evil > ROOT/stray.txt; touch o', outputs: [o]}
  last: {uses: command, needs: [good, evil], run: 'cp good.txt last.txt', outputs: [last.txt]}
`)
	w.write("configs/s.yaml", strings.ReplaceAll(w.read("configs/s.yaml"), "ROOT", w.root))
	res, _, err := w.run(engine.Options{})
	if err != nil || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0].Text, "good.txt was changed while the run went on; what was there is kept as ") {
		t.Fatal(err, res.Warnings)
	}
	_, kept, _ := strings.Cut(res.Warnings[0].Text, "kept as ")
	if got := string(filetest.Read(t, kept)); got != "evil\n" {
		t.Errorf("kept aside: %q", got)
	}
	_, _, err = w.run(engine.Options{})
	if err != nil || w.read("good.txt") != "good\n" || w.read("last.txt") != "good\n" {
		t.Errorf("after a second run good.txt is %q and last.txt %q: %v", w.read("good.txt"), w.read("last.txt"), err)
	}
	s, err := store.View(filepath.Join(w.root, ".barograph/store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, damage, err := s.Verify(); err != nil || len(damage) > 0 {
		t.Errorf("the store is damaged: %v, %v", damage, err)
	}
}

// A workspace on a disk of 4 MB: what does not fit fails its cell and says so,
// and once there is room the next run goes on.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		if errors.Is(err, syscall.EPERM) { // not root: as root of a namespace of our own, then
			self, _ := os.Executable()
			cmd := exec.Command(self, "-test.run", "^TestDiskFull$", "-test.v")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("in a namespace: %v\n%s", err, out)
			}
			return
		}
		t.Fatal(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	w := &workspace{t: t, root: dir}
	w.write("configs/machines/host.yaml", "name: host\ndevice: host\n")
	w.write("configs/s.yaml", `
study: s
machine: host
stages:
  small: {uses: command, run: 'echo small > small', outputs: [small]}
  large: {uses: command, needs: [small], run: 'head -c 1500000 /dev/zero > large', outputs: [large]}
  after: {uses: command, needs: [large], run: 'wc -c < large > after', outputs: [after]}
`)
	w.write("ballast", strings.Repeat("x", 2500000))
	res, _, err := w.run(engine.Options{})
	if err == nil && len(res.Failures) != 1 {
		t.Fatalf("%v, %v: want the full disk to fail the large cell", err, res.Failures)
	}
	if len(res.Failures) == 1 && !strings.Contains(strings.ToLower(fmt.Sprint(res.Failures[0].Err)), "no space left") {
		t.Errorf("the failure says %v", res.Failures[0].Err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "large")); err == nil && len(b) != 1500000 {
		t.Errorf("half an output was published, %d bytes", len(b))
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	res, sight, err := w.run(engine.Options{})
	if err != nil || len(res.Failures) > 0 || w.read("after") != "1500000\n" {
		t.Fatalf("with room again: %v, %v", err, res.Failures)
	}
	for _, id := range sight.starts {
		if id == "small" {
			t.Error("a cell was repeated that had been committed")
		}
	}
}

// A folder that cannot be written stops the run before anything is measured, and
// when it becomes so meanwhile, the result is kept.
func TestReadOnlyFolder(t *testing.T) {
	if os.Getuid() == 0 {
		readOnlyAsNobody(t)
		return
	}
	readOnly(t)
}

// readOnlyAsNobody runs the test again as a user whom permissions bind.
func readOnlyAsNobody(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "engine.test") // where that user can read it
	if out, err := exec.Command("cp", self, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-test.run", "^TestReadOnlyFolder$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func readOnly(t *testing.T) {
	w := newWorkspace(t, `
stages:
  a: {uses: command, run: 'echo a > a', outputs: [out/a]}
  b: {uses: command, needs: [a], run: 'true', outputs: [out/b]}
`)
	w.write("configs/s.yaml", strings.ReplaceAll(strings.ReplaceAll(w.read("configs/s.yaml"), "echo a > a", "echo a > out/a; chmod 500 "+w.root+"/out"), "'true'", "'echo b > out/b'"))
	out := filepath.Join(w.root, "out")
	if err := os.Mkdir(out, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(out, 0o700)
	_, sight, err := w.run(engine.Options{})
	if err == nil || !strings.Contains(err.Error(), "permission denied") || len(sight.starts) > 0 {
		t.Errorf("read-only from the beginning: %v, started %v", err, sight.starts)
	}
	os.Chmod(out, 0o700)
	res, _, err := w.run(engine.Options{})
	if err != nil || len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), "permission denied") {
		t.Fatalf("read-only meanwhile: %v, %v", err, res.Failures)
	}
	os.Chmod(out, 0o700)
	res, sight, err = w.runIn(context.Background(), engine.Options{}, nil)
	if err != nil || len(res.Failures) > 0 || len(sight.starts) != 1 || w.read("out/a") != "a\n" {
		t.Errorf("writable again: %v, %v, started %v: want only b", err, res.Failures, sight.starts)
	}
}

// The store may lie on another file system than the workspace.
func TestStoreElsewhere(t *testing.T) {
	w := newWorkspace(t, strings.Replace(chain, "> a.txt", "> out/a.txt", 1))
	elsewhere, err := os.MkdirTemp("/dev/shm", "store-")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(elsewhere)
	var here, there syscall.Stat_t
	if err := errors.Join(syscall.Stat(w.root, &here), syscall.Stat(elsewhere, &there), os.Mkdir(filepath.Join(w.root, ".barograph"), 0o777),
		os.Symlink(elsewhere, filepath.Join(w.root, ".barograph/store"))); err != nil || here.Dev == there.Dev {
		t.Skip("no other file system: ", err)
	}
	for _, want := range []engine.Status{engine.Ran, engine.Stood} {
		res, _, err := w.run(engine.Options{})
		if err != nil || res.Counts[want] != 5 {
			t.Fatalf("%v, %v, %v", err, res.Counts, res.Failures)
		}
	}
	if got, want := w.read("all.txt"), "one\n1\none\n2\none\n3\n"; got != want {
		t.Errorf("all.txt = %q, want %q", got, want)
	}
}
