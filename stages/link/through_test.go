package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/device/mps"
	"barograph/stages/kind/stress"
)

// standIn answers as MPS's daemon does, until it is told to end.
const standIn = `#!/bin/sh
if [ "$1" = -f ]; then
	: >"$CUDA_MPS_PIPE_DIRECTORY/control"
	while [ -e "$CUDA_MPS_PIPE_DIRECTORY/control" ]; do sleep 0.02; done
	exit 0
fi
read -r command
[ -e "$CUDA_MPS_PIPE_DIRECTORY/control" ] || exit 1
case $command in quit*) rm "$CUDA_MPS_PIPE_DIRECTORY/control" ;; esac
`

// TestMain makes this program the child that measures, or that runs the study.
func TestMain(m *testing.M) {
	if said := os.Getenv(ran); said != "" && len(os.Args) > 1 && os.Args[1] == "run" {
		fmt.Println(said)
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "cell" {
		if cell.Serve(cell.NewKinds(stub, stress.Kind()), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		return
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
	os.Exit(m.Run())
}

// stub measures nothing, and tells what its parent has to pass on.
var stub = &cell.Kind{
	Name: "link", With: func() any { return &With{} },
	Run: func(_ context.Context, c *cell.Cell) error {
		_, err := os.Stat(filepath.Join(os.Getenv("CUDA_MPS_PIPE_DIRECTORY"), "control"))
		c.Say("capacity")
		c.Warn("during %s, daemon %v", c.During, err)
		if c.Machine.Name == "faulty" {
			return cell.Hint(errors.New("no link"), "find one")
		}
		return os.WriteFile(summary, []byte("measured"), 0o666)
	},
}

// A child of the cell measures while the daemon runs; what it says is passed on, and so
// is why it failed. The daemon's folder is gone afterwards.
func TestThrough(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "nvidia-cuda-mps-control"), []byte(standIn), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for machine, want := range map[string]string{
		"good":   "",
		"faulty": `{"type":"error","text":"no link","hint":"find one"}` + "\n",
	} {
		t.Setenv("TMPDIR", t.TempDir())
		for name, v := range mps.Environ("card", true) {
			t.Setenv(name, v)
		}
		t.Chdir(t.TempDir())
		var out bytes.Buffer
		keeper := &cell.Kind{Name: "link", With: func() any { return &With{} }, Run: through}
		in := strings.NewReader(fmt.Sprintf(`{"kind":"link","id":"card","with":{"sharing":"mps"},"machine":{"name":%q,"device":"cuda"}}`+"\n", machine))
		err := cell.Serve(cell.NewKinds(keeper), in, &out)
		want = `{"type":"progress","text":"capacity"}` + "\n" + `{"type":"warning","text":"during card, daemon \u003cnil\u003e"}` + "\n" + want
		if (err != nil) != (machine == "faulty") || out.String() != want {
			t.Errorf("%s: %v, said %s", machine, err, out.String())
		}
		if _, err := os.Stat(summary); (err == nil) != (machine == "good") {
			t.Errorf("%s: the child's file: %v", machine, err)
		}
		if _, err := os.Stat(filepath.Dir(os.Getenv("CUDA_MPS_PIPE_DIRECTORY"))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the daemon's folder: %v", machine, err)
		}
	}
}
