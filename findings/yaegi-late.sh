#!/bin/sh
# github.com/traefik/yaegi v0.16.1: a method value, and an argument of a deferred call, are read when they run.
#
# In Go both are fixed where they are written: read := t.read binds the t of that moment, and defer f(n) keeps
# the n of that moment. The interpreter looks both up later. This is not the loop variable's old semantics; it
# happens in straight lines of code.
#
# Why it hurts: a notebook that notes "before" by a deferred call, or hands out a reader of the present
# settings, reports what came after.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   compiled:    method value 1, deferred 1
#   interpreted: method value 2, deferred 2
. "$(dirname "$0")/shared/yaegi.sh"
yaegi "method value 2, deferred 2" <<'EOF'
package script

import "fmt"

type setting struct{ value int }

func (s setting) read() int { return s.value }

var kept int

func keep(n int) { kept = n }

func Say() string {
	s := setting{1}
	read := s.read
	s.value = 2
	func() {
		n := 1
		defer keep(n)
		n = 2
	}()
	return fmt.Sprintf("method value %d, deferred %d", read(), kept)
}
EOF
