package evidence

import (
	"fmt"
	"testing"
)

// TestUses: a parameter is followed through a matrix into what a stage is given.
func TestUses(t *testing.T) {
	used := uses([]byte(`
params: {levels: [1], calls: 3, none: 1}
stages:
  a: {matrix: {level: "${{ levels }}"}, with: {threads: "${{ level * 2 }}", plain: 3}}
  b: {with: {n: "${{ calls }}", deep: {er: "${{ calls }}"}}}
`))
	if got := fmt.Sprint(used); got != "map[calls:[b.deep b.n] levels:[a.threads]]" {
		t.Error(got)
	}
}
