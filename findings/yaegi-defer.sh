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

var up, down int

func above(n int) { up += n }

func Say() string {
	func() { defer above(1) }()
	func() { defer below(1) }()
	return fmt.Sprintf("declared above %d, declared below %d", up, down)
}

func below(n int) { down += n }
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
	if compiled == interpreted || interpreted != "declared above 1, declared below 0" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
go mod init finding 2>/dev/null
go mod edit -require=github.com/traefik/yaegi@v0.16.1
go mod tidy >tidy.log 2>&1 || { cat tidy.log; echo "needs the packages"; exit 77; }
go run .
