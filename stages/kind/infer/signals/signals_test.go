package signals

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A handler that a library replaced is the Go runtime's again, and named.
func TestRestore(t *testing.T) {
	saved := Save()
	ignore := action{1}
	if err := sigaction(unix.SIGUSR2, &ignore, nil); err != nil {
		t.Fatal(err)
	}
	changed, err := saved.Restore()
	if err != nil || !slices.Equal(changed, []string{"SIGUSR2 (on the thread's own stack)"}) {
		t.Errorf("restored %q, %v", changed, err)
	}
	if again, err := saved.Restore(); len(again) > 0 || err != nil {
		t.Errorf("then %q, %v", again, err)
	}
}
