// Package acceptance tests Barograph from outside, as its users meet it: the
// program on the project's own studies, the documents, the pages in a browser.
package acceptance

import (
	"os"
	"path/filepath"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cli"
	"barograph/stages"
	"barograph/stages/device/nvml"

	"github.com/rogpeppe/go-internal/testscript"
)

// The program, and one on a computer with a GPU that no machine file knows.
const (
	program = "barograph"
	onZ9    = "barograph-z9"
)

// TestMain makes the test's own binary stand for the program on PATH, and lets the
// tests run in the project's folder.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
	if name := filepath.Base(os.Args[0]); name != program && name != onZ9 {
		if err := os.Chdir("../../.."); err != nil {
			panic(err)
		}
	}
	with := func(gpus func() cell.GPUs) func() {
		return func() {
			os.Exit(cli.Main(os.Args[1:], stages.Kinds(), gpus, stages.Commands(), stages.Checks(), stages.Drawing()))
		}
	}
	testscript.Main(m, map[string]func(){program: with(stages.GPUs), onZ9: with(z9)})
}

// z9 are the GPUs of a computer with one whose driver tells of its link. What is
// measured on it is simulated.
func z9() cell.GPUs {
	return cell.GPUs{List: []cell.GPU{{Name: "NVIDIA Z9"}}, Machine: func(string) (cell.Machine, error) {
		return cell.Machine{Name: "nvidia-z9", Device: "sim", Description: "NVIDIA Z9, PCIe Gen4 x8", Link: nvml.Link(4, 8)}, nil
	}}
}

// Each script drives the program as a user does, with the project's own
// studies, notebooks and models, and the real ONNX Runtime.
func TestScripts(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("BAROGRAPH_CACHE"); dir != "" {
		cache = dir
	} else {
		cache = filepath.Join(cache, "barograph")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "pipeline/cli/acceptance/testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BAROGRAPH_CACHE", cache)
			env.Setenv("ONNXRUNTIME_LIB", os.Getenv("ONNXRUNTIME_LIB"))
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("HOME", env.WorkDir)
			for _, dir := range []string{"configs", "notebooks"} {
				if err := os.CopyFS(filepath.Join(env.WorkDir, dir), os.DirFS(dir)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
