// Package cell is the contract between the engine and a stage.
//
// The engine starts one child process per cell. The child reads a [Spec], one
// line of JSON, from standard input; control messages ([Control]) follow on
// later lines. It writes [Event] values as JSON lines to standard output, its
// log to standard error, and its outputs as files below its output folder,
// which is also its working folder. The engine keeps the outputs only if the
// process ends with status 0 and left exactly the files it declared.
//
// A stage describes itself as a [Kind]. The engine is handed kinds as values
// and never imports a stage; a stage imports this package and never the engine.
package cell

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Kind is what `uses` names in a study: the behaviour of a stage.
type Kind struct {
	Name    string // as written after uses:
	Version string // part of every key; change it when outputs change in meaning
	Doc     string // one sentence, shown in the schema and in errors

	// With returns a pointer to a new parameter struct holding the defaults.
	// Field names come from json tags; `doc`, `enum:"a,b"` and `min:"0"` tags
	// feed the schema and validation; `required:"true"` demands the key.
	With func() any

	// Measured marks kinds whose results are measurements: they run alone, in
	// the study's drawn order, and their key holds the machine's fingerprint.
	Measured bool

	// Columns names what cells of a measured kind record of themselves. A matrix
	// axis of such a name would pass for it.
	Columns []string

	// Background marks kinds that can run while other cells run: they emit
	// Ready, and run until told to stop.
	Background bool

	// Notebook marks kinds that need notebook:, Script kinds that need run:.
	Notebook bool
	Script   bool

	// Graph marks kinds that are told the study's graph, less their own stage.
	Graph bool

	// Outputs names the files every cell of this kind leaves in its output
	// folder and that stay in the store, for example "samples.bin".
	Outputs func(with any) []string

	// Formats are the endings that a stage's outputs: may have, such as "svg"; any,
	// if there are none here.
	Formats []string

	// Publishes names files that are also written into the workspace, beside
	// those the stage's outputs: lists. Paths are relative to the workspace and
	// to the cell's output folder alike.
	Publishes func(study, machine string, with any) []string

	// Check reports what is wrong with parameters on a device, before anything
	// runs; a message that begins with a parameter's name is shown at its place. It
	// is cheap, and looks at nothing but its arguments and the project folder root.
	Check func(root, device string, with any) error

	// Alone reports what is wrong with parameters in a stage that runs beside none whose
	// kind has Calls. Its message is as that of Check.
	Alone func(with any) error

	// Whole reports what is wrong with a stage's parameters at all of its points together,
	// and where they want what no needed stage of the same kind gives; needed are the
	// parameters of those, at every point of theirs. Its message is as that of Check.
	Whole func(all, needed []any) error

	// Calls tells that a stage tells of its calls to those in the background beside it.
	Calls bool

	// CheckSim reports what is wrong with a parameter of device sim, which a machine
	// file gives under sim:, before anything runs.
	CheckSim func(parameter string, value float64) error

	// Identify returns what else decides the result, by name, for example
	// {"model": "sha256:..."}. It must be cheap: every plan calls it.
	Identify func(root string, with any) (map[string]string, error)

	// Files are those that the parameters name, absolute, without which a study cannot
	// be read elsewhere; such as a model's.
	Files func(root string, with any) ([]string, error)

	// Lacks says what this computer misses for a cell to run on a device. It is cheap,
	// and asked of every cell that would run, and not of one whose result stands or is
	// given by a recording.
	Lacks func(device string, with any) error

	// Inherits names variables of the user's environment that every cell of a run with
	// this kind is given: where things are, never what to compute.
	Inherits []string

	// Environ returns variables that a cell is started with because of the trial that
	// it belongs to, all of whose cells are started with one context, which ends with it.
	Environ func(trial context.Context, s *Spec) (map[string]string, error)

	// Beside tells whether a foreground cell is started together with its background
	// cells, to set itself up meanwhile; it then calls [Cell.Await] before it measures.
	Beside func(s *Spec) bool

	// First tells whether a background cell has to be ready before any other of its trial
	// is started, such as one that keeps a daemon which the others look for at their start.
	First func(s *Spec) bool

	// Together reports why the cells of a trial, some of them of this kind and the
	// foreground first, cannot run together on a machine's device, before anything runs. It
	// is asked of a foreground cell alone too.
	Together func(root string, m Machine, gang []Input) error

	// Others returns the numbers of other GPUs than a cell's own that it uses: all, where
	// it is true; nil where there are none. Such a cell runs alone.
	Others func(with any) (gpus []int, all bool)

	// Ways returns the directions in which a cell loads the link of its GPU.
	Ways func(with any) []string

	// Survey returns parameters with which a cell of the kind tells, in seconds, whether
	// cells that load links in directions, each given once, may be measured on GPUs at
	// once, and fails where not.
	Survey func(gpus []int, directions []string) any

	// Setting returns how a device is set and shared, by name, as far as what a
	// measured kind measures depends on it. It is part of the key.
	Setting func(device string) map[string]string

	// Prepare makes what cells of this kind share and that takes time, such as
	// fetching a library or building a model, and finds what would fail later. It
	// runs in a child process of its own, once per distinct with and notebook,
	// before anything of the run.
	Prepare func(ctx context.Context, c *Cell) error

	// Summary names the output that the run prints at its end, if any.
	Summary string

	// Verdicts names the output that holds a JSON array of [Verdict], if any.
	Verdicts string

	// Foresee says, before anything is measured, what a cell of this kind could
	// conclude from the trials among the inputs, which have no files yet.
	Foresee func(s *Spec) (string, error)

	// Page says what a cell adds to a study's report, from its outputs, running
	// nothing.
	Page func(Exhibit) (*Page, error)

	// Recorded says which cells a recording tells of, from the files of the cell that
	// publishes it, by the names of its outputs.
	Recorded func(files map[string]string) ([]Recorded, error)

	// Agree reports where the files of a recording that stands in for a cell of this kind,
	// by the names of its outputs, say different things.
	Agree func(files map[string]string) error

	// Run is the cell itself, called in the child process; nil for a Script, whose
	// shell line needs no child of this program.
	Run func(ctx context.Context, c *Cell) error
}

// A Recorded is a cell that a recording tells of.
type Recorded struct {
	ID, Stage string
	With      json.RawMessage
	Timed     time.Duration // its window; a recording says how long that was, and not when
	Software  []Software    // libraries that it called and files that it loaded
	Facts     [][2]string   // about what it ran on: a name, and a value
}

// Weights is the fact that says how large a model is, in bytes.
const Weights = "bytes of weights"

// A Software is something that a cell ran and did not bring itself.
type Software struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Digest  string `json:"sha256,omitempty"`
}

// An Exhibit is a cell that a report shows.
type Exhibit struct {
	ID    string            // begins the ids of its elements
	Files map[string]string // where its outputs lie, by name
	Block string            // the axis on which trials are repeated
	// Above is what other sections of the page show of it: the id of the section, by an
	// output's name or a claim's id.
	Above map[string]string
}

// A Page is what a cell adds to a study's report.
type Page struct {
	Sections map[string]string // HTML, by the section: figures, timeline or notebooks
	Notices  [][2]string       // above all: a word, and a sentence
	Facts    [][2]string       // about what was measured on: a name, and a value
	Doubts   []string
	// Each stands on a page once, however many cells add it.
	Styles, Scripts []string
	Licences        [][2]string // of scripts: a sentence, and the text
}

// A Coordinate is one axis of a matrix at one of its values.
type Coordinate struct {
	Axis  string `json:"axis"`
	Value any    `json:"value"` // bool, int64, float64 or string
}

// A Point is a cell's place in its stage's matrix, axes in the study's order.
type Point []Coordinate

// Get returns the value on an axis.
func (p Point) Get(axis string) (any, bool) {
	for _, c := range p {
		if c.Axis == axis {
			return c.Value, true
		}
	}
	return nil, false
}

// String writes the point as in infer[level=4,replicate=2], brackets included;
// the empty point is the empty string.
func (p Point) String() string {
	if len(p) == 0 {
		return ""
	}
	var b strings.Builder
	for i, c := range p {
		b.WriteByte("[,"[min(i, 1)])
		fmt.Fprintf(&b, "%s=%v", c.Axis, c.Value)
	}
	b.WriteByte(']')
	return b.String()
}

// An Input is one upstream cell whose outputs a cell may read.
type Input struct {
	Stage string          `json:"stage"`
	Kind  string          `json:"kind"`
	ID    string          `json:"id"`
	Point Point           `json:"point,omitempty"`
	With  json.RawMessage `json:"with,omitempty"`
	// Seed is the cell's, so that both sides of a simulated trial can draw the
	// same noise.
	Seed uint64 `json:"seed,omitempty"`
	// During names the foreground cell of the trial when this input is a
	// background cell, and is empty otherwise.
	During string `json:"during,omitempty"`
	Seq    int    `json:"seq,omitempty"` // place of its trial in Spec.Order, from 1
	// Files maps an output's name to its absolute path, to be read only.
	Files map[string]string `json:"files"`
}

// A Machine says what is under pressure and what its link can carry.
type Machine struct {
	Name        string             `json:"name"`                  // folder name below data/<study>/
	Device      string             `json:"device"`                // host, sim, cuda, cuda:1
	Description string             `json:"description,omitempty"` //
	Link        Link               `json:"link"`
	Sim         map[string]float64 `json:"sim,omitempty"` // parameters of device sim
	Fingerprint string             `json:"fingerprint"`   // of the hardware measured on
}

// GPUs are the devices of a computer that only another build of this program can
// measure on.
type GPUs struct {
	Make   string // what to call one, such as a maker's GPU
	List   []GPU  // by PCI address
	Driver string // its version, such as 580.95.05
	// Physical names what a device (host, sim, cuda, cuda:1) is, for whoever must know
	// whether two of them are one: host, sim, or the PCI address of a GPU.
	Physical func(device string) string
	// Machine describes the machine of a device (cuda, cuda:1) for which there is no
	// file; nil where there is no way to ask.
	Machine func(device string) (Machine, error)
	// Of returns the GPUs of a machine that a run may use: those of this computer that
	// the environment leaves, by PCI address, those of a simulated one, or none; nil
	// where nobody can tell.
	Of func(Machine) []GPU
	// Processors divides this computer's processors among GPUs, of which cells are
	// measured at once on each.
	Processors func([]GPU) ([][]int, error)
	// Lost says why a device (cuda, cuda:1) cannot be used any more; nil: it can.
	Lost func(device string) error
	// Program is the build that measures on them; Missing says, where there is none,
	// what is missing.
	Program string
	Missing error
}

// A GPU is one device that the kernel's driver reports. Empty fields could not be
// read.
type GPU struct {
	Name     string `json:"name"`
	PCI      string `json:"pci"` // 0000:4e:00.0
	UUID     string `json:"uuid,omitempty"`
	NUMA     *int   `json:"numa_node,omitempty"`
	MaxSpeed string `json:"max_link_speed,omitempty"` // 32.0 GT/s PCIe
	MaxWidth string `json:"max_link_width,omitempty"` // 16
}

// A Link is the bus under pressure, in bytes per second and per direction;
// zero means unknown.
type Link struct {
	Name  string  `json:"name,omitempty"`  // for example "PCIe Gen3 x16"
	Raw   float64 `json:"raw,omitempty"`   // line rate after encoding
	Model float64 `json:"model,omitempty"` // after packet overhead
}

// A Claim is a sentence of the paper that a stage judges.
type Claim struct {
	ID       string `json:"id"`
	Says     string `json:"says"`
	JudgedBy string `json:"judged-by"`
}

// A Spec is everything a cell is told.
type Spec struct {
	Study string `json:"study"`
	// Digest is of the study as far as this cell rests on it, for cells that
	// record; empty for others.
	Digest    string            `json:"digest,omitempty"`
	Stage     string            `json:"stage"`
	Kind      string            `json:"kind"`
	ID        string            `json:"id"`
	Point     Point             `json:"point,omitempty"`
	With      json.RawMessage   `json:"with"`
	Notebook  string            `json:"notebook,omitempty"` // absolute path of its folder
	Script    string            `json:"run,omitempty"`      // the shell line of uses: command
	Env       map[string]string `json:"env,omitempty"`
	Inputs    []Input           `json:"inputs,omitempty"`
	Files     []string          `json:"files,omitempty"`      // workspace inputs, relative, readable in the working folder
	Outputs   []string          `json:"outputs"`              // every file it must leave, relative to its folder
	Root      string            `json:"root"`                 // the workspace, absolute
	Seed      uint64            `json:"seed"`                 // of this cell, drawn from the study's
	StudySeed uint64            `json:"study_seed,omitempty"` // the study's, for cells that record
	Seq       int               `json:"seq,omitempty"`        // of several cells that make one, from 1
	Order     []string          `json:"order,omitempty"`      // the measured inputs' trials, in the order they were measured
	Machine   Machine           `json:"machine"`
	Claims    []Claim           `json:"claims,omitempty"`
	Graph     *Graph            `json:"graph,omitempty"` // for a kind that draws it
	// Prepare asks for Kind.Prepare in place of Kind.Run.
	Prepare bool `json:"prepare,omitempty"`
	// Gang holds the other cells of this cell's trial, without files: they run
	// at the same time.
	Gang []Input `json:"gang,omitempty"`
	// Beside says that the background cells of this cell's trial may not be ready yet.
	Beside bool `json:"beside,omitempty"`
	// Background says that this cell runs until it is told to stop.
	Background bool   `json:"background,omitempty"`
	During     string `json:"during,omitempty"` // the trial's foreground cell
}

// A Verdict is what a stage concluded about a claim.
type Verdict struct {
	ID      string `json:"id"`
	Says    string `json:"says"`
	Verdict string `json:"verdict"` // reproduced, refuted, not identified or INVALID
	Because string `json:"because"` // one sentence with the numbers
}

// The verdicts a claim can have.
const (
	Reproduced    = "reproduced"
	Refuted       = "refuted"
	NotIdentified = "not identified"
	Invalid       = "INVALID"
)

// A Check is one line of `barograph doctor`.
type Check struct {
	Name string
	// Run returns what was found, and, where something is missing, what to do.
	Run func(root string) (found, hint string, err error)
	// Disturbed, if any, says what of the moment would spoil a measurement on a
	// device, such as processors that others use; nothing if it is quiet. A run asks
	// before it measures. It takes a second at most.
	Disturbed func(root, device string) (what, hint string)
}

// OfKind returns the inputs of one kind, in plan order.
func (s *Spec) OfKind(kind string) []Input {
	return slices.DeleteFunc(slices.Clone(s.Inputs), func(in Input) bool { return in.Kind != kind })
}

// A Control is a message from the engine to a background cell, or to a foreground
// cell that was started beside them.
type Control struct {
	Type string `json:"type"` // "window" or "stop"; "begin" to a foreground cell
	// Window: the interval its trial measured, on [Now]'s clock.
	Start int64 `json:"start_ns,omitempty"`
	End   int64 `json:"end_ns,omitempty"`
}

// An Event is a message from a cell to the engine.
type Event struct {
	Type   string             `json:"type"` // ready, progress, window, metric, warning, unsteady, error
	Done   int                `json:"done,omitempty"`
	Total  int                `json:"total,omitempty"`
	Text   string             `json:"text,omitempty"` // progress note, warning, error
	Hint   string             `json:"hint,omitempty"` // error
	Start  int64              `json:"start_ns,omitempty"`
	End    int64              `json:"end_ns,omitempty"`
	Values map[string]float64 `json:"values,omitempty"` // metric
}

// The exit statuses of the program.
const (
	StatusDone        = 0
	StatusFailed      = 1   // a cell failed, or what was asked for could not be done
	StatusUsage       = 2   // wrong usage, or an invalid file
	StatusInvalid     = 3   // measured, but INVALID
	StatusInterrupted = 130 // stopped by a signal, such as that of Ctrl-C
)

// An Error is a failure with advice and with the status that the program ends
// with. [Hint], [Usage] and [End] keep what an error within already carries.
type Error struct {
	Err    error  // names the operation and the thing, in lower case; nil where all has been said
	Hint   string // what to do about it, or empty
	Status int    // 0 stands for StatusFailed
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Hint attaches advice to an error; a nil error stays nil.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{err, fmt.Sprintf(format, args...), within(err).Status}
}

// Usage marks an error as a mistake in what was asked for, such as a name that
// nothing has, or a file that is not what it should be; a nil error stays nil.
func Usage(err error) error { return End(err, StatusUsage) }

// End marks an error with the status that the program ends with; a nil error
// stays nil.
func End(err error, status int) error {
	if err == nil {
		return nil
	}
	return &Error{err, HintOf(err), status}
}

// Exit ends the program with a status when all there is to say has been said.
func Exit(status int) error { return &Error{Status: status} }

// HintOf returns the advice that an error carries, or nothing.
func HintOf(err error) string { return within(err).Hint }

// StatusOf returns the status that the program ends with after an error, or after
// none.
func StatusOf(err error) int {
	if err == nil {
		return StatusDone
	}
	return cmp.Or(within(err).Status, StatusFailed)
}

// within returns the Error in an error, or an empty one.
func within(err error) Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return *e
	}
	return Error{}
}

// Kinds is a set of kinds by name.
type Kinds map[string]*Kind

// NewKinds collects kinds; two of one name are a programming error.
func NewKinds(kinds ...*Kind) Kinds {
	set := Kinds{}
	for _, k := range kinds {
		if set[k.Name] != nil {
			panic("cell: two kinds named " + k.Name)
		}
		set[k.Name] = k
	}
	return set
}

// Names returns the kinds' names, sorted.
func (k Kinds) Names() []string {
	return slices.Sorted(maps.Keys(k))
}
