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
set -eu
command -v go >/dev/null || { echo "needs go"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/finding" && cd "$dir/finding"
export GOMODCACHE="$dir/mod" GOFLAGS="-modcacherw -mod=mod" GOWORK=off
mkdir script
cat >script/script.go <<'EOF'
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
cat >main.go <<'EOF'
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"

	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"

	"finding/script"
)

//go:embed script/script.go
var source string

// The same file is compiled into this program, and interpreted by it.
func main() {
	compiled := script.Say()
	var out bytes.Buffer
	i := interp.New(interp.Options{Stdout: &out})
	if err := i.Use(stdlib.Symbols); err != nil {
		panic(err)
	}
	if _, err := i.Eval(source); err != nil {
		panic(err)
	}
	v, err := i.Eval("script.Say()")
	if err != nil {
		panic(err)
	}
	interpreted := v.String()
	fmt.Println("compiled:   ", compiled)
	fmt.Println("interpreted:", interpreted)
	if compiled == interpreted || interpreted != "1 keys; a cat is a dog: true" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
go mod init finding 2>/dev/null
go mod edit -require=github.com/traefik/yaegi@v0.16.1
go mod tidy >tidy.log 2>&1 || { cat tidy.log; echo "needs the packages"; exit 77; }
go run .
