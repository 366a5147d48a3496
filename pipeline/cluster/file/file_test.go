package file

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
)

func write(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	filetest.Write(t, filepath.Join(root, Folder, "lab.yaml"), text)
	return root
}

// What a cluster's file may not say is an error at its place.
func TestRead(t *testing.T) {
	f, err := Read(write(t, "engine: slurm\npartition: gpu\ntime: 90m\nextra: [--nice=5]\n"), "lab")
	if err != nil || f.Pack != 100 || time.Duration(f.Time) != 90*time.Minute || strings.Join(f.Flags(), " ") != "--partition=gpu --nice=5" {
		t.Errorf("%+v, %v", f, err)
	}
	for text, want := range map[string]string{
		"":                                              "the file is empty",
		"engine: pbs\n":                                 "1:9: engine: want one of slurm",
		"engine: slurm\nname: other\n":                  `2:7: cluster "other" in the file lab.yaml`,
		"engine: slurm\njobs: 0\n":                      "2:7: jobs: want at least 1",
		"engine: slurm\ntime: soon\n":                   "2:7: time: duration",
		"engine: slurm\ntime: 1s\n":                     "2:7: time: want at least 1m",
		"engine: slurm\npartition: -x\n":                "2:12: partition:",
		"engine: slurm\naccount: a b\n":                 "2:10: account:",
		"engine: slurm\ngres: gpu:2\n":                  "2:7: gres: want a kind",
		"engine: slurm\nscratch: tmp\n":                 "2:10: scratch:",
		"engine: slurm\nextra: [nice]\n":                `2:9: extra: "nice" is no flag`,
		"engine: slurm\nextra: [-J, -ofile]\n":          "2:9: extra: -J is what a run sets itself",
		"engine: slurm\nextra: [-ofile]\n":              "2:9: extra: -ofile is what a run sets itself",
		"engine: slurm\nsetup: [\"a\\nb\"]\n":           "2:9: setup: more than one line",
		"engine: slurm\npartitoin: gpu\n":               `did you mean "partition"?`,
		"engine: slurm\nsetup: module load x\n":         "2:8: setup: want",
		"engine: slurm\nengine: slurm\n":                "appears twice",
		"engine: slurm\npack: 1000000000000000000000\n": "2:7",
	} {
		_, err := Read(write(t, text), "lab")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	for _, name := range []string{"lba", "../lab", "a/b", ""} {
		if _, err := Read(write(t, "engine: slurm\n"), name); err == nil || !strings.Contains(err.Error(), "there is no file") {
			t.Errorf("cluster %q: %v", name, err)
		}
	}
}

// The example that the documents name is one that can be used.
func TestExample(t *testing.T) {
	if _, err := Read("../../..", "example"); err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("engine: slurm\nextra: [--a, -b]\nsetup: [x]\ngres: 'gpu:h100'\n")
	f.Add("engine: slurm\nextra: \"${{ ['a'] }}\"\nsetup: \"${{ ['a'] }}\"\n")
	f.Add("engine: slurm\nextra: --a\nsetup: 3\n")
	f.Add("engine: slurm\nextra: ${{ 1 }}\npack: ${{ 2 }}\n")
	f.Fuzz(func(t *testing.T, text string) {
		f, err := Read(write(t, text), "lab")
		if err == nil && (f.Pack < 1 || f.Jobs < 1 || f.Time < 0) {
			t.Errorf("%q gives %+v", text, f)
		}
	})
}
