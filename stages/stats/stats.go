// Package stats turns latency samples into statements with stated error:
// distributions with bands, quantiles with intervals, trends with p-values.
// Package law below it names laws of growth, with their rivals.
//
// It promises three things. A number that the sample cannot carry is not given:
// its value is NaN and its Doubt says how many samples it needs. Doubt is data,
// to be printed beside the number. And the same input, seed included, gives the
// same output.
//
// Latencies are integer nanoseconds, shares and utilisations run from 0 to 1,
// and a confidence is a probability such as 0.95. Rules are those of
// stages/README.md; where a function enforces one, it says which.
package stats

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/gonum/stat/distuv"
)

// Confidence is the level of every band and interval unless another is asked for.
const Confidence = 0.95

var errNoSamples = errors.New("no samples")

// Needed returns the smallest number of samples that carries quantile q
// (rule 4): the one at which the sample reaches beyond the quantile, on either
// side, with the given confidence, so that max(q, 1-q)^n <= 1-confidence.
// At 0.95 it is 5 for the median, 299 for p99 and 2995 for p99.9.
func Needed(q, confidence float64) int {
	return int(math.Ceil(math.Log1p(-confidence) / math.Log(math.Max(q, 1-q))))
}

// MLPerf returns the number of samples that MLPerf's inference rules ask for
// quantile q of latency (rule 4): those that give it with a margin of a twentieth
// of 1-q at a confidence of 99%, in whole multiples of 2^13. At p90 it is 24,576,
// at p95 57,344 and at p99 270,336 (MLPerf Inference Rules, appendix "Number of
// queries").
func MLPerf(q float64) int {
	const group = 1 << 13
	margin := (1 - q) / 20
	z := distuv.UnitNormal.Quantile(1 - 0.01/2)
	return group * int(math.Ceil(z*z*q*(1-q)/(margin*margin)/group))
}

// Name returns the usual name of a quantile: p50, p99, p99.9.
func Name(q float64) string {
	return "p" + strconv.FormatFloat(math.Round(q*1e8)/1e6, 'f', -1, 64)
}

// checkQuantile refuses what is no quantile or no confidence level.
func checkQuantile(q, confidence float64) error {
	if !(q > 0 && q < 1) {
		return fmt.Errorf("quantile %v is not between 0 and 1", q)
	}
	return checkConfidence(confidence)
}

func checkConfidence(confidence float64) error {
	if !(confidence > 0 && confidence < 1) {
		return fmt.Errorf("confidence %v is not between 0 and 1", confidence)
	}
	return nil
}

// nullable lets JSON hold a number that was not given.
func nullable(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
