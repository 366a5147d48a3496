package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// An observer shows a run; close leaves the terminal as it was.
type observer interface {
	engine.Observer
	close()
}

// lines shows a run as plain lines: one when a cell ends, one for each file, and now
// and then one for a cell that takes long.
type lines struct {
	mu          sync.Mutex // guards what follows, of which a heartbeat tells
	w           io.Writer
	done, total int
	foresee     func([]*plan.Cell) forecast
	estimate    estimate
	running     map[*plan.Cell]*progress
	stop        chan struct{}
	baseline    func(*plan.Cell) bool
	warned      map[string]bool // kinds of warnings
	first       *plan.Cell      // the first baseline, and its median
	median      float64
}

// A progress is how far a cell has come.
type progress struct {
	since, said time.Time
	far         string
}

// heartbeat is how often a cell that takes longer tells how far it is.
var heartbeat = 30 * time.Second

func newLines(w io.Writer, foresee func([]*plan.Cell) forecast) *lines {
	return &lines{w: w, foresee: foresee, running: map[*plan.Cell]*progress{}, warned: map[string]bool{}, stop: make(chan struct{})}
}

func (l *lines) Begin(p *plan.Plan, cells []*plan.Cell) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total = len(cells)
	if l.baseline == nil {
		l.baseline = p.Baseline
	}
	f := l.foresee(cells)
	l.estimate.begin(cells, f.wall)
	if text := f.String(); text != "" {
		fmt.Fprintf(l.w, "%d cells to run: %s\n", len(cells), text)
	}
	go l.beat()
}

// beat tells of cells that take long, until the run is over.
func (l *lines) beat() {
	tick := time.NewTicker(heartbeat / 4)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		l.mu.Lock()
		for c, p := range l.running {
			if time.Since(p.said) < heartbeat {
				continue
			}
			p.said = time.Now()
			text := fmt.Sprintf("%s runs for %v", c.ID, time.Since(p.since).Round(time.Second))
			if p.far != "" {
				text += ": " + p.far
			}
			fmt.Fprintf(l.w, "%s; %s\n", text, l.estimate.left())
		}
		l.mu.Unlock()
	}
}

func (l *lines) Start(c *plan.Cell, _ string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[c] = &progress{since: time.Now(), said: time.Now()}
	l.estimate.start(c)
}

func (l *lines) Publish(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, "wrote", path)
}

func (l *lines) close() { close(l.stop) }

func (l *lines) Retry(c *plan.Cell, err error, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, c)
	fmt.Fprintf(l.w, "%s failed: %v; again in %v\n", c.ID, err, after)
}

func (l *lines) Event(c *plan.Cell, e cell.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Type == "progress" && e.Total == 0 && e.Text != "" { // preparation, which has no end in sight
		fmt.Fprintf(l.w, "%s: %s\n", c.Stage.Name, e.Text)
	}
	if p := l.running[c]; p != nil && e.Type == "progress" && e.Total > 0 {
		p.far = fmt.Sprintf("%d of %d", e.Done, e.Total)
		if e.Text != "" {
			p.far += " (" + e.Text + ")"
		}
	}
	l.doubt(c, e)
}

// drifts is by how much a baseline's median may differ from the first one's.
const drifts = 0.05

// doubt says at once what makes a measurement doubtful: the first of each kind of
// warning that it is INVALID or was not steady, and a baseline that is not what it was. Those who watch can stop, and need
// not learn it from the verdicts.
func (l *lines) doubt(c *plan.Cell, e cell.Event) {
	if !c.Stage.Kind.Measured {
		return
	}
	switch e.Type {
	case "warning", "unsteady":
		if e.Type == "warning" && !strings.HasPrefix(e.Text, cell.Invalid) {
			return // it waits until the end
		}
		if kind := numbers.ReplaceAllString(e.Text, "#"); !l.warned[kind] {
			l.warned[kind] = true
			fmt.Fprintf(l.w, "warning: %s: %s\n", c.ID, e.Text)
		}
	case "metric":
		median := e.Values["p50_ns"]
		if median <= 0 || l.baseline == nil || !l.baseline(c) {
			return
		}
		if l.first == nil {
			l.first, l.median = c, median
			return
		}
		if drift := median/l.median - 1; math.Abs(drift) > drifts && !l.warned["drift"] {
			l.warned["drift"] = true
			fmt.Fprintf(l.w, "warning: %s: the baseline drifted by %+.0f%% since %s: unless replicates scatter as much, the verdicts will be INVALID; Ctrl-C ends the run, and --wait begins it when the machine is quiet\n",
				c.ID, 100*drift, l.first.ID)
		}
	}
}

func (l *lines) End(c *plan.Cell, o engine.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, c)
	l.estimate.end(c, o)
	if o.Status == engine.Stood {
		return
	}
	l.done++
	fmt.Fprintf(l.w, "[%d/%d] %s %s", l.done, max(l.total, l.done), c.ID, o.Status)
	if o.Wall > 0 {
		fmt.Fprintf(l.w, " in %v", o.Wall.Round(time.Millisecond))
	}
	if o.Far != "" {
		fmt.Fprintf(l.w, ": %s", o.Far)
	}
	if o.Wall >= long && l.done < l.total {
		fmt.Fprintf(l.w, "; %s", l.estimate.left())
	}
	fmt.Fprintln(l.w)
}

// long is how long a cell takes at whose end it is worth saying what is left.
const long = 5 * time.Second

// bars shows a run as two bars on a terminal: the run, with the time left, and
// the cell that runs, with what it is measuring.
type bars struct {
	*lines
	p         *mpb.Progress
	run, cell *mpb.Bar
	current   *plan.Cell
}

func newBars(w io.Writer, foresee func([]*plan.Cell) forecast) *bars {
	b := &bars{lines: newLines(nil, foresee), p: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(150*time.Millisecond))}
	b.lines.w = b.p // lines are written above the bars
	return b
}

func (b *bars) Begin(p *plan.Plan, cells []*plan.Cell) {
	b.lines.Begin(p, cells)
	if len(cells) == 0 {
		return
	}
	b.run = b.p.AddBar(int64(len(cells)),
		mpb.PrependDecorators(decor.Name(p.Study.Name, decor.WC{W: 12, C: decor.DindentRight}), decor.CountersNoUnit("%d/%d", decor.WCSyncWidth)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.estimate.left() })))
	b.cell = b.p.AddBar(0,
		mpb.PrependDecorators(decor.Name("", decor.WC{W: 12}), decor.CountersNoUnit("%d/%d", decor.WCSyncWidth)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.estimate.note() })))
}

func (b *bars) Start(c *plan.Cell, _ string) {
	b.current = c
	b.estimate.start(c)
	b.cell.SetCurrent(0)
	b.cell.SetTotal(0, false)
}

func (b *bars) Event(c *plan.Cell, e cell.Event) {
	b.mu.Lock()
	b.doubt(c, e)
	b.mu.Unlock()
	if e.Type != "progress" || b.cell == nil {
		return
	}
	if e.Text != "" && e.Total == 0 {
		b.estimate.say(c.Stage.Name + ": " + e.Text)
	}
	if c == b.current && e.Total > 0 {
		b.cell.SetTotal(int64(e.Total), false)
		b.cell.SetCurrent(int64(e.Done))
		if e.Text != "" {
			b.estimate.say(c.ID + " " + e.Text)
		}
	}
}

func (b *bars) End(c *plan.Cell, o engine.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, c)
	b.estimate.end(c, o)
	if o.Status == engine.Failed {
		fmt.Fprintf(b.w, "%s failed\n", c.ID)
	}
	if o.Far != "" {
		fmt.Fprintf(b.w, "%s %s: %s\n", c.ID, o.Status, o.Far)
	}
	if b.run != nil && b.estimate.counts(c) {
		b.run.Increment()
	}
}

func (b *bars) close() {
	b.lines.close()
	if b.run != nil {
		b.cell.Abort(true)
		b.run.Abort(false)
	}
	b.p.Wait()
}
