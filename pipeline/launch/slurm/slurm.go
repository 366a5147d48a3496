// Package slurm asks Slurm by its own programs: submits jobs, lists and cancels them.
package slurm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/launch"
	"barograph/pipeline/page"
)

// Slurm is that of this computer, by the programs on PATH.
type Slurm struct{}

// answerIn bounds one question: a controller that is down makes them fail after 9 s.
const answerIn = 30 * time.Second

// environment is what Slurm's programs are given of this process's: nothing of what a
// job, or its user, set for other jobs, for a run that is started within a job would
// inherit that job's size; and no secret, for jobs inherit it.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8", "SLURM_TIME_FORMAT=standard"}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "SLURM_CONF", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "KRB5CCNAME":
			env = append(env, kv)
		}
	}
	return env
}

// Ask runs one of Slurm's programs and returns what it said.
func (s Slurm) Ask(name string, args ...string) (string, error) {
	return s.Tell(nil, "", name, args...)
}

// Tell is Ask with more environment, and an input.
func (Slurm) Tell(env []string, input, name string, args ...string) (string, error) {
	// A run that is interrupted still says what it has begun to say.
	ctx, stop := context.WithTimeout(context.Background(), answerIn)
	defer stop()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(environment(), env...)
	c.Stdin = strings.NewReader(input)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	wait, err := launch.Exec(c)
	if err == nil {
		err = wait()
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", cell.Hint(fmt.Errorf("%s: %w", name, ErrHere), "run it on a login node, or leave --on out")
	}
	if err != nil {
		said := strings.TrimSpace(errs.String())
		for _, prefix := range []string{name + ": ", "error: "} {
			said = strings.ReplaceAll(said, prefix, "")
		}
		said = cmp.Or(said, strings.TrimSpace(out.String()), err.Error())
		return out.String(), fmt.Errorf("%s: %s", name, strings.ReplaceAll(said, "\n", "; "))
	}
	return out.String(), nil
}

// ErrHere is why nothing can be asked.
var ErrHere = errors.New("there is none on PATH: this computer is no login node of a cluster with Slurm")

var (
	jobID  = regexp.MustCompile(`(?m)^([0-9]+)(;\S*)?\s*$`) // sites wrap sbatch, and say more
	ErrNot = errors.New("sbatch did not say which job it made")
)

// Submit submits a script, which is given an environment, and returns the job's number.
// It is all of the environment: --export=NONE would add a login shell's, for which each
// job waits a second or two.
func (s Slurm) Submit(env []string, script string, flags ...string) (string, error) {
	out, err := s.Tell(env, script, "sbatch", append([]string{"--parsable", "--export=ALL"}, flags...)...)
	if err != nil {
		return "", err
	}
	if m := jobID.FindStringSubmatch(out); m != nil {
		return m[1], nil
	}
	return "", ErrNot
}

// A Job is what the queue says of one, or of one of an array.
type Job struct {
	ID      string // of the array
	Index   int    // in it; -1 for none
	State   string // PENDING, RUNNING, COMPLETED, ...
	Reason  string
	Node    string
	Comment string
	Start   string // when it started, or may
}

// Ended tells whether a job will not run any more, as far as the state says.
func (j Job) Ended() bool {
	return slices.Contains([]string{"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT", "REVOKED"}, j.State)
}

var tooMuch = regexp.MustCompile("Max(WallDuration|Cpu|Node|Mem|GRES|TRES|CPUMinutes)PerJob")

// Never says of a pending job why it cannot run whatever ends before it.
func (j Job) Never() string {
	if j.State != "PENDING" {
		return ""
	}
	switch j.Reason {
	case "PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "TimeLimit":
		return "it asks for more than the partition allows"
	case "BadConstraints", "NodeNotAvail":
		return "no node has what it asks for"
	case "DependencyNeverSatisfied":
		return "it depends on a job that failed"
	case "AccountNotAllowed", "InvalidAccount":
		return "its account may not use the partition"
	case "QOSNotAllowed", "InvalidQOS":
		return "its QOS may not be used there"
	case "JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue":
		return "it is held"
	}
	if tooMuch.MatchString(j.Reason) {
		return "it asks for more than one job may"
	}
	return ""
}

// Queue lists the jobs of one name, ended ones too as long as Slurm knows them.
func (s Slurm) Queue(name string) ([]Job, error) {
	out, err := s.Ask("squeue", "--array", "-h", "--me", "-n", name, "-t", "all", "-o", "%F|%K|%T|%r|%N|%k|%S")
	if err != nil {
		return nil, err
	}
	var jobs []Job
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 7 {
			continue
		}
		index, err := strconv.Atoi(f[1])
		if err != nil {
			index = -1
		}
		jobs = append(jobs, Job{ID: f[0], Index: index, State: f[2], Reason: f[3], Node: f[4], Comment: f[5], Start: f[6]})
	}
	return jobs, nil
}

// Cancel ends jobs.
func (s Slurm) Cancel(args ...string) error {
	_, err := s.Ask("scancel", args...)
	return err
}

// Settings are those of the cluster, by name.
func (s Slurm) Settings() (map[string]string, error) {
	out, err := s.Ask("scontrol", "show", "config")
	if errors.Is(err, ErrHere) {
		return nil, err
	}
	if err != nil {
		return nil, cell.Hint(fmt.Errorf("the cluster's controller does not answer: %w", err), "try again once it does; nothing was submitted")
	}
	set := map[string]string{}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(line, "="); ok {
			set[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return set, nil
}

// Partition returns what is known of a partition by name, of the default one where
// none is named.
func (s Slurm) Partition(name string) (map[string]string, error) {
	args := []string{"-o", "show", "partition"}
	if name != "" {
		args = append(args, name)
	}
	out, err := s.Ask("scontrol", args...)
	if err != nil {
		return nil, fmt.Errorf("partition %q: %w", name, err)
	}
	for line := range strings.Lines(out) {
		known := map[string]string{}
		for _, word := range strings.Fields(line) {
			if k, v, ok := strings.Cut(word, "="); ok {
				known[k] = v
			}
		}
		if known["PartitionName"] != "" && (name != "" || known["Default"] == "YES") {
			return known, nil
		}
	}
	return nil, cell.Hint(errors.New("the cluster has no default partition"), "name one: partition:")
}

// TimeLimit reads Slurm's [days-]hours:minutes:seconds; 0 for none.
func TimeLimit(text string) time.Duration {
	days, clock, ok := strings.Cut(text, "-")
	if !ok {
		days, clock = "0", text
	}
	parts := strings.Split(clock, ":")
	total := time.Duration(0)
	for _, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return 0
		}
		total = total*60 + time.Duration(n)
	}
	d, err := strconv.Atoi(days)
	if err != nil || len(parts) != 3 {
		return 0
	}
	return total*time.Second + time.Duration(d)*24*time.Hour
}

// Minutes is a duration as sbatch wants it.
func Minutes(d time.Duration) string {
	return strconv.Itoa(int((d + time.Minute - 1) / time.Minute))
}

var unanswered = regexp.MustCompile("Unable to contact slurm controller|Socket timed out|Connection refused|Zero Bytes were transmitted|Unexpected missing socket|signal: killed|try again|temporarily")

// Unsure tells whether a question failed for want of an answer.
func Unsure(err error) bool {
	return unanswered.MatchString(err.Error())
}

// Whole tells whether every node of a partition can be used now. While some cannot, what
// Slurm says of a request that no node could meet may be true of the others only.
func (s Slurm) Whole(partition string) bool {
	args := []string{"-h", "-N", "-o", "%T"}
	if partition != "" {
		args = append(args, "-p", partition)
	}
	out, err := s.Ask("sinfo", args...)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(strings.Fields(out), func(state string) bool {
		return !slices.Contains([]string{"idle", "mixed", "allocated", "completing"}, state)
	})
}

// Unmet tells whether an error says that no node could meet a request.
func Unmet(err error) bool {
	return strings.Contains(err.Error(), "node configuration is not available")
}

// Literal is a path for --output, in which % stands for something.
func Literal(path string) string { return strings.ReplaceAll(path, "%", "%%") }

// Script is what a job runs: the site's lines, and a program.
func Script(setup []string, words ...string) string {
	for i, w := range words {
		words[i] = page.Shell(w)
	}
	return "#!/bin/sh\n" + strings.Join(append(slices.Clone(setup), "exec "+strings.Join(words, " ")), "\n") + "\n"
}
