package script_test

import (
	"fmt"
	"os"
	"testing"

	"barograph/stages/notebook/script"
)

// TestMain is the interpreter: a program that hangs or panics must not end the tests.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != "interpret" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
		os.Exit(m.Run())
	}
	switch refusal, failure := script.Run(os.Args[2]); {
	case refusal != nil:
		fmt.Fprintln(os.Stderr, refusal)
		os.Exit(statusRefused)
	case failure != nil:
		fmt.Fprintln(os.Stderr, failure)
		os.Exit(2)
	}
}
