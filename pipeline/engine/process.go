package engine

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine/shell"
	"barograph/pipeline/launch"
	"barograph/pipeline/plan"
)

// process starts a member: a shell line as it is, any other kind as a cell of
// this program.
func (r *run) process(ctx context.Context, m *member, event func(cell.Event)) (*launch.Process, error) {
	c := launch.Command{CPUs: m.cpus, Dir: m.dir, Log: m.log, Event: event, Env: slices.Clone(r.env), Timed: cmp.Or(m.cell.Trial, m.cell).Stage.Kind.Measured}
	more := []map[string]string{m.cell.Stage.Env}
	if environ := m.cell.Stage.Kind.Environ; environ != nil {
		variables, err := environ(ctx, m.Spec)
		if err != nil {
			return nil, err
		}
		more = append(more, variables)
	}
	for _, variables := range more { // of two by one name the last counts
		for name, v := range variables {
			c.Env = append(c.Env, name+"="+v)
		}
	}
	if m.cell.Stage.Kind.Script {
		c.Argv = shell.Line(m.Spec.Script)
		if p, plain := shell.Plain(m.Spec.Script); plain && !slices.ContainsFunc(c.Env[len(r.env):], setsPath) {
			c.Else, c.Argv, c.Input, c.Output, c.Errors, c.Joined = c.Argv, p.Argv, p.Input, p.Output, p.Errors, p.Joined
			c.Env = append(c.Env, "PWD="+m.dir) // as a shell has it, whatever env: says
		}
	} else {
		program, err := r.opt.Program(m.cell)
		if err != nil {
			return nil, err
		}
		c.Argv, c.Spec = []string{program, "cell"}, m.Spec
	}
	return launch.Start(ctx, c), nil
}

// setsPath tells whether a variable says where programs are.
func setsPath(kv string) bool { return strings.HasPrefix(kv, "PATH=") }

// passed are the variables that all cells inherit, beside those that kinds name:
// where things are, never what to compute. Everything else a result may depend on is in env: and in the key.
var passed = []string{
	"PATH", "HOME", "USER", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME",
	"BAROGRAPH_CACHE",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
	"GORACE", "GOCOVERDIR", // of a program built to be tested
}

// Environment is what every cell of a plan is given.
func Environment(p *plan.Plan) []string {
	passed := slices.Clone(passed)
	for _, st := range p.Study.Stages {
		passed = append(passed, st.Kind.Inherits...)
	}
	env := []string{"LC_ALL=C.UTF-8", "TZ=UTC"}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if slices.Contains(passed, name) || strings.HasPrefix(name, "PIP_") {
			env = append(env, kv)
		}
	}
	return env
}

// spec resolves a cell's specification. Inputs that have no result yet, as
// when it is only prepared, have no files.
func (r *run) spec(c *plan.Cell) *cell.Spec {
	if t := r.opt.told[c.Foreground()]; t != nil {
		return t.of(c).Spec
	}
	st := r.plan.Study
	s := &cell.Spec{
		Study: st.Name, Stage: c.Stage.Name, Kind: c.Stage.Kind.Name, ID: c.ID, Point: c.Point,
		With: c.With, Script: c.Script, Env: c.Stage.Env, Outputs: c.Outputs, Root: st.Root,
		Seed: c.Seed, Machine: st.Machine, Claims: c.Claims(), Digest: c.Design, StudySeed: st.Seed, Background: c.Trial != nil,
		Files: slices.Clone(c.Files), Graph: c.Graph,
	}
	if on := c.Foreground().GPU; on != nil {
		s.Machine = st.Machine.On(*on)
	}
	if c.Stage.Notebook != "" {
		s.Notebook = filepath.Join(st.Root, c.Stage.Notebook)
	}
	for _, n := range c.Needs {
		s.Inputs = append(s.Inputs, r.input(n))
		if c.Stage.Kind.Script { // a shell line knows its inputs by their paths only
			for _, p := range n.Publish {
				s.Files = append(s.Files, p.Output)
			}
		}
	}
	gang := c.Gang
	if c.Trial != nil {
		s.During = c.Trial.ID
		gang = append(slices.Clone(c.Trial.Gang), c.Trial)
	}
	for _, g := range gang {
		if g != c {
			s.Gang = append(s.Gang, g.Input())
		}
	}
	r.rank(s)
	return s
}

func (r *run) input(c *plan.Cell) cell.Input {
	in := c.Input()
	dec := r.decider.Of(c)
	if dec == nil || dec.Record == nil {
		return in
	}
	for _, f := range dec.Record.Files {
		if c.Given != nil {
			in.Files[f.Name] = c.Given[f.Name]
		} else {
			in.Files[f.Name] = r.store.Object(f.Digest)
		}
	}
	return in
}

// rank numbers the measured inputs, trials in the order in which they were
// measured, and lists them.
func (r *run) rank(s *cell.Spec) {
	type measurement struct {
		id      string
		started int64
	}
	var trials []measurement
	for _, in := range s.Inputs {
		c := r.plan.Cell(in.ID)
		if dec := r.decider.Of(c); c.Trial == nil && c.Stage.Kind.Measured && dec != nil && dec.Record != nil {
			trials = append(trials, measurement{in.ID, dec.Record.Started})
		}
	}
	slices.SortStableFunc(trials, func(a, b measurement) int {
		return cmp.Or(cmp.Compare(a.started, b.started), strings.Compare(a.id, b.id))
	})
	seq := make(map[string]int, len(trials))
	for i, t := range trials {
		s.Order = append(s.Order, t.id)
		seq[t.id] = i + 1
	}
	for i := range s.Inputs {
		in := &s.Inputs[i]
		in.Seq = seq[in.ID] + seq[in.During]
	}
}
