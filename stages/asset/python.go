package asset

import (
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/cell"
)

//go:embed python.txt
var pythonPackages string

var (
	pythons = []string{"3.11", "3.12", "3.13", "3.14"} // those python.txt has hashes for
	arches  = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
)

// PythonPath returns a folder for PYTHONPATH that gives the python3 on PATH the
// packages onnx, onnxruntime (of version [RuntimeVersion]) and numpy, all
// pinned, whatever else that Python has installed. It fetches them if need be.
func PythonPath(ctx context.Context, log func(string)) (path string, err error) {
	out, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		return "", cell.Hint(fmt.Errorf("ask python3 for its version: %w", err), "install Python %s or newer", pythons[0])
	}
	version := strings.TrimSpace(string(out))
	if !slices.Contains(pythons, version) {
		return "", cell.Hint(fmt.Errorf("python3 is Python %s, for which no packages are pinned", version),
			"put a Python from %s to %s first on PATH", pythons[0], pythons[len(pythons)-1])
	}
	arch, ok := arches[runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("no Python packages are pinned for %s", runtime.GOARCH)
	}
	a := Asset{Name: "python-" + version, Requirements: pythonPackages, Python: version}
	// pip does not infer that an older platform tag is served by a newer one.
	for _, tag := range []string{"manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17", "manylinux2014"} {
		a.Platforms = append(a.Platforms, tag+"_"+arch)
	}
	return Fetch(ctx, a, log)
}
