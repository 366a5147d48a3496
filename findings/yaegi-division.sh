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

const calls = 299

func Say() string {
	var half float64 = 5 / 2
	var share float64 = 1 - calls/300
	return fmt.Sprintf("5/2 = %v, share = %v", half, share)
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
	if compiled == interpreted || interpreted != "5/2 = 2.5, share = 0.0033333333333332993" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
go mod init finding 2>/dev/null
go mod edit -require=github.com/traefik/yaegi@v0.16.1
go mod tidy >tidy.log 2>&1 || { cat tidy.log; echo "needs the packages"; exit 77; }
go run .
