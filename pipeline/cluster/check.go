package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster/agent"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/cluster/node"
	"barograph/pipeline/launch/slurm"
	"barograph/pipeline/store/stat"
)

// restart is how long a controller may be away while it is started anew.
const restart = time.Minute

// Fit says, before anything is submitted, what about a cluster's file cannot be.
func (c *Cluster) Fit(ctx context.Context, say func(string)) error {
	var p map[string]string
	var test error
	fits := func() error {
		_, err := c.slurm.Tell(nil, "#!/bin/sh\n", "sbatch", append([]string{"--test-only", "--time=" + slurm.Minutes(time.Duration(c.Time))}, c.Flags()...)...)
		return err
	}
	for begun, said := time.Now(), false; ; time.Sleep(time.Second) {
		var asked sync.WaitGroup // all at once: each takes as long as a program's start
		var set, part error
		asked.Go(func() { _, set = c.settings() })
		asked.Go(func() { p, part = c.slurm.Partition(c.Partition) })
		asked.Go(func() { test = fits() })
		asked.Wait()
		err := cmp.Or(set, part)
		if err == nil {
			break
		}
		if !slurm.Unsure(err) || time.Since(begun) > restart || ctx.Err() != nil {
			return err
		}
		if !said {
			said = true
			say(fmt.Sprintf("%v; waiting for it for %v", err, restart))
		}
	}
	at := func(err error, format string, args ...any) error {
		return cell.Hint(fmt.Errorf("%s/%s.yaml: %w", file.Folder, c.Name(), err), format+"; nothing was submitted", args...)
	}
	name := p["PartitionName"]
	list := func(key string) []string { return strings.Split(p[key], ",") }
	if allowed := p["AllowAccounts"]; allowed != "" && allowed != "ALL" && !slices.Contains(list("AllowAccounts"), c.Account) {
		return at(fmt.Errorf("account %q may not use partition %q", c.Account, name), "it is for %s", allowed)
	}
	if slices.Contains(list("DenyAccounts"), c.Account) && c.Account != "" {
		return at(fmt.Errorf("account %q may not use partition %q", c.Account, name), "ask the site for another account or partition")
	}
	if most := slurm.TimeLimit(p["MaxTime"]); most > 0 && time.Duration(c.Time) > most {
		return at(fmt.Errorf("time: %v is more than the %v that partition %q allows", time.Duration(c.Time), most, name), "lower it, or name another partition")
	}
	if state := p["State"]; state != "" && state != "UP" {
		return at(fmt.Errorf("partition %q is %s", name, state), "name another, or wait")
	}
	if test != nil && slurm.Unmet(test) { // nodes that are away may come back meanwhile
		whole := c.slurm.Whole(c.Partition)
		if test = fits(); test != nil && slurm.Unmet(test) && !(whole && c.slurm.Whole(c.Partition)) {
			test = nil
		}
	}
	if test != nil && !slurm.Unsure(test) {
		return at(test, "sbatch --test-only says so")
	}
	return nil
}

// Limits says which Slurm it is, and what of its settings a run depends on.
func (c *Cluster) Limits() (string, error) {
	begun := time.Now()
	set, err := c.settings()
	if err != nil {
		return "", err
	}
	p, err := c.slurm.Partition(c.Partition)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("version %s answers in %v; partition %s, at most %s a job; arrays up to index %s, %s jobs in all; requeued: %s; killed %s after the warning",
		set["SLURM_VERSION"], time.Since(begun).Round(time.Millisecond), p["PartitionName"], p["MaxTime"], set["MaxArraySize"], set["MaxJobCount"],
		map[string]string{"1": "yes", "0": "only if asked"}[set["JobRequeue"]], set["KillWait"]), nil
}

// Install copies a program to where the nodes see it, as it is now: one that is built
// anew changes nothing under jobs that wait.
func (c *Cluster) Install(program string, beside ...string) (string, error) {
	all := filepath.Join(c.dir, "programs")
	var stats stat.Cache // else a run begins a tenth of a second later
	stats.Load(filepath.Join(all, "stats"), c.Root)
	seen := time.Now()
	o, err := stat.Observe(program)
	if err != nil {
		return "", err
	}
	digest, known := stats.Lookup(program, o)
	if !known {
		if digest, err = cell.Sum(program); err != nil {
			return "", err
		}
		stats.Remember(program, o, digest, seen)
	}
	dir := filepath.Join(all, digest[:16])
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", cell.Hint(err, "a cluster's nodes read and write below %s", c.dir)
	}
	if !known {
		_ = stats.Save(filepath.Join(all, "stats")) // else it is read again
	}
	for _, p := range append([]string{program}, beside...) {
		to := filepath.Join(dir, filepath.Base(p))
		if _, err := os.Stat(to); err == nil {
			continue
		}
		b, err := os.ReadFile(p)
		if err == nil {
			err = os.WriteFile(to+"~", b, 0o755)
		}
		if err == nil {
			err = os.Rename(to+"~", to)
		}
		if err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, filepath.Base(program)), nil
}

// A Checked is what a job said that looked at a node, and how that went.
type Checked struct {
	Node   node.Node
	Queued time.Duration // from submission to the end
	Seen   time.Duration // from when the node wrote it to when it was seen here; clocks differ
}

// Known is what the last job of this program and cluster said of a node, or nil.
func (c *Cluster) Known(program string) *node.Node {
	var n node.Node
	if cell.ReadJSON(filepath.Join(c.home, "node"), &n) != nil || n.Said != c.said(program) {
		return nil
	}
	return &n
}

func (c *Cluster) said(program string) string {
	return c.Digest() + " " + filepath.Base(filepath.Dir(program))
}

// Check has a job look at a node, which shows that folder and program are there too.
func (c *Cluster) Check(ctx context.Context, program string, env []string, gpu bool, say func(string)) (*Checked, error) {
	dir := filepath.Join(c.home, "check", stamp())
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, cell.Hint(err, "a cluster's nodes read and write below %s", c.dir)
	}
	defer os.RemoveAll(filepath.Dir(dir))
	if err := os.WriteFile(filepath.Join(dir, "said"), []byte(c.said(program)), 0o666); err != nil {
		return nil, err
	}
	flags := append([]string{"--job-name=" + c.job + "-check", "--comment=" + filepath.Base(dir), "--output=" + slurm.Literal(filepath.Join(dir, "log")), "--chdir=" + c.Root, "--time=5"}, c.Flags()...)
	if gpu {
		gres := c.Gres
		if gres == "" {
			gres = "gpu"
		}
		flags = append(flags, "--gres="+gres+":1")
	}
	begun := time.Now()
	id, err := c.slurm.Submit(env, slurm.Script(c.Setup, program, "cell-agent", "--check", dir), flags...)
	for err != nil && (slurm.Unsure(err) || slurm.Unmet(err) && !c.slurm.Whole(c.Partition)) && time.Since(begun) < restart && ctx.Err() == nil {
		time.Sleep(time.Second)
		id, err = c.slurm.Submit(env, slurm.Script(c.Setup, program, "cell-agent", "--check", dir), flags...)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.slurm.Cancel(id) }() // one that has ended is not there
	var asked time.Time
	said, lost := "", 0
	for pause := 100 * time.Millisecond; ; {
		var n node.Node
		if err := cell.ReadJSON(filepath.Join(dir, "node"), &n); err == nil && n.Said == c.said(program) {
			done := &Checked{Node: n, Queued: time.Since(begun), Seen: time.Since(n.Clock)}
			return done, agent.WriteWhole(filepath.Join(c.home, "node"), n)
		}
		if time.Since(asked) > pause {
			asked, pause = time.Now(), min(pause*3/2, 10*time.Second)
			jobs, err := c.slurm.Queue(c.job + "-check")
			i := slices.IndexFunc(jobs, func(j slurm.Job) bool { return j.ID == id })
			switch {
			case err != nil:
			case i < 0 || jobs[i].Ended():
				lost++
				pause = 300 * time.Millisecond
			case jobs[i].Never() != "":
				return nil, cell.Hint(fmt.Errorf("a job that only looks at a node can never run: %s (%s); it was cancelled", jobs[i].Never(), jobs[i].Reason), "see %s/%s.yaml", file.Folder, c.Name())
			default:
				if text := fmt.Sprintf("%s (%s)", strings.ToLower(jobs[i].State), jobs[i].Reason); text != said && time.Since(begun) > 5*time.Second {
					said = text
					say("a job that looks at a node of " + c.Name() + " is " + text)
				}
			}
			if lost > 10 {
				return nil, c.unseen(dir, jobs, i)
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// unseen says that a job has ended that left nothing.
func (c *Cluster) unseen(dir string, jobs []slurm.Job, i int) error {
	how := "is gone"
	if i >= 0 {
		how = "ended " + jobs[i].State + " on node " + jobs[i].Node
	}
	if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil {
		said := strings.TrimSpace(string(log))
		if said == "" {
			said = "nothing"
		}
		return cell.Hint(fmt.Errorf("a job that was to look at a node %s; it said: %s", how, said), "the program or setup: does not work there; no cell was submitted")
	}
	return cell.Hint(errors.New("a job that was to look at a node "+how+", and nothing that it wrote into "+c.dir+" is here"),
		"the workspace must lie in a folder that login node and nodes share, under the same path; no cell was submitted")
}

// Stop cancels the workspace's jobs on the cluster, and returns how many there were.
func (c *Cluster) Stop() (int, error) {
	jobs, err := c.slurm.Queue(c.job)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, j := range jobs {
		if !j.Ended() {
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, c.slurm.Cancel("-n", c.job, "--me")
}

// Duplicates says which results came twice since a time, and which of all differ.
func (c *Cluster) Duplicates(since time.Time) (said []string) {
	agree := 0
	for _, d := range agent.Duplicates(c.dir) {
		if d.Aside != "" {
			said = append(said, fmt.Sprintf("%s has two results that differ: that of attempt %s stands, that of %s is kept as %s", d.Cell, d.First, d.Second, d.Aside))
			continue
		}
		second, _, _ := strings.Cut(d.Second, " ")
		if st, err := os.Stat(filepath.Join(c.dir, "duplicates", d.Key+"."+second)); err == nil && st.ModTime().After(since) {
			agree++
		}
	}
	if agree > 0 {
		said = append(said, fmt.Sprintf("%d results came twice, and agree: an attempt that was given up had gone on", agree))
	}
	return said
}
