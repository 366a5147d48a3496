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
	if compiled == interpreted || interpreted != "method value 2, deferred 2" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
go mod init finding 2>/dev/null
go mod edit -require=github.com/traefik/yaegi@v0.16.1
go mod tidy >tidy.log 2>&1 || { cat tidy.log; echo "needs the packages"; exit 77; }
go run .
