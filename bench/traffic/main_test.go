package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Beyond what a server can answer, latencies from when requests were sent hide the
// queue, and those from when they were due do not. A script stands in for vegeta, and
// does as it: one request after the other, each timed from when it is sent.
func TestOverload(t *testing.T) {
	vegeta := filepath.Join(t.TempDir(), "vegeta")
	script := `#!/bin/sh
case $1 in
encode) cat ;;
attack)
	echo '{"code":200,"seq":1,"timestamp":"2025-11-28T12:00:00.005Z","latency":5000000}'
	echo '{"code":200,"seq":0,"timestamp":"2025-11-28T12:00:00Z","latency":5000000}'
	echo '{"code":200,"seq":2,"timestamp":"2025-11-28T12:00:00.010Z","latency":5000000}' ;;
esac
`
	if err := os.WriteFile(vegeta, []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := overload(t.Context(), &out, vegeta, 0.1); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"vegeta, from when it was sent (what it reports)  3     5ms", "vegeta's requests, from when they were due       3     7.5ms"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in\n%s", line, &out)
		}
	}
	ours, err := serve(t.Context(), 1000, 50, func(int) error { time.Sleep(2 * time.Millisecond); return nil })
	if err != nil {
		t.Fatal(err)
	}
	last := ours[len(ours)-1]
	if took, waited := last.done-last.begun, last.done-last.due; waited < int64(49*time.Millisecond) || waited < 3*took {
		t.Errorf("the last request took %v, and %v from when it was due", time.Duration(took), time.Duration(waited))
	}
	if len(lags(ours)) != 50 || reached(ours) > 500 {
		t.Errorf("%d lags, %g a second", len(lags(ours)), reached(ours))
	}
}
