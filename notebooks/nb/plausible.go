package nb

import (
	"fmt"

	"barograph/stages/judge"
)

// plausible refuses what cannot have been measured, in columns whose meaning is
// the same in every recording: a latency that is no positive whole number of
// nanoseconds, a utilisation far above the whole link. Checksums say that a
// recording is the one that was made, and not that it was measured.
func (d *columns) plausible() error {
	wrong := func(row int, name string, value any) error {
		return fmt.Errorf("line %d, column %s: %v cannot have been measured", row+2, name, value)
	}
	if c := d.byName["latency_ns"]; c != nil {
		if c.ints == nil && d.n > 0 {
			return fmt.Errorf("column latency_ns holds %s, and not whole nanoseconds alone", c.holds())
		}
		for row, v := range c.ints {
			if v < 1 {
				return wrong(row, c.name, v)
			}
		}
	}
	if c := d.byName["utilisation"]; c != nil {
		if c.codes != nil {
			return fmt.Errorf("column utilisation holds %s", c.holds())
		}
		for row, v := range c.ints {
			if v < 0 || v > judge.MostShare {
				return wrong(row, c.name, v)
			}
		}
		for row, v := range c.floats {
			if v < 0 || v > judge.MostShare {
				return wrong(row, c.name, v)
			}
		}
	}
	return nil
}
