package cli

import (
	"fmt"
	"io"
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

// lines shows a run as plain lines: one when a cell ends, one for each file.
type lines struct {
	w           io.Writer
	done, total int
}

func (l *lines) Begin(_ *plan.Plan, cells []*plan.Cell) { l.total = len(cells) }
func (l *lines) Start(*plan.Cell, string)               {}
func (l *lines) Publish(path string)                    { fmt.Fprintln(l.w, "wrote", path) }
func (l *lines) close()                                 {}
func (l *lines) Retry(c *plan.Cell, err error, after time.Duration) {
	fmt.Fprintf(l.w, "%s failed: %v; again in %v\n", c.ID, err, after)
}
func (l *lines) Event(c *plan.Cell, e cell.Event) {
	if e.Type == "progress" && e.Total == 0 && e.Text != "" { // preparation, which has no end in sight
		fmt.Fprintf(l.w, "%s: %s\n", c.Stage.Name, e.Text)
	}
}

func (l *lines) End(c *plan.Cell, o engine.Outcome) {
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
	fmt.Fprintln(l.w)
}

// bars shows a run as two bars on a terminal: the run, with the time left, and
// the cell that runs, with what it is measuring.
type bars struct {
	lines
	p         *mpb.Progress
	run, cell *mpb.Bar
	current   *plan.Cell
	estimate  estimate
}

func newBars(w io.Writer) *bars {
	b := &bars{p: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(150*time.Millisecond))}
	b.lines.w = b.p // lines are written above the bars
	return b
}

func (b *bars) Begin(p *plan.Plan, cells []*plan.Cell) {
	b.lines.Begin(p, cells)
	if len(cells) == 0 {
		return
	}
	b.estimate.begin(cells)
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
	if b.run != nil {
		b.cell.Abort(true)
		b.run.Abort(false)
	}
	b.p.Wait()
}
