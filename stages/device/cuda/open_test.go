package cuda

import (
	"errors"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

// Without what it needs, Open ends with a message and a hint, in either build.
func TestOpenFails(t *testing.T) {
	for _, name := range []string{"cuda:1000", "cuda:x", "cuda:-1"} {
		g, err := Open(name)
		var h *cell.Error
		if g != nil || err == nil || !strings.HasPrefix(err.Error(), `open device "`+name+`": `) || !errors.As(err, &h) || h.Hint == "" {
			t.Errorf("Open(%q) = %v, %v", name, g, err)
		}
	}
}
