package prediction

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/record"
	"barograph/stages/link"
	"barograph/stages/recording"
)

// run gives the command's words in this project's own workspace.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	c := Command()
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}

func TestCommand(t *testing.T) {
	const card = "testdata/h100.json"
	out, err := run("bert-base-uncased", "--link", card, "--direction", "d2h", "--share", "100%", "--loads", "1", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if !r.Predicted || r.Samples != "data/models/h100" || r.P50.Value < 2.10e6 || r.P50.Value > 2.14e6 || !(r.P50.Low <= r.P50.Value && r.P99.Value >= r.P90.Value && r.P99.High >= r.P99.Value) {
		t.Errorf("%s", out)
	}
	out, err = run("bert-base-uncased", "--link", card, "--direction", "d2h", "--arrivals", "poisson", "--interval", "20ms", "--loads", "2")
	if err != nil || !strings.HasPrefix(out, "PREDICTED, not measured: bert-base-uncased, batch 1, sequence 128, on h100 beside 2 loads of other processes") {
		t.Errorf("%v\n%s", err, out)
	}
	// A P100's turn is not known: the interval spans it, and what would settle it is named.
	out, err = run("bert-base-uncased", "--machine", "p100", "--compute", "4ms", "--direction", "d2h", "--json")
	if err != nil {
		t.Fatal(err)
	}
	r = report{}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(r.Doubts, "\n")
	if r.P50.Low > 4.1e6 || r.P50.High < 7e6 || r.P50.Value > r.P90.Value || r.P90.Value > r.P99.Value || !strings.Contains(said, "assumed to lie from 500µs to 4ms") || !strings.Contains(said, "barograph link --machine p100") || !strings.Contains(said, "without load is assumed") {
		t.Errorf("%s", out)
	}
}

func TestCommandRefuses(t *testing.T) {
	const card = "testdata/h100.json"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"bert-base-uncased"}, "no machine to predict for"},
		{[]string{"bert-base-uncased", "--link", "testdata/none.json"}, "read a link card"},
		{[]string{"bert-base-uncased", "--link", card, "--machine", "p100"}, "is the card of machine h100"},
		{[]string{"bert-base-uncased", "--machine", "host"}, "does not say what its link can carry"},
		{[]string{"bert-base-uncased", "--link", card, "--share", "200%"}, "--share"},
		{[]string{"bert-base-uncased", "--link", card, "--share", "0%"}, "--share"},
		{[]string{"bert-base-uncased", "--link", card, "--loads", "0"}, "--loads"},
		{[]string{"bert-base-uncased", "--link", card, "--block", "x"}, "--block"},
		{[]string{"bert-base-uncased", "--link", card, "--block", "0"}, "--block"},
		{[]string{"bert-base-uncased", "--link", card, "--block", "1TiB"}, "4 copies of 1 TiB in flight take 4096 GiB of page-locked memory, want at most 1024"},
		{[]string{"bert-base-uncased", "--link", "../../data/link/h100.json", "--block", "32GiB"}, "take 128 GiB of page-locked memory, and the host of h100 has 126"},
		{[]string{"bert-base-uncased", "--link", card, "--loads", "64", "--in-flight", "1024", "--block", "17MiB"}, "65536 copies of 17 MiB"},
		{[]string{"bert-base-uncased", "--link", card, "--turn", "4ms..1ms"}, "--turn"},
		{[]string{"bert-base-uncased", "--link", card, "--turn", "1ns..2ns"}, "--turn: want 10µs to 500ms"},
		{[]string{"bert-base-uncased", "--link", card, "--turn", "1h"}, "--turn: want 10µs to 500ms"},
		{[]string{"bert-base-uncased", "--link", card, "--compute", "1ms", "--batch", "1000000000"}, "has more than 134217728 elements"},
		{[]string{"bert-base-uncased", "--link", card, "--direction", "d2d"}, "leave the link idle"},
		{[]string{"bert-base-uncased", "--link", card, "--arrivals", "poisson"}, "interval"},
		{[]string{"bert-tiny", "--link", card}, "no recording of machine h100 holds calls of bert-tiny"},
		{[]string{"bert-tiny", "--link", card, "--batch", "64"}, "no recording of machine h100 holds calls of bert-tiny at batch 64 without load"},
		{[]string{"bert-tiny", "--link", card, "--dims", "height=320"}, "add --measure"},
		{[]string{"nothing", "--link", card, "--compute", "1ms"}, `unknown model "nothing"`},
	} {
		out, err := run(tt.args...)
		var hint *cell.Error
		said := ""
		if err != nil {
			said = err.Error()
		}
		if errors.As(err, &hint) {
			said += hint.Hint
		}
		if err == nil || !strings.Contains(said, tt.want) {
			t.Errorf("%v: %v, want %q\n%s", tt.args, err, tt.want, out)
		}
	}
}

// A card that has no such way is said to lack it at the place of its ways.
func TestCommandDirection(t *testing.T) {
	card, err := link.Read("testdata/h100.json")
	if err != nil {
		t.Fatal(err)
	}
	delete(card.Ways, "d2h")
	path := filepath.Join(t.TempDir(), "h100.json")
	if err := card.Write(path); err != nil {
		t.Fatal(err)
	}
	for _, direction := range []string{"d2h", "both"} {
		_, err := run("bert-base-uncased", "--link", path, "--direction", direction)
		if err == nil || !regexp.MustCompile(regexp.QuoteMeta(path)+`:\d+:11: its ways hold no d2h\n +\d+ \|   "ways": `).MatchString(err.Error()) {
			t.Errorf("%s: %v", direction, err)
		}
	}
	if _, err := run("bert-base-uncased", "--link", path, "--direction", "h2d"); err != nil {
		t.Error(err)
	}
}

// A recording that was named and whose run.json was cut is not said to lack the model.
func TestCommandCutRecording(t *testing.T) {
	whole, err := os.ReadFile("../../data/models/h100/run.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, record.Samples), []byte("call\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	const head = `{"schema": 1, "study": "models", "machine": {"name": "h100"}, "columns": [{"name": "call"}], "trials": []}`
	for text, want := range map[string]string{
		string(whole[:3000]):        `run\.json:\d+:\d+: unexpected end of JSON input`,
		"{\n  \"trials\": []\n}\n}": `run\.json:4:1: invalid character`,
		head:                        `no recording of machine h100 holds calls of bert-base-uncased`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := record.WriteSums(dir); err != nil {
			t.Fatal(err)
		}
		_, err := run("bert-base-uncased", "--link", "testdata/h100.json", "--samples", dir)
		if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Samples that are no numbers, or not those that run.json tells of, are refused where they
// stand, with the status of a file that is not what it should be.
func TestCommandSamples(t *testing.T) {
	const from = "../../data/models/h100/"
	dir := t.TempDir()
	of, err := os.ReadFile(from + record.Run)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(from + record.Samples + record.Packed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := recording.Unpack(f)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := io.ReadAll(text)
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, record.Run), of, 0o666)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{",1363881,", ",1363881,", ""},
		{",1363881,", ",x,", `:2:33: column latency_ns: "x" is no whole number`},
		{",1363881,", ",-1363881,", `:2:1: a call due at `},
		{",bert-base-uncased,1,128,", ",bert-base-uncased,2,128,", `:2:59: this is not call 1 of the 300 that run.json has of `},
		{"latency_ns", "latency", `:1:1: the columns are "level,`},
	} {
		path := filepath.Join(dir, record.Samples)
		if err := errors.Join(os.WriteFile(path, bytes.Replace(samples, []byte(tt.old), []byte(tt.new), 1), 0o666), record.WriteSums(dir)); err != nil {
			t.Fatal(err)
		}
		_, err := run("gpt2", "--link", "testdata/h100.json", "--samples", dir)
		switch {
		case tt.want == "":
			if err != nil {
				t.Error(err)
			}
		case err == nil || !strings.Contains(err.Error(), path+tt.want) || cell.StatusOf(err) != cell.StatusUsage:
			t.Errorf("%s for %s: status %d, %v", tt.new, tt.old, cell.StatusOf(err), err)
		}
	}
}
