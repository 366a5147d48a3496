package record

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"

	"pgregory.net/rapid"
)

// sealed writes files to a new folder and seals it.
func sealed(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		filetest.Write(t, filepath.Join(dir, name), content)
	}
	if err := WriteSums(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestVerifyNamesEachFile(t *testing.T) {
	dir := sealed(t, map[string]string{"a": "1", "b/c": "2", "d": "3", "e": "4"})
	if err := Verify(dir); err != nil {
		t.Fatalf("a fresh seal is broken: %v", err)
	}
	filetest.Write(t, filepath.Join(dir, "a"), "changed")
	filetest.Write(t, filepath.Join(dir, "b/new"), "5")
	if err := os.Remove(filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	err := Verify(dir)
	if err == nil {
		t.Fatal("nothing found")
	}
	for _, want := range []string{"damaged: a:", "not listed: b/new", "missing: d"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), ": e") || strings.Contains(err.Error(), "b/c") {
		t.Errorf("names a sound file: %v", err)
	}
	var hint *cell.Error
	if !errors.As(err, &hint) || hint.Hint == "" {
		t.Error("no hint")
	}
}

func TestVerifyNotAFolder(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if err := Verify(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Verify(%q) = %v", dir, err)
		}
	}
	if err := WriteSums(t.TempDir()); err == nil {
		t.Error("an empty folder was sealed")
	}
}

// Below finds every recording once, whatever links lead to it and whatever the folder is
// called, and none inside another; what holds measurements and no seal is named.
func TestBelow(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a[1]*")
	for _, name := range []string{"one", "study/two", "study/three", "de/ep/er"} {
		filetest.Write(t, filepath.Join(root, name, Run), "{}")
		if err := WriteSums(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	filetest.Write(t, filepath.Join(root, "one", "part", Run), "{}")
	filetest.Write(t, filepath.Join(root, "link", "h100.json"), "{}")
	for name, to := range map[string]string{"again": ".", "a": "study", "study/alias": "two", "nowhere": "none", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Below(root)
	if want := []string{filepath.Join(root, "one"), filepath.Join(root, "study/three"), filepath.Join(root, "study/two")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, name := range []string{"one", "none", "", "link"} { // itself a recording, or nothing
		if name != "" {
			name = filepath.Join(root, name)
		}
		if got, err := Below(name); err != nil || len(got) > 0 {
			t.Errorf("below %q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{Run, Samples, Samples + Packed} {
		dir := filepath.Join(root, "study", "open")
		filetest.Write(t, filepath.Join(dir, name), "x")
		if _, err := Below(root); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir+"\"") {
			t.Errorf("%s alone: %v", name, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// Names are what Open would read, wherever they stand in the file.
func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		`{"schema": 1, "study": "s", "order": ["a"], "machine": {"name": "m"}, "samples": [`: "s m",
		`{"machine": {"device": "sim", "name": "m"}, "x": {"study": "no"}, "Study": "s"}`:    "s m",
		`{"study": "s"}`: "", `{}`: "", `[]`: "", ``: "", `{"study": 1, "machine": {"name": "m"}}`: "", `{"study": "s", "machine": {`: "",
	} {
		dir := t.TempDir()
		filetest.Write(t, filepath.Join(dir, Run), text)
		study, machine, err := Names(dir)
		if (err == nil) != (want != "") || err == nil && study+" "+machine != want {
			t.Errorf("%s: %q, %q, %v", text, study, machine, err)
		}
	}
}

// The tool that the format is for must agree, odd names included.
func TestSha256sumAgrees(t *testing.T) {
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Fatal("sha256sum, of coreutils, is needed:", err)
	}
	dir := sealed(t, map[string]string{"plain": "1", "two words": "", `back\slash`: "2", "new\nline": "3", "cr\rhere": "4", " *x": "5"})
	cmd := exec.Command(tool, "--check", "--strict", Sums)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	cmd = exec.Command("sh", "-c", "find . -type f ! -name "+Sums+" -print0 | sed -z 's|^./||' | xargs -0 sha256sum > "+Sums)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := Verify(dir); err != nil {
		t.Errorf("what sha256sum wrote: %v", err)
	}
}

func TestSealSurvivesAnyByteChange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringMatching(`[ -.0-~]{1,20}`).Filter(func(s string) bool { return s != "." && s != ".." && s != Sums }).Draw(rt, "name")
		content := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(rt, "content")
		dir := sealed(t, map[string]string{name: string(content)})
		if err := Verify(dir); err != nil {
			rt.Fatalf("fresh: %v", err)
		}
		at := rapid.IntRange(0, len(content)-1).Draw(rt, "at")
		content[at] ^= rapid.ByteRange(1, 255).Draw(rt, "flip")
		filetest.Write(t, filepath.Join(dir, name), string(content))
		if Verify(dir) == nil {
			rt.Fatal("a changed byte went unseen")
		}
	})
}

func TestParseSumsErrors(t *testing.T) {
	sum := strings.Repeat("0", 64)
	for in, want := range map[string]string{
		"":                                      "is empty",
		"abc  x\n":                              ":1: want 64",
		sum + "  a\n" + sum + " a\n":            ":2: want 64",
		strings.Repeat("z", 64) + "  x\n":       "is no SHA-256",
		sum + "  ../x\n":                        "below the folder",
		sum + "  /etc/passwd\n":                 "below the folder",
		sum + "  a/../b\n":                      "below the folder",
		sum + "  a\n" + sum + " *a\n":           "stands twice",
		`\` + sum + "  a\n" + sum + "  a\n":     "stands twice",
		sum + "  " + strings.Repeat("a", 1<<20): "too long",
	} {
		if _, err := ParseSums([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseSums(%.80q) = %v, want %q", in, err, want)
		}
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("0", 64) + "  name\n"))
	f.Add([]byte(`\` + strings.Repeat("aB", 32) + " *a\\nb\\\\\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sums, err := ParseSums(b)
		if (err == nil) == (len(sums) == 0) {
			t.Fatalf("%d sums and error %v", len(sums), err)
		}
		// What was read, written again, reads the same.
		var again bytes.Buffer
		for _, s := range sums {
			if !filepath.IsLocal(s.Name) {
				t.Fatalf("%q leaves the folder", s.Name)
			}
			again.WriteString(`\` + s.SHA + "  " + quote.Replace(s.Name) + "\n")
		}
		if err == nil {
			twice, err := ParseSums(again.Bytes())
			if err != nil || len(twice) != len(sums) {
				t.Fatalf("%v after writing %q", err, again.Bytes())
			}
			for i := range sums {
				if sums[i] != twice[i] {
					t.Fatalf("%q became %q", sums[i], twice[i])
				}
			}
		}
	})
}

func TestOpen(t *testing.T) {
	const head = `{"schema": 1, "study": "paper", "seed": 18446744073709551615, "machine": {"name": "host", "device": "host"}}`
	r, err := Open(sealed(t, map[string]string{Samples: "level\n", Run: head}))
	if err != nil {
		t.Fatal(err)
	}
	if r.Study != "paper" || r.Machine.Name != "host" || r.Seed != 1<<64-1 {
		t.Errorf("read %+v", r.Head)
	}
	for want, files := range map[string]map[string]string{
		"its schema is 2":                          {Samples: "", Run: `{"schema": 2}`},
		"names no study":                           {Samples: "", Run: `{"schema": 1, "study": "x"}`},
		"run.json: no such file":                   {Samples: ""},
		"samples.csv: no such":                     {Run: head},
		`run.json: its study "../../evil" is`:      {Samples: "", Run: `{"schema": 1, "study": "../../evil", "machine": {"name": "host"}}`},
		`run.json: its machine "../../../../evil"`: {Samples: "", Run: `{"schema": 1, "study": "x", "machine": {"name": "../../../../evil"}}`},
		`its machine "." is no name`:               {Samples: "", Run: `{"schema": 1, "study": "x", "machine": {"name": "."}}`},
		`its machine "a/b" is no name`:             {Samples: "", Run: `{"schema": 1, "study": "x", "machine": {"name": "a/b"}}`},
		`its machine "a\nb" is no name`:            {Samples: "", Run: `{"schema": 1, "study": "x", "machine": {"name": "a\nb"}}`},
		`its machine "\x1b[31m" is no name`:        {Samples: "", Run: `{"schema": 1, "study": "x", "machine": {"name": "\u001b[31m"}}`},
		"run.json:1:12: unexpected end of JSON":    {Samples: "", Run: `{"schema": 1`},
		"cannot unmarshal string":                  {Samples: "", Run: `{"schema": "1"}`},
	} {
		if _, err := Open(sealed(t, files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %q", err, want)
		}
	}
}

// No run writes among what came with the workspace, and no machine's results take
// the place of another's, whatever a study calls them.
func TestPlace(t *testing.T) {
	for name, want := range map[string]string{
		"figures/f.svg":           "results/figures/s/m/f.svg",
		"figures/s/f.svg":         "results/figures/s/m/f.svg",
		"figures/s/m/f.svg":       "results/figures/s/m/f.svg",
		"figures/other/f.svg":     "results/figures/s/m/other/f.svg",
		"data/s/m/samples.csv":    "results/data/s/m/samples.csv",
		"data/words.txt":          "results/data/s/m/words.txt",
		"data":                    "data",
		"notes/figures/f.svg":     "notes/figures/f.svg",
		"results/figures/own.svg": "results/figures/own.svg",
	} {
		if got := Place("s", "m", name); got != want {
			t.Errorf("%s goes to %s, want %s", name, got, want)
		}
	}
}
