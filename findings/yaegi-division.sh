#!/bin/sh
# github.com/traefik/yaegi v0.16.1: a division of integer constants whose result becomes a float is not cut.
#
# In Go, 1 - calls/300 with the untyped integer constant calls = 299 is 1, also where it initialises a float64:
# constants of integer kind divide as integers. The interpreter divides as floats and says 0.0033. No error.
#
# Why it hurts: notebooks and configuration scripts compute shares and indices so. The same file gives other
# numbers compiled, and whichever was tested first is taken for right.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   compiled:    5/2 = 2, share = 1
#   interpreted: 5/2 = 2.5, share = 0.0033333333333332993
. "$(dirname "$0")/shared/yaegi.sh"
yaegi "5/2 = 2.5, share = 0.0033333333333332993" <<'EOF'
package script

import "fmt"

const calls = 299

func Say() string {
	var half float64 = 5 / 2
	var share float64 = 1 - calls/300
	return fmt.Sprintf("5/2 = %v, share = %v", half, share)
}
EOF
