package judge

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"barograph/stages/stats"
)

// Rows returns the table of levels as a person reads it, header first.
func (r *Report) Rows() [][]string {
	rows := [][]string{{"level", "achieved GB/s", "utilisation", "n", "p50 ms [95%]", "p90 ms [95%]", "p99 ms [95%]"}}
	for _, l := range r.Levels {
		_, level, _ := strings.Cut(l.Label, "=")
		row := []string{level, "unknown", "unknown", strconv.Itoa(l.N)}
		if l.Achieved != nil {
			row[1] = fmt.Sprintf("%.2f", *l.Achieved/1e9)
		}
		if l.Utilisation != nil {
			row[2] = fmt.Sprintf("%.0f%%", 100**l.Utilisation)
		}
		for _, q := range l.Quantiles {
			row = append(row, q.Milliseconds())
		}
		rows = append(rows, row)
	}
	return rows
}

// Numbers returns the same table in full precision, for machines.
func (r *Report) Numbers() [][]string {
	header := []string{"level", "achieved_bytes_per_s", "utilisation", "n", "effective_n", "lag1", "outliers"}
	for _, q := range shown {
		name := stats.Name(q)
		header = append(header, name+"_ns", name+"_low_ns", name+"_high_ns", name+"_interval")
	}
	rows := [][]string{header}
	for _, l := range r.Levels {
		_, level, _ := strings.Cut(l.Label, "=")
		row := []string{level, optional(l.Achieved), optional(l.Utilisation), strconv.Itoa(l.N), number64(math.Round(l.EffectiveN)),
			fmt.Sprintf("%.4f", l.Lag1), fmt.Sprintf("%.4f", l.Outliers)}
		for _, q := range l.Quantiles {
			row = append(row, number64(q.Value), number64(q.Low), number64(q.High), q.Method)
		}
		rows = append(rows, row)
	}
	return rows
}

func optional(v *float64) string {
	if v == nil {
		return ""
	}
	return number64(*v)
}

func number64(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Changes returns the shift of each level against the lowest: deciles and p99 in
// milliseconds with intervals that all hold at once, and the p-value of the
// medians of replicates, adjusted by Holm's method.
func (r *Report) Changes() [][]string {
	rows := [][]string{{"level", "p10 ms", "p50 ms", "p90 ms", "p99 ms", "p (Holm)"}}
	for i, s := range r.Shifts {
		_, level, _ := strings.Cut(s.After, "=")
		row := []string{level}
		for _, c := range []stats.Change{s.Deciles[0], s.Deciles[4], s.Deciles[8], s.P99} {
			text := "n too small"
			if c.Change.Doubt == "" {
				text = fmt.Sprintf("%+.3f [%+.3f, %+.3f]", c.Change.Value/1e6, c.Change.Low/1e6, c.Change.High/1e6)
			}
			row = append(row, text)
		}
		rows = append(rows, append(row, fmt.Sprintf("%.2g", r.Tests[i].Holm)))
	}
	return rows
}

// Laws returns the growth laws with their criteria, the best first.
func (r *Report) Laws() [][]string {
	if r.Growth == nil {
		return lawRows(nil)
	}
	return lawRows(&r.Growth.Comparison)
}

func lawRows(c *stats.Comparison) [][]string {
	rows := [][]string{{"law", "of the median", "AICc", "BIC", "error at a level left out", "AICc on p99"}}
	if c == nil {
		return rows
	}
	for _, f := range c.Median {
		p99 := "n too small"
		for _, t := range c.P99 {
			if t.Law == f.Law {
				p99 = fmt.Sprintf("%.1f", t.AICc)
			}
		}
		rows = append(rows, []string{f.Law, f.String(), fmt.Sprintf("%.1f", f.AICc), fmt.Sprintf("%.1f", f.BIC), fmt.Sprintf("%.1f%%", 100*math.Expm1(f.CV)), p99})
	}
	return rows
}

// Whole returns the laws over every level, those that fill the link among them, the
// best first; only a header where they were not compared.
func (r *Report) Whole() [][]string {
	if r.Growth == nil || r.Growth.Whole == nil {
		return lawRows(nil)
	}
	return lawRows(r.Growth.Whole)
}

// mostDoubts is how many lines of doubt a reader is given.
const mostDoubts = 10

// Warnings returns the doubts in at most ten lines: each kind said once.
func (r *Report) Warnings() []string {
	all := Fold(r.Doubts)
	if len(all) > mostDoubts {
		rest := len(all) - mostDoubts + 1
		all = append(all[:mostDoubts-1], fmt.Sprintf("and %d more kinds, in run.json and the logs", rest))
	}
	return all
}

// Write writes the report for a person to read.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	if r.Simulated {
		b.WriteString("SIMULATED: no number below was measured\n")
	}
	fmt.Fprintf(&b, "%d calls", r.Calls)
	if len(r.About) > 0 {
		fmt.Fprintf(&b, ": %s", strings.Join(r.About, ", "))
	}
	b.WriteString("\n\n")
	align(&b, r.Rows())
	if len(r.Counts) > 0 {
		fmt.Fprintf(&b, "as many calls as MLPerf asks for: %s\n", list(r.Counts))
	}
	if len(r.Shifts) > 0 {
		fmt.Fprintf(&b, "\nchange against %s; intervals hold together with %g%% confidence (Bonferroni's correction for %d); p-values of replicate medians are adjusted by Holm's method for %d levels\n",
			r.Shifts[0].Before, 100*r.Shifts[0].Together, 10*len(r.Shifts), len(r.Tests))
		align(&b, r.Changes())
	}
	if r.Growth != nil && len(r.Growth.Median) > 0 {
		b.WriteString("\ngrowth laws, best first\n")
		align(&b, r.Laws())
	}
	if r.Growth != nil && r.Growth.Whole != nil {
		b.WriteString("\nlaws over every level, those that fill the link among them, best first\n")
		align(&b, r.Whole())
		if r.WholeConfusion != nil {
			fmt.Fprintf(&b, "over every level %s\n", r.WholeConfusion)
		}
	}
	if r.Confusion != nil {
		fmt.Fprintf(&b, "\nwhat this design can tell, from %d simulated sets a law with the noise that was seen (%.1f%% of the median, %.1f%% of p99)\n",
			r.Confusion.Sets, 100*r.Confusion.Noise[0], 100*r.Confusion.Noise[1])
		align(&b, r.Confusion.Rows())
	}
	b.WriteByte('\n')
	for _, v := range r.Verdicts {
		fmt.Fprintf(&b, "%s %s: %s\n", v.ID, v.Verdict, v.Because)
	}
	for _, d := range r.Warnings() {
		fmt.Fprintf(&b, "warning: %s\n", d)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func align(b *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush() // into a strings.Builder, which takes every write
}

func list(names []string) string { return strings.Join(names, ", ") }

// numbers are what differs between remarks of one kind.
var numbers = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)

// Fold says each kind of remark once and keeps the order of the first of each.
// Remarks are of one kind if they differ in nothing but numbers and what stands
// before their first ": ". The one that stays has the largest first number, as in
// "level=2, the worst of 5: for 43% of the time", or if all are alike "level=1 and
// 4 more: n too small".
func Fold(remarks []string) []string {
	type kind struct {
		subject, said string
		size          float64
		count         int
		alike         bool
	}
	var order []*kind
	seen := map[string]*kind{}
	for _, r := range remarks {
		subject, said, found := strings.Cut(r, ": ")
		if !found {
			subject, said = "", r
		}
		size, err := strconv.ParseFloat(numbers.FindString(said), 64)
		if err != nil {
			size = 0 // a remark without numbers
		}
		mask := numbers.ReplaceAllString(said, "#")
		k := seen[mask]
		if k == nil {
			k = &kind{subject, said, size, 0, true}
			seen[mask] = k
			order = append(order, k)
		}
		k.count++
		k.alike = k.alike && k.said == said
		if size > k.size {
			k.subject, k.said, k.size = subject, said, size
		}
	}
	folded := make([]string, len(order))
	for i, k := range order {
		switch {
		case k.subject == "" && (k.count == 1 || k.alike):
			folded[i] = k.said
		case k.subject == "":
			folded[i] = fmt.Sprintf("%s (the worst of %d)", k.said, k.count)
		case k.count == 1:
			folded[i] = k.subject + ": " + k.said
		case k.alike:
			folded[i] = fmt.Sprintf("%s and %d more: %s", k.subject, k.count-1, k.said)
		default:
			folded[i] = fmt.Sprintf("%s, the worst of %d: %s", k.subject, k.count, k.said)
		}
	}
	return slices.Clip(folded)
}
