#!/bin/sh
# gonum.org/v1/plot v0.17.0: a box plot and that of the mirrored values are not mirror images.
#
# plotter.NewBoxPlot takes for the lower quartile the median of the lower part without the middle value, and for
# the upper quartile that of the upper part with it: 1, 2, 3 has quartiles 1 and 2.5. No common definition
# gives that; NumPy says 1.5 and 2.5, the exclusive rule 1 and 3.
#
# Why it hurts: a box is read as a shape. With few replicates, each box leans to one side, and a comparison of a
# speed-up with a slow-down of the same size shows a difference that is none.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#    1  2  3: box from 1 to 2.5, median 2
#   -3 -2 -1: box from -3 to -1.5, median -2
. "$(dirname "$0")/shared/go.sh"
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"os"

	"gonum.org/v1/plot/plotter"
)

func main() {
	right, err := plotter.NewBoxPlot(1, 0, plotter.Values{1, 2, 3})
	if err != nil {
		panic(err)
	}
	left, err := plotter.NewBoxPlot(1, 0, plotter.Values{-3, -2, -1})
	if err != nil {
		panic(err)
	}
	fmt.Printf(" 1  2  3: box from %v to %v, median %v\n", right.Quartile1, right.Quartile3, right.Median)
	fmt.Printf("-3 -2 -1: box from %v to %v, median %v\n", left.Quartile1, left.Quartile3, left.Median)
	if right.Quartile1 == -left.Quartile3 && right.Quartile3 == -left.Quartile1 {
		fmt.Println("CHANGED: they are mirror images")
		os.Exit(1)
	}
}
EOF
run gonum.org/v1/plot@v0.17.0
