package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
)

// A note is a line of an attempt's file.
type note struct {
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
	started = "start"
	began   = "began"  // a cell
	done    = "done"   // a cell whose records are there
	failed  = "failed" // a cell
	beating = "beat"
	ended   = "end" // with the status that the agent ends with, why, and how many packs it took
)

// The statuses that an agent ends with, beside those of the program.
const (
	statusAgain = 75 // not for the cells' sake: the rest is to be run elsewhere
	statusIdle  = 77 // no pack came
	statusUnfit = 79 // nothing was measured: this is not the node that was planned for
)

// A token is an attempt at a pack: the array's job, the pack's number in it, and how
// often Slurm had started it before.
type token struct {
	index    int
	job      string
	restarts int
}

func (t token) String() string { return fmt.Sprintf("%s_%d.%d", t.job, t.index, t.restarts) }

func (t token) file() string { return fmt.Sprintf("%d.%s.%d", t.index, t.job, t.restarts) }

func parseToken(file string) (t token, ok bool) {
	f := strings.Split(file, ".")
	if len(f) != 3 {
		return t, false
	}
	var e1, e2 error
	t.index, e1 = strconv.Atoi(f[0])
	t.job = f[1]
	t.restarts, e2 = strconv.Atoi(f[2])
	return t, e1 == nil && e2 == nil
}

// ownToken is that of the job that this process is.
func ownToken() (t token, err error) {
	t.job = os.Getenv("SLURM_ARRAY_JOB_ID") // SLURM_JOB_ID differs in each of an array
	if t.index, err = strconv.Atoi(os.Getenv("SLURM_ARRAY_TASK_ID")); err != nil || t.job == "" {
		return t, cell.Usage(fmt.Errorf("this is no job of an array: SLURM_ARRAY_JOB_ID is %q, SLURM_ARRAY_TASK_ID %q", t.job, os.Getenv("SLURM_ARRAY_TASK_ID")))
	}
	t.restarts, _ = strconv.Atoi(os.Getenv("SLURM_RESTART_COUNT")) // not set the first time
	return t, nil
}

// A pen writes an attempt's file.
type pen struct {
	mu sync.Mutex
	f  *os.File
}

func (p *pen) write(n note) error {
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

// An attempt is what the driver has read of one's file.
type attempt struct {
	token
	read  int64     // bytes
	since time.Time // by the driver's clock, as heard
	heard time.Time // when last anything was new, by the driver's clock
	node  string
	end   *note
	began map[string]bool // cells
}

// follow reads what is new in an attempt's file. It opens it anew: so a network's file
// system looks.
func (a *attempt) follow(dir string) (notes []note) {
	f, err := os.Open(filepath.Join(dir, a.file()))
	if err != nil {
		return nil
	}
	defer f.Close()
	if _, err := f.Seek(a.read, io.SeekStart); err != nil {
		return nil
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	a.read += int64(whole)
	for line := range bytes.Lines(b[:whole]) {
		var n note
		if json.Unmarshal(line, &n) != nil {
			continue // a torn line of a node that died
		}
		a.heard = time.Now()
		switch n.Type {
		case started:
			a.node = n.Node
		case began:
			a.began[n.Key] = true
		case ended:
			a.end = &n
		}
		notes = append(notes, n)
	}
	return notes
}
