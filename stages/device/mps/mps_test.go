package mps

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cell/scratch"
)

// control stands in for NVIDIA's program: a daemon in the foreground that answers
// once its pipe is there and ends when it is told to, or one that fails.
const standIn = `#!/bin/sh
pipe=$CUDA_MPS_PIPE_DIRECTORY
if [ "$1" = -f ]; then
	[ ! -e "$FAILS" ] || { echo "no GPU" >&2; exit 1; }
	: >"$pipe/control"
	while [ -e "$pipe/control" ]; do sleep 0.02; done
	exit 0
fi
read -r command
[ -e "$pipe/control" ] || exit 1
[ ! -e "$pipe/busy" ] || { mv "$pipe/busy" "$pipe/once" && echo "another asks" >&2; exit 1; }
[ ! -e "$pipe/once" ] || { rm "$pipe/once"; exit 1; }
case $command in
quit*) rm "$pipe/control" ;;
get_server_list) echo 17; echo 18 ;;
"get_client_list 18") cat "$pipe/clients" ;;
esac
`

func install(t *testing.T) {
	defer func(was time.Duration) { t.Cleanup(func() { patience = was }) }(patience)
	patience = 500 * time.Millisecond
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, control), []byte(standIn), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir())
	for name, v := range Environ("infer[level=1]", true) {
		t.Setenv(name, v)
	}
}

// A daemon has folders of its trial's own, answers when Start returns, and is gone
// with its folders after Stop.
func TestDaemon(t *testing.T) {
	install(t)
	dir, left := filepath.Dir(os.Getenv(pipe)), scratch.Path("mps-of-a-run-that-was-killed")
	if err := os.MkdirAll(filepath.Join(left, "pipe"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask("get_server_list"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	scratch.Sweep() // as another run does
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the daemon's folder: %v", err)
	}
	for clients, want := range map[string]bool{"4\n": false, fmt.Sprintf("4\n%d\n", os.Getpid()): true} {
		filetest.Write(t, filepath.Join(os.Getenv(pipe), "clients"), clients)
		for _, busy := range []bool{false, true} {
			if busy {
				filetest.Write(t, filepath.Join(os.Getenv(pipe), "busy"), "")
			}
			if serves, err := Serves(); serves != want || err != nil {
				t.Errorf("with clients %q: %v, %v", clients, serves, err)
			}
		}
	}
	leaving := filepath.Join(os.Getenv(pipe), "clients")
	go func() {
		time.Sleep(50 * time.Millisecond)
		os.WriteFile(leaving, nil, 0o666)
	}()
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := Serves(); err == nil || !strings.Contains(err.Error(), "ask MPS for its servers: exit status 1") {
		t.Errorf("no daemon: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	select {
	case <-d.ended:
	default:
		t.Error("the daemon goes on")
	}
}

func TestDaemonFails(t *testing.T) {
	install(t)
	t.Setenv("FAILS", "/")
	if _, err := Start(t.Context()); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("a daemon that ends at once: %v", err)
	}
	t.Setenv(pipe, "")
	if _, err := Start(t.Context()); err == nil || !strings.Contains(err.Error(), pipe) {
		t.Errorf("without a folder: %v", err)
	}
}

func TestLacks(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := Lacks(); err == nil || cell.HintOf(err) == "" {
		t.Errorf("no program: %v", err)
	}
	install(t)
	if err := Lacks(); err != nil {
		t.Error(err)
	}
}

// Trials have folders apart, and one that wants no daemon looks where none is.
func TestEnviron(t *testing.T) {
	a, b, none := Environ("a", true), Environ("b", true), Environ("a", false)
	if a[pipe] == b[pipe] || a[pipe] == none[pipe] || a[logs] == "" || len(a[pipe]) > 80 {
		t.Errorf("%v, %v, %v", a, b, none)
	}
	if _, err := os.Stat(none[pipe]); !os.IsNotExist(err) {
		t.Errorf("%s: %v", none[pipe], err)
	}
}
