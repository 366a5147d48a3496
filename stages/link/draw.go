package link

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"barograph/stages/figure"
)

var formats = []string{"svg", "pdf", "png", "csv"}

// figures are the files of the figures of a card's name, relative to the workspace.
func figures(of string) (files []string) {
	for _, name := range []string{"staircase", "small-path"} {
		for _, format := range formats {
			files = append(files, filepath.Join("figures", "link", of, name+"."+format))
		}
	}
	return files
}

// draw draws a card's figures below a folder, under a name.
func (c *Card) draw(root, of string) error {
	stairs, err := c.Staircase()
	if err != nil {
		return fmt.Errorf("draw the staircase: %w", err)
	}
	small, err := c.SmallPath()
	if err != nil {
		return fmt.Errorf("draw the small path: %w", err)
	}
	for i, name := range figures(of) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := []*figure.Figure{stairs, small}[i/len(formats)].Save(path); err != nil {
			return err
		}
	}
	return nil
}

func (c *Card) where() string {
	where := cmp.Or(c.GPU, c.Machine)
	if c.MPS {
		where += ", through MPS"
	}
	return where
}

// Staircase draws what calls take beside loads against what they take alone.
func (c *Card) Staircase() (*figure.Figure, error) {
	s := figure.PanelsSpec{
		Title:     "A call beside loads of other processes, against the same call alone",
		Simulated: c.Simulated,
		Caption:   []string{fmt.Sprintf("Medians of a kernel's and a small copy's calls on %s, %s; bars: from p10 to p90.", c.where(), c.Day)},
		YScale:    figure.Linear,
	}
	for _, d := range slices.Sorted(maps.Keys(c.Ways)) {
		t := c.Ways[d].Turn
		p := figure.PointsSpec{XLabel: d + ": call alone (ms)", YLabel: "call beside loads (ms)", XScale: figure.Linear}
		for n := 1; n <= 3; n++ {
			series := figure.PointSeries{Label: plural(n, "load")}
			for _, x := range t.Steps {
				if x.Processes == n {
					series.X, series.Y = append(series.X, float64(x.Alone)/1e6), append(series.Y, float64(x.P50)/1e6)
					series.Low, series.High = append(series.Low, float64(x.P10)/1e6), append(series.High, float64(x.P90)/1e6)
				}
			}
			if len(series.X) > 0 {
				p.Series = append(p.Series, series)
			}
		}
		if t.Seen {
			law := figure.Curve{Label: "rounded up to a turn"}
			end := float64(t.UpTo)
			for k := 0.0; k*t.Length.Value < end; k++ {
				from, to := k*t.Length.Value, math.Min(end, (k+1)*t.Length.Value)
				y := ((k+1)*t.Length.Value + t.Own.Value) / 1e6
				law.X, law.Y = append(law.X, (from+t.Own.Value)/1e6, (to+t.Own.Value)/1e6), append(law.Y, y, y)
			}
			p.Curves = append(p.Curves, law)
			s.Caption = append(s.Caption, fmt.Sprintf("%s: a turn is %.4f ms, from %.4f to %.4f.", d, t.Length.Value/1e6, t.Length.Low/1e6, t.Length.High/1e6))
		} else {
			s.Caption = append(s.Caption, fmt.Sprintf("%s: no turn seen up to %.1f ms.", d, float64(t.UpTo)/1e6))
		}
		s.Panels = append(s.Panels, p)
	}
	return figure.Panels(s)
}

func plural(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// SmallPath draws what copies take beside a load against their size.
func (c *Card) SmallPath() (*figure.Figure, error) {
	s := figure.PanelsSpec{
		Title:     "A copy beside a load of another process, by its size",
		Simulated: c.Simulated,
		Caption:   []string{fmt.Sprintf("Medians on %s, %s; bars: from p10 to p90.", c.where(), c.Day)},
		YScale:    figure.Log,
	}
	for _, d := range slices.Sorted(maps.Keys(c.Ways)) {
		small := c.Ways[d].Small
		p := figure.PointsSpec{XLabel: d + ": bytes", YLabel: "call (ms)", XScale: figure.Log}
		for _, behind := range []bool{false, true} {
			name := "nothing pending"
			limit := small.Idle
			if behind {
				name, limit = "behind a kernel", small.Behind
			}
			beside := figure.PointSeries{Label: name, Join: true}
			alone := figure.PointSeries{Label: "without load", Join: true}
			for _, x := range small.Sizes {
				if x.Behind == behind {
					beside.X, beside.Y = append(beside.X, float64(x.Bytes)), append(beside.Y, float64(x.P50)/1e6)
					beside.Low, beside.High = append(beside.Low, float64(x.P10)/1e6), append(beside.High, float64(x.P90)/1e6)
					alone.X, alone.Y = append(alone.X, float64(x.Bytes)), append(alone.Y, float64(x.Alone)/1e6)
				}
			}
			if len(beside.X) == 0 {
				continue
			}
			p.Series = append(p.Series, beside)
			if !behind {
				p.Series = append(p.Series, alone)
			}
			if limit > 0 {
				s.Caption = append(s.Caption, fmt.Sprintf("%s, %s: copies of up to %d bytes are not delayed.", d, name, limit))
			}
		}
		s.Panels = append(s.Panels, p)
	}
	return figure.Panels(s)
}
