package engine_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"barograph/pipeline/engine"
)

type held func()

func (h held) Close() error {
	h()
	return nil
}

// The device is held from before anything is measured until all is, and not at
// all where nothing is; who cannot have it measures nothing.
func TestHold(t *testing.T) {
	w := newWorkspace(t, `
stages:
  before: {uses: command, run: 'echo 1 > b', outputs: [b]}
  x: {uses: measure, needs: [before], matrix: {replicate: 2}}
  after: {uses: command, needs: [x], run: 'echo 1 > a', outputs: [a]}
`)
	var happened []string
	run := func(opt engine.Options) (*engine.Result, *seen, error) {
		happened = nil
		opt.Hold = func(context.Context) (io.Closer, error) {
			happened = append(happened, "hold")
			return held(func() { happened = append(happened, "let go") }), nil
		}
		return w.runIn(context.Background(), opt, func(what string) {
			if what == "x[replicate=1]" || what == "x[replicate=2]" || what == "after" {
				happened = append(happened, what)
			}
		})
	}
	want := func(what ...string) {
		t.Helper()
		if len(happened) != len(what) {
			t.Errorf("%v, want %v", happened, what)
			return
		}
		for i := range what {
			if what[i] != "" && happened[i] != what[i] {
				t.Errorf("%v, want %v", happened, what)
			}
		}
	}
	if res, _, err := run(engine.Options{}); err != nil || len(res.Failures) > 0 {
		t.Fatal(err, res.Failures)
	}
	want("hold", "", "", "let go", "after")
	run(engine.Options{})
	want()
	run(engine.Options{Fresh: []string{"after"}})
	want("after")
	_, sight, err := w.run(engine.Options{Fresh: []string{"x"}, Hold: func(context.Context) (io.Closer, error) { return nil, errors.New("taken") }})
	if err == nil || err.Error() != "taken" || len(sight.starts) > 0 {
		t.Errorf("without the device: %v, started %v", err, sight.starts)
	}
}
