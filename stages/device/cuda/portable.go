//go:build !cuda

package cuda

import (
	"fmt"

	"barograph/pipeline/cell"
)

// Open fails: this program cannot use a GPU.
func Open(name string) (GPU, error) {
	return nil, cell.Hint(fmt.Errorf("open device %q: this is the portable program, which has no GPU support", name),
		"build barograph-cuda with `make cuda`, or measure another device with --machine host or sim")
}
