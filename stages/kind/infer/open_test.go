package infer

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/kind/infer/calls"
	"barograph/stages/result"
)

// open runs a cell whose requests do not wait for one another.
func openCell(t *testing.T, device string, with map[string]any) ([]calls.Sample, result.Infer) {
	t.Helper()
	return measured(t, cell.Spec{Machine: cell.Machine{Device: device}, Seed: 7}, with)
}

// Requests are answered in batches by several workers, on a processor and in a
// simulation alike, and each is written down with its lag, deadline and batch.
func TestOpen(t *testing.T) {
	for _, device := range []string{"host", "sim"} {
		t.Run(device, func(t *testing.T) {
			with := map[string]any{
				"arrivals": "bursts", "rate": 400, "burst": 6, "calls": 60, "deadline": "20ms", "workers": 2,
				"batch": map[string]any{"max": 3, "wait": "1ms"},
			}
			samples, about := openCell(t, device, with)
			tr := about.Traffic
			if len(samples) != 60 || tr == nil || tr.Answered != 60 || tr.Workers != 2 || tr.Gather != 3 || tr.Wait != 1e6 || tr.Deadline != 20e6 || about.Schedule.Rate != 400 {
				t.Fatalf("%d samples, %+v, schedule %+v", len(samples), tr, about.Schedule)
			}
			late := 0
			for i, s := range samples {
				if s.Sent < s.Scheduled || s.Start < s.Sent || s.End < s.Start || s.Deadline != s.Scheduled+20e6 || s.Batch != 3 {
					t.Errorf("request %d: %+v", i+1, s)
				}
				if i%6 > 0 && s.Scheduled != samples[i-1].Scheduled {
					t.Errorf("request %d was due %d ns after the one before", i+1, s.Scheduled-samples[i-1].Scheduled)
				}
				if s.End > s.Deadline {
					late++
				}
			}
			if late != tr.Late {
				t.Errorf("%d are late, recorded %d", late, tr.Late)
			}
			if device == "host" && len(tr.Pace) != 3 {
				t.Errorf("what the harness adds: %v", tr.Pace)
			}
			if device == "sim" {
				if again, _ := openCell(t, device, with); !reflect.DeepEqual(samples, again) {
					t.Error("two simulations differ")
				}
			}
		})
	}
}

// A queue that overflows drops, and a dropped request is no fast one.
func TestOpenDrops(t *testing.T) {
	samples, about := openCell(t, "sim", map[string]any{"arrivals": "poisson", "rate": 2000, "calls": 200, "queue": 4, "drop": "oldest"})
	dropped := 0
	longest, last := int64(0), int64(0)
	for _, s := range samples {
		last = max(last, s.End)
		if s.Batch > 0 {
			longest = max(longest, s.Latency())
		}
	}
	for _, s := range samples {
		if s.Batch == 0 {
			dropped++
			if s.End != last {
				t.Errorf("dropped, and complete at %d of %d", s.End, last)
			}
		}
	}
	if tr := about.Traffic; dropped < 100 || tr.Dropped != dropped || tr.Answered != 200-dropped || longest > int64(60*time.Millisecond) {
		t.Errorf("%d dropped, the longest answer took %v: %+v", dropped, time.Duration(longest), tr)
	}
}

func TestOpenRefused(t *testing.T) {
	for _, tt := range []struct {
		with map[string]any
		want string
	}{
		{map[string]any{"deadline": "1us", "arrivals": "constant", "rate": 100}, "deadline is 1us, and the fastest of 3 calls to warm up took"},
		{map[string]any{"deadline": "1ms"}, "deadline 1ms with arrivals closed"},
		{map[string]any{"model": "mobilenetv2", "arrivals": "constant", "rate": 9, "batch": map[string]any{"max": 4}, "weights": "swap"}, "weights swap with several workers"},
		{map[string]any{"model": "stages/kind/infer/testdata/external.onnx", "arrivals": "constant", "rate": 9, "batch": map[string]any{"max": 4}}, "answers a fixed number in a call"},
		{map[string]any{"model": "bert-base-uncased", "arrivals": "constant", "rate": 9, "workers": 64, "batch": map[string]any{"max": 1024}}, "are 65536 sessions, each with"},
	} {
		cmd, stdout := start(t, cell.Spec{Machine: cell.Machine{Device: "host"}}, tt.with)
		all, err := events(t, cmd, stdout)
		if e := ofType(all, "error"); err == nil || len(e) != 1 || !strings.Contains(strings.ReplaceAll(e[0].Text, "µ", "u"), tt.want) {
			t.Errorf("%v: %v, %+v", tt.with, err, e)
		}
	}
}

// What a simulated device takes is known before anything runs; beside a load too the
// deadline has to be longer than a call takes without one.
func TestSimulatedInTime(t *testing.T) {
	input := func(deadline string) cell.Input {
		return cell.Input{ID: "infer", With: json.RawMessage(`{"model": "bert-mini", "arrivals": "constant", "rate": 9, "deadline": "` + deadline + `"}`)}
	}
	simulated := cell.Machine{Device: "sim"}
	if err := together("", simulated, []cell.Input{input("3ms")}); err == nil || !strings.Contains(err.Error(), "deadline is 3ms, and the fastest of 100 simulated calls without a load takes 3.8") {
		t.Errorf("on sim: %v", err)
	}
	if err := together("", simulated, []cell.Input{input("5ms")}); err != nil {
		t.Errorf("long enough: %v", err)
	}
	if err := together("", cell.Machine{Device: "host"}, []cell.Input{input("1ns")}); err != nil {
		t.Errorf("on host it is not known: %v", err)
	}
}

// What the harness did is told apart from what the model did.
func TestInvalidForTheGenerator(t *testing.T) {
	sample := func(due, sent, begun, done int64) calls.Sample {
		return calls.Sample{Scheduled: due * 1e6, Sent: sent * 1e6, Start: begun * 1e6, End: done * 1e6, Batch: 1}
	}
	w := Kind().With().(*With)
	w.Arrivals, w.Rate = "constant", 100
	var kept, late, slow []calls.Sample
	for i := range int64(100) {
		kept = append(kept, sample(10*i, 10*i, 10*i, 10*i+8))
		late = append(late, sample(10*i, 10*i+3, 10*i+3, 10*i+11))
		slow = append(slow, sample(i, i, 8*i, 8*i+8))
	}
	for says, samples := range map[string][]calls.Sample{"": kept, "INVALID: the harness did not keep the schedule: one request in a hundred was sent 3ms late": late, "calls arrive faster than they are answered": slow} {
		course, _, err := w.traffic().Course("", 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.told(samples, course)
		if err != nil {
			t.Fatal(err)
		}
		if doubts := strings.Join(got.Doubts(), ""); (says == "") != (doubts == "") || !strings.Contains(doubts, says) {
			t.Errorf("%q, want %q", doubts, says)
		}
	}
	if doubts := (&result.Traffic{Answered: 3, Dropped: 7, Queue: 2}).Doubts(); len(doubts) != 1 || doubts[0] != "7 of 10 requests were dropped: their queue of 2 was full" {
		t.Errorf("a queue that overflows: %q", doubts)
	}
	if why := (&result.Traffic{Lag: map[string]int64{"p99": 10}, Share: 0.6, Behind: 1e6, Every: 50, Latency: 1e6}).Invalid(); !strings.Contains(why, "60% of the workers' time") {
		t.Errorf("a harness that is too slow: %q", why)
	}
}

// A rate is sought by probes whose requests are recorded like any others.
func TestCarries(t *testing.T) {
	with := map[string]any{"arrivals": "poisson", "calls": 1000, "carries": map[string]any{"p99": "20ms", "from": 20, "to": 1000, "probes": 12}}
	samples, about := openCell(t, "sim", with)
	c := about.Traffic.Carried
	if c == nil || c.Limit != 20e6 || c.Low < 50 || c.High > 300 || c.Low > c.High || len(samples) != 1000*len(c.Probes) || about.Calls != len(samples) {
		t.Fatalf("%d samples, %+v", len(samples), c)
	}
	for i, p := range c.Probes {
		late := 0
		for k, s := range samples[1000*i : 1000*(i+1)] {
			if k >= 100 && s.Latency() > 20e6 {
				late++
			}
			if s.Probe != i+1 {
				t.Fatalf("request %d of probe %d says %d", k+1, i+1, s.Probe)
			}
		}
		if late != p.Late {
			t.Errorf("probe %d: %d late in the samples, %d in the record", i+1, late, p.Late)
		}
	}
}
