#!/bin/sh
# github.com/traefik/yaegi v0.16.1: in a function literal, a deferred call of a function declared further down
# never happens.
#
# func() { defer count(1) }() runs count when count stands above in the file, or when the defer stands in a named
# function. Where the literal comes first and count after it, the call is dropped: no error, at no time.
#
# Why it hurts: helpers stand below main in most scripts, and what is deferred is what must not be forgotten:
# unlocking, closing, writing the last row, restoring a setting.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   compiled:    declared above 1, declared below 1
#   interpreted: declared above 1, declared below 0
. "$(dirname "$0")/shared/yaegi.sh"
yaegi "declared above 1, declared below 0" <<'EOF'
package script

import "fmt"

var up, down int

func above(n int) { up += n }

func Say() string {
	func() { defer above(1) }()
	func() { defer below(1) }()
	return fmt.Sprintf("declared above %d, declared below %d", up, down)
}

func below(n int) { down += n }
EOF
