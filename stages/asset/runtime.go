package asset

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"barograph/pipeline/cell"

	"golang.org/x/mod/semver"
)

const runtimeMember = "onnxruntime/capi/libonnxruntime.so." + RuntimeVersion

// Runtime returns the path of an ONNX Runtime library that can be loaded:
// $ONNXRUNTIME_LIB if it is set, else the one already fetched, else the one in
// the pinned wheel, which it fetches. Whichever it is has been found to be an
// ONNX Runtime for this machine, of a version that serves.
func Runtime(ctx context.Context, log func(string)) (lib string, err error) {
	if lib = os.Getenv("ONNXRUNTIME_LIB"); lib != "" {
		if lib, err = filepath.Abs(lib); err != nil {
			return "", err
		}
		if _, err := LibraryVersion(lib); err != nil {
			return "", fmt.Errorf("ONNXRUNTIME_LIB: %w", err)
		}
		return lib, nil
	}
	a, library, err := pinnedRuntime()
	if err != nil {
		return "", err
	}
	return fetchRuntime(ctx, a, library, log)
}

// A pin fixes a wheel, by platform and SHA-256, and the SHA-256 of the library within.
type pin struct{ platform, wheel, library string }

// pinnedRuntime returns the asset that holds the library, and the library's
// SHA-256.
func pinnedRuntime() (a Asset, library string, err error) {
	pin, ok := runtimes[runtime.GOARCH]
	if !ok {
		return a, "", cell.Hint(fmt.Errorf("no ONNX Runtime is pinned for %s", runtime.GOARCH),
			"set ONNXRUNTIME_LIB to a library of version %s or newer", MinRuntime)
	}
	return Asset{
		Name:         "onnxruntime-" + RuntimeVersion,
		Requirements: "onnxruntime==" + RuntimeVersion + " --hash=sha256:" + pin.wheel + "\n",
		Python:       "3.12",
		Platforms:    []string{pin.platform},
		Members:      []string{runtimeMember, "onnxruntime/capi/libonnxruntime_providers_shared.so"},
	}, pin.library, nil
}

// fetchRuntime fetches a wheel and holds the library in it against its digest.
func fetchRuntime(ctx context.Context, a Asset, want string, log func(string)) (lib string, err error) {
	dir, err := Fetch(ctx, a, log)
	if err != nil {
		return "", err
	}
	lib = filepath.Join(dir, filepath.FromSlash(runtimeMember))
	sum, err := Digest(lib)
	if err != nil {
		return "", cell.Hint(err, "remove %s to fetch it again", dir)
	}
	if sum != want {
		return "", cell.Hint(fmt.Errorf("%s has SHA-256 %s, not %s: it has been altered", lib, sum, want), "remove %s to fetch it again", dir)
	}
	return lib, nil
}

// RuntimeIdentity returns the version and the SHA-256, in hexadecimal, of the
// library that [Runtime] returns, without fetching it.
func RuntimeIdentity() (version, sha string, err error) {
	if lib := os.Getenv("ONNXRUNTIME_LIB"); lib != "" {
		if version, err = LibraryVersion(lib); err == nil {
			sha, err = Digest(lib)
		}
		if err != nil {
			return "", "", fmt.Errorf("ONNXRUNTIME_LIB: %w", err)
		}
		return version, sha, nil
	}
	_, library, err := pinnedRuntime()
	return RuntimeVersion, library, err
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// LibraryVersion reads the version of an ONNX Runtime library off its symbol
// table: the library exports OrtGetApiBase under the symbol version VERS_1.31.1.
// Nothing is loaded, so a file that is something else, is for another processor,
// or is too old is an error and never a crash.
func LibraryVersion(lib string) (version string, err error) {
	advice := "an ONNX Runtime library of version " + MinRuntime + " or newer is needed; without ONNXRUNTIME_LIB one is fetched"
	f, err := elf.Open(lib)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", cell.Hint(err, "%s", advice)
		}
		return "", cell.Hint(fmt.Errorf("%s is no shared library: %w", lib, err), "%s", advice)
	}
	defer f.Close()
	if want, ok := machines[runtime.GOARCH]; f.Type != elf.ET_DYN || ok && f.Machine != want {
		return "", cell.Hint(fmt.Errorf("%s is %v for %v, not a shared library for %s", lib, f.Type, f.Machine, runtime.GOARCH), "%s", advice)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return "", cell.Hint(fmt.Errorf("%s is no ONNX Runtime: %w", lib, err), "%s", advice)
	}
	for _, s := range symbols {
		if s.Name == "OrtGetApiBase" && s.Section != elf.SHN_UNDEF {
			version, _ = strings.CutPrefix(s.Version, "VERS_")
		}
	}
	if version == "" {
		return "", cell.Hint(fmt.Errorf("%s is no ONNX Runtime: it exports no OrtGetApiBase with a version", lib), "%s", advice)
	}
	if semver.Compare("v"+version, "v"+MinRuntime) < 0 {
		return "", cell.Hint(fmt.Errorf("%s is ONNX Runtime %s, older than %s", lib, version, MinRuntime), "%s", advice)
	}
	return version, nil
}

// Check is doctor's line on the ONNX Runtime. It fetches nothing.
func Check() cell.Check {
	return cell.Check{Name: "ONNX Runtime", Run: func(string) (found, hint string, err error) {
		version, _, err := RuntimeIdentity()
		if err != nil {
			return "", "", err
		}
		if lib := os.Getenv("ONNXRUNTIME_LIB"); lib != "" {
			return version + " from " + lib, "", nil
		}
		if a, _, err := pinnedRuntime(); err == nil {
			if dir, err := a.dir(); err == nil && isDir(dir) {
				return version + ", fetched", "", nil
			}
		}
		if _, err := findPip(context.Background()); err != nil {
			return "", "", err
		}
		return version + ", through pip when first needed", "", nil
	}}
}
