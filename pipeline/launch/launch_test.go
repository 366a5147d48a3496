package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/filetest"

	"golang.org/x/sys/unix"
)

// Whatever a child writes is events, or a fault that says so; nothing of it is
// taken for what it is not.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"type":"ready"}` + "\n" + `{"type":"progress","done":1,"total":2,"text":"half"}` + "\n"))
	f.Add([]byte(`{"type":"error","text":"no","hint":"yes"}` + "\n"))
	f.Add([]byte(`{"type":"window","start_ns":1,"end_ns":2}` + "\n" + `{"type":"metric","values":{"a":1e9}}`))
	f.Add([]byte("hello\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &Process{}
		n := 0
		p.listen(bytes.NewReader(b), func(e cell.Event) {
			n++
			if e.Type == "" || e.Type == "error" {
				t.Errorf("an event of type %q got through", e.Type)
			}
			if p.fault != nil && !strings.Contains(string(b), `"error"`) {
				t.Errorf("an event after a fault")
			}
		})
		if lines := bytes.Count(b, []byte("\n")); n > lines {
			t.Errorf("%d events of %d lines", n, lines)
		}
		for line := range bytes.Lines(b) {
			var e cell.Event
			if bytes.HasSuffix(line, []byte("\n")) && (json.Unmarshal(line, &e) != nil || e.Type == "") && p.fault == nil {
				t.Errorf("%q was passed over", line)
			}
		}
	})
}

// An event that does not fit into memory set aside for it fails the cell.
func TestEndlessEvent(t *testing.T) {
	p := &Process{}
	p.listen(strings.NewReader(`{"type":"progress","text":"`+strings.Repeat("x", 2<<20)+`"}`+"\n"), func(cell.Event) { t.Error("it got through") })
	if p.fault == nil || !strings.Contains(p.fault.Error(), "longer than 1 MiB") {
		t.Errorf("the fault is %v", p.fault)
	}
}

// A child runs on the CPUs that it is given, and this process on those that it had.
func TestCPUs(t *testing.T) {
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	last := 0
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			last = cpu
		}
	}
	var log bytes.Buffer
	p := Start(t.Context(), Command{Argv: []string{"grep", "Cpus_allowed_list", "/proc/self/status"}, Dir: t.TempDir(), CPUs: []int{last}, Log: &log})
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(log.String()); len(got) != 2 || got[1] != strconv.Itoa(last) {
		t.Errorf("a child for CPU %d has %v", last, got)
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("this process had %v and has %v, %v", before, after, err)
	}
	log.Reset()
	if err := Start(t.Context(), Command{Argv: []string{"nproc"}, Dir: t.TempDir(), Log: &log}).Wait(); err != nil || strings.TrimSpace(log.String()) != strconv.Itoa(before.Count()) {
		t.Errorf("the next child has %s CPUs of %d, %v", log.String(), before.Count(), err)
	}
	if err := Start(t.Context(), Command{Argv: []string{"true"}, Dir: t.TempDir(), CPUs: []int{1023}, Log: &log}).Wait(); err == nil || !strings.Contains(err.Error(), "start on CPUs [1023]") {
		t.Errorf("a CPU that there is not: %v", err)
	}
}

// A child that is timed and stopped fails, one that goes on soon does not, and one that is
// not timed may be stopped for longer.
func TestStandstill(t *testing.T) {
	for line, c := range map[string]struct{ timed, fails bool }{
		"kill -STOP $$": {true, true},
		"(sleep 0.3; kill -CONT $$) & kill -STOP $$":    {true, false},
		"(sleep 1.5; kill -CONT $$) & kill -STOP $$; :": {false, false},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			err := Start(t.Context(), Command{Argv: []string{"sh", "-c", line}, Dir: t.TempDir(), Log: io.Discard, Timed: c.timed}).Wait()
			if (err != nil) != c.fails || err != nil && !strings.Contains(err.Error(), "a signal had stopped it") {
				t.Errorf("%v, wanted to fail: %v", err, c.fails)
			}
		})
	}
}

// A child that is stopped when its time is over is said to have been, and ends at once.
func TestStopped(t *testing.T) {
	for line, stopped := range map[string]bool{"kill -STOP $$; :": true, "sleep 60; :": false} {
		ctx, cancel := context.WithCancelCause(t.Context())
		late := errors.New("too late")
		time.AfterFunc(time.Second/2, func() { cancel(late) })
		began := time.Now()
		err := Start(ctx, Command{Argv: []string{"sh", "-c", line}, Dir: t.TempDir(), Log: io.Discard}).Wait()
		if !errors.Is(err, late) || strings.Contains(err.Error(), "a signal had stopped it") != stopped || time.Since(began) >= Grace {
			t.Errorf("%q: %v after %v", line, err, time.Since(began))
		}
	}
}

// A program's files hold what they would behind a shell. Where one cannot be made none is
// left, and what stands for the program is started.
func TestFiles(t *testing.T) {
	for _, c := range []struct {
		Command
		want string
	}{
		{Command{Input: "in", Output: "o", Errors: "e"}, ` e:"wrong\n" in:"text\n" o:"text\n"`},
		{Command{Input: "in", Output: "o", Joined: true}, ` in:"text\n" o:"text\nwrong\n"`},
		{Command{Input: "in", Errors: "e"}, `text
 e:"wrong\n" in:"text\n"`},
		{Command{Output: "o", Errors: "in"}, "else\nin\n in:\"text\\n\""},
		{Command{Output: "o", Errors: "o"}, "else\nin\n in:\"text\\n\""},
		{Command{Input: "none", Output: "o"}, "else\nin\n in:\"text\\n\""},
	} {
		var log bytes.Buffer
		c.Dir, c.Log = t.TempDir(), &log
		c.Argv, c.Else = []string{"sh", "-c", "read x; echo $x; echo wrong >&2"}, []string{"sh", "-c", "echo else; ls"}
		filetest.Write(t, filepath.Join(c.Dir, "in"), "text\n")
		if err := Start(t.Context(), c.Command).Wait(); err != nil {
			t.Error(err)
		}
		names, err := os.ReadDir(c.Dir)
		for _, name := range names {
			text, _ := os.ReadFile(filepath.Join(c.Dir, name.Name()))
			fmt.Fprintf(&log, " %s:%q", name.Name(), text)
		}
		if log.String() != c.want || err != nil {
			t.Errorf("in %q, out %q, errors %q, joined %v: %s, %v; want %s", c.Input, c.Output, c.Errors, c.Joined, &log, err, c.want)
		}
	}
}
