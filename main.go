// Barograph measures what pressure on PCIe does to model serving, and runs the
// whole study around it.
package main

import (
	"os"

	"barograph/pipeline/cli"
	"barograph/stages"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], stages.Kinds(), stages.GPUs, stages.Commands(), stages.Checks(), stages.Drawing()))
}
