package traffic

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival"

	"pgregory.net/rapid"
)

// simulate answers requests in no time at all: a function from when they are due to
// how they were answered, by workers that take so long for a batch of n.
func simulate(due []int64, rule Rule, batch Batch, service func(n int) int64) []Request {
	q := NewQueue(due, 0, rule, batch)
	free := make([]int64, max(1, rule.Workers))
	for {
		first := 0 // the worker that is free before the others
		for i := range free {
			if free[i] < free[first] {
				first = i
			}
		}
		w := q.Take(Never-1, free[first])
		if w.N == 0 {
			return q.Requests
		}
		done := w.Ready + service(w.N)
		q.Answer(w, w.Ready, done)
		free[first] = done
	}
}

// tell writes when each request was begun, in batches of how many, or that it was
// dropped.
func tell(requests []Request) string {
	var words []string
	for _, r := range requests {
		if r.Answered() {
			words = append(words, fmt.Sprintf("%d/%d", r.Begun, r.Batch))
		} else {
			words = append(words, fmt.Sprintf("x%d", r.Done))
		}
	}
	return strings.Join(words, " ")
}

func TestSimulate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		due     []int64
		rule    Rule
		batch   Batch
		service func(n int) int64
		want    string
	}{
		{name: "idle", due: []int64{0, 20, 40}, want: "0/1 20/1 40/1"},
		{name: "one after the other", due: []int64{0, 1, 2}, want: "0/1 10/1 20/1"},
		{name: "two workers", due: []int64{0, 1, 2, 3}, rule: Rule{Workers: 2}, want: "0/1 1/1 10/1 11/1"},
		{name: "at once, two workers", due: []int64{5, 5, 5}, rule: Rule{Workers: 2}, want: "5/1 5/1 15/1"},
		{name: "a full queue drops the newest", due: []int64{0, 1, 2, 3, 11}, rule: Rule{Queue: 1}, want: "0/1 10/1 x2 x3 20/1"},
		{name: "or the oldest", due: []int64{0, 1, 2, 3, 11}, rule: Rule{Queue: 1, Drop: "oldest"}, want: "0/1 x2 x3 10/1 20/1"},
		{name: "a free worker is no queue", due: []int64{0, 0, 0}, rule: Rule{Queue: 1}, want: "0/1 10/1 x0"},
		{name: "two free workers are none", due: []int64{0, 0, 0, 0}, rule: Rule{Queue: 1, Workers: 2}, want: "0/1 0/1 10/1 x0"},
		{name: "who is late at its turn is dropped", due: []int64{0, 1, 5, 9}, rule: Rule{Deadline: 12, Drop: "late"}, want: "0/1 10/1 x20 20/1"},
		{name: "late ones and a bound", due: []int64{0, 1, 5, 9}, rule: Rule{Deadline: 9, Drop: "late", Queue: 2}, want: "0/1 x10 10/1 x9"},
		{name: "a batch that fills", due: []int64{0, 1, 2, 3}, batch: Batch{Max: 2, Wait: 100}, want: "1/2 1/2 11/2 11/2"},
		{name: "a batch whose first waited", due: []int64{0, 1, 9}, batch: Batch{Max: 8, Wait: 5}, want: "5/2 5/2 15/1"},
		{name: "no wait: what is there", due: []int64{0, 1, 2, 3, 30}, batch: Batch{Max: 8}, want: "0/1 10/3 10/3 10/3 30/1"},
		{name: "at once", due: []int64{7, 7, 7}, batch: Batch{Max: 2, Wait: 3}, want: "7/2 7/2 17/1"},
		{name: "a busy worker's batch grows", due: []int64{0, 1, 2, 3}, batch: Batch{Max: 2, Wait: 1}, want: "1/2 1/2 11/2 11/2"},
		{name: "longer batches", due: []int64{0, 0, 0, 5}, batch: Batch{Max: 3}, service: func(n int) int64 { return int64(10 + n) }, want: "0/3 0/3 0/3 13/1"},
		{name: "none", want: ""},
	} {
		service := tt.service
		if service == nil {
			service = func(int) int64 { return 10 }
		}
		if got := tell(simulate(tt.due, tt.rule, tt.batch, service)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// Whatever the rule: each request is answered once or dropped, in the order in which
// they came and not before they did; batches and queue keep their bounds; and no
// worker idles while a batch is ripe.
func TestQueueKeepsItsRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		due := rapid.SliceOfN(rapid.Int64Range(0, 300), 0, 60).Draw(t, "due")
		slices.Sort(due)
		rule := Rule{
			Deadline: unit.Duration(rapid.Int64Range(0, 60).Draw(t, "deadline")), Queue: rapid.IntRange(0, 9).Draw(t, "queue"),
			Drop: rapid.SampledFrom([]string{"", "oldest", "late"}).Draw(t, "drop"), Workers: rapid.IntRange(1, 3).Draw(t, "workers"),
		}
		batch := Batch{Max: rapid.IntRange(0, 5).Draw(t, "max"), Wait: unit.Duration(rapid.Int64Range(0, 20).Draw(t, "wait"))}
		if rule.Deadline == 0 && rule.Drop == "late" || rule.Drop == "oldest" && rule.Queue == 0 {
			rule.Drop = ""
		}
		if rule.Queue > 0 {
			rule.Queue = max(rule.Queue, batch.Max)
		}
		if batch.Max == 0 || rule.Deadline > 0 && batch.Wait >= rule.Deadline {
			batch.Wait = 0
		}
		all := simulate(due, rule, batch, func(n int) int64 { return int64(7 + 3*n) })
		last, members := int64(0), map[[2]int64]int{} // by when they were begun, and in batches of how many
		for i, r := range all {
			switch {
			case r.Due != due[i] || r.Sent < r.Due || r.Begun < r.Sent || r.Done < r.Begun:
				t.Fatalf("request %d: %+v", i, r)
			case !r.Answered() && rule.Queue == 0 && rule.Drop != "late":
				t.Fatalf("request %d was dropped, and nothing drops", i)
			case r.Answered():
				if r.Begun < last || r.Batch > batch.most() || r.Sent != r.Due {
					t.Fatalf("request %d: %+v, and one before was begun at %d", i, r, last)
				}
				last = r.Begun
				members[[2]int64{r.Begun, int64(r.Batch)}]++
			case rule.Drop == "late" && rule.Queue == 0 && r.Done < r.Deadline:
				t.Fatalf("request %d was dropped in time: %+v", i, r)
			}
		}
		for i, r := range all {
			if n := members[[2]int64{r.Begun, int64(r.Batch)}]; r.Answered() && n%r.Batch != 0 {
				t.Fatalf("request %d says that %d were answered together, and %d say so of %d", i, r.Batch, n, r.Begun)
			}
			waiting := 0
			for j := range i {
				if b := &all[j]; b.Begun > r.Due {
					waiting++
				}
			}
			if rule.Queue > 0 && r.Answered() && r.Begun > r.Due && waiting >= rule.Queue+batch.most() && rule.Drop != "oldest" {
				t.Fatalf("request %d was let into a queue of %d", i, waiting)
			}
			// Ripe at Due + Wait at the latest: from then until it was begun all workers
			// were busy, with those that were begun before.
			busy := 0
			for _, b := range all {
				if b.Answered() && b.Begun < r.Begun && b.Done >= r.Begun {
					busy++
				}
			}
			if ripe := r.Due + int64(batch.Wait); r.Answered() && r.Begun > ripe && busy == 0 {
				t.Fatalf("request %d, ripe at %d, was begun at %d, and all workers were free", i, ripe, r.Begun)
			}
		}
	})
}

// A server with Poisson arrivals and a constant time of service makes them wait, on
// average, for what Pollaczek and Khinchin found: rho s / 2 (1 - rho).
func TestWaitOfMD1(t *testing.T) {
	const service = 1e6
	for _, rho := range []float64{0.3, 0.6, 0.8} {
		p := arrival.Pattern{Arrivals: "poisson", Rate: rho * 1e9 / service}
		due, _, err := p.Schedule("", 400_000, 3)
		if err != nil {
			t.Fatal(err)
		}
		mean := 0.0
		for _, r := range simulate(due, Rule{}, Batch{Size: 1}, func(int) int64 { return service }) {
			mean += float64(r.Begun-r.Due) / float64(len(due))
		}
		if want := rho * service / 2 / (1 - rho); math.Abs(mean/want-1) > 0.04 {
			t.Errorf("at a load of %g requests wait for %g ns, want %g", rho, mean, want)
		}
	}
}

// A trial that is cut off has the requests that were due by then.
func TestAbandon(t *testing.T) {
	q := NewQueue([]int64{0, 1, 2, 50}, 100, Rule{Deadline: 5}, Batch{})
	w := q.Take(100, 90)
	q.Answer(w, 103, 110)
	if w = q.Take(110, 110); w.N != 1 || w.Ready != 110 {
		t.Fatalf("%+v", w)
	}
	all := q.Abandon(120)
	if got := tell(all); got != "103/1 x120 x120" || all[0].Sent != 103 || !all[0].Late() || !all[1].Late() {
		t.Errorf("%s, %+v", got, all)
	}
}

func TestRuleRefused(t *testing.T) {
	ms := unit.Duration(time.Millisecond)
	for says, c := range map[string]struct {
		arrivals string
		rule     Rule
		batch    Batch
	}{
		"deadline 1ms with arrivals closed":   {"closed", Rule{Deadline: ms}, Batch{Size: 1}},
		"batch of at most 4 with arrivals":    {"closed", Rule{}, Batch{Size: 1, Max: 4}},
		"workers 2 with arrivals closed":      {"closed", Rule{Workers: 2}, Batch{Size: 1}},
		"deadline is -1ms":                    {"poisson", Rule{Deadline: -ms}, Batch{Size: 1}},
		"queue is -1":                         {"poisson", Rule{Queue: -1}, Batch{Size: 1}},
		`drop "random"`:                       {"poisson", Rule{Queue: 1, Drop: "random"}, Batch{Size: 1}},
		"drop late without a deadline":        {"poisson", Rule{Drop: "late"}, Batch{Size: 1}},
		"drop oldest of a queue without":      {"poisson", Rule{Drop: "oldest"}, Batch{Size: 1}},
		"batch of at most 8, and a queue of":  {"poisson", Rule{Queue: 4}, Batch{Size: 1, Max: 8}},
		"batch waits for 1ms, and the deadli": {"poisson", Rule{Deadline: ms}, Batch{Size: 1, Max: 8, Wait: ms}},
	} {
		if err := c.rule.Check(c.arrivals, c.batch); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", c, err, says)
		}
	}
	good := Rule{Deadline: ms, Queue: 8, Drop: "late", Workers: 2}
	if err := good.Check("poisson", Batch{Size: 1, Max: 8, Wait: ms / 2}); err != nil {
		t.Error(err)
	}
}

// A batch reads as it is written.
func TestBatchText(t *testing.T) {
	for text, want := range map[string]string{
		"4": "4", `{"max": 8, "wait": "2ms"}`: `{"max":8,"wait":2000000}`, `{"max": 8}`: `{"max":8}`,
		`"four"`: "want a whole number", `{"max": 0}`: "want 1 to 1024", `{"most": 3}`: "batch takes max and wait", `{"max": 2, "wait": "-1ms"}`: "a time from 0",
	} {
		var b Batch
		err := b.UnmarshalJSON([]byte(text))
		got, _ := b.MarshalJSON()
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && string(got) != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
}
