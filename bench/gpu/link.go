package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/stages/kind/stress"
	"barograph/stages/result"
)

const (
	leastShare  = 0.97 // of copy.cu's bandwidth, for blocks of leastBlock and more
	leastBlock  = 8 << 20
	rateWithin  = 0.02 // of the capacity
	rateThreads = 4
	rateBlock   = 4 << 20
	copyRounds  = "2" // of copy.cu, each time that it runs
	attempts    = 2   // at a rate, as many times the rounds, where the link does not carry it
)

// What becomes of a comparison.
const (
	holds       = "holds"
	fails       = "fails"
	notCarried  = "the link could not carry it"
	notCompared = "nothing to compare with"
)

var directions = []string{"h2d", "d2h"}

// link compares the stressor with copy.cu and its rates with what was asked, in
// rounds: the memory of a virtual machine's host is others' too, and what the link
// carries changes within seconds. copy.cu runs before each round of bandwidths, and
// the best of its rounds stands against the best of ours. Each window under a rate
// lies between two of the same load without one, which tell the limiter from the
// link: see judgeRate. Everything is printed as CSV; rounds, before and after are
// bytes per second in the order measured.
func link(ctx context.Context, args []string) error {
	f := flags("link")
	device := f.String("device", "cuda", "device, such as cuda:1, host or sim")
	program := f.String("copy", "", "the `program` made of copy.cu; without it bandwidths are printed beside the capacity")
	each := f.Duration("each", 300*time.Millisecond, "how long each load is measured")
	rounds := f.Int("rounds", 3, "how many times each load is measured")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *each <= 0 {
		return fmt.Errorf("-rounds %d, -each %v: want at least one round, and a time", *rounds, *each)
	}
	l := newLoader(*device, *each, *rounds)
	if *program != "" {
		path, err := filepath.Abs(*program)
		if err != nil {
			return err
		}
		l.plain = func() (bandwidths, error) { return runCopies(ctx, path, copyRounds) }
	}
	return l.link(ctx, os.Stdout)
}

func newLoader(device string, each time.Duration, rounds int) *loader {
	l := &loader{machine: cell.Machine{Name: device, Device: device}, each: each, rounds: rounds}
	l.press = l.serve
	return l
}

// A loader puts loads on a link, one after another, in this process.
type loader struct {
	machine cell.Machine
	each    time.Duration
	rounds  int
	plain   func() (bandwidths, error) // runs copy.cu, if there is one
	press   func(context.Context, *stress.With) (*result.Stress, error)

	calibration string // the file, once there is one
}

func (l *loader) link(ctx context.Context, to io.Writer) error {
	return l.calibrated(ctx, func(capacity map[string]float64) error {
		t := &table{out: csv.NewWriter(to), found: map[string]int{}}
		t.write("check", "direction", "block_bytes", "asked", "bytes_per_s", "of", "share", "verdict", "rounds", "before", "after")
		if err := l.bandwidths(ctx, t, capacity); err != nil {
			return err
		}
		for _, direction := range directions {
			if err := l.rates(ctx, t, direction, capacity[direction]); err != nil {
				return err
			}
		}
		return t.conclude()
	})
}

// calibrated calls f with the capacity of each direction.
func (l *loader) calibrated(ctx context.Context, f func(capacity map[string]float64) error) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "barograph-link-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chdir(dir); err != nil { // where a cell leaves its outputs
		return err
	}
	defer func() { _ = os.Chdir(here) }()

	calibration := load()
	calibration.Mode, calibration.Directions = "capacity", directions
	r, err := l.press(ctx, calibration)
	if err != nil {
		return err
	}
	l.calibration = filepath.Join(dir, "capacity.json")
	if err := os.Rename(result.StressFile, l.calibration); err != nil {
		return err
	}
	return f(r.Capacity)
}

// again runs the plain program, if there is one, and adds what it found.
func (l *loader) again(to bandwidths) error {
	if l.plain == nil {
		return nil
	}
	found, err := l.plain()
	for k, v := range found {
		to[k] = append(to[k], v...)
	}
	return err
}

// bandwidths compares the best of each block size with the best of copy.cu.
func (l *loader) bandwidths(ctx context.Context, t *table, capacity map[string]float64) error {
	ours, plain := bandwidths{}, bandwidths{}
	for range l.rounds {
		if err := l.again(plain); err != nil {
			return err
		}
		for _, direction := range directions {
			for block := int64(leastBlock); block <= 64<<20; block *= 2 {
				// As copy.cu: two streams, several copies queued on each.
				w := load()
				w.Threads, w.Outstanding, w.Block, w.Direction = 2, 8, unit.Size(block), direction
				r, err := l.press(ctx, w)
				if err != nil {
					return err
				}
				k := point{direction, block, queued}
				ours[k] = append(ours[k], r.Achieved)
			}
		}
	}
	for _, direction := range directions {
		for block := int64(leastBlock); block <= 64<<20; block *= 2 {
			k := point{direction, block, queued}
			best, of, name, verdict := slices.Max(ours[k]), capacity[direction], "capacity", notCompared
			if l.plain != nil {
				if len(plain[k]) == 0 {
					return fmt.Errorf("copy.cu said nothing of %s, blocks of %v", direction, unit.Size(block))
				}
				of, name, verdict = slices.Max(plain[k]), "copy.cu", fails
				if best >= leastShare*of {
					verdict = holds
				}
			}
			t.row("bandwidth against "+name, k, "max", best, of, verdict, ours[k], plain[k], nil)
		}
	}
	return nil
}

// A window is what a load achieved at a rate, and without one before and after,
// in bytes per second.
type window struct{ got, before, after float64 }

// rates measures a load in one direction at each rate until the link could carry
// as many windows of it as there are rounds, or has had its attempts.
func (l *loader) rates(ctx context.Context, t *table, direction string, capacity float64) error {
	at := func(rate unit.Rate) (*result.Stress, error) {
		w := load()
		w.Threads, w.Outstanding, w.Block, w.Direction, w.Rate = rateThreads, 2, rateBlock, direction, rate
		return l.press(ctx, w)
	}
	free, err := at(unit.Rate{})
	if err != nil {
		return err
	}
	var percents []int
	for p := 10; p <= 90; p += 10 {
		percents = append(percents, p)
	}
	windows := map[int][]window{}
	for pass, lacking := 0, percents; pass < attempts*l.rounds && len(lacking) > 0; pass++ {
		var still []int
		for _, p := range lacking {
			share := float64(p) / 100
			limited, err := at(unit.Rate{Share: share})
			if err != nil {
				return err
			}
			after, err := at(unit.Rate{})
			if err != nil {
				return err
			}
			windows[p] = append(windows[p], window{limited.Achieved, free.Achieved, after.Achieved})
			free = after
			if len(carried(windows[p], share*capacity, capacity)) < l.rounds {
				still = append(still, p)
			}
		}
		lacking = still
	}
	for _, p := range percents {
		got, verdict := judgeRate(float64(p)/100*capacity, capacity, windows[p], l.rounds)
		var limited, before, after []float64
		for _, w := range windows[p] {
			limited, before, after = append(limited, w.got), append(before, w.before), append(after, w.after)
		}
		t.row("rate against capacity", point{direction, rateBlock, queued}, fmt.Sprintf("%d%%", p), got, capacity, verdict, limited, before, after)
	}
	return nil
}

// judgeRate says what a load was held to, and whether that is the rate asked for.
// A limiter cannot give what the link has not: a window counts where the same
// load reached the rate without a limit both before it and after it, whatever
// became of the window itself; one that exceeds the rate counts always. The median of those that count is judged, unless
// they are less than half of what was wanted; then that of all is returned.
func judgeRate(asked, capacity float64, windows []window, wanted int) (got float64, verdict string) {
	counted := carried(windows, asked, capacity)
	if 2*len(counted) < wanted || len(counted) == 0 {
		all := make([]float64, len(windows))
		for i, w := range windows {
			all[i] = w.got
		}
		return middle(all), notCarried
	}
	if got = middle(counted); math.Abs(got-asked) <= rateWithin*capacity {
		return got, holds
	}
	return got, fails
}

// carried returns what was achieved in the windows that count.
func carried(windows []window, asked, capacity float64) (got []float64) {
	for _, w := range windows {
		if min(w.before, w.after) >= asked || w.got > asked+rateWithin*capacity {
			got = append(got, w.got)
		}
	}
	return got
}

// middle returns the median.
func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// load returns a load without threads.
func load() *stress.With { return stress.Kind().With().(*stress.With) }

// serve runs a load as the engine does, but in this process: starting one and
// making a context on the GPU would take most of the time, in which the link
// changes.
func (l *loader) serve(ctx context.Context, w *stress.With) (*result.Stress, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	w.Duration, w.Settle = unit.Duration(l.each), unit.Duration(time.Second)
	name := fmt.Sprintf("%s, %d x %v, rate %v", w.Direction, w.Threads, w.Block, w.Rate)
	if w.Mode == "capacity" {
		name = "capacity"
	}
	with, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	spec := cell.Spec{Kind: "stress", Stage: "stress", ID: name, With: with, Machine: l.machine}
	if l.calibration != "" {
		spec.Inputs = []cell.Input{{Stage: "calibrate", Kind: "stress", ID: "calibrate", Files: map[string]string{result.StressFile: l.calibration}}}
	}
	line, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var events bytes.Buffer
	failed := cell.Serve(cell.NewKinds(stress.Kind()), bytes.NewReader(append(line, '\n')), &events)
	if err := said(events.Bytes()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	} else if failed != nil {
		return nil, fmt.Errorf("%s: %w", name, failed)
	}
	r := &result.Stress{}
	if err := cell.ReadJSON(result.StressFile, r); err != nil {
		return nil, err
	}
	if w.Mode == "load" {
		fmt.Fprintf(os.Stderr, "%s: %.2f GB/s\n", name, r.Achieved/1e9)
	}
	return r, nil
}

// said returns the error among a cell's events, if there is one.
func said(events []byte) error {
	for d := json.NewDecoder(bytes.NewReader(events)); ; {
		var e cell.Event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what the cell said: %w", err)
		}
		if e.Type == "error" {
			return cell.Hint(errors.New(e.Text), "%s", e.Hint)
		}
	}
}

// A point is a direction, the bytes of a copy, and how many are in flight.
type point struct {
	direction string
	block     int64
	flight    int
}

// queued copies are as many as there are.
const queued = 0

// Bandwidths are bytes per second, round by round.
type bandwidths map[point][]float64

// runCopies runs copy.cu or loops.cu for so long, which inherits the stressor's processors from this process.
func runCopies(ctx context.Context, program, length string) (bandwidths, error) {
	cmd := exec.CommandContext(ctx, program, length)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	return readCopies(out)
}

// readCopies reads what copy.cu prints, or loops.cu, which says how many are in flight.
func readCopies(text []byte) (bandwidths, error) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read copy.cu: %w", err)
	}
	found := bandwidths{}
	for _, r := range rows[min(1, len(rows)):] {
		if len(r) < 3 || len(r) > 4 {
			return nil, fmt.Errorf("read copy.cu: %q is no line of it", r)
		}
		block, wrong := strconv.ParseInt(r[1], 10, 64)
		rate, bad := strconv.ParseFloat(r[len(r)-1], 64)
		flight, worse := queued, error(nil)
		if len(r) == 4 {
			flight, worse = strconv.Atoi(r[2])
		}
		if !slices.Contains(directions, r[0]) || wrong != nil || bad != nil || worse != nil {
			return nil, fmt.Errorf("read copy.cu: %q is no line of it", r)
		}
		k := point{r[0], block, flight}
		found[k] = append(found[k], rate)
	}
	return found, nil
}

// A table prints what is compared, and counts what becomes of it.
type table struct {
	out   *csv.Writer
	found map[string]int // by verdict
}

func (t *table) write(fields ...string) {
	_ = t.out.Write(fields) // a writer keeps its error until Flush
	t.out.Flush()
}

func (t *table) row(check string, p point, asked string, got, of float64, verdict string, rounds, before, after []float64) {
	t.found[verdict]++
	t.write(check, p.direction, strconv.FormatInt(p.block, 10), asked, fmt.Sprintf("%.0f", got), fmt.Sprintf("%.0f", of),
		fmt.Sprintf("%.4f", got/of), verdict, whole(rounds), whole(before), whole(after))
}

func whole(v []float64) string { return strings.Trim(fmt.Sprintf("%.0f", v), "[]") }

// conclude says what does not hold, and otherwise what could not be told.
func (t *table) conclude() error {
	if err := t.out.Error(); err != nil {
		return err
	}
	n := t.found
	text := fmt.Sprintf("of %d comparisons %d hold, %d fail, and %d are of a rate that the link could not carry meanwhile",
		n[holds]+n[fails]+n[notCarried], n[holds], n[fails], n[notCarried])
	switch {
	case n[fails] > 0:
		return fmt.Errorf("%s: want at least %g%% of copy.cu, and rates within %g points", text, 100*leastShare, 100*rateWithin)
	case n[notCarried] > 0:
		// Nothing can be said of such a comparison, as of a study that is INVALID.
		return cell.End(errors.New(text), cell.StatusInvalid)
	}
	return nil
}
