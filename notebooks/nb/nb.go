// Package nb is what a notebook sees: its inputs, parameters and outputs, and
// the helpers that keep loops over samples in compiled code.
//
// A notebook is notebooks/<name>/main.go, an ordinary package main. The engine
// interprets it; `go run` compiles the same file, and both get the same answer.
// Either way $BAROGRAPH_NOTEBOOK names a file that holds the [cell.Spec], which
// says what the notebook may read and must write:
//
//	samples := nb.Samples("samples.csv")
//	for _, level := range samples.By("level") {
//		fmt.Println(level.Label, level.Len())
//	}
//
// Functions do not return errors: what goes wrong ends the notebook with an
// [Error], which is shown with the notebook's file, line and column. Names of
// inputs are those their stages gave them, or the last part where that is
// unambiguous. Outputs must be declared by the study; writing another is an
// error.
package nb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"barograph/pipeline/cell"
	"barograph/pipeline/source"
	"barograph/stages/notebook/heap"
	"barograph/stages/recording"
)

// Env is the environment variable that names the file with the specification.
const Env = "BAROGRAPH_NOTEBOOK"

// EventsFile is the file, beside the specification, to which a notebook's
// events go as JSON lines.
const EventsFile = "events.jsonl"

// Any is the one entry of a specification's outputs that declares every file.
const Any = "*"

// An Error ends a notebook. It is raised by the functions of this package.
type Error struct {
	Call string // for example Frame("samples.csv")
	Err  error
}

func (e *Error) Error() string { return "nb." + e.Call + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// An Event is one line of [EventsFile]: something that a notebook did.
type Event struct {
	// Type is param, table, figure, text, summary, verdict, note or warning; the
	// runner adds part, where a cell begins, and print.
	Type string `json:"type"`
	// Text is what was said: the name of a param, the paragraph of a summary, the
	// text of a note, a warning or a print, the index of a part.
	Text string `json:"text,omitempty"`
	// Files are the outputs that were written, by name.
	Files []string `json:"files,omitempty"`
	// Value is what a param was found to be.
	Value   any           `json:"value,omitempty"`
	Verdict *cell.Verdict `json:"verdict,omitempty"`
}

// A call is what an [Error] names: a function of this package, and what it was
// called with.
type call struct {
	function string
	args     []any
}

func (c call) String() string {
	args := make([]string, len(c.args))
	for i, a := range c.args {
		switch a.(type) {
		case string, []string:
			args[i] = fmt.Sprintf("%q", a)
		default:
			args[i] = fmt.Sprint(a)
		}
	}
	return c.function + "(" + strings.Join(args, ", ") + ")"
}

func called(function string, args ...any) call { return call{function, args} }

// check ends the notebook if there is an error. Of a column that is not there it
// says which one may be meant.
func (c call) check(err error) {
	if err == nil {
		return
	}
	if none := (*recording.NoColumnError)(nil); errors.As(err, &none) && cell.HintOf(err) == "" {
		err = meant(err, none.Name, none.There)
	}
	panic(&Error{c.String(), err})
}

// meant adds to an error the known word that is nearest to one which is not known.
func meant(err error, word string, known []string) error {
	if near := source.Nearest(word, known); near != "" {
		return cell.Hint(err, "did you mean %q?", near)
	}
	return err
}

// An attempt is what a function returned that may fail.
type attempt[T any] struct {
	value T
	err   error
}

func try[T any](value T, err error) attempt[T] { return attempt[T]{value, err} }

// or returns the value, or ends the notebook in the call of a function.
func (a attempt[T]) or(function string, args ...any) T {
	called(function, args...).check(a.err)
	return a.value
}

// A book is the open specification and what was written so far.
type book struct {
	cell.Spec
	params   map[string]any
	events   *os.File
	begun    map[string]bool // text outputs that this run has written to
	verdicts []cell.Verdict
}

var (
	opening sync.Once
	current *book
	openErr error
)

// open returns the notebook's specification, read on first use.
func (c call) open() *book {
	opening.Do(func() {
		heap.Spare()
		current, openErr = read(os.Getenv(Env))
	})
	c.check(openErr)
	return current
}

func read(path string) (*book, error) {
	if path == "" {
		return nil, cell.Hint(fmt.Errorf("no specification: $%s is not set", Env),
			"start the notebook with `barograph notebook run`")
	}
	line, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the specification: %w", err)
	}
	b := &book{begun: map[string]bool{}, verdicts: []cell.Verdict{}}
	if err := json.Unmarshal(line, &b.Spec); err != nil {
		return nil, fmt.Errorf("read the specification %s: %w", path, err)
	}
	if len(b.With) > 0 {
		numbers := json.NewDecoder(bytes.NewReader(b.With))
		numbers.UseNumber() // float64 would round whole ones beyond 2^53
		if err := numbers.Decode(&b.params); err != nil {
			return nil, fmt.Errorf("read the parameters in %s: %w", path, err)
		}
	}
	b.events, err = os.OpenFile(filepath.Join(filepath.Dir(path), EventsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	return b, err
}

// emit writes an event.
func (b *book) emit(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = b.events.Write(append(line, '\n'))
	return err
}

// Study returns the study's name.
func Study() string { return called("Study").open().Spec.Study }

// Machine returns the machine that was measured.
func Machine() cell.Machine { return called("Machine").open().Spec.Machine }

// Claims returns the claims that this notebook's stage judges, in the study's
// order.
func Claims() []cell.Claim {
	b := called("Claims").open()
	return slices.DeleteFunc(slices.Clone(b.Spec.Claims), func(c cell.Claim) bool { return c.JudgedBy != b.Stage })
}

// Seed returns the cell's seed, for resampling that can be repeated.
func Seed() uint64 { return called("Seed").seed() }

func (c call) seed() uint64 { return c.open().Spec.Seed }

// Warn reports doubt about a result: it is shown at the end of the run, and
// does not fail the notebook.
func Warn(format string, args ...any) { called("Warn", format).say("warning", format, args) }

// Note reports something worth a line beside the results.
func Note(format string, args ...any) { called("Note", format).say("note", format, args) }

func (c call) say(kind, format string, args []any) {
	text := fmt.Sprintf(format, args...)
	b := c.open()
	fmt.Fprintf(os.Stderr, "%s: %s\n", kind, text)
	c.check(b.emit(Event{Type: kind, Text: text}))
}

// Check ends the notebook if err is not nil. It is for the errors of packages
// other than this one.
func Check(err error) { called("Check").check(err) }
