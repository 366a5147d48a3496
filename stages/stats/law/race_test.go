//go:build race

package law

import "math"

// simulations returns how many sets a simulation draws. The race detector makes
// them ten times slower and learns nothing from more; `make test` runs the full
// count without it.
func simulations(full int) int { return full / 25 }

// slack is what a share may miss by in fewer sets than the full count.
func slack(sets int) float64 { return 0.5 / math.Sqrt(float64(sets)) }
