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
	if compiled == interpreted || interpreted != "a [0 2] b [0 1] c [0 2 3]" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
go mod init finding 2>/dev/null
go mod edit -require=github.com/traefik/yaegi@v0.16.1
go mod tidy >tidy.log 2>&1 || { cat tidy.log; echo "needs the packages"; exit 77; }
go run .
