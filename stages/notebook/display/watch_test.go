package display_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"barograph/pipeline/cell/filetest"
	"barograph/stages/notebook/display"
	"barograph/stages/notebook/job"
)

// A watching is `notebook watch` with a page that listens to it.
type watching struct {
	t     *testing.T
	url   string
	lines *bufio.Scanner
	log   *observedLog
	stop  context.CancelFunc // as an interruption does
}

// An observedLog says when a text has been written to it.
type observedLog struct {
	mu      sync.Mutex
	written strings.Builder
	waiting map[string]chan struct{}
}

func (l *observedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.written.Write(b)
	for text, seen := range l.waiting {
		if strings.Contains(l.written.String(), text) {
			close(seen)
			delete(l.waiting, text)
		}
	}
	return n, err
}

// seen returns a channel that is closed once the log holds a text.
func (l *observedLog) seen(text string) <-chan struct{} {
	seen := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.Contains(l.written.String(), text) {
		close(seen)
	} else {
		l.waiting[text] = seen
	}
	return seen
}

type news struct {
	State string
	Body  *string
	Ended bool
}

// lineWriter sends what is written to it.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func startWatch(t *testing.T, args ...string) *watching {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := job.Command(display.Commands()...)
	out := make(lineWriter, 1)
	c.SetOut(out)
	log := &observedLog{waiting: map[string]chan struct{}{}}
	c.SetErr(log)
	c.SetArgs(append([]string{"watch"}, args...))
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	w := &watching{t: t, log: log, stop: stop}
	select {
	case url := <-out:
		w.url = strings.TrimSpace(url)
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	reading, give := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(give)
	r, err := http.NewRequestWithContext(reading, "GET", w.url+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	w.lines = bufio.NewScanner(answer.Body)
	w.lines.Buffer(nil, 16<<20)
	return w
}

// until waits for a state.
func (w *watching) until(state string) {
	w.t.Helper()
	for w.lines.Scan() {
		var n news
		if text, ok := strings.CutPrefix(w.lines.Text(), "data: "); ok && json.Unmarshal([]byte(text), &n) == nil && strings.Contains(n.State, state) {
			return
		}
	}
	w.t.Fatalf("no news of %q: %v; log:\n%s", state, w.lines.Err(), w.log.written.String())
}

// next returns the page's content once a run has ended as asked for.
func (w *watching) next(state string) string {
	w.t.Helper()
	for w.lines.Scan() {
		text, ok := strings.CutPrefix(w.lines.Text(), "data: ")
		if !ok {
			continue
		}
		var n news
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			w.t.Fatal(err)
		}
		if n.Body != nil && (strings.HasPrefix(n.State, "ran in") || strings.HasPrefix(n.State, "failed after")) {
			if !strings.HasPrefix(n.State, state) {
				w.t.Fatalf("%s, want %s; page:\n%.3000s", n.State, state, *n.Body)
			}
			return *n.Body
		}
	}
	w.t.Fatalf("no news: %v", w.lines.Err())
	return ""
}

const watched = `	// %% One
	x := nb.Samples("x.csv")
	fmt.Println("one", x.Len())

	// %% Two
	y := 2
	fmt.Println("two", y)

	// %% Three
	fmt.Println("three", x.Len()+y)`

func TestWatch(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "data/x.csv", "a\n1\n")
	write(t, "notebooks/w/main.go", program(watched))
	w := startWatch(t, "w", "--data", "data")

	has := func(body string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("the page has no %q:\n%s", want, body)
			}
		}
	}
	marks := func(body string) string {
		t.Helper()
		var titles []string
		for _, s := range strings.Split(body, "<section ")[1:] {
			head, _, _ := strings.Cut(s, "</h2>")
			for _, title := range []string{"One", "Two", "Three"} {
				if strings.Contains(head, ">"+title+" <span class=\"mark\">unchanged") {
					titles = append(titles, title)
				}
			}
		}
		return strings.Join(titles, " ")
	}
	body := w.next("ran in")
	has(body, "one 1", "two 2", "three 3")
	if got := marks(body); got != "" {
		t.Errorf("the first run marks %s", got)
	}

	// A cell that others depend on, and one that none does.
	write(t, "notebooks/w/main.go", program(strings.Replace(watched, "y := 2", "y := 5", 1)))
	body = w.next("ran in")
	has(body, "three 6")
	if got := marks(body); got != "One" {
		t.Errorf("unchanged %q, want One", got)
	}

	// Other data change what reads them, and what follows from it.
	write(t, "data/x.csv", "a\n1\n2\n")
	body = w.next("ran in")
	has(body, "one 2", "three 7")
	if got := marks(body); got != "Two" {
		t.Errorf("unchanged %q, want Two", got)
	}

	// A panic stands in its cell, after what was printed, before the last result.
	write(t, "notebooks/w/main.go", program(strings.Replace(watched, `fmt.Println("two", y)`, "fmt.Println(\"before\")\n\tif y == 2 {\n\t\tpanic(\"no luck\")\n\t}", 1)))
	body = w.next("failed after")
	has(body, "panic: no luck", "main.go:17:3", "before", "one 2")
	two, three, _ := strings.Cut(body[strings.Index(body, ">Two"):], ">Three")
	for _, want := range []string{`class="error" role="alert"`, `class="stale"`, "two 5"} {
		if !strings.Contains(two, want) {
			t.Errorf("cell Two has no %q:\n%s", want, two)
		}
	}
	has(three, `class="stale"`, "three 7")
	if one := body[:strings.Index(body, ">Two")]; strings.Contains(one, "stale") {
		t.Errorf("cell One, which ran, is dimmed:\n%s", one)
	}

	// What does not compile stands at its line, too.
	write(t, "notebooks/w/main.go", program(strings.Replace(watched, "x.Len()+y", "x.Length()", 1)))
	body = w.next("failed after")
	three = body[strings.Index(body, ">Three"):]
	has(three, "x.Length undefined", "three 7")

	// An editor that writes in place leaves no file for a moment.
	if err := os.Truncate("notebooks/w/main.go", 0); err != nil {
		t.Fatal(err)
	}
	w.until("the file is empty")
	write(t, "notebooks/w/main.go", program(watched))
	has(w.next("ran in"), "three 4")

	// An endless loop is ended by the next save.
	write(t, "notebooks/w/main.go", program(strings.Replace(watched, "y := 2", "y := 2\n\tfmt.Println(\"turning\")\n\tfor y > 0 {\n\t}", 1)))
	<-w.log.seen("turning\n")
	write(t, "notebooks/w/main.go", program(watched))
	has(w.next("ran in"), "three 4")
}

// The page links to what the run has left, the last good run's also beside an error.
func TestWatchFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	table := "\t// %% One\n\tnb.Table(\"t.csv\", [][]string{{\"a\"}, {fmt.Sprint(1)}})"
	write(t, "notebooks/w/main.go", program(table))
	w := startWatch(t, "w")
	get := func(name string) (int, string) {
		t.Helper()
		answer, err := http.Get(w.url + name)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(b)
	}
	link := func(body string) string {
		t.Helper()
		_, rest, _ := strings.Cut(body, `href="`)
		name, _, found := strings.Cut(rest, `"`)
		if !found {
			t.Fatalf("no link in\n%s", body)
		}
		return name
	}
	first := link(w.next("ran in"))
	if status, text := get(first); status != http.StatusOK || text != "a\n1\n" {
		t.Errorf("%s: %d %q", first, status, text)
	}
	write(t, "notebooks/w/main.go", program(strings.Replace(table, "Sprint(1)", "Sprint(2)", 1)))
	second := link(w.next("ran in"))
	write(t, "notebooks/w/main.go", program(strings.Replace(table, "nb.Table", "panic(1)\n\tnb.Table", 1)))
	if stale := link(w.next("failed after")); stale != second {
		t.Errorf("the last good result is %s, want %s", stale, second)
	}
	if status, text := get(second); status != http.StatusOK || text != "a\n2\n" {
		t.Errorf("%s: %d %q", second, status, text)
	}
	for _, gone := range []string{first, "files/9/t.csv", "files/2/none.csv", "files/2/..%2f..%2fmain.go"} {
		if status, _ := get(gone); status != http.StatusNotFound {
			t.Errorf("%s: %d", gone, status)
		}
	}
}

// A page is told that the watcher ends, and its stream ends well.
func TestWatchEnds(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "notebooks/w/main.go", program("\tfmt.Println(1)"))
	w := startWatch(t, "w")
	w.next("ran in")
	w.stop()
	var last news
	for w.lines.Scan() {
		if text, ok := strings.CutPrefix(w.lines.Text(), "data: "); ok {
			last = news{}
			if err := json.Unmarshal([]byte(text), &last); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.lines.Err(); err != nil || !last.Ended || !strings.Contains(last.State, "has ended") {
		t.Errorf("the last news is %+v, the stream's end %v", last, err)
	}
}

// Nobody but this machine's browser may read the page.
func TestWatchRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "notebooks/w/main.go", program("\tfmt.Println(1)"))
	if _, _, err := command(t, "watch", "w", "--listen", "0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "no address of this machine alone") {
		t.Errorf("%v", err)
	}
	w := startWatch(t, "w")
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "elsewhere.example:80"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("status %d for another host's name", answer.StatusCode)
	}
}

// TestWatchCompared wants a run that has been shown to be held against the compiled
// notebook's.
func TestWatchCompared(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the Go compiler")
	}
	t.Setenv("BAROGRAPH_CACHE", t.TempDir())
	dir := t.TempDir()
	t.Chdir("../../..") // where the sources are
	save := func(statement string) {
		t.Helper()
		text := "package main\n\nimport \"barograph/notebooks/nb\"\n\nfunc main() {\n\t" + statement + "\n}\n"
		filetest.Write(t, filepath.Join(dir, "main.go"), text)
	}
	save(`nb.Text("a.txt", "x")`)
	w := startWatch(t, dir)
	w.until("ran in ")
	w.until("the same when compiled (go1.")
	save("m := map[int]bool{}\n\tfor i := range 1000 {\n\t\tm[i] = true\n\t}\n\tfor i := range m {\n\t\tnb.Text(\"a.txt\", nb.Number(float64(i)))\n\t\tbreak\n\t}")
	w.until("failed: it differs when it is compiled")
}
