package notebook

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

	"barograph/notebooks/nb"
	"barograph/pipeline/cell"
	"barograph/pipeline/report/page"
	"barograph/stages/notebook/symbols"

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
		Example:      `  barograph notebook watch figure2 --data data/paper/host`,
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error {
			if err := w.open(args[0], params); err != nil {
				return err
			}
			w.out, w.log = c.OutOrStdout(), c.ErrOrStderr()
			host, _, err := net.SplitHostPort(listen)
			if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
				return cell.Hint(fmt.Errorf("--listen %q is no address of this machine alone", listen), "such as 127.0.0.1:8080")
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			fmt.Fprintf(w.out, "http://%s/\n", l.Addr())
			return w.serve(c.Context(), l)
		},
	}
	w.flags(c, &params)
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`address` to serve the page on, of this machine only; port 0: any")
	return c
}

// A watch is a notebook that is run whenever it changes, and its page.
type watch struct {
	job
	last *past    // the last good run
	keys []string // of its cells

	mu      sync.Mutex
	news    news          // what a new page is told
	changed chan struct{} // closed when there is other news
}

// News is what the page is told: a state in words and, unless only that is new,
// the whole content.
type news struct {
	State string  `json:"state"`
	Title string  `json:"title,omitempty"`
	Body  *string `json:"body,omitempty"`
}

// serve answers on a listener and runs the notebook until the context ends.
func (w *watch) serve(ctx context.Context, l net.Listener) error {
	w.changed = make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.page)
	mux.HandleFunc("GET /events", w.events)
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
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	w.loop(ctx)
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// pause is how long a change may go unseen. Asking costs a few system calls, and
// works on every file system and with every editor.
const pause = 15 * time.Millisecond

// loop runs the notebook, at once and after every change; a change ends the run
// before it.
func (w *watch) loop(ctx context.Context) {
	begin := func() (stop func()) {
		run, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.attempt(run)
		}()
		return func() {
			cancel()
			<-done
		}
	}
	stop := func() {}
	for seen := ""; ctx.Err() == nil; {
		if now := w.stamp(); now != seen {
			seen = now
			stop()
			stop = begin()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	stop()
}

// stamp changes with the files that a run depends on.
func (w *watch) stamp() string {
	var b strings.Builder
	add := func(path string, info fs.FileInfo) {
		fmt.Fprintf(&b, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	if info, err := os.Stat(filepath.Join(w.dir, File)); err == nil {
		add(File, info)
	}
	if w.data != "" {
		// What cannot be read is told by the run.
		_ = filepath.WalkDir(w.data, func(path string, d fs.DirEntry, err error) error {
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

// attempt runs the notebook once and shows how it ended.
func (w *watch) attempt(ctx context.Context) {
	began := time.Now()
	w.tell(news{State: "running"})
	body, err := w.result(ctx)
	if ctx.Err() != nil {
		return // a newer run is on its way
	}
	state := fmt.Sprintf("ran in %v", time.Since(began).Round(time.Millisecond))
	if err != nil {
		state = fmt.Sprintf("failed after %v", time.Since(began).Round(time.Millisecond))
		fmt.Fprintln(w.log, err)
	}
	fmt.Fprintf(w.log, "%s %s\n", filepath.Base(w.dir), state)
	w.tell(news{State: state, Title: filepath.Base(w.dir) + ": " + state, Body: &body})
}

// result runs the notebook and returns its page's content, which shows the error
// if there is one.
func (w *watch) result(ctx context.Context) (body string, failed error) {
	dir, err := os.MkdirTemp("", "barograph-watch-")
	if err != nil {
		return template.HTMLEscapeString(err.Error()), err
	}
	defer os.RemoveAll(dir)
	name := sourceName(&cell.Spec{Root: w.root, Notebook: w.dir})
	text, err := os.ReadFile(filepath.Join(w.dir, File))
	if err != nil {
		return template.HTMLEscapeString(err.Error()), err
	}
	keys := make(chan []string, 1)
	go func() { // beside the run, which checks the notebook itself
		source, err := Parse(w.dir, name)
		if err != nil {
			keys <- nil
			return
		}
		inputs, err := w.inputs()
		if err != nil {
			inputs = err.Error()
		}
		keys <- source.keys(inputs)
	}()
	failed = w.runIn(ctx, dir)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	r, err := ReadRecord(filepath.Join(dir, RecordFile))
	v := view{id: "notebook", read: readFrom(dir)}
	if failed != nil {
		r = &Record{Notebook: name, Source: string(text), Functions: symbols.Digest}
		if r.Said, err = readEvents(filepath.Join(dir, private, nb.EventsFile)); err == nil {
			v.faults, v.last = faults(failed, r), w.last
		}
	}
	if err != nil {
		return template.HTMLEscapeString(err.Error()), err
	}
	now := <-keys
	if w.keys != nil {
		v.marks = make([]string, len(now))
		for i, k := range now {
			if slices.Contains(w.keys, k) {
				v.marks[i] = "unchanged"
			}
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "<h1>%s</h1>\n", template.HTMLEscapeString(title(filepath.Base(w.dir))))
	if err := r.render(&b, v); err != nil {
		return template.HTMLEscapeString(err.Error()), errors.Join(failed, err)
	}
	if failed != nil {
		return b.String(), failed
	}
	if err := r.provenance(&b); err != nil {
		return b.String(), err
	}
	kept, err := readAll(dir, r)
	if err != nil {
		return b.String(), err
	}
	w.last, w.keys = &past{r, kept}, now
	return b.String(), nil
}

// inputs says what the notebook reads: its data and parameters.
func (w *watch) inputs() (string, error) {
	spec, err := w.spec()
	if err != nil {
		return "", err
	}
	files, err := inputsOf(spec)
	return fmt.Sprint(files, w.with), err
}

// readAll reads a record's outputs, so that they can be shown when their folder
// is gone.
func readAll(dir string, r *Record) (func(string) ([]byte, error), error) {
	content := map[string][]byte{}
	for _, out := range r.Outputs {
		b, err := os.ReadFile(filepath.Join(dir, out.Name))
		if err != nil {
			return nil, err
		}
		content[out.Name] = b
	}
	return func(name string) ([]byte, error) { return content[name], nil }, nil
}

// faults puts what a run ended with where it belongs: at the lines that the
// error names, else in the cell that the run had come to.
func faults(err error, r *Record) []fault {
	source := &Source{Text: []byte(r.Source), Cells: parts([]byte(r.Source))}
	at := 0
	for _, e := range r.Said {
		if n, err := strconv.Atoi(e.Text); e.Type == "part" && err == nil {
			at = n
		}
	}
	hint := ""
	var h *cell.Error
	if errors.As(err, &h) && h.Hint != "" {
		hint = "\nhint: " + h.Hint
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
		list = append(list, fault{max(source.part(line), 0), strings.TrimRight(text[p[0]:end], "\n")})
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
	name := filepath.Base(w.dir)
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
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}
