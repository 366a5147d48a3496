#!/bin/sh
# github.com/go-gota/gota v0.12.0: Filter cuts the value that an integer column is compared with to an integer.
#
# On a column of type Int, the Comparando 2.9 becomes 2 before it is compared, whatever the comparator:
# "== 2.9" finds the rows with 2, and "< 2.9" leaves those rows out. There is no error.
#
# Why it hurts: a bound on integer nanoseconds is often computed (1.5 times a median, an interval's end) and so
# a float. Rows at the cut value fall on the wrong side, which a table of microseconds or of levels shows.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64, the column being 1 2 3 4:
#   == 2.9: [2]
#   <  2.9: [1]
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
	frame := dataframe.New(series.New([]int{1, 2, 3, 4}, series.Int, "level"))
	rows := func(by series.Comparator) string {
		return fmt.Sprint(frame.Filter(dataframe.F{Colname: "level", Comparator: by, Comparando: 2.9}).Col("level"))
	}
	equal, less := rows(series.Eq), rows(series.Less)
	fmt.Println("== 2.9:", equal)
	fmt.Println("<  2.9:", less)
	if equal != "[2]" || less != "[1]" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
run github.com/go-gota/gota@v0.12.0
