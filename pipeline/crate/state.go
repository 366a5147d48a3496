// Package crate writes what a study's results were made of and by as a Workflow Run
// RO-Crate, a folder or a zip that anyone can check and run again, and reads it back.
//
// A crate is a workspace: its study, machine files, notebooks and recording lie where
// the program looks for them. Beside them lie
//
//	ro-crate-metadata.json  JSON-LD of the Provenance Run Crate profile
//	provenance.json         what the metadata is computed from: see [State]
//	assessments/            what was found when claims were judged again
//	SHA256SUMS              checksums of all the others
//
// The metadata is a pure function of the provenance and the assessments ([Graph]), so
// that [Crate.Check] can name an edit of either, down to the property. The same state
// gives the same bytes. Whoever edits everything alike is found out by a signature
// alone: see package attest.
package crate

import (
	"encoding/json"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
)

// The files of a crate, beside the workspace in it.
const (
	Metadata    = "ro-crate-metadata.json"
	Provenance  = "provenance.json"
	Assessments = "assessments"
	Readme      = "README.md"
	Objects     = "objects/" // outputs that are not published
)

// Site names a project's things where it says of no place on the web; RFC 2606 sees
// to it that nobody else's answers.
const Site = "https://barograph.invalid"

// Format is the version of provenance.json that this program writes and reads.
const Format = 1

// A State is what a crate says of a study on one machine.
type State struct {
	Format  int    `json:"format"`
	Profile string `json:"profile"` // of the metadata: see [Profiles]
	// Published is when the newest of what the crate holds was made, and the only date
	// that is not of an action.
	Published time.Time `json:"published"`
	Study     Study     `json:"study"`
	Stages    []Stage   `json:"stages"` // in the file's order
	Cells     []Cell    `json:"cells"`  // in the plan's order
	// NotRun are cells without a result, each with the reason.
	NotRun      []NotRun     `json:"not_run,omitempty"`
	Claims      []Claim      `json:"claims,omitempty"`
	Machine     cell.Machine `json:"machine"`
	Environment *record.Env  `json:"environment,omitempty"` // in which was measured, where that is known
	// Recording is the folder with what was measured, empty where there is none.
	Recording string         `json:"recording,omitempty"`
	Program   record.Program `json:"program"` // that wrote the crate
	Agent     Agent          `json:"agent"`
	Licence   string         `json:"license"` // an SPDX identifier
	Site      string         `json:"site"`    // where the project's things are named; it need not answer
	Files     []File         `json:"files"`   // by path
	// LeftOut are files that the study names and that lie outside of its workspace.
	LeftOut []string `json:"left_out,omitempty"`
}

// A Study is the workflow.
type Study struct {
	Name   string      `json:"name"`
	Doc    string      `json:"description,omitempty"`
	File   string      `json:"file"`
	Digest string      `json:"digest"`
	Seed   uint64      `json:"seed"`
	Params []Parameter `json:"parameters,omitempty"` // by name
}

// A Parameter is a value that something was called with.
type Parameter struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
	// Used are the stages' parameters that it decides, as stage.name.
	Used []string `json:"used,omitempty"`
}

// A Stage is a step of the workflow, and the tool that does it.
type Stage struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Version    string   `json:"version"`
	Doc        string   `json:"description,omitempty"`
	Background bool     `json:"background,omitempty"`
	Measured   bool     `json:"measured,omitempty"`
	Needs      []string `json:"needs,omitempty"`
	During     []string `json:"during,omitempty"`
}

// A Cell is a run of a stage at one point of its matrix.
type Cell struct {
	ID      string          `json:"id"`
	Stage   string          `json:"stage"`
	Key     string          `json:"key,omitempty"` // of its result; none is known of recorded ones
	Started time.Time       `json:"started,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
	Error   string          `json:"error,omitempty"` // of one that failed
	With    json.RawMessage `json:"with,omitempty"`
	Script  json.RawMessage `json:"run,omitempty"` // a string
	// Env are the variables that the study gives it, by name.
	Env map[string]string `json:"env,omitempty"`
	// Parts are what else its key was made of.
	Parts    []store.Part `json:"parts,omitempty"`
	Needs    []string     `json:"needs,omitempty"`  // cells that it read
	Inputs   []string     `json:"inputs,omitempty"` // files of the crate that it read
	Outputs  []Output     `json:"outputs,omitempty"`
	Warnings []string     `json:"warnings,omitempty"`
	// Recorded cells are known from a recording alone, which says how long they were
	// timed and not when. Then Ended is no later than By says.
	Recorded bool            `json:"recorded,omitempty"`
	By       string          `json:"no_later_by,omitempty"`
	Timed    time.Duration   `json:"timed_ns,omitempty"`
	Software []cell.Software `json:"software,omitempty"`
	Facts    [][2]string     `json:"facts,omitempty"`
}

// An Output is a file that a cell left.
type Output struct {
	Name   string `json:"name"`           // that the cell gave it
	Path   string `json:"path,omitempty"` // in the crate, if it is there
	Digest string `json:"sha256"`
	Size   int64  `json:"size"`
}

// A NotRun is a cell without a result.
type NotRun struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// A Claim is a sentence, and what its stage concluded of it.
type Claim struct {
	cell.Claim
	Verdict string   `json:"verdict,omitempty"` // empty where it was not judged
	Because string   `json:"because,omitempty"`
	Figures []string `json:"figures,omitempty"` // files of the crate that show it
}

// An Agent is who is responsible for what was done.
type Agent struct {
	Name   string `json:"name"`
	ID     string `json:"id,omitempty"`     // a URL, such as an ORCID
	Person bool   `json:"person,omitempty"` // else an organisation
}

// A File is one file of the crate.
type File struct {
	Path   string `json:"path"`
	Digest string `json:"sha256"`
	Size   int64  `json:"size"`
}

// An Assessment is what came of judging a crate's claims once more.
type Assessment struct {
	Of      string         `json:"provenance_sha256"` // of the crate that was judged
	Agent   Agent          `json:"agent"`
	Started time.Time      `json:"started"`
	Ended   time.Time      `json:"ended"`
	Means   string         `json:"means"` // judged: the recording in the crate; measured: anew
	Machine cell.Machine   `json:"machine"`
	Host    record.Env     `json:"host"` // on which this was done
	Program record.Program `json:"program"`
	Claims  []Outcome      `json:"claims"`
}

// An Outcome sets a claim's verdict beside the one in the crate.
type Outcome struct {
	ID      string `json:"id"`
	Crate   string `json:"crate"` // the verdict that the crate holds
	Verdict string `json:"verdict"`
	Because string `json:"because"`
}

// Same tells whether the verdict is the crate's.
func (o Outcome) Same() bool { return o.Verdict == o.Crate }

// A Document is a file of the crate and where its bytes are: in a file, or at hand.
type Document struct {
	Path   string // in the crate
	From   string
	Bytes  []byte
	Digest string // if it is known
}
