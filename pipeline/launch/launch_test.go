package launch

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"barograph/pipeline/cell"
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
