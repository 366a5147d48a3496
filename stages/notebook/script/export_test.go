package script

import (
	"context"
	"maps"
	"os"
	"slices"
)

// Run runs a program that is in a file of its own, with no confinement. The
// refusal is nil if it ran.
func Run(file string) (refusal, failure error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return err, nil
	}
	s, err := parse(text, file)
	if err != nil {
		return err, nil
	}
	return nil, s.Interpret(context.Background(), os.Stdout, func(int) {})
}

// Refused returns why a program is not run, nil if it would be.
func Refused(text string) error {
	_, err := parse([]byte(text), "main.go")
	return err
}

// Surprises are the names of what compiled packages do unlike the textbook.
func Surprises() []string { return slices.Sorted(maps.Keys(surprises)) }
