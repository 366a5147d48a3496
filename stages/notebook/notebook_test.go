package notebook_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"
	"barograph/stages/kind/analyse"
	"barograph/stages/kind/plot"
	"barograph/stages/notebook/job"
	"barograph/stages/notebook/script"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMain is the program in small: a notebook confines the process it runs in,
// so the tests start themselves again for each.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "cell":
		if cell.Serve(cell.NewKinds(analyse.Kind(), plot.Kind()), os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
	case len(os.Args) >= 3 && os.Args[1] == "notebook":
		c := job.Command()
		c.SetArgs(os.Args[2:])
		if c.Execute() != nil {
			os.Exit(1)
		}
	default:
		os.Setenv("GORACE", "atexit_sleep_ms=0") // else every child under the race detector takes a second to end
		os.Exit(m.Run())
	}
}

// root is the workspace.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// An outcome is how a cell ended.
type outcome struct {
	dir      string // its output folder
	log      string
	warnings []string
	failure  cell.Event // of type error, or zero
	err      error
}

// serve runs a cell as the engine does.
func serve(t testing.TB, s cell.Spec, wait time.Duration) outcome {
	t.Helper()
	return serveUntil(t, s, wait, "")
}

// serveUntil runs a cell, and interrupts it once its log holds a text, unless that
// is empty.
func serveUntil(t testing.TB, s cell.Spec, wait time.Duration, text string) outcome {
	t.Helper()
	o := outcome{dir: t.TempDir()}
	line, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var events bytes.Buffer
	child := exec.CommandContext(t.Context(), os.Args[0], "cell")
	log := &alarm{text: text}
	if text != "" {
		log.ring = func() { _ = child.Process.Signal(os.Interrupt) }
	}
	child.Dir, child.Stdin, child.Stdout, child.Stderr = o.dir, bytes.NewReader(append(line, '\n')), &events, log
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	child.WaitDelay = 10 * time.Second
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(wait, func() { _ = child.Process.Signal(os.Interrupt) })
	o.err = child.Wait()
	timer.Stop()
	o.log = log.String()
	d := json.NewDecoder(&events)
	for d.More() {
		var e cell.Event
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		switch e.Type {
		case "error":
			o.failure = e
		case "warning":
			o.warnings = append(o.warnings, e.Text)
		}
	}
	return o
}

// write makes a file with its folders, renamed into place as editors do: who watches
// sees the old or the new.
func write(t testing.TB, path, text string) {
	t.Helper()
	filetest.Write(t, path+"~", text)
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

// program wraps the body of main in a notebook with the imports it needs.
func program(body string) string {
	var imports strings.Builder
	for _, path := range []string{
		"barograph/notebooks/nb", "bytes", "fmt", "math", "os", "os/exec", "sort", "time", "unsafe",
		"gonum.org/v1/plot", "gonum.org/v1/plot/plotter", "gonum.org/v1/plot/vg",
	} {
		if strings.Contains(body, filepath.Base(path)+".") {
			fmt.Fprintf(&imports, "import %q\n", path)
		}
	}
	return "//go:build " + script.Language + "\n\npackage main\n\n" + imports.String() + "\nfunc main() {\n" + body + "\n}\n"
}

// own returns the specification of a plot cell whose notebook is the text.
func own(t testing.TB, text string, outputs ...string) cell.Spec {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "notebooks", "trial", "main.go"), text)
	if outputs == nil {
		outputs = []string{}
	}
	return cell.Spec{
		Study: "test", Stage: "plot", Kind: "plot", ID: "plot", With: json.RawMessage("{}"),
		Notebook: filepath.Join(dir, "notebooks", "trial"), Outputs: outputs, Root: dir,
	}
}

// recording writes what collect would for a link whose latency follows a law of
// utilisation, and returns its folder. Levels hold 2 replicates of n calls.
func recording(t testing.TB, n int, latency func(utilisation float64) float64, drift float64) string {
	t.Helper()
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString("level,replicate,call,scheduled_ns,start_ns,latency_ns,model,batch,sequence,device,direction,threads,block_bytes,achieved_bytes_per_s,utilisation,outstanding,rate_bytes_per_s,simulated,seq\n")
	shares := []float64{0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9}
	for level, share := range shares {
		for replicate := range 3 {
			const direction, capacity = "h2d", 10e9
			clock := int64(1e9)
			for call := range n {
				ns := latency(share) * (1 + 0.02*random.NormFloat64())
				if level == 0 {
					ns *= 1 + drift*float64(replicate)
				}
				fmt.Fprintf(&b, "%d,%d,%d,%d,%d,%d,bert-base-uncased,1,128,host,%s,%d,%d,%.0f,%g,1,0,false,%d\n",
					level, replicate+1, call+1, clock, clock, int64(ns), direction, level, int64(level)*4<<20, share*capacity, share, 1+replicate*len(shares)+level)
				clock += int64(ns)
			}
		}
	}
	write(t, filepath.Join(dir, "samples.csv"), b.String())
	write(t, filepath.Join(dir, "run.json"), `{"schema": 1, "study": "paper", "machine": {"name": "host", "device": "host"}, "simulated": false,
"trials": [{"infer": {"model": "bert-base-uncased", "batch": 1, "in_bytes": 3072, "out_bytes": 396288}}],
"utilisation": {"numerator": "bytes copied", "denominator": "the calibrated capacity of the direction (capacity_bytes_per_s)"}, "warnings": []}`)
	return dir
}

// shipped returns the specification of a cell with a shipped notebook on a
// recording.
func shipped(t testing.TB, kind, name, recording string, outputs ...string) cell.Spec {
	t.Helper()
	claims := []cell.Claim{
		{ID: "C1", Says: "the more load is applied, the longer inference takes on average", JudgedBy: "analyse"},
		{ID: "C2", Says: "inference time grows exponentially with the share of PCIe bandwidth used", JudgedBy: "analyse"},
	}
	return cell.Spec{
		Study: "paper", Stage: kind, Kind: kind, ID: kind, With: json.RawMessage("{}"), Root: root(t), Seed: 7, Claims: claims,
		Notebook: filepath.Join(root(t), "notebooks", name), Outputs: outputs,
		Inputs: []cell.Input{{Stage: "collect", Kind: "collect", ID: "collect", Files: map[string]string{
			"data/paper/host/samples.csv": filepath.Join(recording, "samples.csv"),
			"data/paper/host/run.json":    filepath.Join(recording, "run.json"),
		}}},
		Machine: cell.Machine{Name: "host", Device: "host"},
	}
}

func TestContention(t *testing.T) {
	exponential := func(u float64) float64 { return 3e6 * math.Exp(1.5*u) }
	linear := func(u float64) float64 { return 3e6 * (1 + 2*u) }
	flat := func(float64) float64 { return 3e6 }
	for _, c := range []struct {
		name    string
		latency func(float64) float64
		drift   float64
		c1, c2  string
	}{
		{"exponential", exponential, 0, cell.Reproduced, cell.Reproduced},
		{"linear", linear, 0, cell.Reproduced, cell.Refuted},
		{"flat", flat, 0, cell.Refuted, ""},
		{"drift", exponential, 0.1, cell.Invalid, cell.Invalid},
		{"moved", exponential, 0.01, cell.Reproduced, cell.Reproduced},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := shipped(t, "analyse", "contention", recording(t, 300, c.latency, c.drift), "summary.txt", "summary.csv", "verdicts.json")
			s.With = json.RawMessage(`{"sets": 10}`)
			o := serve(t, s, time.Minute)
			if o.err != nil {
				t.Fatalf("%v: %s\n%s", o.err, o.failure.Text, o.log)
			}
			var verdicts []cell.Verdict
			if err := json.Unmarshal([]byte(string(filetest.Read(t, filepath.Join(o.dir, "verdicts.json")))), &verdicts); err != nil {
				t.Fatal(err)
			}
			if len(verdicts) != 2 || verdicts[0].Verdict != c.c1 || c.c2 != "" && verdicts[1].Verdict != c.c2 {
				t.Errorf("verdicts %+v, want %s and %s", verdicts, c.c1, c.c2)
			}
			filetest.Golden(t, *update, "testdata/contention-"+c.name+".txt", filetest.Read(t, filepath.Join(o.dir, "summary.txt")))
			if c.name == "exponential" {
				filetest.Golden(t, *update, "testdata/contention-"+c.name+".csv", filetest.Read(t, filepath.Join(o.dir, "summary.csv")))
			}
		})
	}
}

func TestFigure2(t *testing.T) {
	outputs := []string{"figures/figure2.svg", "figures/figure2.pdf", "figures/figure2.png", "figures/figure2.csv"}
	s := shipped(t, "plot", "figure2", recording(t, 300, func(u float64) float64 { return 3e6 * (1 + u) }, 0), outputs...)
	o := serve(t, s, time.Minute)
	if o.err != nil {
		t.Fatalf("%v: %s\n%s", o.err, o.failure.Text, o.log)
	}
	for name, begins := range map[string]string{"svg": "<?xml", "pdf": "%PDF", "png": "\x89PNG", "csv": ""} {
		if text := string(filetest.Read(t, filepath.Join(o.dir, "figures/figure2."+name))); !strings.HasPrefix(text, begins) || len(text) < 1000 {
			t.Errorf("figure2.%s begins with %.20q, %d bytes", name, text, len(text))
		}
	}
	if svg := string(filetest.Read(t, filepath.Join(o.dir, "figures/figure2.svg"))); !strings.Contains(svg, "L=4 (60%)") {
		t.Error("no line is labelled L=4 (60%)")
	}
}

// files returns the texts of the files below a folder, by name.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[strings.TrimPrefix(path, dir)] = string(filetest.Read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
