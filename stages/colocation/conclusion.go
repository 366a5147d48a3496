package colocation

import (
	"cmp"
	"fmt"
	"math"

	"barograph/pipeline/cell"
)

// A Conclusion is what a report says of one of the study's claims.
type Conclusion struct {
	Claim, Verdict, Because string
	Effect                  float64 // that the verdict rests on; 0: none
}

// How large a share of models beside another has to be better off under MPS for K1, and
// how small a share refutes it; and by how much a pair of processes may answer more or
// less than by turns for K3.
const (
	most  = 0.95
	half  = 0.5
	turns = 0.1
)

// Conclude returns what is concluded of K1, that p99 is lower under MPS than between
// processes, with the share of models beside another for which it is; of K2, that under MPS
// any two models answer more together than by turns, with the least that a pair does, less
// one; and of K3, that processes take turns, with the largest share by which a pair differs
// from that. Idle processes of others slow a model that is alone: held against that, pairs
// seem to answer more together than they do, and only that they answer less is concluded.
func (r *Report) Conclude() []Conclusion {
	return []Conclusion{r.tails(), r.gains(), r.even()}
}

// idle is said where that is what pairs are held against.
const idle = ", held against models alone beside idle processes of others, which slow them"

// tails concludes K1, from p99 itself: what a model takes alone differs between the two.
// Models without a p99 in both leave it open, unless the others decide whatever theirs is.
func (r *Report) tails() Conclusion {
	c := Conclusion{Claim: "K1", Verdict: cell.NotIdentified, Because: "MPS or separate processes were not measured"}
	less, all, without, why := 0, 0, 0, ""
	for _, s := range r.Slowdowns {
		if s.Setting != (Setting{Tenancy: "process"}) || len(s.Beside) != 1 {
			continue
		}
		switch x, ok := r.Find(Setting{Tenancy: "mps"}, s.Model, s.Beside...); {
		case !ok:
		case math.IsNaN(x.P99.Value) || math.IsNaN(s.P99.Value):
			without, why = without+1, cmp.Or(why, s.Why, x.Why)
		default:
			all++
			if x.P99.Value*x.base < s.P99.Value*s.base {
				less++
			}
		}
	}
	none := fmt.Sprintf("there is no p99 of %d models beside another under both (%s)", without, why)
	switch {
	case all+without == 0:
		return c
	case all == 0:
		c.Because = none
		return c
	}
	c.Because, c.Effect = fmt.Sprintf("p99 is lower under MPS for %d of %d models beside another", less, all), float64(less)/float64(all)
	if without > 0 {
		c.Because += "; " + none
	}
	switch total := float64(all + without); {
	case float64(less)/total >= most:
		c.Verdict = cell.Reproduced
	case float64(less+without)/total <= half:
		c.Verdict = cell.Refuted
	}
	return c
}

// pairs calls f with each pair of a way to share, without a load, and counts them.
func (r *Report) pairs(tenancy string, f func(g Group)) (n int) {
	for _, g := range r.Groups {
		if len(g.Models) == 2 && g.Load == "" && g.Tenancy == tenancy && !math.IsNaN(g.Together) {
			n++
			f(g)
		}
	}
	return n
}

// gains concludes K2.
func (r *Report) gains() Conclusion {
	least := Group{Together: math.Inf(1)}
	n := r.pairs("mps", func(g Group) {
		if g.Together < least.Together {
			least = g
		}
	})
	if n == 0 {
		return Conclusion{Claim: "K2", Verdict: cell.NotIdentified, Because: "MPS was not measured"}
	}
	c := Conclusion{"K2", cell.Refuted, fmt.Sprintf("the least of %d pairs, %s, answers %.0f%% of what it would by turns", n, least, 100*least.Together), least.Together - 1}
	switch {
	case c.Effect > 0 && r.Idle("mps"):
		c.Verdict, c.Because = cell.NotIdentified, c.Because+idle
	case c.Effect > 0:
		c.Verdict = cell.Reproduced
	}
	return c
}

// even concludes K3.
func (r *Report) even() Conclusion {
	far, less := 0.0, 0.0
	n := r.pairs("process", func(g Group) { far, less = math.Max(far, math.Abs(g.Together-1)), math.Max(less, 1-g.Together) })
	if n == 0 {
		return Conclusion{Claim: "K3", Verdict: cell.NotIdentified, Because: "separate processes were not measured"}
	}
	c := Conclusion{"K3", cell.Refuted, fmt.Sprintf("what %d pairs answer together differs by up to %.0f%% from what they would by turns", n, 100*far), far}
	switch {
	case r.Idle("process") && less <= turns:
		c.Verdict, c.Because = cell.NotIdentified, c.Because+idle
	case far <= turns:
		c.Verdict = cell.Reproduced
	}
	return c
}
