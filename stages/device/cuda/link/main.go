// Link prepares what the build with GPU support compiles and links against, on a
// machine that may have neither a GPU nor a CUDA toolkit, and prints the
// environment that `go build -tags cuda` needs.
//
// Headers are those below $CUDA_HOME if that is set, else those of a pinned
// wheel. The driver is not linked: a small library, libcuda.a, stands in for it,
// and opens libcuda.so.1 when the program starts. So the program also starts
// where there is no driver, and can say so.
//
// Usage: env $(go run ./stages/device/cuda/link DIR) go build -tags cuda ...
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/stages/asset"
)

//go:embed cuda.h.in
var shim []byte

//go:embed driver.c.in
var driver string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: link DIR")
		os.Exit(2)
	}
	env, err := prepare(ctx, os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "link:", err)
		if hint := cell.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
	for _, line := range env {
		fmt.Println(line)
	}
}

// prepare fills dir, and returns lines NAME=value without spaces in a value,
// such as a shell passes on unquoted.
func prepare(ctx context.Context, dir string) (env []string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if strings.ContainsAny(dir, " \t") {
		return nil, fmt.Errorf("the folder %q has a space in its path, which CGO_CFLAGS cannot say", dir)
	}
	headers, err := headers(ctx)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(headers, "cuda.h"))
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("read the CUDA headers: %w", err), "set CUDA_HOME to a toolkit, or unset it to fetch a pinned header")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	toolkit := filepath.Join(dir, "toolkit")
	if err := os.Remove(toolkit); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := os.Symlink(headers, toolkit); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "cuda.h"), shim, 0o666); err != nil {
		return nil, err
	}
	source := filepath.Join(dir, "driver.c")
	if err := os.WriteFile(source, []byte(driverSource(functions(string(text)))), 0o666); err != nil {
		return nil, err
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	object, library := filepath.Join(dir, "driver.o"), filepath.Join(dir, "libcuda.a")
	if err := os.Remove(library); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, argv := range [][]string{
		append(strings.Fields(cc), "-O2", "-fPIC", "-Wall", "-Werror", "-c", "-o", object, source),
		{"ar", "rcs", library, object},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return nil, cell.Hint(fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out), "a C compiler and binutils are needed")
		}
	}
	return []string{"CGO_CFLAGS=-I" + dir, "CGO_LDFLAGS=-L" + dir}, nil
}

// headers returns the folder that holds cuda.h.
func headers(ctx context.Context) (string, error) {
	if home := os.Getenv("CUDA_HOME"); home != "" {
		return filepath.Abs(filepath.Join(home, "include"))
	}
	return asset.CUDAHeaders(ctx, func(line string) { fmt.Fprintln(os.Stderr, "link:", line) })
}

var (
	called  = regexp.MustCompile(`\b(cu[A-Z][A-Za-z0-9_]*)\s*\(`)
	defined = regexp.MustCompile(`(?m)^\s*#\s*define\s+(cu[A-Z][A-Za-z0-9_]*)\s+(?:__CUDA_API_PT[SDZ]+\()?(cu[A-Z][A-Za-z0-9_]*)`)
	version = regexp.MustCompile(`_v[0-9]+$`)
)

// functions lists the driver's functions that a header names, with every older
// version of each. Names that no driver has do no harm.
func functions(header string) []string {
	set := map[string]bool{}
	add := func(name string) {
		set[name] = true
		set[version.ReplaceAllString(name, "")] = true
		set[version.ReplaceAllString(name, "")+"_v2"] = true
	}
	for _, m := range called.FindAllStringSubmatch(header, -1) {
		add(m[1])
	}
	for _, m := range defined.FindAllStringSubmatch(header, -1) {
		add(m[1])
		add(m[2])
	}
	delete(set, "cuInit") // driver.c has its own
	return slices.Sorted(maps.Keys(set))
}

// jumps are the instructions of a function that goes on at the address in a
// slot, arguments untouched, by GOARCH.
var jumps = map[string]string{
	"amd64": `jmp *barograph_slots+%d(%%rip)`,
	"arm64": `adrp x16, barograph_slots+%[1]d\n\tldr x16, [x16, :lo12:barograph_slots+%[1]d]\n\tbr x16`,
}

// driverSource writes the functions, and the table they jump through, before
// what fills that table.
func driverSource(names []string) string {
	var b strings.Builder
	b.WriteString("/* Written by stages/device/cuda/link. */\n")
	fmt.Fprintf(&b, "#define COUNT %d\n__attribute__((visibility(\"hidden\"))) void *barograph_slots[COUNT];\n", len(names))
	b.WriteString("static const char *const names[COUNT] = {\n")
	for _, name := range names {
		fmt.Fprintf(&b, "\t%q,\n", name)
	}
	b.WriteString("};\n")
	for i, name := range names {
		fmt.Fprintf(&b, "__asm__(\".text\\n.globl %[1]s\\n.type %[1]s, %%function\\n%[1]s:\\n\\t%[2]s\\n.size %[1]s, .-%[1]s\\n\");\n", name, fmt.Sprintf(jumps[runtime.GOARCH], 8*i))
	}
	return b.String() + driver
}
