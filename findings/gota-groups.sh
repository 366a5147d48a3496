#!/bin/sh
# github.com/go-gota/gota v0.12.0: GroupBy puts different values into one group.
#
# The key of a group is text. A float enters it with six decimals, so times of 1, 20 and 300 ns in seconds are
# one group; several columns are joined by "_", so ("a_b", "c") and ("a", "b_c") are one group as well. The
# columns themselves keep their values; only the grouping is wrong, and there is no error.
#
# Why it hurts: levels of a load, rates as shares, and times in seconds are floats below one; names of models
# and directions have underscores. An aggregate over merged groups looks like any other.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   4 different times in seconds: 2 groups
#   2 different pairs of names: 1 group
. "$(dirname "$0")/shared/go.sh"
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"os"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

func main() {
	times := dataframe.New(series.New([]float64{1e-9, 20e-9, 300e-9, 2e-6}, series.Float, "seconds"))
	names := dataframe.New(
		series.New([]string{"a_b", "a"}, series.String, "model"),
		series.New([]string{"c", "b_c"}, series.String, "load"))
	byTime := len(times.GroupBy("seconds").GetGroups())
	byNames := len(names.GroupBy("model", "load").GetGroups())
	fmt.Println("4 different times in seconds:", byTime, "groups")
	fmt.Println("2 different pairs of names:", byNames, "group")
	if byTime != 2 || byNames != 1 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
run github.com/go-gota/gota@v0.12.0
