// Package acceptance tests Barograph from outside, as its users meet it: the
// program on the project's own studies, the documents, the pages in a browser.
package acceptance

import (
	"os"
	"path/filepath"
	"testing"

	"barograph/pipeline/cli"
	"barograph/stages"

	"github.com/rogpeppe/go-internal/testscript"
)

// project is the project's folder, seen from this one.
const project = "../../.."

// TestMain makes the test's own binary stand for the program on PATH.
func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
	testscript.Main(m, map[string]func(){"barograph": func() {
		os.Exit(cli.Main(os.Args[1:], stages.Kinds(), stages.GPUs, stages.Commands(), stages.Checks(), stages.Drawing()))
	}})
}

// Each script drives the program as a user does, with the project's own
// studies, notebooks and models, and the real ONNX Runtime.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(project)
	if err != nil {
		t.Fatal(err)
	}
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
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BAROGRAPH_CACHE", cache)
			env.Setenv("ONNXRUNTIME_LIB", os.Getenv("ONNXRUNTIME_LIB"))
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Setenv("HOME", env.WorkDir)
			for _, dir := range []string{"configs", "notebooks"} {
				if err := os.CopyFS(filepath.Join(env.WorkDir, dir), os.DirFS(filepath.Join(root, dir))); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
