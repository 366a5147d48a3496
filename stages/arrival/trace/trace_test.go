package trace_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/cell/unit"
	"barograph/stages/arrival"
	"barograph/stages/arrival/trace"
	"barograph/stages/asset"
)

// real returns where a trace from elsewhere lies: none is part of this project, and
// they may lie as shared/traces in a folder around it.
func real(t *testing.T, k trace.Known) string {
	t.Helper()
	if path, err := k.Path(); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "shared", "traces", k.File)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skipf("%s is not here: `barograph trace fetch %s` gets it", k.File, k.Name)
	return ""
}

// What is known of each trace in the catalogue is found again in its file.
func TestKnownTraces(t *testing.T) {
	for name, want := range map[string]struct {
		arrivals   int
		cv         float64
		dispersion float64 // of counts in 10 s
		span       time.Duration
	}{
		"azure-llm-code-2023": {8819, 13.2, 72, 57 * time.Minute},
		"azure-llm-conv-2023": {19366, 1.09, 3.9, 58 * time.Minute},
		"disb-real":           {375 + 202 + 560 + 374 + 173, 1.038, 0, 39 * time.Second},
		"comma2k19":           {1200, 56.2e-6 / 50e-3, 0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			k, ok := trace.Find(name)
			if !ok || k.Licence == "" || k.Owner == "" || !strings.HasPrefix(k.URL, "https://") {
				t.Fatalf("in the catalogue as %+v", k)
			}
			path := real(t, k)
			if sum, err := asset.Digest(path); err != nil || sum != k.SHA256 {
				t.Fatalf("SHA-256 %s, %v", sum, err)
			}
			got, err := trace.Read(path, trace.Form{Column: k.Column, Unit: k.Unit})
			if err != nil {
				t.Fatal(err)
			}
			d := got.Describe()
			if d.Arrivals != want.arrivals || math.Abs(d.Gap.CV/want.cv-1) > 0.02 || d.Period != 0 || d.Bin != 0 || math.Abs(float64(d.Span)/float64(want.span)-1) > 0.02 {
				t.Errorf("%+v, want %+v", d, want)
			}
			for _, x := range d.Dispersion {
				if x.Window == 10e9 && want.dispersion > 0 && math.Abs(x.Index/want.dispersion-1) > 0.05 {
					t.Errorf("dispersion %g in 10 s, want %g", x.Index, want.dispersion)
				}
			}
		})
	}
}

// A camera's jitter is the trace's: frames at another rate are off even ticks as the
// trace's frames are.
func TestJitterIsTheTraces(t *testing.T) {
	deviation := func(times []int64) (sd, most float64) {
		for _, j := range (&trace.Trace{Times: times}).Jitter() {
			sd += j * j / float64(len(times))
			most = max(most, math.Abs(j))
		}
		return math.Sqrt(sd), most
	}
	k, _ := trace.Find("comma2k19")
	file := real(t, k)
	of, err := trace.Read(file, trace.Form{})
	if err != nil {
		t.Fatal(err)
	}
	p := arrival.Pattern{Arrivals: "camera", Interval: unit.Duration(time.Second / 30), Trace: filepath.Base(file)}
	due, made, err := p.Schedule(filepath.Dir(file), 60_000, 7)
	if err != nil {
		t.Fatal(err)
	}
	sd, most := deviation(due)
	want, wantMost := deviation(of.Times)
	if math.Abs(sd/want-1) > 0.2 || most > wantMost*1.01 || math.Abs(made.Jitter/want-1) > 1e-9 { // most of it is one frame's of 1,200
		t.Errorf("jitter of %g ns, at most %g, recorded %g; the trace's is %g, at most %g", sd, most, made.Jitter, want, wantMost)
	}
	if mean := float64(due[len(due)-1]) / float64(len(due)-1); math.Abs(mean*30/1e9-1) > 1e-4 {
		t.Errorf("frames are %g ns apart", mean)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	filetest.Write(t, path, text)
	return path
}

// npy is an array of NumPy's of one dimension.
func npy(descr string, n int, data []byte) string {
	return shaped("'"+descr+"'", fmt.Sprintf("%d,", n), data)
}

func shaped(descr, shape string, data []byte) string {
	head := fmt.Sprintf("{'descr': %s, 'fortran_order': False, 'shape': (%s), }", descr, shape)
	head += strings.Repeat(" ", 63-(len(head)+10)%64) + "\n"
	return "\x93NUMPY\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(head)))) + head + string(data)
}

func floats(values ...float64) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		form       trace.Form
		want       string // times and unit
	}{
		{"a.csv", "n,t\n1,0.5\n2,0.75\n", trace.Form{Column: "t"}, "[0 250000000] s"},
		{"a.csv", "n,t\n1,5\n2,7\n", trace.Form{Column: "2", Unit: "ms"}, "[0 2000000] ms"},
		{"a.csv", "7,1700000000.123456789\n8,1700000000.123456799\n", trace.Form{Column: "2"}, "[0 10] s"},
		{"a.csv", "when,what\n2023-11-16 18:17:03.9799600,4808\n2023-11-16 18:17:04.0319600,3180\n", trace.Form{}, "[0 52000000] date"},
		{"a.csv", "t\n2023-11-16T18:17:03Z\n2023-11-16T20:17:03.5+02:00\n", trace.Form{}, "[0 500000000] date"},
		{"a.txt", "5\n 7 \n7\n", trace.Form{}, "[0 2 2] ns"},
		{"a.csv", "1e3\n2e3\n", trace.Form{Unit: "us"}, "[0 1000000] us"},
		{"a.json", "[3, 4.5]", trace.Form{}, "[0 1500000000] s"},
		{"a.json", `{"tasks": [{"times": [0, 9]}, {"times": [4]}]}`, trace.Form{Column: "tasks.*.times", Unit: "us"}, "[0 4000 9000] us"},
		{"a.json", `{"tasks": [{"times": [0, 9]}, {"times": [4]}]}`, trace.Form{Column: "tasks.0.times"}, "[0 9] ns"},
		{"a.json", `[{"at": 1}, {"at": 3}]`, trace.Form{Column: "at"}, "[0 2] ns"},
		{"a.jsonl", "{\"at\": \"2023-11-16 18:17:03\"}\n{\"at\": \"2023-11-16 18:17:04\"}\n", trace.Form{Column: "at"}, "[0 1000000000] date"},
		{"a.npy", npy("<f8", 2, floats(10.25, 10.5)), trace.Form{}, "[0 250000000] s"},
		{"a.npy", npy(">i4", 2, []byte{0, 0, 0, 1, 0, 0, 1, 0}), trace.Form{}, "[0 255] ns"},
		{"a.csv", "\ufefft,x\n1.5,7\n2,8\n", trace.Form{Column: "t"}, "[0 500000000] s"},
		{"a.txt", "\ufeff5.5\n6\n8\n", trace.Form{}, "[0 500000000 2500000000] s"},
		{"a.csv", "n;t\n1;0.5\n2;0.75\n", trace.Form{Column: "t"}, "[0 250000000] s"},
		{"a.tsv", "n\tt\n\t0.5\n2\t0.75\n", trace.Form{Column: "t"}, "[0 250000000] s"},
		{"a.csv", "-1.5\n.25\n5.\n", trace.Form{}, "[0 1750000000 6500000000] s"},
		{"a.csv", "0.0000000019\n0.1234567899\n", trace.Form{Unit: "ms"}, "[0 123456] ms"},
		{"a.npy", shaped("'<f8'", "2, 2", floats(1, 10.25, 2, 10.5)), trace.Form{Column: "2"}, "[0 250000000] s"},
		{"a.npy", strings.Replace(shaped("'<f8'", "2, 2", floats(1, 2, 10.25, 10.5)), "False,", "True, ", 1), trace.Form{Column: "2"}, "[0 250000000] s"},
		{"a.npy", shaped("[('n', '<U1'), ('t', '<f8')]", "2,", slices.Concat(make([]byte, 4), floats(10.25), make([]byte, 4), floats(10.5))), trace.Form{Column: "t"}, "[0 250000000] s"},
		{"a.npy", shaped("'<M8[ms]'", "2,", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0}), trace.Form{}, "[0 2000000] date"},
	} {
		got, err := trace.Read(write(t, tt.name, tt.text), tt.form)
		if err != nil {
			t.Errorf("%s %q: %v", tt.name, tt.text, err)
		} else if s := fmt.Sprint(got.Times, " ", got.Unit); s != tt.want {
			t.Errorf("%s %q: %s, want %s", tt.name, tt.text, s, tt.want)
		}
	}
}

func TestReadFails(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		form       trace.Form
		want, hint string
	}{
		{"a.csv", "", trace.Form{}, "a.csv: it holds no times", ""},
		{"a.csv", "t\n", trace.Form{}, "a.csv: it holds no times", ""},
		{"a.csv", "t\n5\n", trace.Form{}, "one time alone", ""},
		{"a.csv", "t\n5\n5\n5\n", trace.Form{}, "all its times are the same", ""},
		{"a.csv", "n,t\n1,5\n2,4\n", trace.Form{Column: "t"}, "a.csv:3:3: 4 is before the line above, 5", ""},
		{"a.csv", "t\n5\nsoon\n", trace.Form{}, `a.csv:3: want a time in s, found "soon"`, ""},
		{"a.csv", "t\n5\nNaN\n", trace.Form{}, `found "NaN"`, ""},
		{"a.csv", "t\n5\n1e300\n", trace.Form{}, `found "1e300"`, ""},
		{"a.csv", "a,b\n1,2\n3\n", trace.Form{}, "line 3: wrong number of fields", ""},
		{"a.csv", "a,b\n1,2\n", trace.Form{Column: "c"}, `no column is named "c"`, "there are a, b"},
		{"a.csv", "1,2\n3,4\n", trace.Form{Column: "c"}, `no column is named "c"`, "1 to 2: it has no header"},
		{"a.csv", "t\n1\n9\n", trace.Form{Unit: "h"}, `unit "h"`, ""},
		{"a.csv", "t\n1\n999999999\n", trace.Form{Unit: "s"}, "want no more than a year", ""},
		{"a.csv", "t\n2023-11-16 18:17:03\nyesterday\n", trace.Form{}, "a.csv:3: want a date and time", ""},
		{"a.json", `{"a": [1, `, trace.Form{}, "a.json:1: unexpected EOF", ""},
		{"a.json", `{"a": {"b": [1, 2]}}`, trace.Form{}, "$ holds no list", "such as a.b"},
		{"a.json", `{"a": [{"b": [1, 2]}]}`, trace.Form{Column: "a.c"}, `$.a[0]: want a time, found nothing`, "path"},
		{"a.json", `{"a": [{"b": [1, 2]}]}`, trace.Form{Column: "x"}, `$ has no "x"`, "such as a.*.b"},
		{"a.json", `[1, {"t": 2}]`, trace.Form{}, "$[1]: want a time, found an object", "path"},
		{"a.json", `[3, 2]`, trace.Form{}, "a.json: $[1]: 2 is before the one above, 3", ""},
		{"a.jsonl", "{\"t\": 1}\n{\"t\": ", trace.Form{Column: "t"}, "a.jsonl:2: unexpected EOF", ""},
		{"a.npy", "no array", trace.Form{}, "does not begin as an array", ""},
		{"a.npy", "\x93NUMPY\x01\x00\xff\xff{}", trace.Form{}, "header is damaged", ""},
		{"a.npy", "\x93NUMPY\x01\x00\x02\x00{}", trace.Form{}, "want an array of one dimension", ""},
		{"a.npy", npy("<c16", 1, make([]byte, 16)), trace.Form{}, "want an array of one dimension", ""},
		{"a.npy", npy("<f8", 3, floats(1, 2)), trace.Form{}, "holds 3 times of 8 bytes, and has 16 bytes", ""},
		{"a.npy", npy("<f8", 2, floats(2, 1)), trace.Form{}, "element 1: 1 is before the one above, 2", ""},
		{"a.npy", npy("<f8", 2, floats(2, math.Inf(1))), trace.Form{}, "element 1: want a time", ""},
		{"a.npy", npy("<f8", 2, floats(2, 3)), trace.Form{Column: "t"}, `has no column "t"`, ""},
		{"a.npy", npy("<f8", trace.Most+1, nil), trace.Form{}, "holds 10000001 times: want at most 10000000", ""},
		{"a.npy", shaped("'<f8'", "1, 2", floats(2, 3)), trace.Form{Column: "3"}, `no column is named "3"`, "1 to 2"},
		{"a.npy", shaped("'<f8'", "1, 0", nil), trace.Form{}, "want an array of one dimension", ""},
		{"a.npy", shaped("'<f8'", "2, 2", floats(2, 3, 4)), trace.Form{}, "holds 2 times of 16 bytes, and has 24 bytes", ""},
		{"a.npy", shaped("[('n', '<i4'), ('t', '<f8')]", "1,", make([]byte, 12)), trace.Form{Column: "at"}, `no column is named "at"`, "there are n, t"},
		{"a.npy", shaped("[('n', '<i4', (3,)), ('t', '<f8')]", "1,", make([]byte, 20)), trace.Form{Column: "t"}, "want members that are", ""},
		{"a.npy", shaped("[('t', '<c16')]", "1,", make([]byte, 16)), trace.Form{}, "want an array of one dimension", ""},
		{"a.npy", npy("<M8[D]", 2, make([]byte, 16)), trace.Form{}, "want an array of one dimension", ""},
		{"a.npz", "PK\x03\x04\x00\x00", trace.Form{}, "it is no text", "its name says"},
		{"a.json", "[1, 2] [3]", trace.Form{}, "a.json:1: something follows the first value", ".jsonl"},
		{"a.csv", "t\n.\n1\n", trace.Form{}, `found "."`, ""},
	} {
		_, err := trace.Read(write(t, tt.name, tt.text), tt.form)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(cell.HintOf(err), tt.hint) {
			t.Errorf("%s %q: %v, hint %q; want %q, %q", tt.name, tt.text, err, cell.HintOf(err), tt.want, tt.hint)
		}
	}
}

// Gaps that come again are found, also where a few of them differ; those that are
// alike by chance are not.
func TestRepeats(t *testing.T) {
	times := func(n int, gap func(i int) int64) *trace.Trace {
		tr := &trace.Trace{Times: []int64{0}}
		for i := range n {
			tr.Times = append(tr.Times, tr.Times[i]+gap(i))
		}
		return tr
	}
	pattern := []int64{40, 7, 53, 61, 12, 88, 3, 29, 70, 15, 44, 9, 31, 52, 76, 18, 23, 66, 37, 81, 5}
	hash := func(i int) int64 { return int64(rand.New(rand.NewPCG(uint64(i), 1)).Uint32() >> 7) }
	for name, c := range map[string]struct {
		of   *trace.Trace
		want int
	}{
		"a loop of 21 gaps":       {times(1000, func(i int) int64 { return pattern[i%21] }), 21},
		"the same, 3% of it torn": {times(6240, func(i int) int64 { return pattern[i%21] + int64(i%31/30)*hash(i) }), 21},
		"one gap":                 {times(100, func(int) int64 { return 5 }), 1},
		"no two alike":            {times(5000, hash), 0},
		"a loop that clocks blur": {times(1000, func(i int) int64 { return 1e6*pattern[i%21] + hash(i)%9000 }), 21},
		"a loop after some others": {times(2000, func(i int) int64 {
			if i < 100 {
				return hash(i) % 100
			}
			return pattern[i%21]
		}), 21},
		"a camera that hardly jitters": {times(5000, func(i int) int64 { return 33e6 + hash(i)%9000 }), 0},
		"mostly one gap":               {times(5000, func(i int) int64 { return 33 + hash(i)%20/19 }), 0},
		"two gaps at random":           {times(5000, func(i int) int64 { return 33 + hash(i)%2 }), 0},
		"one gap alone":                {times(1, hash), 0},
	} {
		if got, _ := c.of.Repeats(); got != c.want {
			t.Errorf("%s: repeats after %d gaps, want %d", name, got, c.want)
		}
	}
}

// What a trace loops over is what comes again, and not what it began with.
func TestLoop(t *testing.T) {
	tr := &trace.Trace{Times: []int64{0}}
	for i := range 400 {
		gap := []int64{5, 1, 9}[i%3]
		if i < 20 {
			gap = int64(100 + i)
		}
		tr.Times = append(tr.Times, tr.Times[i]+gap)
	}
	if period, _ := tr.Repeats(); period != 3 || fmt.Sprint(tr.Loop(3)) != "[0 9 14 15]" {
		t.Errorf("after %d gaps: %v", period, tr.Loop(3))
	}
}

// A clock has binned arrivals that come at random whether its step is longer or shorter
// than the gaps; those that come two at once by themselves it has not.
func TestBin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	times := func(step, gap int64, at int) *trace.Trace {
		tr, now := &trace.Trace{}, 0.0
		for range 2000 {
			now += rng.ExpFloat64() * float64(gap)
			for range at {
				tr.Times = append(tr.Times, int64(now)/step*step)
			}
		}
		return tr
	}
	for _, c := range []struct {
		step, gap int64
		at        int
		want      int64
	}{{3e9, 1e7, 1, 3e9}, {1e9, 2e9, 1, 1e9}, {1e9, 6e9, 1, 1e9}, {1e9, 90e9, 1, 0}, {1, 1e9, 1, 0}, {1e6, 1e9, 2, 0}} {
		if got := times(c.step, c.gap, c.at).Bin(); got != c.want {
			t.Errorf("a clock of %d, gaps of %d, %d at once: %d, want %d", c.step, c.gap, c.at, got, c.want)
		}
	}
}

// Frames that are missing are no jitter of those that came.
func TestJitterOfMissingFrames(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	whole, torn := &trace.Trace{}, &trace.Trace{}
	for i := range int64(1200) {
		at := i*50e6 + int64(rng.NormFloat64()*40e3)
		whole.Times = append(whole.Times, at)
		if i != 100 && i != 500 && i != 501 {
			torn.Times = append(torn.Times, at)
		}
	}
	sd := func(tr *trace.Trace) (sd float64) {
		for _, j := range tr.Jitter() {
			sd += j * j / float64(len(tr.Times))
		}
		return math.Sqrt(sd)
	}
	if a, b := sd(whole), sd(torn); math.Abs(a/b-1) > 0.02 {
		t.Errorf("jitter of %g ns, and of %g without three frames", a, b)
	}
}

func FuzzRead(f *testing.F) {
	for name, text := range map[string]string{
		"csv": "n,t\n1,0.5\n2,0.75\n", "json": `{"a": [{"b": [1, 2]}]}`, "jsonl": "{\"t\": 1}\n{\"t\": 2}\n", "npy": npy("<f8", 2, floats(1, 2)),
	} {
		f.Add(name, text, "", "")
		f.Add(name, text, "a.*.b", "ms")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, ending, text, column, unit string) {
		if strings.ContainsAny(ending, "/\x00") || len(ending) > 99 {
			return
		}
		path := filepath.Join(dir, "a."+ending)
		filetest.Write(t, path, text)
		got, err := trace.Read(path, trace.Form{Column: column, Unit: unit})
		if err != nil {
			return
		}
		last := int64(0)
		for _, at := range got.Times {
			if at < last {
				t.Fatalf("goes backwards: %v", got.Times)
			}
			last = at
		}
		got.Describe()
		got.Jitter()
	})
}
