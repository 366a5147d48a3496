package stress

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/shared"
	"barograph/pipeline/cell/unit"
	"barograph/stages/device/gpu"
	"barograph/stages/device/mps"
	"barograph/stages/guard"
	"barograph/stages/result"
)

// Environ returns the variables that a cell of a trial is started with.
func Environ(trial context.Context, s *cell.Spec) (map[string]string, error) {
	by := gpu.Environ(s.Machine.Device)
	if strings.HasPrefix(s.Machine.Device, "cuda") {
		shares := sharesMPS(s)
		maps.Copy(by, mps.Environ(cmp.Or(s.During, s.ID), shares))
		if shares { // a server takes a context on each GPU that it sees, and so on a neighbour's
			maps.Copy(by, gpu.Only(gpu.Here().List, devicesOf(s)))
		}
	}
	if !slices.ContainsFunc(loadsOf(s), func(w With) bool { return !w.Policy.None() }) {
		return by, nil
	}
	var err error
	by[page], err = shared.Nameless(trial, page)
	return by, err
}

// page is the variable that tells the processes of a trial with a policy the path of the
// page on which its loads and its inference meet.
const page = "BAROGRAPH_GUARD_PAGE"

// OpenPage opens the trial's page, on which an inference tells of its calls to the loads
// that follow them; nil where there is none.
func OpenPage() (*guard.Page, error) {
	path := os.Getenv(page)
	if path == "" {
		return nil, nil
	}
	return guard.OpenPage(path)
}

// loadsOf are what the cells of a cell's trial say of loads, or a link card of its own.
func loadsOf(s *cell.Spec) (all []With) {
	for _, in := range append(slices.Clone(s.Gang), cell.Input{Kind: s.Kind, With: s.With}) {
		var w With
		if (in.Kind == "stress" || in.Kind == "link") && json.Unmarshal(in.With, &w) == nil {
			all = append(all, w)
		}
	}
	return all
}

// devicesOf are those that a cell's trial uses: its own, and those of its loads.
func devicesOf(s *cell.Spec) []string {
	on := []string{s.Machine.Device}
	for _, w := range loadsOf(s) {
		for _, n := range w.GPUs {
			on = append(on, s.Machine.On(n).Device)
		}
	}
	slices.SortFunc(on, func(a, b string) int { return cell.Ordinal(a) - cell.Ordinal(b) })
	return slices.CompactFunc(on, func(a, b string) bool { return cell.Ordinal(a) == cell.Ordinal(b) })
}

// sharesMPS tells whether a cell's trial, or a link card, is one under MPS.
func sharesMPS(s *cell.Spec) bool {
	return slices.ContainsFunc(loadsOf(s), func(w With) bool { return w.Sharing == "mps" })
}

// Beside tells whether the inference of a trial may set itself up while its load
// does: on a GPU, whose link the load fills and whose processors it leaves alone,
// and where no daemon has to be there first.
func Beside(s *cell.Spec) bool {
	return strings.HasPrefix(s.Machine.Device, "cuda") && !sharesMPS(s)
}

// several runs the load in processes of their own, through MPS where it is to
// share the GPU so, and joins what they leave.
func (t *task) several(ctx context.Context) (err error) {
	rate, err := t.rate()
	if err != nil {
		return err
	}
	if t.with.Sharing == "mps" {
		daemon, err := mps.Start(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, daemon.Stop()) }()
		if t.Background && t.with.Threads == 0 { // it keeps the daemon, and needs no GPU
			return t.keep(ctx)
		}
	}
	folder, err := os.MkdirTemp(".", "barograph-loads-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	each := max(1, t.with.Processes) // of a link
	on := t.devices()
	n := each * len(on)
	w := *t.with
	w.Processes, w.Sharing, w.MPSPriority, w.GPUs, w.Rate = 0, "separate", "", nil, unit.Rate{PerSecond: rate / float64(each)}
	environ := []string{guardProcesses + "=" + strconv.Itoa(each)}
	if t.with.MPSPriority == "low" {
		environ = append(environ, "CUDA_MPS_CLIENT_PRIORITY=1")
	}
	var loads []*Child
	for i := range n {
		spec := cell.Spec{Stage: t.Stage, ID: fmt.Sprintf("%s process %d", t.ID, i+1), Machine: t.Machine, Background: t.Background, Seed: t.Seed, Seq: i + 1, Inputs: t.Inputs}
		spec.Machine.Device = on[i/each]
		c, err := Begin(ctx, filepath.Join(folder, strconv.Itoa(i)), &w, spec, environ...)
		if err != nil {
			return err
		}
		defer c.Close()
		loads = append(loads, c)
	}
	results, errs := make([]*result.Stress, n), make([]error, n)
	if t.Background {
		for _, c := range loads {
			if err := c.Ready(); err != nil {
				return err
			}
		}
	}
	var first error // of a load that ended before its trial
	var once sync.Once
	var stopping atomic.Bool
	var all sync.WaitGroup
	broken := make(chan struct{})
	for i, c := range loads {
		all.Go(func() {
			results[i], errs[i] = c.Wait()
			if t.Background && !stopping.Load() {
				once.Do(func() {
					first = cmp.Or(errs[i], errors.New("a load ended before its trial"))
					close(broken)
				})
			}
		})
	}
	if t.Background {
		err := t.trial(ctx, broken, &first)
		stopping.Store(true)
		for _, c := range loads {
			if err != nil {
				c.end()
				continue
			}
			c.Stop(t.result.Window)
		}
		if err != nil {
			all.Wait()
			return err
		}
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.join(results)
	if len(t.with.GPUs) > 0 {
		for i, device := range on {
			t.result.Links = append(t.result.Links, link(device, gpu.Here().Physical(device), results[i*each:(i+1)*each]))
		}
	}
	return t.copies(loads)
}

// keep waits until the trial is over, without a load.
func (t *task) keep(ctx context.Context) error {
	t.result.Processes = max(1, t.with.Processes)
	if err := t.trial(ctx, nil, nil); err != nil {
		return err
	}
	return t.finish(nil, guard.Report{})
}

// devices are those that the load is on.
func (t *task) devices() []string {
	if len(t.with.GPUs) == 0 {
		return []string{t.Machine.Device}
	}
	var on []string
	for _, gpu := range t.with.GPUs {
		on = append(on, t.Machine.On(gpu).Device)
	}
	return on
}

// link adds up what the processes of one link did.
func link(device, address string, of []*result.Stress) result.Link {
	l := result.Link{Device: device, PCI: address, AchievedBy: map[string]float64{}}
	for _, r := range of {
		l.Achieved += r.Achieved
		for d, v := range r.AchievedBy {
			l.AchievedBy[d] += v
		}
	}
	return l
}

// join adds up what the processes did.
func (t *task) join(of []*result.Stress) {
	r := &t.result
	told := *r
	*r = *of[0]
	r.Device, r.Capacity, r.Processes, r.Rate = told.Device, told.Capacity, len(of), 0
	r.Warnings = told.Warnings
	r.AchievedBy = map[string]float64{}
	r.Achieved, r.Copies, r.Stops = 0, 0, 0
	for i, x := range of {
		r.Achieved += x.Achieved
		r.Copies += x.Copies
		r.Stops += x.Stops
		r.Rate += x.Rate
		if g := x.Guard; i > 0 && g != nil {
			r.Guard.Longest = max(r.Guard.Longest, g.Longest)
			r.Guard.Beside += g.Beside
			r.Guard.Slow += g.Slow
			r.Guard.Violations += g.Violations
			r.Guard.Share += g.Share
		}
		r.Steady = r.Steady && x.Steady
		for _, d := range slices.Sorted(maps.Keys(x.AchievedBy)) {
			r.AchievedBy[d] += x.AchievedBy[d]
		}
		for _, text := range x.Warnings {
			t.warn("process %d: %s", i+1, text)
		}
	}
	t.Metric(map[string]float64{"achieved_bytes_per_s": r.Achieved})
}

// copies merges the copies of the processes by start, and numbers their threads on.
func (t *task) copies(loads []*Child) (err error) {
	type line struct {
		start int64
		text  string
	}
	of, err := t.with.load(t.with.Direction)
	if err != nil {
		return err
	}
	var all []line
	head := ""
	for i, c := range loads {
		rows, err := read(c.file(result.CopiesFile))
		if err != nil {
			return err
		}
		head = rows[0]
		for _, row := range rows[1:] {
			thread, rest, _ := strings.Cut(row, ",")
			start, _, _ := strings.Cut(rest, ",")
			n, wrong := strconv.Atoi(thread)
			at, bad := strconv.ParseInt(start, 10, 64)
			if err := errors.Join(wrong, bad); err != nil {
				return fmt.Errorf("join the copies of a load: %w", err)
			}
			all = append(all, line{at, strconv.Itoa(n+i*of.Threads) + "," + rest})
		}
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Compare(a.start, b.start) })
	f, err := t.Create(result.CopiesFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(z)
	fmt.Fprintln(b, head)
	for _, l := range all {
		fmt.Fprintln(b, l.text)
	}
	return errors.Join(b.Flush(), z.Close())
}

// read reads the lines of a compressed file, of which there is one at least.
func read(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), nil
}
