#!/bin/sh
# gonum.org/v1/plot v0.17.0: a step line that an axis limit cuts is drawn through points that are not on it.
#
# plotter.Line clips the straight line between the points to the axes first and makes steps of what is left. The
# steps (0, 0) to (10, 1) stay at 0 until 10; on an axis that ends at 5 the drawn line rises to 0.5 there.
#
# Why it hurts: an empirical distribution is a step line, and a long tail is a reason to limit the axis. The
# curve then ends higher than any sample says, and most where samples are few, in the tail.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64, in shares of the picture (the axis' corner is 0.06):
#   the line: (0.06, 0.06) (1.00, 0.06) (1.00, 0.53)
. "$(dirname "$0")/shared/go.sh"
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"
)

func main() {
	line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 10, Y: 1}})
	if err != nil {
		panic(err)
	}
	line.StepStyle = plotter.PostStep
	p := plot.New()
	p.Add(line)
	p.HideAxes()
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 5, 0, 1
	var canvas recorder.Canvas
	p.Draw(draw.NewCanvas(&canvas, 100, 100))
	var path vg.Path
	for _, action := range canvas.Actions { // the last that is drawn
		if stroke, ok := action.(*recorder.Stroke); ok {
			path = stroke.Path
		}
	}
	fmt.Print("the line:")
	for _, part := range path {
		fmt.Printf(" (%.2f, %.2f)", part.Pos.X/100, part.Pos.Y/100)
	}
	fmt.Println()
	first, last := path[0].Pos, path[len(path)-1].Pos
	if len(path) != 3 || last.Y < first.Y+40 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
run gonum.org/v1/plot@v0.17.0
