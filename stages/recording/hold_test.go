package recording

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Samples that are not those of their run.json are refused, at the first line that is not.
func TestHold(t *testing.T) {
	const dir = "../../data/realtime/h100/"
	b := samplesOf(t, dir)
	run, latencies, err := ReadSealed(dir)
	if err != nil || len(latencies) != len(run.Trials) || len(latencies[2]) != 6800 || latencies[0][0] != 676227 {
		t.Errorf("%d trials of %d: %v", len(latencies), len(run.Trials), err)
	}
	type files struct {
		run   *Run
		lines []string
	}
	replace := func(line int, old, new string) func(*files) {
		return func(f *files) { f.lines[line-1] = strings.Replace(f.lines[line-1], old, new, 1) }
	}
	const first = "alone[model=mobilenetv2,level=0,replicate=1]"
	for _, c := range []struct {
		edit func(*files)
		want string // empty: nothing
	}{
		{func(*files) {}, ""},
		{replace(3, ",mobilenetv2,1,", ",mobilenetv2,2,"), "3:80: this is not call 2 of the 6800 that run.json has of " + first + `: column batch holds "2", and not "1"`},
		{replace(3, ",cuda,", ",cuda,,"), "3:1: this is not call 2 of the 6800 that run.json has of " + first + ": it has 28 fields, and not 27"},
		{replace(1, "level", "Level"), "1:1: the columns are "},
		{replace(4, "0,1,3,", "0,1,4,"), "4:1: call 4 follows call 2"},
		{replace(4, "0,1,3,", "0,1,x,"), `4:5: column call: "x" is no whole number`},
		{replace(2, "0,1,1,2009", "0,1,1,1009"), "2:1: a call from 100912485522 to "},
		{replace(2, ",676227,", ",676227000000,"), "2:1: a call from 200912485522 to 877139485522, and run.json has those of " + first + " from 200912485522 to "},
		{replace(2, ",200912485842,", ",,"), "2:20: column start_ns is empty"},
		{replace(2, ",200912485842,", ",-1,"), "2:1: a call due at 200912485522, sent at -1 and complete 676227 ns after it was due"},
		{replace(2, ",200912485842,", ",200912485521,"), "2:1: a call due at 200912485522, sent at 200912485521 "},
		{replace(2, ",200912485842,", ",200913161750,"), "2:1: a call due at 200912485522, sent at 200913161750 "},
		{replace(2, ",676227,", ",,"), "2:33: column latency_ns is empty"},
		{replace(2, ",200912485842,676227,", ",200912485522,0,"), "2:1: a call due at 200912485522, sent at 200912485522 and complete 0 ns "},
		{replace(2, ",676227,", ",-1,"), "2:1: a call due at 200912485522, "},
		{func(f *files) { f.lines = slices.Delete(f.lines, 6000, 6001) }, "6001:1: call 6001 follows call 5999"},
		{func(f *files) { f.lines = slices.Delete(f.lines, 6800, 6801) }, "6801:1: this is not call 6800 of the 6800 that run.json has of " + first + `: column level holds "1", and not "0"`},
		{func(f *files) { f.lines = slices.Delete(f.lines, 20400, 20401) }, "20401:1: the file ends, and run.json has 1 calls of beside[policy=window/4MiB,model=mobilenetv2,level=1,replicate=1] after 6799"},
		{func(f *files) { f.lines = slices.Insert(f.lines, 20401, f.lines[20400]) }, "20402:1: run.json has no call after the 20400 before"},
		{func(f *files) { f.run.Trials[0].Infer.Traffic.Dropped++ }, "6801:1: of " + first + " 0 requests were dropped up to here, and in run.json 1"},
		{func(f *files) { f.run.Trials[1].Seq++ }, `6802:161: this is not call 1 of the 6800 that run.json has of beside[policy=none,model=mobilenetv2,level=1,replicate=1]: column seq holds "`},
		{func(f *files) { f.run.Rows-- }, "20402:1: run.json has 20399 rows, and of its trials 20400 calls"},
		{func(f *files) { f.run.Columns, f.lines = f.run.Columns[:2], []string{"level,replicate\n"} }, "there is no column call"},
	} {
		r, err := ReadRun(dir + "run.json")
		if err != nil {
			t.Fatal(err)
		}
		f := &files{r, strings.SplitAfter(b, "\n")}
		c.edit(f)
		_, err = f.run.hold(strings.NewReader(strings.Join(f.lines, "")))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// samplesOf returns the text of a recording's samples.
func samplesOf(t *testing.T, dir string) string {
	f, err := os.Open(dir + "samples.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := Unpack(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// In a closed loop a latency that was edited is refused, as the next call was due when the
// one before was complete; later only in another round, or where the caller gave its
// processor up, and earlier only where their results were collected.
func TestHoldClosed(t *testing.T) {
	for _, c := range []struct {
		dir  string
		line int   // whose latency is edited
		by   int64 // nanoseconds
		want string
	}{
		{"paper/host", 3, 0, ""},
		{"paper/host", 3, 1, "4:1: a call due at "},
		{"paper/host", 3, -1, "4:1: a call due at "},
		{"paper/host", 41, -1, "41:1: the last call of "},
		{"colocation/h100", 3, 0, ""},
		{"colocation/h100", 3, 1, "4:1: a call due at "},
		{"colocation/h100", 3, -1, "4:1: a call due at "},
		{"bypass/h100-collect", 8503, 0, ""},
		{"bypass/h100-collect", 8503, 1, "8503:1: a call due at "},
		{"bypass/h100-collect", 8503, -1, "8503:1: a call due at "},
		{"mitigation/h200-in", 4505, 0, ""},
		{"mitigation/h200-in", 4505, 1, "4506:1: a call due at "},
	} {
		dir := "../../data/" + c.dir + "/"
		r, err := ReadRun(dir + "run.json")
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(samplesOf(t, dir), "\n")
		row := strings.Split(lines[c.line-1], ",")
		at := slices.Index(strings.Split(lines[0], ","), "latency_ns")
		took, err := strconv.ParseInt(row[at], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		row[at] = strconv.FormatInt(took+c.by, 10)
		lines[c.line-1] = strings.Join(row, ",")
		_, err = r.hold(strings.NewReader(strings.Join(lines, "")))
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:%d: %+d ns: %v, want %q", c.dir, c.line, c.by, err, c.want)
		}
	}
	r, err := ReadRun("../../data/paper/host/run.json")
	if err != nil {
		t.Fatal(err)
	}
	r.Trials[0].Infer.Window[0]--
	if _, err := r.hold(strings.NewReader(samplesOf(t, "../../data/paper/host/"))); err == nil || !strings.HasPrefix(err.Error(), "2:1: the first call of ") {
		t.Errorf("a window that begins before the first call: %v", err)
	}
}
