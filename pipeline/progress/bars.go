package progress

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

// bars shows a run as two bars on a terminal: the run, with the time left, and
// the cell that runs, with what it is measuring.
type bars struct {
	*lines
	p         *mpb.Progress
	run, cell *mpb.Bar
	current   *plan.Cell
}

func newBars(w io.Writer, foresee func([]*plan.Cell) Forecast) *bars {
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
	may := b.estimate.end(c, o)
	if o.Status == engine.Failed {
		fmt.Fprintf(b.w, "%s failed\n", c.ID)
	}
	if o.Far != "" {
		fmt.Fprintf(b.w, "%s %s: %s\n", c.ID, o.Status, o.Far)
	}
	if b.run != nil && may {
		b.run.Increment()
	}
}

func (b *bars) Close() {
	b.lines.Close()
	if b.run != nil {
		b.cell.Abort(true)
		b.run.Abort(false)
	}
	b.p.Wait()
}
