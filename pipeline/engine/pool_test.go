package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/engine"
	"barograph/pipeline/plan"
)

// newPool is a workspace whose cells may be measured on two GPUs.
func newPool(t *testing.T, stages string) *workspace {
	w := newWorkspace(t, "stages: {}\n")
	w.write("configs/machines/sim.yaml", "device: sim\n")
	w.write("configs/s.yaml", "study: s\nmachine: sim\ndevices: [sim:0, sim:1]\nstages:\n"+stages)
	return w
}

func pool(gpus ...int) engine.Options {
	return engine.Options{Pool: engine.Pool{GPUs: gpus, Survey: kinds["near"]}}
}

// A stay is when a cell was on a device, by its record.
type stay struct {
	id, device string
	from, to   int64
}

// stays are those of a stage's cells, in the order in which they began.
func (w *workspace) stays(res *engine.Result, p *plan.Plan, stage string) (all []stay) {
	w.t.Helper()
	for _, c := range p.Cells {
		dec := res.Decider.Of(c)
		if c.Stage.Name != stage || dec == nil || dec.Record == nil {
			continue
		}
		var said struct{ Device string }
		b, err := os.ReadFile(w.store.Object(dec.Record.Files[0].Digest))
		if err == nil && len(b) > 0 {
			err = json.Unmarshal(b, &said)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, stay{c.ID, said.Device, dec.Record.Started, dec.Record.Started + int64(dec.Record.Wall)})
	}
	slices.SortFunc(all, func(a, b stay) int { return int(a.from - b.from) })
	return all
}

func (s stay) meets(other stay) bool { return s.from < other.to && other.from < s.to }

// onlyOne tells of cells that shared a device.
func onlyOne(t *testing.T, all []stay) {
	t.Helper()
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.device == b.device && a.meets(b) {
				t.Errorf("%s and %s were on %s at once", a.id, b.id, a.device)
			}
		}
	}
}

// overlapping counts cells during which another was measured too.
func overlapping(all []stay) (n int) {
	for i, a := range all {
		if slices.ContainsFunc(all, func(b stay) bool { return b != all[i] && a.meets(b) }) {
			n++
		}
	}
	return n
}

const eight = "  x: {uses: measure, matrix: {n: 8}, with: {value: '${{ n }}'}}\n"

// Two GPUs measure at once, one cell at a time each; what any of them measured stands
// for a pool of others like it.
func TestPool(t *testing.T) {
	w := newPool(t, eight)
	res, sight, err := w.run(pool(0, 1))
	if err != nil || len(res.Failures) > 0 {
		t.Fatal(err, res.Failures)
	}
	all := w.stays(res, w.plan, "x")
	onlyOne(t, all)
	if n := overlapping(all); len(all) != 8 || n < 7 {
		t.Errorf("%d of %d cells were measured beside another", n, len(all))
	}
	if devices := map[string]int{}; true {
		for _, s := range all {
			devices[s.device]++
		}
		if len(devices) != 2 || devices["sim:0"] < 2 || devices["sim:1"] < 2 {
			t.Errorf("cells by device: %v", devices)
		}
	}
	if len(sight.starts) != 8 {
		t.Errorf("started %v", sight.starts)
	}
	if _, sight, err := w.run(pool(1)); err != nil || len(sight.starts) > 0 {
		t.Errorf("on one GPU of the pool: started %v, %v", sight.starts, err)
	}
	// One at a time without a pool.
	w = newPool(t, eight)
	res, _, err = w.run(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if all := w.stays(res, w.plan, "x"); overlapping(all) > 0 || all[0].device != "sim" {
		t.Errorf("without a pool: %v", all)
	}
}

// Cells are measured on the GPU that they are pinned to, and those whose loads reach
// other GPUs have all to themselves.
func TestPoolPinned(t *testing.T) {
	w := newPool(t, `
  x: {uses: measure, gpu: '${{ n % 2 }}', matrix: {n: 6}, with: {value: '${{ n }}'}}
  all: {uses: near, matrix: {n: 2}, with: {value: '${{ n }}'}}
`)
	res, _, err := w.run(pool(0, 1))
	if err != nil || len(res.Failures) > 0 {
		t.Fatal(err, res.Failures)
	}
	x, near := w.stays(res, w.plan, "x"), w.stays(res, w.plan, "all")
	onlyOne(t, x)
	for _, s := range x {
		if want := map[byte]string{'0': "sim:0", '1': "sim:1"}[(s.id[len(s.id)-2]-'0')%2+'0']; s.device != want {
			t.Errorf("%s was on %s", s.id, s.device)
		}
		for _, other := range near {
			if s.meets(other) {
				t.Errorf("%s ran beside %s, which uses all GPUs", s.id, other.id)
			}
		}
	}
	if overlapping(x) < 4 || overlapping(near) > 0 {
		t.Errorf("%v %v", x, near)
	}
	w.write("configs/s.yaml", strings.Replace(w.read("configs/s.yaml"), "n % 2", "n", 1))
	if _, _, err := w.run(pool(0, 1)); err == nil || !strings.Contains(err.Error(), `stage "x": gpu is 2, and the pool has [0 1]`) {
		t.Errorf("pinned outside of the pool: %v", err)
	}
}

// A GPU that is lost is left out: its cell is measured on another, and what it measured
// before stands. Without another, or pinned to it, the cell fails.
func TestLostGPU(t *testing.T) {
	lost := func(w *workspace, gpus ...int) engine.Options {
		opt := pool(gpus...)
		opt.Pool.Lost = func(gpu int) error {
			if _, err := os.Stat(filepath.Join(w.root, "lost")); err == nil && gpu == 1 {
				return errors.New("it has fallen off the bus")
			}
			return nil
		}
		return opt
	}
	stages := "  x: {uses: measure, matrix: {n: 6}, with: {value: '${{ n }}', do: '${{ n > 2 ? \"lost\" : \"\" }}'}}\n"
	w := newPool(t, stages)
	res, sight, err := w.run(lost(w, 0, 1))
	if err != nil || len(res.Failures) > 0 || res.Counts[engine.Ran] != 6 {
		t.Fatal(err, res.Failures, res.Counts)
	}
	for _, s := range w.stays(res, w.plan, "x") {
		if s.id > "x[n=2]" && s.device != "sim:0" {
			t.Errorf("%s is from %s", s.id, s.device)
		}
	}
	if len(sight.retries) != 1 || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0].Text, "GPU 1 was lost: it has fallen off the bus; the others of the pool went on") {
		t.Errorf("retried %v, warned %v", sight.retries, res.Warnings)
	}
	w = newPool(t, stages)
	if res, _, err := w.run(lost(w, 1)); err != nil || len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Err.Error(), "no answer") {
		t.Errorf("the only GPU is lost: %v %v", res.Failures, err)
	}
	w = newPool(t, strings.Replace(stages, "matrix", "gpu: 1, matrix", 1))
	opt := lost(w, 0, 1)
	opt.KeepGoing = true
	if res, _, err := w.run(opt); err != nil || len(res.Failures) < 4 || !strings.Contains(res.Failures[1].Err.Error(), "no GPU is left to measure it on: GPU 1 was lost") {
		t.Errorf("pinned to a GPU that is lost: %v %v", res.Failures, err)
	}
}

// Where GPUs cannot be measured on at once, nothing is measured.
func TestSurvey(t *testing.T) {
	w := newPool(t, eight)
	res, sight, err := w.run(pool(0, 7))
	if err == nil || !strings.Contains(err.Error(), "measure on sim:0 and sim:7 at once: GPU 7 is another card, loaded d2h") || len(sight.starts) > 0 {
		t.Errorf("%v, started %v, %v", err, sight.starts, res.Failures)
	}
	if _, sight, err := w.run(pool(7)); err != nil || len(sight.starts) != 8 {
		t.Errorf("on one GPU: %v, started %v", err, sight.starts)
	}
	if _, sight, err := w.run(pool(0, 7)); err != nil || len(sight.starts) > 0 {
		t.Errorf("with nothing to measure: %v, started %v", err, sight.starts)
	}
}

// A run on a pool that is stopped goes on from there, on whichever GPU.
func TestPoolStopped(t *testing.T) {
	w := newPool(t, eight)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, _, err := w.runIn(ctx, pool(0, 1), func(what string) {
		if strings.HasPrefix(what, "x[") {
			if n++; n == 5 {
				cancel()
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	res, sight, err := w.run(pool(1))
	if err != nil || res.Counts[engine.Stood] < 2 || res.Counts[engine.Stood]+len(sight.starts) != 8 {
		t.Errorf("went on with %v, %v, %v", sight.starts, res.Counts, err)
	}
}

// A cell that is tried again keeps its GPU to itself meanwhile.
func TestPoolRetry(t *testing.T) {
	w := newPool(t, "  x: {uses: measure, retries: 2, matrix: {n: 4}, with: {value: '${{ n }}', do: '${{ n == 1 ? \"die\" : \"\" }}'}}\n")
	opt := pool(0, 1)
	opt.Backoff, opt.KeepGoing = time.Millisecond, true
	res, sight, err := w.run(opt)
	if err != nil || len(res.Failures) != 1 || len(sight.retries) != 2 || res.Counts[engine.Ran] != 3 {
		t.Errorf("%v %v, retried %v, %v", err, res.Failures, sight.retries, res.Counts)
	}
	onlyOne(t, w.stays(res, w.plan, "x"))
}

// BenchmarkPool is the time of a study on two GPUs as a share of that on one, where a
// cell waits for its GPU, as most of a measurement does:
//
//	go test -run '^$' -bench Pool ./pipeline/engine
func BenchmarkPool(b *testing.B) {
	took := func(gpus ...int) float64 {
		w := &workspace{t: b, root: b.TempDir()}
		w.write("configs/machines/sim.yaml", "device: sim\n")
		w.write("configs/s.yaml", "study: s\nmachine: sim\ndevices: [sim:0, sim:1]\nstages:\n  x: {uses: measure, matrix: {n: 20}, with: {value: '${{ n }}', do: wait}}\n")
		begun := time.Now()
		if res, _, err := w.run(pool(gpus...)); err != nil || len(res.Failures) > 0 {
			b.Fatal(err, res.Failures)
		}
		return time.Since(begun).Seconds()
	}
	one, two := 0.0, 0.0
	for b.Loop() {
		one, two = one+took(0), two+took(0, 1)
	}
	b.ReportMetric(two/one, "two/one")
}
