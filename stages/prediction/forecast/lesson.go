package forecast

import "fmt"

// Unlearned is for a machine without recordings.
var Unlearned = &Lesson{Parameters: Parameters{Late: 15e3}}

// A Lesson is what a machine's recordings teach beyond its card, and by how much
// predictions of them err, each of a model or a load that was left out.
type Lesson struct {
	Machine    string     `json:"machine"`
	From       []string   `json:"from"` // recordings
	Card       string     `json:"card"` // that predictions were made from
	Link       *Machine   `json:"link"` // what that says, without MPS
	Parameters Parameters `json:"parameters"`
	// Errors are ln(measured/predicted), ascending, by class of condition and study, and
	// in the order of [Quantiles].
	Errors map[string]map[string][3][]float64 `json:"errors"`
}

const missed = 0.05 // of measured points on either side of an interval

// Bounds bounds the logarithm of measured over predicted, by quantile: the interval
// that nine in ten of another such point fall into, if points of one recording may be
// exchanged for one another (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
// Random World", 2005). Recordings were made on several cards and days, and all points of
// one may be off by the same: the interval is as wide as that of any.
func (x *Lesson) Bounds(c *Condition) (bounds [3][2]float64, doubts []string) {
	of := x.Errors[c.Class()]
	if len(of) == 0 {
		return bounds, []string{"no recording of this machine tells how far predictions err (" + c.Class() + "): the interval holds what the simulation varies, and no more"}
	}
	n := 0
	for _, errs := range of {
		for i, e := range errs {
			low := int(missed * float64(len(e)+1))
			bounds[i] = [2]float64{min(bounds[i][0], e[max(0, low-1)]), max(bounds[i][1], e[min(len(e)-1, len(e)-low)])}
		}
		n += len(errs[0])
	}
	if n < int(1/missed)-1 {
		doubts = append(doubts, fmt.Sprintf("%d recorded loads of its kind (%s) are too few for a 90%% interval: it reaches as far as the worst of them erred", n, c.Class()))
	}
	if c.Loads > 1 || c.MPS || c.Direction == "both" || c.Arrivals != "closed" && c.Arrivals != "" {
		doubts = append(doubts, "how far predictions err is known of one load in one direction and closed loops, without MPS")
	}
	return bounds, doubts
}
