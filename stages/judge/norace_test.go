//go:build !race

package judge

func simulations(full int) int { return full }
