package display

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/scratch"
	"barograph/pipeline/page"
	"barograph/stages/notebook"
	"barograph/stages/notebook/job"
	"barograph/stages/notebook/script"
	"barograph/stages/notebook/symbols"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/cobra"
)

//go:embed watch.js
var watchScript string

const watchStyle = `.state { position: sticky; top: 0; background: var(--tint); border: 1px solid var(--line); border-radius: .4rem; padding: .3rem .9rem; margin: 0 0 1.5rem; z-index: 2; max-width: none; }
.stale { opacity: .45; } .unchanged .mark { color: var(--soft); } .mark { font-size: .75em; font-weight: 400; margin-left: .6em; }
pre.error { border-color: var(--bad); background: var(--tint); }
`

func watchCommand() *cobra.Command {
	w := &watch{}
	var params []string
	var listen string
	c := &cobra.Command{
		Use:   "watch NAME|DIR",
		Short: "Run a notebook whenever it is saved, and show it in a browser",
		Long: `Watch a notebook: serve a page with its results on this machine, and run it again
whenever it or its data change. An error stands where the result would be, above
the last good result, which is dimmed. Cells that nothing they depend on has
changed for are marked so.`,
		Example: `  barograph notebook watch figure2 --data data/paper/host`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := w.Open(args[0], params); err != nil {
				return err
			}
			w.Out, w.Log = c.OutOrStdout(), c.ErrOrStderr()
			host, _, err := net.SplitHostPort(listen)
			if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
				return cell.Usage(cell.Hint(fmt.Errorf("--listen %q is no address of this machine alone", listen), "such as 127.0.0.1:8080"))
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			fmt.Fprintf(w.Out, "http://%s/\n", l.Addr())
			return w.serve(c.Context(), l)
		},
	}
	w.Flags(c, &params)
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`address` to serve the page on, of this machine only; port 0: any")
	return c
}

// A watch is a notebook that is run whenever it changes, and its page.
type watch struct {
	job.Job
	next *notebook.Process // started ahead of its run; nil if there is none
	tmp  string            // the folder that runs have theirs in
	runs int               // begun
	last *history          // the last good run
	keys []string          // of its cells

	mu      sync.Mutex
	news    news               // what a new page is told
	changed chan struct{}      // closed when there is other news
	kept    map[string]history // what the page links to, by run
}

// News is what the page is told: a state in words and, unless only that is new,
// the whole content.
type news struct {
	State string  `json:"state"`
	Title string  `json:"title,omitempty"`
	Body  *string `json:"body,omitempty"`
	Ended bool    `json:"ended,omitempty"` // there will be no other
}

// serve answers on a listener and runs the notebook until the context ends.
func (w *watch) serve(ctx context.Context, l net.Listener) error {
	defer cell.Hold()() // the folder, and the processes that run in it
	w.changed, w.kept = make(chan struct{}), map[string]history{}
	tmp, drop, err := scratch.New()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer drop()
	w.tmp = tmp
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.page)
	mux.HandleFunc("GET /events", w.events)
	mux.HandleFunc("GET /files/{run}/{name...}", w.file)
	server := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			// A name of its own that leads here would let another site's page read ours.
			if host, _, err := net.SplitHostPort(r.Host); err != nil || host != "localhost" && net.ParseIP(host) == nil {
				http.Error(rw, "open the address that the program printed", http.StatusForbidden)
				return
			}
			mux.ServeHTTP(rw, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	w.loop(ctx)
	w.tell(news{State: "barograph notebook watch has ended: start it again, and load the page it names", Ended: true})
	farewell, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	if server.Shutdown(farewell) != nil {
		server.Close() // who has not read the last news by now
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// pause is how long a change may go unseen where the kernel does not tell. Asking costs
// a few system calls, and works on every file system and with every editor.
const pause = 15 * time.Millisecond

// loop runs the notebook, at once and after every change; a change ends the run
// before it.
func (w *watch) loop(ctx context.Context) {
	begin := func() (stop func()) {
		run, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.attempt(ctx, run)
		}()
		return func() {
			cancel()
			<-done
		}
	}
	var told <-chan fsnotify.Event // of the notebook's folder, where the kernel tells
	if notify, err := fsnotify.NewWatcher(); err == nil {
		defer notify.Close()
		if notify.Add(w.Dir) == nil {
			told = notify.Events
		}
	}
	stop := func() {}
	for seen, waits := "", false; ctx.Err() == nil; {
		now := w.stamp()
		if empty := seen != "" && w.emptied(); empty != waits {
			if waits = empty; empty {
				w.tell(news{State: "the file is empty: waiting for its text"})
			}
		}
		if now != seen && !waits {
			seen = now
			stop()
			stop = begin()
		}
		select {
		case <-ctx.Done():
		case <-told:
		case <-time.After(pause):
		}
	}
	stop()
	if w.next != nil {
		w.next.Drop()
		os.RemoveAll(w.next.Dir)
	}
}

// emptied tells whether the notebook is an empty file, as it is for a moment when
// an editor writes it in place: nothing to run yet.
func (w *watch) emptied() bool {
	info, err := os.Stat(filepath.Join(w.Dir, script.File))
	return err == nil && info.Size() == 0
}

// stamp changes with the files that a run depends on.
func (w *watch) stamp() string {
	var b strings.Builder
	add := func(path string, info fs.FileInfo) {
		fmt.Fprintf(&b, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	if info, err := os.Stat(filepath.Join(w.Dir, script.File)); err == nil {
		add(script.File, info)
	}
	if w.Data != "" {
		// What cannot be read is told by the run.
		_ = filepath.WalkDir(w.Data, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					add(path, info)
				}
			}
			return nil
		})
	}
	return b.String()
}

// attempt runs the notebook once and shows how it ended. The process for the next
// attempt, which it starts, lives as long as the watch.
func (w *watch) attempt(watching, ctx context.Context) {
	began := time.Now()
	w.runs++
	w.tell(news{State: "running"})
	p, err := w.take(watching)
	good := false
	if err == nil {
		defer os.RemoveAll(p.Dir)
		good, err = w.result(ctx, p, began)
	}
	if err != nil && ctx.Err() == nil { // it could not be run, or not be shown
		w.show(began, template.HTMLEscapeString(err.Error()), err)
	}
	if watching.Err() == nil {
		w.next, _ = w.take(watching) // tried again, and told, by the next attempt
	}
	if good {
		w.compare(ctx, p.Dir, w.news.State)
	}
}

// compare holds a run that has been shown against the compiled notebook's, and shows
// how they compare. A newer run ends it.
func (w *watch) compare(ctx context.Context, dir, state string) {
	spec, err := w.Spec()
	said := ""
	if err == nil {
		said, err = notebook.Compare(ctx, spec, dir).Result()
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		err = script.Hinted(err)
		said = err.Error()
		if hint := cell.HintOf(err); hint != "" {
			said += "\nhint: " + hint
		}
		body := `<pre class="error" role="alert">` + template.HTMLEscapeString(said) + "</pre>\n" + *w.news.Body
		fmt.Fprintln(w.Log, said)
		w.tell(news{State: "failed: it differs when it is compiled", Title: filepath.Base(w.Dir) + ": failed", Body: &body})
		return
	}
	fmt.Fprintf(w.Log, "%s: %s\n", filepath.Base(w.Dir), said)
	w.tell(news{State: state + "; " + said})
}

// take returns the process that stands ready, or else starts one.
func (w *watch) take(watching context.Context) (*notebook.Process, error) {
	if p := w.next; p != nil {
		w.next = nil
		return p, nil
	}
	dir, err := os.MkdirTemp(w.tmp, "")
	if err != nil {
		return nil, err
	}
	p, err := notebook.Start(watching, dir, w.Log)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return p, nil
}

// show gives the page the content that an attempt has led to.
func (w *watch) show(began time.Time, body string, failed error) {
	state := fmt.Sprintf("ran in %v", time.Since(began).Round(time.Millisecond))
	if failed != nil {
		state = fmt.Sprintf("failed after %v", time.Since(began).Round(time.Millisecond))
		fmt.Fprintln(w.Log, failed)
	}
	fmt.Fprintf(w.Log, "%s %s\n", filepath.Base(w.Dir), state)
	w.tell(news{State: state, Title: filepath.Base(w.Dir) + ": " + state, Body: &body})
}

// result runs the notebook in a process and shows how it ended, with the error
// where it belongs if there is one, and tells whether it ended well. The error it
// returns is not the notebook's.
func (w *watch) result(ctx context.Context, p *notebook.Process, began time.Time) (good bool, err error) {
	name := notebook.SourceName(&cell.Spec{Root: w.Root, Notebook: w.Dir})
	text, err := os.ReadFile(filepath.Join(w.Dir, script.File))
	if err != nil {
		p.Drop()
		return false, err
	}
	spec, err := w.Spec()
	if err != nil {
		p.Drop()
		return false, err
	}
	keys := make(chan []string, 1)
	go func() { keys <- w.cells(spec, name) }() // beside the run, which checks the notebook itself
	limited, stop := w.Limited(ctx)
	defer stop()
	failed := p.Run(limited, spec, func(cell.Event) {})
	now := <-keys
	if ctx.Err() != nil {
		return false, ctx.Err() // a newer run is on its way
	}
	r := &notebook.Record{Notebook: name, Source: string(text), Functions: symbols.Digest}
	if failed == nil {
		r, err = notebook.ReadRecord(filepath.Join(p.Dir, notebook.RecordFile))
	} else {
		r.Said, err = p.Events()
	}
	if err != nil {
		return false, err
	}
	run := history{run: fmt.Sprint(w.runs), record: r}
	if run.read, err = readAll(p.Dir); err != nil {
		return false, err
	}
	body, err := w.draw(run, now, failed)
	if err != nil {
		return false, err
	}
	w.show(began, body, failed)
	if failed == nil {
		w.last, w.keys = &run, now
	}
	return failed == nil, nil
}

// draw writes the content of the page after a run, and keeps what it links to.
func (w *watch) draw(run history, keys []string, failed error) (string, error) {
	kept := map[string]history{run.run: run}
	v := run.view("notebook")
	if failed != nil {
		v.faults, v.last = faults(failed, run.record), w.last
	}
	if w.last != nil {
		kept[w.last.run] = *w.last
	}
	if w.keys != nil {
		v.marks = make([]string, len(keys))
		for i, k := range keys {
			if slices.Contains(w.keys, k) {
				v.marks[i] = "unchanged"
			}
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "<h1>%s</h1>\n", template.HTMLEscapeString(title(filepath.Base(w.Dir))))
	if err := render(&b, run.record, v); err != nil {
		return "", err
	}
	if failed == nil {
		if err := provenance(&b, run.record); err != nil {
			return "", err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = kept
	return b.String(), nil
}

// cells returns the keys of the notebook's cells, none if it does not compile.
func (w *watch) cells(spec *cell.Spec, name string) []string {
	source, err := script.Parse(w.Dir, name)
	if err != nil {
		return nil
	}
	files, err := notebook.Inputs(spec)
	return source.Keys(fmt.Sprint(files, w.With, err))
}

// readAll reads what a run has left, so that it can be shown when its folder is
// gone.
func readAll(dir string) (func(string) ([]byte, error), error) {
	names, err := notebook.FilesBelow(dir)
	if err != nil {
		return nil, err
	}
	content := map[string][]byte{}
	for _, name := range names {
		if content[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return func(name string) ([]byte, error) {
		b, ok := content[name]
		if !ok {
			return nil, fmt.Errorf("the run left no %q", name)
		}
		return b, nil
	}, nil
}

// file sends an output that the page links to. A notebook's page does not hold
// them, as one that is kept does: that would make it slow to show.
func (w *watch) file(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	run, ok := w.kept[r.PathValue("run")]
	w.mu.Unlock()
	name := r.PathValue("name")
	if ok {
		if b, err := run.read(name); err == nil {
			rw.Header().Set("Content-Security-Policy", "sandbox")
			http.ServeContent(rw, r, name, time.Time{}, bytes.NewReader(b))
			return
		}
	}
	http.NotFound(rw, r)
}

// faults puts what a run ended with where it belongs: at the lines that the
// error names, else in the cell that the run had come to.
func faults(err error, r *notebook.Record) []fault {
	source := &script.Source{Text: []byte(r.Source), Cells: script.Parts([]byte(r.Source))}
	at := 0
	for _, e := range r.Said {
		if n, err := strconv.Atoi(e.Text); e.Type == "part" && err == nil {
			at = n
		}
	}
	hint := cell.HintOf(err)
	if hint != "" {
		hint = "\nhint: " + hint
	}
	text := err.Error()
	places := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(r.Notebook)+`:(\d+):\d+: `).FindAllStringSubmatchIndex(text, -1)
	if len(places) == 0 {
		return []fault{{min(at, len(source.Cells)-1), text + hint}}
	}
	var list []fault
	for i, p := range places {
		end := len(text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		line, _ := strconv.Atoi(text[p[2]:p[3]]) // digits
		list = append(list, fault{max(source.Part(line), 0), strings.TrimRight(text[p[0]:end], "\n")})
	}
	list[0].text += hint
	slices.SortStableFunc(list, func(a, b fault) int { return a.part - b.part })
	return list
}

// tell gives the page other news.
func (w *watch) tell(n news) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.Body == nil { // the content stands
		n.Title, n.Body = w.news.Title, w.news.Body
	}
	w.news = n
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watch) page(rw http.ResponseWriter, r *http.Request) {
	name := filepath.Base(w.Dir)
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	// A reader who has left needs no page.
	_ = page.Write(rw, page.Page{
		Title: path.Join(name, "watch"), Live: true, Style: watchStyle, Scripts: []string{watchScript},
		Body: template.HTML(`<p class="state" id="state" role="status">starting</p><div id="live"></div>`),
	})
}

// events sends the news, as server-sent events.
func (w *watch) events(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(rw)
	var shown *string
	for {
		w.mu.Lock()
		n, changed := w.news, w.changed
		w.mu.Unlock()
		if n.Body == shown {
			n.Body = nil // the page has it
		} else {
			shown = n.Body
		}
		line, err := json.Marshal(n)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(rw, "data: %s\n\n", line); err != nil {
			return
		}
		if flush.Flush() != nil {
			return
		}
		if n.Ended {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}
