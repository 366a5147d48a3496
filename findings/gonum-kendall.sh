#!/bin/sh
# gonum.org/v1/gonum v0.17.0: stat.Kendall takes ties for agreement or disagreement, by the order of the rows.
#
# The documentation promises tau-a, in which a tied pair is neither concordant nor discordant: where all of x is
# equal it is 0. Kendall compares the signs of differences, zero counting as positive, and says 1 when y stands in
# ascending order and -1 when the same pairs stand in descending order.
#
# Why it hurts: a load level repeated over replicates is ties throughout. A trend test on such a table reports
# what order the file was written in.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64, x being 1 1 1 1:
#   y ascending:  1
#   y descending: -1
. "$(dirname "$0")/shared/go.sh"
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"os"

	"gonum.org/v1/gonum/stat"
)

func main() {
	level := []float64{1, 1, 1, 1}
	up := stat.Kendall(level, []float64{1, 2, 3, 4}, nil)
	down := stat.Kendall(level, []float64{4, 3, 2, 1}, nil)
	fmt.Println("y ascending: ", up)
	fmt.Println("y descending:", down)
	if up != 1 || down != -1 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
run gonum.org/v1/gonum@v0.17.0
