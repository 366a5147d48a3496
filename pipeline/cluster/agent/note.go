package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
)

// A Note is a line of an attempt's file.
type Note struct {
	At     time.Time `json:"at"` // by the node's clock
	Type   string    `json:"type"`
	Node   string    `json:"node,omitempty"`
	PID    int       `json:"pid,omitempty"`
	GPUs   string    `json:"gpus,omitempty"` // that the job was given, as Slurm counts
	Alone  bool      `json:"exclusive,omitempty"`
	Cell   string    `json:"cell,omitempty"`
	Key    string    `json:"key,omitempty"`
	Error  string    `json:"error,omitempty"`
	Hint   string    `json:"hint,omitempty"`
	Log    string    `json:"log,omitempty"`
	Status int       `json:"status,omitempty"`
	Packs  int       `json:"packs,omitempty"` // that were taken
}

// The types of notes.
const (
	Started = "start"
	Began   = "began"  // a cell
	Done    = "done"   // a cell whose records are there
	Failed  = "failed" // a cell
	Beating = "beat"
	Ended   = "end" // with the status that the agent ends with, why, and how many packs it took
)

// The statuses that an agent ends with, beside those of the program.
const (
	StatusAgain = 75 // not for the cells' sake: the rest is to be run elsewhere
	statusIdle  = 77 // no pack came
	StatusUnfit = 79 // nothing was measured: this is not the node that was planned for
)

// A Token is an attempt at a pack: the array's job, the pack's number in it, and how
// often Slurm had started it before.
type Token struct {
	Index    int
	Job      string
	Restarts int
}

func (t Token) String() string { return fmt.Sprintf("%s_%d.%d", t.Job, t.Index, t.Restarts) }

// File is the name of the file that it writes.
func (t Token) File() string { return fmt.Sprintf("%d.%s.%d", t.Index, t.Job, t.Restarts) }

// ParseToken undoes File.
func ParseToken(file string) (t Token, ok bool) {
	f := strings.Split(file, ".")
	if len(f) != 3 {
		return t, false
	}
	var e1, e2 error
	t.Index, e1 = strconv.Atoi(f[0])
	t.Job = f[1]
	t.Restarts, e2 = strconv.Atoi(f[2])
	return t, e1 == nil && e2 == nil
}

// ownToken is that of the job that this process is.
func ownToken() (t Token, err error) {
	t.Job = os.Getenv("SLURM_ARRAY_JOB_ID") // SLURM_JOB_ID differs in each of an array
	if t.Index, err = strconv.Atoi(os.Getenv("SLURM_ARRAY_TASK_ID")); err != nil || t.Job == "" {
		return t, cell.Usage(fmt.Errorf("this is no job of an array: SLURM_ARRAY_JOB_ID is %q, SLURM_ARRAY_TASK_ID %q", t.Job, os.Getenv("SLURM_ARRAY_TASK_ID")))
	}
	t.Restarts, _ = strconv.Atoi(os.Getenv("SLURM_RESTART_COUNT")) // not set the first time
	return t, nil
}

// A pen writes an attempt's file.
type pen struct {
	mu sync.Mutex
	f  *os.File
}

func (p *pen) write(n Note) error {
	n.At = time.Now()
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.f.Write(append(b, '\n'))
	return err
}
