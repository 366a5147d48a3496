package progress

import (
	"fmt"
	"time"

	"barograph/pipeline/cell/unit"
	"barograph/pipeline/plan"
	"barograph/pipeline/store"
)

// A Forecast says how long cells will take and how much disk, by what they took the
// last time, or else by what other cells of their stages did.
type Forecast struct {
	wall    map[*plan.Cell]time.Duration
	disk    int64
	pool    int // GPUs that cells are measured on at once
	unknown int // cells of stages of which none ever ran
}

// Foresee returns the forecast of cells of a plan.
func Foresee(p *plan.Plan, s *store.Store, cells []*plan.Cell) Forecast {
	took := func(c *plan.Cell) (wall time.Duration, size int64, ok bool) {
		last := s.Latest(p.Name(c))
		if last == nil {
			return 0, 0, false
		}
		for _, x := range append([]*plan.Cell{c}, c.Gang...) {
			if r := s.Latest(p.Name(x)); r != nil {
				for _, f := range r.Files {
					size += f.Size
					if x.Place(f.Name) != "" { // a copy in the workspace
						size += f.Size
					}
				}
			}
		}
		return last.Wall, size, true
	}
	ended := map[string]mean{}
	for _, c := range p.Cells {
		if wall, size, ok := took(c); ok && c.Trial == nil {
			ended[c.Stage.Name] = ended[c.Stage.Name].plus(wall, size)
		}
	}
	f := Forecast{wall: map[*plan.Cell]time.Duration{}, pool: max(1, len(p.Study.Pool))}
	for _, c := range cells {
		wall, size, ok := took(c)
		if like := ended[c.Stage.Name]; !ok && like.n > 0 {
			wall, size = like.of()
			ok = true
		}
		if !ok {
			f.unknown++
			continue
		}
		f.wall[c] = f.share(c, wall)
		f.disk += size
	}
	return f
}

// share is what a cell adds to the time of a run that measures on several GPUs at once.
func (f Forecast) share(c *plan.Cell, wall time.Duration) time.Duration {
	if !c.Stage.Kind.Measured {
		return wall
	}
	return wall / time.Duration(max(1, f.pool))
}

// String says it in one line; nothing where nothing is to run.
func (f Forecast) String() string {
	text := fmt.Sprintf("%d cells to run: ", len(f.wall)+f.unknown)
	switch len(f.wall) + f.unknown {
	case 0:
		return ""
	case 1:
		text = "1 cell to run: "
	}
	var all time.Duration
	for _, wall := range f.wall {
		all += wall
	}
	if len(f.wall) == 0 {
		return text + "how long this takes, and how much disk, is known once a first cell of each stage has ended"
	}
	text += fmt.Sprintf("about %s, and %v of disk, as the last time", about(all), unit.Size(f.disk))
	if f.unknown > 0 {
		text += fmt.Sprintf("; and %d cells of stages that have no time yet", f.unknown)
	}
	return text
}

// about writes a duration as one who waits reads it.
func about(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "2 s"
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 100*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
