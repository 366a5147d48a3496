package judge

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"barograph/stages/recording"
	"barograph/stages/result"
)

// suffering makes samples of two models, of which the second suffers twice as much
// and has a baseline that drifts by a share.
func suffering(drift float64) string {
	var b strings.Builder
	b.WriteString("level,replicate,latency_ns,model,batch,direction,utilisation,seq\n")
	for m, model := range []string{"large", "small"} {
		for replicate := range 4 {
			for level := range 2 {
				for call := range 400 {
					ns := 1e6 * (1 + float64((7*call)%400)/4e4) * (1 + float64(level)*float64(2-m)/2)
					if m == 1 && level == 0 {
						ns *= 1 + drift*float64(replicate)
					}
					fmt.Fprintf(&b, "%d,%d,%d,%s,1,h2d,%g,%d\n", level, replicate, int64(ns), model, 0.5*float64(level), 2*replicate+level)
				}
			}
		}
	}
	return b.String()
}

func TestSlow(t *testing.T) {
	run := &recording.Run{Trials: []*recording.Trial{
		{Infer: result.Infer{Model: "large", Batch: 1, In: 4000, Out: 2000}}, {Infer: result.Infer{Model: "small", Batch: 1, In: 40, Out: 2}},
	}}
	for _, drift := range []float64{0, 0.2} {
		table, err := recording.Read(strings.NewReader(suffering(drift)), recording.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := Slow(table, run, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Slowdowns) != 2 || !slices.Equal(f.Models, []string{"large, 1", "small, 1"}) || f.Slowdowns[1].Drifted != (drift > 0) || !f.Sound() {
			t.Fatalf("drift %v: %+v", drift, f)
		}
		large := f.Slowdowns[0]
		if large.Level != "1" || large.Utilisation != 0.5 || math.Abs(large.P50.Value-2) > 0.01 || !(large.P50.Low <= large.P50.Value && large.P50.Value <= large.P50.High) {
			t.Errorf("%+v", large)
		}
		if got := f.Frame(); got.Nrow() != 2 || got.Col("in_bytes").Float()[0] != 4000 || got.Col("p50_slowdown").Float()[0] != large.P50.Value {
			t.Errorf("%v", got)
		}
		if got := f.Rows().Records()[1]; got[4] != "4 KB" || got[6] != "50%" || !strings.HasPrefix(got[8], "2.00 [") {
			t.Errorf("%q", got)
		}
		// The lighter request comes first, unless it is left out.
		requests := strings.Join(f.Points().Col("request").Records(), "; ")
		want := "small, 1: 42 B; small, 1: 42 B; large, 1: 6 KB; large, 1: 6 KB"
		if drift > 0 {
			want = "large, 1: 6 KB; large, 1: 6 KB"
		}
		if requests != want || !slices.Equal(f.Series(), []string{"p50, h2d, L=1", "p99, h2d, L=1"}) {
			t.Errorf("drift %v: %s; %q", drift, requests, f.Series())
		}
		if why := strings.Join(f.Why, "\n"); strings.Contains(why, "INVALID: small 1 h2d: ") != (drift > 0) {
			t.Errorf("drift %v: %q", drift, why)
		}
	}
	run.Trials[0].Infer.GPU = &result.GPU{Invalid: []string{"it was throttled"}}
	table, err := recording.Read(strings.NewReader(suffering(0)), recording.Options{Where: map[string]string{"model": "large"}})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Slow(table, run, 1); err != nil || len(f.Invalid) != 1 || !strings.Contains(f.Why[0], "1 of 2 trials failed a gate") {
		t.Errorf("%+v, %v", f, err)
	}
	loads, err := table.Where("level", "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Slow(loads, run, 1); err == nil || err.Error() != "nothing can be compared: direction=h2d of large 1 has no level 0; no level is a load" {
		t.Error(err)
	}
}
