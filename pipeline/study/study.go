// Package study reads a study: one YAML file under configs/ that names
// parameters, stages and claims.
//
// [Load] parses the file with positions, applies the machine's and the command
// line's overrides, expands each stage's matrix, and validates every name and
// type, so that what comes out can be planned. [Study.Bind] returns one stage
// at one point of its matrix. Every error is a [source.Error] with file:line:column;
// several come as [source.Errors], in the file's order. [Schema] describes the file to
// editors.
//
// # Expressions
//
// A string may hold expressions, as package expression describes them. One sees
//
//   - the parameters; a parameter sees those above it
//   - the axes of the stage's matrix, within with, run, inputs and outputs
//   - machine.name, .device, .description, .link.name, .link.raw, .link.model
//     and .sim, of the machine file; machine.gpus, how many GPUs there are to use, at
//     least 1; study, the study's name
//   - B, kB, MB, GB, TB, KiB, MiB, GiB and TiB, in bytes
//   - expr-lang's functions, but those that ask for the time or place
//
// # Parameters
//
// A parameter has the type of its default: true or false, an integer, a number,
// a string (sizes and durations among them, such as 4MiB) or a list. A machine
// file and the command line may override it with a value of that type, the
// command line last; an integer will do for a number.
package study

import (
	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/source"
)

// A Study is a validated study file.
type Study struct {
	Name    string
	Doc     string
	File    string // as given
	Root    string // the workspace: the folder that holds configs/
	Digest  string // sha256:... of the study's bytes and the machine file's
	Params  map[string]any
	Machine cell.Machine
	GPUs    []cell.GPU // of the machine, that may be used; none where there are none, or nobody can tell
	Pool    []int      // numbers of the GPUs that cells are measured on at once; none: on the machine's device
	Sharing int        // how many GPUs the processors are divided among while cells are measured at once; 0: each cell has all
	Lowered []Override // what the machine file or --set changed, in order
	Seed    uint64
	Order   Order
	Stages  []*Stage // in the file's order
	Sorted  []*Stage // the same, each after those whose cells it waits for
	Claims  []cell.Claim

	Sources Sources

	// MachineBy says where the machine was named, and for auto what decided.
	MachineBy string

	byName map[string]*Stage
}

// An Override is a parameter that no longer has the study's value.
type Override struct {
	Param    string
	From, To any
	By       string // for example "configs/machines/host.yaml" or "--set"
}

// An Order says how the measured cells' order is drawn.
type Order struct {
	// Block is the axis whose values are measured one after another, each with
	// its cells shuffled; "replicate" unless the study says otherwise.
	Block string
	// Baseline is the point, such as level=0, whose cell stands first in the
	// first block, last in the last, and in the middle of the middle one; empty
	// for none.
	Baseline cell.Point
}

// A Stage is a node of the DAG.
type Stage struct {
	Name       string
	Kind       *cell.Kind
	Pos        source.Pos
	Background bool
	Needs      []string
	During     []string
	Matrix     []Axis
	Notebook   string // relative to the workspace
	Resources  map[string]int64
	Timeout    unit.Duration // 0: none
	Retries    int
	Env        map[string]string

	at            *source.Node
	matrix        *source.Node
	needs, during []source.Word
	body          body
}

// axis returns an axis of the stage by its name, or nil.
func (st *Stage) axis(name string) *Axis {
	for i := range st.Matrix {
		if st.Matrix[i].Name == name {
			return &st.Matrix[i]
		}
	}
	return nil
}

// Stage returns a stage by its name, or nil.
func (s *Study) Stage(name string) *Stage { return s.byName[name] }

// An Axis is one dimension of a matrix.
type Axis struct {
	Name   string
	Values []any // bool, int64, float64 or string
}

// A Binding is a stage at one point, with nothing left to evaluate. Points
// at which a stage's expressions agree share one Binding: do not change it.
type Binding struct {
	With    any      // what Kind.With returned, filled in and checked
	GPU     *int     // that the cell is measured on; nil: any
	Script  string   // uses: command
	Inputs  []string // globs, relative to the workspace
	Outputs []string // paths, relative to the workspace
}
