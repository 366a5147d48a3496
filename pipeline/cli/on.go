package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
	"barograph/pipeline/study"

	"github.com/spf13/cobra"
)

// onVariable names the variable that holds the cluster to run on, where --on does not.
const onVariable = "BAROGRAPH_ON"

// There is a cluster that a run uses, and what is known of its nodes.
type there struct {
	*cluster.Cluster
	node    *cluster.Node
	program string
	driver  *cluster.Driver
	since   time.Time
}

// onAlone refuses what cannot be on a cluster.
func onAlone(s *selection, watch, wait bool) error {
	for flag, given := range map[string]bool{"--replay": s.replay != "", "--devices": s.devices != "", "--watch": watch, "--wait": wait} {
		if given {
			return cell.Usage(cell.Hint(fmt.Errorf("%s with --on: it is about this computer", flag), "leave one of them out; a cluster's agents look before they measure"))
		}
	}
	return nil
}

// open opens the cluster of a selection.
func (a *app) open(path, name string) (*there, error) {
	root, err := study.Workspace(path)
	if err != nil {
		return nil, cell.Usage(err)
	}
	c, err := cluster.Open(root, name)
	if err != nil {
		return nil, err
	}
	t := &there{Cluster: c, since: time.Now()}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var beside []string
	if gpus := a.gpus(); gpus.Missing == nil && gpus.Program != "" && gpus.Program != self {
		beside = append(beside, gpus.Program)
	}
	t.program, err = c.Install(self, beside...)
	return t, err
}

// reach sees, before anything is submitted, that a cluster is there, and has a job look
// at a node of it unless one has for this program.
func (a *app) reach(ctx context.Context, args []string, s *selection) error {
	t, err := a.open(studyPath(args), s.on)
	if err != nil {
		return err
	}
	defer cell.Hold()() // a job that only looks is cancelled
	say := func(text string) { fmt.Fprintln(a.msg, text) }
	if err := t.Fit(ctx, say); err != nil {
		return err
	}
	if t.node = t.Known(t.program); t.node == nil {
		checked, err := t.Check(ctx, t.program, nil, t.Gres != "", say)
		if err != nil {
			return err
		}
		t.node = &checked.Node
		fmt.Fprintf(a.msg, "cluster %s: node %s looked at in %v; it sees this folder\n", s.on, t.node.Host, checked.Queued.Round(10*time.Millisecond))
	}
	s.there = t
	return nil
}

// plannedFor has a study planned for the nodes of a cluster in place of this computer.
func (a *app) plannedFor(path string, s *selection, opt *study.Options) error {
	t := s.there
	if t == nil {
		var err error
		if t, err = a.open(path, s.on); err != nil {
			return err
		}
		if t.node = t.Known(t.program); t.node == nil {
			return cell.Hint(fmt.Errorf("nothing is known of the nodes of cluster %q yet", s.on), "\"barograph doctor --on %s\" has a job look at one, and so has run", s.on)
		}
	}
	if opt.Machine == "" {
		opt.Machine = t.Machine
	}
	opt.Kinds = t.node.Kinds(a.kinds)
	opt.GPUs = func() cell.GPUs { return t.node.AsGPUs(a.gpus()) }
	opt.Fingerprint = func(device string) string {
		if cell.Family(device) == "sim" { // it is the same anywhere
			return record.Fingerprint(device, cell.GPUs{})
		}
		return t.node.Fingerprints[device]
	}
	s.there = t
	return nil
}

// onDevice refuses a machine that no job of a cluster could be.
func onDevice(s *selection, st *study.Study) error {
	m, node := st.Machine, s.there.node
	if m.Fingerprint != "" {
		return nil
	}
	return cell.Usage(cell.Hint(fmt.Errorf("machine %s measures on device %s, and node %s of %s has none", m.Name, m.Device, node.Host, s.on), "gres: or constraint: of %s/%s.yaml choose the nodes", cluster.Folder, s.on))
}

// start has an engine's cells run on the cluster.
func (t *there) start(a *app, p *plan.Plan, s *store.Store, opt *engine.Options) (err error) {
	t.driver, err = t.Start(s, a.kinds, t.node)
	if err != nil {
		return err
	}
	t.driver.Program, t.driver.Env = t.program, engine.Environment(p)
	t.driver.Warn = func(err error) { fmt.Fprintln(a.msg, "warning:", err) }
	opt.Elsewhere, opt.Pool = t.driver, engine.Pool{} // each job has its own GPU
	return nil
}

// end says what is left of the run on the cluster.
func (t *there) end(a *app, res *engine.Result) {
	if live := t.driver.Close(); live > 0 {
		fmt.Fprintf(a.msg, "%d jobs go on: run again to take what they make, or \"barograph stop --on %s\"\n", live, t.Name())
	}
	for _, text := range t.Duplicates(t.since) {
		res.Warnings = append(res.Warnings, engine.Warning{Cell: "cluster " + t.Name(), Text: text})
	}
}

func (a *app) onCommand(c *cobra.Command, run func(*cluster.Cluster) error) *cobra.Command {
	on := ""
	c.Flags().StringVar(&on, "on", os.Getenv(onVariable), "the `cluster`, a file below configs/clusters/")
	c.Args = cobra.NoArgs
	c.RunE = func(*cobra.Command, []string) error {
		root, err := os.Getwd()
		if err != nil {
			return err
		}
		if on == "" {
			return cell.Usage(cell.Hint(errors.New("no cluster named"), "say --on NAME; known here: %s", strings.Join(cluster.Names(root), ", ")))
		}
		there, err := cluster.Open(root, on)
		if err != nil {
			return err
		}
		return run(there)
	}
	return c
}

func (a *app) topCommand() *cobra.Command {
	return a.onCommand(&cobra.Command{
		Use:   "top",
		Short: "Say how this folder's jobs on a cluster stand, and when they will be done",
	}, func(c *cluster.Cluster) error {
		top, err := c.Top()
		if err != nil {
			return err
		}
		if a.json {
			return a.writeJSON(top)
		}
		fmt.Fprint(a.out, top)
		return nil
	})
}

func (a *app) stopCommand() *cobra.Command {
	return a.onCommand(&cobra.Command{
		Use:   "stop",
		Short: "Cancel this folder's jobs on a cluster; what they finished stands",
	}, func(c *cluster.Cluster) error {
		n, err := c.Stop()
		if err != nil {
			return err
		}
		fmt.Fprintf(a.msg, "%d jobs cancelled\n", n)
		return nil
	})
}

// lookAt is doctor for a cluster.
func (a *app) lookAt(ctx context.Context, root, name string) (all []finding) {
	add := func(check, what string, err error) bool {
		all = append(all, found(check, what, "", err))
		return err == nil
	}
	t, err := a.open(root+"/configs/x.yaml", name)
	if !add("cluster file", cluster.Folder+"/"+name+".yaml", err) {
		return all
	}
	defer cell.Hold()() // a job that only looks is cancelled
	say := func(text string) { fmt.Fprintln(a.msg, text) }
	limits, err := t.Limits()
	if !add("slurm", limits, err) || !add("request", "would be accepted", t.Fit(ctx, say)) {
		return all
	}
	checked, err := t.Check(ctx, t.program, nil, t.Gres != "", say)
	if err != nil {
		add("node", "", err)
		return all
	}
	n := checked.Node
	add("node", fmt.Sprintf("%s, %d processors, GPUs: %s; its job was seen to its end in %v", n.Host, n.CPUs, n.Names(), checked.Queued.Round(10*time.Millisecond)), nil)
	add("program", fmt.Sprintf("%s runs there", n.Program.Version), nil)
	add("folder", "what the node writes is seen here", nil)
	const apart = 5 * time.Second
	clocks := fmt.Sprintf("what it wrote was %v old by this clock", checked.Seen.Round(time.Millisecond))
	if checked.Seen.Abs() > apart {
		err = cell.Hint(errors.New(clocks), "set the clocks by NTP: they tell in which order cells were measured")
	}
	add("clocks", clocks, err)
	return all
}

// agent runs the pack of this job, which a signal ends as a kill would: what is
// finished stands.
func (a *app) agent(args []string) int {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		s := <-signals
		stop(fmt.Errorf("told to end by signal %d (%v)", s, s))
	}()
	agent := &cluster.Agent{
		Kinds: a.kinds, GPUs: a.gpus, Program: a.program, Log: a.msg,
		Hold: func(ctx context.Context, device string) (io.Closer, error) {
			return store.Lock(ctx, deviceLock(a.gpus().Physical(device)), func(holder string) { fmt.Fprintln(a.msg, "waiting for", holder) })
		},
		Disturbed: func(root, device string) string {
			var said []string
			for _, d := range a.disturbances(root, device) {
				said = append(said, d.what)
			}
			return strings.Join(said, "; ")
		},
	}
	var err error
	if args[0] == "--check" && len(args) == 2 {
		err = agent.Check(args[1])
	} else {
		err = agent.Run(ctx, args[0])
	}
	if err != nil {
		a.complain(err)
	}
	return cell.StatusOf(err)
}
