// Package collect joins what the cells of a study measured into one recording:
// samples.csv with a row for every timed call, run.json with everything that is
// true of more than one call, and the checksums of both.
//
// samples.csv is tidy: one row a call, rows in the plan's order of cells (the
// order of the matrix, levels first, whatever order was drawn) and in order of
// time within a cell. run.json says what each column means: the fixed ones
// first, then one for each matrix axis other than level and replicate, where an
// axis whose name is taken gets the prefix "axis_". A study without those two axes has level 0 and replicate 1. A field
// is empty when the value is unknown, never when it is zero.
//
// The design's digest, the environment and the raw samples are stored together,
// with checksums, and figures are drawn from them alone (rule 15).
//
// The bytes depend on the inputs alone; only where the infer cells did not
// record their environment, run.json holds that of collect.
package collect

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/device"
	"barograph/stages/device/gpu"
	"barograph/stages/recording"
	"barograph/stages/result"
)

// With is the parameters of collect.
type With struct {
	Compress bool `json:"compress" doc:"leaves samples.csv.gz in place of samples.csv"`
}

// file returns the name of the file of samples.
func (w *With) file() string {
	if w.Compress {
		return record.Samples + record.Packed
	}
	return record.Samples
}

// A run is the recording in the making.
type run struct {
	recording.Run
	fields []recording.Field
	files  []files  // of each trial
	found  []string // collect's own warnings
}

// files are the paths of what a trial's cells left.
type files struct {
	calls, copies string // copies is empty without a load
	round         int    // of which the calls are; 0: of all
}

// Kind returns the stage kind collect.
func Kind() *cell.Kind {
	return &cell.Kind{
		Name:    "collect",
		Version: "3",
		Doc:     "joins the measurements of a study into data/<study>/<machine>/",
		With:    func() any { return &With{} },
		Publishes: func(study, machine string, with any) []string {
			dir := record.Dir(study, machine)
			return []string{path.Join(dir, with.(*With).file()), path.Join(dir, record.Run), path.Join(dir, record.Sums)}
		},
		Page:     page,
		Recorded: recording.Recorded,
		Agree:    recording.Agree,
		Run:      collect,
	}
}

func collect(ctx context.Context, c *cell.Cell) error {
	with := c.With.(*With)
	r, err := join(&c.Spec)
	if err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	dir := record.Dir(c.Study, c.Machine.Name)
	if err := create(c, path.Join(dir, with.file()), func(w *bufio.Writer) error {
		rows := func(w *bufio.Writer) error {
			return r.samples(ctx, w, func(done int) { c.Progress(done, len(r.Trials), r.Trials[done-1].ID) })
		}
		if with.Compress {
			return recording.Pack(w, rows)
		}
		return rows(w)
	}); err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	if err := create(c, path.Join(dir, record.Run), func(w *bufio.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(&r.Run)
	}); err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	if err := record.WriteSums(dir); err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	for _, w := range r.found { // the cells have told theirs themselves
		c.Warn("%s", w)
	}
	c.Metric(map[string]float64{"rows": float64(r.Rows)})
	return nil
}

func create(c *cell.Cell, name string, write func(*bufio.Writer) error) (err error) {
	f, err := c.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// join reads everything but the calls, and finds the background and the
// capacity of each trial.
func join(s *cell.Spec) (*run, error) {
	r := &run{Run: recording.Run{
		Head: record.Head{
			Schema: record.Schema, Study: s.Study, Digest: s.Digest,
			Seed: s.StudySeed, Machine: s.Machine, Order: s.Order,
		},
		Utilisation: recording.Utilisation{
			Numerator:   "bytes that the stressor copied within the trial's window, over its length",
			Denominator: "the calibrated capacity of the trial's direction (capacity_bytes_per_s, from capacity_from)",
			Link:        s.Machine.Link,
		},
	}}
	loads := map[string][]load{}
	for _, in := range s.OfKind("stress") {
		var stress result.Stress
		if err := read(in, result.StressFile, &stress); err != nil {
			return nil, err
		}
		r.repeat(in.ID, stress.Warnings)
		if stress.Mode == "capacity" {
			r.Calibrations = append(r.Calibrations, recording.Calibration{ID: in.ID, Seq: in.Seq, Point: in.Point, With: in.With, Result: stress})
		} else {
			loads[in.During] = append(loads[in.During], load{in.ID, in.With, stress, in.Files[result.CopiesFile]})
		}
	}
	if err := r.neighbours(s.OfKind("neighbours")); err != nil {
		return nil, err
	}
	inputs := s.OfKind("infer")
	if len(inputs) == 0 {
		return nil, cell.Hint(errors.New("no infer cell among the inputs"), "name the infer stage in the needs: of %s", s.Stage)
	}
	foregrounds := map[string]cell.Input{}
	stressed := map[string]bool{} // by the stage of trials' foregrounds
	for _, in := range inputs {
		if in.During == "" {
			foregrounds[in.ID] = in
			stressed[in.Stage] = stressed[in.Stage] || len(loads[in.ID]) > 0
		}
	}
	for _, in := range inputs {
		fg, ok := foregrounds[cmp.Or(in.During, in.ID)]
		if !ok {
			return nil, cell.Hint(fmt.Errorf("%s was measured beside %s, which is not among the inputs", in.ID, in.During), "name both stages in the needs: of %s", s.Stage)
		}
		in.Point = fg.Point // which has all axes of its background's
		t, err := r.trial(in, loads[fg.ID], stressed[fg.Stage])
		if err != nil {
			return nil, err
		}
		r.Rows += t.Infer.Calls
		r.Simulated = r.Simulated || t.Simulated()
	}
	if err := r.timelines(); err != nil {
		return nil, err
	}
	r.environment()
	return r, r.header(inputs)
}

// neighbours takes over what the one cell of that kind found.
func (r *run) neighbours(inputs []cell.Input) error {
	switch len(inputs) {
	case 0:
		return nil
	case 1:
		r.Neighbours = &result.Neighbours{}
		err := read(inputs[0], result.NeighboursFile, r.Neighbours)
		r.repeat(inputs[0].ID, r.Neighbours.Warnings)
		return err
	}
	return cell.Hint(fmt.Errorf("%s and %s measured neighbours; a recording has room for one", inputs[0].ID, inputs[1].ID), "measure all directions and replicates in one cell")
}

// A load is what ran in the background of a trial.
type load struct {
	id     string
	with   json.RawMessage
	stress result.Stress
	copies string // path; empty where there is no file
}

func (r *run) trial(in cell.Input, loads []load, stressed bool) (*recording.Trial, error) {
	t := &recording.Trial{ID: in.ID, During: in.During, Stage: in.Stage, Seq: in.Seq, Point: in.Point, With: in.With}
	left := files{calls: in.Files[result.CallsFile]}
	if left.calls == "" {
		return nil, fmt.Errorf("%s left no %s", in.ID, result.CallsFile)
	}
	if err := read(in, result.InferFile, &t.Infer); err != nil {
		return nil, err
	}
	r.repeat(in.ID, t.Infer.Warnings)
	level, _ := in.Point.Get("level")
	switch {
	case len(loads) > 1:
		return nil, cell.Hint(fmt.Errorf("%s had two background cells, %s and %s; a row has room for one", in.ID, loads[0].id, loads[1].id),
			"let one stress stage do both, for example with direction: both")
	case len(loads) == 0 && (stressed || level != nil && level != 0.0):
		return nil, cell.Hint(fmt.Errorf("%s had a background, and no stress cell of its trial is among the inputs", in.ID),
			"name the stage in during: of %s in the needs: of collect too", in.Stage)
	case len(loads) == 1:
		t.Background, t.StressWith, t.Stress, left.copies = loads[0].id, loads[0].with, &loads[0].stress, loads[0].copies
		if t.Stress.Threads > 0 && t.Stress.Window != t.Infer.Window {
			r.warn(t.Background, "achieved bandwidth is of %v, not of the trial's window %v", t.Stress.Window, t.Infer.Window)
		}
		r.capacity(t)
	}
	parts := t.Infer.Apart()
	for i, part := range parts {
		one := *t
		one.Infer, left.round = *part, t.Infer.Tenancy.Groups[i].Round
		r.Trials, r.files = append(r.Trials, &one), append(r.files, left)
	}
	if parts == nil {
		r.Trials, r.files = append(r.Trials, t), append(r.files, left)
	}
	return t, nil
}

// capacity fills in what the trial's direction can carry, and the shares of it
// that were achieved, over each denominator by its name (rule 11).
// A calibration counts if it agrees with the trial on the axes they share; of
// several the largest stands. Without one, the capacity that the stress cell
// was told does. Copies that stay off the link use none of it.
func (r *run) capacity(t *recording.Trial) {
	if d, err := device.Directions(t.Stress.Direction); err == nil && d[0].OffLink() {
		t.Utilisation, t.OfRaw, t.OfModel = new(float64), new(float64), new(float64)
		return
	}
	for _, c := range r.Calibrations {
		if v := along(c.Result.Capacity, t.Stress.Direction); v > t.Capacity && agree(c.Point, t.Point) {
			t.Capacity, t.CapacityFrom = v, c.ID
		}
	}
	if t.Capacity == 0 {
		if v := along(t.Stress.Capacity, t.Stress.Direction); v > 0 {
			t.Capacity, t.CapacityFrom = v, t.Background
		}
	}
	link := func(v float64) float64 {
		return along(map[string]float64{"h2d": v, "d2h": v}, t.Stress.Direction) * float64(max(1, len(t.Stress.Links)))
	}
	if n := len(t.Stress.Links); n > 0 { // those that the load is on, together
		t.Capacity *= float64(n)
	}
	t.OfRaw = share(t.Stress.Achieved, link(r.Machine.Link.Raw))
	t.OfModel = share(t.Stress.Achieved, link(r.Machine.Link.Model))
	switch t.Utilisation = share(t.Stress.Achieved, t.Capacity); {
	case t.Utilisation != nil:
	case t.Stress.Achieved == 0:
		t.Utilisation = new(float64) // nothing is no share of whatever it is
	default:
		r.warn(t.Background, "no calibration of direction %q: utilisation is unknown", t.Stress.Direction)
	}
}

// along returns the capacity of a direction. Both ways at once is what both was
// calibrated at, or else the sum.
func along(capacity map[string]float64, direction string) float64 {
	if v := capacity[direction]; v > 0 || direction != "both" {
		return v
	}
	if capacity["h2d"] > 0 && capacity["d2h"] > 0 {
		return capacity["h2d"] + capacity["d2h"]
	}
	return 0
}

// share returns achieved over capacity, nil if that is unknown.
func share(achieved, capacity float64) *float64 {
	if capacity == 0 {
		return nil
	}
	s := achieved / capacity
	return &s
}

// agree tells whether two points have the same value on every axis of both.
func agree(a, b cell.Point) bool {
	return !slices.ContainsFunc(a, func(c cell.Coordinate) bool {
		v, ok := b.Get(c.Axis)
		return ok && v != c.Value
	})
}

// environment moves the cells' environment to the head. Trials that were
// measured in another, because results are kept over upgrades, keep theirs.
func (r *run) environment() {
	var head *record.Env
	others := 0
	for _, t := range r.Trials {
		e := t.Infer.Environment
		switch {
		case e == nil:
		case head == nil:
			head = e
			fallthrough
		case e.Same(*head):
			t.Infer.Environment = nil
		default:
			others++
		}
	}
	if head == nil {
		here := record.Environment(gpu.Here())
		head = &here
	}
	r.Environment = *head
	if others > 0 {
		text := fmt.Sprintf("%d of %d cells were measured in another environment, which stands beside them", others, len(r.Trials))
		r.Warnings, r.found = append(r.Warnings, text), append(r.found, text)
	}
}

// repeat keeps the warnings that a cell left.
func (r *run) repeat(id string, texts []string) {
	for _, text := range texts {
		r.Warnings = append(r.Warnings, id+": "+text)
	}
}

func (r *run) warn(id, format string, args ...any) {
	text := id + ": " + fmt.Sprintf(format, args...)
	r.Warnings, r.found = append(r.Warnings, text), append(r.found, text)
}

func read(in cell.Input, file string, v any) error {
	if in.Files[file] == "" {
		return fmt.Errorf("%s left no %s", in.ID, file)
	}
	if err := cell.ReadJSON(in.Files[file], v); err != nil {
		return fmt.Errorf("%s: %w", in.ID, err)
	}
	return nil
}
