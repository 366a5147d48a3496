package script

import (
	_ "embed"
)

//go:embed warm.go.txt
var typical []byte

// Warm checks and lowers a typical notebook, so that the types and the code which
// the next one needs are there: of what a first notebook costs, three quarters.
func Warm() error {
	_, err := parse(typical, "typical")
	return err
}
