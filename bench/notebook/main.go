// Notebook measures the edit loop against Jupyter's: the same figure, from the
// same samples, in the same four formats, each time by a new process.
//
//   - figure2 by `barograph notebook run`, interpreted, against papermill running
//     the same steps as a notebook of pandas and matplotlib
//   - a save while `barograph notebook watch` runs: until the page is told of the
//     new figure, in those four formats too
//   - a million samples, against a plain Python script of the same steps, and ten
//     million
//
// Programs take turns, each until its figures are there, and the ratio is that of medians. Processor time, of a
// process and those it started, says what a busy machine makes of the rest. Python and its packages
// are taken from PyPI into the cache, once.
//
//	go run ./bench/notebook
package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"barograph/pipeline/cell"
)

//go:embed figure.py
var script string

var requirements = []string{"papermill==2.6.0", "ipykernel==6.29.5", "pandas==2.2.3", "matplotlib==3.9.3"}

func main() {
	log.SetFlags(0)
	log.SetPrefix("notebook: ")
	runs := flag.Int("n", 5, "runs of each program")
	flag.Parse()
	if err := run(context.Background(), *runs); err != nil {
		log.Fatal(err)
	}
}

// A program is one way to make the figure from a folder of data.
type program struct {
	name    string
	command func(data, out string) []string
}

func run(ctx context.Context, runs int) error {
	dir, err := os.MkdirTemp("", "bench-notebook-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self := filepath.Join(dir, "barograph")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", self, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("build the program (run this at the module's root): %w\n%s", err, out)
	}
	bin, err := python(ctx)
	if err != nil {
		return err
	}
	file, book := filepath.Join(dir, "figure.py"), filepath.Join(dir, "figure.ipynb")
	if err := os.WriteFile(file, []byte(script), 0o666); err != nil {
		return err
	}

	ours := program{"barograph", func(data, out string) []string {
		return []string{self, "notebook", "run", "figure2", "--data", data, "-o", out}
	}}
	papermill := program{"papermill", func(data, out string) []string {
		return []string{filepath.Join(bin, "papermill"), "--log-level=ERROR", "--no-progress-bar", "-k", "python3", book, filepath.Join(out, "out.ipynb")}
	}}
	python := program{"python", func(data, out string) []string {
		return []string{filepath.Join(bin, "python"), file, data, out}
	}}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Printf("%d processors, load %s, %s, %s\n\n", runtime.NumCPU(), strings.Fields(string(load))[0], runtime.Version(), strings.Join(requirements, ", "))

	small := filepath.Join(dir, "paper", "small")
	if err := record(small, 9_000); err != nil {
		return err
	}
	if err := jupyter(book, small, dir); err != nil {
		return err
	}
	if err := compare(ctx, "figure2 from 9,000 samples, four formats, from cold", small, dir, runs, ours, papermill); err != nil {
		return err
	}
	if err := edit(ctx, self, small, dir, 4*runs); err != nil {
		return err
	}
	large := filepath.Join(dir, "paper", "large")
	if err := record(large, 1_000_000); err != nil {
		return err
	}
	if err := compare(ctx, "a million samples: read, grouped, ECDF with bands, figure", large, dir, runs, ours, python); err != nil {
		return err
	}
	if err := record(large, 10_000_000); err != nil {
		return err
	}
	return compare(ctx, "ten million samples, the same", large, dir, runs, ours)
}

// compare lets programs take turns, and prints a line for each.
func compare(ctx context.Context, title, data, dir string, runs int, programs ...program) error {
	fmt.Println(title)
	took, cpu := make([][]time.Duration, len(programs)), make([][]time.Duration, len(programs))
	peak := make([]int64, len(programs))
	for range runs {
		for i, p := range programs {
			out, err := os.MkdirTemp(dir, "out-")
			if err != nil {
				return err
			}
			args := p.command(data, out)
			c := exec.CommandContext(ctx, args[0], args[1:]...)
			c.Env = append(os.Environ(), "MPLBACKEND=Agg", "PYDEVD_DISABLE_FILE_VALIDATION=1")
			figures := filepath.Join(out, "figure2.*")
			if p.name == "papermill" {
				figures = filepath.Join(dir, "jupyter", "figure2.*")
			}
			var said bytes.Buffer
			c.Stdout, c.Stderr = &said, &said
			until, err := drawn(c, figures)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", p.name, err, &said)
			}
			took[i] = append(took[i], until)
			cpu[i] = append(cpu[i], c.ProcessState.UserTime()+c.ProcessState.SystemTime())
			// The largest of the process and those it waited for, in KiB.
			peak[i] = max(peak[i], c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		}
	}
	for i, p := range programs {
		slices.Sort(took[i])
		slices.Sort(cpu[i])
		fmt.Printf("  %-10s %8.0f ms (%.0f to %.0f), %6.0f ms of processor time, %4d MiB at most",
			p.name, ms(median(took[i])), ms(took[i][0]), ms(took[i][runs-1]), ms(median(cpu[i])), peak[i]/1024)
		if i > 0 {
			fmt.Printf("; %.1f times the time of %s, %.1f times the processor time", ms(median(took[i]))/ms(median(took[0])), programs[0].name, ms(median(cpu[i]))/ms(median(cpu[0])))
		}
		fmt.Println()
	}
	fmt.Println()
	return nil
}

// drawn runs a command, and returns how long it takes until its four figures are
// there; what it does after that, such as a comparison with the compiled notebook,
// counts as processor time alone.
func drawn(c *exec.Cmd, figures string) (time.Duration, error) {
	names := func() []string {
		found, _ := filepath.Glob(figures) // the pattern is a good one
		return found
	}
	for _, old := range names() {
		if err := os.Remove(old); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for len(names()) < 4 {
		select {
		case err := <-ended:
			if took := time.Since(began); err != nil || len(names()) == 4 {
				return took, err
			}
			return 0, fmt.Errorf("it left %q", names())
		case <-time.After(time.Millisecond):
		}
	}
	took := time.Since(began)
	return took, <-ended
}

// edit saves a copy of figure2 while it is watched, and prints how long it takes
// until the page is told.
func edit(ctx context.Context, self, data, dir string, saves int) error {
	const notebook = "notebooks/figure2"
	if err := os.CopyFS(filepath.Join(dir, notebook), os.DirFS(notebook)); err != nil {
		return err
	}
	source := filepath.Join(dir, notebook, "main.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := exec.CommandContext(ctx, self, "notebook", "watch", "figure2", "--data", data)
	c.Dir = dir
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // so that it leaves nothing
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	defer func() {
		stop()
		_ = c.Wait() // it was interrupted
	}()
	var url string
	if _, err := fmt.Fscanln(out, &url); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	answer, err := http.Get(url + "events")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	news := bufio.NewReader(answer.Body)
	ran := func() error { // waits until a run has ended
		for {
			line, err := news.ReadString('\n')
			if err != nil {
				return fmt.Errorf("watch: %w", err)
			}
			if strings.Contains(line, "failed after") {
				return fmt.Errorf("watch: %.300s", line)
			}
			if strings.Contains(line, `"state":"ran in`) && strings.Contains(line, `"body":`) { // not news of how it compares
				return nil
			}
		}
	}
	if err := ran(); err != nil {
		return err
	}
	var took []time.Duration
	for i := range saves {
		time.Sleep(300 * time.Millisecond) // a process has been started for the next
		changed := strings.Replace(string(text), "inference time under each load", fmt.Sprintf("edit %d", i), 1)
		began := time.Now()
		if err := os.WriteFile(source+"~", []byte(changed), 0o666); err != nil {
			return err
		}
		if err := os.Rename(source+"~", source); err != nil { // as editors do
			return err
		}
		if err := ran(); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	fmt.Printf("from save to figure, watched\n  %-10s %8.0f ms (%.0f to %.0f)\n\n", "barograph", ms(median(took)), ms(took[0]), ms(took[len(took)-1]))
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

// python returns the bin folder of a Python with the packages, made once.
func python(ctx context.Context) (string, error) {
	cache, err := cell.CacheDir()
	if err != nil {
		return "", err
	}
	venv := filepath.Join(cache, "bench", "notebook")
	bin := filepath.Join(venv, "bin")
	if _, err := os.Stat(filepath.Join(bin, "papermill")); err == nil {
		return bin, nil
	}
	for _, cmd := range [][]string{{"python3", "-m", "venv", venv}, append([]string{filepath.Join(bin, "pip"), "install", "--quiet"}, requirements...)} {
		if out, err := exec.CommandContext(ctx, cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("install papermill: %w\n%s", err, out)
		}
	}
	return bin, nil
}

// jupyter writes the script as a notebook, which leaves its figures in a folder
// of its own.
func jupyter(book, data, dir string) error {
	out := filepath.Join(dir, "jupyter")
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	source := strings.Replace(script, "data, out = sys.argv[1:3]", fmt.Sprintf("data, out = %q, %q", data, out), 1)
	type object = map[string]any
	b, err := json.Marshal(object{
		"nbformat": 4, "nbformat_minor": 5,
		"metadata": object{"kernelspec": object{"name": "python3", "display_name": "Python 3", "language": "python"}},
		"cells":    []any{object{"cell_type": "code", "id": "figure", "metadata": object{}, "execution_count": nil, "outputs": []any{}, "source": source}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(book, b, 0o666)
}

// record writes a recording of n made-up samples, in the columns of collect.
func record(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "samples.csv"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "level,replicate,call,scheduled_ns,start_ns,latency_ns,model,batch,sequence,device,direction,threads,block_bytes,achieved_bytes_per_s,utilisation,outstanding,rate_bytes_per_s,simulated,seq")
	random := rand.New(rand.NewPCG(1, 2))
	levels := []int{0, 1, 2, 4, 8, 16}
	const replicates = 5
	clock := int64(1e12)
	for i, level := range levels {
		for replicate := range replicates {
			for call := range n / len(levels) / replicates {
				ns := int64(3e6 * (1 + 0.2*float64(i)) * (1 + 0.05*random.ExpFloat64()))
				fmt.Fprintf(w, "%d,%d,%d,%d,%d,%d,bert-base-uncased,1,128,host,h2d,%d,%d,%d,%g,1,0,true,%d\n",
					level, replicate+1, call+1, clock, clock, ns, level, level<<22, i*1e9, 0.15*float64(i), 1+replicate*len(levels)+i)
				clock += ns
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "run.json"), []byte(`{"schema": 1, "study": "paper", "machine": {"name": "made-up", "device": "sim"}, "simulated": true, "trials": [{"infer": {"device": "sim", "simulated": true}}],
"utilisation": {"numerator": "bytes copied", "denominator": "the calibrated capacity"}, "warnings": []}`), 0o666)
}
