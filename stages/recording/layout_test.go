package recording

import (
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
)

// A run.json that contradicts itself is refused at the place where it does.
func TestCheck(t *testing.T) {
	const good = `{
  "machine": {"name": "sim", "device": "sim:0"},
  "simulated": true,
  "calibrations": [{"id": "c\"{[", "with": {"x": null}}],
  "trials": [
    {"id": "a", "infer": {"device": "sim", "simulated": true}},
    {"id": "b", "infer": {"device": "host"}, "stress": {"device": "sim", "simulated": true}}
  ]
}`
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{`"simulated": true,
  "cal`, `"simulated": false,
  "cal`, "run.json:3:3: simulated is not true, and it was of trial a on line 6"},
		{`  "simulated": true,
`, "", "run.json:1:1: simulated is not true, and it was of trial a on line 5"},
		{`"cal`, `"simulated": true, "cal`, `run.json:4:3: key "simulated" appears twice`},
		{`"cal`, `"\u0053imulated": true, "cal`, `run.json:4:3: key "Simulated" appears twice`},
		{`{"id": "a", `, `{"id": "a", "id": "c", `, `run.json:6:17: key "id" appears twice`},
		{`{"device": "host"}`, `{"device": "host", "calls": 1, "C\u0061lls": 2}`, `run.json:7:57: key "Calls" appears twice`},
		{`{"x": null}`, `{"x": {"y": 1, "y": 2}}`, `run.json:4:59: key "y" appears twice`},
		{`{"x": null}`, `{"x": {"y": 1, "Y": 2}, "X": {"y": {}, "z": ["y", "y"]}}`, ""}, // an axis may be called so
		{`{"device": "host"}`, `{"device": "host", "options": {"n": "1", "N": "2"}, "outputs": [{"a": 1}, {"a": 1}]}`, ""},
		{`{"device": "sim", "simulated": true}}`, `{"device": "sim"}}`, "run.json:6:5: trial a: infer: its device is sim, and simulated false"},
		{`{"device": "host"}`, `{"device": "host", "simulated": true}`, "run.json:7:5: trial b: infer: its device is host, and simulated true"},
		{`"stress": {"device": "sim"`, `"stress": {"device": "cuda:1"`, "run.json:7:5: trial b: stress: its device is cuda:1, and simulated true"},
		{`true}},
    {"id": "b"`, `true}}, null,
    {"id": "b"`, "run.json:6:65: a list holds null, which is no value"},
		{`[{"id": "c`, `[null, {"id": "c`, "run.json:4:20: a list holds null, which is no value"},
		{`{"device": "host"}`, `{"device": "host", "out_bytes": -5}`, "run.json:7:5: trial b: infer: a call moves 0 bytes in and -5 out: want 0 at least"},
		{`"stress": `, `"stress_with": {"threads": "x"}, "stress": `, "run.json:7:5: trial b: stress_with: json: cannot unmarshal string into Go struct field Load.Threads of type int"},
		{`"stress": `, `"stress_with": {"threads": 4, "processes": -1}, "stress": `, "run.json:7:5: trial b: stress_with: -1 processes of 4 threads: want 0 at least"},
		{`"infer": {"device": "host"}`, `"infer": {"device": "host", "tenancy": {"groups": [{"tenants": [null]}]}}`, "run.json:7:81: a list holds null, which is no value"},
	} {
		path := filepath.Join(t.TempDir(), "run.json")
		if !strings.Contains(good, c.old) {
			t.Fatalf("%q is not there", c.old)
		}
		filetest.Write(t, path, strings.Replace(good, c.old, c.new, 1))
		r, err := ReadRun(path)
		switch {
		case c.want == "":
			if err != nil || len(r.Trials) != 2 {
				t.Error(err)
			}
		case err == nil || !strings.HasSuffix(err.Error(), c.want) || cell.StatusOf(err) != cell.StatusUsage:
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	// Nothing was simulated of what the head has as that.
	for _, c := range []struct{ text, want string }{
		{`{"simulated": true, "trials": [{"infer": {"device": "host"}}]}`, "1:2: simulated is true, and it was of no trial"},
		{`{"machine": {"device": "sim"}, "trials": [{"infer": {"device": "host"}}]}`, "1:1: the machine's device is sim, and no trial was simulated"},
	} {
		path := filepath.Join(t.TempDir(), "run.json")
		filetest.Write(t, path, c.text)
		if _, err := ReadRun(path); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
