package cell_test

import (
	"errors"
	"fmt"
	"testing"

	"barograph/pipeline/cell"
)

// An error carries the outermost hint and the outermost status, whatever else
// stands around them.
func TestErrorCarriesHintAndStatus(t *testing.T) {
	plain := errors.New("read x: no")
	for _, test := range []struct {
		err    error
		hint   string
		status int
	}{
		{nil, "", cell.StatusDone},
		{plain, "", cell.StatusFailed},
		{cell.Usage(nil), "", cell.StatusDone},
		{cell.Hint(nil, "x"), "", cell.StatusDone},
		{cell.Usage(plain), "", cell.StatusUsage},
		{cell.Hint(cell.Usage(plain), "do %d", 1), "do 1", cell.StatusUsage},
		{cell.Usage(fmt.Errorf("load: %w", cell.Hint(plain, "do"))), "do", cell.StatusUsage},
		{errors.Join(plain, cell.Usage(plain)), "", cell.StatusUsage},
		{cell.End(cell.Hint(cell.Usage(cell.Hint(plain, "in")), "out"), cell.StatusInvalid), "out", cell.StatusInvalid},
		{cell.Exit(cell.StatusInvalid), "", cell.StatusInvalid},
	} {
		if hint, status := cell.HintOf(test.err), cell.StatusOf(test.err); hint != test.hint || status != test.status {
			t.Errorf("%v: hint %q, status %d; want %q, %d", test.err, hint, status, test.hint, test.status)
		}
		if test.err != nil && test.err.Error() == "" {
			t.Errorf("%#v says nothing", test.err)
		}
	}
}
