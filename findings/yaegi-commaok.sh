#!/bin/sh
# github.com/traefik/yaegi v0.16.1: v, ok := m[k] leaves in v what it held before, where m has no k.
#
# Go gives v the zero value. Interpreted, a struct that is declared in a loop so keeps its fields from the turn
# before: a slice in it goes on growing, and is stored under the next key too.
#
# Why it hurts: it is how one groups rows by a key, and asks whether the key is new. Each new group begins with a
# copy of another one; all totals are plausible.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   compiled:    a [0 2] b [1] c [3]
#   interpreted: a [0 2] b [0 1] c [0 2 3]
. "$(dirname "$0")/shared/yaegi.sh"
yaegi "a [0 2] b [0 1] c [0 2 3]" <<'EOF'
package script

import "fmt"

type group struct{ rows []int }

func Say() string {
	groups := map[string]group{}
	for i, k := range []string{"a", "b", "a", "c"} {
		one, ok := groups[k]
		if !ok {
			groups[k] = one
		}
		one.rows = append(one.rows, i)
		groups[k] = one
	}
	return fmt.Sprint("a ", groups["a"].rows, " b ", groups["b"].rows, " c ", groups["c"].rows)
}
EOF
