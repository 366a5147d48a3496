//go:build go1.21

// Timeline draws what the link carried while each inference of one trial ran,
// from every copy of its stressor.
package main

import (
	"fmt"
	"math"

	"barograph/notebooks/nb"
	"barograph/stages/figure"
)

func main() {
	// %% [markdown] One trial
	//
	// The line is the bandwidth of the stressor's copies, in slices of time; a copy
	// counts in each slice by the share of its duration there. Below it stand the
	// calls, each from its start to its end. The inputs are what the stress and the
	// infer cell of one trial left.
	calls := nb.Samples("calls.csv", "start_ns", "latency_ns")
	copies := nb.Samples("copies.csv.gz", "start_ns", "bytes", "duration_ns")
	starts := calls.Ints("start_ns")
	latencies := calls.Ints("latency_ns")
	n := nb.Int("calls", 12)
	if n > len(starts) {
		n = len(starts)
	}
	begin := starts[0]
	end := starts[n-1] + latencies[n-1]

	// %% Bandwidth
	slices := nb.Int("slices", 100)
	width := float64(end-begin) / float64(slices)
	carried := make([]float64, slices)
	from := copies.Ints("start_ns")
	bytes := copies.Ints("bytes")
	took := copies.Ints("duration_ns")
	for i, start := range from {
		low := math.Max(0, float64(start-begin))
		high := math.Min(float64(end-begin), float64(start-begin)+float64(took[i]))
		for at := low; at < high; {
			slice := int(at / width)
			next := math.Min(high, float64(slice+1)*width)
			if slice >= slices || next <= at {
				break
			}
			carried[slice] += float64(bytes[i]) * (next - at) / float64(took[i])
			at = next
		}
	}
	line := figure.PointSeries{Label: "load", Join: true}
	for i, b := range carried {
		line.X = append(line.X, (float64(i)+0.5)*width/1e6)
		line.Y = append(line.Y, b/width)
	}

	// %% Calls
	bars := figure.PointSeries{Label: "calls"}
	for i := 0; i < n; i++ {
		bars.X = append(bars.X, float64(starts[i]-begin+latencies[i]/2)/1e6)
		bars.XLow = append(bars.XLow, float64(starts[i]-begin)/1e6)
		bars.XHigh = append(bars.XHigh, float64(starts[i]-begin+latencies[i])/1e6)
		bars.Y = append(bars.Y, 0)
	}

	// %% Figure
	fig, err := figure.Points(figure.PointsSpec{
		Title:     "What the link carried while each inference ran",
		XLabel:    "Time (ms)",
		YLabel:    "Bandwidth of the load (GB/s)",
		XScale:    "linear",
		YScale:    "linear",
		Caption:   []string{fmt.Sprintf("The first %d of %d calls of a trial; %d copies in all, in slices of %.3g ms.", n, len(starts), copies.Len(), width/1e6)},
		Simulated: nb.Bool("simulated", nb.Machine().Device == "sim"),
		Series:    []figure.PointSeries{bars, line},
	})
	nb.Check(err)
	nb.Save(fig)
}
