package link

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"barograph/pipeline/cell/unit"
)

// Text writes the card for a reader.
func (c *Card) Text(w io.Writer) error {
	var b strings.Builder
	if c.Simulated {
		b.WriteString("SIMULATED: ")
	}
	fmt.Fprintf(&b, "link of %s", c.Machine)
	if c.GPU != "" {
		fmt.Fprintf(&b, ": %s, PCIe Gen%d x%d, driver %s, CUDA %s", c.GPU, c.Generation, c.Width, c.Driver, c.CUDA)
	}
	if c.MPS {
		b.WriteString(", through MPS")
	}
	fmt.Fprintf(&b, "; %s, in %.0f s; intervals are 95%% ones\n\n", c.Day, float64(c.Took)/1e9)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	ways := slices.Sorted(maps.Keys(c.Ways))
	row := func(name string, text func(w *Way, direction string) string) {
		fmt.Fprint(t, name)
		for _, d := range ways {
			fmt.Fprint(t, "\t", text(c.Ways[d], d))
		}
		fmt.Fprintln(t)
	}
	row("", func(_ *Way, d string) string { return d })
	row("capacity", func(_ *Way, d string) string { return fmt.Sprintf("%.1f GB/s", c.Capacity[d].Value/1e9) })
	row("turn", func(w *Way, _ string) string {
		if !w.Turn.Seen {
			return fmt.Sprintf("none seen up to %s", ms(float64(w.Turn.UpTo)))
		}
		l := w.Turn.Length
		return fmt.Sprintf("%s [%.4f, %.4f]", ms(l.Value), l.Low/1e6, l.High/1e6)
	})
	if first := c.Ways[ways[0]]; first != nil {
		for i, l := range first.Turn.Loads {
			row(fmt.Sprintf("a small copy waits, beside %d x %d x %d of %v", l.Processes, l.Threads, l.Outstanding, unit.Size(l.Block)), func(w *Way, _ string) string {
				if i >= len(w.Turn.Loads) {
					return ""
				}
				l := w.Turn.Loads[i]
				return fmt.Sprintf("%s, each load %.1f GB/s", ms(l.Wait.Value), l.Each/1e9)
			})
		}
	}
	row("a kernel of 1 ms alone, no load and beside one", func(w *Way, _ string) string {
		return fmt.Sprintf("%s, %s", ms(float64(w.Turn.Kernel.Alone)), ms(float64(w.Turn.Kernel.P50)))
	})
	small := func(bytes int64) string {
		if bytes < 0 {
			return "cannot be told"
		}
		if bytes == 0 {
			return "none"
		}
		return fmt.Sprintf("%d bytes", bytes)
	}
	row("small path, nothing pending", func(w *Way, _ string) string { return small(w.Small.Idle) })
	row("small path, behind a kernel", func(w *Way, _ string) string { return small(w.Small.Behind) })
	row("copies in flight that saturate", func(w *Way, _ string) string {
		return fmt.Sprintf("%d of %v", w.Flight.Saturate, unit.Size(w.Flight.Block))
	})
	for i := range c.Ways[ways[0]].Flight.One {
		row(fmt.Sprintf("beside one copy of %v in flight", unit.Size(c.Ways[ways[0]].Flight.One[i].Block)), func(w *Way, _ string) string {
			o := w.Flight.One[i]
			return fmt.Sprintf("%s (alone %s), load %.1f GB/s", ms(float64(o.Victim.P50)), ms(float64(o.Victim.Alone)), o.Bandwidth/1e9)
		})
	}
	t.Flush()
	if both, ok := c.Capacity["both"]; ok && len(ways) > 1 {
		fmt.Fprintf(&b, "both ways at once: %.1f GB/s in all\n", both.Value/1e9)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ms(ns float64) string { return fmt.Sprintf("%.4f ms", ns/1e6) }
