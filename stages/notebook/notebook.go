// Package notebook runs notebooks: Go files at notebooks/<name>/main.go that
// read a study's measurements and leave tables, figures and verdicts.
//
// [Run] is the body of the kinds analyse and plot. In a process of its own, it
// checks the notebook with the compiler's own type checker, gives up what the
// process does not need, and interprets the file. It promises that a notebook
// which does not compile, panics, uses too much memory, reads or writes what is
// not its own, or leaves other files than were declared fails its cell, with the
// file, the line and a caret wherever one is known, and that nothing a notebook
// does outlives its process.
package notebook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sort"
	"strings"
	"time"

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/pipeline/source"
	"barograph/stages/notebook/script"
	"barograph/stages/notebook/symbols"
)

// With is the parameters of a notebook: any, since only the notebook knows
// which it takes. One that it never asks for is an error.
type With map[string]any

// NewWith returns no parameters, for Kind.With.
func NewWith() any { return &With{} }

// Identify names what, besides the notebook itself, decides its results: the
// functions it can call, and the interpreter.
func Identify(string, any) (map[string]string, error) {
	return map[string]string{"notebook functions": symbols.Digest}, nil
}

// Prepare checks the notebook of a cell that runs only after others, so that
// what does not compile is known before anything is measured.
func Prepare(_ context.Context, c *cell.Cell) error {
	_, err := script.Parse(c.Notebook, SourceName(&c.Spec))
	return script.Hinted(err)
}

// Run runs the notebook of a cell in a confined process, which a cell's own
// cannot be: it might have to start the compiler.
func Run(ctx context.Context, c *cell.Cell) error {
	p, err := Start(ctx, ".", os.Stderr)
	if err != nil {
		return err
	}
	spec := c.Spec
	spec.Kind = ByHand // the only one that the process serves
	comparison := Compare(ctx, &spec, ".")
	if err := p.Run(ctx, &spec, func(e cell.Event) {
		switch e.Type {
		case "progress":
			c.Progress(e.Done, e.Total, e.Text)
		case "warning":
			c.Warn("%s", e.Text)
		}
	}); err != nil {
		comparison.Drop()
		return err
	}
	compared, err := comparison.Result()
	if err != nil {
		return script.Hinted(err)
	}
	if !declares(&c.Spec, RecordFile) {
		return nil
	}
	r, err := ReadRecord(RecordFile)
	if err != nil {
		return err
	}
	r.Compared = compared
	return r.Keep(".")
}

// interpret interprets the notebook of a cell in this process, which is confined
// from then on.
func interpret(ctx context.Context, c *cell.Cell) error {
	name := SourceName(&c.Spec)
	s, err := script.Parse(c.Notebook, name)
	if err != nil {
		return script.Hinted(err)
	}
	events, err := prepare(&c.Spec, ".")
	if err != nil {
		return err
	}
	for name, value := range environment(".") {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	time.Local = time.UTC // TZ has been read
	if err := confine(&c.Spec); err != nil {
		return err
	}
	ctx, stop := limitMemory(ctx)
	defer stop()
	diary, err := keepDiary(events)
	if err != nil {
		return err
	}
	inputs := digestInputs(&c.Spec)
	if err := s.Interpret(ctx, io.MultiWriter(os.Stderr, diary), func(part int) {
		c.Progress(part, len(s.Cells), s.Cells[part].Title)
		diary.enter(part)
	}); err != nil {
		return script.Hinted(err)
	}
	if err := diary.close(); err != nil {
		return err
	}
	said, err := finish(&c.Spec, ".", events)
	if err != nil {
		return script.Hinted(fmt.Errorf("%s: %w", name, err))
	}
	for _, e := range said {
		if e.Type == "warning" {
			c.Warn("%s", e.Text)
		}
	}
	if !declares(&c.Spec, RecordFile) {
		return nil
	}
	r := newRecord(&c.Spec, s, said)
	if r.Inputs, err = inputs(); err != nil {
		return err
	}
	return r.write(".")
}

// SourceName is how messages call a notebook's file.
func SourceName(s *cell.Spec) string {
	if rel, err := filepath.Rel(s.Root, s.Notebook); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(filepath.Join(rel, script.File))
	}
	return filepath.Join(s.Notebook, script.File)
}

// The private folder of a notebook's run, below its working folder.
const (
	private  = ".notebook"
	specFile = "spec.json"
)

// environment returns the variables with which a notebook runs in a folder.
func environment(dir string) map[string]string {
	dir = filepath.Join(dir, private)
	return map[string]string{
		nb.Env:   filepath.Join(dir, specFile),
		"TMPDIR": dir,   // gonum's PDF writer makes font files
		"TZ":     "UTC", // the place of the machine must not show in results
	}
}

// prepare writes the specification where nb looks for it, and returns the file
// that events will go to.
func prepare(s *cell.Spec, dir string) (events string, err error) {
	dir = filepath.Join(dir, private)
	b, err := json.Marshal(s)
	if err == nil {
		err = os.MkdirAll(dir, 0o777)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, specFile), b, 0o666)
	}
	if err != nil {
		return "", fmt.Errorf("prepare the notebook: %w", err)
	}
	return filepath.Join(dir, nb.EventsFile), nil
}

// finish reads what a notebook that ended well has said, and compares what it
// did with what was asked of it. It removes the private folder.
func finish(s *cell.Spec, dir, events string) ([]nb.Event, error) {
	said, err := readEvents(events)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(dir, private)); err != nil {
		return nil, err
	}
	var asked []string
	for _, e := range said {
		if e.Type == "param" && !slices.Contains(asked, e.Text) {
			asked = append(asked, e.Text)
		}
	}
	sort.Strings(asked)
	var given With
	if len(s.With) > 0 {
		if err := json.Unmarshal(s.With, &given); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(asked, name) {
			hint := "it takes no parameters"
			if len(asked) > 0 {
				hint = "it takes " + strings.Join(asked, ", ")
			}
			if near := source.Nearest(name, asked); near != "" {
				hint = fmt.Sprintf("did you mean %q? ", near) + hint
			}
			return nil, cell.Hint(fmt.Errorf("the notebook never asks for the parameter %q", name), "%s", hint)
		}
	}
	return said, outputs(s, dir)
}

// readEvents reads what a notebook has said so far.
func readEvents(path string) ([]nb.Event, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the notebook called nothing of nb
	}
	if err != nil {
		return nil, err
	}
	var said []nb.Event
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	for {
		var e nb.Event
		err := d.Decode(&e)
		if err == io.EOF {
			return said, nil
		}
		if err != nil {
			return said, fmt.Errorf("read the notebook's events: %w", err)
		}
		said = append(said, e)
	}
}

// declares tells whether a notebook may write an output.
func declares(s *cell.Spec, name string) bool {
	return slices.Contains(s.Outputs, name) || free(s)
}

// free tells whether a notebook may write what it likes.
func free(s *cell.Spec) bool { return len(s.Outputs) == 1 && s.Outputs[0] == nb.Any }

// outputs compares the files in a folder with those declared. What stands for
// "nothing to say" is written where the notebook left it out: an empty summary,
// and no verdicts if there was no claim to judge.
func outputs(s *cell.Spec, dir string) error {
	found, err := FilesBelow(dir)
	if err != nil {
		return err
	}
	if free(s) {
		return nil
	}
	for _, name := range found {
		if !slices.Contains(s.Outputs, name) && !slices.Contains(s.Files, name) {
			return cell.Hint(fmt.Errorf("the notebook wrote %q, which the study does not declare", name), "add it to the stage's outputs:")
		}
	}
	for _, name := range s.Outputs {
		if slices.Contains(found, name) {
			continue
		}
		switch name {
		case RecordFile: // written last
		case nb.SummaryFile:
			err = os.WriteFile(filepath.Join(dir, name), nil, 0o666)
		case nb.VerdictsFile:
			err = os.WriteFile(filepath.Join(dir, name), []byte("[]\n"), 0o666)
		default:
			err = missing(name)
		}
		if err != nil {
			return err
		}
	}
	return judged(s, dir)
}

// missing says that a notebook has not written an output, and how it would.
func missing(name string) error {
	by, hint := "the study", "call nb.Text(%[1]q, ...), or take it from the stage's outputs:"
	switch filepath.Ext(name) {
	case ".svg", ".pdf", ".png":
		hint = "call nb.Save(figure, %[1]q), or take it from the stage's outputs:"
	case ".csv":
		hint = "call nb.Table(%[1]q, ...), or nb.Save for the numbers behind a figure"
	}
	if name == "summary.csv" {
		by, hint = "kind analyse", "a stage of kind analyse leaves a table: call nb.Table(%[1]q, ...); one that only draws is of kind plot"
	}
	return cell.Hint(fmt.Errorf("the notebook ended without writing %q, which %s declares", name, by), hint, name)
}

// FilesBelow returns the names of the files below a folder, sorted.
func FilesBelow(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	slices.Sort(names)
	return names, err
}

// judged tells which claim was left without a verdict.
func judged(s *cell.Spec, dir string) error {
	if !slices.Contains(s.Outputs, nb.VerdictsFile) {
		return nil
	}
	var verdicts []cell.Verdict
	if err := cell.ReadJSON(filepath.Join(dir, nb.VerdictsFile), &verdicts); err != nil {
		return err
	}
	for _, c := range s.Claims {
		if c.JudgedBy == s.Stage && !slices.ContainsFunc(verdicts, func(v cell.Verdict) bool { return v.ID == c.ID }) {
			return cell.Hint(fmt.Errorf("the notebook gave no verdict on claim %q, which its stage judges", c.ID),
				"call nb.Verdict(%q, ...)", c.ID)
		}
	}
	return nil
}

// limitMemory returns a context that ends when this process has grown too big.
// The limits that the runtime and the kernel enforce come after it, and end the
// process with nothing said that a user could use.
func limitMemory(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	debug.SetMemoryLimit(maxHeap) // garbage must not count
	go func() {
		used := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			metrics.Read(used)
			if used[0].Value.Uint64() > maxHeap {
				cancel(script.Excess(fmt.Sprintf("it holds more than %d MiB of memory", maxHeap>>20)))
			}
			if used[1].Value.Uint64() > maxStack {
				cancel(script.Excess("its functions call themselves without end"))
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
