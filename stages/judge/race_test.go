//go:build race

package judge

// simulations returns how many sets a simulation draws. The race detector makes
// them ten times slower and learns nothing from more; `make test` runs the full
// count without it.
func simulations(full int) int { return full / 25 }
