// Package result holds the files that stages leave for one another.
//
// A stress cell leaves [StressFile] and, unless it calibrated, [CopiesFile]; an
// infer cell leaves [InferFile] and [CallsFile]; collect joins them.
package result

import (
	"encoding/json"
	"fmt"
	"os"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/arrival"
	"barograph/stages/device"
)

const (
	StressFile = "stress.json"   // a Stress
	CopiesFile = "copies.csv.gz" // thread,start_ns,bytes,duration_ns,direction: every copy, in order of start
	InferFile  = "infer.json"    // an Infer
	CallsFile  = "calls.csv"     // call,scheduled_ns,start_ns,latency_ns: every timed call, in order
)

// A Stress is what a stress cell did. Times are nanoseconds on CLOCK_MONOTONIC,
// bandwidths bytes per second.
type Stress struct {
	Mode        string   `json:"mode"` // load or capacity
	Device      string   `json:"device"`
	Simulated   bool     `json:"simulated"`
	Processes   int      `json:"processes,omitempty"` // that had so many threads each; 0: one
	Threads     int      `json:"threads"`
	Block       int64    `json:"block_bytes"`
	Outstanding int      `json:"outstanding"`
	Direction   string   `json:"direction"`        // h2d, d2h or both; d2d or h2h, off the link
	Memory      string   `json:"memory"`           // pinned or pageable
	Rate        float64  `json:"rate_bytes_per_s"` // asked for; 0: no limit
	CPUs        []int    `json:"cpus,omitempty"`
	Copies      int64    `json:"copies"` // in CopiesFile
	Window      [2]int64 `json:"window_ns"`
	// Achieved is bytes copied within Window over its length; a copy that
	// straddles an edge counts by the share of its duration inside.
	Achieved float64 `json:"achieved_bytes_per_s"`
	// AchievedBy divides Achieved by direction: h2d, d2h, d2d, h2h.
	AchievedBy map[string]float64 `json:"achieved_bytes_per_s_by_direction,omitempty"`
	// Links divides Achieved by GPU, where the load names GPUs.
	Links []Link `json:"links,omitempty"`
	// Capacity holds, by direction, the best steady bandwidth found by
	// calibration (mode capacity), or the one this cell was told (mode load).
	Capacity map[string]float64 `json:"capacity_bytes_per_s,omitempty"`
	// AllCPUs is what Capacity would be if the stressor had every CPU of the
	// machine and not only its own (mode capacity, where CPUs make the copies).
	AllCPUs map[string]float64 `json:"all_cpus_capacity_bytes_per_s,omitempty"`
	// Sweep lists what a calibration tried, in order.
	Sweep []Point `json:"sweep,omitempty"`
	// Guard is what let the copies go; nil: nothing did.
	Guard *Guard `json:"guard,omitempty"`
	// Steady tells whether bandwidth had settled when the trial began.
	Steady   bool     `json:"steady"`
	Stops    int      `json:"stops,omitempty"` // how often a signal stopped the process
	Notes    []string `json:"notes,omitempty"` // what a reader must know of this device; no doubt
	Warnings []string `json:"warnings,omitempty"`
}

// A Link is what a load did on the link of one of several GPUs, in bytes per second.
type Link struct {
	Device     string             `json:"device"`
	PCI        string             `json:"pci"`
	Achieved   float64            `json:"achieved_bytes_per_s"`
	AchievedBy map[string]float64 `json:"achieved_bytes_per_s_by_direction"`
}

// A Guard is a policy under which copies were let go, and what came of it. Streams,
// Chunk and InFlight take the place of a load's threads, block and outstanding.
type Guard struct {
	Policy   string `json:"policy"`
	Streams  int    `json:"streams"` // of each process
	Chunk    int64  `json:"chunk_bytes"`
	InFlight int    `json:"in_flight"`
	// Bound is how long a victim's copy can wait behind those in flight, in
	// nanoseconds; 0: without limit, and NoBound says why.
	Bound   int64  `json:"bound_ns,omitempty"`
	NoBound string `json:"no_bound,omitempty"`
	// Usual is that bound where the link is no slower than its capacity; 0: the bound is
	// that one, and recorded before it allowed for slow times.
	Usual int64 `json:"usual_bound_ns,omitempty"`
	// Beside counts the copies beside the victim's calls; where Usual is 0, all were
	// counted. Longest is for how long one of them was in flight, at most. Slow counts those
	// that were for longer than the usual bound, and Violations those for longer than the
	// bound, in each case beside what the victim's own copies may have taken meanwhile.
	Beside     int64 `json:"beside,omitempty"`
	Longest    int64 `json:"longest_ns"`
	Slow       int64 `json:"slow,omitempty"`
	Violations int64 `json:"violations"`
	// Share is what was achieved of the capacity; 0 where that is not known.
	Share float64 `json:"share,omitempty"`
}

// A Point is one load that a calibration tried.
type Point struct {
	Direction string  `json:"direction"`
	Threads   int     `json:"threads"`
	Block     int64   `json:"block_bytes"`
	CPUs      int     `json:"cpus"` // that the threads were spread over
	Bandwidth float64 `json:"bytes_per_s"`
}

// An Infer is what an infer cell did.
type Infer struct {
	Model      string           `json:"model"`
	ModelSHA   string           `json:"model_sha256"`
	Parameters int64            `json:"parameters"`
	Precision  string           `json:"precision,omitempty"` // float16; "": float32, or the file's
	Batch      int              `json:"batch"`
	Sequence   int              `json:"sequence"`
	Dims       map[string]int64 `json:"dims,omitempty"` // the model's other symbolic dimensions
	// In and Out are the bytes of one call's inputs and outputs, Weights those of
	// the model's, which cross the link once; all 0 where they were not measured.
	In         int64             `json:"in_bytes,omitempty"`
	Out        int64             `json:"out_bytes,omitempty"`
	Weights    int64             `json:"weight_bytes,omitempty"`
	Device     string            `json:"device"`
	Simulated  bool              `json:"simulated"`
	Provider   string            `json:"provider"` // CPUExecutionProvider, ...
	Library    string            `json:"library"`  // onnxruntime 1.31.1
	LibrarySHA string            `json:"library_sha256"`
	Threads    int               `json:"intra_op_threads"`
	CPUs       []int             `json:"cpus,omitempty"`
	Options    map[string]string `json:"options,omitempty"`
	Warmup     int               `json:"warmup"`
	Calls      int               `json:"calls"`
	Arrivals   string            `json:"arrivals"` // closed, constant, poisson, ...
	// Schedule is how arrivals that do not wait for one another were made; the times
	// themselves stand in CallsFile.
	Schedule *arrival.Made `json:"schedule,omitempty"`
	Traffic  *Traffic      `json:"traffic,omitempty"` // of those arrivals; nil in a closed loop
	Tenancy  *Tenancy      `json:"tenancy,omitempty"` // nil where no other inference shared the device
	Window   [2]int64      `json:"window_ns"`
	// Jitter holds quantiles, in nanoseconds, of the harness timing an empty call.
	Jitter map[string]int64 `json:"jitter_ns"`
	GCs    uint32           `json:"gcs_in_window"`
	// Delay is how long, in Window, the measuring thread was ready to run and
	// its processor was another's, in nanoseconds.
	Delay int64 `json:"run_delay_ns"`
	// Stops is how often a signal stopped the process while calls were timed.
	Stops    int      `json:"stops,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// Environment is that of the cell; nil where the stage does not record it.
	Environment *record.Env `json:"environment,omitempty"`
	// Transfers is how long, in each timed call, the weights took to reach the
	// device, in nanoseconds, with weights: swap. Latencies hold it too.
	Transfers []int64 `json:"transfer_ns,omitempty"`
	// Resident is the memory that the process held, in bytes, just before and
	// just after the timed calls.
	Resident [2]int64 `json:"resident_bytes"`
	// Card is the GPU, as the kernel names it; nil where the device is none, or where a
	// simulated computer has one.
	Card *cell.GPU `json:"card,omitempty"`
	// GPU is what the driver said of the GPU just before and just after the
	// timed calls, the load still running; nil elsewhere.
	GPU *GPU `json:"gpu,omitempty"`
	// Signals are those whose handler the inference library replaced, and that
	// were given back to the Go runtime.
	Signals []string `json:"signals,omitempty"`
}

// A GPU is the state of one before and after a trial.
type GPU struct {
	Before  GPUState `json:"before"`
	After   GPUState `json:"after"`
	Invalid []string `json:"invalid,omitempty"` // why the trial is
}

// A GPUState is that of a GPU at a moment.
type GPUState = device.State

// Write writes v as indented JSON to a file in the current folder.
func Write(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o666)
}
