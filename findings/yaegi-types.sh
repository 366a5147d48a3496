#!/bin/sh
# github.com/traefik/yaegi v0.16.1: types of the script with the same structure are one type behind an interface.
#
# The interpreter represents a defined type by its underlying one. So level(1) and 1 are the same key of a map
# with interface keys, and a value of one struct type passes for another with equal fields in an assertion.
#
# Why it hurts: a table keyed by typed values (a level, a replicate, a call) loses rows without an error, and a
# type switch takes the first case that fits.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   compiled:    2 keys; a cat is a dog: false
#   interpreted: 1 keys; a cat is a dog: true
. "$(dirname "$0")/shared/yaegi.sh"
yaegi "1 keys; a cat is a dog: true" <<'EOF'
package script

import "fmt"

type level int

type cat struct{ Legs int }

type dog struct{ Legs int }

func Say() string {
	table := map[interface{}]string{}
	table[level(1)] = "a level"
	table[1] = "a number"
	var animal interface{} = cat{4}
	_, isDog := animal.(dog)
	return fmt.Sprintf("%d keys; a cat is a dog: %v", len(table), isDog)
}
EOF
