//go:build race

package notebook

// The race detector maps far more memory than the program uses.
const raceDetector = true
