// Package progress shows a run while it goes on: as plain lines, as bars on a
// terminal, as a trace for Perfetto; and says how long it will take.
package progress

import (
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/engine"
	"barograph/pipeline/plan"

	"golang.org/x/term"
)

// An Observer shows a run; Close leaves the terminal as it was.
type Observer interface {
	engine.Observer
	Close()
}

// New returns bars where w is a terminal and bars are wanted, and else plain lines.
// The forecast of the cells that may run is shown first.
func New(w io.Writer, wanted bool, foresee func([]*plan.Cell) Forecast) Observer {
	f, ok := w.(*os.File)
	if ok && wanted && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		return newBars(f, foresee)
	}
	return newLines(&bunch{w: w}, foresee)
}

// lines shows a run as plain lines: one when a cell ends, one for each file, and now
// and then one for a cell that takes long.
type lines struct {
	mu          sync.Mutex // guards what follows, of which a heartbeat tells
	w           io.Writer
	done, total int
	foresee     func([]*plan.Cell) Forecast
	estimate    estimate
	running     map[*plan.Cell]*attempt
	stop        chan struct{}
	baseline    func(*plan.Cell) bool
	warned      map[string]bool     // kinds of warnings
	first       map[string]baseline // of each stage's parameters
}

// A baseline is a trial without load, and the median of its latencies.
type baseline struct {
	cell   *plan.Cell
	median float64
}

// A bunch writes at once what comes rarely, and the rest a moment later: whoever reads the
// lines of thousands of small cells is not woken for each.
type bunch struct {
	w    io.Writer
	mu   sync.Mutex // guards what follows
	text []byte
	last time.Time // of the last write
	due  bool      // whether another will come by itself
}

const moment = 20 * time.Millisecond

func (b *bunch) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, text...)
	switch wait := moment - time.Since(b.last); {
	case b.due:
	case wait <= 0 && text[len(text)-1] == '\n':
		b.write()
	default:
		b.due = true
		time.AfterFunc(wait, b.flush)
	}
	return len(text), nil
}

func (b *bunch) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = false
	b.write()
}

func (b *bunch) write() {
	if len(b.text) > 0 {
		_, _ = b.w.Write(b.text) // nobody hears of lines that nobody sees
		b.text, b.last = b.text[:0], time.Now()
	}
}

// An attempt is a cell that runs, and how far it has come.
type attempt struct {
	since, said time.Time
	far         string
}

// heartbeat is how often a cell that takes longer tells how far it is.
var heartbeat = 30 * time.Second

func newLines(w io.Writer, foresee func([]*plan.Cell) Forecast) *lines {
	return &lines{w: w, foresee: foresee, running: map[*plan.Cell]*attempt{}, warned: map[string]bool{}, first: map[string]baseline{}, stop: make(chan struct{})}
}

func (l *lines) Begin(p *plan.Plan, cells []*plan.Cell) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total = len(cells)
	if l.baseline == nil {
		l.baseline = p.Baseline
	}
	f := l.foresee(cells)
	l.estimate.begin(cells, f)
	if text := f.String(); text != "" {
		fmt.Fprintln(l.w, text)
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
	l.running[c] = &attempt{since: time.Now(), said: time.Now()}
	l.estimate.start(c)
}

func (l *lines) Publish(path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, "wrote", path)
}

func (l *lines) Close() {
	close(l.stop)
	if b, ok := l.w.(*bunch); ok {
		b.flush()
	}
}

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

// drifts is by how much a baseline's median may differ from that of the first one like it.
const drifts = 0.05

// doubt says at once what makes a measurement doubtful: the first of each kind of
// warning that it is INVALID or was not steady, and a baseline that drifts. Those
// who watch can stop, and need not learn it from the verdicts.
func (l *lines) doubt(c *plan.Cell, e cell.Event) {
	if !c.Stage.Kind.Measured {
		return
	}
	switch e.Type {
	case "warning", "unsteady":
		if e.Type == "warning" && !strings.HasPrefix(e.Text, cell.Invalid) {
			return // it waits until the end
		}
		if kind := pattern(e.Text); !l.warned[kind] {
			l.warned[kind] = true
			fmt.Fprintf(l.w, "warning: %s: %s\n", c.ID, e.Text)
		}
	case "metric":
		median := e.Values["p50_ns"]
		if median <= 0 || l.baseline == nil || !l.baseline(c) {
			return
		}
		alike := c.Stage.Name + " " + string(c.With)
		first, known := l.first[alike]
		if !known {
			l.first[alike] = baseline{c, median}
			return
		}
		if drift := median/first.median - 1; math.Abs(drift) > drifts && !l.warned["drift"] {
			l.warned["drift"] = true
			fmt.Fprintf(l.w, "warning: %s: the baseline drifted by %+.0f%% since %s: unless replicates scatter as much, the verdicts will be INVALID; Ctrl-C ends the run, and --wait begins it when the machine is quiet\n",
				c.ID, 100*drift, first.cell.ID)
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

var numbers = regexp.MustCompile(`[0-9][0-9.]*`)

// pattern is a warning without its numbers, by which two may be alike.
func pattern(text string) string { return numbers.ReplaceAllString(text, "#") }

// Warn prints warnings, one line for all that differ in numbers only.
func Warn(w io.Writer, all []engine.Warning) {
	count := map[string]int{}
	for _, x := range all {
		count[pattern(x.Text)]++
	}
	for _, x := range all {
		switch n := count[pattern(x.Text)]; {
		case n == 1:
			fmt.Fprintf(w, "warning: %s: %s\n", x.Cell, x.Text)
		case n > 1:
			fmt.Fprintf(w, "warning: %s: %s (and %d more like it)\n", x.Cell, x.Text, n-1)
		}
		delete(count, pattern(x.Text))
	}
}
