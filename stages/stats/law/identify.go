package law

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"
)

// A Confusion says how often each law would be recovered by a design, were it
// the true one (rule 13). It is simulated: no number in it was measured.
type Confusion struct {
	Sets  int        `json:"sets"`  // simulated for each law
	Noise [2]float64 `json:"noise"` // of ln median and ln p99, a replicate each
	// Laws holds one entry for each law that was simulated.
	Laws []Recovery `json:"laws"`
}

// A Recovery is one row of the matrix: what was claimed when Law was true.
type Recovery struct {
	Law     string         `json:"law"`
	Claimed map[string]int `json:"claimed"` // by law; "" for "not identified"
}

// Identifiable is the share of sets that must recover a law before a design is
// said to identify it.
const Identifiable = 0.9

// Share returns how often a law was claimed.
func (c Confusion) Share(truth, claimed string) float64 {
	for _, r := range c.Laws {
		if r.Law == truth {
			return float64(r.Claimed[claimed]) / float64(c.Sets)
		}
	}
	return 0
}

// Identifies tells whether the design recovers a law often enough.
func (c Confusion) Identifies(law string) bool {
	return law != Constant && c.Share(law, law) >= Identifiable
}

// Rows returns the matrix as a table, header first: true laws down, claimed laws
// across, in percent.
func (c Confusion) Rows() [][]string {
	header := []string{"true law"}
	for _, r := range c.Laws {
		if r.Law != Constant {
			header = append(header, r.Law)
		}
	}
	header = append(header, "not identified")
	rows := [][]string{header}
	for _, r := range c.Laws {
		row := []string{r.Law}
		for _, claimed := range header[1:] {
			if claimed == "not identified" {
				claimed = ""
			}
			row = append(row, fmt.Sprintf("%.0f%%", 100*c.Share(r.Law, claimed)))
		}
		rows = append(rows, row)
	}
	return rows
}

// String says in one line which laws the design can tell.
func (c Confusion) String() string {
	var yes, no []string
	for _, r := range c.Laws {
		switch {
		case r.Law == Constant:
		case c.Identifies(r.Law):
			yes = append(yes, r.Law)
		default:
			no = append(no, fmt.Sprintf("%s %.0f%%", r.Law, 100*c.Share(r.Law, r.Law)))
		}
	}
	if len(yes) == 0 {
		return "this design identifies no law (recovered if true: " + strings.Join(no, ", ") + ")"
	}
	s := "this design would identify " + strings.Join(yes, ", ")
	if len(no) > 0 {
		s += "; too seldom " + strings.Join(no, ", ")
	}
	return s
}

// A Design is the levels of a study, before or after it was measured, with a law
// to be true for each row of the matrix.
type Design struct {
	points []observation
	noise  [2]float64
	truths [][2]Fit // of the median and p99
}

// Design returns the design that was measured, its noise, and every law at the
// strength at which it fits the data best. It reports whether there were enough
// levels and samples for that.
func (g Comparison) Design() (Design, bool) {
	d := Design{points: g.design, noise: g.Noise}
	for _, m := range g.Median {
		for _, p := range g.P99 {
			if m.Law == p.Law {
				d.truths = append(d.truths, [2]Fit{m, p})
			}
		}
	}
	return d, len(d.truths) > 0
}

// PlannedDesign returns a design that was not measured: levels with their
// utilisation, queue and service time, so many replicates each, whose medians
// scatter by noise and p99s by three times that, and laws that raise latency by
// the factor effect over the levels' range. It fails where there is nothing to
// tell laws apart by.
func PlannedDesign(levels []Point, replicates int, noise, effect float64) (Design, error) {
	if replicates < 1 || !(noise > 0) || !(effect > 1) {
		return Design{}, fmt.Errorf("design of %d replicates with noise %v and an effect of %v: want at least 1, above 0 and above 1", replicates, noise, effect)
	}
	var points []Point
	for _, l := range levels {
		l.Median, l.P99 = 1, 1
		points = append(points, l)
	}
	g, err := Grow(points)
	if err != nil {
		return Design{}, err
	}
	if len(g.Median) == 0 {
		return Design{}, fmt.Errorf("no law can be identified: %s", g.Because)
	}
	d := Design{points: g.design, noise: [2]float64{noise, 3 * noise}}
	for i := range d.points {
		d.points[i].weight = float64(replicates)
	}
	for _, f := range g.Median {
		truth := Fit{Law: f.Law, A: 1}
		if f.Law == HockeyStick {
			truth.C = d.points[len(d.points)/2].Utilisation
		}
		low, high := math.Inf(1), math.Inf(-1)
		for _, o := range d.points {
			x := truth.abscissa(o.Point)
			low, high = math.Min(low, x), math.Max(high, x)
		}
		switch {
		case f.Law == Constant || high == low:
		case f.Law == Exponential:
			truth.B = math.Log(effect) / (high - low)
		default:
			truth.B = (effect - 1) / (high - low)
		}
		d.truths = append(d.truths, [2]Fit{truth, truth})
	}
	return d, nil
}

// Replicates returns how many replicates the design has on average.
func (d Design) Replicates() float64 {
	n := 0.0
	for _, o := range d.points {
		n += o.weight
	}
	return n / math.Max(1, float64(len(d.points)))
}

// Confuse simulates every law of a design in so many sets and judges each.
func (d Design) Confuse(sets int, seed uint64) Confusion {
	c := Confusion{Sets: sets, Noise: d.noise, Laws: make([]Recovery, len(d.truths))}
	var all sync.WaitGroup
	for i, truth := range d.truths { // each draws by a generator of its own
		all.Go(func() { c.Laws[i] = d.recover(truth, sets, seed) })
	}
	all.Wait()
	slices.SortFunc(c.Laws, func(a, b Recovery) int { return slices.Index(lawOrder, a.Law) - slices.Index(lawOrder, b.Law) })
	return c
}

var lawOrder = []string{Constant, Linear, Exponential, Queue, MD1, HockeyStick, QueuedBytes, Turns, Line}

func (d Design) recover(truth [2]Fit, sets int, seed uint64) Recovery {
	r := Recovery{Law: truth[0].Law, Claimed: map[string]int{}}
	d.simulate(truth, sets, seed, func(law string) bool {
		r.Claimed[law]++
		return true
	})
	return r
}

// simulate tells what each of so many sets identifies in which a law is true, until it
// is told to stop.
func (d Design) simulate(truth [2]Fit, sets int, seed uint64, claimed func(law string) (more bool)) {
	rng := rand.New(rand.NewPCG(seed, uint64(slices.Index(lawOrder, truth[0].Law))))
	laws := make([]string, len(d.truths))
	for i, t := range d.truths {
		laws[i] = t[0].Law
	}
	var drawn [2][]observation
	for range sets {
		var scatter [2]float64
		for s := range drawn {
			drawn[s] = slices.Clone(d.points)
			for i := range drawn[s] {
				o := &drawn[s][i]
				if s == 1 {
					o.Own = o.OwnP99
				}
				o.ln = math.Log(truth[s].At(o.Point)) + d.noise[s]*rng.NormFloat64()/math.Sqrt(o.weight)
				if o.weight > 1 {
					chi := distuv.ChiSquared{K: o.weight - 1, Src: rng}
					o.square = d.noise[s] * d.noise[s] * chi.Rand()
				}
			}
			scatter[s] = noise(drawn[s])
		}
		law := identified(laws, drawn[0], scatter[0])
		if law != "" && identified(laws, drawn[1], scatter[1]) != law {
			law = ""
		}
		if !claimed(law) {
			return
		}
	}
}

// Advice says how many replicates, or else levels, would recover a law in
// Identifiable of the sets; or that none of those tried would.
func (d Design) Advice(law string, sets int, seed uint64) string {
	i := slices.IndexFunc(d.truths, func(t [2]Fit) bool { return t[0].Law == law })
	if i < 0 || law == Constant {
		return ""
	}
	enough := func(d Design) bool {
		recovered, left := 0.0, float64(sets)
		d.simulate(d.truths[i], sets, seed, func(claimed string) bool {
			left--
			if claimed == law {
				recovered++
			}
			return recovered+left >= Identifiable*float64(sets) // it may be enough yet
		})
		return recovered >= Identifiable*float64(sets)
	}
	for times := 2.0; times <= 32; times *= 2 {
		more := d
		more.points = slices.Clone(d.points)
		for k := range more.points {
			more.points[k].weight *= times
		}
		if enough(more) {
			return fmt.Sprintf("about %.0f replicates of these levels would identify %s, were it true", more.Replicates(), law)
		}
	}
	for between := 1; between <= 3; between++ {
		if denser := d.denser(between); enough(denser) {
			return fmt.Sprintf("more replicates would not do; about %d levels, spread evenly over the same utilisation, would identify %s, were it true", len(denser.points), law)
		}
	}
	return fmt.Sprintf("neither %.0f replicates nor %d levels over the same utilisation would identify %s: spread utilisation, block size and outstanding copies further apart", 32*d.Replicates(), len(d.denser(3).points), law)
}

// denser puts levels between neighbours, in order of utilisation.
func (d Design) denser(between int) Design {
	points := slices.Clone(d.points)
	slices.SortStableFunc(points, func(a, b observation) int { return cmp.Compare(a.Utilisation, b.Utilisation) })
	out := d
	out.points = nil
	for i, o := range points {
		if i > 0 {
			from := points[i-1]
			for k := 1; k <= between; k++ {
				f := float64(k) / float64(between+1)
				mid := o
				mid.Level = fmt.Sprintf("%s to %s, %d", from.Level, o.Level, k)
				mid.Utilisation = from.Utilisation + f*(o.Utilisation-from.Utilisation)
				mid.Queued = from.Queued + f*(o.Queued-from.Queued)
				mid.Service = from.Service + f*(o.Service-from.Service)
				out.points = append(out.points, mid)
			}
		}
		out.points = append(out.points, o)
	}
	return out
}
