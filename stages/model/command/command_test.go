package command

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"barograph/pipeline/cell"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"model": func() {
		cmd := Command()
		cmd.SilenceErrors = true
		cmd.PersistentFlags().String("root", "", "")
		if err := cmd.Execute(); err != nil {
			fmt.Fprintln(os.Stderr, "barograph:", err)
			var h *cell.Error
			if errors.As(err, &h) {
				fmt.Fprintln(os.Stderr, "hint:", h.Hint)
			}
			os.Exit(1)
		}
	}})
}

func TestCommands(t *testing.T) {
	config, err := os.ReadFile("../testdata/bert-small.yaml")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("BAROGRAPH_CACHE", e.WorkDir+"/cache")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else every command under the race detector takes a second to end
			dir := e.WorkDir + "/work/configs/models"
			return errors.Join(os.MkdirAll(dir, 0o777), os.Mkdir(e.WorkDir+"/work/deep", 0o777),
				os.WriteFile(dir+"/bert-small.yaml", config, 0o666))
		},
	})
}
