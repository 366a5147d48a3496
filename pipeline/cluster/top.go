package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"barograph/pipeline/cluster/agent"
	"barograph/pipeline/launch/slurm"
)

// A Top is how the workspace's jobs on a cluster stand.
type Top struct {
	Jobs    []Jobs        `json:"jobs"`
	Cells   int           `json:"cells"` // that were submitted, and are not taken by a finished run
	Done    int           `json:"done"`
	Failed  int           `json:"failed"`
	Running []string      `json:"running,omitempty"` // cells
	Rate    float64       `json:"cells_per_second"`
	Left    time.Duration `json:"left_ns,omitempty"` // at that rate
	Unknown string        `json:"unknown,omitempty"` // why the queue says nothing
}

// Jobs are those that are alike.
type Jobs struct {
	Count  int    `json:"count"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"` // of pending ones
	Node   string `json:"node,omitempty"`
	Start  string `json:"start,omitempty"` // of pending ones, the earliest that Slurm expects
}

// Top looks at the queue, and at what agents have written.
func (c *Cluster) Top() (*Top, error) {
	d := &Driver{Cluster: c, arrays: map[string]*array{}, packs: map[string]*packed{}}
	if err := d.find(); err != nil {
		return nil, err
	}
	t := &Top{}
	jobs, err := c.slurm.Queue(c.job)
	if errors.Is(err, slurm.ErrHere) {
		return nil, err
	}
	if err != nil {
		t.Unknown = err.Error()
	}
	by := map[Jobs]*Jobs{}
	for _, j := range jobs {
		if j.Ended() {
			continue
		}
		like := Jobs{State: strings.ToLower(j.State), Node: j.Node}
		if j.State == "PENDING" {
			like.Reason = j.Reason
		}
		all := by[like]
		if all == nil {
			all = &Jobs{State: like.State, Reason: like.Reason, Node: like.Node}
			by[like] = all
		}
		if all.Count++; j.State == "PENDING" && j.Start != "N/A" && (all.Start == "" || j.Start < all.Start) {
			all.Start = j.Start
		}
	}
	for _, all := range by {
		t.Jobs = append(t.Jobs, *all)
	}
	slices.SortFunc(t.Jobs, func(a, b Jobs) int {
		return cmp.Or(cmp.Compare(b.State, a.State), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Reason, b.Reason))
	})
	t.cells(d)
	return t, nil
}

// cells counts what agents have written.
func (t *Top) cells(d *Driver) {
	finished, bad, runs := map[string]bool{}, map[string]bool{}, map[string]string{}
	var first, last time.Time
	for _, a := range d.arrays {
		d.listenTo(a, func(_ *packed, at *attempt, n agent.Note) {
			if first.IsZero() || n.At.Before(first) {
				first = n.At
			}
			switch n.Type {
			case agent.Began:
				runs[n.Key] = n.Cell
			case agent.Done:
				delete(runs, n.Key)
				delete(bad, n.Key)
				finished[n.Key] = true
				last = n.At
			case agent.Failed:
				delete(runs, n.Key)
				bad[n.Key] = true
			case agent.Ended:
				for key := range at.began {
					delete(runs, key)
				}
			}
		})
		for _, keys := range a.Packs {
			t.Cells += len(keys)
		}
	}
	t.Done, t.Failed = len(finished), len(bad)
	t.Running = slices.Sorted(maps.Values(runs))
	if took := last.Sub(first).Seconds(); took > 0 {
		t.Rate = float64(t.Done) / took
		t.Left = time.Duration(float64(t.Cells-t.Done-t.Failed) / t.Rate * float64(time.Second)).Round(time.Second)
	}
}

// String writes it for people.
func (t *Top) String() string {
	var b strings.Builder
	for _, j := range t.Jobs {
		fmt.Fprintf(&b, "%d jobs %s", j.Count, j.State)
		if j.Node != "" {
			fmt.Fprintf(&b, " on %s", j.Node)
		}
		if j.Reason != "" {
			fmt.Fprintf(&b, ": %s", j.Reason)
		}
		if j.Reason != "" && j.Start != "" {
			fmt.Fprintf(&b, "; expected to start at %s", j.Start)
		}
		b.WriteByte('\n')
	}
	if t.Unknown != "" {
		fmt.Fprintf(&b, "jobs unknown: %s\n", t.Unknown)
	} else if len(t.Jobs) == 0 {
		b.WriteString("no jobs\n")
	}
	if t.Cells > 0 {
		fmt.Fprintf(&b, "%d of %d cells done", t.Done, t.Cells)
		if t.Failed > 0 {
			fmt.Fprintf(&b, ", %d failed", t.Failed)
		}
		if t.Rate > 0 {
			fmt.Fprintf(&b, "; %.2g a second", t.Rate)
		}
		if t.Left > 0 {
			fmt.Fprintf(&b, ", about %v left", t.Left)
		}
		b.WriteByte('\n')
	}
	if n := len(t.Running); n > 0 {
		fmt.Fprintf(&b, "running: %s", strings.Join(t.Running[:min(n, 8)], " "))
		if n > 8 {
			fmt.Fprintf(&b, " and %d more", n-8)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
