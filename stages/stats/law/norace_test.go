//go:build !race

package law

func simulations(full int) int { return full }

// slack is none in the full count, where bounds hold to the letter.
func slack(int) float64 { return 0 }
