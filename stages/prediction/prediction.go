// Package prediction reads what forecasts are made from: link cards, and recordings,
// which hold calls without load, and which teach what a card does not say, such as by how
// much a full link holds up a request's commands, and by how much predictions err. It
// scores predictions of recordings that were left out.
package prediction

import (
	"fmt"

	"barograph/stages/prediction/forecast"
)

// What package forecast has.
type (
	Condition  = forecast.Condition
	Baseline   = forecast.Baseline
	Parameters = forecast.Parameters
	Estimate   = forecast.Estimate
	Prediction = forecast.Prediction
	Machine    = forecast.Machine
	Block      = forecast.Block
	Lesson     = forecast.Lesson
)

// Quantiles, Ways and Unlearned are those of package forecast.
var Quantiles, Ways, Unlearned = forecast.Quantiles, forecast.Ways, forecast.Unlearned

// Predict is that of package forecast.
func Predict(m *Machine, o *Baseline, c *Condition, x *Lesson) (*Prediction, error) {
	p, err := forecast.Predict(m, o, c, x)
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	return p, nil
}
