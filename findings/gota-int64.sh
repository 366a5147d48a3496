#!/bin/sh
# github.com/go-gota/gota v0.12.0: a series of integers that is made from []int64 is NaN throughout.
#
# series.New(values, series.Int, name) takes values of any type. What is an int, a float64, a string, a bool or
# a slice of these is taken over; a []int64 is none of them, so each element becomes NaN. The length is right,
# the type is right, Err is nil, and a data frame takes the column without a word.
#
# Why it hurts: time.Duration, syscall times, and every integer column of a binary format are int64 in Go.
# Latencies in nanoseconds are what one would first put into a frame; they are gone, and sums of them are NaN.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   from []int:   [1226883 1265144] <nil>
#   from []int64: [NaN NaN] <nil>
. "$(dirname "$0")/shared/go.sh"
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"os"

	"github.com/go-gota/gota/series"
)

func main() {
	narrow := series.New([]int{1226883, 1265144}, series.Int, "latency_ns")
	wide := series.New([]int64{1226883, 1265144}, series.Int, "latency_ns")
	fmt.Println("from []int:  ", narrow, narrow.Err)
	fmt.Println("from []int64:", wide, wide.Err)
	if narrow.HasNaN() || !wide.HasNaN() || wide.Err != nil || wide.Len() != 2 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
run github.com/go-gota/gota@v0.12.0
