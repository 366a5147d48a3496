package collect

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"barograph/stages/result"
)

// copiesOf makes a load's file of copies.
func copiesOf(t testing.TB, lines string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := fmt.Fprint(z, "thread,start_ns,bytes,duration_ns,direction\n"+lines); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// loaded adds two replicates at a level of load, each with calls of 1000 ns, one
// after another from 1000.
func loaded(t testing.TB, calls int, copies string) *study {
	s := newStudy(t)
	lines := header
	for i := range calls {
		lines += fmt.Sprintf("%d,%d,%d,1000\n", i, 1000*(i+1), 1000*(i+1))
	}
	for replicate := range 2 {
		p := at("level", 1.0, "replicate", float64(replicate+1))
		id := s.infer("infer", p, bert(calls), lines)
		in := s.input("stress", "stress", id, at("level", 1.0))
		s.file(in, result.StressFile, result.Stress{Mode: "load", Threads: 1, Direction: "h2d", Achieved: 1, Capacity: map[string]float64{"h2d": 2}, Window: [2]int64{10, 90}})
		s.file(in, result.CopiesFile, copies)
	}
	return s
}

func TestTimeline(t *testing.T) {
	// One copy ends as the first call begins, one is in the middle of it, one lies
	// across its last quarter and the second call, and one follows the last of the
	// calls drawn.
	copies := copiesOf(t, "0,500,4000,500,h2d\n1,1250,100,250,h2d\n0,1750,5000,1250,h2d\n0,13000,7777,10,h2d\n0,99999,1,1,h2d\n")
	dir, _, err := loaded(t, 20, copies).run()
	if err != nil {
		t.Fatal(err)
	}
	r := recorded(t, dir)
	if r.Trials[1].Timeline != nil {
		t.Error("the second replicate has a timeline too")
	}
	line := r.Trials[0].Timeline
	if line == nil || line.Calls != timelineCalls || line.Start != 1000 || line.Slice != 100 || len(line.Bytes) != timelineSlices {
		t.Fatalf("%+v", line)
	}
	for from, want := range map[int]int64{0: 0, 2: 20, 3: 40, 4: 40, 5: 0, 7: 200, 8: 400, 19: 400, 20: 0, 119: 0} {
		if got := line.Bytes[from]; got != want {
			t.Errorf("slice %d: %d bytes, want %d", from, got, want)
		}
	}
	if dir, _, err = loaded(t, 3, copiesOf(t, "")).run(); err != nil {
		t.Fatal(err)
	}
	if r = recorded(t, dir); r.Trials[0].Timeline.Calls != 3 || len(r.Trials[0].Timeline.Bytes) != 120 {
		t.Errorf("three calls: %+v", r.Trials[0].Timeline)
	}
	for copies, says := range map[string]string{
		copiesOf(t, "0,x,1,1,h2d\n"):     `copies.csv.gz:2: want whole numbers, found "0,x,1,1,h2d"`,
		copiesOf(t, "0,1\n"):             "copies.csv.gz:2",
		copiesOf(t, "")[:15]:             "read copies.csv.gz",
		"\x1f\x8b not compressed at all": "read copies.csv.gz",
	} {
		if _, _, err := loaded(t, 3, copies).run(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
