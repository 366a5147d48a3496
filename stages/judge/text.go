package judge

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"barograph/stages/judge/remark"
	"barograph/stages/stats"
	"barograph/stages/stats/law"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// Rows returns the table of levels as a person reads it, texts all.
func (r *Report) Rows() dataframe.DataFrame {
	columns := []series.Series{
		texts("level", r.Levels, (*Level).name),
		texts("achieved GB/s", r.Levels, func(l *Level) string {
			if l.Achieved == nil {
				return "unknown"
			}
			return fmt.Sprintf("%.2f", *l.Achieved/1e9)
		}),
		texts("utilisation", r.Levels, func(l *Level) string { return percent(known(l.Utilisation)) }),
		texts("n", r.Levels, func(l *Level) string { return strconv.Itoa(l.N) }),
	}
	for i, q := range shown {
		columns = append(columns, texts(stats.Name(q)+" ms [95%]", r.Levels, func(l *Level) string { return l.Quantiles[i].Milliseconds() }))
	}
	return frame(columns...)
}

// Numbers returns the same table in full precision, for machines.
func (r *Report) Numbers() dataframe.DataFrame {
	fourth := func(v float64) float64 { return math.Round(1e4*v) / 1e4 }
	columns := []series.Series{
		texts("level", r.Levels, (*Level).name),
		floats("achieved_bytes_per_s", r.Levels, func(l *Level) float64 { return known(l.Achieved) }),
		floats("utilisation", r.Levels, func(l *Level) float64 { return known(l.Utilisation) }),
		column("n", series.Int, r.Levels, func(l *Level) int { return l.N }),
		floats("effective_n", r.Levels, func(l *Level) float64 { return math.Round(l.EffectiveN) }),
		floats("lag1", r.Levels, func(l *Level) float64 { return fourth(l.Lag1) }),
		floats("outliers", r.Levels, func(l *Level) float64 { return fourth(l.Outliers) }),
	}
	for i, q := range shown {
		name := stats.Name(q)
		columns = append(columns, floats(name+"_ns", r.Levels, func(l *Level) float64 { return l.Quantiles[i].Value }),
			floats(name+"_low_ns", r.Levels, func(l *Level) float64 { return l.Quantiles[i].Low }),
			floats(name+"_high_ns", r.Levels, func(l *Level) float64 { return l.Quantiles[i].High }),
			texts(name+"_interval", r.Levels, func(l *Level) string { return l.Quantiles[i].Method }))
	}
	return frame(columns...)
}

// name is a level as it stands in its column.
func (l *Level) name() string {
	_, name, _ := strings.Cut(l.Label, "=")
	return name
}

// known is a number that a file may not hold.
func known(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
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
				digits := 3
				if max(c.Before, c.After) < 1e4 {
					digits = 6 // of a millisecond: nanoseconds
				}
				text = fmt.Sprintf("%+.*f [%+.*f, %+.*f]", digits, c.Change.Value/1e6, digits, c.Change.Low/1e6, digits, c.Change.High/1e6)
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

func lawRows(c *law.Comparison) [][]string {
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

// Warnings returns the doubts in at most ten lines: each kind said once.
func (r *Report) Warnings() []string { return remark.Few(r.Doubts) }

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
	align(&b, r.Rows().Records())
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
