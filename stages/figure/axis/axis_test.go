package axis

import (
	"strings"
	"testing"
)

// Large values keep short labels, which do not run into one another.
func TestLargeTicks(t *testing.T) {
	labels := []string{}
	for _, tick := range logTicks(17e6, 21e6, 8) {
		if tick.Label != "" {
			labels = append(labels, tick.Label)
		}
	}
	if got := strings.Join(labels, " "); got != "1.7e7 1.8e7 1.9e7 2e7 2.1e7" {
		t.Errorf("labels %s", got)
	}
}
