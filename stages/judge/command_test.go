package judge_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/pipeline/record"
	"barograph/stages/judge"
	"barograph/stages/judge/command"
)

// TestOptionsRefused wants wrong usage of what no option can be.
func TestOptionsRefused(t *testing.T) {
	for _, arg := range []string{"--alpha=7", "--alpha=0", "--alpha=nan", "--negligible=-1", "--negligible=1", "--drift-margin=nan", "--drift-margin=inf", "--drift-margin=-1", "--draws=-5", "--draws=99", "--draws=0", "--sets=0", "--sets=-2"} {
		c := command.Command()
		c.SetArgs([]string{"none.csv", arg})
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		err := c.Execute()
		flag, _, _ := strings.Cut(arg, "=")
		if cell.StatusOf(err) != cell.StatusUsage || !strings.Contains(err.Error(), "for "+flag) {
			t.Errorf("%s: %v", arg, err)
		}
	}
	c := command.Command()
	c.SetArgs([]string{"none.csv"})
	c.SetOut(io.Discard)
	c.SetErr(io.Discard)
	if err := c.Execute(); err == nil || strings.Contains(err.Error(), "invalid argument") {
		t.Errorf("the defaults: %v", err)
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "samples.csv")
	judge.WriteExponential(t, path, 0)
	run := func(args ...string) (string, string, error) {
		c := command.Command()
		var out, msg bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&msg)
		c.SetArgs(args)
		err := c.Execute()
		return out.String(), msg.String(), err
	}
	out, _, err := run(path, "--sets", "5", "--draws", "100")
	if err != nil || !strings.Contains(out, "\nC1 reproduced: ") || !strings.Contains(out, "\nC2 reproduced: ") || !strings.Contains(out, "true law") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, _, err = run(path, "--json", "--sets", "5", "--draws", "100")
	var r struct {
		Verdicts []cell.Verdict
		Levels   []struct {
			Quantiles []struct {
				Low float64 `json:"low_ns"`
			}
		}
		Growth    struct{ Law string }
		Confusion struct{ Laws []struct{ Law string } }
	}
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || len(r.Verdicts) != 2 || r.Growth.Law != "exponential" || len(r.Confusion.Laws) < 5 || r.Levels[0].Quantiles[2].Low < 1e6 {
		t.Errorf("%v: %.2000s", err, out)
	}
	judge.WriteExponential(t, path, 0.3)
	if out, _, err = run(path, "--draws", "100"); cell.StatusOf(err) != cell.StatusInvalid || !strings.Contains(out, "C2 INVALID") {
		t.Errorf("%v:\n%s", err, out)
	}
	if _, _, err = run(path, "--draws", "100", "--drift-margin", "0.5"); err != nil {
		t.Errorf("a wider margin: %v", err)
	}
	beside := filepath.Join(dir, "run.json")
	for text, place := range map[string]string{"{": "1:1", "{\n \"rows\": \"2\"}": "2:12", "{}\n{}": "2:1", "\ufeff{}": "1:1"} {
		filetest.Write(t, beside, text)
		if _, _, err = run(path); cell.StatusOf(err) != cell.StatusUsage || !strings.Contains(err.Error(), "judge: read "+beside+":"+place+": ") {
			t.Errorf("run.json holds %q: %v", text, err)
		}
	}
	for _, args := range [][]string{{filepath.Join(dir, "none.csv")}, {dir}, {path, "--where", "x"}, {}} {
		if _, _, err := run(args...); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestClaims(t *testing.T) {
	shipped, err := filepath.Abs("../../data/paper-d2h/h100")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	dir := record.Dir("paper", "somewhere")
	if err := os.CopyFS(dir, os.DirFS(shipped)); err != nil {
		t.Fatal(err)
	}
	filetest.Write(t, "figure2.svg", "<svg/>")
	const entry = `claims:
  - {claim: C2, recording: data/paper/somewhere, verdict: refuted, effect: 0.73, tolerance: 0.1, figure: figure2.svg, command: make reproduce, time: 20m, hardware: any}
`
	check := func(manifest string) (string, error) {
		filetest.Write(t, "claims.yaml", manifest)
		c := command.Claims(nil)
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(io.Discard)
		c.SetArgs([]string{"claims.yaml"})
		err := c.Execute()
		return out.String(), err
	}
	out, err := check(entry)
	if err != nil || !strings.Contains(out, "refuted") || !strings.Contains(out, "make reproduce") {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, c := range []struct{ from, to, says string }{
		{"verdict: refuted", "verdict: reproduced", "1 of 1 claims changed"},
		{"effect: 0.73", "effect: 9", "1 of 1 claims changed"},
		{"claim: C2", "claim: C9", "no such claim"},
		{"figure: figure2.svg", "figure: none.svg", "its figure"},
		{"somewhere", "nowhere", "nowhere"},
		{"time: 20m", "time: soon", "no duration"},
		{"hardware: any", "hardware: ''", "claims.yaml:2:165: the claim has no hardware"},
		{"hardware: any", "hardwear: any", "hardwear"},
		{entry, "claims: []", "claims.yaml:1:9: claims: there is none"},
		{entry, "", "the file is empty"},
	} {
		if _, err := check(strings.ReplaceAll(entry, c.from, c.to)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.to, err, c.says)
		}
	}
	b := filetest.Read(t, filepath.Join(dir, record.Run))
	filetest.Write(t, filepath.Join(dir, record.Run), strings.Replace(string(b), `"batch": 1,
        "sequence": 128,
        "in_bytes"`, `"batch": 2,
        "sequence": 128,
        "in_bytes"`, 1))
	if _, err := check(entry); err == nil || !strings.Contains(err.Error(), "damaged: run.json") {
		t.Errorf("a recording that was changed was judged: %v", err)
	}
	if err := record.WriteSums(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := check(entry); err == nil || !strings.Contains(err.Error(), `samples.csv.gz:2:59: this is not call 1 of `) || cell.StatusOf(err) != cell.StatusUsage {
		t.Errorf("samples of another run.json were judged: status %d, %v", cell.StatusOf(err), err)
	}
}
