package judge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/record"
	"barograph/stages/recording"
	"barograph/stages/stats"
)

// A study is a synthetic set of samples: what each level asks of the link, and
// how long a call takes there.
type study struct {
	rho      []float64
	queued   bool // threads and blocks grow with the level
	latency  func(rho, queued float64) float64
	noise    float64 // of a call, relative
	apart    float64 // of a replicate, relative
	drift    float64 // of the baseline's last replicate, relative
	calls    int
	reps     int
	simulate bool
}

var loads = []float64{0, 1, 2, 4, 8, 16}

// samples draws a study.
func (s study) samples(seed uint64) *Samples {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := &Samples{Simulated: s.simulate}
	for i, rho := range s.rho {
		l := loads[i%len(loads)] + 100*float64(i/len(loads))
		service := 1.0 // ms for one block
		if s.queued {
			service = l * 0.4
		}
		for r := range s.reps {
			t := &Trial{
				Level: fmt.Sprintf("level=%g", l), Value: l, Replicate: fmt.Sprint(r + 1), Seq: int64(r*len(s.rho) + i),
				Threads: l, Outstanding: 1, Block: service * 10e6, Achieved: rho * 10e9, Utilisation: rho,
			}
			y := s.latency(rho, l*service*1e6) * math.Exp(s.apart*rng.NormFloat64())
			if i == 0 && r == s.reps-1 {
				y *= 1 + s.drift
			}
			for range s.calls {
				t.Latencies = append(t.Latencies, int64(y*math.Exp(s.noise*rng.NormFloat64())))
			}
			out.Trials = append(out.Trials, t)
			out.Rows += s.calls
		}
	}
	return out
}

var (
	spread = []float64{0, 0.15, 0.3, 0.5, 0.7, 0.9}
	full   = []float64{0, 0.62, 0.93, 1, 1, 1}
	quick  = Options{Draws: 100, Sets: -1}
)

func flat(float64, float64) float64      { return 100e6 }
func exponential(rho, _ float64) float64 { return 100e6 * math.Exp(2.9*rho) }
func linear(rho, _ float64) float64      { return 100e6 * (1 + 14*rho) }
func queueing(rho, _ float64) float64    { return 100e6 * (1 + 1.4*rho/(1-rho)) }
func blocking(rho, _ float64) float64 { // as queueing and as a hockey stick
	return 100e6 * (1 + 0.07*rho/(1-rho) + 1.5*math.Max(0, rho-0.6))
}
func rounded(rho, _ float64) float64 { // of 105 ms, beside more than one copy
	if rho > 0.9 {
		return 2 * 105e6
	}
	return 120e6
}
func queuedBytes(_, queued float64) float64 { return 100e6 + queued }
func slowed(by float64) func(rho, _ float64) float64 {
	return func(rho, _ float64) float64 { return 100e6 * (1 + by*rho) }
}

func judged(t *testing.T, s study, seed uint64, run *recording.Run, o Options) *Report {
	t.Helper()
	r, err := Judge(s.samples(seed), run, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerdicts(t *testing.T) {
	paper := func(rho []float64, latency func(rho, queued float64) float64) study {
		return study{rho: rho, queued: true, latency: latency, noise: 0.05, apart: 0.01, calls: 300, reps: 5}
	}
	drifting := paper(spread, slowed(0.3))
	drifting.drift = 0.03
	broken := paper(spread, exponential)
	broken.drift = 0.2
	faint := paper(spread, slowed(0.03))
	faint.drift = 0.045
	few := paper(spread, exponential)
	few.calls = 100
	between := paper([]float64{0, 0.2, 0.4, 0.6, 0.75, 0.9}, blocking)
	between.queued, between.apart = false, 0.03
	over := paper([]float64{0, 0.3, 0.6, 0.9, 1.2, 1.5}, exponential)
	for _, c := range []struct {
		name   string
		study  study
		c1, c2 string
		says   string // in C2's reason
	}{
		{"exponential", paper(spread, exponential), cell.Reproduced, cell.Reproduced, "exponential leads"},
		{"linear", paper(spread, linear), cell.Reproduced, cell.Refuted, "linear leads"},
		{"no law alone", between, cell.Reproduced, cell.Refuted, "exponential lies behind"},
		{"queueing", paper(spread, queueing), cell.Reproduced, cell.Refuted, "queueing leads"},
		{"flat", paper(spread, flat), cell.Refuted, cell.Refuted, "nothing grows"},
		{"flat under light loads", paper([]float64{0, 0.1, 0.2, 0.25, 0.3, 0.4}, flat), cell.Refuted, cell.NotIdentified, "up to 40% of the link"},
		{"queued bytes on a full link", paper(full, queuedBytes), cell.Reproduced, cell.Refuted, "use the link alike"},
		{"turns", paper([]float64{0, 0.85, 0.963, 0.978, 0.987, 0.990}, rounded), cell.Reproduced, cell.Refuted, "by the law of turns"},
		{"the baseline drifted a little", drifting, cell.Reproduced, cell.NotIdentified, ""},
		{"the baseline drifted a lot", broken, cell.Invalid, cell.Invalid, "baseline drifted"},
		{"an effect as small as the drift", faint, cell.NotIdentified, cell.NotIdentified, ""},
		{"too few calls for p99", few, cell.Reproduced, cell.NotIdentified, "n too small"},
		{"capacity calibrated too low", over, cell.Reproduced, cell.NotIdentified, "share of anything"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judged(t, c.study, 1, nil, quick)
			if got := r.Verdicts[0]; got.ID != "C1" || got.Verdict != c.c1 {
				t.Errorf("%+v, want %s", got, c.c1)
			}
			if got := r.Verdicts[1]; got.ID != "C2" || got.Verdict != c.c2 || !strings.Contains(got.Because, c.says) {
				t.Errorf("%+v, want %s with %q", got, c.c2, c.says)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
			again, err := Judge(c.study.samples(1), nil, quick)
			if err != nil {
				t.Fatal(err)
			}
			var a, b bytes.Buffer
			if r.Write(&a) != nil || again.Write(&b) != nil || a.String() != b.String() {
				t.Error("the same samples gave another report")
			}
		})
	}
}

// What run.json says of the measurement counts.
func TestMeasurementCounts(t *testing.T) {
	s := study{rho: spread, queued: true, latency: exponential, noise: 0.02, apart: 0.01, calls: 300, reps: 3}
	var lost, unsteady, jitters recording.Run
	for text, run := range map[string]*recording.Run{
		`{"trials": [{"infer": {"window_ns": [0, 100], "run_delay_ns": 60}}]}`:                          &lost,
		`{"trials": [{"stress": {"threads": 1, "steady": false}}, {"stress": {"threads": 0}}]}`:         &unsteady,
		`{"trials": [{"infer": {"jitter_ns": {"p50": 2000000000}}}], "warnings": ["a: b 1", "c: b 2"]}`: &jitters,
	} {
		if err := json.Unmarshal([]byte(text), run); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		run    *recording.Run
		c1, c2 string
		says   string
	}{
		{&lost, cell.Invalid, cell.Invalid, "60% of the time"},
		{&unsteady, cell.Reproduced, cell.Invalid, "not steady"},
		{&jitters, cell.NotIdentified, cell.Reproduced, "jitters"},
	} {
		r := judged(t, s, 1, c.run, quick)
		if r.Verdicts[0].Verdict != c.c1 || r.Verdicts[1].Verdict != c.c2 || !strings.Contains(r.Verdicts[0].Because+r.Verdicts[1].Because, c.says) {
			t.Errorf("%+v, want %s and %s with %q", r.Verdicts, c.c1, c.c2, c.says)
		}
	}
	if w := judged(t, s, 1, &jitters, quick).Warnings(); !strings.Contains(strings.Join(w, "\n"), "c, the worst of 2: b 2") {
		t.Errorf("warnings %q", w)
	}
}

// Each level is tested by itself, with Holm's correction for all of them, which is
// said; so is that replicates are too few to tell.
func TestLevelsByThemselves(t *testing.T) {
	late := func(rho, _ float64) float64 { // nothing happens below the fourth level
		if rho < 0.4 {
			return 100e6
		}
		return 130e6
	}
	s := study{rho: spread, latency: late, noise: 0.02, apart: 0.002, calls: 300, reps: 8}
	r := judged(t, s, 1, nil, quick)
	want := "differing from level=0 by themselves: level=4, level=8, level=16 (Mann-Whitney, p below 0.05 after Holm's correction for 5 levels)"
	if got := r.Verdicts[0].Because; !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i, test := range r.Tests {
		if test.Holm < test.P || test.BH < test.P || test.Holm < test.BH || (test.Holm < 0.05) != (i >= 2) || math.Abs(test.Least-2.0/12870) > 1e-9 {
			t.Errorf("%+v", test)
		}
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "adjusted by Holm's method for 5 levels") {
		t.Errorf("%v:\n%s", err, b.String())
	}
	s.reps = 3
	if got := judged(t, s, 1, nil, quick).Verdicts[0].Because; !strings.Contains(got, "3 replicates cannot say which levels differ from level=0") {
		t.Errorf("%q", got)
	}
}

// The counts that MLPerf asks for are marked where they are met.
func TestCountsOfMLPerf(t *testing.T) {
	s := study{rho: []float64{0, 0.5}, latency: linear, noise: 0.02, calls: 12_288, reps: 2}
	r := judged(t, s, 1, nil, quick)
	var b bytes.Buffer
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "\nas many calls as MLPerf asks for: level=0 p90, level=1 p90\n") {
		t.Errorf("%v:\n%s", err, b.String())
	}
	s.calls--
	if r := judged(t, s, 1, nil, quick); len(r.Counts) != 0 {
		t.Errorf("one call too few, and yet %q", r.Counts)
	}
}

func TestSimulatedDataSaysSo(t *testing.T) {
	s := study{rho: spread, latency: exponential, noise: 0.05, calls: 300, reps: 3, simulate: true}
	r := judged(t, s, 1, nil, Options{Draws: 100, Sets: 5})
	var b bytes.Buffer
	if err := r.Write(&b); err != nil || !strings.HasPrefix(b.String(), "SIMULATED") {
		t.Errorf("%v: %.100s", err, b.String())
	}
	for _, v := range r.Verdicts {
		if !strings.HasPrefix(v.Because, "SIMULATED: ") {
			t.Errorf("%+v", v)
		}
	}
}

// Whatever the doubts, a reader gets ten lines of them at most.
func TestWarningsAreFew(t *testing.T) {
	r := &Report{}
	for i := range 40 {
		r.doubt("%s: kind %s", string(rune('a'+i%7)), strings.Repeat("x", i))
	}
	if w := r.Warnings(); len(w) != 10 || w[9] != "and 31 more kinds, in run.json and the logs" {
		t.Errorf("%d lines: %q", len(w), w)
	}
}

// 200 sets a law at the paper's design, drawn call by call with 5% noise of each
// and 2% of each replicate, and judged whole: C1 is never refuted where latency
// grows, C2 is reproduced in at most 1% of the sets of any other law, and in at
// least 90% of the exponential's. Flat data are said to grow in at most 5%.
func TestSimulatedVerdicts(t *testing.T) {
	sets := simulations(200)
	for name, c := range map[string]struct {
		rho     []float64
		latency func(rho, queued float64) float64
	}{
		"flat": {spread, flat}, "exponential": {spread, exponential}, "linear": {spread, linear},
		"queueing": {spread, queueing}, "queued bytes": {spread, queuedBytes}, "queued bytes on a full link": {full, queuedBytes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := study{rho: c.rho, queued: true, latency: c.latency, noise: 0.05, apart: 0.02, calls: 300, reps: 5}
			count := map[string]int{}
			for i := range sets {
				r := judged(t, s, uint64(i), nil, quick)
				count["C1 "+r.Verdicts[0].Verdict]++
				count["C2 "+r.Verdicts[1].Verdict]++
				if r.Growth.Law != "" && r.Growth.Law != name {
					count["wrong law"]++
				}
			}
			t.Logf("%d sets: %v", sets, count)
			share := func(key string) float64 { return float64(count[key]) / float64(sets) }
			if share("wrong law") > 0.01 {
				t.Errorf("a wrong law was claimed in %.3f of the sets", share("wrong law"))
			}
			switch name {
			case "flat":
				if share("C1 reproduced") > 0.05 {
					t.Errorf("flat data were said to grow in %.3f of the sets", share("C1 reproduced"))
				}
			case "exponential":
				if share("C2 reproduced") < 0.9 || share("C2 refuted") > 0.01 {
					t.Errorf("an exponential was reproduced in %.3f of the sets and refuted in %.3f", share("C2 reproduced"), share("C2 refuted"))
				}
			default:
				if share("C2 reproduced") > 0.01 {
					t.Errorf("%s taken for exponential in %.3f of the sets", name, share("C2 reproduced"))
				}
			}
			if name != "flat" && share("C1 reproduced") < 0.9 {
				t.Errorf("growth was seen in %.3f of the sets", share("C1 reproduced"))
			}
		})
	}
}

const header = "level,replicate,latency_ns,utilisation\n"

func TestBadFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"empty":              {"", "the file is empty"},
		"no header":          {"0,1,300,0.5\n1,1,400,0.5\n", "1:1: no header"},
		"header alone":       {header, "a header and no samples"},
		"no latency":         {"level,replicate\n0,1\n", `no column is named "latency_ns"; there is level, replicate`},
		"milliseconds":       {"level,latency_ms\n0,1.5\n", `no column is named "latency_ns"`},
		"no level":           {"latency_ns\n1\n", `no column is named "level"`},
		"twice":              {"level,level,latency_ns\n", `1:7: two columns are named "level"`},
		"semicolons":         {"level;latency_ns\n0;1\n", "not separated by commas"},
		"NaN":                {header + "0,1,NaN,0\n", `2:5: column latency_ns: "NaN" is no whole number`},
		"infinite":           {header + "0,1,Inf,0\n", `"Inf" is not a positive time`},
		"negative":           {header + "0,1,5,0\n0,1,-5,0\n", `3:5: column latency_ns: "-5" is not a positive time`},
		"zero":               {header + "0,1,0,0\n", `"0" is not a positive time`},
		"whole float above":  {header + "0,1,5.0,0\n1,1,5.5,0\n", `3:5: column latency_ns: "5.5" is no whole number`},
		"none":               {header + "0,1,,0\n", "column latency_ns: is empty"},
		"fraction":           {header + "0,1,3.5,0\n", `"3.5" is no whole number of nanoseconds`},
		"with unit":          {header + "0,1,3ms,0\n", `"3ms" is no whole number of nanoseconds`},
		"beyond int64":       {header + "0,1,99999999999999999999,0\n", "is no whole number"},
		"short row":          {header + "0,1\n", "2:1: has 2 fields, want 4"},
		"level missing":      {header + ",1,5,0\n", "column level: is empty"},
		"utilisation":        {header + "0,1,5,x\n", `2:7: column utilisation: "x" is no number`},
		"negative share":     {header + "0,1,5,-1\n", `column utilisation: "-1" is negative`},
		"two models":         {"level,latency_ns,model\n0,5,a\n1,5,b\n", `column model: "b", where lines before have "a"`},
		"mixed units":        {header + strings.Repeat("0,1,3000000,0\n", 20) + strings.Repeat("1,1,3100,0\n", 20), "mixed units: latencies of level=1"},
		"mixed in a level":   {header + strings.Repeat("0,1,3000000,0\n0,1,3100,0\n", 20), "mixed units"},
		"binary":             {"\x7fELF\x02\x01\x01\x00\x00", "no text"},
		"binary after":       {header + "0,1,5,0\n\x00\x00\x00\x00\n", "no text"},
		"a line without end": {strings.Repeat("x", 1<<20+1), "longer than"},
		"quotes":             {header + "0,1,\"5,0\n", "2:9: extraneous or missing"},
		"a quoted comma":     {"note,level,latency_ns\n\"a,b\",0,-1\n", `2:9: column latency_ns: "-1"`},
		"a quote goes on":    {"note,level,latency_ns\n\"a\nb\",0,1\n", "2:3: extraneous or missing"},
		"tabs":               {"level\tlatency_ns\n0\t1\n", "1:1: fields are not separated by commas"},
		"semicolons below":   {"level,latency_ns\n0;1\n", "2:1: has 1 fields, want 2"},
		"seconds":            {"level,latency_s\n0,0.0015\n", "there is level, latency_s"},
		"floats":             {"level,latency_ns\n0,1.5e-6\n", `2:3: column latency_ns: "1.5e-6" is no whole number of nanoseconds`},
		"gzip cut short":     {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", "decompress: unexpected EOF"},
		"UTF-16":             {"\xff\xfel\x00e\x00v\x00e\x00l\x00,\x00", "no text"},
		"lines of a Mac":     {"level,latency_ns\r0,1\r1,2\r", "no text"},
		"percent":            {header + "0,1,5,0\n1,1,5,85\n", `3:7: column utilisation: "85" is more than 1000%`},
		"a level a row":      {"level,latency_ns\n" + counted(1000, "%d,5\n"), "202:1: column level: more than 200 levels"},
		"a replicate a row":  {header + counted(20_000, "0,%d,5,0\n"), "10002:1: more than 10000 replicates"},
		"two loads a level":  {"level,latency_ns,direction\n0,5,\n1,5,h2d\n1,5,d2h\n", `4:5: column direction: "d2h", where lines before have "h2d"`},
		"seq":                {"level,latency_ns,seq\n0,5,x\n", `column seq: "x" is no whole number`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.text), Selection{})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	for name, c := range map[string]struct{ text, says string }{
		"one sample": {header + "0,1,5,0\n", "one sample"},
		"one level":  {header + "3,1,5,0\n3,1,6,0\n", "one level, level=3"},
	} {
		s, err := Read(strings.NewReader(c.text), Selection{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.enough(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if r, err := Judge(s, nil, quick); err != nil || r.Verdicts[0].Verdict != cell.NotIdentified {
			t.Errorf("%s: a stage that judges it fails: %v", name, err)
		}
	}
	if _, err := Judge(&Samples{}, nil, quick); err == nil {
		t.Error("no samples: no error")
	}
}

// TestSeqOfCalls reads files whose column seq numbers calls, which would make
// each a replicate of its own: they are refused, and without the column are few
// replicates. Trials of one replicate are told apart by seq as ever.
func TestSeqOfCalls(t *testing.T) {
	file := func(replicate bool, seq func(trial, call int) int) string {
		b := bytes.NewBufferString("level,latency_ns,seq")
		if replicate {
			b.WriteString(",replicate")
		}
		for trial := range 12 {
			for call := range 60 {
				fmt.Fprintf(b, "\n%d,%d,%d", trial%2, 1_000_000+trial*1000+call, seq(trial, call))
				if replicate {
					fmt.Fprintf(b, ",%d", trial/4+1)
				}
			}
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		seq    func(trial, call int) int
		refuse bool
	}{
		"unique":     {func(trial, call int) int { return trial*60 + call }, true},
		"by tens":    {func(trial, call int) int { return 10 * (trial*60 + call) }, true},
		"restarting": {func(_, call int) int { return call }, true},
		"a trial":    {func(trial, _ int) int { return trial + 1 }, false},
	} {
		for _, replicate := range []bool{true, false} {
			s, err := Read(strings.NewReader(file(replicate, c.seq)), Selection{})
			switch {
			case c.refuse && (err == nil || !strings.Contains(err.Error(), "1:18: column seq: is the number of a trial in the order measured") || !strings.Contains(fmt.Sprint(errors.Unwrap(err)), "from call to call")):
				t.Errorf("%s, replicate %v: %v", name, replicate, err)
			case !c.refuse && err != nil:
				t.Errorf("%s, replicate %v: %v", name, replicate, err)
			case !c.refuse && len(s.Trials) != 12:
				t.Errorf("%s, replicate %v: %d trials", name, replicate, len(s.Trials))
			}
		}
	}
	// So many that there are more than can be trials.
	many := "level,replicate,latency_ns,seq\n" + counted(20_000, "0,1,5,%d\n")
	if _, err := Read(strings.NewReader(many), Selection{}); err == nil || !strings.Contains(err.Error(), "column seq: is the number of a trial") {
		t.Errorf("many: %v", err)
	}
	// One call a trial, where level and replicate say so too.
	if s, err := Read(strings.NewReader("level,replicate,latency_ns,seq\n0,1,5,1\n0,2,6,2\n1,1,6,3\n1,2,7,4\n"), Selection{}); err != nil || len(s.Trials) != 4 {
		t.Errorf("one call a trial: %v", err)
	}
}

// counted repeats a line with a number in it.
func counted(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// What other programs write is read right.
func TestReadsOthersFiles(t *testing.T) {
	plain := "level,replicate,latency_ns,utilisation\n0,a,300,0\n0,a,310,0\n4,b,500,0.5\n4,b,510,0.5\n"
	want, err := Read(strings.NewReader(plain), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"spreadsheet":       "\ufeff" + strings.ReplaceAll(plain, "\n", "\r\n"),
		"no last newline":   strings.TrimSuffix(plain, "\n"),
		"blank lines":       strings.ReplaceAll(plain, "\n4", "\n\n4"),
		"spaces":            strings.ReplaceAll(plain, ",", ", "),
		"quotes":            "\"level\",\"replicate\",\"latency_ns\",\"utilisation\"\n\"0\",\"a\",\"300\",\"0\"\n0,a,310,0\n\"4\",\"b\",\"500\",0.5\n4,b,510,0.5\n",
		"another order":     "utilisation,latency_ns,replicate,level\n0,300,a,0\n0,310,a,0\n0.5,500,b,4\n0.5,510,b,4\n",
		"more columns":      "id,level,replicate,latency_ns,utilisation,note\n7,0,a,300,0,\n8,0,a,310,0,\"x, y\"\n9,4,b,500,0.5,é\n10,4,b,510,0.5,\n",
		"one after another": "level,replicate,latency_ns,utilisation\n4,b,500,0.5\n0,a,300,0\n4,b,510,0.5\n0,a,310,0\n",
		"no shares":         "level,replicate,latency_ns\n0,a,300\n0,a,310\n4,b,500\n4,b,510\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(strings.NewReader(text), Selection{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != want.Rows || len(got.Trials) != len(want.Trials) {
				t.Fatalf("%d rows in %d trials", got.Rows, len(got.Trials))
			}
			for i, w := range want.Trials {
				g := got.Trials[i]
				same := g.Utilisation == w.Utilisation || name == "no shares" && math.IsNaN(g.Utilisation)
				if g.Level != w.Level || g.Value != w.Value || g.Replicate != w.Replicate || !slices.Equal(g.Latencies, w.Latencies) || !same {
					t.Errorf("%+v, want %+v", g, w)
				}
			}
		})
	}
}

// Levels may differ in the direction of their loads, which is said.
func TestLoadsOfLevels(t *testing.T) {
	s, err := Read(strings.NewReader("level,latency_ns,direction\n0,5,h2d\n0,5,h2d\n1,6,d2d\n2,7,\n"), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Doubts, "\n"); got != "levels differ in direction too, so a difference between two may be due to that" || len(s.About) != 0 {
		t.Errorf("doubts %q, about %q", got, s.About)
	}
}

// As many levels, and as many replicates, as are let in are judged in a time that
// one waits for.
func TestManyLevelsAndReplicates(t *testing.T) {
	shares := func(n int) (rho []float64) {
		for i := range n {
			rho = append(rho, 0.9*float64(i)/float64(n))
		}
		return rho
	}
	many := study{rho: shares(mostLevels), latency: exponential, noise: 0.05, apart: 0.01, calls: 5, reps: 3}
	more := study{rho: shares(mostConfused + 1), latency: exponential, noise: 0.05, apart: 0.01, calls: 300, reps: 2}
	dense := study{rho: shares(mostLevels + 20), latency: exponential, noise: 0.05, apart: 0.01, calls: 30, reps: 2}
	wide := study{rho: spread, latency: exponential, noise: 0.05, apart: 0.01, calls: 2, reps: mostTrials / len(spread)}
	for name, s := range map[string]study{"levels": many, "more levels": dense, "levels with a p99": more, "replicates": wide} {
		start := time.Now()
		r := judged(t, s, 1, nil, Options{Draws: 100, Sets: 2})
		if name == "levels with a p99" && (r.Confusion != nil || !strings.Contains(strings.Join(r.Doubts, "\n"), "is not simulated: it has 31 levels")) {
			t.Errorf("a confusion matrix of %d levels, or no word of it among %d doubts", len(r.Levels), len(r.Doubts))
		}
		if r.Verdicts[0].Verdict != cell.Reproduced || len(r.Tests) != len(s.rho)-1 {
			t.Errorf("%s: %+v", name, r.Verdicts)
		}
		t.Logf("%s: judged in %v", name, time.Since(start))
	}
}

// Ten gigabytes of nothing are told from a table at once, as is a table that
// goes on as nothing.
func TestSparseFile(t *testing.T) {
	for name, head := range map[string]string{"from the start": "", "after a header": header + "0,1,5,0\n"} {
		path := filepath.Join(t.TempDir(), "sparse.csv")
		filetest.Write(t, path, head)
		if err := os.Truncate(path, 10<<30); err != nil {
			t.Skipf("no sparse file here: %v", err)
		}
		start := time.Now()
		if _, _, err := Load(path, Selection{}); err == nil || !strings.Contains(err.Error(), "no text") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestReadSelects(t *testing.T) {
	text := "\ufeffload,block,latency_ns,model,note,direction\r\nidle,4,300,a,x,\r\nidle,8,310,a,y,h2d\r\nbusy,4,500,a,z,h2d\r\nbusy,4,900,b,z,h2d\r\n"
	s, err := Read(strings.NewReader(text), Selection{Level: "load", Where: map[string]string{"model": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows != 3 || len(s.Trials) != 2 || s.Trials[0].Level != "load=idle" || s.Trials[1].Value != 1 {
		t.Errorf("%d rows in trials %+v", s.Rows, s.Trials)
	}
	if got := strings.Join(s.About, "; "); got != "model a; direction h2d" {
		t.Errorf("about %q", got)
	}
	if got := strings.Join(s.Doubts, "\n"); !strings.Contains(got, "in the order of the file") || !strings.Contains(got, "not looked at: block, note") {
		t.Errorf("doubts %q", got)
	}
	if s, err = Read(strings.NewReader(text), Selection{Level: "block", Where: map[string]string{"load": "busy", "model": "b"}}); err != nil || s.Rows != 1 || s.Trials[0].Value != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Read(strings.NewReader(text), Selection{Level: "load", Where: map[string]string{"model": "c"}}); err == nil || !strings.Contains(err.Error(), "none of 4 rows has model=c") {
		t.Errorf("no row matches: %v", err)
	}
	if _, err := Read(strings.NewReader(text), Selection{Level: "load", Where: map[string]string{"modle": "a"}}); err == nil {
		t.Error("a column that is not there was selected by")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(header + "0,1,300,0\n1,1,400,0.5\n")
	f.Add("level,latency_ns,seq,threads\n0,300,1,\n1,\"400\",2,4\n")
	f.Add("\x00\n,\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read(strings.NewReader(text), Selection{})
		if err != nil {
			return
		}
		n := 0
		for _, tr := range s.Trials {
			n += len(tr.Latencies)
			for _, ns := range tr.Latencies {
				if ns <= 0 {
					t.Fatalf("a latency of %d", ns)
				}
			}
		}
		if n != s.Rows || n == 0 {
			t.Fatalf("%d samples in %d rows", n, s.Rows)
		}
		r, err := Judge(s, nil, quick)
		if err != nil {
			return
		}
		for _, v := range r.Verdicts {
			if v.Verdict == "" || v.Because == "" {
				t.Fatalf("%+v", v)
			}
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		if err := r.Write(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}

// What the checksums beside a file do not fit is refused, and so is a part of a recording
// that they do not list. A file of another name is judged.
func TestChecksumsBeside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, record.Samples)
	s := study{rho: spread, queued: true, latency: exponential, noise: 0.02, apart: 0.01, calls: 30, reps: 3}
	write(t, path, s, 1)
	filetest.Write(t, filepath.Join(dir, record.Run), "{}")
	if err := record.WriteSums(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path, Selection{}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{record.Samples, record.Run} {
		was := filetest.Read(t, filepath.Join(dir, name))
		filetest.Write(t, filepath.Join(dir, name), string(was)+"\n")
		var h *cell.Error
		if _, _, err := Load(path, Selection{}); !errors.As(err, &h) || !strings.Contains(err.Error(), "damaged: "+name) || !strings.Contains(h.Hint, "version control") {
			t.Errorf("%s was changed: %v", name, err)
		}
		filetest.Write(t, filepath.Join(dir, name), string(was))
	}
	other := filepath.Join(dir, "other.csv")
	write(t, other, s, 2)
	if _, _, err := Load(other, Selection{}); err != nil {
		t.Errorf("a file that is not listed: %v", err)
	}
	for _, c := range []struct{ from, to, of string }{{path, path + record.Packed, path}, {filepath.Join(dir, record.Run), other, other}} {
		if err := os.Rename(c.from, c.to); err != nil {
			t.Fatal(err)
		}
		if err := record.WriteSums(dir); err != nil {
			t.Fatal(err)
		}
		was := filetest.Read(t, c.to)
		filetest.Write(t, c.from, was)
		if _, _, err := Load(c.of, Selection{}); err == nil || !strings.Contains(err.Error(), "not listed: "+filepath.Base(c.from)) {
			t.Errorf("%s is not listed: %v", c.from, err)
		}
		if err := os.Remove(c.from); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Load(path, Selection{}); err != nil {
		t.Errorf("by the name of what is not compressed: %v", err)
	}
	filetest.Write(t, filepath.Join(dir, record.Sums), "")
	if _, _, err := Load(path, Selection{}); err == nil || !strings.Contains(err.Error(), "SHA256SUMS is empty") {
		t.Errorf("no checksums in their file: %v", err)
	}
}

// However a number is written, it is one level, named as it was first.
func TestLevelsAreNumbers(t *testing.T) {
	s, err := Read(strings.NewReader("level,replicate,latency_ns\n0.0,1,5\n1e1,1,7\n0,1,6\n-0,1,6\n10,1,8\n0.0,2,5\n"), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tr := range s.Trials {
		got = append(got, fmt.Sprint(tr.Level, " ", tr.Replicate, " ", tr.Latencies))
	}
	if want := "level=0.0 1 [5 6 6]; level=0.0 2 [5]; level=1e1 1 [7 8]"; strings.Join(got, "; ") != want {
		t.Errorf("%s, want %s", strings.Join(got, "; "), want)
	}
}

// The interval of a change is that of a ratio: with the levels' roles exchanged it
// is the inverse, and no latency falls by more than all of itself.
func TestEffectIsARatio(t *testing.T) {
	file := func(low, high int) string {
		b := bytes.NewBufferString("level,replicate,latency_ns\n")
		for level, scale := range []int{low, high} {
			for replicate := range 3 {
				for call := range 60 {
					fmt.Fprintf(b, "%d,%d,%d\n", level, replicate, scale*(1000+400*replicate+call))
				}
			}
		}
		return b.String()
	}
	effect := func(low, high int) stats.Interval {
		s, err := Read(strings.NewReader(file(low, high)), Selection{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Judge(s, nil, quick)
		if err != nil || r.Effect == nil {
			t.Fatal(err, r)
		}
		value, below, above := r.Effect.Share()
		if value != r.Effect.Ratio.Value-1 || below <= -1 || below >= value || above <= value {
			t.Errorf("%v [%v, %v]", value, below, above)
		}
		return r.Effect.Ratio
	}
	up, down := effect(1, 20), effect(20, 1)
	// The two bootstraps draw otherwise, so that widths agree only nearly.
	if math.Abs(up.Value*down.Value-1) > 1e-9 || math.Abs(math.Log(up.High/up.Low)-math.Log(down.High/down.Low)) > 0.2 {
		t.Errorf("%+v and %+v", up, down)
	}
}

// write writes a study as a tidy file.
func write(t testing.TB, path string, s study, seed uint64) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("level,replicate,seq,latency_ns,threads,block_bytes,outstanding,achieved_bytes_per_s,utilisation\n")
	for _, tr := range s.samples(seed).Trials {
		for _, ns := range tr.Latencies {
			fmt.Fprintf(&b, "%g,%s,%d,%d,%g,%g,1,%g,%g\n", tr.Value, tr.Replicate, tr.Seq, ns, tr.Threads, tr.Block, tr.Achieved, tr.Utilisation)
		}
	}
	filetest.Write(t, path, b.Bytes())
}

// WriteExponential writes samples in which latency grows exponentially, for the
// tests of commands; drift is how far the baseline moves meanwhile, as a share.
func WriteExponential(t testing.TB, path string, drift float64) {
	t.Helper()
	write(t, path, study{rho: spread, queued: true, latency: exponential, noise: 0.02, apart: 0.01, calls: 300, reps: 3, drift: drift}, 1)
}

// BenchmarkTenMillion judges ten million samples from a file, without the
// simulations: `make bench` shows seconds and the most memory held.
func BenchmarkTenMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "samples.csv")
	s := study{rho: spread, queued: true, latency: exponential, noise: 0.05, apart: 0.01, calls: 10_000_000/30 + 1, reps: 5}
	write(b, path, s, 1)
	runtime.GC()
	for b.Loop() {
		samples, run, err := Load(path, Selection{})
		if err != nil {
			b.Fatal(err)
		}
		r, err := Judge(samples, run, Defaults)
		if err != nil {
			b.Fatal(err)
		}
		if r.Calls < 10_000_000 || r.Verdicts[1].Verdict != cell.Reproduced {
			b.Fatalf("%d calls: %+v", r.Calls, r.Verdicts)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-held")
}

// TestShapes judges levels by their medians in milliseconds, each with five
// replicates of sixty calls within 3%: words and rules agree on what is monotone.
func TestShapes(t *testing.T) {
	for name, c := range map[string]struct {
		medians  []float64
		verdict  string
		has, not string
	}{
		"hump":          {[]float64{10, 20, 30, 20, 10}, cell.Refuted, "not monotone: -66.", "that would matter"},
		"dip":           {[]float64{10, 5, 10}, cell.Refuted, "not monotone: -50", "that would matter"},
		"hump, higher":  {[]float64{10, 20, 30, 20, 10.1}, cell.Refuted, "not monotone", "that would matter"},
		"half":          {[]float64{10, 8, 6, 5}, cell.Refuted, "monotone, and falling: latency is shorter", "that would matter"},
		"half of two":   {[]float64{10, 5}, cell.Refuted, "latency is shorter", "monotone"},
		"to a fifth":    {[]float64{10, 20, 30, 20, 2}, cell.Refuted, "not monotone: -93.3%", "that would matter"},
		"growth":        {[]float64{10, 12, 15, 20}, cell.Reproduced, "medians are monotone", "not monotone"},
		"growth, a dip": {[]float64{10, 15, 20, 18, 25, 40}, cell.Reproduced, "not monotone: -10", "that would matter"},
		"saturated":     {[]float64{1, 1.3, 2, 1000}, cell.Reproduced, "medians are monotone", "not monotone"},
		"nothing":       {[]float64{10, 10, 10, 10}, cell.Refuted, "less than the 5% that would matter", "not monotone"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("level,replicate,latency_ns\n")
			rng := rand.New(rand.NewPCG(1, 2))
			for level, m := range c.medians {
				for i := range 300 {
					fmt.Fprintf(&b, "%d,%d,%.0f.0\n", level, i/60, m*1e6*(1+0.03*(rng.Float64()*2-1)))
				}
			}
			s, err := Read(strings.NewReader(b.String()), Selection{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := Judge(s, nil, quick)
			if err != nil {
				t.Fatal(err)
			}
			if v := r.Verdicts[0]; v.Verdict != c.verdict || !strings.Contains(v.Because, c.has) || strings.Contains(v.Because, c.not) {
				t.Errorf("%+v\nwant %s, with %q and without %q", v, c.verdict, c.has, c.not)
			}
		})
	}
}

// TestFarApart: what lies a thousand times apart is judged with a doubt, where a load
// or cold starts explain it or the program measured it.
func TestFarApart(t *testing.T) {
	const header = "level,replicate,latency_ns\n"
	cold := strings.Repeat("0,1,1000000000\n"+strings.Repeat("0,1,1000000\n", 9), 20)
	mixed := header + strings.Repeat("0,1,3000000\n", 20) + strings.Repeat("1,1,3100\n", 20)
	for name, c := range map[string]struct {
		text     string
		recorded bool
		says     string
	}{
		"saturated":   {header + strings.Repeat("0,1,1000000\n", 20) + strings.Repeat("8,1,1000000000\n", 20), false, "level=8: 100% of calls lie about 1000 times from"},
		"half so":     {header + strings.Repeat("0,1,1000000\n", 20) + strings.Repeat("8,1,1000000000\n8,1,1000000\n", 20), false, "level=8: 50% of calls"},
		"cold starts": {header + cold + strings.ReplaceAll(cold, "0,1,", "1,1,"), false, "level=0: 10% of calls"},
		"recorded":    {mixed, true, "level=1: 100% of calls"},
	} {
		s, err := Read(strings.NewReader(c.text), Selection{Recorded: c.recorded})
		if err != nil || !slices.ContainsFunc(s.Doubts, func(d string) bool { return strings.Contains(d, c.says) }) {
			t.Errorf("%s: %v, want a doubt with %q", name, err, c.says)
			continue
		}
		if _, err := Judge(s, nil, quick); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadCalibrationIsInvalid: a link that carries more than twice what was
// calibrated says nothing about shares of it.
func TestBadCalibrationIsInvalid(t *testing.T) {
	rho := []float64{0, 0.4, 0.9, 2.48}
	r := judged(t, study{rho: rho, latency: slowed(0.3), noise: 0.05, apart: 0.01, calls: 100, reps: 4}, 1, &recording.Run{}, quick)
	if !strings.Contains(r.Invalid, "248% of the calibrated capacity") || r.Verdicts[0].Verdict != cell.Invalid {
		t.Errorf("%q, %+v", r.Invalid, r.Verdicts)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "samples.csv")
	filetest.Write(t, file, "level,replicate,latency_ns,utilisation\n"+strings.Repeat("0,1,1000,0\n1,1,1100,2.48\n", 30))
	if _, _, err := Load(file, Selection{}); err != nil {
		t.Errorf("without run.json: %v", err)
	}
	filetest.Write(t, filepath.Join(dir, record.Run), "{}")
	if _, run, err := Load(dir, Selection{}); err != nil || run == nil {
		t.Errorf("beside run.json, by the folder: %v", err)
	}
}
