package judge

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Trials on several GPUs are compared without load: alike ones are said to be, others
// make every verdict INVALID.
func TestBetweenGPUs(t *testing.T) {
	for _, tt := range []struct {
		name          string
		slower        float64 // of the second GPU
		scatter       float64 // of replicates
		level         string
		about, doubts string
		invalid       string
	}{
		{"alike", 1, 0, "0", "2 GPUs that do not differ (without load medians lie within 0", "", ""},
		{"a little", 1.02, 0, "0", "", "the 2 GPUs differ little: without load, medians lie up to 2", ""},
		{"too much", 1.2, 0, "0", "", "", "the GPUs differ: without load, the median on GPU-b is +20% from that on GPU-a, more than the 5"},
		{"no more than replicates", 1.01, 0.02, "0", "2 GPUs that do not differ (without load medians lie within", "", ""},
		{"too few calls", 1, 0, "few", "", "whether the 2 GPUs differ is not tested: baseline 1: n too small", ""},
	} {
		rng := rand.New(rand.NewPCG(7, 7))
		var b strings.Builder
		b.WriteString("level,replicate,seq,gpu_uuid,latency_ns\n")
		seq := 0
		for replicate := range 6 {
			for _, level := range []int{0, 1} {
				seq++
				gpu, n := "GPU-a", 200
				if replicate%2 == 1 {
					gpu = "GPU-b"
					if tt.level == "few" {
						n = 1
					}
				}
				for range n {
					v := 1e6 * (1 + tt.scatter*float64(replicate/2-1)) * (1 + 0.01*rng.NormFloat64()) * float64(1+level)
					if gpu == "GPU-b" {
						v *= tt.slower
					}
					fmt.Fprintf(&b, "%d,%d,%d,%s,%d\n", level, replicate+1, seq, gpu, int64(v))
				}
			}
		}
		s, err := Read(strings.NewReader(b.String()), Selection{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Judge(s, nil, Options{Draws: 100, Sets: -1})
		if err != nil {
			t.Fatal(err)
		}
		if about := strings.Join(r.About, "\n"); !strings.Contains(about, tt.about) || tt.about == "" && strings.Contains(about, "GPUs") {
			t.Errorf("%s: about %q", tt.name, about)
		}
		if doubts := strings.Join(r.Doubts, "\n"); !strings.Contains(doubts, tt.doubts) || tt.doubts == "" && strings.Contains(doubts, "GPUs") {
			t.Errorf("%s: doubts %q", tt.name, doubts)
		}
		if !strings.HasPrefix(r.Invalid, tt.invalid) || tt.invalid == "" && strings.Contains(r.Invalid, "GPUs") {
			t.Errorf("%s: INVALID %q", tt.name, r.Invalid)
		}
	}
}
