package script_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/notebook/script"
	"barograph/stages/notebook/symbols"
)

// statusRefused is that of a program that is not run.
const statusRefused = 3

// An ending is how a program ended.
type ending struct {
	Status int
	Out    string // what it printed
	Said   string // to standard error
}

// A compiler compiles programs with the Go command's parts, which takes a fraction
// of its time, and keeps how they ended.
type compiler struct {
	packages string // the file that says where compiled packages are
	cache    string
}

// newCompiler returns a compiler of what notebooks may import of the standard
// library.
func newCompiler(t *testing.T) *compiler {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go command")
	}
	cache, err := cell.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	c := &compiler{packages: filepath.Join(t.TempDir(), "packages"), cache: filepath.Join(cache, "agree-gob", runtime.Version())}
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-export", "-deps", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"}, standard()...)...)
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	text, err := list.Output()
	if err = errors.Join(err, os.WriteFile(c.packages, text, 0o666), os.MkdirAll(c.cache, 0o777)); err != nil {
		t.Fatal(err)
	}
	return c
}

// standard lists the packages of the standard library that notebooks may import.
func standard() []string {
	return slices.DeleteFunc(symbols.Names(), func(path string) bool {
		first, _, _ := strings.Cut(path, "/")
		return first == "barograph" || strings.Contains(first, ".")
	})
}

// run compiles and runs a program, or tells how it ended before.
func (c *compiler) run(ctx context.Context, file string) (r ending, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	kept := filepath.Join(c.cache, fmt.Sprintf("%x", sha256.Sum256(text)))
	if b, err := os.ReadFile(kept); err == nil && gob.NewDecoder(bytes.NewReader(b)).Decode(&r) == nil {
		return r, nil
	}
	dir, err := os.MkdirTemp("", "barograph-agree-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	object, program := filepath.Join(dir, "o"), filepath.Join(dir, "program")
	for _, args := range [][]string{
		{"tool", "compile", "-p", "main", "-lang", script.Language, "-importcfg", c.packages, "-o", object, file},
		{"tool", "link", "-s", "-w", "-importcfg", c.packages, "-o", program, object},
	} {
		if said, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return ending{Status: -1, Said: string(said)}, nil
		}
	}
	if r, err = execute(ctx, program); err != nil {
		return r, err
	}
	var b bytes.Buffer // gob, which unlike JSON keeps what is no UTF-8
	if err = gob.NewEncoder(&b).Encode(r); err == nil {
		err = os.WriteFile(kept, b.Bytes(), 0o666)
	}
	return r, err
}

// interpreted interprets a program in a process of its own.
func interpreted(ctx context.Context, file string) (ending, error) {
	return execute(ctx, os.Args[0], "interpret", file)
}

// execute runs a program for at most some seconds, some minutes beside other work.
func execute(ctx context.Context, program string, args ...string) (ending, error) {
	limit := 20 * time.Second
	if *agreeing > 0 {
		limit = 5 * time.Minute
	}
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	var out, said bytes.Buffer
	p := exec.CommandContext(ctx, program, args...)
	p.Stdout, p.Stderr = &out, &said
	err := p.Run()
	if ctx.Err() != nil {
		return ending{}, context.Cause(ctx)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return ending{}, err
	}
	return ending{p.ProcessState.ExitCode(), out.String(), said.String()}, nil
}

// distribution returns the Go distribution's own test programs that a notebook
// could be: they are marked to be run, and import what notebooks may.
func distribution(t *testing.T) (root string, files []string) {
	text, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	root = filepath.Join(strings.TrimSpace(string(text)), "test")
	if _, serr := os.Stat(root); err != nil || serr != nil {
		t.Skip("the Go distribution's tests are not here")
	}
	marked, comment := regexp.MustCompile(`(?m)^// run\b`), regexp.MustCompile(`(?m)//.*$`)
	imports := regexp.MustCompile(`(?ms)^import\s*(?:\(.*?^\)|[^\n]*)`)
	quoted := regexp.MustCompile(`"([^"]+)"`)
	allowed := standard()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !marked.Match(text) {
			return err
		}
		for _, group := range imports.FindAll(comment.ReplaceAll(text, nil), -1) {
			for _, m := range quoted.FindAllSubmatch(group, -1) {
				if !slices.Contains(allowed, string(m[1])) {
					return nil
				}
			}
		}
		files = append(files, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, files
}

// Kinds of agreement.
const (
	same    = "prints the same"
	differs = "PRINTS SOMETHING ELSE"
	fails   = "RUNS, AND FAILS ITS OWN CHECKS"
	slow    = "is too slow: over 20 s"
	refused = "is refused: "
)

// agreement compares an interpreted program with the compiled one.
func agreement(ctx context.Context, file string, want ending) (kind, detail string) {
	got, err := interpreted(ctx, file)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return slow, ""
	case err != nil:
		return fails, err.Error()
	case got.Status == statusRefused:
		line, _, _ := strings.Cut(got.Said, "\n")
		_, reason, _ := strings.Cut(line, ": ")
		return refused + reason, got.Said
	case got.Status != want.Status && want.Status == 0:
		return fails, got.Said
	case got.Status != want.Status || got.Out != want.Out || want.Status == 0 && got.Said != want.Said:
		return differs, fmt.Sprintf("interpreted (%d)\n%.1000s%.500s\ncompiled (%d)\n%.1000s%.500s", got.Status, got.Out, got.Said, want.Status, want.Out, want.Said)
	}
	return same, ""
}

// TestDistribution interprets the Go distribution's own test programs: none may
// print something else than compiled, or fail by its own checks; what cannot be
// interpreted is refused before it runs.
func TestDistribution(t *testing.T) {
	if testing.Short() || raced() {
		t.Skip("interprets several hundred programs")
	}
	c := newCompiler(t)
	root, files := distribution(t)
	var mu sync.Mutex
	kinds := map[string]int{}
	work := make(chan string)
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for file := range work {
				want, err := c.run(t.Context(), file)
				if err != nil || want.Status != 0 {
					continue // it does not pass when compiled
				}
				kind, detail := agreement(t.Context(), file, want)
				if kind == differs || kind == fails {
					t.Errorf("%s %s:\n%s", file, kind, detail)
				}
				if rest, is := strings.CutPrefix(kind, refused); is {
					kind = refused + general(rest)
					if rel, err := filepath.Rel(root, file); err != nil || !strings.Contains(detail, rel+":") {
						t.Errorf("%s is refused without a place: %s", file, detail)
					}
				}
				mu.Lock()
				kinds[kind]++
				mu.Unlock()
			}
		})
	}
	for _, file := range files {
		work <- file
	}
	close(work)
	group.Wait()
	total := 0
	for _, n := range kinds {
		total += n
	}
	for _, kind := range slices.SortedFunc(maps.Keys(kinds), func(a, b string) int { return kinds[b] - kinds[a] }) {
		t.Logf("| %s | %d |", kind, kinds[kind])
	}
	if share := float64(kinds[same]) / float64(total); total < 500 || share < 0.85 {
		t.Errorf("%d programs, of which %.1f%% print the same; want 85%%", total, 100*share)
	}
}

// raced tells whether the race detector slows everything down.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// general leaves out of a refusal what is one program's.
func general(reason string) string {
	return regexp.MustCompile(`^(type )\S+|\d{3,}`).ReplaceAllString(reason, "${1}…")
}

// agreeing is how long TestAgree goes on.
var agreeing = flag.Duration("agree", 0, "compare new random programs for this `time`")

// TestAgree compares random programs, interpreted, with the compiled ones: a fixed
// few, or for as long as the flag says ones that differ from run to run.
func TestAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	c := newCompiler(t)
	n, open := 0, 0
	one := func(seed uint64) {
		if n++; !agree(t, c, seed, 20) {
			open++
		}
	}
	for seed := range uint64(6) {
		one(seed)
	}
	began := time.Now()
	for seed := uint64(began.Unix()) << 20; time.Since(began) < *agreeing; seed++ {
		one(seed)
	}
	t.Logf("%d programs, of which %d are refused for an order that Go leaves open", n, open)
	if open > n/5 {
		t.Error("that is more than one in five")
	}
}

// agree tells whether a random program is not refused for its order of evaluation,
// and if so compares it.
func agree(t *testing.T, c *compiler, seed uint64, functions int) bool {
	t.Helper()
	text := randomProgram(seed, functions)
	if refusal := script.Refused(text); refusal != nil && strings.Contains(refusal.Error(), "Go leaves") {
		return false
	}
	file := filepath.Join(t.TempDir(), "main.go")
	filetest.Write(t, file, text)
	want, err := c.run(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if want.Status != 0 {
		t.Fatalf("seed %d: the program ends with status %d: %s", seed, want.Status, want.Said)
	}
	switch kind, detail := agreement(t.Context(), file, want); kind {
	case same:
	case slow: // on a machine that does other things as well
		t.Logf("seed %d %s", seed, kind)
	default:
		t.Errorf("seed %d %s:\n%s", seed, kind, detail)
	}
	return true
}
