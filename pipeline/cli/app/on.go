package app

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cluster"
	"barograph/pipeline/cluster/file"
	"barograph/pipeline/cluster/node"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
	"barograph/pipeline/record"
	"barograph/pipeline/store"
	"barograph/pipeline/study"
)

// OnVariable names the variable that holds the cluster to run on, where --on does not.
const OnVariable = "BAROGRAPH_ON"

// A There is a cluster that a run uses, and what is known of its nodes.
type There struct {
	*cluster.Cluster
	node    *node.Node
	Program string
	driver  *cluster.Driver
	since   time.Time
	fits    chan error // nil once it was read
}

// Fits waits for what the cluster says of the run.
func (t *There) Fits() (err error) {
	if t.fits != nil {
		err, t.fits = <-t.fits, nil
	}
	return err
}

// OnAlone refuses what cannot be on a cluster.
func OnAlone(s *Selection, watch, wait bool) error {
	for flag, given := range map[string]bool{"--replay": s.Replay != "", "--devices": s.Devices != "", "--watch": watch, "--wait": wait} {
		if given {
			return cell.Usage(cell.Hint(fmt.Errorf("%s with --on: it is about this computer", flag), "leave one of them out; a cluster's agents look before they measure"))
		}
	}
	return nil
}

// OpenCluster opens the cluster of a selection.
func (a *App) OpenCluster(path, name string) (*There, error) {
	t, err := openCluster(path, name)
	if err != nil {
		return nil, err
	}
	return t, t.install(a)
}

func openCluster(path, name string) (*There, error) {
	root, err := study.Workspace(path)
	if err != nil {
		return nil, cell.Usage(err)
	}
	c, err := cluster.Open(root, name)
	if err != nil {
		return nil, err
	}
	return &There{Cluster: c, since: time.Now()}, nil
}

// install has the program lie where the nodes see it.
func (t *There) install(a *App) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var beside []string
	if gpus := a.GPUs(); gpus.Missing == nil && gpus.Program != "" && gpus.Program != self {
		beside = append(beside, gpus.Program)
	}
	t.Program, err = t.Install(self, beside...)
	return err
}

// Reach sees that a cluster is there, and has a job look at a node of it unless one has
// for this program. Where one has, the study can be planned before [There.Fits] says that
// the rest is well, too.
func (a *App) Reach(ctx context.Context, args []string, s *Selection) error {
	t, err := openCluster(StudyPath(args), s.On)
	if err != nil {
		return err
	}
	defer cell.Hold()() // a job that only looks is cancelled
	say := func(text string) { fmt.Fprintln(a.Msg, text) }
	t.fits = make(chan error, 1)
	go func() { t.fits <- t.Fit(ctx, say) }()
	if err := t.install(a); err != nil {
		return cmp.Or(t.Fits(), err)
	}
	if t.node = t.Known(t.Program); t.node == nil {
		if err := t.Fits(); err != nil {
			return err
		}
		checked, err := t.Check(ctx, t.Program, nil, t.Gres != "", say)
		if err != nil {
			return err
		}
		t.node = &checked.Node
		fmt.Fprintf(a.Msg, "cluster %s: node %s looked at in %v; it sees this folder\n", s.On, t.node.Host, checked.Queued.Round(10*time.Millisecond))
	}
	s.There = t
	return nil
}

// plannedFor has a study planned for the nodes of a cluster in place of this computer.
func (a *App) plannedFor(path string, s *Selection, opt *study.Options) error {
	t := s.There
	if t == nil {
		var err error
		if t, err = a.OpenCluster(path, s.On); err != nil {
			return err
		}
		if t.node = t.Known(t.Program); t.node == nil {
			return cell.Hint(fmt.Errorf("nothing is known of the nodes of cluster %q yet", s.On), "\"barograph doctor --on %s\" has a job look at one, and so has run", s.On)
		}
	}
	if opt.Machine == "" {
		opt.Machine = t.Machine
	}
	opt.Kinds = t.node.Kinds(a.Kinds)
	opt.GPUs = func() cell.GPUs { return t.node.AsGPUs(a.GPUs()) }
	opt.Fingerprint = func(device string) string {
		if cell.Family(device) == "sim" { // it is the same anywhere
			return record.Fingerprint(device, cell.GPUs{})
		}
		return t.node.Fingerprints[device]
	}
	s.There = t
	return nil
}

// onDevice refuses a machine that no job of a cluster could be.
func onDevice(s *Selection, st *study.Study) error {
	m, node := st.Machine, s.There.node
	if m.Fingerprint != "" {
		return nil
	}
	return cell.Usage(cell.Hint(fmt.Errorf("machine %s measures on device %s, and node %s of %s has none", m.Name, m.Device, node.Host, s.On), "gres: or constraint: of %s/%s.yaml choose the nodes", file.Folder, s.On))
}

// start has an engine's cells run on the cluster.
func (t *There) start(a *App, p *plan.Plan, s *store.Store, opt *engine.Options) (err error) {
	t.driver, err = t.Start(s, a.Kinds, t.node)
	if err != nil {
		return err
	}
	t.driver.Program, t.driver.Env = t.Program, engine.Environment(p)
	t.driver.Warn = func(err error) { fmt.Fprintln(a.Msg, "warning:", err) }
	opt.Elsewhere, opt.Pool = t.driver, engine.Pool{} // each job has its own GPU
	return nil
}

// end says what is left of the run on the cluster.
func (t *There) end(a *App, res *engine.Result) {
	if live := t.driver.Close(); live > 0 {
		fmt.Fprintf(a.Msg, "%d jobs go on: run again to take what they make, or \"barograph stop --on %s\"\n", live, t.Name())
	}
	for _, text := range t.Duplicates(t.since) {
		res.Warnings = append(res.Warnings, engine.Warning{Cell: "cluster " + t.Name(), Text: text})
	}
}
