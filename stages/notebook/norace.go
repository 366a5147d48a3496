//go:build !race

package notebook

const raceDetector = false
