package asset

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
)

// old is a real ONNX Runtime, from before the API the binding asks for.
func old(t *testing.T) (lib string) {
	t.Helper()
	pin := map[string][2]string{
		"amd64": {"x86_64", "bb71a814f66517a65628c9e4a2bb530a6edd2cd5d87ffa0af0f6f773a027d99e"},
		"arm64": {"aarch64", "f1f56e898815963d6dc4ee1c35fc6c36506466eff6d16f3cb9848cea4e8c8172"},
	}[runtime.GOARCH]
	member := "onnxruntime/capi/libonnxruntime.so.1.20.1"
	dir, err := Fetch(t.Context(), Asset{
		Name:         "onnxruntime-1.20.1",
		Requirements: "onnxruntime==1.20.1 --hash=sha256:" + pin[1] + "\n",
		Python:       "3.12",
		Platforms:    []string{"manylinux_2_28_" + pin[0], "manylinux_2_27_" + pin[0]},
		Members:      []string{member},
	}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, member)
}

// compile makes a shared library from C.
func compile(t *testing.T, source string) (lib string) {
	t.Helper()
	lib = filepath.Join(t.TempDir(), "lib.so")
	cmd := exec.Command("cc", "-shared", "-fPIC", "-x", "c", "-o", lib, "-")
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return lib
}

func TestRuntime(t *testing.T) {
	t.Setenv("ONNXRUNTIME_LIB", "")
	lib, err := Runtime(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	version, sha, err := RuntimeIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if v, err := LibraryVersion(lib); err != nil || v != version || v != RuntimeVersion {
		t.Errorf("version %q, %v, want %s", v, err, version)
	}
	if sum, err := cell.Sum(lib); err != nil || sum != sha {
		t.Errorf("digest %s, %v, want %s", sum, err, sha)
	}
	// The same file by way of the environment has the same identity.
	t.Setenv("ONNXRUNTIME_LIB", lib)
	if v, s, err := RuntimeIdentity(); err != nil || v != version || s != sha {
		t.Errorf("identity of $ONNXRUNTIME_LIB: %s, %s, %v", v, s, err)
	}
	if again, err := Runtime(t.Context(), nil); err != nil || again != lib {
		t.Errorf("runtime of $ONNXRUNTIME_LIB: %s, %v", again, err)
	}
}

func TestRuntimeAltered(t *testing.T) {
	t.Setenv("ONNXRUNTIME_LIB", "")
	lib, err := Runtime(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := filetest.Read(t, lib)
	cache, err := cell.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(cache, lib)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	mine := filepath.Join(os.Getenv("BAROGRAPH_CACHE"), rel)
	b[len(b)/2] ^= 1
	filetest.Write(t, mine, b)
	if _, err := Runtime(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "altered") {
		t.Errorf("an altered library: %v", err)
	}
}

func TestWrongLibrary(t *testing.T) {
	good := compile(t, "int dial(void) { return 1013; }")
	elf := filetest.Read(t, good)
	write := func(b []byte) string {
		name := filepath.Join(t.TempDir(), "file")
		filetest.Write(t, name, b)
		return name
	}
	sparc := bytes.Clone(elf)
	sparc[18], sparc[19] = 43, 0 // e_machine
	tests := []struct{ name, lib, want string }{
		{"no file", filepath.Join(t.TempDir(), "none.so"), "no such file"},
		{"a folder", t.TempDir(), "no shared library"},
		{"text", write([]byte("no library at all")), "no shared library"},
		{"empty", write(nil), "no shared library"},
		{"cut short", write(elf[:len(elf)/4]), "no shared library"},
		{"another processor", write(sparc), "not a shared library for"},
		{"another library", good, "no ONNX Runtime"},
		// Loaded and called, this one would end the process.
		{"a lookalike", compile(t, "void *OrtGetApiBase(void) { return (void *)8; }"), "no ONNX Runtime"},
		{"an old one", old(t), "ONNX Runtime 1.20.1, older than 1.29.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("ONNXRUNTIME_LIB", tt.lib)
			_, err := Runtime(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.lib) {
				t.Errorf("error %v, want one with %q and the file's name", err, tt.want)
			}
			var h *cell.Error
			if !errors.As(err, &h) || !strings.Contains(h.Hint, MinRuntime) {
				t.Errorf("no hint with %s: %v", MinRuntime, err)
			}
			if _, _, err := RuntimeIdentity(); err == nil {
				t.Error("it has an identity")
			}
			if _, _, err := Check().Run(""); err == nil {
				t.Error("doctor is content with it")
			}
		})
	}
}

func TestPythonPath(t *testing.T) {
	path, err := PythonPath(t.Context(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", `
import onnx, onnx.checker, onnxruntime, numpy, os
assert all(os.path.realpath(m.__file__).startswith(os.environ["PYTHONPATH"]) for m in (onnx, onnxruntime, numpy))
print(onnxruntime.__version__)`)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+path)
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != RuntimeVersion {
		t.Errorf("python3 prints %q, %v; want %s", got, err, RuntimeVersion)
	}
}

// Whatever bytes stand in the file, the answer is a version or an error.
func FuzzLibraryVersion(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "lib.so")
		filetest.Write(t, name, b)
		if v, err := LibraryVersion(name); (v == "") != (err != nil) {
			t.Errorf("version %q, error %v", v, err)
		}
	})
}

// What is in the cache needs no pip, and doctor knows.
func TestCheckFetched(t *testing.T) {
	t.Setenv("ONNXRUNTIME_LIB", "")
	if _, err := Runtime(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	if found, hint, err := Check().Run(""); found != RuntimeVersion+", fetched" || hint != "" || err != nil {
		t.Errorf("doctor says %q, %q, %v", found, hint, err)
	}
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	if _, _, err := Check().Run(""); err == nil || !strings.Contains(err.Error(), "no pip") {
		t.Errorf("without a cache, doctor says %v", err)
	}
}
