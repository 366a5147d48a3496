//go:build race

package turns

// slow has the laws of T1 simulated without the race detector only, by `make test` too.
const slow = true
