// Traffic compares how requests are sent with vegeta, a load generator of the Go module
// registry.
//
// First both send to what answers at once, at rates that grow: how many a second they
// reach, and how late each request is sent. Ours calls a function, as it calls a model;
// vegeta calls an HTTP server in this process, since it can do nothing else, so that its
// own column is there to show the order of size and the ratio is of lags.
//
// Then both offer more than a server can answer, one request at a time each, as tools do
// whose concurrency is limited. The table has the latencies from when a request was
// sent, which is what vegeta measures, and from when it was due.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/traffic"
)

// pinned is the version of vegeta that is compared with.
const pinned = "github.com/tsenart/vegeta/v12@v12.13.0"

func main() {
	seconds := flag.Float64("seconds", 2, "for how long each rate is offered")
	vegeta := flag.String("vegeta", "", "`FILE` of vegeta; empty: built from the module registry, into a folder that is removed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *vegeta, *seconds); err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, vegeta string, seconds float64) (err error) {
	if vegeta == "" {
		dir, e := os.MkdirTemp("", "vegeta-")
		if e != nil {
			return e
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		build := exec.CommandContext(ctx, "go", "install", pinned)
		build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go install %s: %w\n%s", pinned, err, out)
		}
		vegeta = filepath.Join(dir, "vegeta")
	}
	if err := pace(ctx, w, vegeta, seconds); err != nil {
		return err
	}
	return overload(ctx, w, vegeta, seconds)
}

// A sent is one request: nanoseconds from some beginning.
type sent struct{ due, begun, done int64 }

// pace compares how late requests are sent.
func pace(ctx context.Context, w io.Writer, vegeta string, seconds float64) error {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "offered/s\tours: sent/s\tlag p50\tlag p99\tvegeta: sent/s\tlag p50\tlag p99\tratio of medians")
	for _, rate := range []int{1000, 10_000, 20_000, 50_000} {
		n := int(float64(rate) * seconds)
		ours, err := serve(ctx, rate, n, func(int) error { return nil })
		if err != nil {
			return err
		}
		theirs, err := attack(ctx, vegeta, server.URL, rate, n, "-workers=64")
		if err != nil {
			return err
		}
		a, b := lags(ours), lags(theirs)
		fmt.Fprintf(t, "%d\t%.0f\t%v\t%v\t%.0f\t%v\t%v\t%.0f\n", rate, reached(ours), of(a, 50), of(a, 99), reached(theirs), of(b, 50), of(b, 99), float64(of(b, 50))/float64(max(1, of(a, 50))))
	}
	return t.Flush()
}

// overload compares latencies beyond what a server can answer.
func overload(ctx context.Context, w io.Writer, vegeta string, seconds float64) error {
	const service, rate = 5 * time.Millisecond, 400
	var one sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		one.Lock()
		defer one.Unlock()
		time.Sleep(service)
	}))
	defer server.Close()
	n := int(rate * seconds)
	ours, err := serve(ctx, rate, n, func(int) error {
		r, err := server.Client().Get(server.URL)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r.Body)
		return errors.Join(err, r.Body.Close())
	})
	if err != nil {
		return err
	}
	theirs, err := attack(ctx, vegeta, server.URL, rate, n, "-workers=1", "-max-workers=1")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d requests at %d a second, to a server that answers %.0f a second, one at a time:\n\n", n, rate, float64(time.Second/service))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "latency\tsent\tp50\tp99\tmax")
	for _, row := range []struct {
		name string
		of   []sent
		from func(sent) int64
	}{
		{"vegeta, from when it was sent (what it reports)", theirs, func(s sent) int64 { return s.begun }},
		{"vegeta's requests, from when they were due", theirs, func(s sent) int64 { return s.due }},
		{"ours, from when it was sent", ours, func(s sent) int64 { return s.begun }},
		{"ours, from when it was due (what we report)", ours, func(s sent) int64 { return s.due }},
	} {
		l := make([]int64, len(row.of))
		for i, s := range row.of {
			l[i] = s.done - row.from(s)
		}
		slices.Sort(l)
		fmt.Fprintf(t, "%s\t%d\t%v\t%v\t%v\n", row.name, len(l), of(l, 50), of(l, 99), of(l, 100))
	}
	return t.Flush()
}

// serve sends requests as a study's are.
func serve(ctx context.Context, rate, n int, call func(int) error) ([]sent, error) {
	due := make([]int64, n)
	for i := range due {
		due[i] = int64(i) * int64(time.Second) / int64(rate)
	}
	q := traffic.NewQueue(due, cell.Now()+int64(10*time.Millisecond), traffic.Rule{}, traffic.Batch{})
	if err := traffic.Serve(ctx, q, []traffic.Worker{{Call: call}}, nil); err != nil {
		return nil, err
	}
	all := make([]sent, n)
	for i, r := range q.Requests {
		all[i] = sent{r.Due, r.Begun, r.Done}
	}
	return all, nil
}

// attack has vegeta send requests, and returns them in the order in which they were.
func attack(ctx context.Context, vegeta, url string, rate, n int, flags ...string) ([]sent, error) {
	args := append([]string{"attack", fmt.Sprintf("-rate=%d", rate), fmt.Sprintf("-duration=%dns", int64(n)*int64(time.Second)/int64(rate))}, flags...)
	cmd := exec.CommandContext(ctx, vegeta, args...)
	cmd.Stdin = strings.NewReader("GET " + url + "\n")
	var results, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &results, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("vegeta %s: %w\n%s", strings.Join(args, " "), err, &errs)
	}
	cmd = exec.CommandContext(ctx, vegeta, "encode", "--to=json")
	cmd.Stdin = &results
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("vegeta encode: %w", err)
	}
	var all []sent
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var hit struct {
			Code      int           `json:"code"`
			Error     string        `json:"error"`
			Seq       int64         `json:"seq"`
			Timestamp time.Time     `json:"timestamp"`
			Latency   time.Duration `json:"latency"`
		}
		if err := d.Decode(&hit); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read what vegeta encoded: %w", err)
		}
		if hit.Code != http.StatusOK {
			return nil, fmt.Errorf("vegeta: request %d: %d %s", hit.Seq, hit.Code, hit.Error)
		}
		at := hit.Timestamp.UnixNano()
		all = append(all, sent{hit.Seq, at, at + int64(hit.Latency)}) // its number for now
	}
	if len(all) == 0 {
		return nil, errors.New("vegeta sent nothing")
	}
	slices.SortFunc(all, func(a, b sent) int { return int(a.begun - b.begun) })
	// It does not say when it began: its schedule is taken to start so that no request
	// was sent before it was due, which is the kindest to it.
	first := all[0].begun - all[0].due*int64(time.Second)/int64(rate)
	for _, s := range all {
		first = min(first, s.begun-s.due*int64(time.Second)/int64(rate))
	}
	for i := range all {
		all[i].due = first + all[i].due*int64(time.Second)/int64(rate)
	}
	return all, nil
}

// lags are how late requests were sent, ascending.
func lags(all []sent) []int64 {
	l := make([]int64, len(all))
	for i, s := range all {
		l[i] = s.begun - s.due
	}
	slices.Sort(l)
	return l
}

// reached is how many requests were sent in a second.
func reached(all []sent) float64 {
	return float64(len(all)-1) / float64(all[len(all)-1].begun-all[0].begun) * 1e9
}

// of returns a percentile of ascending times.
func of(sorted []int64, p int) time.Duration {
	d := time.Duration(sorted[(p*len(sorted)+99)/100-1])
	if d > time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(10)
}
