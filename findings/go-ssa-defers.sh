#!/bin/sh
# golang.org/x/tools v0.51.0: go/ssa leaves out where the deferred calls of a loop over a function are made.
#
# In `for i := range count { defer f(i) }`, where count is a function, f runs when the function that holds the loop
# returns. go/ssa builds that right, with RunDefers before each return, and then takes RunDefers out again of every
# function that has no Defer instruction of its own: here it stands in the function made of the loop's body. With one
# more defer beside the loop all are made.
#
# Why it hurts: whoever interprets, translates or analyses Go by way of go/ssa loses the calls without a word. A
# notebook here printed less than when it was compiled.
#
# Seen 2026-11-28, Go 1.26.8, linux/amd64:
#   defer in a loop over a function:                RunDefers 0
#   the same, and a defer beside the loop:          RunDefers 1
. "$(dirname "$0")/shared/go.sh"
cat >main.go <<'EOF'
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"

	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

const text = `package main

func count(yield func(int) bool) { _ = yield(0) && yield(1) }

func keep(int) {}

func loop() {
	for i := range count {
		defer keep(i)
	}
}

func both() {
	defer keep(2)
	for i := range count {
		defer keep(i)
	}
}
`

func main() {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "main.go", text, 0)
	if err != nil {
		panic(err)
	}
	p, _, err := ssautil.BuildPackage(&types.Config{}, fset, types.NewPackage("main", "main"), []*ast.File{file}, 0)
	if err != nil {
		panic(err)
	}
	runs := func(name string) (n int) {
		for _, b := range p.Func(name).Blocks {
			for _, i := range b.Instrs {
				if _, ok := i.(*ssa.RunDefers); ok {
					n++
				}
			}
		}
		return n
	}
	fmt.Println("defer in a loop over a function:                RunDefers", runs("loop"))
	fmt.Println("the same, and a defer beside the loop:          RunDefers", runs("both"))
	if runs("loop") != 0 || runs("both") == 0 {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
EOF
run golang.org/x/tools@v0.51.0
