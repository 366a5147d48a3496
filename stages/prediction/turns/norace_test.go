//go:build !race

package turns

const slow = false
